"""``landscape`` in forks of one process that has imported it: what many commands one after another need, without a second each."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# Sends its folder, its words and its three streams, and ends as the command does.
CLIENT = """#!{python} -SE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as line:
    line.connect({place!r})
    socket.send_fds(line, [json.dumps([os.getcwd(), sys.argv[1:], dict(os.environ)]).encode()], [0, 1, 2])
    line.shutdown(socket.SHUT_WR)
    sys.exit(int(line.recv(16) or b"70"))
"""


@contextmanager
def commands(folder: Path, words: Callable[[list[str]], list[str]], limit: int = 0) -> Iterator[Path]:
    """A folder for ``PATH`` whose ``landscape`` runs in forks.

    ``words`` are what is made of those that it is given; what takes longer than ``limit`` seconds is ended (0: never).
    """
    place = str(folder / "line")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen()
        server = os.fork()
        if server == 0:
            try:
                _serve(listener, words, limit)
            finally:
                os._exit(0)
    shim = folder / "landscape"
    shim.write_text(CLIENT.format(python=sys.executable, place=place))
    shim.chmod(0o755)
    try:
        yield folder
    finally:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)


def _serve(listener: socket.socket, words: Callable[[list[str]], list[str]], limit: int) -> None:
    import torch
    from landscape_cli.main import COMMANDS  # noqa: F401 - imported before the fork

    import landscape.probes.probing
    import landscape.studies.pictures  # noqa: F401

    torch.set_num_threads(1)
    while True:
        line, _ = listener.accept()
        with line:
            text, streams, _, _ = socket.recv_fds(line, 1 << 20, 3)
            while part := line.recv(1 << 20):
                text += part
            child = os.fork()
            if child == 0:
                signal.alarm(limit)
                _run(*json.loads(text), streams, words)
            for stream in streams:
                os.close(stream)
            _, status = os.waitpid(child, 0)
            line.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def _run(
    where: str,
    given: list[str],
    environment: dict[str, str],
    streams: list[int],
    words: Callable[[list[str]], list[str]],
) -> None:
    """One command, in a process of its own that ends with it."""
    from landscape_cli.main import main

    status = 1
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.chdir(where)
        os.environ.update(environment)
        sys.argv = ["landscape", *given]
        main(words(given))
        status = 0
    except SystemExit as ended:
        status = int(ended.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
