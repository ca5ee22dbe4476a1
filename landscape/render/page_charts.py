"""What the pages of lines and of training curves are made of, as plain values for their script."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.colors import to_rgb

from landscape.render.caption import history_caption, plane_caption
from landscape.render.curves import Run, names_in, panel_values, panels_of, runs_of
from landscape.render.line import Member, gaps_of, members_of, what_is_drawn
from landscape.render.page_planes import grid, scale_content
from landscape.render.panels import flat_words
from landscape.render.reading import QUANTITIES, Floats, Mask, PlaneData
from landscape.render.style import number

_LINE: dict[str, Any] = {
    "mode": "lines", "dash": "solid", "width": 2, "opacity": 1, "symbol": "circle", "texts": None, "bands": [],
}  # fmt: skip


def lines_content(
    lines: Sequence[PlaneData], *, scale: str, loss_max: float | None, seed: int | str | None
) -> dict[str, Any]:
    """A chart for all lines whose axes mean the same: seeds, mean, bands, checkpoints and gaps."""
    members = members_of(lines, seed)
    axes = dict.fromkeys(line.x.label for line in lines)
    charts = [_line_chart(members, label) for label in axes]
    drawn = [m.line.values if m.field.spread is not None else m.field.values for m in members]
    still = all(m.line.dead or m.field.flat for m in members)
    return {
        "kind": "charts",
        "caption": plane_caption(lines, [member.field for member in members]),
        "quantity": QUANTITIES[lines[0].quantity],
        "scale": scale_content(drawn, lines[0].quantity, scale, loss_max, still=still),
        "groups": _groups([line.label for line in lines], [member.colour for member in members]),
        "styles": _line_styles(members),
        "seeds": [],
        "seed": 0,
        "charts": charts,
    }


def curves_content(
    histories: Sequence[xr.Dataset],
    *,
    quantity: str,
    scale: str,
    loss_max: float | None,
    labels: Sequence[str] | None,
) -> dict[str, Any]:
    """A chart for each panel of :func:`landscape.render.curves.curves_figure`."""
    runs = runs_of(histories, labels)
    panels = panels_of(runs, quantity)
    scaled = panels[0]  # what the controls act on: the loss, or the one quantity that is shown
    return {
        "kind": "charts",
        "caption": history_caption([run.label for run in runs], histories),
        "quantity": scaled,
        "scale": scale_content(panel_values(runs, scaled), scaled, scale, loss_max, still=False),
        "groups": _groups([run.title() for run in runs], [run.colour for run in runs]),
        "styles": ["solid: train", "dashed: validation", "◇\u00a0test, after the last epoch", "×\u00a0not finite"],
        "seeds": [],
        "seed": 0,
        "charts": [_curves_chart(runs, panel, scaled=panel == scaled) for panel in panels],
    }


def _groups(names: Sequence[str], colours: Sequence[str]) -> list[dict[str, str]]:
    return [
        {"group": f"g{i}", "name": name, "colour": colour}
        for i, (name, colour) in enumerate(zip(names, colours, strict=True))
    ]


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
        "title": "",
        "notes": [f"{m.line.label}: {words}" for _, m in numbered if (words := flat_words(m.line, m.field))],
        "xLabel": label,
        "yLabel": QUANTITIES[first.quantity] + (f" ({first.unit})" if first.unit else ""),
        "range": _range(np.concatenate([line.x.values for line in of_chart]), 0.0),
        "whole": False,
        "scaled": True,
        "lines": [line for group, member in numbered for line in _member_lines(member, group)],
        "gaps": [gap for group, member in numbered for gap in _member_gaps(member, group)],
    }


def _range(x: Floats, room: float) -> list[float]:
    """Ends of a horizontal axis, with room for marks as a part of its length."""
    low, high = float(x.min()), float(x.max())
    pad = room * (high - low) if high > low else 0.5
    return [low - pad, high + pad]


def _member_lines(member: Member, group: str) -> list[dict[str, Any]]:
    line, field = member.line, member.field
    base = {**_LINE, "x": line.x.values.tolist(), "colour": member.colour, "group": group}
    name = f"{line.label}: {what_is_drawn(member)}"
    main = {**base, "y": grid(field.values), "texts": _texts(name, member), "mode": _mode(field.values.size)}
    halves = ((field.spread, 0.16), (field.standard_error, 0.38))
    main["bands"] = [_band(member, half, alpha) for half, alpha in halves if half is not None]
    seeds = [] if field.spread is None else [{**base, "y": grid(v), "width": 0.8, "opacity": 0.6} for v in line.values]
    value = line.checkpoint_value
    if value is None or not np.isfinite(value) or not line.x.values[0] <= 0 <= line.x.values[-1]:
        return [*seeds, main]
    words = html.escape(f"{line.label}: checkpoint {number(value, 4)}", quote=False)
    return [*seeds, main, {**base, "x": [0], "y": [value], "mode": "markers", "texts": [words]}]


def _texts(name: str, member: Member) -> list[str]:
    """What the pointer reads at each point."""
    line, field = member.line, member.field
    texts = []
    for i, (x, value) in enumerate(zip(line.x.values, field.values, strict=True)):
        error = None if field.standard_error is None else float(field.standard_error[i])
        words = f"{html.escape(name, quote=False)}<br>x {number(float(x), 3)}: {number(float(value), 4)}"
        texts.append(words + ("" if error is None or not np.isfinite(error) else f" ± {number(error, 2)}"))
    return texts


def _band(member: Member, half: Floats, alpha: float) -> dict[str, Any]:
    red, green, blue = (round(255 * part) for part in to_rgb(member.colour))
    values = member.field.values
    with np.errstate(invalid="ignore"):
        lower, upper = grid(values - half), grid(values + half)
    return {"lower": lower, "upper": upper, "colour": f"rgba({red},{green},{blue},{alpha})"}


def _member_gaps(member: Member, group: str) -> list[dict[str, Any]]:
    line = member.line
    broken, unmeasured = gaps_of(member)
    return [
        *_gap(line.x.values, broken, f"{line.label}: not finite", member.colour, group),
        *_gap(line.x.values, unmeasured, f"{line.label}: not measured", "#777777", group),
    ]


def _gap(x: Floats, mask: Mask, name: str, colour: str, group: str) -> list[dict[str, Any]]:
    return [{"x": x[mask].tolist(), "name": name, "colour": colour, "group": group}] if mask.any() else []


def _curves_chart(runs: Sequence[Run], panel: str, *, scaled: bool) -> dict[str, Any]:
    units = {run.history[name].attrs.get("units", "1") for run in runs for name in names_in(run, panel).values()} - {
        "1"
    }
    numbered = [(f"g{i}", run) for i, run in enumerate(runs)]
    return {
        "title": panel.replace("_", " ").capitalize(),
        "notes": [],
        "xLabel": "epoch",
        "yLabel": panel.replace("_", " ") + (f" ({units.pop()})" if units else ""),
        "range": _range(np.concatenate([run.epochs for run in runs]), 0.025),
        "whole": True,
        "scaled": scaled,
        "lines": [line for group, run in numbered for line in _run_lines(run, panel, group)],
        "gaps": [
            gap
            for group, run in numbered
            for name in names_in(run, panel).values()
            for gap in _gap(
                run.epochs, ~np.isfinite(run.values(name)), f"{run.title()}: {name} not finite", run.colour, group
            )
        ],
    }


def _run_lines(run: Run, panel: str, group: str) -> list[dict[str, Any]]:
    base = {**_LINE, "x": run.epochs.tolist(), "colour": run.colour, "group": group}
    label = html.escape(run.title(), quote=False)
    lines = []
    for split, name in names_in(run, panel).items():
        values = run.values(name)
        title = label if panel == "learning_rate" else f"{label}, {split}"
        words = [
            f"{title}<br>epoch {int(epoch)}: {number(float(value), 4)}"
            for epoch, value in zip(run.epochs, values, strict=True)
        ]
        dash = "dash" if split == "validation" else "solid"
        lines.append({**base, "y": grid(values), "dash": dash, "texts": words, "mode": _mode(values.size)})
    test = f"test_{panel}"
    if test in run.history and np.isfinite(run.values(test)).all():
        value = float(run.values(test))
        words = [f"{label}<br>test: {number(value, 4)}"]
        mark = {"mode": "markers", "symbol": "diamond", "x": [float(run.epochs[-1])], "y": [value], "texts": words}
        lines.append({**base, **mark})
    return lines


def _mode(count: int) -> str:
    """Few points are shown as dots on their line; a single one would otherwise not be seen."""
    return "lines+markers" if count <= 12 else "lines"
