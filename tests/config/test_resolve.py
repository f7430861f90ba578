"""Which environment a run gets, and where each of its values came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config.options import Options
from pytest_gaia.config.platform import MEMBERS
from pytest_gaia.config.resolve import known_environments, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_gaia.config.environment import Environment


def resolved(
    root: Path,
    *,
    env: str | None = None,
    urls: tuple[str, ...] = (),
    environ: Mapping[str, str] | None = None,
    rehearse: bool = False,
) -> Environment:
    return resolve(Options(rootdir=root, environ=environ or {}, env=env, urls=urls, rehearse=rehearse))


def test_nothing_said_means_the_sandbox_which_has_no_addresses_yet(tmp_path: Path) -> None:
    environment = resolved(tmp_path)

    assert environment.name == "sandbox"
    assert environment.sandbox
    assert environment.writes
    assert environment.urls == {}
    assert environment.services == MEMBERS
    assert environment.sources["name"] == "default"


def test_the_environments_of_the_platform_are_shipped(tmp_path: Path) -> None:
    assert known_environments(tmp_path) == ("sandbox", "local", "dev", "staging", "production")


def test_local_compose_exposes_gateway_and_broker(tmp_path: Path) -> None:
    local = resolved(tmp_path, env="local")

    assert local.urls == {"gateway": "http://localhost:8666"}
    assert local.nats == "nats://localhost:4222"
    assert local.services == MEMBERS


def test_dev_has_an_address_for_every_service(tmp_path: Path) -> None:
    dev = resolved(tmp_path, env="dev")

    assert dev.urls == {name: f"https://gaia-{name}-dev.fly.dev" for name in ("gateway", "auth", "asset", "chat")}
    assert dev.topology == "microservices"


@pytest.mark.parametrize("name", ["staging", "production"])
def test_a_gateway_only_deployment_has_one_address_and_no_broker(tmp_path: Path, name: str) -> None:
    environment = resolved(tmp_path, env=name)

    assert environment.topology == "gateway-only"
    assert environment.urls == {"gateway": f"https://gaia-gateway-{name}.fly.dev"}
    assert environment.services == ("gateway", "postgres")
    assert environment.nats == "disabled"
    assert not environment.has_nats


def test_production_is_read_only_but_may_chat(tmp_path: Path) -> None:
    production = resolved(tmp_path, env="production")

    assert not production.writes
    assert not production.experimental
    assert "/api/v0.2/chat" in production.safe_posts
    assert production.suites is not None
    assert "chat" in production.suites
    assert "personas" not in production.suites
