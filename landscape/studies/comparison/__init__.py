"""Runs compared by one of their settings, with the uncertainty of every difference."""

from landscape.studies.comparison.comparing import compare
from landscape.studies.comparison.result import Comparison

__all__ = ["Comparison", "compare"]
