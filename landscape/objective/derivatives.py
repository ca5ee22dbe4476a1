"""Gradients, Hessian and Gauss–Newton products of the mean loss over prepared batches, through whichever engine is in use.

A Hessian product is taken forward over reverse (the directional derivative of the gradient, in one pass of dual numbers): on
convolutional networks it costs about three gradients, reverse over reverse about four (see docs/performance.md). A product of the
generalised Gauss–Newton matrix G = 1/N Σ Jᵢᵀ ∇²ℓᵢ Jᵢ, with the Jacobians J of the outputs and ∇²ℓ the loss's Hessian in them, is
J v forward or by reverse passes, ∇²ℓ on the outputs alone, and Jᵀ in reverse. Which way is right for a module is not known here:
see :mod:`landscape.objective.second_derivatives`.

The engine makes the tensors that are run out of θ, and that is differentiated once a pass: parts are differentiated in the tensors
that are run, and their sum is pulled back to θ at the end.

A backward pass keeps what the forward pass made, layer by layer, where an evaluation keeps one layer. So batches are taken in
parts that are sized by what is kept, see :mod:`landscape.objective.sizing`. (A layer that draws in evaluation mode draws anew for
each part.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils.rnn import PackedSequence
from torch.utils._pytree import tree_flatten, tree_unflatten  # knows the outputs that other libraries registered

from landscape.errors import InputError
from landscape.numerics.parameters import Layout
from landscape.objective.accuracy import no_metric
from landscape.objective.batches import batch_rows, map_tensors, split_batch
from landscape.objective.operations import taken_apart
from landscape.objective.runner import Functional, Runner
from landscape.objective.sizing import derivative_batch, kept_bytes
from landscape.objective.trial import refuse_unreached

HESSIAN, GAUSS_NEWTON = "Hessian", "Gauss–Newton matrix"
FORWARD, REVERSE = "forward over reverse", "reverse over reverse"
Batch = tuple[Any, Any]
Tensors = Mapping[str, Tensor]
# (tensors of θ, what they change by, a part of the samples, N) -> the part's share of a product, tensor by tensor
Share = Callable[[Tensors, Tensors, Batch, int], list[Tensor]]
# the same of all parts: their sum
Whole = Callable[[Tensors, Tensors, Iterable[Batch], int], list[Tensor]]
_PLAIN = (type(None), bool, int, float, str)  # what in outputs depends on no parameter
FEW, MORE = 2, 4  # samples whose difference tells what one sample keeps


class Batches(Protocol):
    """Batches of inputs and targets, the same at every pass; the length is the number of samples."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Batch]: ...


@dataclass(frozen=True)
class Way:
    """How a product is taken: by a pass of dual numbers or by reverse passes alone, and whether fused operations are
    :func:`~landscape.objective.operations.taken_apart`.
    """

    order: str
    apart: bool = False

    def __str__(self) -> str:
        return f"{self.order}, fused operations taken apart" if self.apart else self.order


# The cheapest first.
WAYS = (Way(FORWARD), Way(REVERSE), Way(FORWARD, apart=True), Way(REVERSE, apart=True))


class Derivatives:
    """Derivatives at a point, of Σ losses / N.

    Args:
        module: what is run.
        tensors: its tensors as a differentiable function of θ's.
        runner: the loss, the precision and the way of calling.
        layout: of θ.
        wide: the type that batches are summed in.
        whole: never take a batch in parts, because its size is part of the result or was asked for.
    """

    def __init__(
        self,
        module: nn.Module,
        tensors: Callable[[Tensors], Tensors],
        runner: Runner,
        layout: Layout,
        *,
        wide: torch.dtype,
        whole: bool,
    ) -> None:
        self.runner, self.layout, self.whole = runner, layout, whole
        self.module, self._tensors = module, tensors
        self._function = Functional(runner, module)
        self.wide = wide
        self._size: int | None = None
        self._looked = self._followed = False

    def run_by(self, runner: Runner) -> Derivatives:
        """The same with another loss or precision."""
        return type(self)(self.module, self._tensors, runner, self.layout, wide=self.wide, whole=self.whole)

    def of_module(self, module: nn.Module, constants: Tensors, layout: Layout) -> Derivatives:
        """The same of a module that is called with the inputs alone."""
        runner = replace(self.runner, forward=lambda called, inputs: called(inputs), metric=no_metric)
        return type(self)(module, lambda own: {**constants, **own}, runner, layout, wide=self.wide, whole=True)

    @torch.inference_mode(False)
    @torch.no_grad()
    def value(self, theta: Tensor, batches: Batches) -> float:
        """Σ losses / N at θ."""
        at = self._function.at(self._tensors(self._leaves(theta, self.layout)))
        with self.runner.own_randomness(), at as runner:
            losses = torch.cat([runner.losses(*batch)[0] for batch in batches])
        return float(losses.to(self.wide).sum()) / len(batches)

    @torch.inference_mode(False)
    @torch.enable_grad()
    def gradient(self, theta: Tensor, batches: Batches) -> tuple[Tensor, Tensor]:
        """The losses of all samples ``(N,)`` and the gradient ``(n,)`` at θ."""
        leaves = self._leaves(theta, self.layout)
        run = self._tensors(leaves)
        inner = _cut(run)
        sums = _Sums(inner, self.wide)
        losses, reached = [], False
        with self.runner.own_randomness(), self._function.at(inner) as runner:
            for part in self._parts(theta, batches):
                values = runner.losses(*part)[0]
                reached |= values.requires_grad
                self._refuse_checkpoints([values])
                sums.add(_gradients(values.sum() / len(batches), sums.moving))
                losses.append(values.detach())
        if not reached:
            refuse_unreached(lambda point: self.value(point, batches), theta, self.layout)
        pulled = _vector_jacobian([run[name] for name in sums.moving], leaves, sums.narrow())
        return torch.cat(losses), self.layout.pack(dict(zip(leaves, pulled, strict=True)), dtype=self.wide)

    @torch.inference_mode(False)
    @torch.enable_grad()
    def product(
        self,
        matrix: str,
        way: Way,
        theta: Tensor,
        vector: Tensor,
        batches: Batches,
        names: Sequence[str] | None = None,
    ) -> Tensor:
        """H(θ) v or G(θ) v, shape ``(n,)``; with ``names``, v and the result hold these parameters alone.

        Raises:
            InputError: for a Gauss–Newton matrix of outputs that hold no floating-point tensor.
            RuntimeError, NotImplementedError: where an operation has no such derivative.
        """
        layout = self.layout if names is None else self.layout.part(names)
        leaves, along = self._leaves(theta, layout), layout.views(vector)
        # The fused attention kernels have no second derivative; the plain one has.
        with sdpa_kernel(SDPBackend.MATH), self.runner.own_randomness(), taken_apart(way.apart):
            parts = self._taken(matrix, way)(leaves, along, self._parts(theta, batches), len(batches))
        return layout.pack(dict(zip(layout.names, parts, strict=True)), dtype=self.wide)

    def _taken(self, matrix: str, way: Way) -> Whole:
        if matrix == HESSIAN:
            in_reverse = partial(self._part_by_part, self._reverse_over_reverse)
            return self._forward_over_reverse if way.order == FORWARD else in_reverse
        return partial(self._part_by_part, self._pushed_forward if way.order == FORWARD else self._pushed_by_reverse)

    def _part_by_part(
        self, share: Share, leaves: Tensors, along: Tensors, parts: Iterable[Batch], samples: int
    ) -> list[Tensor]:
        """The sum of every part's share of a product."""
        sums = _Sums(_moving(leaves, along), self.wide)
        for part in parts:
            sums.add(share(leaves, along, part, samples))
        return list(sums.totals)

    def _parts(self, theta: Tensor, batches: Batches) -> Iterator[Batch]:
        for batch in batches:
            if self.whole or batch_rows(batch) <= MORE:
                yield batch
            else:
                yield from split_batch(batch, self._part_size(theta, batch))

    def _part_size(self, theta: Tensor, batch: Batch) -> int:
        if self._size is None:
            leaves = self._leaves(theta, self.layout)

            def kept(count: int) -> int:
                own = map_tensors(torch.clone, next(split_batch(batch, count)))  # which the module may write into
                return kept_bytes(lambda: self._function.losses(self._tensors(leaves), *own)[0])

            try:
                with self.runner.own_randomness():
                    few, more = kept(FEW), kept(MORE)
                self._size = derivative_batch((more - few) // (MORE - FEW), self.runner.device)
            except RuntimeError:  # the transforms of torch.func that make derivatives let nobody see what is kept
                self._size = batch_rows(batch)
        return self._size

    def _forward_over_reverse(
        self, leaves: Tensors, along: Tensors, parts: Iterable[Batch], samples: int
    ) -> list[Tensor]:
        """With the gradient g = ∂L/∂t in the tensors t(θ) that are run, and its change g' = H_t t' summed over the parts:
        H v is how (∂t/∂θ)ᵀ g changes along v, both factors moving.
        """
        with forward_ad.dual_level():
            run = self._tensors(_duals(leaves, along))
            pairs = {name: forward_ad.unpack_dual(t) for name, t in run.items()}  # type: ignore[no-untyped-call]
            inner = _cut({name: pair.primal for name, pair in pairs.items()})
            changes = {name: pair.tangent.detach() for name, pair in pairs.items() if pair.tangent is not None}
        first, second = _Sums(inner, self.wide), _Sums(inner, self.wide)
        for part in parts:
            with forward_ad.dual_level(), self._function.at(_duals(inner, changes)) as runner:
                values = runner.losses(*part)[0]
                self._refuse_checkpoints([values])
                gradients, tangents = _unpacked(_gradients(values.sum() / samples, first.moving))
            first.add(gradients)
            second.add(tangents)
        moving = _moving(leaves, along)
        with forward_ad.dual_level():
            run = self._tensors(_duals(leaves, along))
            weights = [forward_ad.make_dual(*pair) for pair in zip(first.narrow(), second.narrow(), strict=True)]  # type: ignore[no-untyped-call]
            _, tangents = _unpacked(_vector_jacobian([run[name] for name in first.moving], moving, weights))
        return tangents

    def _reverse_over_reverse(self, leaves: Tensors, along: Tensors, part: Batch, samples: int) -> list[Tensor]:
        moving = _moving(leaves, along)
        with self._function.at(self._tensors(leaves)) as runner:
            values = runner.losses(*part)[0]
            self._refuse_checkpoints([values])
            first = _gradients(values.sum() / samples, moving, create_graph=True)
            self._refuse_dead_ends(first)
            slope = torch.stack([(g * along[name]).sum() for g, name in zip(first, moving, strict=True)]).sum()
            if not slope.requires_grad:
                return [torch.zeros_like(g) for g in first]
            return _gradients(slope, moving)

    def _pushed_forward(self, leaves: Tensors, along: Tensors, part: Batch, samples: int) -> list[Tensor]:
        with ExitStack() as held:
            with forward_ad.dual_level():
                runner = held.enter_context(self._function.at(self._tensors(_duals(leaves, along))))
                outputs = Outputs(runner.wide_outputs(part[0])).differentiable()
                self._refuse_checkpoints(outputs.tensors)
                pairs = [forward_ad.unpack_dual(z) for z in outputs.tensors]  # type: ignore[no-untyped-call]
                changes = [torch.zeros_like(p.primal) if p.tangent is None else p.tangent.detach() for p in pairs]
            # Outside, so that what follows carries no tangents.
            return self._pulled_back([pair.primal for pair in pairs], outputs, changes, leaves, along, part, samples)

    def _pushed_by_reverse(self, leaves: Tensors, along: Tensors, part: Batch, samples: int) -> list[Tensor]:
        """J v as the derivative of Jᵀ u, which is linear in u."""
        moving = _moving(leaves, along)
        with self._function.at(self._tensors(leaves)) as runner:
            outputs = Outputs(runner.wide_outputs(part[0])).differentiable()
            self._refuse_checkpoints(outputs.tensors)
            free = [torch.zeros_like(z, requires_grad=True) for z in outputs.tensors]
            pulled = _vector_jacobian(outputs.tensors, moving, free, create_graph=True)
            self._refuse_dead_ends(pulled)
            slope = torch.stack([(g * along[name]).sum() for g, name in zip(pulled, moving, strict=True)]).sum()
            changes = _vector_jacobian([slope], dict(enumerate(free)), None) if slope.requires_grad else free
            return self._pulled_back(outputs.tensors, outputs, changes, leaves, along, part, samples)

    def _pulled_back(
        self,
        tensors: Sequence[Tensor],
        outputs: Outputs,
        changes: Sequence[Tensor],
        leaves: Tensors,
        along: Tensors,
        part: Batch,
        samples: int,
    ) -> list[Tensor]:
        """Jᵀ ∇²ℓ J v from J v."""
        bent = outputs.bent(lambda made: self.runner.loss(made, part[1]).sum() / samples, changes)
        return _vector_jacobian(tensors, _moving(leaves, along), bent)

    def _refuse_dead_ends(self, gradients: Sequence[Tensor]) -> None:
        """Where a backward is marked once_differentiable, autograd puts a node that raises; asked for some inputs alone it goes
        round that node, and the product would be wrong without a word. The graph is looked through once.

        Raises:
            RuntimeError: where there is such a node.
        """
        if not self._looked and "torch::autograd::Error" in _node_names(gradients):
            raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")
        self._looked = True

    def _refuse_checkpoints(self, values: Sequence[Tensor]) -> None:
        """A reentrant checkpoint has gradients in ``backward()`` alone; asked for those of some tensors, autograd takes what is
        inside it for constant, without a word. The graph is looked through once.

        Raises:
            InputError: where there is one.
        """
        if not self._followed and "CheckpointFunctionBackward" in _node_names(values):
            raise InputError(
                "module: calls torch.utils.checkpoint with use_reentrant=True, through which no gradient of single tensors can be "
                "taken. Expected use_reentrant=False."
            )
        self._followed = True

    def _leaves(self, theta: Tensor, moving: Layout) -> dict[str, Tensor]:
        """The tensors of θ, of which those of ``moving`` are differentiated."""
        names = set(moving.names)
        views = self.layout.views(theta).items()
        return {name: view.detach().requires_grad_(name in names) for name, view in views}


def _node_names(values: Sequence[Tensor]) -> set[str]:
    """What the nodes of the graph are called that ``values`` were computed by."""
    nodes, seen = [value.grad_fn for value in values], set()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        nodes += [following for following, _ in node.next_functions]
    return {node.name() for node in seen}


class Outputs:
    """What a module returned: the floating-point tensors in it, and the same with others in their place.

    Attributes:
        tensors: these, in order.
        opaque: whether there is more that may depend on θ: objects that nobody told PyTorch how to look into.
    """

    def __init__(self, outputs: Any) -> None:
        self._leaves, self._structure = tree_flatten(outputs)
        self._kind = type(outputs).__name__
        held = [leaf.data if isinstance(leaf, PackedSequence) else leaf for leaf in self._leaves]
        self._places = [i for i, x in enumerate(held) if isinstance(x, Tensor) and x.is_floating_point()]
        self.tensors: list[Tensor] = [held[place] for place in self._places]
        self.opaque = not all(isinstance(x, (Tensor, *_PLAIN)) for x in held)
        self._complex = any(isinstance(x, Tensor) and x.is_complex() for x in held)

    def differentiable(self) -> Outputs:
        """The same.

        Raises:
            InputError: where there is no floating-point tensor in them, or also a complex one.
        """
        if self._complex:
            raise InputError(
                f"module: expected outputs of real numbers, got {self._kind} with complex ones. Say with forward= to return "
                "torch.view_as_real of them."
            )
        if not self.tensors:
            raise InputError(
                f"module: expected outputs that hold floating-point tensors, got {self._kind}. "
                "Say with forward= which tensors the loss is taken of."
            )
        return self

    def holding(self, tensors: Iterable[Tensor]) -> Any:
        """The outputs with these in the place of :attr:`tensors`."""
        leaves = [x.detach() if isinstance(x, Tensor) else x for x in self._leaves]
        for place, z in zip(self._places, tensors, strict=True):
            packed = leaves[place]
            leaves[place] = packed._replace(data=z) if isinstance(packed, PackedSequence) else z
        return tree_unflatten(leaves, self._structure)

    def bent(self, loss: Callable[[Any], Tensor], changes: Sequence[Tensor]) -> list[Tensor]:
        """∇²ℓ u for the changes u of the tensors; zeros where the loss is linear in them."""
        free = [z.detach().requires_grad_() for z in self.tensors]
        named = dict(enumerate(free))
        value = loss(self.holding(free))
        if not value.requires_grad:
            return [torch.zeros_like(z) for z in free]
        first = _gradients(value, named, create_graph=True)
        slope = torch.stack([(g * u).sum() for g, u in zip(first, changes, strict=True)]).sum()
        return _gradients(slope, named) if slope.requires_grad else [torch.zeros_like(z) for z in free]


def _moving(leaves: Tensors, along: Tensors) -> dict[str, Tensor]:
    """The tensors that are differentiated, in the order of ``along``."""
    return {name: leaves[name] for name in along}


def _duals(leaves: Tensors, along: Tensors) -> dict[str, Tensor]:
    """The tensors with what they change by, where they move."""
    return {n: forward_ad.make_dual(t, along[n]) if n in along else t for n, t in leaves.items()}  # type: ignore[no-untyped-call]


class _Sums:
    """Sums over parts, one for each tensor that is differentiated, in a wider type without copies in it."""

    def __init__(self, tensors: Tensors, wide: torch.dtype) -> None:
        self.moving = {name: tensor for name, tensor in tensors.items() if tensor.requires_grad}
        self.totals = [torch.zeros_like(tensor, dtype=wide, requires_grad=False) for tensor in self.moving.values()]

    def add(self, parts: Iterable[Tensor]) -> None:
        for total, part in zip(self.totals, parts, strict=True):
            total += part.detach()

    def narrow(self) -> list[Tensor]:
        """In the type of the tensors."""
        return [total.to(tensor.dtype) for total, tensor in zip(self.totals, self.moving.values(), strict=True)]


def _cut(tensors: Tensors) -> dict[str, Tensor]:
    """The same tensors as leaves of their own, so that parts are differentiated without what made them."""
    return {name: tensor.detach().requires_grad_(tensor.requires_grad) for name, tensor in tensors.items()}


def _unpacked(duals: Iterable[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Values and what they change by, zeros where they do not."""
    pairs = [forward_ad.unpack_dual(dual) for dual in duals]  # type: ignore[no-untyped-call]
    return [p.primal for p in pairs], [torch.zeros_like(p.primal) if p.tangent is None else p.tangent for p in pairs]


def _gradients(value: Tensor, leaves: Mapping[Any, Tensor], *, create_graph: bool = False) -> list[Tensor]:
    return _vector_jacobian([value], leaves, None, create_graph=create_graph)


def _vector_jacobian(
    values: Sequence[Tensor],
    leaves: Mapping[Any, Tensor],
    weights: Sequence[Tensor] | None,
    *,
    create_graph: bool = False,
) -> list[Tensor]:
    """Σ wᵀ ∂value/∂leaf for every leaf; values that depend on none of them count as constant."""
    kept = [i for i, value in enumerate(values) if value.requires_grad]
    if not kept:
        return [torch.zeros_like(leaf) for leaf in leaves.values()]
    found = torch.autograd.grad(
        [values[i] for i in kept],
        list(leaves.values()),
        None if weights is None else [weights[i] for i in kept],
        create_graph=create_graph,
        allow_unused=True,
        materialize_grads=True,
    )
    return list(found)
