"""The platform under test: its services, as the project describes them. Standard library only, because every run imports it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache, cached_property
from types import MappingProxyType
from typing import Literal
from urllib.parse import unquote

Kind = Literal["http", "postgres", "nats", "redis", "amqp", "tcp"]
"""the protocol of a service. It decides the probe, the client, the write guard and the scheme of its URL"""

Tool = Literal["fly", "compose", "kubernetes"]
"""deploy tool"""

DISABLED = "disabled"
"""value of a URL in an environment that does not have the service"""

GENERAL_SECRETS = ("API_KEY", "JWT_SECRET", "TOKEN")
"""ends of the variables with secrets that are not those of one service"""

SANDBOX_APIS = ("current", "next")
"""the APIs of the Gaia Platform that the reference services offer; ``next`` is that of its newest release"""

READING_METHODS = ("GET", "HEAD", "OPTIONS")
"""HTTP methods that change nothing, unless ``unsafe`` lists the operation"""

MAX_CONCURRENCY = 100
"""limit of the concurrent tests of a process, and of its requests in flight to one service"""

_EMBEDDED = ("postgres", "nats", "redis")
"""kinds for which the sandbox has a server"""

_EMPTY: Mapping[str, str] = MappingProxyType({})
_USUAL_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "nats": ("NATS_URL",),
    "postgres": ("DATABASE_URL", "POSTGRES_URL"),
    "redis": ("REDIS_URL",),
    "amqp": ("AMQP_URL", "RABBITMQ_URL"),
}
DATABASE_NAMES = frozenset({"db", "database", "postgres", "postgresql"})
"""names of the only PostgreSQL in deploy files"""


@dataclass(frozen=True, slots=True)
class Operation:
    """An HTTP method and a path, such as ``GET /orders/{id}``. A name in braces matches one segment."""

    method: str
    path: str

    @classmethod
    def of(cls, text: str) -> Operation:
        """Return the operation in ``text``, which is valid."""
        method, _, path = text.partition(" ")
        return cls(method, path)

    def matches(self, method: str, path: str) -> bool:
        """Whether a request is this operation. ``path`` has no query."""
        return self.method == method and _pattern(self.path).fullmatch(path) is not None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Health:
    """Which response to the health check is healthy."""

    field: str | None = "status"
    """key of the JSON object; None if every response with status 200 is healthy"""
    values: tuple[str, ...] = ("healthy", "ok")
    """values of a healthy service"""
    partial: tuple[str, ...] = ()
    """values that are also healthy where the environment lacks a service that this one depends on"""

    def reported(self, content: Mapping[str, object]) -> str | None:
        """Return what a response reports, as gaia.toml writes it: JSON ``true`` is ``"true"``; None without the field."""
        value = None if self.field is None else content.get(self.field)
        return value if value is None or isinstance(value, str) else json.dumps(value)


@dataclass(frozen=True, slots=True)
class Auth:
    """The credential that the client sends."""

    secret: str
    """end of the name of its variable, such as ``API_KEY``"""
    header: str
    scheme: str = ""
    """word before the credential, such as ``Bearer``"""


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """How the sandbox runs a service."""

    reference: bool = False
    """whether it is a reference service that pytest-gaia contains"""
    api: str = ""
    """the only one of :data:`SANDBOX_APIS` with which there is this reference service; empty for all"""
    command: tuple[str, ...] = ()
    """the program and its arguments; with placeholders"""
    env: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    """its variables; with placeholders"""
    cwd: str = "."
    """its folder, relative to that of gaia.toml"""
    migrate: tuple[str, ...] = ()
    """for PostgreSQL: a command that creates the tables of a new database"""
    shared: bool = False
    """whether all workers share one process; by default each worker has its own"""


@dataclass(frozen=True, slots=True)
class Service:
    """One service: ``[services.NAME]``."""

    name: str
    kind: Kind = "http"
    url: str = ""
    """URL in every environment that sets none, with placeholders; empty for none"""
    variable: str = ""
    """name in variables: ``GAIA_<ENV>_<VARIABLE>_URL``"""
    health: str = "/health"
    """path of the health check"""
    healthy: Health = Health()
    depends_on: tuple[str, ...] = ()
    """services that it needs; they are deployed and started before it"""
    via: str | None = None
    """service through which it is reached in environments where it has no URL of its own"""
    routes: Mapping[str, str | None] = field(default_factory=lambda: _EMPTY)
    """path of this service → path of ``via``, or None if ``via`` does not forward it; see :meth:`Platform.route`"""
    probe: Operation | None = None
    """operation of ``via`` that only this service responds to"""
    error_prefix: str = ""
    """beginning of ``detail`` in its response if it forwarded a request, and the other service returned an error"""
    auth: tuple[Auth, ...] = (Auth("API_KEY", "x-api-key"), Auth("TOKEN", "authorization", "Bearer"))
    """credentials; the first one that is set is sent"""
    openapi: str | None = "/openapi.json"
    """path or file of its OpenAPI document"""
    safe: tuple[Operation, ...] = ()
    """operations that change nothing, although their method is not GET"""
    unsafe: tuple[Operation, ...] = ()
    """GET operations that change something"""
    timeouts: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """timeouts that replace those of the environment, in seconds"""
    max_in_flight: int = MAX_CONCURRENCY
    """maximum number of requests that wait for its response at the same time, in one process; HTTP only"""
    units: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    """deploy tool → name of its unit (app, Compose service, ``deployment/NAME``); others have the default name"""
    undeployed: tuple[str, ...] = ()
    """deploy tools that do not deploy it"""
    once: bool = False
    """whether its unit ends when its work is done, such as a migration"""
    external: bool = False
    """whether it is tested, but never deployed and in no release"""
    sandbox: SandboxSettings | None = None
    """how the sandbox runs it; None if it does not"""
    place: str = "default"
    """where it is declared: ``gaia.toml:12``"""

    @property
    def identifier(self) -> str:
        """The name of its fixture."""
        return self.name.replace("-", "_")

    @property
    def is_http(self) -> bool:
        """Whether it has an HTTP API."""
        return self.kind == "http"

    @property
    def runs_in_sandbox(self) -> bool:
        """Whether the sandbox has a server, a reference service or a command for it."""
        settings = self.sandbox
        known = settings is not None and ((settings.reference and not settings.api) or bool(settings.command))
        return known or (settings is not None and self.kind in _EMBEDDED)

    def is_deployed_by(self, tool: str) -> bool:
        """Whether ``tool`` can deploy it."""
        return not self.external and tool not in self.undeployed

    def allows(self, method: str, path: str) -> bool:
        """Whether a request changes nothing. ``path`` is the one that is sent, without its query."""
        verb = method.upper()
        if verb in READING_METHODS:
            return not any(each.matches("GET", path) for each in self.unsafe)
        return any(each.matches(verb, path) for each in self.safe)


@dataclass(frozen=True)
class Platform:
    """The services that a project consists of and uses, in the order in which it declares them."""

    services: Mapping[str, Service] = field(default_factory=lambda: MappingProxyType({}))
    name: str = ""
    """name of the platform, ``{app}`` in templates"""
    entry: str | None = None
    """the service whose URL a bare ``--gaia-url`` is; None without HTTP services"""
    unit: str = "{app}-{service}-{env}"
    """name of a service's unit on Fly and ``{unit}`` in templates"""
    without: tuple[str, ...] = ()
    """services that an environment lacks unless its settings include them"""

    def __contains__(self, name: object) -> bool:
        return name in self.services

    def __iter__(self) -> Iterator[str]:
        return iter(self.services)

    def __getitem__(self, name: str) -> Service:
        return self.services[name]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the services."""
        return tuple(self.services)

    @cached_property
    def usual(self) -> tuple[str, ...]:
        """The names of the services that an environment has if its settings do not list any."""
        return tuple(name for name in self.services if name not in self.without)

    def offering(self, api: str) -> Platform:
        """Return the platform as the sandbox runs it with ``api``: with the reference services that only this API has."""
        own = {
            name: replace(service, sandbox=replace(service.sandbox, api=""))
            for name, service in self.services.items()
            if service.sandbox is not None and service.sandbox.api == api
        }
        if not own:
            return self
        services = {**self.services, **own}
        if self.entry is not None:
            entry = self.services[self.entry]
            # The entry may report that they are missing where they do not run.
            needed = (name for name in own if self.entry not in own[name].depends_on and own[name].is_http)
            services[self.entry] = replace(entry, depends_on=tuple(dict.fromkeys((*entry.depends_on, *needed))))
        without = tuple(name for name in self.without if name not in own)
        return replace(self, services=MappingProxyType(services), without=without)

    @cached_property
    def http(self) -> tuple[str, ...]:
        """The names of the services with an HTTP API."""
        return self.of_kind("http")

    def of_kind(self, *kinds: Kind) -> tuple[str, ...]:
        """Return the names of the services of ``kinds``."""
        return tuple(name for name, service in self.services.items() if service.kind in kinds)

    def sort(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return ``names`` without duplicates in the order of declaration; unknown names last, by name."""
        known = {name: number for number, name in enumerate(self.services)}
        return tuple(sorted(set(names), key=lambda name: (known.get(name, len(known)), name)))

    def waves(self, names: Iterable[str]) -> tuple[tuple[str, ...], ...]:
        """Return ``names`` in the order of their start: each wave depends only on those before it.

        Dependencies that are not in ``names`` count too: a service still follows what it depends on through them.
        Unknown names are in the first wave.
        """
        wanted = set(names)
        waves: list[tuple[str, ...]] = []
        # Imported here, because few runs need an order.
        from graphlib import TopologicalSorter

        sorter = TopologicalSorter({name: service.depends_on for name, service in self.services.items()})
        sorter.prepare()
        while sorter.is_active():
            ready = sorter.get_ready()
            waves.append(tuple(ready))
            sorter.done(*ready)
        unknown = wanted.difference(self.services)
        if unknown:
            waves[:1] = [(*(waves[0] if waves else ()), *unknown)]
        return tuple(each for wave in waves if (each := self.sort(wanted.intersection(wave))))

    def in_order(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return ``names`` without duplicates, each after the services that it depends on."""
        return tuple(name for wave in self.waves(names) for name in wave)

    def lacks_dependency(self, name: str, there: Collection[str]) -> bool:
        """Whether a service that ``name`` depends on is not in ``there``."""
        return any(each not in there for each in self.services[name].depends_on)

    def required(self, there: Iterable[str], addressed: Collection[str] = ()) -> tuple[str, ...]:
        """Return the services of ``there`` without which no test runs, by default.

        These are the entry and the HTTP services of the project in ``addressed``, except those that have ``via``.
        """
        services = self.sort(there)
        found = tuple(
            each
            for each in services
            if each == self.entry
            or (each in addressed and (own := self.services[each]).is_http and own.via is None and not own.external)
        )
        return found or services[:1]

    def unit_of(self, name: str, environment: str, tool: Tool) -> str:
        """Return the name of the unit of a service in ``environment`` for a deploy tool."""
        service = self.services[name]
        default = self.unit if tool == "fly" else "deployment/{service}" if tool == "kubernetes" else "{service}"
        return self.expand(service.units.get(tool, default), name, environment)

    def service_of(self, unit: str, tool: Tool, environment: str = "") -> str | None:
        """Return the service of a unit: that with this unit, or else the one that its name means, if that has no other unit."""
        for name in sorted(self.services, key=lambda each: tool not in self.services[each].units):
            if self.unit_of(name, environment, tool) == unit:
                return name
        found = self.named(unit)
        return None if found is None or tool in self.services[found].units else found

    def named(self, word: str) -> str | None:
        """Return the service that a word in a file means: its name, also with ``-service`` or ``_service`` at the end.

        The only PostgreSQL is also called db, database, postgres and postgresql, unless one of these is a service.
        """
        short = word.removesuffix("-service").removesuffix("_service")
        for spelling in (word, short):
            if spelling in self.services:
                return spelling
        databases = self.of_kind("postgres")
        is_only = len(databases) == 1 and not self.services.keys() & (DATABASE_NAMES - {databases[0]})
        return databases[0] if is_only and short in DATABASE_NAMES else None

    @cached_property
    def behind_entry(self) -> tuple[str, ...]:
        """The HTTP services behind the entry: those that are reached through it, and those that it depends on."""
        if self.entry is None:
            return ()
        needed = self.services[self.entry].depends_on
        behind = (name for name in self.http if self.services[name].via == self.entry or name in needed)
        return tuple(name for name in behind if name != self.entry)

    def variables_of(self, name: str) -> tuple[str, ...]:
        """Return the variables in which other services have the address of a service.

        The only server of its kind has the usual variables of this kind, too, such as ``DATABASE_URL``.
        """
        service = self.services[name]
        usual = _USUAL_VARIABLES.get(service.kind, ()) if self.of_kind(service.kind) == (name,) else ()
        taken = {f"{each.variable}_URL" for each in self.services.values() if each.name != name}
        free = (variable for variable in usual if variable not in taken)
        return tuple(dict.fromkeys((f"{service.variable}_SERVICE_URL", f"{service.variable}_URL", *free)))

    def expand(self, template: str, name: str, environment: str) -> str:
        """Return ``template`` with the values of ``{app}``, ``{service}``, ``{env}`` and ``{unit}``."""
        unit = self.unit if "{unit}" in template else ""
        values = {"app": self.name, "service": name, "env": environment}
        return _fill(template.replace("{unit}", unit), values)

    def route(self, name: str, path: str) -> str | None:
        """Return the path of ``via`` for a path, or path template, of a service; None if there is no route.

        A route that ends with ``*`` matches every path with this beginning. Literal paths take precedence, then
        templates, then beginnings; a query is kept.
        """
        service = self.services[name]
        if service.via is None:
            return path
        bare, mark, rest = path.partition("?")
        found = _route(service.routes, bare)
        return None if found is None else f"{found}{mark}{rest}"

    @cached_property
    def variable_ends(self) -> tuple[str, ...]:
        """Ends of the names of all variables that an environment can have, such as ``ORDERS_URL``."""
        ends = dict.fromkeys(GENERAL_SECRETS)
        for service in self.services.values():
            ends[f"{service.variable}_URL"] = None
            for auth in service.auth if service.is_http else ():
                ends |= {auth.secret: None, f"{service.variable}_{auth.secret}": None}
        return tuple(ends)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the description, ``sha256:…``. Where a service is declared and how many requests it may get are no part of it."""
        text = json.dumps(plain(self), sort_keys=True, separators=(",", ":"))
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


_NOT_DESCRIBED = ("place", "max_in_flight")
"""keys of a service that do not decide what is tested"""


def plain(value: object) -> object:
    """Return ``value`` as JSON values, without the keys of services that do not decide what is tested."""
    if is_dataclass(value):
        return {
            each.name: plain(getattr(value, each.name)) for each in fields(value) if each.name not in _NOT_DESCRIBED
        }
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, tuple) else value


def _route(routes: Mapping[str, str | None], path: str) -> str | None:
    if path in routes:
        return routes[path]
    for template, target in routes.items():
        if "{" in template and target is not None and (match := _pattern(template).fullmatch(path)):
            return _fill(target, match.groupdict())
    if any(unquote(segment) in (".", "..") for segment in re.split(r"[/\\]|%2f|%5c", path, flags=re.IGNORECASE)):
        # The forwarding service could resolve the dots to a path of its own.
        return None
    for template, target in routes.items():
        if template.endswith("*") and path.startswith(template[:-1]):
            return None if target is None else target.removesuffix("*") + path[len(template) - 1 :]
    return None


def _fill(template: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), template)


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(template)))
