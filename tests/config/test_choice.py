"""Which environment is chosen: command line, then variable, then address alone, then project, then the sandbox."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config.environment import Environment
from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, resolve, resolve_each, split_services
from pytest_gaia.errors import ConfigError
from pytest_gaia.secrets.masks import Secret
from tests.projects import ON_GAIA, SERVICES_OF_GAIA, gaia_platform

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def options(tmp_path: Path) -> Options:
    (tmp_path / "gaia.toml").write_text(
        '[gaia]\nenvironment = "preview"\nplatform = "gaia"\n[env.preview]\nurl = "https://{service}.preview.example"\n',
        encoding="utf-8",
    )
    return Options(project=Project(tmp_path), environ={})


def test_the_project_names_the_environment_when_nobody_else_does(options: Options) -> None:
    environment = resolve(options)

    assert (environment.name, environment.sources["name"]) == ("preview", "gaia.toml:2")


def test_a_variable_wins_over_the_project(options: Options) -> None:
    environment = resolve(replace(options, environ={"GAIA_ENV": "dev"}))

    assert (environment.name, environment.sources["name"]) == ("dev", "GAIA_ENV")


def test_dotenv_names_the_environment_like_a_variable(options: Options) -> None:
    (options.rootdir / ".env").write_text("\nGAIA_ENV=local\n", encoding="utf-8")

    environment = resolve(options)

    assert (environment.name, environment.sources["name"]) == ("local", ".env:2")


def test_the_command_line_wins_over_the_variable(options: Options) -> None:
    environment = resolve(replace(options, env="staging", environ={"GAIA_ENV": "dev"}))

    assert (environment.name, environment.sources["name"]) == ("staging", "--gaia-env")


def test_an_empty_variable_is_not_set(options: Options) -> None:
    assert resolve(replace(options, environ={"GAIA_ENV": "", "GAIA_GATEWAY_URL": ""})).name == "preview"


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("stagign", "did you mean staging? Known: dev, local, preview, production, sandbox, staging."),
        ("prod", "did you mean production?"),
        ("Staging", "did you mean staging?"),
        ("", "Known: dev,"),
        ("xyz", "Known: dev,"),
    ],
)
def test_an_unknown_environment_gets_the_nearest_name(options: Options, wrong: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(replace(options, env=wrong))

    assert str(caught.value).startswith(f"--gaia-env: unknown environment {wrong!r}; {hint}")


def test_an_unknown_environment_in_a_variable_names_the_variable(options: Options) -> None:
    with pytest.raises(ConfigError, match=r"^GAIA_ENV: unknown environment 'stagign'; did you mean staging"):
        resolve(replace(options, environ={"GAIA_ENV": "stagign"}))


def test_a_url_alone_makes_an_environment_that_may_not_be_written_to(options: Options) -> None:
    environment = resolve(replace(options, urls=("http://localhost:9000/",)))

    assert environment.name == "adhoc"
    assert environment.urls == {"gateway": "http://localhost:9000"}
    assert environment.required == ("gateway",)
    assert environment.services == ("gateway", "auth", "asset", "chat")
    assert not environment.writes
    assert environment.sources["name"] == environment.sources["urls.gateway"] == "--gaia-url"


def test_a_url_variable_alone_makes_an_environment_too(options: Options) -> None:
    environment = resolve(replace(options, environ={"GAIA_GATEWAY_URL": "http://localhost:9000"}))

    assert environment.name == "adhoc"
    assert environment.sources["name"] == environment.sources["urls.gateway"] == "GAIA_GATEWAY_URL"


def test_without_a_gateway_only_what_is_given_is_expected(options: Options) -> None:
    environment = resolve(replace(options, urls=("asset=http://localhost:9001", "nats=nats://localhost:4333")))

    assert environment.services == ("asset", "nats")
    assert environment.required == ("asset",)
    assert environment.url_of("nats") == "nats://localhost:4333"


def test_a_broker_alone_is_enough_to_test_messaging(options: Options) -> None:
    environment = resolve(replace(options, urls=("nats=nats://localhost:4333",)))

    assert environment.services == environment.required == ("nats",)


def test_the_environment_of_a_url_cannot_be_named_without_one(options: Options) -> None:
    with pytest.raises(ConfigError, match=r"^--gaia-env: adhoc is the environment of --gaia-url; add --gaia-url"):
        resolve(replace(options, env="adhoc"))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("gatway=http://x", "--gaia-url: unknown service 'gatway'; did you mean gateway?"),
        (
            "localhost:8666",
            "--gaia-url: gateway: 'localhost:8666' does not start with http:// or https://; did you mean",
        ),
        ("chat=", "--gaia-url: chat: '' does not start with"),
        ("nats=http://x", "--gaia-url: nats: not the URL of a NATS server"),
        ("http://me:hunter2@x", "--gaia-url: gateway: the URL of a service must not contain credentials"),
        ("me:hunter2@x", "--gaia-url: gateway: '***@x' does not start with"),
        ("nats=nats://me:hunter2#1@x:1", "--gaia-url: nats: 'nats://***@x:1' is not a URL"),
        ("http://x/?key=hunter2", "--gaia-url: gateway: expected a base URL"),
        ("postgres=postgresql://me:hunter2@x/d", "--gaia-url: the command line is visible to all users"),
    ],
)
def test_a_bad_url_is_named_and_its_credentials_are_not(options: Options, url: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(replace(options, urls=(url,)))

    assert str(caught.value).startswith(message)
    assert "hunter2" not in str(caught.value)


def test_two_urls_for_one_service_are_a_usage_error(options: Options) -> None:
    with pytest.raises(ConfigError, match=r"^--gaia-url: two different URLs for gateway"):
        resolve(replace(options, urls=("http://a", "gateway=http://b")))


def test_the_sandbox_takes_no_addresses(options: Options) -> None:
    with pytest.raises(ConfigError, match=r"^--gaia-url: the sandbox has its own addresses"):
        resolve(replace(options, env="sandbox", urls=("http://x",)))
    with pytest.raises(
        ConfigError, match=r"^GAIA_SANDBOX_NATS_URL: .*the sandbox has its own addresses; unset GAIA_SANDBOX_NATS_URL"
    ):
        resolve(replace(options, env="sandbox", environ={"GAIA_SANDBOX_NATS_URL": "nats://x"}))


def test_the_sandbox_ignores_what_variables_say_of_every_environment(options: Options) -> None:
    environ = {"GAIA_GATEWAY_URL": "http://x", "GAIA_DATABASE_URL": "postgresql://x/d", "GAIA_API_KEY": "k"}

    sandbox = resolve(replace(options, env="sandbox", environ=environ))

    assert sandbox.urls == {}
    assert sandbox.connections == {}
    assert sandbox.api_key is None


def test_a_simulated_keeps_the_shape_and_takes_no_secrets(options: Options) -> None:
    environ = {"GAIA_API_KEY": "k", "GAIA_STAGING_NATS_URL": "nats://x"}

    simulated = resolve(replace(options, env="staging", simulate=True, environ=environ))

    assert simulated.simulated
    assert simulated.sandbox
    assert simulated.label == "staging (SIMULATED on the sandbox)"
    assert simulated.services == ("gateway", "postgres")
    assert set(simulated.urls) == {"gateway"}
    assert "nats" in simulated.disabled
    assert simulated.api_key is None


@pytest.mark.parametrize(
    ("env", "urls", "message"),
    [
        ("sandbox", (), "^--gaia-simulate: sandbox cannot be simulated"),
        (None, ("http://x",), "^--gaia-simulate: adhoc cannot be simulated"),
        ("staging", ("http://x",), "^--gaia-url: --gaia-simulate runs on the sandbox, which has its own addresses"),
    ],
)
def test_what_cannot_be_simulated_is_said(
    options: Options, env: str | None, urls: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(replace(options, env=env, urls=urls, simulate=True))


def test_options_of_the_sandbox_need_the_sandbox(options: Options) -> None:
    with pytest.raises(
        ConfigError, match=r"^--gaia-sandbox-without: applies to the sandbox, but the environment is dev"
    ):
        resolve(replace(options, env="dev", sandbox_without=("asset",)))
    with pytest.raises(
        ConfigError, match=r"^--gaia-sandbox-no-known-bugs: applies to the sandbox, but the environment is dev"
    ):
        resolve(replace(options, env="dev", sandbox_fixed=True))
    assert resolve(replace(options, env="staging", simulate=True, sandbox_fixed=True)).simulated


def test_services_may_be_listed_with_commas() -> None:
    assert split_services(("asset, chat", "chat", "nats"), gaia_platform()) == ("asset", "chat", "nats")
    with pytest.raises(ConfigError, match=r"^--gaia-sandbox-without: unknown service 'assets'; did you mean asset"):
        split_services(("assets",), gaia_platform())


def test_known_environments_are_the_shipped_ones_and_the_projects(options: Options) -> None:
    assert Project(options.rootdir).environments == ("sandbox", "local", "dev", "staging", "production", "preview")


def test_one_broken_environment_does_not_hide_the_others(options: Options) -> None:
    with (options.rootdir / "gaia.toml").open("a", encoding="utf-8") as file:
        file.write("\n[env.empty]\nwrites = true\n")

    resolved = resolve_each(options)

    assert list(resolved) == ["sandbox", "local", "dev", "staging", "production", "preview", "empty"]
    assert isinstance(resolved["empty"], ConfigError)
    assert "environment empty has no address. Set `url` in [env.empty]" in str(resolved["empty"])
    assert not isinstance(resolved["preview"], Exception)


def test_apart_a_variable_without_an_environment_counts_for_the_one_in_use_alone(tmp_path: Path) -> None:
    (tmp_path / "gaia.toml").write_text(ON_GAIA, encoding="utf-8")
    variables = {
        "GAIA_ENV": "local",
        "GAIA_GATEWAY_URL": "http://127.0.0.1:7001",
        "GAIA_API_KEY": "k",
        "GAIA_STAGING_CHAT_URL": "http://127.0.0.1:7002",
    }

    found = resolve_each(Options(project=Project(tmp_path), environ=variables), apart=True)

    local, staging = found["local"], found["staging"]
    assert isinstance(local, Environment)
    assert isinstance(staging, Environment)
    assert (local.urls["gateway"], local.api_key) == ("http://127.0.0.1:7001", Secret("k"))
    assert (staging.urls["gateway"], staging.api_key) == ("https://gaia-gateway-staging.fly.dev", None)
    assert staging.urls["chat"] == "http://127.0.0.1:7002"


def test_apart_an_environment_that_only_a_variable_makes_is_among_them(tmp_path: Path) -> None:
    (tmp_path / "gaia.toml").write_text(SERVICES_OF_GAIA, encoding="utf-8")
    options = Options(project=Project(tmp_path), environ={"GAIA_GATEWAY_URL": "http://127.0.0.1:7001"})

    found = resolve_each(options, apart=True)["adhoc"]

    assert isinstance(found, Environment)
    assert found.urls == {"gateway": "http://127.0.0.1:7001"}
    assert "adhoc" not in resolve_each(options)
