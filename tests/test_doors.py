"""Doors of an objective: data that comes in batches, losses over model and batch, what draws, metrics, functions."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from door_samples import X, Y, net, objective
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import landscape as ls
from landscape.data import TensorData, as_data, as_whole
from landscape.errors import InputError, MismatchError

F = nn.functional


def test_a_loader_is_read_once_and_is_then_as_tensors_are() -> None:
    before = torch.get_rng_state()
    loaded = as_data(DataLoader(TensorDataset(X, Y), batch_size=7, shuffle=True))
    assert torch.equal(torch.get_rng_state(), before)
    assert isinstance(loaded, TensorData) and loaded.sizes == (7, 7, 7, 7, 7, 5) and loaded.classes == 3
    again = as_data(DataLoader(TensorDataset(X, Y), batch_size=7, shuffle=True))
    assert loaded.fingerprint() == again.fingerprint() != as_data((X, Y)).fingerprint()
    assert sorted(loaded.inputs[:, 0].tolist()) == sorted(X[:, 0].tolist())


def test_batches_of_several_forms_give_each_sample_its_own_rows() -> None:
    batches = [(torch.full((n, width), float(n)), torch.full((n,), n)) for n, width in ((2, 3), (4, 5), (3, 3))]
    data = as_data(iter(batches))
    assert len(data) == 9 and data.given.tolist() == [0, 0, 1, 1, 1, 1, 2, 2, 2]  # type: ignore[attr-defined]
    inputs, targets = data.batch(torch.tensor([7, 1]))
    assert inputs.shape == (2, 3) and targets.tolist() == [3, 2]
    with pytest.raises(InputError, match="2 forms"):
        data.batch(torch.tensor([0, 3]))
    moved = data.to("cpu")
    assert moved.fingerprint() == data.fingerprint()


def test_sequences_of_several_lengths_have_the_mean_of_their_own_losses_and_its_gradient() -> None:
    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = net()

        def forward(self, sequences: Tensor) -> Tensor:
            return self.inner(sequences).mean(1)

    module, parts = Mean(), [X[k : k + 1 + k % 5] for k in range(20)]
    ragged = objective(data=(parts, Y[:20]), module=module)
    own = torch.stack([F.cross_entropy(module(part[None]), Y[k : k + 1]) for k, part in enumerate(parts)])
    assert ragged.per_sample().tolist() == pytest.approx(own.tolist(), rel=1e-12)
    gradient = torch.autograd.grad(own.mean(), list(module.parameters()))
    found = ragged.gradient().vector.views()
    assert all(torch.allclose(found[n], g) for (n, _), g in zip(module.named_parameters(), gradient, strict=True))
    assert ragged.part(torch.tensor([3, 11])).evaluate().loss == pytest.approx(float(own[[3, 11]].mean()))


def test_columns_and_frames_are_pairs() -> None:
    of_mapping = as_data({"x": X.numpy(), "label": Y.numpy()}, targets="label")
    inputs, targets = of_mapping.batch(torch.tensor([3]))
    assert torch.equal(inputs["x"], X[3:4]) and targets.tolist() == Y[3:4].tolist() and of_mapping.classes == 3
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X.numpy(), columns=list("abcd")).assign(label=Y.numpy())
    assert torch.equal(as_data(frame, targets="label").batch(torch.arange(40))[0], X.float())
    with pytest.raises(InputError, match="columns of numbers, got 'name'"):
        as_data(frame.assign(name="a"), targets="label")
    with pytest.raises(InputError, match="a column of the frame, got 'lable'"):
        as_data(frame, targets="lable")


@pytest.mark.parametrize(
    ("given", "targets", "message"),
    [
        ({"x": X, "labels": Y}, None, "targets='labels' or loss='model'"),
        ({"x": X, "y": Y}, "z", "no 'z'; it has 'x', 'y'"),
        ({"x": X, "y": Y[:3]}, "y", "no tensors with as many rows"),
        ({"y": Y}, "y", "nothing else"),
        (DataLoader(TensorDataset(X, X, Y), 8), None, "a list of 3; expected a pair.*targets=-1"),
        (DataLoader(TensorDataset(X, Y), 8), 5, "targets=5 is none of its places"),
        (iter([]), None, "no batches.*read only once"),
        (iter([({"a"}, Y)]), None, r"set .*ls.batch_loss"),
        ((one for one in [1 / 1, "x"]), None, "is float 1.0 and its targets are missing"),
        (TensorDataset, None, "the class TensorDataset. Make one"),
        (as_data((X, Y)), "y", "says itself"),
    ],
)
def test_data_that_does_not_fit_is_refused_with_the_mend(given: Any, targets: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_data(given, targets=targets)


def test_a_batch_that_cannot_be_read_is_named() -> None:
    def broken() -> Iterator[Any]:
        yield X[:2], Y[:2]
        raise OSError("disk gone")

    with pytest.raises(InputError, match="batch 1 of generator raised OSError: disk gone"):
        as_data(broken())


def penalised(model: nn.Module, batch: Any) -> dict[str, Tensor]:
    inputs, targets = batch
    decay = 0.01 * sum(p.square().sum() for p in model.parameters())
    return {"data": F.cross_entropy(model(inputs), targets, reduction="none"), "decay": decay}


def test_a_loss_over_model_and_batch_is_its_own_value_gradient_and_hessian() -> None:
    module = net()
    made = objective(penalised, module=module)
    own = sum(term.mean() for term in penalised(module, (X, Y)).values())
    assert made.evaluate().loss == pytest.approx(float(own), rel=1e-12)
    gradient = torch.autograd.grad(own, list(module.parameters()), create_graph=True)
    v = torch.randn(made.theta.vector.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    flat = torch.cat([g.reshape(-1) for g in gradient])
    product = torch.cat([h.reshape(-1) for h in torch.autograd.grad(flat @ v, list(module.parameters()))])
    assert torch.allclose(made.gradient().vector.vector, flat.detach())
    assert torch.allclose(made.hessian_product(v), product)
    with pytest.raises(InputError, match="no Gauss–Newton matrix"):
        made.gauss_newton_product(v)


def test_terms_have_their_values_and_errors_and_the_total_that_of_the_sum() -> None:
    found = objective(penalised).evaluate()
    assert set(found.heights) == {"data", "decay"}
    assert sum(height.value for height in found.heights.values()) == pytest.approx(found.loss)
    assert found.heights["data"].standard_error == pytest.approx(objective().evaluate().standard_error)

    def named(outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {"loss": F.cross_entropy(outputs, targets, reduction="none"), "size": outputs.square().sum(1)}

    own = objective(named).evaluate()
    assert own.loss == pytest.approx(objective().evaluate().loss) and set(own.heights) == {"size"}


@pytest.mark.parametrize("name", ["total", "whole"])
def test_a_total_beside_its_terms_is_not_counted_twice(name: str) -> None:
    def terms(outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        data, size = F.cross_entropy(outputs, targets, reduction="none"), 0.1 * outputs.square().sum(1)
        return {"data": data, "size": size, name: data + size}

    for loss in (terms, lambda model, batch: terms(model(batch[0]), batch[1])):
        with pytest.raises(InputError, match=f"'{name}' is the sum of the others.*counted twice"):
            objective(loss)
    zero = objective(lambda outputs, targets: {"data": outputs.square().sum(1), "none": 0 * outputs.sum(1)}).evaluate()
    assert zero.loss == pytest.approx(zero.heights["data"].value)


def test_numbers_of_batches_are_measured_over_the_loaders_own_batches() -> None:
    def largest(model: nn.Module, batch: Any) -> Tensor:
        return F.cross_entropy(model(batch[0]), batch[1], reduction="none").max()

    loader, module = DataLoader(TensorDataset(X, Y), batch_size=15), net()
    made = objective(largest, loader, module=module)
    each = [float(largest(module, batch)) for batch in loader]
    assert made.evaluate().loss == pytest.approx((15 * each[0] + 15 * each[1] + 10 * each[2]) / 40)
    assert "3 fixed batches" in made.provenance()["loss_batches"]
    assert objective(largest, loader, module=module, batch_size=40).evaluate().loss == pytest.approx(max(each))


def test_parts_of_different_size_are_one_sample_and_no_data_at_all_another() -> None:
    whole = as_whole({"inside": X, "border": X[:3]})
    assert len(whole) == 1 and whole.batch(torch.tensor([0]))[0]["border"].shape == (3, 4)
    made = objective(lambda model, batch: model(X).square().mean(), None)
    assert (made.n_samples, made.evaluate().loss) == (1, pytest.approx(float(net()(X).square().mean())))


@pytest.mark.parametrize(
    ("loss", "options", "message"),
    [
        (lambda model, batch: None, {}, "gives nothing of a batch, in which there is no loss"),
        (lambda model, batch: "text", {}, "gives str 'text'"),
        (lambda model, batch: {"data": 1.0}, {}, "its term 'data' is 1.0; expected a tensor"),
        (lambda model, batch: model(batch[0]).mean(), {"forward": lambda m, x: m(x)}, "forward: a loss over model"),
        (lambda model, batch: model(batch[0]).mean(), {"metrics": {"a": max}}, "metrics: a loss over model"),
        (lambda model, batch: model(batch[0]).mean(), {"targets": "y"}, "takes the batch as it is"),
        ("model", {}, "Sequential raised TypeError"),
    ],
)
def test_losses_over_model_and_batch_that_are_none_are_refused(loss: Any, options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        objective(loss, **options)
    with pytest.raises(InputError, match="a function"):
        ls.batch_loss(nn.MSELoss)  # type: ignore[arg-type]


def test_a_model_that_is_given_no_labels_says_so() -> None:
    class Output:
        loss = None

    class Silent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = net()

        def forward(self, inputs: Tensor) -> Output:
            return Output()

    with pytest.raises(InputError, match=r"loss=None.*given the labels"):
        objective("model", {"inputs": X}, module=Silent())


def test_the_same_numbers_are_drawn_at_every_point_and_the_errors_are_told_apart() -> None:
    def noisy(model: nn.Module, batch: Any) -> Tensor:
        shift = torch.randn((), dtype=torch.float64)  # one number for all samples: all of the spread is over draws
        return model(batch[0]).square().mean(1) + shift + float(np.random.rand())  # noqa: NPY002

    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    made = objective(noisy, draws=6, draw_seed=3)
    plain = objective(lambda model, batch: model(batch[0]).square().mean(1))
    here, there = made.evaluate(), made.evaluate(1.1 * made.theta.vector)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # type: ignore[index]  # noqa: NPY002
    change = plain.evaluate(1.1 * made.theta.vector).loss - plain.evaluate().loss
    assert there.loss - here.loss == pytest.approx(change, rel=1e-9)
    assert here.standard_error == pytest.approx(plain.evaluate().standard_error, rel=1e-9)
    assert here.draw_error == pytest.approx(there.draw_error) and here.draw_error > 0.1  # type: ignore[operator]
    assert objective(noisy, draws=6, draw_seed=4).evaluate().loss != here.loss
    assert len(set(made._draws.seeds)) == 6  # type: ignore[union-attr]


def test_dropout_is_on_in_train_mode_and_batch_norm_stays_with_its_policy() -> None:
    module = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3)).double()
    off = objective(module=module).evaluate()
    made = objective(module=module, mode="train", draws=20)
    assert made.evaluate().loss != off.loss and made.evaluate() == made.evaluate()
    still = nn.Sequential(*[layer for layer in module if not isinstance(layer, nn.Dropout)])
    assert objective(module=still, mode="train").evaluate().loss == pytest.approx(off.loss)
    t = made.theta.vector
    v = torch.randn(t.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    slope = (made.evaluate(t + 1e-5 * v).loss - made.evaluate(t - 1e-5 * v).loss) / 2e-5
    assert float(made.gradient().vector.vector @ v) == pytest.approx(slope, rel=1e-6)


def test_draws_are_part_of_what_made_a_result() -> None:
    module = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3)).double()
    axes: dict[str, Any] = {"x": (-1, 1, 3), "y": (-1, 1, 3)}
    made = objective(module=module, mode="train", draws=2)
    plane = ls.plane(made, **axes)
    assert plane["loss_draw_error"].notnull().all() and plane.attrs["draws"] == 2
    assert np.array_equal(ls.plane(made, resume=plane, **axes)["loss"], plane["loss"])
    with pytest.raises(MismatchError, match="draws"):
        ls.plane(objective(module=module, mode="train", draws=2, draw_seed=1), resume=plane, **axes)
    for wrong in (0, True, 1.5):
        with pytest.raises(InputError, match="draws: expected how often"):
            objective(draws=wrong)
    with pytest.raises(InputError, match="mode: unknown value 'training'"):
        objective(mode="training")


def test_metrics_have_their_values_over_all_samples_whatever_the_batches() -> None:
    def share(outputs: Tensor, targets: Tensor) -> float:
        picked = outputs.argmax(1)
        often = picked == picked.mode().values
        return float((often & (targets == picked)).sum() / often.sum())  # a ratio: no mean over batches

    right = lambda outputs, targets: (outputs.argmax(1) == targets).double()  # noqa: E731
    found = [objective(metrics={"share": share, "right": right}, batch_size=n).evaluate() for n in (7, 40)]
    for name in ("share", "right"):
        assert tuple(found[0].heights[name]) == pytest.approx(tuple(found[1].heights[name]))
    assert found[0].heights["share"].value == pytest.approx(share(net()(X), Y))
    assert found[0].heights["right"].value == pytest.approx(found[0].accuracy)


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    mean = lambda outputs, targets: float(outputs.square().sum(1).mean())  # noqa: E731
    each = lambda outputs, targets: outputs.square().sum(1)  # noqa: E731
    errors = []
    for seed in range(12):
        x = torch.randn(400, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        found = objective(data=(x, Y.repeat(10)), metrics={"mean": mean, "each": each}).evaluate().heights
        errors.append(found["mean"].standard_error / found["each"].standard_error)
    assert 0.75 < np.mean(errors) < 1.25  # by nine degrees of freedom each


def test_a_plane_is_refined_by_and_drawn_by_any_height() -> None:
    right = lambda outputs, targets: (outputs.argmax(1) == targets).double()  # noqa: E731
    made = objective(metrics={"right": right})
    axes: dict[str, Any] = {"x": (-2, 2, 21), "y": (-2, 2, 21)}
    full = ls.plane(made, **axes)
    assert np.array_equal(full["right"], full["accuracy"])
    adaptive = ls.plane(made, refinement=ls.Refinement(quantity="right", tolerance=0.1), **axes)
    assert adaptive.attrs["refined_by"] == "right" and adaptive.attrs["measured_points"] < 441
    measured = (adaptive["status"] == 1).values
    assert np.array_equal(adaptive["right"].values[measured], full["right"].values[measured])
    off = np.abs(adaptive["right"] - full["right"]).values[~measured]
    assert np.quantile(off, 0.95) <= adaptive.attrs["picture_error"] * float(np.ptp(full["right"].values))
    seen = ls.height(adaptive, "right")
    assert np.array_equal(seen["loss"], adaptive["right"]) and seen.attrs["loss_name"] == "right"
    with pytest.raises(InputError, match="where the picture of its right needed it"):
        ls.height(adaptive, "accuracy")
    with pytest.raises(InputError, match="refinement: quantity: unknown value 'f1'"):
        ls.plane(made, refinement=ls.Refinement(quantity="f1"), **axes)
    with pytest.raises(MismatchError, match="heights was null"):
        ls.plane(objective(metrics={"other": right}), resume=ls.plane(objective(), **axes), **axes)


def test_a_height_is_part_of_what_made_a_result_near_the_checkpoint_and_far_from_it() -> None:
    def measured(name: str, metric: Any, resume: Any = None) -> Any:
        made = objective(metrics={name: metric})
        return ls.plane(made, x=(-2, 2, 5), y=(-2, 2, 5), resume=resume)

    def margin(outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.gather(1, targets[:, None])[:, 0]

    part = measured("margin", margin)
    assert measured("margin", lambda outputs, targets: margin(outputs, targets) * 1, part).equals(part)
    for name, metric, said in (
        ("score", margin, "heights"),
        ("margin", lambda outputs, targets: 2 * margin(outputs, targets), "margin at the checkpoint"),
        ("margin", lambda outputs, targets: margin(outputs, targets).clamp(-2, 2), "margin at x = "),
    ):
        with pytest.raises(MismatchError, match=said):
            measured(name, metric, part)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ([max], "a mapping of names"),
        ({"loss": max}, "'loss' is no usable name"),
        ({"a b": max}, "no usable name"),
        ({"f1": nn.Identity}, r"Make one of it: Identity\("),
        ({"f1": 3}, "f1 is 3; expected a function"),
        ({"f1": lambda outputs, targets: outputs}, r"f1 gives a tensor of shape \(\d+, 3\)"),
        ({"f1": lambda outputs, targets: 1 / 0}, "f1 raised ZeroDivisionError"),
    ],
)
def test_metrics_that_are_none_are_refused(metrics: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        objective(metrics=metrics).evaluate()


def test_a_function_of_arrays_is_a_landscape_without_gradient() -> None:
    data = X.numpy()
    made = ls.function(lambda theta: (data @ theta - 1) ** 2, np.array([0.5, 0.0, 0.0, 1.0]))
    values = (data @ np.array([0.5, 0.0, 0.0, 1.0]) - 1) ** 2
    found = made.evaluate()
    assert found.loss == pytest.approx(values.mean(), rel=1e-12)
    assert found.standard_error == pytest.approx(values.std(ddof=1) / math.sqrt(40))
    assert ls.plane(made, x=(-1, 1, 3), y=(-1, 1, 3))["loss"].notnull().all()
    with pytest.raises(InputError, match=r"no gradient here\. Give θ as a tensor"):
        made.gradient()


def test_a_function_of_tensors_has_its_gradient_and_hessian() -> None:
    scale = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)
    made = ls.function(lambda theta: (scale * theta["w"] ** 2).sum() / 2, {"w": torch.ones(3, dtype=torch.float64)})
    assert made.evaluate().loss == pytest.approx(55.5)
    assert torch.allclose(made.gradient().vector.vector, scale)
    assert torch.allclose(made.hessian_product(torch.ones(3)), scale)


@pytest.mark.parametrize(
    ("f", "theta", "message"),
    [
        (3, np.ones(2), "f: expected a function"),
        (lambda t: t.sum(), np.array([1, 2]), "floating-point numbers, got of torch.int64"),
        (lambda t: t.sum(), "text", "theta: expected an array|floating-point"),
        (lambda t: t.missing, np.ones(2), "f: raised AttributeError at θ"),
        (lambda t: np.ones((2, 2)), np.ones(2), r"an array of shape \(2, 2\)"),
        (lambda t: None, np.ones(2), "f: expected a number"),
    ],
)
def test_functions_that_are_none_are_refused(f: Any, theta: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ls.function(f, theta)


def test_what_was_measured_in_training_mode_says_so_and_is_compared_with_nothing_in_evaluation_mode() -> None:
    dropped = nn.Sequential(nn.Linear(X.shape[1], 8), nn.Dropout(0.5), nn.Linear(8, 3))
    modes: list[dict[str, Any]] = [{}, {"mode": "train", "draws": 2}]
    objectives = [ls.Objective(dropped, "cross_entropy", (X, Y), **mode) for mode in modes]
    captions = [ls.plot(ls.line(one, x=(-1, 1, 3), seeds=[0])).caption for one in objectives]
    assert "samples, in training mode, each point drawn 2 times." in captions[1] and "training mode" not in captions[0]
    config = ls.SharpnessConfig(measures=("adaptive_average",), rho=(0.1,), draws=2)
    for group in (0, 1):
        found = [ls.sharpness(objectives[k], config) for k in (0, group)]
        with contextlib.nullcontext() if group == 0 else pytest.raises(InputError, match="made alike in two settings"):
            ls.compare({"a": found[:1], "b": found[1:]})
