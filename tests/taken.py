"""What commands of the documents take for granted: networks, data, checkpoints, runs and results, under the names used there."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import h5py
import torch
import torchvision

import landscape as ls

FILES = {
    "nets.py": """
import landscape as ls
def net():
    return ls.build_model("mlp", hidden=16, classes=10)
""",
    "sets.py": """
import torch
import landscape as ls
def data():
    return ls.load_data("fashion-mnist-10k").train.batch(torch.arange(300))
""",
    "losses.py": """
from torch.nn.functional import cross_entropy
def loss(outputs, targets):
    return cross_entropy(outputs, targets, reduction="none")
""",
    "mine.py": """
import torch
def net():
    return torch.nn.Linear(2, 2)
def data():
    inputs = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    return inputs, (inputs[:, 0] > 0).long()
""",
    "tokens.py": """
import torch
def sequences():
    ids = torch.randint(3, 60, (8, 12), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "labels": ids}
""",
    "mine.toml": """
name = "mine"
[[runs]]
model = "mlp"
seed = [0, 1]
[[probes]]
kind = "line"
[[pictures]]
kind = "curves"
""",
}
COMMANDS = """
landscape train --model mlp --model-option hidden=16 --train-images 300 --epochs 5 --out checkpoints/run
landscape probe checkpoints/run --x=-1:1:5 --y=-1:1:5 --out outputs/net-plane.h5
landscape convert outputs/net-plane.h5 surface.h5 --to original
landscape train --model vgg08 --norm none,batch --seed 0,1 --train-images 60 --batch-size 20 --epochs 2
for norm in none batch; do
    one=$(ls -d checkpoints/vgg08-$norm-* | head -1)
    landscape probe $one --x=-1:1:5 --y=-1:1:5 --images 20 --out plane-$norm.h5
done
"""
NAMED = "checkpoints/vgg38-batch-1a2b3c4d"
COPIES = {
    "outputs/net-plane.h5": ("RESULT.h5", "plane.h5", "a.h5", "b.h5", "outputs/mine.h5"),
    "checkpoints/run/last.pt": ("net.pt",),
}


def make(folder: Path, environment: Mapping[str, str]) -> None:
    """Lay all of it in an empty folder, by the ``landscape`` that ``environment`` leads to."""
    for name, text in FILES.items():
        (folder / name).write_text(text.lstrip())
    subprocess.run(
        ["bash", "-e"], input=COMMANDS, cwd=folder, env=environment, text=True, check=True, stdout=subprocess.DEVNULL
    )
    for name, others in COPIES.items():
        for other in others:
            shutil.copy(folder / name, folder / other)
    shutil.copytree(folder / "checkpoints/run", folder / NAMED)
    with h5py.File(folder / "directions.h5", "w") as file:
        for place, tensor in enumerate(ls.build_model("mlp", hidden=16, classes=10).parameters()):
            for axis in ("xdirection", "ydirection"):
                file[f"{axis}/{place}"] = torch.randn(tensor.shape)
    linear = torch.nn.Linear(2, 2).state_dict()
    torch.save({"state_dict": linear, "state_dict_ema": linear}, folder / "model_best.pth.tar")
    resnet = torchvision.models.resnet18(num_classes=10).state_dict()
    torch.save({"state_dict": {f"model.{name}": one for name, one in resnet.items()}}, folder / "best.ckpt")
    torch.save(ls.build_model("timm:resnet10t", classes=10).state_dict(), folder / "resnet.pt")


def lay(taken: Path, folder: Path, text: str) -> None:
    """Copy it to a page's folder; a page that trains has no other runs there than its own."""
    trains = re.search(r"^landscape (train|study)", text, re.MULTILINE)
    shutil.copytree(
        taken,
        folder,
        dirs_exist_ok=True,
        ignore=lambda _, names: {"checkpoints", "outputs"} & set(names) if trains else (),
    )
    if NAMED in text:
        shutil.copytree(taken / NAMED, folder / NAMED, dirs_exist_ok=True)
    if re.search(
        "^landscape study quick", text, re.MULTILINE
    ):  # it is run at a smaller scale, whose name is in that of its folder
        (folder / "outputs").mkdir(exist_ok=True)
        (folder / "outputs/quick").symlink_to("quick-scaled-0.01")
