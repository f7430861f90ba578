"""Secrets do not show in anything that people or files see."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, resolve
from pytest_gaia.errors import ConfigError
from pytest_gaia.secrets.masks import Secret, mask_url
from tests.projects import ON_GAIA


def test_a_secret_shows_itself_only_when_asked() -> None:
    secret = Secret("hunter2")

    shown = f"{secret} {secret!r} {secret!s} {secret:>10} {[secret]} { ({'key': secret}) }"

    assert "hunter2" not in shown
    assert secret.reveal() == "hunter2"
    assert pickle.loads(pickle.dumps(secret)) == secret


def test_an_environment_shows_no_secret(tmp_path: Path) -> None:
    environ = {
        "GAIA_API_KEY": "hunter2-key",
        "GAIA_JWT_SECRET": "hunter2-jwt",
        "GAIA_TOKEN": "hunter2-token",
        "GAIA_DATABASE_URL": "postgresql://me:hunter2@h/d",
        "GAIA_NATS_URL": "nats://hunter2@h:4222",
    }

    (tmp_path / "gaia.toml").write_text(ON_GAIA, encoding="utf-8")
    environment = resolve(Options(project=Project(tmp_path), environ=environ, env="dev"))

    assert "hunter2" not in repr(environment)
    assert environment.url_of("nats") == "nats://hunter2@h:4222"


DSN = "postgresql://gaia:Top@Zuq99@127.0.0.1:5432/db"
NATS = "nats://gaia:Top@Zuq99@127.0.0.1:4222"
SOURCES = {
    "a variable": ({"GAIA_DATABASE_URL": DSN}, "", "", "GAIA_DATABASE_URL: postgres: "),
    "a variable of the environment": ({"GAIA_DEV_NATS_URL": NATS}, "", "", "GAIA_DEV_NATS_URL: "),
    "a service's variable": ({"GAIA_DEV_GATEWAY_URL": NATS.replace("nats", "http")}, "", "", "GAIA_DEV_GATEWAY_URL: "),
    ".env": ({}, f"GAIA_DATABASE_URL={DSN}\n", "", ".env:1: "),
    "gaia.toml": ({}, "", f'[env.dev]\nnats = "{NATS}"\n', "gaia.toml:2: "),
}


@pytest.mark.parametrize(("environ", "dotenv", "project", "place"), SOURCES.values(), ids=SOURCES)
def test_a_password_that_is_not_encoded_is_a_usage_error_from_every_source(
    tmp_path: Path, environ: dict[str, str], dotenv: str, project: str, place: str
) -> None:
    (tmp_path / ".env").write_text(dotenv)
    (tmp_path / "gaia.toml").write_text(project + ON_GAIA)

    with pytest.raises(ConfigError) as error:
        resolve(Options(project=Project(tmp_path), environ=environ, env="dev"))

    assert place in str(error.value)
    assert [part for part in ("Top", "Zuq") if part in str(error.value)] == []


def test_passwords_and_tokens_in_urls_are_masked() -> None:
    assert (
        mask_url("a nats://u:hunter2@h:1 b postgresql://u:hunter2@h/d") == "a nats://u:***@h:1 b postgresql://u:***@h/d"
    )
    assert mask_url("tls://hunter2@h:4222") == "tls://***@h:4222"
    assert mask_url("redis://h/0?password=hunter2&db=1") == "redis://h/0?password=***&db=1"
    assert mask_url("postgresql://u:hunter2@h/d?password=hunter2&x=1") == "postgresql://u:***@h/d?password=***&x=1"
    assert mask_url("http://localhost:8666/health") == "http://localhost:8666/health"
