"""What is true of every probe, whatever it measures: each property once, over the registry."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
import shlex
import types
import warnings
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest
import xarray as xr
from commands import Finished, fails, run
from landscape_cli.main import main
from landscape_cli.options import given
from landscape_cli.probe import command
from landscape_cli.settings_options import options_of
from landscape_cli.terminal import Terminal

from landscape.checking import option_of
from landscape.errors import InputError
from landscape.models import build_model
from landscape.probes.costs import probe_steps
from landscape.probes.drawn import drawn_as
from landscape.probes.settings import ProbeSettings, kinds, probe_settings
from landscape.registry import Probe, asked, found, of_file, probes
from landscape.results import fingerprint, load_result
from landscape.results.schema import Schema
from landscape.studies.settings import load_study

TRAIN = "train --model mlp --model-option hidden=16 --train-images 300 --epochs 3 --checkpoint-every 1 --device cpu"
# Small values of options, for the kinds that have them.
SMALL = {
    "images": "20", "x": "-1:1:3", "y": "-1:1:3", "steps": "4", "probe_every": "2", "probe_eta": "0.5:2:2", "points": "3",
    "draws": "2", "ascent_steps": "2", "small_batch": "2", "groups": "3", "top": "1", "bottom": "0", "trace_probes": "2",
    "density_probes": "1", "density_steps": "4", "max_products": "30",
}  # fmt: skip
# Where the examples of a record lie in the folder.
PLACES = {"RUN": "run", "A.pt": "run/last.pt", "B.pt": "run/epoch-0001.pt", "C.pt": "run/epoch-0002.pt"}


@dataclass(frozen=True)
class Measured:
    """A kind's first example, made small and run: the words after ``landscape``, what it said, and its file."""

    kind: str
    words: list[str]
    finished: Finished
    file: Path

    def into(self, file: str) -> list[str]:
        """The same command with another file."""
        return [*self.words[:-1], file]


def small(kind: str) -> list[str]:
    names = [option.name for option in options_of(kinds()[kind]) if option.name in SMALL]
    return [f"--{name.replace('_', '-')}={SMALL[name]}" for name in names]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one trained run, which every probe measures."""
    folder = tmp_path_factory.mktemp("probes")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main([*TRAIN.split(), "--out", "run"])
    return folder


@pytest.fixture
def here(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained)
    return trained


@pytest.fixture(scope="session", params=asked())
def measured(request: pytest.FixtureRequest, trained: Path) -> Measured:
    """What every kind measures, once."""
    kind, file = request.param, trained / f"{request.param}.h5"
    example = re.sub(r"\bRUN\b|\b[ABC]\.pt", lambda place: PLACES[place[0]], asked()[kind].examples[0])
    words = ["probe", asked()[kind].command, *shlex.split(example), *small(kind), "--device", "cpu", "--out", str(file)]
    status, out, err = 0, io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(trained)
        try:
            main(words)
        except SystemExit as ended:
            status = int(ended.code or 0)
    assert status == 0, err.getvalue()
    return Measured(kind, words, Finished(status, out.getvalue(), err.getvalue()), file)


def paths(record: Any) -> Iterator[str]:
    """Every import path that a record names."""
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        for one in value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else [value]:
            if dataclasses.is_dataclass(one):
                yield from paths(one)
            elif isinstance(one, str) and re.fullmatch(r"[\w.]+:\w+", one):
                yield one


@pytest.mark.parametrize("record", probes().values(), ids=probes())
def test_a_record_leads_to_what_it_names(record: Probe) -> None:
    assert all(callable(found(path)) or not isinstance(found(path), types.ModuleType) for path in paths(record))
    assert isinstance(found(record.schema), Schema)
    if record.settings:
        assert issubclass(found(record.settings), ProbeSettings)
        assert record.question and record.cost and record.prepare and record.words and len(record.examples) == 2


@pytest.mark.parametrize("kind", asked())
def test_options_are_the_settings_that_are_no_study_keys_and_every_setting_says_what_it_is(kind: str) -> None:
    said = {name: option_of(field) for name, field in kinds()[kind].model_fields.items() if name != "kind"}
    assert [name for name, one in said.items() if one is None or not one.help] == []
    assert [option.name for option in options_of(kinds()[kind])] == [n for n, one in said.items() if not one.study]


def parsed(kind: str, words: list[str]) -> ProbeSettings:
    """The settings that a command line asks for, without running it."""
    params = command.make_context("landscape probe", [kind, *words]).params
    return probe_settings({"kind": kind, **given(**{one.name: params[one.name] for one in options_of(kinds()[kind])})})


@pytest.mark.parametrize("kind", asked())
def test_help_shows_the_question_every_option_and_examples_that_are_understood(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    record = asked()[kind]
    shown = run(capsys, "probe", record.command, "--help").out
    together = " ".join(shown.split())
    for said in (record.question, record.cost, *(f"landscape probe {record.command} {e}" for e in record.examples)):
        assert said in together
    for option in options_of(kinds()[kind]):
        assert re.search(rf"^\s*{option.opts[0]}\b", shown, re.MULTILINE), option.opts[0]
    for example in record.examples:
        assert parsed(kind, shlex.split(example)).kind == kind


def others(kind: str, name: str) -> Iterator[Any]:
    """Values of a setting's type that are not its default: numbers, and the words that its help names."""
    field = kinds()[kind].model_fields[name]
    said = option_of(field)
    words = [word.strip(".,;:()") for word in (said.help if said else "").split()]
    texts = [*words, "-2:2:7", "0.5:2:3"]
    pairs = [*((one, other) for one in texts for other in texts if one != other), *((word,) for word in texts)]
    single: dict[Any, list[Any]] = {bool: [True, False], int: [7, 11, 50], float: [0.05, 1.5], str: texts}
    several: dict[Any, list[Any]] = {int: [(3, 4)], float: [(0.3, 0.4)], str: pairs}
    for one in _types(field.annotation):
        if get_origin(one) is Literal:
            values = list(get_args(one))
        elif get_origin(one) is dict:
            values = [{"top": "scores.py:top"}]
        else:
            values = several[get_args(one)[0]] if get_origin(one) is tuple else single[one]
        yield from (value for value in values if value != field.default)


def _types(annotation: Any) -> list[Any]:
    union = get_origin(annotation) in (Union, types.UnionType)
    return [one for one in (get_args(annotation) if union else (annotation,)) if one is not type(None)]


def changed(kind: str, name: str) -> tuple[Any, ProbeSettings] | None:
    """Another value of a setting, with all settings; None where no other is allowed, which a refusal then says of it."""
    refusals, values = [], list(others(kind, name))
    for value in values:
        try:
            return value, probe_settings({"kind": kind, name: value})
        except InputError as error:
            refusals.append(str(error))
    assert bool(refusals) == bool(values), f"{name} of {kind}: {refusals}"
    assert all(re.search(rf"\b{name}\b", refusal) for refusal in refusals), f"{name} of {kind}: {refusals}"
    return None


@pytest.mark.parametrize("kind", asked())
def test_every_setting_identifies_a_result_unless_it_says_why_it_has_no_effect(kind: str) -> None:
    start = fingerprint(probe_settings({"kind": kind}).identity())
    told = 0
    for name, field in kinds()[kind].model_fields.items():
        other = None if name == "kind" else changed(kind, name)
        if other is not None:
            said = option_of(field)
            assert said is not None
            assert (fingerprint(other[1].identity()) == start) == bool(said.no_effect), f"{name} of {kind}"
            told += 1
    assert told > len(options_of(kinds()[kind])) / 2


@pytest.mark.parametrize("kind", asked())
def test_an_option_and_the_key_of_a_study_ask_for_the_same(kind: str, tmp_path: Path) -> None:
    for option in options_of(kinds()[kind]):
        assert option.name is not None
        other = changed(kind, option.name)
        if other is None:
            continue
        value, settings = other
        flag = option.opts[0] if value is not False else option.secondary_opts[0]
        named = [f"{key}={one}" for key, one in value.items()] if isinstance(value, dict) else []
        text = ",".join(named or map(str, value)) if named or isinstance(value, tuple) else str(value)
        assert parsed(kind, [flag] if isinstance(value, bool) else [f"{flag}={text}"]) == settings
        file = tmp_path / "study.toml"
        told = "{" + ", ".join(f"{k} = '{v}'" for k, v in value.items()) + "}" if named else json.dumps(value)
        file.write_text(f"[[runs]]\nmodel = 'mlp'\n[[probes]]\nkind = '{kind}'\n{option.name} = {told}\n")
        assert load_study(str(file)).probes == (settings,), option.name


@pytest.mark.parametrize("kind", asked())
def test_a_value_that_cannot_be_is_refused_by_the_name_of_its_option(
    kind: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = ["--to", "run/epoch-0001.pt"] if kind == "path" else []
    for option in options_of(kinds()[kind]):
        if not option.is_flag:
            for bad in ("?", "nan"):
                words = [kind, "run", *to, f"{option.opts[0]}={bad}", "--device", "cpu", "--out", f"bad-{kind}.h5"]
                finished = fails(capsys, "probe", *words, status=2, says="")
                assert re.search(rf"\b{str(option.name).replace('_', '[-_]')}\b", finished.err), finished.err
    assert not Path(f"bad-{kind}.h5").exists()


@pytest.mark.parametrize("kind", asked())
def test_the_cost_is_known_before(kind: str) -> None:
    cost = probe_steps(probe_settings({"kind": kind}), build_model("mlp", classes=10, channels=1, image_size=28), 10)
    assert math.isfinite(cost) and cost > 0


def test_the_words_of_a_result_are_printed_and_its_kind_is_known(measured: Measured) -> None:
    dataset = load_result(measured.file)
    record = asked()[measured.kind]
    assert dataset.attrs["kind"] == record.of_file
    lines = found(record.words)(dataset)
    assert lines
    said = measured.finished.out.splitlines()
    assert said[: len(lines)] == lines and said[-1] == str(
        measured.file
    )  # between them a small picture, where it has one


def test_the_same_command_again_measures_nothing(measured: Measured, here: Path, capsys: Any) -> None:
    before = measured.file.read_bytes()
    assert "nothing was measured" in run(capsys, *measured.words).out
    assert measured.file.read_bytes() == before


def test_an_interrupted_probe_goes_on_to_the_values_of_a_whole_one(
    measured: Measured, here: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Terminal, *progress: object, **workers: object) -> None:
        raise KeyboardInterrupt

    words = measured.into(f"resumed-{measured.kind}.h5")
    with monkeypatch.context() as patch:
        patch.setattr(Terminal, "progress", interrupted)
        assert run(capsys, *words).status == 130
    assert load_result(words[-1]).attrs["complete"] == 0
    assert run(capsys, *words).status == 0
    xr.testing.assert_equal(load_result(words[-1]), load_result(measured.file))


def test_info_says_what_a_result_is(measured: Measured, capsys: Any) -> None:
    shown = run(capsys, "info", str(measured.file))
    assert shown.status == 0
    assert len(shown.out.splitlines()) > 3 and f"{measured.file}: " in shown.out


def test_every_picture_and_the_page_are_made_without_a_warning(measured: Measured, here: Path, capsys: Any) -> None:
    record = of_file(load_result(measured.file).attrs["kind"])
    assert record is not None
    if not record.drawn:
        fails(capsys, "plot", str(measured.file), status=2, says=f"'{record.of_file}'")
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number, picture in enumerate(drawn_as(load_result(measured.file)).pictures):
            outs = [f"--out={measured.kind}-{number}.{suffix}" for suffix in ("png", "html")[: 1 if number else 2]]
            made = run(capsys, "plot", str(measured.file), "--kind", picture, *outs)
            assert made.status == 0, made.err
            assert Path(made.out.splitlines()[0]).read_bytes().startswith(b"\x89PNG")
