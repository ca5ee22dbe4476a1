"""Running the command line in this process, or in one that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from landscape_cli.main import main

TRAIN = ["train", "--model", "vgg08", "--norm", "batch", "--train-images", "60", "--epochs", "2", "--device", "cpu"]
PROBE = ["--x=-1:1:3", "--y=-1:1:3", "--images", "20", "--device", "cpu"]


@dataclass(frozen=True)
class Finished:
    status: int
    out: str
    err: str


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Finished:
    """``landscape ARGUMENTS`` in this process."""
    capsys.readouterr()
    status = 0
    try:
        main(list(arguments))
    except SystemExit as ended:
        status = int(ended.code or 0)
    captured = capsys.readouterr()
    return Finished(status, captured.out, captured.err)


def fails(capsys: pytest.CaptureFixture[str], *arguments: str, status: int, says: str) -> Finished:
    """The command ends with ``status`` and one message on stderr that holds ``says``, without a traceback."""
    finished = run(capsys, *arguments)
    message = " ".join(finished.err.split())
    assert finished.status == status, message
    assert says in message
    assert "Traceback" not in finished.err
    return finished


def process(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """``landscape ARGUMENTS`` as a process of its own, on one thread so that two runs give the same bits."""
    # A shell that runs the suite in the background leaves interrupts ignored, also for what the suite starts.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from landscape_cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
