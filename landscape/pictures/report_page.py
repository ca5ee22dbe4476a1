"""A whole page: sections of text, tables and figures, with everything that a browser needs inside it."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from markupsafe import Markup

from landscape.pictures.caption import sentences_of
from landscape.pictures.templates import ours, page
from landscape.printable import html

Plotly = Literal["inline", "link", "none"]
PLOTLY: tuple[Plotly, ...] = ("inline", "link", "none")
POLL = 2000  # milliseconds after which an open page looks whether there is a newer one
BRIEF = 250  # letters of a caption that stand under a figure; the rest is unfolded
_SCRIPTS = ("base.js", "stage.js", "figure.js", "planes.js", "charts.js", "runs.js", "report.js")


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Items:
    """A list of sentences; one that is not ``open`` lies behind a fold."""

    title: str
    items: Sequence[str]
    open: bool = True
    kind: ClassVar[str] = "list"


@dataclass(frozen=True)
class Grid:
    """A table of text. ``runs`` names the run of each row: the table in which a reader sorts, filters and hides them."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    runs: Sequence[str] = ()
    open: bool = True
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Code:
    """Text of several lines, behind a fold."""

    title: str
    lines: str
    kind: ClassVar[str] = "code"

    @property
    def text(self) -> Markup:
        return Markup("\n").join(Markup(html(line)) for line in self.lines.splitlines())


@dataclass(frozen=True)
class PageFigure:
    """A figure of a page.

    Attributes:
        name: its address on the page, of letters, digits and hyphens.
        content: what the room's page function gives, with a ``caption``.
        command: the command that makes it as a file.
        png: what stands for it on a page without plotly.
    """

    name: str
    title: str
    content: Mapping[str, Any]
    command: str = ""
    png: bytes | None = None

    @property
    def json(self) -> Markup:
        """JSON that cannot end the script element it stands in, whatever the labels hold: it has no ``<``, and ASCII alone."""
        own = {key: value for key, value in self.content.items() if key != "caption"}
        text = json.dumps(own, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
        return Markup(text.replace("<", "\\u003c"))

    @property
    def caption(self) -> tuple[str, str]:
        """The first sentences of the caption, and those that lie behind a fold."""
        sentences = sentences_of(str(self.content["caption"]))
        lengths = itertools.accumulate(len(sentence) + 1 for sentence in sentences)
        first = max(1, sum(length <= BRIEF for length in lengths))
        return " ".join(sentences[:first]), " ".join(sentences[first:])

    @property
    def image(self) -> Markup | None:
        return None if self.png is None else Markup(base64.b64encode(self.png).decode())


@dataclass(frozen=True)
class Section:
    """A part of a page that its contents name."""

    name: str
    title: str
    blocks: Sequence[Text | Items | Grid | Code] = ()
    figures: Sequence[PageFigure] = ()


@dataclass(frozen=True)
class Stamp:
    """The small script beside a page that names the newest state of it, and the state that this page is of."""

    file: str
    value: str

    @property
    def text(self) -> str:
        """What the script says."""
        return f"landscapeStamp({json.dumps(self.value)});\n"


def report_page(
    title: str,
    sections: Sequence[Section] = (),
    *,
    alone: Sequence[PageFigure] = (),
    lead: Sequence[str] = (),
    foot: str = "",
    plotly: Plotly = "inline",
    stamp: Stamp | None = None,
) -> str:
    """The page's text, to be written in UTF-8.

    Args:
        alone: figures without a section, of a page that has no contents at its side.
        plotly: ``inline``: inside, 5 MB; ``link``: the file :func:`plotly_file` beside the page; ``none``: still pictures.
        stamp: of a page that is written again and again: the open one follows.
    """
    settings = {
        "plotly": plotly != "none",
        "stamp": None if stamp is None else {"file": stamp.file, "value": stamp.value},
        "every": POLL,
    }
    return page(
        "report.html",
        title=title,
        lead=lead,
        sections=sections,
        alone=alone,
        foot=foot,
        style=ours("report.css"),
        plotly=_plotly(plotly),
        beside=Markup(" file: 'self'") if plotly == "link" or stamp is not None else "",
        scripts=Markup("\n").join(map(ours, _SCRIPTS)),
        settings=Markup(json.dumps(settings, ensure_ascii=True).replace("<", "\\u003c")),
    )


def plotly_file() -> tuple[str, bytes]:
    """Name and content of the file that pages with ``plotly="link"`` share."""
    from plotly.offline import get_plotlyjs, get_plotlyjs_version

    return f"plotly-{get_plotlyjs_version()}.min.js", get_plotlyjs().encode()


def _plotly(how: Plotly) -> Markup:
    if how == "none":
        return Markup("")
    if how == "link":
        return Markup('<script src="{}"></script>').format(plotly_file()[0])
    from plotly.offline import get_plotlyjs  # 5 MB of text, read only when a page is made

    return Markup(f"<script>{get_plotlyjs()}</script>")
