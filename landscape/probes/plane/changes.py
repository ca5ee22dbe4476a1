"""Directions that lead to another network made from the same weights or beside them: coarser, sparser, smaller, fine-tuned.

1 on the axis is that network. By name: ``quantize4`` (to that many bits), ``nf4`` and ``fp4`` (as bitsandbytes rounds), ``prune50``
(so many per cent of the weights become zero), ``decay`` (towards zero) and ``lowrank2`` (drawn, of that rank in every tensor);
``NAME:PATTERN`` is the part of a direction in the tensors that match a shell pattern, such as ``random:head.*``.
"""

from __future__ import annotations

import fnmatch
import importlib
import re
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from landscape.checking import is_number
from landscape.errors import InputError
from landscape.numerics.directions import Direction, given_direction
from landscape.numerics.parameters import ParameterVector
from landscape.numerics.seeds import generator
from landscape.objective.ends import State, an_objective, direction_to
from landscape.objective.objective import Objective

BITS = range(1, 17)
BITSANDBYTES = ("nf4", "fp4")  # its types of four bits
_NAME = re.compile(r"(quantize|prune|lowrank)([1-9]\d*)|decay|nf4|fp4")
EXAMPLES = ("quantize4", "nf4", "prune50", "decay", "lowrank1")  # for messages


def is_change(name: str) -> bool:
    """Whether a direction of this name follows from the weights alone, or from them and a seed."""
    return _NAME.fullmatch(name) is not None


def is_drawn(name: str) -> bool:
    """Whether each seed gives another one."""
    return re.fullmatch(r"random|lowrank[1-9]\d*", name) is not None


def change_direction(name: str, theta: ParameterVector, *, seed: int = 0, axis: int = 0) -> Direction:
    """The direction of that name from θ.

    Raises:
        InputError: for a number that makes no sense, or a direction that is zero.
    """
    if name in BITSANDBYTES:
        return quantization(theta, name)
    kind = re.sub(r"\d", "", name)
    number = int(name.removeprefix(kind) or 0)
    if kind == "quantize":
        return quantization(theta, number)
    if kind == "prune":
        return pruning(theta, number / 100)
    if kind == "lowrank":
        return low_rank(theta, number, seed=seed, axis=axis)
    return given_direction(-theta.vector, theta, kind="decay")


def quantization(theta: ParameterVector | Objective, bits: int | str) -> Direction:
    """Q(θ) − θ for weights rounded to ``bits`` bits; 1 on the axis is the quantised network.

    Every slice w along axis 0 of a tensor with more than one dimension (a filter, a row) has a scale of its own,
    s = max|w| / (2^(bits−1) − 1), and Q(w) = s round(w / s), symmetric and to the nearest, ties to even; one bit is the sign times
    mean|w|. ``"nf4"`` and ``"fp4"`` are the four bits of bitsandbytes, rounded and scaled by it in blocks of 64 weights (QLoRA,
    arXiv 2305.14314); its eight bits are ``bits=8`` here, rows by their largest. Biases and norms stay as they are.

    Raises:
        InputError: for bits that are no whole number from 1 to 16 nor a type of bitsandbytes, where that is not installed, or where
            nothing changes.

    Example:
        >>> coarse = ls.quantization(objective.theta, bits=4)
        >>> weights = ls.ParameterVector(objective.theta.vector + coarse.vector, objective.theta.layout)["0.weight"]
        >>> max(len(row.unique()) for row in weights) <= 15
        True
    """
    theta = _vector_of(theta)
    if isinstance(bits, str) and bits in BITSANDBYTES:
        return _towards(theta, _by_bitsandbytes(bits), kind="bitsandbytes", rounding=bits)
    if isinstance(bits, bool) or not isinstance(bits, int) or bits not in BITS:
        raise InputError(f"quantization: expected bits from 1 to {BITS[-1]}, such as 4, or 'nf4', 'fp4', got {bits!r}.")

    def rounded(weight: Tensor) -> Tensor:
        rows = weight.double().flatten(1)
        if bits == 1:
            made = rows.sign() * rows.abs().mean(1, keepdim=True)
        else:
            scale = rows.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
            made = torch.where(scale > 0, (rows / scale).round() * scale, rows)
        return made.reshape(weight.shape)

    return _towards(theta, rounded, kind="quantization", bits=bits)


def _by_bitsandbytes(rounding: str) -> Callable[[Tensor], Tensor]:
    """Weights in its four bits and back; it is loaded when it is asked for."""
    try:
        functional = importlib.import_module("bitsandbytes.functional")
    except ImportError as error:
        raise InputError(
            f"quantization: {rounding} is rounded by bitsandbytes, which is not installed. Install it (pip install bitsandbytes), "
            "or take bits=4."
        ) from error

    def rounded(weight: Tensor) -> Tensor:
        packed, scales = functional.quantize_4bit(weight.float().contiguous(), quant_type=rounding)
        back: Tensor = functional.dequantize_4bit(packed, scales)
        return back.double().reshape(weight.shape)

    return rounded


def pruning(theta: ParameterVector | Objective, share: float) -> Direction:
    """From θ to the network whose ``share`` of weights with the smallest |w| is zero; 1 on the axis is that network.

    The share is of all entries of tensors with more than one dimension together; the others stay as they are.

    Raises:
        InputError: for a share that is not between 0 and 1, or where nothing changes.

    Example:
        >>> sparse = ls.pruning(objective.theta, share=0.5)
        >>> int((objective.theta.vector + sparse.vector == 0).sum())  # half of the 32 weights, and biases that were zero
        16
    """
    if not is_number(share) or not 0 < share < 1:
        raise InputError(f"pruning: expected a share of the weights between 0 and 1, such as 0.5, got {share!r}.")
    theta = _vector_of(theta)
    sizes = torch.cat([view.reshape(-1).abs().double() for view in theta.views().values() if view.ndim > 1] or [_NONE])
    count = round(share * sizes.numel())
    limit = sizes.sort().values[count - 1] if count else sizes.new_tensor(-1.0)
    return _towards(
        theta, lambda w: torch.where(w.abs().double() <= limit, 0.0, w.double()), kind="pruning", share=share
    )


def low_rank(theta: ParameterVector | Objective, rank: int, *, seed: int, axis: int = 0) -> Direction:
    """A random direction of ``rank`` in every tensor, as a LoRA update is: U Vᵀ with Gaussian factors, scaled to ‖θ‖ of the tensor.

    Tensors with more than two dimensions are taken as matrices ``(out, rest)``; those with one get 0.

    Raises:
        InputError: for a rank below 1, or where no tensor has more than one dimension and a weight other than zero.

    Example:
        >>> thin = ls.low_rank(objective.theta, rank=1, seed=0)
        >>> int(torch.linalg.matrix_rank(ls.ParameterVector(thin.vector, thin.layout)["0.weight"]))
        1
    """
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise InputError(f"low_rank: expected a rank, at least 1, got {rank!r}.")
    theta = _vector_of(theta)
    draws, made = generator(seed, "low rank", axis), {}
    for name, weight in theta.views().items():
        if weight.ndim < 2:
            made[name] = torch.zeros_like(weight)
            continue
        rows, columns = weight.flatten(1).shape
        ends = (torch.randn(size, generator=draws, dtype=torch.float64) for size in ((rows, rank), (rank, columns)))
        drawn = torch.matmul(*ends)
        made[name] = (drawn * float(weight.norm() / drawn.norm())).to(weight).reshape(weight.shape)
    vector = theta.layout.pack(made, dtype=theta.vector.dtype, device=theta.vector.device)
    return given_direction(vector, theta, kind="low rank", rank=rank, seed=seed, axis=axis)


def task_vector(objective: Objective, to: State, name: str = "the other model") -> Direction:
    """θ_other − θ: to a fine-tuned model, to an average of weights, to the weights of another epoch; 1 on the axis is that model.

    Args:
        objective: at whose checkpoint it begins.
        to: the other model: a module (also an ``AveragedModel`` of torch), its state dict, an objective or a file.
        name: what pictures call it.

    Raises:
        InputError: for a model of another architecture, or with the same parameters.

    Example:
        >>> way = ls.task_vector(objective, other, "fine-tuned")
        >>> ls.plane(objective, along=[way, "random"], x=(0, 1, 3), y=(-1, 1, 3))["x"].attrs["long_name"]
        'from the first checkpoint (0) to fine-tuned (1)'
    """
    return direction_to(objective, to, name)


def lora_update(objective: Objective, adapted: nn.Module, adapter: str = "default") -> Direction:
    """The update that a LoRA adapter adds to the weights, s B A in every adapted layer; 1 on the axis is the merged model.

    Args:
        objective: of the base model, or of a merged one, whose parameters the update is laid out by.
        adapted: the model of peft, unmerged.
        adapter: which of its adapters.

    Raises:
        InputError: for a model without such an adapter, or whose adapted layers are not those of the objective's module.

    Example:
        >>> try:
        ...     ls.lora_update(objective, net)
        ... except ls.LandscapeError as error:
        ...     print(str(error)[:40])
        lora_update: the model has no adapter 'd
    """
    an_objective(objective)
    theta, changes = objective.theta, {}
    known = set(theta.layout.names)
    for place, layer in adapted.named_modules():
        delta = getattr(layer, "get_delta_weight", None)
        if delta is None or adapter not in getattr(layer, "lora_A", {}):
            continue
        ends = [name for name in known if f"{place}.weight".endswith(f".{name}") or f"{place}.weight" == name]
        if len(ends) != 1:
            raise InputError(
                f"lora_update: {place} is no layer whose weight is a parameter of the objective. Expected the objective of the "
                "base "
                "model that the adapter was made for, all of its parameters moved."
            )
        with torch.no_grad():
            changes[ends[0]] = delta(adapter).to(theta.vector)
    if not changes:
        raise InputError(
            f"lora_update: the model has no adapter {adapter!r} of LoRA. Give the model of peft, before merge_and_unload."
        )
    whole = {name: torch.zeros_like(view) for name, view in theta.views().items()}
    vector = theta.layout.pack({**whole, **changes}, dtype=theta.vector.dtype, device=theta.vector.device)
    return given_direction(vector, theta, kind="LoRA", adapter=adapter)


def restricted(direction: Direction, pattern: str) -> Direction:
    """The part of a direction in the tensors whose names match a shell pattern; zero in all others.

    Raises:
        InputError: where none matches, or nothing of the direction is in them.
    """
    vector = torch.zeros_like(direction.vector)
    views, parts = direction.layout.views(vector), direction.layout.views(direction.vector)
    matching = [name for name in views if fnmatch.fnmatchcase(name, pattern)]
    for name in matching:
        views[name].copy_(parts[name])
    if not bool(vector.any()):
        some = ", ".join(list(views)[:4])
        raise InputError(f"along: {pattern!r} leaves nothing of the direction; its tensors are {some}, …")
    return replace(direction, vector=vector, provenance={**direction.provenance, "within": pattern})


def _vector_of(theta: ParameterVector | Objective) -> ParameterVector:
    """Parameters as they are, or an objective's."""
    if not isinstance(theta, ParameterVector):
        an_objective(theta)
        return theta.theta
    return theta


_NONE = torch.zeros(0, dtype=torch.float64)


def _towards(
    theta: ParameterVector, change: Callable[[Tensor], Tensor], *, kind: str, **said: float | str
) -> Direction:
    """To the network whose weights are changed so, those of one dimension staying as they are."""
    made = {
        name: (change(view) - view.double()).to(view) if view.ndim > 1 else torch.zeros_like(view)
        for name, view in theta.views().items()
    }
    vector = theta.layout.pack(made, dtype=theta.vector.dtype, device=theta.vector.device)
    return given_direction(vector, theta, kind=kind, **said)
