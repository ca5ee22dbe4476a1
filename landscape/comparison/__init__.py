"""Runs compared by one of their settings, with the uncertainty of every difference."""

from landscape.comparison.comparing import compare
from landscape.comparison.result import Comparison

__all__ = ["Comparison", "compare"]
