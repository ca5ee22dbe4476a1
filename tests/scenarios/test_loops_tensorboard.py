"""TensorBoard's own writer as the log of a loop of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import landscape as ls

pytest.importorskip("tensorboard")


def test_numbers_and_figures_of_a_watched_loop_can_be_read_back(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    batch = torch.randn(32, 4), torch.randint(2, (32,))
    criterion = nn.CrossEntropyLoss()
    with (
        SummaryWriter(str(tmp_path)) as writer,
        ls.watch(net, optimizer, probes=["steps", "stability"], every=1, log=writer) as watching,
    ):
        for _ in range(3):
            optimizer.zero_grad()
            criterion(net(batch[0]), batch[1]).backward()
            watching.step(criterion, batch)
            optimizer.step()
    told = EventAccumulator(str(tmp_path), size_guidance={"images": 0})
    told.Reload()
    ratios = watching.datasets()["stability"]["ratio"].values
    assert [event.value for event in told.Scalars("stability/ratio")] == pytest.approx(ratios.tolist())
    [image] = told.Images("steps/figure")
    assert image.step == 3 and image.width > 500 and image.height > 200
