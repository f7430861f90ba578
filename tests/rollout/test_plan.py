"""Planning: what is deployed, in which order, and what is refused before anything is asked of a tool."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config.environment import DeploySettings, Environment
from pytest_gaia.config.platform import Platform, Service
from pytest_gaia.errors import ConfigError
from pytest_gaia.rollout.plan import plan_rollout
from tests.config.reading import files_in
from tests.projects import ON_GAIA, gaia_environment, gaia_platform
from tests.rollout.deploy_files import write_fly_files

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.config.deployfiles.model import Deployment
    from pytest_gaia.rollout.model import Rollout

ALL = ("auth", "asset", "chat", "gateway")


def staging(*services: str, deadline: float = 600.0) -> Environment:
    return gaia_environment(
        "staging",
        services=("gateway", "chat"),
        source="fly",
        deploy=DeploySettings("fly", services=services, deadline=deadline),
    )


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    """The deploy files of staging, in ``deploy`` of the project."""
    write_fly_files(tmp_path / "deploy", "staging", *ALL)
    return files_in(tmp_path / "deploy").deployment("staging", "fly")


def services(rollout: Rollout) -> tuple[str, ...]:
    return tuple(step.service for step in rollout.steps)


@pytest.mark.parametrize(
    ("settings", "asked", "planned"),
    [
        ((), (), ALL),
        (("gateway",), (), ("gateway",)),
        (("gateway",), ("all",), ALL),
        (("gateway",), ("gateway", "auth"), ("auth", "gateway")),
        ((), ("chat", "all"), ALL),
    ],
)
def test_services_are_those_that_are_asked_for_or_those_of_the_settings(
    tmp_path: Path,
    deployment: Deployment,
    settings: tuple[str, ...],
    asked: tuple[str, ...],
    planned: tuple[str, ...],
) -> None:
    rollout = plan_rollout(staging(*settings), deployment, rootdir=tmp_path, services=asked)

    assert services(rollout) == planned


def test_a_step_has_the_app_and_the_file_of_its_service(tmp_path: Path, deployment: Deployment) -> None:
    rollout = plan_rollout(
        staging(deadline=90.0),
        deployment,
        rootdir=tmp_path,
        services=["auth"],
        images={"auth": "auth@sha256:ab"},
        region="fra",
        remote_only=False,
    )

    (step,) = rollout.steps
    assert (step.app, step.image, step.checks_required) == ("gaia-auth-staging", "auth@sha256:ab", True)
    assert step.config == tmp_path / "deploy" / "fly.auth.staging.toml"
    assert (rollout.region, rollout.remote_only, rollout.deadline) == ("fra", False, 90.0)
    assert (rollout.environment, rollout.rootdir, rollout.refused) == ("staging", tmp_path, "")


def test_a_gateway_that_stands_alone_is_deployed_from_its_own_file(tmp_path: Path) -> None:
    (tmp_path / "gaia.toml").write_text(ON_GAIA, encoding="utf-8")
    write_fly_files(tmp_path / "deploy", "staging", "gateway")
    (tmp_path / "deploy" / "fly.gateway.staging.toml").rename(tmp_path / "deploy" / "fly.staging.toml")
    deployment = files_in(tmp_path / "deploy").deployment("staging", "fly")

    rollout = plan_rollout(staging(), deployment, rootdir=tmp_path)

    assert [(step.service, step.config and step.config.name) for step in rollout.steps] == [
        ("gateway", "fly.staging.toml")
    ]


def test_a_hook_that_needs_no_files_deploys_what_the_environment_runs(tmp_path: Path) -> None:
    rollout = plan_rollout(staging(), None, rootdir=tmp_path)

    assert services(rollout) == ("chat", "gateway")
    assert next((step.app, step.config, step.checks_required) for step in rollout.steps) == ("chat", None, False)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["gatewy"], "staging has no service 'gatewy'; did you mean gateway?"),
        (["nats"], "nats has no deploy file for staging: looked for fly.*.staging.toml in"),
        (["auth", "nats"], "found auth, asset, chat, gateway"),
    ],
)
def test_a_service_that_cannot_be_deployed_is_a_usage_error(
    tmp_path: Path, deployment: Deployment, asked: list[str], message: str
) -> None:
    with pytest.raises(ConfigError) as usage_error:
        plan_rollout(staging(), deployment, rootdir=tmp_path, services=asked)

    assert message in str(usage_error.value)


def test_an_image_of_a_service_that_is_left_out_is_a_usage_error(tmp_path: Path, deployment: Deployment) -> None:
    with pytest.raises(ConfigError, match="an image is given for chat, which is not among the services"):
        plan_rollout(staging(), deployment, rootdir=tmp_path, services=["auth"], images={"chat": "chat@sha256:ab"})


def test_an_image_cannot_be_built_anew(tmp_path: Path, deployment: Deployment) -> None:
    with pytest.raises(ConfigError, match="--rebuild and --image cannot be combined"):
        plan_rollout(staging(), deployment, rootdir=tmp_path, images={"chat": "chat:v1"}, rebuild=True)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (gaia_environment("preview"), r"preview has no deployment.*\[env.preview\]"),
        (gaia_environment("sandbox", sandbox=True), "nothing can be deployed to it"),
        (gaia_environment("staging", sandbox=True, simulated=True), "nothing can be deployed to it"),
    ],
)
def test_an_environment_without_a_deployment_is_a_usage_error(
    tmp_path: Path, environment: Environment, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_rollout(environment, None, rootdir=tmp_path)


@pytest.fixture
def without_checks(tmp_path: Path) -> Deployment:
    """The same files, but nothing checks the health of auth."""
    write_fly_files(tmp_path / "deploy", "staging", *ALL)
    file = tmp_path / "deploy" / "fly.auth.staging.toml"
    text = file.read_text()
    file.write_text(text[: text.index("  [[http_service.checks]]")] + text[text.index("[[vm]]") :])
    return files_in(tmp_path / "deploy").deployment("staging", "fly")


def test_a_file_without_usable_checks_is_refused(tmp_path: Path, without_checks: Deployment) -> None:
    with pytest.raises(ConfigError) as refusal:
        plan_rollout(staging(), without_checks, rootdir=tmp_path)

    assert "fly.auth.staging.toml" in str(refusal.value)
    assert "gaia config check staging" in str(refusal.value)


def test_it_can_still_be_looked_at_and_others_deployed(tmp_path: Path, without_checks: Deployment) -> None:
    looked_at = plan_rollout(staging(), without_checks, rootdir=tmp_path, check=False)
    others = plan_rollout(staging(), without_checks, rootdir=tmp_path, services=["chat", "gateway"])

    assert "fly.auth.staging.toml" in looked_at.refused
    assert others.refused == ""


def test_a_file_of_another_environment_that_is_broken_stops_nothing(tmp_path: Path, deployment: Deployment) -> None:
    (tmp_path / "deploy" / "fly.auth.dev.toml").write_text("app = ")

    assert plan_rollout(staging(), deployment, rootdir=tmp_path).refused == ""


def test_an_app_of_no_declared_service_is_not_deployed_in_any_order(tmp_path: Path) -> None:
    write_fly_files(tmp_path / "deploy", "staging", "auth", "chatt")
    deployment = files_in(tmp_path / "deploy").deployment("staging", "fly")

    with pytest.raises(ConfigError, match=r"fly\.chatt\.staging\.toml:1: app: gaia-chatt-staging.*did you mean chat\?"):
        plan_rollout(staging(), deployment, rootdir=tmp_path, services=["all"])

    assert services(plan_rollout(staging(), deployment, rootdir=tmp_path, services=["auth"])) == ("auth",)


def test_external_services_are_never_deployed(tmp_path: Path, deployment: Deployment) -> None:
    platform = gaia_platform()
    described = dict(platform.services)
    described["auth"] = replace(described["auth"], external=True)
    described["chat"] = replace(described["chat"], undeployed=("fly",))
    there = replace(staging(), platform=replace(platform, services=described))

    assert services(plan_rollout(there, deployment, rootdir=tmp_path)) == ("asset", "gateway")
    with pytest.raises(ConfigError, match="auth is external"):
        plan_rollout(there, deployment, rootdir=tmp_path, services=["auth"])
    by_command = replace(there, services=("gateway", "auth", "chat"), deploy=DeploySettings("command", ("ci/deploy",)))
    assert services(plan_rollout(by_command, None, rootdir=tmp_path)) == ("chat", "gateway")


def test_the_order_is_that_of_the_dependencies_whatever_the_names(tmp_path: Path) -> None:
    write_fly_files(tmp_path / "deploy", "staging", "edge", "ledger", "mail")
    named = {
        "edge": Service("edge", depends_on=("ledger",)),
        "mail": Service("mail"),
        "ledger": Service("ledger", depends_on=("mail",)),
    }
    there = replace(staging(), platform=Platform(named, name="gaia", entry="edge"), services=tuple(named))
    deployment = files_in(tmp_path / "deploy").deployment("staging", "fly")

    assert services(plan_rollout(there, deployment, rootdir=tmp_path)) == ("mail", "ledger", "edge")
