"""Settings of a project that has nothing to do with the Gaia Platform."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome

COMPOSE = """\
services:
  web: {image: "nginx:1.27", ports: ["8080:80"]}
  db: {image: "postgres:16", ports: ["127.0.0.1:5432:5432"]}
  queue: {image: "rabbitmq:3", ports: ["5672:5672"]}
"""
DESCRIBED = """\
[services.web]
auth = "none"
[services.orders]
via = "web"
auth = { header = "Authorization", scheme = "Bearer", secret = "TOKEN" }
[services.store]
kind = "postgres"
[services.queue]
kind = "amqp"
[env.local]
from = "compose"
services = ["web", "orders", "store", "queue"]
writes = true
"""


@pytest.fixture
def foreign(project: Path) -> Callable[[str], None]:
    """Write a Compose file, and gaia.toml with the text."""
    (project / "compose.yaml").write_text(COMPOSE, encoding="utf-8")

    def write(text: str) -> None:
        (project / "gaia.toml").write_text(text, encoding="utf-8")

    return write


def test_a_compose_file_of_other_services_is_checked_and_only_its_environment_needs_a_declared_one(
    gaia: Callable[..., Outcome], foreign: Callable[[str], None]
) -> None:
    foreign('[env.local]\nfrom = "compose"\n')

    code, out, _ = gaia("config", "check")
    assert code == 0
    assert "container-unchecked: web has no healthcheck" in out

    code, out, err = gaia("env", "show", "local")
    assert (code, out) == (4, "")
    assert err == (
        "gaia: compose.yaml:1: services: none of them is declared in gaia.toml (found: web, db, queue). "
        "Add [services.NAME] for those to test; `gaia init` writes them.\n"
    )
    code, out, err = gaia("env", "list")
    assert code == 0
    assert err.endswith("gaia: no services are declared; `gaia init` writes [services.NAME] to gaia.toml\n")


def test_every_service_is_shown_with_its_address_or_how_it_gets_one(
    gaia: Callable[..., Outcome], foreign: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign(DESCRIBED)

    shown = gaia("env", "show", "local").out
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in shown.splitlines() if line}
    assert lines["urls.web"] == "compose.yaml:2 services.web.ports http://localhost:8080"
    assert lines["urls.orders"] == "- through web"
    assert lines["urls.store"] == "- none (GAIA_LOCAL_STORE_URL)"
    assert lines["urls.queue"] == "compose.yaml:4 services.queue.ports amqp://localhost:5672"
    assert "gaia-" not in shown

    monkeypatch.setenv("GAIA_LOCAL_STORE_URL", "postgresql://me:hunter2@localhost/shop")
    listed = json.loads(gaia("env", "list", "--json").out)
    assert listed[-1] == {
        "name": "local",
        "role": "local",
        "writes": True,
        "services": ["web", "orders", "store", "queue"],
        "entry": "web",
        "urls": {
            "web": "http://localhost:8080",
            "store": "postgresql://me:***@localhost/shop",
            "queue": "amqp://localhost:5672",
        },
        "chosen_by": None,
    }
    table = gaia("env", "list").out.splitlines()
    assert table[0].split() == ["name", "role", "writes", "services", "address", "used", "here"]
    assert table[-1].split() == ["local", "local", "yes", "all", "http://localhost:8080"]


@pytest.mark.parametrize(
    ("auth", "missing"),
    [
        ("", "GAIA_SHOP_API_KEY or GAIA_SHOP_TOKEN"),
        ('auth = "none"', ""),
        ("external = true", "GAIA_SHOP_ORDERS_API_KEY"),
    ],
)
def test_the_doctor_names_the_credential_that_a_service_lacks(
    gaia: Callable[..., Outcome], foreign: Callable[[str], None], auth: str, missing: str
) -> None:
    foreign(
        f'[services.orders]\n{auth}\n[env.shop]\nurls = {{ orders = "http://127.0.0.1:1" }}\ntimeouts = {{ ready = 1 }}\n'
    )

    found = json.loads(gaia("doctor", "-e", "shop", "--json").out)

    fixes = [each["fix"] for each in found if each["subject"] == "shop: credentials"]
    assert bool(fixes) == bool(missing)
    assert all(missing in fix for fix in fixes)


def test_an_environment_on_kubernetes_has_no_deploy_files_and_no_findings(
    gaia: Callable[..., Outcome], foreign: Callable[[str], None]
) -> None:
    deploy = 'deploy = { hook = "kubernetes", context = "qa", namespace = "shop" }'
    foreign(f'[services.web]\nurl = "https://qa.example.com"\n[env.qa]\n{deploy}\n')

    assert gaia("config", "check", "qa").out.startswith("No findings")
    code, out, _ = gaia("config", "check", "qa", "--json")
    assert (code, json.loads(out)) == (0, [])


def test_the_last_stage_needs_the_role_production(gaia: Callable[..., Outcome], foreign: Callable[[str], None]) -> None:
    stages = '[services.web]\n[env.qa]\nrole = "staging"\n[env.live]\n{}stage = {{ promote_from = "qa" }}\n'
    foreign(stages.format(""))
    assert "gaia.toml:4: note: last-stage: live is the last stage, but has no role" in gaia("config", "check").out

    foreign(stages.format('role = "production"\n'))
    assert "last-stage" not in gaia("config", "check").out
