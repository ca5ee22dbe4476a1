"""The sbatch files of examples/slurm against a real SLURM: one node, on the loopback address, in a folder of its own.

Run ``python tests/slurm.py`` as root, with slurmctld, slurmd, slurm-client and munge installed (Debian's packages). It submits each
file, requeues and preempts what runs, and holds the results against those of this process. Prints a table in Markdown; exits with
1 if anything differs or a job has failed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kills import BASE, STUDY
from samefiles import differing

FILES = Path(__file__).parents[1] / "examples" / "slurm"
FEW = "--images 2000 --device cpu --save-every 0.5"
PLANE = f"probe plane base --x=-1:1:41 --y=-1:1:41 --full {FEW} --out files/plane.h5".split()
STUDIED = "study study.toml --device cpu --checkpoints files/checkpoints --outputs files/outputs".split()  # noqa: SIM905
LONGEST = 900.0
CONFIG = """
ClusterName=trial
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort=16817
SlurmdPort=16818
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
JobRequeue=1
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
MpiDefault=none
NodeName=localhost NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=common Nodes=localhost Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=0 State=UP
PartitionName=urgent Nodes=localhost PriorityTier=10 PreemptMode=OFF State=UP
"""


@contextmanager
def slurm(folder: Path) -> Iterator[None]:
    """A controller and a node, while open."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    (folder / "slurm.conf").write_text(CONFIG.format(folder=folder))
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    names = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    options = [f"--{option}={folder}/munge.{name}" for option, name in names.items()]
    subprocess.run(["munged", "--force", *options], check=True)
    subprocess.run(["slurmctld"], check=True)
    subprocess.run(["slurmd", "-N", "localhost"], check=True)
    try:
        yield
    finally:
        for name in ("slurmd", "slurmctld", "munge"):
            os.kill(int((folder / f"{name}.pid").read_text()), signal.SIGTERM)


def said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def states(job: str) -> list[str]:
    """Of a job, or of an array's."""
    return said("squeue", "--noheader", "--array", "--states=all", "--format=%T", f"--jobs={job}").split()


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LONGEST
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {LONGEST:.0f} s until {what}")
        time.sleep(0.3)


class Trial:
    """What is submitted from one folder, and what came of it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.rows, self.wrong = folder, [], False

    def submit(self, *arguments: str) -> str:
        return said("sbatch", "--parsable", *arguments).partition(";")[0]

    def started(self, job: str, file: str) -> None:
        """Wait until a job has written a result, and so is in the midst of its work."""
        until(lambda: any(Path("files").glob(file)) or not {"PENDING", "RUNNING"} & {*states(job)}, f"{file} is there")

    def requeue(self, job: str) -> str:
        if "RUNNING" not in states(job):
            return "had ended before it could be requeued"
        said("scontrol", "requeue", job)
        until(lambda: "RUNNING" in states(job) or "COMPLETED" in states(job), "it runs again")
        return "requeued while it ran"

    def preempt(self, job: str) -> str:
        if "RUNNING" not in states(job):
            return "had ended before it could be preempted"
        self.submit("--partition=urgent", "--ntasks=1", "--cpus-per-task=2", "--output=urgent.log", "--wrap=sleep 3")
        until(lambda: "RUNNING" not in states(job), "it gave way")
        return "preempted by a job of more priority"

    def compare(self, file: str, job: str, whole: Path, happened: list[str]) -> None:
        """Hold what a job has made against what this process made."""
        until(lambda: not {"PENDING", "RUNNING", "COMPLETING", "REQUEUED"} & {*states(job)}, f"{file} has ended")
        ended, unlike = sorted({*states(job)}), differing(whole, Path("files"))
        # What a command that was killed leaves for its workers; and the page says when it was written.
        unlike = [name for name in unlike if not name.endswith((".piece", "report.html"))]
        self.wrong |= bool(unlike) or ended != ["COMPLETED"]
        same = "the same bit for bit" if not unlike else f"other: {', '.join(unlike)}"
        self.rows.append(f"| `{file}` | {'; '.join(happened)} | {', '.join(ended).lower()} | {same} |")
        print(self.rows[-1], flush=True)
        Path("files").rename(f"files-{len(self.rows)}")


def whole(command: list[str], name: str) -> Path:
    """The files that this process makes, under the same name, since names are part of titles."""
    subprocess.run(["landscape", *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return Path("files").rename(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("/tmp/landscape-slurm"))
    folder = parser.parse_args().folder.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.chdir(folder)
    os.environ |= {"OMP_NUM_THREADS": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    Path("study.toml").write_text(STUDY)
    subprocess.run(["landscape", *BASE, "--out", "base"], check=True, stdout=subprocess.DEVNULL)
    plane, study = whole(PLANE, "plane"), whole(STUDIED, "study")
    trial = Trial(folder)
    print(said("slurmctld", "-V"), "\n\n| file | what happened | ended as | files |\n|---|---|---|---|", flush=True)
    with slurm(folder / "slurm"):
        until(lambda: "idle" in said("sinfo", "--noheader", "--format=%T"), "the node is idle")
        for file, interrupt in (
            ("one-node.sbatch", trial.requeue),
            ("one-node.sbatch", trial.preempt),
            ("cluster.sbatch", trial.requeue),
        ):
            job = trial.submit(str(FILES / file), *PLANE)
            trial.started(job, "plane.h5")
            trial.compare(file, job, plane, [interrupt(job)])
        job = trial.submit(str(FILES / "study-array.sbatch"), *STUDIED[1:])
        after = trial.submit(
            f"--dependency=afterok:{job}", "--output=collect.log", f"--wrap=landscape {' '.join(STUDIED)}"
        )
        trial.started(job, "checkpoints/*/last.pt")
        trial.compare("study-array.sbatch", after, study, ["four parts", trial.requeue(f"{job}_1"), "then collected"])
    sys.exit(trial.wrong)


if __name__ == "__main__":
    main()
