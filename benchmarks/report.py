"""A benchmark's JSON as the Markdown of ``docs/performance.md``: ``python -m benchmarks.report FILE.json``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any


def markdown(benchmark: Mapping[str, Any]) -> str:
    """The machine, one table a group, the further ratios, and the memory of a plane."""
    parts = [_machine(benchmark["machine"], benchmark["settings"])]
    parts += [_group(group) for group in benchmark["groups"]]
    if benchmark["plane_memory"] is not None:
        parts.append(_plane_memory(benchmark["plane_memory"]))
    return "\n\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose first column is text and whose others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _machine(machine: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    network = "initial weights" if settings["checkpoint"] is None else "trained weights"
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads (waiting: {machine['waiting']}), "
        f"{machine['system']} ({machine['capability']}), Python {machine['python']}, torch {machine['torch']}, "
        f"numpy {machine['numpy']}; load {machine['load']} at the start. "
        f"VGG38 with BatchNorm ({network}), {settings['images']} images of 3×32×32. "
        f"Medians (least–most) of {settings['repeats']} turns in one run; ratios are taken within each turn. "
        "Memory is the peak above the imports (on a GPU: of its own memory), in a process of its own."
    )


def _group(group: Mapping[str, Any]) -> str:
    head = ["", f"time a {group['unit']}", "times the plain one's speed", "deviation", "memory"]
    rows = [[case["title"], *_numbers(case)] for case in group["cases"]]
    lines = [f"## {group['title']}", "", table(head, rows)]
    if group["comparisons"]:
        lines += ["", *(f"- {label}: {_spread(ratios)}" for label, ratios in group["comparisons"].items())]
    return "\n".join(lines)


def _numbers(case: Mapping[str, Any]) -> list[str]:
    if case["note"]:
        return [case["note"], "", "", ""]
    return [
        f"{_spread([1000 * s for s in case['seconds']])} ms",
        _spread(case["ratios"]) if case["ratios"] else "1",
        "" if case["deviation"] is None else f"{case['deviation']:.1e}",
        "" if case["peak_bytes"] is None else _mebibytes(case["peak_bytes"]),
    ]


def _plane_memory(found: Mapping[str, Any]) -> str:
    allowed = found["data"] + 6 * found["model"] + found["activations"]
    rows = [
        ["peak above the imports", _mebibytes(found["peak_above_imports"])],
        ["peak above the imports and one forward pass of two images", _mebibytes(found["peak_above_libraries"])],
        ["the images, as bytes and as prepared batches", _mebibytes(found["data"])],
        ["six models", _mebibytes(6 * found["model"])],
        [f"activations of one batch of {found['batch_size']}, all layers", _mebibytes(found["activations"])],
        ["these three together", _mebibytes(allowed)],
        [f"growth from point {found['growth_from']} to point {found['points']}", _mebibytes(found["growth"])],
    ]
    title = f"## Memory of a plane of {found['points']} points, {found['images']} images"
    return f"{title}\n\n{table(['', 'MiB'], rows)}"


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.3g} ({min(values):.3g}–{max(values):.3g})"


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("file", type=Path)
    print(markdown(json.loads(parser.parse_args().file.read_text("utf-8"))), end="")


if __name__ == "__main__":
    main()
