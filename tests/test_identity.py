"""What identifies a result: everything of an objective and of a run that decides a value, and nothing else."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landscape.objective.objective import Objective
from landscape.objective.signature import Numbers, Signature, signature
from landscape.places import Places
from landscape.probes.settings import ProbeSettings, kinds
from landscape.probes.subjects import Subject
from landscape.registry import asked, found
from landscape.results import fingerprint
from landscape.studies.run_settings import RunSettings, run_settings
from landscape.studies.runs import train_run


def test_the_batch_size_identifies_what_is_normalised_by_batches() -> None:
    for kind, settings in kinds().items():
        if "batch_size" in settings.model_fields:
            one, other = (settings(kind=kind, batch_norm="batch", batch_size=size).identity() for size in (10, 20))
            assert one != other


def test_every_setting_of_a_run_identifies_it_but_what_is_kept_of_it() -> None:
    base = run_settings({})
    other = {
        "model": "mlp",
        "norm": "batch",
        "model_options": {"hidden": 3},
        "data": "a.py:b",
        "data_options": {"n": 3},
        "loss": "mse",
        "flow_every": 3,
        "probe_every": 3,
        "probe_count": 3,
        "stability_every": 3,
    }
    kept = {"groups": ("some",), "checkpoint_every": 1}
    where = {
        "probe_eta": "0.5:2:3",
        "probe_spacing": "log",
        "probe_along": "relative",
    }  # of no effect where nothing is probed
    assert {*other, *kept, *where, "training"} == set(RunSettings.model_fields)
    for name, value in other.items():
        assert run_settings({name: value}).identity() != base.identity(), name
    for name, value in kept.items():
        assert run_settings({name: value}).identity() == base.identity(), name
    for name, value in where.items():
        assert run_settings({"probe_every": 3, name: value}).identity() != run_settings({"probe_every": 3}).identity()


OWN = """
import torch
from torch import nn

def data():
    draws = torch.Generator().manual_seed(0)
    inputs = torch.randn(120, 5, generator=draws)
    return inputs, (inputs[:, 0] > 0).long()

def net():
    return nn.Sequential(nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 2))
"""


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("identity")
    (folder / "own.py").write_text(OWN)
    own = {"model": f"{folder}/own.py:net", "data": f"{folder}/own.py:data"}
    settings = run_settings({**own, "checkpoint_every": 1, "epochs": 3, "batch_size": 40})
    train_run(settings, Places(device="cpu"), folder=folder / "run")
    return folder / "run"


@pytest.mark.parametrize("kind", kinds())
def test_the_identity_of_a_file_holds_all_settings_and_the_checkpoints_and_tells_both_apart(
    kind: str, run_folder: Path
) -> None:
    few = {} if kind == "steps" else {"images": 110}
    to = (run_folder / "epoch-0001.pt",) if kind == "path" else ()

    def identity(file: str = "last.pt", **further: Any) -> dict[str, Any]:
        settings: ProbeSettings = kinds()[kind](kind=kind, **few, **further)
        return dict(
            found(asked()[kind].prepare)(
                Subject(run_folder / file, to=to, trust=True), settings, Places(device="cpu")
            ).identity
        )

    base = identity()
    asked_for = kinds()[kind](kind=kind, **few).identity()
    assert base.keys() >= asked_for.keys()
    assert all(base[name] == value for name, value in asked_for.items() if value is not None)
    assert fingerprint(identity("epoch-0002.pt")) != fingerprint(base) == fingerprint(identity())
    resolved = {"sharpness": {"rho": (0.3,)}, "plane": {"x": "-1:1:5"}, "trajectory": {"y": "auto:7"}}
    assert fingerprint(identity(**resolved.get(kind, {"name": "mine"}))) != fingerprint(base) or kind not in resolved


class Net(nn.Module):
    """Two layers with BatchNorm between, a frozen shift, and a buffer that is added."""

    def __init__(self, seed: int = 0, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.first, self.norm, self.last = nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)
            nn.init.uniform_(self.norm.running_var, 0.5, 2.0)
        self.register_buffer("shift", torch.zeros(3))
        self.to(dtype).eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.norm(self.first(x)))) + self.shift


def samples(n: int = 40, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(0)
    # sorted by class, so that the first samples are all of one
    return torch.randn(n, 6, generator=draws).to(dtype), torch.arange(n) * 3 // n


def changed(net: nn.Module, change: Callable[[nn.Module], None]) -> nn.Module:
    with torch.no_grad():
        change(net)
    return net


cross_entropy = nn.functional.cross_entropy


def plain(outputs: Tensor, targets: Tensor) -> Tensor:
    return cross_entropy(outputs, targets, reduction="none")


def weighted(outputs: Tensor, targets: Tensor) -> Tensor:
    """One class, the last of the data, weighs otherwise."""
    return plain(outputs, targets) * torch.where(targets == 2, 1.01, 1.0)


def detached(outputs: Tensor, targets: Tensor) -> Tensor:
    """The same values with half of the gradient."""
    values = plain(outputs, targets)
    return values / 2 + values.detach() / 2


def top_two(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.topk(2).indices == targets[:, None]).any(1)


def made(**arguments: Any) -> Signature:
    given = {"module": Net(), "loss": plain, "data": samples(), "device": "cpu", **arguments}
    return signature(Objective(given.pop("module"), given.pop("loss"), given.pop("data"), **given))


X, Y = samples()
OTHERS: dict[str, Callable[[], dict[str, Any]]] = {
    "weights": lambda: {"module": Net(1)},
    "one weight by a little": lambda: {"module": changed(Net(), lambda n: n.first.weight[0, 0].add_(1e-12))},
    "running statistics": lambda: {"module": changed(Net(), lambda n: n.norm.running_mean[0].add_(1e-6))},
    "a buffer": lambda: {"module": changed(Net(), lambda n: n.shift[0].add_(1e-12))},
    "a scale of the loss": lambda: {"loss": lambda o, t: 7 * plain(o, t)},
    "the weight of one class": lambda: {"loss": weighted},
    "class weights of a loss module": lambda: {"loss": nn.CrossEntropyLoss(torch.tensor([1.0, 1.0, 1.2]).double())},
    "label smoothing": lambda: {"loss": nn.CrossEntropyLoss(label_smoothing=0.01)},
    "the gradient of the loss": lambda: {"loss": detached},
    "forward": lambda: {"forward": lambda m, x: m(x) * 1.001},
    "the outputs, with the same loss": lambda: {"forward": lambda m, x: m(x) + 1},
    "metric": lambda: {"metric": top_two},
    "no metric": lambda: {"metric": lambda o, t: None},
    "parameters": lambda: {"parameters": ["last.*"]},
    "batch_norm": lambda: {"batch_norm": "batch"},
    "precision": lambda: {"precision": "fp32"},
    "samples": lambda: {"samples": 39},
    "order of samples": lambda: {"samples": list(range(39, -1, -1))},
    "inputs": lambda: {"data": (X * torch.where(torch.arange(40) == 17, 1.001, 1.0)[:, None], Y)},
    "targets": lambda: {"data": (X, Y.roll(1))},
}


@pytest.mark.parametrize("what", OTHERS)
def test_an_objective_of_other_values_is_told_by_its_signature(what: str) -> None:
    assert made(**OTHERS[what]()).unlike(made().content())


def test_what_statistics_are_taken_over_is_part_of_an_objective() -> None:
    for policy, one, other in (
        ("batch", {"batch_size": 10}, {"batch_size": 20}),
        ("reestimated", {}, {"calibration": samples(30)}),
    ):
        assert made(batch_norm=policy, **one).unlike(made(batch_norm=policy, **other).content())


def test_a_compiled_objective_is_another() -> None:
    compiled = copy.copy(Objective(Net(), plain, samples(), device="cpu"))
    compiled.compiled = True  # without the seconds that compiling takes: it is the reference that is looked at
    assert signature(compiled).unlike(made().content()) == ["compiled was false and is true"]


def renamed() -> nn.Module:
    """The same function of the same weights, by other names and written otherwise."""

    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            net = Net()
            self.a, self.b, self.c = net.first, net.norm, net.last
            self.register_buffer("moved", net.shift)

        def forward(self, inputs: Tensor) -> Tensor:
            features = self.b(inputs @ self.a.weight.T + self.a.bias).tanh()
            return self.moved + self.c(features)

    return Other().eval()


def by_hand(outputs: Tensor, targets: Tensor) -> Tensor:
    return torch.logsumexp(outputs, 1) - outputs.gather(1, targets[:, None])[:, 0]


SAME: dict[str, Callable[[], dict[str, Any]]] = {
    "copy": lambda: {"module": copy.deepcopy(Net())},
    "names of layers and buffers": lambda: {"module": renamed()},
    "how the loss is written": lambda: {"loss": by_hand},
    "the loss by name": lambda: {"loss": "cross_entropy"},
    "engine": lambda: {"engine": "plain"},
    "batch_size": lambda: {"batch_size": 7},
    "forward that calls": lambda: {"forward": lambda m, x: m.forward(x)},
    "all parameters, said": lambda: {"parameters": ["*"]},
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("what", SAME)
def test_an_objective_of_the_same_values_has_the_same_signature(what: str, dtype: torch.dtype) -> None:
    given = SAME[what]()
    module = given.pop("module", Net()).to(dtype)
    data = samples(dtype=dtype)
    assert made(module=module, data=data, **given).unlike(made(module=Net(dtype=dtype), data=data).content()) == []


def test_the_memory_format_makes_no_difference_to_a_signature() -> None:
    class Images(nn.Module):
        def __init__(self, view: bool) -> None:
            super().__init__()
            with torch.random.fork_rng():
                torch.manual_seed(0)
                self.features, self.head, self.view = nn.Conv2d(2, 4, 3), nn.Linear(4 * 9, 3), view

        def forward(self, x: Tensor) -> Tensor:
            found = self.features(x)
            # The second refuses channels-last images.
            return self.head(found.view(len(x), -1) if self.view else found.flatten(1))

    draws = torch.Generator().manual_seed(0)
    data = torch.randn(12, 2, 5, 5, generator=draws), torch.randint(3, (12,), generator=draws)
    flat, viewed = (Objective(Images(view), plain, data, device="cpu") for view in (False, True))
    assert (flat.channels_last, viewed.channels_last) == (True, False)
    assert signature(flat).unlike(signature(viewed).content()) == []


def test_a_signature_leaves_values_and_the_random_state_as_they_are() -> None:
    for policy in ("frozen", "reestimated", "batch"):
        objective = Objective(Net(), plain, samples(), batch_norm=policy, device="cpu")
        before, state = objective.per_sample(), torch.get_rng_state()
        signature(objective)
        assert torch.equal(objective.per_sample(), before)
        assert torch.equal(torch.get_rng_state(), state)


def test_a_loss_that_is_nearly_zero_is_told_from_another_where_it_is_not() -> None:
    """In fp32 a loss of 1e-9 is rounding, at a checkpoint that fits its data perfectly; beside it the loss is large."""
    x = torch.eye(3).repeat(8, 1)
    net = nn.Linear(3, 3, bias=False)
    nn.init.eye_(net.weight).data.mul_(30)
    data = x, x.argmax(1)
    found = made(module=net, data=data)
    assert abs(found.numbers["loss at the checkpoint"].values[0]) < 1e-6
    assert made(module=net, data=data, loss=lambda o, t: 2 * plain(o, t)).unlike(found.content())


def test_what_rounding_alone_changes_is_the_same_also_where_a_function_makes_much_of_it() -> None:
    """The logistic map in fp32: eighteen steps multiply a rounding by some 2¹⁸, and the two ways to write one round differently."""

    def steps(one: Callable[[Tensor], Tensor]) -> Callable[[nn.Module, Tensor], Tensor]:
        def forward(module: nn.Module, x: Tensor) -> Tensor:
            values = torch.sigmoid(module(x))
            for _ in range(18):
                values = one(values)
            return values

        return forward

    def found(one: Callable[[Tensor], Tensor]) -> Signature:
        return made(module=Net(dtype=torch.float32), data=samples(dtype=torch.float32), forward=steps(one))

    this, other = found(lambda v: 3.9 * v * (1 - v)), found(lambda v: 3.9 * v - 3.9 * v * v)
    name = "output beside it"
    assert Numbers(this.numbers[name].values, 1e-4).unlike(other.numbers[name].values) is not None
    assert this.unlike(other.content()) == other.unlike(this.content()) == []
    assert this.unlike(found(lambda v: 3.8 * v * (1 - v)).content())


def test_values_that_are_not_finite_are_equal_to_themselves_alone() -> None:
    def agree(one: tuple[float, ...], other: list[float]) -> bool:
        return Numbers(one, 1e-4).unlike(other) is None

    nan, inf = math.nan, math.inf
    assert agree((nan, inf, -inf, 1.0), [nan, inf, -inf, 1.00001])
    for one, other in ((nan, 1.0), (1.0, nan), (inf, -inf), (inf, 1.0), (1.0, inf), (1.0, 1.001)):
        assert not agree((one,), [other])
    assert not agree((1.0,), [1.0, 2.0])
    assert not agree((1.0,), [])
