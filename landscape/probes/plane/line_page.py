"""What the page of lines is made of, as plain values for its script."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from landscape.pictures.arrays import Floats
from landscape.pictures.options import Options
from landscape.pictures.page_parts import (
    CHART,
    LINE,
    PAGE,
    axis_range,
    band,
    dash,
    gap,
    grid,
    groups,
    mode,
    scale_content,
)
from landscape.pictures.style import number
from landscape.probes.plane.caption import plane_caption
from landscape.probes.plane.line import Member, gaps_of, members_of, what_is_drawn
from landscape.probes.plane.panels import flat_words
from landscape.probes.plane.reading import read_planes, scale_asked


def lines_content(datasets: Sequence[xr.Dataset], options: Options) -> dict[str, Any]:
    """A chart for all lines whose axes mean the same: seeds, mean, bands, checkpoints and gaps."""
    lines = read_planes(datasets, options.quantity, options.labels)
    members = members_of(lines, options)
    axes = dict.fromkeys(line.x.label for line in lines)
    charts = [_line_chart(members, label) for label in axes]
    drawn = [m.line.values if m.field.spread is not None else m.field.values for m in members]
    still = all(m.line.dead or m.field.flat for m in members)
    return {
        **PAGE,
        "caption": plane_caption(lines, [member.field for member in members]),
        "scale": scale_content(drawn, options.quantity, scale_asked(options), options.loss_max, still=still),
        "groups": groups([line.label for line in lines], [m.colour for m in members], [m.dashes for m in members]),
        "styles": _line_styles(members),
        "charts": charts,
    }


def _line_styles(members: Sequence[Member]) -> list[str]:
    """What the kinds of lines and marks on the page are."""
    styles = ["○\u00a0checkpoint", "×\u00a0at the top: not finite, or not measured"]
    if any(m.field.standard_error is not None for m in members):
        styles.insert(0, "band: ± standard error over samples")
    if any(m.field.spread is not None for m in members):
        styles[:0] = ["thick: mean over seeds", "thin: each seed", "pale band: ± standard deviation over seeds"]
    return styles


def _line_chart(members: Sequence[Member], label: str) -> dict[str, Any]:
    """The members whose axis has the label."""
    numbered = [(f"g{i}", member) for i, member in enumerate(members) if member.line.x.label == label]
    of_chart = [member.line for _, member in numbered]
    first = of_chart[0]
    return {
        **CHART,
        "notes": [f"{m.line.label}: {words}" for _, m in numbered if (words := flat_words(m.line, m.field))],
        "xLabel": label,
        "yLabel": first.words + (f" ({first.unit})" if first.unit else ""),
        "range": axis_range(np.concatenate([line.x.values for line in of_chart]), 0.0),
        "scaled": True,
        "lines": [line for group, member in numbered for line in _member_lines(member, group)],
        "gaps": [mark for group, member in numbered for mark in _member_gaps(member, group)],
    }


def _member_lines(member: Member, group: str) -> list[dict[str, Any]]:
    line, field = member.line, member.field
    base = {**LINE, "x": line.x.values.tolist(), "colour": member.colour, "group": group}
    name = f"{line.label}: {what_is_drawn(member)}"
    main = {**base, "y": grid(field.values), "texts": _member_texts(name, member), "mode": mode(field.values.size)}
    main["dash"] = dash(member.dashes)
    halves = ((field.spread, 0.16), (field.standard_error, 0.38))
    main["bands"] = [_around(member, half, alpha) for half, alpha in halves if half is not None]
    seeds = [] if field.spread is None else [{**base, "y": grid(v), "width": 0.8, "opacity": 0.6} for v in line.values]
    value = line.checkpoint_value
    if value is None or not np.isfinite(value) or not line.x.values[0] <= 0 <= line.x.values[-1]:
        return [*seeds, main]
    words = html.escape(f"{line.label}: checkpoint {number(value, 4)}", quote=False)
    ring = {"mode": "markers", "open": True, "size": 8}
    return [*seeds, main, {**base, **ring, "x": [0], "y": [value], "texts": [words]}]


def _member_texts(name: str, member: Member) -> list[str]:
    """What the pointer reads at each point."""
    line, field = member.line, member.field
    texts = []
    for i, (x, value) in enumerate(zip(line.x.values, field.values, strict=True)):
        error = None if field.standard_error is None else float(field.standard_error[i])
        words = f"{html.escape(name, quote=False)}<br>x {number(float(x), 3)}: {number(float(value), 4)}"
        texts.append(words + ("" if error is None or not np.isfinite(error) else f" ± {number(error, 2)}"))
    return texts


def _around(member: Member, half: Floats, alpha: float) -> dict[str, Any]:
    values = member.field.values
    with np.errstate(invalid="ignore"):
        return band(values - half, values + half, member.colour, alpha)


def _member_gaps(member: Member, group: str) -> list[dict[str, Any]]:
    line = member.line
    broken, unmeasured = gaps_of(member)
    return [
        *gap(line.x.values, broken, f"{line.label}: not finite", member.colour, group),
        *gap(line.x.values, unmeasured, f"{line.label}: not measured", "#777777", group),
    ]
