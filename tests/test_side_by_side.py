"""Batches side by side give what they give in turn."""

from __future__ import annotations

import copy
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from networks import conv_net
from torch import Tensor, nn

from landscape.numerics.seeds import generator
from landscape.objective import side_by_side
from landscape.objective.objective import Objective
from landscape.probes.plane.spans import random_span

NOTE = "batches at the same time"
POINTS = np.array([[0.0, 0.0], [0.5, -0.3], [-1.0, 1.0]])
SAMPLES, BATCH = 90, 7


class Watched(nn.Module):
    """A network that keeps its features in an attribute for a while, and writes down which thread ran it on how much."""

    seen: ClassVar[list[tuple[int, int]]] = []
    ended: ClassVar[list[int]] = []
    slow: ClassVar[float] = 0.001

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.features, self.classes = nn.Conv2d(2, 4, 3, padding=1), nn.Linear(4, 4)
        self.kept = torch.zeros(0)

    def forward(self, x: Tensor) -> Tensor:
        assert not torch.is_grad_enabled() or threading.current_thread() is threading.main_thread()
        self.seen.append((threading.get_ident(), len(x)))
        if self.classes.bias.detach().abs().max() > 100:
            raise ValueError("weights like these are too much")
        self.kept = torch.relu(self.features(x)).mean((2, 3))
        time.sleep(self.slow)  # while others would keep theirs
        self.ended.append(len(x))
        return self.after(self.classes(self.kept))

    def after(self, logits: Tensor) -> Tensor:
        return logits


class Drawing(Watched):
    def after(self, logits: Tensor) -> Tensor:
        return logits + 0.1 * torch.randn_like(logits)


class DrawingTheSame(Watched):
    """Sets the generator back, which is that of all threads."""

    def after(self, logits: Tensor) -> Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(7)
            return logits + 0.1 * torch.randn_like(logits)


class Writing(Watched):
    """Works in a buffer that is there for all batches."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("place", torch.zeros(SAMPLES, 4))

    def after(self, logits: Tensor) -> Tensor:
        place = self.get_buffer("place")[: len(logits)]
        place.copy_(logits)
        time.sleep(self.slow)
        return place.clone()


class Copying(Watched):
    """Is copied in a way of its own, with tensors of its own."""

    def __deepcopy__(self, memo: object) -> Copying:
        copied = Copying()
        copied.load_state_dict({name: tensor.clone() for name, tensor in self.state_dict().items()})
        return copied


def hooked() -> nn.Module:
    """A network whose hook and layer meet in what both know."""
    known: dict[str, Tensor] = {}
    module = Watched()
    module.features.register_forward_hook(lambda *given: known.update(features=given[2]))
    module.classes.register_forward_pre_hook(lambda *_: (known["features"].relu().mean((2, 3)),))
    return module


@pytest.fixture(params=[2, 3])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(side_by_side, "_cores", lambda: 64)
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    Watched.seen.clear()
    Watched.ended.clear()
    yield request.param
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert [torch.get_num_threads(), *later] == [request.param] * 2, "threads to come are as before"
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
    time.sleep(0.2)
    assert len(Watched.seen) == begun
    assert asked.evaluate() == before


def test_what_is_no_longer_asked_for_is_not_running(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = objective(Watched())
    monkeypatch.setattr(Watched, "slow", 0.05)
    Watched.seen.clear()
    Watched.ended.clear()
    passes = asked._fast.passes(asked._batches)
    next(passes)
    passes.close()
    begun = len(Watched.seen)
    assert len(Watched.ended) == begun < asked._batches.count
    time.sleep(0.2)
    assert len(Watched.seen) == begun


def test_it_is_left_alone_where_it_does_not_pay_or_would_change_something(threads: int) -> None:
    def usual(module: nn.Module, inputs: Tensor) -> Tensor:
        outputs: Tensor = module(inputs)
        return outputs

    dense = nn.Sequential(nn.Flatten(), nn.Linear(72, 4))
    for module, options in ((Watched(), {"forward": usual}), (dense, {})):
        assert NOTE not in objective(module, **options).engine_note
    part = objective(Watched()).part(torch.arange(BATCH))
    Watched.seen.clear()
    assert np.isfinite(part.evaluate().loss)
    assert {thread for thread, _ in Watched.seen} == {threading.get_ident()}
    asked = objective(Watched())
    torch.set_num_threads(1)
    Watched.seen.clear()
    assert np.isfinite(asked.evaluate().loss)
    assert {thread for thread, _ in Watched.seen} == {threading.get_ident()}
    assert NOTE not in objective(Watched()).engine_note
    torch.set_num_threads(threads)


@pytest.mark.parametrize("build", [Drawing, DrawingTheSame, Writing, Copying, hooked])
def test_modules_that_are_not_the_same_in_several_threads_run_in_turn(
    build: Callable[[], nn.Module], threads: int
) -> None:
    asked, plain = objective(build()), objective(build(), engine="plain")
    assert NOTE not in asked.engine_note
    for theta in (asked.theta.vector, 2 * asked.theta.vector):
        torch.testing.assert_close(asked.per_sample(theta), plain.per_sample(theta), rtol=1e-6, atol=1e-6)


def test_a_module_that_cannot_be_copied_again_runs_in_turn(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise TypeError("cannot pickle this")

    private = objective(Watched(), engine="plain")
    monkeypatch.setattr(copy, "deepcopy", refuse)
    runner, note = side_by_side.side_by_side(private._fast, private._batches, 1)
    assert runner is private._fast and note == ""


@pytest.mark.parametrize(
    ("batches", "threads", "most", "expected"),
    [
        (33, 2, 99, 2),
        (33, 16, 99, 5),  # with three threads each, seven times over; sixteen would leave one batch to the end
        (33, 64, 99, 12),
        (4, 8, 99, 4),
        (16, 12, 99, 6),
        (3, 2, 99, 1),  # the second round would leave a thread idle
        (33, 2, 1, 1),
        (1, 8, 99, 1),
        (33, 1, 99, 1),
    ],
)
def test_as_many_batches_at_the_same_time_as_leave_few_threads_idle(
    batches: int, threads: int, most: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_by_side, "_cores", lambda: 64)
    assert side_by_side._how_many(batches, threads, most) == expected
    monkeypatch.setattr(side_by_side, "_cores", lambda: 1)
    assert side_by_side._how_many(batches, threads, most) == 1


@pytest.mark.parametrize(("count", "own"), [(2, 1), (2, 3), (3, 1)])
def test_each_batch_has_its_share_of_the_threads(count: int, own: int) -> None:
    pool = side_by_side._pool(os.getpid(), count, own)
    assert set(pool.map(lambda _: torch.get_num_threads(), range(10))) == {own}
