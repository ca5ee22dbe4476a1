"""The built-in networks, models by name, and a user's own by reference."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from landscape.errors import InputError
from landscape.models import MODELS, NORMS, build_model, fitting_options, mlp, vgg
from landscape.references import call_reference

DEPTHS = (8, 14, 20, 26, 32, 38)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def count(module: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(layer, kind) for layer in module.modules())


@pytest.mark.parametrize(
    ("depth", "norm", "expected", "layers"),
    [
        (8, "input", 59_716, 1),
        (38, "input", 336_196, 1),
        (38, "blocks", 338_116, 31),
        (38, "batch", 338_500, 37),
        (38, "none", 336_196 - 64, 0),
    ],
)
def test_vgg_has_the_published_parameters_and_batch_norms(depth: int, norm: str, expected: int, layers: int) -> None:
    module = vgg(depth, norm=norm)
    assert parameters(module) == expected
    assert count(module, nn.BatchNorm2d) == layers


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("depth", DEPTHS)
def test_vgg_depth_counts_its_convolutions_and_its_linear_layer(depth: int, norm: str) -> None:
    module = vgg(depth, norm=norm)
    assert count(module, nn.Conv2d) == depth - 1
    assert count(module, nn.Linear) == 1


def convolved(module: nn.Module, images: Tensor, *, bias: bool, norm: bool) -> Tensor:
    """Convolution, BatchNorm in evaluation mode if ``norm``, LeakyReLU, from the module's tensors alone."""
    state = module.state_dict()
    assert ("conv.bias" in state) == bias
    assert ("norm.weight" in state) == norm
    images = functional.conv2d(images, state["conv.weight"], state.get("conv.bias"), padding=1)
    if norm:
        mean, variance, scale, shift = (
            state[f"norm.{name}"][:, None, None] for name in ("running_mean", "running_var", "weight", "bias")
        )
        images = (images - mean) / (variance + 1e-5).sqrt() * scale + shift
    return images.where(images > 0, 0.01 * images)


@pytest.mark.parametrize(
    ("norm", "places"),
    [("none", ()), ("input", ("input",)), ("blocks", ("input", "block")), ("batch", ("input", "block", "reduction"))],
)
def test_vgg_is_the_function_that_its_definition_says(norm: str, places: tuple[str, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    module = build_model("vgg20", seed=0, norm=norm, classes=7).double().eval()
    for name, tensor in module.state_dict().items():
        if ".norm." in name and tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + 0.5)
    images = torch.randn(3, 3, 32, 32, generator=generator, dtype=torch.float64)

    part = module.get_submodule
    x = convolved(part("input"), images, bias=False, norm="input" in places)
    for stage in (1, 2, 3):
        for block in (1, 2):
            for layer in (0, 1):
                x = convolved(part(f"stage{stage}.block{block}.{layer}"), x, bias=False, norm="block" in places)
        x = convolved(part(f"stage{stage}.reduction.0"), x, bias=True, norm="reduction" in places)
        x = functional.avg_pool2d(x, 2)
        x = convolved(part(f"stage{stage}.reduction.2"), x, bias=True, norm="reduction" in places)
    assert x.shape == (3, 32, 4, 4)
    head = part("head").state_dict()
    expected = x.mean((2, 3)) @ head["weight"].T + head["bias"]
    assert torch.allclose(module(images), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [8, 28, 33, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_vgg_takes_images_of_other_sizes_and_channels(size: int, channels: int) -> None:
    module = vgg(8, classes=10, channels=channels)
    assert module(torch.rand(2, channels, size, size)).shape == (2, 10)


@pytest.mark.parametrize("depth", [7, 9, 37, 44, -4, 2, "38", None])
def test_a_depth_that_no_vgg_has_is_refused_with_those_that_exist(depth: Any) -> None:
    with pytest.raises(InputError, match="8, 14, 20, 26, 32, 38"):
        vgg(depth)


@pytest.mark.parametrize("argument", ["classes", "channels", "filters"])
@pytest.mark.parametrize("value", [0, -1, 2.5, "3", True])
def test_a_vgg_of_no_size_is_refused_by_argument(argument: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"{argument}: expected a whole number"):
        vgg(8, **{argument: value})


def test_weights_are_pytorchs_default_initialisation() -> None:
    for layer in build_model("vgg38", seed=0).modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            # Kaiming uniform with a = √5 is U(−1/√fan_in, 1/√fan_in), for weights and biases.
            weight = layer.weight.detach()
            bound = 1 / math.sqrt(weight[0].numel())
            assert 0.95 * bound < weight.abs().max() <= bound
            assert float(weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.1)
            assert layer.bias is None or layer.bias.abs().max() <= bound


def test_a_seed_decides_the_weights_and_leaves_the_global_state() -> None:
    before = torch.get_rng_state()
    first, again, other = (build_model("vgg08", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name])
    assert not torch.equal(first.get_parameter("head.weight"), other.get_parameter("head.weight"))


def test_without_a_seed_weights_follow_torchs_own() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        expected = vgg(8, classes=10)
        torch.manual_seed(5)
        built = build_model("vgg08", classes=10)
    assert all(torch.equal(a, b) for a, b in zip(expected.parameters(), built.parameters(), strict=True))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vgg14", {"norm": "blocks", "classes": 5, "channels": 1, "filters": 4}),
        ("mlp", {"hidden": (8, 4), "norm": "batch", "classes": 3, "image_size": 4}),
        ("torchvision:squeezenet1_1", {"classes": 4}),
    ],
)
def test_a_spec_that_went_through_json_builds_the_same_model(name: str, options: dict[str, Any]) -> None:
    spec = json.loads(json.dumps({"name": name, "options": options}))
    first = build_model(name, seed=3, **options).state_dict()
    again = build_model(spec["name"], seed=3, **spec["options"]).state_dict()
    assert list(first) == list(again)
    assert all(torch.equal(first[key], again[key]) for key in first)


@pytest.mark.parametrize(
    ("activation", "function"),
    [("relu", torch.relu), ("tanh", torch.tanh), ("sigmoid", torch.sigmoid), ("gelu", functional.gelu)],
)
def test_mlp_is_linear_maps_with_activations_between(activation: str, function: Any) -> None:
    module = build_model("mlp", seed=0, hidden=[6, 4], classes=3, channels=1, image_size=5, activation=activation)
    module.double()
    images = torch.randn(7, 1, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    state = module.state_dict()
    x = images.reshape(7, 25)
    for name in ("hidden1.linear", "hidden2.linear"):
        x = function(x @ state[f"{name}.weight"].T + state[f"{name}.bias"])
    assert torch.allclose(module(images), x @ state["head.weight"].T + state["head.bias"])


@pytest.mark.parametrize(("depth", "layers"), [(None, 2), (0, 0), (3, 3)])
def test_mlp_depth_counts_the_hidden_layers_of_one_width(depth: int | None, layers: int) -> None:
    module = mlp(inputs=10, hidden=4, depth=depth, norm="batch", classes=2)
    assert count(module, nn.Linear) == layers + 1
    assert count(module, nn.BatchNorm1d) == layers
    assert module(torch.rand(3, 10)).shape == (3, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": [4, 4], "depth": 2}, "leave depth out"),
        ({"hidden": 0}, "hidden: expected a whole number"),
        ({"hidden": [4, 2.5]}, "hidden: expected a whole number"),
        ({"hidden": "wide"}, "hidden: expected a width or a list"),
        ({"depth": -1}, "depth: expected a number of hidden layers"),
        ({"inputs": 0}, "inputs: expected a whole number"),
        ({"image_size": "32"}, "image_size: expected a whole number"),
        ({"norm": "batches"}, "norm: .*Did you mean 'batch'"),
        ({"activation": "rely"}, "activation: .*Did you mean 'relu'"),
    ],
)
def test_an_mlp_that_cannot_be_is_refused_by_argument(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_model("mlp", **options)


def test_torchvision_models_are_built_untrained_with_the_classes_asked_for() -> None:
    model = build_model("torchvision:resnet18", seed=0, classes=7).eval()
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 7)
    again = build_model("torchvision:resnet18", seed=0, classes=7)
    assert torch.equal(model.get_parameter("fc.weight"), again.get_parameter("fc.weight"))


def test_torchvision_models_take_their_own_options() -> None:
    model = build_model("torchvision:mobilenet_v2", classes=2, width_mult=0.25)
    assert parameters(model) < parameters(build_model("torchvision:mobilenet_v2", classes=2))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vgg39", {}, "Did you mean 'vgg38'"),
        ("vgg38", {"norm": "bach"}, "Did you mean 'batch'.*batch, blocks, input, none"),
        ("vgg38", {"nrom": "batch"}, "unknown value 'nrom'. Did you mean 'norm'"),
        ("vgg38", {"depth": 8}, "Choose from: channels, classes, filters, norm"),
        ("vgg38", {"classes": torch.tensor(3)}, "option 'classes': expected numbers"),
        ("torchvision:resnet81", {}, "Did you mean 'resnet18'"),
        ("torchvision:fasterrcnn_resnet50_fpn", {}, "Choose from: alexnet"),
        ("torchvision:resnet18", {"weights": "DEFAULT"}, "option 'weights'"),
        ("torchvision:resnet18", {"norm": "batch"}, "refused the options.*norm"),
        ("torchvision:resnet18", {"classes": 0}, "classes: expected a whole number"),
    ],
)
def test_what_no_model_has_is_refused_with_what_exists(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_model(name, **options)


def test_an_unknown_model_lists_all_and_the_ways_to_name_others() -> None:
    with pytest.raises(InputError) as caught:
        build_model("resnet")
    assert all(name in str(caught.value) for name in (*MODELS, "torchvision:NAME", "module:function"))


OWN_MODELS = """
from torch import nn
import {helper}
from landscape.errors import InputError

number = 3

class Net(nn.Module):
    def __init__(self, width=2, *, classes):
        super().__init__()
        self.layer = nn.Linear(width, classes)

def net(classes=2, width=2):
    return Net(width, classes=classes)

def any_options(**options):
    return net(**options)

def wrong():
    return "a model"

def fails():
    return {helper}.fails()

def refuses():
    raise InputError("width: too wide.")
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A file of models that imports its neighbour, each under a name of this test's own."""
    helper = f"helper_{tmp_path.name}"
    (tmp_path / f"{helper}.py").write_text("def fails():\n    raise KeyError('weights')\n")
    file = tmp_path / f"models_{tmp_path.name}.py"
    file.write_text(OWN_MODELS.format(helper=helper))
    return file


def test_a_file_or_a_module_in_the_working_folder_gives_the_same_model(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = list(sys.path)
    from_file = build_model(f"{own}:net", seed=1, classes=4)
    monkeypatch.chdir(own.parent)
    from_module = build_model(f"{own.stem}:net", seed=1, classes=4)
    assert torch.equal(from_file.get_parameter("layer.weight"), from_module.get_parameter("layer.weight"))
    assert parameters(build_model(f"{own.name}:Net", width=5, classes=4)) == 5 * 4 + 4
    assert sys.path == path


def test_an_edit_of_equal_length_within_a_second_is_run(tmp_path: Path) -> None:
    """By length and second bytecode would be taken for that of the edited file."""
    file = tmp_path / "quick.py"
    for value in (1, 2):
        file.write_text(f"def value():\n    return {value}\n")
        os.utime(file, (1e9, 1e9))
        assert call_reference("model", f"{file}:value", {}) == value
    assert not (tmp_path / "__pycache__").exists()


def test_a_file_is_run_once_a_version(own: Path) -> None:
    assert type(build_model(f"{own}:net")) is type(build_model(f"{own}:any_options"))
    own.write_text("from torch import nn\n\ndef net():\n    return nn.Identity()\n")
    assert isinstance(build_model(f"{own}:net"), nn.Identity)


@pytest.mark.parametrize(
    ("reference", "options", "message"),
    [
        ("{own}:nett", {}, "unknown value 'nett'. Did you mean 'net'"),
        ("{own}:number", {}, "is int 3; expected something that can be called"),
        ("{own}:net", {"clases": 3}, "unknown value 'clases'. Did you mean 'classes'"),
        ("{own}:Net", {}, "expected the option classes"),
        ("{own}:wrong", {}, "returned str 'a model'; expected a torch.nn.Module"),
        ("{own}:fails", {}, "raised KeyError: 'weights'"),
        ("{own}x.py:net", {}, "no file"),
        ("{own}:", {}, "the part after the colon is empty"),
        (":net", {}, "the part before the colon is empty"),
        ("no_such_package.models:net", {}, "no module named 'no_such_package'.*path/to/file.py:function"),
        ("json.no_such_part:net", {}, "no module named 'json.no_such_part'"),
        ("{broken}:net", {}, "importing .*raised SyntaxError"),
        ("{lacking}:net", {}, "importing .*raised ModuleNotFoundError: No module named 'no_such_dependency'"),
    ],
)
def test_a_reference_that_gives_no_model_is_refused(
    own: Path, reference: str, options: dict[str, Any], message: str
) -> None:
    broken, lacking = own.parent / "broken.py", own.parent / "lacking.py"
    broken.write_text("def net(:\n")
    lacking.write_text("import no_such_dependency\n")
    with pytest.raises(InputError, match=message):
        build_model(reference.format(own=own, broken=broken, lacking=lacking), **options)


def test_a_module_that_lacks_a_dependency_is_not_called_missing_itself(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(own.parent)
    (own.parent / "lacking_module.py").write_text("import no_such_dependency\n")
    with pytest.raises(InputError, match=r"importing 'lacking_module' raised .*no_such_dependency"):
        build_model("lacking_module:net")


def test_the_users_own_error_is_kept_and_ours_passes_unchanged(own: Path) -> None:
    with pytest.raises(InputError) as caught:
        build_model(f"{own}:fails")
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(InputError, match=r"^width: too wide\.$"):
        build_model(f"{own}:refuses")


def test_fitting_options_are_those_facts_that_the_builder_takes(own: Path) -> None:
    facts = {"classes": 10, "channels": 3, "image_size": 28}
    assert fitting_options("vgg38", **facts) == {"classes": 10, "channels": 3}
    assert fitting_options("mlp", **facts) == facts
    assert fitting_options("torchvision:resnet18", **facts) == {"classes": 10}
    assert fitting_options(f"{own}:net", **facts) == {"classes": 10}
    assert fitting_options(f"{own}:any_options", **facts) == {}
    assert fitting_options("vgg38", classes=None, channels=1) == {"channels": 1}
    with pytest.raises(InputError, match="Did you mean 'vgg38'"):
        fitting_options("vgg3", **facts)
