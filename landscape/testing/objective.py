"""Is this objective what its user means? Every property of it, each held against something that the objective is not made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from landscape.errors import LandscapeError
from landscape.objective.losses import loss_name
from landscape.objective.objective import Objective
from landscape.testing import derivatives, picture, values
from landscape.testing.case import Case, said
from landscape.testing.plain import kept_generators
from landscape.testing.report import Finding, Report
from landscape.testing.untouched import changed, listed, trace

Check = Callable[[Case], Iterator[Finding]]
CHECKS: tuple[Check, ...] = (
    values.per_sample,
    values.outputs_alone,
    values.value,
    values.deterministic,
    values.order,
    picture.finite,
    picture.alive,
    derivatives.gradient_and_hessian,
    picture.batch_norm,
    picture.moved,
    picture.inputs,
    picture.labels,
    picture.weights,
    picture.line,
)


def check_objective(module: nn.Module, loss: Any = "cross_entropy", data: Any = None, **arguments: Any) -> Report:
    """Whether landscape measures what you mean, and whether its picture can be believed.

    Everything is held against your own code, run plainly: the loss at the checkpoint against ``loss(module.eval()(x), y)`` over all
    samples; the gradient and a Hessian product, over a few samples in float64, against differences; the module, the data and the
    generators against themselves before. It then looks for the usual reasons of a picture that looks wrong. Takes the time of
    some twenty evaluations; ``samples=`` makes it shorter.

    ```python
    report = ls.testing.check_objective(net, loss, data)
    print(report)
    report.raise_if_wrong()
    ```

    Args:
        module, loss, data, arguments: as :class:`~landscape.objective.objective.Objective` takes them.

    Returns:
        A finding for each property. Where an objective cannot be made there is one, with the reason.
    """
    subject = f"{type(module).__name__}, {loss_name(loss)}"
    with kept_generators():
        found, objective = _made(module, loss, data, arguments)
        if objective is not None:
            subject += f", {objective.n_samples} samples of {objective.data.name}"
            case = Case(module, loss, data, arguments, objective)
            for check in CHECKS:
                found += _looked_at(check, case)
    return Report(subject, tuple(found))


def _made(module: nn.Module, loss: Any, data: Any, arguments: dict[str, Any]) -> tuple[list[Finding], Objective | None]:
    """An objective that was used as probes use one, and whether all else is as it was."""
    before = trace(module, loss, data) if isinstance(module, nn.Module) else {}
    if (shared := _shared(module)) is not None:
        return [shared], None
    try:
        objective = Objective(module, loss, data, **arguments)
    except LandscapeError as error:
        return [Finding("objective", False, str(error))], None
    except Exception as error:
        sentence = f"your module or loss raises {said(error)}. Does loss(module(x), y) run for a batch of your data?"
        return [Finding("objective", False, sentence)], None
    found = [Finding("objective", True, "can be made of your module, loss and data.")]
    found += _used(objective)
    names = changed(before, trace(module, loss, data))
    if names:
        sentence = (
            f"not as before: {listed(names)}. Something in your module, loss or data writes there when it is called; "
            "let it keep no state outside itself and draw from torch's generators alone."
        )
    else:
        sentence = "your module, data, random states and PyTorch's settings are bit for bit as before."
    return [*found, Finding("restored", not names, sentence, {"changed": len(names)})], objective


def _shared(module: Any) -> Finding | None:
    """A copy that shares memory with the module would be written into in its place."""
    import copy

    if not isinstance(module, nn.Module):
        return None
    try:
        private = dict(copy.deepcopy(module).named_parameters())
    except Exception:  # which the objective says better
        return None
    same = [n for n, p in module.named_parameters() if n in private and p.numel() and private[n] is p]
    if not same:
        return None
    sentence = (
        f"copy.deepcopy(module) shares {listed(same)} with your module, so that measuring would write into it. "
        "Its __deepcopy__ has to make new parameters."
    )
    return Finding("restored", False, sentence)


def _used(objective: Objective) -> list[Finding]:
    """Value, gradient and product once, as probes ask for them; what is refused here is said by the properties themselves."""
    few = objective.part(torch.arange(min(4, objective.n_samples)))
    found: list[Finding] = []
    for act in (objective.evaluate, few.gradient, lambda: few.hessian_product(few.theta.vector)):
        try:
            act()
        except Exception:
            break
    return found


def _looked_at(check: Check, case: Case) -> list[Finding]:
    """The findings of one check; where the user's own code raises on the way, that it cannot be told."""
    found: list[Finding] = []
    try:
        found.extend(check(case))
    except LandscapeError as error:
        found.append(Finding(check.__name__.replace("_", " "), False, str(error)))
    except Exception as error:
        sentence = f"cannot be told: {said(error)}"
        found.append(Finding(check.__name__.replace("_", " "), None, sentence))
    return found
