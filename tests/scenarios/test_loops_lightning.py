"""Lightning's Trainer with our callback: its bits, what is seen, its loggers and its own checkpoints."""

from __future__ import annotations

import copy
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import landscape as ls
from landscape.errors import InputError

pytest.importorskip("lightning.pytorch")
pytest.importorskip("tensorboard")

import lightning.pytorch as lightning
from lightning.pytorch.loggers import TensorBoardLogger

from landscape.loops.lightning import LandscapeCallback

PROBES = ["gradient_flow", "steps", "stability", "critical_sharpness", "checkpoints"]
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Classifier(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Dropout(0.2), nn.Linear(12, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, index: int) -> Tensor:
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=0.01)


def data() -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(0)
    return torch.randn(64, 6, generator=draws), torch.randint(3, (64,), generator=draws)


def trained(folder: Path, *callbacks: Any, module: Any = None, **options: Any) -> tuple[Classifier, Any]:
    torch.manual_seed(0)
    module = Classifier() if module is None else module
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*data()), batch_size=16)
    torch.manual_seed(1)
    options = {"max_epochs": 2, "logger": False, "enable_checkpointing": False, **options}
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(default_root_dir=folder, callbacks=[*callbacks], **quiet, **options)
        trainer.fit(module, loader)
    return module, trainer


@pytest.mark.parametrize("clip", [{}, {"gradient_clip_val": 0.01}, {"precision": "bf16-mixed"}])
def test_a_training_makes_the_same_bits_with_the_callback_as_without(tmp_path: Path, clip: dict[str, Any]) -> None:
    plain, _ = trained(tmp_path, **clip)
    # In half precision second derivatives are too coarse for an eigenvalue.
    probes = [name for name in PROBES if "precision" not in clip or name != "stability"]
    watched, _ = trained(tmp_path, LandscapeCallback(probes, every=2), **clip)
    for (name, one), (_, other) in zip(plain.state_dict().items(), watched.state_dict().items(), strict=True):
        assert torch.equal(one, other), name


def test_the_update_that_is_followed_is_the_one_that_is_made_clipping_included(tmp_path: Path) -> None:
    callback = LandscapeCallback(["steps", "checkpoints"], every=1)
    trained(tmp_path, callback, gradient_clip_val=0.01)
    assert callback.watch is not None
    states = [callback.watch.checkpoints[place] for place in (3, 4)]
    change = torch.cat([(states[1][name] - states[0][name]).flatten() for name in states[0]])
    steps = callback.watch.datasets()["steps"]
    norm = float(steps["direction_norm"].sel(along="update").isel(step=3))
    assert norm == pytest.approx(float(change.norm()) / 0.01, rel=1e-4)
    assert steps["step"].values.tolist() == list(range(8))
    assert steps["epoch"].values.tolist() == [1] * 4 + [2] * 4


def test_numbers_and_figures_are_in_tensorboard_and_the_own_checkpoint_is_probed(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    callback = LandscapeCallback(["gradient_flow", "critical_sharpness"], every=2, folder=tmp_path / "seen")
    logger = TensorBoardLogger(tmp_path)
    module, trainer = trained(tmp_path, callback, logger=logger, enable_checkpointing=True, max_epochs=2)
    told = EventAccumulator(logger.log_dir, size_guidance={"images": 0})
    told.Reload()
    assert {"critical_sharpness/critical_sharpness/update", "gradient_flow/gradient_norm"} <= set(
        told.Tags()["scalars"]
    )
    steps = [event.step for event in told.Scalars("critical_sharpness/threshold")]
    assert steps == [0, 2, 4, 6]
    assert set(told.Tags()["images"]) == {"critical_sharpness/figure", "gradient_flow/figure"}
    assert ls.load(tmp_path / "seen" / "critical_sharpness.h5").attrs["kind"] == "critical_steps"

    fresh = Classifier()
    ls.load_into(fresh, ls.load_checkpoint(trainer.checkpoint_callback.best_model_path))
    objective = ls.Objective(fresh, "cross_entropy", data(), device="cpu")
    with torch.no_grad():
        own = nn.functional.cross_entropy(module.eval()(data()[0]), data()[1])
    assert objective.evaluate().loss == pytest.approx(float(own), rel=1e-6)
    line = ls.line(objective, x=(-1, 1, 3), seeds=[0])
    assert np.isfinite(line["loss"]).all()


def test_what_the_callback_cannot_follow_is_said(tmp_path: Path) -> None:
    class Asking(Classifier):
        def training_step(self, batch: Any, index: int) -> Tensor:
            return super().training_step(batch, index) * float(self.trainer.max_epochs)

    class Clipping(Classifier):
        def configure_gradient_clipping(self, *given: Any, **named: Any) -> None: ...

    with pytest.raises(InputError, match="training_step asks for its trainer"):
        trained(tmp_path, LandscapeCallback(["critical_sharpness"]), module=Asking())
    with pytest.raises(InputError, match="clips gradients in its own way"):
        trained(tmp_path, LandscapeCallback(), module=Clipping())
    given = LandscapeCallback(["critical_sharpness"], loss=lambda m, b: nn.functional.cross_entropy(m(b[0]), b[1]))
    trained(tmp_path, given, module=Asking())
    assert given.watch is not None and given.watch.datasets()["critical_sharpness"].sizes["step"] == 1
    assert copy.deepcopy(given.watch.checkpoints) == {}
