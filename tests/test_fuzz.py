"""A small part of the run that ``python -m fuzz`` makes: damaged and hostile files of every format that is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from fuzz.__main__ import FORBIDDEN
from fuzz.formats import FORMATS, make_originals
from fuzz.running import Worker

CASES = 12


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("fuzz")
    make_originals(folder / "originals", small=True)
    started = Worker(folder, seed=1, door=False)
    yield started
    started.end()


@pytest.mark.parametrize("name", FORMATS)
def test_no_file_hangs_crashes_runs_code_or_gives_other_values_than_were_written(worker: Worker, name: str) -> None:
    found = [worker.judge(name, case) for case in range(CASES)]
    assert [outcome for outcome in found if outcome[0] in FORBIDDEN] == []
    counts = Counter(outcome for outcome, _ in found)
    assert counts["refused"] > CASES / 4, "the files are not changed enough to be worth reading"
