"""Batches of an evaluation side by side on a CPU: every thread takes whole ones, so that no layer waits for the slowest thread.

PyTorch shares each layer out among the threads, and all wait for the last of them at its end: in VGG38 1,200 times for 1,000
images. Here they wait once a pass. The values are those of the same batches in turn, to rounding.
"""

from __future__ import annotations

import copy
import functools
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

from landscape.objective.batches import batch_rows
from landscape.objective.flat_module import has_convolutions
from landscape.objective.runner import Runner, agree, call

ENOUGH = 2  # batches for each thread; with fewer, too many threads would have nothing to do at the end


@dataclass(frozen=True)
class SideBySide(Runner):
    """A runner with a copy of the module for each thread; they share its tensors, so that they are where it is.

    The threads make outputs only, without gradients. Losses and metrics, which are the user's, are taken in turn.
    """

    copies: tuple[nn.Module, ...] = ()

    def passes(self, batches: Iterable[tuple[Any, Any]], look_at: int = 0) -> Generator[tuple[Any, Any]]:
        left = iter(batches)
        if look_at:
            yield from self._shared_out(iter(list(_first_samples(left, look_at))))
        yield from self._shared_out(left)

    def _shared_out(self, batches: Iterator[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
        most = ENOUGH * len(self.copies)
        first = list(islice(batches, most))
        if len(first) < most:
            yield from super().passes(first)
            return
        pool, idle = _pool(os.getpid(), len(self.copies)), SimpleQueue[nn.Module]()
        for module in self.copies:
            idle.put(module)
        waiting: deque[tuple[Future[Any], Any]] = deque()
        try:
            for inputs, targets in chain(first, batches):
                if len(waiting) == most:
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


def side_by_side(runner: Runner, batches: Iterable[tuple[Any, Any]]) -> tuple[Runner, str]:
    """The runner with threads that take whole batches, where that pays and changes nothing, and the sentence that says so.

    It is for modules with convolutions, called in the usual way, that draw no random numbers in evaluation mode: their order
    would be another one. It is tried on the first of ``batches``.
    """
    threads, module = torch.get_num_threads(), runner.module
    if runner.device.type != "cpu" or threads == 1 or runner.forward is not call or not isinstance(module, nn.Module):
        return runner, ""
    first = list(islice(batches, ENOUGH * threads))
    if len(first) < ENOUGH * threads or not has_convolutions(module):
        return runner, ""
    copies = _copies(runner, module, threads, first[0][0])
    if not copies:
        return runner, ""
    fields = {name: getattr(runner, name) for name in Runner.__dataclass_fields__}
    return SideBySide(**fields, copies=copies), f"{threads} threads with batches of their own"


def _copies(runner: Runner, module: nn.Module, count: int, inputs: Any) -> tuple[nn.Module, ...]:
    """Copies that share the module's tensors, or none where they would not do the same."""
    with torch.no_grad(), runner.own_randomness():
        before = torch.get_rng_state()
        expected = runner.outputs(inputs)
        drawn = not torch.equal(torch.get_rng_state(), before)
        shared = {id(tensor): tensor for tensor in chain(module.parameters(), module.buffers())}
        try:
            copies = tuple(copy.deepcopy(module, dict(shared)) for _ in range(count))
            alike = agree(runner.of(copies[0]).outputs(inputs), expected, runner.precision)
        except Exception:  # of whatever a module keeps since it was run
            return ()
    return copies if alike and not drawn else ()


def _first_samples(batches: Iterator[tuple[Any, Any]], count: int) -> Iterator[tuple[Any, Any]]:
    """Batches until they have ``count`` samples."""
    seen = 0
    while seen < count and (batch := next(batches, None)) is not None:
        seen += batch_rows(batch)
        yield batch


def _next(waiting: deque[tuple[Future[Any], Any]]) -> tuple[Any, Any]:
    future, targets = waiting.popleft()
    return future.result(), targets


@functools.cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads each of which runs its layers alone. ``process``: one that is forked has none of its parent's threads."""
    before, started = torch.get_num_threads(), Barrier(threads)
    pool = ThreadPoolExecutor(threads, "landscape-batches", initializer=_run_alone)
    list(pool.map(lambda _: started.wait(), range(threads)))
    torch.set_num_threads(before)  # which the threads have set for those to come
    return pool


def _run_alone() -> None:
    torch.get_num_threads()  # or PyTorch would set the number anew at this thread's first operation
    torch.set_num_threads(1)
