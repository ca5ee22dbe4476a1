"""The directions of a plane by the names that users give them, found in a checkpoint and in files.

``random`` is drawn, ``gradient`` is that of the loss over the samples, ``update`` is the next step of the optimiser whose state
the checkpoint holds, ``difference`` leads to the next one of the further checkpoints, and ``eigenvector1``, ``eigenvector2``, …
are those of the Hessian, in a result of kind ``curvature``. ``quantize4`` and the like are those of
:mod:`landscape.probes.plane.changes`; ``NAME:PATTERN`` is a part of any.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from landscape.errors import CheckpointError, InputError
from landscape.numerics.directions import Direction
from landscape.numerics.parameters import Layout
from landscape.objective.ends import direction_to
from landscape.objective.objective import Objective
from landscape.probes.plane.along import eigenvector_directions, update_direction
from landscape.probes.plane.changes import restricted
from landscape.probes.subjects import Opened, stem
from landscape.results import load_result
from landscape.training import TrainingConfig, learning_rate
from landscape.training.learner import make_optimizer


def named_directions(names: Sequence[str], opened: Opened, objective: Objective) -> list[Direction | str]:
    """A direction for each name; ``random`` and ``gradient`` stay names, as an objective is enough for them.

    Raises:
        CheckpointError: for ``update`` of a checkpoint that holds weights alone.
        InputError: for an eigenvector that no file of the subject holds.
    """
    others = iter(opened.others)
    made: list[Direction | str] = []
    for named in names:
        name, _, pattern = named.partition(":")
        if name == "difference":
            other = next(others)
            found = direction_to(objective, other.state_dict, stem(other.path))
        elif name == "update":
            found = _next_update(opened, objective)
        elif name.startswith("eigenvector"):
            found = _eigenvector(int(name.removeprefix("eigenvector")), opened.subject.directions, objective)
        else:
            made.append(named)
            continue
        made.append(restricted(found, pattern) if pattern else found)
    return made


def _next_update(opened: Opened, objective: Objective) -> Direction:
    """At the learning rate of the epoch that would come next, or of the last one where the training was over."""
    state = opened.checkpoint.state
    if state is None or not {"optimizer", "config", "epoch"} <= state.keys():
        raise CheckpointError(
            f"{opened.checkpoint.path}: holds weights alone, and the update is made from the optimiser's state. Expected a "
            "checkpoint that landscape train wrote, such as last.pt."
        )
    config = TrainingConfig.from_dict(state["config"])
    optimizer = make_optimizer(opened.module, config)
    optimizer.load_state_dict(state["optimizer"])
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(config, min(int(state["epoch"]) + 1, config.epochs))
    return update_direction(objective, opened.module, optimizer)


def _eigenvector(number: int, path: Path | None, objective: Objective) -> Direction:
    if path is None:
        raise InputError(
            f"along: eigenvector{number} is read from a result of kind 'curvature'. Name it with --directions FILE."
        )
    dataset = load_result(path)
    if "eigenvectors" not in dataset:
        raise InputError(
            f"{path}: holds no eigenvectors; it is of kind {dataset.attrs['kind']!r}, expected 'curvature'."
        )
    if "block" in dataset.dims:
        raise InputError(
            f"{path}: holds a spectrum for each layer, whose eigenvectors are no directions of the whole network. Probe the "
            "curvature without --per-layer."
        )
    stored = torch.from_numpy(dataset["eigenvectors"].values)
    if number > len(stored):
        raise InputError(f"along: eigenvector{number} of {path}, which holds {len(stored)}.")
    vectors = [_in_layout(vector, dataset.attrs, objective.theta.layout) for vector in stored[:number]]
    return eigenvector_directions(objective, vectors, dataset["eigenvalues"].values.tolist())[-1]


def _in_layout(vector: Tensor, attributes: Mapping[Any, Any], layout: Layout) -> Tensor:
    """A stored flat vector in this objective's order of entries: the memory format decides that of 4-D tensors."""
    last = attributes.get("memory_format") == "channels_last"
    stored = Layout(tuple(replace(slot, channels_last=last and len(slot.shape) == 4) for slot in layout.slots))
    if vector.shape != (layout.size,):
        return _embedded(vector, attributes, stored, layout)
    return layout.pack(stored.views(vector))


def _embedded(vector: Tensor, attributes: Mapping[Any, Any], stored: Layout, layout: Layout) -> Tensor:
    """A vector of a part of the parameters with zeros for the others; as it is where it does not say that it is one."""
    names = json.loads(attributes.get("parameter_names", "[]"))
    if not set(names) <= set(layout.names) or stored.part(names).size != vector.numel():
        return vector
    whole = {slot.name: vector.new_zeros(slot.shape) for slot in layout.slots}
    return layout.pack({**whole, **stored.part(names).views(vector)})
