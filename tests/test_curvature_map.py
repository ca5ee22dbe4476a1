"""Curvature maps against the eigenvalues of dense Hessians in float64, point by point."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from networks import conv_net, images, same_state, state_of
from torch import Tensor, nn
from torch.autograd.functional import hessian
from torch.func import functional_call

from landscape.errors import InputError, MismatchError
from landscape.numerics.directions import Direction
from landscape.numerics.refinement import Refinement
from landscape.objective.objective import Objective
from landscape.probes.curvature_map.measure import EigenvalueSearch, curvature_map
from landscape.probes.plane.measure import plane
from landscape.probes.plane.spans import random_span
from landscape.probes.progress import Progress

SMALL = {"x": (-1, 1, 3), "y": (-0.5, 0.5, 2)}
EXACT = EigenvalueSearch(tolerance=1e-6, max_products=400)
COARSE = EigenvalueSearch(tolerance=0.3)


def small() -> nn.Module:
    return conv_net(width=2)


def mlp() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(nn.Flatten(), nn.Linear(72, 2), nn.Tanh(), nn.Linear(2, 4)).double()


def dense_spectrum(module: nn.Module, theta: Tensor, objective: Objective, *, train: bool) -> Tensor:
    """The eigenvalues of the Hessian of the plain module's mean cross-entropy at θ, ascending."""
    inputs, targets = images()
    net = copy.deepcopy(module).train(train)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 0.0
    layout = objective.theta.layout

    def loss(flat: Tensor) -> Tensor:
        outputs = functional_call(net, dict(layout.views(flat)), (inputs,))
        return nn.functional.cross_entropy(outputs, targets)

    return torch.linalg.eigvalsh(hessian(loss, theta.cpu()))


@pytest.mark.parametrize(
    ("make", "policy"), [(mlp, "frozen"), (small, "frozen"), (small, "batch")], ids=["mlp", "frozen", "batch"]
)
def test_both_ends_at_every_point_are_those_of_the_dense_hessian(make: Callable[[], nn.Module], policy: str) -> None:
    module = make()
    objective = Objective(module, "cross_entropy", images(), batch_norm=policy)
    found = curvature_map(objective, **SMALL, search=EXACT)
    span = random_span(objective, [0], 2)
    for x in (-1.0, 0.0, 1.0):
        for y in (-0.5, 0.5):
            theta = span.subspaces[0].point(torch.tensor([x, y], dtype=torch.float64))
            values = dense_spectrum(module, theta, objective, train=policy == "batch")
            low, high = float(values[0]), float(values[-1])
            here = found.sel(seed=0, x=x, y=y)
            scale = max(abs(low), abs(high))
            assert float(here["eigenvalue_largest"]) == pytest.approx(high, abs=2e-6 * scale)
            assert float(here["eigenvalue_smallest"]) == pytest.approx(low, abs=2e-6 * scale)
            assert float(here["curvature_ratio"]) == pytest.approx(low / high, abs=5e-6)
    assert (found["eigenvalue_largest_converged"] == 1).all()
    assert (found["eigenvalue_smallest_converged"] == 1).all()


@pytest.mark.parametrize("tolerance", [0.3, 0.01])
def test_residuals_and_rayleigh_quotients_bound_from_their_sides(tolerance: float) -> None:
    module = small()
    objective = Objective(module, "cross_entropy", images())
    found = curvature_map(objective, **SMALL, search=EigenvalueSearch(tolerance=tolerance))
    span = random_span(objective, [0], 2)
    for x in (-1.0, 1.0):
        theta = span.subspaces[0].point(torch.tensor([x, 0.5], dtype=torch.float64))
        values = dense_spectrum(module, theta, objective, train=False)
        here = found.sel(seed=0, x=x, y=0.5)
        low, high = (float(here[f"eigenvalue_{end}"]) for end in ("smallest", "largest"))
        assert float(values[0]) - 1e-12 <= low < high <= float(values[-1]) + 1e-12
        for end, value in (("largest", high), ("smallest", low)):
            residual = float(here[f"eigenvalue_{end}_residual"])
            assert float((values - value).abs().min()) <= residual + 1e-12
            assert residual <= tolerance * max(abs(low), abs(high))


def test_at_the_usual_tolerance_the_ratio_is_known_better_than_that() -> None:
    module = small()
    objective = Objective(module, "cross_entropy", images())
    found = curvature_map(objective, **SMALL)
    span = random_span(objective, [0], 2)
    for x in (-1.0, 0.0, 1.0):
        theta = span.subspaces[0].point(torch.tensor([x, -0.5], dtype=torch.float64))
        values = dense_spectrum(module, theta, objective, train=False)
        here = found.sel(seed=0, x=x, y=-0.5)
        off = abs(float(here["curvature_ratio"]) - float(values[0] / values[-1]))
        assert off <= float(here["curvature_ratio_error_bound"]) < 0.02
        assert off < 0.002


def test_values_do_not_depend_on_which_points_are_measured_with_them() -> None:
    objective = Objective(small(), "cross_entropy", images())
    whole = curvature_map(objective, x=(0, 1, 3), y=(-1, 1, 3), seeds=[1, 0])
    part = curvature_map(objective, x=(0.5, 1, 2), y=(-1, 0, 2), seeds=[0])
    for name in ("eigenvalue_largest", "eigenvalue_smallest", "curvature_ratio", "loss", "products"):
        for x in (0.5, 1.0):
            for y in (-1.0, 0.0):
                assert float(whole[name].sel(seed=0, x=x, y=y)) == float(part[name].sel(seed=0, x=x, y=y)), name


def test_the_loss_is_that_of_the_plane_and_the_centre_is_the_checkpoint() -> None:
    objective = Objective(small(), "cross_entropy", images())
    found = curvature_map(objective, x=(-1, 1, 3), y=(-1, 1, 3), search=EXACT)
    flat = plane(objective, x=(-1, 1, 3), y=(-1, 1, 3))
    xr.testing.assert_equal(found["loss"], flat["loss"])
    centre = found.sel(seed=0, x=0, y=0)
    for name in ("curvature_ratio", "eigenvalue_largest", "eigenvalue_smallest"):
        assert float(centre[name]) == pytest.approx(float(found[f"checkpoint_{name}"]), rel=1e-8)


class Stopped(Exception):
    pass


WHOLE: dict[str, Any] = {"x": (-1, 1, 4), "y": (-1, 1, 4), "seeds": [0, 1], "search": COARSE}  # 32 losses, 32 searches
PART: dict[str, Any] = {
    "x": (-1, 1, 9), "y": (-1, 1, 9), "search": COARSE, "refinement": Refinement(tolerance=1e-3, max_points=25)
}  # fmt: skip


@cache
def map_of(adaptive: bool) -> xr.Dataset:
    return curvature_map(Objective(small(), "cross_entropy", images()), **(PART if adaptive else WHOLE))


@pytest.mark.parametrize(("adaptive", "after"), [(False, 9), (False, 45), (True, 30), (True, 90)])
def test_a_stopped_map_goes_on_to_the_same_values(adaptive: bool, after: int) -> None:
    objective, asked = Objective(small(), "cross_entropy", images()), PART if adaptive else WHOLE
    saved: list[xr.Dataset] = []

    def stop(progress: Progress) -> None:
        if progress.done >= after:
            saved.append(progress.dataset())
            raise Stopped

    with pytest.raises(Stopped):
        curvature_map(objective, **asked, observer=stop)
    searched = int((saved[0]["status"] == 1).sum())
    already = searched + int((saved[0]["loss_status"] == 1).sum())
    assert already >= after and (searched > 0) == (after > 40)  # in the losses, and in the searches after them
    counts: list[int] = []
    resumed = curvature_map(objective, **asked, resume=saved[0], observer=lambda p: counts.append(p.done))
    assert counts[0] > already
    xr.testing.assert_identical(resumed, map_of(adaptive))
    assert bool((resumed["status"] == 2).any()) == adaptive


def test_an_adaptive_map_measures_a_part_and_knows_the_rest_as_well_as_it_says() -> None:
    objective = Objective(mlp(), "cross_entropy", images())
    asked: dict[str, Any] = {"x": (-0.5, 0.5, 9), "y": (-0.5, 0.5, 9)}
    full = curvature_map(objective, **asked)
    found = curvature_map(objective, **asked, refinement=Refinement(tolerance=0.03, max_points=60))
    measured = found["status"].values == 1
    assert 49 < measured.sum() <= 60
    assert set(np.unique(found["status"])) == {1, 2}
    np.testing.assert_array_equal(found["curvature_ratio"].values[measured], full["curvature_ratio"].values[measured])
    assert np.isnan(found["eigenvalue_largest"].values[~measured]).all()
    extent = float(np.ptp(full["curvature_ratio"].values[measured]))
    off = np.abs(found["curvature_ratio"].values - full["curvature_ratio"].values)
    assert np.percentile(off, 95) <= 2 * found.attrs["picture_error"] * extent
    assert found.attrs["measured_points"] == measured.sum()
    predicted = found["predicted_ratio"].values
    assert np.isfinite(predicted[measured]).sum() == measured.sum() - 49
    assert np.isnan(predicted[~measured]).all()


class Quotient(nn.Module):
    """Loss 1 / (1 − w₀) + w₁²: infinite at w₀ = 1, with a diagonal Hessian elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([[0.0], [2.0]], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return (1 / (1 - self.w[0]) + self.w[1] ** 2).expand(len(x))


def test_a_point_without_a_finite_loss_is_measured_and_has_no_curvature() -> None:
    x = torch.zeros(3, 1, dtype=torch.float64)
    objective = Objective(Quotient(), lambda outputs, targets: outputs, (x, x[:, 0]))
    axes = torch.eye(2, dtype=torch.float64)
    along = [Direction(axes[k], objective.theta.layout, {"kind": "given"}) for k in range(2)]
    found = curvature_map(objective, x=(0, 1, 3), y=(0, 1, 2), along=along, normalization="none", search=EXACT)
    broken = found.sel(seed=0, x=1)
    assert (broken["status"] == 1).all()
    assert np.isnan(broken["curvature_ratio"]).all()
    assert (broken["eigenvalue_largest_converged"] == 0).all()
    # The Hessian is diag(2/(1 − w₀)³, 2).
    for w, (high, low) in {0.0: (2.0, 2.0), 0.5: (16.0, 2.0)}.items():
        here = found.sel(seed=0, x=w, y=1)
        assert float(here["eigenvalue_largest"]) == pytest.approx(high)
        assert float(here["eigenvalue_smallest"]) == pytest.approx(low)
        assert float(here["curvature_ratio"]) == pytest.approx(low / high)


def test_too_few_products_leave_points_that_say_so() -> None:
    objective = Objective(small(), "cross_entropy", images())
    found = curvature_map(objective, **SMALL, search=EigenvalueSearch(1e-6, 4))
    assert (found["products"] == 4).all()
    assert (found["eigenvalue_smallest_converged"] == 0).all()
    assert (found["eigenvalue_smallest_error_bound"] > 1e-6 * found["eigenvalue_largest"]).all()


def test_the_users_module_and_random_state_are_left_as_they_were() -> None:
    module = small().train()
    before, generator = state_of(module), torch.get_rng_state()
    curvature_map(Objective(module, "cross_entropy", images()), **SMALL)
    assert same_state(before, state_of(module))
    assert torch.equal(generator, torch.get_rng_state())


def test_every_quantity_has_units_and_a_long_name() -> None:
    found = curvature_map(
        Objective(small(), "cross_entropy", images()), **SMALL, seeds=[0, 1], refinement=Refinement(max_points=4)
    )
    for name, variable in found.variables.items():
        assert variable.attrs.get("units"), name
        assert variable.attrs.get("long_name"), name
    assert found["eigenvalue_largest"].attrs["units"] == "nat"
    assert found.attrs["kind"] == "curvature_map"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"search": lambda: EigenvalueSearch(tolerance=2)}, "eigenvalue_tolerance: expected a number between 0 and 1"),
        ({"search": lambda: EigenvalueSearch(max_products=2)}, "max_products: expected a whole number of at least 3"),
        ({"refinement": lambda: Refinement(value_max=5)}, "loss_max: a curvature map shows"),
    ],
)
def test_bad_maps_are_refused_with_the_reason(options: dict[str, Callable[[], Any]], message: str) -> None:
    objective = Objective(small(), "cross_entropy", images())
    with pytest.raises(InputError, match=message):
        curvature_map(objective, **SMALL, **{name: make() for name, make in options.items()})


def test_policies_and_precisions_without_second_derivatives_are_refused() -> None:
    with pytest.raises(InputError, match="batch_norm: under 'reestimated'"):
        curvature_map(Objective(small(), "cross_entropy", images(), batch_norm="reestimated"), **SMALL)
    with pytest.raises(InputError, match="'bf16' is too coarse"):
        curvature_map(Objective(small(), "cross_entropy", images(), precision="bf16"), **SMALL)


def test_resuming_with_another_grid_is_refused() -> None:
    objective = Objective(small(), "cross_entropy", images())
    earlier = curvature_map(objective, **SMALL)
    with pytest.raises(MismatchError, match="another grid"):
        curvature_map(objective, x=(-1, 1, 3), y=(-2, 2, 2), resume=earlier)
