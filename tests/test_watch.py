"""A loop of one's own that is watched: its bits, what is seen, going on after a stop, loggers, and usual mistakes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn

import landscape as ls
from landscape.errors import InputError, LandscapeError
from landscape.loops.logs import as_log
from landscape.loops.watch import PROBES

F = nn.functional
EVERY = 3
OBSERVED = ("gradient_flow", "steps", "stability", "critical_sharpness")


def network(seed: int = 0, dropout: float = 0.3) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 3)
        ).train()


def batches(count: int = 9) -> list[tuple[Tensor, Tensor]]:
    draws = torch.Generator().manual_seed(1)
    made = torch.randn(count, 16, 5, generator=draws), torch.randint(3, (count, 16), generator=draws)
    return list(zip(*made, strict=True))


def loss_of(model: nn.Module, batch: Any) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def trained(
    steps: int = 9,
    first: int = 0,
    net: nn.Module | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    loss_fn: Any = loss_of,
    **watched: Any,
) -> tuple[nn.Module, torch.optim.Optimizer, Any]:
    """A plain loop of Adam with dropout from PyTorch's own global state, watched where anything is said of it."""
    net = network() if net is None else net
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01, weight_decay=0.1) if optimizer is None else optimizer
    torch.manual_seed(100 + first)
    watching = ls.watch(net, optimizer, every=EVERY, step=first, **watched) if watched else None
    if watching is not None:
        watching.__enter__()
    for batch in batches()[first : first + steps]:
        optimizer.zero_grad()
        loss_of(net, batch).backward()
        if watching is not None:
            watching.step(loss_fn, batch)
        optimizer.step()
    if watching is not None:
        watching.__exit__(None, None, None)
    return net, optimizer, watching


def test_the_loop_makes_the_same_bits_with_every_probe_as_without() -> None:
    before = torch.get_rng_state()
    plain, plain_optimizer, _ = trained()
    state = torch.get_rng_state()
    net, optimizer, _ = trained(probes=list(PROBES))
    assert torch.equal(torch.get_rng_state(), state)
    torch.set_rng_state(before)
    for (name, one), (_, other) in zip(plain.state_dict().items(), net.state_dict().items(), strict=True):
        assert torch.equal(one, other), name
    for one, other in zip(plain_optimizer.state.values(), optimizer.state.values(), strict=True):
        assert all(torch.equal(torch.as_tensor(one[key]), torch.as_tensor(other[key])) for key in one)
    assert [p.requires_grad for p in net.parameters()] == [True] * 6 and net.training
    assert not optimizer._optimizer_step_post_hooks


def test_what_is_seen_is_what_a_loop_of_plain_pytorch_sees() -> None:
    net = network(dropout=0.0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    seen: list[tuple[nn.Module, list[Tensor]]] = []
    with ls.watch(net, optimizer, probes=OBSERVED, every=1) as watching:
        for batch in batches(3):
            optimizer.zero_grad()
            loss_of(net, batch).backward()
            watching.step(loss_of, batch)
            gradients = [p.grad.clone() for p in net.parameters() if p.grad is not None]
            seen.append((copy.deepcopy(net), gradients))
            optimizer.step()
    found = watching.datasets()
    for place, ((module, gradients), batch) in enumerate(zip(seen, batches(3), strict=True)):
        norms = found["gradient_flow"]["gradient_norm"].values[place]
        np.testing.assert_allclose(norms, [float(g.norm()) for g in gradients], rtol=1e-6)

        def loss_at(step: float, module: nn.Module = module, by: list[Tensor] = gradients, on: Any = batch) -> float:
            moved = copy.deepcopy(module)
            with torch.no_grad():
                for p, g in zip(moved.parameters(), by, strict=True):
                    p -= step * g
                return float(loss_of(moved, on))

        along = found["steps"]["loss_along"].sel(along="gradient").values[place]
        etas = found["steps"]["eta"].values * 0.05
        np.testing.assert_allclose(along, [loss_at(eta) for eta in etas], rtol=1e-5)
        critical = found["critical_sharpness"].isel(step=place).sel(along="gradient")
        step = float(critical["critical_step"])
        assert loss_at(0.98 * step) < loss_at(0.0) < loss_at(1.02 * step)
        update = found["critical_sharpness"].isel(step=place).sel(along="update")
        assert float(update["critical_step"]) == pytest.approx(step, rel=0.02)  # of plain SGD
        names = list(dict(module.named_parameters()))
        moved = [p.detach() for p in module.parameters()]

        def of(*tensors: Tensor, module: nn.Module = module, on: Any = batch, names: Any = names) -> Tensor:
            outputs = torch.func.functional_call(copy.deepcopy(module), dict(zip(names, tensors, strict=True)), on[0])
            return F.cross_entropy(outputs, on[1])

        blocks = torch.autograd.functional.hessian(of, tuple(moved))
        sizes = [p.numel() for p in moved]
        hessian = torch.cat(
            [
                torch.cat([b.reshape(n, m) for b, m in zip(row, sizes, strict=True)], 1)
                for row, n in zip(blocks, sizes, strict=True)
            ]
        )
        largest = float(torch.linalg.eigvalsh(hessian.double())[-1])
        assert float(found["stability"]["sharpness"][place]) == pytest.approx(largest, rel=0.02)


def test_a_watch_that_was_stopped_goes_on_to_what_a_whole_one_sees(tmp_path: Path) -> None:
    whole = trained(probes=[*OBSERVED, "checkpoints"], folder=tmp_path / "whole")[2]
    net, optimizer, _ = trained(4, probes=[*OBSERVED, "checkpoints"], folder=tmp_path / "parts")
    with pytest.raises(InputError, match="of an earlier watch"):
        ls.watch(net, optimizer, probes=OBSERVED, folder=tmp_path / "parts")
    # The loop's own masks are drawn anew after a stop, so it is told from where it began.
    again = trained(4, probes=["gradient_flow"])[0]
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), net.parameters(), strict=True))
    second = trained(5, 4, net, optimizer, probes=[*OBSERVED, "checkpoints"], folder=tmp_path / "parts", resume=True)[2]
    for name, dataset in second.datasets().items():
        dim = "record" if name == "gradient_flow" else "step"
        assert dataset["step"].values.tolist() == [0, 3, 6]
        earlier = whole.datasets()[name].isel({dim: slice(0, 2)})
        xr.testing.assert_equal(dataset.isel({dim: slice(0, 2)}), earlier)
        xr.testing.assert_equal(ls.load(tmp_path / "parts" / f"{name}.h5"), dataset)
    assert sorted(second.checkpoints) == [0, 3, 6, 9]
    assert all(isinstance(path, Path) and path.exists() for path in second.checkpoints.values())


@pytest.mark.parametrize("kept", ["files", "memory"])
def test_the_checkpoints_of_a_watch_are_a_trajectory(kept: str, tmp_path: Path) -> None:
    folder = {"folder": tmp_path} if kept == "files" else {}
    net, _, watching = trained(probes=["checkpoints"], **folder)
    objective = ls.Objective(net, "cross_entropy", batches(1)[0], batch_norm="frozen", device="cpu")
    found = ls.trajectory(objective, list(watching.checkpoints.values()), x="auto:3", y="auto:3")
    assert found.sizes["checkpoint"] == 4
    other = network()
    losses = []
    for state in watching.checkpoints.values():
        other.load_state_dict(ls.load_checkpoint(state).state_dict if kept == "files" else state)
        losses.append(ls.Objective(other, "cross_entropy", batches(1)[0], device="cpu").evaluate().loss)
    np.testing.assert_allclose(found["path_loss"].values, losses, rtol=1e-6)


def forms() -> dict[str, tuple[Any, Callable[[Any], Any]]]:
    """Ways in which people give a loss and a batch."""
    return {
        "function": (loss_of, lambda batch: batch),
        "one a sample": (lambda m, b: F.cross_entropy(m(b[0]), b[1], reduction="none"), lambda batch: batch),
        "module": (nn.CrossEntropyLoss(), lambda batch: batch),
        "functional": (F.cross_entropy, list),
        "name": ("cross_entropy", lambda batch: batch),
        "mapping": (lambda m, b: {"loss": loss_of(m, (b["x"], b["y"]))}, lambda b: {"x": b[0], "y": b[1]}),
    }


@pytest.mark.parametrize("form", forms())
def test_every_form_of_a_loss_gives_the_same(form: str) -> None:
    loss_fn, made = forms()[form]
    net = network(dropout=0.0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with ls.watch(net, optimizer, probes=["critical_sharpness"], every=1) as watching:
        loss_of(net, batches(1)[0]).backward()
        watching.step(loss_fn, made(batches(1)[0]))
    found = watching.datasets()["critical_sharpness"].isel(step=0)
    with torch.no_grad():
        assert float(found["loss"]) == pytest.approx(float(loss_of(net, batches(1)[0])), rel=1e-6)
    sampled = form in ("one a sample", "module", "functional", "name")
    assert bool(np.isfinite(found["critical_step_standard_error"]).all()) == sampled


class Writer:
    """What TensorBoard's SummaryWriter is asked for."""

    def __init__(self) -> None:
        self.scalars: dict[str, list[int]] = {}
        self.images: dict[str, tuple[int, ...]] = {}

    def add_scalar(self, name: str, value: float, step: int) -> None:
        assert math.isfinite(value)
        self.scalars.setdefault(name, []).append(step)

    def add_figure(self) -> None: ...

    def add_image(self, name: str, image: Any, step: int, dataformats: str) -> None:
        self.images[name] = image.shape


class Run:
    """What wandb and trackio have."""

    def __init__(self) -> None:
        self.told: list[tuple[int, list[str]]] = []

    def log(self, values: Any, step: int) -> None:
        self.told.append((step, sorted(values)))


class MLflow:
    def __init__(self) -> None:
        self.told: list[Any] = []

    def log_metrics(self, values: Any, step: int) -> None:
        self.told.append(step)

    def log_figure(self, figure: Any, file: str) -> None:
        self.told.append(file)


def test_numbers_and_figures_reach_every_kind_of_logger() -> None:
    writer, run, mlflow, plain = Writer(), Run(), MLflow(), []
    probes = ["gradient_flow", "critical_sharpness", "stability"]
    trained(probes=probes, log=writer)
    assert writer.scalars["stability/ratio"] == [0, 3, 6]
    assert writer.scalars["critical_sharpness/critical_sharpness/update"] == [0, 3, 6]
    assert writer.scalars["gradient_flow/gradient_norm"] == [0, 3, 6]
    assert set(writer.images) == {f"{name}/figure" for name in probes}
    assert all(shape[2] == 3 for shape in writer.images.values())
    trained(probes=["gradient_flow"], log=run, figures_every=2)
    flow = [f"gradient_flow/{name}" for name in ("gradient_norm", "largest_mean", "least_mean")]
    figure = ["gradient_flow/figure"]
    assert run.told == [(0, flow), (3, flow), (3, figure), (6, flow), (9, figure)]
    trained(probes=["gradient_flow"], log=mlflow)
    assert mlflow.told == [0, 3, 6, "gradient_flow/figure-9.png"]
    trained(probes=["gradient_flow"], log=lambda values, step: plain.append(step))
    assert plain == [0, 3, 6, 9]
    with pytest.raises(InputError, match="log: expected a function"):
        as_log("wandb")


def mistakes() -> dict[str, tuple[Callable[[Any, Any, Any], Any], str]]:
    """What is done wrong, with the watch, the model and the optimiser, and what is said of it."""
    first = batches(1)[0]

    def after(watching: Any, net: Any, optimizer: Any) -> None:
        loss_of(net, first).backward()
        optimizer.step()
        watching.step(loss_of, first)

    def with_gradients(loss_fn: Any, batch: Any = first) -> Callable[[Any, Any, Any], Any]:
        def run(watching: Any, net: Any, optimizer: Any) -> None:
            loss_of(net, first).backward()
            watching.step(loss_fn(net) if getattr(loss_fn, "__name__", "") == "bound" else loss_fn, batch)

        return run

    def bound(net: Any) -> Any:
        return lambda model, batch: loss_of(net, batch)

    def scaled(watching: Any, net: Any, optimizer: Any) -> None:
        (65536 * loss_of(net, first)).backward()
        watching.step(loss_of, first)

    return {
        "no gradients": (lambda w, n, o: w.step(loss_of, first), "no gradients are set"),
        "after the step": (after, "have been used already"),
        "another model": (with_gradients(bound), "does not depend on the model"),
        "no tensor": (with_gradients(lambda m, b: 1.0), "expected the loss as a tensor"),
        "no function": (with_gradients(3), "expected a function"),
        "no pair": (with_gradients(nn.CrossEntropyLoss(), first[0]), "outputs and targets"),
        "scaled": (scaled, "times as large as those of this batch"),
    }


@pytest.mark.parametrize("mistake", mistakes())
def test_a_usual_mistake_in_the_loop_is_said_in_a_sentence_and_leaves_the_gradients(mistake: str) -> None:
    act, says = mistakes()[mistake]
    net = network(dropout=0.0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(InputError, match=says), ls.watch(net, optimizer, ["critical_sharpness"], 1) as watching:
        act(watching, net, optimizer)
    if mistake == "another model":  # whose gradients a second backward pass would have doubled
        expected = network(dropout=0.0)
        loss_of(expected, batches(1)[0]).backward()
        pairs = zip(net.parameters(), expected.parameters(), strict=True)
        assert all(p.grad is not None and q.grad is not None and torch.equal(p.grad, q.grad) for p, q in pairs)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"model": nn.Linear}, "model: Linear is a class"),
        ({"model": 3}, "model: expected a torch.nn.Module"),
        ({"optimizer": torch.optim.SGD(network(1).parameters(), lr=0.1)}, "moves none of the model's parameters"),
        ({"optimizer": "adam"}, "optimizer: expected a torch.optim.Optimizer"),
        ({"probes": ["gradient flow"]}, "Did you mean 'gradient_flow'"),
        ({"probes": []}, "probes: expected at least one"),
        ({"probes": [ls.StepProbe]}, r"StepProbe is a class. Give one of it: StepProbe\(\)"),
        ({"probes": ["steps", "steps"]}, "steps is there twice"),
        ({"every": 0}, "every: expected a whole number of at least 1"),
        ({"resume": True}, "resume: goes on with what a folder holds"),
    ],
)
def test_what_a_watch_cannot_be_made_of_is_named(given: dict[str, Any], says: str) -> None:
    net = network()
    made = {"model": net, "optimizer": torch.optim.SGD(net.parameters(), lr=0.1), **given}
    with pytest.raises(LandscapeError, match=says):
        ls.watch(**made)


def test_a_warm_up_from_zero_and_several_groups_are_measured_at_their_own_rates() -> None:
    net = network(dropout=0.0)
    groups = [{"params": net[0].parameters(), "lr": 0.0}, {"params": net[4].parameters(), "lr": 0.3}]
    optimizer = torch.optim.SGD(groups)
    with ls.watch(net, optimizer, ["steps", "gradient_flow"], 1) as watching:
        for rate, batch in zip((0.0, 0.1), batches(2), strict=True):
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad()
            loss_of(net, batch).backward()
            watching.step(loss_of, batch)
            gradients = [p.grad.norm() for p in net.parameters() if p.grad is not None]
            optimizer.step()
    found = watching.datasets()
    assert found["steps"]["step"].values.tolist() == [1]
    assert found["gradient_flow"]["step"].values.tolist() == [0, 1]
    rates = torch.tensor([0.1, 0.1, 0.0, 0.0, 0.3, 0.3]) / 0.1
    expected = float((rates * torch.stack(gradients)).norm())
    assert float(found["steps"]["direction_norm"].sel(along="update")[0]) == pytest.approx(expected, rel=1e-5)


def test_a_second_derivative_that_pytorch_gets_wrong_is_refused() -> None:
    net = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(5, 8)), nn.Tanh(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with ls.watch(net, optimizer, ["stability"], 1) as watching:
        loss_of(net, batches(1)[0]).backward()
        with pytest.raises(InputError, match="second derivative of this loss is not that of its gradients"):
            watching.step(loss_of, batches(1)[0])
