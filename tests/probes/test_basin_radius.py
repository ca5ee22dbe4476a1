"""Basin radii against closed forms of quadratics, against plain loops over a module, and as a result."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
import xarray as xr
from networks import conv_net, images
from torch import Tensor, nn

from landscape.errors import InputError, MismatchError
from landscape.objective.objective import Objective
from landscape.probes.basin_radius.config import BasinRadiusConfig
from landscape.probes.basin_radius.measure import basin_radius
from landscape.probes.basin_radius.result import COMPARED, words
from landscape.probes.comparable import Options
from landscape.probes.interactive import interactive
from landscape.probes.plot import plot
from landscape.probes.progress import Progress

FINE = {"tolerance": 1e-5, "max_passes": 60}


class Quadratic(nn.Module):
    """2 + ½ (θ − c)ᵀA(θ − c) for a matrix θ of 3 × 2 and a fixed A that is not diagonal."""

    def __init__(self, away: Tensor) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(3)
        root = torch.randn(6, 6, generator=draws, dtype=torch.float64)
        self.register_buffer("A", root @ root.T)
        self.register_buffer("centre", torch.randn(6, generator=draws, dtype=torch.float64))
        self.theta = nn.Parameter((self.centre + away).reshape(3, 2))

    def forward(self, x: Tensor) -> Tensor:
        away = self.theta.flatten() - self.centre
        return (2 + 0.5 * away @ self.A @ away).expand(len(x))


def quadratic(away: Tensor | None = None) -> tuple[Objective, Quadratic]:
    net = Quadratic(torch.zeros(6).double() if away is None else away)
    data = (torch.zeros(2, 1, dtype=torch.float64), torch.zeros(2))
    made = Objective(net, lambda o, _: o, data, metric=lambda o, t: None, device="cpu", precision="fp64")
    return made, net


def unit_directions(count: int, like: Tensor) -> Tensor:
    """Those that are drawn for a lone tensor without normalisation, in rows."""
    from landscape.numerics.seeds import generator

    rows = [torch.randn(like.shape, generator=generator(0, "basin", n)).flatten().double() for n in range(count)]
    return torch.stack([row / row.norm() for row in rows])


def test_at_a_minimum_it_is_the_root_of_twice_the_rise_over_the_curvature() -> None:
    objective, net = quadratic()
    config = BasinRadiusConfig(share=0.3, draws=5, normalization="none", worst=("eigenvector",), **FINE)
    found = basin_radius(objective, config)
    v = unit_directions(5, net.theta)
    expected = torch.sqrt(2 * 0.3 * 2 / ((v @ net.A) * v).sum(1))
    np.testing.assert_allclose(found["radius"].values[:5], expected, rtol=1e-5)
    largest = float(torch.linalg.eigvalsh(net.A)[-1])
    np.testing.assert_allclose(found["radius"].values[5:], math.sqrt(1.2 / largest), rtol=1e-3)
    assert float(found["least_radius"]) == pytest.approx(math.sqrt(1.2 / largest), rel=1e-3)
    assert float(found["random_radius"]) == pytest.approx(float(expected.mean()), rel=1e-5)
    error = float(expected.std()) / math.sqrt(5)
    assert float(found["random_radius_standard_error"]) == pytest.approx(error, rel=1e-4)
    assert (found["passes"].values[:5] <= 12).all()
    norm = float(net.theta.detach().norm())
    np.testing.assert_allclose(found["relative_radius"], found["radius"] / norm, rtol=1e-6)


def test_off_a_minimum_it_is_the_closed_form_with_the_slope_uphill_and_down() -> None:
    away = 0.3 * torch.randn(6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    objective, net = quadratic(away)
    config = BasinRadiusConfig(change=0.7, draws=4, normalization="none", worst=("gradient",), **FINE)
    found = basin_radius(objective, config)
    g = net.A @ away
    for v, radius in zip([*unit_directions(4, net.theta), g / g.norm()], found["radius"].values, strict=True):
        a, b = float(g @ v), float(v @ net.A @ v)
        assert radius == pytest.approx((-a + math.sqrt(a * a + 2 * b * 0.7)) / b, rel=1e-5)


@pytest.mark.parametrize("metric", ["loss", "accuracy"])
def test_it_is_where_a_plain_loop_over_the_module_sees_the_metric_cross(metric: str) -> None:
    net, (inputs, targets) = conv_net(), images()
    objective = Objective(net, "cross_entropy", (inputs, targets), device="cpu", precision="fp64")
    config = BasinRadiusConfig(metric=metric, share=0.2, draws=3, worst=("gradient",), reach=50.0, tolerance=1e-3)
    found = basin_radius(objective, config)
    gradients = torch.autograd.grad(nn.functional.cross_entropy(net(inputs), targets), list(net.parameters()))
    length = torch.stack([g.norm() for g in gradients]).norm()

    def value(radius: float) -> float:
        moved = copy.deepcopy(net)
        with torch.no_grad():
            for p, g in zip(moved.parameters(), gradients, strict=True):
                p += radius * g / length
            outputs = moved(inputs)
            right = float((outputs.argmax(1) == targets).double().mean())
            return right if metric == "accuracy" else float(nn.functional.cross_entropy(outputs, targets))

    one = found.sel(direction="gradient")
    low, high = float(one["radius_low"]), float(one["radius_high"])
    edge = value(0.0) * (0.8 if metric == "accuracy" else 1.2)
    assert float(found["threshold"]) == pytest.approx(edge)
    inside, outside = (value(low), value(high)) if metric == "loss" else (-value(low), -value(high))
    assert inside <= (edge if metric == "loss" else -edge) < outside
    assert high - low <= 1e-3 * high


def test_any_metric_that_an_objective_has_is_followed_the_way_that_is_worse() -> None:
    """Half the quadratic as a metric that is better when low, and minus it when high: the closed form of half the rise."""
    data = (torch.zeros(2, 1, dtype=torch.float64), torch.zeros(2))
    metrics = {"half": lambda o, t: o / 2, "mirrored": lambda o, t: 4 - o / 2}
    net = Quadratic(torch.zeros(6).double())
    objective = Objective(net, lambda o, _: o, data, metric=lambda o, t: None, metrics=metrics, device="cpu")
    v = unit_directions(3, net.theta)
    expected = torch.sqrt(2 * 0.4 / ((v @ net.A) * v).sum(1))
    for metric, better in (("half", "lower"), ("mirrored", "higher")):
        config = BasinRadiusConfig(
            metric, better=better, change=0.2, draws=3, normalization="none", worst=("none",), **FINE
        )
        found = basin_radius(objective, config)
        np.testing.assert_allclose(found["radius"], expected, rtol=1e-5)
        assert found["value"].isel(direction=0).max().item() != found["checkpoint_loss"].item()
        assert f"{metric} " in plot(found).caption and any(f"ends at {metric}" in line for line in words(found))
        part = found.where(found["direction"] != "random 3")
        part["status"] = found["status"].where(found["direction"] != "random 3", 0)
        xr.testing.assert_equal(
            basin_radius(objective, config, resume=part.assign_attrs(found.attrs))["radius"], found["radius"]
        )
    with pytest.raises(InputError, match="nobody says whether lower or higher values of half are better"):
        basin_radius(objective, BasinRadiusConfig("half"))
    with pytest.raises(InputError, match=r"unknown value 'hlf'\. Did you mean 'half'"):
        basin_radius(objective, BasinRadiusConfig("hlf", better="lower"))
    assert objective.better("accuracy") == "higher" and objective.better("loss") == "lower"


def test_what_is_beyond_reach_says_so_and_no_mean_is_made_of_it() -> None:
    objective, _ = quadratic()
    found = basin_radius(objective, BasinRadiusConfig(change=1e6, draws=2, worst="none", reach=1.0))  # type: ignore[arg-type]
    assert found["status"].values.tolist() == [3, 3]
    assert np.isnan([float(found[name]) for name in ("random_radius", "least_radius")]).all()
    assert [line for line in words(found) if "not within reach" in line]
    (legend,) = plot(found).legends
    assert "2 of 2 not known" in legend.get_texts()[0].get_text()
    assert "2 of 2 not known" in interactive(found)


def test_a_stopped_measurement_goes_on_and_other_settings_or_code_are_refused() -> None:
    config = BasinRadiusConfig(draws=3, worst=("gradient",))
    parts: list[xr.Dataset] = []

    def keep(progress: Progress) -> None:
        parts.append(progress.dataset())

    def ours() -> Objective:
        return quadratic(0.1 * torch.ones(6).double())[0]

    whole = basin_radius(ours(), config, observer=keep)
    assert [int((part["status"] > 0).sum()) for part in parts] == [1, 2, 3, 4]
    xr.testing.assert_identical(basin_radius(ours(), config, resume=parts[1]), whole)
    with pytest.raises(MismatchError, match="share"):
        basin_radius(ours(), BasinRadiusConfig(draws=3, worst=("gradient",), share=0.2), resume=parts[1])
    forged = parts[1].assign(value=parts[1]["value"] + 1e-2)
    with pytest.raises(MismatchError, match=r"radius .* along random"):
        basin_radius(ours(), config, resume=forged)


def test_a_comparison_reads_every_random_direction_and_the_least() -> None:
    found = basin_radius(quadratic()[0], BasinRadiusConfig(draws=3))
    random, least = COMPARED.read(found, Options())
    assert list(random.parts.values()) == found["relative_radius"].values[:3].tolist()
    assert least.value == pytest.approx(float(found["relative_radius"].min()))
    other = basin_radius(quadratic()[0], BasinRadiusConfig(draws=3, share=0.2))
    assert COMPARED.conditions(found) != COMPARED.conditions(other)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"metric": None}, "metric: expected a name"),
        ({"better": "high"}, "Did you mean 'higher'"),
        ({"metric": "accuracy", "share": 1.0}, "share: expected a share of the accuracy between 0 and 1"),
        ({"share": 0}, "share: expected a number above 0"),
        ({"change": -1}, "change: expected a number above 0"),
        ({"draws": 1}, "draws: expected a whole number of at least 2"),
        ({"worst": ("none", "gradient")}, "or none alone"),
        ({"tolerance": 2.0}, "tolerance: expected"),
    ],
)
def test_settings_that_cannot_be_are_named(given: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        BasinRadiusConfig(**given)  # type: ignore[arg-type]


def test_what_an_objective_cannot_give_is_refused_before_anything_is_measured() -> None:
    with pytest.raises(InputError, match="metric: this objective has no accuracy"):
        basin_radius(quadratic()[0], BasinRadiusConfig(metric="accuracy"))
    data = (torch.zeros(2, 1, dtype=torch.float64), torch.zeros(2))
    below = Objective(Quadratic(torch.zeros(6).double()), lambda o, _: o - 3, data, metric=lambda o, t: None)
    with pytest.raises(InputError, match="share: a loss of -1 has no share"):
        basin_radius(below)
    normed = Objective(conv_net(), "cross_entropy", images(), batch_norm="reestimated", device="cpu")
    with pytest.raises(InputError, match="leave the eigenvector out"):
        basin_radius(normed)
