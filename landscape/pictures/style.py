"""How every picture looks: sizes, fonts, colours, and how numbers are written."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import colormaps, style
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from landscape import errors
from landscape.printable import printable

COLUMN, PAGE = 3.5, 7.0  # inches: one column and the full width of a two-column paper
WIDTHS = {"column": COLUMN, "page": PAGE}
SIZES = {"text": "axes.labelsize", "small": "legend.fontsize", "title": "axes.titlesize", "tick": "xtick.labelsize"}
FONT = "DejaVu Sans"  # comes with matplotlib, and has the field's signs: θ, ₁, ±, ×

# Okabe & Ito 2008, the colours that readers with any colour vision tell apart, without its yellow, which pales on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
COLOUR_MAPS = {"loss": "viridis", "accuracy": "viridis", "loss_standard_error": "cividis", "spread": "cividis"}
# Of signed quantities: red where negative, white at 0, its darkest ends left out, on which no line could be read.
DIVERGING = LinearSegmentedColormap.from_list(
    "diverging", colormaps["RdBu"].resampled(256)(np.linspace(0.08, 0.92, 256))
)
SEQUENCE = LinearSegmentedColormap.from_list("sequence", colormaps["viridis"].resampled(256)(np.linspace(0, 0.84, 256)))
SIGNED = ("curvature_ratio",)
MISSING_GREY = "#e4e4e4"
OVER = "#fffbe6"
INK = "#222222"

_RC: dict[str, Any] = {
    "font.family": [FONT],
    "font.size": 7.5,
    "axes.titlesize": "medium",
    "axes.labelsize": "medium",
    "xtick.labelsize": "small",
    "ytick.labelsize": "small",
    "legend.fontsize": "small",
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "xtick.major.pad": 2.5,
    "ytick.major.pad": 2.5,
    "axes.titlepad": 4.0,
    "axes.labelpad": 2.5,
    "lines.linewidth": 1.2,
    "savefig.dpi": 200,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "landscape",
}
# never the user's: words here hold signs that LaTeX does not know, every place is set by hand, and hinted letters are up to a
# seventh wider at one resolution than at another, so that words would not have the room that was measured for them
_ALWAYS: dict[str, Any] = {
    "text.usetex": False,
    "text.hinting": "none",
    "figure.autolayout": False,
    "figure.constrained_layout.use": False,
}
_WINDOWS = (  # what no picture depends on
    "backend", "interactive", "toolbar", "timezone", "webagg", "tk.", "savefig.directory", "docstring", "date.epoch",
    "figure.max_open_warning", "figure.raise_window", "figure.hooks", "macosx", "keymap", "animation.convert",
)  # fmt: skip
_ASKED: ContextVar[str | None] = ContextVar("colour map that was asked for", default=None)


@contextmanager
def paper_style(sheet: str | Path | None = None, cmap: str | None = None) -> Iterator[None]:
    """Our settings, over them the user's own rcParams, and over these a style sheet; what was before comes back afterwards.

    Args:
        sheet: a file of matplotlib's settings, or the name of one of its styles.
        cmap: a colour map for everything that has one.

    Raises:
        InputError: for a style sheet or a colour map that does not exist.
    """
    if cmap is not None and cmap not in colormaps:
        raise errors.unknown_choice("cmap", cmap, list(colormaps))
    usual: Any = mpl.rcParamsDefault
    own = {name: value for name, value in _settings().items() if value != usual[name]}
    before = _ASKED.set(cmap)
    try:
        with mpl.rc_context(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from")  # drawn as a box: what fonts there are
            warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
            _set({**{name: usual[name] for name in _settings()}, **_RC, **own})
            if sheet is not None:
                _use(sheet)
            _set(_ALWAYS)
            yield
    finally:
        _ASKED.reset(before)


def _set(settings: Mapping[str, Any]) -> None:
    into: Any = mpl.rcParams
    into.update(settings)


def _settings() -> dict[str, Any]:
    """matplotlib's settings of how things look, without those of its backends."""
    return {name: value for name, value in mpl.rcParams.items() if not name.startswith(_WINDOWS)}


def _use(sheet: str | Path) -> None:
    try:
        style.use(str(sheet))
    except (OSError, ValueError) as error:
        raise errors.InputError(
            f"style: expected a style sheet of matplotlib, a file or one of its names such as 'ggplot', got {str(sheet)!r}: "
            f"{printable(str(error)).splitlines()[0]}"
        ) from None


def points(role: str) -> float:
    """The size in points of ``text``, ``small``, ``title`` or ``tick``, as the style says."""
    sizes: Any = mpl.rcParams
    return float(FontProperties(size=sizes[SIZES[role]]).get_size_in_points())


class PaperFigure(Figure):
    """A figure that is saved in the style it was made in, with its caption in the file: text as text, no time stamp.

    matplotlib reads those settings when a file is written, by which time the style's context has ended.

    Attributes:
        widths: inches of the texts that have been measured, by text and size in points.
        caption: what was measured, where, on what, and how certain it is; in full.
        heading: what is shown, in a few words.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.set_layout_engine("none")
        self.widths: dict[tuple[str, float], float] = {}
        self.caption = ""
        self.heading = ""
        self._style = _settings()

    def savefig(self, fname: Any, **kwargs: Any) -> None:
        """What :meth:`matplotlib.figure.Figure.savefig` does, in the style of the picture and with its caption as metadata."""
        kind = str(kwargs.get("format") or str(fname).rsplit(".", 1)[-1]).lower()
        if metadata := {**self._metadata(kind), **(kwargs.pop("metadata", None) or {})}:
            kwargs["metadata"] = metadata  # formats without any refuse even an empty one
        with self.as_made():
            super().savefig(fname, **kwargs)

    def draw(self, renderer: Any) -> None:
        """What :meth:`matplotlib.figure.Figure.draw` does, in the style of the picture."""
        with self.as_made():
            super().draw(renderer)

    @contextmanager
    def as_made(self) -> Iterator[None]:
        """The style that the picture was made in."""
        with mpl.rc_context(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            _set(self._style)
            yield

    def _metadata(self, kind: str) -> dict[str, Any]:
        words = {"Title": self.heading, "Creator": "landscape"}
        about = {"png": "Description", "svg": "Description", "pdf": "Subject"}.get(kind)
        if about is None:
            return {}
        stamp: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
        if kind == "png":
            words = {"Title": self.heading, "Author": "landscape"}
        return {**{name: text for name, text in {**words, about: self.caption}.items() if text}, **stamp}

    def save(self, path: str | Path, **options: Any) -> Path:
        """Write the picture to a file, by the ending of its name, and give its path."""
        self.savefig(path, **options)
        return Path(path)

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        written = io.BytesIO()
        self.savefig(written, format="png")
        return written.getvalue()


def width_of(width: float | str | None, default: float) -> float:
    """A width in inches from ``"column"``, ``"page"``, a number of inches or nothing.

    Raises:
        InputError: for another word, or a number outside 2 … 40.
    """
    if width is None:
        return default
    if isinstance(width, str):
        if width not in WIDTHS:
            raise errors.unknown_choice("width", width, WIDTHS)
        return WIDTHS[width]
    if not 2.0 <= width <= 40.0:
        raise errors.InputError(f"width: expected 'column', 'page' or 2 to 40 inches, got {width!r}.")
    return float(width)


def number(value: float, digits: int = 3) -> str:
    """A number for readers: significant digits, a true minus sign, and 1.2×10⁴ where the exponent is outside −3 … 4."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = int(exponent)
    if value == 0 or -3 <= power <= 4:
        plain = f"{float(f'{mantissa}e{power}'):.{max(digits - 1 - power, 0)}f}"
        return _minus(plain.rstrip("0").rstrip(".") if "." in plain else plain)
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    raised = _ten_to(power)
    return _minus(raised if mantissa == "1" else f"{mantissa}×{raised}")


def power_of_ten(value: float) -> str:
    """The nearest power of ten as such: 10⁻³, 10⁰."""
    return _ten_to(round(math.log10(value)))


def _ten_to(power: int) -> str:
    return "10" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def setting_number(value: float) -> str:
    """A setting as one writes it down: 1e-4, 5e-2, 0.25, 400."""
    if value == 0 or 0.1 <= abs(value) < 1e6:
        return f"{value:g}"
    mantissa, exponent = f"{value:.3e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def _minus(text: str) -> str:
    return "0" if text in ("-0", "0") else text.replace("-", "−")


def on_colour(colour: tuple[float, float, float, float]) -> str:
    """The ink, near-black or white, that reads on a colour (relative luminance of ITU-R BT.709)."""
    red, green, blue = colour[:3]
    return INK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.45 else "white"


def cycle() -> tuple[str, ...]:
    """The colours of things of no order: ours, or those of the user's own ``axes.prop_cycle``."""
    chosen, usual = mpl.rcParams["axes.prop_cycle"], mpl.rcParamsDefault["axes.prop_cycle"]
    colours = [] if chosen == usual else chosen.by_key().get("color", [])
    return tuple(to_hex(colour) for colour in colours) or COLOURS


def line_colours(count: int) -> list[str]:
    """A colour for each of several things of no order: told apart by any reader up to seven, by order beyond."""
    colours = cycle()
    return list(colours[:count]) if count <= len(colours) else ordered_colours(count)


def ordered_colours(count: int) -> list[str]:
    """Dark to light, for things with an order; the palest, which a white page swallows, are left out."""
    places = [k / max(count - 1, 1) for k in range(count)]
    return [to_hex(sequence()(place)) for place in places]


def sequence() -> Colormap:
    """The colour map of things with an order."""
    return SEQUENCE if _asked() is None else colormaps[str(_asked())]


def _asked() -> str | None:
    """The colour map that was asked for, or that the user's rcParams name."""
    own = mpl.rcParams["image.cmap"]
    return _ASKED.get() or (None if own == mpl.rcParamsDefault["image.cmap"] else str(own))


def colour_map(quantity: str) -> Colormap:
    """The perceptually uniform map of a quantity; what is clipped is paler than its top and darker than its bottom.

    Around 0 it is a diverging one, and what is clipped has colours of its own.
    """
    if (asked := _asked()) is not None:
        return colormaps[asked].with_extremes(over=OVER, under="#1a0023", bad=MISSING_GREY)
    if quantity in SIGNED:
        return DIVERGING.with_extremes(over="#76b7b2", under="#b07aa1", bad=MISSING_GREY)
    return colormaps[COLOUR_MAPS.get(quantity, "viridis")].with_extremes(over=OVER, under="#1a0023", bad=MISSING_GREY)
