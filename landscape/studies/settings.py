"""A study file, checked once at the border: the runs, probes and pictures that it names."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import model_validator

from landscape.checking import Option, Settings, checked, known_keys
from landscape.errors import InputError, unknown_choice
from landscape.probes.path.config import PathSettings
from landscape.probes.settings import ProbeSettings, kinds, probe_settings
from landscape.results.names import check_distinct, check_file_name, part_names
from landscape.studies.parts import PARTS, ComparisonSettings, PictureSettings, TableSettings
from landscape.studies.run_settings import RunSettings
from landscape.studies.sweep import distinct, expand, sweep_settings

BUNDLED_STUDIES = ("quick", "coursework")


class StudySettings(Settings):
    """A study: its runs and probes with every list of settings expanded. ``note`` is said in every table and picture."""

    name: Annotated[
        str, Option("What its folder below outputs/ is called.", default="what the file is called", study=True)
    ]
    description: Annotated[str, Option("A text that stands over its table of runs.", study=True)] = ""
    note: str = ""
    runs: tuple[RunSettings, ...]
    probes: tuple[ProbeSettings, ...] = ()
    pictures: tuple[PictureSettings, ...] = ()
    tables: tuple[TableSettings, ...] = ()
    comparisons: tuple[ComparisonSettings, ...] = ()

    @model_validator(mode="after")
    def _files(self) -> Self:
        check_file_name(self.name, "name")
        # One table of probes with a list in it stands for several probes of one name, which are numbered.
        named = [("a probe", name) for name in dict.fromkeys(p.name for p in self.probes) if name is not None]
        parts: dict[str, tuple[Any, ...]] = {
            "pictures": self.pictures,
            "tables": self.tables,
            "comparisons": self.comparisons,
        }
        for key, several in parts.items():
            named += [(f"{key}[{i}]: name", part.name) for i, part in enumerate(several) if part.name is not None]
        for where, name in named:
            check_file_name(name, where)
        check_distinct(named)
        return self


def picture_names(study: StudySettings) -> list[str]:
    """What the files of each picture are called."""
    return part_names(
        study.pictures, [*(table.name for table in study.tables), *(made.name for made in study.comparisons)]
    )


def load_study(reference: str) -> StudySettings:
    """A bundled study by its name, or a TOML file by its path.

    What ``[defaults]`` says holds for every ``[[runs]]`` table that does not say otherwise.

    Lists are expanded: a ``[[runs]]`` table with ``norm = ["none", "batch"]`` and ``seed = [0, 1]`` is four runs. In ``[[probes]]``
    what takes several values by nature, such as ``seeds``, ``x``, ``measures`` or ``runs``, stays a list.

    Names of the study and of its parts become files in its folder: each is the name of a file, and all of them differ.

    Raises:
        InputError: for a file that is missing or malformed, naming file, line or key, and what was expected.
    """
    text, name = study_text(reference)
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{reference}: not a TOML file: {error}.") from None
    known = {"name", "description", "defaults", "runs", "probes", *PARTS}
    for key in table:
        if key not in known:
            raise unknown_choice(f"{reference}: key", key, known)
    defaults = table.get("defaults", {})
    if not isinstance(defaults, dict):
        raise InputError(f"{reference}: defaults: expected one table written as [defaults], got {defaults!r}.")
    runs = [
        run
        for i, raw in enumerate(_tables(table, "runs", reference))
        for run in sweep_settings(_grouped({**defaults, **raw}), where=f"{reference}: runs[{i}]: ")
    ]
    probes = [
        probe_settings(flat, where=f"{reference}: probes[{i}]: ")
        for i, raw in enumerate(_tables(table, "probes", reference))
        for flat in expand(raw, keep=_lists(raw))
    ]
    if not runs:
        raise InputError(f"{reference}: runs: expected at least one [[runs]] table, got none.")
    parts: dict[str, Any] = {}
    for key, model in PARTS.items():
        parts[key] = _plain(model, _tables(table, key, reference), f"{reference}: {key}")
    study = checked(
        lambda: StudySettings(
            name=table.get("name", name),
            description=table.get("description", ""),
            runs=tuple(distinct(runs)),
            probes=tuple(probes),
            **parts,
        ),
        f"{reference}: ",
    )
    _check_references(study, reference)
    named = enumerate(_tables(table, "probes", reference))
    check_distinct(
        (f"{reference}: probes[{i}]: name", raw["name"]) for i, raw in named if isinstance(raw.get("name"), str)
    )
    return study


def _lists(probe: Mapping[str, Any]) -> set[str]:
    """The keys of a table of probes whose lists are values, not alternatives."""
    asked, known = probe.get("kind", "plane"), kinds()
    names = [str(kind).replace("-", "_") for kind in (asked if isinstance(asked, list) else [asked])]
    return {key for name in names if name in known for key in known[name].lists()}


def _grouped(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table of runs, its name as the group that they belong to."""
    rest = {key: value for key, value in table.items() if key != "name"}
    return {**rest, "groups": [table["name"]]} if "name" in table else rest


def _plain(model: type[Settings], tables: Sequence[Mapping[str, Any]], where: str) -> tuple[Any, ...]:
    made = []
    for i, raw in enumerate(tables):
        known_keys(model, raw, f"{where}[{i}]: ")
        made.append(checked(partial(model, **raw), f"{where}[{i}]: ", model.model_fields))
    return tuple(made)


def _check_references(study: StudySettings, reference: str) -> None:
    names = sorted({group for run in study.runs for group in run.groups})
    parts: tuple[Any, ...] = (*study.probes, *study.pictures, *study.tables, *study.comparisons)
    for part in parts:
        leads_to = [part.to] if isinstance(part, PathSettings) and part.to is not None else []
        for group in (*part.runs, *leads_to):
            if group not in names:
                raise unknown_choice(f"{reference}: runs of {part.name or part.kind}", group, names)
    probes = part_names(study.probes)
    compared = [made.name for made in study.comparisons]
    for i, picture in enumerate(study.pictures):
        if picture.comparison is not None and picture.comparison not in compared:
            raise unknown_choice(f"{reference}: pictures[{i}]: comparison", picture.comparison, compared)
        if picture.probe is not None and picture.probe not in probes:
            raise unknown_choice(f"{reference}: pictures[{i}]: probe", picture.probe, probes)


def study_text(reference: str) -> tuple[str, str]:
    """The text of a study's file, and its name.

    Raises:
        InputError: where there is none.
    """
    if reference in BUNDLED_STUDIES:
        return resources.files("landscape.studies").joinpath(f"{reference}.toml").read_text("utf-8"), reference
    path = Path(reference)
    if not path.is_file():
        raise InputError(
            f"study: no bundled study and no file is called {reference!r}. Bundled: {', '.join(BUNDLED_STUDIES)}; "
            "otherwise give the path of a TOML file."
        )
    try:
        return path.read_text("utf-8"), path.stem
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{reference}: cannot be read as text: {error}.") from None


def _tables(table: Mapping[str, Any], key: str, reference: str) -> list[dict[str, Any]]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InputError(f"{reference}: {key}: expected tables written as [[{key}]], got {value!r}.")
    return value
