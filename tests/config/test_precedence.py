"""Where each value comes from: command line over variable over ``gaia.toml`` over what is shipped, key by key."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, resolve
from pytest_gaia.config.variables import Sourced
from pytest_gaia.errors import ConfigError, EnvironmentUnavailable
from tests.projects import ON_GAIA, SERVICES_OF_GAIA

if TYPE_CHECKING:
    from pathlib import Path

STAGING = """\
[env.staging]
url = "https://{service}.staging.example"
release = "2026.11"
timeouts = { response = 7 }
"""


@pytest.fixture
def options(tmp_path: Path) -> Options:
    (tmp_path / "gaia.toml").write_text(STAGING + ON_GAIA, encoding="utf-8")
    return Options(project=Project(tmp_path), environ={}, env="staging")


def test_the_project_file_lies_over_the_shipped_one_key_by_key(options: Options) -> None:
    staging = resolve(options)

    assert staging.urls == {"gateway": "https://gateway.staging.example"}
    assert staging.release == "2026.11"
    assert staging.services == ("gateway", "postgres")
    assert (staging.timeouts.response, staging.timeouts.connect) == (7.0, 5.0)
    assert {key: staging.sources[key] for key in ("urls.gateway", "release", "timeouts.response", "services")} == {
        "urls.gateway": "gaia.toml:2",
        "release": "gaia.toml:3",
        "timeouts.response": "gaia.toml:4",
        "services": "default",
    }


@pytest.mark.parametrize(("env", "others"), [("sandbox", ""), ("staging", STAGING.partition("\n")[2])])
def test_the_command_line_wins_for_the_concurrency(tmp_path: Path, env: str, others: str) -> None:
    (tmp_path / "gaia.toml").write_text(f"[env.{env}]\nconcurrency = 8\n{others}{ON_GAIA}", encoding="utf-8")
    of_file = Options(project=Project(tmp_path), environ={}, env=env)

    both = map(resolve, (of_file, replace(of_file, concurrency=Sourced("3", "--gaia-concurrency"))))

    assert [(each.concurrency, each.sources["concurrency"]) for each in both] == [
        (8, "gaia.toml:2"),
        (3, "--gaia-concurrency"),
    ]


@pytest.mark.parametrize("value", ["0", "101", "many", "-1", "1.5", "", "٣", "0000000010000"])
def test_another_number_of_concurrent_tests_is_a_usage_error(options: Options, value: str) -> None:
    with pytest.raises(ConfigError, match="--gaia-concurrency: expected a number from 1 to 100, got"):
        resolve(replace(options, concurrency=Sourced(value, "--gaia-concurrency")))


def test_each_place_wins_over_the_one_below(options: Options) -> None:
    variable = replace(options, environ={"GAIA_GATEWAY_URL": "https://variable.example"})
    specific = replace(options, environ={**variable.environ, "GAIA_STAGING_GATEWAY_URL": "https://specific.example"})
    line = replace(specific, urls=("gateway=https://line.example",))

    found = [(env.urls["gateway"], env.sources["urls.gateway"]) for env in map(resolve, (variable, specific, line))]

    assert found == [
        ("https://variable.example", "GAIA_GATEWAY_URL"),
        ("https://specific.example", "GAIA_STAGING_GATEWAY_URL"),
        ("https://line.example", "--gaia-url"),
    ]


def test_the_real_environment_wins_over_dotenv_and_the_specific_over_the_general(options: Options) -> None:
    (options.rootdir / ".env").write_text(
        "GAIA_API_KEY=general\n\nexport GAIA_STAGING_TOKEN='specific'\nGAIA_JWT_SECRET=file\n", encoding="utf-8"
    )

    staging = resolve(replace(options, environ={"GAIA_TOKEN": "general", "GAIA_JWT_SECRET": "real"}))

    assert staging.api_key is not None
    assert staging.token is not None
    assert staging.jwt_secret is not None
    assert [secret.reveal() for secret in (staging.api_key, staging.token, staging.jwt_secret)] == [
        "general",
        "specific",
        "real",
    ]
    assert [staging.sources[f"secrets.{key}"] for key in ("api_key", "token", "jwt_secret")] == [
        ".env:1",
        ".env:3",
        "GAIA_JWT_SECRET",
    ]


def test_the_key_of_one_environment_never_reaches_another(options: Options) -> None:
    staging = resolve(replace(options, environ={"GAIA_DEV_API_KEY": "dev", "GAIA_PRODUCTION_API_KEY": "production"}))

    assert staging.api_key is None
    assert "secrets.api_key" not in staging.sources


def test_a_dash_in_a_name_is_an_underscore_in_its_variables(options: Options) -> None:
    with (options.rootdir / "gaia.toml").open("a", encoding="utf-8") as file:
        file.write('[env.pre-prod]\nurl = "https://{service}.example"\n')

    environment = resolve(replace(options, env="pre-prod", environ={"GAIA_PRE_PROD_API_KEY": "k"}))

    assert environment.sources["secrets.api_key"] == "GAIA_PRE_PROD_API_KEY"


def test_five_lines_make_an_environment(options: Options) -> None:
    (options.rootdir / "gaia.toml").write_text(
        '[env.preview]\nurl = "https://{service}.preview.example"\nnats = "nats://nats.preview.example:4222"\n'
        'writes = true\nhosts = ["*.preview.example"]\n' + ON_GAIA,
        encoding="utf-8",
    )

    preview = resolve(replace(options, env="preview"))

    assert set(preview.urls) == {"gateway", "auth", "asset", "chat"}
    assert preview.writes
    assert preview.suites is None


def test_a_new_environment_may_not_be_written_to_unless_it_says_so(options: Options) -> None:
    (options.rootdir / "gaia.toml").write_text(
        '[env.preview]\nurl = "https://preview.example"\n' + SERVICES_OF_GAIA, encoding="utf-8"
    )

    preview = resolve(replace(options, env="preview"))

    assert not preview.writes
    assert preview.urls == {"gateway": "https://preview.example"}


def test_a_service_named_by_url_is_expected_whatever_the_topology(options: Options) -> None:
    staging = resolve(replace(options, urls=("asset=https://asset.staging.example",)))

    assert staging.services == ("gateway", "asset", "postgres")
    assert set(staging.urls) == {"gateway", "asset"}


def test_a_broker_given_by_variable_is_expected(options: Options) -> None:
    staging = resolve(replace(options, environ={"GAIA_STAGING_NATS_URL": "nats://me:hunter2@nats.example:4222"}))

    assert "nats" in staging.services
    assert staging.sources["urls.nats"] == "GAIA_STAGING_NATS_URL"
    assert staging.url_of("nats") == "nats://me:hunter2@nats.example:4222"
    assert "hunter2" not in repr(staging)


def test_a_broker_can_be_switched_off_by_variable(options: Options) -> None:
    local = resolve(replace(options, env="local", environ={"GAIA_NATS_URL": "disabled"}))

    assert not local.has("nats")
    assert "nats" not in local.services


def test_requiring_what_is_not_expected_is_a_usage_error(options: Options) -> None:
    (options.rootdir / "gaia.toml").write_text(
        '[env.staging]\nrequired = ["gateway", "chat"]\n' + ON_GAIA, encoding="utf-8"
    )

    with pytest.raises(ConfigError, match=r"^gaia\.toml:2: env\.staging\.required: chat is not one of the services"):
        resolve(options)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"GAIA_GATEWAY_URL": "staging.example"}, "GAIA_GATEWAY_URL: gateway: 'staging.example' does not start with"),
        ({"GAIA_NATS_URL": "off"}, "GAIA_NATS_URL: nats: not the URL of a NATS server"),
        ({"GAIA_API_KEY": "hunter2\n"}, "GAIA_API_KEY: api_key: contains a line break"),
        ({"GAIA_TOKEN": " hunter2"}, "GAIA_TOKEN: token: contains a line break, a control character, or spaces"),
        ({"GAIA_API_KEY": "hunter2é"}, "GAIA_API_KEY: api_key: contains a character outside of ASCII"),
        ({"GAIA_DATABASE_URL": "postgresql://me:hunter2@[::1/d"}, "GAIA_DATABASE_URL: postgres: not a URL; check"),
        ({"GAIA_DATABASE_URL": "postgresql://me@h:hunter2/d"}, "GAIA_DATABASE_URL: postgres: not a URL; check"),
        ({"GAIA_DATABASE_URL": "me:hunter2@h/d"}, "GAIA_DATABASE_URL: postgres: not the URL of a database"),
    ],
)
def test_a_bad_variable_is_named_and_its_value_is_not(options: Options, environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(replace(options, environ=environ))

    assert str(caught.value).startswith(message)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("env", "url", "owner"),
    [
        ("staging", "https://gaia-gateway-production.fly.dev", "production"),
        ("staging", "https://GAIA-gateway-production.fly.dev.:443/", "production"),
        ("staging", "chat=https://gaia-chat-dev.fly.dev", "dev"),
        ("staging", "nats=nats://gaia-nats-production.fly.dev:4222", "production"),
        (None, "https://gaia-gateway-production.fly.dev", "production"),
    ],
)
def test_a_host_of_another_environment_is_refused_before_anything_is_sent(
    options: Options, env: str | None, url: str, owner: str
) -> None:
    with pytest.raises(EnvironmentUnavailable, match=rf"which belongs to {owner}\. Nothing was sent") as caught:
        resolve(replace(options, env=env, urls=(url,)))

    assert caught.value.exit_code == 12
    assert f"--gaia-env={owner}" in str(caught.value)


def test_a_database_of_another_environment_is_refused_without_showing_its_password(options: Options) -> None:
    (options.rootdir / "gaia.toml").write_text(
        '[env.production]\nhosts = ["db.prod.example"]\n' + ON_GAIA, encoding="utf-8"
    )
    dsn = "postgresql://me:hunter2@a.example:5432,db.prod.example:5432/llm_platform"

    with pytest.raises(EnvironmentUnavailable, match=r"is db\.prod\.example, which belongs to production") as caught:
        resolve(replace(options, environ={"GAIA_DATABASE_URL": dsn}))

    assert "hunter2" not in str(caught.value)


def test_a_host_that_two_environments_share_belongs_to_both(options: Options) -> None:
    (options.rootdir / "gaia.toml").write_text(
        '[env.a]\nurl = "https://x.example"\nhosts = ["x.example"]\n[env.b]\nurl = "https://x.example"\nhosts = ["*.example"]\n'
        + SERVICES_OF_GAIA,
        encoding="utf-8",
    )

    assert resolve(replace(options, env="b")).urls == {"gateway": "https://x.example"}
