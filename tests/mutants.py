"""Mutation testing with mutmut, made practical: which mutants to run, drawn by a fixed seed, and what came of them.

``python tests/mutants.py sample 40`` names at most so many a module, ``python tests/mutants.py table`` counts the verdicts; see
``docs/development.md``.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

from mutmut.stats import status_by_exit_code
from scipy.stats import binomtest

SEED = 0


def modules() -> dict[str, dict[str, int | None]]:
    """Every mutated module with its mutants and their exit codes; None for one that was not run."""
    found = {}
    for file in sorted(Path("mutants").rglob("*.py.meta")):
        codes = json.loads(file.read_text())["exit_code_by_key"]
        if codes:
            found[str(file.relative_to("mutants"))[: -len(".py.meta")]] = codes
    return found


def sampled(codes: dict[str, int | None], count: int) -> list[str]:
    """The first ``count`` of all mutants in an order that the seed shuffles: a larger sample holds a smaller one."""
    names = sorted(codes)
    random.Random(SEED).shuffle(names)
    return names[:count]


def row(module: str, codes: dict[str, int | None]) -> str:
    """One line of the table; the interval is Clopper and Pearson's, and the score that of the mutants that were run."""
    verdicts = [status_by_exit_code[code] for code in codes.values() if code is not None]
    counts = {name: verdicts.count(name) for name in ("killed", "timeout", "survived", "no tests")}
    others = len(verdicts) - sum(counts.values())
    caught = counts["killed"] + counts["timeout"]
    low, high = binomtest(caught, len(verdicts)).proportion_ci(0.95) if verdicts else (0.0, 1.0)
    score = f"{100 * caught / max(len(verdicts), 1):.0f} % ({100 * low:.0f} to {100 * high:.0f})"
    return (
        f"| {module} | {len(codes)} | {len(verdicts)} | {' | '.join(map(str, counts.values()))} | {others} | {score} |"
    )


def main(command: str, count: str = "40") -> None:
    if command == "sample":
        print("\n".join(name for codes in modules().values() for name in sampled(codes, int(count))))
        return
    for module, codes in modules().items():
        print(row(module, codes))


if __name__ == "__main__":
    main(*sys.argv[1:])
