"""Run all suites on the sandbox, with the API of each release: with known bugs and without, without a service, in any order, on two workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.suites.outcomes import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.suites.conftest import Check


APIS = ("current", "next")
"""the releases that the sandbox can offer"""


def test_every_check_passes_or_shows_its_known_bug_in_one_of_the_releases(checks: list[Check], tmp_path: Path) -> None:
    every = {check.id for check in checks}
    known_bugs = {check.id for check in checks if check.known_bug}
    evaluated = set()
    for api in APIS:
        result = run(tmp_path, f"--gaia-sandbox-api={api}")
        assert result.code == 0, result.output
        assert result.checks.keys() == every
        assert result.of("failed", "error") == set()
        expected = {name for name in result.of("skipped") if "expected failure" in result.checks[name].message}
        assert expected <= known_bugs
        assert result.of("skipped") == expected | result.inapplicable()
        evaluated |= result.of("passed") | expected
    assert every - evaluated == set()


@pytest.mark.slow("suites")
def test_every_check_passes_where_the_known_bugs_are_fixed(checks: list[Check], tmp_path: Path) -> None:
    result = run(tmp_path, "--gaia-sandbox-no-known-bugs")
    known_bugs = {check.id for check in checks if check.known_bug}
    assert result.of("passed") == {check.id for check in checks} - known_bugs - result.inapplicable()
    assert result.of("failed") == known_bugs
    for name in known_bugs:
        assert "unexpected pass" in result.checks[name].message
    # The expectations for the known bugs are stale, so the run ends with DRIFT.
    assert result.code == 10, result.output


@pytest.mark.slow("suites")
@pytest.mark.parametrize("api", APIS)
def test_order_and_workers_change_nothing(checks: list[Check], tmp_path: Path, api: str) -> None:
    result = run(tmp_path, "-n", "2", "-p", "tests.suites.shuffled", f"--gaia-sandbox-api={api}")
    assert result.code == 0, result.output
    passed = {check.id for check in checks if not check.known_bug} - result.inapplicable()
    assert passed <= result.of("passed")
    assert result.of("failed", "error") == set()


@pytest.mark.slow("suites")
@pytest.mark.parametrize(
    ("api", "service"),
    [("current", each) for each in ("auth", "asset", "chat")]
    + [("next", each) for each in ("auth", "asset", "chat", "kb", "web")],
)
def test_without_a_service_its_checks_fail_and_no_others(
    checks: list[Check], tmp_path: Path, api: str, service: str
) -> None:
    result = run(tmp_path, f"--gaia-sandbox-without={service}", f"--gaia-sandbox-api={api}")
    assert result.code == 1, result.output
    assert result.of("error") == set()
    needing = {check.id for check in checks if service in check.requires} - result.inapplicable()
    assert result.of("failed") == needing
    if service == "asset":
        for name in needing:
            assert "503" in result.checks[name].message, name
            assert "Service asset unavailable" in result.checks[name].message, name


@pytest.mark.slow("suites")
def test_without_the_broker_its_checks_fail_and_no_others(checks: list[Check], tmp_path: Path) -> None:
    result = run(tmp_path, "--gaia-sandbox-without=nats")
    assert result.code == 1, result.output
    assert result.of("failed", "error") == {check.id for check in checks if "nats" in check.requires}
