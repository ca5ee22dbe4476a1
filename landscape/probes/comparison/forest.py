"""The differences of comparisons as rows of a forest plot, which its figure and its page are both made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from landscape.errors import InputError
from landscape.pictures.options import Options
from landscape.pictures.scale import Scale
from landscape.pictures.style import cycle
from landscape.probes.comparison.picture import Measure, read_measures

OPEN = "#9a9a9a"  # cannot tell, or not tested
TOLD = ("higher", "lower", "equivalent", "rises", "falls")
MOST_PAIRS = 4  # that share a row
MOST_TRENDS = 6  # measures, whose trends are drawn
REACH = 4.0  # times the farthest estimate from the line of no difference: an axis's end
AXES = {"log": "ratio", "linear": "difference / standard deviation"}


@dataclass(frozen=True)
class Row:
    """A measure's difference between two settings: an estimate with its interval, whose ends may be NaN."""

    family: str
    measure: str
    name: str
    pair: str
    log: bool
    value: float
    low: float
    high: float
    told: bool
    sentence: str = ""

    @property
    def distance(self) -> float:
        """From no difference, on the axis."""
        return abs(float(np.log(self.value))) if self.log else abs(self.value)


@dataclass(frozen=True)
class Forest:
    """What a forest plot shows.

    Attributes:
        rows: of the pairs that are shown.
        pairs: those, in the order of the file.
        sentences: its caption, before the comparisons' own notes.
    """

    rows: list[Row]
    pairs: list[str]
    sentences: list[str]

    @property
    def blocks(self) -> list[list[Row]]:
        """Ratios, then standardised differences, each on an axis of its own, as far as there are any."""
        return [block for log in (True, False) if (block := [row for row in self.rows if row.log == log])]

    def colour(self, row: Row) -> str:
        """That of the row's pair; grey where nothing is told."""
        return self.pair_colour(row.pair) if row.told else OPEN

    def pair_colour(self, pair: str) -> str:
        colours = cycle()
        return str(colours[self.pairs.index(pair) % len(colours)])


def read_forest(datasets: Sequence[xr.Dataset], options: Options) -> Forest:
    """The differences of the wanted measures, between the pairs of settings that a row has room for.

    Ratios are those of measures that are compared on a logarithmic scale. All others are differences divided by the standard
    deviation s of the replicates, s² being the mean of both settings' variances (N − 1).

    Raises:
        InputError: as :func:`landscape.probes.comparison.picture.read_measures` does.
    """
    wanted = {measure.name for measure in read_measures(datasets, options)}
    rows = [row for dataset in datasets for row in read_rows(dataset) if row.measure in wanted]
    pairs = list(dict.fromkeys(row.pair for row in rows))
    # The first, the last, and evenly between: of an ordered setting its ends.
    places = np.unique(np.linspace(0, len(pairs) - 1, min(MOST_PAIRS, len(pairs))).round().astype(int))
    shown, left = [pairs[place] for place in places], len(pairs) - len(places)
    rows = [row for row in rows if row.pair in shown]
    lost = sorted(wanted - {row.measure for row in rows})
    sentences = [
        "Dot and bar: how the first setting differs from the second, with the interval of the difference",
        "Ratios where a measure is compared by them; else differences over the standard deviation of the replicates",
        "Grey: cannot tell, or not tested; arrow: the interval goes on beyond the axis",
        f"{left} further pairs are in the table" if left else "",
        f"Without a difference to draw: {', '.join(lost)}" if lost else "",
    ]
    return Forest(rows, shown, sentences)


def read_rows(dataset: xr.Dataset) -> list[Row]:
    """Every difference that can stand on one of the two axes, the largest of each family first, families in the file's order."""
    if not {"difference", "difference_low", "difference_high", "verdict"} <= set(dataset):
        return []
    families = dataset["family"].values if "family" in dataset else [""] * dataset.sizes["measure"]
    rows = []
    for m, measure in enumerate(map(str, dataset["measure"].values)):
        one = dataset.isel(measure=m)
        log = str(one["scale"].item()) == "log"
        name = str(one["long_name"].item()) if "long_name" in one else measure
        sentences = one["sentence"].values if "sentence" in one else [""] * one.sizes["pair"]
        for p, pair in enumerate(map(str, dataset["pair"].values)):
            cells = [float(one[key][p]) for key in ("difference", "difference_low", "difference_high")]
            unit = 1.0 if log else _deviation(one, pair)
            if not np.isfinite(cells[0]) or not unit > 0 or (log and cells[0] <= 0):
                continue
            told = str(one["verdict"].values[p]) in TOLD
            value, low, high = (cell / unit for cell in cells)
            rows.append(Row(str(families[m]), measure, name, pair, log, value, low, high, told, str(sentences[p])))
    order = {family: place for place, family in enumerate(dict.fromkeys(map(str, families)))}
    far = {row.measure: 0.0 for row in rows}
    for row in rows:
        far[row.measure] = max(far[row.measure], row.distance)
    return sorted(rows, key=lambda row: (order[row.family], -far[row.measure], row.measure))


def _deviation(one: xr.Dataset, pair: str) -> float:
    """The standard deviation s of the replicates of both settings; NaN where one has fewer than two."""
    settings = [str(setting) for setting in one["setting"].values]
    both = next(((a, b) for a in settings for b in settings if f"{a} vs {b}" == pair), None)
    if both is None:
        return float("nan")
    values = [one["value"].values[settings.index(setting)] for setting in both]
    known = [v[np.isfinite(v)] for v in values]
    return float(np.sqrt(np.mean([v.var(ddof=1) for v in known]))) if min(map(len, known)) > 1 else float("nan")


def axis_of(rows: Sequence[Row]) -> Scale:
    """From no difference to both sides: all estimates, and intervals up to :data:`REACH` times the farthest estimate."""
    log = rows[0].log
    zero = 0.0

    def on(value: float) -> float:
        return float(np.log(value)) if log and value > 0 else -np.inf if log else value

    far = max(row.distance for row in rows) or 1.0
    ends = [on(end) for row in rows for end in (row.low, row.high) if not np.isnan(end)]
    inside = [end for end in ends if abs(end) <= REACH * far]
    low, high = (min([zero, *(on(r.value) for r in rows), *inside]), max([zero, *(on(r.value) for r in rows), *inside]))
    room = 0.06 * (high - low) or 0.1
    low, high = low - room, high + room
    return Scale(log, *((float(np.exp(low)), float(np.exp(high))) if log else (low, high)))


def names_of(rows: Sequence[Row]) -> dict[str, str]:
    """Each measure in words, with its own name where others have the same words."""
    words = {row.measure: row.name for row in rows}
    return {
        measure: name if list(words.values()).count(name) == 1 else f"{name} ({measure})"
        for measure, name in words.items()
    }


def surest_trends(datasets: Sequence[xr.Dataset], options: Options) -> tuple[list[Measure], str]:
    """The measures whose trends are surest, in the file's order, and a note where others are left out.

    Raises:
        InputError: for comparisons without a trend: of settings that have no order, or of fewer than three.
    """
    if not all("trend_p" in dataset and dataset.sizes["trend"] for dataset in datasets):
        raise InputError(
            "kind: 'trend' needs settings in order, at least three of them, and this has none. Try 'forest'."
        )
    found = read_measures(datasets, options)
    sure: dict[str, float] = {}
    for dataset in datasets:
        least = np.nanmin(np.where(np.isnan(dataset["trend_p"]), np.inf, dataset["trend_p"]), axis=1)
        sure |= dict(zip(map(str, dataset["measure"].values), least.tolist(), strict=True))
    chosen = sorted(found, key=lambda measure: sure[measure.name])[:MOST_TRENDS]
    kept = [measure for measure in found if measure in chosen]
    return kept, f"The {len(kept)} of {len(found)} measures with the surest trends" if len(kept) < len(found) else ""
