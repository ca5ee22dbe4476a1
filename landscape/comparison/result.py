"""A finished comparison: every measure of every setting, every difference with its verdict, and as a labelled data set."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from landscape.comparison import writing
from landscape.comparison.dataset import comparison_dataset
from landscape.comparison.rows import Compared


class Comparison(Compared):
    """What :func:`landscape.compare` returns, a :class:`landscape.comparison.rows.Compared`, as data and text.

    Example:
        >>> from pathlib import Path
        >>> def run(rate, seed):
        ...     model = ls.build_model("mlp", inputs=2, classes=2, hidden=8, seed=seed)
        ...     return ls.history_dataset(ls.fit(model, data, ls.TrainingConfig(epochs=2, learning_rate=rate, seed=seed)))
        >>> found = ls.compare([run(rate, seed) for rate in (0.01, 0.1) for seed in (0, 1, 2)], by="learning_rate")
        >>> [path.name for path in found.write(Path("rates.csv"), Path("rates.md"))]
        ['rates.csv', 'rates.md']
    """

    def dataset(self) -> xr.Dataset:
        """Kind ``comparison``, over ``measure``, ``setting``, ``pair`` and ``replicate``.

        ``value`` holds the replicates of each measure and setting, padded with NaN. Attributes: ``notes`` and ``left_out``, JSON
        lists of sentences.
        """
        return comparison_dataset(self)

    def markdown(self) -> str:
        return writing.markdown(self)

    def latex(self) -> str:
        """Plain tabulars, to be read with ``\\input``; needs no package."""
        return writing.latex(self)

    def html(self) -> str:
        """A whole page that needs nothing else."""
        return writing.html(self)

    def csv(self) -> str:
        """One line for each measure and pair, then for each trend."""
        return writing.csv_text(self)

    def records(self) -> list[dict[str, object]]:
        """The lines of :meth:`csv` as mappings, numbers as numbers."""
        return writing.records(self)

    def write(self, *paths: Path) -> list[Path]:
        """Write to every path, as its suffix says (csv, md, tex, html, h5); without one, all formats beside each other."""
        return writing.write_comparison(self, paths)
