"""Who does the work, seen from the one process that writes: parts go out, values come back by their keys, in any order.

A part is done at least once: where an engine loses a worker it gives the part to another, and a value that comes twice is the same.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import itertools
import os
import platform
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Generic, Self, TypeVar

from landscape.errors import ExecutionError, InputError, first_line
from landscape.execution.pickling import packed
from landscape.execution.worker import Answer, Order, Piece, Recipe, carry_out, versions
from landscape.stopping import look, process_lives

K = TypeVar("K")
Split = Callable[[Any, tuple[Any, ...]], list[tuple[Any, tuple[Any, ...]]]]

LOOK_EVERY = 0.2  # seconds between looks at whether a stop was asked for, or the engine is gone
AT_WORK = 60.0  # seconds since its last answer within which a worker counts as at work, where the engine does not say
IN_ADVANCE = 3  # parts for each worker that are under way or wait: one that runs, and no pause before the next
KILLS = 3  # workers that a part may end before it is given up
KILLED_IN_A_ROW = 3  # parts that killed their workers, with nothing done between: it is not the parts then
KILLER = "KilledWorker"  # what Dask raises for a part whose workers died


def _own(folder: Path, name: str) -> Path:
    """A file of this process alone: each takes its own away."""
    return folder / f".{name}-{platform.node()}-{os.getpid()}.piece"


def _clear(folder: Path) -> None:
    """Take away the pieces that killed processes of this machine left."""
    for left in folder.glob(f".*-{glob.escape(platform.node())}-*.piece"):
        with contextlib.suppress(OSError, ValueError):
            if not process_lives(int(left.stem.rpartition("-")[2])):
                left.unlink()


@dataclass
class Team:
    """An executor, and what is known of its workers.

    Attributes:
        executor: submits functions; of PEP 3148's shape.
        name: what it is called in messages.
        folder: where what the workers need lies, best on a file system that they share; None for a temporary one.
        counted: how many workers there are; None where the engine does not say.
        trouble: a sentence on why no answer will come any more, or nothing.
        close: gives back what the team was made with.
    """

    executor: Executor
    name: str = "executor"
    folder: Path | None = None
    counted: Callable[[], int] | None = None
    trouble: Callable[[], str] = lambda: ""
    close: Callable[[], None] = lambda: None
    _heard: dict[str, float] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def hear(self, worker: str) -> None:
        """Note that a worker has answered."""
        self._heard[worker] = time.monotonic()

    @property
    def workers(self) -> int:
        """How many are at work."""
        if self.counted is not None:
            return self.counted()
        since = time.monotonic() - AT_WORK
        return sum(heard >= since for heard in self._heard.values())

    @property
    def wanted(self) -> int:
        """How many parts there should be under way, so that nobody waits for the next."""
        return IN_ADVANCE * max(self.workers, 1 if self.counted is not None else os.cpu_count() or 1)


def team_of(executor: Any) -> Team | None:
    """The team that an ``executor=`` argument means: a ``concurrent.futures.Executor``, or a client of Dask; None for none.

    Raises:
        InputError: for anything else.
    """
    if executor is None or isinstance(executor, Team):
        return executor
    if hasattr(executor, "get_executor") and hasattr(executor, "scheduler_info"):
        from landscape.execution.cluster import team_of_client

        return team_of_client(executor)
    if not hasattr(executor, "submit"):
        raise InputError(
            f"executor: expected a concurrent.futures.Executor or a dask.distributed.Client, got {executor!r:.200}. Leave it out "
            "to work in this process."
        )
    return Team(executor, type(executor).__name__)


@dataclass(frozen=True)
class Arrived(Generic[K]):
    """A part that is done, or that nobody can do.

    Attributes:
        key: which part.
        value: what it gave.
        seconds: how long its worker took.
        lost: why there is no value.
    """

    key: K
    value: Any = None
    seconds: float = 0.0
    lost: str = ""


class Flight(Generic[K]):
    """The parts of one work that are out; to be used with ``with``, at whose end those still out are called back.

    Args:
        team: who does it.
        function: of a module, so that workers can import it; called with what the pieces are, then with a part's arguments.
        pieces: what every part needs, sent to a worker once. What has a method ``recipe()`` is sent as that.
        split: of a part that ended its workers, what to try instead: each of its points alone, so that one takes no other with it,
            or the same once more. Nothing where there is no more to try.
    """

    def __init__(
        self, team: Team, function: Callable[..., Any], pieces: Iterable[Any], split: Split | None = None
    ) -> None:
        import torch

        self.team, self._split = team, split
        self._answers: SimpleQueue[tuple[Future[Answer], K, tuple[Any, ...], int]] = SimpleQueue()
        self._out: set[Future[Answer]] = set()
        self._stack = contextlib.ExitStack()
        self._killed = 0
        self._numbers, self._tries, self._files_seen = itertools.count(), Counter[int](), True
        folder = team.folder or Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="landscape-")))
        folder.mkdir(parents=True, exist_ok=True)
        _clear(folder)
        self._pieces = tuple(self._laid_down(what, folder) for what in pieces)
        self._journal = _own(folder, secrets.token_hex(8))
        self._journal.touch(0o600)
        self._stack.callback(self._journal.unlink, missing_ok=True)
        journal = str(self._journal.absolute())
        self._order = Order(function, self._pieces, (), torch.get_num_threads(), versions(), journal)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        out, self._out = self._out, set()
        for future in out:
            future.cancel()
        self._stack.close()

    def __len__(self) -> int:
        """How many parts are out."""
        return len(self._out)

    def send(self, key: K, arguments: tuple[Any, ...], *, whole: bool = False, number: int | None = None) -> None:
        """Give a part away, or that ``number`` again; ``whole``: with the pieces themselves, for who does not see their files."""
        number = next(self._numbers) if number is None else number
        order = replace(self._order, arguments=arguments, number=number)
        if whole:
            order = replace(order, pieces=tuple(replace(p, payload=Path(p.path).read_bytes()) for p in self._pieces))
        try:
            future = self.team.executor.submit(carry_out, order)
        except (RuntimeError, BrokenExecutor) as error:
            raise self._gone(error) from error
        self._out.add(future)
        future.add_done_callback(lambda done: self._answers.put((done, key, arguments, number)))

    def next(self) -> Arrived[K]:
        """The next part that comes back, whichever that is.

        Raises:
            ExecutionError: where the engine is gone, or a worker can do no such work.
            Exception: whatever the function raised.
        """
        while True:
            look()
            try:
                future, key, arguments, number = self._answers.get(timeout=LOOK_EVERY)
            except Empty:
                if trouble := self.team.trouble():
                    raise ExecutionError(trouble) from None
                continue
            if future not in self._out:
                continue
            self._out.remove(future)
            arrived = self._arrived(future, key, arguments, number)
            if arrived is not None:
                return arrived

    def all(self, parts: Iterable[tuple[K, tuple[Any, ...]]]) -> Iterator[Arrived[K]]:
        """Every part, sent as workers become free, as they come back."""
        left = iter(parts)
        more = True
        while more or len(self):
            while more and len(self) < self.team.wanted:
                part = next(left, None)
                more = part is not None
                if part is not None:
                    self.send(*part)
            if len(self):
                yield self.next()

    def _arrived(self, future: Future[Answer], key: K, arguments: tuple[Any, ...], number: int) -> Arrived[K] | None:
        """What a part came to; None where it has been sent again."""
        try:
            answer = future.result()
        except (CancelledError, BrokenExecutor) as error:
            raise self._gone(error) from error
        except Exception as error:
            if type(error).__name__ != KILLER:
                raise self._gone(error) from error
            if self._only_waited(number):
                self.send(key, arguments, number=number)
                return None
            return self._dead(key, arguments)
        self.team.hear(answer.worker)
        if answer.lacks:
            self._files_seen = False
            self.send(key, arguments, whole=True, number=number)
            return None
        if answer.refusal:
            raise ExecutionError(f"workers: {answer.worker} {answer.refusal}.")
        if answer.error is not None:
            raise answer.error
        self._killed = 0
        return Arrived(key, answer.value, answer.seconds)

    def _only_waited(self, number: int) -> bool:
        """Whether fewer workers had begun a part than it may end: Dask counts those too in which it waited for its turn."""
        self._tries[number] += 1
        if not self._files_seen or self._tries[number] > KILLS:
            return False
        return self._journal.read_bytes().split().count(str(number).encode()) < KILLS

    def _dead(self, key: K, arguments: tuple[Any, ...]) -> Arrived[K] | None:
        """A part whose workers died: each of it alone, or given up."""
        parts = self._split(key, arguments) if self._split is not None else []
        for part in parts:
            self.send(*part)
        if parts:
            return None
        self._killed += 1
        if self._killed >= KILLED_IN_A_ROW:
            raise ExecutionError(
                f"workers: {self._killed} parts of the work one after the other ended every worker that took them, so it is not "
                "the parts. The usual cause is too little memory: give the workers more, or start fewer of them on a machine, or "
                "ask for a smaller batch size; their logs say which signal it was."
            )
        return Arrived(key, lost="every worker that took it died")

    def _gone(self, error: BaseException) -> ExecutionError:
        told = self.team.trouble()
        if told:
            return ExecutionError(told)
        why = "" if isinstance(error, CancelledError) else f" ({type(error).__name__}: {first_line(error):.300})"
        return ExecutionError(
            f"workers: {self.team.name} gives no more answers{why}. What was measured is kept; start it anew, and ask for the same "
            "again."
        )

    def _laid_down(self, what: Any, folder: Path) -> Piece:
        """A piece's pickle as a file that nobody else may write."""
        recipe: Any = what.recipe() if hasattr(what, "recipe") else what
        data = packed(recipe)
        digest = hashlib.sha256(data).hexdigest()
        path = _own(folder, digest[:16])
        self._stack.callback(path.unlink, missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        return Piece(digest, str(path.absolute()))


@dataclass(frozen=True)
class Work:
    """A function of pieces and of a part's arguments, done in this process or by a team.

    Attributes:
        function: of a module; called with the pieces, then with a part's arguments.
        pieces: what every part needs.
        team: who does it; None for this process.
    """

    function: Callable[..., Any]
    pieces: tuple[Any, ...]
    team: Team | None = None

    def here(self, *arguments: Any) -> Any:
        """A part, done in this process."""
        return self.function(*self.pieces, *arguments)

    def flight(self, split: Split | None = None) -> Flight[Any]:
        """For the parts that a team does; ``split`` as :class:`Flight` takes it."""
        assert self.team is not None
        return Flight(self.team, self.function, self.pieces, split)

    def each(self, parts: Iterable[tuple[K, tuple[Any, ...]]]) -> Iterator[tuple[K, Any]]:
        """Every part's key and value: in this process one after the other, by a team as they come back.

        Raises:
            ExecutionError: once all others are done, for parts that end every worker that takes them.
        """
        if self.team is None:
            for key, arguments in parts:
                yield key, self.here(*arguments)
            return
        lost = []
        with self.flight() as flight:
            for arrived in flight.all(parts):
                if arrived.lost:
                    lost.append(f"{arrived.key} ({arrived.lost})")
                else:
                    yield arrived.key, arrived.value
        if lost:
            raise ExecutionError(
                f"workers: could not do {', '.join(lost)}. Everything else is kept; look into the workers' logs, and ask for the "
                "same again."
            )


__all__ = ["Arrived", "Flight", "Recipe", "Team", "Work", "team_of"]
