"""``torch.compile`` changes speed and rounding, nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import conv_net, images
from torch import nn

from landscape.objective.objective import Objective
from landscape.probes.spans import random_span
from landscape.training import TrainingConfig, fit

POINTS = np.array([[0.0, 0.0], [0.5, -0.3], [-1.0, 1.0]])


def test_compiled_values_equal_plain_ones() -> None:
    module = conv_net(dtype=torch.float32)
    inputs, targets = images(dtype=torch.float32)
    compiled = Objective(module, "cross_entropy", (inputs, targets), compile=True, batch_size=24, device="cpu")
    plain = Objective(module, "cross_entropy", (inputs, targets), engine="plain", batch_size=24, device="cpu")
    points = [o.evaluate_points(random_span(o, [0], 2).subspaces[0], POINTS).loss for o in (compiled, plain)]
    np.testing.assert_allclose(points[0], points[1], rtol=1e-5)
    assert compiled.provenance()["engine"].endswith("compiled")


def test_compiled_training_equals_plain_training_to_rounding() -> None:
    inputs, targets = images(dtype=torch.float32)
    losses = []
    for compiled in (False, True):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            net = nn.Sequential(nn.Flatten(), nn.Linear(72, 8), nn.Tanh(), nn.Linear(8, 4))
        result = fit(net, (inputs, targets), TrainingConfig(epochs=3, batch_size=8, compile=compiled), device="cpu")
        losses.append([record["train_loss"] for record in result.history])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert losses[1][-1] < losses[1][0]
