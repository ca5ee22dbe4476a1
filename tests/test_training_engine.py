"""Training with faster convolutions: the same training to rounding, and a module that is left as it came."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import Any

import pytest
import torch
from torch import nn
from training_samples import CLASSES, Keeper, data_set, same

from landscape.data import TensorData
from landscape.errors import InputError
from landscape.models import build_model
from landscape.numerics.kernels import winograd
from landscape.numerics.seeds import generator
from landscape.objective import convolutions
from landscape.objective.convolutions import FilteredConv2d
from landscape.objective.objective import Objective
from landscape.probes.steps.observer import StepProbe, StepProbeConfig
from landscape.training import History, Observer, StepReport, TrainingConfig, TrainingResult, fit

CONFIG = TrainingConfig(learning_rate=1e-2, epochs=2, batch_size=10, optimizer="sgd")
NOTE = "6 convolutions by Winograd's minimal filtering"


def network() -> nn.Module:
    """A small VGG, whose first convolution has too few channels to gain."""
    return build_model("vgg08", classes=CLASSES, seed=0, norm="batch")


class Kinds(Observer):
    """The kinds of convolution during training, and an objective of the module in the midst of it."""

    def __init__(self, *, stop: bool = False) -> None:
        self.kinds: set[str] = set()
        self.notes: set[str] = set()
        self.stop = stop

    def on_step(self, report: StepReport) -> None:
        self.kinds = {type(m).__name__ for m in report.module.modules() if isinstance(m, nn.Conv2d)}
        data = TensorData(report.inputs[:4], report.targets[:4])
        plain = Objective(report.module, data=data, device="cpu", engine="plain")
        assert not any(isinstance(layer, FilteredConv2d) for layer in plain.structure.modules())
        self.notes.add(Objective(report.module, data=data, device="cpu").engine_note)
        if self.stop:
            raise KeyboardInterrupt


def trained(config: TrainingConfig, *observers: Observer) -> tuple[nn.Module, TrainingResult]:
    module = network()
    return module, fit(module, data_set(), config, device="cpu", observers=observers)


def test_weights_are_those_of_pytorchs_convolutions_to_rounding() -> None:
    plain, without = trained(dataclasses.replace(CONFIG, engine="plain"))
    kinds = Kinds()
    filtered, result = trained(CONFIG, kinds)
    assert (result.engine, without.engine) == (NOTE, "")
    assert kinds.kinds == {"Conv2d", "TrainedConv2d"}
    assert all(note.endswith(NOTE) for note in kinds.notes)
    assert not same(filtered.state_dict(), plain.state_dict())
    for name, expected in plain.state_dict().items():
        torch.testing.assert_close(filtered.state_dict()[name], expected, rtol=1e-3, atol=1e-4)


def test_the_module_is_as_it_was_however_training_ends() -> None:
    module, _ = trained(CONFIG)
    assert {type(m) for m in module.modules() if isinstance(m, nn.Conv2d)} == {nn.Conv2d}
    module = network()
    with pytest.raises(KeyboardInterrupt):
        fit(module, data_set(), CONFIG, device="cpu", observers=[Kinds(stop=True)])
    assert {type(m) for m in module.modules() if isinstance(m, nn.Conv2d)} == {nn.Conv2d}


def test_the_same_training_gives_the_same_bits_interrupted_and_watched() -> None:
    keeper = Keeper()
    whole, _ = trained(CONFIG, keeper)
    watched, _ = trained(CONFIG, StepProbe(StepProbeConfig(every=3)))
    assert same(whole.state_dict(), watched.state_dict())
    resumed = network()
    fit(resumed, data_set(), CONFIG, device="cpu", resume=copy.deepcopy(keeper.states[0]))
    assert same(whole.state_dict(), resumed.state_dict())


def test_the_history_says_how_convolutions_were_made() -> None:
    history = History()
    _, result = trained(CONFIG, history)
    attributes: dict[str, Any] = dict(history.dataset().attrs)
    assert attributes["engine"] == result.engine == NOTE
    assert json.loads(attributes["settings"])["engine"] == "auto"


def test_in_bf16_weights_are_as_near_to_those_of_fp32_as_with_pytorchs_convolutions() -> None:
    if not winograd.suits_half():
        pytest.skip("bf16 convolutions are PyTorch's on this processor")
    exact, start = trained(dataclasses.replace(CONFIG, engine="plain"))[0], network()
    deviations = []
    for engine, note in (("plain", ""), ("auto", NOTE)):
        module, result = trained(dataclasses.replace(CONFIG, precision="bf16", engine=engine))
        assert result.engine.startswith(note) if note else not result.engine
        ways = [torch.cat([p.detach().reshape(-1) for p in m.parameters()]) for m in (module, exact, start)]
        deviations.append(float((ways[0] - ways[1]).norm() / (ways[1] - ways[2]).norm()))
    assert 1e-4 < deviations[1] < 1.5 * deviations[0]


def test_other_machines_keep_pytorchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "suits_half", lambda: False)
    monkeypatch.setattr(convolutions, "_multiplies_half", lambda: True)
    made = trained(dataclasses.replace(CONFIG, epochs=1, precision="bf16"))[1].engine
    assert made == "convolutions are PyTorch's: in bf16 filtered ones are no faster on this processor"

    def missing() -> bool:
        raise winograd.Unavailable("no C compiler")

    monkeypatch.setattr(winograd, "suits_half", missing)
    assert trained(dataclasses.replace(CONFIG, epochs=1))[1].engine == "convolutions are PyTorch's: no C compiler"


def test_no_first_look_in_bf16_waits_for_pytorchs_slow_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolutions, "_multiplies_half", lambda: False)
    whole, slow = nn.Conv2d.forward, []

    def forward(layer: nn.Conv2d, images: torch.Tensor) -> torch.Tensor:
        slow.append(torch.is_autocast_enabled("cpu"))
        return whole(layer, images)

    monkeypatch.setattr(nn.Conv2d, "forward", forward)
    Objective(network(), data=data_set().train, device="cpu", precision="bf16").evaluate()
    trained(dataclasses.replace(CONFIG, epochs=1, precision="bf16"))
    assert not any(slow)
    plain = Objective(network(), data=data_set().train, device="cpu", precision="bf16", engine="plain")
    assert not any(slow)
    assert {type(m) for m in plain.structure.modules() if isinstance(m, nn.Conv2d)} == {nn.Conv2d}
    plain.evaluate()
    assert any(slow), "or this test sees nothing"


def test_a_copy_in_double_precision_convolves_in_it() -> None:
    layer = nn.Conv2d(16, 16, 3, padding=1)
    layer.__class__ = FilteredConv2d
    x = torch.randn(2, 16, 8, 8, generator=generator(0, "double"), dtype=torch.float64)
    wide = copy.deepcopy(layer).double()
    expected = nn.functional.conv2d(x, wide.weight, wide.bias, padding=1)
    assert torch.equal(wide(x), expected)
    with pytest.raises(RuntimeError, match="type"):
        layer(x)


class Viewing(nn.Module):
    """Calls view() on features, which those of a filtered convolution do not allow."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16 * 64, CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.second(self.first(images))
        return self.head(features.view(len(features), -1))


def test_a_module_that_takes_no_filtered_convolutions_keeps_its_own() -> None:
    module = Viewing()
    result = fit(module, data_set(), CONFIG, device="cpu")
    assert result.engine.startswith("convolutions are PyTorch's: the module does not take filtered ones (view size")
    assert type(module.second) is nn.Conv2d
    objective = Objective(module, data=data_set().train, samples=8, device="cpu")
    assert "does not take filtered ones" in objective.engine_note


def test_gradients_do_not_depend_on_the_default_precision() -> None:
    narrow, _ = trained(CONFIG)
    torch.set_default_dtype(torch.float64)
    try:
        wide, result = trained(CONFIG)
    finally:
        torch.set_default_dtype(torch.float32)
    assert result.engine == NOTE
    assert all(torch.isfinite(p).all() for p in wide.parameters())
    assert {p.dtype for p in wide.parameters()} == {p.dtype for p in narrow.parameters()}


def test_what_does_not_fit_is_refused_as_ever_and_transforms_go_on() -> None:
    layer = nn.Conv2d(16, 16, 3, padding=1)
    layer.__class__ = FilteredConv2d
    with pytest.raises(RuntimeError, match="channels"):
        layer(torch.zeros(1, 8, 8, 8))
    x = torch.randn(4, 16, 8, 8, generator=generator(0, "images"))
    each = torch.func.vmap(lambda image: layer(image[None])[0])(x)
    torch.testing.assert_close(each, layer(x), rtol=1e-4, atol=1e-5)


def test_a_run_that_goes_on_with_other_convolutions_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = Keeper()
    trained(CONFIG, keeper)
    state = copy.deepcopy(keeper.states[0])
    assert fit(network(), data_set(), CONFIG, device="cpu", resume=state).engine == NOTE

    def missing() -> bool:
        raise winograd.Unavailable("no C compiler")

    monkeypatch.setattr(winograd, "suits_half", missing)
    changed = fit(network(), data_set(), CONFIG, device="cpu", resume=state).engine
    assert changed == f"{NOTE} up to epoch 1, then convolutions are PyTorch's: no C compiler"
    old = {key: value for key, value in state.items() if key != "engine"}
    old["config"] = {key: value for key, value in state["config"].items() if key != "engine"}
    plain = dataclasses.replace(CONFIG, engine="plain")
    assert fit(network(), data_set(), plain, device="cpu", resume=old).engine == ""


def test_an_engine_that_does_not_exist_is_named() -> None:
    with pytest.raises(InputError, match="engine"):
        TrainingConfig(engine="fast")
