"""``gaia init`` for a project's own services: from a Compose file, OpenAPI documents and addresses."""

from __future__ import annotations

import ast
import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from pytest_gaia.cli.app import run
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, resolve
from tests.cli.settings.conftest import BIN

COMPOSE = """
name: Shop & Co
services:
  Web.UI:
    build: {context: ./web}
    ports: ["127.0.0.1:8080:80", "8443:443"]
    depends_on: [orders, request]
    healthcheck: {test: ["CMD", "curl", "--fail", "http://localhost/ready?deep=1"]}
  orders:
    image: example.com/shop/orders:${TAG:-v1}
    ports: ["${ORDERS_PORT:-8001}:8000"]
    depends_on:
      db: {condition: service_healthy}
      migrate: {condition: service_completed_successfully}
      profiled: {condition: service_started}
      Web.UI: {condition: service_started}
  request:
    build: .
    expose: ["8000"]
  migrate:
    image: example.com/shop/orders:v1
    depends_on: [db]
  search: {image: "elasticsearch:8.1", ports: ["9300:9300", "9200:9200"]}
  db:
    image: postgis/postgis:16-3.4
    ports: ["5433:5432"]
    environment: {POSTGRES_USER: shop, POSTGRES_PASSWORD: hunter2000, POSTGRES_DB: store}
  trusted: {image: postgres, ports: ["5434:5432"], environment: ["POSTGRES_HOST_AUTH_METHOD=trust"]}
  cache: {image: "valkey/valkey:8", ports: ["6379:6379"]}
  locked: {image: redis, ports: ["6380:6379"], command: redis-server --requirepass hunter2000}
  queue: {image: "rabbitmq:4-management", ports: ["15672:15672", "5672:5672"]}
  bus: {image: nats, ports: ["8222:8222", "4222:4222"]}
  legacy: {image: "mariadb:11", ports: ["3306:3306"]}
  celery-worker: {build: .}
  open: {image: example.com/open, ports: ["${OPEN_PORT}:80"]}
  class: {image: example.com/plain, ports: ["9999:9999"]}
  profiled: {image: nginx, profiles: [debug]}
"""

OPENAPI = {
    "openapi": "3.1.0",
    "servers": [{"url": "/api"}],
    "security": [{"key": []}],
    "components": {
        "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Shop-Key"}},
        "parameters": {"page": {"name": "page", "in": "query", "required": True}},
    },
    "paths": {
        "/status": {"get": {"security": [], "responses": {"200": {"description": "ok"}}}},
        "/a": {"get": {"responses": {"200": {"description": "needs the key"}}}},
        "/b": {
            "get": {"security": [], "parameters": [{"$ref": "#/components/parameters/page"}], "responses": {"200": {}}}
        },
        "/c/{id}": {"get": {"security": [], "responses": {"200": {}}}},
        "/events": {"get": {"security": [], "responses": {"200": {"content": {"text/event-stream": {}}}}}},
        "/orders": {"get": {"security": [{}], "responses": {"206": {"content": {"application/json": {}}}, "404": {}}}},
    },
}


def local(folder: Path) -> Environment:
    """The environment that ``gaia env show local`` shows."""
    return resolve(Options(project=Project.around(folder), environ={}, env="local"))


def test_every_service_of_a_compose_file_is_described(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "docker-compose.yml").write_text(COMPOSE)

    assert run(["init"]) == 0

    environment = local(folder)
    platform = environment.platform
    assert {name: service.kind for name, service in platform.services.items()} == {
        "web-ui": "http",
        "orders": "http",
        "request-service": "http",
        "migrate": "tcp",
        "search": "http",
        "db": "postgres",
        "trusted": "postgres",
        "cache-service": "redis",
        "locked": "redis",
        "queue": "amqp",
        "bus": "nats",
        "legacy": "tcp",
        "celery-worker": "tcp",
        "open": "http",
        "class-service": "tcp",
    }
    assert platform.entry == "web-ui"
    assert platform["web-ui"].health == "/ready"
    assert platform["web-ui"].units == {"compose": "Web.UI"}
    assert platform["web-ui"].depends_on == ("orders", "request-service")
    assert platform["orders"].depends_on == ("db", "migrate")
    assert [name for name in platform if platform[name].once] == ["migrate"]
    assert environment.required == ("web-ui", "orders", "search")
    assert {name: url for name in platform if (url := environment.url_of(name))} == {
        "web-ui": "http://localhost:8080",
        "orders": "http://localhost:8001",
        "search": "http://localhost:9200",
        "cache-service": "redis://localhost:6379",
        "queue": "amqp://localhost:5672",
        "bus": "nats://localhost:4222",
        "legacy": "tcp://localhost:3306",
        "class-service": "tcp://localhost:9999",
    }
    text = (folder / "gaia.toml").read_text()
    out = capsys.readouterr().out
    assert "hunter2000" not in text + out
    assert "# Left out, because they are in a profile: profiled." in text
    assert "# It also depends on Web.UI" not in text
    assert "# It also depends on web-ui, which would be a cycle." in text
    assert "# It also depends on profiled, which is not started here." in text
    assert "# No port is published, so tests do not reach: request-service, celery-worker." in text
    for line in (
        "db: set GAIA_LOCAL_DB_URL, for example in .env: postgresql://shop:PASSWORD@localhost:5433/store",
        "trusted: set GAIA_LOCAL_TRUSTED_URL, for example in .env: postgresql://postgres@localhost:5434/postgres",
        "locked: it has a password: set GAIA_LOCAL_LOCKED_URL, for example in .env.",
        "open: the port '${OPEN_PORT}:80' depends on a variable: set GAIA_LOCAL_OPEN_URL.",
    ):
        assert f"# {line}" in text
        assert f"  {line}" in out
    assert run(["env", "show", "local"]) == 0


def test_the_override_file_and_the_example_of_variables_count(folder: Path) -> None:
    (folder / "compose.yaml").write_text('services: {api: {build: ., environment: {A: "1"}}, db: {image: postgres}}')
    (folder / "compose.override.yaml").write_text('services: {api: {ports: ["${API_PORT}:8000"]}}')
    (folder / ".env.example").write_text("API_PORT=8123\n")

    assert run(["init"]) == 0

    assert local(folder).urls == {"api": "http://localhost:8123"}


def test_a_file_without_any_known_address_is_valid(folder: Path) -> None:
    (folder / "stack.yml").write_text("services: {api: {build: .}}")

    assert run(["init", "-f", "stack.yml"]) == 0

    assert local(folder).urls == {"api": "http://localhost:8000"}
    assert "# Nothing has a known address: publish a port, and correct this one." in (folder / "gaia.toml").read_text()


@pytest.mark.parametrize("name", ["openapi.json", "web/spec/swagger.yaml"])
def test_an_openapi_document_in_the_folder_describes_the_service(folder: Path, name: str) -> None:
    (folder / "docker-compose.yml").write_text("services: {web: {build: ./web, ports: ['8000:8000']}}")
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(OPENAPI) if name.endswith("json") else yaml.safe_dump(OPENAPI))

    assert run(["init"]) == 0

    web = local(folder).platform["web"]
    assert web.health == "/api/status"
    assert [(each.secret, each.header, each.scheme) for each in web.auth] == [("API_KEY", "X-Shop-Key", "")]
    remark = f'# Described by {name}; openapi = "{name}" if the service does not publish it.'
    assert remark in (folder / "gaia.toml").read_text()
    test = (folder / "tests/smoke/test_first.py").read_text()
    assert 'await web.get("/api/orders")' in test
    assert "response.expect(206)" in test


@pytest.mark.parametrize("settings", ["", "[tool.pytest.ini_options]\nasyncio_mode = 'strict'\n"])
def test_the_first_test_passes_without_an_edit(folder: Path, settings: str) -> None:
    """Also in a project whose settings of pytest lack the event loop of the session."""
    if settings:
        (folder / "pyproject.toml").write_text(settings)
    (folder / "openapi.json").write_text(json.dumps(OPENAPI))
    with served({"/api/status": 200, "/api/orders": 206}) as url:
        (folder / "docker-compose.yml").write_text(
            f"services: {{web: {{build: ., ports: ['{url.rpartition(':')[2]}:80']}}}}"
        )
        assert run(["init"]) == 0

        done = subprocess.run(
            [BIN / "pytest", "tests"], cwd=folder, capture_output=True, text=True, check=False, timeout=120
        )

    assert done.returncode == 0, done.stdout + done.stderr
    # The contract test: this service does not publish its document, and a project may lack the extra.
    assert "1 passed, 1 not applicable" in done.stdout
    assert "1 passed" in done.stdout


@contextmanager
def served(statuses: Mapping[str, int]) -> Iterator[str]:
    """A server on loopback that responds with these statuses; the URL of it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(statuses.get(self.path, 404))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("scheme", "auth"),
    [
        ({"type": "apiKey", "in": "header", "name": "X-Key"}, '{ secret = "API_KEY", header = "X-Key" }'),
        ({"type": "http", "scheme": "bearer"}, '{ secret = "TOKEN", header = "Authorization", scheme = "Bearer" }'),
        ({"type": "oauth2", "flows": {}}, '{ secret = "TOKEN", header = "Authorization", scheme = "Bearer" }'),
        (
            {"type": "apiKey", "in": "header", "name": "Authorization", "description": "Bearer TOKEN"},
            '{ secret = "TOKEN", header = "Authorization", scheme = "Bearer" }',
        ),
        ({"type": "basic"}, '{ secret = "BASIC_AUTH", header = "Authorization", scheme = "Basic" }'),
        ({"type": "apiKey", "in": "cookie", "name": "sid"}, None),
    ],
)
def test_the_credential_comes_from_the_security_schemes(
    folder: Path, scheme: dict[str, object], auth: str | None
) -> None:
    document = {"swagger": "2.0", "basePath": "/v2", "paths": {}, "securityDefinitions": {"a": scheme}}
    (folder / "api.json").write_text(json.dumps(document))

    assert run(["init", "--url", "http://localhost:1", "--openapi", "api.json"]) == 0

    text = (folder / "gaia.toml").read_text()
    assert f"auth = {auth}" in text if auth else "auth =" not in text


def test_addresses_replace_a_compose_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    urls = [
        "orders=http://localhost:8001/",
        "db=postgresql://localhost:5432/shop",
        "store=redis://localhost:6379",
        "http://localhost",
    ]

    assert run(["init", *(word for url in urls for word in ("--url", url)), "-e", "qa=https://qa.example"]) == 0

    assert "  db: set GAIA_DB_URL, for example in .env: postgresql://localhost:5432/shop" in capsys.readouterr().out
    environment = local(folder)
    assert {name: environment.url_of(name) for name in environment.platform} == {
        "orders": "http://localhost:8001",
        "db": None,
        "store": "redis://localhost:6379",
        "web": "http://localhost",
    }
    staged = resolve(Options(project=Project.around(folder), environ={}, env="qa"))
    assert staged.urls == {"orders": "https://qa.example"}


def test_a_service_may_be_known_in_one_environment_alone(folder: Path) -> None:
    assert run(["init", "-e", "qa=https://qa.example"]) == 0

    environment = resolve(Options(project=Project.around(folder), environ={}))
    assert (environment.name, environment.urls) == ("qa", {"web": "https://qa.example"})


def test_environments_come_from_files_for_fly(folder: Path) -> None:
    fly = 'app = "shop-{}"\n[http_service]\ninternal_port = 8000\n'
    for name in ("web", "orders"):
        (folder / f"fly.{name}.staging.toml").write_text(fly.format(name))
    (folder / "compose.yml").write_text("services: {web: {build: .}, orders: {build: ., ports: ['8000:8000']}}")

    assert run(["init"]) == 0
    (folder / "compose.yml").unlink()
    with_compose = resolve(Options(project=Project.around(folder), environ={}, env="staging"))
    assert run(["init", "--force"]) == 0

    staged = resolve(Options(project=Project.around(folder), environ={}))
    assert staged.name == "staging"
    assert (
        staged.urls == with_compose.urls == {"web": "https://shop-web.fly.dev", "orders": "https://shop-orders.fly.dev"}
    )


def test_an_address_elsewhere_is_not_local_and_is_read_only(folder: Path) -> None:
    assert run(["init", "--url", "https://api.example"]) == 0

    environment = resolve(Options(project=Project.around(folder), environ={}))
    assert (environment.name, environment.urls, environment.writes) == ("remote", {"web": "https://api.example"}, False)


def test_a_document_alone_gives_the_address(folder: Path) -> None:
    document = {"openapi": "3.0.0", "servers": [{"url": "http://localhost:7000/v1"}], "paths": {}}
    (folder / "a.json").write_text(json.dumps(document))

    assert run(["init", "--openapi", "orders=a.json"]) == 0

    assert local(folder).urls == {"orders": "http://localhost:7000"}


def test_a_project_with_settings_of_pytest_keeps_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "tests").mkdir()
    (folder / "pyproject.toml").write_text("[tool.pytest.ini_options]\naddopts = ['-q']\n")

    assert run(["init", "--url", "http://localhost:8000"]) == 0

    assert not (folder / "pytest.toml").exists()
    assert "pytestmark = pytest.mark.asyncio" in (folder / "release_tests/smoke/test_first.py").read_text()
    assert "  pytest release_tests " in capsys.readouterr().out


def test_files_are_replaced_only_with_force(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "gaia.toml").write_text("# mine\n")

    assert run(["init", "--url", "http://localhost:8000", "--dry-run", "--force"]) == 0
    assert [path.name for path in folder.iterdir()] == ["gaia.toml"]
    assert 'await web.get("/")' in capsys.readouterr().out
    assert run(["init", "--url", "http://localhost:8000"]) == 0
    assert run(["init"]) == 0
    assert (folder / "gaia.toml").read_text() == "# mine\n"
    assert {path.name for path in folder.iterdir()} == {"gaia.toml", "pytest.toml"}
    assert "skipped  orders.py: its services are not in gaia.toml" in capsys.readouterr().out
    assert run(["init", "--url", "http://localhost:8000", "--force"]) == 0
    assert local(folder).urls == {"web": "http://localhost:8000"}


def test_a_workflow_is_written_on_request(folder: Path) -> None:
    (folder / "compose.yml").write_text("services: {web: {build: ., ports: ['8000:8000']}}")
    assert run(["init"]) == 0
    assert not (folder / ".github").exists()

    assert run(["init", "--ci", "github"]) == 0

    steps = yaml.safe_load((folder / ".github/workflows/gaia.yml").read_text())["jobs"]["test"]["steps"]
    commands = [step["run"] for step in steps if "run" in step]
    assert "docker compose up --detach --wait" in commands


def test_hostile_text_stays_in_its_place(folder: Path) -> None:
    hostile = {
        "name": 'x"\n[env.evil]',
        "services": {
            "web\n[env.evil]\nurl='x'": {
                "build": ".",
                "ports": ["8000:8000"],
                "depends_on": ["a\nb = 1 \x1b[31m"],
                "healthcheck": {"test": 'curl http://localhost:8000/"""+x'},
            },
            "p\n[env.evil]": {"image": "x", "profiles": ["y"]},
            "db": {
                "image": "postgres",
                "ports": ["1:5432"],
                "environment": {"POSTGRES_DB": "a\nb", "POSTGRES_USER": '"'},
            },
        },
    }
    document = {
        "openapi": "3.0.0",
        "servers": [{"url": '/"""'}],
        "paths": {'/"""\nx': {"get": {"responses": {"200": {}}}}},
    }
    (folder / "docker-compose.yml").write_text(yaml.safe_dump(hostile))
    (folder / "openapi.json").write_text(json.dumps(document))

    assert run(["init"]) == 0

    assert Project.around(folder).file is not None
    assert "evil" not in Project.around(folder).environments
    assert "\x1b" not in (folder / "gaia.toml").read_text()
    ast.parse((folder / "tests/smoke/test_first.py").read_text())


@pytest.mark.parametrize(
    ("compose", "message"),
    [
        ("services: [", "docker-compose.yml:1: not valid YAML"),
        ("- a\n", "docker-compose.yml:1: expected a compose file with the key `services`, got a list."),
        ("services: {}\n", "docker-compose.yml:1: services: the file describes no service"),
        ("web: {image: x}\n", "docker-compose.yml:1: services: the file describes no service"),
        ("services: {a: {image: x, profiles: [y]}}\n", "docker-compose.yml: every service is in a profile"),
        (
            "services:\n  a-b: {image: x}\n  A_B: {image: x}\n",
            "docker-compose.yml:3: services.A_B: a-b and A_B would both have the fixture a_b; rename one of them.",
        ),
        ("services: {a: {image: x, ports: [a]}}\n", "docker-compose.yml:1: services.a.ports: expected ports"),
    ],
)
def test_an_unusable_compose_file_is_one_message(
    folder: Path, capsys: pytest.CaptureFixture[str], compose: str, message: str
) -> None:
    (folder / "docker-compose.yml").write_text(compose)

    assert run(["init"]) == 4

    err = capsys.readouterr().err
    assert err.startswith(f"gaia: {message}")
    assert err.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["docker-compose.yml"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-f", "none.yml"], "none.yml: cannot be read: No such file or directory."),
        (["-e", "qa"], "--env qa: not NAME=URL"),
        (["-f", "a.yml", "--url", "http://a"], "--file and --url exclude each other"),
        (["--url", "http://me:hunter2000@localhost"], "--url web: the URL of a service must not contain credentials"),
        (["--url", "db=postgresql://me:hunter2000@localhost/a"], "--url db: "),
        (["--url", "a=http://a", "--url", "a=http://b"], "--url a: a and a would both have the fixture a."),
        (["--url", "a-b=http://a", "--url", "a_b=http://b"], "--url a_b: a-b and a_b would both have the fixture a_b."),
        (["--url", "request=http://a"], "--url request: the name of a service is the name of its fixture"),
        (["--url", "Web=http://a"], "--url Web: use lower-case letters"),
        (["--url", "localhost:8000"], "--url web: 'localhost:8000' does not start with http://"),
        (["--url", "http://a", "--openapi", "x=bad.json"], "--openapi x: unknown service 'x'; Known: web."),
        (["--url", "http://a", "--openapi", "bad.json"], "--openapi bad.json: not an OpenAPI document"),
        (["--url", "http://a", "--openapi", "broken.yaml"], "--openapi broken.yaml:"),
        (["--url", "http://a", "--openapi", "none.json"], "--openapi none.json: cannot be read"),
        (
            ["--url", "http://a", "--openapi", "http://127.0.0.1:1/a"],
            "--openapi http://127.0.0.1:1/a: cannot be fetched",
        ),
        (["--url", "http://a", "--openapi", "http://me:hunter2000@b/a"], "--openapi"),
        (["--openapi", "plain.json"], "--openapi web: the document has no address of the service"),
    ],
)
def test_a_wrong_option_is_one_message(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    (folder / "bad.json").write_text("[]")
    (folder / "plain.json").write_text('{"paths": {}}')
    (folder / "broken.yaml").write_text("a: [")

    assert run(["init", *options]) == 4

    err = capsys.readouterr().err
    assert err.startswith(f"gaia: {message}")
    assert err.count("\n") == 1
    assert "hunter2000" not in err
    assert not (folder / "gaia.toml").exists()
