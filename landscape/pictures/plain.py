"""Small pictures in plain text, for a terminal: curves, and the coarse contour of a plane."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from landscape.pictures.arrays import Floats

NARROWEST, WIDEST = 30, 72  # columns
HEIGHT = 9  # rows of a curve's picture
MOST_ROWS = 17  # of a contour, whose cells are two columns wide
MARKS = "*o+x"
RAMP = ".:-=+*%@#"  # low to high
NO_NUMBER, UNKNOWN = "!", "?"
_LOG_FROM = 30.0  # as pictures do: where positive values span more than 1.5 decades


def curves(x: Floats, lines: Mapping[str, Floats], columns: int, *, what: str, over: str) -> list[str]:
    """Lines over one axis, a sign each; nothing where there is no room or no number.

    Args:
        x: ``(n,)``, ascending.
        lines: name -> values ``(n,)``; at most four are drawn. Values that are no numbers leave a gap.
        columns: that there are to write in.
        what, over: names of both axes.

    Example:
        >>> from landscape.pictures.plain import curves
        >>> picture = curves(np.arange(3.0), {"train": np.array([2.0, 1.5, 1.0])}, 40, what="loss", over="epoch")
        >>> picture[0]
        'loss (* train)'
    """
    drawn = {name: np.asarray(values, dtype=float) for name, values in list(lines.items())[: len(MARKS)]}
    finite = [values[np.isfinite(values)] for values in drawn.values()]
    known = np.concatenate(finite) if finite else np.zeros(0)
    if columns < NARROWEST or known.size == 0 or x.size < 2:
        return []
    log, low, high = _scale(known)
    ends = [f"{high:.4g}", f"{low:.4g}"]
    margin = max(map(len, ends))
    width = min(columns, WIDEST) - margin - 3
    cells = np.full((HEIGHT, width), " ")
    for mark, values in reversed(list(zip(MARKS, drawn.values(), strict=False))):
        _draw(cells, mark, x, _on_scale(values, log), _on_scale(np.array([low, high]), log))
    names = ", ".join(f"{mark} {name}" for mark, name in zip(MARKS, drawn, strict=False))
    sides = [ends[0], *[""] * (HEIGHT - 2), ends[1]]
    first, last = f"{x[0]:g}", f"{x[-1]:g}"
    foot = f"{first}{over:^{max(width - len(first) - len(last), 0)}}{last}"
    return [
        f"{what} ({names}){', logarithmic' if log else ''}",
        *(f"{side:>{margin}} |{''.join(row)}".rstrip() for side, row in zip(sides, cells, strict=True)),
        f"{'':>{margin}} +{'-' * width}",
        f"{'':>{margin}}  {foot}",
    ]


def contour(values: Floats, measured: Floats, columns: int, *, what: str, top: float | None = None) -> list[str]:
    """A plane as signs from low to high; nothing where there is no room or no number.

    Args:
        values: ``(y, x)``, the last row being drawn first: y goes up.
        measured: where they are known.
        columns: that there are to write in.
        what: is drawn.
        top: above which values are drawn as it.
    """
    rows, across = values.shape
    finite = values[np.isfinite(values) & measured.astype(bool)]
    if columns < NARROWEST or finite.size == 0 or min(rows, across) < 2:
        return []
    most = min(MOST_ROWS, (min(columns, WIDEST) - 1) // 2)
    end = np.inf if top is None else top
    clipped = bool((finite > end).any())
    log, low, high = _scale(np.minimum(finite, end))
    chosen_rows, chosen = (np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int)) for n in (rows, across))
    part = values[np.ix_(chosen_rows, chosen)][::-1]
    known = measured.astype(bool)[np.ix_(chosen_rows, chosen)][::-1]
    ends = _on_scale(np.array([low, high]), log)
    with np.errstate(invalid="ignore", divide="ignore"):
        place = (_on_scale(part, log) - ends[0]) / (ends[1] - ends[0])
    signs = np.array(list(RAMP))[np.nan_to_num(np.clip(place, 0, 1) * (len(RAMP) - 1), nan=0).round().astype(int)]
    signs = np.where(known & np.isfinite(part), signs, np.where(known, NO_NUMBER, UNKNOWN))
    over = f", and all above {high:.4g}" if clipped else ""
    key = f"{what}: {RAMP[0]} {low:.4g} to {RAMP[-1]} {high:.4g}{over}{', logarithmic' if log else ''}"
    if (signs == NO_NUMBER).any():
        key += f"; {NO_NUMBER} no number"
    if (signs == UNKNOWN).any():
        key += f"; {UNKNOWN} not measured"
    return [key, *("  " + " ".join(row) for row in signs)]


def _scale(known: Floats) -> tuple[bool, float, float]:
    """Whether the scale is logarithmic, and its ends, which differ."""
    low, high = float(known.min()), float(known.max())
    if high - low <= 1e-9 * max(
        abs(low), abs(high), 1e-300
    ):  # flat: in the middle of a range that does not magnify rounding
        half = 0.05 * abs(low) or 0.5
        return False, low - half, high + half
    return low > 0 and high / low > _LOG_FROM, low, high


def _on_scale(values: Floats, log: bool) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.log10(values) if log else values


def _draw(cells: np.ndarray, mark: str, x: Floats, values: Floats, ends: Floats) -> None:
    """The line between its points; points that are no numbers break it."""
    height, width = cells.shape
    places = np.linspace(x[0], x[-1], width)
    known = np.isfinite(values)
    if not known.any():
        return
    between = np.interp(places, x, np.where(known, values, np.nan))
    for column in np.flatnonzero(np.isfinite(between)):
        up = (between[column] - ends[0]) / (ends[1] - ends[0])
        cells[height - 1 - round(min(max(up, 0.0), 1.0) * (height - 1)), column] = mark
