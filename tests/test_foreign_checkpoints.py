"""Other people's checkpoints: which of a file's tensors are a network's weights, and under which names."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign import Names, averaged, equal, loaded, network, prefixed, stored, weights
from torch import nn

from landscape.errors import CheckpointError
from landscape.results import describe, fitted, load_checkpoint, save_checkpoint


def parallel_inside() -> Names:
    module = network()
    module.body = nn.DataParallel(module.body)  # type: ignore[assignment]
    return dict(module.state_dict())


class Lightning(nn.Module):
    def __init__(self, attribute: str) -> None:
        super().__init__()
        self.add_module(attribute, network())


def renamed(pattern: str, to: str) -> Names:
    return {re.sub(pattern, to, name): tensor for name, tensor in weights().items()}


WRAPPED: dict[str, Callable[[], Any]] = {
    "AveragedModel": averaged,
    "AveragedModel of a compiled one": lambda: torch.optim.swa_utils.AveragedModel(
        torch.compile(network())
    ).state_dict(),
    "compiled AveragedModel": lambda: {f"_orig_mod.{name}": entry for name, entry in averaged().items()},
    "torch.compile": lambda: prefixed("_orig_mod."),
    "torch.compile of a part": lambda: renamed(r"^(body)\.", r"\1._orig_mod."),
    "DataParallel of a part": parallel_inside,
    "DataParallel of DataParallel": lambda: nn.DataParallel(nn.DataParallel(network())).state_dict(),
    "Lightning, model": lambda: {"state_dict": Lightning("model").state_dict(), "pytorch-lightning_version": "2.4"},
    "Lightning, net": lambda: {"state_dict": Lightning("net").state_dict()},
    "Lightning, a name of its own": lambda: {"state_dict": Lightning("classifier").state_dict()},
    "Lightning of a compiled one": lambda: prefixed("model._orig_mod."),
    "two attributes": lambda: prefixed("learner.backbone."),
    "FSDP": lambda: prefixed("_fsdp_wrapped_module."),
    "FSDP of parts": lambda: renamed(r"^(body)\.", r"\1._fsdp_wrapped_module."),
    "activation checkpoints": lambda: renamed(r"^(body|head)\.", r"\1._checkpoint_wrapped_module."),
    "FSDP of activation checkpoints": lambda: {
        f"_fsdp_wrapped_module.{name}": tensor
        for name, tensor in renamed(
            r"^(body)\.", r"\1._fsdp_wrapped_module._checkpoint_wrapped_module._orig_mod."
        ).items()
    },
    "all of them": lambda: prefixed("module.model._orig_mod.net.module._fsdp_wrapped_module."),
    "AveragedModel as an attribute": lambda: prefixed("model.", averaged()),
    "an average's counts": lambda: {**prefixed("ema_model."), "initted": torch.tensor(True), "step": torch.tensor(3)},
    "an average's rate": lambda: {**prefixed("shadow."), "decay": torch.tensor(0.9), "num_updates": torch.tensor(7)},
}


@pytest.mark.parametrize("layout", WRAPPED)
def test_names_that_wrappers_made_are_read_as_the_modules_own(tmp_path: Path, layout: str) -> None:
    path = stored(tmp_path, WRAPPED[layout]())
    read = fitted(network(), load_checkpoint(path))
    assert equal(read.state_dict, weights())
    assert read.weights_hash() == load_checkpoint(stored(tmp_path, weights())).weights_hash()


@pytest.mark.slow
def test_torch_compile_makes_the_names_that_are_tried_here() -> None:
    part = network()
    part.body = torch.compile(part.body)  # type: ignore[assignment]
    assert torch.compile(network()).state_dict().keys() == WRAPPED["torch.compile"]().keys()
    assert part.state_dict().keys() == WRAPPED["torch.compile of a part"]().keys()


@pytest.mark.parametrize("attribute", ["model", "module", "backbone"])
def test_a_wrapped_module_takes_plain_weights_and_those_under_another_attribute(tmp_path: Path, attribute: str) -> None:
    target = nn.ModuleDict({attribute: network(seed=9)})
    for given in (weights(), prefixed("net."), prefixed("module.")):
        for tensor in target.state_dict().values():
            tensor.zero_()
        loaded(given, tmp_path, target)
        assert equal(target[attribute].state_dict(), weights())


def test_what_is_taken_off_is_noted_and_what_every_wrapper_adds_is_not(tmp_path: Path) -> None:
    module = network()
    assert fitted(module, load_checkpoint(stored(tmp_path, prefixed("encoder.")))).note == (
        "Their names are read without 'encoder.'."
    )
    for layout in ("AveragedModel", "torch.compile of a part", "FSDP"):
        assert fitted(module, load_checkpoint(stored(tmp_path, WRAPPED[layout]()))).note is None


def test_a_number_called_as_an_average_counts_is_a_weight_where_the_module_has_one(tmp_path: Path) -> None:
    class Decaying(nn.Module):
        def __init__(self, decay: float) -> None:
            super().__init__()
            self.net = nn.Linear(2, 2)
            self.decay = nn.Parameter(torch.tensor(decay))

    target = Decaying(0.1)
    loaded(Decaying(0.75).state_dict(), tmp_path, target)
    assert float(target.state_dict()["decay"]) == 0.75
    with pytest.raises(CheckpointError, match="1 not in the model: decay"):
        loaded({**weights(), "decay": torch.tensor(0.9)}, tmp_path)


@pytest.mark.parametrize("pair", [("student", "teacher"), ("model", "ema_model"), ("a.generator", "b.generator")])
def test_two_networks_in_one_state_dict_are_refused_by_name_and_chosen_by_key(
    tmp_path: Path, pair: tuple[str, str]
) -> None:
    content = {**prefixed(f"{pair[0]}."), **prefixed(f"{pair[1]}.", weights(seed=5))}
    with pytest.raises(CheckpointError) as caught:
        loaded(content, tmp_path)
    message = str(caught.value)
    assert all(repr(f"{name}.") in message for name in pair)
    assert f"--checkpoint-key {pair[0]}" in message
    for seed, name in zip((0, 5), pair, strict=True):
        assert equal(loaded(content, tmp_path, key=name).state_dict(), weights(seed))
        assert equal(loaded({"state_dict": content}, tmp_path, key=f"state_dict.{name}").state_dict(), weights(seed))
        assert equal(loaded({"state_dict": content}, tmp_path, key=name).state_dict(), weights(seed))


def test_other_tensors_beside_the_prefixed_ones_are_named_and_left_out_only_when_asked(tmp_path: Path) -> None:
    content = {**prefixed("model."), "criterion.weight": torch.ones(2)}
    with pytest.raises(
        CheckpointError, match=r"under 'model\.', beside 1 others: criterion\.weight.*--checkpoint-key model"
    ):
        loaded(content, tmp_path)
    assert equal(loaded(content, tmp_path, key="model").state_dict(), weights())


def test_a_misfit_is_told_in_the_names_that_fit_best(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        loaded(prefixed("model.", dict(network(classes=7).state_dict())), tmp_path)
    message = str(caught.value)
    assert "2 of another shape: head.weight ((7, 4) in the file, (2, 4) in the model)" in message
    assert "Its names fit best without 'model.'" in message
    assert "missing" not in message


# Which of a file's weights


def test_the_plain_weights_are_taken_and_the_note_says_what_else_there_is(tmp_path: Path) -> None:
    content = {"state_dict": weights(), "state_dict_ema": weights(5), "optimizer": {"state": {0: {"m": torch.ones(1)}}}}
    read = load_checkpoint(stored(tmp_path, content))
    assert equal(read.state_dict, weights())
    assert read.key == "state_dict"
    assert read.note is not None
    assert "'state_dict'" in read.note
    assert "'state_dict_ema' (10 tensors, an average); --checkpoint-key state_dict_ema" in read.note
    assert "optimizer" not in read.note
    other = load_checkpoint(stored(tmp_path, content), key="state_dict_ema")
    assert equal(other.state_dict, weights(5))
    assert (other.key, other.note) == ("state_dict_ema", None)


KEYED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "ema": (lambda s: {"model": weights(), "ema": s}, "ema"),
    "model_ema": (lambda s: {"model": weights(), "model_ema": s}, "model_ema"),
    "params_ema": (lambda s: {"params": weights(), "params_ema": s}, "params_ema"),
    "ema_state_dict": (lambda s: {"state": weights(), "ema_state_dict": s}, "ema_state_dict"),
    "one inside": (lambda s: {"weights": weights(), "ema": {"decay": 0.9, "shadow": s}}, "ema.shadow"),
    "the one inside": (lambda s: {"weights": weights(), "ema": {"decay": 0.9, "state_dict": s}}, "ema"),
    "callback": (lambda s: {"state_dict": weights(), "callbacks": {"EMA": {"state": s}}}, "callbacks.EMA.state"),
    "dots in a key": (
        lambda s: {"state_dict": weights(), "callbacks": {"a.b{'c': 0.9}": s}},
        "callbacks.a.b{'c': 0.9}",
    ),
    "a list": (lambda s: {"models": [weights(), s]}, "models.1"),
    "wrapped": (lambda s: {"model": weights(), "ema": {f"module.{k}": v for k, v in s.items()}}, "ema"),
    "one letter": (lambda s: {"G": s, "D": weights()}, "G"),
}


@pytest.mark.parametrize("case", KEYED)
def test_a_key_chooses_the_weights(tmp_path: Path, case: str) -> None:
    layout, key = KEYED[case]
    assert equal(loaded(layout(weights(5)), tmp_path, key=key).state_dict(), weights(5))


def test_a_key_that_leads_nowhere_is_answered_with_what_the_file_holds(tmp_path: Path) -> None:
    path = stored(tmp_path, {"model": prefixed("net."), "ema": weights(5), "epoch": 3})
    for key in ("emma", "epoch", "model.conv", "ema.head.weight", ""):
        with pytest.raises(CheckpointError) as caught:
            load_checkpoint(path, key=key)
        assert "'model' (10 tensors), 'ema' (10 tensors, an average)" in str(caught.value)


AMBIGUOUS: dict[str, Callable[[], Any]] = {
    "generator": lambda: {"generator": weights(), "discriminator": weights(5)},
    "student": lambda: {"student": weights(), "teacher": weights(5), "epoch": 1},
    "two plain ones": lambda: {"state_dict": weights(), "model": weights(5)},
    "parts": lambda: {"model": {"encoder": weights(), "decoder": weights(5)}},
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_several_weights_of_which_none_is_plainly_meant_are_refused_naming_them(tmp_path: Path, case: str) -> None:
    path = stored(tmp_path, AMBIGUOUS[case]())
    with pytest.raises(CheckpointError, match=r"holds several weights.*Choose with --checkpoint-key"):
        load_checkpoint(path)
    text = describe(path)
    assert text.count("--checkpoint-key") == 2
    assert text.count("parameters") == 2


def test_the_same_weights_twice_are_no_question_and_the_only_ones_are_noted(tmp_path: Path) -> None:
    assert load_checkpoint(stored(tmp_path, {"state_dict": weights(), "model": weights()})).key == "state_dict"
    read = load_checkpoint(stored(tmp_path, {"ema": weights(5), "epoch": 3}))
    assert equal(read.state_dict, weights(5))
    assert read.note == "The weights are those under 'ema' (10 tensors, an average); there are no others."


def test_an_optimisers_state_and_tables_of_numbers_are_no_weights(tmp_path: Path) -> None:
    module = network()
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.randn(2, 3, 5, 5)).sum().backward()
    optimizer.step()
    content = {"net_g": weights(), "opt_g": optimizer.state_dict(), "metrics": {"accuracy": torch.tensor(0.9)}}
    assert load_checkpoint(stored(tmp_path, content)).key == "net_g"
    with pytest.raises(CheckpointError, match="holds no state dict"):
        load_checkpoint(stored(tmp_path, optimizer.state_dict()))


def test_our_own_checkpoints_have_one_set_of_weights(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "own.pt", state={"model": weights(), "ema": weights(5)})
    assert equal(load_checkpoint(tmp_path / "own.pt", key="model").state_dict, weights())
    with pytest.raises(CheckpointError, match="Leave the key out"):
        load_checkpoint(tmp_path / "own.pt", key="ema")


def test_info_says_keys_types_and_the_prefix(tmp_path: Path) -> None:
    half = {name: t.half() if t.is_floating_point() else t for name, t in prefixed("model.").items()}
    text = describe(stored(tmp_path, {"state_dict": half, "ema": weights(5)}))
    assert "in float16" in text
    assert "all names with 'model.'" in text
    assert "found under: state_dict" in text
    assert re.search(r"also there: .* --checkpoint-key ema", text)
