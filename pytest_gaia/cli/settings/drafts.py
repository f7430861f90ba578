"""Services for a new gaia.toml, from a Compose file or from addresses, and the templates of its files."""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import NamedTuple

from pytest_gaia.config.addresses import service_url
from pytest_gaia.config.deployfiles import composed
from pytest_gaia.config.deployfiles.compose import elsewhere, every_app
from pytest_gaia.config.deployfiles.model import COMPLETED, App, Served
from pytest_gaia.config.deployfiles.read import COMPOSE_ENVIRONMENT, compose_files, override_file, shown
from pytest_gaia.config.deployfiles.values import committed_variables, is_open, written_out
from pytest_gaia.config.platform import Kind, Platform
from pytest_gaia.config.platforms.check import name_problem
from pytest_gaia.config.variables import DOTENV_FILE, read_dotenv
from pytest_gaia.errors import ConfigError
from pytest_gaia.files.toml import read_text
from pytest_gaia.printable import one_line


@dataclass(slots=True)
class Draft:
    """One service for gaia.toml."""

    name: str
    kind: Kind = "http"
    unit: str = ""
    """its name in the Compose file"""
    health: str = ""
    """path of its health check, if it is known"""
    depends_on: list[str] = field(default_factory=list)
    once: bool = False
    auth: Mapping[str, str] = field(default_factory=dict)
    described: bool = False
    """whether an OpenAPI document describes it"""
    openapi: str = ""
    """path on the service of its OpenAPI document, if it is known"""
    get: tuple[str, int] | None = None
    """path of a documented GET without required parameters, and the status of its response"""
    secured: bool = False
    """whether that GET needs a credential"""
    url: str = ""
    address: str = ""
    """why it has no URL, and what to do"""
    port: int = 8000
    """port in the container, to guess a URL"""
    remarks: list[str] = field(default_factory=list)
    folder: str = ""
    """folder that it is built from"""
    is_own: bool = True
    """whether it is a service of the project that serves requests: no known product, and no background work"""

    @property
    def variable(self) -> str:
        """The variable with its URL on this machine."""
        return f"GAIA_LOCAL_{self.name.upper().replace('-', '_')}_URL"

    @property
    def todo(self) -> str:
        """What is left to do for it; empty for nothing."""
        if self.address and not self.url:
            return self.address
        guessed = self.kind == "http" and self.url and not self.health
        return (
            f"{self.name}: set the path of its health check, `health` in gaia.toml; it is not known" if guessed else ""
        )

    def serve_http(self) -> None:
        """Make it an HTTP service, because it has an OpenAPI document."""
        if self.kind != "http":
            self.kind, self.url = "http", self.url.replace("tcp://", "http://")

    def lines(self) -> Iterator[str]:
        """Yield its table in gaia.toml, in lines."""
        yield from ("", f"[services.{self.name}]")
        yield from (f"# {remark}" for remark in self.remarks)
        if self.kind != "http":
            yield f"kind = {toml_value(self.kind)}"
        elif self.health:
            yield from (f"health = {toml_value(self.health)}", "healthy = {}")
        else:
            yield from ('health = "/"    # no health check is known: set its path', "healthy = {}")
        if self.depends_on:
            yield f"depends_on = {toml_value(self.depends_on)}"
        if self.auth:
            yield f"# The credential is in GAIA_<ENVIRONMENT>_{self.auth['secret']}, or in .env."
            yield f"auth = {toml_value(self.auth)}"
        if self.openapi:
            yield f"openapi = {toml_value(self.openapi)}"
        if self.unit not in ("", self.name):
            yield f"deploy = {toml_value({'compose': self.unit})}"
        if self.once:
            yield "# It ends when its work is done."
            yield "once = true"


class _Product(NamedTuple):
    images: str
    kind: Kind
    port: int
    health: str = ""


_PRODUCTS = (
    _Product(
        r"postgres(ql)?(-repmgr|-ha)?|postgis|pgvector|timescaledb(-ha)?|pgvecto-rs|supabase-postgres", "postgres", 5432
    ),
    _Product(r"redis(-stack|-server|-stack-server|-cluster)?|valkey|keydb|dragonfly", "redis", 6379),
    _Product(r"nats(-server|-streaming)?", "nats", 4222),
    _Product(r"rabbitmq|lavinmq", "amqp", 5672),
    _Product(r"mysql(-server)?|mariadb|percona(-server)?", "tcp", 3306),
    _Product(r"mongo(db)?(-community-server)?", "tcp", 27017),
    _Product(r"(cp-)?kafka(-native)?|cp-server|redpanda", "tcp", 9092),
    _Product(r"(cp-)?zookeeper", "tcp", 2181),
    _Product(r"memcached", "tcp", 11211),
    _Product(r"cassandra|scylla", "tcp", 9042),
    _Product(r"cockroach", "tcp", 26257),
    _Product(r"(eclipse-)?mosquitto|emqx", "tcp", 1883),
    _Product(r"elasticsearch(-oss)?|opensearch", "http", 9200, "/"),
    _Product(r"clickhouse(-server)?", "http", 8123, "/ping"),
    _Product(r"minio", "http", 9000, "/minio/health/live"),
    _Product(r"prometheus", "http", 9090, "/-/healthy"),
    _Product(r"grafana(-oss|-enterprise)?", "http", 3000, "/api/health"),
    _Product(r"qdrant", "http", 6333, "/healthz"),
    _Product(r"ollama", "http", 11434, "/"),
    _Product(r"loki", "http", 3100, "/ready"),
    _Product(r"jaeger|all-in-one", "http", 16686, "/"),
    _Product(r"mailpit|mailhog|mailslurper", "http", 8025, "/"),
    _Product(r"maildev|mailcatcher", "http", 1080, "/"),
)
_OTHERS = r"grafana|prometheus|adminer|admin4?\b|mail|jaeger|zipkin|kibana|keycloak|traefik|proxy|nginx|caddy|portainer|playwright"
_BACKGROUND = (
    r"worker|migrat|seed|cron|scheduler|celery|consumer|queue|(^|[-_])(job|init|beat|setup|test|tests)($|[-_])"
)
_KIND_OF_PORT: Mapping[int, Kind] = {5432: "postgres", 6379: "redis", 4222: "nats", 5672: "amqp"}
_WEB_PORTS = {80, 443, 1337, 2368, 4000, 4200, 4321, 5000, 5001, 5173, 8443, 8888, 9000, 9090}
_WEB_PORTS |= {*range(3000, 3100), *range(8000, 8200)}
_TLS_PORTS = (443, 8443)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_EXAMPLES = (".env.example", ".env.sample", ".env.template", ".env.dist", "env.example", "example.env")
"""files that a new user copies to .env"""


def compose_drafts(path: Path, *, usual: bool) -> tuple[list[Draft], list[str]]:
    """Return the services of the Compose file at ``path``, and what was left out of it, in sentences.

    ``usual``: it is the file that Compose uses without ``--file``, together with others. Raises ``ConfigError`` for a file that cannot be read, without services, and for two services with one name.
    """
    name = shown(path)
    apps = _composed(path) if usual else ()
    if not apps:
        apps = every_app(path, name, _variables(path.parent), override_file(path) if usual else None)
    active = [app for app in apps if not app.document.get("profiles")]
    names = _names(active)
    ends = {other for app in active for other, condition in app.waits_for.items() if condition == COMPLETED}
    drafts = [_draft(app, names[app.name], once=app.name in ends) for app in active]
    _connect(drafts, active, names)
    in_profiles = [one_line(app.name) for app in apps if app not in active]
    notes = [f"Left out, because they are in a profile: {', '.join(in_profiles)}."] if in_profiles else []
    if elsewhere(apps[0].project):
        notes.append(f"Add services that come from elsewhere:{elsewhere(apps[0].project)}")
    if not drafts:
        raise ConfigError(
            f"{name}: every service is in a profile, so `docker compose up` starts none of them. Remove `profiles` from one, or "
            "use --url NAME=URL instead of the file."
        )
    return drafts, notes


def _composed(path: Path) -> tuple[App, ...]:
    """Return the services of a project with files that only Compose reads; none without Compose, or if it rejects them."""
    if not re.search(r"\b(?:include|extends)\b", read_text(path, path.name)):
        return ()
    with suppress(ConfigError):
        found = composed.ask(
            path.parent,
            compose_files(path.parent, {}),
            COMPOSE_ENVIRONMENT,
            Platform(),
            lambda each: (read_text(each, each.name), each.name),
        )
        return found.apps if found else ()
    return ()


def _variables(folder: Path) -> dict[str, str]:
    """Return the variables in ``.env``, which Compose reads too; without this file, those of the example to copy."""
    own = _entries(folder / DOTENV_FILE)
    examples = [] if (folder / DOTENV_FILE).is_file() else [_entries(folder / name) for name in _EXAMPLES]
    return {**next(filter(None, examples), {}), **committed_variables(folder), **own}


def _entries(path: Path) -> dict[str, str]:
    try:
        return {name: value for name, (value, _) in read_dotenv(path).items()}
    except ConfigError:
        # Compose accepts more than gaia does.
        return {}


def _names(apps: Iterable[App]) -> dict[str, str]:
    """Return name in the Compose file → name of the service."""
    names: dict[str, str] = {}
    taken: dict[str, str] = {}
    for app in apps:
        names[app.name] = name = valid_name(app.name)
        other = taken.setdefault(name.replace("-", "_"), app.name)
        if other != app.name:
            raise ConfigError(
                f"{app.place('app')}: {one_line(other)} and {one_line(app.name)} would both have the fixture "
                f"{name.replace('-', '_')}; rename one of them."
            )
    return names


def valid_name(text: str) -> str:
    """Return the closest valid name of a service: ``My.DB`` → ``my-db``, ``request`` → ``request-service``."""
    name = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")
    name = re.sub(r"^gaia[-_]*", "", name) or "app"
    name = name if name[0].isalpha() else f"service-{name}"
    return f"{name}-service" if name_problem(name) else name


def _draft(app: App, name: str, *, once: bool) -> Draft:
    product = _product(app)
    kind = _kind(app, product, once=once)
    is_own = product is None and not once and not re.search(f"{_OTHERS}|{_BACKGROUND}", f"{name} {_image(app)}")
    draft = Draft(name, kind, unit=app.name, once=once, is_own=is_own, folder=_build_folder(app))
    served = _best(app, kind, product)
    if kind == "http":
        check = _http_check(served)
        draft.health = check or (product.health if product else "")
    draft.port = (served.internal_port if served else None) or draft.port
    if served is None or not served.ports:
        draft.address = _why_unreachable(draft, app)
        return draft
    port = served.ports[0]
    if kind == "http":
        scheme = "https" if served.internal_port in _TLS_PORTS else "http"
        draft.url = f"{scheme}://localhost" if port == _DEFAULT_PORTS[scheme] else f"{scheme}://localhost:{port}"
    elif kind == "postgres":
        draft.address = f"{name}: set {draft.variable}, for example in .env: {_dsn(app, port)}"
    elif _has_password(app, kind):
        draft.address = f"{name}: it has a password: set {draft.variable}, for example in .env."
    else:
        draft.url = f"{kind}://localhost:{port}"
    return draft


def _dsn(app: App, port: int) -> str:
    """Return the DSN of a PostgreSQL server, without its password."""
    user, database = (_plain(app.env.get(f"POSTGRES_{key}", "")) for key in ("USER", "DB"))
    password = "" if app.env.get("POSTGRES_HOST_AUTH_METHOD") == "trust" else ":PASSWORD"
    user = user or "postgres"
    return f"postgresql://{user}{password}@localhost:{port}/{database or user}"


def _image(app: App) -> str:
    """Return the last part of the name of the image."""
    return (app.image or "").rpartition("/")[2].partition("@")[0].partition(":")[0].lower()


def _product(app: App) -> _Product | None:
    return next((each for each in _PRODUCTS if re.fullmatch(each.images, _image(app))), None)


def _kind(app: App, product: _Product | None, *, once: bool) -> Kind:
    if product is not None or once:
        return product.kind if product else "tcp"
    ports = {each.internal_port for each in app.served if each.protocol != "udp"}
    kinds = {_KIND_OF_PORT.get(port or 0) for port in ports}
    if any(_http_check(each) for each in app.served):
        return "http"
    if len(kinds) == 1 and (kind := kinds.pop()):
        return kind
    is_built = "build" in app.document and bool(ports or not re.search(_BACKGROUND, app.name.lower()))
    return "http" if is_built or ports & _WEB_PORTS else "tcp"


def _http_check(served: Served | None) -> str:
    """Return the path of the HTTP health check of a port; empty if it has none, or one with variables."""
    found = (each.path.partition("?")[0] for each in (served.checks if served else ()) if each.path)
    return next((path for path in found if re.fullmatch(r"/[\w./~@:+-]*", path)), "")


def _best(app: App, kind: Kind, product: _Product | None) -> Served | None:
    """Return the port for tests, published ones first."""
    candidates = [each for each in app.served if each.protocol != "udp"]

    def order(each: Served) -> tuple[bool, bool, bool, bool]:
        is_own = product is not None and each.internal_port == product.port
        is_web = kind != "http" or each.internal_port in _WEB_PORTS
        return not each.ports, not (is_own or bool(_http_check(each))), not is_web, each.internal_port in _TLS_PORTS

    return min(candidates, key=order, default=None)


def _why_unreachable(draft: Draft, app: App) -> str:
    open_port = next((each.open_port for each in app.served if each.open_port), "")
    if open_port:
        return f"{draft.name}: the port {one_line(open_port)!r} depends on a variable: set {draft.variable}."
    if app.document.get("network_mode") == "host":
        return f"{draft.name}: it uses the network of the host: set {draft.variable}."
    if any(each.kind == "ports" for each in app.served):
        return f"{draft.name}: its published port is random: set {draft.variable}."
    return ""


def _has_password(app: App, kind: Kind) -> bool:
    command = app.document.get("command")
    words = " ".join(map(written_out, command)) if isinstance(command, list) else written_out(command)
    if kind == "redis":
        return "requirepass" in words or any(re.search("PASSWORD|REDIS_ARGS", name) for name in app.env)
    return kind == "nats" and re.search(r"(^|\s)--?(user|pass|auth|token)\b", words) is not None


def _plain(text: str) -> str:
    """Return ``text`` if it can be a part of a URL as it is; else nothing."""
    return text if re.fullmatch(r"[\w.-]+", text) else ""


def _build_folder(app: App) -> str:
    build = app.document.get("build")
    context = build.get("context", ".") if isinstance(build, dict) else build
    if not isinstance(context, str) or is_open(context) or "://" in context:
        return ""
    # Compose prints it as an absolute path.
    return os.path.relpath(context, app.path.parent) if Path(context).is_absolute() else context


def _connect(drafts: list[Draft], apps: Iterable[App], names: Mapping[str, str]) -> None:
    """Add the dependencies, without unknown ones and without cycles."""
    by_name = {draft.name: draft for draft in drafts}
    for draft, app in zip(drafts, apps, strict=True):
        for other in app.waits_for:
            if other not in names:
                draft.remarks.append(f"It also depends on {one_line(other)}, which is not started here.")
            elif draft.name in _reached(names[other], by_name):
                draft.remarks.append(f"It also depends on {names[other]}, which would be a cycle.")
            else:
                draft.depends_on.append(names[other])


def _reached(name: str, drafts: Mapping[str, Draft]) -> set[str]:
    found, pending = set(), [name]
    while pending:
        each = pending.pop()
        if each not in found:
            found.add(each)
            pending += drafts[each].depends_on
    return found


_SCHEMES: dict[str, Kind] = {"postgresql": "postgres", "postgres": "postgres", "nats": "nats", "tls": "nats"}
_SCHEMES |= {"redis": "redis", "rediss": "redis", "amqp": "amqp", "amqps": "amqp", "tcp": "tcp"}


def url_draft(name: str, url: str, place: str) -> Draft:
    """Return the service at ``url``, whose scheme decides its kind. Raises ``ConfigError`` that begins with ``place``."""
    problem = name_problem(name)
    if problem is not None:
        raise ConfigError(f"{place}: {problem}")
    kind = _SCHEMES.get(url.partition("://")[0].lower(), "http")
    draft = Draft(name, kind, url=service_url(kind, url, place))
    if kind != "http" and "@" in url:
        raise ConfigError(f"{place}: the URL must not contain credentials; set {draft.variable} instead.")
    if kind == "postgres":
        # A DSN usually contains a password, so gaia.toml never has one.
        draft.url, draft.address = "", f"{name}: set {draft.variable.replace('LOCAL_', '')}, for example in .env: {url}"
    return draft


def comment(text: str) -> Iterator[str]:
    """Yield ``text`` as a comment, in lines."""
    return (f"# {line}" for line in textwrap.wrap(one_line(text), 110, break_long_words=False, break_on_hyphens=False))


def toml_value(value: object) -> str:
    """Return ``value`` in TOML."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(toml_value, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def filled(name: str, values: Mapping[str, str]) -> str:
    """Return the text of a template with ``values``."""
    return Template((files(__package__) / "templates" / name).read_text(encoding="utf-8")).substitute(values)
