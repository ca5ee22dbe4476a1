"""Models of other libraries, directions between models and several models, in at most ten lines each."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from kit import MOST_LINES, Made, Scenario, check, lines_of, made, scenarios_in
from models import WORDS, collate, images, mlp, table, tiny_gpt2
from torch import nn

import landscape as ls

F = nn.functional


# ---- models of others
def timm_model() -> Scenario:
    import timm

    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, num_classes=5).eval()
    x, y = images(size=32)
    objective = ls.Objective(model, "cross_entropy", (x, y))
    with torch.no_grad():
        own = float(F.cross_entropy(model(x), y))
    return Scenario(objective, own)


def timm_convolutions_with_batch_norm() -> Scenario:
    model, (x, y) = ls.build_model("timm:resnet10t", seed=0, classes=5).eval(), images(size=32)
    objective = ls.Objective(model, "cross_entropy", (x, y), batch_norm="batch")
    own = float(F.cross_entropy(copy.deepcopy(model).train()(x), y))
    return Scenario(objective, own, step=1e-2)


def torchvision_model() -> Scenario:
    model, (x, y) = ls.build_model("torchvision:squeezenet1_1", seed=0, num_classes=5).eval(), images(count=8, size=32)
    objective = ls.Objective(model, "cross_entropy", (x, y))
    with torch.no_grad():
        own = float(F.cross_entropy(model(x), y))
    return Scenario(objective, own)


def image_classifier_of_transformers() -> Scenario:
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    config = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=16)
    model, (x, y) = ViTForImageClassification(ViTConfig(**config, patch_size=8, num_labels=5)).eval(), images()
    objective = ls.Objective(model, "cross_entropy", {"pixel_values": x, "labels": y}, targets="labels")
    with torch.no_grad():
        own = float(model(x, labels=y).loss)
    return Scenario(objective, own)


def lora_adapters() -> Scenario:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    config = LoraConfig(r=2, target_modules=["c_attn"], init_lora_weights=False, fan_in_fan_out=True)
    model, batch = get_peft_model(copy.deepcopy(tiny_gpt2()), config).eval(), collate(WORDS)
    objective = ls.Objective(model, "causal_lm", batch, targets="labels", parameters="adapters")
    with torch.no_grad():
        own = float(model(**batch).loss)
    return Scenario(objective, own)


def full_space_around_a_merged_model() -> Scenario:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    config = LoraConfig(r=2, target_modules=["c_attn"], init_lora_weights=False, fan_in_fan_out=True)
    model, batch = get_peft_model(copy.deepcopy(tiny_gpt2()), config).merge_and_unload().eval(), collate(WORDS)
    objective = ls.Objective(model, "causal_lm", batch, targets="labels")
    with torch.no_grad():
        own = float(model(**batch).loss)
    return Scenario(objective, own, {"along": [ls.task_vector(objective, tiny_gpt2()), "random"]})


def folder_of_transformers(folder: Path) -> Scenario:
    tiny_gpt2().save_pretrained(folder)
    model, batch = ls.from_pretrained(folder), collate(WORDS)
    objective = ls.Objective(model, "causal_lm", batch, targets="labels")
    with torch.no_grad():
        own = float(tiny_gpt2()(**batch).loss)
    return Scenario(objective, own)


# ---- directions and several models
def quantisation_and_pruning() -> Scenario:
    model, (x, y) = mlp(), table()
    objective = ls.Objective(model, "cross_entropy", (x, y))
    return Scenario(objective, float(F.cross_entropy(model(x), y)), {"along": ["quantize4", "prune50"]})


def four_bits_of_bitsandbytes() -> Scenario:
    pytest.importorskip("bitsandbytes")
    model, (x, y) = mlp(width=64), table()
    objective = ls.Objective(model, "cross_entropy", (x, y))
    return Scenario(objective, float(F.cross_entropy(model(x), y)), {"along": ["nf4", "quantize4"]})


def weight_decay_and_a_moving_average() -> Scenario:
    model, (x, y) = mlp(), table()
    average = torch.optim.swa_utils.AveragedModel(model)
    average.update_parameters(mlp(seed=1))
    objective = ls.Objective(model, "cross_entropy", (x, y))
    way = ls.task_vector(objective, average, "the moving average")
    return Scenario(objective, float(F.cross_entropy(model(x), y)), {"along": [way, "decay"]})


def step_of_an_epoch(folder: Path) -> Scenario:
    model, (x, y) = mlp(), table()
    torch.save(mlp(seed=1).state_dict(), folder / "epoch-1.pt")
    objective = ls.Objective(model, "cross_entropy", (x, y))
    way = ls.task_vector(objective, folder / "epoch-1.pt", "epoch 1")
    return Scenario(objective, float(F.cross_entropy(model(x), y)), {"along": [way, "gradient"]})


def layers_and_low_rank() -> Scenario:
    model, (x, y) = mlp(), table()
    objective = ls.Objective(model, "cross_entropy", (x, y))
    return Scenario(objective, float(F.cross_entropy(model(x), y)), {"along": ["random:0.*", "lowrank1:2.*"]})


def eigenvectors_of_scipy() -> Scenario:
    from scipy.sparse.linalg import eigsh

    model, (x, y) = mlp().double(), table()
    objective = ls.Objective(model, "cross_entropy", (x.double(), y))
    vectors = torch.from_numpy(eigsh(objective.hessian(), k=2, which="LA")[1].T.copy())
    return Scenario(objective, float(F.cross_entropy(model(x.double()), y)), {"along": list(vectors)})


def merged_models() -> Scenario:
    models, (x, y) = [mlp(seed=seed) for seed in range(3)], table()
    merged = torch.optim.swa_utils.AveragedModel(models[0])
    for model in models:
        merged.update_parameters(model)
    objective = ls.Objective(merged.module, "cross_entropy", (x, y))
    between = ls.barriers({str(k): ls.Objective(m, "cross_entropy", (x, y)) for k, m in enumerate(models)}, points=5)
    assert between["barrier"].shape == (3, 3)
    return Scenario(objective, float(F.cross_entropy(merged.module(x), y)), {"to": models[:2]})


def clients_of_a_federation() -> Scenario:
    models, (x, y) = [mlp(seed=seed) for seed in range(4)], table()
    clients = [ls.Objective(models[0], "cross_entropy", (x[half::2], y[half::2])) for half in (0, 1)]
    planes = [ls.trajectory(one, models[1:], ordered=False, x="auto:5", y="auto:5") for one in clients]
    ls.plot(planes, labels=["first client", "second client"])
    assert planes[0]["stress"].item() == planes[1]["stress"].item() < 1
    return Scenario(clients[1], float(F.cross_entropy(models[0](x[1::2]), y[1::2])), {"to": models[1:3]})


def plane_through_three_models() -> Scenario:
    model, (x, y) = mlp(), table()
    objective = ls.Objective(model, "cross_entropy", (x, y))
    return Scenario(objective, float(F.cross_entropy(model(x), y)), {"to": [mlp(seed=1), mlp(seed=2)], "x": (0, 1, 3)})


def gradients_of_another_task() -> Scenario:
    model, (x, y) = mlp(), table()
    objective = ls.Objective(model, "cross_entropy", (x, y))
    other = ls.Objective(model, "cross_entropy", (x, y.flip(0)))
    return Scenario(objective, float(F.cross_entropy(model(x), y)), {"along": [other, "gradient"]})


@pytest.mark.parametrize("scenario", scenarios_in(globals()), ids=lambda made: made.__name__)
def test_what_people_have_is_measured_as_their_own_loop_does(scenario: Made, tmp_path: Path) -> None:
    check(made(scenario, tmp_path), tmp_path)


@pytest.mark.parametrize("scenario", scenarios_in(globals()), ids=lambda made: made.__name__)
def test_a_scenario_is_at_most_ten_lines(scenario: Made) -> None:
    assert lines_of(scenario) <= MOST_LINES
