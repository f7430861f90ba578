"""The project of a compose file as Compose itself reads it: with its plugin, and without an engine."""

from __future__ import annotations

import shutil
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.cli.app import run
from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, resolve
from pytest_gaia.errors import ConfigError
from tests.docker.engine import PREPARED
from tests.left_out import ENGINE

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.config.deployfiles.model import Deployment
    from pytest_gaia.config.environment import Environment

pytestmark = pytest.mark.slow("docker")

GAIA_TOML = """\
[services.gateway]
health = "/health"
depends_on = ["chat"]
[services.chat]
health = "/health"
[services.seed]
once = true
[env.local]
from = "compose"
"""


class Shop:
    """A project whose files a test writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("gaia.toml", GAIA_TOML)

    def write(self, name: str, text: str) -> None:
        """Write a file; the text may be indented."""
        (self.folder / name).parent.mkdir(exist_ok=True)
        (self.folder / name).write_text(dedent(text), encoding="utf-8")

    @property
    def local(self) -> Environment:
        """The environment that the files describe."""
        return resolve(Options(project=Project(self.folder), environ={}, env="local"))

    @property
    def deployment(self) -> Deployment:
        """The services in the files."""
        found = self.local.deployment
        assert found is not None
        return found

    def place(self, service: str, *key: str) -> str:
        """Return file and line of a key of a service."""
        app = self.deployment.app(service)
        assert app is not None
        found = app.place("services", app.name, *key)
        return f"{found.file}:{found.line}"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """An empty project, and Compose."""
    plugins = PREPARED / "cli-plugins"
    if not (plugins / "docker-compose").exists() or shutil.which("docker") is None:
        ENGINE.leave_out(".docker/cli-plugins/docker-compose is not there")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "cli-plugins").symlink_to(plugins)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    for name in ("COMPOSE_FILE", "COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME", "CHAT_PORT"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "shop").mkdir()
    return Shop(tmp_path / "shop")


BASE = """\
services:
  gateway:
    image: gateway:1
    ports: ["8000:8000"]
  chat:
    image: chat:1
    ports: ["127.0.0.1:${CHAT_PORT}:8000"]
"""


@pytest.mark.parametrize(
    ("dotenv", "variable", "port"), [("CHAT_PORT=8555\n", "", "8555"), ("CHAT_PORT=8555\n", "8556", "8556")]
)
def test_the_value_of_a_port_is_the_one_that_compose_uses(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, dotenv: str, variable: str, port: str
) -> None:
    shop.write("docker-compose.yml", BASE)
    shop.write(".env", dotenv)
    if variable:
        monkeypatch.setenv("CHAT_PORT", variable)

    assert shop.local.urls == {"gateway": "http://localhost:8000", "chat": f"http://localhost:{port}"}
    assert shop.local.sources["urls.chat"] == "docker-compose.yml:7 services.chat.ports"


def test_a_port_without_a_value_is_named_as_it_is_written(shop: Shop) -> None:
    shop.write(
        "docker-compose.yml", BASE.replace('"8000:8000"', '"${GATEWAY_PORT}:8000"').replace("127.0.0.1:${", "${")
    )

    with pytest.raises(ConfigError) as caught:
        _ = shop.local

    assert str(caught.value).startswith(
        "docker-compose.yml:4: services.gateway.ports: '${GATEWAY_PORT}:8000' depends on a variable without a default; "
    )


def test_an_override_file_adds_services_and_values_with_their_own_places(shop: Shop) -> None:
    shop.write("docker-compose.yml", BASE.replace("${CHAT_PORT}", "8666"))
    shop.write(
        "docker-compose.override.yml",
        """\
        services:
          gateway:
            environment: [LEVEL=debug]
            ports: ["9000:9000"]
          seed:
            image: seed:1
        """,
    )

    gateway, _, seed = shop.deployment.apps

    assert (gateway.env, [each.ports for each in gateway.served]) == ({"LEVEL": "debug"}, [(8000,), (9000,)])
    assert [f"{each.place.file}:{each.place.line}" for each in gateway.served] == [
        "docker-compose.yml:4",
        "docker-compose.override.yml:4",
    ]
    assert shop.place("gateway") == "docker-compose.yml:2"
    assert shop.place("gateway", "environment", "LEVEL") == "docker-compose.override.yml:3"
    assert (seed.service, shop.place("seed")) == ("seed", "docker-compose.override.yml:5")
    assert shop.local.sources["services"] == "docker-compose.yml, docker-compose.override.yml"


def test_a_port_that_replaces_another_has_its_own_place(shop: Shop) -> None:
    shop.write("docker-compose.yml", BASE.replace("${CHAT_PORT}", "8666"))
    shop.write("docker-compose.override.yml", 'services:\n  gateway:\n    ports: !override ["9000:8000"]\n')

    assert shop.local.urls["gateway"] == "http://localhost:9000"
    assert shop.local.sources["urls.gateway"] == "docker-compose.override.yml:3 services.gateway.ports"


@pytest.mark.parametrize("where", ["environment", ".env"])
def test_compose_file_names_the_files_also_without_a_usual_one(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    shop.write("base.yml", BASE.replace("${CHAT_PORT}", "8666"))
    shop.write("extra.yml", "services:\n  chat:\n    image: chat:2\n")
    if where == ".env":
        shop.write(".env", "COMPOSE_FILE=base.yml:extra.yml\n")
    else:
        monkeypatch.setenv("COMPOSE_FILE", "base.yml:extra.yml")

    assert [(each.name, each.image) for each in shop.deployment.apps] == [("gateway", "gateway:1"), ("chat", "chat:2")]
    assert (shop.place("chat"), shop.place("chat", "image")) == ("base.yml:5", "extra.yml:3")


def test_compose_file_in_another_folder_is_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.write("deploy/base.yml", BASE)
    monkeypatch.setenv("COMPOSE_FILE", "deploy/base.yml")

    with pytest.raises(
        ConfigError, match=r"^COMPOSE_FILE: its first file, deploy/base.yml, is not in \.\. Set `deploy_fi"
    ):
        _ = shop.local


def test_a_project_without_a_declared_service_is_named_by_its_first_file(shop: Shop) -> None:
    shop.write("docker-compose.yml", "include: [parts.yml]\nservices:\n  web: {image: web}\n")
    shop.write("parts.yml", "services:\n  queue: {image: queue}\n")
    shop.write("docker-compose.override.yml", "services:\n  web: {environment: {A: b}}\n")

    with pytest.raises(ConfigError) as caught:
        _ = shop.local

    assert str(caught.value).startswith(
        "docker-compose.yml:2: services: none of them is declared in gaia.toml (found: queue, web; declared: gateway, chat"
    )


def test_included_and_extended_services_are_there_with_their_places(shop: Shop) -> None:
    shop.write(
        "docker-compose.yml",
        "include: [parts/chat.yml]\nservices:\n  gateway:\n    extends: {file: common.yml, service: web}\n",
    )
    shop.write("parts/chat.yml", 'services:\n  chat:\n    image: chat:1\n    ports: ["8666:8000"]\n')
    shop.write("common.yml", 'services:\n  web:\n    image: web:1\n    ports: ["8000:8000"]\n')

    assert shop.local.urls == {"gateway": "http://localhost:8000", "chat": "http://localhost:8666"}
    assert {each.name: shop.place(each.name, "image") for each in shop.deployment.apps} == {
        "gateway": "common.yml:3",
        "chat": "parts/chat.yml:3",
    }
    assert {each.path.name for each in shop.deployment.apps} == {"docker-compose.yml"}


def test_a_new_project_declares_the_services_of_all_files(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop.folder / "gaia.toml").unlink()
    shop.write("docker-compose.yml", "include: [parts/orders.yml]\n")
    shop.write(
        "parts/orders.yml",
        """\
        services:
          orders-service:
            build: .
            ports: ["8666:8000"]
            depends_on: [db]
          db: {image: "postgres:17"}
        """,
    )
    monkeypatch.chdir(shop.folder)

    code = run(["init"])

    services = Project(shop.folder).platform.services
    assert (code, sorted(services)) == (0, ["db", "orders-service"])
    assert services["orders-service"].depends_on == ("db",)
    assert shop.local.urls == {"orders-service": "http://localhost:8666"}


@pytest.mark.parametrize(("profiles", "found"), [("", ["gateway"]), ("extra", ["gateway", "chat"])])
def test_only_services_of_active_profiles_are_there(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, profiles: str, found: list[str]
) -> None:
    monkeypatch.setenv("CHAT_PORT", "8666")
    monkeypatch.setenv("COMPOSE_PROFILES", profiles)
    shop.write("docker-compose.yml", f"{BASE}    profiles: [extra]\n")

    assert [each.name for each in shop.deployment.apps] == found


def test_variables_of_an_env_file_count(shop: Shop) -> None:
    shop.write(
        "docker-compose.yml",
        "services:\n  gateway:\n    image: g:1\n    ports: ['8000:8000']\n    env_file: [gateway.env]\n",
    )
    shop.write("gateway.env", "LEVEL=debug\nPRICE='5$'\n")

    assert shop.deployment.apps[0].env == {"LEVEL": "debug", "PRICE": "5$"}


@pytest.mark.parametrize("why", ["", "the server ignores it"])
def test_a_deployment_is_checked_with_all_files_and_the_comments_in_them(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], why: str
) -> None:
    shop.write("docker-compose.yml", BASE.replace("${CHAT_PORT}", "8666"))
    comment = f"  # gaia: allow port-mismatch because {why}" if why else ""
    shop.write("docker-compose.override.yml", f'services:\n  gateway:\n    environment:\n      PORT: "9000"{comment}\n')
    monkeypatch.chdir(shop.folder)

    code = run(["deploy", "local", "--dry-run"])

    said = "docker-compose.override.yml:4: services.gateway.environment.PORT: PORT of gateway is 9000"
    assert (code, said in capsys.readouterr().err) == ((0, False) if why else (4, True))


def test_only_values_in_the_files_are_shown(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.write(
        "docker-compose.yml",
        """\
        services:
          gateway:
            image: "g:1"
            ports: ["8000:8000"]
            env_file: [gateway.env]
            environment: [LEVEL=debug, "CODE=${CODE}", MODE]
        """,
    )
    shop.write("gateway.env", "PHRASE=one-two-three\n")
    for name in ("CODE", "MODE"):
        monkeypatch.setenv(name, f"value-of-{name}")
    monkeypatch.chdir(shop.folder)

    assert run(["env", "show", "local"]) == 0

    lines = (line.split() for line in capsys.readouterr().out.splitlines() if " env." in line)
    assert {words[1]: words[-1] for words in lines} == {
        "env.LEVEL": "debug",
        "env.CODE": "***",
        "env.MODE": "***",
        "env.PHRASE": "***",
    }


def test_the_project_tells_its_name_what_is_built_and_what_runs_once(shop: Shop) -> None:
    shop.write(
        "docker-compose.yml",
        """\
        name: acme
        services:
          gateway:
            build: ./gateway
            ports: ["8000:8000"]
            depends_on:
              migrate: {condition: service_completed_successfully}
              chat: {condition: service_healthy}
          chat: {image: "chat:1", healthcheck: {test: "true"}}
          migrate: {image: "migrate:1"}
          seed: {image: "seed:1"}
        """,
    )

    found = shop.deployment

    assert (found.project, found.folder.path) == ("acme", shop.folder)
    assert {each.name for each in found.apps if each.once} == {"migrate", "seed"}
    assert {each.name for each in found.apps if each.is_built} == {"gateway"}
    assert found.apps[0].waits_for == {"migrate": "service_completed_successfully", "chat": "service_healthy"}


REFUSED = {
    "unknown key": (
        "    imagge: a:1\n",
        "docker-compose.yml:3: services.gateway.imagge: docker compose config: validating ",
        "services.gateway Additional property imagge is not allowed",
    ),
    "not YAML": (
        "    image: [\n",
        "docker-compose.yml:4: docker compose config: yaml: ",
        "did not find expected node content",
    ),
    "duplicate key": (
        "    image: a:1\n    image: a:2\n",
        "docker-compose.yml:4: docker compose config: yaml: ",
        'mapping key "image" already defined at line 3',
    ),
    "missing env_file": (
        "    image: a:1\n    env_file: gateway.env\n",
        "docker-compose.yml:4: services.gateway.env_file: docker compose config: env file ",
        "gateway.env not found: ",
    ),
    "required variable": (
        "    image: ${IMAGE:?name an image}\n",
        "docker-compose.yml:3: services.gateway.image: docker compose config: ",
        "required variable IMAGE is missing a value: name an image",
    ),
    "unknown dependency": (
        "    image: a:1\n    depends_on: [nosuch]\n",
        "docker-compose.yml:4: services.gateway.depends_on: docker compose config: ",
        'service "gateway" depends on undefined service "nosuch"',
    ),
    "port": (
        '    image: a:1\n    ports: ["99999:8000"]\n',
        "docker-compose.yml:4: services.gateway.ports: docker compose config: ",
        "Invalid hostPort: 99999.",
    ),
    "no image": (
        "    restart: always\n",
        "docker-compose.yml:2: services.gateway: docker compose config: ",
        'service "gateway" has neither an image nor a build context specified',
    ),
    "missing include": (
        "    image: a:1\ninclude: [nosuch.yml]\n",
        "docker-compose.yml:4: include: docker compose config: open ",
        "nosuch.yml: no such file or directory",
    ),
}


@pytest.mark.parametrize(("text", "place", "said"), REFUSED.values(), ids=REFUSED)
def test_what_compose_refuses_is_one_error_with_its_words_and_the_place(
    shop: Shop, text: str, place: str, said: str
) -> None:
    shop.write("docker-compose.yml", f"services:\n  gateway:\n{text}")

    with pytest.raises(ConfigError) as caught:
        _ = shop.local

    message = str(caught.value)
    assert message.startswith(place)
    assert said in message
    assert "\n" not in message


def test_a_value_of_a_secret_is_masked_in_an_error(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "korrekt-pferd-8")
    shop.write("docker-compose.yml", 'services:\n  gateway:\n    image: a:1\n    ports: ["${DB_PASSWORD}:8000"]\n')

    with pytest.raises(ConfigError) as caught:
        _ = shop.local

    assert "Invalid hostPort: " in str(caught.value)
    assert "korrekt-pferd-8" not in str(caught.value)


@pytest.mark.parametrize("broken", ["no plugin", "no context"])
def test_without_a_usable_compose_the_file_alone_counts(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    shop.write("docker-compose.yml", BASE.replace("${CHAT_PORT}", "${CHAT_PORT:-8666}"))
    shop.write("docker-compose.override.yml", "services:\n  seed:\n    image: seed:1\n")
    if broken == "no plugin":
        monkeypatch.setenv("PATH", str(docker_alone(shop.folder.parent)))
        monkeypatch.setenv("DOCKER_CONFIG", str(shop.folder))
    else:
        monkeypatch.setenv("DOCKER_CONTEXT", "nosuch")

    assert (shop.deployment.project, [each.name for each in shop.deployment.apps]) == ("", ["gateway", "chat"])


def docker_alone(folder: Path) -> Path:
    """Return a folder with nothing but ``docker``."""
    alone = folder / "bin"
    alone.mkdir()
    (alone / "docker").symlink_to(str(shutil.which("docker")))
    return alone
