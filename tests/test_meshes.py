"""Results in other programs' files: there and back they are equal, and a mesh stands where the values are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import render_samples as samples
import xarray as xr
from figure_cases import frozen

from landscape.errors import InputError, ResultFileError
from landscape.results import load_result, save_result
from landscape.studies.meshes import export_mesh, import_mesh

pyvista = pytest.importorskip("pyvista")

PLANES = {
    "full": lambda: frozen("plane_full"),
    "adaptive": lambda: frozen("plane_adaptive"),
    "seeds and holes": lambda: samples.with_holes(samples.plane(9, 7, seeds=(0, 3))),
    "one row": lambda: samples.plane(5, 1),
}
PATHS = {
    "trajectory": lambda: frozen("trajectory"),
    "path": lambda: frozen("path"),
    "line": lambda: frozen("line"),
}
TABLES = {**PLANES, **PATHS, "sharpness": lambda: frozen("sharpness"), "steps": lambda: frozen("steps")}


def same(one: xr.Dataset, other: xr.Dataset) -> bool:
    """Equal to the bit, texts as texts: names, dimensions, types of numbers, values and attributes."""
    xr.testing.assert_identical(one, other)
    return all(one[name].dtype == other[name].dtype for name in one.variables if one[name].dtype.kind in "fiu")


@pytest.mark.parametrize(
    ("suffix", "name", "make"),
    [
        *((".vts", name, make) for name, make in PLANES.items()),
        *((".vtp", name, make) for name, make in PATHS.items()),
        *((".csv", name, make) for name, make in TABLES.items()),
    ],
)
def test_there_and_back_a_result_is_the_same(tmp_path: Path, suffix: str, name: str, make: object) -> None:
    dataset = make()  # type: ignore[operator]
    save_result(dataset, tmp_path / "first.h5")
    first = load_result(tmp_path / "first.h5")
    export_mesh(first, tmp_path / f"out{suffix}")
    assert same(import_mesh(tmp_path / f"out{suffix}"), first), name


def test_the_points_of_a_vts_are_the_grid_and_its_arrays_the_values(tmp_path: Path) -> None:
    dataset = samples.plane(6, 4, seeds=(0, 5), surface=lambda x, y, seed: 3 + seed + 1.5 * x - 0.5 * y)
    export_mesh(dataset, tmp_path / "out.vts", seed=5)
    mesh = pyvista.read(tmp_path / "out.vts")
    x, y, z = np.asarray(mesh.points).T
    value = np.asarray(mesh.point_data["value"])
    assert value == pytest.approx(8 + 1.5 * x - 0.5 * y)
    assert np.asarray(mesh.point_data["loss [seed 0]"]) == pytest.approx(3 + 1.5 * x - 0.5 * y)
    assert z == pytest.approx(0.72 * 2 * (value - value.min()) / np.ptp(value))


@pytest.mark.parametrize("suffix", [".ply", ".stl"])
def test_triangles_stand_on_the_values_and_leave_holes_where_there_are_none(tmp_path: Path, suffix: str) -> None:
    dataset = samples.plane(7, 5, surface=lambda x, y, seed: 3 + 1.5 * x - 0.5 * y)
    export_mesh(dataset, tmp_path / f"whole{suffix}")
    whole = pyvista.read(tmp_path / f"whole{suffix}")
    assert whole.n_cells == 2 * 6 * 4
    x, y, z = np.asarray(whole.points).T
    assert z == pytest.approx(0.72 * 2 * (1.5 * x - 0.5 * y + 2) / 4, abs=1e-6)
    dataset["loss"][0, 2, 3] = np.nan
    export_mesh(dataset, tmp_path / f"hole{suffix}")
    assert 2 * 6 * 4 - 8 <= pyvista.read(tmp_path / f"hole{suffix}").n_cells < 2 * 6 * 4


def test_a_table_has_a_row_a_point_and_no_formulas(tmp_path: Path) -> None:
    dataset = samples.plane(4, 3)
    export_mesh(dataset, tmp_path / "out.csv")
    lines = (tmp_path / "out.csv").read_text().splitlines()
    columns = lines[1].split(",")
    values = np.array([[float(cell) for cell in line.split(",")] for line in lines[2:]])
    assert columns[:3] == ["seed", "y", "x"] and values.shape[0] == 12
    assert values[:, columns.index("loss")] == pytest.approx(dataset["loss"].values.ravel())


def test_what_has_no_such_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"target: a surface is made of a plane over x and y, .* 'plane'\. Try \.vtp"):
        export_mesh(samples.line(5), tmp_path / "out.vts")
    with pytest.raises(InputError, match=r"target: a path is made of a trajectory"):
        export_mesh(samples.plane(5, 5), tmp_path / "out.vtp")
    with pytest.raises(InputError, match=r"target: unknown value '\.obj'"):
        export_mesh(samples.plane(5, 5), tmp_path / "out.obj")


@pytest.mark.parametrize("text", ["x,y\n1,2\n", "# landscape: {}\n", '# landscape: {"form": 1, "sizes": 3}\n', ""])
def test_a_file_that_holds_no_result_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "other.csv").write_text(text)
    with pytest.raises(ResultFileError, match="holds no result of landscape"):
        import_mesh(tmp_path / "other.csv")
