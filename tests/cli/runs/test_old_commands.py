"""The table of old commands against the suites of this repository and the reference."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from pytest_gaia.cli.runs.testing import BATCHES, COMMANDS

ROOT = Path(__file__).parents[3]


def commands_in_suites() -> dict[str, set[str]]:
    """Return command → suites with a test that has it in its marker."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "suites").glob("*/test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "command":
                value = ast.literal_eval(node.value)
                for command in [value] if isinstance(value, str) else value:
                    found.setdefault(command, set()).add(path.parent.name)
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_test_in_its_suite(command: str) -> None:
    assert COMMANDS[command].suite in commands_in_suites().get(command, set())


def test_no_test_has_an_unknown_command() -> None:
    assert commands_in_suites().keys() <= COMMANDS.keys()


def test_the_reference_lists_every_command_in_its_suite() -> None:
    reference = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip(): line for line in reference.splitlines() if line.startswith("| ")}
    for name, command in COMMANDS.items():
        assert f"`{' '.join((name, *command.arguments))}`" in rows[command.suite]
    assert all(f"`{batch}`" in reference for batch in BATCHES)
