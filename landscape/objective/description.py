"""What an objective says of itself: to a result, and to who prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from landscape.objective.preparation import fixed_batches

if TYPE_CHECKING:
    from landscape.objective.objective import Objective


def provenance_of(objective: Objective) -> dict[str, Any]:
    """What a result must say about how its values came to be; every entry is text or a number."""
    batches, couples, engine = objective._batches, objective.couples, objective.engine_note
    return {
        "data": objective.data.name,
        "data_fingerprint": objective.data.fingerprint(),
        "index_hash": batches.index_hash(),
        "n_samples": objective.n_samples,
        "bn_policy": objective.batch_norm if objective.bn_layers else "none (the model has no BatchNorm)",
        "bn_layers": objective.bn_layers,
        "loss_name": objective.loss_name,
        **objective._said,
        **({"mode": "train"} if objective._given["mode"] == "train" else {}),
        **(objective._draws.attributes() if objective._draws is not None else {}),
        **({"loss_batches": fixed_batches(batches, couples)} if couples else {}),
        "precision": objective.precision,
        "evaluation_batch_size": objective.batch_size,  # batch_size is the training's
        "device": objective.device.type,
        "threads": torch.get_num_threads(),
        "engine": f"{engine}; compiled" if objective.compiled else engine,
        "memory_format": "channels_last" if objective.channels_last else "contiguous",
    }


def summary_of(objective: Objective) -> str:
    """Loss, samples, BN policy, precision and device, in a line."""
    policy = f"BatchNorm {objective.batch_norm}" if objective.bn_layers else "no BatchNorm"
    samples = f"{objective.loss_name} over {objective.n_samples:,} samples"
    return f"{samples}, {policy}, {objective.precision} on {objective.device}"
