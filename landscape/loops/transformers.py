"""``LandscapeCallback`` for the Trainer of transformers: :func:`landscape.watch` without a line in the training step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn
from transformers import TrainerCallback

from landscape.errors import InputError
from landscape.loops.step import LossFunction
from landscape.loops.watch import FLOW, Watch, Watching

__all__ = ["LandscapeCallback"]


class LandscapeCallback(TrainerCallback):
    """Watches a training by transformers: ``Trainer(…, callbacks=[LandscapeCallback(probes=[…], every=50)])``.

    The loss is that which the model computes itself, of the batch that it was called with last; where batches are accumulated,
    of the last of them. Gradients are clipped by then, and so is the update.

    Args:
        probes, every, folder, log, figures_every: as of :func:`landscape.watch`.
        resume: go on with what ``folder`` holds, from the trainer's own step on (``trainer.train(resume_from_checkpoint=…)``).
        loss: ``(model, batch) -> loss``, ``batch`` being the mapping that the model is called with, where the trainer has a loss
            of its own (``compute_loss_func``, label smoothing).

    Attributes:
        watch: what was seen, after the training has begun.
    """

    def __init__(
        self,
        probes: Sequence[str | Watching] = (FLOW, "critical_sharpness"),
        every: int = 50,
        *,
        folder: str | Path | None = None,
        resume: bool = False,
        log: Any = None,
        figures_every: int | None = None,
        loss: LossFunction | None = None,
    ) -> None:
        self.watch: Watch | None = None
        self._asked: dict[str, Any] = {
            "folder": folder,
            "resume": resume,
            "log": log,
            "figures_every": figures_every,
        }
        self._probes, self._every, self._loss = probes, every, loss
        self._batch: Mapping[str, Any] | None = None
        self._hook: Any = None
        self._measuring = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Begin to watch, and to see what the model is called with."""
        model, optimizer = given["model"], _plain(given["optimizer"])
        if args.label_smoothing_factor and self._loss is None:
            raise InputError(
                "LandscapeCallback: the trainer smooths labels, so the loss is not the model's own. Give it: "
                "LandscapeCallback(loss=lambda model, batch: …)."
            )
        self.watch = Watch(model, optimizer, self._probes, self._every, step=state.global_step, **self._asked)

        def seen(_: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
            if not self._measuring:
                self._batch = named if not positional else None

        self._hook = model.register_forward_pre_hook(seen, with_kwargs=True)
        self.watch.__enter__()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Tell of the step: its gradients are set and clipped."""
        assert self.watch is not None
        if self._batch is None:
            raise InputError(
                "LandscapeCallback: the model was not called with a mapping (model(**batch)), so its batch is not known."
            )
        self._measuring = True
        try:
            self.watch.step(self._loss or _own_loss, self._batch, epoch=int(state.epoch or 0) + 1)
        finally:
            self._measuring = False

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Save and tell what was seen."""
        if self._hook is not None:
            self._hook.remove()
            self._hook, self._batch = None, None
        if self.watch is not None and self.watch.is_open:
            self.watch.__exit__(None, None, None)


def _own_loss(model: nn.Module, batch: Mapping[str, Any]) -> Any:
    made = model(**batch)
    loss = made.get("loss") if isinstance(made, Mapping) else getattr(made, "loss", None)
    if loss is None:
        raise InputError(
            "LandscapeCallback: the model gives no loss, as its batch has no labels. Give one: "
            "LandscapeCallback(loss=lambda model, batch: …)."
        )
    return loss


def _plain(optimizer: Any) -> Any:
    """The optimiser that accelerate wraps."""
    return getattr(optimizer, "optimizer", optimizer)
