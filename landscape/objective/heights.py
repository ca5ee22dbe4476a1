"""What is measured at a point beside the loss: the terms of it by name, and metrics, each with its error."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from landscape.errors import InputError, LandscapeError, first_line
from landscape.numerics.statistics import mean_and_standard_error
from landscape.objective.losses import TOTAL, SampleLoss, samples_of

GROUPS = 10  # into which samples are divided for the error of a metric that is no mean over them
RESERVED = frozenset(
    {"loss", "status", "samples", "predicted_loss", "index", "seed", "direction", "x", "y", "z", "parameter_norm"}
)


class Height(NamedTuple):
    """A value over all samples, and its standard error; NaN where that is not known."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class Heights:
    """What is measured beside the loss.

    Attributes:
        metrics: by name, functions ``(outputs, targets)`` or torchmetrics objects.
        loss: whose terms are measured, where it has some.
    """

    metrics: Mapping[str, Any] = field(default_factory=dict)
    loss: SampleLoss | None = None

    def __bool__(self) -> bool:
        return bool(self.metrics) or bool(self.loss and self.loss.terms)

    @property
    def names(self) -> list[str]:
        """What they are called; a metric of several numbers by one name."""
        return [*self.metrics, *(self.loss.terms if self.loss else ())]

    def better(self, name: str) -> str | None:
        """See :meth:`landscape.objective.objective.Objective.better`."""
        if name == TOTAL or (self.loss and name in self.loss.terms):
            return "lower"
        said = getattr(self.metrics.get(name), "higher_is_better", True if name == "accuracy" else None)
        return None if said is None else "higher" if said else "lower"

    def begin(self) -> Collected:
        """For one pass over the samples."""
        return Collected(self)


class Collected:
    """What a pass over the samples gave so far."""

    def __init__(self, heights: Heights) -> None:
        self._heights = heights
        self._values: dict[str, list[Tensor]] = {}
        self._whole: dict[str, _Whole] = {name: _Whole(name, m) for name, m in heights.metrics.items() if _is_torch(m)}
        self._kept: list[tuple[Any, Any]] = []

    def add(self, outputs: Any, targets: Any, samples: int) -> None:
        """The outputs and targets of a batch of so many samples."""
        loss = self._heights.loss
        if loss is not None and loss.terms:
            for name, value in loss.terms_of(outputs, targets, samples).items():
                self._values.setdefault(name, []).append(value.detach())
        keep = False
        for name, metric in self._heights.metrics.items():
            if name in self._whole:
                self._whole[name].add(outputs, targets)
                continue
            made = _called(name, metric, outputs, targets)
            if isinstance(made, Tensor) and made.ndim == 1 and len(made) == samples:
                self._values.setdefault(name, []).append(made.detach())
            else:
                _check_number(name, made)
                keep = True
        if keep:
            self._kept.append((_detached(outputs), _detached(targets)))

    def values(self, in_order: Callable[[Tensor], Tensor], clusters: Tensor | None) -> dict[str, Height]:
        """Each value over all samples."""
        found = {}
        for name, parts in self._values.items():
            whole = in_order(torch.cat([part.cpu().double() for part in parts]))
            found[name] = Height(*mean_and_standard_error(whole, None, clusters))
        for metric in self._whole.values():
            found |= metric.found()
        of_all = [n for n in self._heights.metrics if n not in found and n not in self._whole]
        if of_all and self._kept:
            outputs, targets = (_together([batch[k] for batch in self._kept]) for k in (0, 1))
            for name in of_all:
                found[name] = _of_all(name, self._heights.metrics[name], outputs, targets)
        return found


def mean_height(draws: Sequence[Height]) -> Height:
    """The mean over draws, with the mean error over the samples."""
    if len(draws) == 1:
        return draws[0]
    values, errors = zip(*draws, strict=True)
    return Height(sum(values) / len(values), sum(errors) / len(errors))


def checked_metrics(metrics: Mapping[str, Any] | None) -> dict[str, Any]:
    """Metrics by name, torchmetrics objects as private copies.

    Raises:
        InputError: for what is no mapping of names to functions, and names that a result has already.
    """
    if metrics is None:
        return {}
    if not isinstance(metrics, Mapping):
        raise InputError(f"metrics: expected a mapping of names to metrics, such as {{'f1': …}}, got {metrics!r:.80}.")
    made = {}
    for name, metric in metrics.items():
        if not isinstance(name, str) or not name.isidentifier() or name in RESERVED or name.endswith("_standard_error"):
            raise InputError(
                f"metrics: {name!r} is no usable name. Expected a word that a result does not have already, such as 'f1'; the loss "
                "is measured in any case."
            )
        if isinstance(metric, type) or not callable(metric):
            hint = f" Make one of it: {metric.__name__}(…)." if isinstance(metric, type) else ""
            raise InputError(
                f"metrics: {name} is {metric!r:.80}; expected a function (outputs, targets) or a torchmetrics object.{hint}"
            )
        made[name] = copy.deepcopy(metric) if _is_torch(metric) else metric
    return made


def _is_torch(metric: Any) -> bool:
    """Whether it gathers batch by batch, as torchmetrics do."""
    return all(callable(getattr(metric, name, None)) for name in ("update", "compute", "reset"))


class _Whole:
    """A metric that gathers batch by batch, with its error by leaving out a tenth of the samples at a time.

    SE² = (G − 1)/G Σ (m₍₋g₎ − m̄)², the delete-a-group jackknife; NaN where outputs cannot be cut by samples.
    """

    def __init__(self, name: str, metric: Any) -> None:
        self.name, self._metric = name, metric
        self._metric.reset()
        self._without = [copy.deepcopy(metric) for _ in range(GROUPS)]
        self._seen, self._cut = 0, True

    def add(self, outputs: Any, targets: Any) -> None:
        _called(self.name, self._metric.update, outputs, targets)
        count = len(targets) if isinstance(targets, Tensor) and targets.ndim else 0
        self._cut = self._cut and count > 0 and _has_rows((outputs, targets), count)
        if not self._cut:
            return
        place = (torch.arange(self._seen, self._seen + count) % GROUPS).to(targets.device)
        self._seen += count
        for group, metric in enumerate(self._without):
            rows = (place != group).nonzero().flatten()
            if len(rows):
                metric.update(*_rows((outputs, targets), rows))

    def found(self) -> dict[str, Height]:
        values = _numbers(self.name, self._metric.compute())
        if not self._cut or self._seen < 2 * GROUPS:
            return {name: Height(value, math.nan) for name, value in values.items()}
        others = [_numbers(self.name, metric.compute()) for metric in self._without]
        return {name: Height(value, _jackknife([one[name] for one in others])) for name, value in values.items()}


def _of_all(name: str, metric: Any, outputs: Any, targets: Any) -> Height:
    """One number for all samples, with its error by leaving out a tenth of them at a time."""
    value = float(_called(name, metric, outputs, targets))
    count = samples_of(targets)
    if not _has_rows((outputs, targets), count) or count < 2 * GROUPS:
        return Height(value, math.nan)
    place = torch.arange(count) % GROUPS
    others = []
    for group in range(GROUPS):
        rows = (place != group).nonzero().flatten()
        others.append(float(_called(name, metric, *_rows((outputs, targets), rows))))
    return Height(value, _jackknife(others))


def _jackknife(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return math.sqrt((len(values) - 1) / len(values) * sum((value - mean) ** 2 for value in values))


def _called(name: str, metric: Any, outputs: Any, targets: Any) -> Any:
    try:
        return metric(outputs, targets)
    except LandscapeError:
        raise
    except Exception as error:  # of any kind: it is the user's code
        raise InputError(
            f"metrics: {name} raised {type(error).__name__} for what the module gives and the targets: {first_line(error):.300}. "
            "Expected a function (outputs, targets) that gives one value a sample, or one number for all samples."
        ) from error


def _numbers(name: str, made: Any) -> dict[str, float]:
    """What a metric computed: a number, or several by name."""
    if isinstance(made, Mapping):
        return {
            key: number for part, value in made.items() for key, number in _numbers(f"{name}_{part}", value).items()
        }
    _check_number(name, made)
    return {name: float(made)}


def _check_number(name: str, made: Any) -> None:
    if isinstance(made, Tensor) and made.numel() == 1:
        return
    try:
        float(made)
    except (TypeError, ValueError, RuntimeError):
        shape = f"a tensor of shape {tuple(made.shape)}" if isinstance(made, Tensor) else repr(made)[:80]
        raise InputError(
            f"metrics: {name} gives {shape}; expected one value a sample, or one number for all samples. Take one of several, or "
            "their mean (torchmetrics: average='macro')."
        ) from None


def _has_rows(value: Any, count: int) -> bool:
    leaves = tree_flatten(value)[0]
    return all(isinstance(leaf, Tensor) and leaf.ndim > 0 and len(leaf) == count for leaf in leaves)


def _rows(value: Any, rows: Tensor) -> Any:
    return tree_map(lambda leaf: leaf[rows.to(leaf.device)], value)


def _detached(value: Any) -> Any:
    return tree_map(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, value)


def _together(parts: Sequence[Any]) -> Any:
    """The same of all batches, one after the other."""
    if len(parts) == 1:
        return parts[0]
    flat = [tree_flatten(part) for part in parts]
    try:
        joined = [torch.cat(column) for column in zip(*(leaves for leaves, _ in flat), strict=True)]
    except (TypeError, RuntimeError) as error:
        raise InputError(
            "metrics: one that gives one number for all samples needs batches that can be put together "
            f"({first_line(error):.120}). Give a function with one value a sample, or a torchmetrics object."
        ) from error
    return torch.utils._pytree.tree_unflatten(joined, flat[0][1])
