"""What every scenario is asked: its value at the checkpoint, its gradient against differences, a plane, a picture."""

from __future__ import annotations

import ast
import inspect
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import landscape as ls

MOST_LINES = 10
AXES = {"x": (-0.5, 0.5, 3), "y": (-0.5, 0.5, 3)}


@dataclass(frozen=True)
class Scenario:
    """What a user wrote, and what their own loop gives.

    Attributes:
        objective: the loss as a function of the parameters.
        own: the value of the user's own loop at the checkpoint.
        plane: further arguments of the plane, or None where the scenario says why there is no gradient.
        step: of the differences; None where the objective has no gradient.
    """

    objective: ls.Objective
    own: float
    plane: dict[str, Any] | None = None
    step: float | None = 1e-4


Made = Callable[..., Scenario]


def scenarios_in(module: dict[str, Any]) -> list[Made]:
    """The scenarios that a module holds: its functions that return one."""
    own = [one for one in module.values() if getattr(one, "__module__", "") == module["__name__"]]
    return [one for one in own if getattr(one, "__annotations__", {}).get("return") == "Scenario"]


def made(scenario: Made, folder: Path) -> Scenario:
    """What a scenario makes, in a folder where it asks for one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if "folder" not in scenario.__annotations__:
            return scenario()
        (folder / "folder").mkdir()
        return scenario(folder / "folder")


def lines_of(function: Callable[..., Any]) -> int:
    """What a user writes from what they have to a picture: a scenario without the value that checks it, and two lines more."""
    lines = inspect.getsource(function).split("\n")
    [definition] = ast.parse("\n".join(lines)).body
    assert isinstance(definition, ast.FunctionDef) and isinstance(definition.body[-1], ast.Return)
    own = [one for one in definition.body if "own" in ast.unparse(one).partition("=")[0].split()]
    written = [one for one in definition.body[:-1] if one not in own]
    spans = [lines[one.lineno - 1 : one.end_lineno] for one in written]
    return sum(bool(line.strip()) for span in spans for line in span) + len(("ls.plane", "ls.plot"))


def check(made: Scenario, folder: Path) -> None:
    """Hold what a scenario made against the user's own value, differences, and a file that can be drawn."""
    objective = made.objective
    found = objective.evaluate().loss
    assert math.isclose(found, made.own, rel_tol=1e-6, abs_tol=1e-9), (found, made.own)
    if made.step is not None:
        check_gradient(objective, made.step)
    plane = ls.plane(objective, **{**AXES, **(made.plane or {})})
    assert plane["loss"].isel(seed=0).sel(x=0, y=0).item() == found
    assert (plane["status"] == 1).all()
    picture = folder / "plane.png"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ls.save(plane, folder / "plane.h5")
        ls.plot(ls.load(folder / "plane.h5")).savefig(picture, dpi=60)
    assert picture.stat().st_size > 2000


def check_gradient(objective: ls.Objective, step: float) -> None:
    """Central differences along the gradient and along a drawn direction, to what they can be known to."""
    theta, gradient = objective.theta.vector, objective.gradient().vector.vector
    drawn = torch.randn(theta.shape, generator=torch.Generator().manual_seed(0)).to(theta) * theta.abs().mean()
    for along in (gradient, drawn):
        unit = along / along.norm()
        ahead, back = (objective.evaluate(theta + sign * step * unit).loss for sign in (1, -1))
        expected, given = (ahead - back) / (2 * step), float(gradient @ unit)
        close = 1e-5 if theta.dtype == torch.float64 else 2e-2
        assert abs(given - expected) <= close * max(float(gradient.norm()), 1e-12), (given, expected)
