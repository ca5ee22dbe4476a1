"""Why a picture may look wrong though every number is right: BatchNorm, inputs, labels, weights, the range, too few samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from landscape.numerics.directions import random_direction
from landscape.numerics.statistics import mean_and_standard_error
from landscape.objective.batch_norm import batch_norm_layers
from landscape.objective.batches import tensors_in
from landscape.objective.subspace import Subspace
from landscape.probes.health import network_health
from landscape.testing.case import Case, number
from landscape.testing.plain import seeded
from landscape.testing.report import Finding
from landscape.testing.state import (
    YOUNG,
    initial_share,
    least_updated,
    listed,
    of_weights,
    tensors_of,
    untouched_statistics,
)
from landscape.testing.watching import described, first_not_finite, watched

LINE = (-1.0, -0.3, -0.1, 0.0, 0.1, 0.3, 1.0)
FLAT = 1e-6  # of the loss: what rounding in fp32 leaves of a constant
HUGE = 1e3
UNSURE = 0.1  # a standard error this large, of what the loss changes by, hides its shape
SHIFT, STRETCH = 1.0, 4.0  # of running statistics: in standard deviations, and as a ratio of variances
BYTES = 50.0


def finite(case: Case) -> Iterator[Finding]:
    """Whether the outputs are finite, and where they stop to be."""
    outputs = [tensor for tensor in tensors_in((case.outputs,)) if tensor.is_floating_point()]
    bad = sum(int((~tensor.isfinite()).sum()) for tensor in outputs)
    if bad or not math.isfinite(case.loss_here):
        yield Finding("finite outputs", False, _not_finite(case, bad), {"entries": bad})
        return
    yield Finding("finite outputs", True, "every output is a finite number, and so is the loss.")


def alive(case: Case) -> Iterator[Finding]:
    """Whether a gradient reaches the weights."""
    if not math.isfinite(case.loss_here):
        return
    health = network_health(case.objective, case.loss_here)
    numbers = {"gradient": health.gradient}
    if health.dead:
        sentence = f"dead network: {health.reason}. Its flat picture says nothing about smoothness."
        yield Finding("alive", False, sentence, numbers)
    else:
        part = f"; {health.part}" if health.part else ""
        sentence = f"not dead: the median weight tensor has mean |gradient| {health.gradient:.1e}{part}."
        yield Finding("alive", True, sentence, numbers)


def _not_finite(case: Case, bad: int) -> str:
    inputs = [tensor for tensor in tensors_in((case.samples[0],)) if tensor.is_floating_point()]
    if not all(bool(tensor.isfinite().all()) for tensor in inputs):
        return "the inputs hold NaN or infinite numbers. Clean the data, or leave these samples out by samples=."
    if not bad:
        return f"the outputs are finite and the loss is {case.loss_here}: look at the loss (a logarithm or division of 0?)."
    plain = case.plain()
    with torch.no_grad(), seeded(), watched(plain.module) as passages:
        plain.outputs(case.samples[0])
    names = first_not_finite(passages)
    where = f" They begin in {described(plain.module, names)}." if names else ""
    return (
        f"{bad} output entries at the checkpoint are NaN or infinite.{where} Is the training diverged, or a weight NaN?"
    )


def batch_norm(case: Case) -> Iterator[Finding]:
    """Which BatchNorms there are, under which policy, and whether their statistics are those of a training."""
    layers = batch_norm_layers(case.module)
    if not layers:
        return
    policy = case.objective.batch_norm
    untaken = _untaken(case, layers) if policy in ("frozen", "interpolated") else None
    if untaken is not None:
        yield Finding("BatchNorm", False, untaken, {"layers": len(layers)})
        return
    training = sum(layer.training for layer in layers.values())
    frozen = sum(not p.requires_grad for layer in layers.values() for p in layer.parameters())
    notes = [f"{len(layers)} layers under the policy {policy}, which every result names"]
    if training:
        notes.append(f"{training} of yours are in training mode, which makes no difference here")
    if frozen:
        notes.append(f"{frozen} of their weights and biases do not require grad")
    yield Finding("BatchNorm", True, f"{'; '.join(notes)}.", {"layers": len(layers), "frozen_parameters": frozen})


def _untaken(case: Case, layers: Mapping[str, _BatchNorm]) -> str | None:
    """What is wrong with running statistics that no training, or hardly one, has taken."""
    tensors = tensors_of(case.module.state_dict())
    fresh = [name for name in untouched_statistics(tensors)[0] if name in layers or name == "the module"]
    advice = "Run training batches through the module in training mode first, or choose batch_norm='reestimated'."
    if fresh:
        return (
            f"{len(fresh)} of {len(layers)} BatchNorms ({listed(fresh)}) have the running statistics that they were made with, "
            f"0 and 1, and the policy {case.objective.batch_norm} uses them. {advice}"
        )
    name, updates = least_updated(tensors) or ("", 0)
    momentum = getattr(layers.get(name), "momentum", None)
    if updates and momentum is not None and initial_share(updates, momentum) > YOUNG:
        return (
            f"the running statistics of {name} are of {updates} batches, so that {100 * initial_share(updates, momentum):.0f} % "
            f"of them is still the 0 and 1 that they began with. {advice}"
        )
    return None


def moved(case: Case) -> Iterator[Finding]:
    """Which parameters make up θ, beside which require grad."""
    named = dict(case.module.named_parameters())
    names = case.objective.theta.layout.names
    frozen = [name for name in names if name in named and not named[name].requires_grad]
    if unseen := _unregistered(case.module):
        sentence = (
            f"{listed(unseen)} holds layers or parameters in a plain list or mapping, where PyTorch does not see them: not "
            "moved here, nor trained by module.parameters(). Use nn.ModuleList; what is hidden on purpose may stay."
        )
        yield Finding("registered", None, sentence, {"attributes": len(unseen)})
    numbers = {"moved": len(names), "tensors": len(named), "moved_without_grad": len(frozen)}
    if frozen and case.arguments.get("parameters") is None:
        sentence = (
            f"{len(frozen)} of the {len(names)} tensors that are moved do not require grad ({listed(frozen)}). If they were frozen "
            "in training, leave them out by parameters=."
        )
        yield Finding("moved", None, sentence, numbers)
    else:
        count = "all" if len(names) == len(named) else f"{len(names)} of {len(named)}"
        yield Finding("moved", True, f"{count} parameter tensors make up θ: {listed(list(names))}.", numbers)


def _unregistered(module: nn.Module) -> list[str]:
    """Attributes that hold modules or parameters which are not the module's own."""
    own = {id(thing) for thing in (*module.modules(), *module.parameters())}
    found = []
    for name, part in module.named_modules():
        for key, value in vars(part).items():
            held = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
            if not key.startswith("_") and any(
                isinstance(x, nn.Module | nn.Parameter) and id(x) not in own for x in held
            ):
                found.append(f"{name}.{key}" if name else key)
    return found


def inputs(case: Case) -> Iterator[Finding]:
    """Whether inputs are prepared as in training: by the first BatchNorm's statistics, or raw bytes of images."""
    first = _first_statistics(case)
    if first is not None and _untaken(case, batch_norm_layers(case.module)) is None:
        name, shift, stretch = first
        numbers = {"shift": shift, "variance_ratio": stretch}
        if shift > SHIFT or not 1 / STRETCH < stretch < STRETCH:
            sentence = (
                f"what goes into the first BatchNorm, {name}, is not what its running statistics were taken of: its mean is "
                f"{shift:.1f} standard deviations away and its variance {stretch:.2g} times theirs. Normalise the inputs as in "
                "training, or take statistics of this data: batch_norm='reestimated'."
            )
            yield Finding("inputs", False, sentence, numbers)
        else:
            sentence = f"as in training, by the first BatchNorm's statistics ({shift:.1f} standard deviations off)."
            yield Finding("inputs", True, sentence, numbers)
    if first is not None:
        return
    images = [t for t in tensors_in((case.samples[0],)) if t.is_floating_point() and t.ndim >= 3]
    raw = [t for t in images if float(t.min()) >= 0 and float(t.max()) > BYTES and bool((t == t.round()).all())]
    if raw:
        sentence = f"whole numbers from 0 to {float(raw[0].max()):.0f} look like raw bytes of images. Normalise as in training."
        yield Finding("inputs", False, sentence, {"largest": float(raw[0].max())})


def _first_statistics(case: Case) -> tuple[str, float, float] | None:
    """The first BatchNorm with statistics of its own: how far the inputs' mean is from them, and the ratio of variances."""
    if case.objective.batch_norm not in ("frozen", "interpolated"):
        return None
    plain = case.plain()
    tensors = tensors_of(case.module.state_dict())
    fresh = set(untouched_statistics(tensors)[0])
    with torch.no_grad(), seeded(), watched(plain.module) as passages:
        plain.outputs(case.samples[0])
    layers = batch_norm_layers(plain.module)
    # In the order of calls: which BatchNorm comes first is for forward() to say, and names do not.
    name = next((n for n in passages if n in layers and n not in fresh and passages[n]), None)
    if name is None or layers[name].running_mean is None:
        return None
    mean, variance = layers[name].running_mean, layers[name].running_var
    assert mean is not None
    assert variance is not None
    rows = torch.cat([call.went_in[0].transpose(0, 1).flatten(1) for call in passages[name]], dim=1)
    if rows.shape[1] < 2:
        return None
    found, spread = rows.mean(1), rows.var(1)
    shift = ((found - mean).abs() / (variance + layers[name].eps).sqrt()).median()
    stretch = ((spread + layers[name].eps) / (variance + layers[name].eps)).median()
    return name, float(shift), float(stretch)


def labels(case: Case) -> Iterator[Finding]:
    """Whether predictions and labels have to do with each other, and whether classes are numbered otherwise."""
    scores, targets = case.outputs, case.samples[1]
    if not isinstance(scores, Tensor) or not isinstance(targets, Tensor) or scores.ndim != 2 or targets.ndim != 1:
        return
    if targets.is_floating_point() or scores.shape[1] < 2 or int(targets.min()) < 0:
        return
    classes, count = scores.shape[1], len(targets)
    guesses, targets = scores.argmax(1).cpu(), targets.cpu().long()
    accuracy = float((guesses == targets).double().mean())
    share = float(torch.bincount(targets).max() / count)
    chance = max(1 / classes, share)
    error = math.sqrt(chance * (1 - chance) / count)
    numbers = {"accuracy": accuracy, "chance": chance, "classes": classes}
    matched = _matched(guesses, targets, classes) if count >= 10 * classes else accuracy
    if matched > max(accuracy + 0.3, chance + 0.3):
        sentence = (
            f"accuracy {accuracy:.3f}, and {matched:.3f} if the classes were numbered otherwise. Order the labels as in training "
            "(folders by name, labels from 0?)."
        )
        yield Finding("labels", False, sentence, {**numbers, "renumbered": matched})
    elif accuracy > chance + 3 * error:
        yield Finding(
            "labels",
            True,
            f"predicted better than by guessing: accuracy {accuracy:.3f}, guessing {chance:.3f}.",
            numbers,
        )
    else:
        yield Finding("labels", None, _guessing(case, accuracy, chance, classes), numbers)


def _guessing(case: Case, accuracy: float, chance: float, classes: int) -> str:
    worse = math.isfinite(case.loss_here) and case.loss_here > 2 * math.log(classes)
    return (
        f"accuracy {accuracy:.3f} is that of guessing ({chance:.3f})"
        + (f", and the loss {number(case.loss_here)} is worse than guessing's {math.log(classes):.3g}" if worse else "")
        + ". If the network is trained: is the checkpoint loaded, do labels belong to these inputs, are inputs normalised?"
    )


def _matched(guesses: Tensor, targets: Tensor, classes: int) -> float:
    """The accuracy under the best renumbering of the classes."""
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((classes, classes))
    np.add.at(counts, (guesses.numpy(), targets.clamp(max=classes - 1).numpy()), 1)
    rows, columns = linear_sum_assignment(-counts)
    return float(counts[rows, columns].sum() / len(targets))


def weights(case: Case) -> Iterator[Finding]:
    """Whether weights are finite, and whether a checkpoint was loaded at all."""
    yield from of_weights(tensors_of(case.module.state_dict()), "the module")


def line(case: Case) -> Iterator[Finding]:
    """A random line, filter-normalised, from −1 to 1: whether the loss moves, stays in bounds, and is known well enough."""
    objective = case.objective
    if objective.batch_norm == "interpolated" and objective.statistics.numel():
        return  # which random directions do not know
    direction = random_direction(objective.theta, seed=0)
    found = objective.evaluate_points(Subspace(objective.theta, [direction]), np.array(LINE)[:, None])
    loss = found.loss
    here = float(loss[LINE.index(0.0)])
    known = loss[np.isfinite(loss)]
    spread = float(known.max() - known.min()) if known.size else math.nan
    numbers = {"checkpoint": here, "range": spread}
    yield _range(loss, here, spread, numbers)
    yield _origin(case, here)
    if known.size > 1 and spread > 0:
        farthest = int(np.nanargmax(np.where(np.isfinite(loss), np.abs(loss - here), np.nan)))
        yield _error(case, direction.vector * LINE[farthest], abs(float(loss[farthest]) - here))


def _range(loss: np.ndarray[Any, Any], here: float, spread: float, numbers: dict[str, float]) -> Finding:
    near = loss[[abs(t) <= 0.1 for t in LINE]]
    if not np.isfinite(near).all():
        sentence = (
            "the loss is NaN or infinite a tenth of the weights' length from the checkpoint. Is the training diverged?"
        )
        return Finding("range", False, sentence, numbers)
    if spread <= FLAT * max(abs(here), 1e-30):
        sentence = (
            f"the loss stays {number(here)} along a random line of the weights' own length. The parameters do not reach the loss: "
            "a dead network, parameters= of an unused part, or a forward= that leaves the network out."
        )
        return Finding("range", False, sentence, numbers)
    if not np.isfinite(loss).all() or spread > HUGE * max(abs(here), 1e-30):
        top = "NaN or infinity" if not np.isfinite(loss).all() else number(float(loss.max()))
        sentence = f"from {number(here)} at the checkpoint to {top} within −1 to 1: choose a narrower range, as x=(-0.1, 0.1, 25)."
        return Finding("range", None, sentence, numbers)
    return Finding(
        "range",
        True,
        f"along a random line from −1 to 1 the loss is {number(float(loss.min()))} to {number(float(loss.max()))}.",
        numbers,
    )


def _origin(case: Case, here: float) -> Finding:
    """The middle of a line is the checkpoint."""
    gap = abs(here - case.loss_here) / max(abs(case.loss_here), 1e-30)
    same = gap <= case.tolerance or here == case.loss_here
    sentence = (
        "the middle of a line has the checkpoint's own loss."
        if same
        else f"the middle of a line has the loss {number(here)}, the checkpoint itself {number(case.loss_here)}."
    )
    return Finding("origin", same, sentence, {"middle": here, "checkpoint": case.loss_here})


def _error(case: Case, step: Tensor, rise: float) -> Finding:
    """Whether the loss's change is larger than its error, which is one of differences: both places have the same samples."""
    objective, count = case.objective, case.objective.n_samples
    here, there = objective.per_sample(), objective.per_sample(objective.theta.vector + step)
    _, error = mean_and_standard_error(there - here)
    numbers = {"rise": rise, "standard_error": error, "samples": count}
    if not math.isfinite(error):
        return Finding("samples", None, "cannot be told from one sample, or from losses that are not finite.", numbers)
    if error <= UNSURE * rise:
        sentence = f"enough: the loss changes by {rise:.2g} along the line, known to ± {error:.1g}."
        return Finding("samples", True, sentence, numbers)
    wanted = math.ceil(count * (error / (UNSURE * max(rise, 1e-300))) ** 2)
    sentence = (
        f"few: along the line the loss changes by {rise:.2g}, known over {count} samples to ± {error:.1g}. Some {wanted:,} would "
        "make that a tenth; until then the shape of the picture is that of these samples."
    )
    return Finding("samples", None, sentence, numbers)
