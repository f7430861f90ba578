"""The walk through all environments: every step ends as it should, and nothing is left of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow("walk")

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-u", "-m", "ci.walk", "--services", "chat,gateway")
READY = re.compile(r"^\w+ is ready; its logs are in (\S+)$", re.MULTILINE)


def begin(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        COMMAND,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def left(folder: Path, sandboxes: list[str]) -> list[str]:
    """What is left: files, folders of sandboxes, and processes that mention them."""
    table = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    marks = [str(folder), *(Path(each).name for each in sandboxes)]
    processes = [line for line in table.splitlines() if any(mark in line for mark in marks)]
    return [*map(str, folder.glob("gaia-walk-*")), *filter(os.path.exists, sandboxes), *processes]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("walk")


@pytest.fixture
def walking(folder: Path) -> Iterator[subprocess.Popen[str]]:
    with begin(folder) as process:
        yield process
        if process.poll() is None:
            process.kill()


def test_a_change_walks_from_dev_to_production_and_back(folder: Path) -> None:
    with begin(folder) as process:
        output, errors = process.communicate(timeout=600)

    assert process.returncode == 0, f"{output}\n{errors}"
    assert re.findall(r"gaia verdict: (\w+ on \w+)", output) == [
        "PROMOTE on dev",
        "PROMOTE on staging",
        "PROMOTE on production",
    ]
    assert re.search(r"^gateway +gaia-gateway-staging +mixed versions ", output, re.MULTILINE)
    assert "To continue: gaia deploy staging --services gateway" in output
    assert output.count("rolled back") == 2
    assert output.rstrip().endswith("Every step ended as it should.")
    assert left(folder, READY.findall(output)) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_ctrl_c_ends_it_and_leaves_nothing(
    folder: Path, walking: subprocess.Popen[str], number: signal.Signals
) -> None:
    assert walking.stdout is not None
    seen = ""
    for line in walking.stdout:
        seen += line
        if "deploying chat, gateway to dev" in line:
            break
    # Ctrl-C goes to everything that runs in the foreground, SIGTERM to the process that is ended.
    if number is signal.SIGINT:
        os.killpg(walking.pid, number)
    else:
        walking.send_signal(number)
    _, errors = walking.communicate(timeout=120)

    assert (walking.returncode, "walk: interrupted; nothing is left behind" in errors) == (130, True), errors
    assert len(READY.findall(seen)) == 3
    assert left(folder, READY.findall(seen)) == []
