"""The texts that people read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import Auth, Kind, Platform, Service
from pytest_gaia.config.stages import Stage
from pytest_gaia.observation.readiness import UNREACHABLE, ServiceState
from pytest_gaia.report.layout import aligned, remaining
from pytest_gaia.report.services import header, missing, not_ready, reasons, service_table
from pytest_gaia.secrets.masks import Secret
from tests.projects import gaia_environment


def test_columns_begin_at_the_same_place_and_lines_have_no_end_spaces() -> None:
    assert aligned([("a", "ready", ""), ("long", "x", "y")]) == ["a     ready", "long  x      y"]
    assert aligned([]) == []
    assert aligned([("宽", "wide"), ("abc", "narrow")]) == ["宽   wide", "abc  narrow"]


@pytest.mark.parametrize(
    ("days", "text"),
    [(2, "2 days left"), (1, "1 day left"), (0, "ended today"), (-1, "ended 1 day ago"), (-2, "ended 2 days ago")],
)
def test_how_much_longer_an_expectation_holds(days: int, text: str) -> None:
    assert remaining(days) == text


def test_the_header_says_who_chose_the_environment() -> None:
    environment = gaia_environment("dev", sources={"name": "GAIA_ENV"}, api_key=Secret("k"))

    assert header(environment) == [
        "gaia: environment dev (GAIA_ENV), services: gateway, auth, asset, chat, nats, postgres"
    ]


def test_a_long_list_of_services_is_cut() -> None:
    environment = Environment("dev", services=tuple(f"s{number}" for number in range(30)))

    assert header(environment)[0].endswith(", s10, s11 and 18 more")


def test_a_missing_key_is_said_with_the_variable_to_set() -> None:
    urls = {"gateway": "https://g", "auth": "https://a"}
    lines = "\n".join(header(gaia_environment("dev", urls=urls)))

    assert lines.count("gaia: no API key: set GAIA_DEV_API_KEY, GAIA_API_KEY or a line in .env") == 1


def test_only_a_declared_credential_is_missed_in_another_project() -> None:
    own = (Auth("TOKEN", "authorization", "Bearer"),)
    described = (
        Service("orders", variable="ORDERS", place="gaia.toml:1"),
        Service("web", variable="WEB", auth=(), place="gaia.toml:2"),
        Service("pay-api", variable="PAY_API", auth=own, external=True, place="gaia.toml:3"),
    )
    platform = Platform({each.name: each for each in described})
    environment = Environment("qa", platform=platform, urls={each: f"https://{each}" for each in platform})

    assert [each for each in header(environment) if "credential" in each or "key" in each] == [
        "gaia: no credential for pay-api: set GAIA_QA_PAY_API_TOKEN or a line in .env"
    ]
    known = replace(environment, credentials={"pay-api.token": Secret("t")})
    assert "no credential" not in "\n".join(header(known))


def test_the_request_and_the_source_of_every_kind_are_named() -> None:
    kinds: tuple[Kind, ...] = ("http", "postgres", "nats", "redis", "amqp", "tcp")
    services = {f"one-{kind}": Service(f"one-{kind}", kind, variable="ONE", health="/ready") for kind in kinds}
    environment = Environment("qa", platform=Platform(services), sources={"urls.one-redis": ".env:7"})
    states = [ServiceState(name, UNREACHABLE, "http://h/base", "refused", 1, 1.0) for name in services]

    lines = not_ready(environment, states, 5)

    assert [line.split(": ")[1].split(",")[0] for line in lines if "tried" in line] == [
        "GET /base/ready",
        "connection to PostgreSQL",
        "PING to NATS",
        "PING to Redis",
        "AMQP 0-9-1 header",
        "connection",
    ]
    assert "  one-redis: http://h/base (.env:7): refused" in lines
    assert "--gaia-url SERVICE=URL or GAIA_ONE_URL" in "".join(lines)


def test_the_header_says_that_an_unknown_address_is_no_evidence() -> None:
    stub = gaia_environment("staging", urls={"gateway": "http://localhost:9000"}, stage=Stage(previous="dev"))

    assert [line for line in header(stub) if "no evidence for a promotion: gateway at localhost:9000 is" in line]
    for other in (replace(stub, loopback=True), replace(stub, sandbox=True, simulated=True)):
        assert "no evidence" not in "\n".join(header(other))


def test_a_rehearsal_says_so() -> None:
    environment = gaia_environment("staging", simulated=True, sandbox=True)

    assert "staging (SIMULATED on the sandbox)" in header(environment)[0]
    assert "staging (SIMULATED on the sandbox)" in service_table(environment, [])[0]


def test_the_release_is_what_the_environment_says_or_what_was_observed() -> None:
    observed = [ServiceState("gateway", "ready", "http://gateway", version="0.2")]

    assert service_table(gaia_environment("dev"), observed)[0] == "gaia: dev, version: 0.2"
    assert service_table(gaia_environment("dev", release="2026.11"), observed)[0] == "gaia: dev, version: 2026.11"


def test_what_is_missing_is_required_and_either_away_or_unsettled() -> None:
    states = [
        ServiceState("gateway", "unsettled", settled=False),
        ServiceState("auth", "unreachable"),
        ServiceState("chat", "unreachable"),
        ServiceState("asset", "via gateway"),
        ServiceState("nats", "degraded"),
    ]
    environment = gaia_environment("dev", required=("gateway", "auth", "asset", "nats"))

    assert [state.service for state in missing(environment, states)] == ["gateway", "auth"]


def test_a_service_that_responds_but_is_not_ready_is_not_unreachable() -> None:
    state = ServiceState("gateway", "unsettled", "http://g", "GET /health returned 503", 9, 45.0, settled=False)
    away = ServiceState("nats", "unreachable", "nats://n", "no response", 3, 1.0)
    environment = gaia_environment("dev", sources={"urls.gateway": "gaia.toml:3"})

    assert not_ready(environment, [state], 45) == [
        "gaia: dev is not ready; no test ran.",
        "  gateway: http://g (gaia.toml:3): GET /health returned 503",
        "    tried: GET /health, 9 times in 45.0 s (deadline 45 s)",
        "  fix: `gaia status dev --watch` shows the progress, `gaia logs dev` the reason;",
        "       to wait longer, raise `ready` in [env.dev.timeouts] of gaia.toml.",
    ]
    assert not_ready(environment, [state, away], 45)[0] == "gaia: dev is unreachable; no test ran."
    assert "    tried: PING to NATS, 3 times in 1.0 s (deadline 45 s)" in not_ready(environment, [away], 45)


def test_a_required_service_without_an_address_is_missing() -> None:
    environment = gaia_environment("dev", required=("gateway", "postgres"))
    states = [ServiceState("gateway", "ready"), ServiceState("postgres", "not configured")]

    assert missing(environment, states) == (states[1],)
    assert missing(replace(environment, sandbox=True), states) == ()
    assert reasons([states[1]]) == "postgres: not configured"
    assert not_ready(environment, [states[1]], 5)[:2] == [
        "gaia: dev is unreachable; no test ran.",
        "  postgres: no address is known",
    ]
    assert "GAIA_DATABASE_URL" in not_ready(environment, [states[1]], 5)[2]


def test_what_to_do_is_that_of_the_cause() -> None:
    environment = gaia_environment("x", sources={"urls.nats": "GAIA_NATS_URL", "urls.postgres": ".env:3"})
    certificate = ServiceState("gateway", UNREACHABLE, "https://g", "not trusted", 3, 1.0, remedy="set SSL_CERT_FILE.")
    broker = ServiceState("nats", UNREACHABLE, "tls://n", "no TLS", 3, 1.0, remedy="write the URL with nats://.")
    database = ServiceState("postgres", UNREACHABLE, "postgresql://d", "refused", 3, 1.0)

    assert not_ready(environment, [certificate], 5)[-1] == "  fix: set SSL_CERT_FILE."
    assert not_ready(environment, [certificate, broker], 5)[-2:] == [
        "  fix: gateway: set SSL_CERT_FILE.",
        "       nats: write the URL with nats://.",
    ]
    lines = not_ready(environment, [broker, database], 5)
    assert "  nats: tls://n (GAIA_NATS_URL): no TLS" in lines
    assert "  postgres: postgresql://d (.env:3): refused" in lines
    assert lines[-3] == "  fix: nats: write the URL with nats://."
    assert "GAIA_DATABASE_URL" in lines[-2]
    assert "--gaia-url" not in lines[-2]
