"""The edge of stability: optimisers' limits on quadratics, known eigenvalues, and dense preconditioned Hessians."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from networks import conv_net, images, same_state, state_of
from torch import Tensor, nn
from torch.autograd.functional import hessian
from torch.func import functional_call

from landscape.data.tensors import TensorData
from landscape.errors import InputError, MismatchError
from landscape.objective.objective import Objective
from landscape.probes.stability.limits import stability_rule
from landscape.probes.stability.measure import StabilityProbe
from landscape.probes.stability.tracking import LargestEigenvalue
from landscape.training import Observer, TrainingConfig, fit

CURVATURES = torch.tensor([0.5, 4.0, 1.0, 2.0])


class Bowl(nn.Module):
    """½ Σ hᵢ θᵢ² plus a constant of the sample: the Hessian is diag h everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([1.0, -1.0, 2.0, 0.5]))

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * (CURVATURES.to(self.theta) * self.theta**2).sum() + 0 * x[:, 0]


def outputs_alone(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs


def train(module: nn.Module, data: Any, loss: Any, *observers: Any, resume: Any = None, **recipe: Any) -> Any:
    config = TrainingConfig(**{"epochs": 3, "batch_size": 8, "schedule": "constant", "augment": False, **recipe})
    return fit(module, data, config, loss=loss, device="cpu", observers=observers, resume=resume)


def bowl_data(n: int = 8) -> TensorData:
    return TensorData(torch.zeros(n, 1), torch.zeros(n))


class Steps(Observer):
    """Keeps each step's parameters, gradients and optimiser, to compute the truth from."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def on_step(self, report: Any) -> None:
        self.seen.append(
            {
                "module": copy.deepcopy(report.module),
                "gradients": [p.grad.clone() for p in report.module.parameters()],
                "batch": (report.inputs.clone(), report.targets.clone()),
            }
        )


@pytest.mark.parametrize("rate", [0.1, 0.49, 0.6])
def test_the_ratio_of_gradient_descent_on_a_quadratic_is_half_of_rate_times_curvature(rate: float) -> None:
    probe = StabilityProbe(1, tolerance=1e-4)
    train(Bowl(), bowl_data(), outputs_alone, probe, optimizer="sgd", momentum=0.0, learning_rate=rate)
    found = probe.dataset()
    assert found["ratio"].values == pytest.approx([4.0 * rate / 2] * 3, rel=1e-3)
    assert found["threshold"].values == pytest.approx([2 / rate] * 3)
    assert found["sharpness"].values == pytest.approx([4.0] * 3, rel=1e-3)
    assert found["converged"].values.tolist() == [1, 1, 1]
    assert found.attrs["rule"] == "gradient descent"
    assert found["step"].values.tolist() == [0, 1, 2]


def decays(optimizer: torch.optim.Optimizer, theta: nn.Parameter, curvature: float) -> bool:
    """Whether steps on ½ h θ² bring θ down from where it begins, 1e-6."""
    for _ in range(1500):
        theta.grad = curvature * theta.detach()
        optimizer.step()
        if abs(theta.item()) > 1.0:
            return False
    return abs(theta.item()) < 1e-7


@pytest.mark.parametrize(
    "options",
    [{}, {"momentum": 0.9}, {"momentum": 0.5, "dampening": 0.5}, {"momentum": 0.9, "nesterov": True}],
)
def test_gradient_descent_is_stable_up_to_its_limit_and_not_beyond(options: dict[str, Any]) -> None:
    for factor, stable in ((0.97, True), (1.03, False)):
        theta = nn.Parameter(torch.tensor(1e-6, dtype=torch.float64))
        optimizer = torch.optim.SGD([theta], lr=0.1, **options)
        curvature = factor * stability_rule(optimizer).limit / 0.1
        assert decays(optimizer, theta, curvature) == stable


@pytest.mark.parametrize("beta", [0.9, 0.5])
def test_adam_with_its_preconditioner_held_is_stable_up_to_its_limit_and_not_beyond(beta: float) -> None:
    for factor, stable in ((0.97, True), (1.03, False)):
        theta = nn.Parameter(torch.tensor(1e-6, dtype=torch.float64))
        optimizer = torch.optim.Adam([theta], lr=0.1, betas=(beta, 1 - 1e-15))
        one = torch.tensor(1.0, dtype=torch.float64)
        # P = √ν = 3, and so many steps behind it that the bias corrections are 1
        optimizer.state[theta] = {"step": 1e17 * torch.ones(()), "exp_avg": 0 * one, "exp_avg_sq": 9 * one}
        curvature = 3 * factor * stability_rule(optimizer).limit / 0.1
        assert decays(optimizer, theta, curvature) == stable
    assert stability_rule(torch.optim.Adam([theta])).limit == pytest.approx(38.0)


def dense_hessian(module: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """H of the batch's mean cross-entropy, with batch statistics where the module has BatchNorm."""
    names = [name for name, _ in module.named_parameters()]
    inputs, targets = batch
    module = copy.deepcopy(module).double().train()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.track_running_stats, layer.running_mean, layer.running_var = False, None, None
    shapes = [p.shape for p in module.parameters()]

    def loss(flat: Tensor) -> Tensor:
        parts = flat.split([shape.numel() for shape in shapes])
        tensors = {name: part.view(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        return nn.functional.cross_entropy(functional_call(module, tensors, (inputs.double(),)), targets)

    return hessian(loss, torch.cat([p.detach().flatten() for p in module.parameters()]))


class Tiny(nn.Sequential):
    """A convolution with BatchNorm over 2×6×6 images, of few enough parameters for a dense Hessian."""

    def __init__(self) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            super().__init__(
                nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
                nn.Linear(12, 4),
            )  # fmt: skip


def image_data() -> TensorData:
    inputs, targets = images(24, dtype=torch.float32)
    return TensorData(inputs, targets, classes=4)


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_the_eigenvalue_is_that_of_the_dense_preconditioned_hessian(optimizer: str, decay: float) -> None:
    probe, steps = StabilityProbe(1, tolerance=1e-3), Steps()
    recipe = {"optimizer": optimizer, "learning_rate": 0.01, "epochs": 2, "weight_decay": decay, "momentum": 0.5}
    train(Tiny(), image_data(), "cross_entropy", probe, steps, **recipe)
    moments: Tensor | None = None
    for number, (seen, found) in enumerate(zip(steps.seen, probe.dataset()["sharpness"].values, strict=True), 1):
        theta = torch.cat([p.detach().flatten() for p in seen["module"].parameters()]).double()
        gradient = torch.cat([g.flatten() for g in seen["gradients"]]).double()
        coupled = 0.0 if optimizer == "adamw" else decay
        second = (gradient + coupled * theta) ** 2
        moments = 0.001 * second if moments is None else 0.999 * moments + 0.001 * second
        scale = (1 - 0.9**number) * ((moments / (1 - 0.999**number)).sqrt() + 1e-8)
        scale = torch.ones_like(scale) if optimizer == "sgd" else scale
        dense = dense_hessian(seen["module"], seen["batch"]) + coupled * torch.eye(len(theta))
        whitened = scale.rsqrt()[:, None] * dense * scale.rsqrt()
        assert found == pytest.approx(float(torch.linalg.eigvalsh(whitened)[-1]), rel=1e-3)


def test_the_hessian_of_given_samples_follows_the_training() -> None:
    inputs, targets = images(24, dtype=torch.float32)
    module = Tiny()
    objective = Objective(module, "cross_entropy", (inputs, targets), batch_norm="batch", device="cpu")
    probe, steps = StabilityProbe(2, objective=objective, tolerance=1e-3), Steps()
    train(module, image_data(), "cross_entropy", probe, steps, optimizer="sgd", momentum=0.0, learning_rate=0.1)
    found = probe.dataset()
    assert found.attrs["hessian_of"] == "24 fixed samples"
    for number, value in zip(found["step"].values, found["sharpness"].values, strict=True):
        dense = dense_hessian(steps.seen[number]["module"], (inputs, targets))
        assert value == pytest.approx(float(torch.linalg.eigvalsh(dense)[-1]), rel=1e-3)


def test_training_goes_on_bit_for_bit_as_without_the_probe() -> None:
    alone, watched = Tiny(), Tiny()
    train(alone, image_data(), "cross_entropy")
    train(watched, image_data(), "cross_entropy", StabilityProbe(1))
    assert same_state(state_of(alone) | {"addresses": 0}, state_of(watched) | {"addresses": 0})


def test_parameters_that_are_not_trained_have_no_curvature() -> None:
    module = Tiny()
    module[0].weight.requires_grad_(False)
    probe = StabilityProbe(1, tolerance=1e-3)
    train(copy.deepcopy(module), image_data(), "cross_entropy", probe, optimizer="sgd", epochs=1, batch_size=24)
    order = torch.arange(24)  # one batch of all: their order does not matter
    inputs, targets = images(24, dtype=torch.float32)
    dense = dense_hessian(module, (inputs[order], targets[order]))[54:, 54:]
    assert probe.dataset()["sharpness"].values[0] == pytest.approx(float(torch.linalg.eigvalsh(dense)[-1]), rel=1e-3)


def test_an_eigenvalue_that_overtakes_another_is_found() -> None:
    tracker = LargestEigenvalue(tolerance=1e-3)
    spectrum = torch.linspace(0, 1, 200, dtype=torch.float64)
    for first, second in ((3.0, 2.0), (2.5, 2.4), (2.0, 3.0), (0.5, 3.5)):
        spectrum[0], spectrum[1] = first, second
        found = tracker.of(lambda v: spectrum * v, spectrum, 0)
        assert found.value == pytest.approx(max(first, second), rel=1e-5)
        assert found.converged


def test_tracking_takes_fewer_products_than_starting_anew() -> None:
    draws = torch.Generator().manual_seed(0)
    root = torch.randn(300, 300, generator=draws, dtype=torch.float64)
    matrix = root @ root.T / 300
    drift = torch.diag(torch.linspace(0, 0.02, 300, dtype=torch.float64))
    tracker, tracked, anew = LargestEigenvalue(), 0, 0
    for number in range(6):
        now = matrix + number * drift
        like = torch.zeros(300, dtype=torch.float64)
        tracked += tracker.of(lambda v, now=now: now @ v, like, number).products
        anew += LargestEigenvalue().of(lambda v, now=now: now @ v, like, number).products
    assert tracked < 0.8 * anew


def test_too_few_products_are_said_not_to_have_converged() -> None:
    spectrum = torch.linspace(0, 1, 500, dtype=torch.float64)
    found = LargestEigenvalue(tolerance=1e-6, max_products=5).of(lambda v: spectrum * v, spectrum, 0)
    assert (found.products, found.converged) == (5, False)
    assert found.value < 1.0


def test_where_the_loss_is_not_finite_the_eigenvalue_is_nan_and_training_goes_on() -> None:
    module = Bowl()
    with torch.no_grad():
        module.theta[0] = math.inf
    probe = StabilityProbe(1)
    result = train(module, bowl_data(), outputs_alone, probe, optimizer="sgd", learning_rate=0.1)
    assert result.status == "diverged"
    assert np.isnan(probe.dataset()["sharpness"].values).all()
    assert probe.dataset()["converged"].values.tolist() == [0]


class Checkpoint(Observer):
    """Keeps the state after an epoch, and what a probe of stability goes on with."""

    def __init__(self, probe: StabilityProbe) -> None:
        self.probe = probe

    def on_epoch(self, report: Any) -> None:
        if report.epoch == 2:
            self.state, self.start = report.state(), self.probe.start


def test_a_resumed_training_keeps_the_steps_before_and_measures_those_after() -> None:
    whole, before = StabilityProbe(2, tolerance=1e-4), StabilityProbe(2, tolerance=1e-4)
    kept = Checkpoint(before)
    train(Tiny(), image_data(), "cross_entropy", whole, epochs=4)
    train(Tiny(), image_data(), "cross_entropy", before, kept, epochs=4)
    partial = before.dataset().isel(step=slice(0, 5))  # one step more than the checkpoint knows
    after = StabilityProbe(2, tolerance=1e-4, resume=partial)
    train(Tiny(), image_data(), "cross_entropy", after, epochs=4, resume=kept.state)
    found = after.dataset()
    assert found["step"].values.tolist() == whole.dataset()["step"].values.tolist()
    xr.testing.assert_identical(found.isel(step=slice(0, 3)), whole.dataset().isel(step=slice(0, 3)))
    assert found["sharpness"].values == pytest.approx(whole.dataset()["sharpness"].values, rel=1e-3)
    same = StabilityProbe(2, tolerance=1e-4, resume=partial, start=kept.start)
    train(Tiny(), image_data(), "cross_entropy", same, epochs=4, resume=kept.state)
    xr.testing.assert_identical(same.dataset(), whole.dataset())


def test_a_start_of_another_network_is_refused() -> None:
    probe = StabilityProbe(1, start=torch.ones(3))
    with pytest.raises(InputError, match=r"start: expected a vector \(\d+,\), got \(3,\)"):
        train(Tiny(), image_data(), "cross_entropy", probe, epochs=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "stability_every: expected a whole number of at least 1, got 0"),
        ({"max_products": 1}, "max_products: expected a whole number of at least 2, got 1"),
        ({"tolerance": 0.0}, "tolerance: expected a number between 0 and 1, got 0.0"),
    ],
)
def test_unusable_settings_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        StabilityProbe(**options)


def test_what_cannot_be_measured_is_refused() -> None:
    frozen = Objective(conv_net(), "cross_entropy", images(), device="cpu")
    with pytest.raises(InputError, match="objective: its BatchNorm has the policy 'frozen'"):
        StabilityProbe(objective=frozen)
    parameter = nn.Parameter(torch.ones(1))
    with pytest.raises(
        InputError, match="optimizer: the limit of stability is known for SGD, Adam and AdamW, got Adagrad"
    ):
        stability_rule(torch.optim.Adagrad([parameter]))
    groups = [{"params": [parameter]}, {"params": [nn.Parameter(torch.ones(1))], "momentum": 0.5}]
    with pytest.raises(InputError, match="optimizer: its parameter groups have different limits"):
        stability_rule(torch.optim.SGD(groups, lr=0.1))


def test_a_resume_of_other_steps_or_another_kind_is_refused() -> None:
    probe = StabilityProbe(1)
    train(Bowl(), bowl_data(), outputs_alone, probe, optimizer="sgd", epochs=1)
    with pytest.raises(MismatchError, match="stability_every was 1 and is now 2"):
        StabilityProbe(2, resume=probe.dataset())
    with pytest.raises(InputError, match="expected a result of kind 'stability'"):
        StabilityProbe(1, resume=xr.Dataset(attrs={"kind": "steps"}))
