"""The state of the fakes: its file, concurrent writes and interruptions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fakes.asking import ask

if TYPE_CHECKING:
    from tests.fake_tools import FakeTools

APP = "gaia-gateway-dev"
NEW = "registry.fly.io/gaia-gateway-dev@sha256:" + "c" * 64
DEPLOY = ("fly", "deploy", "-a", APP, "--image", NEW)


def test_no_call_is_lost_among_many_at_once(fake_tools: FakeTools) -> None:
    fake_tools.app(APP)

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda _: fake_tools.run("fly", "status", "-a", APP, "--json").returncode, range(16)))

    assert (codes, len(fake_tools.calls("fly", "status"))) == ([0] * 16, 16)


def test_of_two_deployments_of_one_app_at_once_the_second_finds_the_lease_held(fake_tools: FakeTools) -> None:
    fake_tools.app(APP)
    fake_tools.fault(APP, "slow:30@deploy")
    with subprocess.Popen(DEPLOY, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert any("Updating existing machines" in line for line in first.stdout)

        second = fake_tools.run(*DEPLOY)
        first.send_signal(signal.SIGTERM)

    assert (second.returncode, "lease currently held by" in second.stderr) == (1, True)
    assert [each["version"] for each in fake_tools.releases(APP)] == [1, 2, 3]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_deployment_ends_with_127_and_is_half_done(fake_tools: FakeTools, number: int) -> None:
    fake_tools.app(APP, machines=2)
    fake_tools.fault(APP, "slow:30@deploy")
    with subprocess.Popen(DEPLOY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("update succeeded" in line for line in process.stdout)
        process.send_signal(number)

    fake_tools.heal()
    assert (process.returncode, fake_tools.releases(APP)[-1]["status"]) == (127, "interrupted")
    assert len(fake_tools.digests(APP)) == 2
    assert fake_tools.run(*DEPLOY).returncode == 0
    assert len(fake_tools.digests(APP)) == 1


def test_a_deployment_that_was_killed_holds_no_lease(fake_tools: FakeTools) -> None:
    fake_tools.app(APP)
    fake_tools.fault(APP, "slow:30@deploy")
    with subprocess.Popen(DEPLOY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("Updating existing machines" in line for line in process.stdout)
        process.kill()

    fake_tools.heal()
    assert fake_tools.run(*DEPLOY).returncode == 0


def test_an_empty_environment_is_enough(fake_tools: FakeTools) -> None:
    fake_tools.app(APP)
    path = os.pathsep.join([str(fake_tools.folder), str(Path(sys.executable).parent), "/usr/bin", "/bin"])

    done = subprocess.run(
        ["/usr/bin/env", "-i", f"PATH={path}", "fly", "status", "-a", APP, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, json.loads(done.stdout)["Name"]) == (0, APP)


def test_the_variable_wins_over_the_file_beside_the_tool(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.app(APP)
    other = tmp_path / "not there yet" / "cloud.json"

    done = fake_tools.run("fly", "status", "-a", APP, GAIA_FAKE_STATE=str(other))

    assert (done.returncode, len(json.loads(other.read_text())["calls"])) == (1, 1)


def test_tools_can_be_taken_away(fake_tools: FakeTools) -> None:
    fake_tools.without("fly", "flyctl")

    with pytest.raises(FileNotFoundError):
        fake_tools.run("fly", "version")
    assert ask(fake_tools, "docker", "compose", "version", "--format", "json")["version"].startswith("2.")
