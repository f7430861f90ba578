"""Credentials, addresses, databases and names, as plain texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_gaia.config.deployfiles.model import App
from pytest_gaia.config.deployfiles.read import Environments, as_environment
from pytest_gaia.preflight.files import addresses, databases, fly_app_of, said_region
from pytest_gaia.secrets.names import is_secret_name
from pytest_gaia.secrets.shapes import is_literal, is_placeholder, password_hosts, secret_shape


def app(**env: str) -> App:
    return App("gateway", "staging", "service", "gaia-gateway-staging", Path("fly.gateway.staging.toml"), env=env)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://gaia:s3cret@db/gaia",
        "x postgres+asyncpg://u:p@h:1/d y",
        "nats://user:pw@host",
        "-----BEGIN EC PRIVATE KEY-----",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLXNpZ25hdHVyZQ",
        "sk-ant-api03-" + "a" * 30,
        "sk-proj-" + "a" * 40,
        "FlyV1 fm2_" + "a" * 40,
        "fo1_" + "a" * 40,
        "github_pat_" + "a" * 40,
        "AKIA" + "A" * 16,
        "xoxb-1234567890-abc",
        "sbp_" + "0" * 40,
        "SUA" + "A" * 56,
    ],
)
def test_a_credential_is_known_by_its_shape(text: str) -> None:
    assert secret_shape(text)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://gaia@db/gaia",
        "postgresql://gaia:${PASSWORD}@db/gaia",
        "postgresql://${U:-a}:${P:-b}@db/gaia",
        "postgresql://gaia:***@db/gaia",
        "postgresql://gaia:<password>@db/gaia",
        "https://example.com/path:with@signs",
        "registry.fly.io/gaia@sha256:" + "a" * 64,
        "ghp_short",
        "skip-this-long-identifier-that-is-no-key-at-all",
        "ASK-" + "a" * 50,
    ],
)
def test_what_only_looks_like_a_credential_is_none(text: str) -> None:
    assert secret_shape(text) is None


@pytest.mark.parametrize(
    ("value", "literal"),
    [("s3cret", True), ("changeme", True), ("${A:-s3cret}", True), ("", False), ("disabled", False), ("${A}", False), ("$A", False),
     ("${A:?}", False), ("${{ secrets.A }}", False), ("/run/secrets/a", False), ("<set me>", False), ("***", False), ("true", False)],
)  # fmt: skip
def test_a_value_stands_for_itself_or_for_another(value: str, literal: bool) -> None:
    assert is_literal(value) is literal


@pytest.mark.parametrize(
    ("value", "is_so"),
    [
        ("dummy", True), ("DummyKey", True), ("test-secret-for-ci", True), ("postgres", True), ("changeme", True),
        ("s3cret", False), ("test-9f8a7b6c5d4e3f2a1b0c", False), ("SuperPassword", False), ("", False), ("test" * 100, False),
    ],
)  # fmt: skip
def test_a_placeholder_opens_nothing(value: str, is_so: bool) -> None:
    assert is_placeholder(value) is is_so


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("postgresql://a:b@localhost:5432/x", ["localhost"]),
        ("A=redis://:pw@127.0.0.1 B=nats://u:pw@db.example.com:4222", ["127.0.0.1", "db.example.com"]),
        ("http://u:p@[::1]:80/", ["::1"]),
        ("postgresql://a:${P}@example.com/x", []),
        ("https://localhost/x", []),
    ],
)
def test_the_host_that_a_password_is_for(text: str, hosts: list[str]) -> None:
    assert password_hosts(text) == hosts


@pytest.mark.parametrize(
    "text", ["a://" * 20_000, "eyJ" + "a" * 50_000, "sk-" + "-" * 50_000, "$" * 50_000, "KEY " * 10_000]
)
def test_a_hostile_text_is_looked_through_to_its_end(text: str) -> None:
    # A pattern that tries every way to fit would not come back.
    assert not is_secret_name(text)
    assert list(addresses(app(A=text))) == [] or text.startswith("a://")
    assert secret_shape(text) in (None, "an API key of OpenAI")


def test_addresses_are_taken_apart() -> None:
    (one,) = addresses(app(A="postgresql+asyncpg://u:p@TOP1.nearest.of.gaia-db-staging.internal:5432/gaia?x=1"))

    assert (one.scheme, one.host, one.path) == (
        "postgresql+asyncpg",
        "top1.nearest.of.gaia-db-staging.internal",
        "gaia",
    )
    assert one.is_database
    assert one.fly_app == "gaia-db-staging"
    assert [each.host for each in addresses(app(A="nats://a:4222, nats://[::1]:4222", B="plain", C="http:///x"))] == [
        "a",
        "[::1]",
    ]


def test_hosts_are_local_private_or_public() -> None:
    urls = ("http://[::1]:80", "http://127.1:80", "http://auth-service:80", "http://localhost.example.com")
    hosts = [one for url in urls for one in addresses(app(A=url))]

    assert [(one.is_local, one.is_private) for one in hosts] == [
        (True, True),
        (True, True),
        (False, True),
        (False, False),
    ]


def test_apps_and_environments_are_read_from_hosts() -> None:
    assert fly_app_of("gaia-auth-prod.fly.dev") == "gaia-auth-prod"
    assert fly_app_of("example.com") is None
    known = Environments({"pre-prod": "staging", "live": "production", "sandbox": "sandbox"})
    assert known.ending("gaia-auth-prod") == "prod"
    assert known.ending("gaia-auth-pre-prod") == "pre-prod"
    assert known.ending("staging") is None
    assert known.name("prod") == "production"
    assert known.name("preview") == "preview"
    assert [known.role(name) for name in ("prod", "pre-prod", "live", "preview", "sandbox")] == [
        *("production", "staging", "production", "", ""),
    ]
    assert known.in_text("deploy --env=LIVE fly.auth.pre-prod.toml alive prods") == ("live", "pre-prod")


def test_all_ways_to_one_server_are_one() -> None:
    urls = ("direct.abc.flympg.net", "pgbouncer.abc.flympg.net")
    assert {each.server for url in urls for each in databases(app(A=f"postgres://u@{url}/gaia"))} == {"abc"}
    ways = ("gaia-db.flycast", "gaia-db.internal", "lax.gaia-db.internal", "top2.nearest.of.gaia-db.internal")
    assert {each.server for way in ways for each in databases(app(A=f"postgres://u@{way}/gaia"))} == {"gaia-db"}


def test_databases_are_found_by_variables_too() -> None:
    (one,) = databases(app(PGHOST="db.example.com", PGDATABASE="gaia"))
    assert (one.server, one.name) == ("db.example.com", "gaia")
    assert list(databases(app(PGHOST="db", DATABASE_URL="postgres://u@db/gaia", B="postgres://localhost/x"))) == []


def test_a_region_is_said_by_a_variable_or_a_host() -> None:
    said = said_region(app(DATABASE_REGION="LAX"))
    assert said is not None
    assert said[0] == "lax"
    hosts = {"lax.gaia-db.internal": "lax", "top1.nearest.of.gaia-db.internal": None, "gaia-db.flycast": None}
    for host, region in hosts.items():
        assert [each.region for each in databases(app(A=f"postgres://{host}/x"))] == [region]


@pytest.mark.parametrize(
    ("text", "environment", "same"),
    [
        ("https://gaia-auth-staging.fly.dev", "staging", "https://gaia-auth-{environment}.fly.dev"),
        ("gaia-prod and production", "production", "gaia-{environment} and {environment}"),
        ("productive staging2", "production", "productive staging2"),
        ("reproduction", "production", "reproduction"),
    ],
)
def test_the_name_of_an_environment_is_taken_out_where_it_stands_alone(text: str, environment: str, same: str) -> None:
    assert as_environment(text, environment) == same
