"""What the scripts of the gallery share: small images, and where their numbers and pictures are put."""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

import landscape as ls
from landscape.pictures.scale import Scale
from landscape.pictures.style import PaperFigure, paper_style

Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Script:
    """One run of a script.

    Attributes:
        name: of the script, and of what it writes.
        quick: whether it only has to show that it runs; its numbers then mean nothing.
        out: the folder for ``NAME.json`` and ``NAME.png``.
        began: when, for the time that it took.
    """

    name: str
    quick: bool
    out: Path
    began: float = field(default_factory=time.monotonic)

    def size(self, full: Any, quick: Any) -> Any:
        """The first, or the second where it only has to run."""
        return quick if self.quick else full

    def keep(self, numbers: dict[str, Any], figure: Figure) -> None:
        """Write the numbers and the picture, and print the numbers."""
        self.out.mkdir(parents=True, exist_ok=True)
        made = {
            "script": f"examples/{self.name}.py",
            "measured": datetime.now(UTC).date().isoformat(),
            "minutes": round((time.monotonic() - self.began) / 60, 1),
            "threads": torch.get_num_threads(),
            "versions": {"landscape": ls.__version__, "torch": torch.__version__, "python": platform.python_version()},
            "numbers": rounded(numbers),
        }
        text = json.dumps(made, indent=1, ensure_ascii=False)
        (self.out / f"{self.name}.json").write_text(text + "\n", encoding="utf-8")
        if not isinstance(figure, PaperFigure):
            _plain_logarithms(figure)
        figure.savefig(self.out / f"{self.name}.png", dpi=200)
        print(text)


def script(name: str, arguments: Sequence[str] | None = None) -> Script:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=f"One figure of the gallery: {name.replace('_', ' ')}.")
    parser.add_argument("--out", type=Path, default=Path("outputs/gallery"), help="folder for numbers and picture")
    parser.add_argument("--quick", action="store_true", help="only see whether it runs")
    asked = parser.parse_args(arguments)
    return Script(name, asked.quick, asked.out)


def images(count: int, split: str = "train", size: int = 8) -> Pair:
    """The first ``count`` bundled images of a split, one channel, averaged to ``size`` × ``size``, and their labels.

    Inputs have the shape ``(count, 1, size, size)``, mean 0 and standard deviation 1.
    """
    part = ls.load_data("fashion-mnist-10k").split(split)
    inputs, labels = part.batch(torch.arange(min(count, len(part))))
    small = torch.nn.functional.avg_pool2d(inputs[:, :1], 32 // size)
    return (small - small.mean()) / small.std(), labels


def over_seeds(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation (N − 1) and each value."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "sd": spread, "each": [float(value) for value in values]}


def rounded(value: Any) -> Any:
    """Numbers to four digits, which is more than any of them is known to."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _plain_logarithms(figure: Figure) -> None:
    """Write the numbers of logarithmic axes as ``ls.plot`` does: 0.05, and no powers of ten where they are not needed."""
    for axes in figure.axes:
        if axes.get_yscale() == "log":
            scale = Scale(True, *axes.get_ylim())
            ticks = scale.lines()
            axes.set_yticks(ticks, scale.labels(ticks))
            axes.yaxis.set_minor_locator(NullLocator())


def paper() -> AbstractContextManager[None]:
    """The style of the pictures that ``ls.plot`` draws, for those that a script draws itself."""
    return paper_style()
