"""Networks of fewer than 500 parameters, and their dense second derivatives, that tests of curvature share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from dense import dense_gauss_newton, dense_hessian
from networks import conv_net, images
from torch import Tensor, nn

from landscape.objective.objective import Objective

QUICK: dict[str, Any] = {"trace_probes": 0, "density_probes": 0}
OPERATORS = ("hessian", "gauss-newton")


def mlp() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(72, 5), nn.Tanh(), nn.Linear(5, 4)).double()


class SmallTransformer(nn.Module):
    """An encoder layer over 2×6×6 inputs seen as 18 tokens of 4 features: 174 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.3, batch_first=True, activation="gelu")
        self.head = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x.reshape(len(x), 18, 4)).mean(1))


def transformer() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return SmallTransformer().double().eval()


NETWORKS: dict[str, Callable[[], nn.Module]] = {"mlp": mlp, "conv": conv_net, "transformer": transformer}


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(outputs, targets, reduction="none")


def margin(outputs: Tensor, targets: Tensor) -> Tensor:
    """A loss of no library: softplus of the squared margin to the others' mean."""
    own = outputs.gather(1, targets[:, None]).squeeze(1)
    return nn.functional.softplus((outputs.mean(1) - own) ** 2 + outputs.sin().sum(1))


def objective_of(net: nn.Module, **options: Any) -> Objective:
    return Objective(net, options.pop("loss", "cross_entropy"), images(), device="cpu", **options)


def dense_of(objective: Objective, net: nn.Module, operator: str, loss: Any = cross_entropy) -> np.ndarray:
    dense = dense_gauss_newton if operator == "gauss-newton" else dense_hessian
    return dense(net, loss, images(), objective.theta.layout)


def extremes_of(dense: np.ndarray, top: int, bottom: int) -> np.ndarray:
    values = np.linalg.eigvalsh(dense)
    return np.concatenate([values[::-1][:top], values[:bottom]])
