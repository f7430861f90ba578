"""Services as data: what a description means, and each error in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.config.platform import Health, SandboxSettings
from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, resolve
from pytest_gaia.errors import ConfigError, NotConfigured
from pytest_gaia.secrets.masks import Secret
from tests.projects import ON_GAIA, gaia_platform

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.config.environment import Environment

SHOP = """
[platform]
name = "acme"
entry = "web"

[services.web]
depends_on = ["orders"]
auth = "none"

[services.orders]
url = "https://{unit}.example.com"
health = "/ready"
depends_on = ["orders-db", "stock-db"]
auth = { header = "Authorization", scheme = "Bearer", secret = "TOKEN" }
safe = ["POST /quotes/{id}"]
unsafe = ["GET /orders/{id}/confirm"]

[services.orders-db]
kind = "postgres"

[services.stock-db]
kind = "postgres"
variable = "STOCK"

[services.redis]
kind = "redis"

[services.bank]
url = "https://bank.example.org"
external = true
auth = { header = "X-Key", secret = "API_KEY" }

[env.qa]
role = "staging"
url = "https://{service}.qa.example.com"
without = ["redis"]
"""


def project(folder: Path, text: str = SHOP) -> Project:
    (folder / "gaia.toml").write_text(text, encoding="utf-8")
    return Project(folder)


def resolved(folder: Path, text: str = SHOP, environ: dict[str, str] | None = None, **options: Any) -> Environment:
    return resolve(Options(project=project(folder, text), environ=environ or {}, **{"env": "qa", **options}))


def test_addresses_come_from_the_environment_then_from_the_service(tmp_path: Path) -> None:
    dsn = "postgresql://me:hidden@h/stock"
    found = resolved(tmp_path, environ={"GAIA_QA_STOCK_URL": dsn, "GAIA_REDIS_URL": "redis://:hidden@h"})

    assert found.urls == {
        "web": "https://web.qa.example.com",
        "orders": "https://orders.qa.example.com",
        "bank": "https://bank.example.org",
    }
    assert found.connections == {"stock-db": Secret(dsn), "redis": Secret("redis://:hidden@h")}
    assert found.sources["urls.bank"] == "gaia.toml:29"
    assert found.sources["urls.orders"] == "gaia.toml:35"
    assert found.sources["urls.stock-db"] == "GAIA_QA_STOCK_URL"
    assert found.required == ("web", "orders")
    assert "hidden" not in repr(found)


def test_a_service_whose_address_is_given_is_expected_and_one_without_is_not(tmp_path: Path) -> None:
    assert "redis" not in resolved(tmp_path).services
    assert "redis" in resolved(tmp_path, environ={"GAIA_REDIS_URL": "redis://h"}).services
    disabled = resolved(tmp_path, environ={"GAIA_QA_ORDERS_URL": "disabled"})
    assert disabled.disabled == {"orders"}
    assert "orders" not in disabled.services


def test_deploy_files_have_the_addresses_of_what_they_deploy(tmp_path: Path) -> None:
    ports = "services:\n  web:\n    image: x\n    ports: ['8080:80']\n  orders:\n    image: y\n"
    (tmp_path / "docker-compose.yml").write_text(ports, encoding="utf-8")
    found = resolved(tmp_path, SHOP + '[env.local]\nfrom = "compose"\n', env="local")

    assert found.urls == {"web": "http://localhost:8080", "bank": "https://bank.example.org"}


def test_a_template_makes_no_environment(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured):
        resolved(tmp_path, env="production")


def test_a_unit_stands_for_the_whole_name(tmp_path: Path) -> None:
    text = SHOP.replace('url = "https://{service}.qa.example.com"\n', "")

    assert resolved(tmp_path, text).urls["orders"] == "https://acme-orders-qa.example.com"


def test_each_service_gets_its_own_credential_and_an_external_one_no_other(tmp_path: Path) -> None:
    general = {"GAIA_API_KEY": "key", "GAIA_TOKEN": "token"}
    found = resolved(tmp_path, environ=general)
    own = resolved(tmp_path, environ=general | {"GAIA_BANK_API_KEY": "of-bank", "GAIA_QA_ORDERS_TOKEN": "of-orders"})

    assert found.credentials_of("web") == {}
    assert found.credentials_of("orders") == {"authorization": Secret("Bearer token")}
    assert found.credentials_of("bank") == {}
    assert own.credentials_of("bank") == {"x-key": Secret("of-bank")}
    assert own.credentials_of("orders") == {"authorization": Secret("Bearer of-orders")}


def test_a_request_is_safe_for_the_service_that_lists_it_only(tmp_path: Path) -> None:
    orders, web = project(tmp_path).platform["orders"], project(tmp_path).platform["web"]

    assert orders.allows("post", "/quotes/7")
    assert not orders.allows("POST", "/quotes/7/lines")
    assert not orders.allows("PUT", "/quotes/7")
    assert not orders.allows("GET", "/orders/7/confirm")
    assert orders.allows("GET", "/orders/7")
    assert not web.allows("POST", "/quotes/7")


def test_a_value_of_a_health_check_is_compared_as_the_file_writes_it() -> None:
    health = Health("up", ("true",))

    assert [health.reported({"up": value}) for value in (True, "true", 1, None)] == ["true", "true", "1", None]
    assert health.reported({}) is None


def test_a_service_starts_after_those_that_it_depends_on(tmp_path: Path) -> None:
    platform = project(tmp_path).platform

    assert platform.waves(platform) == (("orders-db", "stock-db", "redis", "bank"), ("orders",), ("web",))
    # Also through a service that is not among them, and an unknown one first.
    assert platform.in_order(["web", "stock-db", "worker"]) == ("stock-db", "worker", "web")
    assert platform.lacks_dependency("web", ["web"])


def test_a_path_is_forwarded_by_the_routes() -> None:
    gaia = gaia_platform()

    assert gaia.route("chat", "/api/v0.2/personas/7?full=1") == "/api/v0.2/personas/7?full=1"
    assert gaia.route("chat", "/api/v0.2/providers/x/models") == "/api/v0.2/providers/x/models"
    assert gaia.route("chat", "/api/v0.2/nothing") is None
    assert gaia.route("asset", "/api/v1/assets/7") == "/api/v1/assets/7"
    assert gaia.route("asset", "/api/v1/assets/request") is None


def test_a_unit_belongs_to_the_service_that_claims_it() -> None:
    gaia = gaia_platform()

    assert gaia.unit_of("auth", "dev", "fly") == "gaia-auth-dev"
    assert gaia.unit_of("auth", "dev", "kubernetes") == "deployment/auth"
    assert [gaia.service_of(each, "compose") for each in ("auth-service", "db", "worker")] == ["auth", "postgres", None]
    assert not gaia["postgres"].is_deployed_by("fly")


def test_a_project_adds_services_to_the_built_in_platform(tmp_path: Path) -> None:
    text = ON_GAIA + '[services.kb]\nsafe = ["POST /search"]\n[services.auth]\nhealth = "/status"\n'
    platform = project(tmp_path, text).platform

    assert platform.names == ("gateway", "auth", "asset", "chat", "nats", "postgres", "kb", "web", "redis")
    assert platform.without == ("web", "redis")
    assert (platform["auth"].health, platform["auth"].via) == ("/status", "gateway")
    assert (platform["kb"].place, platform["chat"].place) == ("gaia.toml:3", "default")
    assert not platform["gateway"].allows("POST", "/search")


def test_a_service_of_the_project_is_expected_where_the_built_in_platform_lists_services(tmp_path: Path) -> None:
    text = ON_GAIA + '[services.kb]\nurl = "https://{unit}.example.com"\n'

    assert resolved(tmp_path, text, env="staging").services == ("gateway", "postgres", "kb")
    stated = text + '[env.staging]\nservices = ["gateway"]\n'
    assert resolved(tmp_path, stated, env="staging").services == ("gateway",)


@pytest.mark.parametrize(
    ("text", "env", "included"),
    [
        ("", "local", ()),
        ("", "dev", ()),
        ("", "sandbox", ()),
        ('[env.qa]\nurl = "https://{unit}.example.com"\n', "qa", ()),
        ("[env.local]\nwithout = []\n", "local", ("kb", "web", "redis")),
        ("[env.dev]\nwithout = []\n", "local", ()),
        ("[platform]\nwithout = []\n", "local", ("kb", "web", "redis")),
        ("[platform]\nwithout = []\n", "staging", ("kb", "web", "redis")),
        ('[services.kb]\nhealth = "/up"\n', "dev", ("kb",)),
        ('[env.staging]\nservices = ["gateway", "kb"]\n', "staging", ("kb",)),
        ('[env.local.urls]\nkb = "http://localhost:1"\n', "local", ("kb",)),
    ],
)
def test_the_services_of_the_newest_release_are_included_on_request(
    tmp_path: Path, text: str, env: str, included: tuple[str, ...]
) -> None:
    environment = resolved(tmp_path, ON_GAIA + text, env=env)

    assert environment.services[-len(included) or len(environment.services) :] == included
    assert not {"kb", "web", "redis"}.difference(included) & {*environment.urls, *environment.services}
    assert gaia_platform()["kb"].allows("POST", "/search")


def test_a_command_replaces_a_reference_service(tmp_path: Path) -> None:
    platform = project(tmp_path, ON_GAIA + '[services.kb.sandbox]\ncommand = ["kb"]\n').platform

    assert platform["kb"].sandbox == SandboxSettings(command=("kb",))
    assert platform["kb"].safe == gaia_platform()["kb"].safe
    assert gaia_platform().offering("next")["kb"].runs_in_sandbox
    assert not gaia_platform().offering("current")["kb"].runs_in_sandbox


def test_the_digest_is_that_of_the_meaning(tmp_path: Path) -> None:
    digest = project(tmp_path).platform.digest

    assert project(tmp_path, f"# moved\n{SHOP}").platform.digest == digest
    assert project(tmp_path, SHOP.replace("/ready", "/live")).platform.digest != digest


ERRORS = {
    "an API of a service that is none of the references": (
        '[services.a.sandbox]\ncommand = ["a"]\napi = "next"\n',
        "3: services.a.sandbox.api: only a reference service has this key; remove it.",
    ),
    "an unknown service that is left out": (
        '[platform]\nwithout = ["kp"]\n[services.kb]\n',
        "2: platform.without: unknown service 'kp'; Known: kb.",
    ),
    "an unknown kind": ('[services.a]\nkind = "htp"\n', "2: services.a.kind: unknown value 'htp'; did you mean http?"),
    "an unknown key": ("[services.a]\nneeds = []\n", "2: services.a.needs: unknown key; "),
    "an unknown placeholder": (
        '[services.a]\nurl = "https://{srvice}.example"\n',
        "2: services.a.url: unknown placeholder {srvice}; did you mean service?",
    ),
    "a placeholder of another place": (
        '[services.a]\n[services.a.sandbox]\ncommand = ["x", "{prt}"]\n',
        "3: services.a.sandbox.command: unknown placeholder {prt}; did you mean port?",
    ),
    "an unknown dependency": (
        '[services.orders]\ndepends_on = ["bilings"]\n[services.billing]\n',
        "2: services.orders.depends_on: unknown service 'bilings'; did you mean billing?",
    ),
    "a cycle": (
        '[services.a]\ndepends_on = ["b"]\n[services.b]\ndepends_on = ["a"]\n',
        "2: services.a.depends_on: the services form a cycle: a depends on b depends on a.",
    ),
    "a dependency on itself": (
        '[services.a]\ndepends_on = ["a"]\n',
        "2: services.a.depends_on: a service cannot depend on itself",
    ),
    "two names with one identifier": (
        "[services.ledger-api]\n[services.ledger_api]\n",
        "2: services.ledger_api: ledger-api and ledger_api would both have the fixture ledger_api",
    ),
    "the fixture of a new database": (
        '[services.db]\nkind = "postgres"\n[services.db-fresh]\n',
        "3: services.db-fresh: db and db-fresh would both have the fixture db_fresh",
    ),
    "a name of pytest": (
        "[services.request]\n",
        "1: services.request: the name of a service is the name of its fixture",
    ),
    "a name of ours": ("[services.gaia-x]\n", "1: services.gaia-x: the name of a service is the name of its fixture"),
    "a word of Python": ("[services.import]\n", "1: services.import: the name of a service is the name of its fixture"),
    "a name in capitals": ("[services.Orders]\n", "1: services.Orders: use lower-case letters"),
    "routes without a way": ('[services.a.routes]\n"/x" = "/y"\n', "1: services.a.routes: `routes` is for a service"),
    "a way through itself": ('[services.a]\nvia = "a"\n', "2: services.a.via: a is itself reached through"),
    "a probe that is no operation": (
        '[services.w]\n[services.a]\nvia = "w"\nprobe = "/x"\n',
        "4: services.a.probe: '/x' is not an operation",
    ),
    "a safe GET": ('[services.a]\nsafe = ["GET /x"]\n', "2: services.a.safe: 'GET /x': every GET is safe"),
    "an unsafe POST": ('[services.a]\nunsafe = ["POST /x"]\n', "2: services.a.unsafe: 'POST /x': only GET is safe"),
    "a URL with credentials": (
        '[services.a]\nurl = "https://u:hunter2@h"\n',
        "2: services.a.url: a URL in a committed file must not",
    ),
    "a secret key": ('[services.a]\napi_key = "hunter2"\n', "2: services.a.api_key: secrets do not belong"),
    "a secret as a name": (
        '[services.a]\nauth = { header = "X", secret = "hunter2" }\n',
        "2: services.a.auth.secret: expected the end of the name of a variable",
    ),
    "a secret in a variable of the sandbox": (
        '[services.a.sandbox]\ncommand = ["x"]\nenv = { K = "ghp_hunter2hunter2hunter2hunter2hunter2hunt" }\n',
        "3: services.a.sandbox.env.K: contains a secret",
    ),
    "a password on a command line": (
        '[services.db]\nkind = "postgres"\n[services.a]\ndepends_on = ["db"]\nsandbox.command = ["x", "{db.url}"]\n',
        "5: services.a.sandbox.command: {db.url} contains a password",
    ),
    "a URL of another kind": (
        '[services.a]\nkind = "redis"\nurl = "http://x"\n',
        "3: services.a.url: not the URL of a",
    ),
    "a key of another kind": ('[services.a]\nkind = "redis"\nhealth = "/x"\n', "3: services.a.health: only a service"),
    "a health check without a path": ('[services.a]\nhealth = "x"\n', "2: services.a.health: 'x' is not a path"),
    "an unknown entry": ('[platform]\nentry = "wbe"\n[services.web]\n', "2: platform.entry: unknown service 'wbe'"),
    "another kind of a built-in service": (
        '[gaia]\nplatform = "gaia"\n[services.auth]\nkind = "tcp"\n',
        "4: services.auth.kind: auth is a built-in service",
    ),
    "variables with one name": (
        "[services.x]\n[services.orders-x]\n[env.shop]\n[env.shop-orders]\n",
        "1: services.x.variable: GAIA_SHOP_ORDERS_X_URL would be URL of orders-x in shop and URL of x in shop-orders;",
    ),
    "a credential with the name of the general one": (
        '[services.api]\nexternal = true\nauth = { header = "X-Key", secret = "KEY" }\n',
        "1: services.api.variable: GAIA_API_KEY would be the general API_KEY in every environment and KEY of api in every",
    ),
    "a service with the name of an environment": (
        "[services.qa]\nexternal = true\n[env.qa]\n",
        "1: services.qa.variable: GAIA_QA_API_KEY would be API_KEY of qa in every environment and the general",
    ),
    "one unit of two services": (
        '[services.a]\ndeploy = { compose = "u" }\n[services.b]\ndeploy = { compose = "u" }\n',
        "4: services.b.deploy.compose: a has the same unit, 'u'",
    ),
    "a brace without its counterpart": (
        '[services.a]\nunsafe = ["GET /v2/{id/confirm"]\n',
        "2: services.a.unsafe: 'GET /v2/{id/confirm': a name in braces is a whole segment",
    ),
    "a name in braces twice": (
        '[services.a]\nsafe = ["POST /{a}/{a}"]\n',
        "2: services.a.safe: 'POST /{a}/{a}': a name",
    ),
    "a template without its end": ('[services.a]\nurl = "https://{unit.x"\n', "2: services.a.url: a brace has no"),
    "no variable of a program": (
        '[services.a.sandbox]\ncommand = ["x"]\nenv = { "A=B" = "1" }\n',
        "3: services.a.sandbox.env.A=B: not the name of a variable",
    ),
    "a service of the built-in platform": (
        '[env.dev]\nrequired = ["chat"]\n',
        "2: env.dev.required: unknown service 'chat': the project declares no service. Add [services.chat] to gaia.toml.",
    ),
}


@pytest.mark.parametrize(("text", "message"), ERRORS.values(), ids=ERRORS)
def test_an_error_in_a_description_is_one_message_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _ = project(tmp_path, text).platform

    assert str(caught.value).startswith(f"gaia.toml:{message}")
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)
