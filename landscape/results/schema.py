"""What a result of each kind has: variables over which dimensions, numbers or text, and the attributes that are read.

Everything downstream (information, pictures, pages, comparisons, topology, ``resume``) reads results that have passed here, and
asks no further. The table of a kind stands in its room. Of a kind that nothing installed here knows, only its name is asked.

One line of the table is ``name(dimensions)``, with ``[…]`` around a dimension that may be absent and ``grid`` for those of
the loss; ``:text`` marks text, ``?`` what may be absent.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from landscape.errors import ResultFileError
from landscape.registry import found, of_file

# What the variable ``status`` of every kind begins with.
MISSING, MEASURED = 0, 1
_ALL_KINDS = ("@precision_deviation_max @precision_deviation_rms | @precision_deviation_note",)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_EMPTY = _names("epoch record step feature node point sample pair rank parameter alignment")
_COUNTS = _names(
    "dead complete n_samples threads bn_layers evaluation_batch_size measured_points max_products preconditioned best_epoch "
    "diverged_epoch updates curve_bends stride restarts ascent_steps picture_audits"
)
_NUMBERS = _names(
    "tolerance loss_max picture_error picture_error_estimate image_passes "
    "precision_deviation_max precision_deviation_rms checkpoint_gradient "
    "eigenvalue_tolerance limit confidence"
)
_TEXTS = _names(
    "title data model norm checkpoint notes note directions normalization bn_policy loss_name dead_reason dead_part range_note "
    "status by rule precision device units long_name settings training fingerprint precision_deviation_note optimizer "
    "landscape_version torch_version runs to operator lost_points"
)
_RECIPE = _names("learning_rate batch_size seed epochs weight_decay momentum")
_JSON = {"settings": dict, "training": dict, "runs": list}
_WHOLE = _names(
    "status loss_status converged eigenvalue_largest_converged eigenvalue_smallest_converged lower_bound dead path_measured seed "
    "epoch step rank depth minima saddles components points interpolated_points holes features node_kind parameters products "
    "moved_units dimension"
)
_AXES = frozenset({"seed", "x", "y", "z"})
_LINE = re.compile(r"(\w+)\(([^)]*)\)(:text)?(\?)?")


@dataclass(frozen=True)
class _Variable:
    name: str
    dims: tuple[str, ...]
    text: bool
    needed: bool


def _nothing(dataset: xr.Dataset) -> Iterator[str]:
    return iter(())


@dataclass(frozen=True)
class Schema:
    """What results of one kind have.

    Attributes:
        variables: the table, in which white space means nothing.
        together: groups of names, of which all are there where one before the bar is; attributes have an @ in front.
        plausible: what is wrong with the values of a data set that has all that its kind has.
        over: of a kind with values over a ``grid``, the variable whose dimensions that is.
        planar: whether the grid is one over y and x.
        notes: what the attribute ``notes`` holds as JSON, if it is no text.
    """

    variables: str
    together: tuple[str, ...] = ()
    plausible: Callable[[xr.Dataset], Iterator[str]] = _nothing
    over: str = "loss"
    planar: bool = False
    notes: type | None = None

    @cached_property
    def table(self) -> tuple[_Variable, ...]:
        """The variables one by one."""
        return tuple(
            _Variable(name, tuple(dims.split()), bool(text), not optional)
            for name, dims, text, optional in _LINE.findall(self.variables)
        )

    def faults(self, dataset: xr.Dataset) -> Iterator[str]:
        """What a data set lacks or has in another form."""
        grid = self._grid(dataset)
        for wanted in self.table:
            dims = tuple(dim for dim in wanted.dims if not dim.startswith("[") or dim.strip("[]") in dataset.dims)
            dims = grid if dims == ("grid",) else tuple(dim.strip("[]") for dim in dims)
            if wanted.name in dataset.variables:
                yield from _form(wanted, dims, dataset[wanted.name])
            elif wanted.needed:
                yield f"it has no variable {wanted.name!r}"
        for group in (*self.together, *_ALL_KINDS):
            yield from _incomplete(group, dataset)
        yield from self._axes(grid, dataset)
        for owner in ("", *dataset.variables):
            attributes = dataset[owner].attrs if owner else dataset.attrs
            yield from _attributes(self.notes, f" of {owner!r}" if owner else "", attributes)
        yield from self.plausible(dataset)

    @property
    def _over_grid(self) -> bool:
        return self.table[0].dims == ("grid",)

    def _grid(self, dataset: xr.Dataset) -> tuple[str, ...]:
        if not any(variable.dims == ("grid",) for variable in self.table):
            return ()
        return tuple(str(dim) for dim in dataset[self.over].dims) if self.over in dataset.variables else ()

    def _axes(self, grid: tuple[str, ...], dataset: xr.Dataset) -> Iterator[str]:
        """The coordinates of a grid, and every index: each value once."""
        if self._over_grid:
            needed = {"x", "y"} if self.planar else set()
            if not {*grid} - {"seed"} or not needed <= {*grid}:
                wanted = "y and x" if needed else "at least one axis, such as x"
                yield f"its values are over ({', '.join(grid)}); expected {wanted}"
        for name in grid:
            if name in _AXES and "status" in dataset and name not in dataset.coords:
                yield f"it has no coordinate {name!r}"
        for name, index in dataset.indexes.items():
            values = dataset[name].values
            if name in grid and (values.dtype.kind not in "iuf" or not np.isfinite(values).all()):
                yield f"the coordinate {name!r} is not of finite numbers"
            elif not index.is_unique:
                yield f"the coordinate {name!r} has a value twice"


def check(path: str | os.PathLike[str], dataset: xr.Dataset) -> None:
    """Hold a data set against what a result of its kind has.

    A kind that no record is of is only asked for its name.

    Raises:
        ResultFileError: naming what is missing or of another form, and what was expected.
    """
    kind = dataset.attrs.get("kind")
    if not isinstance(kind, str):
        raise ResultFileError(f"{path}: its attribute 'kind' is {kind!r}; expected text, such as 'plane'.")
    record = of_file(kind)
    if record is None:
        return
    schema: Schema = found(record.schema)
    fault = next(schema.faults(dataset), None)
    if fault is not None:
        raise ResultFileError(
            f"{path}: is no whole result of kind {kind!r}: {fault}. It has been left as it is; make it again, or give it a kind of "
            "its own."
        )


def _form(wanted: _Variable, dims: tuple[str, ...], given: xr.DataArray) -> Iterator[str]:
    if given.dims != dims:
        yield f"{wanted.name!r} is over ({', '.join(map(str, given.dims))}); expected ({', '.join(dims)})"
    kinds, expected = ("OUS", "text") if wanted.text else ("biuf", "numbers")
    if given.dtype.kind not in kinds:
        yield f"{wanted.name!r} holds {given.dtype} values; expected {expected}"
    elif wanted.name in _WHOLE and not _are_whole(given.values):
        yield f"{wanted.name!r} holds values that are no whole numbers"
    empty = [str(dim) for dim, size in given.sizes.items() if not size and dim not in _EMPTY]
    if empty:
        yield f"{wanted.name!r} has no values along {empty[0]!r}"


def _incomplete(group: str, dataset: xr.Dataset) -> Iterator[str]:
    def there(name: str) -> bool:
        return name[1:] in dataset.attrs if name.startswith("@") else name in dataset.variables

    sign = next((name for name in group.partition("|")[0].split() if there(name)), None)
    for name in group.replace("|", "").split():
        if sign is not None and not there(name):
            what = "attribute" if name.startswith("@") else "variable"
            yield f"it has {sign.lstrip('@')!r}, and no {what} {name.lstrip('@')!r}"


def _are_whole(values: NDArray[Any]) -> bool:
    return values.dtype.kind in "biu" or bool(np.isfinite(values).all() and (values == np.rint(values)).all())


def _attributes(notes: type | None, owner: str, attributes: Mapping[Any, Any]) -> Iterator[str]:
    expected = {
        **dict.fromkeys(_COUNTS, "a whole number"),
        **dict.fromkeys(_NUMBERS, "a number"),
        **dict.fromkeys(_TEXTS, "text"),
        **dict.fromkeys(_RECIPE, "text or a finite number"),
    }
    for name, value in attributes.items():
        right = {
            "a whole number": isinstance(value, int) or (isinstance(value, float) and value.is_integer()),
            "a number": isinstance(value, int | float),
            "text": isinstance(value, str),
            "text or a finite number": isinstance(value, str | int)
            or (isinstance(value, float) and np.isfinite(value)),
        }
        if not right.get(expected.get(name, ""), True):
            yield f"its attribute {name!r}{owner} is {value!r}; expected {expected[name]}"
        form = notes if name == "notes" else _JSON.get(name)
        if form is not None and (value or name != "notes") and not _is_json(value, form):
            yield f"its attribute {name!r}{owner} is not JSON of a {'mapping' if form is dict else 'list'}"


def _is_json(text: object, form: type) -> bool:
    try:
        return isinstance(json.loads(str(text)), form)
    except (ValueError, RecursionError):
        return False
