"""The first place along a half-line at which a function is above zero, bracketed by few values of it.

The bracket is closed by interpolation, linear in a power of the place, with bisection where that gains too little. Then places are
looked at before it, evenly: a function may be above zero earlier too, and no number of values shows that it is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

GROWTH, SHRINKAGE = 32.0, 64.0  # by which a place may differ from the last, where there is no bracket yet
FIRST = 4.0  # the same where a single value says nothing of where to go
_AIM = 0.4  # of the tolerance, beside the place where zero is expected: the next value then closes the bracket


@dataclass
class Crossing:
    """A search for the least x > 0 with f(x) > 0, where f is not above zero just beside 0; NaN counts as above.

    Args:
        start: the first place.
        smallest, largest: beyond these nothing is looked for.
        tolerance: of the bracket, relative to its upper end.
        most: values that are taken at most.
        checks: places evenly between 0 and the bracket, near which one value each is taken.
        power: f is expected to be linear in x to this power.

    Attributes:
        values: f at every place so far.
    """

    start: float
    smallest: float = 0.0
    largest: float = math.inf
    tolerance: float = 1e-3
    most: int = 20
    checks: int = 2
    power: float = 1.0
    values: dict[float, float] = field(default_factory=dict)
    _widths: list[float] = field(default_factory=list)

    def run(self, function: Callable[[float], float]) -> Crossing:
        """Take values until the bracket is narrow and the places before it are looked at, or as many as there may be."""
        while len(self.values) < self.most and (place := self._next()) is not None:
            self.values[place] = function(place)
            self._widths.append(self.high / self.low if self.low > 0 else math.inf)
        return self

    @property
    def high(self) -> float:
        """The least place at which f is above zero; infinite where there is none."""
        return min((x for x, value in self.values.items() if not value <= 0), default=math.inf)

    @property
    def low(self) -> float:
        """The largest place below :attr:`high`; 0 where there is none."""
        return max((x for x in self.values if x < self.high), default=0.0)

    @property
    def found(self) -> bool:
        """Whether there is a bracket."""
        return 0 < self.low < self.high < math.inf

    @property
    def narrow(self) -> bool:
        """Whether the bracket is as narrow as it is to be."""
        return self.found and self.high - self.low <= self.tolerance * self.high

    @property
    def place(self) -> float:
        """Where zero is expected within the bracket; NaN without one."""
        if not self.found:
            return math.nan
        low, high = self.low, self.high
        others = [x for x in self.values if x not in (low, high)]
        third = min(others, key=lambda x: min(abs(x - low), abs(x - high)), default=math.nan)
        tries = (self._curved(low, high, third), self._zero(low, high))
        return next((x for x in tries if low <= x <= high), 0.5 * (low + high))

    def _next(self) -> float | None:
        if not self.values:
            return self.start
        if self.high == math.inf:
            return self._further()
        if self.low == 0:
            return self._nearer()
        return self._unchecked() if self.narrow else self._within()

    def _further(self) -> float | None:
        last = max(self.values)
        if last >= self.largest:
            return None
        others = sorted(self.values)[-2:]
        expected = self._zero(*others) if len(others) == 2 else FIRST * last
        beyond = expected if expected > last else math.inf
        return min(max(beyond, (1 + self.tolerance) * last), GROWTH * last, self.largest)

    def _nearer(self) -> float | None:
        last = min(self.values)
        if last <= self.smallest:
            return None
        others = sorted(self.values)[:2]
        expected = self._zero(*others) if len(others) == 2 else last / FIRST
        before = expected if 0 < expected < last else last / SHRINKAGE
        return max(min(before, (1 - self.tolerance) * last), last / SHRINKAGE, self.smallest)

    def _within(self) -> float:
        low, high, slack = self.low, self.high, _AIM * self.tolerance
        slow = len(self._widths) > 2 and math.log(self._widths[-1]) > 0.25 * math.log(self._widths[-3])
        expected = self.place
        if slow:
            return math.sqrt(low * high)
        near_low = expected - low <= 0.5 * self.tolerance * expected
        aimed = expected * (1 + slack if near_low else 1 - slack)
        return aimed if low < aimed < high else math.sqrt(low * high)

    def _unchecked(self) -> float | None:
        part = self.low / (self.checks + 1)
        for number in range(1, self.checks + 1):
            if not any(abs(x - number * part) <= 0.5 * part for x in self.values):
                return number * part
        return None

    def _curved(self, *places: float) -> float:
        """Where the inverse parabola through three values is at zero; NaN where the values do not rise or fall all along."""
        ordered = sorted(places)
        f = [self.values.get(x, math.nan) for x in ordered]
        if not all(map(math.isfinite, f)) or not (f[0] < f[1] < f[2] or f[0] > f[1] > f[2]):
            return math.nan
        a, b, c = (x**self.power for x in ordered)
        zero = (
            a * f[1] * f[2] / ((f[0] - f[1]) * (f[0] - f[2]))
            + b * f[0] * f[2] / ((f[1] - f[0]) * (f[1] - f[2]))
            + c * f[0] * f[1] / ((f[2] - f[0]) * (f[2] - f[1]))
        )
        return zero ** (1 / self.power) if zero > 0 else math.nan

    def _zero(self, a: float, b: float) -> float:
        """Where the line through two values, over x to the power, is zero; NaN where it never is."""
        at_a, at_b = self.values[a], self.values[b]
        if not (math.isfinite(at_a) and math.isfinite(at_b)) or at_a == at_b:
            return math.nan
        u, v = a**self.power, b**self.power
        zero = u - at_a * (v - u) / (at_b - at_a)
        return zero ** (1 / self.power) if zero > 0 else math.nan
