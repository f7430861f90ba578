"""One at a time, and nothing to clear away afterwards."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.errors import ConfigError, DeployLocked
from pytest_gaia.rollout.journal import only_one

if TYPE_CHECKING:
    from pathlib import Path

HOLDER = """
import sys
from pathlib import Path
from pytest_gaia.rollout.journal import only_one
with only_one(Path(sys.argv[1]), "staging", {"by": "someone@else"}):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_is_told_who_the_first_is(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "staging.lock"

    with only_one(path, "staging", {"action": "deploy", "by": "me@here"}):
        told = "staging is being deployed to right now: action deploy, by me@here"
        with pytest.raises(DeployLocked, match=told), only_one(path, "staging", {}):
            pytest.fail("two hold one lock")
        # The first one still has it.
        with pytest.raises(DeployLocked), only_one(path, "staging", {}):
            pytest.fail("two hold one lock")


def test_it_is_free_again_however_the_first_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "staging.lock"

    with pytest.raises(ValueError, match="broken"), only_one(path, "staging", {}):
        raise ValueError("broken")

    with only_one(path, "staging", {"by": "me"}):
        assert b"me" in path.read_bytes()
    assert path.read_bytes() == b""


def test_the_lock_of_a_process_that_was_killed_is_free(tmp_path: Path) -> None:
    path = tmp_path / "staging.lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DeployLocked, match="someone@else"), only_one(path, "staging", {}):
            pytest.fail("two hold one lock")
        holder.send_signal(signal.SIGKILL)
        holder.wait()

    with only_one(path, "staging", {}):
        assert path.exists()


def test_a_holder_who_has_not_said_who_it_is_is_a_holder_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "staging.lock"

    with only_one(path, "staging", {}):
        path.write_bytes(b'{"by": "so')
        with pytest.raises(DeployLocked, match=r"right now\. Two simultaneous"), only_one(path, "staging", {}):
            pytest.fail("two hold one lock")


@pytest.mark.parametrize("wrong", ["folder", "file above"])
def test_a_place_where_no_lock_can_be_is_a_usage_error(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "here" / "staging.lock"
    if wrong == "folder":
        path.mkdir(parents=True)
    else:
        path.parent.write_text("a file")

    with pytest.raises(ConfigError, match=r"the lock .* cannot be used"), only_one(path, "staging", {}):
        pytest.fail("there is no lock")
