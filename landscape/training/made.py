"""What made a training: its data, and the values of its module and loss, by which a resumed one is told to be the same."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from landscape.data import DataSet
from landscape.data.splits import SPLITS
from landscape.numerics.seeds import derive_seed, generator
from landscape.objective.batches import evenly, map_tensors
from landscape.objective.runner import Runner
from landscape.objective.signature import (
    ALIKE,
    DERIVED,
    Numbers,
    Signature,
    loosened,
    nudged,
    reduced,
    rounding_of,
)
from landscape.torch_state.isolation import isolated, seed_modules
from landscape.training.config import TrainingConfig
from landscape.training.learner import Learner

FEW = 8  # training samples that are looked at
_OF = f"for {FEW} samples"


def training_signature(learner: Learner, data: DataSet, indices: Tensor, config: TrainingConfig) -> Signature:
    """What a training is at its present weights: hashes of its splits, and what module and loss give for a few samples.

    A copy is run in evaluation mode and in training mode with its gradient, so that an edit of dropout or of a ``detach()``
    shows; and the samples are looked at as augmentation gives them. Module and random state stay as they are.

    Args:
        indices: which training samples there are, of which :data:`FEW` are looked at.
    """
    places = indices[evenly(len(indices), FEW).to(indices.device)]
    inputs, targets = data.train.batch(places)
    batch = learner.place(inputs), learner.place(targets)
    with isolated(learner.device):
        found = {**_sizes(learner), **_of_a_copy(learner, batch)}
    if config.augment:
        drawn = data.train.training_batch(places, generator(config.seed, "signature"))
        found |= reduced(drawn, "augmentation", ALIKE["fp32"])
    splits = ((f"{name} data", getattr(data, name)) for name in SPLITS)
    return Signature({name: None if split is None else split.fingerprint() for name, split in splits}, found)


def run_name(start: Mapping[str, Any], config: TrainingConfig) -> str:
    """Sixteen hexadecimal digits that tell a training from others, by what it started from and its recipe."""
    text = json.dumps([start, config.to_dict()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _sizes(learner: Learner) -> dict[str, Numbers]:
    weights = [p.detach().abs().double().cpu() for p in learner.module.parameters()]
    norm = math.sqrt(sum(float(weight.square().sum()) for weight in weights))
    return {"size of the weights": Numbers((norm, sum(float(weight.sum()) for weight in weights)), ALIKE["fp32"])}


def _of_a_copy(learner: Learner, batch: tuple[Any, Any]) -> dict[str, Numbers]:
    """What a copy of the module gives; of one that cannot be copied its loss in evaluation mode alone."""
    try:
        module = copy.deepcopy(learner.module)
    except Exception:  # of any kind: it is the user's code
        loss, accuracy = learner.evaluate([batch])
        return _said(loss, accuracy, ALIKE[learner.runner.precision], 0.0)
    runner = _reference(learner.runner.of(module.eval()), batch[0])
    found = _evaluated(runner, batch)
    for layer, theirs in zip(module.modules(), learner.module.modules(), strict=True):
        layer.training = theirs.training
    return found | _trained(module, runner, batch)


def _reference(own: Runner, inputs: Any) -> Runner:
    """How the module is run: in fp32 where it trains in bf16, whose rounding hides small changes, unless it runs in bf16 alone."""
    if own.precision != "bf16":
        return own
    wide = replace(own, precision="fp32")
    try:
        wide.tried(map_tensors(torch.clone, inputs))
    except Exception:  # of any kind: it is the user's code
        return own
    return wide


def _evaluated(runner: Runner, batch: tuple[Any, Any]) -> dict[str, Numbers]:
    outputs = runner.tried(map_tensors(torch.clone, batch[0]))  # which a module may write into
    with torch.no_grad(), runner.own_randomness():
        losses, right = runner.losses(*map_tensors(torch.clone, batch))
    made = reduced(outputs, f"output {_OF}", ALIKE[runner.precision])
    loss, accuracy = float(losses.cpu().double().mean()), None if right is None else float(right.cpu().double().mean())
    return {**_said(loss, accuracy, ALIKE[runner.precision], rounding_of(made, torch.float32)), **made}


def _said(loss: float, accuracy: float | None, alike: float, rounding: float) -> dict[str, Numbers]:
    return {
        f"loss {_OF}": Numbers((loss,), alike, rounding, said=True),
        f"accuracy {_OF}": Numbers(() if accuracy is None else (accuracy,), alike, said=True),
    }


def _trained(module: nn.Module, runner: Runner, batch: tuple[Any, Any]) -> dict[str, Numbers]:
    """Loss and gradient in training mode on this kind of device, whose generator draws for dropout; NaN where there is none.

    Normalised by few samples, rounding may grow: they are known to what a nudge of the weights changes.
    """
    try:
        found = _step(module, runner, batch)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(nudged(parameter))
        return loosened(found, _step(module, runner, batch))
    except Exception:  # of any kind: it is the user's code, or a module that cannot be copied
        return {f"loss of a step in training mode on {runner.device.type}": Numbers((math.nan,), 0.0, local=True)}


def _step(module: nn.Module, runner: Runner, batch: tuple[Any, Any]) -> dict[str, Numbers]:
    of, alike = f"of a step in training mode on {runner.device.type}", ALIKE[runner.precision]
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    seed_modules(runner.device, derive_seed(0, "signature"))
    with torch.enable_grad():
        losses, _ = runner.of(module).losses(*map_tensors(torch.clone, batch))
        found = torch.autograd.grad(losses.mean(), trained, allow_unused=True)
    gradients = [gradient.abs().double().cpu() for gradient in found if gradient is not None]
    norm = math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients))
    size = sum(float(gradient.sum()) for gradient in gradients)
    return {
        f"loss {of}": Numbers((float(losses.detach().double().mean()),), alike, said=True, local=True),
        f"gradient norm {of}": Numbers((norm,), DERIVED * alike, said=True, local=True),
        f"gradient {of}": Numbers((size,), DERIVED * alike, local=True),
    }
