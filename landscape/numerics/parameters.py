"""A network's parameters as one flat vector with named, shaped views."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from landscape.errors import InputError


@dataclass(frozen=True)
class Slot:
    """One tensor's place in a flat vector: ``vector[offset : offset + size]`` holds the entries of ``shape``.

    A ``channels_last`` slot stores a 4-D tensor ``(O, I, H, W)`` in the order ``(O, H, W, I)``, which is the memory format
    in which convolutions run fastest; its view has the usual shape and other strides.
    """

    name: str
    shape: tuple[int, ...]
    offset: int
    channels_last: bool = False

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def view(self, vector: Tensor) -> Tensor:
        part = vector[self.offset : self.offset + self.size]
        if not self.channels_last:
            return part.view(self.shape)
        out, into, height, width = self.shape
        return part.view(out, height, width, into).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Layout:
    """The names, shapes and places of all tensors of a flat vector. Two vectors of one layout may be added."""

    slots: tuple[Slot, ...]

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]], *, channels_last: bool = False) -> Layout:
        """The layout of named tensors in their own order; 4-D ones are stored channels-last on request."""
        pairs = tensors.items() if isinstance(tensors, Mapping) else tensors
        slots, offset = [], 0
        for name, tensor in pairs:
            slots.append(Slot(name, tuple(tensor.shape), offset, channels_last and tensor.ndim == 4))
            offset += tensor.numel()
        return cls(tuple(slots))

    @cached_property
    def size(self) -> int:
        return sum(slot.size for slot in self.slots)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(slot.name for slot in self.slots)

    def part(self, names: Iterable[str]) -> Layout:
        """The layout of some of the tensors alone, in this one's order.

        Raises:
            InputError: for a name that it does not have.
        """
        chosen = set(names)
        if unknown := chosen - set(self.names):
            raise InputError(f"names: expected parameters of the model, got {sorted(unknown)!r}.")
        slots, offset = [], 0
        for slot in self.slots:
            if slot.name in chosen:
                slots.append(replace(slot, offset=offset))
                offset += slot.size
        return Layout(tuple(slots))

    def views(self, vector: Tensor) -> dict[str, Tensor]:
        """Named views into ``vector`` (shape ``(size,)``); writing to one writes to the vector."""
        if vector.shape != (self.size,):
            raise InputError(f"vector: expected shape ({self.size},) for this layout, got {tuple(vector.shape)}.")
        return {slot.name: slot.view(vector) for slot in self.slots}

    def pack(
        self, tensors: Mapping[str, Tensor], *, dtype: torch.dtype | None = None, device: torch.device | None = None
    ) -> Tensor:
        """The flat vector that holds copies of the named tensors.

        Raises:
            InputError: naming the tensors that are missing or have another shape.
        """
        wrong = [
            f"{s.name}: expected {s.shape}, got {tuple(tensors[s.name].shape) if s.name in tensors else 'nothing'}"
            for s in self.slots
            if s.name not in tensors or tuple(tensors[s.name].shape) != s.shape
        ]
        if wrong:
            more = f" (and {len(wrong) - 5} more)" if len(wrong) > 5 else ""
            raise InputError(f"tensors do not fit the parameters: {'; '.join(wrong[:5])}{more}.")
        first = next(iter(tensors.values()), torch.empty(0))
        vector = torch.empty(self.size, dtype=dtype or first.dtype, device=device or first.device)
        for name, view in self.views(vector).items():
            view.copy_(tensors[name].detach())
        return vector


@dataclass(frozen=True)
class ParameterVector:
    """θ: a flat tensor of shape ``(n,)`` and the layout that gives its entries their names and shapes.

    Example:
        >>> objective.theta
        ParameterVector(42 entries in 4 tensors, float32 on cpu, norm 2.048)
        >>> objective.theta["2.bias"].shape
        torch.Size([2])
    """

    vector: Tensor
    layout: Layout

    def __post_init__(self) -> None:
        if self.vector.shape != (self.layout.size,):
            raise InputError(f"vector: expected shape ({self.layout.size},), got {tuple(self.vector.shape)}.")

    def __repr__(self) -> str:
        return f"ParameterVector({vector_words(self.vector, self.layout)})"

    def __getitem__(self, name: str) -> Tensor:
        return self.views()[name]

    def views(self) -> dict[str, Tensor]:
        """Every named tensor as a view with its own shape."""
        return self.layout.views(self.vector)

    @property
    def norm(self) -> float:
        """‖θ‖₂ over all entries, summed in float64."""
        return float(torch.linalg.vector_norm(self.vector, dtype=torch.float64))


def vector_words(vector: Tensor, layout: Layout) -> str:
    """A flat vector in a line: how many entries in how many tensors, of which type, where, and how long it is."""
    length = float(torch.linalg.vector_norm(vector))  # not in float64, which not every device has
    kind = str(vector.dtype).removeprefix("torch.")
    return f"{layout.size:,} entries in {len(layout.slots)} tensors, {kind} on {vector.device}, norm {length:.4g}"


def ordinary(tensor: Tensor) -> Tensor:
    """The tensor, or a copy that can be differentiated of one that was made under ``torch.inference_mode``."""
    if not tensor.is_inference():
        return tensor
    with torch.inference_mode(False):
        return tensor.clone()
