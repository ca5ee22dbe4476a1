"""The data that the frozen files were measured on: whole numbers over 8, so that they are the same bits everywhere and for ever."""

from __future__ import annotations

import torch
from torch import Tensor


def data() -> tuple[Tensor, Tensor]:
    """200 points of 5 numbers; the class is which of the first three is the largest."""
    number, column = torch.arange(200)[:, None], torch.arange(5)[None, :]
    inputs = ((number * number * (2 * column + 3) + 7 * number * column + column) % 17 - 8) / 8
    return inputs, inputs[:, :3].argmax(1)
