"""Which device a name means."""

from __future__ import annotations

import pytest
import torch

from landscape.errors import InputError
from landscape.torch_state.devices import resolve_device


@pytest.mark.parametrize("name", ["gpu", "meta", "cuda:x", "", None])
def test_an_unknown_device_is_refused_with_the_list(name: object) -> None:
    with pytest.raises(InputError, match=r"device: unknown value .*auto, cpu, cuda, mps"):
        resolve_device(name)  # type: ignore[arg-type]


def test_the_cpu_is_one_device_however_it_is_named() -> None:
    assert {resolve_device(name) for name in ("cpu", "cpu:0", torch.device("cpu", 0))} == {torch.device("cpu")}


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(True, True, "cuda:1"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_takes_cuda_then_mps_then_the_cpu(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, expected: str
) -> None:
    _pretend(monkeypatch, cuda=2 if cuda else 0, mps=mps)
    assert resolve_device("auto") == torch.device(expected)


@pytest.mark.parametrize(("count", "name"), [(0, "cuda"), (0, "cuda:0"), (2, "cuda:2"), (0, "mps")])
def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, count: int, name: str) -> None:
    _pretend(monkeypatch, cuda=count, mps=False)
    with pytest.raises(InputError, match=f"device: '{name}' is not available"):
        resolve_device(name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_resolved_cuda_device_equals_that_of_its_tensors() -> None:
    device = resolve_device("cuda")
    assert torch.zeros(1, device=device).device == device


def _pretend(monkeypatch: pytest.MonkeyPatch, *, cuda: int, mps: bool) -> None:
    """A machine with ``cuda`` CUDA devices, the last of them the current one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: cuda - 1)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
