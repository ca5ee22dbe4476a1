"""The forest plot: every difference at its value with its interval, grey where it cannot be told, and the surest trends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from comparison_samples import batch_sizes as made
from figure_checks import faults
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from landscape.errors import InputError
from landscape.probes.comparison.forest import OPEN, read_rows
from landscape.probes.plot import plot


def marks(axes: Axes, gid: str) -> list[Any]:
    return [line for line in axes.lines if line.get_gid() == gid]


def test_ratios_are_the_comparisons_and_other_differences_are_over_the_deviation_of_the_replicates() -> None:
    dataset = made()
    rows = {row.measure: row for row in read_rows(dataset)}
    scales = dict(zip(map(str, dataset["measure"].values), map(str, dataset["scale"].values), strict=True))
    assert set(scales.values()) == {"log", "linear"} and set(rows) == set(scales)
    for name, row in rows.items():
        one = dataset.sel(measure=name).isel(pair=0)
        unit = 1.0
        if scales[name] == "linear":
            unit = np.sqrt(np.mean([np.nanvar(values, ddof=1) for values in one["value"].values]))
        expected = [float(one[key]) / unit for key in ("difference", "difference_low", "difference_high")]
        assert [row.value, row.low, row.high] == pytest.approx(expected)
        assert row.told == (str(one["verdict"].item()) in ("higher", "lower"))


def test_every_row_is_drawn_with_its_interval_in_the_colour_of_its_verdict() -> None:
    dataset = made()
    figure = plot(dataset, kind="forest", width="page")
    rows = read_rows(dataset)
    drawn = {to_hex(line.get_color()): line for axes in figure.axes for line in marks(axes, "estimate")}
    values = sorted(float(line.get_xdata()[0]) for axes in figure.axes for line in marks(axes, "estimate"))
    assert values == pytest.approx(sorted(row.value for row in rows))
    assert (OPEN in drawn) == any(not row.told for row in rows) and len(drawn) == 2
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["50 vs 100", "cannot tell"]


def test_an_interval_that_leaves_the_axis_has_an_arrow_and_every_estimate_is_on_it() -> None:
    dataset = made().copy(deep=True)
    dataset["difference_high"][0, 0] = 1e9
    figure = plot(dataset, kind="forest")
    arrows = [line for axes in figure.axes for line in axes.lines if line.get_marker() == ">"]
    assert len(arrows) == 1
    for axes in figure.axes:
        low, high = axes.get_xlim()
        assert all(low <= line.get_xdata()[0] <= high for line in marks(axes, "estimate"))
    assert "arrow: the interval goes on beyond the axis" in figure.caption


def test_families_stand_together_and_the_largest_differences_first() -> None:
    rows = [row for row in read_rows(made()) if row.log]
    families = [row.family for row in rows]
    assert families == sorted(families, key=families.index)
    for family in set(families):
        distances = [row.distance for row in rows if row.family == family]
        assert distances == sorted(distances, reverse=True)


@pytest.mark.parametrize("width", [3.3, 7.0])
@pytest.mark.parametrize("settings", [2, 4])
def test_nothing_collides_with_names_over_the_rows(width: float, settings: int) -> None:
    assert not faults(plot(made(settings), width=width))


def test_the_surest_trends_have_a_panel_each_and_settings_without_order_none() -> None:
    figure = plot(made(4), kind="trend")
    assert 1 <= len(figure.axes) <= 6
    assert any("training loss" in axes.get_title(loc="left") for axes in figure.axes)
    with pytest.raises(InputError, match="kind: 'trend' needs settings in order"):
        plot(made(2).drop_vars([name for name in made(2).variables if str(name).startswith("trend")]), kind="trend")


def test_a_fraction_is_drawn_inside_its_bounds() -> None:
    dataset = made().copy(deep=True)
    place = [str(name) for name in dataset["measure"].values].index("validation_accuracy")
    dataset["low"][place], dataset["high"][place] = -0.4, 1.7
    (axes,) = plot(dataset, kind="comparison", quantity="validation_accuracy").axes
    low, high = axes.get_ylim()
    assert low > -0.1 and high < 1.1
    assert np.min([line.get_ydata() for line in marks(axes, "interval")]) == 0
    assert np.max([line.get_ydata() for line in marks(axes, "interval")]) == 1
