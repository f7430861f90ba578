"""``[env.NAME.deploy]``, ``deploy_files`` and ``allowed_differences``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config.environment import DeploySettings
from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, resolve
from pytest_gaia.errors import ConfigError
from pytest_gaia.preflight.files import Allowed
from pytest_gaia.preflight.reading import read_deploy_files
from tests.projects import ON_GAIA

if TYPE_CHECKING:
    from pathlib import Path


def settings(root: Path, text: str) -> DeploySettings | None:
    (root / "gaia.toml").write_text(text if "[gaia]" in text else text + ON_GAIA, encoding="utf-8")
    return resolve(Options(project=Project(root), environ={}, env="staging")).deploy


def test_an_environment_without_files_and_hook_is_not_deployed_from_here(tmp_path: Path) -> None:
    assert settings(tmp_path, "[env.staging]\nwrites = true\n") is None


def test_the_hook_is_that_of_the_files_unless_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "fly.staging.toml").write_text('app = "a"\n[http_service]\n', encoding="utf-8")

    assert settings(tmp_path, '[env.staging]\nfrom = "fly"\n') == DeploySettings(hook="fly")
    assert settings(tmp_path, '[env.staging]\nfrom = "fly"\n[env.staging.deploy]\nhook = "plugin"\n') == DeploySettings(
        hook="plugin"
    )


def test_every_setting_is_read(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        "[env.staging.deploy]\n"
        'hook = "command"\n'
        'command = ["ci/deploy", "--now"]\n'
        'services = ["gateway", "nats"]\n'
        "deadline = 90\n"
        "consecutive_successes = 5\n"
        'org = "acme"\n'
        'secrets = ["DATABASE_URL"]\n',
    )

    assert found == DeploySettings(
        hook="command",
        command=("ci/deploy", "--now"),
        services=("gateway", "nats"),
        deadline=90.0,
        consecutive_successes=5,
        org="acme",
        secrets=("DATABASE_URL",),
    )


def test_kubernetes_needs_no_deploy_files(tmp_path: Path) -> None:
    found = settings(tmp_path, '[env.staging.deploy]\nhook = "kubernetes"\ncontext = "qa"\nnamespace = "shop"\n')

    assert found == DeploySettings(hook="kubernetes", context="qa", namespace="shop")
    assert resolve(Options(project=Project(tmp_path), environ={}, env="staging")).deployment is None


USAGE_ERRORS = {
    "an unknown hook": (
        '[env.staging.deploy]\nhook = "flyctl"\n',
        "gaia.toml:2: env.staging.deploy.hook: unknown value 'flyctl'; did you mean fly?",
    ),
    "an unknown key": (
        '[env.staging.deploy]\nhook = "fly"\nservice = "auth"\n',
        "gaia.toml:3: env.staging.deploy.service: unknown key; did you mean services?",
    ),
    "an unknown service": (
        '[env.staging.deploy]\nhook = "fly"\nservices = ["assets"]\n',
        "gaia.toml:3: env.staging.deploy.services: unknown service 'assets'; did you mean asset?",
    ),
    "settings of no hook": (
        "[env.staging.deploy]\ndeadline = 90\n",
        'gaia.toml:2: env.staging.deploy.deadline: the deploy hook is missing; add hook = "fly" (or "compose", "command"), or `from` to the environment.',
    ),
    "a command hook without a command": (
        '[env.staging.deploy]\nhook = "command"\n',
        "gaia.toml:2: env.staging.deploy.hook: the executable is missing; add a key such as command = ",
    ),
    "a command of nothing": (
        '[env.staging.deploy]\nhook = "command"\ncommand = []\n',
        "gaia.toml:3: env.staging.deploy.command: expected",
    ),
    "a command in one string": (
        '[env.staging.deploy]\nhook = "command"\ncommand = "ci/deploy"\n',
        "gaia.toml:3: env.staging.deploy.command: expected a list, got a string",
    ),
    "a command for another hook": (
        '[env.staging.deploy]\nhook = "fly"\ncommand = ["ci/deploy"]\n',
        'gaia.toml:3: env.staging.deploy.command: the hook is fly; write hook = "command", or remove this key.',
    ),
    "kubernetes without a context": (
        '[env.staging.deploy]\nhook = "kubernetes"\nnamespace = "shop"\n',
        "gaia.toml:2: env.staging.deploy.hook: kubernetes needs a context of the kubeconfig; add context to the table. ",
    ),
    "kubernetes without a namespace": (
        '[env.staging.deploy]\nhook = "kubernetes"\ncontext = "qa"\n',
        "gaia.toml:2: env.staging.deploy.hook: kubernetes needs a namespace; add namespace to the table. ",
    ),
    "an empty namespace": (
        '[env.staging.deploy]\nhook = "kubernetes"\ncontext = "qa"\nnamespace = ""\n',
        "gaia.toml:4: env.staging.deploy.namespace: expected",
    ),
    "a context for another hook": (
        '[env.staging.deploy]\nhook = "fly"\ncontext = "qa"\n',
        'gaia.toml:3: env.staging.deploy.context: the hook is fly; write hook = "kubernetes", or remove this key.',
    ),
    "a deadline of nothing": (
        '[env.staging.deploy]\nhook = "fly"\ndeadline = 0\n',
        "gaia.toml:3: env.staging.deploy.deadline: expected a number > 0",
    ),
    "no success": (
        '[env.staging.deploy]\nhook = "fly"\nconsecutive_successes = 0\n',
        "gaia.toml:3: env.staging.deploy.consecutive_successes: expected a whole number >= 1",
    ),
    "a sandbox that is deployed": (
        '[env.sandbox.deploy]\nhook = "fly"\n',
        "gaia.toml:1: env.sandbox.deploy: the sandbox cannot be deployed",
    ),
    "differences that are a word": (
        '[gaia]\nallowed_differences = "app"\n',
        "gaia.toml:2: gaia.allowed_differences: expected a list, got a string",
    ),
    "a folder that is a list": ("[gaia]\ndeploy_files = []\n", "gaia.toml:2: gaia.deploy_files: expected a string"),
}


@pytest.mark.parametrize(("text", "message"), USAGE_ERRORS.values(), ids=USAGE_ERRORS.keys())
def test_every_usage_error_is_named_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        settings(tmp_path, text)

    assert str(error.value).startswith(message)


def test_the_folder_is_what_the_project_says_or_its_own(tmp_path: Path) -> None:
    assert Project(tmp_path).deploy_folder.path == tmp_path
    (tmp_path / "gaia.toml").write_text('[gaia]\ndeploy_files = "deploy"\n', encoding="utf-8")
    assert Project(tmp_path).deploy_folder.path == tmp_path / "deploy"


def test_the_project_knows_what_may_differ(tmp_path: Path) -> None:
    (tmp_path / "gaia.toml").write_text('[gaia]\nallowed_differences = ["app", "env.LOG_LEVEL"]\n', encoding="utf-8")

    assert read_deploy_files(Project(tmp_path)).allowed.entries == ("app", "env.LOG_LEVEL")
    (tmp_path / "gaia.toml").write_text("", encoding="utf-8")
    assert read_deploy_files(Project(tmp_path)).allowed == Allowed()
