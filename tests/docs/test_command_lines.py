"""Command lines in documents use commands and options that exist, and a test runs them or a comment explains why not."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from pytest_gaia.cli import app
from tests.docs.pages import PAGES, PROJECTS, ROOT, blocks, how_to_run

EVERYWHERE = {"-h", "--help", "-q", "--quiet", "-v", "--verbose", "--color", "--version"}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
OLD_NAMES = [ROOT / "docs" / "reference" / name for name in ("migrating.md", "commands.md")]
"""pages that list old commands on purpose"""
WITH_COMMANDS = [page for page in PAGES if blocks(page)]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def problems(words: list[str]) -> list[str]:
    """Return what is wrong with the first command of ``words``, as far as it can be checked without running it."""
    name, *rest = words
    if name == "gaia":
        return gaia_problems(rest)
    if name == "pytest":
        return [word for word in rest if word.startswith("--gaia") and word.partition("=")[0] not in pytest_options()]
    if name == "make":
        return [word for word in rest if "=" not in word and word not in TARGETS]
    if rest[:1] == ["-m"] and rest[1].startswith("ci."):
        return [] if importlib.util.find_spec(rest[1]) else [rest[1]]
    return []


def gaia_problems(words: list[str]) -> list[str]:
    given = words[: words.index("--")] if "--" in words else words
    if not given or given[0].startswith("-") or given[0] == "help":
        return [word for word in given if word.startswith("-") and word not in EVERYWHERE]
    if given[0] not in app.COMMANDS and given[0] != "COMMAND":
        return [f"gaia {given[0]}"]
    if given[0] == "COMMAND":
        return []
    command: Any = app.load(given[0])
    rest = given[1:]
    while rest and (inner := getattr(command, "commands", {})):
        if rest[0].isupper():
            return []
        if rest[0] not in inner and not rest[0].startswith("-"):
            return [f"gaia {' '.join(given)}"]
        command, rest = inner.get(rest[0], command), rest[1:]
        if command.hidden:
            return [f"gaia {' '.join(given)}"]
    known = {each for option in command.params if not getattr(option, "hidden", False) for each in option.opts}
    options = [word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)]
    return [option for option in options if option not in known | EVERYWHERE]


def pytest_options() -> set[str]:
    from pytest_gaia.plugin import pytest_addoption

    names: set[str] = set()

    class Parser:
        def getgroup(self, *_: object, **__: object) -> Parser:
            return self

        def addoption(self, *options: str, **attributes: object) -> None:
            if attributes.get("help") != "==SUPPRESS==":
                names.update(options)

        def addini(self, *_: object, **__: object) -> None:
            pass

    pytest_addoption(Parser())  # type: ignore[arg-type]
    return names


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_commands_and_options_in_documents_exist(page: Path) -> None:
    lines = [command for block in blocks(page) for command in block.commands]

    assert {each.line: found for each in lines if (found := [p for words in each.words for p in problems(words)])} == {}


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_every_page_with_commands_is_run_or_marked(page: Path) -> None:
    how = how_to_run(page) or ""

    assert how.startswith("need ") or how.removeprefix("run in ") in PROJECTS


@pytest.mark.parametrize("page", [page for page in PAGES if page not in OLD_NAMES], ids=name_of)
def test_commands_and_options_in_running_text_exist(page: Path) -> None:
    # Old names have a comment for the check of the glossary.
    lines_of_page = [line for line in page.read_text(encoding="utf-8").splitlines() if "glossary: ok" not in line]
    text = re.sub(r"```.*?```", "", "\n".join(lines_of_page), flags=re.DOTALL)
    spans = [" ".join(span.split()) for span in re.findall(r"(?<!`)`(?!`)([^`]+)`", text)]
    lines = [span for span in spans if re.match(r"gaia [a-z]|pytest -|--gaia-[a-z]|make [a-z]", span)]
    words = {line: [*(["pytest"] if line.startswith("--") else []), *line.split()] for line in lines}

    assert {line: found for line, each in words.items() if (found := problems([w.strip("[],|…") for w in each]))} == {}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("gaia env show staging --json", []),
        ("gaia env shwo staging", ["gaia env shwo staging"]),
        ("gaia config diff staging production --jsno", ["--jsno"]),
        ("gaia nothing", ["gaia nothing"]),
        ("pytest --gaia-env=staging -m health", []),
        ("pytest --gaia-envv staging", ["--gaia-envv"]),
        ("make demo WALK=1", []),
        ("make nothing", ["nothing"]),
    ],
)
def test_the_check_of_command_lines_finds_wrong_names(line: str, wrong: list[str]) -> None:
    assert problems(line.split()) == wrong
