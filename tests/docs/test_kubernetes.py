"""The hook of the guide for Kubernetes, with a fake kubectl."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.deploy.hooks import CommandHook
from pytest_gaia.deploy.outcome import Wanted, converged
from tests.deploy.executables import a_request, executable
from tests.docs.pages import ROOT

if TYPE_CHECKING:
    from pytest_gaia.deploy.contract import Reply

HOOK = ROOT / "docs" / "how-to" / "deploy-to-kubernetes" / "deploy"
OLD, NEW = (f"registry.example.org/gateway@sha256:{digit * 64}" for digit in "12")
KUBECTL = """
here=$(dirname "$0")
echo "$@" >> "$here/calls"
case "$3" in
  set) [ -f "$here/forbidden" ] && { echo 'Error from server (Forbidden)' >&2; exit 1; }
       echo "${6#*=}" > "$here/image" ;;
  get) cat "$here/pods.json" ;;
esac
"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    executable(tmp_path / "kubectl", KUBECTL)
    monkeypatch.setenv("PATH", f"{tmp_path}:{Path(sys.executable).parent}:/usr/bin:/bin")
    return tmp_path


def run(phase: str, **changes: Any) -> Reply:
    hook = CommandHook([str(HOOK)], HOOK.parent)
    return hook.run(a_request(phase, **{"app": "gateway", "environment": "staging", **changes}), lambda _: None)


def pod(name: str, image: str, *, ready: bool = True, **metadata: str) -> dict[str, Any]:
    status = {"ready": ready, "imageID": image, "state": {"running": {}} if ready else {"waiting": {}}}
    return {"metadata": {"name": name, **metadata}, "status": {"containerStatuses": [status]}}


def observed(tools: Path, *pods: dict[str, Any]) -> str:
    """Return what the observation of these pods lacks for a deployment of the new image."""
    (tools / "pods.json").write_text(json.dumps({"items": pods}))
    observation = run("observe").observation
    assert observation is not None
    return converged(observation, Wanted(NEW))


def test_a_plan_prints_the_commands_and_calls_nothing(tools: Path) -> None:
    commands = run("plan", image=NEW).commands

    assert commands[0] == ("kubectl", "--namespace", "staging", "set", "image", "deployment/gateway", f"gateway={NEW}")
    assert not (tools / "calls").exists()


def test_a_deployment_and_a_rollback_set_the_image_and_wait_for_the_rollout(tools: Path) -> None:
    assert run("deploy", image=NEW).image == NEW
    assert run("rollback", previous=OLD).image == OLD

    assert (tools / "image").read_text().strip() == OLD
    assert (tools / "calls").read_text().count("rollout status deployment/gateway") == 2


def test_a_failed_command_is_a_failed_deployment(tools: Path) -> None:
    (tools / "forbidden").touch()

    assert run("deploy", image=NEW).status == "failed"


def test_a_rollout_is_complete_when_every_pod_is_ready_with_the_new_digest(tools: Path) -> None:
    assert observed(tools, pod("a", NEW), pod("b", NEW), pod("c", OLD, deletionTimestamp="2026-11-28")) == ""
    assert observed(tools, pod("a", NEW), pod("b", OLD))
    assert observed(tools, pod("a", NEW), pod("b", NEW, ready=False))
