"""How every picture looks: sizes, fonts, colours, and how numbers are written."""

from __future__ import annotations

import io
import math
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps, style
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure

from landscape import errors

COLUMN, PAGE = 3.5, 7.0  # inches: one column and the full width of a two-column paper
WIDTHS = {"column": COLUMN, "page": PAGE}
TEXT, SMALL, TITLE = 7.5, 6.5, 8.5  # points
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

_RC = {
    "font.family": FONT,
    "font.size": TEXT,
    "axes.titlesize": TITLE,
    "axes.labelsize": TEXT,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
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
    "axes.titlepad": 4.0,
    "axes.labelpad": 2.5,
    "lines.linewidth": 1.2,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "landscape",
}


def paper_style() -> AbstractContextManager[None]:
    """matplotlib's defaults and ours over them, whatever the user's own rcParams say; theirs come back afterwards."""
    return style.context(["default", _RC])


class PaperFigure(Figure):
    """A figure that is saved in the style it was made in: TrueType fonts in PDF, text as text in SVG, no time stamp.

    matplotlib reads those settings when a file is written, by which time the style's context has ended.

    Attributes:
        widths: inches of the texts that have been measured, by text and size in points.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.widths: dict[tuple[str, float], float] = {}

    def savefig(self, fname: Any, **kwargs: Any) -> None:
        """What :meth:`matplotlib.figure.Figure.savefig` does, in the style of the picture."""
        kind = str(kwargs.get("format") or str(fname).rsplit(".", 1)[-1]).lower()
        stamp = {"svg": "Date", "pdf": "CreationDate"}.get(kind)
        if stamp is not None:
            kwargs["metadata"] = {stamp: None, **kwargs.get("metadata", {})}
        with paper_style():
            super().savefig(fname, **kwargs)

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


def line_colours(count: int) -> list[str]:
    """A colour for each of several things of no order: told apart by any reader up to seven, by order beyond."""
    return list(COLOURS[:count]) if count <= len(COLOURS) else ordered_colours(count)


def ordered_colours(count: int) -> list[str]:
    """Dark to light, for things with an order; the palest, which a white page swallows, are left out."""
    places = [k / max(count - 1, 1) for k in range(count)]
    return [to_hex(SEQUENCE(place)) for place in places]


def colour_map(quantity: str) -> Colormap:
    """The perceptually uniform map of a quantity; what is clipped is paler than its top and darker than its bottom.

    Around 0 it is a diverging one, and what is clipped has colours of its own.
    """
    if quantity in SIGNED:
        return DIVERGING.with_extremes(over="#76b7b2", under="#b07aa1", bad=MISSING_GREY)
    return colormaps[COLOUR_MAPS.get(quantity, "viridis")].with_extremes(over=OVER, under="#1a0023", bad=MISSING_GREY)
