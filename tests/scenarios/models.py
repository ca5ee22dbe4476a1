"""Models and data as people have them, made from tiny configurations; nothing is downloaded."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn

WORDS = [
    "the loss of a net",
    "a flat valley",
    "steep",
    "sharp minima and flat ones",
    "the quick brown fox",
    "one two",
] * 4


def quiet() -> None:
    import transformers

    transformers.logging.set_verbosity_error()


@functools.cache
def tiny_gpt2() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=60, n_positions=32, n_embd=16, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=2, pad_token_id=0
    )
    return GPT2LMHeadModel(config).eval()


@functools.cache
def tiny_bert() -> Any:
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, num_labels=3
    )
    return BertForSequenceClassification(config).eval()


def collate(texts: list[str]) -> dict[str, Tensor]:
    """Characters as numbers, padded to the longest of the batch; labels of padding are −100."""
    longest = max(map(len, texts))
    ids, mask, labels = (torch.full((len(texts), longest), fill) for fill in (0, 0, -100))
    for row, text in enumerate(texts):
        codes = torch.tensor([ord(letter) % 57 + 3 for letter in text])
        ids[row, : len(text)], mask[row, : len(text)], labels[row, : len(text)] = codes, 1, codes
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def sentences() -> dict[str, Tensor]:
    """Token ids with a class each."""
    draws = torch.Generator().manual_seed(1)
    ids = torch.randint(3, 60, (24, 12), generator=draws)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids[:, 0] % 3}


def images(count: int = 24, size: int = 16) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(2)
    return torch.randn(count, 3, size, size, generator=draws), torch.randint(0, 5, (count,), generator=draws)


def table(count: int = 60) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(3)
    inputs = torch.randn(count, 4, generator=draws)
    return inputs, (inputs[:, 0] > 0).long() + (inputs[:, 1] > 0).long()


def mlp(inputs: int = 4, outputs: int = 3, width: int = 16, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, outputs)).eval()


class TwoInputs(nn.Module):
    """Two inputs, and outputs by name."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = mlp(), mlp(seed=1)

    def forward(self, left: Tensor, right: Tensor) -> dict[str, Tensor]:
        return {"mean": self.a(left), "scale": self.b(right)}


class Reader(nn.Module):
    """The last state of a sequence, padded or packed, and scores of it."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(4, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, sequences: Any) -> Tensor:
        scores: Tensor = self.head(self.rnn(sequences)[1][-1])
        return scores
