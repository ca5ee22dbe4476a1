"""PyTorch's global state borrowed and given back: the random one, from which modules such as dropout draw, and cuDNN's.

Of numpy and of Python itself the random state alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch

T = TypeVar("T")


@contextmanager
def isolated(device: torch.device) -> Iterator[None]:
    """While open, cuDNN is deterministic and fp32 no TF32; afterwards settings and PyTorch's global random state are as before.

    Only the CPU's generator and that of ``device`` are ever seeded (:func:`seed_modules`), so only these two are kept.
    """
    cudnn = torch.backends.cudnn
    settings = cudnn.deterministic, cudnn.benchmark
    # fork_rng cannot fork MPS: that has one device, and its functions take no index.
    metal = torch.mps.get_rng_state() if device.type == "mps" else None
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), full_precision(device):
        cudnn.deterministic, cudnn.benchmark = True, False
        try:
            yield
        finally:
            cudnn.deterministic, cudnn.benchmark = settings
            if metal is not None:
                torch.mps.set_rng_state(metal)


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """While open, CUDA multiplies fp32 numbers as they are and computes layers as written; afterwards settings are as before.

    By default PyTorch lets cuDNN round the factors of fp32 convolutions to TF32, ten bits of mantissa: on an H100 that moved the
    loss of VGG38 by 4e-4 and its gradient by 64 %, and small differences of losses are what is measured here. Where no gradient is
    asked for it also runs transformer layers by a fused path with another GELU (tanh's), so that loss and gradient would be of
    two functions, 5e-5 apart.

    Since PyTorch 2.9 a setting once written no longer follows ``torch.backends.fp32_precision``: who changes that one afterwards,
    and not ``allow_tf32``, has to change ``torch.backends.cudnn.conv.fp32_precision`` as well.
    """
    if device.type != "cuda":
        yield
        return
    cudnn, attention = torch.backends.cudnn, torch.backends.mha
    fused = attention.get_fastpath_enabled()
    convolutions, products = _old(lambda: cudnn.allow_tf32), _old(torch.get_float32_matmul_precision)
    newer = [(place, place.fp32_precision) for place in _newer_settings()]
    try:
        attention.set_fastpath_enabled(False)
        # Older settings too: where only the newer ones are changed, PyTorch refuses to tell the older, which a module may ask for.
        if convolutions:
            cudnn.allow_tf32 = False
        if products in ("high", "medium"):
            torch.set_float32_matmul_precision("highest")
        for place, before in newer:
            if before not in ("none", "ieee") and place.fp32_precision not in ("none", "ieee"):
                place.fp32_precision = "ieee"
        yield
    finally:
        if convolutions:
            cudnn.allow_tf32 = True
        if products in ("high", "medium"):
            torch.set_float32_matmul_precision(products)
        for place, before in newer:
            if place.fp32_precision != before:
                place.fp32_precision = before
        attention.set_fastpath_enabled(fused)


def _newer_settings() -> list[Any]:
    """Where PyTorch keeps them since 2.9, with that of products on the CPU, which the older setting changes as well."""
    cudnn = torch.backends.cudnn
    named = (getattr(cudnn, "conv", None), getattr(cudnn, "rnn", None), getattr(torch.backends.mkldnn, "matmul", None))
    return [place for place in (*named, torch.backends.cuda.matmul) if hasattr(place, "fp32_precision")]


def _old(read: Callable[[], T]) -> T | None:
    """What an older setting is, or None where the newer ones are used, beside which PyTorch refuses to tell it."""
    try:
        return read()
    except RuntimeError:
        return None


def seed_modules(device: torch.device, seed: int) -> None:
    """Seed the global generators from which modules such as dropout draw: the CPU's and that of ``device``.

    ``torch.manual_seed`` would reach further, to every accelerator of the machine.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


@contextmanager
def seeded_numpy(seed: int) -> Iterator[None]:
    """While open, numpy's and Python's own global generators draw from ``seed``; afterwards they are as before."""
    before = np.random.get_state(), random.getstate()  # noqa: NPY002 - the global one is what a user's code draws from
    np.random.seed(seed % 2**32)  # noqa: NPY002
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before[0])  # noqa: NPY002
        random.setstate(before[1])
