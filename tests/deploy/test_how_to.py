"""The examples in the how-to about deploy hooks work."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from pytest_gaia.deploy.hooks import CommandHook, PluginHook
from pytest_gaia.deploy.outcome import Wanted, converged
from tests.deploy.executables import a_request, executable

if TYPE_CHECKING:
    from pytest_gaia.deploy.contract import Reply
    from tests.fake_tools import FakeTools

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-deploy-hook.md"
BLOCKS = re.findall(
    r"^```(?P<kind>\w+)\n(?P<text>.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)
EXECUTABLE, CONFTEST = (text for kind, text in BLOCKS if kind == "python")
(HANDING_ON,) = (text for kind, text in BLOCKS if kind == "sh")
DIGEST = f"sha256:{'a' * 64}"
IMAGE = f"registry.example.org/gaia/gateway@{DIGEST}"

PODMAN = """
here=$(dirname "$0")
echo "$@" >> "$here/calls"
case "$1" in
  run) [ -f "$here/limited" ] && { echo toomanyrequests >&2; exit 125; }
       for image; do :; done; echo "${image#*@}" > "$here/digest" ;;
  inspect) [ -f "$here/digest" ] || exit 125
       case "$3" in *State*) echo running ;; *) cat "$here/digest" ;; esac ;;
esac
"""


@pytest.fixture
def podman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The executable of the page in a project, with a podman of its own on PATH; returns podman's folder."""
    path = tmp_path / "ci" / "deploy"
    path.parent.mkdir()
    path.write_text(EXECUTABLE)
    path.chmod(0o755)
    executable(tmp_path / "bin" / "podman", PODMAN)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:/usr/bin:/bin")
    return tmp_path / "bin"


def ask(podman: Path, phase: str, **changes: Any) -> Reply:
    hook = CommandHook(["ci/deploy"], podman.parent)
    return hook.run(a_request(phase, **{"app": "edge-gateway", **changes}), lambda _: None)


def test_the_executable_plans_without_calling_anything(podman: Path) -> None:
    (command,) = ask(podman, "plan", image=IMAGE).commands

    assert command == ("podman", "run", "--replace", "--detach", "--name", "edge-gateway", IMAGE)
    assert ask(podman, "deploy", image=IMAGE, dry_run=True).commands == (command,)
    assert not (podman / "calls").exists()


def test_the_executable_deploys_and_what_runs_is_what_was_wanted(podman: Path) -> None:
    before = ask(podman, "observe").observation
    reply = ask(podman, "deploy", image=IMAGE)
    after = ask(podman, "observe").observation

    assert before is not None
    assert (before.exists, before.machines) == (False, ())
    assert (reply.status, reply.image) == ("done", IMAGE)
    assert after is not None
    assert converged(after, Wanted(IMAGE, checks_required=False)) == ""


def test_the_executable_goes_back_to_what_it_is_told(podman: Path) -> None:
    ask(podman, "rollback", previous=IMAGE)

    assert (podman / "calls").read_text().splitlines()[-1].endswith(IMAGE)


def test_the_executable_asks_to_be_asked_again(podman: Path) -> None:
    (podman / "limited").touch()

    reply = ask(podman, "deploy", image=IMAGE)

    assert (reply.status, reply.tail) == ("retry", ("toomanyrequests",))


def test_a_hook_can_hand_on_to_a_built_in_one(
    tmp_path: Path, fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = "registry.fly.io/gaia-gateway-staging:2"
    fake_tools.app("gaia-gateway-staging", reference=built)
    executable(tmp_path / "ci" / "deploy", HANDING_ON.removeprefix("#!/bin/sh\n"))
    executable(tmp_path / "ci" / "notify-team", 'echo "ended with $1"')
    monkeypatch.setenv("PATH", f"{fake_tools.folder}:{Path(sys.executable).parent}:/usr/bin:/bin")
    hook = CommandHook(["ci/deploy"], tmp_path)
    lines: list[str] = []

    observed = hook.run(a_request("observe"), lines.append)
    deployed = hook.run(a_request("deploy", image=built), lines.append)

    assert observed.observation is not None
    assert observed.observation.version == 1
    assert deployed.status == "done"
    assert [line for line in lines if line.startswith("ended")] == ["ended with 0"]


class Node:
    name, up, digest = "n1", True, DIGEST


class Cluster:
    """What the page's function calls."""

    calls: ClassVar[list[tuple[str, ...]]] = []

    def __init__(self, environment: str) -> None:
        self.environment = environment

    def nodes(self, app: str) -> list[Node]:
        return [Node()]

    def set_image(self, app: str, image: str) -> None:
        self.calls.append((self.environment, app, image))


def test_the_function_deploys_and_observes(monkeypatch: pytest.MonkeyPatch) -> None:
    platform = types.ModuleType("our_platform")
    vars(platform)["Cluster"] = Cluster
    monkeypatch.setitem(sys.modules, "our_platform", platform)
    names: dict[str, Any] = {}
    exec(compile(CONFTEST, str(PAGE), "exec"), names)
    hook = PluginHook(names["pytest_gaia_deploy"], "pytest_gaia_deploy")
    lines: list[str] = []

    replies = [hook.run(a_request(phase, image=IMAGE), lines.append) for phase in ("plan", "observe", "deploy")]

    assert [reply.status for reply in replies] == ["done"] * 3
    assert replies[0].commands == (("cluster", "set-image", "gaia-gateway-staging", IMAGE),)
    assert replies[1].observation is not None
    assert replies[1].observation.machines[0].digest == DIGEST
    assert Cluster.calls == [("staging", "gaia-gateway-staging", IMAGE)]
    assert lines == ["rolling gaia-gateway-staging"]
