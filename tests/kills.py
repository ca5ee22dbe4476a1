"""Kills every kind of command at random instants, and again while it resumes, until it ends: are its files those of a whole run?

Run ``python tests/kills.py`` for the whole campaign, 20 kills of each kind; ``--kills`` and ``--only`` make it smaller.
A campaign that is itself stopped goes on where it was. The signals are drawn: half are SIGKILL, the rest SIGTERM and SIGINT, of
which some are followed by a SIGKILL while the command saves. Prints a table in Markdown; exits with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from landscape_cli.main import main
from samefiles import differing

from landscape.registry import found, probes

UNHEARD = 71  # exit status of a process that a signal met while the command did not listen
RARE = 2  # of twenty
DATA = ["--device", "cpu"]
BASE = [
    "train",
    "--model",
    "mlp",
    "--model-option",
    "hidden=16",
    "--train-images",
    "300",
    "--epochs",
    "3",
    "--checkpoint-every",
    "1",
    *DATA,
]
SETUP = [[*BASE, "--out", "base"], [*BASE, "--seed", "1", "--out", "other"]]
WATCHED = ["--flow-every", "3", "--probe-every", "6", "--stability-every", "4", "--checkpoint-every", "2"]
FEW = ["--images", "60"]
SAVED = ["--save-every", "0.02", *DATA]
STUDY = """
name = "small"
[defaults]
model = "mlp"
model_options = { hidden = 16 }
train_images = 300
epochs = 2
stability_every = 3
[[runs]]
name = "all"
batch_size = [50, 100]
seed = [0, 1]
[[probes]]
kind = "line"
x = "-1:1:9"
images = 50
[[probes]]
kind = "sharpness"
measures = ["sam"]
images = 50
[[pictures]]
kind = "curves"
formats = ["png", "svg"]
[[pictures]]
kind = "interactive"
[[tables]]
name = "means"
title = "Means"
runs = ["all"]
over = "batch_size"
quantities = ["train_loss", "validation_loss"]
[[comparisons]]
name = "compared"
by = "batch_size"
"""


def probe(kind: str, *options: str, of: Sequence[str] = ("base/last.pt",)) -> list[str]:
    return ["probe", *of, "--kind", kind, *options, *SAVED, "--out", "OUT/result.h5"]


KINDS: dict[str, list[str]] = {
    "train": [*BASE, "--epochs", "4", *WATCHED, "--out", "OUT"],
    "train, convolutions": [
        *("train", "--model", "vgg08", "--norm", "batch", "--train-images", "60", "--epochs", "3"),
        *("--batch-size", "30", *DATA, "--out", "OUT"),
    ],
    "plane": probe("plane", "--x=-1:1:13", "--y=-1:1:13", "--seeds", "0,1", "--full", *FEW),
    "plane, adaptive": probe("plane", "--x=-1:1:21", "--y=-1:1:21", *FEW),
    "line": probe("line", "--x=-1:1:201", "--seeds", "0,1", *FEW),
    "steps": probe("steps", "--steps", "40", "--probe-every", "4"),
    "trajectory": probe("trajectory", *FEW, of=["base/last.pt", *(f"base/epoch-{n:04d}.pt" for n in (1, 2))]),
    "sharpness": probe("sharpness", "--draws", "20", "--ascent-steps", "20", *FEW),
    "noise_scale": probe("noise_scale", "--images", "300"),
    "curvature": probe("curvature", "--top", "4", "--trace-probes", "10", "--density-steps", "15", *FEW),
    "path": probe("path", "--paths", "linear,aligned,bezier", "--curve-steps", "30", *FEW, of=["base/last.pt", "other/last.pt"]),
    "curvature-map": probe("curvature-map", "--x=-1:1:3", "--y=-1:1:3", *FEW),
    "study": ["study", "study.toml", *DATA, "--checkpoints", "OUT/checkpoints", "--outputs", "OUT/outputs"],
}  # fmt: skip
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
ENDS = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}
LONGEST = 600.0


@dataclass
class Record:
    """What became of a kind of command so far: kills by signal, runs to the end, and the files that differed."""

    kills: dict[str, int] = field(default_factory=dict)
    saving: int = 0
    unheard: int = 0
    whole: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def total(self) -> int:
        return sum(self.kills.values())


class Running:
    """A command in a process forked from this one, so that it starts in no time."""

    def __init__(self, arguments: Sequence[str], folder: Path) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self._begun = time.monotonic()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDS.keys() - {signal.SIGKILL})
        self.process = os.fork()
        if not self.process:
            _child(arguments, folder)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.status: int | None = None

    def wait(self, seconds: float = LONGEST) -> int | None:
        """Its exit status once it has ended, negative for a signal; None where it has not yet."""
        deadline = time.monotonic() + seconds
        while self.status is None:
            ended, status = os.waitpid(self.process, os.WNOHANG)
            if ended:
                self.status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() >= deadline:
                return None
            else:
                time.sleep(0.001)
        self.seconds = time.monotonic() - self._begun
        return self.status

    def kill(self, number: int) -> None:
        if self.status is None:
            os.kill(self.process, number)


def _child(arguments: Sequence[str], folder: Path) -> None:
    status = 70
    try:
        # The command has to listen by itself: where it does not, this tells it from a stop that was heard.
        signal.signal(signal.SIGINT, lambda *_: os._exit(UNHEARD))
        signal.signal(signal.SIGTERM, lambda *_: os._exit(UNHEARD))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS.keys())
        os.chdir(folder)
        with Path("log.txt").open("a", buffering=1) as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            sys.stdout = sys.stderr = log
            print("$", *arguments)
            try:
                main(list(arguments))
                status = 0
            except SystemExit as ended:
                status = int(ended.code or 0)
    finally:
        os._exit(status)


def load() -> None:
    """Import once what every command would import after its fork."""
    for module in ("train", "probe", "study"):
        importlib.import_module(f"landscape_cli.{module}")
    for module in ("studies.study", "probes.probing", "probes.plot", "probes.interactive"):
        importlib.import_module(f"landscape.{module}")
    for record in probes().values():
        drawn = [path for form in record.drawn for path in (form.page, *form.pictures.values())]
        for path in (record.schema, record.settings, record.prepare, record.words, record.compared, *drawn):
            if path:
                found(path)


class Campaign:
    """Commands that are killed in one folder, which remembers what was done."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        load()
        self.folder, self._seed = folder, seed
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "study.toml").write_text(STUDY)
        self.records: dict[str, Record] = {}
        if self._memory.exists():
            self.records = {kind: Record(**told) for kind, told in json.loads(self._memory.read_text()).items()}

    @property
    def _memory(self) -> Path:
        return self.folder / "records.json"

    def set_up(self) -> None:
        for arguments in SETUP:
            assert Running(arguments, self.folder).wait() == 0, self._log()

    def kill(self, kind: str, kills: int, command: Sequence[str] | None = None) -> Record:
        """Kill commands of this kind until there were so many kills, and compare every one that comes to its end."""
        record = self.records.setdefault(kind, Record())
        if record.total >= kills and record.whole:
            return record
        name = kind.replace(", ", "-").replace(" ", "-")
        whole, killed = self.folder / f"{name}-whole", self.folder / f"{name}-killed"
        shutil.rmtree(whole, ignore_errors=True)
        shutil.rmtree(killed, ignore_errors=True)
        # Other names would be other titles in the files: the whole run is made under the same, and moved away.
        arguments = [word.replace("OUT", killed.name) for word in command or KINDS[kind]]
        running = Running(arguments, self.folder)
        assert running.wait() == 0, self._log()
        killed.rename(whole)
        record.seconds = running.seconds
        draws = random.Random(f"{self._seed} {kind} {record.total}")
        for _ in self._until_done(record, kills):
            running = Running(arguments, self.folder)
            if running.wait(draws.uniform(0, 0.9) * record.seconds) is None:
                self._strike(running, record, draws)
            else:
                self._compare(running, record, whole, killed)
        self._compare_at_the_end(arguments, record, whole, killed)
        return record

    def _until_done(self, record: Record, kills: int) -> Iterator[None]:
        while record.total < kills:
            yield
            self._remember()

    def _strike(self, running: Running, record: Record, draws: random.Random) -> None:
        number = draws.choice(SIGNALS)
        running.kill(number)
        if number != signal.SIGKILL and draws.random() < 0.3 and running.wait(draws.uniform(0, 0.05)) is None:
            running.kill(signal.SIGKILL)
            record.saving += 1
        status = running.wait()
        if (
            status == UNHEARD
        ):  # in the instant before the command listens, or after it: it tells nothing, but must be rare
            record.unheard += 1
            if record.unheard > RARE:
                record.wrong.append(f"{signal.Signals(number).name} was not heard")
            return
        record.kills[signal.Signals(number).name] = record.kills.get(signal.Signals(number).name, 0) + 1
        if status not in (0, ENDS[number], -signal.SIGKILL):
            running.kill(signal.SIGKILL)
            record.wrong.append(f"exit status {status} after {signal.Signals(number).name}")

    def _compare(self, running: Running, record: Record, whole: Path, killed: Path) -> None:
        """Compare what a run that came to its end has made, and throw it away, so that the next one starts from nothing."""
        record.whole += 1
        record.wrong += differing(whole, killed) if running.status == 0 else [f"exit status {running.status}"]
        shutil.rmtree(killed, ignore_errors=True)

    def _compare_at_the_end(self, arguments: Sequence[str], record: Record, whole: Path, killed: Path) -> None:
        running = Running(arguments, self.folder)
        running.wait()
        self._compare(running, record, whole, killed)
        self._remember()

    def _remember(self) -> None:
        self._memory.with_suffix(".new").write_text(
            json.dumps({kind: asdict(one) for kind, one in self.records.items()})
        )
        self._memory.with_suffix(".new").replace(self._memory)

    def _log(self) -> str:
        return (self.folder / "log.txt").read_text()[-2000:]

    def table(self) -> str:
        names = [number.name for number in dict.fromkeys(SIGNALS)]
        head = ["command", *names, "killed while saving", "runs compared", "files that differ"]
        rows = [head, ["---"] * len(head)]
        for kind, record in self.records.items():
            counts = [str(record.kills.get(name, 0)) for name in names]
            wrong = "; ".join(dict.fromkeys(record.wrong)) or "0"
            rows.append([kind, *counts, str(record.saving), str(record.whole), wrong])
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def run() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="of each kind")
    parser.add_argument("--only", choices=KINDS, nargs="*", default=list(KINDS))
    parser.add_argument("--folder", type=Path, default=Path("kills"))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    campaign = Campaign(given.folder.absolute(), given.seed)
    campaign.set_up()
    for kind in given.only:
        record = campaign.kill(kind, given.kills)
        print(f"{kind}: {record.total} kills, {len(record.wrong)} differ", file=sys.stderr, flush=True)
    print(campaign.table())
    return int(any(record.wrong for record in campaign.records.values()))


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"  # as many bits as threads
    sys.exit(run())
