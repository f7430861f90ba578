"""A compose file, read service by service."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.errors import ConfigError
from tests.config.reading import files_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_gaia.config.deployfiles.model import App

    Compose = Callable[[str], dict[str, App]]

WHOLE = """\
x-common: &common
  restart: unless-stopped
  environment: &variables
    LOG_LEVEL: ${LOG_LEVEL:-info}     # everybody's

services:
  gateway:
    <<: *common
    build:
      context: .
      dockerfile: gateway/Dockerfile
    ports: ["8666:8000"]
    environment:
      <<: *variables
      AUTH_SERVICE_URL: http://auth-service:8000
      WORKERS: 4
      TRACE: false
      FROM_SHELL:
    depends_on:
      db: {condition: service_healthy}
      auth-service:
        condition: service_started
    healthcheck:
      test: ["CMD", "curl", "-f", "http://localhost:8000/health"]
      interval: 30s
      timeout: 10s
      start_period: 1m30s
    deploy:
      replicas: 2
      resources:
        limits:
          memory: 512M

  auth-service:
    image: gaia/auth:1.2
    environment:
      - LOG_LEVEL=debug
      - FROM_SHELL
      - "URL=http://x/?a=b"
    depends_on: [db, bus]
    mem_limit: 1g

  bus:
    image: docker.io/library/nats:2.10-alpine
    command: ["-js"]

  db:
    image: postgres:15
    healthcheck:
      test: pg_isready -U gaia

  pgadmin:
    image: dpage/pgadmin4
    profiles: [tools]
"""


def test_services_go_by_the_platforms_names(compose: Compose) -> None:
    apps = compose(WHOLE)

    assert {service: app.name for service, app in apps.items()} == {
        "gateway": "gateway",
        "auth": "auth-service",
        "nats": "bus",
        "postgres": "db",
    }


def test_a_service_of_a_profile_is_not_started_and_not_read(compose: Compose) -> None:
    assert "pgadmin" not in compose(WHOLE)


def test_an_environment_is_a_table_or_a_list(compose: Compose) -> None:
    apps = compose(WHOLE)

    assert apps["gateway"].env == {
        "LOG_LEVEL": "info",
        "AUTH_SERVICE_URL": "http://auth-service:8000",
        "WORKERS": "4",
        "TRACE": "false",
    }
    assert apps["auth"].env == {"LOG_LEVEL": "debug", "URL": "http://x/?a=b"}


def test_every_value_knows_its_line_wherever_it_was_merged_from(compose: Compose) -> None:
    apps = compose(WHOLE)

    assert str(apps["gateway"].place("app")) == "deploy/docker-compose.yml:7: services.gateway"
    assert apps["gateway"].place("env", "LOG_LEVEL").line == 4
    assert str(apps["gateway"].place("env", "WORKERS")).endswith(":16: services.gateway.environment.WORKERS")
    assert str(apps["auth"].place("env", "URL")).endswith(":39: services.auth-service.environment.URL")
    assert apps["auth"].place("services", "auth-service", "mem_limit").line == 41


def test_a_service_knows_its_own_places_alone(compose: Compose) -> None:
    assert not [key for key in compose(WHOLE)["auth"].places if "gateway" in key]


def test_images_build_memory_and_dependencies(compose: Compose) -> None:
    apps = compose(WHOLE)

    assert (apps["gateway"].image, apps["gateway"].dockerfile) == (None, "gateway/Dockerfile")
    assert (apps["auth"].image, apps["auth"].dockerfile) == ("gaia/auth:1.2", None)
    assert (apps["gateway"].memory_mb, apps["auth"].memory_mb, apps["nats"].memory_mb) == (512, 1024, None)
    assert apps["gateway"].depends_on == ("postgres", "auth")
    assert apps["auth"].depends_on == ("postgres", "nats")


def test_a_health_check_that_asks_a_url_is_an_http_check(compose: Compose) -> None:
    served = compose(WHOLE)["gateway"].served[0]

    check = served.checks[0]
    assert (check.kind, check.port, check.path) == ("http", 8000, "/health")
    assert (check.interval, check.timeout, check.grace) == (30, 10, 90)
    assert (check.place.line, check.place.key) == (23, "services.gateway.healthcheck")
    assert (served.protocol, served.min_machines) == ("http", 2)


def test_a_service_without_ports_keeps_its_health_check(compose: Compose) -> None:
    served = compose(WHOLE)["postgres"].served

    assert [(each.kind, each.ports, each.checks[0].kind) for each in served] == [("expose", (), "command")]


def test_comments_are_kept_with_their_lines(compose: Compose) -> None:
    assert compose(WHOLE)["gateway"].comments == {4: "everybody's"}


@pytest.mark.parametrize(
    ("test", "kind", "path"),
    [
        ('["CMD-SHELL", "wget -qO- http://127.0.0.1:8000/health || exit 1"]', "http", "/health"),
        ("curl -f http://localhost:8000", "http", "/"),
        ("curl -f 'http://localhost:8000/api/health'", "http", "/api/health"),
        ('["CMD", "nc", "-z", "localhost", "8000"]', "command", None),
    ],
)
def test_a_health_check_is_understood_however_it_is_written(
    compose: Compose, test: str, kind: str, path: str | None
) -> None:
    apps = compose(f"services:\n  gateway:\n    expose: [8000]\n    healthcheck:\n      test: {test}\n")

    check = apps["gateway"].served[0].checks[0]
    assert (check.kind, check.path) == (kind, path)


@pytest.mark.parametrize("healthcheck", ['{test: ["NONE"]}', "{test: ls, disable: true}", "{interval: 3s}", "{}", ""])
def test_a_health_check_that_is_switched_off_is_none(compose: Compose, healthcheck: str) -> None:
    apps = compose(f"services:\n  gateway:\n    expose: [8000]\n    healthcheck: {healthcheck}\n")

    assert apps["gateway"].served[0].checks == ()


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${A:-b}", "b"),
        ("${A-b}", "b"),
        ("${A:-}", ""),
        ("x${A:-${B:-c}}y", "xcy"),
        ("${A}", "${A}"),
        ("$A", "$A"),
        ("${A:?must be set}", "${A:?must be set}"),
        ("$$A and $${B:-c}", "$A and ${B:-c}"),
        ("${A:-http://x:1/?y=z}", "http://x:1/?y=z"),
    ],
)
def test_of_a_variable_its_default_counts(compose: Compose, written: str, value: str) -> None:
    apps = compose(f"services:\n  gateway:\n    environment:\n      V: '{written}'\n")

    assert apps["gateway"].env["V"] == value


def test_no_variable_of_the_reader_counts(compose: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "of-the-reader")
    apps = compose("services:\n  gateway:\n    environment:\n      P: ${PASSWORD:-x}\n      Q: ${PASSWORD}\n")

    assert apps["gateway"].env == {"P": "x", "Q": "${PASSWORD}"}


OPEN = """\
services:
  gateway:
    mem_limit: $MEMORY
    deploy: {replicas: "${COPIES}"}
    environment: {P: "${PASSWORD}", Q: "${QUIET:-x}", R: "$PLAIN", S: "${NESTED:-${PLAIN}}", E: "${EMPTY-d}${EMPTY:-d}"}
    ports: ["${PORT}:8000"]
    healthcheck: {test: ls, interval: "$INTERVAL", timeout: "${TIMEOUT:?}", disable: "${OFF}"}
"""


def test_what_depends_on_a_variable_is_not_known_and_stops_nothing(compose: Compose) -> None:
    app = compose(OPEN)["gateway"]

    assert (app.memory_mb, app.served[0].min_machines, app.served[0].ports) == (None, None, ())
    assert [(each.interval, each.timeout) for each in app.served[0].checks] == [(None, None)]


@pytest.mark.parametrize("committed", [True, False])
def test_variables_of_a_committed_env_file_count(compose: Compose, folder: Path, committed: bool) -> None:
    variables = "MEMORY=512m\nCOPIES=2\nPASSWORD='a$b'\nPORT=8666\nINTERVAL=5s\nTIMEOUT=3s\nPLAIN=p\nEMPTY=\n"
    (folder / ".env").write_text(variables)
    for words in (["init", "-q"], ["add", ".env"], ["commit", "-qm", "x"]) if committed else ():
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=folder, check=True)
    # What was changed since is of this machine.
    (folder / ".env").write_text(f"{variables}PORT=9999\n")

    app = compose(OPEN)["gateway"]

    found = (app.memory_mb, app.served[0].min_machines, app.served[0].ports, app.served[0].checks[0].interval)
    assert found == ((512, 2, (8666,), 5) if committed else (None, None, (), None))
    known = {"P": "a$b", "Q": "x", "R": "p", "S": "p", "E": "d"}
    assert app.env == (
        known if committed else {**known, "P": "${PASSWORD}", "R": "$PLAIN", "S": "${NESTED:-${PLAIN}}", "E": "dd"}
    )


@pytest.mark.parametrize(
    ("test", "port", "path"),
    [
        ("curl -f http://localhost:$$PORT/health", None, "/health"),
        ("curl -f http://localhost:${PORT}/health", None, "/health"),
        ("curl -f http://$${HOST:-localhost}:$${PORT:-8000}/health?full=1", None, "/health?full=1"),
        ("curl -f http://localhost:${PORT:-8000}/health", 8000, "/health"),
    ],
)
def test_the_port_of_a_health_check_may_be_a_variable(compose: Compose, test: str, port: int | None, path: str) -> None:
    check = compose(f"services:\n  gateway:\n    healthcheck: {{test: '{test}'}}\n")["gateway"].served[0].checks[0]

    assert (check.kind, check.port, check.path) == ("http", port, path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("include: [a.yml]\nservices: {x: {image: y}}\n", "Without Compose, gaia does not read `include`."),
        ("services: {x: {extends: {service: y}}}\n", "Without Compose, gaia does not read `extends`."),
    ],
)
def test_a_part_that_is_not_read_is_named_where_the_platform_is_missing(compose: Compose, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        compose(text)


def test_a_name_goes_before_an_image(compose: Compose) -> None:
    apps = compose("services:\n  backup:\n    image: postgres:15\n  postgres:\n    image: postgres:15\n")

    assert set(apps) == {"backup", "postgres"}


@pytest.mark.parametrize("name", ["docker-compose.yml", "docker-compose.yaml", "compose.yaml", "compose.yml"])
def test_all_names_of_compose_files_are_known(name: str, folder: Path, write: Callable[[str, str], Path]) -> None:
    write(name, "services:\n  gateway: {image: g}\n")

    assert files_in(folder).deployment("local", "compose").apps[0].path.name == name


def test_of_several_compose_files_the_one_that_compose_takes_is_read(
    folder: Path, write: Callable[[str, str], Path]
) -> None:
    for name in ("docker-compose.yml", "compose.yaml"):
        write(name, "services: {gateway: {image: gateway}}\n")

    assert files_in(folder).deployment("local", "compose").apps[0].path.name == "compose.yaml"
