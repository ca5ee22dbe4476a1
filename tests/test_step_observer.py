"""The step probe within training: it repeats the step, foretells the next, goes on after a resume, and leaves no trace."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from samefiles import uncreated
from torch import Tensor, nn
from training_samples import DEVICES, Keeper, network, same, train, without_result

import landscape as ls
from landscape.errors import InputError, MismatchError
from landscape.probes.steps.measure import step_ranges
from landscape.torch_state.isolation import isolated
from landscape.training import EpochReport, Observer, StartReport, StepReport, TrainingConfig
from landscape.training.step_objective import StepObjective

PLAIN = TrainingConfig(epochs=2, batch_size=20, seed=5)
EVERY = ls.StepProbeConfig(every=1, eta=(0.5, 4.0, 3))


class _Looks(Observer):
    """Keeps, at every step, θ, the change that is foretold, and the loss and the gradient of the copy at θ itself."""

    def __init__(self) -> None:
        self.thetas: list[Tensor] = []
        self.changes: list[Tensor] = []
        self.same_losses: list[bool] = []
        self.same_gradients: list[bool] = []

    def on_start(self, report: StartReport) -> None:
        self.objective = StepObjective(report.module)

    def on_step(self, report: StepReport) -> None:
        theta = self.objective.theta(report.module)
        with isolated(report.losses.device):
            self.objective.evaluate(report, -theta)  # leaves no trace in the next
            loss, gradient, _ = self.objective.evaluate(report, theta)
        self.same_losses.append(torch.equal(loss, report.losses.double().mean()))
        self.same_gradients.append(torch.equal(gradient, self.objective.gradient(report.module)))
        self.thetas.append(theta)
        self.changes.append(self.objective.next_change(report))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adam"},
        {"optimizer": "adamw", "weight_decay": 0.1},
        {"optimizer": "sgd", "weight_decay": 0.1},
        {"precision": "bf16"},
    ],
)
def test_the_copy_repeats_the_step_bit_for_bit_and_foretells_the_next_weights(
    settings: dict[str, Any], device: str
) -> None:
    looks = _Looks()
    train(TrainingConfig(**{**PLAIN.to_dict(), **settings}), observers=[looks], device=device)
    assert len(looks.thetas) == 6
    assert all(looks.same_losses)
    assert all(looks.same_gradients)
    for now, change, then in zip(looks.thetas, looks.changes, looks.thetas[1:], strict=False):
        assert torch.equal(change, then - now)
        assert change.count_nonzero() > 0


def test_the_copy_has_the_memory_format_of_the_module() -> None:
    module, seen = network(), []
    module[0].register_forward_hook(
        lambda layer, inputs, output: seen.append(layer.weight.is_contiguous(memory_format=torch.channels_last))
    )
    train(TrainingConfig(epochs=1, batch_size=50), module=module, observers=[ls.StepProbe(EVERY)])
    assert len(seen) > 2 * 3
    assert all(seen)


class _FrozenNorm(nn.BatchNorm2d):
    """Stays in evaluation mode while the rest trains."""

    def train(self, mode: bool = True) -> _FrozenNorm:
        return super().train(False)


def test_layers_frozen_in_evaluation_mode_are_frozen_for_the_probe_as_they_are_now() -> None:
    class Change(Observer):
        def on_epoch(self, report: EpochReport) -> None:
            nn.init.uniform_(report.module[1].running_mean)

    module, looks = network(), _Looks()
    module[1] = _FrozenNorm(6)
    nn.init.uniform_(module[1].running_mean)
    module[4].bias.requires_grad_(False)
    train(PLAIN, module=module, observers=[looks, Change()])
    assert all(looks.same_losses)
    assert all(looks.same_gradients)


def test_running_statistics_do_not_enter_where_training_uses_the_batch() -> None:
    class Spoil(Observer):
        def on_step(self, report: StepReport) -> None:
            report.module[1].running_mean.fill_(math.nan)

    probe = ls.StepProbe(EVERY)
    train(PLAIN, observers=[Spoil(), probe])
    assert np.isfinite(probe.dataset()["gradient_distance"]).all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adam"},
        {"optimizer": "adamw", "weight_decay": 0.1},
        {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.1},
        {"precision": "bf16"},
        {"precision": "bf16", "optimizer": "sgd", "momentum": 0.9},
    ],
)
def test_training_with_probes_has_the_same_bits_as_training_without(settings: dict[str, Any], device: str) -> None:
    config = TrainingConfig(**{**PLAIN.to_dict(), **settings})
    probe, flow = ls.StepProbe(EVERY), ls.GradientFlow(every=1)
    random_state = torch.get_rng_state()
    watched = train(config, observers=[probe, flow], device=device)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert same(without_result(watched), without_result(train(config, device=device)))
    assert probe.dataset().sizes["step"] == flow.dataset().sizes["record"] == 6


def test_a_resumed_probe_gives_what_an_uninterrupted_one_gives(tmp_path: Path) -> None:
    config, every = TrainingConfig(**{**PLAIN.to_dict(), "epochs": 3}), ls.StepProbeConfig(every=2, eta=(1, 3, 2))
    whole, first, keeper = ls.StepProbe(every), ls.StepProbe(every), Keeper(stop_after=2)
    train(config, observers=[whole])
    with pytest.raises(KeyboardInterrupt):
        train(config, observers=[first, keeper])
    ls.save(first.dataset({"model": "tiny"}), tmp_path / "steps.h5")
    # The file is ahead of the checkpoint: what it has of the second epoch is measured again.
    second = ls.StepProbe(every, resume=ls.load(tmp_path / "steps.h5"))
    train(config, observers=[second], resume=keeper.states[0])
    assert first.dataset()["step"].values.tolist() == [0, 2, 4]
    assert whole.dataset()["step"].values.tolist() == [0, 2, 4, 6, 8]
    assert second.dataset().identical(whole.dataset())


def test_a_probe_used_again_forgets_the_training_before() -> None:
    probe = ls.StepProbe(EVERY)
    results = []
    for _ in range(2):
        train(PLAIN, observers=[probe])
        results.append(probe.dataset())
    assert results[0].identical(results[1])


def test_ranges_follow_anew_from_a_stored_file(tmp_path: Path) -> None:
    probe = ls.StepProbe(EVERY)
    train(PLAIN, observers=[probe])
    ls.save(probe.dataset(), tmp_path / "steps.h5")
    stored = ls.load(tmp_path / "steps.h5")
    assert step_ranges(stored.drop_vars("effective_beta")).drop_attrs().equals(probe.dataset().drop_attrs())
    assert uncreated(stored).identical(probe.dataset())
    assert all({"units", "long_name"} <= set(stored[name].attrs) for name in stored.variables)
    assert stored["loss_along"].attrs["units"] == stored["loss_variation"].attrs["units"] == "nat"


def test_results_that_cannot_be_gone_on_with_are_refused() -> None:
    found = ls.StepProbe(EVERY).dataset()
    with pytest.raises(InputError, match="'plane'"):
        ls.StepProbe(EVERY, resume=found.assign_attrs(kind="plane"))
    for other in (
        ls.StepProbeConfig(every=2, eta=EVERY.eta),
        ls.StepProbeConfig(every=1),
        ls.StepProbeConfig(every=1, eta=EVERY.eta, along=("update",)),
    ):
        with pytest.raises(MismatchError, match=r"resume: .* was .* and is now"):
            ls.StepProbe(other, resume=found)


def runs() -> list[xr.Dataset]:
    found = []
    for rate, every in ((1e-3, 1), (1e-2, 2), (1e-1, 1)):
        probe = ls.StepProbe(ls.StepProbeConfig(every=every, eta=(1, 1, 1), along=("gradient",)))
        train(TrainingConfig(**{**PLAIN.to_dict(), "learning_rate": rate}), observers=[probe])
        found.append(probe.dataset())
    return found


def test_the_range_over_runs_is_taken_at_the_steps_that_all_have() -> None:
    datasets = runs()
    found = ls.run_range(datasets, ["1e-3", "1e-2", "1e-1"])
    assert found.attrs["runs"] == '["1e-3", "1e-2", "1e-1"]'
    assert found["step"].values.tolist() == [0, 2, 4]
    for name in ("loss", "gradient_norm"):
        at = [[float(d[name].sel(step=s)) for d in datasets] for s in (0, 2, 4)]
        assert found[f"{name}_minimum"].values.tolist() == [min(values) for values in at]
        assert found[f"{name}_maximum"].values.tolist() == [max(values) for values in at]
    assert found["loss_minimum"].attrs["units"] == "nat"
    # All start at the same weights with the same minibatch, and then part.
    assert float(found["loss_maximum"][0]) == float(found["loss_minimum"][0])
    assert float(found["loss_maximum"][-1]) > float(found["loss_minimum"][-1])
