"""A sample of mutmut's mutants, drawn by a fixed seed, run in forks of one warm process and counted: see ``docs/development.md``.

``python tests/mutants.py run 40`` runs so many a module at most, those that were killed before left out; ``python tests/mutants.py
table 40`` counts verdicts. Both read what ``mutmut run`` left in ``mutants/``: the mutants, and which tests reach which function.
mutmut's own loop does the same, and took eight times as long.
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.stats import status_by_exit_code
from mutmut.utils.format_utils import mangled_name_from_mutant_name
from scipy.stats import binomtest

CAUGHT = ("killed", "timeout")
NO_TESTS, TIMEOUT = 33, 36  # mutmut's codes
SEED = 0
Codes = dict[str, int | None]


def sample(count: int | None) -> dict[Path, Codes]:
    """The sampled mutants of every module with their exit codes; None for one that was not run.

    The seed shuffles their names and the first ``count`` are taken, so that a larger sample holds a smaller one; None for all.
    """
    found = {}
    for file in sorted(Path("mutants").rglob("*.py.meta")):
        codes = json.loads(file.read_text())["exit_code_by_key"]
        names = sorted(codes)
        random.Random(SEED).shuffle(names)
        if names:
            found[file] = {name: codes[name] for name in names[:count]}
    return found


def run(chosen: dict[Path, Codes]) -> None:
    """Run each mutant that was not caught before with the tests that reach its function, the quickest first."""
    root = Path.cwd()
    tests, seconds, selected = _known(root)
    os.chdir("mutants")
    sys.path[:1] = [str(root / "mutants"), str(root / "mutants/tests")]
    set_mutant_under_test("")
    import pytest
    import torch._dynamo  # optimisers import it at their first step  # noqa: F401

    plain = ["-p", "no:cacheprovider", "-p", "no:unraisableexception"]  # the latter collects garbage five times a run
    pytest.main(["--collect-only", "-qqq", *plain, *selected])
    gc.freeze()
    files = {name: root / file for file, codes in chosen.items() for name, code in codes.items()}
    codes = {name: code for found in chosen.values() for name, code in found.items()}
    for name in sorted(codes, key=lambda name: sum(seconds[test] for test in tests(name))):
        if codes[name] is None or status_by_exit_code[codes[name]] not in CAUGHT:
            reached = sorted(tests(name), key=seconds.__getitem__)
            limit = 3 * (10 + sum(seconds[test] for test in reached))
            code = _forked(name, ["-x", "-q", *plain, *reached], limit) if reached else NO_TESTS
            meta = json.loads(files[name].read_text())
            meta["exit_code_by_key"][name] = code
            files[name].write_text(json.dumps(meta, indent=4))
            print(name, status_by_exit_code[code], flush=True)


def _known(root: Path) -> tuple[Callable[[str], list[str]], dict[str, float], list[str]]:
    """Which tests reach a mutant's function, how long each took, and the files that they are in."""
    known = json.loads((root / "mutants/mutmut-stats.json").read_text())
    settings = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["mutmut"]

    def tests(name: str) -> list[str]:
        return known["tests_by_mangled_function_name"].get(mangled_name_from_mutant_name(name), [])

    return tests, known["duration_by_test"], settings["pytest_add_cli_args_test_selection"]


def _forked(name: str, arguments: list[str], limit: float) -> int:
    import pytest

    child = os.fork()
    if child == 0:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        set_mutant_under_test(name)
        os._exit(int(pytest.main(arguments)))
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return TIMEOUT


def row(name: str, codes: list[int | None]) -> str:
    """One line of the table. The score is of the mutants that were run, its interval Clopper and Pearson's."""
    verdicts = [status_by_exit_code[code] for code in codes if code is not None]
    counts = [verdicts.count(verdict) for verdict in CAUGHT]
    caught = sum(counts)
    low, high = binomtest(caught, len(verdicts)).proportion_ci(0.95) if verdicts else (0.0, 1.0)
    score = f"{caught / max(len(verdicts), 1):.0%} ({low:.0%} to {high:.0%})"
    return f"| {name} | {len(verdicts)} | {' | '.join(map(str, counts))} | {len(verdicts) - caught} | {score} |"


def main(command: str, count: str | None = None) -> None:
    chosen = sample(None if count is None else int(count))
    if command == "run":
        run(chosen)
        return
    for file, codes in chosen.items():
        print(row(str(file.relative_to("mutants")).removesuffix(".meta"), list(codes.values())))
    print(row("all", [code for codes in chosen.values() for code in codes.values()]))


if __name__ == "__main__":
    main(*sys.argv[1:])
