"""What a pytest run that does not use Gaia must not pay for."""

from __future__ import annotations

import pytest

FORBIDDEN = (
    "httpx",
    "asyncpg",
    "nats",
    "allure",
    "allure_commons",
    "msgspec",
    "rich",
    "typer",
    "click",
    "jwt",
    "uvicorn",
    "tomllib",
    "urllib.request",
    "pytest_gaia.sandbox",
    "pytest_gaia.cli",
    "pytest_gaia.run",
    "pytest_gaia.report",
    "pytest_gaia.verdict",
    "pytest_gaia.clients",
    "pytest_gaia.collection",
    "pytest_gaia.config",
    "pytest_gaia.errors",
    "pytest_gaia.fixtures",
)

PRINT_MODULES = """
    import sys

    def pytest_unconfigure():
        print("LOADED", *sorted(sys.modules))
"""


def loaded_modules(pytester: pytest.Pytester, *arguments: str) -> set[str]:
    pytester.makeconftest(PRINT_MODULES)
    pytester.makepyfile("def test_nothing(): pass")
    result = pytester.runpytest_subprocess("-s", "-p", "no:anyio", "-p", "no:allure_pytest", *arguments)
    result.assert_outcomes(passed=1)
    line = next(line for line in result.outlines if "LOADED" in line)
    return set(line.partition("LOADED")[2].split())


def test_a_run_without_gaia_loads_no_heavy_module(pytester: pytest.Pytester) -> None:
    # Other plugins load what they like.
    added = loaded_modules(pytester) - loaded_modules(pytester, "-p", "no:gaia")

    assert "pytest_gaia.plugin" in added
    assert added.isdisjoint(FORBIDDEN)


@pytest.mark.parametrize("module", ["httpx", "asyncpg", "nats", "msgspec"])
def test_the_check_above_can_fail(pytester: pytest.Pytester, module: str) -> None:
    pytester.makepyfile(importer=f"import {module}")

    assert module in loaded_modules(pytester, "-p", "importer")
