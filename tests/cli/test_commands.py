"""The table of commands: complete, true to the commands, and all that the first look at ``gaia`` loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pytest_gaia.cli.app import COMMANDS, load

ALLOWED = {"pytest_gaia", "pytest_gaia.cli", "pytest_gaia.cli.app", "pytest_gaia.errors", "pytest_gaia.printable"}
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


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["no-such-command"]])
def test_the_first_look_loads_no_command(words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", SAY, *words], capture_output=True, text=True, check=False, timeout=60)
    loaded = next(line for line in done.stdout.splitlines() if line.startswith("LOADED")).split()

    assert {each for each in loaded if each.partition(".")[0] == "pytest_gaia"} == ALLOWED
    assert {"rich", "httpx", "msgspec", "cryptography", "asyncpg", "nats"}.isdisjoint(loaded)
