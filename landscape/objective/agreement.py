"""Whether another way of running a module gives what the module itself gives: at the checkpoint, and away from it.

One place is not enough. Where a checkpoint's residual branches, or its last layer, are still zero, or BatchNorm's weights one and
its means zero, nearly everything agrees.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from landscape.numerics.parameters import Layout
from landscape.numerics.seeds import generator
from landscape.objective.batch_norm import RunningStatistics
from landscape.objective.batches import PreparedBatches
from landscape.objective.engines import Engine, PlainEngine
from landscape.objective.flat_module import FlatModule
from landscape.objective.runner import Runner, agree

STEP = 0.1  # in units of a tensor's root mean square
FEEBLE = 1e-3  # a tensor this small is moved as if its size were the following
SIZE_OF_FEEBLE = 0.1


class Agreement:
    """The module's own outputs for the first batch, at the checkpoint and elsewhere, for engines to be held against.

    Elsewhere a module in bf16 runs in fp32: there its rounding may be any size, and it is what is computed that is compared.
    It is left out where the module cannot run there, or has outputs that are not finite.

    Args:
        runner: how the module is run.
        flat: the module as it is, at the checkpoint; at it again afterwards.
        statistics: its running statistics.
        batches: of which the first is run.
        outputs: of the first batch at the checkpoint, which were made before.
    """

    def __init__(
        self, runner: Runner, flat: FlatModule, statistics: RunningStatistics, batches: PreparedBatches, outputs: Any
    ) -> None:
        wide = replace(runner, precision="fp32") if runner.precision == "bf16" else runner
        self._runners, self._batches = (runner, wide), batches
        self._layouts = flat.layout, statistics.layout
        self._checkpoint = flat.vector.clone(), statistics.vector.clone()
        self._variances = statistics.variance_mask()
        self._expected = [outputs]
        plain = PlainEngine(flat, statistics)
        try:
            plain.load(*self._elsewhere())
            found = self._outputs(plain, wide)
            if isinstance(found, Tensor) and bool(found.isfinite().all()):
                self._expected.append(found)
        except Exception:  # of any kind: it is the user's code, at weights that it was not made for
            pass
        finally:
            plain.load(*self._checkpoint)

    def __call__(self, engine: Engine) -> bool:
        """Whether the engine's outputs are the module's own; it is at the checkpoint afterwards."""
        try:
            for runner, state, expected in zip(self._runners, self._states(), self._expected, strict=False):
                engine.load(*state)
                if not agree(self._outputs(engine, runner), expected, runner.precision):
                    return False
            return True
        finally:
            engine.load(*self._checkpoint)

    def _outputs(self, engine: Engine, runner: Runner) -> Any:
        return runner.of(engine.flat.module).tried(next(iter(self._batches))[0])

    def _states(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield self._checkpoint
        yield self._elsewhere()

    def _elsewhere(self) -> tuple[Tensor, Tensor]:
        (theta, statistics), (layout, named) = self._checkpoint, self._layouts
        moved = elsewhere(statistics, named)
        # A variance stays one: it grows by as much as the others move.
        grown = statistics + (moved - statistics).abs()
        return elsewhere(theta, layout), torch.where(self._variances, grown, moved)


def elsewhere(vector: Tensor, layout: Layout, *which: int, step: float = STEP) -> Tensor:
    """A point nearby, the same each time and in every memory format: every tensor moves by ``step`` times its root mean square.

    Tensors that are zero move too, as if their size were a tenth. ``which`` of such points.
    """
    draws = generator(0, "elsewhere", *which)
    drawn = {slot.name: torch.randn(slot.shape, generator=draws) for slot in layout.slots}
    moved = layout.pack(drawn, dtype=vector.dtype, device=vector.device) if drawn else torch.zeros_like(vector)
    steps = layout.views(moved)
    for name, view in layout.views(vector).items():
        size = float(view.square().mean().sqrt()) if view.numel() else 0.0
        steps[name].mul_(step * (size if size > FEEBLE else SIZE_OF_FEEBLE))
    return vector + moved
