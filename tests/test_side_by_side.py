"""Batches side by side give what they give in turn."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from networks import conv_net
from torch import Tensor, nn

from landscape.numerics.seeds import generator
from landscape.objective import side_by_side
from landscape.objective.objective import Objective
from landscape.probes.spans import random_span

NOTE = "threads with batches of their own"
POINTS = np.array([[0.0, 0.0], [0.5, -0.3], [-1.0, 1.0]])
SAMPLES, BATCH = 90, 7


class Watched(nn.Module):
    """A network that keeps its features in an attribute, writes down which thread ran it on how much, and may draw or fail."""

    seen: ClassVar[list[tuple[int, int]]] = []

    def __init__(self, *, draws: bool = False) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.features, self.classes = nn.Conv2d(2, 4, 3, padding=1), nn.Linear(4, 4)
        self.draws, self.kept = draws, torch.zeros(0)

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append((threading.get_ident(), len(x)))
        if self.classes.bias.detach().abs().max() > 100:
            raise ValueError("weights like these are too much")
        self.kept = torch.relu(self.features(x)).mean((2, 3))
        logits: Tensor = self.classes(self.kept)
        return logits + 0.1 * torch.randn_like(logits) if self.draws else logits


@pytest.fixture(params=[2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    Watched.seen.clear()
    yield request.param
    assert torch.get_num_threads() == request.param
    torch.set_num_threads(before)


def samples() -> tuple[Tensor, Tensor]:
    return torch.randn(SAMPLES, 2, 6, 6, generator=generator(1, "images")), torch.arange(SAMPLES) % 4


def objective(module: nn.Module, **options: Any) -> Objective:
    return Objective(module, data=samples(), device="cpu", **{"batch_size": BATCH, **options})


@pytest.mark.parametrize("batch_norm", ["frozen", "reestimated", "batch"])
@pytest.mark.parametrize(("precision", "tolerance"), [("fp64", 1e-12), ("fp32", 1e-5), ("bf16", 3e-2)])
def test_values_are_the_plain_ones(batch_norm: str, precision: str, tolerance: float, threads: int) -> None:
    found = []
    for options in ({"precision": precision}, {"precision": "fp64", "engine": "plain"}):
        asked = objective(conv_net(), batch_norm=batch_norm, **options)
        assert asked.engine_note.endswith(f"; {threads} {NOTE}") == ("engine" not in options)
        # Far away batch statistics make the loss jump where a unit changes its sign.
        points = POINTS if batch_norm != "batch" else POINTS * 0.01
        found.append(asked.evaluate_points(random_span(asked, [0], 2).subspaces[0], points))
    np.testing.assert_allclose(found[0].loss, found[1].loss, rtol=tolerance)
    np.testing.assert_allclose(found[0].standard_error, found[1].standard_error, rtol=10 * tolerance)
    np.testing.assert_array_equal(found[0].n_samples, SAMPLES)


def test_samples_keep_their_order_and_every_thread_its_own_features(threads: int) -> None:
    asked, plain = objective(Watched()), objective(Watched(), engine="plain")
    for theta in (asked.theta.vector, 2 * asked.theta.vector):
        Watched.seen.clear()
        found = asked.per_sample(theta)
        assert 2 <= len({thread for thread, _ in Watched.seen}) <= threads
        assert threading.get_ident() not in {thread for thread, _ in Watched.seen}
        assert sum(rows for _, rows in Watched.seen) == SAMPLES
        torch.testing.assert_close(found, plain.per_sample(theta), rtol=1e-6, atol=1e-6)


def test_a_point_above_the_ceiling_is_given_up_before_another_batch_begins(threads: int) -> None:
    asked, plain = objective(Watched(), batch_size=4), objective(Watched(), batch_size=4, engine="plain")
    subspaces = [random_span(o, [0], 2).subspaces[0] for o in (asked, plain)]
    Watched.seen.clear()
    found = asked.evaluate_points(subspaces[0], POINTS[:1], ceiling=0.5)
    assert found.n_samples[0] == sum(rows for _, rows in Watched.seen) == 32
    assert found.loss[0] == pytest.approx(plain.evaluate_points(subspaces[1], POINTS[:1], ceiling=0.5).loss[0])
    assert asked.evaluate_points(subspaces[0], POINTS[:1], ceiling=5.0).n_samples[0] == SAMPLES


def test_what_fails_in_a_thread_fails_and_nothing_goes_on_running(threads: int) -> None:
    asked = objective(Watched())
    before = asked.evaluate()
    with pytest.raises(ValueError, match="weights like these"):
        asked.evaluate(asked.theta.vector * 1e6)
    begun = len(Watched.seen)
    assert asked.evaluate() == before
    assert len(Watched.seen) - begun == -(-32 // BATCH) + -(-(SAMPLES - 32) // BATCH)


def test_it_is_left_alone_where_it_does_not_pay_or_would_change_something(threads: int) -> None:
    def usual(module: nn.Module, inputs: Tensor) -> Tensor:
        outputs: Tensor = module(inputs)
        return outputs

    dense = nn.Sequential(nn.Flatten(), nn.Linear(72, 4))
    few = {"batch_size": 32}
    for module, options in ((Watched(draws=True), {}), (Watched(), {"forward": usual}), (dense, {}), (Watched(), few)):
        assert NOTE not in objective(module, **options).engine_note
    part = objective(Watched()).part(torch.arange(2 * BATCH))
    Watched.seen.clear()
    assert np.isfinite(part.evaluate().loss)
    assert {thread for thread, _ in Watched.seen} == {threading.get_ident()}
    torch.set_num_threads(1)
    assert NOTE not in objective(Watched()).engine_note
    torch.set_num_threads(threads)


def test_a_module_that_cannot_be_copied_again_runs_in_turn(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise TypeError("cannot pickle this")

    private = objective(Watched(), engine="plain")
    monkeypatch.setattr(copy, "deepcopy", refuse)
    runner, note = side_by_side.side_by_side(private._fast, private._batches)
    assert runner is private._fast and note == ""


def test_the_threads_run_their_layers_alone(threads: int) -> None:
    assert objective(Watched()).engine_note.endswith(NOTE)
    pool = side_by_side._pool(side_by_side.os.getpid(), threads)
    assert set(pool.map(lambda _: torch.get_num_threads(), range(10))) == {1}
