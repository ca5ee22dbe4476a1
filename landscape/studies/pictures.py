"""Result files in, picture files out: joins the store with the drawings."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from landscape.errors import InputError, unknown_choice
from landscape.render import interactive, plot
from landscape.store import atomic_write, load_result

FORMATS = ("png", "svg", "pdf", "html")
PNG_DPI = 200


@dataclass(frozen=True)
class Drawing:
    """How results are drawn; the fields are those of :func:`landscape.render.plot`."""

    kind: str = "auto"
    quantity: str = "loss"
    scale: str = "auto"
    loss_max: float | None = None
    seed: int | str | None = None
    labels: tuple[str, ...] | None = None

    def options(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if v is not None}


def draw(datasets: Sequence[xr.Dataset], paths: Sequence[Path], drawing: Drawing) -> list[Path]:
    """Draw results side by side into every path, the format being its suffix: png, svg, pdf or html (interactive).

    Raises:
        InputError: for another suffix, or results that cannot be drawn together.
        ResultFileError: for a folder that cannot be written.
    """
    for path in paths:
        if path.suffix.lstrip(".").lower() not in FORMATS:
            raise unknown_choice("out", path.suffix.lstrip(".") or str(path), FORMATS)
    figure = None
    for path in paths:
        suffix = path.suffix.lstrip(".").lower()
        if suffix == "html":
            atomic_write(path, interactive(list(datasets), **_shared(drawing)).encode())
            continue
        figure = figure or plot(list(datasets), **drawing.options())
        buffer = io.BytesIO()
        figure.savefig(buffer, format=suffix, dpi=PNG_DPI)
        atomic_write(path, buffer.getvalue())
    return list(paths)


def draw_files(files: Sequence[Path], paths: Sequence[Path], drawing: Drawing) -> list[Path]:
    """Load results and draw them; without paths, a PNG beside the first file.

    Raises:
        InputError: for no files.
    """
    if not files:
        raise InputError("files: expected at least one result file.")
    datasets = [load_result(_history_of(path)) for path in files]
    kind = "" if drawing.kind == "auto" else f"-{drawing.kind}"
    default = _history_of(files[0])
    return draw(datasets, paths or [default.with_name(f"{default.stem}{kind}.png")], drawing)


def _history_of(path: Path) -> Path:
    """A run's folder stands for its history."""
    return path / "history.h5" if path.is_dir() else path


def _shared(drawing: Drawing) -> dict[str, Any]:
    """The options that an interactive page has a use for."""
    return {k: v for k, v in drawing.options().items() if k in ("quantity", "scale", "loss_max", "labels", "seed")}
