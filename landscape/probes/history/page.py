"""What the pages of lines and of training curves are made of, as plain values for their script."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from landscape.pictures.caption import history_caption
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
    texts,
)
from landscape.pictures.style import number
from landscape.probes.history.picture import BAND_ALPHA, SPLITS, Run, has, names_in, panel_values, panels_of, runs_of
from landscape.probes.history.sweeps import sweep_of


def curves_content(histories: Sequence[xr.Dataset], options: Options) -> dict[str, Any]:
    """A chart for each panel of :func:`landscape.probes.history.picture.curves_figure`."""
    sweep = sweep_of(histories, options.labels)
    runs = runs_of(sweep, options)
    panels = panels_of(runs, options.quantity)
    scaled = panels[0]  # what the controls act on: the loss, or the one quantity that is shown
    styles = ["solid: train", "dashed: validation", "◇\u00a0test, after the last epoch", "×\u00a0not finite"]
    if any(run.pooled for run in runs):
        styles.insert(2, "band: range over seeds, line: their mean")
    return {
        **PAGE,
        "caption": history_caption(sweep.labels, sweep.groups, setting=sweep.setting),
        "scale": scale_content(panel_values(runs, scaled), scaled, options.scale, options.loss_max),
        "groups": groups([run.title() for run in runs], [run.colour for run in runs]),
        "styles": styles,
        "memberOf": "groups",
        "members": [[i for i, one in enumerate(histories) if any(one is own for own in run.histories)] for run in runs],
        "charts": [_curves_chart(runs, panel, scaled=panel == scaled) for panel in panels],
    }


def _curves_chart(runs: Sequence[Run], panel: str, *, scaled: bool) -> dict[str, Any]:
    names = [(f"g{i}", run, name) for i, run in enumerate(runs) for name in names_in(run, panel).values()]
    units = {run.histories[0][name].attrs.get("units", "1") for _, run, name in names} - {"1"}
    marks = [
        gap(run.epochs, ~np.isfinite(run.values(name)), f"{run.title()}: {name} not finite", run.colour, group)
        for group, run, name in names
    ]
    return {
        **CHART,
        "title": panel.replace("_", " ").capitalize(),
        "xLabel": "epoch",
        "yLabel": panel.replace("_", " ") + (f" ({units.pop()})" if units else ""),
        "range": axis_range(np.concatenate([run.epochs for run in runs]), 0.025),
        "whole": True,
        "scaled": scaled,
        "lines": [line for i, run in enumerate(runs) for line in _run_lines(run, panel, f"g{i}")],
        "gaps": [mark for of_curve in marks for mark in of_curve],
    }


def _run_lines(run: Run, panel: str, group: str) -> list[dict[str, Any]]:
    base = {**LINE, "x": run.epochs.tolist(), "colour": run.colour, "group": group}
    lines = []
    for split, name in names_in(run, panel).items():
        values, every = run.values(name), run.every(name)
        title = run.title() if panel == "learning_rate" else f"{run.title()}, {split}"
        own = {"y": grid(values), "texts": texts(title, "epoch", run.epochs, values), "mode": mode(values.size)}
        if run.pooled:
            own["bands"] = [band(every.min(axis=0), every.max(axis=0), run.colour, BAND_ALPHA)]
        lines.append({**base, **own, "dash": dash(SPLITS[split])})
    test = f"test_{panel}"
    if has(run, test) and np.isfinite(run.values(test)).all():
        value = float(run.values(test))
        words = [html.escape(run.title(), quote=False) + f"<br>test: {number(value, 4)}"]
        look = {"mode": "markers", "symbol": "diamond", "open": True, "size": 8}
        lines.append({**base, **look, "x": [float(run.epochs[-1])], "y": [value], "texts": words})
    return lines
