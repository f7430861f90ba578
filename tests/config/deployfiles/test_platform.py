"""The services of deploy files are those that the project declares, whatever they are called."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config.deployfiles.reach import services, urls
from pytest_gaia.config.project import Project

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.config.deployfiles.model import Deployment, Source

SHOP = """
[platform]
name = "shop"
[services.web]
depends_on = ["orders", "billing"]
[services.orders]
depends_on = ["orders-db", "store"]
[services.billing]
deploy = { compose = "invoices", fly = "acme-billing-{env}" }
[services.orders-db]
kind = "postgres"
[services.store]
kind = "redis"
[services.queue]
kind = "amqp"
[services.bus]
kind = "nats"
[services.mail]
kind = "tcp"
[services.bank]
external = true
[services.schema]
once = true
"""

COMPOSE = """\
services:
  web: {ports: ["8080:80"]}
  orders_service: {ports: ["8001:8000"]}
  invoices: {expose: [8000]}
  billing: {image: other}
  database: {image: "postgres:16", ports: ["5432:5432"]}
  kv: {image: "docker.io/library/redis:7-alpine", ports: ["6380:6379"]}
  rabbit: {image: "rabbitmq:3-management", ports: ["15672:15672", "5673:5672"]}
  bus: {image: "nats:2", ports: ["8222:8222"]}
  mail: {image: mailhog, ports: ["1025:1025/udp", "1026:1025"]}
  worker-service: {image: w}
"""


def deployment(folder: Path, environment: str, source: Source) -> Deployment:
    (folder / "gaia.toml").write_text(SHOP, encoding="utf-8")
    return Project(folder).deploy_folder.deployment(environment, source)


def test_a_unit_of_a_compose_file_is_a_service_by_its_unit_its_name_or_its_image(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE, encoding="utf-8")

    found = deployment(tmp_path, "local", "compose")

    assert {app.name: app.service for app in found.apps} == {
        "web": "web",
        "orders_service": "orders",
        "invoices": "billing",
        "billing": "billing-undeclared",
        "database": "orders-db",
        "kv": "store",
        "rabbit": "queue",
        "bus": "bus",
        "mail": "mail",
        "worker-service": "worker",
    }


def test_every_service_with_a_published_port_has_an_address_but_one_that_needs_a_password(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE, encoding="utf-8")
    found = deployment(tmp_path, "local", "compose")

    assert {name: url for name, (url, _) in urls(found, found.platform).items()} == {
        "web": "http://localhost:8080",
        "orders": "http://localhost:8001",
        "store": "redis://localhost:6380",
        "queue": "amqp://localhost:5673",
        "mail": "tcp://localhost:1026",
    }
    # A deploy tool cannot know the external service; a unit that is missing is not expected.
    assert services(found, found.platform) == (
        *("web", "orders", "billing", "orders-db", "store", "queue", "bus", "mail", "bank"),
    )


def test_the_entry_tells_which_services_are_elsewhere(tmp_path: Path) -> None:
    env = 'ORDERS_URL = "https://orders.example.com"\nBILLING_SERVICE_URL = "http://localhost:8001"\nBUS_URL = "disabled"\n'
    (tmp_path / "fly.staging.toml").write_text(f'app = "shop"\n[http_service]\n[env]\n{env}', encoding="utf-8")
    found = deployment(tmp_path, "staging", "fly")

    assert found.platform.behind_entry == ("orders", "billing")
    assert services(found, found.platform) == ("web", "orders", "orders-db", "bank")
    assert {name: url for name, (url, _) in urls(found, found.platform).items()} == {
        "web": "https://shop.fly.dev",
        "bus": "disabled",
    }


@pytest.mark.parametrize(
    ("file", "app", "service"),
    [
        ("fly.orders.staging.toml", "shop-web-staging", "orders"),
        ("fly.money.staging.toml", "acme-billing-staging", "billing"),
        ("fly.database.staging.toml", "shop-db", "orders-db"),
        ("fly.staging.toml", "shop-orders-staging", "orders"),
        ("fly.stage.toml", "anything", "web"),
        ("fly.worker-service.staging.toml", "shop-worker", "worker"),
    ],
)
def test_a_file_for_fly_is_a_service_by_its_name_or_by_its_app(
    tmp_path: Path, file: str, app: str, service: str
) -> None:
    (tmp_path / file).write_text(f'app = "{app}"\n', encoding="utf-8")

    assert [each.service for each in deployment(tmp_path, "staging", "fly").apps] == [service]


def test_a_word_that_is_a_service_is_no_environment(tmp_path: Path) -> None:
    text = SHOP.replace("[services.orders]\n", '[services.orders]\nvariable = "ORDER_API"\n')
    (tmp_path / "gaia.toml").write_text(f"{text}[env.orders]\n", encoding="utf-8")
    for name in ("fly.orders.toml", "fly.simple.toml", "fly.dev.toml"):
        (tmp_path / name).write_text('app = "a"\n', encoding="utf-8")

    assert Project(tmp_path).deploy_folder.environments() == ("dev",)


def test_only_a_declared_service_with_once_and_an_unknown_one_that_is_waited_for_end(tmp_path: Path) -> None:
    ends = {"condition": "service_completed_successfully"}
    services: dict[str, object] = {
        "web": {"depends_on": dict.fromkeys(("orders", "kv", "seed"), ends)},
        "kv": {"image": "redis"},
    }
    services |= {"orders": {}, "seed": {}, "schema": {}, "other": {}}
    (tmp_path / "gaia.toml").write_text(SHOP, encoding="utf-8")
    (tmp_path / "docker-compose.yml").write_text(json.dumps({"services": services}), encoding="utf-8")

    apps = Project(tmp_path).deploy_folder.deployment("local", "compose", ask=False).apps

    assert {app.name for app in apps if app.once} == {"seed", "schema"}
