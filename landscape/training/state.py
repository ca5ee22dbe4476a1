"""The state of training between two epochs: taken, and put back so that the rest runs bit for bit as it would have."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from landscape.errors import CheckpointError, MismatchError
from landscape.objective.batches import map_tensors
from landscape.objective.signature import Signature
from landscape.training.config import TrainingConfig
from landscape.training.learner import Learner
from landscape.training.observers import Record, best_epoch

_PYTORCH = "PyTorch's convolutions"
_READ = ("model", "optimizer", "epoch", "step", "config", "history")


def snapshot(
    learner: Learner, config: TrainingConfig, history: Sequence[Record], made: Mapping[str, Any]
) -> dict[str, Any]:
    """Copies on the CPU; the mapping that :meth:`landscape.training.EpochReport.state` describes."""
    epoch, step, best = len(history), learner.updates, best_epoch(history)
    return {
        "model": map_tensors(_copy, learner.module.state_dict()),
        "optimizer": map_tensors(_copy, learner.optimizer.state_dict()),
        "epoch": epoch,
        "step": step,
        "generator": {"seed": config.seed, "epoch": epoch, "step": step},
        "config": config.to_dict(),
        "engine": learner.engine,
        "history": [dict(record) for record in history],
        "made": dict(made),
        "best": None if best is None else {"epoch": best, **history[best - 1]},
    }


def restore(state: Mapping[str, Any], learner: Learner, config: TrainingConfig, steps_per_epoch: int) -> list[Record]:
    """Put a :func:`snapshot` back into module and optimiser; the history up to it. ``state`` itself is not written to.

    Raises:
        CheckpointError: for a mapping that is no such state, or is one of another architecture.
        MismatchError: for a state of other settings (naming them), or of another number of training images.
    """
    missing = [key for key in _READ if key not in state]
    if missing:
        raise CheckpointError(
            f"resume: no training to go on with: {', '.join(missing)} missing. Expected what EpochReport.state() returned; "
            "weights alone can be loaded into the module before fit."
        )
    _check_settings(state["config"], config)
    history: list[Record] = [dict(record) for record in state["history"]]
    if len(history) != state["epoch"] or state["step"] != config.updates_after(state["epoch"], steps_per_epoch):
        raise MismatchError(
            f"resume: the saved run made {state['step']} updates in {state['epoch']} epochs, but this data gives "
            f"{steps_per_epoch} an epoch. Resume on the data that the run was started on."
        )
    try:
        learner.module.load_state_dict(_said(state["model"], learner.module))
        # load_state_dict keeps tensors of the right type as they are, and the optimiser would then write to the caller's.
        learner.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
    except (RuntimeError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"resume: the saved state does not fit {type(learner.module).__name__}: {error}"
        ) from error
    learner.updates = state["step"]
    return history


def check_made(state: Mapping[str, Any], here: Signature) -> Mapping[str, Any]:
    """What the run of a state started from, where its data, module and loss give what they gave when it was saved.

    Raises:
        MismatchError: naming what differs; also for a state that does not say what made it.
    """
    made = state.get("made") or {}
    here.check(made.get("here"), "resume", "Resume with the code and the data of the run, or start a new one.")
    start: Mapping[str, Any] = made["start"]
    return start


def since(state: Mapping[str, Any], engine: str) -> str:
    """How convolutions were made in a run that is resumed: another machine may make them otherwise, with other rounding."""
    before, epoch = str(state.get("engine", "")), state["epoch"]
    if before.endswith(engine) if engine else not before:
        return before
    return f"{before or _PYTORCH} up to epoch {epoch}, then {engine or _PYTORCH}"


def diverged(history: Sequence[Record]) -> bool:
    """Whether the last epoch's mean training loss is NaN or infinite."""
    return bool(history) and not math.isfinite(history[-1]["train_loss"])


def _said(weights: Mapping[str, Tensor], module: nn.Module) -> Mapping[str, Tensor]:
    """The weights as those of ``module``'s own versions: one that converts old weights by their version leaves them as they are."""
    given = OrderedDict(weights)
    given._metadata = getattr(weights, "_metadata", module.state_dict()._metadata)  # type: ignore[attr-defined]
    return given


def _check_settings(saved: Mapping[str, Any], config: TrainingConfig) -> None:
    asked, saved = config.to_dict(), {"engine": "plain", **saved}  # before there were others
    names = [name for name in {**asked, **saved} if asked.get(name) != saved.get(name)]
    if names:
        changes = ", ".join(f"{name} was {saved.get(name)!r} and is now {asked.get(name)!r}" for name in names)
        raise MismatchError(
            f"resume: the saved run has other settings: {changes}. Resume with its own, or start a new run."
        )


def _copy(tensor: Tensor) -> Tensor:
    # preserves strides: the optimiser's state must come back in the memory format of its parameter
    return tensor.detach().to("cpu", copy=True)
