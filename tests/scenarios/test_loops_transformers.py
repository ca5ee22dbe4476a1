"""The Trainer of transformers with our callback: its bits, what is seen, and its own checkpoints."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import landscape as ls
from landscape.errors import InputError

pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

from landscape.loops.transformers import LandscapeCallback


class Sequences(torch.utils.data.Dataset[Any]):
    def __init__(self) -> None:
        self.tokens = torch.randint(32, (24, 8), generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, place: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.tokens[place], "labels": self.tokens[place]}


def model() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    attention = {"attn_implementation": "eager"}  # which has second derivatives
    return GPT2LMHeadModel(GPT2Config(vocab_size=32, n_positions=8, n_embd=16, n_layer=2, n_head=2, **attention))


def trained(folder: Path, *callbacks: Any, **options: Any) -> tuple[GPT2LMHeadModel, Trainer]:
    made = model()
    usual = {"max_steps": 6, "per_device_train_batch_size": 4, "learning_rate": 1e-2, "use_cpu": True, "seed": 3}
    quiet = {"report_to": [], "disable_tqdm": True, "logging_strategy": "no", "save_strategy": "no"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arguments = TrainingArguments(output_dir=str(folder), **{**usual, **quiet, **options})
        trainer = Trainer(made, arguments, train_dataset=Sequences(), callbacks=[*callbacks])
        trainer.train()
    return made, trainer


@pytest.mark.parametrize("options", [{}, {"bf16": True}, {"warmup_steps": 2}])
def test_a_training_makes_the_same_bits_with_the_callback_as_without(tmp_path: Path, options: dict[str, Any]) -> None:
    plain, _ = trained(tmp_path, **options)
    probes = ["gradient_flow", "steps", "critical_sharpness", "checkpoints"]
    probes += ["stability"] if not options else []
    callback = LandscapeCallback(probes, every=2)
    watched, _ = trained(tmp_path, callback, **options)
    for (name, one), (_, other) in zip(plain.state_dict().items(), watched.state_dict().items(), strict=True):
        assert torch.equal(one, other), name
    assert callback.watch is not None
    found = callback.watch.datasets()
    assert found["gradient_flow"]["step"].values.tolist() == [0, 2, 4]
    assert found["steps"]["step"].values.tolist() == ([2, 4] if "warmup_steps" in options else [0, 2, 4])
    assert not watched._forward_pre_hooks


def test_the_update_that_is_followed_is_the_one_that_is_made_clipping_included(tmp_path: Path) -> None:
    callback = LandscapeCallback(["steps", "checkpoints"], every=1)
    trained(tmp_path, callback, max_grad_norm=0.05, lr_scheduler_type="constant")
    assert callback.watch is not None
    states = [callback.watch.checkpoints[place] for place in (2, 3)]
    names = [name for name in states[0] if name != "lm_head.weight"]  # which is tied to the embedding
    change = torch.cat([(states[1][name] - states[0][name]).flatten() for name in names])
    norm = float(callback.watch.datasets()["steps"]["direction_norm"].sel(along="update").isel(step=2))
    assert norm == pytest.approx(float(change.norm()) / 1e-2, rel=1e-4)


def test_the_own_checkpoint_is_probed_and_the_results_are_resumed_with_the_training(tmp_path: Path) -> None:
    saving = {"save_strategy": "steps", "save_steps": 4, "max_steps": 4, "lr_scheduler_type": "constant"}
    trained(tmp_path, LandscapeCallback(every=2, folder=tmp_path / "seen"), **saving)
    checkpoint = tmp_path / "checkpoint-4"
    fresh = model()
    ls.load_into(fresh, ls.load_checkpoint(checkpoint))
    tokens = Sequences().tokens
    values = ls.Objective(
        fresh,
        lambda outputs, targets: torch.nn.functional.cross_entropy(
            outputs.logits[:, :-1].movedim(-1, 1), targets[:, 1:], reduction="none"
        ),
        ({"input_ids": tokens}, tokens),
        device="cpu",
    )
    with torch.no_grad():
        own = GPT2LMHeadModel.from_pretrained(checkpoint).eval()(input_ids=tokens, labels=tokens).loss
    assert values.evaluate().loss == pytest.approx(float(own), rel=1e-5)
    assert np.isfinite(ls.line(values, x=(-1, 1, 3), seeds=[0])["loss"]).all()

    again = LandscapeCallback(every=2, folder=tmp_path / "seen", resume=True)
    usual = {"per_device_train_batch_size": 4, "learning_rate": 1e-2, "use_cpu": True, "seed": 3, "report_to": []}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arguments = TrainingArguments(
            output_dir=str(tmp_path),
            max_steps=6,
            disable_tqdm=True,
            save_strategy="no",
            lr_scheduler_type="constant",
            **usual,
        )
        Trainer(model(), arguments, train_dataset=Sequences(), callbacks=[again]).train(
            resume_from_checkpoint=str(checkpoint)
        )
    assert ls.load(tmp_path / "seen" / "critical_sharpness.h5")["step"].values.tolist() == [0, 2, 4]


def test_what_the_callback_cannot_follow_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="smooths labels"):
        trained(tmp_path, LandscapeCallback(), label_smoothing_factor=0.1)
