"""A comparison as CSV, Markdown, LaTeX, a web page and a result file."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

from landscape.comparison.dataset import comparison_dataset
from landscape.comparison.rows import Compared, Pair, Row, Trend
from landscape.comparison.tables import READING, Table, each_value, tables_of
from landscape.errors import unknown_choice
from landscape.pictures.templates import page
from landscape.printable import csv_cell, printable
from landscape.printable import markdown as marked_down
from landscape.results import atomic_write, check_result_path, check_writable, save_result

FORMATS = ("csv", "md", "tex", "html", "h5")


def write_comparison(made: Compared, paths: Sequence[Path]) -> list[Path]:
    """Write to every path, the format being its suffix; a path without one is a prefix and gets all formats.

    Raises:
        InputError: for another suffix; nothing has been written then.
        ResultFileError: for a file that cannot be written, or an ``.h5`` that is there and is no result.
    """
    files = writable_files(paths)
    for file in files:
        if file.suffix == ".h5":
            save_result(comparison_dataset(made), file)
        else:
            atomic_write(file, _TEXTS[file.suffix](made).encode())
    return files


def writable_files(paths: Sequence[Path], inputs: Sequence[Path] = ()) -> list[Path]:
    """Every file that a comparison becomes, none of which is one of the ``inputs``; to be asked before a long one begins.

    Raises:
        InputError, ResultFileError: as :func:`write_comparison`.
    """
    files = [file for path in paths for file in _files(path)]
    for file in files:
        if file.suffix == ".h5":
            check_result_path(file, inputs)
        else:
            check_writable(file)
    return files


def csv_text(made: Compared) -> str:
    """One line for each measure and pair, then for each trend, numbers in full; the first line names the columns."""
    stream = io.StringIO()
    lines = [*records(made), *(_csv_trend(made, row, trend) for row in made.rows for trend in row.trends)]
    writer = csv.DictWriter(stream, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: csv_cell(value) for name, value in line.items()} for line in lines)
    return stream.getvalue()


def records(made: Compared) -> list[dict[str, object]]:
    """One mapping for each measure and pair, with the same keys each time."""
    return [_csv_line(made, *each) for each in made.each_pair()]


def markdown(made: Compared) -> str:
    parts = [f"# {marked_down(_capital(made.title))}", READING]
    for table in tables_of(made):
        rows = [table.columns, ("---",) * len(table.columns), *table.rows]
        lines = ["| " + " | ".join(map(marked_down, row)) + " |" for row in rows]
        parts += [f"## {table.title}", "\n".join(lines)]
    for title, sentences in _lists(made):
        parts += [f"## {title}", "\n".join(f"- {marked_down(sentence)}" for sentence in sentences)]
    return "\n\n".join(parts) + "\n"


def latex(made: Compared) -> str:
    parts = [f"% {_ascii(printable(_capital(made.title)))}. Read it with \\input; it needs no package."]
    for table in tables_of(made):
        parts.append(_tabular(table))
    parts.append(_tex(READING))
    for title, sentences in _lists(made):
        items = "\n".join(f"  \\item {_tex(sentence)}" for sentence in sentences)
        parts.append(f"{_tex(title)}:\n\\begin{{itemize}}\n{items}\n\\end{{itemize}}")
    return "\n\n".join(parts) + "\n"


def html(made: Compared) -> str:
    lists = _lists(made)
    return page("comparison.html", title=_capital(made.title), reading=READING, tables=tables_of(made), lists=lists)


_TEXTS: dict[str, Callable[[Compared], str]] = {".csv": csv_text, ".md": markdown, ".tex": latex, ".html": html}


def _files(path: Path) -> list[Path]:
    if not path.suffix:
        return [path.with_name(f"{path.name}.{suffix}") for suffix in FORMATS]
    if path.suffix.lstrip(".") not in FORMATS:
        raise unknown_choice("out", path.suffix.lstrip("."), FORMATS)
    return [path]


def _lists(made: Compared) -> list[tuple[str, Sequence[str]]]:
    parts = [("In words", made.sentences), ("To know before believing it", made.notes), ("Left out", made.left_out)]
    return [(title, sentences) for title, sentences in parts if sentences]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _csv_line(made: Compared, row: Row, pair: Pair) -> dict[str, object]:
    line = _csv_measure(made, row)
    for side, setting in (("a", pair.a), ("b", pair.b)):
        cell = row.cells[setting]
        line |= {side: setting, f"mean_{side}": cell.mean, f"sem_{side}": cell.standard_error}
        line |= {f"sd_{side}": cell.standard_deviation, f"low_{side}": cell.low, f"high_{side}": cell.high}
        line |= {f"n_{side}": cell.n, f"dead_{side}": int(setting in made.dead)}
        line |= {f"each_{side}": each_value(row, cell)}
    names = ("difference", "low", "high", "effect_size", "p", "p_holm", "comparisons", "method", "verdict", "sentence")
    more = ("free_p", "free_least", "margin", "p_equivalent")
    return {**line, **{name: getattr(pair, name) for name in (*names, *more)}}


def _csv_trend(made: Compared, row: Row, trend: Trend) -> dict[str, object]:
    """A trend under the heads of the pairs: ``a`` is its settings, ``difference`` the change with every doubling."""
    names = ("low", "high", "p", "p_holm", "comparisons", "method", "verdict", "sentence", "free_p")
    line = {**_csv_measure(made, row), "a": trend.label, "difference": trend.slope}
    return {**line, **{name: getattr(trend, name) for name in names}}


def _csv_measure(made: Compared, row: Row) -> dict[str, object]:
    measure = row.measure
    return {
        "measure": measure.name,
        "long_name": measure.long_name,
        "units": measure.units,
        "scale": measure.scale,
        "smoother": measure.smoother,
        "replication": row.replication,
        "by": made.by,
    }


def _tabular(table: Table) -> str:
    rows = [" & ".join(_tex(cell) for cell in row) + r" \\" for row in table.rows]
    head = " & ".join(_tex(column) for column in table.columns) + r" \\"
    lines = [
        f"\\begin{{tabular}}{{{'l' * len(table.columns)}}}",
        "\\hline",
        head,
        "\\hline",
        *rows,
        "\\hline",
        "\\end{tabular}",
    ]
    return "\n".join(lines)


_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{sign: f"${sign}$" for sign in "<>|"},
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": "$-$",
    "·": r"$\cdot$",
    "²": "$^2$",
    "‖": r"$\Vert$",
    "∂": r"$\partial$",
    "∇": r"$\nabla$",
    "β": r"$\beta$",
    "η": r"$\eta$",
    "θ": r"$\theta$",
    "λ": r"$\lambda$",
    "ρ": r"$\rho$",
    "γ": r"$\gamma$",
    "→": r"$\rightarrow$",
    "≥": r"$\ge$",
    "≤": r"$\le$",
    "…": r"\dots{}",
    "’": "'",
    "–": "--",
}


def _tex(text: str) -> str:
    """Text that any LaTeX sets as it is; a letter that it may lack is written out by its name."""
    return "".join(_TEX.get(letter) or _ascii(letter) for letter in printable(text))


def _ascii(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text)
    kept = (letter for letter in plain if not unicodedata.combining(letter))
    return "".join(c if c.isascii() else f"({unicodedata.name(c, 'unknown').lower()})" for c in kept)
