"""Killed at any instant and started again: the files end as those of a run that was never interrupted, value for value."""

from __future__ import annotations

from pathlib import Path

import pytest
from kills import BASE, KINDS, Campaign, Running, probe


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    made = Campaign(tmp_path_factory.mktemp("kills"))
    assert Running([*BASE, "--out", "base"], made.folder).wait() == 0
    return made


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("train", [*BASE, "--stability-every", "2", "--out", "OUT"]),
        ("plane", probe("plane", "--x=-1:1:9", "--y=-1:1:9", "--full")),
    ],
)
def test_a_killed_command_ends_with_the_same_values(campaign: Campaign, kind: str, command: list[str]) -> None:
    record = campaign.kill(kind, 3, command)
    assert record.total >= 3
    assert record.wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_kills_of_every_kind(tmp_path: Path, kind: str) -> None:
    campaign = Campaign(tmp_path, seed=1)
    campaign.set_up()
    assert campaign.kill(kind, 5).wrong == []
