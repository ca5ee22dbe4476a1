"""Time every case in one run: ``python -m benchmarks.run``, or ``make bench``.

    python -m benchmarks.run                                    # everything, 1,000 images, 5 turns
    python -m benchmarks.run --cases plane/auto plane/bf16      # with the reference that they need
    python -m benchmarks.run --images 64 --repeats 1            # does it run?
    python -m benchmarks.run --device cuda                      # on a GPU

Writes ``outputs/benchmarks/TIME.json`` and prints the tables of ``docs/performance.md``. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.case import Case, Differs, Group
from benchmarks.cases import groups
from benchmarks.memory import in_a_child
from benchmarks.report import markdown
from benchmarks.timing import GroupResult, measure
from benchmarks.workload import Workload
from landscape.errors import InputError, LandscapeError, unknown_choice
from landscape.results import atomic_write
from landscape.torch_state.isolation import full_precision

PLANE_MEMORY = "memory"


def main() -> None:
    given = _arguments()
    file = given.out or Path("outputs/benchmarks") / time.strftime("%Y-%m-%dT%H-%M-%SZ.json", time.gmtime())

    def keep(benchmark: dict[str, Any]) -> None:
        atomic_write(file, json.dumps(benchmark, indent=1).encode())

    try:
        benchmark = run(given, keep)
    except (LandscapeError, Differs) as error:
        sys.exit(f"benchmarks: {error}")
    _tell(f"wrote {file}")
    print(markdown(benchmark), end="")


def run(given: argparse.Namespace, keep: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Everything that was asked for, as what the JSON file holds; ``keep`` is told of it after every group."""
    if given.device != "cpu" and PLANE_MEMORY in given.cases:
        raise InputError(
            "cases: the memory of a whole plane is measured on the CPU, not on a GPU. Leave out 'memory' or --device."
        )
    workload = Workload(given.images, given.checkpoint, given.device)
    benchmark: dict[str, Any] = {
        "machine": describe_machine(given.device),
        "settings": {
            "images": given.images,
            "repeats": given.repeats,
            "checkpoint": None if given.checkpoint is None else str(given.checkpoint),
        },
        "groups": [],
        "plane_memory": None,
    }
    for group, cases in chosen_cases(groups(), given.cases):
        with full_precision(torch.device(given.device)):  # or a GPU's plain loops would multiply other numbers
            result = measure(group, cases, workload, given.repeats, _tell)
        benchmark["groups"].append(dataclasses.asdict(result))
        keep(benchmark)
        if not given.times_only:
            _add_memory(result, given)
            benchmark["groups"][-1] = dataclasses.asdict(result)
            keep(benchmark)
    if PLANE_MEMORY in given.cases or (not given.cases and given.device == "cpu" and not given.times_only):
        _tell(f"memory: a plane of {given.points} points")
        benchmark["plane_memory"] = in_a_child(
            ["plane", "--points", str(given.points), *_subject(given, given.memory_images)]
        )
        keep(benchmark)
    return benchmark


def chosen_cases(known: Sequence[Group], patterns: Sequence[str]) -> list[tuple[Group, list[Case]]]:
    """The cases that match ``group``, ``group/case`` or a shell pattern of these, with the references they need."""
    names = [f"{group.name}/{case.name}" for group in known for case in group.cases]
    for pattern in patterns:
        if pattern != PLANE_MEMORY and not any(_matches(name, pattern) for name in names):
            raise unknown_choice("cases", pattern, [*(g.name for g in known), *names, PLANE_MEMORY])
    chosen = []
    for group in known:
        wanted = {
            c.name for c in group.cases if not patterns or any(_matches(f"{group.name}/{c.name}", p) for p in patterns)
        }
        wanted |= {c.reference for c in group.cases if c.name in wanted and c.reference is not None}
        if wanted:
            chosen.append((group, [c for c in group.cases if c.name in wanted]))
    return chosen


def describe_machine(device: str) -> dict[str, Any]:
    """What the times depend on."""
    return {
        "processor": f"{torch.cuda.get_device_name()} beside {_processor()}" if device == "cuda" else _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "waiting": os.environ.get("OMP_WAIT_POLICY", "as the system has it"),
        "system": f"{platform.system()} {platform.machine()}",
        "capability": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "load": round(os.getloadavg()[0], 2),
    }


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}/*")


def _add_memory(result: GroupResult, given: argparse.Namespace) -> None:
    for case in result.cases:
        if not case.note:
            _tell(f"{result.name}: {case.name}: memory")
            found = in_a_child([f"{result.name}/{case.name}", *_subject(given, given.images)])
            case.peak_bytes = found["bytes"]


def _subject(given: argparse.Namespace, images: int) -> list[str]:
    checkpoint = [] if given.checkpoint is None else ["--checkpoint", str(given.checkpoint)]
    return ["--images", str(images), "--device", given.device, *checkpoint]


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text("utf-8").splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"expected at least {least}, got {text}")
        return int(text)

    return number


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=_at_least(16), default=1000, help="images each case works on (default: 1000)")
    parser.add_argument("--repeats", type=_at_least(1), default=5, help="turns (default: 5)")
    parser.add_argument(
        "--cases", nargs="*", default=[], metavar="CASE", help=f"group, group/case or {PLANE_MEMORY} (default: all)"
    )
    parser.add_argument("--checkpoint", type=Path, help="weights of a VGG38 with BatchNorm (default: initial ones)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where all of it runs (default: cpu)")
    parser.add_argument("--times-only", action="store_true", help="no memory, for which every case runs once more")
    parser.add_argument("--points", type=_at_least(1), default=1000, help="of the plane whose memory is measured")
    parser.add_argument("--memory-images", type=_at_least(16), default=100, help="images of that plane (default: 100)")
    parser.add_argument("--out", type=Path, help="the JSON file (default: outputs/benchmarks/TIME.json)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
