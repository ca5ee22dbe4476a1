"""``LandscapeCallback`` for Lightning's Trainer: :func:`landscape.watch` without a line in the training step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback
from torch import nn

from landscape.errors import InputError
from landscape.loops.logs import as_log
from landscape.loops.step import LossFunction, clip_by_norm, clip_by_value
from landscape.loops.watch import FLOW, Watch, Watching

__all__ = ["LandscapeCallback"]


class LandscapeCallback(Callback):
    """Watches a Lightning training: ``Trainer(callbacks=[LandscapeCallback(probes=[…], every=50)])``.

    The loss is that of the module's own ``training_step`` on the step's batch, run on a private copy without a trainer, with the
    trainer's precision; ``self.log`` in it does nothing there. Clipping by the trainer is part of the update.

    Args:
        probes, every, folder, figures_every: as of :func:`landscape.watch`.
        resume: go on with what ``folder`` holds, from the trainer's own step on (``trainer.fit(ckpt_path=…)``).
        log: tell numbers and figures to the trainer's loggers.
        loss: ``(module, batch) -> loss`` where ``training_step`` needs its trainer, or optimises by itself.

    Attributes:
        watch: what was seen, after the training has begun.

    Raises:
        InputError: where a training has several optimisers, or its own way of clipping gradients.
    """

    def __init__(
        self,
        probes: Sequence[str | Watching] = (FLOW, "critical_sharpness"),
        every: int = 50,
        *,
        folder: str | Path | None = None,
        resume: bool = False,
        log: bool = True,
        figures_every: int | None = None,
        loss: LossFunction | None = None,
    ) -> None:
        super().__init__()
        self.watch: Watch | None = None
        self._asked: dict[str, Any] = {"folder": folder, "resume": resume, "figures_every": figures_every}
        self._probes, self._every, self._log, self._loss = probes, every, log, loss
        self._batch: Any = None
        self._index = 0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to watch."""
        if len(trainer.optimizers) != 1:
            raise InputError(
                f"LandscapeCallback: expected one optimizer, got {len(trainer.optimizers)}. Watch one of them in your own "
                "training step: ls.watch(…)."
            )
        logs = [one for one in map(as_log, trainer.loggers) if one is not None] if self._log else []

        def log(values: Any, step: int) -> None:
            for one in logs:
                one(values, step)

        self.watch = Watch(
            pl_module,
            trainer.optimizers[0],
            self._probes,
            self._every,
            step=trainer.global_step,
            log=log if logs else None,
            **self._asked,
        )
        self.watch.__enter__()

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Remember the batch, on its device."""
        self._batch, self._index = batch, batch_idx

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Tell of the step: its gradients are set, unscaled, and not yet clipped."""
        assert self.watch is not None
        loss = self._loss or _loss_of_training_step(trainer, self._index)
        self.watch.step(loss, self._batch, epoch=trainer.current_epoch + 1, clipped=_clipping(trainer, pl_module))

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Save and tell what was seen."""
        self._close(None)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Save what was seen until Ctrl-C or an error."""
        self._close(exception)

    def _close(self, error: BaseException | None) -> None:
        self._batch = None
        if self.watch is not None and self.watch.is_open:
            self.watch.__exit__(None if error is None else type(error), error, None)


def _loss_of_training_step(trainer: Any, index: int) -> LossFunction:
    def loss(module: nn.Module, batch: Any) -> Any:
        with trainer.precision_plugin.train_step_context(), warnings.catch_warnings():
            # The copy has no trainer, which self.log says at every call.
            warnings.filterwarnings("ignore", message=".*self.trainer.* reference is not registered.*")
            try:
                return module.training_step(batch, index)  # type: ignore[operator]
            except RuntimeError as error:
                if "not attached to a `Trainer`" not in str(error):
                    raise
                raise InputError(
                    "LandscapeCallback: training_step asks for its trainer, which a private copy has not. Give the loss: "
                    "LandscapeCallback(loss=lambda module, batch: …)."
                ) from None

    return loss


def _clipping(trainer: Any, module: Any) -> Callable[[Any], Any] | None:
    """What the trainer is about to do to the gradients."""
    from lightning.pytorch.utilities.model_helpers import is_overridden

    most = trainer.gradient_clip_val
    if is_overridden("configure_gradient_clipping", module):
        raise InputError(
            "LandscapeCallback: the module clips gradients in its own way (configure_gradient_clipping), which is not known before "
            "it is done. Watch in your own training step: ls.watch(…)."
        )
    if not most:
        return None
    by_value = str(trainer.gradient_clip_algorithm).endswith("value")
    return clip_by_value(float(most)) if by_value else clip_by_norm(float(most))
