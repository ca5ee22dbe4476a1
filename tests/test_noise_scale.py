"""The gradient noise scale against gradients of single samples, and against a distribution whose noise is known."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from networks import conv_net, images
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from landscape.errors import InputError
from landscape.objective.objective import Objective
from landscape.probes.noise_scale.measure import (
    NoiseScaleConfig,
    jackknife_error,
    noise_from_pair,
    noise_scale,
)
from landscape.probes.noise_scale.result import words
from landscape.probes.progress import Progress


class Points(nn.Module):
    """l(θ; x) = ½ ‖θ − x‖², whose gradient θ − x has the noise of x."""

    def __init__(self, theta: Tensor) -> None:
        super().__init__()
        self.theta = nn.Parameter(theta)

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * ((self.theta - x) ** 2).sum(1)


def points(x: Tensor, theta: Tensor) -> Objective:
    nothing = torch.zeros(len(x))
    return Objective(Points(theta), lambda o, _: o, (x, nothing), metric=lambda o, t: None, device="cpu")


def sample_gradients(net: nn.Module) -> Tensor:
    """∇lᵢ(θ) of every sample, shape ``(N, n)``, by per-sample autograd."""
    inputs, targets = images()
    parameters = {name: p.detach() for name, p in net.named_parameters()}
    buffers = dict(net.named_buffers())

    def loss(parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(functional_call(net, (parameters, buffers), (x[None],)), y[None])

    found = vmap(grad(loss), (None, 0, 0))(parameters, inputs, targets)
    return torch.cat([g.flatten(1) for g in found.values()], 1)


@pytest.mark.parametrize("norm", [True, False])
def test_single_samples_as_small_batches_give_the_covariance_of_per_sample_gradients(norm: bool) -> None:
    net = conv_net(norm=norm)
    gradients = sample_gradients(copy.deepcopy(net))
    trace, mean = float(torch.cov(gradients.T).trace()), gradients.mean(0)
    found = noise_scale(Objective(net, "cross_entropy", images(), device="cpu"), NoiseScaleConfig(1, 6))
    assert float(found["noise_trace"]) == pytest.approx(trace, rel=1e-9)
    squared = float(mean @ mean) - trace / 24
    assert float(found["gradient_norm_squared"]) == pytest.approx(squared, rel=1e-9)
    assert float(found["noise_scale"]) == pytest.approx(trace / squared, rel=1e-9)


def test_over_random_splits_larger_batches_give_the_same_covariance_on_average() -> None:
    x = torch.randn(24, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    objective = points(x, torch.ones(3, dtype=torch.float64))
    traces = [float(noise_scale(objective, NoiseScaleConfig(4, 2, seed))["noise_trace"]) for seed in range(40)]
    error = np.std(traces, ddof=1) / math.sqrt(40)
    assert abs(np.mean(traces) - float(torch.cov(x.T).trace())) < 3.5 * error


def test_estimates_are_unbiased_and_their_errors_as_large_as_they_say() -> None:
    deviations = torch.tensor([2.0, 1.0, 0.5, 3.0], dtype=torch.float64)
    mean = torch.tensor([0.5, -0.5, 1.0, 1.0], dtype=torch.float64)
    truth = {"noise_trace": float((deviations**2).sum()), "gradient_norm_squared": float(mean @ mean)}
    scores: dict[str, list[float]] = {name: [] for name in truth}
    for seed in range(40):
        draws = torch.Generator().manual_seed(seed)
        x = deviations * torch.randn(60, 4, generator=draws, dtype=torch.float64) - mean
        found = noise_scale(points(x, torch.zeros(4, dtype=torch.float64)), NoiseScaleConfig(3, 10))
        for name, expected in truth.items():
            scores[name].append((float(found[name]) - expected) / float(found[f"{name}_standard_error"]))
    for name in truth:
        assert abs(np.mean(scores[name])) < 0.5
        assert 0.75 < np.std(scores[name]) < 1.45


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=9)
    left_out = np.array([np.delete(values, i).mean() for i in range(9)])
    assert jackknife_error(left_out) == pytest.approx(values.std(ddof=1) / 3)


def test_a_pair_of_batch_sizes_inverts_its_expectations() -> None:
    found = noise_from_pair(5.0 + 12.0 / 4, 5.0 + 12.0 / 32, 4, 32)
    assert (found.trace, found.squared_norm) == (pytest.approx(12.0), pytest.approx(5.0))
    assert found.scale == pytest.approx(2.4)


def test_a_gradient_lost_in_noise_is_said_to_be_unresolved() -> None:
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    centred = x - x.mean(0)
    zero = torch.zeros(4, dtype=torch.float64)
    lost, plain = (noise_scale(points(x, zero), NoiseScaleConfig(3, 10)) for x in (centred, centred + 5.0))
    assert (int(lost["resolved"]), int(plain["resolved"])) == (0, 1)
    assert words(lost)[0].startswith("gradient noise scale not resolved, from batches of 3 and 60")
    assert words(plain)[0].startswith(f"gradient noise scale {float(plain['noise_scale']):.4g} ± ")


def test_the_big_batch_under_batch_statistics_is_the_mean_of_small_ones_normalised_by_themselves() -> None:
    net, (inputs, targets) = conv_net(), images()
    found = noise_scale(
        Objective(net, "cross_entropy", images(), batch_norm="batch", device="cpu"), NoiseScaleConfig(8, 3)
    )
    order = torch.randperm(24, generator=_generator("noise scale"))
    alone = []
    for part in order.split(8):
        data = (inputs[part], targets[part])
        own = Objective(net, "cross_entropy", data, batch_norm="batch", device="cpu")
        alone.append(own.gradient().vector.vector)
    rows = torch.stack(alone)
    assert float(found["noise_trace"]) == pytest.approx(8 * float(torch.cov(rows.T).trace()), rel=1e-9)


def _generator(purpose: str) -> torch.Generator:
    from landscape.numerics.seeds import generator

    return generator(0, purpose)


def test_gradients_that_are_not_finite_give_nan_and_no_gradient_gives_no_scale() -> None:
    x = torch.ones(12, 2, dtype=torch.float64)
    broken = noise_scale(points(x, torch.full((2,), math.nan, dtype=torch.float64)), NoiseScaleConfig(2, 3))
    assert math.isnan(float(broken["noise_scale"]))
    assert int(broken["resolved"]) == 0
    still = noise_scale(points(x, torch.ones(2, dtype=torch.float64)), NoiseScaleConfig(2, 3))
    assert float(still["noise_trace"]) == 0.0
    assert math.isnan(float(still["noise_scale"]))


def test_an_observer_hears_of_every_group_with_the_result_so_far() -> None:
    heard: list[Progress] = []
    x = torch.randn(24, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = noise_scale(points(x, torch.ones(3, dtype=torch.float64)), NoiseScaleConfig(2, 4), observer=heard.append)
    assert [(p.done, p.total) for p in heard] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert heard[-1].dataset().identical(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"small_batch": 0}, "small_batch: expected a whole number of at least 1, got 0"),
        ({"small_batch": 2.5}, "small_batch: expected a whole number of at least 1, got 2.5"),
        ({"groups": 1}, "groups: expected a whole number of at least 2, got 1"),
        ({"small_batch": 25}, "small_batch: 24 samples make 0 batches of 25"),
        ({"small_batch": 4, "groups": 7}, "24 samples make 6 batches of 4, and 7 groups need at least 7"),
        ({"small_batch": 1, "groups": 2}, "small_batch: batch statistics need at least 2 samples"),
    ],
)
def test_unusable_sizes_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        noise_scale(
            Objective(conv_net(), "cross_entropy", images(), batch_norm="batch", device="cpu"),
            NoiseScaleConfig(**options),
        )
