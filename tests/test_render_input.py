"""What cannot be drawn is refused with the argument, what was expected and what arrived; both fronts alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import render_samples as samples
import xarray as xr

from landscape.errors import InputError
from landscape.probes.interactive import interactive
from landscape.probes.plot import plot

FRONTS = pytest.mark.parametrize("draw", [plot, interactive], ids=["plot", "interactive"])


def other_kind() -> xr.Dataset:
    return samples.plane(3, 3, kind="planes")


SETS: dict[str, tuple[Callable[[], Any], str]] = {
    "none": (list, "datasets: expected at least one xarray.Dataset, got none"),
    "a number": (lambda: 3, "datasets: expected an xarray.Dataset or a sequence of them, got int"),
    "an array": (lambda: [samples.plane(3, 3)["loss"].values], "got ndarray|got a sequence of ndarray"),
    "a line and a history": (
        lambda: [samples.line(3), samples.history(3)],
        "datasets: these cannot share one picture: a 1-D plane, a training history",
    ),
    "a line and a plane": (
        lambda: [samples.line(3), samples.plane(3, 3)],
        "cannot share one picture: a 1-D plane, a 2-D plane",
    ),
    "another kind": (other_kind, "attribute kind: unknown value 'planes'. Did you mean 'plane'"),
    "a cube": (
        lambda: samples.plane(3, 3).expand_dims(z=[0.0, 1.0]),
        r"got the dimensions z, y, x\. Choose a slice first, such as dataset\.isel\(z=0\)",
    ),
    "no loss": (lambda: samples.plane(3, 3).drop_vars("loss"), "datasets: expected a variable 'loss' in a plane"),
    "no epoch": (lambda: samples.history(3).isel(epoch=slice(0)), "the history 'vgg38, BatchNorm' has no epoch yet"),
}


@FRONTS
@pytest.mark.parametrize("name", SETS)
def test_data_sets_that_cannot_be_drawn_are_refused(draw: Callable[..., Any], name: str) -> None:
    make, message = SETS[name]
    with pytest.raises(InputError, match=message):
        draw(make())


OPTIONS: list[tuple[Callable[[], Any], dict[str, Any], str]] = [
    (lambda: samples.plane(3, 3), {"quantity": "los"}, "quantity: unknown value 'los'. Did you mean 'loss'"),
    (lambda: samples.history(3), {"quantity": "loss_standard_error"}, "quantity: unknown value 'loss_standard_error'"),
    (
        lambda: samples.plane(3, 3).drop_vars("accuracy"),
        {"quantity": "accuracy"},
        r"quantity: 'vgg38, BatchNorm' has no 'accuracy'\. It has: loss, loss_standard_error",
    ),
    (
        lambda: samples.plane(3, 3),
        {"scale": "logarithmic"},
        "scale: unknown value 'logarithmic'. Did you mean 'log'|Choose from",
    ),
    (
        lambda: samples.plane(3, 3),
        {"loss_max": 0.1},
        r"loss_max: expected a number above the lowest value drawn, .* got 0\.1",
    ),
    (lambda: samples.plane(3, 3), {"loss_max": float("nan")}, "loss_max: expected a number .* got nan"),
    (lambda: samples.plane(3, 3), {"loss_max": 3.0, "quantity": "accuracy"}, "loss_max: clips the loss"),
    (lambda: samples.plane(3, 3), {"labels": ["a", "b"]}, "labels: expected one for each of the 1 data"),
    (lambda: samples.plane(3, 3), {"labels": "a"}, "labels: expected one for each"),
    (lambda: samples.plane(3, 3, seeds=(0, 2)), {"seed": 1}, "one of the measured seeds 0, 2, got 1"),
    (lambda: samples.plane(3, 3, seeds=(0, 2)), {"seed": "median"}, "expected 'mean' or one of .* got 'median'"),
    (lambda: samples.history(3), {"seed": 0}, "seed: a training history has no direction seeds, got 0"),
]


@FRONTS
@pytest.mark.parametrize(("make", "options", "message"), OPTIONS)
def test_options_that_do_not_fit_are_refused(
    draw: Callable[..., Any], make: Callable[[], Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        draw(make(), **options)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: samples.plane(3, 3), "contours", "kind: unknown value 'contours'. Did you mean 'contour'"),
        (lambda: samples.line(3), "contour", "kind: 'contour' draws a 2-D plane, and this is a 1-D plane. Try 'line'"),
        (lambda: samples.plane(3, 3), "curves", "kind: 'curves' draws a training history, and this is a 2-D plane"),
        (lambda: samples.history(3), "line", "'line' draws a 1-D plane, and this is a training history. Try 'curves'"),
    ],
)
def test_a_kind_of_picture_that_the_data_do_not_allow_is_refused(
    make: Callable[[], Any], kind: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        plot(make(), kind=kind)


@pytest.mark.parametrize(
    ("width", "message"), [("wide", "width: unknown value 'wide'"), (0.5, "2 to 40 inches, got 0.5")]
)
def test_a_width_that_is_no_width_is_refused(width: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        plot(samples.plane(3, 3), width=width)


def test_panels_that_have_no_room_beside_each_other_stand_under_each_other() -> None:
    figure = plot([samples.plane(3, 3, norm=str(k)) for k in range(3)], width=2)
    panels = [axes.get_position() for axes in figure.axes[:3]]
    assert panels[0].y0 > panels[1].y1 and panels[1].y0 > panels[2].y1
