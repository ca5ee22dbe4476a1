"""Alignment and paths between networks against copies, closed forms and the plain modules."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from networks import conv_net, images, tiny_transformer
from torch import Tensor, nn

from landscape.errors import InputError
from landscape.models import build_model
from landscape.numerics.seeds import generator
from landscape.objective.objective import Objective
from landscape.probes.path.alignment import Group, match_weights, permute_units
from landscape.probes.path.curves import curve_weights
from landscape.probes.path.measure import path
from landscape.probes.path.symmetries import exchangeable_units
from landscape.probes.path.training import CurveTraining, train_curve
from landscape.probes.progress import Progress


class Residual(nn.Module):
    """Convolutions with a depthwise one, a sum of branches, and flattened images before two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.mix = nn.Conv2d(6, 6, 1, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.hidden = nn.Linear(54, 7)
        self.after = nn.BatchNorm1d(7)
        self.head = nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        x = self.pool(x + self.mix(nn.functional.gelu(self.depthwise(x))))
        return self.head(torch.tanh(self.after(self.hidden(torch.flatten(x, 1)))))


def seeded(build: Any, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = build().double()
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.normal_(layer.bias)
                nn.init.normal_(layer.running_mean)
                nn.init.uniform_(layer.running_var, 0.5, 2.0)
        return net.eval()


def shuffled(net: nn.Module, groups: tuple[Group, ...], seed: int = 0) -> nn.Module:
    draws = np.random.default_rng(seed)
    made = copy.deepcopy(net)
    made.load_state_dict(permute_units(net.state_dict(), groups, [draws.permutation(g.size) for g in groups]))
    return made


NETWORKS: dict[str, Any] = {
    "convolutions with BatchNorm": conv_net,
    "convolutions": lambda: conv_net(norm=False),
    "a sum of branches": lambda: seeded(Residual),
    "mlp": lambda: seeded(lambda: build_model("mlp", inputs=72, classes=4, hidden=[9, 5], norm="batch")),
    "vgg08": lambda: seeded(lambda: build_model("vgg08", seed=3, classes=4, channels=2, filters=8)),
    "vgg38 without BatchNorm": lambda: seeded(
        lambda: build_model("vgg38", seed=3, norm="none", classes=4, channels=2, filters=8)
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_permuted_units_leave_the_function_as_it_is(name: str) -> None:
    net = NETWORKS[name]()
    groups = exchangeable_units(net)
    other = shuffled(net, groups)
    inputs = images(size=8 if "vgg" in name else 6)[0]
    assert any(not torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))
    with torch.no_grad():
        torch.testing.assert_close(other(inputs), net(inputs), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_permuted_copy_aligns_back_to_the_same_bits(name: str) -> None:
    net = NETWORKS[name]()
    groups = exchangeable_units(net)
    for seed in (0, 1):
        found = match_weights(net.state_dict(), shuffled(net, groups, seed).state_dict(), groups)
        for key, tensor in net.state_dict().items():
            assert torch.equal(found.tensors[key], tensor), key
        assert found.moved > 0


def test_every_hidden_unit_is_in_one_group() -> None:
    vgg = build_model("vgg38", norm="batch", classes=10, channels=1)
    assert [group.size for group in exchangeable_units(vgg)] == [32] * 37
    residual = exchangeable_units(Residual())
    assert [group.size for group in residual] == [6, 7]
    assert {place.name for place in residual[0].places} >= {
        "stem.weight",
        "depthwise.weight",
        "mix.weight",
        "norm.bias",
    }
    assert next(p.repeat for p in residual[0].places if p.name == "hidden.weight") == 9


def test_matching_brings_different_networks_nearer_and_never_apart() -> None:
    a, b = seeded(Residual, 0), seeded(Residual, 1)
    groups = exchangeable_units(a)
    found = match_weights(a.state_dict(), b.state_dict(), groups)
    assert found.similarity[1] > found.similarity[0]
    distances = [
        sum(float(((a.state_dict()[k] - tensors[k]) ** 2).sum()) for k, _ in a.named_parameters())
        for tensors in (b.state_dict(), found.tensors)
    ]
    # ‖a − b‖² = ‖a‖² + ‖b‖² − 2⟨a, b⟩, and permutations keep the norms
    matched = {place.name for group in groups for place in group.places}
    assert (
        set(matched) - {f"{n}.running_{k}" for n in ("norm", "after") for k in ("mean", "var")}
        <= dict(a.named_parameters()).keys()
    )
    gained = 2 * (found.similarity[1] - found.similarity[0])
    assert distances[0] - distances[1] == pytest.approx(gained, rel=1e-9)


def test_no_single_exchange_of_two_units_would_bring_the_networks_nearer() -> None:
    a, b = seeded(lambda: build_model("mlp", inputs=6, classes=3, hidden=[5, 4]), 0), None
    b = seeded(lambda: build_model("mlp", inputs=6, classes=3, hidden=[5, 4]), 1)
    groups = exchangeable_units(a)
    found = match_weights(a.state_dict(), b.state_dict(), groups)

    def similarity(tensors: dict[str, Tensor]) -> float:
        return sum(float((a.state_dict()[k] * tensors[k]).sum()) for k in a.state_dict())

    best = similarity(found.tensors)
    for number, group in enumerate(groups):
        for i in range(group.size):
            for j in range(i):
                swap = [np.arange(g.size) for g in groups]
                swap[number][[i, j]] = swap[number][[j, i]]
                assert similarity(permute_units(found.tensors, groups, swap)) <= best + 1e-9


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (tiny_transformer, "align: "),
        (
            lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.LocalResponseNorm(2), nn.Conv2d(4, 2, 3)),
            r"1 \(LocalResponseNorm\) is none",
        ),
        (lambda: nn.Sequential(nn.Conv2d(4, 4, 3, groups=2)), "Conv2d with 2 groups"),
    ],
)
def test_networks_whose_units_are_not_known_are_refused_by_name(net: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        exchangeable_units(net())


def test_tensors_that_cannot_be_matched_are_refused_by_name() -> None:
    net = conv_net()
    groups, state = exchangeable_units(net), dict(net.state_dict())
    with pytest.raises(InputError, match=r"0\.weight has the shapes"):
        match_weights(state, {**state, "0.weight": torch.zeros(5, 3, 3, 3)}, groups)
    with pytest.raises(InputError, match=r"0\.weight is missing"):
        match_weights(state, {k: v for k, v in state.items() if k != "0.weight"}, groups)
    with pytest.raises(InputError, match="NaN or infinite"):
        match_weights(state, {**state, "0.weight": state["0.weight"] / 0}, groups)


def test_curve_weights_are_those_of_their_formulas() -> None:
    t = np.linspace(0, 1, 9)
    np.testing.assert_allclose(curve_weights("bezier", 1, t), np.stack([2 * t * (1 - t), t**2], 1), atol=1e-15)
    np.testing.assert_allclose(curve_weights("chain", 0, t)[:, 0], t, atol=1e-15)
    np.testing.assert_allclose(curve_weights("bezier", 0, t)[:, 0], t, atol=1e-15)
    chain = curve_weights("chain", 2, np.array([0, 1 / 6, 1 / 3, 0.5, 2 / 3, 1]))
    np.testing.assert_allclose(
        chain, [[0, 0, 0], [0.5, 0, 0], [1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]], atol=1e-15
    )
    # De Casteljau's construction of a curve with three bends
    points = np.random.default_rng(0).normal(size=(5, 2))
    for place, weights in zip(t, curve_weights("bezier", 3, t), strict=True):
        left = points
        while len(left) > 1:
            left = (1 - place) * left[:-1] + place * left[1:]
        np.testing.assert_allclose(points[0] + weights @ (points[1:] - points[0]), left[0], atol=1e-12)


def trained(seed: int, *, norm: bool = True) -> nn.Module:
    """A small network after some steps of training, so that a straight way to another one has a barrier."""
    inputs, targets = images()
    net = conv_net(seed=seed, norm=norm).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(inputs), targets).backward()
        optimizer.step()
    return net.eval()


@pytest.fixture(scope="module")
def ends() -> tuple[nn.Module, nn.Module]:
    return trained(0), trained(1)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_units_are_found_where_an_objective_runs_other_convolutions(precision: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            *(
                nn.Conv2d(2, 16, 3, padding=1),
                nn.BatchNorm2d(16),
                nn.ReLU(),
                nn.Conv2d(16, 16, 3, padding=1),
                nn.ReLU(),
            ),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)),
        )
    data = images(dtype=torch.float32)
    objective = Objective(net, "cross_entropy", data, batch_norm="reestimated", precision=precision, device="cpu")
    found, expected = exchangeable_units(objective.structure), exchangeable_units(net)
    assert [group.size for group in found] == [group.size for group in expected] == [16, 16]


def objective_of(net: nn.Module, batch_norm: str = "reestimated", **options: Any) -> Objective:
    return Objective(net, "cross_entropy", images(), batch_norm=batch_norm, **options)


def plain_losses(net: nn.Module, between: dict[str, Tensor]) -> Tensor:
    """Per-sample losses of the plain module with the given tensors, its BatchNorm updated by PyTorch's own ``update_bn``."""
    inputs, targets = images()
    made = copy.deepcopy(net)
    made.load_state_dict({**made.state_dict(), **between})
    torch.optim.swa_utils.update_bn([inputs], made)
    with torch.no_grad():
        return nn.functional.cross_entropy(made.eval()(inputs), targets, reduction="none")


def test_a_straight_path_and_its_barrier_are_those_of_the_plain_module(ends: tuple[nn.Module, nn.Module]) -> None:
    a, b = ends
    result = path(objective_of(a), b, points=5)
    t = result["t"].values
    parameters = [dict(net.named_parameters()) for net in ends]
    samples = [
        plain_losses(a, {k: (1 - s) * v.detach() + s * parameters[1][k].detach() for k, v in parameters[0].items()})
        for s in t
    ]
    losses = [float(one.mean()) for one in samples]
    np.testing.assert_allclose(result["loss"][0], losses, rtol=1e-9)
    top = int(np.argmax(losses))
    assert 0 < top < 4
    assert float(result["barrier"][0]) == pytest.approx(max(losses) - (losses[0] + losses[-1]) / 2, rel=1e-9)
    excess = samples[top] - (samples[0] + samples[-1]) / 2
    assert float(result["barrier_standard_error"][0]) == pytest.approx(
        float(excess.std()) / len(excess) ** 0.5, rel=1e-9
    )
    assert float(result["barrier_at"][0]) == t[top]
    distance = sum(float(((parameters[0][k] - parameters[1][k]).detach() ** 2).sum()) for k in parameters[0]) ** 0.5
    assert float(result["length"][0]) == pytest.approx(distance, rel=1e-12)
    for name, variable in result.variables.items():
        assert variable.attrs.get("units"), name
        assert variable.attrs.get("long_name"), name


def test_interpolated_statistics_end_at_the_checkpoints_own_losses(ends: tuple[nn.Module, nn.Module]) -> None:
    inputs, targets = images()
    result = path(objective_of(ends[0], "interpolated"), ends[1], points=3)
    for net, t in zip(ends, (0.0, 1.0), strict=True):
        with torch.no_grad():
            expected = float(nn.functional.cross_entropy(net(inputs), targets))
        assert float(result["loss"].sel(path="linear", t=t)) == pytest.approx(expected, rel=1e-9)
    assert float(result["barrier_standard_error"][0]) > 0


def test_a_permuted_copy_has_a_barrier_and_none_after_alignment(ends: tuple[nn.Module, nn.Module]) -> None:
    net = ends[0]
    other = shuffled(net, exchangeable_units(net), seed=4)
    result = path(objective_of(net), other, kinds=["linear", "aligned"], points=5)
    assert float(result["barrier"].sel(path="linear")) > 0.1
    assert float(result["barrier"].sel(path="aligned")) == 0.0
    assert float(result["end_distance"].sel(path="aligned")) == 0.0
    assert int(result["moved_units"]) > 0


def test_aligned_ends_have_the_second_checkpoints_loss(ends: tuple[nn.Module, nn.Module]) -> None:
    result = path(objective_of(ends[0]), ends[1], kinds=["linear", "aligned"], points=3)
    losses = result["loss"].sel(t=1.0)
    assert float(losses.sel(path="aligned")) == pytest.approx(float(losses.sel(path="linear")), rel=1e-9)
    assert float(result["end_distance"].sel(path="aligned")) < float(result["end_distance"].sel(path="linear"))


@pytest.mark.parametrize("shape", ["bezier", "chain"])
def test_a_trained_curve_goes_around_the_barrier_and_keeps_its_ends(
    shape: str, ends: tuple[nn.Module, nn.Module]
) -> None:
    config = CurveTraining(steps=120, batch_size=24, learning_rate=0.02)
    training = objective_of(ends[0], "batch")
    result = path(objective_of(ends[0]), ends[1], kinds=["linear", shape], points=9, training=training, config=config)
    barriers = result["barrier"]
    assert float(barriers.sel(path=shape)) < 0.5 * float(barriers.sel(path="linear"))
    for t in (0.0, 1.0):
        losses = result["loss"].sel(t=t)
        assert float(losses.sel(path=shape)) == pytest.approx(float(losses.sel(path="linear")), rel=1e-9)
    assert float(result["length"].sel(path=shape)) > float(result["length"].sel(path="linear"))
    assert result[f"{shape}_bends"].shape == (1, objective_of(ends[0]).theta.vector.numel())


def test_the_first_step_of_a_curve_is_that_of_autograd_through_the_curve() -> None:
    """Gradient descent by one step, on a module whose loss is a polynomial of its parameters."""

    class Cubic(nn.Module):
        def __init__(self, w: list[float]) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.tensor([w], dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return (self.w**3).sum() + self.w.prod() * x[:, 0]

    x = torch.arange(4, dtype=torch.float64)[:, None]
    objective = Objective(Cubic([1.0, -2.0]), lambda outputs, targets: outputs, (x, x[:, 0]))
    a, b = torch.tensor([1.0, -2.0]).double(), torch.tensor([0.5, 3.0]).double()
    config = CurveTraining(steps=1, batch_size=4, learning_rate=0.1, optimizer="sgd", bends=2)
    found = train_curve(objective, a, b, "bezier", config)
    bends = torch.stack([a + (b - a) / 3, a + 2 * (b - a) / 3]).requires_grad_()
    t = float(torch.rand((), generator=generator(0, "curve", 0), dtype=torch.float64))
    theta = (1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * bends[0] + 3 * t**2 * (1 - t) * bends[1] + t**3 * b
    ((theta**3).sum() + theta.prod() * x.mean()).backward()
    assert bends.grad is not None
    torch.testing.assert_close(found.bends, bends.detach() - 0.1 * bends.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("at", "optimizer"), [(10, "adam"), (5, "adam"), (5, "sgd")])
def test_a_stopped_path_goes_on_without_training_again(
    at: int, optimizer: str, ends: tuple[nn.Module, nn.Module]
) -> None:
    config = CurveTraining(steps=6, batch_size=8, optimizer=optimizer, bends=2)
    training = objective_of(ends[0], "batch")
    options: dict[str, Any] = {"kinds": ["linear", "bezier"], "points": 4, "training": training, "config": config}
    whole = path(objective_of(ends[0]), ends[1], **options)

    class Stopped(Exception):
        pass

    saved: list[xr.Dataset] = []

    def stop(progress: Progress) -> None:
        if progress.done >= at:
            saved.append(progress.dataset())
            raise Stopped

    with pytest.raises(Stopped):
        path(objective_of(ends[0]), ends[1], **options, observer=stop)
    assert int(saved[0]["status"].sum()) == max(0, at - 6)
    assert int(np.isfinite(saved[0]["training_loss"]).sum()) == min(at, 6)
    counts: list[tuple[int, int]] = []
    resumed = path(
        objective_of(ends[0]),
        ends[1],
        **options,
        resume=saved[0],
        observer=lambda p: counts.append((p.done, p.total)),
    )
    assert counts[0][0] > at
    assert counts[-1] == (14, 14)
    xr.testing.assert_identical(resumed, whole)


def test_non_finite_losses_stay_on_the_path_and_in_the_barrier() -> None:
    class Pole(nn.Module):
        def __init__(self, w: float) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.tensor([[w]], dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return (1 / self.w.abs()).sum().expand(len(x))

    x = torch.zeros(4, 1, dtype=torch.float64)
    result = path(Objective(Pole(-1.0), lambda outputs, targets: outputs, (x, x[:, 0])), Pole(1.0), points=5)
    assert np.isinf(result["loss"].sel(path="linear", t=0.5))
    assert np.isinf(result["barrier"][0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": []}, "expected a list of linear, aligned"),
        ({"kinds": ["bezir"]}, "Did you mean 'bezier'"),
        ({"kinds": ["linear", "linear"]}, "each may occur once"),
        ({"points": 2}, "points: expected at least 3"),
        ({"to": conv_net(classes=5)}, "the second checkpoint: is of another architecture"),
        ({"to": "itself"}, "identical parameters"),
        ({"batch_norm": "frozen"}, "by the first one's statistics"),
        ({"batch_norm": "interpolated", "kinds": ["chain"]}, "no statistics for the bends of a chain"),
        ({"kinds": ["bezier"]}, "training: curves of a network with BatchNorm"),
    ],
)
def test_paths_that_mean_nothing_are_refused_with_the_reason(
    options: dict[str, Any], message: str, ends: tuple[nn.Module, nn.Module]
) -> None:
    options = dict(options)
    objective = objective_of(ends[0], options.pop("batch_norm", "reestimated"))
    to = options.pop("to", ends[1])
    with pytest.raises(InputError, match=message):
        path(objective, ends[0] if to == "itself" else to, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps: expected a whole number"),
        ({"learning_rate": 0.0}, "learning_rate: expected a positive"),
        ({"optimizer": "adamx"}, "Did you mean 'adam'"),
        ({"bends": -1}, "bends: expected"),
    ],
)
def test_bad_recipes_of_curves_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CurveTraining(**options)
