"""Directions by name and by value, barriers between several networks, and models by name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from door_samples import X, Y, net, objective
from torch import Tensor, nn

import landscape as ls
from landscape.errors import InputError
from landscape.numerics.parameters import ParameterVector
from landscape.probes.plane.changes import restricted

F = nn.functional


def weights(theta: ParameterVector, direction: ls.Direction) -> dict[str, Tensor]:
    return ParameterVector(theta.vector + direction.vector, theta.layout).views()


def test_quantised_weights_lie_on_a_lattice_of_each_row_within_half_a_step() -> None:
    theta = objective().theta
    for bits in (8, 4, 2):
        made = weights(theta, ls.quantization(theta, bits))
        for name, weight in theta.views().items():
            if weight.ndim == 1:
                assert torch.equal(made[name], weight)
                continue
            step = weight.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
            assert torch.allclose((made[name] / step).round(), made[name] / step, atol=1e-9)
            assert ((made[name] - weight).abs() <= step / 2 + 1e-12).all()


@pytest.mark.parametrize("rounding", ["nf4", "fp4"])
def test_four_bits_of_bitsandbytes_are_its_sixteen_values_a_block(rounding: str) -> None:
    functional = pytest.importorskip("bitsandbytes.functional")
    made = objective(module=nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 3)).double())
    theta = made.theta
    near = weights(theta, ls.quantization(theta, rounding))
    for name in ("0.weight", "2.weight"):
        packed, state = functional.quantize_4bit(theta[name].float().contiguous(), quant_type=rounding)
        assert torch.equal(near[name].float(), functional.dequantize_4bit(packed, state))
        assert max(len(block.unique()) for block in near[name].float().reshape(-1, 64)) <= 16
    assert torch.equal(near["0.bias"], theta["0.bias"])
    line = ls.line(made, along=rounding, x=(0, 1, 2))
    assert f"in {rounding} of bitsandbytes (1)" in line["x"].attrs["long_name"]
    rows = weights(theta, ls.quantization(theta, 8))["0.weight"].half()
    whole, scales, _ = functional.int8_vectorwise_quant(theta["0.weight"].half())
    assert float((rows - whole * scales[:, None] / 127).abs().max()) <= float(theta["0.weight"].abs().max()) / 127


def test_four_bits_of_bitsandbytes_without_it_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes.functional", None)
    with pytest.raises(InputError, match=r"nf4 is rounded by bitsandbytes, which is not installed.*bits=4"):
        ls.quantization(objective().theta, "nf4")


def test_pruning_takes_the_smallest_and_decay_leads_to_zero() -> None:
    made = objective()
    theta = made.theta
    matrices = [name for name, weight in theta.views().items() if weight.ndim > 1]
    pruned = weights(theta, ls.pruning(theta, 0.25))
    gone = torch.cat([theta[name][pruned[name] == 0].abs() for name in matrices])
    left = torch.cat([theta[name][pruned[name] != 0].abs() for name in matrices])
    assert len(gone) == round(0.25 * (len(gone) + len(left))) and gone.max() <= left.min()
    line = ls.line(made, along="decay", x=(0, 1, 3))
    assert line["loss"].isel(x=-1, seed=0).item() == pytest.approx(made.evaluate(0 * theta.vector).loss)


def test_thin_directions_have_their_rank_and_parts_their_tensors() -> None:
    theta = objective().theta
    thin = ls.low_rank(theta, 2, seed=0)
    views = ParameterVector(thin.vector, theta.layout).views()
    for name, weight in theta.views().items():
        if weight.ndim > 1:
            assert int(torch.linalg.matrix_rank(views[name])) == 2
            assert float(views[name].norm()) == pytest.approx(float(weight.norm()))
    part = restricted(ls.random_direction(theta, seed=0), "2.*")
    assert {n for n, v in ParameterVector(part.vector, theta.layout).views().items() if v.any()} == {"2.weight"}
    plane = ls.plane(objective(), along=["random:0.*", "lowrank1"], seeds=[0, 1], x=(-1, 1, 3), y=(-1, 1, 3))
    assert "within 0.*" in plane["x"].attrs["long_name"] and plane.sizes["seed"] == 2


def test_along_takes_models_and_other_objectives() -> None:
    made, other = objective(), objective(data=(X, Y.flip(0)))
    plane = ls.plane(made, along=[net(1), other], x=(0, 1, 3), y=(-1, 1, 3))
    assert plane["loss"].isel(seed=0).sel(x=1, y=0).item() == pytest.approx(objective(module=net(1)).evaluate().loss)
    along_other = other.gradient().vector.vector
    there = made.theta.vector + along_other / along_other.norm() * plane["direction_norm"].sel(direction="y").item()
    assert plane["loss"].isel(seed=0).sel(x=0, y=1).item() == pytest.approx(made.evaluate(there).loss)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: ls.quantization(o.theta, 0), "bits from 1 to 16"),
        (lambda o: ls.pruning(o.theta, 1.0), "a share of the weights between 0 and 1"),
        (lambda o: ls.low_rank(o.theta, 0, seed=0), "a rank, at least 1"),
        (lambda o: ls.line(o, along="quantise4"), "unknown value 'quantise4'. Did you mean 'quantize4'"),
        (lambda o: ls.line(o, along="random:head.*"), "'head.*' leaves nothing"),
        (lambda o: ls.line(o, along="prune50", seeds=[0, 1], x=(0, 1, 3)), None),
        (lambda o: ls.lora_update(o, net()), "no adapter 'default' of LoRA"),
        (lambda o: ls.Objective(net(), "cross_entropy", (X, Y), parameters="adapters"), "the module has none"),
        (lambda o: ls.barriers([o]), "at least two networks"),
        (lambda o: ls.barriers([o, o], kind="bezier"), "expected 'linear' or 'aligned'"),
    ],
)
def test_directions_that_are_none_are_refused(make: Callable[[ls.Objective], Any], message: str | None) -> None:
    if message is None:
        make(objective())
        return
    with pytest.raises(InputError, match=message):
        make(objective())


def test_barriers_of_pairs_are_those_of_their_paths() -> None:
    nets = [objective(module=net(seed)) for seed in range(3)]
    found = ls.barriers(nets, points=5, names=["a", "b", "c"])
    one = ls.path(nets[0], net(2), points=5)
    assert float(found["barrier"].sel(model="a", other="c")) == float(one["barrier"][0])
    assert np.array_equal(found["barrier"], found["barrier"].T, equal_nan=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no/folder", "no folder 'no/folder'.*hf:NAME"),
        ("torchvision:resnet18", "nothing is downloaded unless"),
        ("torchvision:resnet81", "unknown value 'resnet81'. Did you mean 'resnet18'"),
    ],
)
def test_pretrained_models_that_are_not_here_are_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ls.from_pretrained(name)
