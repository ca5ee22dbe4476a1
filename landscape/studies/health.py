"""Whether a finished training left a dead network: the same criteria as at a checkpoint, from what was watched."""

from __future__ import annotations

import math

import xarray as xr

from landscape.probes.gradient_flow import typical_gradient
from landscape.probes.health import Health, judge_health
from landscape.training import TrainingResult


def health_of(result: TrainingResult, flow: xr.Dataset, classes: int | None) -> Health:
    """Judged by the last epoch's mean training loss and the last record of the gradient flow."""
    loss = result.history[-1]["train_loss"] if result.history else math.nan
    return judge_health(loss, classes=classes, loss_name=result.loss_name, gradient=typical_gradient(flow))
