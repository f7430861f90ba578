"""Details of CI files that are right or wrong by one word: credentials, approvals, cancelled runs, options of flyctl."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.preflight._checks.artifacts import immediate_strategy
from pytest_gaia.preflight._checks.pipelines import cancelled_deployment, ignored_failure, optional_approval
from pytest_gaia.preflight._checks.secrets import credential, local_credential
from pytest_gaia.preflight._workflows.deploying import deployed_by
from tests.preflight.cases import A_PRODUCTION
from tests.preflight.sets import Change, changed, look
from tests.preflight.test_guarding import files

if TYPE_CHECKING:
    from pathlib import Path

JOB = """\
on: {on}
jobs:
  test:
    services:
      db: {{image: "postgres:16"}}
    concurrency: {concurrency}
    environment: staging
    env: {{{env}}}
    steps:
      - {step}
"""
DEPLOYS = "run: gaia deploy staging"


def job(step: str = DEPLOYS, *, env: str = "", concurrency: str = "staging", on: str = "push") -> str:
    return JOB.format(step=step, env=env, concurrency=concurrency, on=on)


@pytest.mark.parametrize(
    ("env", "found"),
    [
        ("URL: 'postgresql://test:test@localhost:5432/x'", "local-credential"),
        ("URL: 'postgresql://test:test@127.0.0.1/x'", "local-credential"),
        ("URL: 'postgresql://test:test@db/x'", "local-credential"),
        ("URL: 'postgresql://test:test@other/x'", "credential"),
        ("URL: 'postgresql://u:p@localhost/x,postgresql://u:p@db.example.com/x'", "credential"),
        ("API_KEY: DummyKey", "local-credential"),
        ("JWT_SECRET: test-secret-for-ci", "local-credential"),
        ("POSTGRES_PASSWORD: postgres", "local-credential"),
        ("JWT_SECRET: 6f1d3c0b2a", "credential"),
        ("JWT_SECRET: test-6f1d3c0b2a9e", "credential"),
        ("JWT_SECRET: '${{ secrets.JWT_SECRET }}'", ""),
    ],
)
def test_a_password_of_a_container_of_the_job_is_a_warning(env: str, found: str, tmp_path: Path) -> None:
    given = files(tmp_path, job(env=env))
    names = ["credential" for _ in credential.look(given)] + ["local-credential" for _ in local_credential.look(given)]

    assert names == ([found] if found else [])


def test_gitlab_names_containers_by_image_and_alias(tmp_path: Path) -> None:
    text = """\
services: [postgres:16, {name: "acme/queue:1", alias: queue}]
test:
  services: [redis]
  variables:
    A: postgresql://u:p@postgres/x
    B: nats://u:p@queue
    C: redis://:p@redis
    D: nats://u:p@acme-queue
  script: pytest
"""

    assert list(credential.look(files(tmp_path, gitlab=text))) == []


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("flyctl secrets set JWT_SECRET=abcdef", ["JWT_SECRET"]),
        ("fly secrets set -a gaia-auth-staging A=abcdef C=$C", ["A"]),
        ('fly secrets set A=$A B="$B" C=$(cat c) D=`cat d` E=${{ secrets.E }}', []),
        ("fly secrets set LOG_LEVEL=off", []),
        ("echo 'fly secrets set A=abcdef'", []),
        ("bash -c 'fly secrets set A=abcdef'", ["A"]),
    ],
)
def test_a_secret_that_is_set_by_its_value_is_a_credential(command: str, names: list[str], tmp_path: Path) -> None:
    found = list(credential.look(files(tmp_path, job("run: |\n          " + command))))

    assert [each.text for each in found] == [f"{name} contains the literal value of a secret" for name in names]
    assert all(each.place.line == 11 and "abcdef" not in str(each) for each in found)


def test_the_old_action_of_fly_is_read_like_the_command(tmp_path: Path) -> None:
    uses = "uses: superfly/flyctl-actions@1.1\n        with: {{args: {!r}}}"
    args = "deploy --config fly.auth.production.toml --strategy immediate --detach"
    deploying = files(tmp_path, job(uses.format(args)))

    assert deployed_by(deploying.workflows[0].jobs[0]) == {"production"}
    assert [each.environment for each in immediate_strategy.look(deploying)] == ["production"]
    assert len(list(ignored_failure.look(deploying))) == 1
    assert len(list(credential.look(files(tmp_path, job(uses.format("secrets set A=abcdef")))))) == 1


@pytest.mark.parametrize(
    ("step", "found"),
    [
        (DEPLOYS, 0),
        ("run: flyctl deploy --strategy immediate", 1),
        ("run: flyctl deploy --strategy=immediate", 1),
        ("run: flyctl deploy --strategy rolling", 0),
        ("run: flyctl deploy -a gaia-auth-dev --strategy immediate", 0),
        ("run: echo 'flyctl deploy --strategy immediate'", 0),
    ],
)
def test_the_strategy_of_a_command_counts(step: str, found: int, tmp_path: Path) -> None:
    assert len(list(immediate_strategy.look(files(tmp_path, job(step))))) == found


@pytest.mark.parametrize(
    ("concurrency", "on", "step", "found"),
    [
        ("{group: a, cancel-in-progress: true}", "push", DEPLOYS, True),
        ("{group: a, cancel-in-progress: '${{ true }}'}", "push", DEPLOYS, True),
        ("{group: a, cancel-in-progress: true}", "workflow_dispatch", DEPLOYS, True),
        ("{group: a, cancel-in-progress: \"${{ github.event_name != 'push' }}\"}", "push", DEPLOYS, False),
        ("{group: a, cancel-in-progress: \"${{ github.event_name == 'push' }}\"}", "[push, release]", DEPLOYS, True),
        ("{group: a, cancel-in-progress: '${{ inputs.x }}'}", "push", DEPLOYS, False),
        ("{group: a, cancel-in-progress: false}", "push", DEPLOYS, False),
        ("{group: 'a-${{ github.sha }}', cancel-in-progress: true}", "push", DEPLOYS, False),
        ("{group: a, cancel-in-progress: true}", "push", "run: pytest", False),
        ("a", "push", DEPLOYS, False),
    ],
)
def test_a_newer_run_cancels_a_deployment(concurrency: str, on: str, step: str, found: bool, tmp_path: Path) -> None:
    assert len(list(cancelled_deployment.look(files(tmp_path, job(step, concurrency=concurrency, on=on))))) == found


@pytest.mark.parametrize(
    ("name", "body", "production", "found"),
    [
        ("approve", "when: manual\n  script: echo", "", True),
        ("go", "when: manual\n  script: echo yes", "", True),
        ("approve", "when: manual\n  script: ci/ask", "", True),
        ("clean", "when: manual\n  script: docker prune", "", False),
        ("approve", "when: manual\n  allow_failure: false\n  script: echo", "", False),
        ("approve", "when: manual\n  allow_failure: false\n  script: echo", "needs: [staging]", True),
        ("approve", "when: manual\n  script: echo", "needs: [staging, approve]", False),
        ("approve", "rules: [{when: manual}]\n  script: echo", "", False),
        ("approve", "rules: [{when: manual, allow_failure: true}]\n  script: echo", "", True),
        ("approve", "script: echo", "", False),
        ("approve", "when: manual\n  script: echo", "when: manual", False),
    ],
)
def test_an_approval_that_production_does_not_wait_for(
    name: str, body: str, production: str, found: bool, tmp_path: Path
) -> None:
    text = f"""\
stages: [staging, approve, production]
staging:
  stage: staging
  script: gaia deploy-and-test staging
{name}:
  stage: approve
  {body}
production:
  stage: production
  {production or "retry: 0"}
  script: gaia deploy-and-test production
"""
    assert [each.place.line for each in optional_approval.look(files(tmp_path, gitlab=text))] == [5] * found


@pytest.mark.parametrize(
    ("path", "content", "found"),
    [
        ("/etc/tls/server.key", b"abc", True),
        ("/app/x", b"-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----", True),
        ("/app/.env", b"LOG=debug\nexport JWT_SECRET='abcdef'\n", True),
        ("/app/.env", b"LOG=debug\nJWT_SECRET=${JWT_SECRET}\n", False),
        ("/app/x.bin", b"\xff\xfe", False),
    ],
)
def test_a_file_that_fly_writes_is_decoded(path: str, content: bytes, found: bool, tmp_path: Path) -> None:
    given = base64.b64encode(content).decode()
    table = f'[[files]]\nguest_path = "{path}"\nraw_value = "{given}"\n\n[[vm]]'

    every = look(changed(tmp_path, Change(A_PRODUCTION, "[[vm]]", table)))
    seen = [each for each in every if each.check == "credential"]

    assert len(seen) == found
    assert "abcdef" not in str(seen)
