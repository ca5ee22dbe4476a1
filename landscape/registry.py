"""Which kinds of results there are: the one list of rooms, each with a record that says everything the rest asks of it.

A record names functions by import path (``package.module:name``), so that asking what there is loads nothing of it. That is why the
list can stand on the ground floor, where files are read by it, although the rooms stand high above.

Another package adds its own kind by an entry point of the group ``landscape.probes`` that leads to a :class:`Probe`::

    [project.entry-points."landscape.probes"]
    weight_entropy = "my_package.weight_entropy:PROBE"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from pkgutil import resolve_name
from typing import Any

from landscape.errors import InputError

GROUP = "landscape.probes"
ROOMS = (
    "landscape.probes.plane:PLANE",
    "landscape.probes.plane:LINE",
    "landscape.probes.plane:SMOOTHNESS",
    "landscape.probes.history:HISTORY",
    "landscape.probes.gradient_flow:GRADIENT_FLOW",
    "landscape.probes.steps:STEPS",
    "landscape.probes.steps:RUN_RANGE",
    "landscape.probes.stability:STABILITY",
    "landscape.probes.trajectory:TRAJECTORY",
    "landscape.probes.topology:TOPOLOGY",
    "landscape.probes.sharpness:SHARPNESS",
    "landscape.probes.noise_scale:NOISE_SCALE",
    "landscape.probes.weight_noise:WEIGHT_NOISE",
    "landscape.probes.critical_sharpness:CRITICAL_SHARPNESS",
    "landscape.probes.critical_sharpness:CRITICAL_STEPS",
    "landscape.probes.basin_radius:BASIN_RADIUS",
    "landscape.probes.path:PATH",
    "landscape.probes.curvature:CURVATURE",
    "landscape.probes.curvature_map:CURVATURE_MAP",
    "landscape.probes.curvature_map:PLANE_CURVATURE",
    "landscape.probes.comparison:COMPARISON",
)


@dataclass(frozen=True)
class Drawn:
    """How data sets of one kind are drawn.

    Attributes:
        words: what such a data set is, in messages.
        pictures: kind of picture -> path of its function ``(datasets, options) -> figure``; the usual one first.
        page: path of what its interactive page is made of.
        quantity: what is drawn where nothing else is asked for.
        uses: the names of :data:`landscape.pictures.options.NEEDS` that it has a use for.
        grid: of a plane, over how many axes; None for everything else.
    """

    words: str
    pictures: Mapping[str, str]
    page: str
    quantity: str = "all"
    uses: frozenset[str] = frozenset()
    grid: int | None = None


@dataclass(frozen=True)
class Probe:
    """One kind of measurement, or of what is made of one.

    Attributes:
        name: what commands and studies call it; the attribute ``kind`` of its files, unless ``kind`` says another.
        schema: path of its :class:`landscape.results.schema.Schema`.
        question: which question it answers, in a line; empty where it is not asked of a checkpoint.
        cost: in words, what it takes.
        settings: path of its settings, a subclass of :class:`landscape.probes.settings.ProbeSettings`.
        prepare: path of ``(subject, settings, places) -> Prepared``.
        steps: path of ``(settings, module, batch size) -> training steps of one sample``, the cost before it is made.
        title: what a result is, as ``landscape info`` begins.
        words: path of ``(dataset) -> lines``: what a person wants to know of a result first, in ``landscape probe`` and ``info``;
            none for a part of a result that lacks what they are made of.
        drawn: how it is drawn, by the number of axes where there are several.
        compared: path of its :class:`landscape.probes.comparable.Kind`.
        compared_on: the kind of file that ``compared`` reads, if it is another one's.
        spreads: whether workers may measure it.
        leads: whether it may lead to further checkpoints, or follow directions of a file.
        observer: path of the observer of training that measures it.
        run_file: of what is watched in training, the file in a run's folder.
        run_hint: how to have it.
        examples: command lines of it, without ``landscape probe``.
    """

    name: str
    schema: str
    kind: str = ""
    question: str = ""
    cost: str = ""
    settings: str = ""
    prepare: str = ""
    steps: str = ""
    title: str = ""
    words: str = ""
    drawn: tuple[Drawn, ...] = ()
    compared: str = ""
    compared_on: str = ""
    spreads: bool = False
    leads: bool = False
    observer: str = ""
    run_file: str = ""
    run_hint: str = ""
    examples: tuple[str, ...] = field(default=())

    @property
    def of_file(self) -> str:
        """The attribute ``kind`` of its files."""
        return self.kind or self.name

    @property
    def command(self) -> str:
        """Its name on the command line."""
        return self.name.replace("_", "-")


@cache
def found(path: str) -> Any:
    """What an import path leads to."""
    return resolve_name(path)


@cache
def probes() -> dict[str, Probe]:
    """Every kind by its name, those of other packages last.

    Raises:
        InputError: for an entry point that leads to no record, or to one whose name is taken.
    """
    known: dict[str, Probe] = {}
    for path, record in (*((path, found(path)) for path in ROOMS), *_others()):
        if not isinstance(record, Probe) or record.name in known:
            what = f"another {record.name!r}" if isinstance(record, Probe) else repr(record)
            raise InputError(f"{path}: expected a landscape.registry.Probe of a name of its own, got {what}.")
        known[record.name] = record
    return known


def asked() -> dict[str, Probe]:
    """Those that can be asked of a checkpoint."""
    return {name: probe for name, probe in probes().items() if probe.settings}


def picture_kinds() -> tuple[str, ...]:
    """Every kind of picture, ``auto`` first."""
    return ("auto", *(name for probe in probes().values() for drawn in probe.drawn for name in drawn.pictures))


def run_file(kind: str) -> str:
    """What the results of a kind that is watched in training are called in a run's folder."""
    return probes()[kind].run_file


def run_files() -> tuple[str, ...]:
    """All such files, the history first."""
    return tuple(sorted((p.run_file for p in probes().values() if p.run_file), key=run_file("history").__ne__))


def of_file(kind: object) -> Probe | None:
    """Whose files are of a kind; None for one that nobody knows."""
    return next((probe for probe in probes().values() if probe.of_file == kind), None)


def _others() -> Iterator[tuple[str, Any]]:
    for point in entry_points(group=GROUP):
        yield f"entry point {point.name!r} of {GROUP}", point.load()
