"""Figures as a journal prints them: at one column and at a page's width, whatever is drawn and whatever it is called."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

import figure_cases
import numpy as np
import pytest
import xarray as xr
from figure_checks import LEAST_SHARE, alike, faults
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.collections import PathCollection
from matplotlib.lines import Line2D
from matplotlib.text import Text
from PIL import Image, ImageSequence

from landscape.pictures.grid import TALLEST
from landscape.pictures.legend import IN_CAPTION
from landscape.pictures.markers import Named
from landscape.pictures.scale import Scale, tick_labels
from landscape.pictures.style import COLOURS, paper_style
from landscape.pictures.turning import turning
from landscape.pictures.words import new_figure, shortened, wrap
from landscape.probes.drawn import drawn_as
from landscape.probes.plane.mesh import mesh_of
from landscape.probes.plane.result import INTERPOLATED
from landscape.probes.plot import plot
from landscape.registry import probes

EVERY = {name: (make, options) for name, make, options in figure_cases.every()}
# of every kind of fault one that once was, at the width where it was
SAMPLE = (
    ("contour, 2, hostile", 3.3),
    ("contour, 12", 7.0),
    ("surface, 1", 3.3),
    ("curves, 12, hostile", 3.3),
    ("sweep, 12", 3.3),
    ("steps, 3, hostile", 7.0),
    ("forest, 3", 3.3),
    ("ranges of their own", 3.3),
    ("own scales, 2", 7.0),
    ("critical sharpness, 12", 3.3),
    ("path, 3", 3.3),
    ("trajectory, 1", 3.3),
    ("layers, 1", 3.3),
    ("dead beside living", 3.3),
    ("holes", 3.3),
    ("one row", 3.3),
    ("no number", 7.0),
    ("regression", 3.3),
    ("near ln 10", 3.3),
    ("tiny", 3.3),
)


@pytest.mark.parametrize(("name", "width"), SAMPLE)
def test_words_cover_nothing_and_stay_inside_and_the_axes_have_most_of_the_figure(name: str, width: float) -> None:
    make, options = EVERY[name]
    assert not faults(plot(list(make()), width=width, **options), least=figure_cases.least_share(name, LEAST_SHARE))


@pytest.mark.parametrize(("name", "width"), [("noise scale, 1", 3.3), ("spread, 1", 7.0), ("basin radius, 12", 7.0)])
def test_so_it_is_at_any_resolution(name: str, width: float) -> None:
    make, options = EVERY[name]
    figure = plot(list(make()), width=width, **options)
    for dpi in (72, 100, 110, 300):
        figure.set_dpi(dpi)
        assert not faults(figure, least=0.5), dpi


def test_names_from_right_to_left_leave_the_numbers_beside_them_as_they_are() -> None:
    nothing, words = Line2D([], []), "\N{HEBREW LETTER SHIN}\N{HEBREW LETTER LAMED}"
    assert Named(nothing, "plain", "1200 ± 120").text == "plain: 1200 ± 120"
    apart = f"\N{FIRST STRONG ISOLATE}{words}\N{POP DIRECTIONAL ISOLATE}: 1200 ± 120"
    assert (Named(nothing, words).text, Named(nothing, words, "1200 ± 120").text) == (words, apart)


def test_titles_that_begin_alike_are_told_apart_where_they_are_cut() -> None:
    make, options = EVERY["trend, 1"]
    titles = [axes.get_title(loc="left") for axes in plot(list(make()), width=3.3, **options).axes]
    assert len(set(titles)) == len(titles) == 6 and sum("…" in title for title in titles) > 1


def test_what_stands_as_a_number_is_said_to_be_named_in_the_caption() -> None:
    for name in ("path, 3", "sharpness, 12", "line, 12, hostile"):
        make, options = EVERY[name]
        figure = plot(list(make()), width=3.3, **options)
        words = [text.get_text() for text in figure.findobj(Text)]
        assert IN_CAPTION in words and re.search(r"\b1: .*; 2: ", figure.caption, re.DOTALL), name


@pytest.mark.slow
@pytest.mark.parametrize("width", figure_cases.WIDTHS)
@pytest.mark.parametrize("name", EVERY)
def test_so_it_is_for_every_kind_number_and_name(name: str, width: float) -> None:
    make, options = EVERY[name]
    assert not faults(plot(list(make()), width=width, **options), least=figure_cases.least_share(name, LEAST_SHARE))


@pytest.mark.slow
def test_every_kind_of_picture_is_among_them() -> None:
    usual = {name: next(iter(drawn_as(next(iter(make()))).pictures)) for name, (make, _) in one_of_each().items()}
    named = {str(options.get("kind", usual[name])) for name, (_, options) in one_of_each().items()}
    assert named == {picture for probe in probes().values() for drawn in probe.drawn for picture in drawn.pictures}


def one_of_each() -> dict[str, tuple[Callable[[], Sequence[xr.Dataset]], dict[str, Any]]]:
    return {name: case for name, case in EVERY.items() if name.endswith(", 1")}


@given(
    low=st.floats(-1e6, 1e6).filter(lambda v: v == 0 or abs(v) > 1e-9),
    span=st.floats(-9, 9).map(lambda power: 10.0**power),
    log=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_no_two_ticks_of_an_axis_are_written_alike_and_each_says_where_it_is(
    low: float, span: float, log: bool
) -> None:
    low = abs(low) + 1e-9 if log else low
    high = low + span
    if not high - low > 1e-12 * max(abs(low), abs(high)):
        return
    scale = Scale(log, low, high)
    ticks = scale.lines()
    words = scale.labels(ticks)
    assert len(set(words)) == len(words)
    if not log:
        step = min((b - a for a, b in itertools.pairwise(ticks)), default=abs(high))
        for tick, word in zip(ticks, words, strict=True):
            assert read(word) == pytest.approx(tick, abs=0.02 * step)


def read(words: str) -> float:
    """A number as it is printed."""
    mantissa, _, power = words.replace("−", "-").partition("×10")
    raised = power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    return float(mantissa) * 10.0 ** int(raised or 0)


def test_every_other_tick_is_written_out() -> None:
    assert tick_labels([2.5, 7.5, 12.5, 17.5]) == ["2.5", "7.5", "12.5", "17.5"]
    assert tick_labels([0.25, 0.75]) == ["0.25", "0.75"] and tick_labels([0.5, 1.0]) == ["0.5", "1.0"]


@pytest.mark.parametrize("low", [2.301, 2.30258, 0.99999, 1e-12, 1e15])
def test_ticks_near_a_value_that_rounds_are_told_apart(low: float) -> None:
    ticks = [low * (1 + k * 1e-6) for k in range(5)]
    assert len(set(tick_labels(ticks))) == 5


# Machado, Oliveira and Fernandes 2009: what dichromats see of linear RGB
BLINDNESS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(colours: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65) of linear RGB, in which distances are those that an eye sees."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = colours @ to_xyz.T / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


@pytest.mark.parametrize("kind", BLINDNESS)
def test_the_colours_of_lines_are_told_apart_by_every_eye(kind: str) -> None:
    rgb = np.array([[int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)] for colour in COLOURS])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = lab(np.clip(linear @ np.array(BLINDNESS[kind]).T, 0, 1))
    distances = [float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2)]
    assert min(distances) > 10, min(distances)  # ΔE of 10: seen at a glance


def test_a_surface_turns_once_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("landscape.pictures.turning.FRAMES", 3)
    figure = plot(figure_cases.samples.plane(5, 5), kind="surface")
    azimuth = figure.axes[0].azim
    with Image.open(io.BytesIO(turning(figure, "gif", 40))) as film:
        assert film.n_frames == 3
        seen = {frame.convert("RGB").tobytes() for frame in ImageSequence.Iterator(film)}
    assert len(seen) == 3 and figure.axes[0].azim == azimuth


def test_numbers_that_an_axis_would_write_alike_are_found() -> None:
    figure = plot(figure_cases.samples.plane(5, 5))
    figure.axes[0].set_xticks([0.0, 0.5], ["0", "0"])
    assert alike(figure) == [("x", ["0", "0"])]


def test_planes_measured_over_other_ranges_are_drawn_in_the_widest_and_a_dead_one_keeps_its_own() -> None:
    narrow = figure_cases.samples.plane(5, 5, extent=(-0.5, 0.5, -0.5, 0.5), norm="none")
    wide, dead = figure_cases.samples.plane(5, 5), figure_cases.samples.dead_plane(5, 5, extent=(-2, 2, -2, 2))
    drawn = plot([wide, narrow, dead])
    assert [axes.get_xlim() for axes in drawn.axes[:3]] == [(-1, 1), (-1, 1), (-2, 2)]
    assert "All panels have the widest range" in drawn.caption  # type: ignore[attr-defined]
    far = figure_cases.samples.plane(5, 5, extent=(-0.2, 0.2, -0.2, 0.2), norm="none")
    apart = plot([wide, far])
    assert [axes.get_xlim() for axes in apart.axes[:2]] == [(-1, 1), (-0.2, 0.2)]
    assert "Each panel has a range of its own" in apart.caption  # type: ignore[attr-defined]


def test_the_names_of_many_runs_are_a_colour_bar_with_their_values_or_numbers_that_the_caption_tells() -> None:
    make, options = EVERY["line, 12"]
    swept = plot(list(make()), width=7.0, **options)
    bar = swept.axes[-1]
    assert bar.get_xlabel() == "norm"
    assert [label.get_text() for label in bar.get_xticklabels()] == [str(k) for k in range(12)]
    make, options = EVERY["line, 12, hostile"]
    named = plot(list(make()), width=7.0, **options)
    assert [label.get_text() for label in named.axes[-1].get_xticklabels()] == [str(k) for k in range(1, 13)]
    for number, name in enumerate(figure_cases.HOSTILE, 1):
        assert f"{number}: {name}".replace("\n", " ") in named.caption  # type: ignore[attr-defined]


def test_what_is_drawn_lowest_and_was_not_measured_has_a_mark_of_its_own() -> None:
    plane = figure_cases.samples.plane(5, 5)
    interpolated = plane.assign(status=plane["status"] * 0 + INTERPOLATED)
    figure = plot([plane, interpolated], labels=["a", "b"])
    legend = figure.legends[0]
    looks = {
        text.get_text(): (line.get_marker(), line.get_markerfacecolor())
        for text, line in zip(legend.get_texts(), legend.legend_handles, strict=True)
        if isinstance(line, Line2D)
    }
    [drawn] = [look for words, look in looks.items() if words.startswith("lowest drawn")]
    [measured] = [look for words, look in looks.items() if words.startswith("lowest") and "drawn" not in words]
    assert drawn[0] == measured[0] == "*" and drawn[1] == "white" != measured[1]


@pytest.mark.parametrize("width", [0.5, 0.7, 0.9, 1.1])
def test_words_that_are_cut_or_wrapped_keep_their_numbers_whole(width: float) -> None:
    with paper_style():
        figure = new_figure(3.3)
        texts = [
            shortened(figure, "lowest: 5.1×10⁻⁶ at", width, 7),
            *wrap(figure, "lowest=5.1×10⁻⁶,−2.5e-12", width, 7),
        ]
    for text in texts:
        assert all(number in ("5.1×10⁻⁶", "−2.5e-12") for number in re.findall(r"[−\d][^:=, …]*", text)), texts


def test_a_sheet_is_finer_where_it_rises_steeply_below_the_clip() -> None:
    x = np.linspace(0, 1, 11)
    wall = np.where(x[None, :] > 0.85, 1e9, 1.0) + 0 * x[:, None]
    steps = np.diff(mesh_of(x, x, wall, top=10.0).x)
    assert steps.min() < steps.max() / 3 and steps.size < 300
    assert np.diff(mesh_of(x, x, wall[::-1].T, top=10.0).y).size < 300


def drawn(name: str, width: float = 3.3) -> Any:
    make, options = EVERY[name]
    return plot(list(make()), width=width, **options)


@pytest.mark.parametrize(("name", "width"), [("surface, 2", 3.3), ("surface, 3", 7.0), ("surface, 12", 7.0)])
def test_surfaces_have_their_numbers_where_a_page_has_room_for_them(name: str, width: float) -> None:
    figure = drawn(name, width)
    for axes in [axes for axes in figure.axes if axes.name == "3d"]:
        shown = [tick for axis in (axes.xaxis, axes.yaxis, axes.zaxis) for tick in axis.get_ticklabels()]
        assert all(tick.get_visible() for tick in shown) and len({tick.get_text() for tick in shown}) > 5
    assert figure.get_size_inches()[1] < TALLEST


def test_the_numbers_of_a_bar_stand_at_even_steps_and_0_is_one_of_them() -> None:
    bar = next(axes for axes in drawn("curvature map, 1").axes if axes.get_xlabel() == "λ_min/λ_max")
    ticks = np.asarray(bar.get_xticks())
    assert 0.0 in ticks and np.ptp(np.diff(ticks)) == pytest.approx(0, abs=1e-12)


def test_bands_of_many_data_sets_are_together_as_faint_as_those_of_a_few() -> None:
    clear = {}
    for count in (1, 3, 12):
        bands = drawn(f"path, {count}").axes[0].collections
        clear[count] = [float(np.prod([1 - band.get_alpha() for band in bands])), len(bands)]
    assert [many for _, many in clear.values()] == [3, 9, 36]
    assert clear[3][0] == pytest.approx(clear[1][0]) and clear[12][0] == pytest.approx(clear[1][0])


def test_a_single_row_or_point_is_drawn_as_points_and_as_no_area() -> None:
    for name, count in (("one row", 9), ("one column", 9), ("one point", 1)):
        (dots,) = drawn(name).axes[0].collections
        assert isinstance(dots, PathCollection) and len(dots.get_offsets()) == count, name


@pytest.mark.parametrize(("name", "strokes"), [("path, 2", 6), ("path, 3", 0)])
def test_barriers_of_many_paths_are_told_and_not_drawn(name: str, strokes: int) -> None:
    figure = drawn(name, 7.0)
    assert sum(line.get_marker() == "_" for line in figure.axes[0].lines) == strokes
    assert ("upright stroke" in figure.caption) == bool(strokes)
