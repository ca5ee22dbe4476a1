"""Several batches of an evaluation at the same time on a CPU, so that no layer waits for the slowest thread.

PyTorch shares each layer out among the threads, and all wait for the last of them at its end: in VGG38 1,200 times for 1,000
images. Here each thread (with few batches, each group of them) takes whole batches, and they wait once a pass. The values are
those of the same batches in turn, to rounding.
"""

from __future__ import annotations

import copy
import functools
import math
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import chain, islice
from queue import SimpleQueue
from threading import Barrier
from typing import Any

import torch
from torch import nn

from landscape.objective.batches import PreparedBatches, batch_rows, versions
from landscape.objective.flat_module import has_convolutions, has_hooks
from landscape.objective.runner import Runner, agree, call
from landscape.objective.watched import Draws

WAITING = 2  # batches for each that takes them: one that runs, one to go on with
IDLE = 1.2  # what threads without a batch at the end may cost; sharing out layers costs more on two cores
IN_FLIGHT = 1 << 30  # bytes that the layers running at the same time take at most
STARTED_WITHIN = 60  # seconds


@dataclass(frozen=True)
class SideBySide(Runner):
    """A runner with copies of the module that work at the same time; they share its tensors, so that they are where it is.

    They make outputs only, without gradients. Losses and metrics, which are the user's, are taken in turn.

    Attributes:
        copies: one for each that takes batches.
        threads: how many run a layer of each copy.
    """

    copies: tuple[nn.Module, ...] = ()
    threads: int = 1

    def passes(self, batches: Iterable[tuple[Any, Any]], look_at: int = 0) -> Generator[tuple[Any, Any]]:
        left = iter(batches)
        if look_at:
            yield from self._shared_out(iter(list(_first_samples(left, look_at))))
        yield from self._shared_out(left)

    def _shared_out(self, batches: Iterator[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
        first = list(islice(batches, len(self.copies)))
        if len(first) < len(self.copies) or torch.get_num_threads() < len(self.copies) * self.threads:
            yield from super().passes(chain(first, batches))
            return
        pool, idle = _pool(os.getpid(), len(self.copies), self.threads), SimpleQueue[nn.Module]()
        for module in self.copies:
            idle.put(module)
        waiting: deque[tuple[Future[Any], Any]] = deque()
        try:
            for inputs, targets in chain(first, batches):
                if len(waiting) == WAITING * len(self.copies):
                    yield _next(waiting)
                waiting.append((pool.submit(self._outputs_of, idle, inputs), targets))
            while waiting:
                yield _next(waiting)
        finally:  # nothing may still run when the module moves on to another point
            for future, _ in waiting:
                future.cancel()
            wait([future for future, _ in waiting])

    def _outputs_of(self, idle: SimpleQueue[nn.Module], inputs: Any) -> Any:
        module = idle.get()
        try:
            with torch.no_grad():
                return self.of(module).wide_outputs(inputs)
        finally:
            idle.put(module)


def side_by_side(runner: Runner, batches: PreparedBatches, layer_bytes: int) -> tuple[Runner, str]:
    """The runner that takes several batches at the same time, where that pays and changes nothing, and the sentence that says so.

    It is for modules with convolutions, called in the usual way, without hooks, that in evaluation mode neither draw random
    numbers, whose order would be another one, nor change a buffer. It is tried on the first of ``batches``.

    Args:
        layer_bytes: a sample of the largest input and output of any layer, which bounds how many batches there may be.
    """
    module = runner.module
    if runner.device.type != "cpu" or runner.forward is not call or not isinstance(module, nn.Module):
        return runner, ""
    count = _how_many(batches.count, torch.get_num_threads(), IN_FLIGHT // (layer_bytes * batches.batch_size))
    if count == 1 or not has_convolutions(module):
        return runner, ""
    copies = _copies(runner, module, count, next(iter(batches))[0])
    if not copies:
        return runner, ""
    own = torch.get_num_threads() // count
    return SideBySide(**vars(runner), copies=copies, threads=own), f"{count} batches at the same time"


def _how_many(batches: int, threads: int, most: int) -> int:
    """The largest number of batches at the same time that leaves few threads idle, 1 where there is none."""
    threads = min(threads, _cores())
    for count in range(min(threads, batches, most), 1, -1):
        if math.ceil(batches / count) / (threads // count) <= IDLE * batches / threads:
            return count
    return 1


def _cores() -> int:
    """How many there are for this thread and those to come: OpenMP may have bound it to one (``OMP_PROC_BIND``)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _copies(runner: Runner, module: nn.Module, count: int, inputs: Any) -> tuple[nn.Module, ...]:
    """Copies that share the module's tensors, or none where they would not do the same."""
    shared = {id(tensor): tensor for tensor in chain(module.parameters(), module.buffers())}
    if any(has_hooks(layer) for layer in module.modules()):
        return ()
    try:
        with torch.no_grad(), runner.own_randomness():
            before, draws = versions(shared), Draws()
            with draws:
                expected = runner.outputs(inputs)
            if draws.any or before != versions(shared):
                return ()
            copies = tuple(copy.deepcopy(module, dict(shared)) for _ in range(count))
            alike = agree(runner.of(copies[0]).outputs(inputs), expected, runner.precision)
    except Exception:  # of whatever a module keeps since it was run: it does run in turn
        return ()
    # A module that is copied in a way of its own may have tensors of its own.
    sharing = all(id(tensor) in shared for one in copies for tensor in chain(one.parameters(), one.buffers()))
    return copies if alike and sharing else ()


def _first_samples(batches: Iterator[tuple[Any, Any]], count: int) -> Iterator[tuple[Any, Any]]:
    """Batches until they have ``count`` samples."""
    seen = 0
    while seen < count and (batch := next(batches, None)) is not None:
        seen += batch_rows(batch)
        yield batch


def _next(waiting: deque[tuple[Future[Any], Any]]) -> tuple[Any, Any]:
    future, targets = waiting[0]
    outputs = future.result()
    waiting.popleft()  # not before: an interrupted wait leaves the batch running
    return outputs, targets


@functools.lru_cache(maxsize=1)
def _pool(process: int, count: int, threads: int) -> ThreadPoolExecutor:
    """``count`` to take batches, with so many ``threads`` each. ``process``: one that is forked has not its parent's."""
    before, started = torch.get_num_threads(), Barrier(count, timeout=STARTED_WITHIN)
    try:
        pool = ThreadPoolExecutor(count, "landscape-batches", initializer=_set_threads, initargs=(threads,))
        list(pool.map(lambda _: started.wait(), range(count)))
    finally:
        torch.set_num_threads(before)  # which was also set for threads to come
    return pool


def _set_threads(count: int) -> None:
    torch.get_num_threads()  # or PyTorch would set the number anew at this thread's first operation
    torch.set_num_threads(count)
