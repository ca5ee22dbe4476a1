"""What is measured along a step: closed forms, the identity of Santurkar et al., and what does not depend on scale."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn
from training_samples import copied, data_set, network

import landscape as ls
from landscape.errors import InputError
from landscape.numerics.seeds import generator
from landscape.objective.accuracy import as_metric, per_sample_accuracy
from landscape.objective.batch_norm import use_batch_statistics
from landscape.objective.runner import Runner, call
from landscape.objective.torch_losses import per_sample_loss
from landscape.training import TrainingConfig

RATE = 0.03
TINY = 1e-300  # vanishes beside a variance, as ε = 0, which PyTorch refuses, would


class Point(nn.Module):
    """θ itself, once for every sample: a loss of the outputs is a loss of θ."""

    def __init__(self, theta: Tensor) -> None:
        super().__init__()
        self.theta = nn.Parameter(theta.clone())

    def forward(self, inputs: Tensor) -> Tensor:
        return self.theta.expand(len(inputs), -1)


def quadratic(outputs: Tensor, hessians: Tensor) -> Tensor:
    return torch.einsum("bi,bij,bj->b", outputs, hessians, outputs) / 2


def linear(outputs: Tensor, slopes: Tensor) -> Tensor:
    return (outputs * slopes).sum(1)


def problem(n: int = 6) -> tuple[Tensor, Tensor]:
    """θ, and four symmetric matrices of both signs of curvature."""
    draws = generator(0, "quadratic")
    theta = torch.randn(n, generator=draws, dtype=torch.float64)
    matrices = torch.randn(4, n, n, generator=draws, dtype=torch.float64)
    return theta, matrices + matrices.mT


def step(
    module: nn.Module,
    loss: Any,
    inputs: Tensor,
    targets: Tensor,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    config: ls.StepProbeConfig | None = None,
    rate: float = RATE,
    compiled: bool = False,
    disturb: Callable[[nn.Module], None] = lambda module: None,
) -> xr.Dataset:
    """The probe's result at one training step in the module's own precision, its gradients ``disturb``-ed before."""
    measured = per_sample_loss(loss)
    metric = as_metric(per_sample_accuracy, measured)
    runner = Runner(module, measured, metric, call, "fp64", torch.device("cpu"))
    optimizer = optimizer or torch.optim.SGD(module.parameters(), lr=rate)
    optimizer.zero_grad()
    losses, _ = runner.losses(inputs, targets)
    losses.mean().backward()
    disturb(module)
    probe = ls.StepProbe(config or ls.StepProbeConfig(every=1))
    settings = TrainingConfig(compile=compiled)
    probe.on_start(SimpleNamespace(module=module, config=settings, history=(), steps_per_epoch=1, loss_name="mse"))
    probe.on_step(
        SimpleNamespace(
            step=0,
            epoch=1,
            seed=0,
            learning_rate=rate,
            module=module,
            optimizer=optimizer,
            inputs=inputs,
            targets=targets,
            losses=losses.detach(),
            runner=runner,
        )
    )
    return probe.dataset()


def test_on_a_quadratic_every_quantity_is_its_closed_form() -> None:
    theta, matrices = problem()
    found = step(Point(theta), quadratic, torch.zeros(4, 1), matrices).isel(step=0)
    hessian = matrices.mean(0)
    gradient = hessian @ theta
    bent, slope = (hessian @ gradient).norm().item(), gradient.norm().item()
    curvature = (gradient @ hessian @ gradient).item()
    etas = RATE * np.linspace(0.5, 4, 8)
    change = -etas * slope**2 + etas**2 * curvature / 2
    loss = (theta @ hessian @ theta / 2).item()
    steepest = max((gradient - eta * hessian @ gradient).norm().item() for eta in etas)
    along = found.sel(along="gradient")
    np.testing.assert_allclose(along["gradient_distance"] / (etas * slope), bent / slope, rtol=1e-10)
    expected = {
        "loss": loss,
        "parameter_norm": theta.norm().item(),
        "gradient_norm": slope,
        "direction_norm": slope,
        "loss_minimum": loss + change.min(),
        "loss_maximum": loss + change.max(),
        "loss_variation": change.max() - change.min(),
        "gradient_distance_minimum": etas[0] * bent,
        "gradient_distance_maximum": etas[-1] * bent,
        "gradient_predictiveness": (etas[-1] - etas[0]) * bent,
        "gradient_predictiveness_normalized": (etas[-1] - etas[0]) * bent / slope,
        "effective_beta": bent / slope,
        "effective_beta_normalized": bent / slope * theta.norm().item() ** 2,
        "lipschitz_loss": np.abs(change / etas).max() / slope,
        "lipschitz_loss_normalized": np.abs(change / etas).max() / slope * theta.norm().item(),
        "lipschitz_gradient": steepest,
        "lipschitz_gradient_normalized": steepest * theta.norm().item(),
    }
    assert {name: float(along[name]) for name in expected} == pytest.approx(expected, rel=1e-10)


RELATIVE = ls.StepProbeConfig(every=1, eta=(0.5, 4.0, 4), spacing="log", along=("gradient", "relative"))


def test_a_relative_segment_is_as_long_beside_each_weight_whatever_the_learning_rate() -> None:
    theta, matrices = problem()
    hessian = matrices.mean(0)
    gradient = hessian @ theta
    direction = -(theta**2) * gradient / (theta * gradient).norm()  # ‖d/θ‖ = 1
    lengths = torch.tensor([0.125, 0.25, 0.5, 1.0], dtype=torch.float64)
    points = [theta + length * direction for length in lengths]
    losses = torch.stack([point @ hessian @ point / 2 for point in points])
    changes = torch.stack([(theta * (hessian @ (point - theta))).norm() for point in points])
    for rate in (RATE, 100 * RATE):
        found = step(Point(theta), quadratic, torch.zeros(4, 1), matrices, config=RELATIVE, rate=rate)
        along = found.sel(along="relative").isel(step=0)
        np.testing.assert_allclose(along["loss_along"], losses, rtol=1e-10)
        np.testing.assert_allclose(along["relative_gradient_distance"], changes, rtol=1e-10)
        # The outputs of every sample are θ itself.
        np.testing.assert_allclose(along["function_distance"], lengths * direction.norm(), rtol=1e-10)
        assert float(along["loss_variation"]) == pytest.approx(float(losses.max() - losses.min()), rel=1e-10)
        assert float(along["function_change"]) == pytest.approx(float(direction.norm()), rel=1e-10)
        expected = float((changes.max() - changes.min()) / (theta * gradient).norm())
        assert float(along["relative_predictiveness"]) == pytest.approx(expected, rel=1e-10)


def test_where_nothing_relative_is_asked_for_nothing_relative_is_measured() -> None:
    theta, matrices = problem()
    found = step(Point(theta), quadratic, torch.zeros(4, 1), matrices)
    assert not [name for name in found if str(name).startswith(("relative", "function"))]


def test_a_relative_segment_without_a_gradient_stays_where_it_is() -> None:
    theta, _ = problem()
    found = step(Point(theta), linear, torch.zeros(4, 1), torch.zeros(4, len(theta)).double(), config=RELATIVE)
    along = found.sel(along="relative").isel(step=0)
    assert float(along["loss_variation"]) == float(along["function_change"]) == float(along["direction_norm"]) == 0


def test_a_linear_loss_is_perfectly_smooth() -> None:
    theta, matrices = problem()
    found = step(Point(theta), linear, torch.zeros(4, 1), matrices[:, 0]).sel(along="gradient").isel(step=0)
    slope = matrices[:, 0].mean(0).norm().item()
    assert float(found["effective_beta"]) == float(found["gradient_predictiveness"]) == 0
    assert float(found["lipschitz_loss"]) == pytest.approx(slope, rel=1e-10)
    assert float(found["lipschitz_gradient"]) == pytest.approx(slope, rel=1e-10)
    assert float(found["loss_variation"]) == pytest.approx(3.5 * RATE * slope**2, rel=1e-10)


def cubic(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs[:, 0] ** 3 / 6


def test_where_the_curvature_changes_along_the_step_the_largest_quotients_count() -> None:
    # L = θ³/6 at θ = 1, so g = 1/2, and at 1 − η/2 the gradient is (1 − η/2)²/2.
    found = step(Point(torch.ones(1, dtype=torch.float64)), cubic, torch.zeros(4, 1), torch.zeros(4), rate=1.0)
    etas = np.array([0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4])
    losses = (1 - etas / 2) ** 3 / 6
    expected = {
        "effective_beta": max(abs(1 - eta / 4) for eta in etas),
        "lipschitz_loss": max(abs(losses - 1 / 6) / (etas / 2)),
        "lipschitz_gradient": 0.5,
        "gradient_distance_minimum": 0.0,  # at η = 4
        "gradient_predictiveness": 0.5,  # at η = 2
        "loss_variation": losses[0] + 1 / 6,
    }
    along = found.sel(along="gradient").isel(step=0)
    assert {name: float(along[name]) for name in expected} == pytest.approx(expected, abs=1e-12)


def test_under_plain_sgd_the_update_is_the_gradient_step() -> None:
    theta, matrices = problem()
    found = step(Point(theta), quadratic, torch.zeros(4, 1), matrices)
    for name in found.data_vars:
        if "along" in found[name].dims:
            update, gradient = found[name].sel(along="update"), found[name].sel(along="gradient")
            np.testing.assert_allclose(update, gradient, rtol=1e-9, atol=1e-12)


OPTIMIZERS: dict[str, Any] = {
    "adam": lambda p: torch.optim.Adam(p, lr=1.0),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1.0, weight_decay=0.1, amsgrad=True),
    "sgd": lambda p: torch.optim.SGD(p, lr=1.0, momentum=0.9, weight_decay=0.1, nesterov=True),
    "foreach": lambda p: torch.optim.SGD(p, lr=1.0, momentum=0.9, nesterov=True, foreach=True),  # writes to gradients
    "maximize": lambda p: torch.optim.SGD(p, lr=1.0, weight_decay=0.1, maximize=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=1.0, momentum=0.5, centered=True),
    "rprop": lambda p: torch.optim.Rprop(p, lr=1.0),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_at_eta_of_one_learning_rate_the_update_leads_where_the_optimiser_goes(name: str) -> None:
    theta, matrices = problem()
    module = Point(theta)
    optimizer = OPTIMIZERS[name](module.parameters())
    for _ in range(3):  # a state that differs from the initial one; the rate is the loop's to set, and changes
        module.theta.grad = matrices.mean(0) @ module.theta.detach()
        optimizer.param_groups[0]["lr"] = 0.1
        optimizer.step()
    before = module.theta.detach().clone()
    found = step(module, quadratic, torch.zeros(4, 1), matrices, optimizer=optimizer).isel(step=0).sel(along="update")
    assert torch.equal(module.theta, before)
    torch.testing.assert_close(module.theta.grad, matrices.mean(0) @ before)
    optimizer.param_groups[0]["lr"] = RATE
    optimizer.step()
    after = module.theta.detach()
    moved = (after - before).norm().item()
    assert moved > 0
    assert float(found["direction_norm"]) == pytest.approx(moved / RATE, rel=1e-10)
    arrived = float(found["loss_along"].sel(eta=1.0))
    assert arrived == pytest.approx((after @ matrices.mean(0) @ after / 2).item(), rel=1e-10)


def test_of_a_compiled_step_loss_and_gradient_are_taken_anew_and_the_update_is_the_real_one() -> None:
    theta, matrices = problem()

    def disturb(module: nn.Module) -> None:
        module.theta.grad *= 2

    found = step(Point(theta), quadratic, torch.zeros(4, 1), matrices, compiled=True, disturb=disturb).isel(step=0)
    gradient = matrices.mean(0) @ theta
    assert float(found["gradient_norm"]) == pytest.approx(gradient.norm().item(), rel=1e-10)
    assert found["direction_norm"].values.tolist() == pytest.approx(
        [gradient.norm().item(), 2 * gradient.norm().item()], rel=1e-10
    )
    bent = (matrices.mean(0) @ gradient).norm() / gradient.norm()
    assert found["effective_beta"].values.tolist() == pytest.approx([bent.item()] * 2, rel=1e-10)


def scale_free(scale: float) -> nn.Module:
    """A network all of whose trained weights lie before a BatchNorm without ε, multiplied by ``scale``."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        module = nn.Sequential(
            nn.Conv2d(2, 4, 3, bias=False),
            nn.BatchNorm2d(4, eps=TINY, affine=False),
            nn.LeakyReLU(),
            nn.Conv2d(4, 3, 3, bias=False),
            nn.BatchNorm2d(3, eps=TINY, affine=False),
            nn.Flatten(),
            nn.Linear(12, 4),
        ).double()
    module[6].requires_grad_(False)
    with torch.no_grad():
        module[0].weight *= scale
        module[3].weight *= scale
    return module


@pytest.mark.parametrize("scale", [0.2, 7.0])
def test_rescaling_weights_before_batch_norm_changes_raw_measures_but_not_normalised_ones(scale: float) -> None:
    draws = generator(1, "scale")
    inputs = torch.randn(9, 2, 6, 6, generator=draws, dtype=torch.float64)
    labels = torch.randint(4, (9,), generator=draws)
    config = ls.StepProbeConfig(every=1, along=("gradient",))
    plain, scaled = (
        step(scale_free(c), "cross_entropy", inputs, labels, config=config, rate=c**2 * 0.1) for c in (1.0, scale)
    )
    for name, power in {
        "effective_beta": -2,
        "lipschitz_loss": -1,
        "lipschitz_gradient": -1,
        "gradient_predictiveness": -1,
        "loss_variation": 0,
        "effective_beta_normalized": 0,
        "lipschitz_loss_normalized": 0,
        "lipschitz_gradient_normalized": 0,
        "gradient_predictiveness_normalized": 0,
    }.items():
        np.testing.assert_allclose(scaled[name], scale**power * plain[name], rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("statistics", ["of training", "of the batch policy"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_gradient_through_batch_norm_is_that_of_theorem_4_1(seed: int, statistics: str) -> None:
    model = ls.build_model("vgg14", seed=seed, norm="batch", classes=5, filters=6).double().train()
    if statistics == "of the batch policy":
        use_batch_statistics(model.eval())
    draws = generator(seed, "theorem")
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            inputs[0].retain_grad()
            output.retain_grad()
            seen[name] = (inputs[0], output)

        return hook

    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.BatchNorm2d)}
    for name, layer in layers.items():
        layer.eps = TINY
        nn.init.uniform_(layer.weight, 0.5, 1.5, generator=draws)
        nn.init.normal_(layer.bias, generator=draws)
        layer.register_forward_hook(keep(name))
    images = torch.randn(4, 3, 16, 16, generator=draws, dtype=torch.float64)
    nn.functional.cross_entropy(model(images), torch.arange(4)).backward()
    assert len(seen) == 13
    for name, (y, z) in seen.items():
        assert y.grad is not None
        assert z.grad is not None
        flat, delta, got = (t.detach().transpose(0, 1).flatten(1) for t in (y, z.grad, y.grad))
        m = flat.shape[1]
        sigma = flat.std(1, correction=0)
        normal = (flat - flat.mean(1, keepdim=True)) / sigma[:, None]
        left = delta.square().sum(1) - delta.sum(1) ** 2 / m - (delta * normal).sum(1) ** 2 / m
        right = (layers[name].weight.detach() / sigma) ** 2 * left
        torch.testing.assert_close(got.square().sum(1), right, rtol=1e-10, atol=0)


def test_a_step_that_leads_to_infinity_is_kept_and_the_others_stay() -> None:
    theta, matrices = problem()
    config = ls.StepProbeConfig(every=1, eta=(1.0, 1e300, 2), along=("gradient",))
    found = step(Point(theta), quadratic, torch.zeros(4, 1), matrices, config=config).isel(step=0, along=0)
    assert np.isfinite(found["loss_along"]).values.tolist() == [True, False]
    assert not np.isfinite(found["loss_variation"])
    module = Point(torch.full((6,), math.nan, dtype=torch.float64))
    lost = step(module, quadratic, torch.zeros(4, 1), matrices)
    assert all(np.isnan(lost[name]).all() for name in ("loss", "loss_along", "effective_beta", "lipschitz_gradient"))


def test_without_a_gradient_there_is_nothing_to_divide_by() -> None:
    found = step(Point(torch.zeros(6, dtype=torch.float64)), quadratic, torch.zeros(4, 1), problem()[1])
    assert np.isnan(found["effective_beta"]).all()
    assert (found["loss_variation"] == 0).all()


def test_only_parameters_that_require_a_gradient_make_up_theta() -> None:
    theta, matrices = problem()
    module = Point(theta)
    module.register_parameter("fixed", nn.Parameter(torch.full((3,), 1e3, dtype=torch.float64), requires_grad=False))
    module.register_parameter("idle", nn.Parameter(torch.full((1,), 2.0, dtype=torch.float64)))
    found = step(module, quadratic, torch.zeros(4, 1), matrices)
    assert float(found["parameter_norm"][0]) == pytest.approx(math.hypot(theta.norm().item(), 2.0), rel=1e-12)
    assert float(found["gradient_norm"][0]) == pytest.approx((matrices.mean(0) @ theta).norm().item(), rel=1e-12)


def test_factors_run_from_low_to_high_in_the_spacing_asked_for() -> None:
    assert ls.StepProbeConfig().factors().tolist() == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]
    assert ls.StepProbeConfig.parse(eta="0.5:4:4", spacing="log").factors() == pytest.approx([0.5, 1, 2, 4])
    assert ls.StepProbeConfig.parse(eta="2:2:1").factors().tolist() == [2.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"every": 0}, "probe_every"),
        ({"every": True}, "probe_every"),
        ({"every": 2.5}, "probe_every"),
        ({"eta": "4:0.5:8"}, "probe_eta"),
        ({"eta": "1:1:8"}, "probe_eta"),
        ({"eta": "0:4:8"}, "probe_eta"),
        ({"eta": "-1:4:8"}, "probe_eta"),
        ({"eta": "0.5:4:0"}, "probe_eta"),
        ({"eta": "0.5:4:2.5"}, "probe_eta"),
        ({"eta": "0.5:nan:2"}, "probe_eta"),
        ({"eta": "0.5:4"}, "probe_eta"),
        ({"eta": ""}, "probe_eta"),
        ({"spacing": "geometric"}, "probe_spacing"),
        ({"along": ()}, "probe_along"),
        ({"along": ("momentum",)}, "probe_along"),
    ],
)
def test_an_unusable_configuration_names_its_option(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}: "):
        ls.StepProbeConfig.parse(**settings)


def test_a_malformed_range_says_what_to_try() -> None:
    with pytest.raises(InputError, match=r"probe_eta: .*got \(4, 1, 2\).*Try 0\.5:4:8"):
        ls.StepProbeConfig(eta=(4, 1, 2))


def test_a_range_over_runs_needs_runs_that_can_be_compared() -> None:
    one = step(Point(problem()[0]), quadratic, torch.zeros(4, 1), problem()[1])
    later = one.assign_coords(step=one["step"] + 1)
    for datasets, labels, message in (
        ([one], ["a"], "at least two"),
        ([one, one], ["a"], "labels"),
        ([one, later], ["a", "b"], "a, b have no step in common"),
        ([one, one.assign_attrs(kind="plane")], ["a", "b"], "b is of kind 'plane'"),
    ):
        with pytest.raises(InputError, match=message):
            ls.run_range(datasets, labels)


def test_the_module_comes_back_as_it_was() -> None:
    module = copied(network())
    module.train()
    inputs, labels = (t[:8] for t in data_set().train.batch(torch.arange(8)))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module(inputs)  # the step's own forward pass moves the running statistics once
    once = {name: value.clone() for name, value in module.state_dict().items()}
    module.load_state_dict(before)
    step(module, "cross_entropy", inputs, labels)
    assert all(torch.equal(value, once[name]) for name, value in module.state_dict().items())
    assert all(parameter.grad is not None for parameter in module.parameters())
