"""Lines, planes and grids against closed forms and the plain module."""

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
from landscape.numerics.directions import Direction
from landscape.objective.objective import Objective
from landscape.objective.subspace import Subspace
from landscape.probes.plane.measure import line, plane, surface
from landscape.probes.plane.spans import Span, random_span
from landscape.probes.progress import Progress


class Polynomial(nn.Module):
    """Outputs Σ wᵢ 10ⁱ for every sample, so that a value tells where it was taken."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(count, 1, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        places = 10.0 ** torch.arange(len(self.w), dtype=torch.float64, device=self.w.device)
        return (places @ self.w).expand(len(x))


def place_value(count: int) -> Objective:
    x = torch.zeros(3, 1, dtype=torch.float64)
    return Objective(Polynomial(count), lambda outputs, targets: outputs, (x, x[:, 0]))


def unit_span(objective: Objective, count: int) -> Span:
    layout = objective.theta.layout
    directions = [Direction(torch.eye(count, dtype=torch.float64)[k], layout) for k in range(count)]
    return Span("file", "as given", (0,), (Subspace(objective.theta, directions),), tuple("abcdef"[:count]))


def test_each_value_of_a_three_by_two_grid_lies_at_its_own_coordinate() -> None:
    objective = place_value(2)
    result = surface(objective, unit_span(objective, 2), [(0, 2, 3), (0, 1, 2)])
    assert result["loss"].dims == ("seed", "y", "x")
    assert result["loss"].shape == (1, 2, 3)
    for x in (0, 1, 2):
        for y in (0, 1):
            assert float(result["loss"].sel(seed=0, x=x, y=y)) == pytest.approx(x + 10 * y)


def test_a_grid_of_three_axes_has_each_value_at_its_own_coordinate() -> None:
    objective = place_value(3)
    result = surface(objective, unit_span(objective, 3), [(0, 3, 4), (0, 1, 2), (0, 2, 3)])
    assert result["loss"].dims == ("seed", "z", "y", "x")
    assert float(result["loss"].sel(seed=0, x=3, y=1, z=2)) == pytest.approx(213)


def test_the_centre_is_the_checkpoint_and_every_point_the_plain_module() -> None:
    net = conv_net()
    inputs, targets = images()
    objective = Objective(net, "cross_entropy", (inputs, targets))
    result = plane(objective, x=(-1, 1, 5), y=(-0.5, 0.5, 3), seeds=[4])
    assert float(result["loss"].sel(seed=4, x=0, y=0)) == float(result["checkpoint_loss"])
    span = random_span(objective, [4], 2)
    moved = objective.theta.vector + 0.5 * span.subspaces[0].basis[0] - 0.5 * span.subspaces[0].basis[1]
    plain = copy.deepcopy(net)
    with torch.no_grad():
        for name, value in objective.theta.layout.views(moved).items():
            plain.get_parameter(name).copy_(value)
    expected = nn.functional.cross_entropy(plain(inputs), targets)
    assert float(result["loss"].sel(seed=4, x=0.5, y=-0.5)) == pytest.approx(float(expected), rel=1e-12)


def test_the_checkpoints_own_loss_is_that_of_single_precision_to_1e_6() -> None:
    net = conv_net(dtype=torch.float32)
    inputs, targets = images(dtype=torch.float32)
    result = plane(Objective(net, "cross_entropy", (inputs, targets)), x=(-1, 1, 3), y=(-1, 1, 3))
    expected = float(nn.functional.cross_entropy(net(inputs), targets))
    assert float(result["loss"].sel(seed=0, x=0, y=0)) == pytest.approx(expected, rel=1e-6)


def test_a_line_between_checkpoints_has_them_at_its_ends() -> None:
    first, second = conv_net(seed=0), conv_net(seed=1)
    objective = Objective(first, "cross_entropy", images(), batch_norm="interpolated")
    result = line(objective, to=second, x=(0, 1, 3))
    other = Objective(second, "cross_entropy", images()).evaluate().loss
    assert float(result["loss"].sel(seed=0, x=0)) == pytest.approx(objective.evaluate().loss, rel=1e-12)
    assert float(result["loss"].sel(seed=0, x=1)) == pytest.approx(other, rel=1e-10)


def test_a_plane_through_three_checkpoints_has_them_at_its_corners() -> None:
    nets = [conv_net(seed=s) for s in (0, 1, 2)]
    objective = Objective(nets[0], "cross_entropy", images(), batch_norm="interpolated")
    result = plane(objective, to=nets[1:], x=(0, 1, 2), y=(0, 1, 2))
    for net, x, y in zip(nets, (0, 1, 0), (0, 0, 1), strict=True):
        expected = Objective(net, "cross_entropy", images()).evaluate().loss
        assert float(result["loss"].sel(seed=0, x=x, y=y)) == pytest.approx(expected, rel=1e-10)


def test_seeds_are_separate_samples_with_their_mean_and_spread() -> None:
    objective = Objective(conv_net(), "cross_entropy", images())
    result = plane(objective, x=(-1, 1, 3), y=(-1, 1, 3), seeds=[0, 1, 2])
    for seed in (0, 1, 2):
        alone = plane(objective, x=(-1, 1, 3), y=(-1, 1, 3), seeds=[seed])
        xr.testing.assert_equal(result["loss"].sel(seed=seed), alone["loss"].sel(seed=seed))
    losses = result["loss"].values
    np.testing.assert_allclose(result["loss_mean"], losses.mean(0), rtol=1e-12)
    np.testing.assert_allclose(result["loss_spread"], losses.std(0, ddof=1), rtol=1e-9, atol=1e-12)
    assert len(np.unique(losses[:, 0, 0])) == 3


def test_a_stopped_plane_goes_on_to_the_same_values() -> None:
    objective = Objective(conv_net(), "cross_entropy", images())
    saved: list[xr.Dataset] = []

    class Stopped(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.done >= 12:
            saved.append(progress.dataset())
            raise Stopped

    with pytest.raises(Stopped):
        plane(objective, x=(-1, 1, 5), y=(-1, 1, 5), seeds=[0, 1], observer=stop)
    assert 0 < int((saved[0]["status"] == 1).sum()) < 50
    counts: list[int] = []
    resumed = plane(
        objective, x=(-1, 1, 5), y=(-1, 1, 5), seeds=[0, 1], resume=saved[0], observer=lambda p: counts.append(p.done)
    )
    assert counts[0] > 12
    xr.testing.assert_identical(resumed, plane(objective, x=(-1, 1, 5), y=(-1, 1, 5), seeds=[0, 1]))


def test_a_stopped_plane_already_spans_its_whole_range() -> None:
    objective = Objective(conv_net(), "cross_entropy", images())
    seen: list[xr.Dataset] = []
    plane(objective, x=(-1, 1, 9), y=(-1, 1, 9), observer=lambda p: seen.append(p.dataset()))
    quarter = next(d for d in seen if int((d["status"] == 1).sum()) >= 20)
    measured = quarter["status"].isel(seed=0) == 1
    for corner in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        assert bool(measured.sel(x=corner[0], y=corner[1]))


def test_resuming_with_another_grid_is_refused() -> None:
    objective = Objective(conv_net(), "cross_entropy", images())
    earlier = plane(objective, x=(-1, 1, 3), y=(-1, 1, 3))
    with pytest.raises(MismatchError, match="another grid"):
        plane(objective, x=(-1, 1, 3), y=(-2, 2, 3), resume=earlier)


def test_non_finite_values_stay_in_the_result_as_measured() -> None:
    x = torch.zeros(3, 1, dtype=torch.float64)
    objective = Objective(Polynomial(1), lambda outputs, targets: 1 / (1 - outputs), (x, x[:, 0]))
    result = surface(objective, unit_span(objective, 1), [(0, 2, 3)])
    assert math.isinf(float(result["loss"].sel(seed=0, x=1)))
    assert int(result["status"].sel(seed=0, x=1)) == 1


def test_every_quantity_has_units_and_a_long_name() -> None:
    result = plane(Objective(conv_net(), "cross_entropy", images()), x=(-1, 1, 3), y=(-1, 1, 3), seeds=[0, 1])
    for name, variable in result.variables.items():
        assert variable.attrs.get("units"), name
        assert variable.attrs.get("long_name"), name
    for key in (
        "bn_policy",
        "data_fingerprint",
        "index_hash",
        "n_samples",
        "normalization",
        "precision",
        "torch_version",
    ):
        assert result.attrs[key]


def test_a_dead_network_is_recognised_and_an_untrained_one_is_not() -> None:
    live = conv_net(dtype=torch.float32, norm=False)
    dead = copy.deepcopy(live)
    with torch.no_grad():
        for parameter in dead.parameters():
            parameter.mul_(1e-9)
    inputs, targets = images(dtype=torch.float32)
    data = (inputs, torch.arange(len(targets)) % 4)
    results = [plane(Objective(net, "cross_entropy", data), x=(-1, 1, 2), y=(-1, 1, 2)) for net in (live, dead)]
    assert [r.attrs["dead"] for r in results] == [0, 1]
    assert "outputs do not depend on the input" in results[1].attrs["dead_reason"]


def test_an_automatic_range_reaches_the_loss_of_guessing_and_no_further() -> None:
    inputs, targets = images(64)
    net = conv_net()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(inputs), targets).backward()
        optimizer.step()
    objective = Objective(net, "cross_entropy", (inputs, targets))
    result = plane(objective, x="auto:5", y="auto:5")
    r = float(result["x"].max())
    assert "chosen automatically" in result.attrs["range_note"]
    assert float(result["x"].min()) == -r

    def ends(half_width: float) -> float:
        span = random_span(objective, [0], 2)
        points = half_width * np.concatenate([np.eye(2), -np.eye(2)])
        return float(np.median(objective.evaluate_points(span.subspaces[0], points).loss))

    assert ends(r) >= math.log(4) > ends(r / 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": []}, "at least one direction seed"),
        ({"seeds": [1, 1]}, "not a second sample"),
        ({"x": (1, -1, 5)}, "start < stop"),
        ({"x": "1:2"}, "x: expected start:stop:count"),
        ({"y": 3}, r"y: expected \(start, stop, count\)"),
        ({"normalization": "flter"}, "Did you mean 'filter'"),
        ({"to": [conv_net(seed=1)]}, "expected two checkpoints"),
        ({"to": [conv_net(seed=0), conv_net(seed=1)]}, "identical parameters"),
        ({"to": [conv_net(classes=5), conv_net(seed=1)]}, r"expected \(4, 20\), got \(5, 20\)"),
    ],
)
def test_bad_planes_are_refused_with_the_reason(options: dict[str, object], message: str) -> None:
    objective = Objective(conv_net(), "cross_entropy", images())
    with pytest.raises(InputError, match=message):
        plane(objective, **{"x": (-1, 1, 3), "y": (-1, 1, 3), **options})  # type: ignore[arg-type]
