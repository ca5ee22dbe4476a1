"""Minima, saddles, SMAD and persistence against calculations by hand, and the merge tree against gudhi."""

from __future__ import annotations

import builtins
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import render_samples as samples
import xarray as xr
from commands import fails, run
from test_render_planes import caption_of, legend_words

from landscape.comparison import compare
from landscape.errors import InputError
from landscape.probes.interactive import interactive
from landscape.probes.plot import plot
from landscape.probes.topology.measure import plane_smad, topology
from landscape.probes.topology.merge_tree import MINIMUM, SADDLE, TOP, merge_tree
from landscape.probes.topology.persistence import sublevel_features
from landscape.results import load_result, save_result

INF = math.inf


def surface(values: Any, x: Any = None, y: Any = None, **attributes: Any) -> xr.Dataset:
    """A plane of one direction seed with these losses, rows along y; measured where they are not None."""
    rows = [[math.nan if v is None else v for v in row] for row in np.asarray(values, dtype=object).tolist()]
    loss = np.array(rows, dtype=float)[None]
    status = np.array([[v is not None for v in row] for row in np.asarray(values, dtype=object).tolist()])[None]
    axes = {
        "y": np.arange(loss.shape[1], dtype=float) if y is None else y,
        "x": np.arange(loss.shape[2], dtype=float) if x is None else x,
    }
    dims = ("seed", "y", "x")
    return xr.Dataset(
        {"loss": (dims, loss, {"units": "nat"}), "status": (dims, status.astype(np.int8))},
        {"seed": [0], **axes},
        {"kind": "plane", **attributes},
    )


def of(function: Any, low: int = -2, high: int = 2) -> xr.Dataset:
    """A function of whole x and y."""
    axis = np.arange(low, high + 1, dtype=float)
    x, y = np.meshgrid(axis, axis)
    return surface(function(x, y), axis, axis)


def bars(found: xr.Dataset, dimension: int) -> list[tuple[float, float]]:
    """Births and deaths of the one seed."""
    one = found.isel(seed=0).sel(dimension=dimension)
    count = int(one["features"])
    return sorted(zip(one["birth"].values[:count].tolist(), one["death"].values[:count].tolist(), strict=True))


def test_one_basin_has_one_minimum_and_no_saddle() -> None:
    # f = x² + y²: the minimum 0 at the origin; every level adds points beside earlier ones, so nothing else is born.
    found = topology(of(lambda x, y: x**2 + y**2))
    assert float(found["smad"][0]) == 0.0
    assert (int(found["minima"][0]), int(found["saddles"][0])) == (1, 0)
    assert bars(found, 0) == [(0, INF)]
    assert bars(found, 1) == []
    assert (float(found["birth_x"][0, 0, 0]), float(found["birth_y"][0, 0, 0])) == (0, 0)


def test_two_basins_meet_at_their_known_saddle() -> None:
    # f = (x² − 1)² + y² + x/4: minima −1/4 at (−1, 0) and 1/4 at (1, 0); between them lies (0, 0) with 1, and any way around has
    # y² = 1 more. SMAD = ((1 + 1/4) + (1 − 1/4)) / 2 = 1; the higher minimum lives from 1/4 to 1.
    found = topology(of(lambda x, y: (x**2 - 1) ** 2 + y**2 + x / 4))
    assert float(found["smad"][0]) == 1.0
    assert bars(found, 0) == [(-0.25, INF), (0.25, 1.0)]
    assert bars(found, 1) == []
    one = found.isel(seed=0)
    saddle = int(np.flatnonzero(one["node_kind"] == SADDLE)[0])
    assert [float(one[f"node_{name}"][saddle]) for name in ("x", "y", "value")] == [0, 0, 1]
    assert float(one["total_persistence"].sel(dimension=0)) == 0.75


def test_three_valleys_of_a_monkey_saddle_meet_in_one_node() -> None:
    # f = x³ − 3xy² on −2 … 2: minima 8 − 24 = −16 at (2, ±2) and −8 at (−2, 0). They meet on the line x = 0, where f = 0: any way
    # from one to another crosses it or passes x = 1 with at least f(1, 0) = 1. One node with three branches:
    # SMAD = (16 + 16 + 8) / 3; one −16 and the −8 die at 0.
    found = topology(of(lambda x, y: x**3 - 3 * x * y**2))
    assert float(found["smad"][0]) == pytest.approx(40 / 3, rel=1e-15)
    assert (int(found["minima"][0]), int(found["saddles"][0])) == (3, 1)
    assert bars(found, 0) == [(-16, 0), (-16, INF), (-8, 0)]
    assert bars(found, 1) == []


def test_plateaus_are_one_minimum_and_one_saddle() -> None:
    # Along x: a flat basin at 1, a flat pass at 3, a basin at 0. SMAD = ((3 − 1) + (3 − 0)) / 2 = 5/2.
    found = topology(surface([[5, 1, 1, 3, 3, 0, 4]] * 3))
    assert float(found["smad"][0]) == 2.5
    assert bars(found, 0) == [(0, INF), (1, 3)]
    flat = topology(surface([[2.0] * 4] * 3))
    assert float(flat["smad"][0]) == 0.0
    assert (int(flat["minima"][0]), int(flat["saddles"][0])) == (1, 0)
    assert bars(flat, 0) == [(2, INF)]


NOISE = [
    [3, 7, 2, 9],
    [8, 1, 6, 4],
    [5, 10, 0, 11],
    [12, 13, 14, 15],
]


def test_noise_is_many_basins_as_deep_as_counted_by_hand() -> None:
    # Lower than all their neighbours: 3, 2, 1, 4, 5, 0. At 6 the basins of 2, 1, 4 and 0 meet; at 7 that of 3 joins them, at 8 that
    # of 5. Edges between saddle and minimum: 6 − 2, 6 − 1, 6 − 4, 6 − 0, 7 − 3, 8 − 5: SMAD = (4 + 5 + 2 + 6 + 4 + 3) / 6 = 4.
    # Every square has its highest corner where it closes, so no ring is born.
    found = topology(surface(NOISE))
    assert float(found["smad"][0]) == 4.0
    assert (int(found["minima"][0]), int(found["saddles"][0])) == (6, 3)
    assert bars(found, 0) == [(0, INF), (1, 6), (2, 6), (3, 7), (4, 6), (5, 8)]
    assert bars(found, 1) == []
    assert float(found["total_persistence"].sel(dimension=0)[0]) == 5 + 4 + 4 + 2 + 3
    assert plane_smad(surface(NOISE)) == {0: 4.0}


CRATER = [[3, 3, 3, 3, 3], [3, 0, 0, 0, 3], [3, 0, 2, 0, 3], [3, 0, 0, 0, 3], [3, 3, 3, 3, 3]]


def test_a_ring_around_a_hill_lives_until_the_hill_is_reached() -> None:
    # The eight points at 0 are a ring; the four squares inside enter with the hilltop, at 2, in the middle.
    found = topology(surface(CRATER))
    assert bars(found, 1) == [(0, 2)]
    assert bars(found, 0) == [(0, INF)]
    assert (float(found["death_x"][0, 1, 0]), float(found["death_y"][0, 1, 0])) == (2, 2)


@pytest.mark.parametrize("hole", [None, math.nan, INF, -INF])
def test_what_is_no_number_or_missing_is_a_hole_that_is_never_filled(hole: float | None) -> None:
    values: list[list[float | None]] = [list(row) for row in CRATER]
    values[2][2] = hole
    found = topology(surface(values))
    assert bars(found, 1) == [(0, INF)]
    assert int(found["holes"][0]) == 1
    assert int(found["points"][0]) == 24


def test_a_wall_of_holes_parts_the_plane() -> None:
    # Left: minimum 1. Right: minima 0 and 2 across 4. SMAD = (4 + 2) / 2 = 3: the left part has no saddle.
    found = topology(surface([[1, 3, None, 0, 4, 2], [3, 5, None, 6, 7, 8]]))
    assert int(found["components"][0]) == 2
    assert bars(found, 0) == [(0, INF), (1, INF), (2, 4)]
    assert float(found["smad"][0]) == 3.0


def test_points_are_joined_along_the_axes_and_not_across_a_corner() -> None:
    # The zeros touch at a corner alone: two minima, which meet at 5.
    found = topology(surface([[0, 5], [5, 0]]))
    assert bars(found, 0) == [(0, 5), (0, INF)]
    assert float(found["smad"][0]) == 5.0


def test_an_adaptive_plane_counts_interpolated_points_and_ends_at_its_clip() -> None:
    # Under a clip of 6 the basins of 3 and 5 stay parts of their own: SMAD = (4 + 5 + 2 + 6) / 4.
    plane = surface(NOISE, loss_max=6.0, tolerance=0.01)
    plane["status"][0, 1, 1] = 2
    plane["status"][0, 3, 3] = 3
    found = topology(plane)
    assert int(found["interpolated_points"][0]) == 1
    assert int(found["points"][0]) == 7
    assert float(found["smad"][0]) == 4.25
    assert int(found["components"][0]) == 3
    assert float(topology(plane, loss_max=7.0)["smad"][0]) == pytest.approx((4 + 5 + 2 + 6 + 4) / 5)
    assert found.attrs["loss_max"] == 6.0


@pytest.mark.parametrize("seed", range(40))
def test_births_and_deaths_of_the_merge_tree_are_those_of_gudhi(seed: int) -> None:
    draws = np.random.default_rng(seed)
    shape = tuple(draws.integers(1, 12, 2))
    values = draws.integers(0, draws.integers(2, 40), shape).astype(float)  # with ties
    known = draws.random(shape) < draws.choice([0.6, 1.0])
    tree = merge_tree(values, known)
    features = sublevel_features(values, known)
    finite = [(tree.values[young], tree.values[saddle]) for young, saddle in tree.pairs]
    endless = [(value, INF) for value in tree.values[np.setdiff1d(tree.minima, tree.pairs[:, 0])]]
    assert sorted([*finite, *endless]) == sorted((f.birth, f.death) for f in features if f.dimension == 0)
    for feature in features:
        assert values.ravel()[feature.birth_place] == feature.birth
        assert feature.death_place is None or values.ravel()[feature.death_place] == feature.death


@pytest.mark.parametrize("seed", range(10))
def test_a_merge_tree_is_a_tree_whose_saddles_part_into_at_least_two(seed: int) -> None:
    draws = np.random.default_rng(seed)
    values = draws.integers(0, 30, (9, 7)).astype(float)
    known = draws.random((9, 7)) < 0.8
    tree = merge_tree(values, known)
    above = tree.parents != np.arange(tree.parents.size)
    assert (tree.values[tree.parents[above]] > tree.values[above]).all()
    below = np.bincount(tree.parents[above], minlength=tree.parents.size)
    assert (below[tree.kinds == SADDLE] >= 2).all()
    assert (below[tree.kinds == MINIMUM] == 0).all()
    assert (below[tree.kinds == TOP] == 1).all()
    np.testing.assert_array_equal(tree.values, values.ravel()[tree.places])


def test_seeds_are_apart_and_their_mean_and_spread_beside_them() -> None:
    both = xr.concat([surface(NOISE), surface(CRATER[:4]).isel(x=slice(4)).assign_coords(seed=[3])], "seed")
    found = topology(both)
    assert found["smad"].values.tolist() == [4.0, 0.0]
    assert float(found["smad_mean"]) == 2.0
    assert float(found["smad_spread"]) == pytest.approx(math.sqrt(8))
    assert np.isnan(found["birth"].values[1, 0, 1:]).all()
    for name, variable in found.variables.items():
        assert variable.attrs.get("units"), name
        assert variable.attrs.get("long_name"), name


@pytest.mark.parametrize(
    ("plane", "message"),
    [
        (surface(NOISE).drop_vars("loss"), "expected a loss over"),
        (surface(NOISE).isel(y=0), "expected a loss over"),
        (surface(NOISE, complete=0), "not finished"),
        (surface([[math.nan, None], [INF, None]]), "no point of some direction seed"),
    ],
)
def test_what_has_no_topology_is_refused_with_the_reason(plane: xr.Dataset, message: str) -> None:
    with pytest.raises(InputError, match=message):
        topology(plane)


def test_without_gudhi_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name == "gudhi":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.delitem(sys.modules, "gudhi", raising=False)
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(InputError, match=r"pip install 'landscape-lab\[topology\]'"):
        topology(surface(NOISE))
    assert plane_smad(surface(NOISE)) == {0: 4.0}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save_result(surface(NOISE), tmp_path / "noise.h5")
    save_result(surface(CRATER), tmp_path / "crater.h5")
    return tmp_path


def test_the_command_says_what_it_found_and_leaves_a_file_to_draw(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished = run(capsys, "topology", "noise.h5", "crater.h5")
    assert finished.status == 0, finished.err
    assert "SMAD 4 nat; 6 minima, 3 saddles; basins: 6, longest finite life 5; rings around hills: 0" in finished.out
    assert "rings around hills: 1, longest finite life 2" in finished.out
    assert finished.out.splitlines()[-1] == "crater-topology.h5"
    xr.testing.assert_identical(
        load_result("noise-topology.h5").drop_attrs(), topology(load_result("noise.h5")).drop_attrs()
    )
    assert "seed 0: SMAD 4 nat; 6 minima, 3 saddles" in run(capsys, "info", "noise-topology.h5").out
    outs = [f"--out=t.{suffix}" for suffix in ("png", "svg", "pdf", "html")]
    assert run(capsys, "plot", "noise-topology.h5", "crater-topology.h5", *outs).status == 0
    assert (here / "t.pdf").read_bytes().startswith(b"%PDF")
    assert "SMAD 4 nat" in (here / "t.svg").read_text()
    fails(capsys, "topology", "noise-topology.h5", status=2, says="noise-topology.h5: plane: expected a loss over")
    fails(capsys, "topology", "noise.h5", "crater.h5", "--out", "one.h5", status=2, says="out: is one file")


def test_a_plane_can_be_drawn_as_its_topology_at_once(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "plot", "noise.h5", "--kind", "topology", "--loss-max", "6", "--out", "direct.svg").status == 0
    assert "SMAD 4.25 nat" in (here / "direct.svg").read_text()


def test_the_tree_is_drawn_with_every_minimum_and_every_branch() -> None:
    found = topology(surface(NOISE))
    figure = plot(found)
    tree, barcode = figure.axes
    dots = next(line for line in tree.lines if line.get_marker() == "o")
    assert sorted(np.asarray(dots.get_ydata()).tolist()) == [0, 1, 2, 3, 4, 5]
    assert len(set(np.asarray(dots.get_xdata()).tolist())) == 6
    elbows = [line.get_ydata() for line in tree.lines if len(line.get_xdata()) == 3 and line.get_linestyle() == "-"]
    climbs = sorted((float(up[0]), float(up[1])) for up in elbows)
    assert climbs == [(0, 6), (1, 6), (2, 6), (3, 7), (4, 6), (5, 8), (6, 7), (7, 8), (8, 15)]
    drawn = [segment[:, 1].tolist() for segments in barcode.collections for segment in segments.get_segments()]
    finite = sorted(tuple(pair) for pair in drawn if pair[0] > 0)
    assert finite == [(1, 6), (2, 6), (3, 7), (4, 6), (5, 8)]
    assert {"minima", "saddles, where basins meet"} <= set(legend_words(tree))
    assert "Minima: 6 " in figure.caption and "Basins, dimension 0: 6 " in figure.caption


def test_the_picture_says_that_interpolated_points_count_and_where_the_clip_is() -> None:
    plane = surface(NOISE, loss_max=6.0, tolerance=0.01)
    plane["status"][0, 1, 1] = 2
    assert "7, 1 of them interpolated, 9 left out as not measured, not finite, or above 6" in caption_of(
        plot(topology(plane))
    )


def test_each_seed_has_its_own_panels_and_there_is_no_mean() -> None:
    plane = samples.plane(9, 9, seeds=(0, 1, 2))
    found = topology(plane)
    assert len(plot(found).axes) == 6
    assert len(plot(found, seed=1, quantity="tree").axes) == 1
    with pytest.raises(InputError, match="topologies have no mean"):
        plot(found, seed="mean")
    with pytest.raises(InputError, match="Choose from: all, barcode, tree"):
        plot(found, quantity="bars")
    assert "ring around a hill" in interactive(found)


def waves(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    return np.asarray(2 + np.sin(5 * x + seed) * np.cos(4 * y))


def test_compare_reads_the_smad_of_every_direction_seed_from_planes() -> None:
    shapes = {"none": waves, "batch": lambda x, y, seed: 2 * waves(x, y, seed)}
    planes = {norm: samples.plane(21, 21, seeds=(0, 1, 2), norm=norm, surface=shape) for norm, shape in shapes.items()}
    row, *others = compare(list(planes.values()), by="norm", measures=["smad"]).rows
    assert not others
    for norm, plane in planes.items():
        expected = plane_smad(plane)
        assert dict(row.cells[norm].values) == pytest.approx(expected)
        assert row.cells[norm].mean == pytest.approx(np.mean(list(expected.values())))
    assert row.cells["batch"].mean == pytest.approx(2 * row.cells["none"].mean)
