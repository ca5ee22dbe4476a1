"""Gradient flow: how large the gradient is in every tensor of the network, from the first layer to the last, along training."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn

from landscape.errors import InputError, MismatchError
from landscape.objective.losses import loss_unit
from landscape.results.attributes import labels
from landscape.torch_state.devices import wide_type
from landscape.training.observers import same_run


@dataclass(frozen=True)
class _Tensor:
    """A parameter's place in the network, as :meth:`GradientFlow.dataset` describes it."""

    name: str
    depth: int
    role: str


@dataclass(frozen=True, eq=False)
class _Record:
    """``values`` are mean |∂L/∂w| and ‖∂L/∂w‖₂ of every tensor, shape ``(2, T)``."""

    epoch: int
    step: int
    values: NDArray[np.float64]


class GradientFlow:
    """An observer of training that records the size of the minibatch's gradient in every tensor that is trained.

    Args:
        every: ``"epoch"``, the last minibatch of each epoch, or a number k: every step with a multiple of k updates before it.
        resume: what :meth:`dataset` gave before an interruption. Its records up to the step that training goes on from are
            kept, so that the result is that of a training that was never interrupted.

    Raises:
        InputError: naming ``flow_every``; for a ``resume`` of another kind.
        MismatchError: for a ``resume`` that was recorded at other steps or, at the start, in another training.

    Example:
        >>> flow = ls.GradientFlow(every="epoch")
        >>> _ = ls.fit(net, data, ls.TrainingConfig(epochs=2), observers=[flow])
        >>> flow.dataset()["gradient_norm"].sizes["record"]
        2
    """

    def __init__(self, every: str | int = "epoch", *, resume: xr.Dataset | None = None) -> None:
        self.every = _every(every)
        self._tensors: tuple[_Tensor, ...] = ()
        self._records: list[_Record] = []
        self._loss_name = ""
        self._run: str | None = None
        if resume is not None:
            self._take_up(resume)

    def on_start(self, report: Any) -> None:
        """Look at the network, and forget records that are about to be made again. ``report`` is a ``StartReport``."""
        self._run = same_run(report, self._run)
        self._config, self._steps_per_epoch = report.config, report.steps_per_epoch
        first = self._config.updates_after(len(report.history), self._steps_per_epoch)
        self._records = [record for record in self._records if record.step < first]
        self._loss_name = report.loss_name
        tensors = _tensors(report.module)
        if self._records and tensors != self._tensors:
            raise MismatchError(
                "resume: the gradient flow before was recorded of other tensors than this module trains. "
                "Resume with the model of the run, or start a new one."
            )
        self._tensors = tensors

    def on_step(self, report: Any) -> None:
        """Record the gradients if it is the step's turn. ``report`` is a ``StepReport``."""
        if not self._due(report):
            return
        parameters = dict(report.module.named_parameters())
        values = _sizes([parameters[tensor.name] for tensor in self._tensors])
        self._records.append(_Record(report.epoch, report.step, values))

    def on_epoch(self, report: Any) -> None:
        return

    def on_end(self, result: Any) -> None:
        return

    def dataset(self, attrs: Mapping[str, str | int | float] | None = None) -> xr.Dataset:
        """All records so far: a Dataset of kind ``gradient_flow`` with the dimensions ``(record, tensor)``, at any time.

        Variables: ``mean_abs_gradient``, the mean over a tensor's elements of |∂L/∂w|, and ``gradient_norm``, ‖∂L/∂w‖₂. Summed
        in float64 (float32 on MPS); zero where no gradient reached a tensor; NaN and ±inf are values that were measured.

        Coordinates: ``epoch`` (1-based) and ``step`` (updates made before) by record; ``tensor``, the parameter's name; ``role``,
        ``weight`` (more than one dimension), ``scale`` or ``shift`` (γ or β of a normalisation layer), ``bias`` or ``vector`` (any
        other); ``depth``, the 1-based place of its layer among those with a weight, in the order in which the module names
        them. A normalisation layer or a lone vector has the depth of the layer before it (1 before the first).

        Args:
            attrs: further attributes, which prevail.

        Example:
            >>> flow = ls.GradientFlow(every=1)
            >>> _ = ls.fit(net, data, ls.TrainingConfig(epochs=1, batch_size=20), observers=[flow])
            >>> flow.dataset()["tensor"].values.tolist()
            ['0.weight', '0.bias', '2.weight', '2.bias']
        """
        unit = loss_unit(self._loss_name)
        shape = (len(self._records), 2, len(self._tensors))
        values = np.array([record.values for record in self._records], dtype=np.float64).reshape(shape)
        steps = np.array([[record.epoch, record.step] for record in self._records], dtype=np.int64).reshape(-1, 2)
        dims, names = ("record", "tensor"), [tensor.name for tensor in self._tensors]
        return xr.Dataset(
            {
                "mean_abs_gradient": (dims, values[:, 0], labels("mean over the tensor of |∂L/∂w|", unit)),
                "gradient_norm": (dims, values[:, 1], labels("Euclidean norm of ∂L/∂w", unit)),
            },
            coords={
                "epoch": ("record", steps[:, 0], labels("epoch")),
                "step": ("record", steps[:, 1], labels("updates made before the step")),
                "tensor": ("tensor", np.array(names, dtype=object), labels("name of the parameter")),
                "depth": (
                    "tensor",
                    np.array([tensor.depth for tensor in self._tensors], dtype=np.int64),
                    labels("place of the tensor's layer among those with a weight"),
                ),
                "role": (
                    "tensor",
                    np.array([tensor.role for tensor in self._tensors], dtype=object),
                    labels("what the tensor does in its layer"),
                ),
            },
            attrs={
                "kind": "gradient_flow",
                "title": "Gradient flow",
                "loss_name": self._loss_name,
                "flow_every": self.every,
                **({"run": self._run} if self._run else {}),
                **(attrs or {}),
            },
        )

    def _due(self, report: Any) -> bool:
        if isinstance(self.every, int):
            return bool(report.step % self.every == 0)
        return bool(report.step + 1 == self._config.updates_after(report.epoch, self._steps_per_epoch))

    def _take_up(self, resume: xr.Dataset) -> None:
        if resume.attrs.get("kind") != "gradient_flow":
            raise InputError(
                f"resume: expected a result of kind 'gradient_flow', got kind {resume.attrs.get('kind')!r}."
            )
        if resume.attrs.get("flow_every") != self.every:
            raise MismatchError(
                f"resume: flow_every was {resume.attrs.get('flow_every')!r} and is now {self.every!r}. "
                "Record as before, or start a new run."
            )
        self._loss_name = str(resume.attrs.get("loss_name", ""))
        self._run = str(resume.attrs.get("run", ""))
        places = zip(resume["tensor"].values, resume["depth"].values, resume["role"].values, strict=True)
        self._tensors = tuple(_Tensor(str(name), int(depth), str(role)) for name, depth, role in places)
        values = np.stack([resume["mean_abs_gradient"].values, resume["gradient_norm"].values], axis=1)
        steps = zip(resume["epoch"].values, resume["step"].values, values, strict=True)
        self._records = [_Record(int(epoch), int(step), found) for epoch, step, found in steps]


def _sizes(parameters: Sequence[nn.Parameter]) -> NDArray[np.float64]:
    """Mean magnitude and norm of every tensor's gradient ``(2, T)``; they leave the device together."""
    wide = wide_type(parameters[0].device)
    zero = torch.zeros((), dtype=wide, device=parameters[0].device)
    sums, norms = [], []
    for gradient in (parameter.grad for parameter in parameters):
        sums.append(zero if gradient is None else _norm(gradient, 1, wide))
        norms.append(zero if gradient is None else _norm(gradient, 2, wide))
    sizes = np.array([[parameter.numel() for parameter in parameters], [1] * len(parameters)])
    values: NDArray[np.float64] = torch.stack([*sums, *norms]).cpu().double().numpy().reshape(2, -1) / sizes
    return values


def _norm(gradient: Tensor, order: int, wide: torch.dtype) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(gradient.to_dense(), order, dtype=wide)
    return norm


def _tensors(module: nn.Module) -> tuple[_Tensor, ...]:
    """Every parameter that requires a gradient, with its layer's depth and its role."""
    layers: dict[str, list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in module.named_parameters():
        layers.setdefault(_owner(name), []).append((name, parameter))
    found, depth = [], 0
    for owner, owned in layers.items():
        norm = _is_norm(module.get_submodule(owner))
        depth += not norm and any(parameter.ndim > 1 for _, parameter in owned)
        found += [_Tensor(n, max(depth, 1), _role(n, p.ndim, norm)) for n, p in owned if p.requires_grad]
    return tuple(found)


def _owner(name: str) -> str:
    """The layer that a parameter belongs to; torch.nn.utils.parametrizations keep a weight in modules below it."""
    before, parametrized, _ = f".{name}".partition(".parametrizations.")
    return before[1:] if parametrized else name.rpartition(".")[0]


def _role(name: str, ndim: int, norm: bool) -> str:
    own_name = name.rpartition(".")[2]
    if norm and own_name in ("weight", "bias"):
        return "scale" if own_name == "weight" else "shift"
    if ndim > 1:
        return "weight"
    return "bias" if "bias" in own_name else "vector"


def _is_norm(layer: nn.Module) -> bool:
    """BatchNorm2d, LayerNorm, RMSNorm and the like, and what is derived from them: by name, as many are home-made."""
    return any(re.search(r"norm(\dd)?$", kind.__name__, re.IGNORECASE) for kind in type(layer).__mro__)


def _every(value: Any) -> str | int:
    if value == "epoch":
        return "epoch"
    try:
        number = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise InputError(f"flow_every: expected 'epoch' or a number of steps of at least 1, got {value!r}. Try epoch.")
    return number
