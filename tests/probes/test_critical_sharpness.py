"""Critical sharpness against closed forms of quadratics, against plain loops over a module, and as a result."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
import xarray as xr
from networks import conv_net, images
from torch import Tensor, nn

from landscape.errors import InputError, MismatchError
from landscape.numerics.directions import given_direction
from landscape.objective.objective import Objective
from landscape.probes.comparable import Options
from landscape.probes.critical_sharpness.config import CriticalSharpnessConfig
from landscape.probes.critical_sharpness.measure import critical_sharpness
from landscape.probes.critical_sharpness.result import COMPARED, words
from landscape.probes.interactive import interactive
from landscape.probes.plot import plot
from landscape.probes.progress import Progress


class Quadratic(nn.Module):
    """½ (θ − c)ᵀA(θ − c) for a fixed A that is not diagonal, and a factor for each sample."""

    def __init__(self, theta: Tensor, centre: Tensor, A: Tensor) -> None:
        super().__init__()
        self.theta = nn.Parameter(theta)
        self.register_buffer("centre", centre)
        self.register_buffer("A", A)

    def forward(self, x: Tensor) -> Tensor:
        away = self.theta - self.centre
        return 0.5 * (away @ self.A @ away) * x[:, 0]


def matrix(seed: int = 3) -> Tensor:
    root = torch.randn(6, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return root @ root.T


def quadratic(away: Tensor, centre: Tensor, A: Tensor, loss: Callable[..., Tensor] = lambda o, _: o) -> Objective:
    data = (torch.ones(3, 1, dtype=torch.float64), torch.zeros(3))
    net = Quadratic(centre + away, centre, A)
    return Objective(net, loss, data, metric=lambda o, t: None, device="cpu", precision="fp64")


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("far", [0.0, 1e-2, 1.0, 100.0])
def test_along_an_eigenvector_the_step_is_two_over_the_eigenvalue_in_at_most_eight_passes(
    place: int, far: float
) -> None:
    A = matrix()
    values, vectors = torch.linalg.eigh(A)
    centre = far * torch.arange(1.0, 7.0, dtype=torch.float64)
    found = critical_sharpness(quadratic(0.3 * vectors[:, place], centre, A)).sel(direction="gradient")
    assert float(found["critical_step"]) == pytest.approx(2 / float(values[place]), rel=1e-3)
    assert float(found["critical_sharpness"]) == pytest.approx(float(values[place]), rel=1e-3)
    assert int(found["passes"]) <= 8 and int(found["status"]) == 1
    low, high = float(found["critical_step_low"]), float(found["critical_step_high"])
    assert low * (1 - 1e-9) <= 2 / float(values[place]) <= high


def test_along_any_direction_of_a_quadratic_it_is_the_curvature_over_the_slope() -> None:
    A, draws = matrix(), torch.Generator().manual_seed(0)
    away, d = (torch.randn(6, generator=draws, dtype=torch.float64) for _ in range(2))
    slope = float(away @ A @ d)
    d = -np.sign(slope) * d
    ours = quadratic(away, torch.zeros(6).double(), A)
    other = quadratic(away, torch.zeros(6).double(), matrix(5))
    gradient = matrix(5) @ away
    ways = {
        "mine": d,
        "named": given_direction(d, ours.theta, kind="update"),
        "either way": given_direction(-d, ours.theta, kind="eigenvector"),
        "other task": other,
    }
    found = critical_sharpness(ours, directions=ways)
    expected = float(d @ A @ d) / abs(slope)
    np.testing.assert_allclose(found["critical_sharpness"].values[:3], expected, rtol=1e-6)
    assert found["sign"].values.tolist() == [1, 1, -1, 1]
    relative = float(gradient @ A @ gradient / (away @ A @ gradient))
    assert relative > 0
    assert float(found["critical_sharpness"][3]) == pytest.approx(relative, rel=1e-6)


def test_it_is_where_a_plain_loop_over_the_module_sees_the_loss_rise_with_the_error_of_that_rise() -> None:
    net, (inputs, targets) = conv_net(), images()
    found = critical_sharpness(
        Objective(net, "cross_entropy", (inputs, targets), device="cpu", precision="fp64"),
        CriticalSharpnessConfig(tolerance=1e-5, max_passes=40),
    ).isel(direction=0)
    loss = nn.CrossEntropyLoss(reduction="none")
    before = loss(net(inputs), targets)
    gradients = torch.autograd.grad(before.mean(), list(net.parameters()))

    def rises(step: float) -> Tensor:
        moved = copy.deepcopy(net)
        with torch.no_grad():
            for p, g in zip(moved.parameters(), gradients, strict=True):
                p -= step * g
            return loss(moved(inputs), targets) - before.detach()

    step = float(found["critical_step"])
    assert float(rises(0.9999 * step).mean()) < 0 < float(rises(1.0001 * step).mean())
    assert all(float(rises(part * step).mean()) < 0 for part in np.linspace(0.05, 0.95, 19))
    tried = np.isfinite(found["trial_step"].values)
    for one, rise in zip(found["trial_step"].values[tried], found["rise"].values[tried], strict=True):
        assert float(rises(one).mean()) == pytest.approx(rise, rel=1e-6, abs=1e-9)
    slope = float(rises(1.01 * step).mean() - rises(0.99 * step).mean()) / (0.02 * step)
    error = float(rises(step).std()) / len(inputs) ** 0.5 / slope
    assert float(found["critical_step_standard_error"]) == pytest.approx(error, rel=0.3)
    ratio = float(found["critical_sharpness_standard_error"] / found["critical_step_standard_error"])
    assert ratio == pytest.approx(2 / step**2)


def statuses() -> dict[str, xr.Dataset]:
    A, away = matrix(), torch.ones(6).double()
    ours = quadratic(away, torch.zeros(6).double(), A)
    flat = quadratic(away, torch.zeros(6).double(), A, lambda o, _: -o)
    steep = quadratic(away, torch.zeros(6).double(), A, lambda o, _: torch.where(o > 20, torch.nan, o))
    return {
        "uphill": critical_sharpness(ours, directions={"uphill": A @ away}),
        "endless": critical_sharpness(flat),
        "few": critical_sharpness(ours, CriticalSharpnessConfig(max_passes=4)),
        "nan": critical_sharpness(steep, directions={"away": 1e-3 * away - A @ away}),
    }


def test_what_has_no_critical_step_says_why_and_every_picture_is_made() -> None:
    found = statuses()
    assert [int(found[name]["status"][0]) for name in found] == [4, 3, 2, 1]
    says = {
        "uphill": "rises at once, from the step",
        "endless": "does not rise up to the step",
        "few": "known only to lie between",
        "nan": "the loss rises from the step",
    }
    for name, dataset in found.items():
        assert any(says[name] in line for line in words(dataset)), words(dataset)
        assert plot(dataset).legends
        assert "\\u03b7" in interactive(dataset)
    assert np.isnan(found["uphill"]["critical_sharpness"].values).all()


def test_a_stopped_measurement_goes_on_and_other_directions_or_code_are_refused() -> None:
    A, away = matrix(), torch.ones(6).double()
    config = CriticalSharpnessConfig(along=("gradient", "random"))
    parts: list[xr.Dataset] = []

    def keep(progress: Progress) -> None:
        parts.append(progress.dataset())

    def ours() -> Objective:
        return quadratic(away, torch.zeros(6).double(), A, lambda o, _: o + 1)

    theta = ours().theta
    with pytest.raises(InputError, match="no tensor with more than one dimension"):
        critical_sharpness(ours(), config)  # a filter-normalised direction of a vector alone
    given = {"gradient": "gradient", "mine": given_direction(torch.eye(6)[0], theta, kind="eigenvector")}
    whole = critical_sharpness(ours(), directions=given, observer=keep)
    assert [int((part["status"] > 0).sum()) for part in parts] == [1, 2]
    xr.testing.assert_identical(critical_sharpness(ours(), directions=given, resume=parts[0]), whole)
    with pytest.raises(MismatchError, match="direction mine"):
        critical_sharpness(ours(), directions={**given, "mine": torch.eye(6)[1]}, resume=parts[0])
    forged = parts[0].assign(rise=parts[0]["rise"] + 1e-2)
    with pytest.raises(MismatchError, match="along gradient"):
        critical_sharpness(ours(), directions=given, resume=forged)


def test_a_comparison_reads_each_direction() -> None:
    found = statuses()["few"]
    [reading] = COMPARED.read(found, Options())
    assert reading.measure.name == "critical_sharpness:gradient"
    assert reading.value == float(found["critical_sharpness"][0])
    [none] = COMPARED.read(statuses()["uphill"], Options())
    assert np.isnan(none.value)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"along": ()}, "along: expected at least one direction"),
        ({"along": ("gradiant",)}, "Did you mean 'gradient'"),
        ({"tolerance": 0.0}, "tolerance: expected a number from 1e-6"),
        ({"max_passes": 3}, "max_passes: expected a whole number of at least 4"),
        ({"reach": -1.0}, "reach: expected a number above 0"),
    ],
)
def test_settings_that_cannot_be_are_named(given: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        CriticalSharpnessConfig(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"mine": torch.zeros(6)}, "zero vector"),
        ({"mine": torch.ones(5)}, "flat vector of shape"),
        ({"mine": "updat"}, "unknown value 'updat'"),
        ({"mine": 3}, "expected a Direction, a flat vector, an Objective"),
        (torch.ones(6), "expected a mapping of names to directions"),
    ],
)
def test_directions_that_cannot_be_are_named(given: object, says: str) -> None:
    objective = quadratic(torch.ones(6).double(), torch.zeros(6).double(), matrix())
    with pytest.raises(InputError, match=says):
        critical_sharpness(objective, directions=given)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="made of a checkpoint's file"):
        critical_sharpness(objective, CriticalSharpnessConfig(along="update"))  # type: ignore[arg-type]
