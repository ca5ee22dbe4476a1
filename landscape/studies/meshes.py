"""Results for other programs: surfaces and paths for ParaView, meshes for printers and renderers, tables; and back again."""

from __future__ import annotations

import csv
import io
import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from landscape.errors import InputError, ResultFileError, unknown_choice
from landscape.pictures.scale import choose_scale
from landscape.printable import csv_cell
from landscape.probes.plane.reading import read_planes
from landscape.probes.trajectory.result import is_path
from landscape.results import atomic_write, check_writable
from landscape.results.schema import check

SURFACES, PATHS, TABLES = (".vts", ".ply", ".stl"), (".vtp",), (".csv",)
SUFFIXES = (*SURFACES, *PATHS, *TABLES)
WHOLE = (".vts", ".vtp", ".csv")  # hold the whole result, and can be read back
FIELD = "landscape"  # what a file calls the result's description
TALL = 0.72  # height of a surface over its width, as in pictures
FORM = 1


def export_mesh(dataset: xr.Dataset, path: Path, *, seed: int | None = None) -> None:
    """Write a result as its file's suffix says.

    ``.vts`` is the surface of a plane, ``.vtp`` the path of a trajectory, of paths between checkpoints or of a line, ``.csv`` a
    table of any of them; these three hold the whole result besides, and :func:`import_mesh` gives it back equal. ``.ply`` and
    ``.stl`` are the surface's triangles alone, in single precision. Points of a surface are x, y and the height at which pictures
    draw the loss: itself or its log₁₀, so that it is 0.72 times as tall as it is wide; points without a number have height 0 in
    ``.vts`` and no triangles in the others.

    Args:
        seed: which direction seed gives the heights; None: the mean over them.

    Raises:
        InputError: for another suffix, a result that has no such form, a seed that was not measured, and without pyvista.
        ResultFileError: where the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise unknown_choice("target", suffix or str(path), SUFFIXES)
    check_writable(path)
    if suffix in TABLES:
        atomic_write(path, _table(dataset).encode())
        return
    mesh = _surface(dataset, seed) if suffix in SURFACES else _path(dataset)
    if suffix in WHOLE:
        mesh.field_data[FIELD] = [json.dumps(_described(dataset, set(dataset.variables)))]
    if suffix in (".ply", ".stl"):
        mesh = mesh.extract_surface(algorithm="dataset_surface").triangulate()
        known = np.isfinite(np.asarray(mesh.point_data["value"]))
        faces = mesh.regular_faces
        mesh = _pyvista().PolyData.from_regular_faces(mesh.points, faces[known[faces].all(axis=1)]).clean()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / f"mesh{suffix}"
        mesh.save(made)
        atomic_write(path, made.read_bytes())


def import_mesh(path: Path) -> xr.Dataset:
    """The result that a ``.vts``, ``.vtp`` or ``.csv`` of :func:`export_mesh` holds.

    Raises:
        InputError: for another suffix, and without pyvista where it is needed.
        ResultFileError: for a file that cannot be read, holds no result, or one that is no result of its kind.
    """
    suffix = path.suffix.lower()
    if suffix not in WHOLE:
        raise unknown_choice("source", suffix or str(path), WHOLE)
    read: Callable[[Path], str] = _first_line if suffix in TABLES else _field
    try:
        description = json.loads(read(path))
        dataset = _rebuilt(description)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ResultFileError(
            f"{path}: holds no result of landscape that could be read back ({type(error).__name__}). Only files that landscape "
            "wrote, unchanged by other programs, can be."
        ) from None
    check(path, dataset)
    return dataset


def _pyvista() -> Any:
    try:
        import pyvista
    except ImportError:
        raise InputError(
            "target: files for ParaView and meshes need pyvista: pip install 'landscape-lab[vtk]'. A .csv needs nothing."
        ) from None
    return pyvista


def _surface(dataset: xr.Dataset, seed: int | None) -> Any:
    """The structured grid of a plane, with the quantities of every seed as its arrays."""
    if not {"x", "y"} <= set(dataset.dims) or "loss" not in dataset:
        raise InputError(
            f"target: a surface is made of a plane over x and y, and this is of kind {str(dataset.attrs.get('kind'))!r}. "
            "Try .vtp or .csv."
        )
    vista = _pyvista()
    (plane,) = read_planes([dataset])
    values = plane.field(seed).values
    assert plane.y is not None
    x, y = np.meshgrid(plane.x.values, plane.y.values)
    grid = vista.StructuredGrid(x, y, _heights(values, float(np.ptp(x)) or 1.0))
    grid.point_data["value"] = values.ravel(order="F")
    for name, variable in dataset.variables.items():
        if {"x", "y"} <= set(variable.dims) and variable.dtype.kind in "fiu" and len(variable.dims) <= 3:
            ordered = dataset[name].sortby(["x", "y"])
            if ordered.sizes["x"] * ordered.sizes["y"] != values.size:  # drawn on a coarser mesh than it was asked for
                continue
            for key, one in _parts(ordered):
                grid.point_data[f"{name}{key}"] = one.transpose("y", "x").values.ravel(order="F")
    return grid


def _parts(variable: xr.DataArray) -> list[tuple[str, xr.DataArray]]:
    others = [str(dim) for dim in variable.dims if dim not in ("x", "y")]
    if not others:
        return [("", variable)]
    places = range(variable.sizes[others[0]])
    names = variable[others[0]].values if others[0] in variable.coords else places
    return [(f" [{others[0]} {names[k]}]", variable.isel({others[0]: k})) for k in places]


def _heights(values: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """As pictures draw them, from 0 on; 0 where there is no number."""
    scale = choose_scale([values])
    if scale is None:
        return np.zeros(values.shape)
    kept = np.where(np.isfinite(values), np.maximum(values, scale.low), scale.low)
    low, high = scale.low, scale.high
    if scale.log:
        kept, low, high = np.log10(kept), math.log10(low), math.log10(high)
    return np.asarray(TALL * width * (kept - low) / (high - low), dtype=float)


def _path(dataset: xr.Dataset) -> Any:
    """A polyline through the checkpoints of a trajectory, or along each path or line."""
    vista = _pyvista()
    if {"path_x", "path_y", "path_loss"} <= set(dataset.variables):
        lines = [[np.asarray(dataset[name].values, dtype=float) for name in ("path_x", "path_y", "path_loss")]]
    elif "t" in dataset.dims and "path" in dataset.dims:
        t = np.asarray(dataset["t"].values, dtype=float)
        lines = [
            [t, np.full(t.size, float(k)), dataset["loss"].isel(path=k).values] for k in range(dataset.sizes["path"])
        ]
    elif "x" in dataset.dims and "y" not in dataset.dims and "loss" in dataset:
        x = np.asarray(dataset["x"].values, dtype=float)
        several = dataset["loss"] if "seed" in dataset["loss"].dims else dataset["loss"].expand_dims("seed")
        lines = [[x, np.full(x.size, float(k)), several.isel(seed=k).values] for k in range(several.sizes["seed"])]
    else:
        kind = str(dataset.attrs.get("kind"))
        raise InputError(
            f"target: a path is made of a trajectory, paths or a line, and this is of kind {kind!r}. Try .csv."
        )
    points = np.concatenate([np.stack(line, axis=1) for line in lines])
    mesh = vista.PolyData(np.where(np.isfinite(points), points, 0.0))
    counts = [len(line[0]) for line in lines]
    starts = np.cumsum([0, *counts[:-1]])
    if is_path(dataset):  # models in no order are points
        mesh.lines = np.concatenate(
            [np.concatenate([[count], start + np.arange(count)]) for start, count in zip(starts, counts, strict=True)]
        )
    mesh.point_data["loss"] = points[:, 2]
    return mesh


def _table(dataset: xr.Dataset) -> str:
    """A row a point of the result's grid, or of its longest dimension, after a line that holds everything else."""
    grid = [name for name in dataset.data_vars if dataset[name].dims and dataset[name].dtype.kind in "fiu"]
    if not grid:
        raise InputError("target: the result has no numbers over a dimension that could be a table.")
    dims = max((dataset[name].dims for name in grid), key=lambda d: math.prod(dataset.sizes[one] for one in d))
    columns = [name for name in grid if set(dataset[name].dims) == set(dims)]
    names = [name for name in dims if name in dataset.coords]
    flat = {name: dataset[name].broadcast_like(dataset[columns[0]]).transpose(*dims).values.ravel() for name in names}
    flat |= {name: dataset[name].transpose(*dims).values.ravel() for name in columns}
    out = io.StringIO()
    out.write(f"# {FIELD}: {json.dumps(_described(dataset, set(dataset.variables)))}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([csv_cell(str(name)) for name in flat])
    writer.writerows(
        [[csv_cell(value) for value in row] for row in zip(*(flat[n].tolist() for n in flat), strict=True)]
    )
    return out.getvalue()


def _described(dataset: xr.Dataset, names: set[Any]) -> dict[str, Any]:
    """Everything of a data set as JSON: numbers as Python writes them, which doubles survive."""

    def variable(name: Any) -> dict[str, Any]:
        one = dataset[name].variable
        values = one.values.ravel().tolist()
        kind = "text" if one.dtype.kind in "OUT" else one.dtype.str
        return {"dims": list(one.dims), "type": kind, "values": values, "attrs": _plain(one.attrs)}

    return {
        "form": FORM,
        "sizes": dict(dataset.sizes),
        "attrs": _plain(dataset.attrs),
        "coords": [str(name) for name in dataset.coords],
        "variables": {str(name): variable(name) for name in dataset.variables if name in names},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.ndarray):
        return {"array": value.dtype.str, "values": value.tolist()}
    return value.item() if isinstance(value, np.generic) else value


def _rebuilt(description: Any) -> xr.Dataset:
    if description["form"] != FORM:
        raise ValueError("another form")
    sizes = {str(name): int(size) for name, size in description["sizes"].items()}
    variables = {}
    for name, one in description["variables"].items():
        kind = one["type"]
        values = np.array(one["values"], dtype=object if kind == "text" else _number_type(kind))
        shape = tuple(sizes[dim] for dim in one["dims"])
        variables[name] = (tuple(one["dims"]), values.reshape(shape), _attributes(one["attrs"]))
    coords = {name: variables.pop(name) for name in description["coords"]}
    return xr.Dataset(variables, coords=coords, attrs=_attributes(description["attrs"]))


def _attributes(described: Any) -> dict[str, Any]:
    return {
        name: np.array(value["values"], dtype=_number_type(value["array"]))
        if isinstance(value, dict) and set(value) == {"array", "values"}
        else value
        for name, value in described.items()
    }


def _number_type(kind: Any) -> str:
    if not (isinstance(kind, str) and kind[1:2] in set("fiub") and kind[2:].isdigit()):
        raise ValueError("another type")
    return kind


def _first_line(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as lines:
            first = lines.readline()
    except OSError as error:
        raise ResultFileError(f"{path}: cannot be read: {error.strerror}.") from None
    head = f"# {FIELD}: "
    if not first.startswith(head):
        raise ValueError("no description")
    return first[len(head) :]


def _field(path: Path) -> str:
    if not path.is_file():
        raise ResultFileError(f"{path}: no such file.")
    mesh = _pyvista().read(path)
    return str(mesh.field_data[FIELD][0])
