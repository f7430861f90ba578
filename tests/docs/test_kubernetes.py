"""The guide for Kubernetes, with a fake kubectl."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, resolve
from pytest_gaia.deploy.hooks import CommandHook, hook_for
from pytest_gaia.rollout.course import roll_out
from pytest_gaia.rollout.plan import plan_rollout
from tests.deploy.executables import a_request, executable
from tests.docs.pages import ROOT
from tests.rollout.deploy_files import Clock

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fake_tools import FakeTools

FOLDER = ROOT / "docs" / "how-to" / "deploy-to-kubernetes"
OLD, NEW = (f"registry.example.org/orders@sha256:{digit * 64}" for digit in "12")


def test_the_environment_of_the_guide_is_deployed_with_the_permissions_of_the_guide(
    tmp_path: Path, fake_tools: FakeTools
) -> None:
    (tmp_path / "gaia.toml").write_bytes((FOLDER / "gaia.toml").read_bytes())
    environment = resolve(Options(project=Project(tmp_path), environ={}, env="qa"))
    fake_tools.workload("deployment/orders", OLD)
    hook = hook_for(environment, rootdir=tmp_path)
    rollout = plan_rollout(environment, None, rootdir=tmp_path, services=("orders",), images={"orders": NEW})

    assert roll_out(rollout, hook, pace=Clock().pace()).good
    assert {tuple(call.argv[4:6]) for call in fake_tools.calls("kubectl")} == {
        ("get", "deployment/orders"), ("get", "pods"), ("set", "image"),
    }  # fmt: skip
    role = (FOLDER / "role.yaml").read_text(encoding="utf-8")
    assert "resources: [deployments, statefulsets, daemonsets]\n    verbs: [get, patch]" in role
    assert "resources: [pods]\n    verbs: [list]" in role


def test_a_command_can_let_the_built_in_hook_observe(tmp_path: Path, fake_tools: FakeTools) -> None:
    fake_tools.workload("deployment/orders", OLD)
    add = '{**json.load(sys.stdin), "context": "qa-cluster", "namespace": "shop", "app": "deployment/orders"}'
    executable(
        tmp_path / "ci" / "deploy",
        f"{sys.executable} -c 'import json, sys; print(json.dumps({add}))' | "
        f"{sys.executable} -m pytest_gaia.deploy kubernetes",
    )

    hook = CommandHook(["ci/deploy"], tmp_path)
    observation = hook.run(a_request("observe", service="orders"), lambda _: None).observation

    assert observation is not None
    assert [machine.digest for machine in observation.machines] == [OLD.partition("@")[2]] * 2
