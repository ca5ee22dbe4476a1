"""Networks that are one function are never ranked, and a measure that is said to see no rescaling sees none."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
import xarray as xr
from comparison_samples import history, training
from networks import images
from torch import Tensor, nn

import landscape as ls
from landscape.comparison import Comparison
from landscape.probes.comparable import FILTERS, LAYERS, RESCALINGS, UNITS

WIDTH = 5
AXIS = (-0.5, 0.5, 5)


def network(seed: int, dtype: torch.dtype = torch.float64) -> nn.Module:
    """Convolution, BatchNorm, LeakyReLU, convolution, ReLU, linear; ε is so small that the scale before BatchNorm is free."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Conv2d(2, WIDTH, 3, padding=1, bias=False),
            nn.BatchNorm2d(WIDTH, eps=1e-12),
            nn.LeakyReLU(0.01),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(WIDTH, 4),
        ).to(dtype)
        net.train()
        for _ in range(3):
            net(torch.randn(16, 2, 6, 6, dtype=dtype))
    return net.eval()


def rescale_filters(net: nn.Module, c: Tensor) -> None:
    net[0].weight *= c[:, None, None, None]  # type: ignore[index]
    net[1].running_mean *= c  # type: ignore[index]
    net[1].running_var *= c**2  # type: ignore[index]


def rescale_units(net: nn.Module, c: Tensor) -> None:
    """Across both activations: of γ and β against the second convolution, and of that against the linear layer."""
    for tensor in (net[1].weight, net[1].bias, net[3].bias):  # type: ignore[index]
        tensor *= c
    net[3].weight *= c[:, None, None, None] / c[None, :, None, None]  # type: ignore[index]
    net[7].weight /= c[None, :]  # type: ignore[index]


def rescale_layers(net: nn.Module, c: Tensor) -> None:
    rescale_units(net, c[:1].expand(WIDTH))


WAYS: dict[str, Callable[[nn.Module, Tensor], None]] = {
    FILTERS: rescale_filters,
    LAYERS: rescale_layers,
    UNITS: rescale_units,
}


def rescaled(net: nn.Module, way: str, draws: np.random.Generator, powers: tuple[float, float] = (-3, 3)) -> nn.Module:
    """The same function with other weights, by factors 2 to such powers."""
    other, parameter = copy.deepcopy(net), next(net.parameters())
    factors = torch.from_numpy(np.exp2(draws.uniform(*powers, WIDTH))).to(parameter.dtype)
    with torch.no_grad():
        WAYS[way](other, factors)
    return other


def sharpness(net: nn.Module, *measures: str) -> xr.Dataset:
    """In single precision, as people measure it, where the network is of that."""
    dtype = next(net.parameters()).dtype
    objective = ls.Objective(
        net, "cross_entropy", images(dtype=dtype), precision="fp64" if dtype is torch.float64 else "fp32"
    )
    return ls.sharpness(objective, ls.SharpnessConfig(measures=measures, draws=4, ascent_steps=10))


def all_results(net: nn.Module) -> list[xr.Dataset]:
    objective = ls.Objective(net, "cross_entropy", images(), precision="fp64")
    probe = ls.StepProbe(ls.StepProbeConfig(every=1, eta=(0.5, 4.0, 4), along=("gradient", "update", "relative")))
    recipe = ls.TrainingConfig(batch_size=24, updates=1, learning_rate=0.01, augment=False, seed=0)
    ls.fit(copy.deepcopy(net).float(), images(dtype=torch.float32), recipe, observers=[probe])
    spectrum = ls.CurvatureConfig(top=1, bottom=0, density_probes=0, trace_probes=2)
    return [
        sharpness(net, "sam", "gaussian", "adaptive", "adaptive_steps", "adaptive_average"),
        *(ls.plane(objective, x=AXIS, y=AXIS, seeds=(0, 1), normalization=n) for n in ("filter", "layer")),
        ls.curvature(objective, spectrum),
        probe.dataset(),
        history(objective.evaluate().loss),
    ]


def of_run(results: list[xr.Dataset], width: int, seed: int) -> list[xr.Dataset]:
    recipe = training(width=width, seed=seed)
    return [one.assign_attrs(training=recipe, checkpoint="run-last") for one in results]


def compared(pairs: list[tuple[list[xr.Dataset], list[xr.Dataset]]]) -> Comparison:
    """Runs of width 50 and, of equal seeds, of width 100: a setting that decides neither where is looked nor at which loss."""
    data = [
        one
        for seed, sides in enumerate(pairs)
        for width, results in zip((50, 100), sides, strict=True)
        for one in of_run(results, width, seed)
    ]
    return ls.compare(data, by="width")


@pytest.mark.parametrize("way", list(WAYS), ids=["filters", "layers", "units"])
def test_a_measure_does_not_see_the_rescalings_that_it_is_said_to_be_invariant_under(way: str) -> None:
    net = network(0)
    other = rescaled(net, way, np.random.default_rng(1), powers=(-4, -1))
    inputs, _ = images()
    torch.testing.assert_close(other(inputs), net(inputs), rtol=1e-9, atol=1e-9)
    made = compared([(all_results(net), all_results(other))])
    assert not any("smoother" in sentence for sentence in made.sentences)
    assert {row.measure.family for row in made.rows} == {"training", "steps", "sharpness", "plane", "curvature"}
    moved = set()
    for row in made.rows:
        one, two = (row.cells[setting].mean for setting in ("50", "100"))
        if way in row.measure.invariant:
            assert two == pytest.approx(one, rel=1e-5), row.measure.name
        elif two != pytest.approx(one, rel=1e-2):
            moved.add(row.measure.name.replace(":gradient", "").partition(":0")[0])
    # Not said to be invariant, and seen to move.
    assert {"sam", "gaussian", "largest_eigenvalue", "trace", "loss_variation", "effective_beta_normalized"} <= moved
    assert ("curvature_mean [normalisation filter]" in moved) == (way == UNITS)
    assert ("curvature_mean [normalisation layer]" in moved) == (way != LAYERS)


def test_only_measures_that_see_no_rescaling_at_all_may_name_a_smoother_network() -> None:
    results = all_results(network(0))
    made = compared([(results, results)])
    claims = {row.measure.name for row in made.rows if row.measure.smoother != "neither"}
    of_steps = {"loss_variation:relative", "relative_predictiveness:relative"}
    assert claims == {"adaptive:0.5", "adaptive_steps:0.5", "adaptive_average:0.05"} | of_steps
    assert all(row.measure.invariant == RESCALINGS for row in made.rows if row.measure.smoother != "neither")


def rankings(rescalings: int) -> list[str]:
    """What is said of a smoother one where three networks are compared with themselves, all rescaled alike, so many times."""
    draws, measures = np.random.default_rng(2), ("sam", "adaptive", "adaptive_average")
    nets = [network(seed, torch.float32) for seed in range(3)]
    first = [[sharpness(net, *measures)] for net in nets]
    found = []
    for _ in range(rescalings):
        way, drawn = list(WAYS)[int(draws.integers(3))], int(draws.integers(2**32))
        # The same factors for every seed: a shift that all of them share.
        others = [[sharpness(rescaled(net, way, np.random.default_rng(drawn)), *measures)] for net in nets]
        made = compared(list(zip(first, others, strict=True)))
        found += [sentence for sentence in made.sentences if "smoother" in sentence]
    return found


def test_identical_functions_are_not_ranked() -> None:
    assert rankings(10) == []


@pytest.mark.slow
def test_identical_functions_are_not_ranked_in_200_rescalings() -> None:
    assert rankings(200) == []
