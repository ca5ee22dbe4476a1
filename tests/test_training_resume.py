"""Same call, same bits; interrupted and resumed, still the same bits."""

from __future__ import annotations

import contextlib
import copy
import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from training_samples import DEVICES, Keeper, Steps, data_set, network, same, train, without_result

from landscape.errors import CheckpointError, InputError, LandscapeError, MismatchError
from landscape.training import EpochReport, History, Observer, StepReport, TrainingConfig, fit

ADAM = TrainingConfig(learning_rate=1e-2, epochs=4, batch_size=8)
SGD = TrainingConfig(learning_rate=5e-2, epochs=4, batch_size=8, optimizer="sgd", weight_decay=1e-3, seed=3)
BF16 = TrainingConfig(epochs=4, batch_size=16, optimizer="adamw", precision="bf16", train_images=33)


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


def interrupted(config: TrainingConfig, after: int, device: str = "cpu") -> dict[str, Any]:
    """The state that a run left in a file when it was ended after an epoch."""
    keeper = Keeper(stop_after=after)
    with pytest.raises(KeyboardInterrupt):
        fit(network(), data_set(), config, observers=[keeper], device=device)
    return through_a_file(keeper.states[-1])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("after", [1, 3])
@pytest.mark.parametrize("config", [ADAM, SGD, BF16], ids=["adam", "sgd", "bf16"])
def test_a_resumed_run_ends_with_the_bits_of_an_uninterrupted_one(
    config: TrainingConfig, after: int, device: str
) -> None:
    whole = train(config, device=device)
    state = interrupted(config, after, device)
    resumed = train(config, module=network(seed=99), resume=state, device=device)
    assert same(without_result(resumed), without_result(whole))
    assert resumed["result"].test == whole["result"].test
    assert whole["optimizer"]["state"]


class Converting(nn.Linear):
    """Weights of a version before 2 were half as large; a state dict that does not say its version counts as old."""

    _version = 2

    def _load_from_state_dict(self, state: Any, prefix: str, metadata: Any, *rest: Any) -> None:
        if metadata.get("version", 1) < 2:
            state[f"{prefix}weight"] = 2 * state[f"{prefix}weight"]
        super()._load_from_state_dict(state, prefix, metadata, *rest)


def test_a_module_that_converts_old_weights_goes_on_with_those_it_saved() -> None:
    def trained(resume: Any = None, stop_after: int | None = None) -> Keeper:
        keeper = Keeper(stop_after=stop_after)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            module = Converting(5, 3)
        draws = torch.Generator().manual_seed(0)
        data = torch.randn(24, 5, generator=draws), torch.randint(3, (24,), generator=draws)
        with contextlib.suppress(KeyboardInterrupt):
            fit(module, data, ADAM, observers=[keeper], device="cpu", resume=resume)
        return keeper

    whole, state = trained(), through_a_file(trained(stop_after=2).states[-1])
    assert same(trained(state).states[-1]["model"], whole.states[-1]["model"])


def test_a_resume_only_reads_the_state_it_is_given() -> None:
    state = interrupted(ADAM, 2)
    before = copy.deepcopy(state)
    train(ADAM, resume=state)
    assert same(state, before)


def test_a_finished_run_resumed_trains_no_further_and_tells_the_same() -> None:
    whole, steps = train(ADAM), Steps()
    again = fit(network(seed=5), data_set(), ADAM, observers=[steps], resume=without_result(whole), device="cpu")
    assert steps.seen == []
    assert same(list(again.history), list(whole["result"].history))
    assert again.test == whole["result"].test


def test_the_same_call_gives_the_same_bits_whatever_the_global_seed() -> None:
    runs = []
    for seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            runs.append(without_result(train(ADAM)))
    assert same(*runs)


def test_another_seed_gives_another_run() -> None:
    one, other = (train(TrainingConfig(epochs=1, batch_size=8, seed=seed)) for seed in (0, 1))
    assert not same(one["model"], other["model"])


class _Nosy(Observer):
    """Draws from the global generators and takes the state, at every occasion."""

    def on_step(self, report: StepReport) -> None:
        torch.manual_seed(report.step)
        torch.rand(7, device=report.losses.device)

    def on_epoch(self, report: EpochReport) -> None:
        torch.rand(3)
        report.state()


class _Noise(nn.Module):
    """Draws in training and evaluation mode alike."""

    def forward(self, outputs: Tensor) -> Tensor:
        return outputs + torch.randn_like(outputs)


def test_observers_do_not_change_a_bit() -> None:
    watched = train(ADAM, module=nn.Sequential(network(), _Noise()), observers=[_Nosy(), Steps(), History()])
    alone = nn.Sequential(network(), _Noise())
    result = fit(alone, data_set(), ADAM, device="cpu")
    assert same(dict(alone.state_dict()), watched["model"])
    assert same(list(result.history), watched["history"])
    assert result.test == watched["result"].test


def test_a_state_stays_that_of_its_epoch_while_training_goes_on() -> None:
    keeper = Keeper()
    fit(network(), data_set(), ADAM, observers=[keeper], device="cpu")
    assert same(keeper.states[1], interrupted(ADAM, 2))


def test_a_state_says_where_it_stands() -> None:
    state = interrupted(ADAM, 2)
    # 50 images in batches of 8, the last of them 2
    assert (state["epoch"], state["step"], len(state["history"])) == (2, 14, 2)
    assert state["generator"] == {"seed": 0, "epoch": 2, "step": 14}
    best = state["best"]["epoch"]
    assert state["best"] == {"epoch": best, **state["history"][best - 1]}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"config": TrainingConfig(learning_rate=1e-2, epochs=9, batch_size=8)},
            MismatchError,
            "epochs was 4 and is now 9",
        ),
        (
            {"config": TrainingConfig(learning_rate=1e-3, epochs=4, batch_size=8)},
            MismatchError,
            "learning_rate was 0.01",
        ),
        ({"config": SGD}, MismatchError, "optimizer was 'adam' and is now 'sgd'"),
        ({"dataset": data_set(train=80)}, MismatchError, "14 updates in 2 epochs, but this data gives 10 an epoch"),
        ({"module": nn.Sequential(nn.Flatten(), nn.Linear(192, 3))}, CheckpointError, "does not fit Sequential"),
        ({"resume": {"model": {}}}, CheckpointError, "optimizer, epoch, step, config, history missing"),
    ],
)
def test_a_resume_that_does_not_belong_is_refused(
    change: dict[str, Any], error: type[LandscapeError], message: str
) -> None:
    resume = interrupted(ADAM, 2)
    arguments = {
        "module": network(),
        "dataset": data_set(),
        "config": ADAM,
        "resume": resume,
        "device": "cpu",
        **change,
    }
    with pytest.raises(error, match=message):
        fit(**arguments)


class _Hoarder(Observer):
    def __init__(self) -> None:
        self.reports: list[EpochReport] = []

    def on_epoch(self, report: EpochReport) -> None:
        self.reports.append(report)


def test_a_state_asked_for_too_late_is_refused_instead_of_being_that_of_a_later_epoch() -> None:
    hoarder = _Hoarder()
    train(ADAM, observers=[hoarder])
    with pytest.raises(InputError, match="epoch 1 is over"):
        hoarder.reports[0].state()
