"""Which hidden units of a network may change places without changing its function, read off its ``torch.fx`` graph.

Known are convolutions, linear layers, BatchNorm, whatever acts on each channel by itself, flattening, and sums of branches. The
units that a layer makes are one group; layers whose outputs are added share theirs. Inputs and outputs stay where they are.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from landscape.errors import InputError, first_line
from landscape.objective.convolutions import restore_convolutions
from landscape.objective.objective import Objective
from landscape.probes.path.alignment import Alignment, Group, Place, match_weights

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
# act on each channel by itself
_BY_CHANNEL: tuple[type[nn.Module], ...] = (
    nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d,
    nn.ReLU, nn.LeakyReLU, nn.ReLU6, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Hardswish,
    nn.Hardsigmoid, nn.Hardtanh, nn.Sigmoid, nn.Tanh,
    nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d,
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d,
)  # fmt: skip
_FUNCTIONS_BY_CHANNEL: frozenset[Callable[..., Any]] = frozenset(
    {
        torch.relu, torch.tanh, torch.sigmoid, nn.functional.relu, nn.functional.leaky_relu, nn.functional.gelu,
        nn.functional.silu, nn.functional.tanh, nn.functional.sigmoid, nn.functional.dropout,
        nn.functional.avg_pool2d, nn.functional.max_pool2d, nn.functional.adaptive_avg_pool2d,
    }
)  # fmt: skip
_SUMS: frozenset[Callable[..., Any]] = frozenset({operator.add, operator.iadd, torch.add})


@dataclass
class _Units:
    """A group in the making. ``fixed`` units are inputs or outputs; ``merged`` leads to the group it became part of."""

    size: int | None
    fixed: bool = False
    places: list[Place] = field(default_factory=list)
    merged: _Units | None = None

    def root(self) -> _Units:
        return self if self.merged is None else self.merged.root()


@dataclass(frozen=True)
class _Value:
    """What flows along an edge of the graph: its units, and whether images were flattened to features."""

    units: _Units
    flat: bool = False


def align(objective: Objective, to: nn.Module | Mapping[str, Tensor], *, seed: int = 0) -> Alignment:
    """The other network's tensors with its hidden units permuted to match the objective's; see :func:`match_weights`.

    Raises:
        InputError: where ``torch.fx`` cannot trace the module, or it has operations whose units are not known.

    Example:
        >>> ls.align(objective, other).tensors["0.weight"].shape
        torch.Size([8, 2])
    """
    groups = exchangeable_units(objective.structure)
    state = {**dict(to.named_parameters()), **to.state_dict()} if isinstance(to, nn.Module) else dict(to)
    own = {**objective.structure.state_dict(), **objective.theta.views()}
    return match_weights(own, state, groups, seed=seed)


def exchangeable_units(module: nn.Module) -> tuple[Group, ...]:
    """The groups of units that may change places, in the order in which they are made; the module is only read.

    Raises:
        InputError: where ``torch.fx`` cannot trace the module, or an operation is none of the known ones, naming it.
    """
    try:
        private = copy.deepcopy(module)
        restore_convolutions(private)
        traced = fx.symbolic_trace(private)
    except Exception as error:
        reason = first_line(error)
        raise InputError(
            f"align: torch.fx cannot trace {type(module).__name__}, so its units are not known: {reason}"
        ) from error
    return _Reader(traced).groups()


class _Reader:
    """Walks a traced module once, from inputs to outputs."""

    def __init__(self, traced: fx.GraphModule) -> None:
        self._graph, self._layers = traced.graph, dict(traced.named_modules())
        self._values: dict[fx.Node, _Value] = {}
        self._made: list[_Units] = []
        self._outputs: dict[str, _Units] = {}  # of the layers that were called already

    def groups(self) -> tuple[Group, ...]:
        self._check_sharing()
        for node in self._graph.nodes:
            if node.op == "output":
                for source in node.all_input_nodes:
                    self._values[source].units.root().fixed = True
            else:
                self._values[node] = self._value(node)
        free = [u for u in self._made if u.merged is None and not u.fixed and u.size is not None and u.size > 1]
        return tuple(Group(u.size, tuple(dict.fromkeys(u.places))) for u in free if u.size is not None)

    def _value(self, node: fx.Node) -> _Value:
        if node.op == "placeholder":
            return _Value(self._new(None, fixed=True))
        sources = [self._values[source] for source in node.all_input_nodes]
        if node.op == "call_module":
            return self._layer(str(node.target), self._layers[str(node.target)], sources[0])
        if node.op == "call_function" and node.target in _FUNCTIONS_BY_CHANNEL:
            return sources[0]
        if node.op == "call_function" and node.target in _SUMS and len(sources) == 2:
            return self._sum(node, *sources)
        if node.target in (torch.flatten, "flatten") and node.args[1:] in ((1,), (1, -1)) and not node.kwargs:
            return _Value(sources[0].units, flat=True)
        if node.target in ("relu", "contiguous", "tanh", "sigmoid"):
            return sources[0]
        raise _unknown(str(node.target), str(node.op).replace("_", " "))

    def _layer(self, name: str, layer: nn.Module, source: _Value) -> _Value:
        if isinstance(layer, _CONVOLUTIONS):
            return self._convolution(name, layer, source)
        if isinstance(layer, nn.Linear):
            return self._linear(name, layer, source)
        if isinstance(layer, _BatchNorm):
            return self._norm(name, layer, source)
        if isinstance(layer, nn.Flatten) and (layer.start_dim, layer.end_dim) == (1, -1):
            return _Value(source.units, flat=True)
        if isinstance(layer, _BY_CHANNEL):
            return source
        raise _unknown(name, type(layer).__name__)

    def _convolution(self, name: str, layer: Any, source: _Value) -> _Value:
        if layer.groups == 1:
            self._read(f"{name}.weight", 1, layer.in_channels, source)
            return _Value(self._makes(name, layer, layer.out_channels))
        if layer.groups == layer.in_channels == layer.out_channels:  # each channel by itself
            self._keeps(name, ("weight", "bias"), layer, layer.in_channels, source, incoming=True)
            return source
        raise _unknown(name, f"{type(layer).__name__} with {layer.groups} groups")

    def _linear(self, name: str, layer: nn.Linear, source: _Value) -> _Value:
        self._read(f"{name}.weight", 1, layer.in_features, source)
        return _Value(self._makes(name, layer, layer.out_features))

    def _norm(self, name: str, layer: Any, source: _Value) -> _Value:
        self._keeps(name, ("weight", "bias"), layer, layer.num_features, source, incoming=True)
        self._keeps(name, ("running_mean", "running_var"), layer, layer.num_features, source, counts=False)
        return source

    def _makes(self, name: str, layer: nn.Module, size: int) -> _Units:
        """New units, or those of the layer's first call where it is called again."""
        if name not in self._outputs:
            units = self._outputs[name] = self._new(size)
            for key in ("weight", "bias"):
                if getattr(layer, key, None) is not None:
                    units.places.append(Place(f"{name}.{key}", 0, incoming=True))
        return self._outputs[name].root()

    def _keeps(
        self, name: str, keys: tuple[str, ...], layer: nn.Module, size: int, source: _Value, **place: bool
    ) -> None:
        """Tensors with an entry for each unit that comes in."""
        for key in keys:
            if getattr(layer, key, None) is not None:
                self._read(f"{name}.{key}", 0, size, source, **place)

    def _read(self, tensor: str, axis: int, size: int, source: _Value, **place: bool) -> None:
        units = source.units.root()
        if units.size is None:  # inputs of unknown shape
            units.size = size
        if units.fixed:
            return
        if size != units.size and not (source.flat and size % units.size == 0):
            raise _unknown(tensor, f"a tensor for {size} features of {units.size} units")
        units.places.append(Place(tensor, axis, repeat=size // units.size, **place))

    def _sum(self, node: fx.Node, first: _Value, second: _Value) -> _Value:
        a, b = first.units.root(), second.units.root()
        if a is not b:
            if first.flat != second.flat or (a.size != b.size and None not in (a.size, b.size)):
                raise _unknown(str(node), "a sum of different shapes")
            a.places += b.places
            a.fixed, a.size, b.merged = a.fixed or b.fixed, a.size or b.size, a
        return first

    def _new(self, size: int | None, *, fixed: bool = False) -> _Units:
        self._made.append(_Units(size, fixed))
        return self._made[-1]

    def _check_sharing(self) -> None:
        owners: dict[int, str] = {}
        for name, parameter in self._graph.owning_module.named_parameters(remove_duplicate=False):  # type: ignore[union-attr]
            if owners.setdefault(id(parameter), name) != name:
                raise InputError(
                    f"align: {name} and {owners[id(parameter)]} are one parameter; such ties are not known."
                )


def _unknown(name: str, what: str) -> InputError:
    return InputError(
        f"align: {name} ({what}) is none of the operations whose units are known: convolutions, linear layers, BatchNorm, "
        "activations, pooling, flattening, sums. Paths that are not aligned need none of this."
    )
