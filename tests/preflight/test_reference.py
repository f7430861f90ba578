"""The reference lists the checks and the vocabulary as the code has them."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_gaia.preflight.difference import ASPECTS
from pytest_gaia.preflight.files import DEFAULT_ALLOWED
from pytest_gaia.preflight.lint import ALL_CHECKS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "deploy-checks.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in cells] for cells in lines]


def test_every_check_is_listed_with_severity_title_and_reason() -> None:
    said = [
        (f"`{check.id}`{' ⛔' if check.refuses else ''}", check.severity, check.title, check.why)
        for check in ALL_CHECKS
    ]

    assert [tuple(row) for row in rows("Checks")] == said


def test_titles_are_no_sentences_and_reasons_are() -> None:
    assert [check.id for check in ALL_CHECKS if check.title.endswith(".") or not check.why.endswith(".")] == []


def test_every_aspect_is_listed() -> None:
    assert [row[0].strip("`") for row in rows("`allowed_differences`")] == list(ASPECTS)
    assert ", ".join(f"`{entry}`" for entry in DEFAULT_ALLOWED) in PAGE


def test_every_option_of_the_command_is_listed() -> None:
    from typer.main import get_command

    from pytest_gaia.cli.settings.deploy_files import app

    command = get_command(app).commands["check"]  # type: ignore[attr-defined]
    options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    assert options == set(re.findall(r"^\| `(--[a-z]+)", PAGE, re.MULTILINE))
