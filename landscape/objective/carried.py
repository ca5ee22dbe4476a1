"""An objective as it is sent to workers: what it was made of, to be made again there and held against its value here."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from landscape.data import Data
from landscape.data.images import ImageData
from landscape.data.tensors import TensorData
from landscape.errors import InputError
from landscape.execution.worker import Recipe, WorkerError
from landscape.objective.flat_module import private_copy
from landscape.objective.signature import ALIKE

if TYPE_CHECKING:
    from landscape.objective.objective import Objective


@dataclass(frozen=True)
class CarriedObjective(Recipe):
    """An objective's module, data and arguments, with its loss at the checkpoint.

    Attributes:
        module: a copy on the CPU, with the weights and buffers of the checkpoint.
        data: the split, or of a large one only what is measured.
        arguments: the others.
        loss: at the checkpoint, in the process that asks.
    """

    module: nn.Module
    data: Data
    arguments: Mapping[str, Any]
    loss: float

    def build(self) -> Objective:
        """The objective, made here.

        Raises:
            WorkerError: where it has another loss at the checkpoint than where it comes from, by more than rounding.
        """
        from landscape.objective.objective import Objective

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # who asks has been told
            made = Objective(self.module, data=self.data, **self.arguments)
        found = made.evaluate().loss
        same = found == self.loss or (math.isnan(found) and math.isnan(self.loss))
        if not same and not abs(found - self.loss) <= ALIKE[made.precision] * abs(self.loss):
            raise WorkerError(
                f"measures a loss of {found:.8g} at the checkpoint, where this process measures {self.loss:.8g}. Give it the same "
                "installation and the same kind of device"
            )
        if not same:
            warnings.warn(
                f"a worker measures a loss of {found!r} at the checkpoint, where the process that asks measures {self.loss!r}: "
                "another kind of processor, or of device, whose values are the same to rounding alone.",
                stacklevel=2,
            )
        return made


def carried(objective: Objective) -> CarriedObjective:
    """What workers are sent of an objective.

    Raises:
        InputError: for a part of an objective.
    """
    if objective.spread.partial:
        raise InputError("executor: takes whole objectives, not a part of one. Make it with samples=[…] instead.")
    indices = objective.indices.cpu()
    data, samples = _needed(objective.data.to("cpu"), indices)
    arguments = {
        **objective._given,
        "samples": samples,
        "precision": objective.precision,
        "compile": objective.compiled,
        "parameters": tuple(objective.theta.layout.names),
        "device": objective.device.type,
    }
    return CarriedObjective(_at_checkpoint(objective), data, arguments, objective.evaluate().loss)


def _needed(data: Data, indices: Tensor) -> tuple[Data, Tensor]:
    """The data, or only the samples that are measured where that is the same bit for bit, and which of it they are."""
    memory = getattr(data, "_memory", data)
    if 2 * len(indices) > len(data) or not isinstance(memory, TensorData | ImageData):
        return data, indices
    if isinstance(memory, ImageData):
        return replace(memory, images=memory.images[indices], labels=memory.labels[indices]), torch.arange(len(indices))
    inputs, targets = memory.batch(indices)
    return replace(memory, inputs=inputs, targets=targets), torch.arange(len(indices))


def _at_checkpoint(objective: Objective) -> nn.Module:
    """A copy of the user's module, on the CPU, as it was when the objective was made: it may have been trained on since."""
    module = private_copy(objective._made._module).cpu()
    flat = objective.structure
    statistics = objective._statistics.layout.views(objective.statistics)
    held = {**dict(flat.named_parameters()), **dict(flat.named_buffers()), **objective.theta.views(), **statistics}
    with torch.no_grad():
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            if name in held and held[name].shape == tensor.shape:
                tensor.copy_(held[name])
    return module
