"""Which layer has wrong derivatives, and the sentence that says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import nn

from landscape.numerics.parameters import Layout
from landscape.objective.derivatives import WAYS, Way
from landscape.objective.differences import Verdict
from landscape.objective.pieces import Given, Piece, direction, through_outputs

# what torch says where there is no second derivative
_NOT_TWICE = ("differentiate twice", "derivative for", "does not require grad", "double backward", "double_backward")


def not_twice(error: Exception) -> str:
    """The sentence that refuses products of what cannot be differentiated twice; nothing where the error is another."""
    if not any(words in str(error) for words in _NOT_TWICE):
        return ""
    return (
        f"module, loss: cannot be differentiated twice, so they have no curvature ({error}). Expected operations with a second "
        "derivative; a torch.autograd.Function needs a backward that is differentiable itself."
    )


def wrong_products(pieces: Sequence[Piece], plain: nn.Module, off: Mapping[Way, float]) -> str:
    """The sentence that refuses products, each way of which is ``off`` by so much of its size."""
    where = _where(pieces, plain, _no_way_agrees)
    return (
        f"{where}: its second derivatives by PyTorch are not the derivatives of its first ones: products with the "
        f"{pieces[0].matrix} differ from differences of gradients by {_distances(off)}, so that its curvature would be wrong. "
        "Write it with other operations; a torch.autograd.Function needs a backward, and a jvp where it has one, that can itself "
        "be differentiated."
    )


def wrong_as_run(matrix: str, off: Mapping[Way, float]) -> str:
    """The sentence that refuses products which are right in double precision alone."""
    return (
        f"module: products with the {matrix} as they are run differ from those in double precision by {_distances(off)}, so that "
        "its curvature would be wrong. Try engine='plain', or precision='fp64'."
    )


def wrong_gradient(pieces: Sequence[Piece], plain: nn.Module) -> str:
    """The sentence that refuses products of what has a gradient that is not its own."""
    where = _where(pieces, plain, lambda piece: not piece.differences.follows_values())
    return (
        f"{where}: its gradient is not that of its value, which changes otherwise along a direction than the gradient says, so "
        "that products of gradients do not give its curvature. A .detach(), a straight-through estimator or the backward of a "
        "torch.autograd.Function does that. Leave these parameters out by parameters=[…], or draw planes, which need no gradient."
    )


def jumps(piece: Piece, plain: nn.Module) -> str:
    """The sentence that refuses products of what is not continuous at θ."""
    return (
        f"{_layer(piece, plain, Piece.jumps)}: its values jump at this point, however little the parameters move, so that there is "
        "no curvature. Rounding or comparing a parameter does that, such as .int(), .round() or an argmax of equal numbers; of "
        "torch.nn.utils.parametrizations.orthogonal the householder map does, and matrix_exp and cayley do not."
    )


def _distances(off: Mapping[Way, float]) -> str:
    """By how much, of all ways; those with fused operations taken apart only where they are all there is."""
    told = {way: distance for way, distance in off.items() if not way.apart} or off
    return " and ".join(f"{100 * distance:.2g} % ({way})" for way, distance in told.items())


def _where(pieces: Sequence[Piece], plain: nn.Module, wrong: Callable[[Piece], bool]) -> str:
    module, *others = pieces
    if wrong(module):
        return _layer(module, plain, wrong)
    return "loss" if others and wrong(others[0]) else "module, loss"


def _layer(piece: Piece, plain: nn.Module, wrong: Callable[[Piece], bool]) -> str:
    """The innermost layer that is wrong by itself; those inside another one come before it."""
    for name, inner in _calls(piece, plain):
        try:
            if wrong(inner):
                return name
        except Exception:  # of any kind: the user's code runs here as it was not made for
            continue
    return f"module {type(plain).__name__}"


def _calls(piece: Piece, plain: nn.Module) -> Iterator[tuple[str, Piece]]:
    """Every call of a layer, as a function of its floating-point arguments and its parameters."""
    made: list[tuple[str, Given, dict[str, Any]]] = []
    names = {layer: name for name, layer in plain.named_modules() if name}

    def look(layer: nn.Module, args: Any, kwargs: Any, _: Any) -> None:
        state = {n: t.detach() for n, t in chain(layer.named_parameters(), layer.named_buffers())}
        made.append((f"module {names[layer]} ({type(layer).__name__})", Given((args, kwargs), layer), state))

    handles = [layer.register_forward_hook(look, with_kwargs=True) for layer in names]
    try:
        piece.gradient(piece.theta)
    finally:
        for handle in handles:
            handle.remove()
    for name, given, state in made:
        yield name, _piece(piece, given, state)


def _piece(outer: Piece, given: Given, state: dict[str, Any]) -> Piece:
    inner = {f"inner.{name}": tensor for name, tensor in state.items()}
    moving = [name for name, _ in given.named_parameters()]
    tensors = {**dict(given.named_parameters()), **inner}
    layout = Layout.of({name: tensors[name] for name in moving})
    of = outer.of.of_module(given, inner, layout)
    theta = layout.pack(tensors, dtype=torch.float64)
    return through_outputs(of, outer.few, outer.matrix, theta, direction(theta, layout))


def _no_way_agrees(piece: Piece) -> bool:
    for way in WAYS:
        try:
            if piece.differences.verdict(piece.product(way))[0] is not Verdict.DIFFERS:
                return False
        except (NotImplementedError, RuntimeError):
            continue
    return True
