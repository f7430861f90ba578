"""Which environment a run gets, and where each of its values came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, resolve, resolve_each
from pytest_gaia.config.tolerance import Tolerance
from pytest_gaia.errors import ConfigError, NotConfigured
from tests.projects import ON_GAIA, SERVICES_OF_GAIA, gaia_platform

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
    simulate: bool = False,
) -> Environment:
    (root / "gaia.toml").write_text(ON_GAIA, encoding="utf-8")
    return resolve(Options(project=Project(root), environ=environ or {}, env=env, urls=urls, simulate=simulate))


def test_nothing_said_means_the_sandbox_which_has_no_addresses_yet(tmp_path: Path) -> None:
    environment = resolved(tmp_path)

    assert environment.name == "sandbox"
    assert environment.sandbox
    assert environment.writes
    assert environment.urls == {}
    assert environment.services == gaia_platform().usual
    assert environment.sources["name"] == "default"


def test_the_environments_of_the_platform_are_shipped(tmp_path: Path) -> None:
    assert Project(tmp_path).environments == ("sandbox", "local", "dev", "staging", "production")


def test_local_compose_exposes_gateway_and_broker(tmp_path: Path) -> None:
    local = resolved(tmp_path, env="local")

    assert local.urls == {"gateway": "http://localhost:8666"}
    assert local.url_of("nats") == "nats://localhost:4222"
    assert local.services == gaia_platform().usual


def test_dev_has_an_address_for_every_service(tmp_path: Path) -> None:
    dev = resolved(tmp_path, env="dev")

    assert dev.urls == {name: f"https://gaia-{name}-dev.fly.dev" for name in ("gateway", "auth", "asset", "chat")}


@pytest.mark.parametrize("name", ["staging", "production"])
def test_a_gateway_only_deployment_has_one_address_and_no_broker(tmp_path: Path, name: str) -> None:
    environment = resolved(tmp_path, env=name)

    assert environment.services == ("gateway", "postgres")
    assert environment.urls == {"gateway": f"https://gaia-gateway-{name}.fly.dev"}
    assert environment.services == ("gateway", "postgres")
    assert "nats" in environment.disabled
    assert not environment.has("nats")


def test_production_is_read_only_but_may_chat(tmp_path: Path) -> None:
    production = resolved(tmp_path, env="production")

    assert not production.writes
    assert not production.experimental
    assert production.platform["gateway"].allows("POST", "/api/v0.2/chat")
    assert not production.platform["auth"].allows("POST", "/api/v0.2/chat")
    assert production.suites is not None
    assert "chat" in production.suites
    assert "personas" not in production.suites


BUILT_IN = ("local", "dev", "staging", "production")


@pytest.mark.parametrize(
    "text", [None, "", '[gaia]\nplatform = "none"\n', '[services.web]\n[env.preview]\nurl = "http://x"\n']
)
def test_a_project_that_does_not_ask_for_gaia_has_nothing_of_it(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "gaia.toml").write_text(text, encoding="utf-8")
    variables = {"GAIA_API_KEY": "k", "GAIA_DATABASE_URL": "postgresql://db.example/d"}

    found = resolve_each(Options(project=Project(tmp_path), environ=variables))

    assert all(isinstance(found[name], NotConfigured) for name in BUILT_IN)
    assert "fly.dev" not in repr(found)
    assert "localhost" not in repr(found)


@pytest.mark.parametrize("simulate", [False, True])
@pytest.mark.parametrize("name", BUILT_IN)
def test_an_environment_that_has_only_a_name_is_not_configured(tmp_path: Path, name: str, simulate: bool) -> None:
    options = Options(project=Project(tmp_path), environ={"GAIA_API_KEY": "k"}, env=name, simulate=simulate)

    with pytest.raises(NotConfigured) as caught:
        resolve(options)

    message = str(caught.value)
    assert caught.value.exit_code == 4
    assert message.startswith(f"--gaia-env: the environment {name} is not configured. ")
    assert f'url = "https://…" to [env.{name}]' in message
    assert message.endswith("`gaia init` writes both.")
    assert "\n" not in message


def test_a_table_without_an_address_is_a_usage_error_that_lists_do_not_leave_out(tmp_path: Path) -> None:
    (tmp_path / "gaia.toml").write_text("[env.staging]\nwrites = true\n", encoding="utf-8")

    with pytest.raises(ConfigError, match="the environment staging is not configured") as caught:
        resolve(Options(project=Project(tmp_path), environ={}, env="staging"))

    assert not isinstance(caught.value, NotConfigured)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ('[env.production]\nurl = "https://shop.example"\n', {}),
        ("", {"urls": ("https://shop.example",)}),
        ("", {"environ": {"GAIA_PRODUCTION_GATEWAY_URL": "https://shop.example"}}),
    ],
)
def test_an_address_configures_a_name_and_what_follows_the_name_stays_strict(
    tmp_path: Path, text: str, options: dict[str, object]
) -> None:
    (tmp_path / "gaia.toml").write_text(text + SERVICES_OF_GAIA, encoding="utf-8")

    production = resolve(Options(**{"project": Project(tmp_path), "environ": {}, "env": "production", **options}))  # type: ignore[arg-type]  # the values are those of its fields

    assert production.urls == {"gateway": "https://shop.example"}
    assert (production.writes, production.experimental, production.core_only) == (False, False, True)
    assert production.tolerance == Tolerance(kind="strict", budget=0, xfail="fail", skip="fail")
    assert production.stage.require_signed
    assert (production.hosts, production.suites) == ((), None)


@pytest.mark.parametrize("name", ["local", "dev", "staging"])
def test_without_the_platform_writing_is_permitted_by_the_project_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / "gaia.toml").write_text(
        f'[env.{name}]\nurl = "https://shop.example"\n{SERVICES_OF_GAIA}', encoding="utf-8"
    )

    assert not resolve(Options(project=Project(tmp_path), environ={}, env=name)).writes


def test_a_project_without_services_meets_none_of_gaia(tmp_path: Path) -> None:
    alone = resolve(Options(project=Project(tmp_path), environ={}))

    assert (alone.services, alone.platform.names, alone.required) == ((), (), ())
    with pytest.raises(ConfigError, match="declares no HTTP service that this URL could belong to"):
        resolve(Options(project=Project(tmp_path), environ={}, urls=("http://x",)))
