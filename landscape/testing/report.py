"""What a check found: one finding a property, and all of them as a table."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field

from landscape.errors import CheckError
from landscape.printable import printable

_WIDTH = 80
_VERDICTS = {True: "ok", False: "WRONG", None: "?"}


@dataclass(frozen=True)
class Finding:
    """One property of what was checked.

    Attributes:
        name: the property, in a word or two.
        ok: True, False, or None where it cannot be told, or is for the reader to judge.
        sentence: what was found and, where it is not all right, what to do.
        numbers: what the sentence rests on.
    """

    name: str
    ok: bool | None
    sentence: str
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """Every property of one thing; as text a table of 80 columns.

    Attributes:
        subject: what was checked.
        findings: in the order in which they are best read.
    """

    subject: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether no property is wrong. Those that cannot be told do not count."""
        return not self.wrong

    @property
    def wrong(self) -> tuple[Finding, ...]:
        """The findings that are not all right."""
        return tuple(finding for finding in self.findings if finding.ok is False)

    def __getitem__(self, name: str) -> Finding:
        """The finding of this name.

        Raises:
            KeyError: where this property was not looked at.
        """
        for finding in self.findings:
            if finding.name == name:
                return finding
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(finding.name == name for finding in self.findings)

    def raise_if_wrong(self) -> None:
        """Nothing where :attr:`ok`.

        Raises:
            CheckError: with the sentence of every property that is wrong.
        """
        if not self.ok:
            said = "\n".join(f"{finding.name}: {finding.sentence}" for finding in self.wrong)
            raise CheckError(f"{self.subject}: {len(self.wrong)} of {len(self.findings)} properties wrong.\n{said}")

    def __str__(self) -> str:
        column = max((len(finding.name) for finding in self.findings), default=0)
        rows = [line for finding in self.findings for line in _row(finding, column)]
        return "\n".join(map(printable, [*textwrap.wrap(self.subject, _WIDTH), *rows, self._total()]))

    def _total(self) -> str:
        unsure = sum(finding.ok is None for finding in self.findings)
        wrong = f"{len(self.wrong)} wrong" if self.wrong else "nothing wrong"
        return f"{len(self.findings)} properties: {wrong}" + (f", {unsure} for you to judge (?)." if unsure else ".")


def _row(finding: Finding, column: int) -> list[str]:
    head = f"  {_VERDICTS[finding.ok]:<5}  {finding.name:<{column}}  "
    return textwrap.wrap(
        finding.sentence,
        _WIDTH,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_on_hyphens=False,
        break_long_words=True,
    )
