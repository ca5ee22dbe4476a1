"""Other people's files: which of the things in one are a network's weights, and under which names."""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from landscape.errors import CheckpointError
from landscape.results.pickles import Named, NumpyArray, StandIn

PLAIN_KEYS = (
    "state_dict", "model_state_dict", "model", "network", "net", "module", "model_state", "params", "weights", "state",
)  # fmt: skip
_AVERAGED = re.compile(r"ema|swa|averag|shadow", re.IGNORECASE)
_NO_WEIGHTS = re.compile(r"^opt|optim|sched|scaler|rng|loops", re.IGNORECASE)
_MOMENTS = {"exp_avg", "exp_avg_sq", "momentum_buffer", "square_avg"}  # of an optimiser, one mapping a parameter
_WRAPPERS = re.compile(r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_fpw_module|_checkpoint_wrapped_module)\.")
_OTHER_TENSORS = {
    "_rebuild_qtensor": "quantised",
    "_rebuild_sparse_tensor": "sparse",
    "_rebuild_nested_tensor": "a nested tensor",
    "_rebuild_meta_tensor": "a meta tensor, which has a shape and no numbers",
    r"_rebuild_(wrapper_subclass|from_type)|DTensor": "a tensor of a class of its own",
}
_DEPTH = 4
_REPEATED, _REPEATED_BYTES = (
    64,
    1 << 26,
)  # so much of a tensor may be views of its own numbers, so that a small file stays small
_SHOWN = 8


@dataclass(frozen=True, eq=False)
class Weights:
    """Tensors by name, and where in a file they are.

    Attributes:
        key: the keys that lead to them, with dots between; empty where the file is nothing but them.
        state_dict: the tensors under the file's own names.
    """

    key: str
    state_dict: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.key!r} ({len(self.state_dict)} tensors{_averaged(self.key)})"


@dataclass(frozen=True, eq=False)
class Choice:
    """The weights that are taken, and a sentence on why, where there was more than one way to read the file."""

    weights: Weights
    note: str | None = None


def choose_weights(file: Path, content: object, key: str | None = None) -> Choice:
    """The weights in a file's content.

    Without a key these are the content itself, or what stands under one of :data:`PLAIN_KEYS`, also one inside another; or the only
    weights that there are.

    Args:
        file: what errors call it.
        content: mappings, lists, tensors and stand-ins.
        key: where the weights are, with dots between the keys; what is left of it, or all of it, may be a prefix of their names.

    Raises:
        CheckpointError: where there are none, several that could be meant, or nothing under ``key``.
    """
    found = list(holdings(content))
    if key is not None:
        return Choice(_selected(file, content, key, found))
    # A mapping of single numbers is a table of metrics where there is anything else.
    found = [one for one in found if not all(map(_is_single, one.state_dict.values()))] or found
    plain = [weights for weights in found if all(part in PLAIN_KEYS for part in weights.key.split(".") if part)]
    several = plain or found
    if not several:
        raise _nothing(file, content)
    first, *others = several
    if any(not same_tensors(first.state_dict, other.state_dict) for other in others):
        raise CheckpointError(
            f"{file}: holds several weights, and which are meant is not clear: {_listed(several)}. "
            f"Choose with --checkpoint-key {first.key}, in Python load_checkpoint(path, key={first.key!r})."
        )
    rest = [weights for weights in found if weights not in several]
    note = None
    if rest:
        note = f"The weights are those under {first}. Also there: {_listed(rest)}; --checkpoint-key {rest[0].key} takes those."
    elif first.key and not plain:
        alike = f"; the same as under {_listed(others)}" if others else "; there are no others"
        note = f"The weights are those under {first}{alike}."
    return Choice(first, note)


def holdings(content: object, key: str = "", depth: int = _DEPTH) -> Iterator[Weights]:
    """Everything in a file that looks like weights: mappings whose entries are all tensors by name."""
    if looks_like_weights(content):
        if not _MOMENTS & content.keys():  # type: ignore[attr-defined]
            yield Weights(key, content)  # type: ignore[arg-type]
    elif depth:
        for name, child in _children(content):
            if not _NO_WEIGHTS.search(name):
                yield from holdings(child, f"{key}.{name}" if key else name, depth - 1)


def looks_like_weights(value: object) -> bool:
    """Tensors by name, at least one; a module's extra state, and what takes a tensor's place, may be among them."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        return False
    entries = [entry for name, entry in value.items() if not name.endswith("_extra_state")]
    kinds = (Tensor, NumpyArray, StandIn)
    return any(isinstance(e, kinds[:2]) for e in entries) and all(isinstance(e, kinds) for e in entries)


def same_tensors(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two state dicts have the same names with the same numbers."""
    if a.keys() != b.keys():
        return False
    pairs = [(a[name], b[name]) for name in a]
    return all(isinstance(p, Tensor) and isinstance(q, Tensor) and torch.equal(p, q) for p, q in pairs)


def checked_tensors(file: Path, weights: Mapping[str, Any]) -> OrderedDict[str, Any]:
    """The weights as ordinary tensors on the CPU; arrays become tensors.

    Raises:
        CheckpointError: naming one that is quantised, sparse, without numbers, or no tensor at all; where they would take far more
            memory than the file.
    """
    checked = OrderedDict[str, Any]()
    stored, shown = dict[int, int](), 0
    for name, entry in weights.items():
        value = entry.tensor if isinstance(entry, NumpyArray) else entry
        wrong = None if name.endswith("_extra_state") else _unusable(value)
        if wrong:
            raise CheckpointError(
                f"{file}: {name!r} is {wrong}; expected ordinary tensors. Save the weights in floating point, for example with "
                "torch.save({k: v.dequantize() if v.is_quantized else v.to_dense() for k, v in model.state_dict().items()}, PATH)."
            )
        checked[name] = value
        if isinstance(value, Tensor):
            storage = value.untyped_storage()
            stored[storage.data_ptr()] = storage.nbytes()
            shown += value.numel() * value.itemsize
    if shown > _REPEATED * sum(stored.values()) + _REPEATED_BYTES:
        raise CheckpointError(
            f"{file}: its tensors repeat a few numbers {shown:,} bytes long. Save them as they are, with .clone()."
        )
    if hasattr(weights, "_metadata"):
        checked._metadata = weights._metadata  # type: ignore[attr-defined]
    return checked


def _unusable(value: object) -> str | None:
    if isinstance(value, Tensor):
        return None if value.layout is torch.strided and not value.is_meta else f"stored as {value.layout}"
    if not isinstance(value, StandIn):
        return f"a {type(value).__name__}"
    known = (words for pattern, words in _OTHER_TENSORS.items() if re.search(pattern, value.name))
    return next(known, f"something else ({value.name}), which would have to be run")


def without_wrappers(name: str) -> str:
    """A name without what ``torch.compile``, FSDP and activation checkpoints put into it."""
    return _WRAPPERS.sub("", name)


def plain_names(state_dict: Mapping[str, Any]) -> OrderedDict[str, Any]:
    """The tensors under their names without what ``torch.compile``, FSDP, checkpointing and ``DataParallel`` put into them.

    ``module.`` goes where all names have it, beside which ``AveragedModel`` counts in ``n_averaged``. Names stay as they are where
    two would become one.
    """
    names = list(map(without_wrappers, state_dict))
    counts = {n for n, entry in zip(names, state_dict.values(), strict=True) if n == "n_averaged" and _is_single(entry)}
    rest = [name for name in names if name not in counts]
    prefix = ""
    while rest and all(name.startswith(f"{prefix}module.") for name in rest):
        prefix += "module."

    def rename(name: str) -> str | None:
        now = without_wrappers(name)
        return now.removeprefix(prefix) if now.startswith(prefix) else None

    return renamed(state_dict, rename if len(set(rest)) == len(rest) else str)


def renamed(
    state_dict: Mapping[str, Any], rename: Callable[[str], str | None], versions: object = None
) -> OrderedDict[str, Any]:
    """The tensors under new names, without those that ``rename`` has none for.

    The versions of modules that ``load_state_dict`` reads, the state dict's own or ``versions``, go along under new names.
    """
    made = OrderedDict((new, entry) for name, entry in state_dict.items() if (new := rename(name)) is not None)
    versions = getattr(state_dict, "_metadata", versions)
    if isinstance(versions, Mapping):
        paths = {path: rename(f"{path}.*" if path else "*") for path in versions if isinstance(path, str)}
        moved = {
            new.removesuffix("*").removesuffix("."): versions[path] for path, new in paths.items() if new is not None
        }
        made._metadata = moved  # type: ignore[attr-defined]
    return made


def common_prefix(names: list[str]) -> str:
    """The part before the last dots that all names share, with its dot; empty where there is none."""
    parts = [name.split(".")[:-1] for name in names]
    shared = []
    for column in zip(*parts, strict=False):
        if len(set(column)) > 1:
            break
        shared.append(column[0])
    return "".join(f"{part}." for part in shared)


def _is_single(entry: object) -> bool:
    return isinstance(entry, Tensor) and entry.numel() == 1


def _children(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        yield from ((str(name), child) for name, child in value.items() if isinstance(name, str | int))
    elif isinstance(value, list | tuple) and len(value) <= 64:
        yield from ((str(index), child) for index, child in enumerate(value))


def _selected(file: Path, content: object, key: str, found: list[Weights]) -> Weights:
    value = _under(content, key)
    if value is None:  # a prefix of the names in the weights that would be taken without it
        inside = [(w, part) for w in found if (part := _with_prefix(w.state_dict, key)) is not None]
        if len(inside) == 1:
            value, key = inside[0][1], f"{inside[0][0].key}.{key}".removeprefix(".")
    if value is None or isinstance(value, Tensor):
        raise CheckpointError(f"{file}: holds no weights under {key!r}. {_held(content, found)}")
    try:
        inner = choose_weights(file, value).weights
    except CheckpointError:
        held = ", ".join(repr(name) for name, _ in _children(value)) or f"a {type(value).__name__}"
        raise CheckpointError(
            f"{file}: under {key!r} there are no weights, or several: {held:.200}. {_held(content, found)}"
        ) from None
    return Weights(".".join(filter(None, (key, inner.key))), inner.state_dict)


def _under(value: object, key: str) -> object | None:
    """What a key with dots leads to; keys may have dots themselves."""
    for name, child in _children(value):
        if name == key:
            return child
        if key.startswith(f"{name}.") and (found := _under(child, key.removeprefix(f"{name}."))) is not None:
            return found
    return _with_prefix(value, key) if looks_like_weights(value) else None


def _with_prefix(state_dict: Any, key: str) -> Mapping[str, Any] | None:
    prefix = f"{key.removesuffix('.')}."
    part = renamed(state_dict, lambda name: name.removeprefix(prefix) if name.startswith(prefix) else None)
    return part or None


def _nothing(file: Path, content: object) -> CheckpointError:
    expected = f"Expected tensors by name, or a mapping with them under one of {', '.join(PLAIN_KEYS)}."
    meant = [content, *(child for name, child in _children(content) if name in PLAIN_KEYS or _AVERAGED.search(name))]
    for value in meant:
        if isinstance(value, Named) or (isinstance(value, StandIn) and (value is content or not value)):
            return refused(file, value.name)
    if not isinstance(content, Mapping):
        return CheckpointError(f"{file}: holds no state dict but a {type(content).__name__}. {expected}")
    shown = ", ".join(repr(key) for key in list(content)[:_SHOWN]) or "none"
    mixed = "; its tensors stand beside other entries" if any(isinstance(v, Tensor) for v in content.values()) else ""
    return CheckpointError(f"{file}: holds no state dict; its keys are: {shown}{mixed}. {expected}")


def refused(file: Path, name: str) -> CheckpointError:
    """What is said of a pickle whose weights could only be had by running it."""
    return CheckpointError(
        f"{file}: refused: it is a pickle that asks for {name}, and loading it could run code. Nothing in it was run. "
        f"Whole models saved with torch.save(model) look like this. {RESAVE}"
    )


RESAVE = (
    "If you trust where it comes from, load it there and save only its weights: "
    "torch.save(model.state_dict(), 'weights.pt'), or a .safetensors file."
)


def _held(content: object, found: list[Weights]) -> str:
    first = Counter(name.split(".")[0] for weights in found for name in weights.state_dict if "." in name)
    names = f", with names that begin with {', '.join(f'{n}.' for n, _ in first.most_common(_SHOWN))}" if first else ""
    if found == [] and isinstance(content, Mapping):
        return f"It holds {', '.join(repr(k) for k in list(content)[:_SHOWN])}."
    return f"It holds {_listed(found)}{names}."


def _listed(found: list[Weights]) -> str:
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"{', '.join(map(str, found[:_SHOWN]))}{more}"


def _averaged(key: str) -> str:
    return ", an average" if _AVERAGED.search(key) else ""
