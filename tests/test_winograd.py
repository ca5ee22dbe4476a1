"""Winograd's minimal filtering against PyTorch's own convolution in double precision."""

from __future__ import annotations

import copy
import platform
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.functional import conv2d, leaky_relu

from landscape.models import build_model
from landscape.numerics.kernels import winograd
from landscape.numerics.seeds import generator
from landscape.objective import convolutions
from landscape.objective.convolutions import FilteredConv2d, WideConv2d, filter_convolutions, filtered_convolutions
from landscape.objective.objective import Objective
from landscape.probes.plane.spans import random_span

Shape = tuple[int, int, int, int, int]
Tensors = tuple[Tensor, Tensor, Tensor]
# N, C, K, H, W: whole tiles and tiles over the edges, one image and many, one block of tiles and several, channels that fill
# two registers and one.
SHAPES = [(2, 32, 32, 16, 16), (3, 32, 16, 10, 7), (1, 16, 48, 4, 4), (5, 48, 32, 13, 30), (70, 16, 16, 3, 5)]
SLOPES = [1.0, 0.01, 0.0]
SINGLE, HALF = 3e-6, 0.04  # of the size of what is compared


def operands(shape: Shape, seed: int = 0) -> Tensors:
    n, c, k, h, w = shape
    draws = generator(seed, "operands", *shape)
    x, bias = torch.randn(n, c, h, w, generator=draws), torch.randn(k, generator=draws)
    return x, torch.randn(k, c, 3, 3, generator=draws) / (3 * c**0.5), bias


def direct(x: Tensor, weight: Tensor, bias: Tensor, slope: float) -> Tensor:
    return leaky_relu(conv2d(x, weight, bias, padding=1), slope)


def apart(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_values_are_those_of_the_direct_convolution(
    shape: Shape, slope: float, layout: torch.memory_format, threads: int
) -> None:
    x, weight, bias = operands(shape)
    expected = direct(x.double(), weight.double(), bias.double(), slope)
    found = winograd.convolution(x.to(memory_format=layout), weight.to(memory_format=layout), bias, slope=slope)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert apart(found, expected) < SINGLE
    # No pixel alone may be far off, such as those of the last rows or of the last image.
    assert float((found - expected).abs().max()) < 1e-4


@pytest.mark.parametrize("shape", SHAPES)
def test_bf16_values_are_those_of_the_direct_convolution(shape: Shape) -> None:
    if not winograd.suits_half():
        pytest.skip("bf16 convolutions are PyTorch's on this processor")
    x, weight, bias = operands(shape)
    expected = direct(x.double(), weight.double(), bias.double(), 0.01)
    found = winograd.convolution(x.bfloat16(), weight, bias, slope=0.01)
    assert found.dtype == torch.bfloat16
    assert 1e-4 < apart(found, expected) < HALF


@pytest.mark.parametrize("shape", SHAPES)
def test_products_of_floats_leave_the_rounding_of_stored_bf16_numbers_alone(shape: Shape) -> None:
    if not winograd.suits_half():
        pytest.skip("bf16 convolutions are PyTorch's on this processor")
    x, weight, bias = operands(shape)
    at = [x.bfloat16(), weight, bias]
    leaves = [t.clone().requires_grad_() for t in at]
    found = winograd.convolution(*leaves, slope=0.01, wide=True)
    wide = [t.double().requires_grad_() for t in at]
    expected = direct(*wide, 0.01)
    assert apart(found.detach(), expected.detach()) < 2**-8
    dy = torch.randn(expected.shape, generator=generator(4, "dy")).bfloat16()
    for ours, theirs in zip(
        torch.autograd.grad(found, leaves, dy), torch.autograd.grad(expected, wide, dy.double()), strict=True
    ):
        assert apart(ours, theirs) < 2**-6  # some results are rounded to the other side of the activation's kink


def derivatives(
    function: Callable[[Tensor, Tensor, Tensor], Tensor], operands: Tensors, along: Tensors
) -> list[Tensor]:
    """The gradient of a loss, its Hessian product by reverse over reverse, what the values change by, the gradient of that change
    squared (in the first two operands), and the product by forward over reverse."""
    leaves = [t.detach().requires_grad_() for t in operands]

    def loss(*at: Tensor) -> Tensor:
        return (function(*at) ** 3).mean()

    gradient = torch.autograd.grad(loss(*leaves), leaves, create_graph=True)
    slope = torch.stack([(g * v).sum() for g, v in zip(gradient, along, strict=True)]).sum()
    product = torch.autograd.grad(slope, leaves)
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(t, v) for t, v in zip(leaves, along, strict=True)]
        pushed = forward_ad.unpack_dual(function(*duals)).tangent
        back = torch.autograd.grad(pushed.square().mean(), leaves[:2], retain_graph=True)
        changes = [forward_ad.unpack_dual(g).tangent for g in torch.autograd.grad(loss(*duals), leaves)]
    return [t.detach() for t in (*gradient, *product, pushed, *back, *changes)]


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*")
@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_derivatives_are_those_of_the_direct_convolution(shape: Shape, slope: float, threads: int) -> None:
    at, along = operands(shape), operands(shape, seed=1)
    found = derivatives(lambda *t: winograd.convolution(*t, slope=slope), at, along)
    wide = [tuple(t.double() for t in tensors) for tensors in (at, along)]
    expected = derivatives(lambda *t: direct(*t, slope), *wide)
    for ours, theirs in zip(found, expected, strict=True):
        assert apart(ours, theirs) < SINGLE


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*")
def test_derivatives_in_some_operands_alone() -> None:
    x, weight, bias = operands(SHAPES[0])
    bias.requires_grad_()
    (found,) = torch.autograd.grad(winograd.convolution(x, weight, bias, slope=0.1).square().sum(), bias)
    expected = 2 * torch.where(winograd.convolution(x, weight, bias) > 0, 1, 0.1) * direct(x, weight, bias, 0.1)
    torch.testing.assert_close(found, expected.sum((0, 2, 3)), rtol=1e-4, atol=1e-3)
    with forward_ad.dual_level():
        moved = winograd.convolution(x, weight, forward_ad.make_dual(bias.detach(), torch.ones_like(bias)))
        assert bool((forward_ad.unpack_dual(moved).tangent == 1).all())


def test_a_value_depends_on_neither_the_batch_nor_the_threads() -> None:
    x, weight, bias = operands((70, 16, 16, 9, 9))
    whole = winograd.convolution(x, weight, bias)
    assert torch.equal(whole[33:36], winograd.convolution(x[33:36], weight, bias))
    before = torch.get_num_threads()
    torch.set_num_threads(before + 2)
    try:
        assert torch.equal(whole, winograd.convolution(x, weight, bias))
    finally:
        torch.set_num_threads(before)


def test_no_image_at_all_is_none() -> None:
    x, weight, bias = operands((1, 16, 16, 8, 8))
    weight.requires_grad_()
    empty = winograd.convolution(x[:0], weight, bias)
    assert empty.shape == (0, 16, 8, 8)
    assert not bool(torch.autograd.grad(empty.sum(), weight)[0].any())


def test_what_is_no_number_stays_so() -> None:
    x, weight, bias = operands((1, 16, 16, 8, 8))
    x[0, 3, 1, 1] = torch.nan
    for slope in SLOPES:
        found = winograd.convolution(x, weight, bias, slope=slope)
        assert bool(found[:, :, :3, :3].isnan().all())
        assert not bool(found[:, :, 4:, 4:].isnan().any())


@pytest.mark.parametrize(
    ("layer", "suits"),
    [
        (nn.Conv2d(16, 32, 3, padding=1), True),
        (nn.Conv2d(16, 32, 3, padding="same"), True),
        (nn.Conv2d(3, 32, 3, padding=1), False),
        (nn.Conv2d(16, 24, 3, padding=1), False),
        (nn.Conv2d(512, 512, 3, padding=1), False),
        (nn.Conv2d(16, 32, 3), False),
        (nn.Conv2d(16, 32, 3, padding=1, stride=2), False),
        (nn.Conv2d(16, 32, 3, padding=2, dilation=2), False),
        (nn.Conv2d(16, 32, 3, padding=1, groups=2), False),
        (nn.Conv2d(16, 32, 3, padding=1, padding_mode="circular"), False),
        (nn.Conv2d(16, 32, 5, padding=2), False),
        (nn.Conv2d(16, 32, 3, padding=1).double(), False),
        (nn.utils.parametrizations.weight_norm(nn.Conv2d(16, 32, 3, padding=1)), False),
    ],
    ids=lambda value: str(value) if isinstance(value, nn.Module) else "",
)
def test_which_layers_are_filtered(layer: nn.Module, suits: bool) -> None:
    note = filter_convolutions(layer, lambda _: True)
    assert isinstance(layer, FilteredConv2d) == suits
    assert note == ("1 convolution by Winograd's minimal filtering" if suits else "")


def test_outputs_that_change_keep_the_convolutions() -> None:
    module = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU())
    note = filter_convolutions(module, lambda _: False)
    assert type(module[0]) is nn.Conv2d
    assert note == "convolutions are PyTorch's: minimal filtering changes the outputs"


def network(norm: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build_model("vgg14", seed=0, classes=4, norm=norm)
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.data.uniform_(0.5, 1.5)
                layer.running_mean.normal_(std=0.1)  # type: ignore[union-attr]
                layer.running_var.uniform_(0.05, 0.2)  # type: ignore[union-attr]
    return module.eval()


def samples() -> tuple[Tensor, Tensor]:
    return torch.randn(40, 3, 16, 16, generator=generator(2, "images")), torch.arange(40) % 4


@pytest.mark.parametrize(("norm", "note"), [("batch", "folded: 13"), ("none", "plain: no BatchNorm")])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_objective_measures_what_the_plain_one_does(norm: str, note: str, precision: str) -> None:
    if precision == "bf16" and not winograd.suits_half():
        pytest.skip("bf16 convolutions are PyTorch's on this processor")
    points = np.array([[0.0, 0.0], [0.15, -0.1], [-0.3, 0.3]])
    values = []
    for options in ({}, {"engine": "plain", "precision": "fp64"}):
        objective = Objective(network(norm), data=samples(), device="cpu", **{"precision": precision, **options})  # type: ignore[arg-type]
        values.append(objective.evaluate_points(random_span(objective, [0], 2).subspaces[0], points).loss)
        if not options:
            assert objective.engine_note.startswith(note)
            assert "; 12 convolutions by Winograd's minimal filtering" in objective.engine_note
    np.testing.assert_allclose(values[0], values[1], rtol=1e-5 if precision == "fp32" else 3e-2)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*")
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_an_objective_differentiates_as_the_plain_one_does(norm: str) -> None:
    found = []
    for options in ({"precision": "fp32"}, {"engine": "plain", "precision": "fp64"}):
        objective = Objective(network(norm), data=samples(), device="cpu", **options)  # type: ignore[arg-type]
        along = torch.randn(objective.theta.layout.size, generator=generator(3, "along"))
        found.append(
            [
                objective.gradient().vector.vector,
                objective.hessian_product(along),
                objective.gauss_newton_product(along),
            ]
        )
    for ours, theirs in zip(*found, strict=True):
        assert apart(ours, theirs) < 1e-4


@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"padding": 1, "padding_mode": "reflect"}, {"bias": False}])
def test_where_pytorch_has_only_a_slow_bf16_convolution_its_numbers_are_made_by_the_fast_one(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = nn.Conv2d(3, 8, 3, **options)
    x = torch.randn(4, 3, 12, 12, generator=generator(0, "wide"))
    found = []
    for supported in (True, False):
        monkeypatch.setattr(convolutions, "_multiplies_half", lambda supported=supported: supported)
        net = nn.Sequential(copy.deepcopy(layer))
        with filtered_convolutions(net, lambda _: True, half=True):
            assert (type(net[0]) is WideConv2d) is not supported
            at = x.clone().requires_grad_()
            with torch.autocast("cpu", torch.bfloat16):
                outputs = net(at)
            assert outputs.dtype == torch.bfloat16
            outputs.float().square().sum().backward()
            assert net[0].weight.grad is not None and at.grad is not None
            found.append([outputs.detach(), net[0].weight.grad, at.grad])
            assert torch.equal(net(x), layer(x)), "without autocast nothing is different"
        assert type(net[0]) is nn.Conv2d
    for wide, half in zip(*found, strict=True):
        assert apart(wide, half.double()) < 2**-7


@pytest.mark.parametrize("policy", ["reestimated", "batch"])
def test_statistics_that_are_taken_anew_are_taken_of_the_same_activations(policy: str) -> None:
    found = []
    for options in ({"precision": "fp32"}, {"engine": "plain", "precision": "fp64"}):
        objective = Objective(network("batch"), data=samples(), device="cpu", batch_norm=policy, **options)  # type: ignore[arg-type]
        found.append(objective.evaluate().loss)
        if options["precision"] == "fp32":
            assert objective.engine_note.startswith("plain: BatchNorm's statistics are new at every point; 12 conv")
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_plain_objectives_keep_the_convolutions() -> None:
    plain = Objective(network("batch"), data=samples(), device="cpu", engine="plain")
    assert not any(isinstance(layer, FilteredConv2d) for layer in plain.structure.modules())


@pytest.fixture
def no_kernel() -> Iterator[None]:
    """As if nothing had been compiled in this process, before and after."""
    winograd._built.cache_clear()
    yield
    winograd._built.cache_clear()


@pytest.mark.usefixtures("no_kernel")
def test_without_a_compiler_pytorch_convolves_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    objective = Objective(network("batch"), data=samples(), device="cpu")
    assert objective.engine_note.endswith("convolutions are PyTorch's: no C compiler (cc, gcc or clang) is on the PATH")
    assert np.isfinite(objective.evaluate().loss)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="for x86 processors")
@pytest.mark.usefixtures("no_kernel")
@pytest.mark.parametrize("processor", ["x86-64", "x86-64-v3", "x86-64-v4"])
def test_other_registers_give_the_same(processor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if processor == "x86-64-v4" and "AVX512" not in torch.backends.cpu.get_cpu_capability():
        pytest.skip("no registers of 512 bits on this processor")
    monkeypatch.setattr(winograd, "FLAGS", tuple(f.replace("native", processor) for f in winograd.FLAGS))
    at, along = operands(SHAPES[1]), operands(SHAPES[1], seed=1)
    assert winograd.suits_half() and not winograd.has_half()
    found = derivatives(lambda *t: winograd.convolution(*t, slope=0.01), at, along)
    wide = [tuple(t.double() for t in tensors) for tensors in (at, along)]
    for ours, theirs in zip(found, derivatives(lambda *t: direct(*t, 0.01), *wide), strict=True):
        assert apart(ours, theirs) < SINGLE
    x, weight, bias = at
    stored = winograd.convolution(x.bfloat16(), weight, bias)
    # Rounded as PyTorch rounds: what it keeps of a float is the nearest bf16 number, a tie goes to the even one.
    assert torch.equal(stored, winograd.convolution(x.bfloat16().float(), weight, bias).bfloat16())
    x[0, 0, 3, 3], bias[1], bias[2] = torch.nan, torch.inf, -3.4e38
    found = winograd.convolution(x.bfloat16(), weight, bias)[:, :3]
    assert found[0].isnan().any() and not found[1:].isnan().any()
    assert bool((found[1:, 1] == torch.inf).all()) and bool((found[1:, 2] == -torch.inf).any())
