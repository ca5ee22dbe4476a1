"""Which hidden units of a network may change places without changing its function, read off its ``torch.fx`` graph.

Known are convolutions, linear layers, norms over batches, groups, instances and layers, whatever acts on each channel by itself,
means over places, new shapes that leave channels together, and sums and products of branches. The units that a layer makes are one
group; layers whose outputs are added share theirs. Inputs and outputs stay where they are.

Where the shapes are needed, as of a view, they are those of a first batch.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from landscape.errors import InputError, first_line
from landscape.objective.convolutions import restore_convolutions
from landscape.objective.ends import State, state_given
from landscape.objective.objective import Objective
from landscape.objective.trial import alike
from landscape.probes.path.alignment import Alignment, Group, Place, match_weights
from landscape.probes.path.operations import (
    BY_CHANNEL,
    CONVOLUTIONS,
    ELEMENTWISE,
    ELEMENTWISE_METHODS,
    FUNCTIONS_BY_CHANNEL,
    METHODS_BY_CHANNEL,
    OVER_PLACES,
    SHAPES,
    SIZES,
    all_channels,
    is_batch_size,
    keeps_channels,
)


@dataclass
class _Units:
    """A group in the making. ``fixed`` units are inputs or outputs; ``merged`` leads to the group it became part of."""

    size: int | None
    fixed: bool = False
    places: list[Place] = field(default_factory=list)
    merged: _Units | None = None
    blocks: int = 1

    def root(self) -> _Units:
        return self if self.merged is None else self.merged.root()


@dataclass(frozen=True)
class _Value:
    """What flows along an edge of the graph: its units, and whether images were flattened to features.

    Attributes:
        units: None of what is no tensor, such as a size.
        flat: whether each unit stands in several neighbouring entries.
        axis: which dimension holds them; −1 of what comes from a linear layer, whatever stands before.
    """

    units: _Units | None
    flat: bool = False
    axis: int = 1


_PLAIN = _Value(None)


def align(objective: Objective, to: State, *, seed: int = 0) -> Alignment:
    """The other network's tensors with its hidden units permuted to match the objective's; see :func:`match_weights`.

    What is found is tried: the permuted network has the other's own loss.

    Raises:
        InputError: where ``torch.fx`` cannot trace the module, or it has operations whose units are not known, naming them.

    Example:
        >>> ls.align(objective, other).tensors["0.weight"].shape
        torch.Size([8, 2])
    """
    there = state_given(objective, to, "to")
    groups = exchangeable_units(objective.structure, objective.first_inputs())
    state = {**dict(there.named_parameters()), **there.state_dict()} if isinstance(there, nn.Module) else dict(there)
    own = {**objective.structure.state_dict(), **objective.theta.views()}
    found = match_weights(own, state, groups, seed=seed)
    _check_function(objective, state, found)
    return found


def exchangeable_units(module: nn.Module, inputs: Any = None) -> tuple[Group, ...]:
    """The groups of units that may change places, in the order in which they are made; the module is only read.

    Args:
        inputs: of a batch, by which the shapes inside the module are known; without them some operations are not.

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
    return _Reader(traced, _shapes(traced, inputs)).groups()


def _check_function(objective: Objective, state: Mapping[str, Tensor], found: Alignment) -> None:
    """Refuse units whose exchange changes the function after all."""
    if not found.moved:
        return
    try:
        losses = [
            objective.per_sample(objective.parameters_of(tensors), statistics=objective.statistics_of(tensors))
            for tensors in (state, found.tensors)
        ]
    except InputError:  # the other network lacks what no unit has a part in
        return
    if not alike(losses[1], losses[0], torch.float32, losses[0]):
        raise InputError(
            "align: the network with its units permuted has other losses than before, so the module does more with them than its "
            "operations say (it names units by number, or reads weights by hand). Leave out what is aligned."
        )


def _shapes(traced: fx.GraphModule, inputs: Any) -> dict[fx.Node, tuple[int, ...] | None]:
    """The shape of what each node gives for these inputs, None of what is no tensor; empty where that is not known."""
    if inputs is None:
        return {}
    found: dict[fx.Node, tuple[int, ...] | None] = {}

    class Looking(fx.Interpreter):
        def run_node(self, node: fx.Node) -> Any:
            made = super().run_node(node)
            found[node] = tuple(made.shape) if isinstance(made, Tensor) else None
            return made

    given = inputs.values() if isinstance(inputs, Mapping) else inputs if isinstance(inputs, tuple | list) else [inputs]
    try:
        with torch.no_grad():
            Looking(traced).run(*given)
    except Exception:  # of any kind: it is the user's code, called in a way of its own
        return {}
    return found


class _Reader:
    """Walks a traced module once, from inputs to outputs."""

    def __init__(self, traced: fx.GraphModule, shapes: Mapping[fx.Node, tuple[int, ...] | None]) -> None:
        self._graph, self._layers, self._shapes = traced.graph, dict(traced.named_modules()), shapes
        self._values: dict[fx.Node, _Value] = {}
        self._made: list[_Units] = []
        self._outputs: dict[str, _Units] = {}  # of the layers that were called already

    def groups(self) -> tuple[Group, ...]:
        self._check_sharing()
        for node in self._graph.nodes:
            if node.op == "output":
                for source in node.all_input_nodes:
                    units = self._values[source].units
                    if units is not None:
                        units.root().fixed = True
            else:
                self._values[node] = self._value(node)
        free = [u for u in self._made if u.merged is None and not u.fixed and u.size is not None and u.size > 1]
        return tuple(Group(u.size, tuple(dict.fromkeys(u.places)), u.blocks) for u in free if u.size is not None)

    def _value(self, node: fx.Node) -> _Value:
        if node.op == "placeholder":
            return _Value(self._new(None, fixed=True))
        if node.op == "get_attr":
            raise _unknown(str(node.target), "a tensor of the module's own, read by hand")
        sources = [self._values[source] for source in node.all_input_nodes]
        tensors = [value for value in sources if value.units is not None]
        if node.op == "call_module":
            return self._layer(str(node.target), self._layers[str(node.target)], sources[0], node)
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
        if not tensors or self._is_size(node, str(name)):
            return _PLAIN
        value = self._function(node, str(name), tensors)
        if value is None:
            shape = self._shapes.get(node.all_input_nodes[0])
            of = "" if shape is None else f" of a tensor {shape}"
            raise _unknown(str(name), str(node.op).replace("_", " ") + of)
        return value

    def _function(self, node: fx.Node, name: str, tensors: list[_Value]) -> _Value | None:
        """A function or a method; None for one that is not known."""
        first = tensors[0]
        by_channel = node.target in FUNCTIONS_BY_CHANNEL or (node.op == "call_method" and name in METHODS_BY_CHANNEL)
        if by_channel and len(tensors) == 1:
            return first
        elementwise = node.target in ELEMENTWISE or (node.op == "call_method" and name in ELEMENTWISE_METHODS)
        if elementwise:
            return first if len(tensors) == 1 else self._sum(node, *tensors) if len(tensors) == 2 else None
        if name in OVER_PLACES and keeps_channels(node, self._rank(node), first.axis, first.flat):
            return first
        if name in SHAPES and len(tensors) == 1:
            return self._reshaped(node, name, first)
        if node.target is operator.getitem and all_channels(node.args[1], first.axis, first.flat):
            return first
        return None

    def _is_size(self, node: fx.Node, name: str) -> bool:
        if node in self._shapes:
            return self._shapes[node] is None
        attribute = node.target is getattr and len(node.args) > 1 and node.args[1] in SIZES
        return attribute or (node.op == "call_method" and name in SIZES)

    def _rank(self, node: fx.Node) -> int | None:
        """How many dimensions the first tensor has that goes in."""
        shape = self._shapes.get(node.all_input_nodes[0])
        return None if shape is None else len(shape)

    def _reshaped(self, node: fx.Node, name: str, value: _Value) -> _Value | None:
        """A new shape of the same entries, where every unit's stay together."""
        before, after = self._shapes.get(node.all_input_nodes[0]), self._shapes.get(node)
        if before is None or after is None:
            return value if value.axis == 1 and value.flat else self._flattened(node, name, value)
        axis = value.axis % len(before)
        if before == after or (after[: axis + 1] == before[: axis + 1] and value.axis >= 0):
            return value
        if value.axis < 0 and axis == len(before) - 1:  # features last: what stands before them may take another shape
            return value if after[-1] == before[-1] else None
        if axis == 1 and len(after) == 2 and after[0] == before[0]:
            return replace(value, flat=True)
        units = value.units.root() if value.units is not None else None
        if value.flat and units is not None and len(after) > 2 and after[:2] == (before[0], units.size):
            return replace(value, flat=False)
        return None

    def _flattened(self, node: fx.Node, name: str, value: _Value) -> _Value | None:
        """Without shapes: ``flatten(x, 1)``, ``x.view(x.size(0), -1)``."""
        arguments = node.args[1:]
        if name == "flatten":
            arguments = arguments or (node.kwargs.get("start_dim"),)
            return replace(value, flat=True) if arguments in ((1,), (1, -1)) else None
        if name in ("view", "reshape") and len(arguments) == 2 and arguments[1] == -1 and value.axis == 1:
            kept = isinstance(arguments[0], fx.Node) and is_batch_size(arguments[0], node.args[0])
            return replace(value, flat=True) if kept else None
        return None

    def _layer(self, name: str, layer: nn.Module, source: _Value, node: fx.Node) -> _Value:
        rank = self._rank(node)
        if isinstance(layer, CONVOLUTIONS):
            return self._convolution(name, layer, source)
        if isinstance(layer, nn.Linear):
            return self._linear(name, layer, source, rank)
        if isinstance(layer, _BatchNorm | _InstanceNorm):
            return self._norm(name, layer, source)
        if isinstance(layer, nn.GroupNorm):
            return self._group_norm(name, layer, source)
        if isinstance(layer, nn.LayerNorm | nn.RMSNorm):
            return self._layer_norm(name, layer, source, rank)
        if isinstance(layer, nn.PReLU):
            if layer.num_parameters > 1:
                self._keeps(name, ("weight",), layer, layer.num_parameters, source, incoming=True)
            return source
        if isinstance(layer, nn.Flatten) and (layer.start_dim, layer.end_dim) == (1, -1):
            return replace(source, flat=True, axis=1)
        if isinstance(layer, BY_CHANNEL):
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

    def _linear(self, name: str, layer: nn.Linear, source: _Value, rank: int | None) -> _Value:
        if source.axis == 1 and rank is not None and rank > 2 and not self._is_input(source):
            raise _unknown(name, "Linear over the last dimension of images")
        self._read(f"{name}.weight", 1, layer.in_features, source)
        return _Value(self._makes(name, layer, layer.out_features), axis=-1 if rank is not None and rank > 2 else 1)

    def _is_input(self, source: _Value) -> bool:
        return source.units is not None and source.units.root().fixed

    def _norm(self, name: str, layer: Any, source: _Value) -> _Value:
        self._keeps(name, ("weight", "bias"), layer, layer.num_features, source, incoming=True)
        self._keeps(name, ("running_mean", "running_var"), layer, layer.num_features, source, counts=False)
        return source

    def _group_norm(self, name: str, layer: nn.GroupNorm, source: _Value) -> _Value:
        """Channels of one group share their mean and variance, so they stay together."""
        self._keeps(name, ("weight", "bias"), layer, layer.num_channels, source, incoming=True)
        units = source.units.root() if source.units is not None else None
        if units is not None and layer.num_groups not in (1, layer.num_channels):
            units.fixed = units.fixed or source.flat or units.blocks not in (1, layer.num_groups)
            units.blocks = layer.num_groups
        return source

    def _layer_norm(self, name: str, layer: Any, source: _Value, rank: int | None) -> _Value:
        """Over all dimensions from the units' on: their mean and variance know no order."""
        over = len(layer.normalized_shape)
        axis = source.axis % rank if rank is not None else source.axis
        if (rank is None or axis != rank - over) and (source.axis != -1 or over != 1):
            raise _unknown(name, f"{type(layer).__name__} over {over} dimension(s)")
        self._keeps(name, ("weight", "bias"), layer, layer.normalized_shape[0], source, incoming=True)
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
        if source.units is None:
            raise _unknown(tensor, "a size that is taken for a tensor")
        units = source.units.root()
        if units.size is None:  # inputs of unknown shape
            units.size = size
        if units.fixed:
            return
        if size != units.size and not (source.flat and size % units.size == 0):
            raise _unknown(tensor, f"a tensor for {size} features of {units.size} units")
        units.places.append(Place(tensor, axis, repeat=size // units.size, **place))

    def _sum(self, node: fx.Node, first: _Value, second: _Value) -> _Value:
        """Entry by entry, so that both have the same units."""
        assert first.units is not None and second.units is not None
        a, b = first.units.root(), second.units.root()
        shapes = [self._shapes.get(source) for source in node.all_input_nodes[:2]]
        if None not in shapes and len({len(shape) for shape in shapes if shape is not None}) > 1:
            raise _unknown(str(node), f"{shapes[0]} and {shapes[1]}, of different rank")
        if a is not b:
            if (
                first.flat != second.flat
                or first.axis != second.axis
                or (a.size != b.size and None not in (a.size, b.size))
            ):
                raise _unknown(str(node), "a sum of different shapes")
            a.places += b.places
            a.fixed, a.size, b.merged = a.fixed or b.fixed, a.size or b.size, a
            if a.blocks != b.blocks:
                a.fixed = a.fixed or 1 not in (a.blocks, b.blocks)
                a.blocks = max(a.blocks, b.blocks)
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
        f"align: {name} ({what}) is none of the operations whose units are known: convolutions, linear layers, norms, activations, "
        "pooling and means over places, flattening, sums and products. Paths that are not aligned need none of this."
    )
