"""What all interactive pages are made of: lines, charts and scales as plain values for the script."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb

from landscape.pictures.arrays import Floats, Mask
from landscape.pictures.scale import Scale, can_be_log, choose_scale, symmetric_scale
from landscape.pictures.style import SIGNED, number
from landscape.pictures.value_axis import padded

DIGITS = 9  # significant, of every value on the page
DASH_UNIT = 2.0  # pixels of what a figure has a line width of in a dash

# a line with everything that a chart's script reads of one; ``errors`` and ``xErrors`` are its values' distances to an interval's
# ends; ``name``: what it is in a table of the data, where its group does not say it
LINE: dict[str, Any] = {
    "mode": "lines", "dash": "solid", "width": 2, "opacity": 1, "symbol": "circle", "open": False, "size": 5,
    "texts": None, "bands": [], "errors": None, "xErrors": None, "record": None, "name": "",
}  # fmt: skip
# a chart; ``scaled``: the page's scale is its own; ``axis``: a scale of its own; neither: plotly chooses; ``height`` in pixels;
# ``named``: its rows have long names, on a small screen so many pixels over them
CHART: dict[str, Any] = {
    "title": "", "notes": [], "whole": False, "scaled": False, "axis": None, "ticks": None, "lines": [], "gaps": [],
    "wide": False, "height": None, "named": 0,
}  # fmt: skip
# a page of charts; ``overview``: those that come first; ``most``: how many of the others are shown without being asked for
PAGE: dict[str, Any] = {
    "kind": "charts", "scale": None, "known": None, "seeds": [], "seed": 0, "groups": [], "styles": [], "records": None,
    "overview": [], "most": None,
}  # fmt: skip


def groups(names: Sequence[str], colours: Sequence[str], styles: Sequence[Any] = ()) -> list[dict[str, str]]:
    """What a reader can hide and show: ``g0``, ``g1``, … ``styles``: of their lines, as the figure has them."""
    each = zip(names, colours, styles or ["-"] * len(names), strict=True)
    return [
        {"group": f"g{i}", "name": name, "colour": colour, "dash": dash(style)}
        for i, (name, colour, style) in enumerate(each)
    ]


def dash(style: Any) -> str:
    """How matplotlib draws a line, in plotly's words: ``-`` and ``:``, or lengths of strokes and gaps."""
    named = {"-": "solid", ":": "dot"}
    return named[style] if isinstance(style, str) else ",".join(f"{DASH_UNIT * part:g}px" for part in style[1])


def gap(
    x: Floats, mask: Mask, name: str, colour: str, group: str, *, bottom: bool = False, log_only: bool = False
) -> list[dict[str, Any]]:
    """Marks at the top (or bottom) of a chart where no value can be drawn; nothing where there are none."""
    if not mask.any():
        return []
    mark = {"name": name, "colour": colour, "group": group, "bottom": bottom, "logOnly": log_only}
    return [{"x": x[mask].tolist(), **mark}]


def dots_with_errors(x: Floats, y: Floats, errors: Floats, texts: Sequence[str]) -> dict[str, Any]:
    """A line whose points are dots with a bar of one error to either side; no bar where no error is known."""
    known = grid(np.where(np.isfinite(errors), errors, 0.0))
    look = {"mode": "lines+markers", "size": 7, "width": 1.2, "errors": {"plus": known, "minus": known}}
    return {**LINE, "x": x.tolist(), "y": grid(y), "texts": list(texts), **look}


def axis_range(x: Floats, room: float) -> list[float]:
    """Ends of a horizontal axis, with room for marks as a part of its length."""
    low, high = float(x.min()), float(x.max())
    pad = room * (high - low) if high > low else 0.5
    return [low - pad, high + pad]


def mode(count: int) -> str:
    """Few points are shown as dots on their line; a single one would otherwise not be seen."""
    return "lines+markers" if count <= 12 else "lines"


def band(lower: Floats, upper: Floats, colour: str, alpha: float) -> dict[str, Any]:
    """A shade between two curves."""
    red, green, blue = (round(255 * part) for part in to_rgb(colour))
    return {"lower": grid(lower), "upper": grid(upper), "colour": f"rgba({red},{green},{blue},{alpha})"}


def texts(head: str, what: str, x: Floats, values: Floats) -> list[str]:
    """What the pointer reads at each point: the head, then ``what`` with its place, and the value."""
    first = html.escape(head, quote=False)
    pairs = zip(x, values, strict=True)
    return [f"{first}<br>{what} {number(float(a), 7)}: {number(float(v), 4)}" for a, v in pairs]


def own_axis(scale: Scale | None) -> dict[str, Any] | None:
    """A scale that the page's controls do not touch."""
    if scale is None:
        return None
    low, high = padded(scale)
    ticks = Scale(scale.log, low, high).lines()
    return {"log": scale.log, "range": [low, high], "ticks": ticks, "words": scale.labels(ticks)}


def scale_content(
    values: Sequence[Floats],
    quantity: str,
    scale: str,
    loss_max: float | None,
    *,
    still: bool = False,
    known: float | None = None,
) -> dict[str, Any]:
    """Which scale the page opens with, and the ends of both that a reader can choose.

    Args:
        known: the value above which nothing is known, and which no end goes beyond.
    """
    if quantity in SIGNED:
        around = symmetric_scale(values, scale=scale)
        both = [-1.0, 1.0] if around is None else [around.low, around.high]
        return {"log": False, "clip": None, "known": None, "limits": {"linear": both, "log": None}}
    kind = "linear" if quantity == "accuracy" and scale == "auto" else scale
    opened = choose_scale(values, scale=kind, maximum=loss_max, still=still)
    if opened is None:
        return {"log": False, "clip": None, "known": None, "limits": {"linear": [0.0, 1.0], "log": None}}
    finite = np.concatenate([v[np.isfinite(v)].ravel() for v in values])
    limits: dict[str, Any] = {"log": None}
    unknown = False
    for name in ("linear", "log") if can_be_log(finite) else ("linear",):
        ends = choose_scale(values, scale=name, still=still, maximum=known)
        assert ends is not None
        limits[name] = [ends.low, ends.high]
        unknown = ends.over
    clip = loss_max if opened.over and (known is None or loss_max != known) else None
    return {"log": opened.log, "clip": clip, "known": known if unknown else None, "limits": limits}


def grid(values: Floats) -> Any:
    """Nested lists of numbers; None, which is JSON's null, where a value is not finite."""
    if values.ndim > 1:
        return [grid(row) for row in values]
    return [float(f"{v:.{DIGITS}g}") if np.isfinite(v) else None for v in values.tolist()]
