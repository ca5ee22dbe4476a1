"""The learning rate of an epoch."""

from __future__ import annotations

import math

from landscape.training.config import TrainingConfig


def learning_rate(config: TrainingConfig, epoch: int) -> float:
    """The learning rate, constant within ``epoch`` (1-based).

    - ``cosine``: η_min + (η − η_min)(1 + cos(π e / epochs)) / 2 with e = epoch − 1, so that the first epoch runs at η, the
      recipe's ``learning_rate``, and the rate falls towards η_min = ``min_learning_rate``, 2e-5 by default, without reaching
      it within the run. An η below η_min rises towards it by the same formula.
    - ``constant``: η.

    References:
        Loshchilov and Hutter 2017, arXiv 1608.03983, without restarts.
    """
    if config.schedule == "constant":
        return config.learning_rate
    lowest, elapsed = config.min_learning_rate, epoch - 1
    return lowest + (config.learning_rate - lowest) * (1 + math.cos(math.pi * elapsed / config.epochs)) / 2
