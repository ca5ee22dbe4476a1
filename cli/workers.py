"""Who does a command's work: this process, processes that it starts, or the workers of a scheduler that is up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from landscape.errors import InputError

if TYPE_CHECKING:
    from landscape.execution.team import Team
    from landscape.places import Reporter


def check_spreads(kind: str) -> None:
    """Refuse workers for a kind of probe that has no parts that could be measured apart.

    Raises:
        InputError: naming those that have.
    """
    from landscape.registry import asked

    if not asked()[kind].spreads:
        others = ", ".join(probe.command for probe in asked().values() if probe.spreads)
        raise InputError(
            f"workers: kind {kind!r} is one chain of steps, which this process does alone. Leave --workers and --scheduler out; "
            f"kinds that workers measure: {others}."
        )


@contextmanager
def team_asked(
    workers: int | None, scheduler: str | None, threads: int | None, device: str, folder: Path, reporter: Reporter
) -> Iterator[Team | None]:
    """The team of a command while it is open; None where no workers are asked for.

    Args:
        workers: processes of this machine: each has one GPU where ``device`` means one, and else a share of the cores.
        scheduler: the address or file of one that is up.
        threads: of each worker and of this process, so that all compute the same bits; by default the cores' share of local
            workers, or what PyTorch takes here (``OMP_NUM_THREADS``).
        folder: on a file system that workers elsewhere see, if there is one.

    Raises:
        InputError: naming the option.
        ExecutionError: where workers do not start.
    """
    if workers is None and scheduler is None:
        if threads is not None:
            raise InputError(
                "threads: are those of workers; give --workers or --scheduler too, or set OMP_NUM_THREADS."
            )
        yield None
        return
    if workers is not None and scheduler is not None:
        raise InputError("workers, scheduler: give one of them: processes of this machine, or a cluster that is up.")
    if threads is not None and threads < 1:
        raise InputError(f"threads: expected a number of threads, at least 1, got {threads!r}.")
    from landscape.execution.cluster import joined_team, local_team

    if workers is not None:
        if workers < 1:
            raise InputError(f"workers: expected a number of processes, at least 1, got {workers!r}.")
        count = _use(threads or _share(workers))
        reporter.message(
            f"starting {workers} worker{'s' * (workers != 1)} with {count} thread{'s' * (count != 1)} each"
        )
        team = local_team(workers, count, _gpus(device))
    else:
        assert scheduler is not None
        count = _use(threads)
        team = joined_team(scheduler, folder)
        reporter.message(
            f"{team.workers} worker{'s' * (team.workers != 1)} at {scheduler}, with {count} thread{'s' * (count != 1)} each"
        )
    with team:
        yield team


def _share(workers: int) -> int:
    said = os.environ.get("OMP_NUM_THREADS", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(said) if said.isdigit() and int(said) else max(1, cores // workers)


def _use(threads: int | None) -> int:
    """Let this process have as many threads as each worker, since the number decides the last bits of values."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    return torch.get_num_threads()


def _gpus(device: str) -> list[str]:
    """The GPUs that workers share, as CUDA names them; none where the work is not for one."""
    import torch

    from landscape.torch_state.devices import resolve_device

    if resolve_device(device).type != "cuda":
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    listed = [part.strip() for part in visible.split(",") if part.strip()]
    return listed or [str(number) for number in range(torch.cuda.device_count())]
