"""What the operations of somebody else's code do, looked at while it runs: whether they draw, read a tensor, or broadcast."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self, cast

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While open, every operation of torch is shown to :meth:`see`."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Else PyTorch imports its compiler, which takes seconds, at the first operation that is seen."""
        return False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._stance: AbstractContextManager[Any] = nullcontext()

    def __enter__(self) -> Self:
        compiler = sys.modules.get("torch._dynamo")  # then something may be compiled: it runs as it was written
        self._stance = nullcontext() if compiler is None else torch.compiler.set_stance("force_eager")
        self._stance.__enter__()
        return cast(Self, super().__enter__())  # type: ignore[no-untyped-call]

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)  # type: ignore[no-untyped-call]
        self._stance.__exit__(*raised)

    def see(self, function: Any, given: Any, made: Any) -> None:
        """An operation, what it was given and what it made of that."""
        raise NotImplementedError

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        self.see(function, (args, kwargs), made)
        return made


class Draws(Operations):  # type: ignore[no-untyped-call]
    """Notes whether random numbers are drawn, also where the generator is set back afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.any = False

    def see(self, function: Any, given: Any, made: Any) -> None:
        self.any |= torch.Tag.nondeterministic_seeded in function.tags


class Reads(Operations):  # type: ignore[no-untyped-call]
    """Notes which of some named tensors, or of what shares their memory, are read."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._names = {tensor.untyped_storage().data_ptr(): name for name, tensor in tensors.items() if tensor.numel()}
        self.names: dict[str, None] = {}

    def see(self, function: Any, given: Any, made: Any) -> None:
        for tensor in _tensors(given):
            if tensor.layout == torch.strided and (name := self._names.get(tensor.untyped_storage().data_ptr())):
                self.names[name] = None


class Broadcasts(Operations):  # type: ignore[no-untyped-call]
    """Notes whether a tensor of one of two shapes meets one of the other, and something larger than both comes out."""

    def __init__(self, first: torch.Size, second: torch.Size) -> None:
        super().__init__()
        self._shapes, self._size = {first, second}, max(first.numel(), second.numel())
        self.any = False

    def see(self, function: Any, given: Any, made: Any) -> None:
        met = {tensor.shape for tensor in _tensors(given)} >= self._shapes
        self.any |= met and any(tensor.numel() > self._size for tensor in _tensors(made))


def leaves_of(values: Iterable[Tensor]) -> list[Tensor]:
    """The leaves that require a gradient among what ``values`` were computed from."""
    moving = [tensor for tensor in values if tensor.requires_grad]
    found = [tensor for tensor in moving if tensor.is_leaf]
    nodes, seen = [tensor.grad_fn for tensor in moving], set()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        nodes += [following for following, _ in node.next_functions]
    return found


def _tensors(value: Any) -> Iterable[Tensor]:
    return (leaf for leaf in tree_flatten(value)[0] if isinstance(leaf, Tensor))
