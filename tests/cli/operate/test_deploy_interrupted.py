"""``gaia deploy`` that is interrupted, killed, started twice, or has a closed pipe."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.rollout.journal import Journal
from tests.cli.conftest import GAIA
from tests.cli.terminals import Terminal
from tests.rollout.deploy_files import image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome
    from tests.fake_tools import FakeTools

    Gaia = Callable[..., Outcome]


def deployed(tools: FakeTools) -> list[str]:
    return [call.argv[call.argv.index("-a") + 1] for call in tools.calls("fly", "deploy")]


def started(*arguments: str) -> subprocess.Popen[str]:
    """Start a command in its own session, with a pipe for standard error."""
    return subprocess.Popen(
        [GAIA, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )


def read_until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if text in line:
            return
    pytest.fail(f"it ended before {text!r} came: {seen}")


@pytest.mark.slow("processes")
def test_of_two_concurrent_deployments_one_continues(operated: Path, gaia: Gaia, fake_tools: FakeTools) -> None:
    fake_tools.fault("gaia-auth-staging", "slow:8@deploy")
    with started("deploy", "staging", "-s", "auth") as first:
        read_until(first, "Updating existing machines")
        code, out, err = gaia("deploy", "staging")
        first.communicate(timeout=60)

    assert (code, out) == (13, "")
    assert "staging is being deployed to right now: action deploy, by " in err
    assert f"process {first.pid}" in err
    assert first.returncode == 0
    assert deployed(fake_tools) == ["gaia-auth-staging"]


@pytest.mark.parametrize("kind", ["dumb", "xterm-256color"])
def test_ctrl_c_on_a_terminal_shows_how_to_continue(operated: Path, fake_tools: FakeTools, kind: str) -> None:
    fake_tools.fault("gaia-auth-staging", "slow:30@deploy")
    with Terminal("deploy", "staging", TERM=kind) as terminal:
        # The display has only the latest line, and these two lines come from two streams.
        terminal.read_until("Updating existing machines", "image size")
        terminal.type("\x03")
        assert terminal.end() == 130

    assert "interrupted" in terminal.shown
    assert "To continue: gaia deploy staging --services auth,gateway" in terminal.shown
    # flyctl was ended too, and has noted it: no tool goes on behind our back.
    assert [call.exit for call in fake_tools.calls("fly", "deploy")] == [127]


def test_sigterm_works_like_ctrl_c(operated: Path, fake_tools: FakeTools) -> None:
    fake_tools.fault("gaia-auth-staging", "slow:30@deploy")
    with started("deploy", "staging", "--json") as process:
        read_until(process, "Updating existing machines")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)

    document = json.loads(out)
    assert (process.returncode, document["exit_code"]) == (130, 130)
    assert [step["outcome"] for step in document["steps"]] == ["in doubt", "not begun"]
    assert Journal(operated, "staging").entries()[-1].outcome == "interrupted"


@pytest.mark.slow("processes")
def test_a_second_run_continues_after_a_kill(operated: Path, gaia: Gaia, fake_tools: FakeTools) -> None:
    images = ["--image", f"auth={image('auth', 7)}", "--image", f"gateway={image('gateway', 7)}"]
    fake_tools.fault("gaia-gateway-staging", "slow:30@deploy")
    with started("deploy", "staging", *images) as process:
        read_until(process, "gateway | Updating existing machines")
        process.kill()
        process.communicate(timeout=60)
    # The system ends the tool with its parent; it has noted its call when it is gone.
    until_noted(fake_tools, 2)
    fake_tools.heal()

    code, out, err = gaia("deploy", "staging", *images)

    assert code == 0
    assert "did not finish: auth deployed, gateway in doubt" in err
    assert [line.split()[2] for line in out.splitlines()[1:]] == ["unchanged", "deployed"]
    assert deployed(fake_tools) == ["gaia-auth-staging", "gaia-gateway-staging", "gaia-gateway-staging"]


def until_noted(tools: FakeTools, number: int) -> None:
    """Wait for that number of deployments."""
    for _ in range(600):
        if len(deployed(tools)) >= number:
            return
        threading.Event().wait(0.1)
    pytest.fail(f"only {deployed(tools)} were noted")


@pytest.mark.slow("processes")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_closed_pipe_does_not_stop_a_deployment(operated: Path, fake_tools: FakeTools, stream: str) -> None:
    with started("deploy", "staging", "-s", "auth") as process:
        read_until(process, "auth: deploying")
        getattr(process, stream).close()
        assert process.wait(60) == 0

    assert Journal(operated, "staging").entries()[-1].outcome == "done"


def test_the_exit_code_is_kept_with_a_closed_pipe(operated: Path, fake_tools: FakeTools) -> None:
    fake_tools.fault("gaia-auth-staging", "release-command-fails")
    with started("deploy", "staging", "-s", "auth") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(60) == 1
