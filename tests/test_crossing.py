"""The search for the first place above zero: brackets that hold, by few values, whatever the function."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from landscape.numerics.crossing import Crossing

# name -> a function that is above zero from 1 on
FUNCTIONS: dict[str, Callable[[float], float]] = {
    "line": lambda x: 3 * (x - 1),
    "exponential": lambda x: math.exp(min(x, 700.0)) - math.e,
    "logarithm": math.log,
    "stairs": lambda x: 1.0 if x > 1 else -1.0,
    "steep": lambda x: math.tanh(50 * (x - 1)),
    "NaN": lambda x: math.nan if x > 1 else -1.0,
    "infinite": lambda x: math.inf if x > 1 else 0.1 * (x - 1),
}
STARTS = [10 ** (k / 4) for k in range(-10, 7)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_bracket_holds_the_crossing_and_is_as_narrow_as_asked(name: str) -> None:
    for start in STARTS:
        found = Crossing(start, most=60, tolerance=1e-3).run(FUNCTIONS[name])
        assert found.narrow and found.low <= 1 <= found.high <= found.low * 1.0011
        assert found.low <= found.place <= found.high


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_what_is_linear_in_the_power_takes_seven_values_from_anywhere(power: float) -> None:
    for start in STARTS:
        found = Crossing(start, power=power).run(lambda x: x**power - 1)
        assert len(found.values) <= 7 and abs(found.place - 1) < 1e-9


def test_an_earlier_rise_is_found_where_a_place_that_is_checked_is_above_zero() -> None:
    def hill(x: float) -> float:  # above zero around 2/3, and from 2 on
        return 1.0 if 0.5 < x < 0.9 else x - 2

    found = Crossing(1.0, most=60).run(hill)
    assert found.narrow and abs(found.place - 0.5) < 1e-3


def test_nothing_is_looked_at_beyond_the_ends() -> None:
    rising, falling = (Crossing(1.0, 1e-3, 50.0, most=60).run(lambda x, s=s: s) for s in (1.0, -1.0))
    assert min(rising.values) == 1e-3 and rising.low == 0 and not rising.found
    assert max(falling.values) == 50.0 and math.isinf(falling.high) and not falling.found
    assert max(len(rising.values), len(falling.values)) < 6
    assert math.isnan(rising.place) and math.isnan(falling.place)


def test_no_more_values_are_taken_than_there_may_be() -> None:
    taken: list[float] = []

    def stairs(x: float) -> float:
        taken.append(x)
        return FUNCTIONS["stairs"](x)

    found = Crossing(0.01, most=6).run(stairs)
    assert len(taken) == 6 and len(set(taken)) == 6 and not found.narrow
