"""Teams of Dask: workers of this machine, or those of a scheduler that is up. Retries, lost workers and TLS are Dask's.

Everything that starts processes listens on the loopback address, and encrypts what it says: another user of the machine could
else send it code.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from landscape.errors import ExecutionError, InputError, first_line
from landscape.execution.team import KILLS, Team

LOOPBACK = "127.0.0.1"
ANSWERS_WITHIN = 20.0  # seconds for a scheduler to answer
WORKERS_WITHIN = 120.0  # and for it to have a worker
COUNTED_EVERY = 1.0  # seconds
SILENT = 30.0  # seconds for which a scheduler may be away
DESERTED = 600.0  # and for which it may have lost all workers: a job that is put back into a queue takes its time
_EXTRA = "pip install 'landscape-lab[cluster]'"


def local_team(workers: int, threads: int, gpus: Sequence[str] = ()) -> Team:
    """Processes of this machine, with ``threads`` threads each; with ``gpus`` each has one of them alone, in turn.

    Raises:
        InputError: for no workers, or without Dask.
        ExecutionError: where they do not start.
    """
    if workers < 1:
        raise InputError(f"workers: expected a number of processes, at least 1, got {workers!r}.")
    distributed = _distributed("workers")
    _quiet()
    from distributed.security import Security

    security = Security.temporary()
    settings = _settings(threads)
    with _configured(settings):
        nanny = {"nthreads": 1, "host": LOOPBACK, "memory_limit": 0, "security": security}
        # Set before the worker's process imports torch, which looks for devices then.
        of_gpu = [{"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {} for number in range(workers)]
        spec = {k: {"cls": distributed.Nanny, "options": {**nanny, "env": env}} for k, env in enumerate(of_gpu)}
        scheduler = {
            "cls": distributed.Scheduler,
            "options": {
                "host": LOOPBACK,
                "port": 0,
                "protocol": "tls://",
                "security": security,
                "dashboard": False,
                "dashboard_address": f"{LOOPBACK}:0",
            },
        }
        try:
            cluster = distributed.SpecCluster(
                workers=spec, scheduler=scheduler, security=security, silence_logs=logging.CRITICAL
            )
            client = distributed.Client(cluster, set_as_default=False)
        except (OSError, TimeoutError, RuntimeError) as error:
            raise ExecutionError(f"workers: {workers} processes could not be started ({first_line(error)}).") from error

    def close() -> None:
        client.close(timeout=2)
        for nanny in cluster.workers.values():
            nanny.auto_restart = False
            with contextlib.suppress(OSError, TypeError):  # it has none any more
                os.kill(nanny.pid, signal.SIGKILL)  # files are replaced at once; asked to end, it would take seconds
        cluster.close(timeout=10)

    def replaced(count: int) -> None:
        """A worker that dies is started again by its nanny, but for one that dies while it starts: its nanny goes with it."""
        if count < workers:
            cluster.scale(workers)

    return _team(client, "workers of this machine", close, replaced)


def joined_team(address: str, folder: Path | None = None) -> Team:
    """The workers of a scheduler that is up.

    Args:
        address: ``tcp://HOST:PORT``, or the path of the scheduler's file.
        folder: on a file system that the workers see, if there is one; it saves sending weights and data to each.

    Raises:
        InputError: where nobody answers at ``address``.
        ExecutionError: where no worker comes.
    """
    distributed = _distributed("scheduler")
    _quiet()
    where: dict[str, Any] = {"scheduler_file": address} if Path(address).is_file() else {"address": address}
    try:
        with _configured(_settings()):
            client = distributed.Client(**where, timeout=ANSWERS_WITHIN, set_as_default=False)
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        raise InputError(
            f"scheduler: nobody answers at {address!r} ({first_line(error):.200}). Start one (dask scheduler) and give the address "
            "that it prints, such as tcp://127.0.0.1:8786, or its scheduler file. Over TLS the certificates "
            "belong into Dask's configuration."
        ) from None
    team = _team(client, f"the scheduler at {address}", client.close)
    team.folder = folder
    begun = time.monotonic()
    while not team.workers:
        if time.monotonic() - begun > WORKERS_WITHIN:
            client.close()
            raise ExecutionError(
                f"scheduler: no worker has come to {address!r} within {WORKERS_WITHIN:.0f} s. Start some "
                f"(dask worker {address}), and look into their logs."
            )
        time.sleep(0.2)
    return team


def team_of_client(client: Any) -> Team:
    """The workers of a user's own :class:`dask.distributed.Client`, which stays open."""
    return _team(
        client, f"the scheduler at {client.scheduler.address if client.scheduler else 'an address'}", lambda: None
    )


def _team(
    client: Any, name: str, close: Callable[[], None], counted: Callable[[int], None] = lambda count: None
) -> Team:
    asked = _Asked(client, counted)
    since: dict[bool, float] = {}  # whether the scheduler is there -> since when it has had no worker, or has been away

    def trouble() -> str:
        running = client.status == "running"
        since.pop(not running, None)
        if running and asked.workers():
            since.clear()
            return ""
        lasted = time.monotonic() - since.setdefault(running, time.monotonic())
        if client.status != "closed" and lasted < (DESERTED if running else SILENT):
            return ""
        gone = f"there has been none for {DESERTED / 60:.0f} minutes ({name})" if running else f"{name} is gone"
        return f"workers: {gone}. What was measured is kept; start it anew, and ask for the same again to go on."

    return Team(client.get_executor(pure=False), name, None, asked.workers, trouble, close)


class _Asked:
    """How many workers a scheduler has, asked every now and then; ``counted`` is told."""

    def __init__(self, client: Any, counted: Callable[[int], None]) -> None:
        self._client, self._counted, self._at, self._known = client, counted, -math.inf, 0

    def workers(self) -> int:
        now = time.monotonic()
        if now - self._at >= COUNTED_EVERY:
            with contextlib.suppress(Exception):  # of any kind: a scheduler that is away has as many as before
                self._known = len(self._client.scheduler_info(n_workers=-1)["workers"])
                self._counted(self._known)
            self._at = now
        return self._known


def _settings(threads: int = 1) -> dict[str, Any]:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {
        "distributed.scheduler.allowed-failures": KILLS - 1,  # which Dask counts after the first
        # A worker that still imports PyTorch gets no part.
        "distributed.worker.preload": ["landscape.objective.objective"],
        "distributed.admin.large-graph-warning-threshold": "1GB",  # a piece that is sent along
        "distributed.nanny.pre-spawn-environ": {
            **dict.fromkeys(names, threads),
            "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "passive"),
            "DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "critical",
        },
    }


def _quiet() -> None:
    """What Dask logs of workers and schedulers that are gone, a command says in a sentence of its own."""
    for name in list(logging.root.manager.loggerDict):  # some of them have a level of their own
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _configured(settings: dict[str, Any]) -> Any:
    import dask

    return dask.config.set(settings)


def _distributed(option: str) -> ModuleType:
    try:
        import distributed
    except ImportError:
        raise InputError(f"{option}: needs Dask, which is not installed. Install it: {_EXTRA}") from None
    found: ModuleType = distributed
    return found
