"""Whole sets of files: broken ones, correct ones, and files with every feature."""

from __future__ import annotations

import pytest

from pytest_gaia.preflight.lint import ALL_CHECKS
from tests.preflight.sets import BROKEN, CORRECTED, FEATURES, look, marked, spots

LISTED = [
    ("production uses staging's database", "shared-database", "fly.gateway.production.toml", "DATABASE_URL"),
    ("a database password in the file", "credential", "fly.gateway.production.toml", "DATABASE_URL"),
    ("a region that is not the database's", "database-region", "fly.auth.production.toml", "primary_region"),
    ("localhost under a claim of microservices", "localhost-url", "fly.gateway.production.toml", "AUTH_SERVICE_URL"),
    ("gaia-gateway-prod next to …-production", "environment-spelling", "fly.prod.toml", "gaia-gateway-prod"),
    ("a check on no served port", "check-off-port", "fly.gateway.production.toml", "[[services.http_checks]]"),
    ("NATS behind http_service", "broker-behind-http", "fly.nats.production.toml", "[http_service]"),
    ("an image rebuilt by its file", "rebuilt-image", "fly.auth.production.toml", "dockerfile"),
    ("an image rebuilt by CI", "rebuilt-per-environment", ".github/workflows/deploy.yml", "fly.auth.production.toml"),
    ("production without staging", "unguarded-production", ".github/workflows/deploy.yml", "deploy-production:"),
    ("sleep as readiness", "sleep-as-readiness", ".github/workflows/deploy.yml", "sleep 60"),
    ("an automatic rollback", "automatic-rollback", ".github/workflows/deploy.yml", "rollback production"),
]


@pytest.mark.parametrize(("check", "file", "needle"), [row[1:] for row in LISTED], ids=[row[0] for row in LISTED])
def test_each_usage_error_that_the_platform_made_is_found(check: str, file: str, needle: str) -> None:
    lines = (BROKEN / file).read_text(encoding="utf-8").splitlines()

    found = {spot.line for spot in spots(look(BROKEN)) if (spot.file, spot.check) == (file, check)}

    assert any(needle in lines[line - 1] for line in found)


def test_exactly_what_is_wrong_is_found_in_the_broken_set() -> None:
    assert spots(look(BROKEN)) == marked(BROKEN)


@pytest.mark.parametrize("name", sorted(each.name for each in FEATURES.iterdir()))
def test_exactly_what_is_wrong_is_found_in_files_with_the_features_of_public_ones(name: str) -> None:
    assert spots(look(FEATURES / name)) == marked(FEATURES / name)


def test_the_broken_set_has_nearly_every_usage_error() -> None:
    # Where the region of the database is known, every app is compared with it, and not with the others.
    assert {check.id for check in ALL_CHECKS} - {spot.check for spot in marked(BROKEN)} == {"split-regions"}


def test_nothing_is_found_in_the_corrected_set() -> None:
    assert look(CORRECTED) == []


def test_no_secret_is_shown() -> None:
    shown = " ".join(f"{each.text} {each.why} {each.fix} {each.place}" for each in look(BROKEN))

    assert not [secret for secret in ("hunter2", "6f1d3c0b2a", "sk-ant-api03", "fo1_") if secret in shown]


def test_every_finding_says_what_why_and_what_to_do() -> None:
    for each in look(BROKEN):
        assert each.place.line >= 1
        assert all(text.strip() for text in (each.text, each.why, each.fix))
        assert not each.text.endswith("."), each.text


@pytest.mark.parametrize("environment", ["local", "dev", "staging", "production"])
def test_one_environment_is_looked_at_alone(environment: str) -> None:
    everything = look(BROKEN)
    own = look(BROKEN, environment)

    assert [each for each in everything if each.environment == environment] == [e for e in own if e.environment]
    assert {each.environment for each in own} <= {environment, None}
    assert len(own) < len(everything)
