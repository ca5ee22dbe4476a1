"""Signals: none is lost, none changes a value, and each ends the command with its own status and whole files."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import xarray as xr
from commands import fails, run
from landscape_cli import signals
from landscape_cli.signals import HungUp, Stopped, stoppable
from samefiles import differing, uncreated
from test_sweeps import TINY

from landscape import stopping
from landscape.results import atomic_write

STOPS = [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Stopped), (signal.SIGHUP, HungUp)]

# Each calls `send` where an exception is printed and forgotten, or caught.
SWALLOWING = {
    "a finaliser": "class Left:\n    def __del__(self):\n        send()\ndef swallow():\n    Left()\n",
    "a weak reference's callback": (
        "import weakref\nclass Thing: pass\ndef swallow():\n    thing = Thing()\n"
        "    kept = weakref.ref(thing, lambda _: send())\n    del thing\n"
    ),
    "a callback from C": "import ctypes\ndef swallow():\n    ctypes.CFUNCTYPE(None)(send)()\n",
    "somebody's except": "def swallow():\n    try:\n        send()\n    except BaseException:\n        pass\n",
    "a finally that returns": ("def swallow():\n    try:\n        send()\n    finally:\n        return\n"),
}

# A loss that is interrupted at its `armed`-th call from now on, inside of something that swallows exceptions.
LOSS = """
import os, signal
from pathlib import Path
from torch.nn.functional import cross_entropy

def send():
    os.kill(os.getpid(), signal.SIGNAL)

SWALLOW
def loss(outputs, targets):
    armed = Path("armed")
    if armed.exists():
        left = int(armed.read_text()) - 1
        if left:
            armed.write_text(str(left))
        else:
            armed.unlink()
            swallow()
    return cross_entropy(outputs, targets, reduction="none")
"""


@pytest.fixture(autouse=True)
def heeded() -> Iterator[None]:
    """Signals that whoever started the suite lets it ignore are not ignored here."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number, _ in STOPS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("stopping")
    (made / "tiny.py").write_text(TINY)
    return made


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def own_loss(name: str, number: signal.Signals, swallow: str) -> str:
    """A file of a loss of the user's, and what names it."""
    Path(f"{name}.py").write_text(LOSS.replace("SIGNAL", number.name).replace("SWALLOW", swallow))
    return f"{name}.py:loss"


@pytest.mark.parametrize("where", SWALLOWING)
def test_a_signal_inside_what_swallows_exceptions_stops_a_probe_and_changes_no_value(
    here: Path, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    train = ["train", "--model", "tiny.py:net", "--data", "tiny.py:data", "--device", "cpu", "--epochs", "1"]
    if not Path("run").exists():
        assert run(capsys, *train, "--out", "run").status == 0
    number, status = ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129))[len(where) % 3]
    probe = ["probe", "--checkpoint", "run/last.pt", "--x=-1:1:21", "--y=-1:1:21", "--full", "--device", "cpu"]
    probe += ["--model", "tiny.py:net", "--data", "tiny.py:data"]
    probe += ["--loss", own_loss("interrupted", number, SWALLOWING[where])]
    Path("armed").write_text("45")  # past the calls in which the objective tries the loss: amid the points
    finished = fails(capsys, *probe, "--out", "part.h5", status=status, says="what was measured is kept. To go on:")
    assert "Exception ignored" not in finished.err
    with xr.open_dataset("part.h5") as part:
        assert 0 < int((part["status"] == 1).sum()) < 441
    assert run(capsys, *probe, "--out", "part.h5").status == 0
    if not Path("whole.h5").exists():
        assert run(capsys, *probe, "--out", "whole.h5").status == 0
    with xr.open_dataset("part.h5") as resumed, xr.open_dataset("whole.h5") as whole:
        xr.testing.assert_identical(uncreated(resumed), uncreated(whole))
    Path("part.h5").unlink()


def test_a_signal_inside_what_swallows_exceptions_stops_a_training(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loss = own_loss("interrupted", signal.SIGTERM, SWALLOWING["a finaliser"])
    Path("net.py").write_text(
        f"{TINY}\nfrom interrupted import loss\n"
        "class Watched(nn.Sequential):\n    def forward(self, x):\n        outputs = super().forward(x)\n"
        "        loss(outputs, torch.zeros(len(x), dtype=torch.long))\n        return outputs\n"
        "def watched():\n    return Watched(*net())\n"
    )
    assert loss == "interrupted.py:loss"
    train = ["train", "--model", "net.py:watched", "--data", "net.py:data", "--device", "cpu", "--epochs", "2"]
    train += ["--batch-size", "20", "--stability-every", "2"]
    Path("armed").write_text("20")
    fails(capsys, *train, "--out", "part", status=143, says="Terminated; what was measured is kept.")
    assert run(capsys, *train, "--out", "part").status == 0
    assert run(capsys, *train, "--out", "whole").status == 0
    assert differing(here / "part", here / "whole") == []


@pytest.mark.parametrize(("number", "stop"), STOPS)
def test_what_looks_by_itself_is_stopped_where_it_looks_and_nowhere_else(
    number: signal.Signals, stop: type[BaseException]
) -> None:
    passed = []
    with pytest.raises(stop), stoppable(), stopping.in_pieces():
        signal.raise_signal(number)
        passed.append("the piece goes on")
        with stopping.in_pieces():
            passed.append("and what it is made of")
        stopping.look()
        passed.append("never")
    assert passed == ["the piece goes on", "and what it is made of"]
    assert not stopping.was_cut()


def test_the_end_of_the_work_is_a_place_to_stop() -> None:
    with pytest.raises(KeyboardInterrupt), stoppable(), stopping.in_pieces():
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(("number", "stop"), STOPS)
def test_what_does_not_look_is_interrupted_at_once(number: signal.Signals, stop: type[BaseException]) -> None:
    with pytest.raises(stop), stoppable():
        signal.raise_signal(number)
        pytest.fail("went on")


def test_what_was_swallowed_is_raised_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "SECOND", 0.05)
    with pytest.raises(Stopped), stoppable():
        with contextlib.suppress(BaseException):
            signal.raise_signal(signal.SIGTERM)
        time.sleep(10)


def test_a_stop_that_a_finaliser_swallows_is_raised_again_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Left:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(signals, "SECOND", 0.05)
    hook = sys.unraisablehook
    with pytest.raises(Stopped), stoppable():
        Left()
        time.sleep(10)
    assert sys.unraisablehook is hook
    assert capfd.readouterr().err == ""


def test_a_piece_that_takes_too_long_is_cut_and_nothing_is_written_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(signals, "SECOND", 0.05)
    monkeypatch.setattr(signals, "GRACE", 0.2)
    atomic_write(tmp_path / "file", b"old")
    with stoppable(), stopping.in_pieces():
        signal.raise_signal(signal.SIGTERM)
        begun = time.monotonic()
        with pytest.raises(Stopped):
            time.sleep(10)
        assert 0.2 <= time.monotonic() - begun < 5
        with pytest.raises(Stopped):
            atomic_write(tmp_path / "file", b"half made")
        stopping.forget()
    assert (tmp_path / "file").read_bytes() == b"old"
    assert capfd.readouterr().err.count("Stopping after the current piece of work") == 1


def test_a_file_that_is_being_written_is_a_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync = os.fsync

    def interrupted(descriptor: int) -> None:
        signal.raise_signal(signal.SIGINT)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt), stoppable():
        atomic_write(tmp_path / "file", b"new")
        pytest.fail("went on")
    assert (tmp_path / "file").read_bytes() == b"new"


PROCESS = """
import os, signal, sys, time
from landscape_cli.signals import stoppable
from landscape import stopping
numbers = [int(number) for number in sys.argv[2:]]
for number in numbers:
    signal.signal(number, signal.default_int_handler)
with stoppable(), stopping.in_pieces():
    for number in numbers:
        signal.raise_signal(number)
        time.sleep(float(sys.argv[1]))
    print("went on", flush=True)
"""


def stopped(pause: float, *numbers: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROCESS, str(pause), *map(str, numbers)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_the_process_at_once(number: int, status: int) -> None:
    ended = stopped(0.6, number, number)
    assert ended.returncode == status
    assert ended.stdout == ""
    assert ended.stderr.strip() == "Stopped at once; the last complete files are kept."


def test_signals_at_the_same_time_are_one_request() -> None:
    assert stopped(0.0, signal.SIGHUP, signal.SIGTERM, signal.SIGHUP).stdout == "went on\n"


def test_a_signal_that_was_ignored_stays_so_and_handlers_come_back() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    own = {number: signal.getsignal(number) for number, _ in STOPS}
    with stoppable():
        signal.raise_signal(signal.SIGHUP)
    assert {number: signal.getsignal(number) for number, _ in STOPS} == own


def test_a_forked_process_ends_as_it_would_without() -> None:
    with stoppable(), stopping.in_pieces():
        child = os.fork()
        if not child:
            signal.raise_signal(signal.SIGTERM)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM


def test_what_fails_because_of_a_signal_is_no_error_of_its_own(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(arguments: object, **_: object) -> None:
        with stopping.in_pieces():
            signal.raise_signal(signal.SIGTERM)
            raise RuntimeError("a worker was killed by a signal")

    monkeypatch.setattr("landscape_cli.main.landscape.main", lambda args, **_: failing(args))
    fails(capsys, "plot", "file.h5", status=143, says="Terminated; what was measured is kept.")


def test_without_the_command_ctrl_c_is_pythons_own() -> None:
    with pytest.raises(KeyboardInterrupt), stopping.in_pieces():
        signal.raise_signal(signal.SIGINT)
        pytest.fail("went on")
