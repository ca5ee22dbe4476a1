"""Weight noise against closed forms on quadratics, against perturbed copies of the module, and as a result."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import xarray as xr
from networks import conv_net, images
from torch import Tensor, nn

from landscape.errors import InputError, MismatchError
from landscape.numerics.seeds import generator
from landscape.objective.objective import Objective
from landscape.probes.comparable import Options
from landscape.probes.interactive import interactive
from landscape.probes.plot import plot
from landscape.probes.progress import Progress
from landscape.probes.weight_noise.config import WeightNoiseConfig
from landscape.probes.weight_noise.measure import weight_noise
from landscape.probes.weight_noise.result import WEIGHT_NOISE, words

DRAWS = 400


class Quadratic(nn.Module):
    """½ θᵀAθ for θ of two tensors, of 3 and 2 × 2 entries, and a fixed A that is not diagonal."""

    def __init__(self, first: Tensor, second: Tensor) -> None:
        super().__init__()
        self.first, self.second = nn.Parameter(first), nn.Parameter(second)
        root = torch.randn(7, 7, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        self.register_buffer("A", root @ root.T)

    def forward(self, x: Tensor) -> Tensor:
        theta = torch.cat([self.first, self.second.flatten()])
        return 0.5 * (theta @ self.A @ theta).expand(len(x))


def quadratic_net(size: float = 1.0) -> Quadratic:
    draws = torch.Generator().manual_seed(5)
    first, second = (torch.randn(n, generator=draws, dtype=torch.float64) * size for n in (3, 4))
    return Quadratic(first, 3 * second.reshape(2, 2))


def quadratic(size: float = 1.0, loss: Callable[[Tensor, Tensor], Tensor] = lambda o, _: o) -> Objective:
    data = (torch.zeros(2, 1, dtype=torch.float64), torch.zeros(2))
    return Objective(quadratic_net(size), loss, data, metric=lambda o, t: None, device="cpu", precision="fp64")


def drawn(net: nn.Module, number: int, seed: int = 0) -> dict[str, Tensor]:
    """The noise of a draw, by parameter."""
    draws = generator(seed, "weight noise", number)
    return {name: torch.randn(p.shape, generator=draws).to(p) for name, p in net.named_parameters()}


def test_the_rise_of_a_quadratic_is_half_the_trace_times_the_noises_variance() -> None:
    net = quadratic_net()
    size = {name: float(p.detach().square().mean().sqrt()) for name, p in net.named_parameters()}
    A = net.A
    trace = {"first": float(A[:3, :3].trace()), "second": float(A[3:, 3:].trace())}
    expected = {"absolute": sum(trace.values()), "relative": sum(size[n] ** 2 * trace[n] for n in trace)}
    found = weight_noise(quadratic(), WeightNoiseConfig(sigma=(0.5, 2.0), draws=DRAWS))
    for noise, value in expected.items():
        for level, sigma in enumerate((0.5, 2.0)):
            one = found.sel(noise=noise).isel(level=level)
            error = float(one["standard_error"])
            assert abs(float(one["rise"]) - 0.5 * sigma**2 * value) < 4 * error
        assert error < 0.1 * float(one["rise"])  # at the larger σ, where it tells something
    theta = torch.cat([p.detach().flatten() for p in net.parameters()])
    scale = torch.cat([torch.full((n,), size[name], dtype=torch.float64) for name, n in (("first", 3), ("second", 4))])
    for noise, s in (("absolute", torch.ones(7).double()), ("relative", scale)):
        rises = []
        for number in range(DRAWS):
            step = 2.0 * s * torch.cat([z.flatten() for z in drawn(net, number).values()])
            rises.append(float(theta @ A @ step + 0.5 * step @ A @ step))
        one = found.sel(noise=noise).isel(level=1)
        np.testing.assert_allclose(one["draw_rise"].values, rises, rtol=1e-10, atol=1e-10)
        assert float(one["rise"]) == pytest.approx(np.mean(rises), rel=1e-12)
        assert float(one["standard_error"]) == pytest.approx(np.std(rises, ddof=1) / math.sqrt(DRAWS), rel=1e-12)


def test_every_size_of_the_noise_has_the_same_draws() -> None:
    found = weight_noise(quadratic(0.0), WeightNoiseConfig("absolute", sigma=(0.1, 0.3), draws=3))
    small, large = found["draw_rise"].values[0]
    np.testing.assert_allclose(large, 9 * small, rtol=1e-12)
    assert len(set(small)) == 3
    other = weight_noise(quadratic(0.0), WeightNoiseConfig("absolute", sigma=(0.1,), draws=3, draw_seed=1))
    assert not set(small) & set(other["draw_rise"].values.ravel())


def test_a_draw_is_the_loss_of_the_module_with_its_weights_moved() -> None:
    net, (inputs, targets) = conv_net(), images()
    objective = Objective(net, "cross_entropy", (inputs, targets), device="cpu", precision="fp64")
    found = weight_noise(objective, WeightNoiseConfig(sigma=(0.05, 0.2), draws=2, draw_seed=4))
    loss = nn.CrossEntropyLoss(reduction="none")
    with torch.no_grad():
        before = loss(net(inputs), targets)
        for noise in ("relative", "absolute"):
            rises = []
            for number in range(2):
                moved = copy.deepcopy(net)
                for (_, p), z in zip(moved.named_parameters(), drawn(net, number, 4).values(), strict=True):
                    p += 0.2 * z * (p.norm() / math.sqrt(p.numel()) if noise == "relative" else 1.0)
                rises.append(loss(moved(inputs), targets) - before)
            one = found.sel(noise=noise).isel(level=1)
            np.testing.assert_allclose(one["draw_rise"].values, [float(r.mean()) for r in rises], rtol=1e-6)
            over_samples = float(torch.stack(rises).mean(0).std()) / math.sqrt(len(inputs))
            assert float(one["sample_standard_error"]) == pytest.approx(over_samples, rel=1e-6)
    assert float(found["checkpoint_loss"]) == pytest.approx(float(before.mean()))
    assert float(found["checkpoint_loss_standard_error"]) == pytest.approx(float(before.std()) / math.sqrt(len(inputs)))


def test_relative_noise_stays_as_it_is_where_layers_are_rescaled_and_leaves_zeros_alone() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8, bias=False), nn.ReLU(), nn.Linear(8, 3)).double()
    nn.init.zeros_(net[2].bias)
    data = (torch.randn(30, 6, dtype=torch.float64), torch.arange(30) % 3)
    other = copy.deepcopy(net)
    with torch.no_grad():
        other[0].weight *= 10
        other[2].weight /= 10

    def rise(module: nn.Module, **further: object) -> np.ndarray:
        objective = Objective(module, "cross_entropy", data, device="cpu", precision="fp64", **further)
        return weight_noise(objective, WeightNoiseConfig(draws=2))["draw_rise"].values

    one, scaled = rise(net), rise(other)
    np.testing.assert_allclose(one[0], scaled[0], rtol=1e-9)
    assert not np.allclose(one[1], scaled[1], rtol=0.1)
    bias = rise(net, parameters=["2.bias"])
    assert (bias[0] == 0).all() and (bias[1] != 0).all()


def test_a_stopped_measurement_goes_on_and_one_of_another_loss_or_other_settings_is_refused() -> None:
    config = WeightNoiseConfig(sigma=(0.1, 0.2), draws=2)
    parts: list[xr.Dataset] = []

    def keep(progress: Progress) -> None:
        parts.append(progress.dataset())

    whole = weight_noise(quadratic(), config, observer=keep)
    assert [int((part["status"] == 1).sum()) for part in parts] == [1, 2, 3, 4]
    xr.testing.assert_identical(weight_noise(quadratic(), config, resume=parts[1]), whole)
    with pytest.raises(MismatchError, match="noises, σ or draws"):
        weight_noise(quadratic(), WeightNoiseConfig(sigma=(0.1, 0.3), draws=2), resume=parts[1])
    for other in (
        WeightNoiseConfig(sigma=(0.1, 0.2), draws=3),
        WeightNoiseConfig(sigma=(0.1, 0.2), draws=2, draw_seed=1),
    ):
        with pytest.raises(MismatchError, match="draw"):
            weight_noise(quadratic(), other, resume=parts[1])
    forged = parts[1].assign(draw_rise=parts[1]["draw_rise"] + 1e-3)
    with pytest.raises(MismatchError, match=r"the first draw of relative noise at σ = 0\.2"):
        weight_noise(quadratic(), config, resume=forged)


def overflowing() -> xr.Dataset:
    steep = quadratic(loss=lambda o, _: (o / 50).exp())
    return weight_noise(steep, WeightNoiseConfig("absolute", sigma=(1000.0, 0.1), draws=2))


def test_a_loss_that_overflows_is_kept_and_said_in_words_picture_and_page() -> None:
    found = overflowing()
    assert found["status"].values.tolist() == [[2, 1]]
    assert np.isinf(found["rise"].values[0, 0]) and np.isfinite(found["rise"].values[0, 1])
    assert any("absolute at σ = 1000: a loss is NaN or infinite" in line for line in words(found))
    (legend,) = plot(found).legends
    assert legend.get_texts()[0].get_text() == "not finite: σ = 1000"
    assert "not finite at \\u03c3 = 1000" in interactive(found)


def test_the_picture_shows_the_rise_of_every_checkpoint_by_ascending_size() -> None:
    one = weight_noise(quadratic(), WeightNoiseConfig(sigma=(0.2, 0.1), draws=3)).assign_attrs(model="one")
    two = weight_noise(quadratic(2.0), WeightNoiseConfig("absolute", sigma=(0.1, 0.4), draws=3)).assign_attrs(
        model="two"
    )
    figure = plot([one, two], scale="linear")
    relative, absolute = figure.axes
    assert [len(axes.get_lines()) for axes in (relative, absolute)] == [1, 2]
    line = relative.get_lines()[0]
    assert list(line.get_xdata()) == [0.1, 0.2]
    np.testing.assert_array_equal(line.get_ydata(), one["rise"].sel(noise="relative").values[::-1])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one", "two"]
    assert len(plot(one, quantity="absolute").axes) == 1
    with pytest.raises(InputError, match="quantity: unknown value 'both'"):
        plot(one, quantity="both")


def test_a_comparison_reads_the_middle_size_and_wants_the_same_draws() -> None:
    found = weight_noise(quadratic(), WeightNoiseConfig("absolute", sigma=(0.3, 0.1, 0.2), draws=3))
    [reading] = WEIGHT_NOISE.read(found, Options())
    assert reading.measure.name == "absolute_noise:0.2"
    assert reading.value == float(found["rise"].values[0, 2])
    other = weight_noise(quadratic(), WeightNoiseConfig("absolute", sigma=(0.3, 0.1, 0.2), draws=3, draw_seed=1))
    assert WEIGHT_NOISE.conditions(found) != WEIGHT_NOISE.conditions(other)


def test_a_policy_without_statistics_away_from_the_checkpoint_is_refused() -> None:
    objective = Objective(conv_net(), "cross_entropy", images(), batch_norm="interpolated", device="cpu")
    with pytest.raises(InputError, match="noise leads to none"):
        weight_noise(objective)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"noise": ()}, "noise: expected relative or absolute"),
        ({"noise": ("relative", "relative")}, "each once"),
        ({"noise": "absolut"}, "Did you mean 'absolute'"),
        ({"sigma": (0.1, -1.0)}, "sigma: expected .* above 0"),
        ({"sigma": (0.1, 0.1)}, "different numbers"),
        ({"draws": 1}, "draws: expected a whole number of at least 2"),
    ],
)
def test_settings_that_cannot_be_are_named(given: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        WeightNoiseConfig(**given)  # type: ignore[arg-type]
