"""Concurrent tests have the outcomes, the output and the reports that they have when they run one after the other."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.plugin.concurrency.runs import NUMBERS, Ended, difference, make_project, run
from tests.slow import in_full, with_workers

if TYPE_CHECKING:
    from tests.plugin.concurrency.runs import Server

SOURCE = (Path(__file__).parent / "trapped.py").read_text()

MODES = [
    pytest.param((), id="plain"),
    pytest.param(("-x", "-rA"), id="-x"),
    in_full(("--maxfail=3",), id="--maxfail"),
    in_full(("--reruns=2",), id="--reruns"),
    in_full(("-s",), id="-s"),
    in_full(("-q",), id="-q"),
    in_full(("--setup-show",), id="--setup-show"),
    in_full(("-p", "no:logging", "-p", "no:capture"), id="no plugins"),
    in_full(("allure",), id="allure"),
    in_full(("allure", "--reruns=1"), id="allure and --reruns"),
    in_full(("--tb=short", "-rA", "-W", "error"), id="-W error"),
    in_full(("--capture=sys",), id="--capture=sys"),
    in_full(("--log-cli-level=INFO",), id="--log-cli-level"),
]


@pytest.mark.parametrize("mode", MODES)
def test_concurrent_tests_are_reported_as_sequential_ones(
    tmp_path: Path, counting: Server, mode: tuple[str, ...]
) -> None:
    project = make_project(tmp_path, SOURCE)
    alone, together = (run(project, counting.url, number, *mode) for number in NUMBERS)

    assert_equal(together, alone)


@pytest.mark.parametrize("mode", [pytest.param(("-n2", "--reruns=1"), id="-n2 --reruns"), in_full(("-n2",), id="-n2")])
def test_concurrent_tests_on_workers_have_the_outcomes_of_sequential_ones(
    tmp_path: Path, counting: Server, mode: tuple[str, ...]
) -> None:
    project = make_project(tmp_path, SOURCE)
    alone, together = (run(project, counting.url, number, *mode) for number in NUMBERS)

    # What the session fixture prints belongs to another test with each distribution.
    for each in alone, together:
        each.tests.sort(key=lambda test: str(test["node"]))
    assert_none(difference(together.tests, alone.tests))
    assert sorted(case["name"] for case in together.junit) == sorted(case["name"] for case in alone.junit)
    assert_same_verdict(together, alone)


def test_last_failed_runs_what_failed(tmp_path: Path, counting: Server) -> None:
    project = make_project(tmp_path, SOURCE)
    run(project, counting.url, 1)
    cache = project / ".pytest_cache"
    kept = cache.rename(project / "kept")
    ended = []
    for number in NUMBERS:
        shutil.rmtree(cache, ignore_errors=True)
        shutil.copytree(kept, cache)
        ended.append(run(project, counting.url, number, "--lf"))

    assert_equal(ended[1], ended[0])


ASKS = """
import pytest

@pytest.mark.parametrize("number", range(24))
async def test_asks(shop, number):
    (await shop.get("/items")).expect(200)
"""


@pytest.mark.parametrize("workers", [(), with_workers("-n2")], ids=str)
def test_times_are_those_of_the_bodies(tmp_path: Path, counting: Server, workers: tuple[str, ...]) -> None:
    counting.delay = 0.3
    project = make_project(tmp_path, ASKS)

    ended = run(project, counting.url, 8, "allure", *workers)

    assert ended.code == 0, ended.output
    assert 4 <= counting.most_open <= (16 if workers else 8)
    for seconds in (ended.seconds, ended.allure_seconds):
        assert len(seconds) == 24
        # Allure counts whole milliseconds.
        assert min(seconds.values()) >= 0.299


def assert_equal(together: Ended, alone: Ended) -> None:
    """Compare everything that two runs leave."""
    assert together.tests, together.output
    assert_none(difference(together.tests, alone.tests))
    assert_none(difference(together.junit, alone.junit))
    assert_none(difference(together.lines, alone.lines))
    assert_none(difference(together.allure, alone.allure))
    assert_same_verdict(together, alone)


def assert_none(found: str) -> None:
    """Fail with a difference as a whole."""
    if found:
        pytest.fail(found, pytrace=False)


def assert_same_verdict(together: Ended, alone: Ended) -> None:
    """Compare the verdicts."""
    same = ("verdict", "counts", "exit_code", "reasons")
    assert {name: together.verdict[name] for name in same} == {name: alone.verdict[name] for name in same}
    assert together.code == alone.code
