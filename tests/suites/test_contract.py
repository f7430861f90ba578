"""The suite `contract` passes on the sandbox of each release, and finds a response that violates its document."""

from __future__ import annotations

import pytest

from tests.suites.conftest import run_suites


def test_a_violation_on_the_sandbox_is_found() -> None:
    result = run_suites("suites/contract", "-q", "--gaia-sandbox-api=next", "-p", "tests.suites.violating")

    assert result.returncode == 1, result.stdout
    assert "gaia verdict: REJECT on sandbox: 1 failed, 1 passed" in result.stdout
    assert 'kb violates its OpenAPI document: body.experiences: "none" is not of type "array"' in result.stdout


@pytest.mark.slow("suites")
@pytest.mark.parametrize(("api", "passed"), [("current", 1), ("next", 2)])
def test_the_services_conform_to_their_documents(api: str, passed: int) -> None:
    result = run_suites("suites/contract", "-q", f"--gaia-sandbox-api={api}")

    assert result.returncode == 0, result.stdout
    assert f", {passed} passed" in result.stdout


@pytest.mark.slow("suites")
def test_without_a_service_behind_it_the_gateway_fails() -> None:
    result = run_suites("suites/contract", "-q", "--gaia-sandbox-without=asset")

    assert result.returncode == 1, result.stdout
    assert "gateway violates its OpenAPI document: Server error" in result.stdout
    assert "Service asset unavailable" in result.stdout
