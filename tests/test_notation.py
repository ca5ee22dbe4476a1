"""A value and its uncertainty in brackets, against worked numbers and the value itself."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from landscape.errors import InputError
from landscape.numerics.notation import value_with_uncertainty


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.4791, 0.0042, "0.479(4)"),
        (0.09994, 0.00096, "0.0999(10)"),
        (1.6012, 0.0014, "1.6012(14)"),
        (99.97, 0.4, "100.0(4)"),
        (9.9996, 0.0004, "9.9996(4)"),
        (12345, 67, "12340(70)"),
        (123456789, 4321, "1.23457(4)e8"),
        (1.234e-7, 3.9e-9, "1.23(4)e-7"),
        (-0.36841, 0.0012, "-0.3684(12)"),
        (0.0, 0.01, "0.000(10)"),
        (3.0, 354.0, "0(350)"),
        (2.0, 0.0951, "2.00(10)"),
        (2.5, 0.0, "2.5"),
        (2.5, math.nan, "2.5"),
        (2.5, math.inf, "2.5(inf)"),
        (1e300, 1e-5, "1e+300"),
        (math.nan, 1.0, "NaN"),
        (-math.inf, math.nan, "-inf"),
    ],
)
def test_a_value_is_written_to_as_many_digits_as_its_error_is_worth(value: float, error: float, text: str) -> None:
    assert value_with_uncertainty(value, error) == text


def test_an_error_is_not_negative() -> None:
    with pytest.raises(InputError, match="negative"):
        value_with_uncertainty(1.0, -0.1)


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e6))
def test_what_is_written_reads_back_as_the_value_and_its_error(value: float, error: float) -> None:
    assume(error > 1e-14 * abs(value))  # below, a float has no digits for it and the value stands alone
    number, _, rest = value_with_uncertainty(value, error).partition("(")
    digits, _, power = rest.partition(")")
    scale = 10.0 ** int(power[1:] or 0)
    decimals = len(number.partition(".")[2])
    shown_error = float(digits) * 10.0**-decimals * scale
    assert shown_error == pytest.approx(error, rel=0.15)
    assert abs(float(number) * scale - value) <= 0.51 * error + 1e-9 * abs(value)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (0.0355, "2.00(4)"),
        (0.03545, "2.000(35)"),
        (0.0354, "2.000(35)"),
        (0.0094949, "2.000(9)"),
        (0.00095, "2.0000(10)"),
    ],
)
def test_at_the_borders_of_the_rule_the_first_three_digits_decide(error: float, text: str) -> None:
    assert value_with_uncertainty(2.0, error) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (123456.0, 1000.0, "123500(1000)"),
        (1234567.0, 1000.0, "1.2346(10)e6"),
        (0.0000123, 0.000001, "0.0000123(10)"),
        (0.00000123, 0.0000001, "1.23(10)e-6"),
        (0.0, 3e7, "0.0(30)e7"),
        (1.0, 1e-15, "1"),
        (-0.3, 4.0, "0(4)"),
        (1.0, 2e-15, "1.0000000000000000(20)"),
        (123456.789, math.inf, "123457(inf)"),
        (123456.789, 0.0, "123457"),
    ],
)
def test_a_power_of_ten_is_written_where_it_is_shorter(value: float, error: float, text: str) -> None:
    assert value_with_uncertainty(value, error) == text
