"""The decision about names of secrets, and every place that masks by it."""

from __future__ import annotations

import base64
import html
import json
import re
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote, quote_plus

import pytest

from pytest_gaia.cli.settings.values import masked
from pytest_gaia.config.deployfiles.model import App
from pytest_gaia.preflight.difference import described
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.signoff.page import redactor_of
from pytest_gaia.secrets.masks import MASK, unkeyed
from pytest_gaia.secrets.names import is_secret_name, is_secret_parameter
from pytest_gaia.secrets.redaction import Redactor, masker, secrets_around

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Show: TypeAlias = Callable[[str, str], str]
    """name and value of a variable → what is shown of it"""

SECRETS = [
    "PASSWORD",
    "PGPASSWORD",
    "DB_PASSWORD",
    "MYSQL_PWD",
    "SMTP_PASS",
    "KEY_PASSPHRASE",
    "JWT_SECRET",
    "JWT_SECRET_2",
    "FLY_API_TOKEN",
    "FLY_ACCESS_TOKEN",
    "TOKEN",
    "INPUT_TOKEN",
    "LAST_OUTPUT_TOKEN",
    "GROUP_KEY",
    "GAIA_SIGNING_KEY",
    "OPENAI_KEY",
    "OPENAI_API_KEY",
    "ENCRYPTION_KEY",
    "APIKEY",
    "SECRET_KEY",
    "SECRET_KEY_BASE",
    "KEY",
    "KEY_BASE64",
    "API_KEY_STAGING",
    "SSH_PRIVATE_KEY",
    "RSA_PRIVATE_KEY_PEM",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_CREDENTIALS",
    "SENTRY_DSN",
    "NPM_AUTH",
    "DOCKER_AUTH_CONFIG",
    "GITHUB_PAT",
    "AZURE_STORAGE_CONNECTION_STRING",
    "api_key",
    "apiKey",
    "clientSecret",
    "accessToken",
    "refresh_token",
    "id_token",
    "key_hash",
    "reset_code",
    "X-API-Key",
    "Set-Cookie",
    "Proxy-Authorization",
]

OTHERS = [
    "MAX_TOKENS",
    "TOKEN_TTL",
    "TOKENIZER",
    "token_type",
    "page_token",
    "total_tokens",
    "KEYCLOAK_URL",
    "MONKEY",
    "KEYBOARD",
    "KEYS",
    "KEY_ID",
    "AWS_ACCESS_KEY_ID",
    "PUBLIC_KEY",
    "NEXT_PUBLIC_ANON_KEY",
    "PRIMARY_KEY",
    "CACHE_KEY",
    "Idempotency-Key",
    "Sec-WebSocket-Key",
    "GAIA_SIGNING_KEY_FILE",
    "SSH_KEY_PATH",
    "SSH_AUTH_SOCK",
    "PASSWORD_MIN_LENGTH",
    "SECRET_NAME",
    "AUTHOR",
    "GIT_AUTHOR_NAME",
    "AUTH_URL",
    "auth_type",
    "STATUS_CODE",
    "error_code",
    "DATABASE_URL",
    "NATS_URL",
    "PATH",
    "BYPASS",
    "COMPASS",
    "code",
    "key",
    "auth",
    "signature",
]


@pytest.mark.parametrize("name", SECRETS)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)
    assert is_secret_parameter(name)


@pytest.mark.parametrize("name", OTHERS)
def test_names_of_other_things(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *((name, True) for name in ("sig", "signature", "code", "sid", "auth", "X-Internal-Auth", "X-Hub-Signature-256")),
        *((name, False) for name in ("X-Author", "status_code", "X-Status-Code", "design", "side", "Content-Type", "WWW-Authenticate")),
    ],
)  # fmt: skip
def test_headers_and_query_parameters_carry_more(name: str, secret: bool) -> None:
    assert is_secret_parameter(name) is secret


PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9m\nWG9qfSnF\n-----END PRIVATE KEY-----"
SECRET_VALUES = {
    **{name: f"gk-{number:03}-Zx81vQ" for number, name in enumerate(each for each in SECRETS if each.isupper())},
    "GAIA_SIGNING_KEY": PEM,
    "WORDS_PASSWORD": "correct horse battery",
    "BROKER_URL": "amqp://gaia:p4ssw0rd-of-url@broker:5672/x",
}
PLAIN_VALUES = {
    "GIT_AUTHOR_NAME": "Rita-Roe-1",
    "PUBLIC_KEY": "pk-0001-ab",
    "KEY_ID": "id-0002-cd",
    "STATUS_CODE": "E-0003-ef",
}


def of_a_deploy_tool(variables: dict[str, str], tmp_path: Path) -> Show:
    del tmp_path
    mask = masker(variables)
    return lambda name, value: "\n".join(mask(line) for line in f"{name}={value}".splitlines())


def of_a_deploy_tool_with_variables_of_its_own(variables: dict[str, str], tmp_path: Path) -> Show:
    del variables, tmp_path
    mask = masker({})
    return lambda name, value: "\n".join(mask(line) for line in f"      {name}: {value}".splitlines())


def of_a_run(variables: dict[str, str], tmp_path: Path) -> Show:
    del tmp_path
    redactor = Redactor()
    redactor.learn_all(secrets_around(variables))
    return lambda _, value: "\n".join(redactor.text(line) for line in value.splitlines())


def of_the_signoff_page(variables: dict[str, str], tmp_path: Path) -> Show:
    (tmp_path / "gaia.toml").write_text("")
    redactor = redactor_of(Promotion.here(tmp_path, variables))
    return lambda _, value: "\n".join(redactor.text(line) for line in value.splitlines())


def of_shown_deploy_files(variables: dict[str, str], tmp_path: Path) -> Show:
    del variables, tmp_path
    return masked


def of_compared_deploy_files(variables: dict[str, str], tmp_path: Path) -> Show:
    file = tmp_path / "fly.toml"
    app = App("gateway", "staging", "service", "gaia-gateway-staging", file, env=variables)
    return lambda name, _: described(app, raw=False)[f"env.{name}"].shown


PLACES = (
    *(of_a_deploy_tool, of_a_deploy_tool_with_variables_of_its_own, of_a_run, of_the_signoff_page),
    *(of_shown_deploy_files, of_compared_deploy_files),
)


@pytest.mark.parametrize("place", PLACES)
def test_every_place_masks_by_the_same_names(place: Callable[[dict[str, str], Path], Show], tmp_path: Path) -> None:
    show = place(SECRET_VALUES | PLAIN_VALUES, tmp_path)

    for name, value in SECRET_VALUES.items():
        shown = show(name, value)
        assert MASK in shown
        secret = "p4ssw0rd-of-url" if name == "BROKER_URL" else value
        assert [line for line in secret.splitlines() if line in shown and line[:5] != "-----"] == [], name
    assert {name: show(name, value) for name, value in PLAIN_VALUES.items() if value not in show(name, value)} == {}


SHAPED = {
    "BROKER_URL": ("amqp://gaia:Top1@Secret99@broker:5672/x", ("Top1", "Secret99")),
    "STORE": ("postgresql://gaia:To/p1:@Secret99@h/db", ("To/p1", "Secret99")),
    "BROKERS": ("nats://u:Top1@Secret99@a:4222,nats://Tok@en99@b:4222", ("Top1", "Secret99", "Tok", "en99")),
    "NOTE": ("ghp_0123456789abcdefghijABCDEFGHIJ012345", ("0123456789",)),
    "HINT": ("glpat-abcdefghij1234567890", ("abcdefghij",)),
    "SAID": ("xoxb-123456789012-abcdefghijkl", ("123456789012",)),
    "CERTIFICATE": (PEM.replace("\n", "\\n"), ("MC4CAQ", "WG9qfS")),
}
"""variables whose names say nothing: value, and what must not be seen of it"""


@pytest.mark.parametrize("place", PLACES)
def test_every_place_masks_by_the_same_shapes(place: Callable[[dict[str, str], Path], Show], tmp_path: Path) -> None:
    show = place({name: value for name, (value, _) in SHAPED.items()}, tmp_path)

    for name, (value, secrets) in SHAPED.items():
        shown = show(name, value)
        assert [secret for secret in secrets if secret in shown] == [], (name, shown)
        assert MASK in shown


VALUE = "Correct-Horse_9000 'battery' & staple"
FORMS = {
    "as it is": VALUE,
    "percent-encoded": quote(VALUE),
    "of a form": quote_plus(VALUE),
    "JSON": json.dumps(VALUE)[1:-1],
    "Python": repr(VALUE)[1:-1],
    "HTML": html.escape(VALUE),
    "Base64": base64.b64encode(VALUE.encode()).decode().rstrip("="),
    "Base32": base64.b32encode(VALUE.encode()).decode().rstrip("="),
    "hexadecimal": VALUE.encode().hex(),
    "upper case": VALUE.upper(),
    "cut": f"{VALUE[:12]}...{VALUE[-12:]}",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", [of_a_deploy_tool, of_a_run, of_the_signoff_page])
def test_every_place_that_knows_values_masks_them_in_every_form(
    place: Callable[[dict[str, str], Path], Show], form: str, tmp_path: Path
) -> None:
    shown = place({"DOOR_PASSWORD": VALUE}, tmp_path)("NOTE", f"it is {FORMS[form]}")

    assert re.search("[0-9A-Za-z]{4}", unkeyed(shown).removeprefix("NOTE=").removeprefix("it is ")) is None


def test_a_private_key_that_nobody_knows_is_masked_to_its_end() -> None:
    mask = masker({})

    shown = [unkeyed(mask(line)) for line in (*PEM.splitlines(), "done")]

    assert shown == ["***"] * 4 + ["done"]


@pytest.mark.parametrize("prefix", ["2026-11-29T10:00:00Z ", "    | ", "web-1  | INFO ", '  "'])
def test_a_private_key_is_masked_behind_the_prefix_of_each_line(prefix: str) -> None:
    mask = masker({})
    lines = [line for line in PEM.splitlines() if len(line) >= 16]

    first, key, last, other = (unkeyed(mask(f"{prefix}{line}")) for line in (*lines, "a/word/of/some/length"))

    assert first == key == f"{prefix}***"
    assert last.endswith("***")
    assert other == f"{prefix}a/word/of/some/length"


def test_the_page_masks_what_env_files_set_for_an_environment_that_is_not_configured(tmp_path: Path) -> None:
    (tmp_path / "gaia.toml").write_text("")
    (tmp_path / ".env").write_text("GAIA_STAGING_API_KEY=sk-0123456789abcdef\n")

    assert "sk-0123456789abcdef" not in redactor_of(Promotion.here(tmp_path, {})).text("it was sk-0123456789abcdef")
