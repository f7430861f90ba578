"""What two environments differ in, and which of it is allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config.project import Project
from pytest_gaia.errors import ConfigError
from pytest_gaia.preflight.difference import ASPECTS, check_allowed, difference
from pytest_gaia.preflight.reading import read_deploy_files
from tests.preflight.cases import A_PRODUCTION, A_STAGING, ENV, IMAGE
from tests.preflight.sets import CORRECTED, Change, changed
from tests.projects import gaia_platform

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pytest_gaia.preflight.difference import Row


def rows(directory: Path, allowed: Iterable[str] = (), left: str = "staging", right: str = "production") -> list[Row]:
    files = read_deploy_files(Project(directory))
    one, other = files.deployment(left), files.deployment(right)
    assert one is not None
    assert other is not None
    return difference(one, other, allowed)


def row(found: list[Row], service: str, aspect: str) -> Row:
    return next(each for each in found if (each.service, each.aspect) == (service, aspect))


def test_an_environment_does_not_differ_from_itself() -> None:
    assert rows(CORRECTED, left="staging", right="staging") == []


def test_values_stand_side_by_side_with_their_places() -> None:
    found = row(rows(CORRECTED), "auth", "memory")

    assert (found.left, found.right) == ("1024 MB", "2048 MB")
    assert str(found.left_place).startswith("fly.auth.staging.toml:")
    assert str(found.place).startswith("fly.auth.production.toml:")


def test_what_follows_the_name_of_the_environment_is_allowed() -> None:
    found = row(rows(CORRECTED), "gateway", "env.AUTH_SERVICE_URL")

    assert found.allowed_by == "environment"


@pytest.mark.parametrize(
    ("entry", "services"),
    [
        ("memory", {"gateway", "auth", "asset", "chat"}),
        ("chat.memory", {"chat"}),
        ("chat", {"chat"}),
        ("file", set()),
    ],
)
def test_an_entry_allows_an_aspect_of_all_services_or_of_one(entry: str, services: set[str]) -> None:
    found = [each for each in rows(CORRECTED, [entry]) if each.aspect == "memory"]

    assert {each.service for each in found if each.allowed} == services
    assert len(found) == 4


@pytest.mark.parametrize("entry", ["env", "env.LOG_LEVEL", "auth.env", "auth.env.LOG_LEVEL"])
def test_a_group_allows_its_parts(entry: str) -> None:
    assert row(rows(CORRECTED, [entry]), "auth", "env.LOG_LEVEL").allowed_by == entry


def test_a_service_that_one_lacks_is_one_row(tmp_path: Path) -> None:
    found = [each for each in rows(changed(tmp_path, Change(A_STAGING, "", ""))) if each.service == "auth"]

    assert [(each.aspect, each.left, each.right) for each in found] == [("service", None, "gaia-auth-production")]


def test_any_key_of_the_file_counts(tmp_path: Path) -> None:
    change = Change(A_PRODUCTION, "[[vm]]", '[http_service.concurrency]\ntype = "requests"\nhard_limit = 250\n\n[[vm]]')

    found = rows(changed(tmp_path, change))

    assert row(found, "auth", "file.http_service.concurrency.hard_limit").right == "250"
    assert row(found, "auth", "file.http_service.concurrency.type").left is None


def test_the_same_value_written_otherwise_is_no_difference(tmp_path: Path) -> None:
    change = Change(A_PRODUCTION, 'memory = "2gb"', "memory_mb = 1024")

    found = [each.aspect for each in rows(changed(tmp_path, change)) if each.service == "auth"]

    assert "memory" not in found


def test_secrets_are_masked_and_still_differ(tmp_path: Path) -> None:
    changes = [
        Change(
            A_STAGING,
            'ENVIRONMENT = "staging"',
            'ENVIRONMENT = "staging"\nJWT_SECRET = "one"\nDB = "postgres://u:one@h.x/d"',
        ),
        Change(A_PRODUCTION, ENV, f'{ENV}\nJWT_SECRET = "two"\nDB = "postgres://u:two@h.x/d"'),
    ]

    found = rows(changed(tmp_path, *changes))

    secret, address = row(found, "auth", "env.JWT_SECRET"), row(found, "auth", "env.DB")
    assert (secret.left, secret.right) == ("***", "***")
    assert (address.left, address.right) == ("postgres://u:***@h.x/d", "postgres://u:***@h.x/d")


def test_environments_of_two_tools_are_compared_by_what_they_come_to() -> None:
    found = rows(CORRECTED, left="local", right="staging")

    assert row(found, "gateway", "env.AUTH_SERVICE_URL").left == "http://auth-service:8000"
    assert not [each for each in found if each.aspect.startswith("file.")]


def test_every_aspect_that_occurs_is_in_the_vocabulary(tmp_path: Path) -> None:
    found = rows(changed(tmp_path, Change(A_PRODUCTION, IMAGE, 'dockerfile = "D"')), left="local", right="production")

    assert {each.aspect.partition(".")[0] for each in found} <= set(ASPECTS)


@pytest.mark.parametrize(
    "entry", ["app", "env.ANYTHING", "file.deploy.wait_timeout", "chat", "chat.memory", "auth.env.X"]
)
def test_entries_that_can_differ_are_taken(entry: str) -> None:
    check_allowed([entry], "gaia.toml:2", gaia_platform())


@pytest.mark.parametrize(
    ("entry", "help_"),
    [("memroy", "did you mean memory?"), ("chat.memroy", "Known:"), ("cht", "did you mean chat?"), ("", "Known:")],
)
def test_an_entry_that_names_nothing_is_a_usage_error(entry: str, help_: str) -> None:
    with pytest.raises(ConfigError, match="names nothing that can differ") as caught:
        check_allowed([entry], "gaia.toml:2", gaia_platform())

    assert str(caught.value).startswith("gaia.toml:2: allowed_differences: ")
    assert help_ in str(caught.value)
