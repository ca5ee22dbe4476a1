"""A value with its uncertainty in brackets: 0.479(4) means 0.479 ± 0.004."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Decimal

from landscape.errors import InputError

_VISIBLE = 1e-15  # of the value: below this the error lies beyond the digits that a float has
_PLAIN_DIGITS = 6  # digits before the point, or zeros after it, from which a power of ten is shorter


def value_with_uncertainty(value: float, error: float) -> str:
    """``value(error)``, the error in units of the last digits shown, as many digits as the error is worth.

    By the rule of the Particle Data Group: of the error's first three digits, 100 to 354 keep two digits, 355 to 949 one, and
    950 to 999 become 1000 and keep two. So 0.4791 ± 0.0042 is ``0.479(4)``, 0.09994 ± 0.00096 is ``0.0999(10)``, 12345 ± 67 is
    ``12340(70)``; far from 1 a power of ten follows, ``1.23(4)e-7``. An error that is not known (NaN), 0, or below what
    a float can show leaves the value alone, to six digits; NaN and ±inf are ``NaN``, ``inf``, ``-inf``.

    Raises:
        InputError: for a negative error.

    References:
        Particle Data Group, "Review of Particle Physics", Introduction, section 5.3.
    """
    if error < 0:
        raise InputError(f"error: expected a number that is not negative, got {error!r}.")
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else str(value)
    if math.isnan(error) or error <= _VISIBLE * abs(value):
        return f"{value:.6g}"
    if math.isinf(error):
        return f"{value:.6g}(inf)"
    last, digits = _last_digit(Decimal(repr(float(error))))
    leading = Decimal(repr(float(value))).adjusted() if value else last
    leading = max(leading, last + len(str(digits)) - 1)
    if -_PLAIN_DIGITS < leading < _PLAIN_DIGITS:
        return _plain(value, digits, last, 0)
    return f"{_plain(value, digits, last, leading)}e{leading}"


def _last_digit(error: Decimal) -> tuple[int, int]:
    """The power of ten of the last digit that is kept, and the error as a whole number of it."""
    first = error.adjusted()
    last = first - 1 if round(error.scaleb(2 - first)) < 355 else first
    return last, round(error.scaleb(-last))


def _plain(value: float, digits: int, last: int, exponent: int) -> str:
    """The value over 10^exponent, rounded at 10^last, with the error behind it."""
    rounded = Decimal(repr(float(value))).scaleb(-last).quantize(Decimal(1), ROUND_HALF_EVEN)
    place = last - exponent
    shown = rounded.scaleb(place)
    if place < 0:
        return f"{shown:.{-place}f}({digits})"
    return f"{int(shown)}({digits * 10**place})"
