"""``landscape report``: one page over a whole study, runs or results."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import chain
from .study import study_line, variation_options, varied

if TYPE_CHECKING:
    from landscape.pictures.report_page import Plotly, Stamp
    from landscape.studies.reporting import StudyReport


@click.command("report")
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", "-o", type=click.Path(path_type=Path), help="The page.  [default: report.html in the folder it is of]"
)
@click.option("--title", help="Of the page.  [default: the study's name, or the names of the sources]")
@click.option(
    "--plotly",
    type=click.Choice(["inline", "link", "none"]),
    default="inline",
    help="What makes the pictures move: inside the page (5 MB), in a file beside it that pages share, or not at all.",
)
@click.option(
    "--watch", is_flag=True, help="Write it again whenever a result is written; an open page follows by itself."
)
@click.option(
    "--serve",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Serve the page to this machine alone; 0: any free port.",
)
@chain(variation_options())
@click.option(
    "--checkpoints", type=click.Path(path_type=Path), default=Path("checkpoints"), help="Where a study's runs are."
)
@click.option(
    "--outputs", type=click.Path(path_type=Path), default=Path("outputs"), help="Where a study's results are."
)
def command(
    sources: tuple[Path, ...],
    out: Path | None,
    title: str | None,
    plotly: Plotly,
    watch: bool,
    serve: int | None,
    data: str | None,
    scale: float | None,
    seeds: tuple[str, ...],
    checkpoints: Path,
    outputs: Path,
) -> None:
    """One self-contained page over a study (quick, coursework or a TOML file), folders of runs or results, or result files.

    What was asked, what came out in five sentences, the table of runs, every figure with its caption, its command and its data,
    comparisons, and where everything came from. Trains and measures nothing. A study writes such a page at its end.
    """
    from landscape.errors import InputError
    from landscape.reporting.gathering import gather
    from landscape.reporting.keeping import watch as keep
    from landscape.reporting.keeping import write_page
    from landscape.reporting.writing import Asked, title_of, written

    from .terminal import say

    path: Path
    make: Callable[[Stamp | None], tuple[str, bool]]
    places: Callable[[], Sequence[Path]]
    if _is_study(sources):
        study = _study(str(sources[0]), data, scale, seeds, checkpoints, outputs, title)
        path, places = out or study.path, study.sources

        def make(stamp: Stamp | None) -> tuple[str, bool]:
            return study.page(plotly, stamp)
    else:
        if data is not None or scale is not None or seeds:
            raise InputError(
                "--data, --scale, --seeds: belong to a study, and these are folders or files. Leave them out."
            )
        path = out or (sources[0] if sources[0].is_dir() else sources[0].parent) / "report.html"
        named = title_of(sources) if title is None else title
        command_line = shlex.join(["landscape", "report", *map(str, sources), "--out", str(path)])

        def places() -> Sequence[Path]:
            return sources

        def make(stamp: Stamp | None) -> tuple[str, bool]:
            asked = Asked(named, commands=[command_line])
            return written(gather(sources, empty=watch), asked, plotly, stamp), False

    _check(path)
    server = None if serve is None else _served(path, serve)
    if watch:
        keep(path, plotly, make, places, lambda line: say(line, err=True))
    else:
        write_page(path, make(None)[0], plotly)
    say(path)
    if server is not None and not watch:
        while True:  # until it is interrupted
            time.sleep(3600)


def _is_study(sources: Sequence[Path]) -> bool:
    from landscape.studies.settings import BUNDLED_STUDIES

    return len(sources) == 1 and (
        sources[0].suffix == ".toml" or (str(sources[0]) in BUNDLED_STUDIES and not sources[0].exists())
    )


def _study(
    reference: str,
    data: str | None,
    scale: float | None,
    seeds: tuple[str, ...],
    checkpoints: Path,
    outputs: Path,
    title: str | None,
) -> StudyReport:
    from landscape.places import Places
    from landscape.studies.plan import planned_images
    from landscape.studies.reporting import StudyReport
    from landscape.studies.settings import study_text

    settings = varied(reference, data, scale, seeds, planned_images)
    text, name = study_text(reference)
    recipe = {f"The study's file, {name}.toml": text}
    return StudyReport(
        settings, Places(checkpoints, outputs), recipe, [study_line(reference, data, scale, seeds)], title=title
    )


def _check(path: Path) -> None:
    from landscape.errors import InputError
    from landscape.results import check_writable

    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out: expected a path that ends in .html, got {str(path)!r}.")
    check_writable(path)


def _served(path: Path, port: int) -> object:
    from landscape.errors import InputError
    from landscape.reporting.keeping import LOOPBACK
    from landscape.reporting.keeping import serve as start

    from .terminal import say

    try:
        server = start(path, port)
    except OSError as error:
        raise InputError(
            f"--serve: port {port} cannot be had: {error.strerror}. Try 0, which takes a free one."
        ) from None
    say(f"http://{LOOPBACK}:{server.server_address[1]}/ until Ctrl-C", err=True)
    return server
