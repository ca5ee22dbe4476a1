"""Result files in, picture files out: joins the store with the drawings."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import xarray as xr
from matplotlib.figure import Figure

from landscape.errors import InputError, unknown_choice
from landscape.pictures.beside import caption_files
from landscape.pictures.labels import differences_of, marked
from landscape.pictures.style import PaperFigure
from landscape.pictures.turning import turning
from landscape.probes.interactive import interactive
from landscape.probes.plot import plot
from landscape.probes.steps.run_range import run_range
from landscape.probes.topology.measure import topology
from landscape.registry import probes, run_file
from landscape.results import atomic_write, check_writable, load_result

FORMATS = ("png", "svg", "pdf", "html")
# what a range over runs has from them, where all agree
SHARED = ("model", "norm", "data", "optimizer", "learning_rate", "batch_size", "dead", "dead_reason", "note")


@dataclass(frozen=True)
class Drawing:
    """How results are drawn; the fields are those of :func:`landscape.probes.plot.plot`."""

    kind: str = "auto"
    quantity: str | None = None
    scale: str = "auto"
    loss_max: float | None = None
    seed: int | str | None = None
    labels: tuple[str, ...] | None = None
    along: str | None = None
    points: bool = False
    width: float | str | None = None
    height: float | None = None
    title: str | None = None
    caption: str = "short"
    view: tuple[float, float] | None = None
    cmap: str | None = None
    style: str | None = None
    study: tuple[xr.Dataset, ...] = ()
    dpi: float | None = None

    def __post_init__(self) -> None:
        if self.dpi is not None and not 30 <= self.dpi <= 2400:
            raise InputError(f"dpi: expected 30 to 2400 dots an inch, got {self.dpi!r}.")

    def options(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if v is not None and k != "dpi"}


def draw(datasets: Sequence[xr.Dataset], paths: Sequence[Path], drawing: Drawing) -> list[Path]:
    """Draw results side by side into every path, the format being its suffix: png, svg, pdf or html (interactive).

    The steps of several runs are joined first where their range (``run-range``) is wanted, and planes become their ``topology``
    where that is.

    Raises:
        InputError: for another suffix, or results that cannot be drawn together.
        ResultFileError: for a path that cannot be written; nothing has been drawn then.
    """
    for path in paths:
        if path.suffix.lstrip(".").lower() not in FORMATS:
            raise unknown_choice("out", path.suffix.lstrip(".") or str(path), FORMATS)
        check_writable(path)
    _check_page_alone(paths, drawing)
    datasets, drawing = joined(datasets, drawing)
    figure = None
    for path in paths:
        suffix = path.suffix.lstrip(".").lower()
        if suffix == "html":
            atomic_write(path, interactive(list(datasets), **_shared(drawing)).encode())
            continue
        if figure is None:
            figure = plot(list(datasets), **drawing.options())
        buffer = io.BytesIO()
        dots: dict[str, Any] = {} if drawing.dpi is None else {"dpi": drawing.dpi}
        figure.savefig(buffer, format=suffix, **dots)
        atomic_write(path, buffer.getvalue())
        _write_caption(path, figure)
    return list(paths)


def _write_caption(path: Path, figure: Figure) -> None:
    for beside, text in caption_files(path, cast(PaperFigure, figure)).items():
        atomic_write(beside, text.encode())


def turn(datasets: Sequence[xr.Dataset], path: Path, drawing: Drawing) -> Path:
    """Draw surfaces that turn once around, as a GIF or a film; see :func:`landscape.pictures.turning.turning`.

    Raises:
        InputError: for another suffix than gif or mp4, and what cannot be drawn as a surface.
    """
    if drawing.kind not in ("auto", "surface"):
        raise InputError(f"turn: only surfaces turn, and the kind is {drawing.kind!r}. Leave it out.")
    check_writable(path)
    figure = plot(list(datasets), **replace(drawing, kind="surface").options())
    atomic_write(path, turning(figure, path.suffix.lstrip(".").lower(), drawing.dpi))
    _write_caption(path, figure)
    return path


def turn_files(files: Sequence[Path], path: Path, drawing: Drawing) -> Path:
    """Load results and draw them as :func:`turn` does."""
    return turn([load_result(_result_of(file, drawing.kind)) for file in files], path, drawing)


def joined(datasets: Sequence[xr.Dataset], drawing: Drawing) -> tuple[Sequence[xr.Dataset], Drawing]:
    """What a picture is made of that needs more than the results as they are: a range over runs, and topologies of planes."""
    if drawing.kind == "run-range" and all(dataset.attrs.get("kind") == "steps" for dataset in datasets):
        return run_ranges(datasets, drawing.labels), replace(drawing, labels=None)
    if drawing.kind == "topology" and all("loss" in dataset for dataset in datasets):
        made = [topology(plane, loss_max=drawing.loss_max) for plane in datasets]
        return made, replace(drawing, loss_max=None)
    return datasets, drawing


def draw_files(files: Sequence[Path], paths: Sequence[Path], drawing: Drawing) -> list[Path]:
    """Load results and draw them; without paths, a PNG beside the first file. A run's folder stands for a file in it.

    Raises:
        InputError: for no files, or a folder that has neither the wanted one nor a single other.
    """
    if not files:
        raise InputError("files: expected at least one result file.")
    results = [_result_of(path, drawing.kind) for path in files]
    datasets = [load_result(path) for path in results]
    implied = drawing.kind == "auto" or (files[0].is_dir() and drawing.kind in drawn_of_runs().keys() - {"run-range"})
    name = results[0].stem + ("" if implied else f"-{drawing.kind}")
    return draw(datasets, paths or [results[0].with_name(f"{name}.png")], drawing)


def files_of(paths: Sequence[Path]) -> list[xr.Dataset]:
    """The data sets of result files, or of the histories of runs' folders."""
    return [load_result(_result_of(path, "auto")) for path in paths]


def run_ranges(datasets: Sequence[xr.Dataset], labels: Sequence[str] | None) -> list[xr.Dataset]:
    """The range over the runs of each model and norm, or over all runs where one of these has a single run.

    Args:
        datasets: of kind ``steps``.
        labels: of each run; None: what tells them apart.

    Raises:
        InputError: as :func:`landscape.probes.steps.run_range.run_range` does, and for too few labels.
    """
    if labels is not None and len(labels) != len(datasets):
        raise InputError(f"labels: expected one for each of the {len(datasets)} run(s), got {list(labels)!r}.")
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, dataset in enumerate(datasets):
        groups.setdefault(tuple(str(dataset.attrs.get(name)) for name in ("model", "norm")), []).append(number)
    several = (
        list(groups.values()) if all(len(group) > 1 for group in groups.values()) else [list(range(len(datasets)))]
    )
    ranges = []
    for group in several:
        members = [datasets[number] for number in group]
        told = [marked(name, run) for name, run in zip(differences_of(members), members, strict=True)]
        found = run_range(members, told if labels is None else [labels[number] for number in group])
        first = members[0].attrs
        kept = {k: first[k] for k in SHARED if k in first and all(run.attrs.get(k) == first[k] for run in members)}
        ranges.append(found.assign_attrs(kept))
    return ranges


def _result_of(path: Path, kind: str) -> Path:
    """A run's folder stands for its history, or for the file of it that a kind of picture draws."""
    if not path.is_dir():
        return path
    name, hint = drawn_of_runs().get(kind, (run_file("history"), ""))
    if not hint and not (path / name).exists():
        return _only_result(path, name)
    if hint and not (path / name).exists():
        raise InputError(f"kind: {kind!r} draws {path / name}, which does not exist. {hint}")
    return path / name


def _only_result(folder: Path, wanted: str) -> Path:
    """What a folder without the file that it usually stands for has instead: a loop that was watched, say."""
    found = sorted(folder.glob("*.h5"))
    if len(found) == 1:
        return found[0]
    what = f"it has {', '.join(path.name for path in found)}: name one" if found else "nor any other result (.h5)"
    raise InputError(f"files: {folder} has no {wanted}, {what}.")


@cache
def drawn_of_runs() -> dict[str, tuple[str, str]]:
    """Kind of picture -> which file of a run's folder it draws, and how to have it where there is none."""
    watched = [probe for probe in probes().values() if probe.run_file]
    files = {name: (p.run_file, p.run_hint) for p in watched for drawn in p.drawn for name in drawn.pictures}
    return {**files, "run-range": files["steps"]}


def _shared(drawing: Drawing) -> dict[str, Any]:
    """The options that an interactive page has a use for."""
    kept = ("kind", "quantity", "scale", "loss_max", "seed", "labels", "along", "points", "title", "study")
    return {k: v for k, v in drawing.options().items() if k in kept}


def _check_page_alone(paths: Sequence[Path], drawing: Drawing) -> None:
    """Refuse what only figures have a use for where there is none."""
    if any(path.suffix.lower() != ".html" for path in paths) or not paths:
        return
    usual = Drawing()
    for name in ("width", "height", "dpi", "view", "cmap", "style", "caption"):
        if getattr(drawing, name) != getattr(usual, name):
            given = getattr(drawing, name)
            raise InputError(f"{name}: an interactive page has no use for it, got {given!r}. Leave it out.")
