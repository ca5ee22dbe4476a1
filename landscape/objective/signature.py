"""What an objective is, so that a result can be told to be its own: facts that are equal or not, and values that agree to rounding.

Facts are hashes of θ, of what is not moved and of the data, and choices by name. Values are what the function gives: loss, metric,
outputs and gradient, at the checkpoint and beside it. Any edit of a user's code that changes them is noticed, whichever file it is
in; one that does not (a comment, another name, the same sum written otherwise) is not. What acts only further away is told by
points that a result holds: see :mod:`landscape.objective.again`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from landscape.data.tensors import update_hash
from landscape.errors import MismatchError
from landscape.numerics.parameters import Layout
from landscape.numerics.seeds import generator
from landscape.objective.agreement import elsewhere
from landscape.objective.batches import evenly, tensors_in

if TYPE_CHECKING:
    from landscape.objective.objective import Objective

ATTRIBUTE = "made_by"  # where a result keeps it
# Another machine, device, engine or number of threads changes a mean loss in fp32 by 1e-6 to 1e-5 of its size, and an engine is
# used where outputs agree to 1e-4. What is changed by less than that cannot be told from rounding.
ALIKE = {"fp64": 1e-9, "fp32": 1e-4, "bf16": 5e-2}
DERIVED = 10.0  # so much more for gradients, and for directions that are made of them
CANCELLED = 64.0  # roundings of the outputs, to which a loss far smaller than them is known
NUDGE = 32.0  # roundings by which weights are nudged: fewer may be lost in the first operation
AMPLIFIED = 4.0  # so much more than that: another machine rounds every operation, and not weights alone
# Far enough for losses to be large also where the checkpoint's are nearly zero, and so hardly known: see elsewhere().
BESIDE = 0.5
FEW = 4  # samples whose outputs and gradients are looked at; losses are those of all
PLACES = 16  # entries of a tensor that are looked at, evenly spaced
MOST = 8  # tensors of an output
SHOWN = 3  # differences that an error names
RESUME_ADVICE = "Measure anew without it, or resume what the same call made."
_HASHED = {
    "theta": "parameters",
    "unmoved": "buffers, or the parameters that are not moved,",
    "data": "data",
    "samples": "samples",
    "calibration": "calibration samples",
    "checkpoints": "other checkpoints",
}


@dataclass(frozen=True)
class Numbers:
    """Values that agree with others where each lies within ``relative`` of the largest of them, or within ``absolute``.

    NaN agrees with NaN, and an infinite value with itself. ``said``: whether they say something to people. ``local``: whether they
    depend on what kind of device it is, which is part of their name, and say nothing where the stored ones are of another.
    """

    values: tuple[float, ...]
    relative: float
    absolute: float = 0.0
    said: bool = False
    local: bool = False

    def unlike(self, stored: Sequence[float]) -> int | None:
        """The place of the first value that does not agree with the stored one, or None."""
        if len(stored) != len(self.values):
            return min(len(stored), len(self.values))
        scale = _scale((*self.values, *stored))
        for place, (one, other) in enumerate(zip(self.values, stored, strict=True)):
            same = one == other or (math.isnan(one) and math.isnan(other))
            if not same and not abs(one - other) <= self.relative * scale + self.absolute:
                return place
        return None

    def loosened(self, again: Sequence[float]) -> Numbers:
        """The same, within :data:`AMPLIFIED` times the change to the values of ``again`` too."""
        changes = (abs(a - b) for a, b in zip(self.values, again, strict=False) if math.isfinite(a - b))
        return replace(self, absolute=max(self.absolute, AMPLIFIED * max(changes, default=0.0)))

    @property
    def steady(self) -> bool:
        """Whether rounding cannot pass for a change."""
        return self.absolute <= self.relative * _scale(self.values)


@dataclass(frozen=True)
class Signature:
    """What made a result: ``facts`` by name, compared exactly, and ``numbers`` by name, compared to rounding."""

    facts: Mapping[str, Any]
    numbers: Mapping[str, Numbers]

    def also(self, facts: Mapping[str, Any] | None = None, numbers: Mapping[str, Numbers] | None = None) -> Self:
        """The same with further facts and numbers, such as the settings of a call."""
        return replace(self, facts={**self.facts, **(facts or {})}, numbers={**self.numbers, **(numbers or {})})

    def named(self, prefix: str) -> Self:
        """The same with ``prefix`` before every name, to stand beside another one."""
        return replace(
            self,
            facts={f"{prefix} {name}": value for name, value in self.facts.items()},
            numbers={f"{prefix} {name}": value for name, value in self.numbers.items()},
        )

    def content(self) -> dict[str, Any]:
        """As plain Python, to be stored."""
        return {
            "facts": dict(self.facts),
            "numbers": {name: list(found.values) for name, found in self.numbers.items()},
        }

    def attribute(self) -> dict[str, str]:
        """As the attribute of a result, JSON text."""
        return {ATTRIBUTE: _json(self.content())}

    def unlike(self, stored: Mapping[str, Any]) -> list[str]:
        """One phrase for each fact and value of this one that is another in a stored :meth:`content`."""
        facts, numbers = stored.get("facts", {}), stored.get("numbers", {})
        found = [_of_fact(n, facts.get(n), now) for n, now in self.facts.items() if _json(facts.get(n)) != _json(now)]
        for name, now in self.numbers.items():
            if now.local and name not in numbers:
                continue
            before = numbers.get(name, ())
            place = now.unlike(before)
            if place is not None:
                values = f"was {_shown(before, place)} and is {_shown(now.values, place)}"
                found.append(f"the {name} {values if now.said else 'is another'}")
        return found

    def check(self, stored: Mapping[str, Any] | None, what: str, advice: str) -> None:
        """Refuse what was made otherwise: ``what`` is called so, and ``advice`` is what to try.

        Raises:
            MismatchError: naming what differs; also where nothing is ``stored``.
        """
        if stored is None:
            raise MismatchError(f"{what}: does not say what made it, so nothing shows that it belongs here. {advice}")
        found = self.unlike(stored)
        if found:
            more = f", and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            differs = f"{'; '.join(found[:SHOWN])}{more}"
            raise MismatchError(f"{what}: other code, weights, data or settings made it: {differs}. {advice}")

    def check_resume(self, attributes: Mapping[Any, Any]) -> None:
        """Refuse an earlier result, by its attributes, that another objective or another call made.

        Raises:
            MismatchError: naming what differs.
        """
        self.check(stored_in(attributes), "resume", RESUME_ADVICE)


def _scale(values: Iterable[float]) -> float:
    return max((abs(value) for value in values if math.isfinite(value)), default=0.0)


def stored_in(attributes: Mapping[Any, Any]) -> Mapping[str, Any] | None:
    """The :meth:`Signature.content` that a result's attributes hold; None where they do not say it."""
    text = attributes.get(ATTRIBUTE)
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except json.JSONDecodeError:
        found = None
    return found if isinstance(found, dict) else None


def signature(objective: Objective) -> Signature:
    """What an objective is, taken anew each time, since a loss is an object that may be changed.

    It costs two passes over the samples, and a gradient over :data:`FEW` of them; twice that where rounding grows.
    """
    return Signature(_facts(objective), _numbers(objective))


def tensors_hash(tensors: Iterable[Tensor]) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of shapes, types and values in order, whatever the memory format."""
    hasher = hashlib.sha256()
    update_hash(hasher, list(tensors))
    return hasher.hexdigest()[:16]


def vector_numbers(vectors: Mapping[str, Tensor], layout: Layout, precision: str) -> dict[str, Numbers]:
    """By which each flat vector ``(n,)`` is told from others: its norm, and its products with two that are drawn."""
    found = {name: [float(torch.linalg.vector_norm(vector))] for name, vector in vectors.items()}
    draws = generator(0, "vector numbers")
    for _ in range(2):
        # tensor by tensor, so that the memory format makes no difference
        drawn = layout.pack({slot.name: torch.randn(slot.shape, generator=draws) for slot in layout.slots}).double()
        for name, vector in vectors.items():
            found[name].append(float(vector.cpu().double() @ drawn))
    relative = DERIVED * ALIKE["fp64" if precision == "fp64" else "fp32"]
    return {name: Numbers(tuple(values), relative) for name, values in found.items()}


def reduced(value: Any, name: str, relative: float) -> dict[str, Numbers]:
    """The first :data:`MOST` tensors in ``value`` as few numbers each: mean, root mean square and :data:`PLACES` entries."""
    found = {}
    for number, tensor in enumerate(tensors_in(value)[:MOST], 1):
        flat = (torch.view_as_real(tensor) if tensor.is_complex() else tensor).detach().reshape(-1).cpu().double()
        if flat.numel():
            entries = flat[evenly(flat.numel(), PLACES)]
            values = (float(flat.mean()), float(flat.square().mean().sqrt()), *entries.tolist())
            found[name if number == 1 else f"{name} ({number})"] = Numbers(values, relative)
    return found


def rounding_of(outputs: Mapping[str, Numbers], dtype: torch.dtype) -> float:
    """How well a loss is known that is far smaller than the outputs of which it is a difference."""
    return CANCELLED * _scale(value for one in outputs.values() for value in one.values) * torch.finfo(dtype).eps


def nudged(vector: Tensor) -> Tensor:
    """The same but for roundings: how far that moves a function says how much it makes of another machine's."""
    drawn = torch.randn(vector.shape, generator=generator(0, "nudge")).to(vector)
    moved: Tensor = vector * (1 + NUDGE * torch.finfo(vector.dtype).eps * drawn)
    return moved


def loosened(found: Mapping[str, Numbers], again: Mapping[str, Numbers]) -> dict[str, Numbers]:
    """Numbers that agree also within :data:`AMPLIFIED` times what a nudge changed them by."""
    return {name: numbers.loosened(again[name].values) if name in again else numbers for name, numbers in found.items()}


def few_outputs(objective: Objective, theta: Tensor, where: str) -> dict[str, Numbers]:
    """What the module gives for :data:`FEW` samples at θ, as few numbers; ``where`` is part of their names."""
    few = _few(objective)
    few._load(theta)
    outputs = few._runner.of(few._engine.flat.module).tried(next(iter(few._batches))[0])
    return reduced(outputs, f"output {where}", ALIKE[objective.precision])


def _facts(objective: Objective) -> dict[str, Any]:
    """What is equal or not. θ and the rest without names, which decide nothing."""
    theta, normalised = objective.theta.views(), objective.batch_norm if objective.bn_layers else None
    calibration = objective._calibration
    return {
        "theta": tensors_hash(theta.values()),
        "unmoved": tensors_hash(_unmoved(objective)),
        "data": objective.data.fingerprint(),
        "samples": objective._batches.index_hash(),
        "batch_norm": normalised,
        "batch_size": objective.batch_size if normalised == "batch" or objective.couples else None,
        "calibration": None if calibration is None else [calibration.data.fingerprint(), calibration.index_hash()],
        "precision": objective.precision,
        "compiled": objective.compiled,
        "heights": objective._heights.names or None,
        **({} if objective._draws is None else {"draws": list(objective._draws.seeds)}),
    }


def _unmoved(objective: Objective) -> list[Tensor]:
    """Parameters that are not in θ, and buffers, at the checkpoint; without the counters of batches, which no value follows."""
    module, moved = objective.structure, set(objective.theta.layout.names)
    statistics = objective._statistics.layout.views(objective.statistics)
    rest = {name: p for name, p in module.named_parameters() if name not in moved}
    buffers = {n: b for n, b in module.named_buffers() if not n.endswith("num_batches_tracked")}
    return list({**rest, **buffers, **statistics}.values())


def _numbers(objective: Objective) -> dict[str, Numbers]:
    theta = objective.theta
    run, away = reference_of(objective), elsewhere(theta.vector, theta.layout, step=BESIDE)
    found = _values(run, theta.vector, "at the checkpoint", None)
    try:
        return found | _values(run, away, "beside it", away - theta.vector)
    except Exception:  # of any kind: it is the user's code, at weights that it was not made for
        return found | {"loss beside it": Numbers((math.nan,), 0.0)}


def reference_of(objective: Objective) -> Objective:
    """The same in fp32 where it is in bf16, whose rounding would hide small changes; as it is where it runs in bf16 alone."""
    reference = objective.reference()
    if objective.precision == "bf16":
        try:
            reference.evaluate()
        except Exception:  # of any kind: the user's code
            return objective
    return reference


def _few(objective: Objective) -> Objective:
    """The same over some of its samples, evenly spaced: data is often sorted by class."""
    return objective.part(evenly(objective.n_samples, FEW).to(objective.indices.device))


def _values(objective: Objective, theta: Tensor, where: str, step: Tensor | None) -> dict[str, Numbers]:
    """Loss and metric over all samples, outputs for a few and, with a ``step``, their gradient.

    Where rounding can pass for a change (statistics of few samples, long recurrences), all are known to what a nudge changes.
    """
    close = nudged(theta)
    outputs = loosened(few_outputs(objective, theta, where), few_outputs(objective, close, where))
    found = _losses(objective, theta, where, step, outputs)
    if all(one.steady for one in outputs.values()):
        return found | outputs
    known = loosened(found, _losses(objective, close, where, step, outputs))
    one = 1.5 / objective.n_samples  # a sample whose two best scores are as good as equal
    scored = [name for name in known if not name.startswith(("loss ", "gradient "))]
    return known | outputs | {name: replace(known[name], absolute=max(known[name].absolute, one)) for name in scored}


def _losses(
    objective: Objective, theta: Tensor, where: str, step: Tensor | None, outputs: Mapping[str, Numbers]
) -> dict[str, Numbers]:
    alike, found = ALIKE[objective.precision], objective.evaluate(theta)
    accuracy = () if found.accuracy is None else (found.accuracy,)
    losses = Numbers((found.loss, found.standard_error), alike, rounding_of(outputs, theta.dtype), said=True)
    made = {f"loss {where}": losses, f"accuracy {where}": Numbers(accuracy, alike, said=True)}
    made |= {f"{name} {where}": Numbers((one.value,), alike, said=True) for name, one in found.heights.items()}
    return made if step is None else {**made, f"gradient {where}": _gradient(objective, theta, step)}


def _gradient(objective: Objective, theta: Tensor, step: Tensor) -> Numbers:
    """Norm of the gradient over a few samples, and its slope along a step; NaN where there is none.

    A loss of equal values may have another gradient (a ``detach()``). Beside the checkpoint, because where all is well fitted a
    gradient is mostly rounding.
    """
    relative = DERIVED * ALIKE[objective.precision]
    try:
        gradient = _few(objective).gradient(theta).vector.vector.double()
    except Exception:  # of any kind, as above
        return Numbers((math.nan, math.nan), relative)
    along = step.double() / step.double().norm()
    return Numbers((float(gradient.norm()), float(gradient @ along)), relative)


def _of_fact(name: str, before: Any, now: Any) -> str:
    of, _, key = name.rpartition(" ")
    if key in _HASHED and before is not None and now is not None:
        return f"the {of}{' ' if of else ''}{_HASHED[key]} are others"
    return f"{name} was {_json(before):.80} and is {_json(now):.80}"


def _shown(values: Sequence[float], place: int) -> str:
    return f"{values[place]:.6g}" if place < len(values) else "none"


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
