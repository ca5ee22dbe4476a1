"""Adaptive planes have a curvature wherever enough was measured, whatever is missing around a point, and are compared by it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from comparison_samples import training
from test_comparison import row

import landscape as ls
from landscape.numerics.refinement import Refinement, refine
from landscape.probes.plane.scattered import scattered_smoothness
from landscape.probes.plane.smoothness import plane_smoothness

CLIP = 10.0
Values = np.ndarray


def quadratic(x: Values, y: Values, scale: float = 1.0) -> Values:
    return 1.4 + scale * (40 * x**2 + 50 * y**2 + 6 * x * y)


def plane(f: Callable[[Values, Values], Values], n: int, *, full: bool = False, **settings: object) -> xr.Dataset:
    """``f`` as an adaptive plane holds it: measured here and there, interpolated elsewhere, nothing known above the clip."""
    x = np.linspace(-1, 1, n)
    truth = f(*np.meshgrid(x, x))
    made = refine((n, n), Refinement(value_max=CLIP), lambda indices: truth.ravel()[indices])
    measured = np.ones((n, n), bool) if full else made.measured.reshape(n, n)
    status = np.where(measured, np.where(truth > CLIP, 3, 1), 2)
    loss = np.where(measured, truth, made.values.reshape(n, n))
    both = ("seed", "y", "x")
    return xr.Dataset(
        {"loss": (both, loss[None], {"units": "nat"}), "status": (both, status[None].astype(np.int8))},
        coords={"seed": [0], "x": x, "y": x},
        attrs={
            "kind": "plane",
            "loss_max": CLIP,
            "tolerance": 0.01,
            "normalization": "filter",
            "checkpoint": "run-last",
            "training": training(**settings),
        },
    )


@pytest.mark.parametrize("n", [21, 25, 51])
def test_a_quadratic_of_which_little_lies_below_the_clip_is_found_exactly(n: int) -> None:
    hessian = np.array([[80.0, 6.0], [6.0, 100.0]])
    smallest, largest = np.linalg.eigvalsh(hessian)
    found = scattered_smoothness(plane(quadratic, n)).isel(seed=0)
    assert float(found["curvature_mean"]) == pytest.approx(largest)
    assert float(found["centre_curvature_smallest"]) == pytest.approx(smallest)
    assert float(found["convex_fraction"]) == 1
    assert float(found["residual"]) < 1e-9
    assert 0 < float(found["known_fraction"]) < 0.4


@pytest.mark.parametrize("n", [25, 51])
def test_what_was_measured_here_and_there_gives_nearly_what_every_point_does(n: int) -> None:
    def wavy(x: Values, y: Values) -> Values:
        return 1.4 + np.exp(5 * np.hypot(x, 1.1 * y)) / 2 + 0.2 * np.sin(6 * x)

    few, all_of_them = (scattered_smoothness(plane(wavy, n, full=full)).isel(seed=0) for full in (False, True))
    for name in ("curvature_mean", "curvature_percentile", "residual"):
        assert float(few[name]) == pytest.approx(float(all_of_them[name]), rel=0.15)


def test_differences_over_every_point_agree_with_fits_on_a_quadratic() -> None:
    made = plane(lambda x, y: quadratic(x, y, 0.05), 25, full=True)
    one, other = plane_smoothness(made), scattered_smoothness(made)
    for name in ("curvature_mean", "centre_laplacian", "convex_fraction"):
        assert float(other[name][0]) == pytest.approx(float(one[name][0]))


def test_values_above_the_clip_and_those_that_are_no_number_are_not_used() -> None:
    made = plane(quadratic, 25)
    spoilt = made.copy(deep=True)
    spoilt["loss"] = spoilt["loss"].where(spoilt["status"] != 3, np.nan)
    xr.testing.assert_equal(scattered_smoothness(made), scattered_smoothness(spoilt))


def test_where_nothing_is_known_nothing_is_said() -> None:
    found = scattered_smoothness(plane(lambda x, y: quadratic(x, y, 1e4), 25)).isel(seed=0)
    assert np.isnan(found["curvature_mean"]) and float(found["known_fraction"]) == 0


def test_adaptive_planes_with_a_clip_are_compared_and_not_left_out() -> None:
    data = [
        plane(lambda x, y, c=c, s=s: quadratic(x, y, c * (1 + 0.02 * s)), 25, batch_size=b, seed=s)
        for b, c in ((50, 1.0), (400, 2.0))
        for s in range(3)
    ]
    made = ls.compare(data, by="batch_size")
    assert not made.left_out
    found = row(made, "curvature_mean").pairs[0]
    assert found.difference == pytest.approx(0.5)
    cells = row(made, "known_fraction").cells
    assert cells["50"].mean > cells["400"].mean > 0
    whole = plane(quadratic, 25, full=True, batch_size=50, seed=7)
    del whole.attrs["tolerance"]
    with_full = ls.compare([*data, whole], by="batch_size")
    assert any("instead of" in reason and "adaptive, fits over 9 × 9 points" in reason for reason in with_full.left_out)
