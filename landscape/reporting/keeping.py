"""A page on disk: written with what belongs beside it, written anew while its sources change, and served on loopback."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from landscape.pictures.report_page import Plotly, Stamp, plotly_file
from landscape.results import atomic_write

LOOK = 2.0  # seconds between two looks at the sources
SHARE = 4  # writing the page takes at most one part in so many of the time
LOOPBACK = "127.0.0.1"
_TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
# The text of the page with a stamp or without one, and whether nothing is missing.
Make = Callable[[Stamp | None], tuple[str, bool]]


def write_page(path: Path, text: str, plotly: Plotly) -> None:
    """Write a page, and beside it what it links to.

    Raises:
        ResultFileError: where it cannot be written.
    """
    if plotly == "link":
        name, content = plotly_file()
        if not path.with_name(name).exists():
            atomic_write(path.with_name(name), content)
    atomic_write(path, text.encode())


def watch(
    path: Path, plotly: Plotly, make: Make, sources: Callable[[], Iterable[Path]], say: Callable[[str], None]
) -> None:
    """Write the page whenever its sources have changed, until nothing is missing; an open page reads it anew by itself.

    It finds out from a small script beside it, ``NAME.stamp.js``, which names the newest state: a page that was opened from a disk
    may load a script, and nothing else. The last page has no stamp, and looks no more.

    Args:
        make: the page with a stamp, or without one.
        sources: what it is made of, asked for anew each time.
        say: is told of each page.
    """
    last, took = "", 0.0
    while True:
        state = state_of(sources())
        if state != last:
            begun = time.monotonic()
            stamp = Stamp(f"{path.stem}.stamp.js", state)
            text, complete = make(stamp)
            if complete:
                text, complete = make(None)
            beside = path.with_name(stamp.file)
            if not beside.exists():  # a page that is opened at once is not to look for what is not there
                atomic_write(beside, stamp.text.encode())
            write_page(path, text, plotly)
            atomic_write(beside, stamp.text.encode())
            if complete:
                return
            last, took = state, time.monotonic() - begun
            say(f"{path}: written {time.strftime('%H:%M:%S')}")
        time.sleep(max(LOOK, (SHARE - 1) * took if state != last else LOOK))


def state_of(places: Iterable[Path]) -> str:
    """Equal as long as no result in these folders and files is written."""
    found = []
    for place in places:
        files = sorted(place.rglob("*.h5")) if place.is_dir() else [place]
        for file in files:
            try:
                known = file.stat()
            except OSError:  # just replaced, or removed
                continue
            found.append(f"{file} {known.st_mtime_ns} {known.st_size}")
    return hashlib.sha256("\n".join(found).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def serve(path: Path, port: int) -> ThreadingHTTPServer:
    """Serve a page and what belongs beside it, and nothing else, to this machine alone; port 0 takes a free one.

    Raises:
        OSError: for a port that is taken.
    """
    folder = path.parent.absolute()
    allowed = {path.name, f"{path.stem}.stamp.js", plotly_file()[0]}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.partition("?")[0].lstrip("/") or path.name
            host = self.headers.get("Host", "").rpartition(":")[0]
            # A page of another site whose name leads here is not to read it.
            if host not in (LOOPBACK, "localhost") or name not in allowed:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            try:
                content = (folder / name).read_bytes()
            except OSError:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", _TYPES[Path(name).suffix])
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer((LOOPBACK, port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
