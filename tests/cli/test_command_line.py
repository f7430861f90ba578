"""The command line as a whole: help, version, completion, options of all commands, and usage errors."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from pytest_gaia import __version__
from pytest_gaia.cli.app import COMMANDS
from tests.cli.conftest import GAIA, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Gaia = Callable[..., Outcome]


@pytest.mark.parametrize(
    ("command", "example"),
    [
        ((), "gaia help exit-codes"),
        (("env", "show"), "gaia env show staging --json"),
        (("sandbox", "up"), "gaia sandbox up -e staging"),
        (("test",), "gaia test -e staging --smoke"),
    ],
)
def test_help_shows_examples(gaia: Gaia, command: tuple[str, ...], example: str) -> None:
    code, out, _ = gaia(*command, "--help")

    assert code == 0
    assert example in out


@pytest.mark.parametrize("words", [(), ("help",), ("-h",)])
def test_the_help_lists_commands_by_panel(gaia: Gaia, words: tuple[str, ...]) -> None:
    code, out, err = gaia(*words)

    assert (code, err) == (0, "")
    panels = [line.removesuffix(":") for line in out.splitlines() if line.endswith(":") and line[0] != " "]
    assert panels == [*dict.fromkeys(command.panel for command in COMMANDS.values()), "Options"]


@pytest.mark.parametrize("words", [("env",), ("help", "env"), ("env", "-h")])
def test_a_group_without_a_command_shows_its_help(gaia: Gaia, words: tuple[str, ...]) -> None:
    code, out, err = gaia(*words)

    assert (code, err) == (0, "")
    assert out.startswith("Usage: gaia env ")


def test_help_explains_the_exit_codes(gaia: Gaia) -> None:
    code, out, _ = gaia("help", "exit-codes")

    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[2:]] == [
        "0",
        "1",
        "2",
        "3",
        "4",
        "5",
        "10",
        "11",
        "12",
        "13",
        "130",
    ]
    assert gaia("help", "exit-code").err.startswith("gaia: no help for 'exit-code'; did you mean exit-codes?")


@pytest.mark.parametrize(("shell", "first"), [("bash", "_gaia_completion() {"), ("zsh", "#compdef gaia")])
def test_the_completion_script_begins_with_what_the_shell_reads(gaia: Gaia, shell: str, first: str) -> None:
    code, out, err = gaia("completion", shell)

    assert (code, out.splitlines()[0], err) == (0, first, "")


def test_verbose_prints_the_tools_that_gaia_runs_and_quiet_prints_results_only(operated: Path, gaia: Gaia) -> None:
    verbose = gaia("scale", "staging", "auth", "--count", "2", "-v")
    quiet = gaia("-q", "deploy", "staging", "-s", "auth")

    assert re.search(
        r"^\+ .*fly scale count 2 -a gaia-auth-staging .*\(exit code 0, \d+\.\d s\)$", verbose.err, re.MULTILINE
    )
    assert (quiet.code, quiet.err) == (0, "")
    assert "gaia-auth-staging" in quiet.out


@pytest.mark.parametrize("words", [("--color", "never", "env", "list"), ("env", "list", "--color=never")])
def test_color_is_chosen_before_or_after_the_command(gaia: Gaia, words: tuple[str, ...]) -> None:
    before = os.environ.get("NO_COLOR")
    code, _, _ = gaia(*words)

    assert (code, os.environ.get("NO_COLOR")) == (0, before)
    assert gaia("env", "list", "--color", "sometimes").err.endswith("'sometimes' is not auto, always or never.\n")


def test_version(gaia_process: Gaia) -> None:
    assert gaia_process("--version") == gaia_process("-V") == (0, f"gaia {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("evn",), "No such command 'evn'. Did you mean 'env'?"),
        (("env", "lsit"), "No such command 'lsit'. Did you mean 'list'?"),
        (("env", "list", "--jsno"), "No such option: --jsno (Possible options: --json)"),
        (("legacy",), "Missing argument 'COMMAND'"),
        (("sandbox", "up", "--env"), "Option '--env' requires an argument"),
    ],
)
def test_a_usage_error_exits_4_and_helps(gaia: Gaia, arguments: tuple[str, ...], message: str) -> None:
    code, out, err = gaia(*arguments)

    assert (code, out) == (4, "")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("gaia env show sta", ["staging"]),
        ("gaia env show p", ["production", "preview"]),
        ("gaia legacy perf", ["performance-summary", "performance-all"]),
        ("gaia test --env pre", ["preview"]),
        ("gaia sandbox up --env lo", ["local"]),
    ],
)
def test_the_shell_completes_names(project: Path, words: str, expected: list[str]) -> None:
    environment = {
        **os.environ,
        "_GAIA_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }

    done = subprocess.run([GAIA], capture_output=True, text=True, env=environment, check=False, timeout=60)

    assert set(expected) <= set(done.stdout.split())


def test_completion_stays_silent_where_the_project_file_is_broken(project: Path) -> None:
    (project / "gaia.toml").write_text("=", encoding="utf-8")
    environment = {**os.environ, "_GAIA_COMPLETE": "complete_bash", "COMP_WORDS": "gaia env show s", "COMP_CWORD": "3"}

    done = subprocess.run([GAIA], capture_output=True, text=True, env=environment, check=False, timeout=60)

    assert (done.stdout.strip(), done.stderr) == ("", "")


@pytest.mark.parametrize(("closed", "code"), [(">&-", 0), ("2>&-", 0), (">&- 2>&-", 0)])
def test_a_closed_stream_is_no_traceback(project: Path, closed: str, code: int) -> None:
    done = subprocess.run(["/bin/sh", "-c", f"'{GAIA}' env list {closed}"], capture_output=True, text=True, check=False)

    assert (done.returncode, "Traceback" in done.stdout + done.stderr) == (code, False)
