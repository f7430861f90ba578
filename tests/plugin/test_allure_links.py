"""Patterns of links that cannot be filled in are refused before the first test, and others are used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.plugin.allure_checks import EXPECTATIONS
from tests.plugin.allure_runs import make_project, run
from tests.slow import with_workers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugin.conftest import ScriptedServer

pytestmark = pytest.mark.slow("processes")

CHECKS = "def test_passes(): pass\ndef test_expected(): raise AssertionError('as always')\n"
WRONG = {
    "a name": "issue:https://issues.example/{x}",
    "a second place": "issue:https://issues.example/{}/{}",
    "an open brace": "issue:https://issues.example/{",
    "a closing brace": "issue:https://issues.example/}",
    "an attribute": "issue:https://issues.example/{0.key}",
    "an index": "issue:https://issues.example/{0[key]}",
    "a number's format": "issue:https://issues.example/{:d}",
    "another type's": "tms:https://cases.example/{x}",
}


@pytest.mark.parametrize("workers", [(), with_workers("-n1")], ids=["alone", "workers"])
@pytest.mark.parametrize("pattern", WRONG.values(), ids=WRONG)
def test_a_pattern_that_cannot_be_filled_in_is_refused(
    tmp_path: Path, server: ScriptedServer, pattern: str, workers: tuple[str, ...]
) -> None:
    make_project(tmp_path, CHECKS, expectations={"shadowed": EXPECTATIONS["shadowed"]})

    left = run(tmp_path, server.url, f"--allure-link-pattern={pattern}", *workers)

    assert left.code == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: --allure-link-pattern={pattern}: invalid pattern." in left.output
    assert "Write {} once for the key of the issue" in left.output
    assert "Traceback" not in left.output
    assert not left.results
    assert server.seen == []


@pytest.mark.parametrize(
    ("pattern", "address"),
    [
        ("https://issues.example/{}", "https://issues.example/GAIA-1"),
        ("https://issues.example/{0}?key={0}", "https://issues.example/GAIA-1?key=GAIA-1"),
        ("https://issues.example/{{{}}}", "https://issues.example/{GAIA-1}"),
    ],
)
def test_a_pattern_that_can_be_filled_in_is_used(
    tmp_path: Path, server: ScriptedServer, pattern: str, address: str
) -> None:
    make_project(tmp_path, CHECKS, expectations={"shadowed": EXPECTATIONS["shadowed"]})

    left = run(tmp_path, server.url, f"--allure-link-pattern=issue:{pattern}")

    assert left.statuses["test_passes"] == "passed"
    assert left.result("test_expected")["links"] == [{"type": "issue", "url": address, "name": "GAIA-1"}]
