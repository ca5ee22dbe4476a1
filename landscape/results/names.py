"""Names that become files: those of a study and of its parts, and what runs and results are called after."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Protocol

from landscape.errors import InputError
from landscape.printable import printable

LONGEST = 200  # bytes; file systems take 255, and an ending comes behind
RUNS_TABLE, REPORT = "table", "report"  # of every study
_NO_PART_OF_NAMES = '/\\:<>"|?*'  # on one system or another
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


class Part(Protocol):
    """A probe, picture, table or comparison of a study."""

    @property
    def name(self) -> str | None: ...

    @property
    def kind(self) -> str: ...


def check_file_name(name: str, where: str) -> None:
    """Refuse a name that is not one of a file on every system, or leads out of its folder.

    Raises:
        InputError: saying what is wrong with it.
    """
    wrong = _wrong(name)
    if wrong:
        raise InputError(
            f"{where}: expected the name of a file, of at most {LONGEST} bytes and without folders; {name!r:.120} {wrong}."
        )


def check_distinct(names: Iterable[tuple[str, str]]) -> None:
    """Refuse two parts of one name, given as ``(where, name)``; what file systems take for one name is one.

    Raises:
        InputError: naming both.
    """
    taken = {
        _same(RUNS_TABLE): ("the study's table of runs", RUNS_TABLE),
        _same(REPORT): ("the study's report", REPORT),
    }
    for where, name in names:
        other, earlier = taken.setdefault(_same(name), (where, name))
        if other != where:
            raise InputError(
                f"{where}: {name!r} is the name of {other} too ({earlier!r}), and one file would replace the other. "
                "Give every part a name of its own."
            )


def part_names(parts: Sequence[Part], others: Iterable[str] = ()) -> list[str]:
    """A name for each part: its own, else its kind; numbered where that is taken, by a part before it or one of ``others``."""
    own = {_same(part.name) for part in parts if part.name} | set(map(_same, others))
    names: list[str] = []
    for part in parts:
        base = part.name or part.kind
        name, number = base, 1
        while _same(name) in map(_same, names) or (_same(name) in own and (part.name is None or number > 1)):
            number += 1
            name = f"{base}-{number}"
        names.append(name)
    return names


def file_part(text: str) -> str:
    """What can be a part of a file's name, for people to recognise ``text`` by: signs of paths and unseen ones are hyphens."""
    shown = "".join("-" if c in _NO_PART_OF_NAMES or not c.isprintable() else c for c in text)
    return shortened(shown, LONGEST)


def shortened(name: str, most: int) -> str:
    """The name, or its start and a hash of the whole where it has more than ``most`` bytes."""
    raw = os.fsencode(name)
    if len(raw) <= most:
        return name
    mark = hashlib.sha256(raw).hexdigest()[:8]
    return f"{raw[: most - 9].decode(errors='ignore')}-{mark}"


def _wrong(name: str) -> str:
    if not name.strip():
        return "is empty"
    if printable(name) != name:
        return "holds characters that cannot be seen"
    for letter in name:
        if letter in _NO_PART_OF_NAMES:
            return f"holds {letter!r}"
    if name[0] in ".-~ ":
        return f"begins with {name[0]!r}"
    if name[-1] in ". ":
        return f"ends with {name[-1]!r}"
    if _DEVICES.fullmatch(name):
        return "is the name of a device"
    size = len(os.fsencode(name))
    return f"has {size} bytes" if size > LONGEST else ""


def _same(name: str) -> str:
    """Equal for names that some file system takes for one: without upper case, accents composed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKD", name).casefold())
