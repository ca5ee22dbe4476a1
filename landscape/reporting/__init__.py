"""One page over runs and results: what came out, every figure with its command and its data, and where it came from."""

from landscape.reporting.writing import report

__all__ = ["report"]
