"""Rollbacks with the fake fly."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config.environment import DeploySettings
from pytest_gaia.errors import ConfigError
from pytest_gaia.rollout.course import roll_out
from pytest_gaia.rollout.model import RolloutInterrupted, RolloutResult
from pytest_gaia.rollout.rollback import plan_rollback
from tests.config.reading import files_in
from tests.projects import gaia_environment
from tests.rollout.deploy_files import Clock, Listener, fly_hook, fly_rollout, image

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.rollout.model import Rollout
    from tests.fake_tools import FakeTools

STAGING = gaia_environment("staging", services=("auth", "gateway"), source="fly", deploy=DeploySettings("fly"))


def deploy(root: Path, **images: str) -> RolloutResult:
    result = roll_out(fly_rollout(root, *images, **images), fly_hook(), pace=Clock().pace())
    assert result.good
    return result


def plan(root: Path, *services: str, **targets: str) -> Rollout:
    deployment = files_in(root / "deploy").deployment("staging", "fly")
    return plan_rollback(STAGING, deployment, fly_hook(), rootdir=root, services=services, targets=targets)


def go_back(rollout: Rollout, listener: Listener | None = None) -> RolloutResult:
    return roll_out(rollout, fly_hook(), progress=listener or Listener(), pace=Clock().pace())


def targets(rollout: Rollout) -> dict[str, str | None]:
    return {step.service: step.image for step in rollout.steps}


def test_it_goes_back_in_reverse_order_without_release_commands(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.platform("staging", ["auth", "gateway"])
    deploy(tmp_path, auth=image("auth", 1), gateway=image("gateway", 1))
    deploy(tmp_path, auth=image("auth", 2), gateway=image("gateway", 2))
    before = len(fake_tools.calls("fly", "deploy"))

    rollout = plan(tmp_path)
    result = go_back(rollout)

    assert list(targets(rollout).items()) == [("gateway", image("gateway", 1)), ("auth", image("auth", 1))]
    assert result.good
    assert fake_tools.digests("gaia-auth-staging") == {f"sha256:{1:064x}"}
    calls = fake_tools.calls("fly", "deploy")[before:]
    assert all("--skip-release-command" in call.argv for call in calls)
    assert [call.argv[2] for call in calls] == ["gaia-gateway-staging", "gaia-auth-staging"]


def test_it_takes_the_deploy_file_of_then(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.platform("staging", ["auth"])
    deploy(tmp_path, auth=image("auth", 1))
    file = tmp_path / "deploy" / "fly.auth.staging.toml"
    then = file.read_text()
    rollout = fly_rollout(tmp_path, "auth", auth=image("auth", 2))
    file.write_text(then + '[processes]\napp = "serve"\nworker = "work"\n')
    steps = (replace(rollout.steps[0], groups={"app": True, "worker": False}),)
    assert roll_out(replace(rollout, steps=steps), fly_hook(), pace=Clock().pace()).good

    (step,) = plan(tmp_path).steps

    assert step.config is not None
    assert step.config != file
    assert step.config.read_text() == then
    # What its machines must show is what that file asks for.
    assert (step.checks_required, step.groups) == (True, {"app": True})
    assert "with the deploy file of that time" in step.origin
    assert go_back(plan(tmp_path)).good


def test_where_nothing_was_seen_the_tool_s_list_is_believed_and_that_is_said(
    fake_tools: FakeTools, tmp_path: Path
) -> None:
    fake_tools.platform("staging", ["auth"], release=1)
    fly_rollout(tmp_path, "auth")
    fake_tools.run("fly", "deploy", "-a", "gaia-auth-staging", "--image", image("auth", 5), "--yes")

    (step,) = plan(tmp_path).steps

    assert step.image == f"registry.fly.io/gaia-auth-staging:deployment-{1:026}"
    assert step.origin.startswith("release 1, the newest complete one with another image; reported by the tool only")
    assert go_back(plan(tmp_path)).good


def test_releases_that_failed_are_no_target(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.platform("staging", ["auth"], release=1)
    fly_rollout(tmp_path, "auth")
    fake_tools.fault("gaia-auth-staging", "release-command-fails:1")
    fake_tools.run("fly", "deploy", "-a", "gaia-auth-staging", "--image", image("auth", 5), "--yes")
    fake_tools.run("fly", "deploy", "-a", "gaia-auth-staging", "--image", image("auth", 6), "--yes")

    (step,) = plan(tmp_path).steps

    assert step.image == f"registry.fly.io/gaia-auth-staging:deployment-{1:026}"


def test_nothing_to_go_back_to_is_a_usage_error(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.platform("staging", ["auth"], release=1)
    fly_rollout(tmp_path, "auth")

    with pytest.raises(ConfigError, match="no rollback target for auth"):
        plan(tmp_path)


def test_one_that_cannot_go_back_stops_those_that_are_named_with_it(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.platform("staging", ["auth", "gateway"], release=1)
    deploy(tmp_path, auth=image("auth", 2))
    fly_rollout(tmp_path, "auth", "gateway")

    with pytest.raises(ConfigError, match="no rollback target for gateway"):
        plan(tmp_path, "auth", "gateway")
    assert list(targets(plan(tmp_path))) == ["auth"]


def test_an_image_can_be_named(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.platform("staging", ["auth"])
    deploy(tmp_path, auth=image("auth", 1))

    rollout = plan(tmp_path, "auth", auth=image("auth", 9))

    assert targets(rollout) == {"auth": image("auth", 9)}
    assert go_back(rollout).good
    assert fake_tools.digests("gaia-auth-staging") == {f"sha256:{9:064x}"}


def test_an_image_of_a_service_that_is_left_out_is_a_usage_error(fake_tools: FakeTools, tmp_path: Path) -> None:
    fly_rollout(tmp_path, "auth", "gateway")

    with pytest.raises(ConfigError, match="--to names gateway, which --services leaves out"):
        plan(tmp_path, "auth", gateway=image("gateway", 1))


def test_a_rollback_that_was_interrupted_goes_on_where_it_was(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.platform("staging", ["auth", "gateway"])
    for number in (1, 2, 3):
        deploy(tmp_path, auth=image("auth", number), gateway=image("gateway", number))

    def interrupt(service: str, text: str) -> None:
        if (service, text[:12]) == ("auth", "rolling back"):
            raise KeyboardInterrupt

    with pytest.raises(RolloutInterrupted) as interruption:
        go_back(plan(tmp_path), Listener(when_waiting=interrupt))
    deploys = len(fake_tools.calls("fly", "deploy"))
    again = plan(tmp_path)
    result = go_back(again)

    assert interruption.value.result.go_on == f"gaia rollback staging --services auth --to auth={image('auth', 2)}"
    assert targets(again) == {"gateway": image("gateway", 2), "auth": image("auth", 2)}
    assert {step.service: step.outcome for step in result.steps} == {"gateway": "unchanged", "auth": "deployed"}
    assert len(fake_tools.calls("fly", "deploy")) == deploys + 1


def test_a_journal_that_cannot_be_read_is_a_usage_error(fake_tools: FakeTools, tmp_path: Path) -> None:
    fly_rollout(tmp_path, "auth")
    (tmp_path / ".gaia/deployments/staging.jsonl").mkdir(parents=True)

    with pytest.raises(ConfigError, match=r"the deployment history .* cannot be read"):
        plan(tmp_path)


def test_an_environment_without_a_deployment_is_a_usage_error(fake_tools: FakeTools, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="preview has no deployment"):
        plan_rollback(gaia_environment("preview"), None, fly_hook(), rootdir=tmp_path)


def test_an_image_that_is_gone_is_passed_over(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.platform("staging", ["auth", "gateway"])
    for number in (1, 2, 3):
        deploy(tmp_path, auth=image("auth", number), gateway=image("gateway", number))
    fake_tools.fault("gaia-auth-staging", "image-gone:1")
    failed = go_back(plan(tmp_path))
    assert [step.outcome for step in failed.steps] == ["deployed", "failed"]

    gateway, auth = plan(tmp_path).steps

    assert (gateway.image, gateway.origin[:30]) == (image("gateway", 2), "target of the last rollback, w")
    assert (auth.image, "ran well until" in auth.origin) == (image("auth", 1), True)
    assert f"{image('auth', 2)} was skipped: it was not in its registry on 20" in auth.origin
    assert go_back(plan(tmp_path)).good


def test_where_the_only_earlier_image_is_gone_that_is_the_message(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.app("gaia-auth-staging", machines=0)
    deploy(tmp_path, auth=image("auth", 1))
    deploy(tmp_path, auth=image("auth", 2))
    fake_tools.fault("gaia-auth-staging", "image-gone:1")
    assert not go_back(plan(tmp_path)).good

    with pytest.raises(ConfigError, match="no rollback target for auth") as refused:
        plan(tmp_path)
    assert f"{image('auth', 1)} was skipped: it was not in its registry" in str(refused.value)
