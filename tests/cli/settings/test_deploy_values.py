"""``gaia env show`` of an environment that reads deploy files: their values, each with file, line and key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.cli.settings.values import masked
from tests.projects import ON_GAIA

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Gaia = Callable[..., Outcome]

GATEWAY = """\
app = "acme-gateway-staging"
primary_region = "lax"

[build]
image = "registry.fly.io/acme-gateway@sha256:0123"

[env]
LOG_LEVEL = "info"
JWT_SECRET = "correct-horse-battery"
DATABASE_URL = "postgresql://gaia:open-sesame@db.internal/llm_platform"

[http_service]
internal_port = 8000
force_https = true
auto_stop_machines = "suspend"
min_machines_running = 1

[[http_service.checks]]
path = "/health"
interval = "15s"
timeout = "2s"

[[services.http_checks]]
path = "/lost"

[[vm]]
memory = "2gb"

[deploy]
strategy = "rolling"
"""

COMPOSE = """\
services:
  gateway:
    image: acme/gateway:1
    ports: ["8666:8000"]
    depends_on: [auth-service]
    environment:
      API_KEY: ${API_KEY}
    mem_limit: 512m
  auth-service:
    image: acme/auth:1
    environment: ["SUPABASE_SERVICE_KEY=very-secret"]
"""


@pytest.fixture
def deployed(project: Path) -> Path:
    """The project, with deploy files for staging and local."""
    (project / "gaia.toml").write_text(
        '[env.staging]\nfrom = "fly"\n[env.local]\nfrom = "compose"\n' + ON_GAIA, encoding="utf-8"
    )
    (project / "fly.gateway.staging.toml").write_text(GATEWAY, encoding="utf-8")
    (project / "docker-compose.yml").write_text(COMPOSE, encoding="utf-8")
    return project


def deployment_rows(text: str) -> dict[str, tuple[str, str]]:
    """Return app and key → (source, value) of the second table."""
    table = text.partition("\n\n")[2].splitlines()
    columns = [table[0].index(name) for name in ("deployment", "source", "value")]
    cells = [[line[a:b].strip() for a, b in zip(columns, [*columns[1:], None], strict=True)] for line in table[1:]]
    return {key: (source, value) for key, source, value in cells}


def test_show_names_file_line_and_key_of_each_value(deployed: Path, gaia: Gaia) -> None:
    code, out, err = gaia("env", "show", "staging")

    rows = deployment_rows(out)
    file = "fly.gateway.staging.toml"
    assert (code, err) == (0, "")
    assert rows["gateway: app"] == (f"{file}:1 app", "acme-gateway-staging")
    assert rows["gateway: region"] == (f"{file}:2 primary_region", "lax")
    assert rows["gateway: memory_mb"] == (f"{file}:27 vm.memory", "2048")
    assert rows["gateway: cpus"] == (f"{file}:26 vm", "1")
    assert rows["gateway: strategy"] == (f"{file}:30 deploy.strategy", "rolling")
    assert rows["gateway: port.8000"] == (f"{file}:12 http_service", "http, from outside 80, 443, https only")
    assert rows["gateway: port.8000.min_machines"] == (f"{file}:16 http_service.min_machines_running", "1")
    assert rows["gateway: port.8000.autostop"] == (f"{file}:15 http_service.auto_stop_machines", "suspend")
    assert rows["gateway: port.8000.check"] == (
        f"{file}:18 http_service.checks",
        "http GET /health, every 15 s, timeout 2 s",
    )
    assert rows["gateway: check (on no served port)"] == (f"{file}:23 services.http_checks", "http GET /lost")
    assert rows["gateway: env.LOG_LEVEL"] == (f"{file}:8 env.LOG_LEVEL", "info")


def test_show_has_the_settings_from_deploy_files(deployed: Path, gaia: Gaia) -> None:
    settings = json.loads(gaia("env", "show", "staging", "--json").out)["settings"]

    assert settings["urls.gateway"] == {
        "value": "https://acme-gateway-staging.fly.dev",
        "source": "fly.gateway.staging.toml:1 app",
    }
    assert settings["from"] == {"value": "fly", "source": "gaia.toml:2"}
    assert settings["deploy.hook"] == {"value": "fly", "source": "gaia.toml:2"}
    assert settings["deploy.services"] == {"value": None, "source": "default"}


def test_no_secret_of_a_deploy_file_is_shown(deployed: Path, gaia: Gaia) -> None:
    for name in ("staging", "local"):
        for how in ((), ("--json",)):
            out = gaia("env", "show", name, *how).out
            assert not [secret for secret in ("correct-horse", "open-sesame", "very-secret") if secret in out]

    rows = deployment_rows(gaia("env", "show", "staging").out)
    assert rows["gateway: env.JWT_SECRET"] == ("fly.gateway.staging.toml:9 env.JWT_SECRET", "***")
    assert rows["gateway: env.DATABASE_URL"][1] == "postgresql://gaia:***@db.internal/llm_platform"


def test_json_has_the_same_values(deployed: Path, gaia: Gaia) -> None:
    document = json.loads(gaia("env", "show", "staging", "--json").out)

    rows = deployment_rows(gaia("env", "show", "staging").out)
    assert len(document["deployment"]) == len(rows)
    assert {
        "service": "gateway",
        "key": "region",
        "value": "lax",
        "source": "fly.gateway.staging.toml:2 primary_region",
    } in (document["deployment"])


def test_a_compose_file_is_shown_too(deployed: Path, gaia: Gaia) -> None:
    rows = deployment_rows(gaia("env", "show", "local").out)

    file = "docker-compose.yml"
    assert rows["gateway: image"] == (f"{file}:3 services.gateway.image", "acme/gateway:1")
    assert rows["gateway: depends_on"] == (f"{file}:5 services.gateway.depends_on", "auth")
    assert rows["gateway: memory_mb"] == (f"{file}:8 services.gateway.mem_limit", "512")
    assert rows["gateway: env.API_KEY"] == (f"{file}:7 services.gateway.environment.API_KEY", "${API_KEY}")
    assert rows["auth: env.SUPABASE_SERVICE_KEY"][1] == "***"


def test_an_environment_without_deploy_files_shows_none(deployed: Path, gaia: Gaia) -> None:
    out = gaia("env", "show", "dev").out

    assert "deployment" not in out
    assert "deploy.hook" not in out
    document = json.loads(gaia("env", "show", "dev", "--json").out)
    assert document["deployment"] is None
    assert document["settings"]["deploy.hook"] == {"value": None, "source": None}


def test_a_hook_shows_its_deploy_files(deployed: Path, gaia: Gaia) -> None:
    (deployed / "gaia.toml").write_text('[env.staging.deploy]\nhook = "fly"\n' + ON_GAIA, encoding="utf-8")

    out = gaia("env", "show", "staging").out

    assert deployment_rows(out)["gateway: app"][1] == "acme-gateway-staging"
    assert "https://gaia-gateway-staging.fly.dev" in out


def test_a_usage_error_in_a_deploy_file_is_one_line_and_exit_4(deployed: Path, gaia: Gaia) -> None:
    (deployed / "fly.gateway.staging.toml").write_text('app = "a"\n[vm]\nmemory = "lots"\n', encoding="utf-8")

    code, out, err = gaia("env", "show", "staging")

    assert (code, out) == (4, "")
    assert err.startswith("gaia: fly.gateway.staging.toml:3: vm.memory: expected a size, ")
    assert err.count("\n") == 1


def test_list_names_unreadable_environments_and_shows_the_rest(deployed: Path, gaia: Gaia) -> None:
    (deployed / "docker-compose.yml").unlink()

    code, out, err = gaia("env", "list")

    assert code == 0
    assert "https://acme-gateway-staging.fly.dev" in out
    assert err.startswith("gaia: local: no compose file found for local; looked in . for compose.yaml")


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("LOG_LEVEL", "info", "info"),
        ("API_KEY", "abc", "***"),
        ("API_KEY", "/looks/like/a/path", "***"),
        ("API_KEY", "${API_KEY}", "${API_KEY}"),
        ("API_KEY", "$API_KEY", "$API_KEY"),
        ("API_KEY", "", ""),
        ("NATS_URL", "nats://token@broker:4222", "nats://***@broker:4222"),
        ("ANYTHING", "postgres://u:p@h/d", "postgres://u:***@h/d"),
        ("ANYTHING", "ghp_" + "a" * 36, "***"),
        ("MAX_TOKENS", "4096", "4096"),
    ],
)
def test_a_value_is_masked_by_its_name_and_by_its_shape(name: str, value: str, shown: str) -> None:
    assert masked(name, value) == shown
