"""Errors in files that the checks read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config.project import Project
from pytest_gaia.errors import ConfigError
from pytest_gaia.preflight.files import DEFAULT_ALLOWED, Claim
from pytest_gaia.preflight.lint import lint
from pytest_gaia.preflight.reading import read_deploy_files, with_secrets
from tests.preflight.sets import CORRECTED, Change, changed, spots
from tests.projects import gaia_platform

if TYPE_CHECKING:
    from pathlib import Path


def test_environments_come_in_the_order_of_promotion() -> None:
    files = read_deploy_files(Project(CORRECTED))

    assert [(each.environment, each.source) for each in files.deployments] == [
        ("local", "compose"),
        ("staging", "fly"),
        ("production", "fly"),
    ]


def test_a_project_without_files_has_none(tmp_path: Path) -> None:
    files = read_deploy_files(Project(tmp_path))

    assert files.deployments == ()
    assert files.allowed.entries == DEFAULT_ALLOWED
    assert lint(files) == []


def test_what_gaia_toml_says_is_kept_with_its_line() -> None:
    files = read_deploy_files(Project(CORRECTED))

    assert files.claims == dict.fromkeys(("staging", "production"), Claim(gaia_platform().usual))
    assert files.environments.role("production") == "production"
    assert files.secrets["staging"].names == ("DATABASE_URL", "SUPABASE_JWT_SECRET")
    assert files.secrets["staging"].place.line == 10
    assert files.allowed.place is not None
    assert files.allowed.place.line == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Change("fly.auth.staging.toml", 'app = "', "app = "), r"fly\.auth\.staging\.toml:1: not valid TOML"),
        (Change("fly.auth.staging.toml", 'app = "gaia-auth-staging"', ""), r"fly\.auth\.staging\.toml:1: .*app"),
        (Change("docker-compose.yml", "services:", "services: ]"), r"docker-compose\.yml:\d+: not valid YAML"),
        (Change(".gitlab-ci.yml", "stages: [", "stages: [["), r"\.gitlab-ci\.yml:\d+: not valid YAML"),
        (Change("gaia.toml", "[gaia]", '[gaia]\ndeploy_files = "gone"'), r"gone: folder of deploy files not found"),
        (
            Change("gaia.toml", '"autostop"', '"autostopp"'),
            r"gaia\.toml:2: allowed_differences: 'autostopp' names .*autostop\?",
        ),
    ],
)
def test_a_file_that_cannot_be_understood_is_told_with_its_line(change: Change, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_deploy_files(Project(changed(tmp_path, change)))

    assert re.search(said, str(caught.value)), str(caught.value)


def test_a_file_of_another_environment_that_cannot_be_read_is_left_out_and_noted(tmp_path: Path) -> None:
    directory = changed(tmp_path, Change("fly.auth.production.toml", 'app = "gaia-auth-production"', ""))

    files = read_deploy_files(Project(directory), ["staging"])

    assert [each.environment for each in files.deployments] == ["local", "staging"]
    assert [each.partition(" ")[0] for each in files.unread] == ["fly.auth.production.toml:1:"]
    with pytest.raises(ConfigError):
        read_deploy_files(Project(directory), ["production"])


def test_secrets_that_were_asked_for_and_are_not_set_are_found_at_their_list() -> None:
    files = read_deploy_files(Project(CORRECTED))
    every = {app.name for _, app in files.apps("fly")}
    some = with_secrets(files, {name: frozenset({"DATABASE_URL"}) for name in every})
    whole = with_secrets(files, {name: frozenset({"DATABASE_URL", "SUPABASE_JWT_SECRET"}) for name in every})

    assert {(spot.line, spot.check) for spot in spots(lint(some))} == {(10, "secret-unset"), (17, "secret-unset")}
    assert lint(whole) == []


def test_a_compose_file_that_only_includes_others_is_reported(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("include: [other.yml]\n", encoding="utf-8")

    (problem,) = read_deploy_files(Project(tmp_path)).unread

    assert problem.startswith("compose.yaml: no service of its own; run `docker compose config`")
