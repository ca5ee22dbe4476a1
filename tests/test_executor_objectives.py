"""Every kind of objective gives a worker's plane bit for bit as it gives its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import landscape as ls

X, Y = torch.randn(60, 2, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 2


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(2, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, sequences: Tensor) -> Tensor:
        found: Tensor = self.head(self.rnn(sequences)[1][-1])
        return found


def right(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.argmax(1) == targets).double()


def of_model(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1]) + 0.1 * model(batch[0]).square().mean()


def terms(outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    return {"data": F.cross_entropy(outputs, targets, reduction="none"), "size": outputs.square().mean(1)}


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 2))


OBJECTIVES: dict[str, Callable[[], ls.Objective]] = {
    "plain": lambda: ls.Objective(net(), "cross_entropy", (X, Y), device="cpu"),
    "metric": lambda: ls.Objective(net(), "cross_entropy", (X, Y), metrics={"mine": right}, device="cpu"),
    "draws": lambda: ls.Objective(net(), "cross_entropy", (X, Y), draws=3, mode="train", device="cpu"),
    "terms": lambda: ls.Objective(net(), terms, (X, Y), device="cpu"),
    "loader": lambda: ls.Objective(
        net(), of_model, DataLoader(TensorDataset(X, Y), batch_size=16), samples=None, device="cpu"
    ),
    "lengths": lambda: ls.Objective(
        Reader(), "cross_entropy", ([X[: 3 + k % 4] for k in range(20)], torch.arange(20) % 2), device="cpu"
    ),
}


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("refinement", [None, ls.Refinement(max_points=50)], ids=["every point", "refined"])
def test_a_worker_measures_what_this_process_measures(name: str, refinement: ls.Refinement | None) -> None:
    objective = OBJECTIVES[name]()
    asked = {"x": (-1, 1, 9), "y": (-1, 1, 9), "seeds": [0, 1], "refinement": refinement}
    here = ls.plane(objective, **asked)
    with ThreadPoolExecutor(2) as executor:
        there = ls.plane(objective, **asked, executor=executor)
    assert here.drop_attrs().identical(there.drop_attrs())
