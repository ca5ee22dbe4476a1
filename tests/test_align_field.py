"""Networks as the field writes them: a copy with its units in another order is found again, and nothing else is moved."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import landscape as ls
from landscape.errors import InputError
from landscape.probes.path.alignment import assigned, permute_units
from landscape.probes.path.symmetries import exchangeable_units

F = nn.functional


class Net(nn.Module):
    """Layers by name, and a forward that is given."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self._forward = forward

    def forward(self, x: Tensor) -> Tensor:
        return self._forward(self, x)


def images(**layers: Callable[[], nn.Module]) -> Callable[[Callable[[Any, Tensor], Tensor]], Callable[[], nn.Module]]:
    def made(forward: Callable[[Any, Tensor], Tensor]) -> Callable[[], nn.Module]:
        usual = {"c": lambda: nn.Conv2d(3, 8, 3), "f": lambda: nn.Linear(8, 3)}
        return lambda: Net(forward, **{name: make() for name, make in {**usual, **layers}.items()})

    return made


def wide() -> nn.Module:
    return nn.Linear(8 * 36, 3)


NETS: dict[str, Callable[[], nn.Module]] = {
    "mean over places": images()(lambda s, x: s.f(torch.relu(s.c(x)).mean((2, 3)))),
    "mean twice": images()(lambda s, x: s.f(s.c(x).tanh().mean(-1).mean(-1))),
    "torch.mean with dim": images()(lambda s, x: s.f(torch.mean(F.relu6(s.c(x)), dim=[2, 3]))),
    "amax": images()(lambda s, x: s.f(torch.relu(s.c(x)).amax((2, 3)))),
    "view by size": images(f=wide)(lambda s, x: (lambda z: s.f(z.view(z.size(0), -1)))(F.elu(s.c(x)))),
    "view by shape": images(f=wide)(lambda s, x: (lambda z: s.f(z.view(z.shape[0], -1)))(torch.relu(s.c(x)))),
    "reshape to a number": images(f=wide)(lambda s, x: s.f(torch.relu(s.c(x)).reshape(-1, 8 * 36))),
    "unpacked shape": images(f=wide)(
        lambda s, x: (lambda z: s.f(z.reshape(z.shape[0], z.shape[1] * z.shape[2] * z.shape[3])))(s.c(x).relu())
    ),
    "squeeze": images()(lambda s, x: s.f(F.adaptive_avg_pool2d(torch.relu(s.c(x)), 1).squeeze(-1).squeeze(-1))),
    "slices of places": images()(lambda s, x: s.f(torch.relu(s.c(x))[:, :, ::2, 1:].mean((2, 3)))),
    "prelu": images(a=lambda: nn.PReLU(8))(lambda s, x: s.f(s.a(s.c(x)).mean((2, 3)))),
    "one prelu": images(a=nn.PReLU)(lambda s, x: s.f(s.a(s.c(x)).mean((2, 3)))),
    "group norm": images(n=lambda: nn.GroupNorm(4, 8))(lambda s, x: s.f(torch.relu(s.n(s.c(x))).mean((2, 3)))),
    "group norm of one": images(n=lambda: nn.GroupNorm(1, 8))(lambda s, x: s.f(torch.relu(s.n(s.c(x))).mean((2, 3)))),
    "instance norm": images(n=lambda: nn.InstanceNorm2d(8, affine=True))(
        lambda s, x: s.f(torch.relu(s.n(s.c(x))).square().mean((2, 3)))
    ),
    "layer norm": images(n=lambda: nn.LayerNorm(8))(lambda s, x: s.f(torch.relu(s.n(s.c(x).mean((2, 3)))))),
    "layer norm of images": images(n=lambda: nn.LayerNorm([8, 6, 6]))(
        lambda s, x: s.f(F.relu(s.n(s.c(x))).mean((2, 3)))
    ),
    "squeeze and excitation": images(e=lambda: nn.Conv2d(8, 8, 1))(
        lambda s, x: (lambda z: s.f((z * torch.sigmoid(s.e(F.adaptive_avg_pool2d(z, 1)))).mean((2, 3))))(s.c(x).relu())
    ),
    "scaled branches": images(b=lambda: nn.Conv2d(8, 8, 1))(
        lambda s, x: (lambda z: s.f((z + 0.5 * s.b(z) - 1).relu().mean((2, 3))))(s.c(x))
    ),
}


def disordered(groups: Any, seed: int = 0) -> list[Any]:
    """A permutation of each group's units that keeps its blocks together."""
    draws, found = np.random.default_rng(seed), []
    for group in groups:
        size = group.size // group.blocks
        parts = [start * size + draws.permutation(size) for start in draws.permutation(group.blocks)]
        found.append(np.concatenate(parts) if group.blocks > 1 else draws.permutation(group.size))
    return found


@pytest.mark.parametrize("made", NETS.values(), ids=NETS)
def test_a_copy_with_its_units_in_another_order_is_found_again(made: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    net, x = made(), torch.randn(12, 3, 8, 8)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    objective = ls.Objective(net, "cross_entropy", (x, torch.arange(12) % 3), device="cpu")
    groups = exchangeable_units(net, x)
    assert [group.size for group in groups] == [8] * len(groups) and groups
    state = permute_units(net.state_dict(), groups, disordered(groups))
    other = made()
    other.load_state_dict(state)
    assert torch.allclose(other.eval()(x), net.eval()(x), atol=1e-5)
    found = ls.align(objective, other)
    assert found.moved > 0
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (images()(lambda s, x: s.f(s.c(x).mean((1, 3))[:, :1] * torch.ones(1, 8))), "mean"),
        (images()(lambda s, x: s.f(s.c(x)[:, :4].mean((2, 3)).repeat(1, 2))), "getitem"),
        (images()(lambda s, x: s.f(s.c(x).transpose(1, 2).mean((2, 3))[:, :1].expand(-1, 8))), "transpose"),
        (images(f=wide)(lambda s, x: s.f(s.c(x).permute(0, 2, 3, 1).reshape(-1, 288))), "permute"),
    ],
)
def test_what_cannot_be_followed_is_named(made: Callable[[], nn.Module], message: str) -> None:
    objective = ls.Objective(made(), "cross_entropy", (torch.randn(9, 3, 8, 8), torch.arange(9) % 3), device="cpu")
    with pytest.raises(InputError, match=f"align: {message} .*is none of the operations"):
        ls.align(objective, made())


def test_units_in_blocks_are_matched_as_well_as_any_such_order() -> None:
    draws = np.random.default_rng(1)
    likeness = draws.normal(size=(6, 6))
    found = assigned(likeness, blocks=3)
    best = max(
        float(likeness[np.arange(6), order].sum())
        for order in map(np.array, itertools.permutations(range(6)))
        if all({order[2 * k] // 2} == {order[2 * k + 1] // 2} for k in range(3))
    )
    assert float(likeness[np.arange(6), found].sum()) == pytest.approx(best)
