"""PyTorch's global random state borrowed and given back: modules such as dropout draw from it alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def isolated(device: torch.device) -> Iterator[None]:
    """While open, cuDNN is deterministic; afterwards its settings and PyTorch's global random state are as before.

    Only the CPU's generator and that of ``device`` are ever seeded (:func:`seed_modules`), so only these two are kept.
    """
    cudnn = torch.backends.cudnn
    settings = cudnn.deterministic, cudnn.benchmark
    # fork_rng cannot fork MPS: that has one device, and its functions take no index.
    metal = torch.mps.get_rng_state() if device.type == "mps" else None
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        cudnn.deterministic, cudnn.benchmark = True, False
        try:
            yield
        finally:
            cudnn.deterministic, cudnn.benchmark = settings
            if metal is not None:
                torch.mps.set_rng_state(metal)


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
