"""Every public name shows an example, and every example runs and gives what it says."""

from __future__ import annotations

import copy
import doctest
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch

import landscape
from landscape.objective.objective import Objective
from landscape.training import Observer

OBSERVERS = (
    landscape.CriticalSharpnessProbe,
    landscape.GradientFlow,
    landscape.StabilityProbe,
    landscape.StepProbe,
)
MOST_LINES = 6


def documented() -> dict[str, Any]:
    """The public names, the methods of an objective, and those of observers that the training loop does not call."""
    found = {name: getattr(landscape, name) for name in landscape.__all__ if name != "__version__"}
    for owner in (Objective, *OBSERVERS):
        for name, method in inspect.getmembers(owner, inspect.isfunction):
            if not (name.startswith("_") or (owner in OBSERVERS and hasattr(Observer, name))):
                found[f"{owner.__name__}.{name}"] = method
    return found


DOCUMENTED = documented()


def example_of(name: str, text: str | None, known: dict[str, Any]) -> doctest.DocTest:
    return doctest.DocTestParser().get_doctest(text or "", known, name, None, 0)


def run(example: doctest.DocTest) -> None:
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    failed = runner.run(example, out=said.append, clear_globs=False).failed
    assert not failed, "".join(said)


@pytest.fixture(scope="module")
def start() -> dict[str, Any]:
    """What examples go on from, as the package's own docstring makes it."""
    known: dict[str, Any] = {}
    with torch.random.fork_rng():
        example = example_of("landscape", landscape.__doc__, known)
        run(example)
    return example.globs


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_example_runs_and_is_short(
    name: str, start: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    known = {key: copy.deepcopy(one) if isinstance(one, torch.nn.Module) else one for key, one in start.items()}
    text = inspect.getdoc(DOCUMENTED[name]) or ""
    assert "\nExample:\n" in text
    example = example_of(name, text.partition("\nExample:\n")[2], known)
    assert 1 <= sum(len(part.source.splitlines()) for part in example.examples) <= MOST_LINES
    run(example)
