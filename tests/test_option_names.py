"""One language of options: hyphens and underscores, synonyms, suggestions; and a training's options are its settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import click
import pytest
from commands import fails
from landscape_cli.main import COMMANDS, landscape
from landscape_cli.names import SYNONYMS

from landscape.registry import asked
from landscape.studies.run_settings import RunSettings, run_settings
from landscape.studies.sweep import sweep_settings
from landscape.training import TrainingConfig


def contexts() -> Iterator[click.Context]:
    """Every command as it is parsed, ``probe`` once for each kind."""
    top = landscape.make_context("landscape", [], resilient_parsing=True)
    yield top
    for name in COMMANDS:
        command = landscape.get_command(top, name)
        assert command is not None
        for kind in asked() if name == "probe" else [""]:
            yield command.make_context(name, [kind] if kind else [], parent=top, resilient_parsing=True)


CONTEXTS = list(contexts())


def flags_of(context: click.Context) -> list[str]:
    options = [one for one in context.command.get_params(context) if isinstance(one, click.Option)]
    return [flag for one in options for flag in (*one.opts, *one.secondary_opts)]


def said(context: click.Context, flag: str) -> dict[str, object]:
    return context.command.make_parser(context).parse_args([flag, "7"])[0]


@pytest.mark.parametrize("synonym", SYNONYMS)
def test_every_synonym_is_its_option_wherever_a_command_has_that(synonym: str) -> None:
    assert synonym == synonym.lower() and "_" not in synonym and SYNONYMS[synonym] not in SYNONYMS
    wanted = f"--{SYNONYMS[synonym]}"
    having = [context for context in CONTEXTS if wanted in flags_of(context)]
    assert having
    for context in having:
        reached = said(context, f"--{synonym}")
        assert reached == said(context, wanted) and "7" in str(reached)


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda c: f"{c.command.name}-{c.meta.get('kind', '')}")
def test_no_two_options_of_a_command_go_by_one_name_and_underscores_are_hyphens(context: click.Context) -> None:
    parser = context.command.make_parser(context)
    options = [one for one in context.command.get_params(context) if isinstance(one, click.Option)]
    flags = flags_of(context)
    assert not [flag for flag, count in Counter(flags).items() if count > 1]
    # click holds one option for each name that is the same after normalising.
    assert len(flags) == len(parser._long_opt) + len(parser._short_opt)
    for option in options:
        for flag in option.opts:
            assert said(context, "--" + flag[2:].replace("-", "_") if flag[:2] == "--" else flag) == said(context, flag)


def test_seed_and_seeds_are_one_name_on_every_command() -> None:
    having = [context for context in CONTEXTS if {"--seed", "--seeds"} & set(flags_of(context))]
    assert {str(context.command.name) for context in having} >= {"train", "probe", "study", "plot", "convert"}
    for context in having:
        assert said(context, "--seed") == said(context, "--seeds")


def test_help_shows_the_names_that_are_ours() -> None:
    for context in CONTEXTS:
        ours = {flag[2:] for one in context.command.get_params(context) for flag in one.opts} | {"seeds"}
        assert not [name for name in SYNONYMS if f" --{name} " in context.get_help() and name not in ours]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "--bacth-size", "3"], "--bacth-size: is no option of landscape train. Did you mean --batch-size?"),
        (["train", "--lrate=3"], "--lrate: is no option of landscape train. Did you mean --learning-rate?"),
        (["train", "-lr", "3"], "-lr: is no option of landscape train. Did you mean --learning-rate?"),
        (["train", "--bn", "batch"], "--bn: is no option of landscape train. Did you mean --norm?"),
        (["train", "--max_steps", "9"], "--max_steps: is no option of landscape train. Did you mean --updates?"),
        (["train", "--gpu"], "Did you mean --device?"),
        (["probe", "--samples", "9"], "Did you mean --images?"),
        (["probe", "curvature", "--eigenvalues", "9"], "Did you mean --top or --bottom?"),
        (["probe", "curvature", "--seeds", "1"], "--seeds: is no setting of kind 'curvature', but of plane, line"),
        (["study", "quick", "--dry-run"], "Did you mean --plan?"),
        (["probe", "curvatur"], "curvatur: is no kind of probe, and no file. Did you mean curvature?"),
        (["probe", "hessian"], "Did you mean curvature?"),
        (["probe", "barrier"], "barrier: is no kind of probe, and no file. Did you mean path?"),
        (["probe", "nowhere"], "nowhere: is no kind of probe, and no file. landscape probe --list"),
        (["noise_scale", "run"], "is no command, but a kind of probe: landscape probe noise_scale"),
        (["--debgu"], "Did you mean --debug?"),
    ],
)
def test_a_name_that_is_nobodys_leads_to_what_may_be_meant(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fails(capsys, *arguments, status=2, says=says)


def settings_of_train() -> dict[str, tuple[object, object]]:
    """Every setting of a run that is no mapping: its type and its default."""
    hints = {**get_type_hints(RunSettings), **get_type_hints(TrainingConfig)}
    defaults = {**run_settings({}).model_dump(), **TrainingConfig().to_dict()}
    left_out = ("model_options", "data_options", "groups", "training")
    return {name: (hints[name], value) for name, value in defaults.items() if name not in left_out}


@pytest.mark.parametrize("name", settings_of_train())
def test_every_setting_of_a_run_is_an_option_of_train_with_its_type_and_default(name: str) -> None:
    kind, default = settings_of_train()[name]
    flag = f"--{name.replace('_', '-')}"
    (context,) = [context for context in CONTEXTS if context.command.name == "train"]
    option = {flag: one for one in context.command.get_params(context) for flag in one.opts}[flag]
    assert default in (None, 0, False, True) or f"[default: {default}" in f"{option.help}"

    def parsed(*arguments: str) -> object:
        return context.command.make_context("train", list(arguments), parent=context.parent).params[name]

    assert parsed() is None
    if kind is bool:
        assert parsed(flag) is True
    else:
        one, several = {int: ("3", [3, 4]), float: ("0.5", [0.5, 4.0]), str: ("x", ["x", "4"])}[
            next(of for of in (int, float, str) if kind in (of, of | None))
        ]
        assert parsed(flag, one) == several[0] and type(parsed(flag, one)) is type(several[0])
        assert parsed(flag, f"{one},4") == several


def test_a_list_of_any_setting_trains_each() -> None:
    (context,) = [context for context in CONTEXTS if context.command.name == "train"]
    words = ["--arch", "mlp", "--bs", "5,10", "--momentum", "0,0.9", "--no_augment", "--model_option", "depth=2"]
    params = context.command.make_context("train", words, parent=context.parent).params
    known = {*settings_of_train(), "model_options"}
    runs = sweep_settings({k: v for k, v in params.items() if v not in (None, {}) and k in known})
    assert {(run.training.batch_size, run.training.momentum) for run in runs} == {
        (size, momentum) for size in (5, 10) for momentum in (0, 0.9)
    }
    assert {run.model_options["depth"] for run in runs} == {2}
    assert not any(run.training.augment for run in runs)


def test_a_comma_in_the_name_of_a_file_that_is_there_separates_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a,b").mkdir()
    (context,) = [context for context in CONTEXTS if context.command.name == "train"]
    for text, read in (("a,b", "a,b"), ("a,b:make", "a,b:make"), ("a,c", ["a", "c"])):
        assert context.command.make_context("train", ["--data", text], parent=context.parent).params["data"] == read


def test_a_kind_is_understood_after_the_files_and_refused_in_a_sentence_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    fails(
        capsys, "probe", "run", "line", "--y=-1:1:3", status=2, says="--y: is no setting of kind 'line', but of plane"
    )
    fails(
        capsys,
        "probe",
        "run",
        "--full",
        "line",
        status=2,
        says="a kind stands before the options: landscape probe line",
    )
