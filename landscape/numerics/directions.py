"""Directions through parameter space, and the normalisations of Li et al. 2018 (arXiv 1712.09913)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from landscape.errors import InputError, unknown_choice
from landscape.numerics.parameters import Layout, ParameterVector, vector_words
from landscape.numerics.seeds import generator

NORMALIZATIONS = ("filter", "layer", "none")
_EPSILON = 1e-10  # Li et al.'s own guard against a filter of zeros
_PARALLEL = 1e-5  # of its length: what is left of a direction in single precision once all of it is taken away


@dataclass(frozen=True)
class Direction:
    """A vector of θ's layout, and how it was made.

    ``statistics`` is the matching change of the BatchNorm running statistics, where the direction leads from one
    checkpoint to another; it is ``None`` for a direction of weights alone.

    Example:
        >>> ls.random_direction(objective.theta, seed=0)
        Direction(kind='random', seed=0, axis=0, normalization='filter'; 42 entries in 4 tensors, float32 on cpu, norm 1.693)
    """

    vector: Tensor
    layout: Layout
    provenance: Mapping[str, Any] = field(default_factory=dict)
    statistics: Tensor | None = None

    def __repr__(self) -> str:
        made = ", ".join(f"{name}={value!r}" for name, value in self.provenance.items())
        return f"Direction({made or 'of no known origin'}; {vector_words(self.vector, self.layout)})"

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

    Example:
        >>> direction = ls.random_direction(objective.theta, seed=0)
        >>> weights = ls.ParameterVector(direction.vector, direction.layout)["0.weight"]
        >>> torch.allclose(weights.norm(dim=1), objective.theta["0.weight"].norm(dim=1))
        True
    """
    if not isinstance(theta, ParameterVector):
        raise InputError(f"theta: expected a parameter vector, such as objective.theta, got a {type(theta).__name__}.")
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

    Example:
        >>> direction = ls.direction_between(objective.theta, objective.parameters_of(other))
        >>> torch.allclose(objective.theta.vector + direction.vector, objective.parameters_of(other).vector)
        True
    """
    for one in (start, end):
        if not isinstance(one, ParameterVector):
            raise InputError(
                f"direction: expected two parameter vectors, such as objective.theta and objective.parameters_of(other), got a "
                f"{type(one).__name__}. Between models: ls.task_vector(objective, other)."
            )
    if start.layout != end.layout:
        raise InputError("direction: the two checkpoints have different parameters; they must be of one architecture.")
    vector = end.vector - start.vector
    if not bool(vector.any()):
        raise InputError(
            "direction: the two checkpoints have identical parameters, so no direction leads from one to the other."
        )
    moved = None if statistics is None else statistics[1] - statistics[0]
    return Direction(vector, start.layout, {"kind": "difference", **(provenance or {})}, moved)


def given_direction(
    vector: Tensor | ParameterVector, theta: ParameterVector, *, kind: str, **provenance: Any
) -> Direction:
    """A flat vector of θ's layout as a direction: a gradient, an optimiser's update, an eigenvector of the Hessian.

    ``kind`` and ``provenance`` say where it comes from; the vector itself stays as it is.

    Raises:
        InputError: for a vector of another layout or size, one that is not finite, or the zero vector.
    """
    if isinstance(vector, ParameterVector) and vector.layout != theta.layout:
        raise InputError(f"direction: the {kind} belongs to another model: its parameters differ from θ's.")
    flat = vector.vector if isinstance(vector, ParameterVector) else vector
    if flat.shape != theta.vector.shape:
        raise InputError(
            f"direction: expected the {kind} as a flat vector of shape {tuple(theta.vector.shape)}, one entry for each of the "
            f"model's parameters, got {tuple(flat.shape)}."
        )
    flat = flat.detach().to(theta.vector)
    if not bool(flat.isfinite().all()):
        raise InputError(f"direction: the {kind} holds NaN or infinite entries, so no line can follow it.")
    if not bool(flat.any()):
        raise InputError(f"direction: the {kind} is the zero vector, which leads nowhere.")
    return Direction(flat, theta.layout, {"kind": kind, **provenance})


def scale_to_weights(direction: Direction, theta: ParameterVector) -> Direction:
    """d ← d ‖θ_w‖ / ‖d‖ with θ_w the tensors of more than one dimension: the way stays, 1 becomes a length one knows.

    That is the norm which filter normalisation gives a random direction, so that both axes of a plane have one unit.

    Raises:
        InputError: where no tensor with more than one dimension has a weight other than zero.
    """
    weights = [view.double().norm() for view in theta.views().values() if view.ndim > 1]
    length = float(torch.stack(weights).norm()) if weights else 0.0
    if length == 0:
        raise InputError(
            "direction: cannot be scaled to the norm of the weights, because no tensor with more than one dimension has a "
            "weight other than zero. Try normalization='none'."
        )
    return _scaled(direction, length / direction.norm, normalization="weights")


def orthogonalize(directions: Sequence[Direction]) -> tuple[Direction, ...]:
    """Gram–Schmidt in float64: each direction without its parts along those before it, brought back to its own length.

    The first stays as it is. Changes of running statistics are combined as the directions themselves are.

    Raises:
        InputError: for directions that are linearly dependent.
    """
    made: list[Direction] = []
    for number, direction in enumerate(directions):
        vector, statistics = direction.vector.double(), direction.statistics
        for _ in range(2):  # once more takes away what rounding left
            for other in made:
                along = other.vector.double()
                part = float(vector @ along / (along @ along))
                vector = vector - part * along
                statistics = (
                    None if statistics is None or other.statistics is None else statistics - part * other.statistics
                )
        left = float(vector.norm())
        if not left > _PARALLEL * direction.norm:
            raise InputError(
                f"orthogonalize: direction {number + 1} is a combination of those before it, so nothing of it is left. "
                "Choose another, such as random."
            )
        whole = replace(direction, vector=vector.to(direction.vector), statistics=statistics)
        made.append(_scaled(whole, direction.norm / left, orthogonalized=1) if made else direction)
    return tuple(made)


def _scaled(direction: Direction, factor: float, **provenance: Any) -> Direction:
    statistics = None if direction.statistics is None else factor * direction.statistics
    return Direction(factor * direction.vector, direction.layout, {**direction.provenance, **provenance}, statistics)
