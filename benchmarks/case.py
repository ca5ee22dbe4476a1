"""What is timed, and what it is compared with."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.workload import Workload


class Unavailable(Exception):
    """Why a case cannot run here, in words for the table."""


class Differs(Exception):
    """A case's values are not the reference's: its time would be that of something else."""


@dataclass(frozen=True)
class Outcome:
    """Seconds for one unit (a point, a step, a product), and what was computed: a flat float64 tensor, or None."""

    seconds: float
    values: Tensor | None = None


class Case(ABC):
    """One way of doing something.

    Attributes:
        name: a short word for the command line, unique within its group.
        title: what the table says.
        reference: the name of the case in the same group that this one is compared with; None for a reference itself.
        tolerance: how far the values may be from the reference's, by the group's measure; None where they are only reported.
    """

    def __init__(self, name: str, title: str, *, reference: str | None = None, tolerance: float | None = None) -> None:
        self.name, self.title, self.reference, self.tolerance = name, title, reference, tolerance

    def require(self) -> None:  # noqa: B027 - most cases need nothing
        """Import what only this case needs; raises :class:`Unavailable`."""

    @abstractmethod
    def setup(self, workload: Workload) -> None:
        """Everything that is done once, however many units follow. Not timed."""

    def check(self, workload: Workload) -> None:  # noqa: B027
        """Compare with the reference in another way than by the values of a run; raises :class:`Differs`. Not timed."""

    @abstractmethod
    def run(self) -> Outcome:
        """Do it once; may be called again and again."""


@dataclass(frozen=True)
class Comparison:
    """A further ratio to report, pair by pair: the time of ``over`` divided by that of ``under``."""

    label: str
    over: str
    under: str


@dataclass(frozen=True)
class Group:
    """Cases that are timed in turns, so that whatever the machine does meets all of them.

    ``deviation`` tells how far values are from the reference's.
    """

    name: str
    title: str
    unit: str
    cases: tuple[Case, ...]
    deviation: Callable[[Tensor, Tensor], float]
    comparisons: tuple[Comparison, ...] = ()


def timed(work: Callable[[], Tensor | None], units: int = 1) -> Outcome:
    """``work`` done once, which are ``units`` units."""
    wait()
    start = time.perf_counter()
    values = work()
    wait()
    return Outcome((time.perf_counter() - start) / units, values)


def wait() -> None:
    """Until a GPU has done what it was asked for."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()


def largest_relative(values: Tensor, reference: Tensor) -> float:
    """max |vᵢ − rᵢ| / |rᵢ|."""
    return float(((values - reference).abs() / reference.abs()).max())


def relative_length(values: Tensor, reference: Tensor) -> float:
    """‖v − r‖ / ‖r‖."""
    return float(torch.linalg.vector_norm(values - reference) / torch.linalg.vector_norm(reference))
