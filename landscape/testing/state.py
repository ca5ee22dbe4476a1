"""Of weights and buffers alone, in a module or a file: what is not finite, what training never touched."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from landscape.testing.report import Finding

YOUNG = 0.1  # of running statistics that is still what they began with: they are not those of the data yet
_COUNT = "num_batches_tracked"
_SHOWN = 3


def tensors_of(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a state dict, without a module's extra state."""
    return {name: entry for name, entry in state.items() if isinstance(entry, Tensor)}


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """The names of tensors with a NaN or infinite entry."""
    return [name for name, tensor in tensors.items() if _real(tensor) and not bool(tensor.isfinite().all())]


def untouched_statistics(tensors: Mapping[str, Tensor]) -> tuple[list[str], int]:
    """The normalisation layers whose running statistics are still 0 and 1, and how many have statistics at all."""
    layers = [name.removesuffix("running_mean") for name in tensors if name.endswith("running_mean")]
    fresh = [
        layer.removesuffix(".") or "the module"
        for layer in layers
        if not bool(tensors[f"{layer}running_mean"].any())
        and (variance := tensors.get(f"{layer}running_var")) is not None
        and bool((variance == 1).all())
    ]
    return fresh, len(layers)


def initial_share(updates: int, momentum: float = 0.1) -> float:
    """How much of running statistics is still what they began with, after so many updates: (1 − momentum)^updates."""
    return float((1 - momentum) ** updates)


def least_updated(tensors: Mapping[str, Tensor]) -> tuple[str, int] | None:
    """The normalisation layer whose statistics are of the fewest batches, and how many; None where none says so.

    0 says nothing: files of old versions lack the count, and it is then 0 whatever the statistics are.
    """
    counts = {n.removesuffix(_COUNT): int(t) for n, t in tensors.items() if n.endswith(_COUNT) and int(t)}
    name = min(counts, key=lambda layer: counts[layer], default=None)
    return None if name is None else (name.removesuffix(".") or "the module", counts[name])


def looks_initial(tensors: Mapping[str, Tensor]) -> bool:
    """Whether every weight is spread as PyTorch's layers are initialised: uniform within ± 1/√fan_in, norms at 1 and 0.

    Training soon takes a weight out of that range, or a normalisation's weight away from 1.
    """
    judged = 0
    for name, tensor in tensors.items():
        if not _real(tensor) or name.endswith(("running_mean", "running_var")):
            continue
        if tensor.ndim < 2:
            if name.endswith("weight") and not bool((tensor == 1).all()):
                return False
            continue
        bound = 1 / math.sqrt(max(math.prod(tensor.shape[1:]), 1))
        spread = float(tensor.double().square().mean().sqrt()) * math.sqrt(3) / bound
        if float(tensor.abs().max()) > bound * (1 + 1e-6) or abs(spread - 1) > 4 * math.sqrt(0.2 / tensor.numel()):
            return False
        judged += 1
    return judged > 0


def of_weights(tensors: Mapping[str, Tensor], what: str) -> Iterator[Finding]:
    """Findings on the weights and statistics that ``what`` holds."""
    bad = not_finite(tensors)
    sentence = f"{listed(bad)} hold NaN or infinite numbers: the training diverged, or the file is damaged."
    yield Finding(
        "finite weights", not bad, sentence if bad else "every weight is a finite number.", {"tensors": len(bad)}
    )
    if looks_initial(tensors):
        sentence = (
            f"{what} has weights as PyTorch initialises its layers. If it should be trained, the checkpoint was not loaded "
            "into it: load_state_dict, and look at what it says is missing."
        )
        yield Finding("trained", None, sentence)
    else:
        yield Finding("trained", True, "the weights are not those of PyTorch's own initialisation.")


def listed(names: list[str]) -> str:
    """A few names for a sentence, and how many more there are."""
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _real(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.numel() > 0
