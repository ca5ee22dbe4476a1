"""Whether a checkpoint's weights fit a module, and putting them in: all of them, or none."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from landscape.errors import CheckpointError, InputError
from landscape.results.checkpoints import Checkpoint
from landscape.results.foreign import renamed, without_wrappers
from landscape.results.naming import COUNTS, Naming, namings, prefixes, under

Module = TypeVar("Module", bound=nn.Module)

_SHOWN = 5
_MISSING, _STRANGE = "missing from the file", "not in the model"
_MAY_LACK = ("num_batches_tracked", "n_averaged")  # counts: old files lack them, and no output depends on them


def check_fits(module: nn.Module, checkpoint: Checkpoint) -> None:
    """Compare names, shapes and kinds of numbers, reading the file's names as :func:`fitted` does.

    Raises:
        CheckpointError: saying which tensors are missing, unexpected, or of another shape, and how many.
    """
    fitted(module, checkpoint)


def fitted(module: nn.Module, checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with the module's own names.

    All tensors of a file must fit, but for what stands before all of its names, or before all of the module's: ``model.``,
    ``module.`` or any other attribute's name, which the checkpoint's ``note`` then says. What averages count beside such names
    (``n_averaged``) is left out. A tensor that the module ties to another may be missing, as safetensors of Hugging Face have it;
    so may counts of batches. A buffer that the module does not save (``persistent=False``) may be there if it is the module's own.

    Raises:
        CheckpointError: saying which tensors are missing, unexpected, of another shape or kind, and how many; naming the prefixes
            under which the module's tensors are, where there are others beside them.
    """
    match = _best(module, checkpoint)
    if not match.complaints.keys() <= {_MISSING, _STRANGE}:
        raise _misfit(match)
    target = match.target
    weights = renamed(renamed(checkpoint.state_dict, match.meant), lambda name: target.own.get(name, name))
    for name, twin in target.twins(weights):
        weights[name] = weights[twin]
    said = [f"Their names are read {match.naming.words}."] if match.naming.words else []
    if match.left_out:
        said.append(f"Left out, as the model makes them itself: {_first(match.left_out)}.")
    # Our own files have no versions, and are of the module that they are read for.
    if match.complaints or (checkpoint.foreign and _versions(weights) != _versions(target.state)):
        weights, changed = _as_the_module_reads(module, weights, match)
        said += [f"The model itself reads an older layout: {_first(changed)}."] if changed else []
    return replace(checkpoint, state_dict=weights, note=" ".join(filter(None, [checkpoint.note, *said])) or None)


def load_into(module: Module, checkpoint: Checkpoint) -> Module:
    """``module`` with the checkpoint's weights and buffers, copied into it in place, as its ``load_state_dict`` does.

    Raises:
        CheckpointError: if they do not fit; ``module`` is then as it was.

    Example:
        >>> torch.save(net.state_dict(), "net.pt")
        >>> other = ls.load_into(other, ls.load_checkpoint("net.pt"))
        >>> torch.equal(other[0].weight, net[0].weight)
        True
    """
    weights = fitted(module, checkpoint).state_dict
    current = module.state_dict()
    before = {name: tensor.clone() for name, tensor in current.items() if isinstance(tensor, Tensor)}
    try:
        module.load_state_dict(_completed(weights, current))
    except (RuntimeError, AttributeError, KeyError, TypeError, ValueError) as error:
        module.load_state_dict(before, strict=False)
        raise CheckpointError(f"{checkpoint.path}: the model refuses the weights: {error}") from error
    return module


def _completed(weights: Mapping[str, Any], current: Mapping[str, Any]) -> OrderedDict[str, Any]:
    """The weights, with counts that they lack as they are in the module, and its versions."""
    complete = OrderedDict((name, weights.get(name, entry)) for name, entry in current.items())
    complete._metadata = _versions(current)  # type: ignore[attr-defined]
    return complete


def _versions(state_dict: Mapping[str, Any]) -> Any:
    return getattr(state_dict, "_metadata", None)


def deduced_size(checkpoint: Checkpoint, small: nn.Module, large: nn.Module, size: int) -> int | None:
    """Which size of a model a checkpoint is of, from two of its modules: of ``size``, and of one more.

    Every length that differs between the two is followed to the checkpoint's. None where they do not agree on one size.
    """
    match = _best(small, checkpoint)
    larger = large.state_dict()
    found = set()
    for name, new in match.pairs.items():
        own = match.target.own.get(new)
        if own is None or own not in larger:
            continue
        shapes = zip(
            _shape(match.target.state[own]), _shape(larger[own]), _shape(checkpoint.state_dict[name]), strict=False
        )
        found |= {size + (there - here) / (more - here) for here, more, there in shapes if more != here}
    (deduced,) = found if len(found) == 1 else (None,)
    return None if deduced is None or deduced != int(deduced) or deduced < 1 else int(deduced)


class _Target:
    """What a module wants: its tensors by the names that they have without wrappers, which may lack, which are one."""

    def __init__(self, module: nn.Module) -> None:
        self.kind = type(module).__name__
        if not isinstance(module, nn.Module):
            raise InputError(
                f"module: expected a torch.nn.Module to load into, got {self.kind}. It comes first: load_into(module, …)."
            )
        if any(is_lazy(entry) for entry in (*module.parameters(), *module.buffers())):
            raise CheckpointError(
                f"model: {self.kind} has lazy layers, whose shapes are not known yet. Call it on one batch first, and load then."
            )
        self.state: Mapping[str, Any] = module.state_dict()
        short = {without_wrappers(name): name for name in self.state}
        self.own = short if len(short) == len(self.state) else {name: name for name in self.state}
        self.parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
        buffers = {without_wrappers(name): buffer for name, buffer in module.named_buffers(remove_duplicate=False)}
        self.unsaved = {name: buffer for name, buffer in buffers.items() if name not in self.own}

    @cached_property
    def _ties(self) -> dict[str, list[str]]:
        """Own names whose tensors are one and the same, by each of them."""
        same: dict[Any, list[str]] = {}
        for name, entry in self.state.items():
            if isinstance(entry, Tensor) and entry.numel() and not entry.is_meta:
                same.setdefault((entry.data_ptr(), entry.shape, entry.stride(), entry.dtype), []).append(name)
        return {name: names for names in same.values() if len(names) > 1 for name in names}

    def twins(self, have: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Own names that are missing, each with one that is there and ties it."""
        lacking = (
            (name, next((t for t in ties if t in have), None)) for name, ties in self._ties.items() if name not in have
        )
        return [(name, twin) for name, twin in lacking if twin is not None]

    def untied(self, have: Mapping[str, Any]) -> Iterator[str]:
        """Pairs that are one tensor here and two different ones in the file."""
        for name, ties in self._ties.items():
            twin = ties[0]
            if name != twin and name in have and twin in have and not torch.equal(have[name], have[twin]):
                yield f"{twin} and {name}"

    def makes_itself(self, name: str, entry: object) -> bool:
        """Whether a tensor of the file is a buffer that the module has and does not save, of the same values, or counts places."""
        if not isinstance(entry, Tensor) or entry.is_complex():
            return False
        mine = self.unsaved.get(name)
        if mine is None and name.endswith("position_ids") and entry.dtype == torch.int64:
            mine = torch.arange(entry.numel()).reshape(entry.shape)
        return (
            mine is not None
            and mine.shape == entry.shape
            and torch.allclose(entry.double(), mine.double().cpu(), rtol=1e-5)
        )


@dataclass(frozen=True, eq=False)
class _Match:
    """One way to read a file's names, and what is wrong with it."""

    target: _Target
    checkpoint: Checkpoint
    naming: Naming

    @cached_property
    def _renamed(self) -> dict[str, str]:
        names = ((name, self.naming.rename(name)) for name in self.checkpoint.state_dict)
        return {name: new for name, new in names if new is not None}

    @cached_property
    def left_out(self) -> list[str]:
        given = self.checkpoint.state_dict
        strange = {name: new for name, new in self._renamed.items() if new not in self.target.own}
        return [name for name, new in strange.items() if self.target.makes_itself(new, given[name])]

    @cached_property
    def pairs(self) -> dict[str, str]:
        """The module's name, without wrappers, of every tensor of the file that is meant."""
        return {name: new for name, new in self._renamed.items() if name not in self.left_out}

    def meant(self, name: str) -> str | None:
        """The module's name of one of the file's, or of a module in it; None where it is left out."""
        return None if name in self.left_out else self.naming.rename(name)

    @cached_property
    def wrong_names(self) -> dict[str, list[str]]:
        own = self.target.own
        have = {own[new] for new in self.pairs.values() if new in own}
        twins = {name for name, _ in self.target.twins(dict.fromkeys(have))}
        missing = [n for n, full in own.items() if full not in have and full not in twins and not n.endswith(_MAY_LACK)]
        twice = (
            sorted({new for new in self.pairs.values() if list(self.pairs.values()).count(new) > 1})
            if self._twice
            else []
        )
        return {
            _MISSING: missing,
            _STRANGE: [n for n, new in self.pairs.items() if new not in own],
            "there twice": twice,
        }

    @property
    def _twice(self) -> bool:
        return len(set(self.pairs.values())) < len(self.pairs)

    @cached_property
    def complaints(self) -> dict[str, list[str]]:
        given, target = self.checkpoint.state_dict, self.target
        both = [(new, given[name], target.own[new]) for name, new in self.pairs.items() if new in target.own]
        shapes, kinds = [], []
        for name, entry, own in both:
            here = target.state[own]
            if _shape(entry) != _shape(here) or isinstance(entry, Tensor) != isinstance(here, Tensor):
                shapes.append(f"{name} ({_shown(entry)} in the file, {_shown(here)} in the model)")
            elif isinstance(here, Tensor) and not _converts(entry, here, own in target.parameters):
                kinds.append(f"{name} ({entry.dtype} in the file, {here.dtype} in the model)")
        tensors = {own: entry for _, entry, own in both}
        untied = [] if shapes else list(target.untied(tensors))
        every = {
            **self.wrong_names,
            "of another shape": shapes,
            "of another kind": kinds,
            "one tensor in the model and two in the file": untied,
        }
        return {what: names for what, names in every.items() if names}


def _best(module: nn.Module, checkpoint: Checkpoint) -> _Match:
    """The plainest way to read the file's names under which all tensors fit, or the way under which the most do.

    Raises:
        CheckpointError: where the module's tensors are all there under a prefix, and others beside them.
    """
    target, given = _Target(module), checkpoint.state_dict
    counts = {
        name for name in given if name.rpartition(".")[2] in COUNTS and _is_single(given[name])
    } - target.own.keys()
    best: _Match | None = None
    for naming in namings(list(given), list(target.own), counts):
        match = _Match(target, checkpoint, naming)
        if not match.complaints:
            return match
        if best is None or _wrong(match) < _wrong(best):
            best = match
    inside = [prefix for prefix in prefixes(list(given)) if not _Match(target, checkpoint, under(prefix)).complaints]
    if inside:
        raise _several(checkpoint, inside)
    assert best is not None  # the names as they are come first
    return best


def _as_the_module_reads(
    module: nn.Module, weights: OrderedDict[str, Any], match: _Match
) -> tuple[OrderedDict[str, Any], list[str]]:
    """What the module's own ``load_state_dict`` makes of weights of an older version, and the names of what it changes.

    Some layers read names or values that they no longer write, as ``parametrizations.weight_norm`` does those of ``weight_norm``.

    Raises:
        CheckpointError: where it does not take them, or leaves a parameter as it was.
    """
    counts = [name for name in match.target.state if name.endswith(_MAY_LACK) and name not in weights]
    given = OrderedDict({**weights, **{name: match.target.state[name] for name in counts}})
    if _versions(weights) is not None:
        given._metadata = _versions(weights)  # type: ignore[attr-defined]
    twin = copy.deepcopy(module)
    absent = [p for name, p in twin.named_parameters() if name not in weights and p.is_floating_point() and p.numel()]
    try:
        with torch.no_grad():
            for parameter in absent:
                parameter.fill_(torch.nan)
        twin.load_state_dict(given)
    except Exception as error:  # its own code, which may fail in any way
        if match.complaints:
            raise _misfit(match) from error
        raise CheckpointError(f"{match.checkpoint.path}: the model refuses the weights: {error}") from error
    if any(bool(parameter.isnan().all()) for parameter in absent):
        raise _misfit(match)
    read = OrderedDict((name, entry) for name, entry in twin.state_dict().items() if name not in counts)
    kept = {name for name, entry in read.items() if name in weights and _same_after_cast(weights[name], entry)}
    return OrderedDict((n, weights[n] if n in kept else read[n]) for n in read), [n for n in read if n not in kept]


def _same_after_cast(entry: object, read: object) -> bool:
    if not isinstance(entry, Tensor) or not isinstance(read, Tensor):
        return True
    return torch.equal(entry.to(read.device, read.dtype), read)


def _wrong(match: _Match) -> int:
    return sum(map(len, match.wrong_names.values()))


def _several(checkpoint: Checkpoint, inside: Sequence[str]) -> CheckpointError:
    others = [name for name in checkpoint.state_dict if not name.startswith(tuple(inside))]
    keys = [prefix.removesuffix(".") for prefix in inside]
    fit = f"all tensors of the model are there under {' and under '.join(map(repr, inside))}"
    beside = f", beside {len(others)} others: {_first(others)}" if others else ""
    which = "which are meant is not clear" if len(inside) > 1 else "whether those are all that is meant is not clear"
    return CheckpointError(
        f"{checkpoint.path}: {fit}{beside}; {which}. Choose with --checkpoint-key {keys[0]}, in Python "
        f"load_checkpoint(path, key={keys[0]!r})."
    )


def _misfit(match: _Match) -> CheckpointError:
    complaints = "; ".join(f"{len(names)} {what}: {_first(names)}" for what, names in match.complaints.items())
    read = f" Its names fit best {match.naming.words}." if match.naming.words else ""
    sharded = all(_shape(e) == (0,) for e in match.checkpoint.state_dict.values()) or any(
        name.endswith("_flat_param") for name in match.checkpoint.state_dict
    )
    advice = (
        "It is one part of a training on several devices: save the full state dict there."
        if sharded
        else "Name the model and options that it was trained with, or a checkpoint of this model."
    )
    return CheckpointError(
        f"{match.checkpoint.path}: does not fit the model ({match.target.kind} with {len(match.target.state)} tensors); "
        f"{complaints}.{read} {advice}"
    )


def _converts(entry: Tensor, here: Tensor, parameter: bool) -> bool:
    """Whether copying keeps the numbers, or rounds them as a cast between floating-point types does."""
    if (entry.is_floating_point() or here.is_complex()) and (here.is_floating_point() or here.is_complex()):
        return True
    if entry.is_complex():
        return not bool(entry.imag.count_nonzero()) and _converts(entry.real, here, parameter)
    if parameter and entry.dtype != here.dtype:
        return False  # whole numbers for a weight: quantised, and its scale is somewhere else
    return torch.equal(entry.to(here.dtype).to(entry.dtype), entry)


def _is_single(entry: object) -> bool:
    return isinstance(entry, Tensor) and entry.numel() == 1


def _shape(entry: object) -> tuple[int, ...]:
    return tuple(entry.shape) if isinstance(entry, Tensor) else ()


def _shown(entry: object) -> str:
    return str(_shape(entry)) if isinstance(entry, Tensor) else "no tensor"


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"
