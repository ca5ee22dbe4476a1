"""Ways to read a file's names as a module's: without what stands before all of them, or with what stands before the module's."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

_HOLDERS = frozenset({"model", "net", "network", "module"})  # what people call the attribute that holds a network
COUNTS = frozenset({"n_averaged", "num_updates", "decay", "initted", "step"})  # what averages keep beside the weights


@dataclass(frozen=True)
class Naming:
    """``rename`` gives the module's name for a file's, None for one that is no weight; ``words`` say what it leaves out or adds."""

    rename: Callable[[str], str | None]
    words: str = ""


def namings(given: Sequence[str], wanted: Sequence[str], counts: Collection[str] = ()) -> Iterator[Naming]:
    """Every way to read all names alike, the plainest first.

    Args:
        given: the file's names.
        wanted: the module's names.
        counts: those of ``given`` that are no weights where the prefix before all the others goes on after theirs.
    """
    weights = [name for name in given if name not in counts]
    for short in (str, _without_modules):
        full = _by_short_name(wanted, short)
        if full is None:
            continue
        ours, theirs = _shared_parts(map(short, weights)), _shared_parts(map(short, wanted))
        for i, j in itertools.product(range(len(ours) + 1), range(len(theirs) + 1)):
            if not i or not j or _HOLDERS.issuperset(ours[:i]) or _HOLDERS.issuperset(theirs[:j]):
                yield _naming(_joined(ours[:i]), _joined(theirs[:j]), short, full, counts)


def prefixes(names: Sequence[str]) -> list[str]:
    """Everything, up to a dot, that some of the names begin with, in the names' order."""
    return list(dict.fromkeys(name[: at + 1] for name in names for at, letter in enumerate(name) if letter == "."))


def under(prefix: str) -> Naming:
    """Of the names with this prefix alone, what comes after it."""
    return Naming(lambda name: name.removeprefix(prefix) if name.startswith(prefix) else None, f"without {prefix!r}")


def _naming(
    before: str, after: str, short: Callable[[str], str], full: Mapping[str, str], counts: Collection[str]
) -> Naming:
    def rename(name: str) -> str | None:
        if name in counts and before.startswith(parent := name[: name.rfind(".") + 1]) and before != parent:
            return None
        now = f"{after}{short(name).removeprefix(before)}"
        return full.get(now, now)

    words = [f"without {before!r}" if before else "", f"with {after!r}" if after else ""]
    words.append("without 'module.' anywhere" if short is not str else "")
    return Naming(rename, " and ".join(filter(None, words)))


def _by_short_name(wanted: Sequence[str], short: Callable[[str], str]) -> dict[str, str] | None:
    """The names, and those of the modules that they lie in, by their short forms; None where two would be one."""
    full = {short(name): name for name in wanted}
    parents = {parent[:-1] for parent in prefixes(wanted)}
    return {**{f"{short(p)}.*": f"{p}.*" for p in sorted(parents)}, **full} if len(full) == len(wanted) else None


def _shared_parts(names: Iterator[str] | map[str]) -> list[str]:
    """The parts that all names begin with; the last part of a name is its own."""
    columns = zip(*(name.split(".")[:-1] for name in names), strict=False)
    return [column[0] for column in itertools.takewhile(lambda column: len(set(column)) == 1, columns)]


def _without_modules(name: str) -> str:
    return ".".join(part for part in name.split(".") if part != "module")


def _joined(parts: Sequence[str]) -> str:
    return "".join(f"{part}." for part in parts)
