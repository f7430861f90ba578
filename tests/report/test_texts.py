"""The texts that people read."""

from __future__ import annotations

from pytest_gaia.config.environment import Environment
from pytest_gaia.config.secrets import Secret
from pytest_gaia.report.members import header, member_table
from pytest_gaia.report.table import aligned
from pytest_gaia.run.readiness import MemberState


def test_columns_begin_at_the_same_place_and_lines_have_no_end_spaces() -> None:
    assert aligned([("a", "ready", ""), ("long", "x", "y")]) == ["a     ready", "long  x      y"]
    assert aligned([]) == []


def test_the_header_says_who_chose_the_environment() -> None:
    environment = Environment("dev", sources={"name": "GAIA_ENV"}, api_key=Secret("k"))

    assert header(environment) == ["gaia: environment dev (from GAIA_ENV), topology microservices"]


def test_a_missing_key_is_said_with_the_variable_to_set() -> None:
    assert "GAIA_DEV_API_KEY" in "\n".join(header(Environment("dev")))


def test_a_rehearsal_says_so() -> None:
    environment = Environment("staging", rehearsal=True, sandbox=True)

    assert "staging (REHEARSAL on the sandbox)" in header(environment)[0]
    assert "staging (REHEARSAL on the sandbox)" in member_table(environment, [])[0]


def test_the_release_is_what_the_environment_says_or_what_was_observed() -> None:
    observed = [MemberState("gateway", "ready", "http://gateway", version="0.2")]

    assert member_table(Environment("dev"), observed)[0] == "gaia: dev, release: version 0.2"
    assert member_table(Environment("dev", release="2026.11"), observed)[0] == "gaia: dev, release: 2026.11"
