"""The order of tests: a random one has a seed, also in workers; with concurrent tests, each serial one has a reason."""

from __future__ import annotations

import json
import re
from itertools import groupby
from typing import TYPE_CHECKING

import pytest

from tests.plugin.conftest import add_suite
from tests.slow import with_workers

if TYPE_CHECKING:
    from tests.plugin.conftest import ScriptedServer

NAMES = [f"test_{number}" for number in range(8)]


@pytest.fixture
def ordered(project: pytest.Pytester) -> pytest.Pytester:
    """A project with tests that say nothing, in three suites; one of them has a class."""
    tests = "".join(f"def {name}(): pass\n" for name in NAMES)
    methods = "".join(f"    def {name}(self): pass\n" for name in NAMES)
    for suite, text in (("accounts", tests), ("billing", tests), ("chat", f"{tests}class TestRooms:\n{methods}")):
        add_suite(project, suite, text)
    return project


def order(project: pytest.Pytester, *arguments: str) -> list[str]:
    """Return the tests as pytest collects them."""
    result = project.runpytest_subprocess("--gaia-env=sandbox", "--collect-only", "-q", *arguments)
    return [line for line in result.outlines if "::" in line]


def test_a_seed_repeats_an_order_that_keeps_modules_and_classes_together(ordered: pytest.Pytester) -> None:
    usual, first, again, other = (
        order(ordered, *arguments)
        for arguments in ((), ("--gaia-shuffle=7",), ("--gaia-shuffle=7",), ("--gaia-shuffle=8",))
    )

    assert first == again
    assert sorted(usual) == sorted(first) == sorted(other)
    assert len({tuple(usual), tuple(first), tuple(other)}) == 3
    assert len(list(groupby(first, lambda node: node.partition("::")[0]))) == 3
    assert len(list(groupby(first, lambda node: "TestRooms" in node))) <= 3


def test_a_quiet_run_shows_the_seed_at_its_end(ordered: pytest.Pytester, server: ScriptedServer) -> None:
    result = ordered.runpytest_subprocess(f"--gaia-url={server.url}", "--gaia-shuffle=7", "--gaia-concurrency=1", "-q")

    assert result.outlines[-2:] == [
        "gaia: random order (--gaia-shuffle=7)",
        "gaia verdict: PROMOTE on adhoc: 32 passed",
    ]


@pytest.mark.parametrize("workers", [(), with_workers("-n", "2")], ids=["one", "workers"])
def test_the_header_and_the_evidence_have_the_seed(
    ordered: pytest.Pytester, server: ScriptedServer, workers: tuple[str, ...]
) -> None:
    result = ordered.runpytest_subprocess(
        f"--gaia-url={server.url}",
        "--gaia-concurrency=1",
        "--gaia-shuffle",
        *workers,
        "--gaia-report-log=run.jsonl",
        "--gaia-verdict-file=v.json",
    )

    # Workers that collect in different orders run nothing.
    assert result.ret == 0
    (seed,) = re.findall(r"^gaia: random order \(--gaia-shuffle=(\d+)\)$", result.stdout.str(), re.MULTILINE)
    start, *rest = map(json.loads, (ordered.path / "run.jsonl").read_text().splitlines())
    assert start["shuffle_seed"] == int(seed)
    assert json.loads((ordered.path / "v.json").read_bytes())["shuffle_seed"] == int(seed)
    if not workers:
        ran = [line["node"] for line in rest if line["line"] == "test"]
        assert ran == order(ordered, f"--gaia-shuffle={seed}")


def test_the_concurrency_of_a_run_is_in_its_header_and_its_evidence(
    ordered: pytest.Pytester, server: ScriptedServer
) -> None:
    result = ordered.runpytest_subprocess(
        f"--gaia-url={server.url}", "--gaia-concurrency=16", "--gaia-report-log=run.jsonl"
    )

    assert result.ret == 0
    result.stdout.fnmatch_lines(["gaia: 16 concurrent tests"])
    assert json.loads((ordered.path / "run.jsonl").read_text().partition("\n")[0])["concurrency"] == 16


MIXED = """
import pytest

@pytest.fixture
def account():
    yield

async def test_reading(gateway): pass
async def test_more(gateway): pass
async def test_account(gateway, account): pass
@pytest.mark.gaia(writes=True)
async def test_writing(gateway): pass
@pytest.mark.gaia(serial=True)
async def test_speed(gateway): pass
def test_plain(): pass
"""
COUNT = "gaia: 2 of 6 tests run concurrently, 16 at a time; 4 run alone"


def test_collection_shows_why_tests_are_serial(project: pytest.Pytester) -> None:
    add_suite(project, "billing", MIXED)

    def shown(*options: str) -> list[str]:
        result = project.runpytest_subprocess("--gaia-env=sandbox", "--collect-only", *options)
        assert result.ret == 0
        return [
            line for line in result.outlines if line.startswith(("gaia: ", "  suites")) and "environment" not in line
        ]

    file = "suites/billing/test_billing.py"
    assert shown("--gaia-concurrency=16", "-v") == [
        "gaia: 16 concurrent tests",
        COUNT,
        "gaia: 4 tests run alone:",
        f"  {file}::test_account: it uses the fixture account, which has code after its yield",
        f"  {file}::test_writing: it writes",
        f"  {file}::test_speed: it is marked serial=True",
        f"  {file}::test_plain: it is not asynchronous",
    ]
    assert shown("--gaia-concurrency=16") == ["gaia: 16 concurrent tests", f"{COUNT} (-v shows why)"]
    assert shown("--gaia-concurrency=16", "-q") == shown("--gaia-concurrency=1", "-v") == []
    hook = "@pytest.hookimpl(wrapper=True)\ndef pytest_runtest_protocol(): return (yield)\n"
    (project.path / "suites/billing/conftest.py").write_text(f"import pytest\n{hook}")
    because = "the hook pytest_runtest_protocol of suites/billing/conftest.py runs before each test"
    assert f"  {file}::test_reading: {because}" in shown("--gaia-concurrency=16", "-v")
    # Nothing contradicts the reason why a run has no concurrent tests.
    assert shown("--gaia-concurrency=16", "--pdb") == ["gaia: tests are not concurrent: --pdb shows one test at a time"]
