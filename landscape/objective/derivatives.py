"""Gradients, Hessian and Gauss–Newton products of the mean loss over prepared batches, through whichever engine is in use.

A Hessian product is taken forward over reverse (the directional derivative of the gradient, in one pass of dual numbers): on
convolutional networks it costs about three gradients, reverse over reverse about four (see docs/performance.md). Where an
operation has no forward derivative it falls back to reverse over reverse. A product of the generalised Gauss–Newton matrix
G = 1/N Σ Jᵢᵀ ∇²ℓᵢ Jᵢ, with the Jacobians J of the outputs and ∇²ℓ the loss's Hessian in them, is J v forward, ∇²ℓ on the
outputs alone, and Jᵀ in reverse.

The engine makes the tensors that are run out of θ, and that is differentiated once a pass: parts are differentiated in the tensors
that are run, and their sum is pulled back to θ at the end.

A backward pass keeps what the forward pass made, layer by layer, where an evaluation keeps one layer. So batches are taken in
parts that are sized by what is kept, see :mod:`landscape.objective.sizing`. (A layer that draws in evaluation mode draws anew for
each part.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_flatten, tree_unflatten  # knows the outputs that other libraries registered

from landscape.errors import InputError
from landscape.numerics.parameters import Layout
from landscape.objective.batches import PreparedBatches, batch_rows, map_tensors, split_batch
from landscape.objective.engines import Engine
from landscape.objective.runner import Functional, Runner
from landscape.objective.sizing import derivative_batch, kept_bytes

FORWARD, REVERSE = "forward over reverse", "reverse over reverse"
Batch = tuple[Any, Any]
Tensors = Mapping[str, Tensor]
# (tensors of θ, what they change by, a part of the samples, N) -> the part's share of a product, tensor by tensor
Way = Callable[[Tensors, Tensors, Batch, int], list[Tensor]]
# the same of all parts: their sum
Whole = Callable[[Tensors, Tensors, Iterable[Batch], int], list[Tensor]]
# what torch says where there is no second derivative
_NOT_TWICE = ("differentiate twice", "derivative for", "does not require grad", "double backward", "double_backward")
FEW, MORE = 2, 4  # samples whose difference tells what one sample keeps


class Derivatives:
    """Derivatives at a point, of Σ losses / N.

    Args:
        engine: gives the module, and its tensors as a differentiable function of θ.
        runner: the loss, the precision and the way of calling.
        layout: of θ.
        wide: the type that batches are summed in.
        whole: never take a batch in parts, because its size is part of the result or was asked for.
    """

    def __init__(self, engine: Engine, runner: Runner, layout: Layout, *, wide: torch.dtype, whole: bool) -> None:
        self._engine, self._runner, self._layout = engine, runner, layout
        self._function = Functional(runner, engine.flat.module)
        self._wide = wide
        self._whole = whole
        self._size: int | None = None
        self._looked = self._followed = False
        self.mode = FORWARD

    def run_by(self, runner: Runner) -> Derivatives:
        """The same with another loss or precision."""
        return Derivatives(self._engine, runner, self._layout, wide=self._wide, whole=self._whole)

    @torch.inference_mode(False)
    @torch.enable_grad()
    def gradient(self, theta: Tensor, batches: PreparedBatches) -> tuple[Tensor, Tensor]:
        """The losses of all samples ``(N,)`` and the gradient ``(n,)`` at θ."""
        leaves = self._leaves(theta, self._layout)
        run = self._engine.tensors(leaves)
        inner = _cut(run)
        sums = _Sums(inner, self._wide)
        losses = []
        with self._runner.own_randomness():
            for part in self._parts(theta, batches):
                values = self._function.losses(inner, *part)[0]
                self._refuse_checkpoints([values])
                sums.add(_gradients(values.sum() / len(batches), sums.moving))
                losses.append(values.detach())
        pulled = _vector_jacobian([run[name] for name in sums.moving], leaves, sums.narrow())
        return torch.cat(losses), self._layout.pack(dict(zip(leaves, pulled, strict=True)), dtype=self._wide)

    def hessian_product(
        self, theta: Tensor, vector: Tensor, batches: PreparedBatches, names: Sequence[str] | None = None
    ) -> Tensor:
        """H(θ) v, shape ``(n,)``; :attr:`mode` says afterwards how it was taken.

        With ``names``, v and the result hold these parameters alone: the product of that diagonal block.

        Raises:
            InputError: where the module or the loss cannot be differentiated twice.
        """
        return self._product(self._forward_over_reverse, self._reverse_over_reverse, theta, vector, batches, names)

    def gauss_newton_product(
        self, theta: Tensor, vector: Tensor, batches: PreparedBatches, names: Sequence[str] | None = None
    ) -> Tensor:
        """G(θ) v, otherwise as :meth:`hessian_product`.

        Raises:
            InputError: also for outputs that hold no floating-point tensor.
        """
        forward = partial(self._part_by_part, self._pushed_forward)
        return self._product(forward, self._pushed_by_reverse, theta, vector, batches, names)

    @torch.inference_mode(False)
    @torch.enable_grad()
    def _product(
        self,
        forward: Whole,
        reverse: Way,
        theta: Tensor,
        vector: Tensor,
        batches: PreparedBatches,
        names: Sequence[str] | None,
    ) -> Tensor:
        """The product with a pass of dual numbers, or where that cannot be, by reverse passes alone."""
        layout = self._layout if names is None else self._layout.part(names)
        leaves, along = self._leaves(theta, layout), layout.views(vector)

        def made(way: Whole) -> Tensor:
            # The fused attention kernels have no second derivative; the plain one has.
            with sdpa_kernel(SDPBackend.MATH), self._runner.own_randomness():
                parts = way(leaves, along, self._parts(theta, batches), len(batches))
            return layout.pack(dict(zip(layout.names, parts, strict=True)), dtype=self._wide)

        if self.mode == FORWARD:
            try:
                return made(forward)
            except (NotImplementedError, RuntimeError):
                # Not every operation has a forward derivative. If the cause was another, it comes up again below.
                self.mode = REVERSE
        try:
            return made(partial(self._part_by_part, reverse))
        except (NotImplementedError, RuntimeError) as error:
            if not any(words in str(error) for words in _NOT_TWICE):
                raise
            raise InputError(
                f"module, loss: cannot be differentiated twice, so they have no curvature ({error}). Expected operations with "
                "a second derivative; a torch.autograd.Function needs a backward that is differentiable itself."
            ) from error

    def _part_by_part(
        self, way: Way, leaves: Tensors, along: Tensors, parts: Iterable[Batch], samples: int
    ) -> list[Tensor]:
        """The sum of every part's share of a product."""
        sums = _Sums(_moving(leaves, along), self._wide)
        for part in parts:
            sums.add(way(leaves, along, part, samples))
        return list(sums.totals)

    def _parts(self, theta: Tensor, batches: PreparedBatches) -> Iterator[Batch]:
        for batch in batches:
            if self._whole or batch_rows(batch) <= MORE:
                yield batch
            else:
                yield from split_batch(batch, self._part_size(theta, batch))

    def _part_size(self, theta: Tensor, batch: Batch) -> int:
        if self._size is None:
            leaves = self._leaves(theta, self._layout)

            def kept(count: int) -> int:
                own = map_tensors(torch.clone, next(split_batch(batch, count)))  # which the module may write into
                return kept_bytes(partial(self._losses, leaves, own))

            with self._runner.own_randomness():
                few, more = kept(FEW), kept(MORE)
            self._size = derivative_batch((more - few) // (MORE - FEW), self._runner.device)
        return self._size

    def _forward_over_reverse(
        self, leaves: Tensors, along: Tensors, parts: Iterable[Batch], samples: int
    ) -> list[Tensor]:
        """With the gradient g = ∂L/∂t in the tensors t(θ) that are run, and its change g' = H_t t' summed over the parts:
        H v is how (∂t/∂θ)ᵀ g changes along v, both factors moving.
        """
        with forward_ad.dual_level():
            run = self._engine.tensors(_duals(leaves, along))
            pairs = {name: forward_ad.unpack_dual(t) for name, t in run.items()}  # type: ignore[no-untyped-call]
            inner = _cut({name: pair.primal for name, pair in pairs.items()})
            changes = {name: pair.tangent.detach() for name, pair in pairs.items() if pair.tangent is not None}
        first, second = _Sums(inner, self._wide), _Sums(inner, self._wide)
        for part in parts:
            with forward_ad.dual_level():
                values = self._function.losses(_duals(inner, changes), *part)[0]
                self._refuse_checkpoints([values])
                gradients, tangents = _unpacked(_gradients(values.sum() / samples, first.moving))
            first.add(gradients)
            second.add(tangents)
        moving = _moving(leaves, along)
        with forward_ad.dual_level():
            run = self._engine.tensors(_duals(leaves, along))
            weights = [forward_ad.make_dual(*pair) for pair in zip(first.narrow(), second.narrow(), strict=True)]  # type: ignore[no-untyped-call]
            _, tangents = _unpacked(_vector_jacobian([run[name] for name in first.moving], moving, weights))
        return tangents

    def _reverse_over_reverse(self, leaves: Tensors, along: Tensors, part: Batch, samples: int) -> list[Tensor]:
        moving = _moving(leaves, along)
        values = self._losses(leaves, part)
        self._refuse_checkpoints([values])
        first = _gradients(values.sum() / samples, moving, create_graph=True)
        self._refuse_dead_ends(first)
        slope = torch.stack([(g * along[name]).sum() for g, name in zip(first, moving, strict=True)]).sum()
        if not slope.requires_grad:
            return [torch.zeros_like(g) for g in first]
        return _gradients(slope, moving)

    def _pushed_forward(self, leaves: Tensors, along: Tensors, part: Batch, samples: int) -> list[Tensor]:
        with forward_ad.dual_level():
            outputs = Outputs(self._function.outputs(self._engine.tensors(_duals(leaves, along)), part[0]))
            self._refuse_checkpoints(outputs.tensors)
            pairs = [forward_ad.unpack_dual(z) for z in outputs.tensors]  # type: ignore[no-untyped-call]
            changes = [torch.zeros_like(p.primal) if p.tangent is None else p.tangent.detach() for p in pairs]
        # Outside, so that what follows carries no tangents.
        return self._pulled_back([pair.primal for pair in pairs], outputs, changes, leaves, along, part, samples)

    def _pushed_by_reverse(self, leaves: Tensors, along: Tensors, part: Batch, samples: int) -> list[Tensor]:
        """J v as the derivative of Jᵀ u, which is linear in u."""
        moving = _moving(leaves, along)
        outputs = Outputs(self._function.outputs(self._engine.tensors(leaves), part[0]))
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
        bent = outputs.bent(lambda made: self._runner.loss(made, part[1]).sum() / samples, changes)
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
        views = self._layout.views(theta).items()
        return {name: view.detach().requires_grad_(name in names) for name, view in views}

    def _losses(self, parameters: Tensors, batch: Batch) -> Tensor:
        return self._function.losses(self._engine.tensors(parameters), *batch)[0]


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
    """What a module returned: the floating-point tensors in it, and how a loss takes others in their place.

    Raises:
        InputError: where there are none.
    """

    def __init__(self, outputs: Any) -> None:
        self._leaves, self._structure = tree_flatten(outputs)
        self._places = [i for i, x in enumerate(self._leaves) if isinstance(x, Tensor) and x.is_floating_point()]
        if not self._places:
            raise InputError(
                f"module: expected outputs that hold floating-point tensors, got {type(outputs).__name__}. "
                "Say with forward= which tensors the loss is taken of."
            )
        self.tensors: list[Tensor] = [self._leaves[place] for place in self._places]

    def bent(self, loss: Callable[[Any], Tensor], changes: Sequence[Tensor]) -> list[Tensor]:
        """∇²ℓ u for the changes u of the tensors; zeros where the loss is linear in them."""
        free = [z.detach().requires_grad_() for z in self.tensors]
        leaves = [x.detach() if isinstance(x, Tensor) else x for x in self._leaves]
        for place, z in zip(self._places, free, strict=True):
            leaves[place] = z
        named = dict(enumerate(free))
        value = loss(tree_unflatten(leaves, self._structure))
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
