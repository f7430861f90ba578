"""How the fake ``docker compose`` reads a compose file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml

from ci.fakes.replay.compose_file import FileError, load, read

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """\
# The platform on one machine.
name: gaia
x-common: &common
  restart: always
services:
  gateway:
    build:
      context: .
      dockerfile: "docker/gateway # not a comment"
    ports:
      - "8666:8000"
      - target: 9000
        published: "9001"
    depends_on:
      auth-service:
        condition: service_healthy
      db: {condition: service_started}
    environment:
      - DATABASE_URL=postgresql://gaia:gaia@db:5432/llm_platform
      - NATS_URL=nats://nats:4222   # the broker
    healthcheck:
      test: ["CMD", "curl", "-f",
             "http://localhost:8000/health"]
      interval: 10s
  auth-service:
    image: gaia/auth:dev
    depends_on: [db]
    deploy:
      replicas: 2
  db:
    image: 'postgres:15'
    ports:
    - 127.0.0.1:5432:5432
    healthcheck:
      disable: true
volumes:
  data:
"""


def as_text(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): as_text(each) for key, each in value.items()}
    if isinstance(value, list):
        return [as_text(each) for each in value]
    return value if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def test_it_reads_what_people_write_as_a_real_parser_does() -> None:
    assert read(TEXT)["services"] == as_text(yaml.safe_load(TEXT)["services"])


def test_json_is_yaml_too() -> None:
    assert read('{"services": {"db": {"image": "postgres:16"}}}') == {"services": {"db": {"image": "postgres:16"}}}


def test_services_have_what_matters(tmp_path: Path) -> None:
    (tmp_path / "compose.yml").write_text(TEXT)

    services = load([str(tmp_path / "compose.yml"), "-"], '{"services": {"auth-service": {"image": "gaia/auth:2"}}}')

    gateway, auth, db = (services[name] for name in ("gateway", "auth-service", "db"))
    assert (gateway.build, gateway.checked, gateway.ports) == (True, True, [8666, 9001])
    assert gateway.needs == {"auth-service": "service_healthy", "db": "service_started"}
    assert (auth.image, auth.replicas, auth.needs) == ("gaia/auth:2", 2, {"db": "service_started"})
    assert (db.image, db.checked, db.ports) == ("postgres:15", False, [5432])


@pytest.mark.parametrize(
    ("image", "becomes"),
    [
        ("gaia/auth:${GAIA_TAG}", "gaia/auth:v7"),
        ("gaia/auth:$GAIA_TAG", "gaia/auth:v7"),
        ("gaia/auth:${GAIA_OTHER:-latest}", "gaia/auth:latest"),
        ("gaia/auth:${GAIA_EMPTY-latest}", "gaia/auth:"),
        ("gaia/auth:$$GAIA_TAG", "gaia/auth:$GAIA_TAG"),
    ],
)
def test_variables_are_put_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: str, becomes: str) -> None:
    monkeypatch.setenv("GAIA_TAG", "v7")
    monkeypatch.setenv("GAIA_EMPTY", "")
    (tmp_path / "compose.yml").write_text(f"services:\n  auth:\n    image: {image}\n")

    assert load([str(tmp_path / "compose.yml")], "")["auth"].image == becomes


@pytest.mark.parametrize(
    ("text", "message", "code"),
    [
        ("services:\n\tauth:\n", "yaml: line 2: found character that cannot start any token", 15),
        ("services:\n  auth:\n    image: [\n", "yaml: line 3: did not find expected ',' or ']'", 15),
        ("services:\n  auth:\n    image: a:${T:?name it}\n", "required variable T is missing a value: name it", 15),
    ],
)
def test_usage_errors_are_reported_like_compose(tmp_path: Path, text: str, message: str, code: int) -> None:
    (tmp_path / "compose.yml").write_text(text)

    with pytest.raises(FileError, match=re.escape(message)) as raised:
        load([str(tmp_path / "compose.yml")], "")

    assert raised.value.code == code
