"""Folders and names of other libraries: probed from the command line, and a sentence where they cannot be."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from commands import Finished, run
from models import collate, tiny_gpt2
from torch import nn

import landscape as ls
from landscape.errors import InputError

TOKENS = """
import landscape as ls
import torch

def sequences(n=8):
    ids = torch.randint(3, 60, (n, 12), generator=torch.Generator().manual_seed(0))
    return ids, ids

def mapping():
    ids, labels = sequences()
    return {"input_ids": ids, "labels": labels, "attention_mask": torch.ones_like(ids)}

class Samples(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return {key: rows[index] for key, rows in mapping().items()}

def samples():
    return Samples()

def said():
    return ls.as_data(mapping(), targets="labels")
"""


def probe(capsys: pytest.CaptureFixture[str], folder: Path, *options: str, data: str = "sequences") -> Finished:
    (folder / "tokens.py").write_text(TOKENS)
    tiny_gpt2().save_pretrained(folder / "gpt")
    given = ["--checkpoint", str(folder / "gpt"), "--data", f"{folder}/tokens.py:{data}", "--device", "cpu"]
    axes = ["--x=-1:1:3", "--y=-1:1:3", "--out", str(folder / "plane.h5")]
    return run(capsys, "probe", *given, *axes, *options)


@pytest.mark.parametrize(
    ("data", "options", "loss"),
    [
        ("sequences", (), "causal_lm"),
        ("said", (), "causal_lm"),
        ("mapping", ("--loss", "model"), "model"),
        ("samples", ("--loss", "model"), "model"),
    ],
)
def test_a_folder_says_its_model_and_a_model_of_the_next_token_its_loss(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: str, options: tuple[str, ...], loss: str
) -> None:
    made = probe(capsys, tmp_path, *options, data=data)
    assert made.status == 0, made.err
    ids = torch.randint(3, 60, (8, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        own = float(tiny_gpt2()(ids, labels=ids).loss)
    plane = ls.load(tmp_path / "plane.h5")
    assert plane["checkpoint_loss"].item() == pytest.approx(own, rel=1e-6)
    assert plane.attrs["loss_name"] == loss and plane.attrs["model"].startswith("hf:")
    again = probe(capsys, tmp_path, *options, data=data)
    assert again.status == 0 and "Already complete" in again.out


def test_a_mapping_without_targets_says_what_the_command_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for data in ("mapping", "samples"):
        refused = probe(capsys, tmp_path, data=data)
        assert refused.status == 2 and "--loss model" in refused.err
        assert "a function that returns ls.as_data(…, targets='labels')" in refused.err


def test_directions_by_name_are_taken_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = probe(capsys, tmp_path, "--along", "quantize4,prune50")
    assert made.status == 0, made.err
    assert "4 bits" in ls.load(tmp_path / "plane.h5")["x"].attrs["long_name"]
    wrong = probe(capsys, tmp_path, "--along", "quantise4,random")
    assert wrong.status == 2 and "quantize4" in wrong.err


def test_what_is_no_folder_of_transformers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no configuration of transformers.*config\.json"):
        ls.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2", "architectures": ["MyOwnModel"]}))
    with pytest.raises(InputError, match=r"'MyOwnModel'.*no class of transformers"):
        ls.from_pretrained(tmp_path)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": None}))
    with pytest.raises(
        InputError, match=r"has adapters alone, and its adapter_config.json does not say of which model"
    ):
        ls.from_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"unknown value 'resnet10x'\. Did you mean 'resnet10t'"):
        ls.build_model("timm:resnet10x")
    with pytest.raises(InputError, match="nothing is downloaded unless"):
        ls.from_pretrained("timm:resnet10t")


def test_adapters_are_what_peft_added_and_a_lora_update_leads_to_the_merged_model() -> None:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    config = LoraConfig(r=2, target_modules=["c_attn"], init_lora_weights=False, fan_in_fan_out=True)
    base, batch = copy.deepcopy(tiny_gpt2()), collate(["a flat valley", "steep"])
    adapted = get_peft_model(copy.deepcopy(base), config)
    moved = ls.Objective(adapted, "causal_lm", batch, targets="labels", parameters="adapters").theta.layout.names
    assert len(moved) == 4 and all("lora_" in name for name in moved)
    whole = ls.Objective(base, "causal_lm", batch, targets="labels")
    way = ls.lora_update(whole, adapted)
    merged = ls.Objective(adapted.merge_and_unload(), "causal_lm", batch, targets="labels")
    assert whole.evaluate(whole.theta.vector + way.vector).loss == pytest.approx(merged.evaluate().loss, rel=1e-6)
    with pytest.raises(InputError, match="no adapter 'other' of LoRA"):
        ls.lora_update(whole, get_peft_model(copy.deepcopy(base), config), "other")


def test_a_model_of_the_next_token_that_meets_other_targets_is_refused() -> None:
    ids = torch.randint(3, 60, (4, 6))
    with pytest.raises(InputError, match=r"causal_lm takes scores \(B, T, V\) and labels \(B, T\)"):
        ls.Objective(tiny_gpt2(), "causal_lm", (ids, ids[:, 0]))
    with pytest.raises(InputError, match="expected a tensor"):
        ls.Objective(nn.Linear(2, 2), "cross_entropy", (torch.randn(4, 2), {"a": torch.arange(4)}))
