"""Peak memory, measured in a process of its own.

Run as ``python -m benchmarks.memory``, it is that process: it prints one line of JSON. The kernel's ``ru_maxrss`` is no use for it
on Linux: a child starts with that of the process which made it. The high-water mark of the process's own
memory, ``VmHWM``, starts anew.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.cases import groups
from benchmarks.workload import Workload
from landscape.objective.batches import tensor_bytes
from landscape.probes.plane.measure import plane
from landscape.probes.progress import Progress
from landscape.torch_state import share_free_memory

STATUS = Path("/proc/self/status")
EARLY = 100  # points after which a plane's memory should have stopped growing


def in_a_child(arguments: Sequence[str]) -> dict[str, Any]:
    """What ``python -m benchmarks.memory`` with these arguments prints."""
    command = [sys.executable, "-m", "benchmarks.memory", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def peak_bytes() -> int:
    """The most memory that was resident in this process so far."""
    return _status_bytes("VmHWM") if STATUS.exists() else _maximum_bytes()


def resident_bytes() -> int:
    """What is resident now; where the system does not say, the most so far."""
    return _status_bytes("VmRSS") if STATUS.exists() else _maximum_bytes()


def case_memory(group: str, case: str, workload: Workload) -> dict[str, int]:
    """Bytes above the imports of setting a case up and running it once; on a GPU those of its own memory."""
    chosen = next(c for g in groups() for c in g.cases if (g.name, c.name) == (group, case))
    chosen.require()
    before = resident_bytes()
    chosen.setup(workload)
    chosen.run()
    if workload.device == "cuda":
        return {"bytes": torch.cuda.max_memory_allocated()}
    return {"bytes": peak_bytes() - before}


def plane_memory(points: int, workload: Workload) -> dict[str, int]:
    """Memory of a whole plane of about ``points`` points, and what it may be: data, six models, one batch's activations.

    ``peak_above_imports`` counts everything; ``peak_above_libraries`` starts after a forward pass of two images by plain
    PyTorch, which brings in the code of the kernels.
    """
    imports = resident_bytes()
    module, few = workload.module(), workload.batches(2)[0][0]
    with torch.no_grad():
        module(few)
    libraries = resident_bytes()
    objective = workload.objective()
    resident: dict[int, int] = {}

    def look(progress: Progress) -> None:
        resident[progress.done] = resident_bytes()

    rows = max(round((points / 1.6) ** 0.5), 1)
    columns = -(-points // rows)
    result = plane(objective, x=(-1, 1, columns), y=(-1, 1, rows), observer=look)
    early = min((done for done in resident if done >= EARLY), default=max(resident))
    inputs = workload.batches(objective.batch_size)[0][0]
    return {
        "points": result["loss"].size,
        "images": workload.images,
        "batch_size": objective.batch_size,
        "peak_above_imports": peak_bytes() - imports,
        "peak_above_libraries": peak_bytes() - libraries,
        "growth": resident[max(resident)] - resident[early],
        "growth_from": early,
        "data": tensor_bytes(workload.batches(workload.images)) + tensor_bytes((workload.data.images,)),
        "model": tensor_bytes((*module.parameters(), *module.buffers())),
        "activations": _activation_bytes(module, inputs),
    }


def _activation_bytes(module: nn.Module, inputs: Tensor) -> int:
    """Of all innermost layers' outputs for one batch."""
    total = 0

    def look(_: nn.Module, __: Any, made: Tensor) -> None:
        nonlocal total
        total += tensor_bytes(made)

    for layer in module.modules():
        if not list(layer.children()):
            layer.register_forward_hook(look)
    with torch.no_grad():
        module(inputs)
    return total


def _status_bytes(key: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{key}:"))
    return int(line.split()[1]) * 1024


def _maximum_bytes() -> int:
    maximum = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return maximum if sys.platform == "darwin" else maximum * 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("what", help="plane, or group/case")
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    share_free_memory()  # as the command does
    workload = Workload(given.images, given.checkpoint, given.device)
    group, _, case = given.what.partition("/")
    found = case_memory(group, case, workload) if case else plane_memory(given.points, workload)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
