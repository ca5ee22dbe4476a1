"""Gradient flow along training."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from training_samples import CLASSES, DEVICES, Keeper, Steps, copied, data_set, network, train

import landscape as ls
from landscape.errors import InputError, MismatchError
from landscape.training import TrainingConfig

PLAIN = TrainingConfig(epochs=2, batch_size=20, seed=5)


def flow_of(module: nn.Module, **settings: Any) -> xr.Dataset:
    """The gradient flow of a training, or of none at all (no records) where no settings are given."""
    flow = ls.GradientFlow()
    if settings:
        ls.fit(module, data_set(), TrainingConfig(**settings), observers=[flow], device="cpu")
    else:
        config = TrainingConfig()
        flow.on_start(
            SimpleNamespace(module=module, config=config, history=(), steps_per_epoch=1, loss_name="cross_entropy")
        )
    return flow.dataset()


@pytest.mark.parametrize("device", DEVICES)
def test_what_is_recorded_is_the_gradient_taken_by_hand(device: str) -> None:
    module, steps, flow = network(dropout=0.0), Steps(), ls.GradientFlow(every=1)
    oracle = copied(module).to(device, torch.float64)
    train(PLAIN, module=module, observers=[steps, flow], device=device)
    found = flow.dataset()
    assert found["step"].values.tolist() == [step["step"] for step in steps.seen] == list(range(6))
    assert found["epoch"].values.tolist() == [1, 1, 1, 2, 2, 2]
    assert found["tensor"].values.tolist() == [name for name, _ in oracle.named_parameters()]
    for number, step in enumerate(steps.seen):
        with torch.no_grad():
            for parameter, then in zip(oracle.parameters(), step["parameters"], strict=True):
                parameter.copy_(then)
        loss = nn.functional.cross_entropy(oracle(step["inputs"].double()), step["targets"])
        gradients = torch.autograd.grad(loss, list(oracle.parameters()))
        record = found.isel(record=number)
        sizes = [float(g.abs().mean()) for g in gradients]
        norms = [float(g.square().sum().sqrt()) for g in gradients]
        # A bias before BatchNorm has no gradient but rounding; the network has none of those.
        np.testing.assert_allclose(record["mean_abs_gradient"], sizes, rtol=1e-3, atol=1e-8)
        np.testing.assert_allclose(record["gradient_norm"], norms, rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize(
    ("every", "settings", "steps"),
    [
        ("epoch", {"epochs": 3}, [2, 5, 8]),
        ("epoch", {"updates": 5}, [2, 4]),
        (1, {"epochs": 1}, [0, 1, 2]),
        (4, {"epochs": 3}, [0, 4, 8]),
    ],
)
def test_records_are_made_at_the_end_of_epochs_or_every_so_many_steps(
    every: Any, settings: dict[str, int], steps: list[int]
) -> None:
    flow = ls.GradientFlow(every)
    train(TrainingConfig(batch_size=20, **settings), observers=[flow])
    assert flow.dataset()["step"].values.tolist() == steps


class _Partly(nn.Module):
    """A layer that is used and one that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(192, CLASSES), nn.Linear(4, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.used(images.flatten(1))


def test_a_tensor_that_no_gradient_reaches_has_none() -> None:
    found = flow_of(_Partly(), epochs=1, batch_size=20)
    reached = found["gradient_norm"].isel(record=0) > 0
    assert dict(zip(found["tensor"].values.tolist(), reached.values.tolist(), strict=True)) == {
        "used.weight": True,
        "used.bias": True,
        "unused.weight": False,
        "unused.bias": False,
    }


def test_tensors_know_their_depth_and_role() -> None:
    found = flow_of(ls.build_model("vgg08", norm="batch", classes=5, filters=4))
    rows = list(zip(*(found[name].values.tolist() for name in ("tensor", "depth", "role")), strict=True))
    assert rows[:4] == [
        ("input.conv.weight", 1, "weight"),
        ("input.norm.weight", 1, "scale"),
        ("input.norm.bias", 1, "shift"),
        ("stage1.reduction.0.conv.weight", 2, "weight"),
    ]
    assert rows[4] == ("stage1.reduction.0.conv.bias", 2, "bias")
    assert rows[-2:] == [("head.weight", 8, "weight"), ("head.bias", 8, "bias")]
    assert [depth for _, depth, role in rows if role == "weight"] == list(range(1, 9))


def test_unusual_layers_find_their_place() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.LayerNorm((2, 3))
            self.frozen = nn.Linear(6, 6).requires_grad_(False)
            self.wrapped = parametrizations.weight_norm(nn.Linear(6, 6))
            self.attention = nn.MultiheadAttention(6, 2)
            self.last = nn.PReLU()

    found = flow_of(Odd())
    rows = dict(zip(found["tensor"].values, zip(found["depth"].values, found["role"].values, strict=True), strict=True))
    assert rows == {
        "first.weight": (1, "scale"),
        "first.bias": (1, "shift"),
        "wrapped.bias": (2, "bias"),
        "wrapped.parametrizations.weight.original0": (2, "weight"),
        "wrapped.parametrizations.weight.original1": (2, "weight"),
        "attention.in_proj_weight": (3, "weight"),
        "attention.in_proj_bias": (3, "bias"),
        "attention.out_proj.weight": (4, "weight"),
        "attention.out_proj.bias": (4, "bias"),
        "last.weight": (4, "vector"),
    }


@pytest.mark.parametrize("every", ["epoch", 2])
def test_a_resumed_record_is_that_of_an_uninterrupted_training(every: Any, tmp_path: Path) -> None:
    config = TrainingConfig(**{**PLAIN.to_dict(), "epochs": 3})
    whole, first, keeper = ls.GradientFlow(every), ls.GradientFlow(every), Keeper(stop_after=2)
    train(config, observers=[whole])
    with pytest.raises(KeyboardInterrupt):
        train(config, observers=[first, keeper])
    ls.save(first.dataset(), tmp_path / "flow.h5")
    second = ls.GradientFlow(every, resume=ls.load(tmp_path / "flow.h5"))
    assert second.dataset().identical(first.dataset())
    train(config, observers=[second], resume=keeper.states[0])
    assert second.dataset().identical(whole.dataset())
    assert second.dataset()["mean_abs_gradient"].attrs["units"] == "nat"
    assert all({"units", "long_name"} <= set(second.dataset()[n].attrs) for n in second.dataset().variables)


def test_results_that_cannot_be_gone_on_with_are_refused() -> None:
    keeper, flow = Keeper(stop_after=1), ls.GradientFlow()
    with pytest.raises(KeyboardInterrupt):
        train(PLAIN, observers=[flow, keeper])
    found = flow.dataset()
    with pytest.raises(InputError, match="'steps'"):
        ls.GradientFlow(resume=found.assign_attrs(kind="steps"))
    with pytest.raises(MismatchError, match="flow_every was 'epoch' and is now 3"):
        ls.GradientFlow(3, resume=found)
    other = found.assign_coords(tensor=[f"other.{name}" for name in found["tensor"].values])
    with pytest.raises(MismatchError, match="other tensors"):
        train(PLAIN, observers=[ls.GradientFlow(resume=other)], resume=keeper.states[0])


@pytest.mark.parametrize("every", [0, -1, True, 1.5, "step", None])
def test_an_unusable_interval_names_its_option(every: Any) -> None:
    with pytest.raises(InputError, match=r"^flow_every: .*Try epoch"):
        ls.GradientFlow(every)


def test_a_gradient_that_is_not_finite_is_kept() -> None:
    module = network()
    with torch.no_grad():
        module[0].weight.fill_(math.inf)
    found = flow_of(module, epochs=1, batch_size=20)
    assert not np.isfinite(found["gradient_norm"]).all()
