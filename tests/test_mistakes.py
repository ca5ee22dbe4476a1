"""Mistakes of the usual kind, one by one: each gets a sentence that names what arrived and the shortest mend, or just works."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from door_samples import X, Y, net, objective
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import landscape as ls
from landscape.errors import GradientError, InputError, LandscapeError

F = nn.functional
SMALL: dict[str, Any] = {"x": (-1, 1, 3), "y": (-1, 1, 3)}
KNOWN, OUTSIDE = objective(), net()


class Empty(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(())


def read_up() -> Any:
    made = iter([(X, Y)])
    list(made)
    return made


def plane(**given: Any) -> Any:
    return ls.plane(KNOWN, **{**SMALL, **given})


SENTENCES: dict[str, tuple[Callable[[], Any], str]] = {
    # module
    "a class": (lambda: objective(module=nn.Linear), r"module: Linear is a class\. Give an instance of it: Linear\("),
    "a name": (lambda: objective(module="resnet18"), r"got str 'resnet18'.*ls\.build_model"),
    "a path": (lambda: objective(module=Path("a.pt")), r"module: expected a torch\.nn\.Module.*ls\.from_pretrained"),
    "weights": (lambda: objective(module=net().state_dict()), r"got OrderedDict.*module\.load_state_dict"),
    "a function": (lambda: objective(module=lambda x: x), r"ls\.function\(f, theta\)"),
    "nothing": (lambda: objective(module=None), "got NoneType None"),
    "an objective": (lambda: objective(module=KNOWN), "Give the module that it was made of"),
    # loss
    "a class of losses": (lambda: objective(nn.CrossEntropyLoss), r"Make one of it: CrossEntropyLoss\(\)"),
    "its value": (lambda: objective(F.cross_entropy(net()(X), Y)), "or a callable"),
    "swapped with the data": (lambda: ls.Objective(net(), (X, Y), "mse"), "'mse' is a loss. The order is"),  # type: ignore[arg-type]
    "a loss of nothing": (lambda: objective(lambda o, t: None), "one value a sample.*got None"),
    "three of them": (lambda: objective(lambda o, t: (o, t, o)), "a tuple of 3"),
    "a vector of classes": (
        lambda: objective(lambda o, t: o.mean(0)),
        "one value a sample, 32 for a batch of 32, got 3",
    ),
    "a number": (lambda: objective(lambda model, batch: 1.0), r"the number 1\.0.*Return the tensor, before \.item\(\)"),
    "no terms": (lambda: objective(lambda model, batch: {}), "an empty mapping"),
    "a batch first": (lambda: objective(lambda batch, model: model(batch)), r"takes \(batch, model\)"),
    "a model from outside": (
        lambda: objective(lambda model, batch: F.cross_entropy(OUTSIDE(batch[0]), batch[1]), module=OUTSIDE),
        r"reads the parameters of the module outside \(0\.weight.*Call the model that the loss is given",
    ),
    "outputs for a loss": (lambda: objective("model", X), r"gives a tensor \(\d+, 3\): outputs rather than a loss"),
    # data
    "no data": (lambda: objective(data=None), "got None"),
    "the name of data": (lambda: objective(data="cifar10"), r"load_data\('cifar10'\)"),
    "a file of data": (lambda: objective(data=Path("data.csv")), r"pandas\.read_csv"),
    "a class of data": (lambda: objective(data=DataLoader), r"Make one of it: DataLoader\("),
    "a function of data": (
        lambda: objective(data=read_up),
        r"got the function read_up\. Give what it returns: read_up\(\)",
    ),
    "inputs alone": (lambda: objective(data=X), "Its targets are missing"),
    "targets of None": (lambda: objective(data=(X, None)), "the targets of the pair are None.*targets='inputs'"),
    "targets apart": (lambda: objective(data=X, targets=Y), r"given as a pair, \(inputs, targets\)"),
    "targets misspelt": (
        lambda: objective(data={"x": X, "label": Y}, targets="labels"),
        "has no 'labels'; it has 'x', 'label'",
    ),
    "an empty loader": (
        lambda: objective(data=DataLoader(TensorDataset(X, Y), batch_size=99, drop_last=True)),
        "no batches",
    ),
    "an empty stream": (lambda: objective(data=DataLoader(Empty())), "no batches"),
    "a generator that was read": (lambda: objective(data=read_up()), "can be read only once"),
    "single samples": (lambda: objective(data=zip(X, Y, strict=True)), "Of single samples give a list"),
    "a list of batches": (lambda: objective(data=[(X[:20], Y[:20]), (X[20:], Y[20:])]), r"give iter\(batches\)"),
    "words for labels": (lambda: objective(data=(X, ["a"] * len(X))), "data: expected"),
    # what is measured
    "a list of metrics": (lambda: objective(metrics=[max]), "a mapping of names"),
    "a metric by name": (lambda: objective(metrics={"f1": "f1"}), "f1 is 'f1'; expected a function"),
    "a metric of nothing": (lambda: objective(metrics={"f1": lambda o, t: None}), "f1 gives None"),
    "a metric of one argument": (lambda: objective(metrics={"f1": lambda o: 1}), "f1 raised TypeError"),
    "draws in words": (lambda: objective(draws="8"), "draws: expected how often"),
    "a seed of draws in words": (lambda: objective(draws=2, draw_seed="a"), "draw_seed: expected a whole number"),
    "a size in words": (lambda: objective(batch_size="32"), "batch_size: expected at least 1"),
    "half a size": (lambda: objective(batch_size=1.5), "batch_size: expected at least 1"),
    "samples in words": (lambda: objective(samples="10"), "samples: expected how many"),
    "parameters themselves": (lambda: objective(parameters=net().parameters()), "patterns of names.*got generator"),
    "forward in words": (lambda: objective(forward="logits"), r"forward: expected a function \(module, inputs\)"),
    # a measurement
    "a model": (lambda: ls.plane(net()), r"expected an ls\.Objective, got a Sequential\. Make one of it"),  # type: ignore[arg-type]
    "a model between": (lambda: ls.barriers([net(), net()]), r"expected an ls\.Objective, got a Sequential"),  # type: ignore[list-item]
    "a model to align": (lambda: ls.align(net(), net()), r"expected an ls\.Objective"),  # type: ignore[arg-type]
    "a model that draws": (lambda: ls.random_span(net(), [0], 2), r"expected an ls\.Objective"),  # type: ignore[arg-type]
    "a model that is changed": (lambda: ls.quantization(net(), 4), r"expected an ls\.Objective"),  # type: ignore[arg-type]
    "models between": (lambda: ls.direction_between(net(), net()), r"ls\.task_vector\(objective, other\)"),  # type: ignore[arg-type]
    "how many seeds": (lambda: plane(seeds=3), r"Try seeds=\[3\] for that one, or seeds=range\(3\)"),
    "seeds in words": (lambda: plane(seeds="3"), "which are whole numbers.*got '3'"),
    "half a seed": (lambda: plane(seeds=[0.5]), "which are whole numbers"),
    "no seeds": (lambda: plane(seeds=None), "which are whole numbers"),
    "an axis without a count": (lambda: plane(x=(-1, 1)), r"x: expected \(start, stop, count\)"),
    "coordinates that look like one": (lambda: plane(x=[-1, 0, 1]), r"np\.array\(\[-1, 0, 1\]\)"),
    "an uneven axis": (lambda: plane(x=np.logspace(-1, 1, 3)), "evenly spaced"),
    "a class to lead to": (lambda: ls.line(KNOWN, to=nn.Linear), r"Linear is a class"),  # type: ignore[arg-type]
    "nothing to lead to": (
        lambda: ls.line(KNOWN, to=3),
        "expected a module, a state dict, an objective or the path of a file",
    ),  # type: ignore[arg-type]
    "a file that is not there": (lambda: ls.line(KNOWN, to="nowhere.pt"), r"nowhere\.pt"),
    "a class to follow": (
        lambda: plane(along=[nn.Linear, "random"]),
        "a flat tensor, a model or an objective, got the class",
    ),
    "a tensor that is too short": (lambda: plane(along=[torch.ones(3), "random"]), "expected the given"),
    "how to refine in words": (lambda: plane(refinement=True), r"expected an ls\.Refinement"),
    "an objective to lead to": (lambda: ls.plane(KNOWN, to=objective()), r"a plane leads to two checkpoints"),  # type: ignore[arg-type]
    "tolerance in words": (lambda: ls.Refinement(tolerance="0.1"), "tolerance: expected a number, got str '0.1'"),  # type: ignore[arg-type]
    "a share in words": (lambda: ls.pruning(KNOWN, "50"), "a share of the weights between 0 and 1"),  # type: ignore[arg-type]
    "half a bit": (lambda: ls.quantization(KNOWN, 4.5), "bits from 1 to 16"),  # type: ignore[arg-type]
    "points in words": (lambda: ls.path(KNOWN, net(1), points="9"), "points: expected at least 3"),  # type: ignore[arg-type]
    "axes in words": (lambda: ls.random_span(KNOWN, [0], "2"), "axes: expected a whole number"),  # type: ignore[arg-type]
    "an objective for its parameters": (lambda: ls.random_direction(KNOWN, seed=0), r"such as objective\.theta"),  # type: ignore[arg-type]
    "an array to multiply": (lambda: KNOWN.hessian_product(np.ones(3)), r"objective\.hessian\(\) @ array"),  # type: ignore[arg-type]
    "an objective for a plane": (lambda: ls.topology(KNOWN), "plane: expected a result, .* got a Objective"),  # type: ignore[arg-type]
    "an objective for its smoothness": (lambda: ls.plane_smoothness(KNOWN), "expected a result"),  # type: ignore[arg-type]
    "weights to measure": (lambda: KNOWN.evaluate(net()), r"objective\.parameters_of"),  # type: ignore[arg-type]
    "what to load into": (lambda: ls.load_into(net().state_dict(), net()), "It comes first"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", SENTENCES)
def test_a_usual_mistake_gets_its_sentence(name: str) -> None:
    make, says = SENTENCES[name]
    with pytest.raises(LandscapeError, match=says) as caught:
        make()
    assert len(str(caught.value)) < 1000


def test_what_can_only_be_meant_in_one_way_just_works(tmp_path: Path) -> None:
    expected = KNOWN.evaluate().loss
    frames: list[Any] = []
    if find_spec("pandas"):
        import pandas

        frames = [(pandas.DataFrame(X.numpy()), pandas.Series(Y.numpy()))]
    for data in ((X.tolist(), Y.tolist()), (X, Y.tolist()), [X, Y], TensorDataset(X, Y), *frames):
        assert objective(data=data).evaluate().loss == pytest.approx(expected, rel=1e-6)
    for place in (1, -1):
        assert objective(data=(X, Y), targets=place).evaluate().loss == expected
    whole = plane()
    for seeds in (np.arange(1), range(1), (np.int64(0),), torch.arange(1)):
        assert plane(seeds=seeds).equals(whole)
    for axis in (np.linspace(-1, 1, 3), torch.linspace(-1, 1, 3), range(-1, 2), (-1, 1, 3.0), ls.Axis(-1, 1, 3)):
        assert plane(x=axis).equals(whole)
    ls.save(whole, tmp_path / "plane.h5")
    assert plane(resume=tmp_path / "plane.h5").equals(whole)


def test_another_network_may_be_a_module_weights_an_objective_an_average_or_a_file(tmp_path: Path) -> None:
    other = net(1)
    torch.save(other.state_dict(), tmp_path / "other.pt")
    average = torch.optim.swa_utils.AveragedModel(other)
    lines = [
        ls.line(KNOWN, to=one, x=(0, 1, 3))  # type: ignore[arg-type]
        for one in (other, other.state_dict(), objective(module=other), average, tmp_path / "other.pt")
    ]
    assert all(line.equals(lines[0]) for line in lines)
    assert torch.equal(ls.task_vector(KNOWN, str(tmp_path / "other.pt")).vector, ls.task_vector(KNOWN, other).vector)
    assert torch.equal(ls.quantization(KNOWN, 4).vector, ls.quantization(KNOWN.theta, 4).vector)
    given = plane(along=[torch.ones(KNOWN.theta.layout.size), "gradient"], normalization="none")
    assert given["direction_norm"].sel(direction="x").item() == pytest.approx(KNOWN.theta.layout.size**0.5)


def test_a_loss_that_no_gradient_passes_has_values_and_says_that_it_has_no_more() -> None:
    def cut(model: nn.Module, batch: Any) -> Tensor:
        return F.cross_entropy(model(batch[0]).detach(), batch[1], reduction="none")

    made = objective(cut)
    plane = ls.plane(made, **SMALL)
    np.testing.assert_allclose(plane["loss"], ls.plane(KNOWN, **SMALL)["loss"])
    assert plane.attrs["dead"] == 0 and np.isnan(plane.attrs["checkpoint_gradient"])
    with pytest.raises(GradientError, match=r"no gradient reaches the parameters.*a detach\(\)"):
        made.gradient()
    with pytest.raises(InputError, match="detach"):
        made.hessian_product(made.theta.vector)
    flat = objective(lambda model, batch: torch.ones(len(batch[0]), dtype=torch.float64))
    assert not flat.gradient().vector.vector.any()
    assert issubclass(GradientError, InputError)
