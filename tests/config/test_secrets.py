"""Secrets do not show in anything that people or files see."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

from pytest_gaia.config.options import Options
from pytest_gaia.config.resolve import resolve
from pytest_gaia.config.secrets import Secret, mask_url

if TYPE_CHECKING:
    from pathlib import Path


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

    environment = resolve(Options(rootdir=tmp_path, environ=environ, env="dev"))

    assert "hunter2" not in repr(environment)
    assert environment.nats == "nats://hunter2@h:4222"


def test_passwords_and_tokens_in_urls_are_masked() -> None:
    assert (
        mask_url("a nats://u:hunter2@h:1 b postgresql://u:hunter2@h/d") == "a nats://u:***@h:1 b postgresql://u:***@h/d"
    )
    assert mask_url("tls://hunter2@h:4222") == "tls://***@h:4222"
    assert mask_url("http://localhost:8666/health") == "http://localhost:8666/health"
