"""Smoothness of planes whose curvature, roughness and convexity are known in closed form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from landscape.errors import InputError
from landscape.probes.plane.smoothness import lattice_stride, plane_smoothness

Floats = NDArray[np.float64]


def plane(
    f: Callable[[Floats, Floats], Floats], *, n: int = 21, rows: int | None = None, seeds: int = 1, **attrs: object
) -> xr.Dataset:
    """f measured at every point over [−1, 1] × [−2, 2]."""
    x, y = np.linspace(-1, 1, n), np.linspace(-2, 2, rows or n)
    values = f(*np.meshgrid(x, y)) + np.zeros((seeds, len(y), len(x)))
    return xr.Dataset(
        {"loss": (("seed", "y", "x"), values), "status": (("seed", "y", "x"), np.ones(values.shape, np.int8))},
        coords={"seed": np.arange(seeds), "x": x, "y": y},
        attrs={"kind": "plane", **attrs},
    )


def value(made: xr.Dataset, name: str, seed: int = 0) -> float:
    return float(made[name].sel(seed=seed))


@pytest.mark.parametrize(("a", "b", "c"), [(3.0, 1.0, 0.5), (3.0, -1.0, 0.5), (-3.0, -1.0, 0.0), (2.0, 2.0, 0.0)])
def test_a_quadratic_has_the_eigenvalues_of_its_hessian_everywhere(a: float, b: float, c: float) -> None:
    made = plane_smoothness(plane(lambda x, y: 5 + x - 2 * y + a * x**2 / 2 + b * y**2 / 2 + c * x * y))
    small, large = np.linalg.eigvalsh([[a, c], [c, b]])
    assert value(made, "centre_curvature_largest") == pytest.approx(large)
    assert value(made, "centre_curvature_smallest") == pytest.approx(small)
    assert value(made, "centre_laplacian") == pytest.approx(a + b)
    for name in ("curvature_mean", "curvature_percentile"):
        assert value(made, name) == pytest.approx(max(abs(small), abs(large)))
    assert value(made, "convex_fraction") == (1.0 if small >= 0 else 0.0)
    assert value(made, "roughness") < 1e-12


def test_an_inclined_plane_is_flat_smooth_and_convex() -> None:
    made = plane_smoothness(plane(lambda x, y: 2 + 3 * x - y))
    assert value(made, "value_range") == pytest.approx(10)
    assert value(made, "curvature_mean") < 1e-11
    assert value(made, "convex_fraction") == 1.0
    assert value(made, "roughness") < 1e-13


def test_a_monkey_saddle_is_convex_at_its_centre_alone() -> None:
    made = plane_smoothness(plane(lambda x, y: x**3 - 3 * x * y**2))
    # Its Hessian has the eigenvalues ±6r, and second differences of a cubic are exact.
    x, y = np.meshgrid(np.linspace(-1, 1, 21)[1:-1], np.linspace(-2, 2, 21)[1:-1])
    sizes = 6 * np.hypot(x, y)
    assert value(made, "curvature_mean") == pytest.approx(sizes.mean())
    assert value(made, "curvature_percentile") == pytest.approx(np.percentile(sizes, 95))
    assert value(made, "centre_laplacian") == pytest.approx(0, abs=1e-11)
    assert value(made, "convex_fraction") == pytest.approx(1 / 19**2)


def test_a_ripple_of_one_step_has_its_own_amplitude_and_curvature() -> None:
    n, amplitude = 21, 0.01
    sign = (-1.0) ** np.add.outer(np.arange(n), np.arange(n))
    made = plane_smoothness(plane(lambda x, y: x**2 + y**2 + amplitude * sign))
    # A chequerboard is ±A(4/h² ) in either second difference, and its mixed one is 0.
    large = 2 + 4 * amplitude / 0.1**2
    small = 2 + 4 * amplitude / 0.2**2
    falling = (abs(2 - 4 * amplitude / 0.1**2), abs(2 - 4 * amplitude / 0.2**2))
    inner = sign[1:-1, 1:-1] < 0
    assert value(made, "curvature_mean") == pytest.approx(np.where(inner, max(large, small), max(falling)).mean())
    assert value(made, "convex_fraction") == pytest.approx(inner.mean())
    # What a window's quadratic leaves of it, by another way than the probe's.
    line = np.arange(5.0) - 2
    x, y = (part.ravel() for part in np.meshgrid(line, line))
    terms = np.stack([x**0, x, y, x**2, x * y, y**2], axis=1)
    left = np.linalg.lstsq(terms, sign[:5, :5].ravel(), rcond=None)[1]
    assert value(made, "residual") == pytest.approx(amplitude * np.sqrt(left[0] / 19))
    assert value(made, "residual") == pytest.approx(amplitude, rel=0.15)


def test_a_ripple_along_one_axis_does_not_hide() -> None:
    def ripple(x: Floats) -> Floats:
        return x**2 + 0.01 * np.sin(12 * x)

    made = plane_smoothness(plane(lambda x, y: ripple(x)))
    x = np.linspace(-1, 1, 21)
    # Five equal rows, so five times what parabolas leave of one.
    left = [np.polyfit(x[k : k + 5], ripple(x[k : k + 5]), 2, full=True)[1][0] for k in range(17)]
    assert value(made, "residual") == pytest.approx(np.sqrt(5 * np.mean(left) / 19))
    assert value(made, "residual") > 0.002


def test_roughness_is_the_standard_deviation_of_independent_noise_over_the_range() -> None:
    draws = np.random.default_rng(0)
    noise = draws.normal(0, 0.003, (41, 41))
    made = plane_smoothness(plane(lambda x, y: x**2 + y**2 + noise, n=41))
    assert value(made, "residual") == pytest.approx(0.003, rel=0.05)
    assert value(made, "roughness") == pytest.approx(value(made, "residual") / value(made, "value_range"))


def test_scaling_the_loss_scales_curvature_and_leaves_roughness_and_convexity() -> None:
    def f(x: Floats, y: Floats) -> Floats:
        return np.cos(5 * x) * np.cosh(y) + x**2

    one, ten = plane_smoothness(plane(f)), plane_smoothness(plane(lambda x, y: 10 * f(x, y)))
    assert value(ten, "curvature_mean") == pytest.approx(10 * value(one, "curvature_mean"))
    assert value(ten, "roughness") == pytest.approx(value(one, "roughness"))
    assert value(ten, "convex_fraction") == value(one, "convex_fraction")


@pytest.mark.parametrize(("bad", "status"), [(np.nan, 1), (np.inf, 1), (1e9, 1), (7.0, 2), (1e9, 3), (0.0, 0)])
def test_no_stencil_uses_a_point_that_is_not_known(bad: float, status: int) -> None:
    data = plane(lambda x, y: x**2 + y**2, loss_max=20.0)
    data["loss"][0, 3, 4], data["status"][0, 3, 4] = bad, status
    made = plane_smoothness(data, stride=1)
    assert value(made, "known_points") == 21**2 - 1
    assert value(made, "stencils") == 19**2 - 9
    assert value(made, "curvature_percentile") == pytest.approx(2)
    assert value(made, "roughness") < 1e-12
    assert value(made, "value_range") == pytest.approx(5)


def test_a_plane_without_known_points_tells_nothing() -> None:
    made = plane_smoothness(plane(lambda x, y: x * np.nan))
    assert value(made, "stencils") == value(made, "windows") == value(made, "known_points") == 0
    for name in ("curvature_mean", "roughness", "convex_fraction", "centre_laplacian", "value_range"):
        assert np.isnan(value(made, name))


def test_an_adaptive_plane_is_judged_on_the_mesh_that_was_measured_in_full() -> None:
    full = plane(lambda x, y: x**2 + 3 * y**2)
    part = full.copy(deep=True)
    part["status"].values[:] = 2
    part["status"].values[:, ::5, ::5] = 1
    part["status"].values[:, :6, :6] = 1  # refined in a corner
    part["loss"].values[part["status"].values == 2] = 99.0
    assert lattice_stride(full) == 1
    assert lattice_stride(part) == 5
    made = plane_smoothness(part)
    assert made.attrs["stride"] == 5
    assert value(made, "curvature_mean") == pytest.approx(6)
    assert value(made, "points") == 25
    assert value(made, "stencils") == 9


def test_the_centre_is_not_guessed_where_the_lattice_does_not_have_it() -> None:
    made = plane_smoothness(plane(lambda x, y: x**2 + y**2, n=20))
    assert np.isnan(value(made, "centre_laplacian"))
    assert value(made, "curvature_mean") == pytest.approx(2)


def test_the_spread_is_that_of_the_seeds() -> None:
    data = plane(lambda x, y: x**2 + y**2, seeds=3)
    data["loss"] = data["loss"] * xr.DataArray([1.0, 2.0, 4.0], dims="seed")
    made = plane_smoothness(data)
    assert made["curvature_mean"].values == pytest.approx([2, 4, 8])
    assert float(made["curvature_mean_mean"]) == pytest.approx(14 / 3)
    assert float(made["curvature_mean_spread"]) == pytest.approx(np.std([2, 4, 8], ddof=1))


def test_every_quantity_says_what_it_is() -> None:
    data = plane(lambda x, y: x**2 + y**2, seeds=2)
    data["loss"].attrs["units"] = "nat"
    made = plane_smoothness(data)
    for variable in made.variables.values():
        assert variable.attrs["long_name"]
        assert variable.attrs["units"] in ("1", "nat")
    assert made["curvature_mean"].attrs["units"] == "nat"


def test_what_is_no_plane_is_refused() -> None:
    line = plane(lambda x, y: x).isel(y=0, drop=True)
    with pytest.raises(InputError, match=r"seed, y, x"):
        plane_smoothness(line)
    with pytest.raises(InputError, match="kind 'history'"):
        plane_smoothness(xr.Dataset(attrs={"kind": "history"}))
    with pytest.raises(InputError, match="3 × 3"):
        plane_smoothness(plane(lambda x, y: x, n=2))
    with pytest.raises(InputError, match="evenly"):
        uneven = plane(lambda x, y: x)
        plane_smoothness(uneven.assign_coords(x=uneven["x"] ** 3))
    with pytest.raises(InputError, match="stride"):
        plane_smoothness(plane(lambda x, y: x), stride=11)


def test_a_bowl_under_noise_may_be_convex_and_is_not_surely_so() -> None:
    draws = np.random.default_rng(0)
    noise = draws.normal(0, 0.02, (41, 41))
    made = plane_smoothness(plane(lambda x, y: 0.1 * (x**2 + y**2) + noise, n=41))
    assert value(made, "convex_fraction") < 0.6
    assert value(made, "convex_fraction_low") < 0.01
    assert value(made, "convex_fraction_high") > 0.93


@pytest.mark.parametrize(("sign", "expected"), [(1, 1.0), (-1, 0.0)])
def test_curvature_far_above_the_noise_is_certain(sign: int, expected: float) -> None:
    draws = np.random.default_rng(0)
    noise = draws.normal(0, 1e-3, (21, 21))
    made = plane_smoothness(plane(lambda x, y: 20 * (x**2 + sign * y**2) + noise))
    for name in ("convex_fraction", "convex_fraction_low", "convex_fraction_high"):
        assert value(made, name) == expected


def test_what_is_certain_and_what_is_possible_enclose_the_fraction_and_the_truth() -> None:
    draws = np.random.default_rng(1)
    noise = draws.normal(0, 2e-3, (61, 61))
    # Convex where x > 0, as 6x is the second derivative of x³.
    made = plane_smoothness(plane(lambda x, y: x**3 + y**2 + noise, n=61))
    low, plain, high = (value(made, f"convex_fraction{part}") for part in ("_low", "", "_high"))
    assert low < plain < high
    assert low < 0.5 < high


def test_without_room_for_a_window_the_noise_is_not_known() -> None:
    made = plane_smoothness(plane(lambda x, y: x**2 + y**2, n=4))
    assert value(made, "convex_fraction") == 1.0
    assert np.isnan(value(made, "convex_fraction_low"))
    assert np.isnan(value(made, "convex_fraction_high"))
