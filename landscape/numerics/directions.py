"""Directions through parameter space, and the normalisations of Li et al. 2018 (arXiv 1712.09913)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from landscape.errors import InputError, unknown_choice
from landscape.numerics.parameters import Layout, ParameterVector
from landscape.numerics.seeds import generator

NORMALIZATIONS = ("filter", "layer", "none")
_EPSILON = 1e-10  # Li et al.'s own guard against a filter of zeros


@dataclass(frozen=True)
class Direction:
    """A vector of θ's layout, and how it was made.

    ``statistics`` is the matching change of the BatchNorm running statistics, where the direction leads from one
    checkpoint to another; it is ``None`` for a direction of weights alone.
    """

    vector: Tensor
    layout: Layout
    provenance: Mapping[str, Any] = field(default_factory=dict)
    statistics: Tensor | None = None

    @property
    def norm(self) -> float:
        """‖d‖₂ over all entries, summed in float64."""
        return float(torch.linalg.vector_norm(self.vector, dtype=torch.float64))


def cosine(a: Direction, b: Direction) -> float:
    """cos(a, b) = ⟨a, b⟩ / (‖a‖ ‖b‖) in float64; NaN where one of them is zero."""
    x, y = a.vector.double(), b.vector.double()
    lengths = x.norm() * y.norm()
    return float(x @ y / lengths) if lengths > 0 else float("nan")


def random_direction(theta: ParameterVector, *, seed: int, axis: int = 0, normalization: str = "filter") -> Direction:
    """A Gaussian direction d, normalised against θ.

    d is drawn tensor by tensor in float32 on the CPU from (``seed``, "direction", ``axis``), so that one seed means the same
    direction on every device and memory format. Then see :func:`normalize`.

    Raises:
        InputError: for an unknown normalisation, or where normalisation leaves only zeros.
    """
    draws = generator(seed, "direction", axis)
    drawn = {slot.name: torch.randn(slot.shape, generator=draws) for slot in theta.layout.slots}
    vector = theta.layout.pack(drawn, dtype=theta.vector.dtype, device=theta.vector.device)
    direction = normalize(Direction(vector, theta.layout), theta, normalization)
    provenance = {"kind": "random", "seed": seed, "axis": axis, "normalization": normalization}
    return Direction(direction.vector, direction.layout, provenance)


def normalize(direction: Direction, theta: ParameterVector, normalization: str = "filter") -> Direction:
    """Scale a direction to the weights it perturbs.

    - ``filter``: d_i ← d_i ‖θ_i‖ / (‖d_i‖ + 1e-10) for every slice i along axis 0 of every tensor with more than one dimension;
    - ``layer``: the same with one slice a tensor;
    - ``none``: d as it is.

    With ``filter`` and ``layer`` tensors of one dimension or none (biases, BN γ and β) get 0, as in Li et al. 2018.

    Raises:
        InputError: for an unknown normalisation, or where the result is the zero vector.
    """
    if normalization not in NORMALIZATIONS:
        raise unknown_choice("normalization", normalization, NORMALIZATIONS)
    if normalization == "none":
        return direction
    vector = torch.zeros_like(direction.vector)
    weights, raw, out = theta.views(), direction.layout.views(direction.vector), direction.layout.views(vector)
    for name, d in raw.items():
        if d.ndim > 1:
            kept = (0,) if normalization == "filter" else ()
            dims = [i for i in range(d.ndim) if i not in kept]
            # contiguous, so that the sums, and with them the bits, do not depend on the memory format
            length = torch.linalg.vector_norm(weights[name].contiguous(), dim=dims, keepdim=True)
            own = torch.linalg.vector_norm(d.contiguous(), dim=dims, keepdim=True)
            out[name].copy_(d * (length / (own + _EPSILON)))
    if not bool(vector.any()):
        raise InputError(
            f"direction: {normalization} normalisation leaves the zero vector, because no tensor with more than one "
            "dimension has a weight other than zero. Try normalization='none'."
        )
    return Direction(vector, direction.layout, {**direction.provenance, "normalization": normalization})


def direction_between(
    start: ParameterVector,
    end: ParameterVector,
    *,
    statistics: tuple[Tensor, Tensor] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Direction:
    """The difference d = θ_end − θ_start, so that coefficient 0 is the start and 1 the end.

    ``statistics`` holds the running statistics (start, end); their difference travels with the direction.

    Raises:
        InputError: where the two have different layouts, or are the same point (a zero direction leads nowhere).
    """
    if start.layout != end.layout:
        raise InputError("direction: the two checkpoints have different parameters; they must be of one architecture.")
    vector = end.vector - start.vector
    if not bool(vector.any()):
        raise InputError(
            "direction: the two checkpoints have identical parameters, so no direction leads from one to the other."
        )
    moved = None if statistics is None else statistics[1] - statistics[0]
    return Direction(vector, start.layout, {"kind": "difference", **(provenance or {})}, moved)
