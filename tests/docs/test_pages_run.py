"""The commands of tutorials and guides, run in order by one shell, print what the page shows."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import FOUR_WEEKS, PAGES, PROJECTS, TODAY, Block, Included, how_to_run, steps

RUN = [page for page in PAGES if (how_to_run(page) or "").startswith("run in ")]
PLACEHOLDER = "http://127.0.0.1:8666"
"""address in example files, replaced by that of the sandbox in the second terminal"""
SECOND = "in a second terminal"
LONGEST = 600
WRITTEN = datetime.date(2026, 11, 28)
"""date in example files"""


@pytest.mark.slow("processes")
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_the_commands_of_a_page_print_what_it_shows(page: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()

    ran, outputs = run_all(page, project, tmp_path)

    for block, output in zip(ran, outputs, strict=True):
        shown = [line for command in block.commands for line in command.shown]
        missing = [line for line in shown if not found(line, output)]
        assert missing == [], f"{page.name}: `{block.commands[0].line}` printed:\n{output}"


def run_all(page: Path, project: Path, folder: Path) -> tuple[list[Block], list[str]]:
    """Run the blocks of a page in one shell, so that variables stay. Return them with their output."""
    ran: list[Block] = []
    script = ["set -u", *PROJECTS[str(how_to_run(page)).removeprefix("run in ")]]
    for step in steps(page):
        if isinstance(step, Included):
            script += copying(page.parent / step.path, project / Path(*Path(step.path).parts[1:]))
        elif step.commands and not step.mark.startswith("needs "):
            script += ["echo '@@ block'", *running(step, folder)]
            ran.append(step)
    foreign = ("GAIA_", "PYTEST_", "COVERAGE_", "GIT_")
    environ = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    environ |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}",
        "COLUMNS": "100",
        "HOME": str(folder),
    }
    shell = subprocess.Popen(
        ["bash", "-c", "\n".join(script)],
        cwd=project,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = shell.communicate(timeout=LONGEST)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGTERM)
    assert shell.returncode == 0, output
    return ran, output.split("@@ block\n")[1:]


def running(block: Block, folder: Path) -> list[str]:
    """Return shell commands that run a block and check exit codes."""
    if block.mark == SECOND:
        return in_background(block.commands[0].line, folder)
    codes = [0] * (len(block.commands) - 1) + [int(block.mark.removeprefix("exits ") or 0)]
    check = 'code=$?; [ $code = {0} ] || {{ echo "@@ exit code $code, not {0}"; kill 0; }}'
    return [
        text for command, code in zip(block.commands, codes, strict=True) for text in (command.line, check.format(code))
    ]


def copying(source: Path, target: Path) -> list[str]:
    """Return shell commands that copy an example, with today's date in the place of the one when it was written."""
    dates = f"s/{WRITTEN}/{TODAY}/; s/{WRITTEN + FOUR_WEEKS}/{TODAY + FOUR_WEEKS}/"
    return [
        f"mkdir -p {target.parent}",
        f"cp {source} {target}",
        f'sed -i "{dates}; s#{PLACEHOLDER}#${{address:-}}#" {target}',
    ]


def in_background(line: str, folder: Path) -> list[str]:
    """Return commands that start ``line``, and keep the first address that it prints in a variable."""
    log, pattern = folder / "second.txt", r"http://127\.0\.0\.1:[0-9]\+"
    # Another test may use the port of a page.
    line = line.replace(f"--port {PLACEHOLDER.rpartition(':')[2]}", "--port 0")
    return [
        f"{line} > {log} 2>&1 &",
        f"for _ in $(seq 300); do grep -q '{pattern}' {log} && break; sleep 0.1; done",
        f"address=$(grep -o '{pattern}' {log} | head -n 1)",
        f"sleep 0.5; cat {log}",
    ]


def found(line: str, output: str) -> bool:
    """Return whether a line that a page shows is in the output; ``…`` stands for any text."""
    pattern = ".*".join(re.escape(part) for part in line.strip().split("…"))
    return line.strip() == "…" or re.search(pattern.replace(r"\ ", " +").replace("  +", " +"), output) is not None


def test_shown_lines_are_compared_with_the_output() -> None:
    assert found("  kept in …/page.html", "a\nkept   in /tmp/x/page.html\n")
    assert not found("2 passed", "1 passed\n")
    assert not found("a…c", "a\nc\n")
