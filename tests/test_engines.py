"""The folded engine against the plain one, its oracle; and what falls back, says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from networks import conv_net, images, tiny_transformer
from torch import Tensor, nn

from landscape.models import build_model
from landscape.numerics.seeds import generator
from landscape.objective.objective import Objective
from landscape.objective.sizing import evaluation_batch, footprint
from landscape.probes.plane.spans import checkpoint_span, random_span

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
POINTS = np.array([[0.0, 0.0], [0.5, -0.3], [-1.0, 1.0]])


def trained_statistics(module: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """Running statistics and affine parameters that are not the initial ones."""
    module.double().train()
    draws = generator(0, "statistics")
    for _ in range(2):
        module(torch.randn(8, *shape, generator=draws, dtype=torch.float64))
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.weight.data.uniform_(0.5, 1.5, generator=draws)
            layer.bias.data.normal_(generator=draws)
    return module.eval()


def resnet18() -> nn.Module:
    return trained_statistics(build_model("torchvision:resnet18", seed=0, classes=4), (3, 16, 16))


def vgg14() -> nn.Module:
    return trained_statistics(build_model("vgg14", seed=0, classes=4, norm="batch"), (3, 16, 16))


def mlp() -> nn.Module:
    layers = [nn.Flatten(), nn.Linear(72, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4)]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return trained_statistics(nn.Sequential(*layers), (2, 6, 6))


CASES: list[tuple[Callable[[], nn.Module], tuple[int, ...], int]] = [
    (conv_net, (2, 6, 6), 2),
    (mlp, (2, 6, 6), 1),
    (vgg14, (3, 16, 16), 13),
    (resnet18, (3, 16, 16), 20),
]


def objectives(module: nn.Module, shape: tuple[int, ...], **options: object) -> tuple[Objective, Objective]:
    draws = generator(1, "images")
    data = (torch.randn(12, *shape, generator=draws, dtype=torch.float64), torch.arange(12) % 4)
    made = [
        Objective(module, "cross_entropy", data, engine=engine, batch_size=5, **options)  # type: ignore[arg-type]
        for engine in ("auto", "plain")
    ]
    return made[0], made[1]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("build", "shape", "layers"), CASES, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("normalization", ["filter", "none"])
def test_folded_values_equal_plain_ones(
    build: Callable[[], nn.Module], shape: tuple[int, ...], layers: int, normalization: str, device: str
) -> None:
    folded, plain = objectives(build(), shape, device=device)
    assert folded.engine_note == f"folded: {layers} BatchNorm layer{'s' * (layers != 1)} folded into the layer before"
    assert plain.engine_note == "plain, as asked"
    scale = 1.0 if normalization == "filter" else 0.05
    values = [
        o.evaluate_points(random_span(o, [0], 2, normalization).subspaces[0], scale * POINTS) for o in (folded, plain)
    ]
    np.testing.assert_allclose(values[0].loss, values[1].loss, rtol=1e-9)
    np.testing.assert_allclose(values[0].standard_error, values[1].standard_error, rtol=1e-8)
    np.testing.assert_array_equal(values[0].accuracy, values[1].accuracy)


def test_folded_single_precision_equals_plain_to_1e_5() -> None:
    module = vgg14().float()
    data = (torch.randn(40, 3, 16, 16, generator=generator(2, "images")), torch.arange(40) % 4)
    values = []
    for engine in ("auto", "plain"):
        objective = Objective(module, "cross_entropy", data, engine=engine)
        values.append(objective.evaluate_points(random_span(objective, [0], 2).subspaces[0], 0.3 * POINTS).loss)
    np.testing.assert_allclose(values[0], values[1], rtol=1e-5)


def test_folded_values_equal_plain_ones_where_the_statistics_move() -> None:
    values = []
    for objective in objectives(conv_net(seed=0), (2, 6, 6), batch_norm="interpolated"):
        span = checkpoint_span(objective, [conv_net(seed=1), conv_net(seed=2)])
        values.append(objective.evaluate_points(span.subspaces[0], POINTS).loss)
    np.testing.assert_allclose(values[0], values[1], rtol=1e-10)


def test_folded_values_equal_plain_ones_where_only_some_parameters_move() -> None:
    values = []
    for objective in objectives(conv_net(), (2, 6, 6), parameters=["0.*", "4.weight"]):
        values.append(objective.evaluate_points(random_span(objective, [0], 2).subspaces[0], POINTS).loss)
    np.testing.assert_allclose(values[0], values[1], rtol=1e-10)


def test_the_centre_of_a_folded_plane_is_the_folded_checkpoint_exactly() -> None:
    folded, _ = objectives(vgg14(), (3, 16, 16))
    centre = folded.evaluate_points(random_span(folded, [0], 2).subspaces[0], np.zeros((1, 2)))
    assert centre.loss[0] == folded.evaluate().loss


class Branching(nn.Module):
    """Control flow on values, which cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = conv_net()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) if x.sum() > -1e9 else self.inner(-x)


class Reused(nn.Module):
    """A convolution whose output is read twice: folding it would change the other reader."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(48, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.head((self.norm(y) + y).flatten(1))


@pytest.mark.parametrize(
    ("build", "note"),
    [
        (Branching, "torch.fx cannot trace Branching"),
        (Reused, "no BatchNorm directly follows"),
        (tiny_transformer, "no BatchNorm with running statistics"),
        (lambda: conv_net(norm=False), "no BatchNorm with running statistics"),
    ],
)
def test_what_cannot_be_folded_runs_plain_and_says_so(build: Callable[[], nn.Module], note: str) -> None:
    module = build().double().eval()
    inputs, targets = images()
    objective = Objective(module, "cross_entropy", (inputs, targets))
    assert note in objective.provenance()["engine"]
    expected = nn.functional.cross_entropy(module(inputs), targets).detach()
    assert objective.evaluate().loss == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("policy", ["batch", "reestimated"])
def test_policies_that_need_batch_statistics_run_plain(policy: str) -> None:
    assert Objective(conv_net(), "cross_entropy", images(), batch_norm=policy).engine_note.startswith("plain")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("build", "shape", "layers"), CASES[:3], ids=lambda value: getattr(value, "__name__", ""))
def test_folded_derivatives_equal_plain_ones(
    build: Callable[[], nn.Module], shape: tuple[int, ...], layers: int, device: str
) -> None:
    folded, plain = objectives(build(), shape, device=device)
    v = random_span(plain, [0], 1, "none").subspaces[0].basis[0]
    torch.testing.assert_close(folded.gradient().vector.vector, plain.gradient().vector.vector, rtol=1e-7, atol=1e-9)
    products = [o.hessian_product(v) for o in (folded, plain)]
    torch.testing.assert_close(products[0], products[1], rtol=1e-6, atol=1e-8 * float(products[1].abs().max()))


@pytest.mark.parametrize("policy", ["frozen", "batch"])
def test_hessian_products_are_differences_of_gradients(policy: str) -> None:
    module = build_model("vgg14", seed=0, classes=4, norm="batch")
    for layer in list(module.modules()):
        if isinstance(layer, nn.LeakyReLU):
            layer.negative_slope = 1.0  # no kinks, so that differences converge
    module = trained_statistics(module, (3, 16, 16))
    data = (torch.randn(12, 3, 16, 16, generator=generator(1, "images"), dtype=torch.float64), torch.arange(12) % 4)
    objective = Objective(module, "cross_entropy", data, batch_norm=policy)
    v = random_span(objective, [0], 1).subspaces[0].basis[0]
    theta, step = objective.theta.vector, 1e-5
    ahead, behind = (objective.gradient(theta + sign * step * v).vector.vector for sign in (1, -1))
    expected = (ahead - behind) / (2 * step)
    torch.testing.assert_close(
        objective.hessian_product(v), expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max())
    )


class Cubed(torch.autograd.Function):
    """An operation without a forward derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * grads[0]


class Strange(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([[0.3, -0.7]], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return Cubed.apply(x @ self.w.T)  # type: ignore[no-any-return, no-untyped-call]


def test_an_operation_without_a_forward_derivative_is_taken_in_reverse() -> None:
    x = torch.linspace(-1, 1, 20, dtype=torch.float64).reshape(10, 2)
    objective = Objective(Strange(), lambda outputs, targets: outputs[:, 0], (x, x[:, :1]))
    v = torch.tensor([1.0, 2.0], dtype=torch.float64)
    w = objective.theta.vector.cpu()
    expected = (6 * (x @ w)[:, None] * x * (x @ v)[:, None]).mean(0)
    torch.testing.assert_close(objective.hessian_product(v).cpu(), expected)
    assert objective._derivatives.mode == "reverse over reverse"


def test_the_batch_size_follows_from_the_largest_layer_and_is_remembered() -> None:
    net = vgg14().float()
    inputs = torch.randn(300, 3, 16, 16, generator=generator(0, "images"))
    objective = Objective(net, "cross_entropy", (inputs, torch.arange(300) % 4), device="cpu")
    largest = 2 * 32 * 16 * 16 * 4  # bytes a sample of the input and output of a convolution at full size
    found, _ = footprint(objective._runner, inputs[:2], 2)
    assert found.layer == largest
    assert objective.provenance()["evaluation_batch_size"] == evaluation_batch(found, torch.device("cpu")) == 128
