"""Sharpness against closed forms on quadratics, symmetries of networks, and its own definition computed batch by batch."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from networks import conv_net, images, same_state, state_of
from scipy.optimize import brentq
from torch import Tensor, nn

from landscape.errors import InputError, MismatchError
from landscape.objective.objective import Objective
from landscape.objective.spread import Spread
from landscape.probes.progress import Progress
from landscape.probes.sharpness.config import MEASURES, SharpnessConfig
from landscape.probes.sharpness.formulas import Origin, estimate, percent_rise
from landscape.probes.sharpness.measure import sharpness
from landscape.results import summary

MEASURED, NOT_CONVERGED, ZERO_GRADIENT, NOT_FINITE = 1, 2, 3, 4
ALL = tuple(MEASURES)


class Quadratic(nn.Module):
    """l(θ; x) = ½ θᵀ H θ + (b + x)ᵀ θ for every sample x, so that L has the Hessian H and the gradient H θ + b + mean x."""

    def __init__(self, hessian: Tensor, slope: Tensor, theta: Tensor) -> None:
        super().__init__()
        self.theta = nn.Parameter(theta.clone())
        self.register_buffer("hessian", hessian)
        self.register_buffer("slope", slope)

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * self.theta @ self.hessian @ self.theta + (self.slope + x) @ self.theta


def quadratic(n: int = 6, *, samples: int = 12, definite: bool = True) -> tuple[Objective, Tensor, Tensor, Tensor]:
    """An objective of loss ½ θᵀ H θ + bᵀ θ, its H, its gradient at θ, and θ."""
    draws = torch.Generator().manual_seed(3)
    root = torch.randn(n, n, generator=draws, dtype=torch.float64)
    hessian = root @ root.T if definite else (root + root.T) / 2
    slope, theta = torch.randn(2, n, generator=draws, dtype=torch.float64)
    x = torch.randn(samples, n, generator=draws, dtype=torch.float64)
    return objective_of(Quadratic(hessian, slope, theta), x), hessian, hessian @ theta + slope + x.mean(0), theta


def objective_of(module: nn.Module, x: Tensor) -> Objective:
    return Objective(module, lambda outputs, _: outputs, (x, torch.zeros(len(x))), metric=_no_metric, device="cpu")


def _no_metric(outputs: Any, targets: Any) -> None:
    return None


def images_objective(module: nn.Module, **options: Any) -> Objective:
    return Objective(module, "cross_entropy", images(), device="cpu", **options)


def one(objective: Objective, measure: str, rho: float, **options: Any) -> xr.Dataset:
    """A single measure at a single ρ."""
    config = SharpnessConfig(measures=(measure,), rho=(rho,), **options)
    return sharpness(objective, config).isel(measure=0, radius=0)


def value(objective: Objective, measure: str, rho: float, **options: Any) -> float:
    return float(one(objective, measure, rho, **options)["sharpness"])


def largest_in_ball(hessian: Tensor, gradient: Tensor, rho: float) -> float:
    """max over ‖ε‖ ≤ ρ of gᵀε + ½ εᵀHε where the maximum lies on the sphere: (μ − H) ε = g with ‖ε(μ)‖ = ρ and μ > λ_max."""
    eigenvalues, vectors = np.linalg.eigh(hessian.numpy())
    along = vectors.T @ gradient.numpy()

    def excess(mu: float) -> float:
        return float(np.linalg.norm(along / (mu - eigenvalues)) - rho)

    top = float(eigenvalues[-1])
    mu = brentq(excess, top + 1e-9, top + np.linalg.norm(along) / rho + 1e-6, xtol=1e-14)
    offset = along / (mu - eigenvalues)
    return float(along @ offset + 0.5 * offset @ (eigenvalues * offset))


@pytest.mark.parametrize("rho", [0.05, 0.5, 2.0])
def test_one_ascent_step_on_a_quadratic_is_its_closed_form(rho: float) -> None:
    objective, hessian, gradient, _ = quadratic()
    norm = gradient.norm()
    expected = rho * norm + 0.5 * rho**2 * gradient @ hessian @ gradient / norm**2
    assert value(objective, "sam", rho) == pytest.approx(float(expected), rel=1e-10)


@pytest.mark.parametrize("rho", [0.05, 0.5, 2.0])
def test_one_adaptive_step_on_a_quadratic_is_its_closed_form(rho: float) -> None:
    objective, hessian, gradient, theta = quadratic()
    scaled = theta.abs() * gradient
    turned = theta.abs() * scaled
    expected = rho * scaled.norm() + 0.5 * rho**2 * turned @ hessian @ turned / scaled.norm() ** 2
    assert value(objective, "adaptive", rho) == pytest.approx(float(expected), rel=1e-10)


@pytest.mark.parametrize("definite", [True, False])
@pytest.mark.parametrize("rho", [0.05, 0.5, 2.0])
def test_several_ascent_steps_reach_the_constrained_maximum(rho: float, definite: bool) -> None:
    objective, hessian, gradient, theta = quadratic(definite=definite)
    effort = {"ascent_steps": 300, "ascent_tolerance": 1e-10}
    best = largest_in_ball(hessian, gradient, rho)
    assert value(objective, "sam_steps", rho, **effort) == pytest.approx(best, rel=1e-7)
    scales = theta.abs()
    stretched = largest_in_ball(scales[:, None] * hessian * scales, scales * gradient, rho)
    assert value(objective, "adaptive_steps", rho, **effort) == pytest.approx(stretched, rel=1e-7)


@pytest.mark.parametrize("e", [5e-4, 1e-3, 0.1])
def test_the_box_of_a_separable_quadratic_is_highest_in_the_corner_that_the_gradient_points_to(e: float) -> None:
    curvatures = torch.tensor([0.5, 2.0, 4.0, 1.0], dtype=torch.float64)
    theta = torch.tensor([1.0, 2.0, 0.5, 3.0], dtype=torch.float64)
    objective = objective_of(
        Quadratic(curvatures.diag(), torch.zeros(4, dtype=torch.float64), theta), torch.zeros(3, 4)
    )
    sides, loss = e * (theta + 1), float(0.5 * curvatures @ theta**2)
    rise = float((sides * curvatures * theta).sum() + 0.5 * curvatures @ sides**2)
    found = one(objective, "keskar", e)
    assert float(found["sharpness"]) == pytest.approx(100 * rise / (1 + loss), rel=1e-9)
    assert str(found["measure_units"].values) == "%"
    assert int(found["status"]) == MEASURED


def test_average_case_sharpness_of_a_quadratic_is_half_the_scaled_trace_within_its_error() -> None:
    objective, hessian, _, theta = quadratic()
    cases = {
        "gaussian": 0.5 * 0.3**2 * float(hessian.trace()),
        "adaptive_average": 0.5 * 0.3**2 * float((theta**2) @ hessian.diag()),
    }
    origin = Origin(objective)
    for measure, expected in cases.items():
        found = [estimate(origin, measure, 0.3, SharpnessConfig(draws=20, draw_seed=seed)) for seed in range(30)]
        scores = [(one.value - expected) / one.standard_error for one in found]
        assert abs(np.mean(scores)) < 3.5 / math.sqrt(30)
        assert 0.7 < np.std(scores) < 1.5  # the error is as large as it says


def test_the_error_over_samples_is_that_of_the_mean_rise() -> None:
    objective, _, gradient, _ = quadratic()
    x = torch.stack([objective.data.batch(torch.tensor([i]))[0][0] for i in range(12)])
    rises = 0.5 * x @ (gradient / gradient.norm())  # the quadratic part is the same for all
    expected = float(rises.std() / math.sqrt(12))
    assert float(one(objective, "sam", 0.5)["standard_error"]) == pytest.approx(expected, rel=1e-9)


def test_the_error_of_keskars_ratio_agrees_with_the_jackknife() -> None:
    draws = torch.Generator().manual_seed(0)
    losses = torch.rand(300, generator=draws, dtype=torch.float64)
    rises = 0.2 * losses + 0.1 * torch.rand(300, generator=draws, dtype=torch.float64)
    keep = ~torch.eye(300, dtype=torch.bool)
    left_out = torch.tensor([100 * rises[k].mean() / (1 + losses[k].mean()) for k in keep])
    jackknife = math.sqrt(299 / 300 * float(((left_out - left_out.mean()) ** 2).sum()))
    assert percent_rise(rises, losses, Spread())[1] == pytest.approx(jackknife, rel=0.01)


def test_m_sharpness_is_the_mean_of_sam_over_batches_taken_by_themselves() -> None:
    net = conv_net()
    inputs, targets = images(24)
    found = one(images_objective(net), "m_sharpness", 0.1, m=7, draw_seed=5)
    order = torch.randperm(24, generator=_generator(5, "m-sharpness"))
    alone = [
        value(Objective(net, "cross_entropy", (inputs[part], targets[part]), device="cpu"), "sam", 0.1)
        for part in order[:21].split(7)
    ]
    assert float(found["sharpness"]) == pytest.approx(np.mean(alone), rel=1e-9)
    assert float(found["standard_error"]) == pytest.approx(np.std(alone, ddof=1) / math.sqrt(3), rel=1e-7)


def _generator(seed: int, purpose: str) -> torch.Generator:
    from landscape.numerics.seeds import generator

    return generator(seed, purpose)


def test_m_sharpness_of_all_samples_is_sam() -> None:
    for policy in ("frozen", "batch"):
        objective = images_objective(conv_net(), batch_norm=policy)
        whole = value(objective, "m_sharpness", 0.1, m=24)
        assert whole == pytest.approx(value(objective, "sam", 0.1), rel=1e-9)


@pytest.mark.parametrize("policy", ["frozen", "batch", "reestimated"])
def test_several_steps_never_find_less_than_one(policy: str) -> None:
    objective = images_objective(conv_net(), batch_norm=policy)
    for one_step, several in (("sam", "sam_steps"), ("adaptive", "adaptive_steps")):
        found = sharpness(
            objective, SharpnessConfig(measures=(one_step, several), rho=(0.05, 0.3, 1.0), ascent_steps=5)
        )
        rises = found["sharpness"].values
        assert (rises[1] >= rises[0] * (1 - 1e-9)).all()
    norms = sharpness(objective, SharpnessConfig(measures=("sam_steps",), rho=(0.05, 1.0)))["perturbation_norm"]
    assert (norms.values[0] <= np.array([0.05, 1.0]) * (1 + 1e-12)).all()


ADAPTIVE = ("adaptive", "adaptive_steps", "adaptive_average")


def test_rescaling_the_layers_of_a_relu_network_leaves_adaptive_sharpness_and_changes_the_others() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(72, 8), nn.ReLU(), nn.Linear(8, 4)).double()
    other = copy.deepcopy(net)
    with torch.no_grad():
        other[1].weight.mul_(5.0)
        other[1].bias.mul_(5.0)
        other[3].weight.div_(5.0)
    _assert_same_adaptive_sharpness(images_objective(net), images_objective(other))


@pytest.mark.parametrize("policy", ["batch", "frozen"])
def test_rescaling_weights_before_batch_norm_leaves_adaptive_sharpness_and_changes_the_others(policy: str) -> None:
    net = conv_net()
    for layer in (net[1], net[4]):
        layer.eps = 1e-14  # type: ignore[assignment]
    other = copy.deepcopy(net)
    with torch.no_grad():
        other[0].weight.mul_(0.2)
        other[1].running_mean.mul_(0.2)  # type: ignore[operator, union-attr]
        other[1].running_var.mul_(0.04)  # type: ignore[operator, union-attr]
    _assert_same_adaptive_sharpness(
        images_objective(net, batch_norm=policy), images_objective(other, batch_norm=policy)
    )


def _assert_same_adaptive_sharpness(before: Objective, after: Objective) -> None:
    assert before.evaluate().loss == pytest.approx(after.evaluate().loss, rel=1e-9)
    for measure in ADAPTIVE:
        assert value(after, measure, 0.3, draws=4) == pytest.approx(value(before, measure, 0.3, draws=4), rel=1e-5)
    for measure in ("sam", "sam_steps", "gaussian"):
        assert value(after, measure, 0.3, draws=4) != pytest.approx(value(before, measure, 0.3, draws=4), rel=1e-2)


def test_where_the_gradient_is_zero_there_is_no_ascent_and_averages_remain() -> None:
    theta = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    flat = objective_of(Quadratic(torch.zeros(3, 3).double(), torch.zeros(3).double(), theta), torch.zeros(4, 3))
    found = sharpness(flat, SharpnessConfig(measures=ALL, rho=(0.1,)))
    for measure in MEASURES:
        row = found.sel(measure=measure).isel(radius=0)
        ascent = "average" not in measure and measure != "gaussian"
        assert int(row["status"]) == (ZERO_GRADIENT if ascent else MEASURED)
        assert math.isnan(float(row["sharpness"])) == ascent
        assert ascent or float(row["sharpness"]) == 0.0
    assert "sam at ρ = 0.1: the gradient is zero" in found.attrs["notes"]


def test_at_a_maximum_a_restart_finds_no_rise_and_at_a_minimum_it_does() -> None:
    theta = torch.zeros(3, dtype=torch.float64)
    for sign, rise in ((1.0, 0.5 * 2.0 * 0.1**2), (-1.0, None)):
        hessian = sign * torch.diag(torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64))
        objective = objective_of(Quadratic(hessian, torch.zeros(3).double(), theta), torch.zeros(4, 3))
        found = value(objective, "sam_steps", 0.1, ascent_steps=200, restarts=1)
        assert found == (pytest.approx(rise, rel=0.02) if rise is not None else pytest.approx(0.0, abs=1e-4))


class Explosive(nn.Module):
    """Loss 1/(1 − θ) below 1, infinite from there on; NaN everywhere if θ is."""

    def __init__(self, theta: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([theta], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        inside = 1 / (1 - self.theta.clamp(max=1.0))
        return inside + 0 * x[:, 0]


def test_an_infinite_loss_within_reach_is_the_value() -> None:
    found = sharpness(
        objective_of(Explosive(0.9), torch.zeros(4, 1)),
        SharpnessConfig(measures=("sam", "sam_steps", "gaussian"), rho=(0.01, 0.2), draws=20),
    )
    assert np.isfinite(found["sharpness"].values[:, 0]).all()
    assert np.isposinf(found["sharpness"].values[:, 1]).all()
    assert (found["status"].values[:, 1] == NOT_FINITE).all()
    assert "sam at ρ = 0.2: a loss or gradient is NaN or infinite" in found.attrs["notes"]


def test_a_loss_that_is_not_a_number_is_kept_and_said() -> None:
    found = sharpness(
        objective_of(Explosive(math.nan), torch.zeros(4, 1)), SharpnessConfig(measures=ALL, rho=(0.1,), m=2)
    )
    assert np.isnan(found["sharpness"].values).all()
    assert (found["status"].values == NOT_FINITE).all()


def test_an_ascent_of_too_few_steps_says_that_it_has_not_ended() -> None:
    objective, _, _, _ = quadratic()
    assert int(one(objective, "sam_steps", 2.0, ascent_steps=1)["status"]) == NOT_CONVERGED
    assert int(one(objective, "sam_steps", 2.0, ascent_steps=100)["status"]) == MEASURED
    short = SharpnessConfig(measures=("sam_steps",), rho=(1.0, 2.0), ascent_steps=1)
    said = "sam_steps at ρ = 1, 2: the ascent had not ended; more steps would give a higher value."
    assert said in summary(sharpness(objective, short))


class Stop(Exception):
    """An interruption."""


def test_an_interrupted_measurement_goes_on_to_the_same_result() -> None:
    config = SharpnessConfig(measures=ALL, rho=(0.05, 0.2), ascent_steps=2, draws=2, m=8)
    whole = sharpness(images_objective(conv_net()), config)
    heard: list[Progress] = []

    def stop(progress: Progress) -> None:
        heard.append(progress)
        if progress.done == 7:
            raise Stop

    with pytest.raises(Stop):
        sharpness(images_objective(conv_net()), config, observer=stop)
    partial = heard[-1].dataset()
    assert int((partial["status"] != 0).sum()) == 7
    heard.clear()
    resumed = sharpness(images_objective(conv_net()), config, resume=partial, observer=heard.append)
    assert [progress.done for progress in heard] == list(range(8, 17))
    xr.testing.assert_identical(resumed, whole)


def test_a_resume_of_other_measures_or_radii_is_refused() -> None:
    objective, _, _, _ = quadratic()
    earlier = sharpness(objective, SharpnessConfig(measures=("sam",), rho=(0.1,)))
    for other in (SharpnessConfig(measures=("sam",), rho=(0.2,)), SharpnessConfig(measures=("adaptive",), rho=(0.1,))):
        with pytest.raises(MismatchError, match="other measures or radii"):
            sharpness(objective, other, resume=earlier)


def test_probing_leaves_the_module_and_the_objective_as_they_were() -> None:
    net = conv_net().train()
    before, random_state = state_of(net), torch.get_rng_state()
    objective = images_objective(net, batch_norm="batch")
    loss = objective.evaluate().loss
    sharpness(objective, SharpnessConfig(measures=ALL, rho=(0.1,), ascent_steps=1, draws=2))
    assert objective.evaluate().loss == loss
    assert same_state(before, state_of(net))
    assert torch.equal(random_state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rho": ()}, r"rho: expected one or more different numbers above 0.*got \(\)"),
        ({"rho": (0.1, 0.0)}, "rho: expected .* above 0"),
        ({"rho": (-0.1,)}, "rho: expected .* above 0"),
        ({"rho": (math.nan,)}, "rho: expected .* above 0"),
        ({"rho": (0.1, 0.1)}, "rho: expected .* different"),
        ({"rho": "wide"}, "rho: expected .* got 'wide'"),
        ({"measures": ()}, "measures: expected at least one of sam, "),
        ({"measures": ("sma",)}, "measures: unknown value 'sma'. Did you mean 'sam'"),
        ({"measures": ("sam", "sam")}, "measures: each may occur once"),
        ({"ascent_steps": 0}, "ascent_steps: expected a whole number of at least 1, got 0"),
        ({"draws": 1}, "draws: expected a whole number of at least 2, got 1"),
        ({"restarts": -1}, "restarts: expected a whole number of at least 0, got -1"),
        ({"ascent_tolerance": 1.0}, "ascent_tolerance: expected a number between 0 and 1, got 1.0"),
        ({"m": 0}, "m: expected a whole number of at least 1, got 0"),
    ],
)
def test_unusable_settings_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SharpnessConfig(**options)


def test_batches_larger_than_the_samples_are_refused_before_anything_is_measured() -> None:
    with pytest.raises(InputError, match="m: batches of 25 need at least as many samples, and there are 24"):
        sharpness(images_objective(conv_net()), SharpnessConfig(m=25))


def test_statistics_that_move_between_checkpoints_are_refused() -> None:
    with pytest.raises(InputError, match="batch_norm: 'interpolated'"):
        sharpness(images_objective(conv_net(), batch_norm="interpolated"))
