"""Of an objective's values: one a sample, your own code's, the same every time and in every order."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from landscape.objective.batches import map_tensors, tensors_in
from landscape.objective.objective import Objective
from landscape.objective.watched import leaves_of
from landscape.testing.case import Case, apart, number, said
from landscape.testing.plain import Plain, reduced, rows_of, seeded
from landscape.testing.report import Finding
from landscape.testing.watching import alike_at_the_end, blamed, close_at_the_end, described, equal, runs

COUPLED = 1e-3  # of the size of an output: more than rounding in fp32 does when a batch has another size


def per_sample(case: Case) -> Iterator[Finding]:
    """Two samples alone against the same two at the end of a batch: first what the module gives, then the loss."""
    name = "per sample"
    inputs, targets = case.few
    if case.objective.n_samples < 4:
        yield Finding(name, None, "cannot be told from fewer than four samples.")
        return
    if case.batches_matter and case.objective.couples != "the module":
        intended = case.objective.batch_norm == "batch"
        sentence = f"{case.batches_matter}. The batch size is part of every result: choose it by batch_size=."
        yield Finding(name, True if intended else None, sentence)
        return
    plain = case.own
    with torch.no_grad(), seeded():
        alone, inside = (plain.outputs(some, len(case.places)) for some in (rows_of(inputs, slice(-2, None)), inputs))
    pairs = zip(tensors_in((alone,)), tensors_in((inside,)), strict=False)
    if not all(close_at_the_end(a, b, COUPLED) for a, b in pairs):
        yield Finding(name, False, _coupled_by(case, plain, inputs))
        return
    yield _of_loss(name, plain, inside, plain.placed(targets))


def _coupled_by(case: Case, plain: Plain, inputs: Any) -> str:
    """Which modules give other outputs for a sample in other company."""
    module = copy.deepcopy(plain.module)
    forward = case.arguments.get("forward")
    watcher = case.plain() if forward is None else plain
    watcher.module = module
    with seeded():
        few, many = runs(
            module,
            lambda: watcher.outputs(rows_of(inputs, slice(-2, None)), len(case.places)),
            lambda: watcher.outputs(inputs, len(case.places)),
        )
    names = blamed(few, many, alike_at_the_end(COUPLED))
    where = described(module, names) if names else type(module).__name__
    return (
        f"the module's outputs for a sample depend on the other samples of its batch, in {where}. Usual causes: "
        "batch_first left out of an LSTM or attention, a mean or softmax over dimension 0, BatchNorm without running statistics."
    )


def _of_loss(name: str, plain: Plain, outputs: Any, targets: Any) -> Finding:
    """Whether the loss of a batch is made of its samples' own: values one each, or a sum or mean of such."""
    with torch.no_grad(), seeded():
        values = plain.loss(outputs, targets)
        alone = [plain.loss(*(rows_of(v, slice(k, k + 1)) for v in (outputs, targets))) for k in range(4)]
        pairs = {
            (i, j): float(reduced(plain.loss(*(rows_of(v, torch.tensor([i, j])) for v in (outputs, targets)))))
            for i, j in ((0, 1), (1, 2), (0, 2), (2, 3))
        }
    single = [float(reduced(one)) for one in alone]
    scalar = isinstance(values, Tensor) and values.ndim == 0
    wrong = [
        (pair, value)
        for pair, value in pairs.items()
        if not _made_of(value, single[pair[0]], single[pair[1]], scalar=scalar)
    ]
    if wrong or not _one_weight_each(single, pairs):
        (i, j), value = wrong[0] if wrong else ((0, 1), pairs[0, 1])
        return Finding(
            name,
            False,
            f"the loss couples the samples of a batch: two samples alone give {number(single[i])} and {number(single[j])}, "
            f"both together {number(value)}. Its value depends on how the samples are batched; set batch_size= to the batch "
            "that you mean, or return one value a sample.",
            {"alone_first": single[i], "alone_second": single[j], "together": value},
        )
    return Finding(name, True, "samples do not influence each other, neither in the module nor in the loss.")


def _made_of(together: float, a: float, b: float, *, scalar: bool) -> bool:
    """Whether the value of two samples is a mean of their own, of whatever weights, or where it is one number their sum."""
    if any(value != value or abs(value) == float("inf") for value in (together, a, b)):
        return True  # a sample that does not count alone; or finite() says it
    slack = 1e-4 * max(abs(a), abs(b), abs(together), 1e-12)
    between = min(a, b) - slack <= together <= max(a, b) + slack
    return between or (scalar and abs(together - (a + b)) <= slack)


def _one_weight_each(single: list[float], pairs: dict[tuple[int, int], float]) -> bool:
    """Whether the weights in three means of two belong to the samples: w₁/w₀ · w₂/w₁ = w₂/w₀."""

    def ratio(i: int, j: int) -> float | None:
        a, b, both = single[i], single[j], pairs[i, j]
        far = abs(a - b) > 1e-2 * max(abs(a), abs(b), 1e-12)
        return (both - a) / (b - both) if far and abs(b - both) > 1e-3 * abs(a - b) else None

    first, second, across = ratio(0, 1), ratio(1, 2), ratio(0, 2)
    if first is None or second is None or across is None or not all(0 < r < 1e3 for r in (first, second, across)):
        return True
    return abs(first * second / across - 1) < 5e-2


def outputs_alone(case: Case) -> Iterator[Finding]:
    """Whether the loss has parameters of its own, which do not move with θ. (One that reads the module's is no objective.)"""
    plain = case.own
    with torch.no_grad(), seeded():
        outputs = map_tensors(torch.detach, plain.outputs(case.few[0], len(case.places)))
    with torch.enable_grad(), seeded():
        values = plain.loss(outputs, plain.placed(case.few[1]))
    read = leaves_of(tensors_in((values,)))
    if not read:
        return
    sentence = (
        f"the loss has {len(read)} parameter tensors of its own, which are no part of θ and stay as they are. If they should "
        "move, make them part of the module."
    )
    yield Finding("outputs alone", None, sentence, {"tensors": len(read)})


def value(case: Case) -> Iterator[Finding]:
    """The loss at the checkpoint against the user's own code over all samples."""
    objective, (inputs, targets) = case.objective, case.samples
    try:
        own = case.own.number(inputs, targets)
    except Exception as error:
        yield Finding("value", None, f"cannot be told: your own code raises {said(error)} on all samples together.")
        return
    ours = case.loss_here
    numbers = {"objective": ours, "own": own, "tolerance": case.tolerance}
    how = "loss(module.eval()(x), y)" if objective.batch_norm in ("frozen", "interpolated") else "your own code"
    if apart(ours, own) <= case.tolerance:
        yield Finding("value", True, f"{number(ours)}, as {how} gives it (to {case.tolerance:.0e}).", numbers)
    elif apart(ours, case.own.mean_over_batches(inputs, targets, objective.batch_size)) <= case.tolerance:
        yield Finding(
            "value",
            None,
            f"{number(ours)} is the mean of your loss over batches of {objective.batch_size}; over all {objective.n_samples} "
            f"samples at once {how} gives {number(own)}. The batch size is part of the result: choose it by batch_size=.",
            numbers,
        )
    else:
        yield Finding(
            "value",
            False,
            f"the objective measures {number(ours)} where {how} over the same samples gives {number(own)}. Look at the loss's "
            "reduction, its weights and what it ignores, and at what forward= returns.",
            numbers,
        )
    yield from _mode(case, own)


def _mode(case: Case, own: float) -> Iterator[Finding]:
    """Where the user's module is in training mode, what difference that makes."""
    if not case.module.training:
        return
    plain = case.plain()
    plain.module.train()
    with torch.no_grad(), seeded():
        trained = float(plain.value(*case.samples))
    if apart(trained, own) > case.tolerance:
        yield Finding(
            "mode",
            True,
            f"your module is in training mode, where your loss is {number(trained)}; landscape measures evaluation mode, "
            f"{number(own)}. Compare with module.eval().",
            {"training": trained, "evaluation": own},
        )


def deterministic(case: Case) -> Iterator[Finding]:
    """The same point twice: by the objective, and by the user's own code without anybody's seed."""
    objective = case.objective
    first, second = objective.evaluate().loss, objective.evaluate().loss
    plain, inputs = case.plain(), case.few[0]
    one, other = runs(plain.module, lambda: plain.outputs(inputs), lambda: plain.outputs(inputs))
    names = blamed(one, other, equal)
    numbers = {"first": first, "second": second}
    if names:
        yield Finding("deterministic", False, _random(case, described(plain.module, names)), numbers)
    elif apart(first, second) > 0:
        sentence = (
            f"the objective gives {number(first)}, and asked again {number(second)}: the loss or the data changes."
        )
        yield Finding("deterministic", False, sentence, numbers)
    else:
        yield Finding("deterministic", True, "asked twice, the same bits; no module draws random numbers.", numbers)


def _random(case: Case, where: str) -> str:
    """Whether what differs between two calls is drawn, or kept by the module from the call before."""
    fresh = []
    for seed in (0, 1):
        plain = case.plain()
        with torch.no_grad(), seeded(seed):
            fresh.append(tensors_in((plain.outputs(case.few[0]),)))
    if equal(*fresh):
        return (
            f"{where} gives something else when it is called again: it keeps something between calls. A value then depends "
            "on what was measured before it; let forward() change nothing in evaluation mode."
        )
    return (
        f"{where} draws random numbers in evaluation mode. Every point is measured with one and the same draw, which is no "
        "average; pass training=self.training to functional.dropout, and switch noise off in evaluation mode."
    )


def order(case: Case) -> Iterator[Finding]:
    """Another point in between, the samples in another order, and other batches."""
    objective = case.objective
    before = objective.evaluate().loss
    objective.evaluate(objective.theta.vector * 1.01)
    after = objective.evaluate().loss
    if apart(before, after) > 0:
        sentence = (
            f"{number(before)}, and after another point was measured {number(after)}: the module keeps something."
        )
        yield Finding("order", False, sentence, {"before": before, "after": after})
        return
    if case.batches_matter:
        sentence = "points may come in any order; that of samples makes the batches, which are part of the result."
        yield Finding("order", True, sentence)
        return
    yield _of_samples(case, before)


def _of_samples(case: Case, before: float) -> Finding:
    objective, count = case.objective, case.objective.n_samples
    backwards = torch.arange(count - 1, -1, -1)
    turned = objective.part(backwards).evaluate().loss
    smaller = max(1, min(objective.batch_size, count) // 3)
    arguments = {**case.arguments, "batch_size": smaller, "samples": objective.indices}
    batched = Objective(case.module, case.loss, case.data, **arguments).evaluate().loss
    numbers = {"loss": before, "reversed": turned, "other_batches": batched, "batch_size": smaller}
    for what, found in (("the samples in reverse order", turned), (f"batches of {smaller}", batched)):
        if apart(found, before) > case.tolerance:
            sentence = (
                f"{what} give {number(found)} instead of {number(before)}: samples of a batch influence each other. "
                "The batch size is then part of the result: choose it by batch_size=."
            )
            return Finding("order", False, sentence, numbers)
    return Finding("order", True, "of points, of samples and of batches makes no difference.", numbers)
