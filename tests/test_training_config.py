"""The recipe as a value, and its learning rate."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import torch

from landscape.errors import InputError
from landscape.training import TrainingConfig, learning_rate


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("batch_size", 0),
        ("batch_size", -5),
        ("batch_size", 12.5),
        ("batch_size", True),
        ("epochs", 0),
        ("epochs", "ten"),
        ("learning_rate", -0.1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("learning_rate", "1e-3"),
        ("min_learning_rate", -1e-5),
        ("momentum", 1.0),
        ("momentum", -0.1),
        ("weight_decay", -1.0),
        ("weight_decay", None),
        ("seed", 1.5),
        ("train_images", 0),
        ("augment", "yes"),
        ("optimizer", "adamm"),
        ("schedule", "cosin"),
        ("precision", "fp23"),
    ],
)
def test_an_unusable_setting_is_refused_by_name_with_what_arrived(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"^{field}: ") as caught:
        TrainingConfig(**{field: value})
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(("field", "given", "meant"), [("optimizer", "adm", "adam"), ("schedule", "cosin", "cosine")])
def test_a_misspelt_choice_gets_a_suggestion(field: str, given: str, meant: str) -> None:
    with pytest.raises(InputError, match=f"Did you mean '{meant}'"):
        TrainingConfig(**{field: given})


def test_settings_survive_json() -> None:
    config = TrainingConfig(
        learning_rate=5e-2, batch_size=800, optimizer="sgd", seed=-3, train_images=1000, augment=False
    )
    assert TrainingConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_settings_are_plain_python_whatever_arrived() -> None:
    config = TrainingConfig(learning_rate=np.float64(0.1), batch_size=np.int64(7), weight_decay=0)
    assert config == TrainingConfig(learning_rate=0.1, batch_size=7)
    assert [type(value) for value in (config.learning_rate, config.batch_size, config.weight_decay)] == [
        float,
        int,
        float,
    ]


def test_an_unknown_setting_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match=r"'batchsize'.*Did you mean 'batch_size'"):
        TrainingConfig.from_dict({"batchsize": 3})


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainingConfig().epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize("rate", [1e-4, 5e-2, 1e-5])
def test_the_cosine_schedule_is_that_of_torch(rate: float) -> None:
    config = TrainingConfig(learning_rate=rate, epochs=7)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    oracle = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=7, eta_min=2e-5)
    for epoch in range(1, 8):
        assert learning_rate(config, epoch) == pytest.approx(oracle.get_last_lr()[0], rel=1e-12)
        optimizer.step()
        oracle.step()


def test_the_first_epoch_runs_at_the_learning_rate_and_the_middle_one_at_the_mean() -> None:
    config = TrainingConfig(learning_rate=1e-3, epochs=100)
    assert learning_rate(config, 1) == 1e-3
    assert learning_rate(config, 51) == pytest.approx((1e-3 + 2e-5) / 2, rel=1e-12)


def test_the_constant_schedule_stays() -> None:
    config = TrainingConfig(learning_rate=0.3, schedule="constant", epochs=5)
    assert {learning_rate(config, epoch) for epoch in range(1, 6)} == {0.3}
