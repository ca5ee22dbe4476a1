"""``landscape probe``: what the loss looks like around a checkpoint, or along the steps from it."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from .names import as_typed, canonical
from .options import (
    chain,
    checkpoint_key_option,
    given,
    json_option,
    named_parts,
    picture_option,
    place_options,
    trust_option,
    worker_options,
)
from .settings_options import GroupedOption, SettingsCommand, options_of, part_options

_FILE = click.Path(path_type=Path)
_COMMON = chain(
    click.argument("files", type=_FILE, nargs=-1),
    click.option(
        "--checkpoint",
        type=_FILE,
        help="A run's checkpoint, a state dict, .safetensors or their index, or a folder of Hugging Face.",
    ),
    checkpoint_key_option("; also of --to"),
    click.option("--kind", metavar="KIND", help="The same as KIND as the first word.  [default: plane]"),
    click.option(
        "--list", "listed", is_flag=True, help="Which probes there are, what they answer, and what they cost."
    ),
    click.option(
        "--to",
        type=_FILE,
        multiple=True,
        help="Lead to this checkpoint (line, path), these two (plane), or through these (trajectory).",
    ),
    click.option("--to-key", metavar="KEY", help="Which weights of --to, where they are others than --checkpoint-key."),
    click.option("--directions", type=_FILE, help="A file of the original loss-landscape tool, or a curvature result."),
    click.option("--out", "-o", type=_FILE, help="The result file.  [default: outputs/NAME-HASH.h5]"),
    click.option(
        "--save-every",
        type=float,
        default=10.0,
        help="Seconds between saves of the unfinished result; more where one takes long.",
    ),
    trust_option(),
    place_options(),
    worker_options(),
    json_option(),
    picture_option(),
)
_LEADING = ("to", "to_key", "directions")


class ProbeCommand(SettingsCommand):
    """Has the options of the kind that its arguments name: all kinds' own would be a list that nobody reads."""

    rest = "Checkpoint, result and places"
    last = ("Samples", "Running", "Network, data and loss")
    kind = "plane"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        args, arguments = list(args), tuple(args)
        at = self._kind_at(args)
        if at is not None:
            args = ["--kind", args[at], *args[:at], *args[at + 1 :]]
        self.kind = ctx.meta["kind"] = self._kind_in(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            message = self._elsewhere(error, arguments)
            if message is None:
                raise
            raise click.UsageError(message, ctx) from None

    def made(self, ctx: click.Context) -> list[GroupedOption]:
        from landscape.registry import asked, found

        return [*options_of(found(asked()[ctx.meta.get("kind", "plane")].settings)), *part_options()]

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        from landscape.registry import asked

        every = super().get_params(ctx)
        for parameter in every:
            if isinstance(parameter, click.Option) and parameter.name in _LEADING:
                parameter.hidden = not asked()[ctx.meta.get("kind", "plane")].leads
        return every

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "[KIND] [FILES]... [OPTIONS]")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from landscape.registry import asked

        known = asked()
        kind = ctx.meta.get("kind", "plane")
        with formatter.section("Kinds"):
            formatter.write_text(
                ", ".join(probe.command for probe in known.values()) + f"; below: {known[kind].command}"
            )
            formatter.write_text(f"{known[kind].question} Takes {known[kind].cost}.")
        super().format_options(ctx, formatter)
        with formatter.section("Examples"):
            for example in known[kind].examples:
                formatter.write_text(f"landscape probe {known[kind].command} {example}")

    @staticmethod
    def _known(word: str) -> bool:
        from landscape.registry import asked

        return word.replace("-", "_") in asked()

    def _kind_at(self, args: list[str]) -> int | None:
        """Where KIND stands: first, or among the files, where no file is called so."""
        for place, (before, word) in enumerate(itertools.pairwise(["", *args])):
            if self._known(word) and (place == 0 or not (before.startswith("-") or Path(word).exists())):
                return place
        return None

    def _kind_in(self, args: list[str]) -> str:
        """The last ``--kind`` of the arguments, if there is such a kind."""
        said = [after for one, after in itertools.pairwise(args) if one == "--kind"]
        said += [one.removeprefix("--kind=") for one in args if one.startswith("--kind=")]
        return said[-1].replace("-", "_") if said and self._known(said[-1]) else "plane"

    def _elsewhere(self, error: click.NoSuchOption, arguments: Sequence[str]) -> str | None:
        """What is wrong with an option that is another kind's; None for nobody's."""
        from landscape.registry import asked, found

        name = error.option_name.lstrip("-")
        others = [
            probe.command
            for probe in asked().values()
            if any(canonical(option.name or "") == name for option in options_of(found(probe.settings)))
        ]
        if not others:
            return None
        typed, elsewhere = as_typed(error.option_name, arguments), ", ".join(others)
        return (
            f"{typed}: is no setting of kind {self.kind!r}, but of {elsewhere}. Leave it out, or choose another kind."
        )


@click.command("probe", cls=ProbeCommand)
@_COMMON
def command(
    files: tuple[Path, ...],
    checkpoint: Path | None,
    checkpoint_key: str | None,
    to_key: str | None,
    to: tuple[Path, ...],
    directions: Path | None,
    out: Path | None,
    save_every: float,
    device: str,
    data_root: Path | None,
    download: bool,
    workers: int | None,
    scheduler: str | None,
    threads: int | None,
    listed: bool,
    as_json: bool,
    no_picture: bool,
    **options: Any,
) -> None:
    """Measure the loss around a checkpoint, along the steps from it or the training that led to it, into one labelled HDF5 file.

    KIND is what to measure, a plane where it is not said; KIND --help shows its options, --list what each answers.

    FILES are a run's folder, which stands for its last checkpoint, a folder of Hugging Face, or checkpoints: the one that is
    probed where --checkpoint does not say it, then more to lead to, so that --to epoch-*.pt takes all that the shell makes of it.

    A checkpoint of a model of your own names your functions, and what only a file names is not run: repeat --model, --data and
    --loss, or say --trust.

    Started again, it goes on where it stopped, or says that the code or data behind its names gives other values now. A plane is
    measured where its picture needs it, up to a budget, and says how well it is known; --full measures every point. For a surer
    picture ask for more --images, for the spread between random planes for --seeds 0,1,2. --kind steps goes on training from
    the checkpoint, without changing its file.
    """
    from landscape.places import Places
    from landscape.probes.probing import probe_checkpoint
    from landscape.probes.settings import probe_settings
    from landscape.probes.subjects import Subject

    from .terminal import Terminal, probe_document, show_json
    from .workers import check_spreads, team_asked

    if listed:
        _tell_kinds(as_json)
        return
    parts = named_parts(options)
    settings = probe_settings(given(**options))
    checkpoint, to = _checkpoints(checkpoint, to, files)
    subject = Subject(checkpoint, to=to, directions=directions, key=checkpoint_key, to_key=to_key, **parts)
    if workers is not None or scheduler is not None:
        check_spreads(settings.kind)
    folder = Places().outputs if out is None else out.parent
    with Terminal() as terminal, team_asked(workers, scheduler, threads, device, folder, terminal) as team:
        places = Places(
            data_root=data_root,
            download=download,
            device=device,
            save_every=save_every,
            reporter=terminal,
            executor=team,
        )
        terminal.settings(settings.model_dump())
        outcome = probe_checkpoint(subject, settings, places, out=out)
    if as_json:
        show_json(probe_document(outcome))
    else:
        terminal.probe_summary(outcome, picture=not no_picture)


def _tell_kinds(as_json: bool) -> None:
    from landscape.registry import asked

    from .terminal import show_json, show_table

    if as_json:
        kinds = asked().values()
        show_json({"probes": [{"name": one.command, "question": one.question, "cost": one.cost} for one in kinds]})
        return
    rows = [[probe.command, probe.question, probe.cost] for probe in asked().values()]
    show_table("", ["probe", "answers", "takes"], rows)


def _checkpoints(
    checkpoint: Path | None, to: tuple[Path, ...], files: tuple[Path, ...]
) -> tuple[Path, tuple[Path, ...]]:
    """The checkpoint to probe, and those to lead to."""
    for file in files:
        _check_kind(file)
    if checkpoint is None:
        if not files:
            raise click.UsageError("Missing option '--checkpoint', or a run's folder.")
        run = files[0].is_dir() and (files[0] / "last.pt").exists()
        checkpoint, files = files[0] / "last.pt" if run else files[0], files[1:]
    return checkpoint, (*to, *files)


def _check_kind(file: Path) -> None:
    """A first word that is no file may be meant for a kind: by its spelling, or by what a kind answers."""
    from landscape.registry import asked

    word = str(file)
    if file.exists() or file.suffix or len(file.parts) != 1:
        return
    kinds = {probe.command: probe.question.lower() for probe in asked().values()}
    if word in kinds:
        raise click.UsageError(f"{word}: a kind stands before the options: landscape probe {word} …")
    answering = [kind for kind, question in kinds.items() if word.lower() in re.findall(r"\w+", question)]
    meant = answering or difflib.get_close_matches(word, kinds, n=1, cutoff=0.5)
    hint = f" Did you mean {' or '.join(meant)}?" if meant else ""
    raise click.UsageError(
        f"{word}: is no kind of probe, and no file.{hint} landscape probe --list says what there is."
    )
