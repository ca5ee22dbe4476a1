"""What a result of each kind has: variables over which dimensions, numbers or text, and the attributes that are read.

Everything downstream (information, pictures, pages, comparisons, topology, ``resume``) reads results that have passed here, and
asks no further. Kinds that are not listed are other packages' own: of them only what every result has is asked.

One line of the table is ``name(dimensions)``, with ``[…]`` around a dimension that may be absent and ``grid`` for those of
the loss; ``:text`` marks text, ``?`` what may be absent.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from landscape.errors import ResultFileError
from landscape.store.plausible import implausible

_AT_POINTS = "loss(grid) status(grid)? loss_standard_error(grid)? accuracy(grid)? predicted_loss(grid)? samples(grid)?"
_AT_CHECKPOINT = (
    "checkpoint_loss()? checkpoint_loss_standard_error()? checkpoint_accuracy()? parameter_norm()? gradient_norm()?"
)
_DIRECTIONS = "direction_norm([seed] direction)? direction_cosine([seed])? direction(direction):text? index(sample)?"
_FRAME = f"{_AT_CHECKPOINT} {_DIRECTIONS} seed([seed])?"
_PLANE = f"{_AT_POINTS} {_FRAME}"
_ALONG = " ".join(
    f"{name.rstrip('?')}(step along){'?' * name.endswith('?')}"
    for name in (
        "loss_minimum", "loss_maximum", "gradient_distance_minimum", "gradient_distance_maximum", "effective_beta",
        "loss_variation?", "gradient_predictiveness?", "lipschitz_loss?", "lipschitz_gradient?", "direction_norm?",
        "gradient_predictiveness_normalized?", "effective_beta_normalized?", "lipschitz_loss_normalized?",
        "lipschitz_gradient_normalized?",
    )
)  # fmt: skip
_EIGENVALUES = " ".join(
    f"eigenvalue_{end}{part}"
    for end in ("largest", "smallest")
    for part in ("(grid)", "_residual(grid)", "_error_bound(grid)?", "_converged(grid)")
)
_KINDS = {
    "plane": _PLANE,
    "trajectory": f"""{_PLANE} checkpoint(checkpoint):text? path_epoch(checkpoint) path_x(checkpoint) path_y(checkpoint)
        path_residual(checkpoint) path_distance(checkpoint) path_measured(checkpoint) path_loss(checkpoint)
        path_loss_standard_error(checkpoint) path_accuracy(checkpoint)? path_weights_loss(checkpoint)
        path_plane_loss(checkpoint) path_plane_loss_standard_error(checkpoint)? component(component)?
        explained_variance(component)""",
    "curvature_map": f"""curvature_ratio(grid) status(grid) loss_status(grid) loss(grid)? loss_standard_error(grid)?
        accuracy(grid)? {_EIGENVALUES} curvature_ratio_error_bound(grid)? products(grid)? checkpoint_eigenvalue_largest()
        checkpoint_eigenvalue_smallest() checkpoint_curvature_ratio()? {_FRAME}""",
    "history": """epoch(epoch) train_loss(epoch)? validation_loss(epoch)? train_accuracy(epoch)? validation_accuracy(epoch)?
        learning_rate(epoch)? test_loss()? test_accuracy()?""",
    "gradient_flow": """mean_abs_gradient(record tensor) gradient_norm(record tensor)? epoch(record) step(record)?
        tensor(tensor):text? depth(tensor) role(tensor):text""",
    "steps": f"""step(step) along(along):text eta(eta) loss(step) {_ALONG} parameter_norm(step)? gradient_norm(step)? epoch(step)?
        learning_rate(step)? loss_along(step along eta)? gradient_distance(step along eta)?
        gradient_norm_along(step along eta)?""",
    "run_range": """step(step) loss_minimum(step) loss_maximum(step) gradient_norm_minimum(step)
        gradient_norm_maximum(step)""",
    "stability": """step(step) sharpness(step) ratio(step) residual(step) converged(step) loss(step) threshold(step)?
        products(step)? epoch(step)? learning_rate(step)?""",
    "path": """loss(path t) status(path t) barrier(path) barrier_standard_error(path) barrier_at(path) length(path) path(path):text
        t(t) loss_standard_error(path t) accuracy(path t)? accuracy_standard_error(path t)? end_distance(path)? moved_units()?
        alignment(alignment):text? similarity(alignment)?""",
    "curvature": """eigenvalues([block] rank) residuals([block] rank) converged([block] rank) rank(rank) parameters([block])
        status([block] quantity) quantity(quantity):text block(block):text? trace([block])? trace_standard_error([block])?
        frobenius_norm([block])? frobenius_norm_standard_error([block])? density_at([block] point)? density([block] point)?
        density_spread([block] point)? density_variance([block])? checkpoint_loss() checkpoint_loss_standard_error()?
        parameter_norm() gradient_norm() eigenvectors(rank parameter)? index(sample)?""",
    "sharpness": """sharpness(measure radius) status(measure radius) lower_bound(measure) measure(measure):text rho(measure radius)
        measure_name(measure):text measure_units(measure):text rho_name(measure):text error_over(measure):text
        standard_error(measure radius) gap(measure radius)? checkpoint_loss() parameter_norm() gradient_norm()
        index(sample)?""",
    "noise_scale": """noise_scale() noise_scale_standard_error() noise_trace() gradient_norm_squared() resolved()
        noise_scale_without(group)?""",
    "topology": """smad(seed) minima(seed) saddles(seed) components(seed) points(seed) interpolated_points(seed) holes(seed)
        loss_standard_error(seed) birth(seed dimension feature) death(seed dimension feature) features(seed dimension)
        node_value(seed node) node_x(seed node) node_y(seed node) node_parent(seed node) node_kind(seed node) seed(seed)
        dimension(dimension)""",
    "comparison": """value(measure setting replicate) mean(measure setting) low(measure setting) high(measure setting)
        n(measure setting) dead(setting) replication(measure):text scale(measure):text measure(measure):text
        setting(setting):text sentence(measure pair):text? long_name(measure):text? measure_units(measure):text?
        pair(pair):text?""",
    "plane_curvature": "curvature_largest(grid)? curvature_smallest(grid)? mean_curvature(grid)? loss(grid)",
    "plane_smoothness": "seed(seed)",
}
_TOGETHER = {  # where one before the bar is there, all are: variables, and attributes behind an @
    "curvature": (
        "trace trace_standard_error frobenius_norm frobenius_norm_standard_error |",
        "density density_at density_spread density_variance |",
    ),
    "path": ("accuracy | accuracy_standard_error",),
    "plane": (
        "@tolerance | @loss_max",
        "@picture_error | @tolerance @loss_max @measured_points",
    ),
    "stability": ("@limit @rule |",),
    "curvature_map": ("curvature_ratio | @eigenvalue_tolerance",),
}
_TOGETHER["trajectory"] = _TOGETHER["plane"]
_ALL_KINDS = ("@precision_deviation_max @precision_deviation_rms | @precision_deviation_note",)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_EMPTY = _names("epoch record step feature node point sample pair rank parameter alignment")
_COUNTS = _names(
    "dead complete n_samples threads bn_layers evaluation_batch_size measured_points max_products preconditioned best_epoch "
    "diverged_epoch updates curve_bends stride restarts ascent_steps"
)
_NUMBERS = _names(
    "tolerance loss_max picture_error image_passes precision_deviation_max precision_deviation_rms checkpoint_gradient "
    "eigenvalue_tolerance limit confidence"
)
_TEXTS = _names(
    "title data model norm checkpoint notes note directions normalization bn_policy loss_name dead_reason range_note status by "
    "rule precision device units long_name settings training fingerprint precision_deviation_note optimizer landscape_version "
    "torch_version runs to operator"
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


@cache
def _variables(kind: str) -> tuple[_Variable, ...]:
    return tuple(
        _Variable(name, tuple(dims.split()), bool(text), not optional)
        for name, dims, text, optional in _LINE.findall(_KINDS[kind])
    )


def check(path: str | os.PathLike[str], dataset: xr.Dataset) -> None:
    """Hold a data set against what a result of its kind has.

    Raises:
        ResultFileError: naming what is missing or of another form, and what was expected.
    """
    kind = dataset.attrs.get("kind")
    if not isinstance(kind, str):
        raise ResultFileError(f"{path}: its attribute 'kind' is {kind!r}; expected text, such as 'plane'.")
    fault = next(_faults(kind, dataset), None)
    if fault is not None:
        raise ResultFileError(
            f"{path}: is no whole result of kind {kind!r}: {fault}. It has been left as it is; make it again, or give it a kind of "
            "its own."
        )


def _faults(kind: str, dataset: xr.Dataset) -> Iterator[str]:
    if kind not in _KINDS:
        return
    grid = _grid(kind, dataset)
    for wanted in _variables(kind):
        dims = tuple(dim for dim in wanted.dims if not dim.startswith("[") or dim.strip("[]") in dataset.dims)
        dims = grid if dims == ("grid",) else tuple(dim.strip("[]") for dim in dims)
        if wanted.name in dataset.variables:
            yield from _form(wanted, dims, dataset[wanted.name])
        elif wanted.needed:
            yield f"it has no variable {wanted.name!r}"
    for group in (*_TOGETHER.get(kind, ()), *_ALL_KINDS):
        yield from _incomplete(group, dataset)
    yield from _axes(kind, grid, dataset)
    for owner in ("", *dataset.variables):
        attributes = dataset[owner].attrs if owner else dataset.attrs
        yield from _attributes(kind, f" of {owner!r}" if owner else "", attributes)
    yield from implausible(kind, dataset)


def _grid(kind: str, dataset: xr.Dataset) -> tuple[str, ...]:
    over = "curvature_ratio" if kind == "curvature_map" else "loss"
    if not any(variable.dims == ("grid",) for variable in _variables(kind)):
        return ()
    return tuple(str(dim) for dim in dataset[over].dims) if over in dataset.variables else ()


def _form(wanted: _Variable, dims: tuple[str, ...], found: xr.DataArray) -> Iterator[str]:
    if found.dims != dims:
        yield f"{wanted.name!r} is over ({', '.join(map(str, found.dims))}); expected ({', '.join(dims)})"
    kinds, expected = ("OUS", "text") if wanted.text else ("biuf", "numbers")
    if found.dtype.kind not in kinds:
        yield f"{wanted.name!r} holds {found.dtype} values; expected {expected}"
    elif wanted.name in _WHOLE and not _are_whole(found.values):
        yield f"{wanted.name!r} holds values that are no whole numbers"
    empty = [str(dim) for dim, size in found.sizes.items() if not size and dim not in _EMPTY]
    if empty:
        yield f"{wanted.name!r} has no values along {empty[0]!r}"


def _axes(kind: str, grid: tuple[str, ...], dataset: xr.Dataset) -> Iterator[str]:
    """The coordinates of a grid, and every index: each value once."""
    if _variables(kind)[0].dims == ("grid",):
        needed = {"x", "y"} if kind in ("trajectory", "curvature_map") else set()
        if not {*grid} - {"seed"} or not needed <= {*grid}:
            yield f"its values are over ({', '.join(grid)}); expected {'y and x' if needed else 'at least one axis, such as x'}"
    for name in grid:
        if name in _AXES and "status" in dataset and name not in dataset.coords:
            yield f"it has no coordinate {name!r}"
    for name, index in dataset.indexes.items():
        values = dataset[name].values
        if name in grid and (values.dtype.kind not in "iuf" or not np.isfinite(values).all()):
            yield f"the coordinate {name!r} is not of finite numbers"
        elif not index.is_unique:
            yield f"the coordinate {name!r} has a value twice"


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


def _attributes(kind: str, owner: str, attributes: Mapping[Any, Any]) -> Iterator[str]:
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
        form = list if (kind, name) == ("comparison", "notes") else _JSON.get(name)
        if form is not None and (value or name != "notes") and not _is_json(value, form):
            yield f"its attribute {name!r}{owner} is not JSON of a {'mapping' if form is dict else 'list'}"


def _is_json(text: object, form: type) -> bool:
    try:
        return isinstance(json.loads(str(text)), form)
    except (ValueError, RecursionError):
        return False
