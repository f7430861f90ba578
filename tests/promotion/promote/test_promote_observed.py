"""Where nothing is deployed, a promotion observes: only if what runs is the release does it show anything."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.cli.app import run
from pytest_gaia.config.environment import DeploySettings
from pytest_gaia.promotion.ledger.statements import DeploymentPredicate, sha256_of
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.plan import environment_of, observed
from pytest_gaia.promotion.release.comparison import deploy_files
from pytest_gaia.promotion.release.kept import Component, Release, keep_release
from tests.config.reading import files_in
from tests.fake_tools import fake_tools
from tests.plugin.conftest import add_suite, project, server
from tests.plugin.deployer import CONFTEST
from tests.plugin.test_deploy_compose import FILE
from tests.repositories import Repository

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fake_tools import FakeTools
    from tests.plugin.conftest import ScriptedServer

pytestmark = pytest.mark.slow("processes")

__all__ = ["fake_tools", "project", "server"]

SETTINGS = '[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n[env.local.tolerance]\nmin_tests = 1\n'


def release_of(rootdir: Path, images: dict[str, str], commit: str) -> Release:
    """Keep a release of ``images`` (service → digest) and the deploy files."""
    files = deploy_files(files_in(rootdir))
    components = tuple(Component(service, f"gaia/{service}@{found}", found) for service, found in images.items())
    release = Release(
        created="2026-11-02T09:00:00+00:00",
        kind="local",
        commit=commit,
        authors=(),
        components=components,
        configs={name: sha256_of(content) for name, content in files.items()},
    )
    return keep_release(rootdir, release, files)


def test_the_local_platform_is_observed_before_and_after(
    project: pytest.Pytester, server: ScriptedServer, fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.path / "gaia.toml").write_text(SETTINGS)
    (project.path / "docker-compose.yml").write_text(FILE)
    project.makeconftest(CONFTEST)
    add_suite(project, "health", "def test_one(): pass\n")
    monkeypatch.setenv("GAIA_GATEWAY_URL", server.url)
    monkeypatch.chdir(project.path)
    subprocess.run(["docker", "compose", "up", "-d", "--wait"], check=True, capture_output=True)
    promotion = Promotion.here(project.path)
    environment, _ = environment_of(promotion, "local")
    assert environment.deploy == DeploySettings("compose")
    images = observed(environment, project.path, ("auth", "gateway"))
    repository = Repository(project.path, monkeypatch)
    repository.write(".gitignore", ".gaia/\n__pycache__/\n")
    commit = repository.commit()
    same = release_of(project.path, images, commit)
    other = release_of(project.path, images | {"auth": f"sha256:{'b' * 64}"}, commit)

    assert run(["promote", "local", same.short]) == 0
    assert run(["promote", "local", other.short]) == 1

    says = [entry.predicate for entry in promotion.ledger.entries() if isinstance(entry.predicate, DeploymentPredicate)]
    assert [each.outcome for each in says] == ["unchanged", "failed"]
    assert "did not run the release before the first test: auth" in says[1].reason
