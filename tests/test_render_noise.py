"""Pictures of gradient noise scales: the stored values with their errors, and no upper end where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import render_step_samples as samples
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.transforms import ScaledTranslation
from test_render_page import Page
from test_render_planes import caption_of, legend_words

from landscape.errors import InputError
from landscape.pictures.style import COLOURS
from landscape.pictures.value_axis import INWARDS
from landscape.probes.interactive import interactive
from landscape.probes.plot import plot
from landscape.results import summary


def marks(axes: Axes, size: float, colour: str = COLOURS[0]) -> list[float]:
    """Heights of the dots of one size and colour that are drawn at values."""
    lines = [line for line in axes.lines if line.get_transform() == axes.transData and line.get_marker() == "o"]
    found = [line for line in lines if line.get_markersize() == size and to_hex(line.get_color()) == colour.lower()]
    heights = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in found])
    return [float(height) for height in heights if np.isfinite(height)]


def at_edges(axes: Axes) -> dict[str, int]:
    """How many marks stand at an end of the axis, by their marker."""
    found: dict[str, int] = {}
    inwards = [ScaledTranslation(0, sign * INWARDS / 72, axes.figure.dpi_scale_trans) for sign in (1, -1)]
    places = [axes.get_xaxis_transform() + shift for shift in inwards]
    for line in axes.lines:
        if line.get_transform() in places:
            found[str(line.get_marker())] = found.get(str(line.get_marker()), 0) + len(line.get_xdata())
    return found


def test_every_stored_value_and_one_standard_error_are_drawn() -> None:
    dataset = samples.noise_scale(1200.0, error=80.0)
    axes = plot(dataset).axes[0]
    assert marks(axes, 4.5) == [1200.0]
    assert marks(axes, 2.4) == pytest.approx(dataset["noise_scale_without"].values)
    bar = axes.collections[0].get_segments()[0]
    assert bar[:, 1] == pytest.approx([1120.0, 1280.0])
    assert plot(dataset).get_size_inches()[0] == 3.5


def test_a_scale_without_an_upper_end_is_open_said_and_leaves_the_axis_to_the_others() -> None:
    lost = samples.noise_scale(-4e5, error=9e5, resolved=0, norm="none")
    figure, alone = plot([samples.noise_scale(), lost]), plot(samples.noise_scale())
    assert figure.axes[0].get_ylim() == alone.axes[0].get_ylim()
    assert "no BatchNorm: −4×10⁵ ± 9×10⁵, not resolved: no upper end" in legend_words(figure.axes[0])
    assert at_edges(figure.axes[0]) == {"v": 1 + 9, "^": 1}
    assert "no upper end" in caption_of(figure) and "Triangles" in caption_of(figure)
    assert "no upper end" not in caption_of(alone) and not at_edges(alone.axes[0])


def test_values_that_are_not_finite_are_crosses_that_are_counted() -> None:
    dataset = samples.noise_scale()
    dataset["noise_scale_without"][2:4] = np.nan
    axes = plot(dataset).axes[0]
    assert at_edges(axes) == {"x": 2}
    assert "not finite without 2 of the 10 groups" in legend_words(axes)
    nothing = plot(samples.noise_scale(np.nan, resolved=0)).axes[0]
    assert at_edges(nothing) == {"x": 11}
    assert legend_words(nothing) == ["not finite"]


def test_the_caption_says_the_parts_of_the_ratio_the_batches_and_what_is_unfinished() -> None:
    caption = caption_of(plot(samples.noise_scale(1200.0).isel(group=slice(3))))
    for words in (
        "‖G‖² = 0.005 ± 5×10⁻⁴ nat², tr Σ = 6 ± 0.6 nat²",
        "Batches: 10 and 1000 samples, in 3 groups of 10, unfinished",
        "BN policy: frozen, 37 BN layers",
    ):
        assert words in caption
    assert "unfinished" not in caption_of(plot(samples.noise_scale()))


def test_the_page_holds_the_same_values() -> None:
    lost = samples.noise_scale(5e5, error=1e6, resolved=0, norm="none")
    data = Page(interactive([samples.noise_scale(1200.0, error=80.0), lost], labels=["a < b", "other"])).data
    whole, without, second, _ = data["charts"][0]["lines"]
    assert (whole["y"], whole["errors"], whole["open"]) == ([1200.0], {"plus": [80.0], "minus": [80.0]}, False)
    assert without["y"] == pytest.approx(samples.noise_scale(1200.0, error=80.0)["noise_scale_without"].values)
    assert second["open"] and "a &lt; b" in whole["texts"][0]
    assert data["charts"][0]["notes"] == ["a < b: 1200 ± 80", "other: 5×10⁵ ± 10⁶, not resolved: no upper end"]
    assert {gap["name"] for gap in data["charts"][0]["gaps"]} == {"other: below the axis", "other: above the axis"}


def test_its_words_have_errors_without_an_exponent_and_say_what_is_not_resolved() -> None:
    whole, lost = samples.noise_scale(1200.0, error=133.0), samples.noise_scale(900.0, error=5000.0, resolved=0)
    assert summary(whole)[0].startswith("gradient noise scale 1200 ± 130 images, from batches of 10 and 1000")
    assert len(summary(whole)) == 2
    assert "no upper end" in summary(lost)[-1]


def test_another_quantity_is_refused() -> None:
    with pytest.raises(InputError, match="quantity: unknown value 'noise_trace'"):
        plot(samples.noise_scale(), quantity="noise_trace")
