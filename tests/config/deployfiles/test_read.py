"""Which deploy files there are, and what is said where they are not what was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.config.deployfiles.read import fly_names, unrecognized
from pytest_gaia.errors import ConfigError
from tests.config.reading import files_in
from tests.projects import gaia_platform

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Write = Callable[[str, str], Path]


def test_one_file_a_service_makes_a_deployment(folder: Path, write: Write) -> None:
    for service in ("gateway", "auth", "nats"):
        write(f"fly.{service}.staging.toml", f'app = "gaia-{service}-staging"\n')
    write("fly.gateway.dev.toml", 'app = "gaia-gateway-dev"\n')

    deployment = files_in(folder).deployment("staging", "fly")

    assert (deployment.environment, deployment.source, deployment.folder.path) == ("staging", "fly", folder)
    assert [(app.service, app.form, app.name) for app in deployment.apps] == [
        ("auth", "service", "gaia-auth-staging"),
        ("gateway", "service", "gaia-gateway-staging"),
        ("nats", "service", "gaia-nats-staging"),
    ]


def test_a_file_without_a_service_is_a_gateway_that_stands_alone(folder: Path, write: Write) -> None:
    write("fly.staging.toml", 'app = "gaia-staging"\n')

    apps = files_in(folder).deployment("staging", "fly").apps

    assert [(app.service, app.form) for app in apps] == [("gateway", "entry")]


def test_both_forms_may_be_there_and_that_of_its_own_goes_first(folder: Path, write: Write) -> None:
    write("fly.staging.toml", 'app = "gaia-staging"\n')
    write("fly.gateway.staging.toml", 'app = "gaia-gateway-staging"\n')

    gateway = files_in(folder).deployment("staging", "fly").app("gateway")

    assert gateway is not None
    assert gateway.name == "gaia-gateway-staging"


@pytest.mark.parametrize(
    ("name", "environment"),
    [
        ("prod", "production"),
        ("production", "production"),
        ("stage", "staging"),
        ("development", "dev"),
        ("prod", "prod"),
    ],
)
def test_an_environment_is_found_under_its_other_spelling(
    folder: Path, write: Write, name: str, environment: str
) -> None:
    write(f"fly.auth.{name}.toml", 'app = "gaia-auth"\n')

    assert files_in(folder).deployment(environment, "fly").apps[0].environment == name


def test_files_that_name_no_environment_are_left_aside(folder: Path, write: Write) -> None:
    for name in ("fly.toml", "fly.gateway.toml", "fly.auth-service.toml", "fly.a.b.c.toml", "my.fly.dev.toml"):
        write(name, "not = [toml")
    write("fly.db.dev.toml", 'app = "gaia-db"\n')
    (folder / "fly.auth.dev.toml").mkdir()

    assert files_in(folder).environments() == ("dev",)
    assert [app.service for app in files_in(folder).deployment("dev", "fly").apps] == ["postgres"]


def test_environments_come_in_the_order_of_promotion(project: Path, folder: Path, write: Write) -> None:
    (project / "gaia.toml").write_text('[gaia]\ndeploy_files = "deploy"\n[env.preview]\n', encoding="utf-8")
    for name in ("production", "preview", "dev", "stage", "orders"):
        write(f"fly.{name}.toml", 'app = "a"\n')
    write("compose.yaml", "services: {gateway: {}}\n")

    assert files_in(folder).environments() == (
        "local",
        "dev",
        "staging",
        "production",
        "preview",
    )
    assert files_in(folder / "absent").environments() == ()


def test_a_word_is_an_environment_only_if_the_project_has_it(folder: Path, write: Write) -> None:
    environments = ("staging", "prod")
    for name in (
        "auth",
        "orders",
        "billing",
        "staging",
        "stage",
        "auth.staging",
        "orders.prod",
        "auth.stagign",
        "a.b.c",
    ):
        write(f"fly.{name}.toml", 'app = "a"\n')

    read = [(file.service, file.spelling) for file in fly_names(folder, environments, gaia_platform())]

    assert read == [("auth", "staging"), ("orders", "prod"), ("gateway", "stage"), ("gateway", "staging")]
    assert [path.name for path in unrecognized(folder, environments, gaia_platform())] == [
        "fly.a.b.c.toml",
        "fly.auth.stagign.toml",
        "fly.billing.toml",
    ]


def test_files_are_named_from_the_folder_of_the_project(project: Path, folder: Path, write: Write) -> None:
    write("fly.dev.toml", 'app = "a"\n')

    assert files_in(folder).deployment("dev", "fly").apps[0].place("app").file == "deploy/fly.dev.toml"
    (project / "gaia.toml").unlink()
    assert files_in(folder).deployment("dev", "fly").apps[0].place("app").file == "fly.dev.toml"


def message_of(folder: Path, environment: str = "staging", source: Any = "fly") -> str:
    with pytest.raises(ConfigError) as error:
        files_in(folder).deployment(environment, source)
    return str(error.value)


def test_a_folder_that_is_not_there_is_named(folder: Path) -> None:
    message = message_of(folder / "fly")

    assert message.startswith("deploy/fly: folder of deploy files not found")
    assert "Set `deploy_files` in [gaia] of gaia.toml" in message


def test_an_environment_without_files_says_what_was_tried_and_what_is_there(folder: Path, write: Write) -> None:
    write("fly.stging.toml", 'app = "a"\n')
    write("fly.auth.production.toml", 'app = "b"\n')

    assert message_of(folder) == (
        "no deploy files found for staging; looked in deploy for fly.staging.toml, fly.SERVICE.staging.toml, "
        "fly.stage.toml, fly.SERVICE.stage.toml. Environments with deploy files: Known: production. "
        "Files without a known environment: fly.stging.toml."
    )


def test_a_compose_file_that_is_not_there_says_what_was_tried(folder: Path) -> None:
    assert message_of(folder, "local", "compose") == (
        "no compose file found for local; looked in deploy for compose.yaml, compose.yml, docker-compose.yml, "
        "docker-compose.yaml."
    )


def test_two_files_for_one_app_are_refused(folder: Path, write: Write) -> None:
    write("fly.auth.prod.toml", 'app = "a"\n')
    write("fly.auth.production.toml", 'app = "b"\n')

    assert message_of(folder, "production") == (
        "deploy/fly.auth.production.toml: deploy/fly.auth.prod.toml is also for auth of production. "
        "Remove one of the two files."
    )


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "fly.dev.toml").write_bytes(b'app = "\xe9"\n')

    assert message_of(folder, "dev") == "deploy/fly.dev.toml: not UTF-8 (byte 7); save the file as UTF-8."


@pytest.mark.parametrize("text", ["a = " + "[" * 1500 + "]" * 1500, ".".join("a" * 1200) + " = 1"])
def test_a_tower_of_tables_is_refused(folder: Path, write: Write, text: str) -> None:
    write("fly.dev.toml", f'app = "a"\n{text}\n')

    assert message_of(folder, "dev") == "deploy/fly.dev.toml: its values are nested too deep to be read."


FLY = {
    "no TOML": ('app = "a"\n[env\n', "2: not valid TOML: "),
    "a key given twice": ('app = "a"\napp = "b"\n', "2: not valid TOML: "),
    "no app": ('primary_region = "lax"\n', "1: app: the name of the app is missing; write app = "),
    "an app of nothing": ('app = ""\n', "1: app: the name of the app is missing"),
    "an app that is a number": ("app = 3\n", "1: app: expected a string, got a number."),
    "an app with a space": ('app = "gaia auth"\n', "1: app: 'gaia auth' is not a valid name of an app"),
    "an app like an option": ('app = "--config"\n', "1: app: '--config' is not a valid name of an app"),
    "memory of words": (
        'app = "a"\n[[vm]]\nmemory = "lots"\n',
        '3: vm.memory: expected a size, such as "512mb" or "2gb", got \'lots\'.',
    ),
    "memory that is true": ('app = "a"\n[vm]\nmemory = true\n', "3: vm.memory: expected a size"),
    "memory_mb of words": ('app = "a"\n[vm]\nmemory_mb = "2gb"\n', "3: vm.memory_mb: expected a whole number"),
    "vm of words": ('app = "a"\nvm = "big"\n', "2: vm: expected a list of tables, got a string."),
    "a list of words for vm": ('app = "a"\nvm = ["big"]\n', "2: vm: expected a list of tables, got a list."),
    "env that is a list": ('app = "a"\nenv = ["A=b"]\n', "2: env: expected a table, got a list."),
    "a table in env": ('app = "a"\n[env.A]\nb = 1\n', "2: env.A: expected a string, got a table."),
    "checks that are a list of words": ('app = "a"\nchecks = ["x"]\n', "2: checks: expected a table, got a list."),
    "http_service in a list": ('app = "a"\n[[http_service]]\n', "2: http_service: expected a table, got a list."),
    "an interval of words": (
        'app = "a"\n[http_service]\n[[http_service.checks]]\n[[http_service.checks]]\ninterval = "soon"\n',
        '5: http_service.checks.interval: expected a duration, such as "15s" or "1m30s", got \'soon\'.',
    ),
    "an interval without a unit": (
        'app = "a"\n[http_service]\n[[http_service.checks]]\ninterval = "15"\n',
        "4: http_service.checks.interval: expected a duration",
    ),
    "a check of an unknown kind": (
        'app = "a"\n[checks.alive]\ntype = "htpp"\n',
        "3: checks.alive.type: unknown value 'htpp'; did you mean http?",
    ),
    "an unknown autostop": (
        'app = "a"\n[http_service]\nauto_stop_machines = "suspended"\n',
        "3: http_service.auto_stop_machines: unknown value 'suspended'; did you mean suspend?",
    ),
    "a port of words": (
        'app = "a"\n[http_service]\ninternal_port = "web"\n',
        "3: http_service.internal_port: expected a whole",
    ),
    "a negative port": (
        'app = "a"\n[http_service]\ninternal_port = -1\n',
        "3: http_service.internal_port: expected a whole",
    ),
    "a range of ports that ends before it starts": (
        'app = "a"\n[[services]]\n[[services.ports]]\nstart_port = 9\nend_port = 8\n',
        "5: services.ports.end_port: 9 to 8 is not a range of ports.",
    ),
    "an unknown protocol": (
        'app = "a"\n[[services]]\ninternal_port = 1\nprotocol = "sctp"\n',
        "4: services.protocol: unknown",
    ),
    "handlers that are a word": (
        'app = "a"\n[[services]]\n[[services.ports]]\nport = 80\nhandlers = "http"\n',
        "5: services.ports.handlers: expected a list, got a string.",
    ),
    "a flag of words": (
        'app = "a"\n[http_service]\nforce_https = "yes"\n',
        "3: http_service.force_https: expected true or false",
    ),
    "a date": ('app = "a"\nprimary_region = 2030-01-31\n', "2: primary_region: expected a string, got a date."),
}


@pytest.mark.parametrize(("text", "message"), FLY.values(), ids=FLY.keys())
def test_what_cannot_be_understood_in_a_fly_file_is_named_with_its_place(
    folder: Path, write: Write, text: str, message: str
) -> None:
    write("fly.auth.staging.toml", text)

    assert message_of(folder).startswith(f"deploy/fly.auth.staging.toml:{message}")


COMPOSE = {
    "no YAML": ("services:\n  gateway: [\n", ":3: not valid YAML: "),
    "nothing": ("", ":1: expected a compose file with the key `services`, got nothing."),
    "a list": ("- gateway\n", ":1: expected a compose file with the key `services`, got a list."),
    "no services": ("volumes: {}\n", ":1: services: none of them is declared in gaia.toml (found: none;"),
    "services that are a list": ("x: 1\nservices: [gateway]\n", ":2: services: expected a table, got a list."),
    "a service that is a word": (
        "services:\n  gateway: yes\n",
        ":2: services.gateway: expected a table, got a string.",
    ),
    "none of the platform's services": (
        "services:\n  web: {image: nginx}\n  worker: {image: w}\n",
        ":1: services: none of them is declared in gaia.toml (found: web, worker; declared: gateway, auth,",
    ),
    "all of a profile": ("services:\n  gateway: {profiles: [all]}\n", ":1: services: none of them is declared"),
    "an environment of words": (
        "services:\n  gateway:\n    environment: A=b\n",
        ":3: services.gateway.environment: expected a table, got a string.",
    ),
    "a table in the environment": (
        "services:\n  gateway:\n    environment:\n      A: {b: c}\n",
        ":4: services.gateway.environment.A: expected a string, got a table.",
    ),
    "a limit of words": (
        "services:\n  gateway:\n    mem_limit: lots\n",
        ":3: services.gateway.mem_limit: expected a size",
    ),
    "ports that are a word": (
        'services:\n  gateway:\n    ports: "8666:8000"\n',
        ":3: services.gateway.ports: expected a list, got a string.",
    ),
    "an interval without a unit": (
        "services:\n  gateway:\n    healthcheck: {test: ls, interval: '30'}\n",
        ":3: services.gateway.healthcheck.interval: expected a duration",
    ),
    "dependencies that are a word": (
        "services:\n  gateway:\n    depends_on: db\n",
        ":3: services.gateway.depends_on: expected a list, got a string.",
    ),
}


def test_what_was_found_instead_of_the_platform_is_named(folder: Path, write: Write) -> None:
    write("compose.yaml", "services:\n  web: {image: nginx}\n  worker: {image: w}\n")

    message = message_of(folder, "local", "compose")
    assert message.startswith(
        "deploy/compose.yaml:1: services: none of them is declared in gaia.toml (found: web, worker;"
    )
    assert message.endswith("Add [services.NAME] for those to test; `gaia init` writes them.")


@pytest.mark.parametrize(("text", "message"), COMPOSE.values(), ids=COMPOSE.keys())
def test_what_cannot_be_understood_in_a_compose_file_is_named_with_its_place(
    folder: Path, write: Write, text: str, message: str
) -> None:
    write("docker-compose.yml", text)

    assert message_of(folder, "local", "compose").startswith(f"deploy/docker-compose.yml{message}")
