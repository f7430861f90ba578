"""Traps that concern a run as a whole: alone, on workers, with retries and with Allure, always the same end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.plugin.ways import EXPECTATION, FAILS, PASSES, Way, attempt, check, verdict, way_of
from tests.slow import in_full

if TYPE_CHECKING:
    from tests.plugin.conftest import ScriptedServer

MODES = {
    "alone": (),
    "workers": ("-n2",),
    "retries": ("--reruns=1",),
    "allure": ("--alluredir=allure",),
    "all": ("-n2", "--reruns=1", "--alluredir=allure"),
}
modes = pytest.mark.parametrize("mode", ["alone", *map(in_full, list(MODES)[1:])])

DYING = "import pytest\n@pytest.fixture(scope='session', autouse=True)\ndef dying():\n    yield\n    assert False, 'broken'\n"
SUBTEST = "def test_fails(subtests):\n    with subtests.test('one'):\n        assert False, 'broken'\n"
SKIPPED = "import pytest\npytestmark = pytest.mark.skip(reason='later')\n"

ENDS = (
    Way("the session's teardown breaks", 1, "REJECT", DYING + PASSES),
    Way("the session's teardown breaks after an expected failure", 1, "REJECT", DYING + FAILS, expectation=EXPECTATION),
    Way("everything deselected", 11, "HOLD", FAILS, args=("-k", "nothing")),
    Way("everything skipped", 11, "HOLD", SKIPPED + PASSES + FAILS),
    Way("everything expected", 11, "HOLD", FAILS, expectation=EXPECTATION),
    Way("stop at an expected failure", 0, "PROMOTE", FAILS + PASSES, args=("-x",), expectation=EXPECTATION),
    Way(
        "stop at an expected failure of a subtest",
        0,
        "PROMOTE",
        SUBTEST + PASSES,
        args=("--maxfail=1",),
        expectation=EXPECTATION,
    ),
    Way("a broken file, and on", 1, "REJECT", "import not_there\n", args=("--continue-on-collection-errors",)),
)

CRASHES = (
    Way("a crash", 1, "REJECT", PASSES + "def test_fails():\n    import os\n    os._exit(0)\n", expectation=EXPECTATION),
    Way("a crash in teardown", 1, "REJECT", "import os, pytest\n@pytest.fixture\ndef end():\n    yield\n    os._exit(0)\n" + "def test_fails(end): pass\n"),
)  # fmt: skip


@modes
@way_of(ENDS)
def test_a_trap_ends_the_same_in_every_mode(
    way: Way, mode: str, project: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    modal = replace(way, args=(*way.args, *MODES[mode]), apart=mode in ("workers", "all"))

    check(modal, project, server.url, monkeypatch)


@pytest.mark.parametrize("mode", ["workers", in_full("all")])
@way_of(CRASHES)
def test_a_crash_blocks_in_every_mode(way: Way, mode: str, project: pytest.Pytester, server: ScriptedServer) -> None:
    attempt(replace(way, args=MODES[mode], apart=True), project, server.url)

    document = verdict(project)
    assert document["verdict"] == "REJECT"
    assert document["counts"]["crashed"] >= 1
