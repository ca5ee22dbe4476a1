"""Which module is to blame: what goes into and comes out of every one, in two runs that ought to agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from landscape.objective.batches import tensors_in

_SHOWN = 3


@dataclass
class Passage:
    """One call of a module: the tensors that went in, and those that came out."""

    went_in: list[Tensor]
    came_out: list[Tensor] = field(default_factory=list)
    done: bool = False


Passages = dict[str, list[Passage]]


@contextmanager
def watched(module: nn.Module) -> Iterator[Passages]:
    """While open, every call of the module's parts is kept, by the part's name ("" for the module itself), first called first."""
    passages: Passages = {}
    handles = []
    for name, part in module.named_modules():

        def before(_: Any, args: Any, kwargs: Any, name: str = name) -> None:
            passages.setdefault(name, []).append(Passage(_copies((args, kwargs))))

        def after(_: Any, args: Any, kwargs: Any, outputs: Any, name: str = name) -> None:
            call = next(call for call in reversed(passages[name]) if not call.done)  # a module may call itself
            call.came_out, call.done = _copies(outputs), True

        handles += [
            part.register_forward_pre_hook(before, with_kwargs=True),
            part.register_forward_hook(after, with_kwargs=True),
        ]
    try:
        yield passages
    finally:
        for handle in handles:
            handle.remove()


def runs(module: nn.Module, first: Callable[[], Any], second: Callable[[], Any]) -> tuple[Passages, Passages]:
    """What passes through the module in two runs, without gradients."""
    with torch.no_grad():
        with watched(module) as one:
            first()
        with watched(module) as other:
            second()
    return one, other


def blamed(one: Passages, other: Passages, same: Callable[[list[Tensor], list[Tensor]], bool]) -> list[str]:
    """The innermost modules into which the same goes in both runs, and out of which comes something else."""
    guilty = [
        name
        for name, calls in one.items()
        if any(
            same(a.went_in, b.went_in) and not same(a.came_out, b.came_out)
            for a, b in zip(calls, other.get(name, []), strict=False)
        )
    ]
    return innermost(guilty)


def first_not_finite(passages: Passages) -> list[str]:
    """The innermost modules into which only finite numbers go, and out of which others come."""
    return innermost(
        [
            name
            for name, calls in passages.items()
            if any(_finite(call.went_in) and not _finite(call.came_out) for call in calls)
        ]
    )


def innermost(names: list[str]) -> list[str]:
    """Those names that no other of them lies inside of."""
    return [name for name in names if not any(other != name and _inside(other, name) for other in names)]


def described(module: nn.Module, names: list[str]) -> str:
    """``layer2.drop (Dropout), …`` for a sentence; the module itself by its class."""
    parts = dict(module.named_modules())
    words = [f"{name} ({type(parts[name]).__name__})" if name else type(module).__name__ for name in names[:_SHOWN]]
    return ", ".join(words) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    """Whether two lists of tensors are the same to the bit, NaN being NaN's like."""
    return len(one) == len(other) and all(
        a.shape == b.shape and bool(torch.equal(a, b) or _same_but_nan(a, b)) for a, b in zip(one, other, strict=True)
    )


def alike_at_the_end(tolerance: float) -> Callable[[list[Tensor], list[Tensor]], bool]:
    """Whether tensors for a few samples are the last rows of those for more, to ``tolerance`` of their size.

    Along whichever dimension the samples lie: the one in which the two shapes differ.
    """

    def same(few: list[Tensor], many: list[Tensor]) -> bool:
        return len(few) == len(many) and all(close_at_the_end(a, b, tolerance) for a, b in zip(few, many, strict=True))

    return same


def close_at_the_end(few: Tensor, many: Tensor, tolerance: float) -> bool:
    """The same for two tensors."""
    if few.ndim != many.ndim:
        return False
    longer = [d for d in range(few.ndim) if few.shape[d] != many.shape[d]]
    if len(longer) > 1:
        return False
    for d in longer:
        if many.shape[d] < few.shape[d]:
            return False
        many = many.narrow(d, many.shape[d] - few.shape[d], few.shape[d])
    if not few.is_floating_point():
        return bool(torch.equal(few, many)) or few.dtype == torch.int64  # sizes and offsets of batches
    gap = (few.double() - many.double()).abs().nan_to_num().amax() if few.numel() else torch.zeros(())
    size = many.double().abs().nan_to_num().amax() if few.numel() else torch.ones(())
    return bool(gap <= tolerance * size)


def _same_but_nan(a: Tensor, b: Tensor) -> bool:
    return a.is_floating_point() and bool(
        torch.equal(a.isnan(), b.isnan()) and torch.equal(a.nan_to_num(), b.nan_to_num())
    )


def _inside(inner: str, outer: str) -> bool:
    return outer == "" or inner.startswith(f"{outer}.")


def _finite(tensors: list[Tensor]) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in tensors if tensor.is_floating_point())


def _copies(value: Any) -> list[Tensor]:
    return [tensor.detach().clone() for tensor in tensors_in(value)]
