"""``torch.compile`` changes speed and rounding, nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landscape.numerics.kernels import winograd, winograd_operator
from landscape.numerics.seeds import generator
from landscape.objective.convolutions import FilteredConv2d, filtered_convolutions
from landscape.objective.objective import Objective
from landscape.objective.watched import Draws
from landscape.probes.plane.spans import random_span
from landscape.training import TrainingConfig, fit

POINTS = np.array([[0.0, 0.0], [0.5, -0.3], [-1.0, 1.0]])


def filterable() -> nn.Module:
    """A network whose second convolution can be filtered; the first has too few channels, the last strides."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for c, k, stride in ((3, 16, 1), (16, 32, 1), (32, 16, 2)):
            layers += [nn.Conv2d(c, k, 3, stride, 1), nn.BatchNorm2d(k), nn.LeakyReLU(0.1)]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 4))


def pictures() -> tuple[Tensor, Tensor]:
    return torch.randn(40, 3, 8, 8, generator=generator(2, "images")), torch.arange(40) % 4


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """One entry for every filtered convolution: whether of a transposed weight, as in the derivative with respect to its images."""
    made: list[bool] = []
    convolve = winograd.convolve

    def counted(*operands: Any, turned: bool, **options: Any) -> Tensor:
        made.append(turned)
        return convolve(*operands, turned=turned, **options)

    monkeypatch.setattr(winograd, "convolve", counted)
    return made


def skip_without_kernel(precision: str) -> None:
    if precision == "bf16" and not winograd.suits_half():
        pytest.skip("bf16 convolutions are PyTorch's on this processor")


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("fp32", 1e-5), pytest.param("bf16", 3e-2, marks=pytest.mark.slow)]
)
def test_compiled_values_equal_plain_ones(precision: str, tolerance: float, calls: list[bool]) -> None:
    skip_without_kernel(precision)
    options: list[dict[str, Any]] = [
        {"precision": precision, "compile": True},
        {"precision": "fp64", "engine": "plain"},
    ]
    objectives = [Objective(filterable(), data=pictures(), batch_size=20, device="cpu", **o) for o in options]
    engine = objectives[0].provenance()["engine"]
    assert "; 1 convolution by Winograd's minimal filtering" in engine and engine.endswith("compiled")
    before = len(calls)
    points = [o.evaluate_points(random_span(o, [0], 2).subspaces[0], POINTS).loss for o in objectives]
    np.testing.assert_allclose(points[0], points[1], rtol=tolerance)
    assert len(calls) - before >= 2 * len(POINTS)  # batches


def test_compiled_training_equals_that_without_the_compiler_to_rounding(calls: list[bool]) -> None:
    recipe = TrainingConfig(epochs=2, batch_size=20, learning_rate=1e-3)
    losses = []
    for compiled in (False, True):
        calls.clear()
        module = filterable()
        result = fit(module, pictures(), dataclasses.replace(recipe, compile=compiled), device="cpu")
        assert result.engine == "1 convolution by Winograd's minimal filtering"
        assert not any(isinstance(layer, FilteredConv2d) for layer in module.modules())
        assert calls.count(True) == 2 * 2  # batches, epochs
        losses.append([record["train_loss"] for record in result.history])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert losses[1][-1] < losses[1][0]


@pytest.mark.parametrize("slope", [1.0, 0.1])
@pytest.mark.parametrize("half", [False, True])
def test_the_operator_has_the_function_s_values_and_derivatives(half: bool, slope: float) -> None:
    skip_without_kernel("bf16" if half else "fp32")
    draws = generator(0, "operator")
    x = torch.randn(3, 32, 13, 10, generator=draws, dtype=torch.bfloat16 if half else torch.float32)
    weight, bias = torch.randn(48, 32, 3, 3, generator=draws), torch.randn(48, generator=draws)
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    found = []
    for module in (winograd, winograd_operator):
        y = module.convolution(*leaves, slope=slope, wide=True)
        found.append([y, *torch.autograd.grad(y.float().square().sum(), leaves)])
    for ours, expected in zip(found[1], found[0], strict=True):
        assert torch.equal(ours, expected) and ours.stride() == expected.stride()


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("half", [False, True])
def test_the_operator_is_what_it_tells_the_compiler(half: bool, turned: bool) -> None:
    skip_without_kernel("bf16" if half else "fp32")
    draws = generator(0, "operator")
    c, k = (48, 32) if turned else (32, 48)
    x = torch.randn(3, c, 13, 10, generator=draws, dtype=torch.bfloat16 if half else torch.float32)
    weight, bias = torch.randn(48, 32, 3, 3, generator=draws), torch.randn(k, generator=draws)
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    torch.library.opcheck(winograd_operator._convolution, (*leaves, 0.1, turned, True))
    torch.library.opcheck(winograd_operator._weight_gradient, (x.detach(), torch.randn_like(x[:, :16]).detach()))


@pytest.mark.parametrize("half", [False, True])
def test_the_graph_is_whole(half: bool) -> None:
    skip_without_kernel("bf16" if half else "fp32")
    module, (inputs, _) = filterable().eval(), pictures()
    with (
        filtered_convolutions(module, lambda _: True, half=half),
        torch.no_grad(),
        torch.autocast("cpu", torch.bfloat16, enabled=half),
    ):
        compiled = torch.compile(module, backend="eager", fullgraph=True)
        assert torch.equal(compiled(inputs), module(inputs))


@pytest.mark.parametrize("whole", [False, True])
def test_what_a_user_compiled_is_seen_as_it_was_written_and_compiled_for_nobody_else(whole: bool) -> None:
    graphs: list[torch.fx.GraphModule] = []

    def count(graph: torch.fx.GraphModule, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(lambda x: (torch.rand_like(x) + x).sin(), backend=count, fullgraph=whole)
    with Draws() as draws:
        compiled(torch.ones(3))
    assert draws.any and not graphs
    compiled(torch.ones(3))
    with Draws() as draws:
        compiled(torch.ones(3))
    assert draws.any and len(graphs) == 1
