"""The whole run, resumed where it was stopped: ``cd tests && python -m fuzz``; the table is Markdown."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from fuzz.formats import FORMATS, make_originals
from fuzz.running import Worker, judged

ALLOWED = ("refused", "same", "other", "ended by the reader")
FORBIDDEN = ("unforeseen", "hang", "crash", "wrong values", "code run")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--files", type=int, default=10_000, help="of each format")
    parser.add_argument("--door", type=int, default=200, help="files without a digest, read as the product does it")
    parser.add_argument("--formats", nargs="*", default=list(FORMATS), choices=list(FORMATS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path(".fuzz"), help="for files and logs")
    given = parser.parse_args()
    folder = given.folder.resolve() / f"seed-{given.seed}"
    if not (folder / "originals" / "complete").exists():
        make_originals(folder / "originals")
        (folder / "originals" / "complete").touch()
    bad = 0
    print(
        f"| format | files | {' | '.join((*ALLOWED, *FORBIDDEN))} |\n|---|{'---:|' * (1 + len(ALLOWED) + len(FORBIDDEN))}"
    )
    for name in given.formats:
        bad += _row(folder, given.seed, name, range(given.files), door=False)
        if FORMATS[name].apart and given.door:
            bad += _row(folder, given.seed, name, _for_the_door(folder, name, given.door), door=True)
    raise SystemExit(1 if bad else 0)


def _for_the_door(folder: Path, name: str, count: int) -> list[int]:
    """First those on which HDF5 hung or crashed, then the others."""
    lines = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
    return [case for case, *_ in sorted(lines, key=lambda line: line[1] != "ended by the reader")][:count]


def _row(folder: Path, seed: int, name: str, cases: range | list[int], *, door: bool) -> int:
    worker = Worker(folder, seed, door=door)
    log = folder / f"{name}{'-door' if door else ''}.jsonl"
    try:
        found = Counter(outcome for outcome, _ in judged(worker, name, cases, log))
    finally:
        worker.end()
    counts = " | ".join(f"{found[outcome]:,}" for outcome in (*ALLOWED, *FORBIDDEN))
    words = FORMATS[name].words + (", each in a process of its own" if door else "")
    print(f"| {words} | {len(cases):,} | {counts} |", flush=True)
    return sum(found[outcome] for outcome in FORBIDDEN)


if __name__ == "__main__":
    main()
