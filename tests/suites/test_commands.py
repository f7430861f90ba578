"""Every command of the old script maps to tests, and the documentation lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.cli.runs.testing import BATCHES, COMMANDS
from tests.suites.conftest import ROOT

if TYPE_CHECKING:
    from tests.suites.conftest import Check

PAGE = ROOT / "docs" / "reference" / "commands.md"

# The commands in the help of the script, so that none can be lost from the table.
OLD = [
    "health",
    "chat",
    "stream",
    "status",
    "models",
    "model-info",
    "providers",
    "provider-models",
    "provider-health",
    "provider-stats",
    "vr",
    "cache",
    "clear",
    "pricing-current",
    "pricing-analytics",
    "pricing-providers",
    "cost-estimate",
    "dalle-tiers",
    "meshy-packages",
    "provider-comparison",
    "usage-current",
    "usage-history",
    "usage-limits",
    "billing-current",
    "monthly-report",
    "personas-list",
    "personas-current",
    "personas-create",
    "personas-initialize",
    "personas-get",
    "personas-set",
    "performance-summary",
    "performance-providers",
    "performance-stages",
    "performance-live",
    "performance-health",
    "performance-reset",
    "auth-register",
    "auth-login",
]
OLD_BATCHES = ["all", "providers-all", "pricing-all", "usage-all", "personas-all", "performance-all", "auth-all"]


def table(checks: list[Check]) -> list[str]:
    """Return the rows of the table in the documentation, computed from the markers."""
    rows = []
    for command, known in COMMANDS.items():
        functions = sorted({check.function for check in checks if command in check.command})
        arguments = "".join(f" {name}" for name in known.arguments)
        names = ", ".join(f"`{function.removeprefix('suites/')}`" for function in functions)
        rows.append(f"| `{command}{arguments}` | {names} |")
    return rows


def batch_rows() -> list[str]:
    """Return the rows of the table of batches in the documentation."""
    return [
        f"| `{batch}` | {', '.join(f'`{command}`' for command in commands)}"
        f"{'' if batch == 'all' else f' and everything else of the suite: `-m {batch[:-4]}`'} |"
        for batch, commands in BATCHES.items()
    ]


def test_no_command_of_the_script_is_lost() -> None:
    assert list(COMMANDS) == OLD
    assert list(BATCHES) == OLD_BATCHES


@pytest.mark.parametrize("command", OLD)
def test_a_command_stands_for_checks_of_its_suite(checks: list[Check], command: str) -> None:
    suites = {check.suite for check in checks if command in check.command}
    assert COMMANDS[command].suite in suites


@pytest.mark.parametrize("batch", OLD_BATCHES)
def test_a_batch_stands_for_checks(checks: list[Check], batch: str) -> None:
    for command in BATCHES[batch]:
        assert any(command in check.command for check in checks)
    if batch != "all":
        assert any(check.suite == batch.removesuffix("-all") for check in checks)


def test_no_check_stands_for_a_command_that_there_was_not(checks: list[Check]) -> None:
    assert {command for check in checks for command in check.command} == set(OLD)


def test_the_documentation_says_which_checks_a_command_stands_for(checks: list[Check]) -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert rows == table(checks) + batch_rows()
