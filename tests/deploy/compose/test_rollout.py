"""Rollouts with a fake docker, and their outcomes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.config.environment import DeploySettings
from pytest_gaia.deploy.compose.hook import ComposeHook
from pytest_gaia.errors import ConfigError
from pytest_gaia.rollout.course import roll_out
from pytest_gaia.rollout.plan import plan_rollout
from tests.config.reading import files_in
from tests.projects import ON_GAIA, gaia_environment
from tests.rollout.deploy_files import Clock, Listener

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.rollout.model import Rollout, RolloutResult, StepResult
    from tests.fake_tools import FakeTools

FILE = """\
services:
  postgres:
    image: postgres:15
    healthcheck:
      test: [CMD, pg_isready]
  migrate:
    image: gaia/migrate:1
    depends_on: [postgres]
  auth-service:
    build: ./auth
    healthcheck:
      test: [CMD, curl, -f, "http://localhost:8000/health"]
    depends_on:
      postgres: {condition: service_healthy}
  orders:
    image: acme/orders:1
    restart: "no"
  gateway:
    image: gaia/gateway:1
    ports: ["8666:8000"]
    depends_on:
      auth-service: {condition: service_started}
      migrate: {condition: service_completed_successfully}
    healthcheck:
      test: [CMD, curl, -f, "http://localhost:8000/health"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    project = tmp_path / "gaia"
    project.mkdir()
    (project / "docker-compose.yml").write_text(FILE)
    (project / "gaia.toml").write_text(ON_GAIA)
    return project


def plan(folder: Path, *services: str, **changes: Any) -> Rollout:
    environment = gaia_environment("local", source="compose", deploy=DeploySettings(hook="compose", deadline=60))
    return plan_rollout(
        environment,
        files_in(folder).deployment("local", "compose"),
        rootdir=folder,
        services=services,
        **changes,
    )


def deploy(rollout: Rollout) -> RolloutResult:
    return roll_out(rollout, ComposeHook(), pace=Clock().pace())


def of(result: RolloutResult, service: str) -> StepResult:
    """Return the result of one service; Compose also deploys what it depends on."""
    (found,) = (step for step in result.steps if step.service == service)
    return found


def test_services_come_up_in_their_order(folder: Path, fake_tools: FakeTools) -> None:
    result = deploy(plan(folder, "all"))

    assert {step.outcome for step in result.steps} <= {"deployed", "unchanged"}
    assert [step.service for step in result.steps] == ["postgres", "migrate", "orders", "auth", "gateway"]
    assert result.exit_code == 0


def test_a_service_that_is_up_already_stays_as_it_is(folder: Path, fake_tools: FakeTools) -> None:
    deploy(plan(folder, "all"))

    again = deploy(plan(folder, "all"))

    # Compose runs a one-shot again with each deployment.
    assert {step.service: step.outcome for step in again.steps if step.outcome != "unchanged"} == {
        "migrate": "deployed"
    }


def test_a_one_shot_that_ends_well_spoils_nothing(folder: Path, fake_tools: FakeTools) -> None:
    fake_tools.fault("migrate", "one-shot")

    result = deploy(plan(folder, "migrate", "gateway"))

    assert {step.outcome for step in result.steps} == {"deployed"}
    migrate = of(result, "migrate").after
    assert migrate is not None
    assert [machine.state for machine in migrate.machines] == ["completed"]


@pytest.mark.parametrize("service", ["orders", "auth"])
def test_a_service_that_nobody_waits_for_to_end_has_failed_when_it_ends(
    folder: Path, fake_tools: FakeTools, service: str
) -> None:
    fake_tools.fault("auth-service" if service == "auth" else service, "one-shot")

    result = deploy(plan(folder, service))

    assert (of(result, service).outcome, result.exit_code) == ("failed", 1)


ONCE = """\
services:
  auth:
    image: gaia/gaia:1
    depends_on:
      migrate: {condition: service_completed_successfully}
      db: {condition: service_started}
  asset: *waiting
  chat:
    image: gaia/gaia:1
    depends_on:
      migrate: {condition: service_completed_successfully}
      cache: {condition: service_started}
  gateway:
    image: gaia/gaia:1
    depends_on: [auth]
  migrate:
    image: gaia/migrate:1
    restart: "no"
    depends_on: [db]
  db: {image: "postgres:16"}
  cache: {image: "redis:7"}
""".replace("*waiting", "{image: 'gaia/gaia:1', depends_on: {migrate: {condition: service_completed_successfully}}}")


@pytest.mark.parametrize("services", [("all",), ("chat", "auth"), ("asset",)])
def test_a_one_shot_runs_once_in_a_deployment_and_before_all_that_wait_for_it(
    folder: Path, fake_tools: FakeTools, services: tuple[str, ...]
) -> None:
    (folder / "docker-compose.yml").write_text(ONCE)
    listener = Listener()

    result = roll_out(plan(folder, *services), ComposeHook(), pace=Clock().pace(), progress=listener)

    started = [line.split()[1] for line in listener.lines if line.endswith("Starting")]
    waiting = ("auth", "asset", "chat", "gateway") if services == ("all",) else services
    assert result.good
    assert started.count("gaia-migrate-1") == 1
    assert started.index("gaia-migrate-1") < min(started.index(f"gaia-{each}-1") for each in waiting)
    assert ("gaia-cache-1" in started) == (services != ("asset",))


@pytest.mark.parametrize(
    ("fault", "outcome", "code"),
    [
        ("unhealthy", "failed", 1),
        ("crash", "failed", 1),
        ("oom", "failed", 1),
        ("rate-limited", "unavailable", 12),
        ("server-error", "unavailable", 12),
    ],
)
def test_what_goes_wrong_is_told_apart(
    folder: Path, fake_tools: FakeTools, fault: str, outcome: str, code: int
) -> None:
    fake_tools.fault("gateway", fault)

    result = deploy(plan(folder, "gateway"))

    assert (of(result, "gateway").outcome, result.exit_code) == (outcome, code)
    assert of(result, "gateway").reason


def test_a_registry_that_limits_for_a_while_is_asked_again(folder: Path, fake_tools: FakeTools) -> None:
    fake_tools.fault("gateway", "rate-limited:1")

    step = of(deploy(plan(folder, "gateway")), "gateway")

    assert (step.outcome, step.attempts) == ("deployed", 2)


def test_up_that_replaces_nothing_is_not_believed(folder: Path, fake_tools: FakeTools) -> None:
    deploy(plan(folder, "gateway"))
    fake_tools.fault("gateway", "phantom")

    (step,) = deploy(plan(folder, "gateway", images={"gateway": f"gaia/gateway@sha256:{'2' * 64}"})).steps

    assert step.outcome == "phantom"
    assert "sha256:222222222222" in step.reason


def test_containers_of_two_images_are_a_split(folder: Path, fake_tools: FakeTools) -> None:
    (folder / "docker-compose.yml").write_text(FILE.replace("    ports:", "    deploy: {replicas: 2}\n    ports:"))
    deploy(plan(folder, "gateway"))
    fake_tools.fault("gateway", "split")

    (step,) = deploy(plan(folder, "gateway", images={"gateway": f"gaia/gateway@sha256:{'2' * 64}"})).steps

    assert step.outcome == "split"


def test_a_tool_that_fails_after_it_has_done_it_is_a_warning(folder: Path, fake_tools: FakeTools) -> None:
    fake_tools.fault("docker", "tool-error-after-success")

    step = of(deploy(plan(folder, "gateway")), "gateway")

    assert step.outcome in ("deployed", "deployed_with_tool_error")
    assert step.good


@pytest.mark.parametrize(
    ("target", "fault", "said"),
    [
        ("docker", "daemon-down", "start Docker"),
        ("docker", "unauthorised", "group docker"),
        ("docker", "no-compose", "compose plugin"),
        ("gateway", "image-gone", "the image does not exist"),
    ],
)
def test_what_only_the_user_can_fix_is_said_at_once(
    folder: Path, fake_tools: FakeTools, target: str, fault: str, said: str
) -> None:
    fake_tools.fault(target, fault)

    with pytest.raises(ConfigError, match=said):
        deploy(plan(folder, "gateway"))


def test_an_image_that_was_built_here_can_be_gone_back_to(folder: Path, fake_tools: FakeTools) -> None:
    built = of(deploy(plan(folder, "auth")), "auth")
    fake_tools.new_source("another commit")
    rebuilt = of(deploy(plan(folder, "auth", rebuild=True)), "auth")

    back = replace(plan(folder, "auth", images={"auth": str(built.image)}), action="rollback")
    (step,) = deploy(back).steps

    assert built.digests != rebuilt.digests
    assert (step.outcome, step.digests) == ("deployed", built.digests)
