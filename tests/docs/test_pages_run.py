"""The commands of tutorials and guides, run in order by one shell, print what the page shows."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, Block, blocks, how_to_run

RUN = {page: how[len("run in ") :] for page in PAGES if (how := how_to_run(page) or "").startswith("run in ")}
PLACEHOLDER = "http://127.0.0.1:8666"
"""address in example files, replaced by that of the sandbox in the second terminal"""
SECOND = "in a second terminal"
LONGEST = 240


@pytest.mark.slow("processes")
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_the_commands_of_a_page_print_what_it_shows(page: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    source = page.parent / RUN[page]
    shutil.copytree(source, project) if source.is_dir() else project.mkdir()

    steps = [block for block in blocks(page) if not block.mark.startswith("needs ")]
    printed = run_all(steps, project, tmp_path)

    for number, (block, output) in enumerate(zip(steps, printed, strict=True), 1):
        shown = [line for command in block.commands for line in command.shown]
        missing = [line for line in shown if not found(line, output)]
        assert missing == [], f"block {number} of {page.name} ({block.commands[0].line}) printed:\n{output}"


def run_all(steps: list[Block], project: Path, folder: Path) -> list[str]:
    """Run the blocks in one shell, so that variables stay. Return the output of each; fail for a wrong exit code."""
    script = ["set -u"]
    for block in steps:
        script.append("echo '@@ block'")
        if block.mark == SECOND:
            script += in_background(block.commands[0].line, project, folder)
            continue
        codes = [0] * (len(block.commands) - 1) + [int(block.mark.removeprefix("exits ") or 0)]
        for command, code in zip(block.commands, codes, strict=True):
            script += [command.line, f'code=$?; [ $code = {code} ] || {{ echo "@@ exit $code, not {code}"; exit 1; }}']
    foreign = ("GAIA_", "PYTEST_", "COVERAGE_", "GIT_")
    environ = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    environ |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}",
        "COLUMNS": "100",
        "HOME": str(folder),
    }
    environ |= {f"GIT_{who}_{what}": "dev@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
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
        os.killpg(shell.pid, signal.SIGTERM)
    assert shell.returncode == 0, output
    return output.split("@@ block\n")[1:]


def in_background(line: str, project: Path, folder: Path) -> list[str]:
    """Return commands that start ``line`` and put the first address that it prints in the place of the placeholder."""
    log, pattern = folder / "second.txt", r"http://127\.0\.0\.1:[0-9]\+"
    return [
        f"{line} > {log} 2>&1 &",
        f"for _ in $(seq 300); do grep -q '{pattern}' {log} && break; sleep 0.1; done",
        f"address=$(grep -o '{pattern}' {log} | head -n 1)",
        f'grep -rl {PLACEHOLDER} {project} | xargs -r sed -i "s#{PLACEHOLDER}#$address#"',
        f"cat {log}",
    ]


def found(line: str, output: str) -> bool:
    """Return whether a line that a page shows is in the output; ``…`` stands for any text."""
    pattern = ".*".join(re.escape(part) for part in line.strip().split("…"))
    return line.strip() == "…" or re.search(pattern.replace(r"\ ", " +").replace("  +", " +"), output) is not None


def test_shown_lines_are_compared_with_the_output() -> None:
    assert found("  kept in …/page.html", "a\nkept   in /tmp/x/page.html\n")
    assert not found("2 passed", "1 passed\n")
    assert not found("a…c", "a\nc\n")
