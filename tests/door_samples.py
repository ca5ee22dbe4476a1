"""A small network and labelled data in double precision, for the doors of an objective."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

import landscape as ls

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()


def net(seed: int = 0, outputs: int = 3) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, outputs)).double()


def objective(loss: Any = "cross_entropy", data: Any = (X, Y), **options: Any) -> ls.Objective:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ls.Objective(options.pop("module", net()), loss, data, device="cpu", **options)
