"""What is measured at a point: the mean loss with its uncertainty, and when part of the samples is enough."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landscape.numerics.parameters import ParameterVector
from landscape.numerics.seeds import generator
from landscape.objective.heights import Height

# One-sided: by chance, a point below a ceiling is given up once in 740 times at most.
CEILING_ERRORS = 3.0
SMALLEST_HEAD = 32


@dataclass(frozen=True)
class Evaluation:
    """The loss over the samples, its standard error, the accuracy (of what counts; None where there is none), and N.

    The standard error is s/√N; of a weighted mean that of a ratio, and of a loss that couples the samples of a batch that over
    the batches. See :class:`landscape.objective.spread.Spread`. ``heights`` holds what is measured besides, by name: terms of the
    loss and metrics, each a value with its standard error. Of a stochastic objective the loss is the mean over its draws, the
    standard error is that over the samples, and ``draw_error`` is that of the mean over the draws, given the samples.

    Example:
        >>> value = objective.evaluate()
        >>> f"{value.loss:.2f} ± {value.standard_error:.2f} over {value.n_samples} samples"
        '0.70 ± 0.01 over 60 samples'
    """

    loss: float
    standard_error: float
    accuracy: float | None
    n_samples: int
    heights: Mapping[str, Height] = field(default_factory=dict)
    draw_error: float | None = None

    def __repr__(self) -> str:
        said = {name: value for name, value in vars(self).items() if not (name == "heights" and not value)}
        if self.draw_error is None:
            del said["draw_error"]
        return f"Evaluation({', '.join(f'{name}={value!r}' for name, value in said.items())})"


@dataclass(frozen=True)
class Gradient:
    """The loss and its gradient ∇L(θ), in θ's layout.

    Example:
        >>> objective.gradient()
        Gradient(loss=0.699..., vector=ParameterVector(42 entries in 4 tensors, float32 on cpu, norm 0.3413))
        >>> objective.gradient().vector["0.weight"].shape
        torch.Size([8, 2])
    """

    loss: float
    vector: ParameterVector


@dataclass(frozen=True)
class PointValues:
    """Values at P points, each of shape ``(P,)``.

    ``loss``, ``standard_error`` and ``accuracy`` (NaN where there is none) over ``n_samples`` samples: all of them, or the first
    part where that was enough to tell that the loss lies above a ceiling.
    """

    loss: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    n_samples: NDArray[np.int64]
    heights: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)  # values and errors (2, P), by name
    draw_error: NDArray[np.float64] | None = None

    def __getitem__(self, places: slice) -> PointValues:
        """Those of some of the points."""
        return PointValues(
            self.loss[places],
            self.standard_error[places],
            self.accuracy[places],
            self.n_samples[places],
            {name: values[:, places] for name, values in self.heights.items()},
            None if self.draw_error is None else self.draw_error[places],
        )

    @classmethod
    def of(cls, found: Sequence[Evaluation]) -> PointValues:
        """From one evaluation a point."""
        return cls(
            loss=np.array([e.loss for e in found]),
            standard_error=np.array([e.standard_error for e in found]),
            accuracy=np.array([math.nan if e.accuracy is None else e.accuracy for e in found]),
            n_samples=np.array([e.n_samples for e in found]),
            heights={
                name: np.array([e.heights[name] for e in found]).T for name in (found[0].heights if found else ())
            },
            draw_error=None
            if not found or found[0].draw_error is None
            else np.array([e.draw_error for e in found], dtype=np.float64),
        )


def head_samples(n_samples: int) -> int:
    """How many of the samples a ceiling is judged by: an eighth of them, and :data:`SMALLEST_HEAD` at least."""
    return min(max(SMALLEST_HEAD, n_samples // 8), n_samples)


def drawn_head(n_samples: int) -> Tensor:
    """Places ``(H,)``, ascending, of the samples that a ceiling is judged by, or none if that were all.

    Drawn, the same each time, because data is often sorted by class, and its first samples then say little of the others.
    """
    few = head_samples(n_samples)
    drawn = torch.randperm(n_samples, generator=generator(0, "head", n_samples))[:few]
    return drawn.sort().values if few < n_samples else drawn[:0]
