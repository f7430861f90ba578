"""The table of commands: complete, correct, and cheap to load."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.cli.app import COMMANDS, load, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ALLOWED = {
    "pytest_gaia",
    "pytest_gaia.cli",
    "pytest_gaia.cli.aliases",
    "pytest_gaia.cli.app",
    "pytest_gaia.errors",
    "pytest_gaia.printable",
    "pytest_gaia.wording",
}
SPAN = re.compile("`([^`]+)`")
PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
HEADINGS = [span.split()[1:] for line in PAGE.splitlines() if line.startswith("## ") for span in SPAN.findall(line)]
SAY = """\
import sys
from pytest_gaia.cli.app import run
code = run(sys.argv[1:])
print("LOADED", *sorted(sys.modules))
sys.exit(code)
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_a_summary_is_the_beginning_of_the_help(name: str) -> None:
    command = load(name)

    assert command.name == name
    assert " ".join((command.help or "").split()).startswith(COMMANDS[name].summary)


def paths() -> Iterator[tuple[str, ...]]:
    """Yield the words of each command and of each group."""
    for name in COMMANDS:
        yield (name,)
        for inner, command in getattr(load(name), "commands", {}).items():
            if not command.hidden:
                yield (name, inner)


def help_of(words: Sequence[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    monkeypatch.setenv("COLUMNS", "80")
    assert run([*words, "-h"]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_root_help_fits_a_screen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = help_of((), monkeypatch, capsys)

    assert len(lines) <= 48
    assert [line for line in lines if len(line) > 80 or line.endswith("...")] == [lines[0]]


@pytest.mark.parametrize("words", list(paths()), ids=" ".join)
def test_every_help_has_an_example_and_fits_80_columns(
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, *lines = help_of(words, monkeypatch, capsys)

    assert any(re.match(rf"  +gaia {' '.join(words)}\b", line) for line in lines)
    assert [line for line in lines if len(line) > 80 or line.endswith("...")] == []


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["no-such-command"]])
def test_help_and_version_load_no_command(words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", SAY, *words], capture_output=True, text=True, check=False, timeout=60)
    loaded = next(line for line in done.stdout.splitlines() if line.startswith("LOADED")).split()

    assert {each for each in loaded if each.partition(".")[0] == "pytest_gaia"} == ALLOWED
    assert {"rich", "httpx", "msgspec", "cryptography", "asyncpg", "nats"}.isdisjoint(loaded)


def subcommands(name: str) -> set[str]:
    return {each for each, command in getattr(load(name), "commands", {}).items() if not command.hidden}


def test_the_page_has_a_heading_for_each_command_and_for_nothing_else() -> None:
    described: dict[str, set[str]] = {}
    for name, *words in HEADINGS:
        described.setdefault(name, set()).update(word for word in words if re.fullmatch("[a-z][a-z-]*", word))

    assert described == {name: subcommands(name) for name in COMMANDS}


def test_the_page_names_existing_options_only() -> None:
    commands = [load(name) for name in COMMANDS]
    commands += [command for each in commands for command in getattr(each, "commands", {}).values()]
    known = {
        option
        for each in commands
        for parameter in each.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    named = {option for span in SPAN.findall(PAGE) for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", span)}

    # Options of pytest have a page and a test of their own.
    assert {each for each in named if not each.startswith("--gaia-")} <= known | {
        "--install-completion",
        "--help",
        "--alluredir",
    }
