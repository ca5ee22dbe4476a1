"""Points of an earlier result are measured again: an edit that acts only away from the checkpoint is seen, and rounding is not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn

import landscape as ls
from landscape.errors import MismatchError
from landscape.objective.again import Held, check_points
from landscape.objective.signature import signature
from landscape.probes.plane.held import held_points
from landscape.probes.plane.measure import plane_span
from landscape.probes.trajectory.measure import trajectory


def plain(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(outputs, targets, reduction="none")


def mlp(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)).double()


def samples() -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(0)
    return torch.randn(30, 6, generator=draws).double(), torch.randint(3, (30,), generator=draws)


def objective(loss: Any = plain) -> ls.Objective:
    return ls.Objective(mlp(), loss, samples(), device="cpu")


def clipped(at: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda outputs, targets: plain(outputs, targets).clamp(max=at)


FEW = ls.EigenvalueSearch(max_products=3)
# name -> what takes up an earlier result that holds losses away from the checkpoint, and what is said of one of them
FAR: dict[str, tuple[Callable[..., xr.Dataset], str]] = {
    "line": (lambda o, **k: ls.line(o, x=(-20, 20, 3), seeds=[0, 1], **k), r"x = -?20 of seed [01]"),
    "plane": (lambda o, **k: ls.plane(o, x=(-20, 20, 3), y=(-20, 20, 3), **k), "x = -?20, y = -?20"),
    "curvature_map": (
        lambda o, **k: ls.curvature_map(o, x=(-20, 20, 2), y=(0, 0, 1), search=FEW, **k),
        "x = -?20, y = 0",
    ),
    "trajectory": (
        lambda o, **k: trajectory(o, [mlp(6), mlp(7), mlp(8)], x=(-20, 20, 3), y=(-20, 20, 3), **k),
        "x = -?20, y = -?20",
    ),
    "sharpness": (lambda o, **k: ls.sharpness(o, ls.SharpnessConfig(("sam",), rho=(0.1, 9)), **k), "sam step of ρ = 9"),
    "path": (lambda o, **k: ls.path(o, nn.Sequential(*far_mlp()), points=3, **k), "t = 1 of the linear path"),
}


def far_mlp() -> list[nn.Module]:
    layers = [*mlp(3)]
    layers[2].weight.data.mul_(30)
    return layers


@pytest.mark.parametrize("name", FAR)
def test_a_loss_that_is_another_only_far_from_the_checkpoint_is_told_by_a_point_of_the_result(name: str) -> None:
    probe, where = FAR[name]
    earlier = probe(objective())
    held, edited = signature(objective()), objective(loss=clipped(4.0))
    assert signature(edited).unlike(held.content()) == []
    with pytest.raises(MismatchError, match=rf"^resume: other code, .* made it: the loss at .*{where} was .* and is"):
        probe(edited, resume=earlier)
    xr.testing.assert_equal(probe(objective(loss=clipped(1e9)), resume=earlier), earlier)


def test_points_that_are_missing_given_up_or_interpolated_are_not_held_against_a_result() -> None:
    axes: dict[str, Any] = {"x": (-20, 20, 3), "y": (-20, 20, 3)}
    whole = ls.plane(objective(), **axes)
    for status in (0, 2, 3):
        part = whole.copy(deep=True)
        part["status"][0, ::2, ::2] = status  # the corners
        part["loss"][0, ::2, ::2] = 1e6
        points = held_points(plane_span(objective()), part)
        assert [abs(point.coefficients).sum() for point in points] == [20.0, 20.0]
        check_points(objective(), points)
    nothing = whole.assign(status=0 * whole["status"])
    assert held_points(plane_span(objective()), nothing) == []


def test_losses_that_are_not_finite_are_equal_and_other_ones_are_not() -> None:
    span, everywhere = plane_span(objective()), objective(loss=lambda o, t: plain(o, t) * math.nan)
    for loss in (math.inf, math.nan):
        check_points(everywhere, [Held("there", span.subspaces[0], np.ones(2), loss)])
        with pytest.raises(MismatchError, match=f"the loss at there was {loss} and is [0-9]"):
            check_points(objective(), [Held("there", span.subspaces[0], np.ones(2), loss)])
    with pytest.raises(MismatchError, match=r"the loss at there was 1 and is nan\. Remove it"):
        check_points(everywhere, [Held("there", span.subspaces[0], np.ones(2), 1.0)], "a.h5", "Remove it.")


def test_an_accuracy_that_is_another_by_more_than_a_sample_is_another() -> None:
    here = objective()
    subspace, found = plane_span(here).subspaces[0], here.evaluate()
    for more, same in ((1 / 30, True), (2 / 30, False)):
        held = Held("the checkpoint", subspace, np.zeros(2), found.loss, float(found.accuracy or 0) + more)
        if same:
            check_points(here, [held])
        else:
            with pytest.raises(MismatchError, match="the accuracy at the checkpoint was"):
                check_points(here, [held])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_another_engine_gives_the_points_of_a_result_again(precision: str) -> None:
    """A network of BatchNorms, far away, where an engine that folds them rounds otherwise than one that does not."""
    net = nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)
    )
    data = tuple(t.float() if t.is_floating_point() else t for t in samples())
    made = {"device": "cpu", "precision": precision}
    earlier = ls.plane(ls.Objective(net, plain, data, engine="plain", **made), x=(-9, 9, 3), y=(-9, 9, 3))
    ls.plane(ls.Objective(net, plain, data, **made), x=(-9, 9, 3), y=(-9, 9, 3), resume=earlier)


def test_what_rounding_makes_of_a_loss_far_away_is_no_other_loss() -> None:
    """Eighteen steps of the logistic map in fp32, written in two ways that round differently."""

    def chaotic(step: Callable[[Tensor], Tensor]) -> ls.Objective:
        def forward(module: nn.Module, x: Tensor) -> Tensor:
            values = torch.sigmoid(module(x))
            for _ in range(18):
                values = step(values)
            return values

        data = samples()
        return ls.Objective(mlp().float(), plain, (data[0].float(), data[1]), forward=forward, device="cpu")

    one, other = chaotic(lambda v: 3.9 * v * (1 - v)), chaotic(lambda v: 3.9 * v - 3.9 * v * v)
    points = held_points(plane_span(one), ls.plane(one, x=(-1, 1, 3), y=(-1, 1, 3)))
    losses = [float(other.evaluate_points(p.subspace, p.coefficients[None]).loss[0]) for p in points]
    assert max(abs(loss / point.loss - 1) for loss, point in zip(losses, points, strict=True)) > 1e-4
    check_points(other, points)
    with pytest.raises(MismatchError, match="the loss at"):
        check_points(chaotic(lambda v: 3.8 * v * (1 - v)), points)
