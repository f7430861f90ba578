"""The stacks of one run: each has its own databases, accounts, programs and reference services."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from pytest_gaia.errors import ConfigError, SandboxError, nearest
from pytest_gaia.sandbox._broker import Broker
from pytest_gaia.sandbox._databases import Databases
from pytest_gaia.sandbox._postgres import EMPTY, TEMPLATE, PostgresServer
from pytest_gaia.sandbox._processes import HOST, Guard, ReservedPort
from pytest_gaia.sandbox._services import NO_NATS, StackApps, StackSettings, build_stack
from pytest_gaia.sandbox._services.faults import ONLY_REFERENCES, Faults, Faulty
from pytest_gaia.sandbox._web import HttpServer
from pytest_gaia.sandbox.directories import REFERENCES, SCHEMES, Described, Request

if TYPE_CHECKING:
    # Most sandboxes have no program.
    from pytest_gaia.sandbox._programs import Place, Program

MAIN = "main"
"""the stack that every run has"""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
STOP = "stop"
"""the kind of fault that stops a server: connections are refused"""
_LONGEST_DATABASE = 63
"""bytes in a name of PostgreSQL"""


class Servers(NamedTuple):
    """What all stacks share."""

    run: Path
    """the folder of the run"""
    broker: Broker | None
    postgres: PostgresServer | None
    databases: Databases | None


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The addresses and credentials of a stack."""

    name: str
    urls: Mapping[str, str]
    """HTTP service → base URL"""
    connections: Mapping[str, str] = field(repr=False)
    """service of another kind → its URL, which may contain a password"""
    api_key: str = field(repr=False)
    """key of the reference services; empty without them"""
    jwt_secret: str = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return asdict(self)


@dataclass(slots=True)
class Stack:
    """A running stack."""

    request: Request
    addresses: dict[str, str] = field(repr=False)
    """service → URL"""
    apps: StackApps | None = None
    """the reference services"""
    servers: dict[str, HttpServer] = field(default_factory=dict)
    """reference service → its server"""
    programs: dict[str, Program] = field(default_factory=dict)
    """service → its program, also those that all stacks share"""
    unused: list[ReservedPort] = field(default_factory=list)
    """ports of services that do not run"""
    proxies: dict[str, HttpServer] = field(default_factory=dict)
    """program → the server in front of it, if its responses can have faults"""
    of_programs: Faults = field(default_factory=lambda: Faults(()))
    """faults of the responses of programs"""
    stopped: set[str] = field(default_factory=set)
    """services that a fault has stopped"""

    async def start(self, services: Iterable[str]) -> None:
        """Start services, those without dependencies first."""
        wanted = set(services)
        for wave in self.request.waves:
            starting = [self._start(name) for name in wave if name in wanted]
            results: list[object] = await asyncio.gather(*starting, return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result

    async def fault(self, service: str, kind: str, **arguments: Any) -> None:
        """Inject a fault into a service of this stack."""
        program = self.programs.get(service)
        if service in self.proxies and kind not in (STOP, *ONLY_REFERENCES):
            self.of_programs.add(service, kind, **arguments)
            return
        if program is not None and program.is_shared:
            raise ConfigError(f"All stacks share {service}; stop and start it with stop_service and start_service.")
        if kind == STOP:
            await self._stop(service)
        elif program is not None:
            raise ConfigError(f"Fault {kind}: {service} is a program, which can only be stopped. Use the fault stop.")
        elif self.apps is None:
            raise ConfigError(f"Fault {kind}: only reference services can have it, and this project has none.")
        else:
            self.apps.faults.add(service, kind, **arguments)

    async def heal(self) -> None:
        """Start stopped services and remove all other faults."""
        self.of_programs.clear()
        if self.apps is not None:
            self.apps.faults.clear()
        for service in filter(self.stopped.__contains__, self.request.running):
            self.stopped.discard(service)
            await self._start(service)
            if self.apps is not None and service in self.servers:
                await self.apps.started(service)

    async def restart(self) -> None:
        """Restart the reference services without events: they forget what is in memory, such as rate limits, and faults."""
        if self.apps is None:
            return
        before, self.apps = self.apps, build_stack(self.apps.settings)
        before.faults.clear()
        for name, server in self.servers.items():
            running = server.running
            server.stop()
            server.serve(self.apps.apps[name])
            if running:
                await server.start()
        await before.close()

    async def switch(self, service: str, *, on: bool) -> None:
        """Start or stop a program."""
        if not on:
            await self.programs[service].stop(signal.SIGKILL)
        elif not self.programs[service].running:
            await self.programs[service].start()

    async def close(self) -> None:
        """Stop all services permanently."""
        for server in (*self.proxies.values(), *self.servers.values()):
            server.stop()
        await asyncio.gather(*(program.stop() for program in self.programs.values()))
        if self.apps is not None:
            await self.apps.stop()

    async def _start(self, service: str) -> None:
        if service in self.servers:
            await self.servers[service].start()
        elif service in self.programs and not self.programs[service].running:
            await self.programs[service].start()
        if service in self.proxies:
            await self.proxies[service].start()

    async def _stop(self, service: str) -> None:
        """Refuse connections to ``service``."""
        known = (*self.servers, *self.programs)
        if service not in known:
            raise ConfigError(f"Only a service of a stack can be stopped, not {service!r}: {nearest(service, known)}")
        if service in self.programs:
            if self.programs[service].running:
                await self.switch(service, on=False)
                if service in self.proxies:
                    self.proxies[service].stop()
                self.stopped.add(service)
        elif self.servers[service].running:
            if self.apps is not None:
                await self.apps.stopping(service)
            self.servers[service].stop()
            self.stopped.add(service)


class Stacks:
    """Creates stacks on demand. A stack lives until the end of the run."""

    def __init__(self, request: Request, servers: Servers, guard: Guard) -> None:
        self._request = request
        self._servers = servers
        self._guard = guard
        self._stacks: dict[str, asyncio.Task[Stack]] = {}
        self._announcements: set[asyncio.Task[None]] = set()
        self._passwords: set[str] = set()

    @property
    def names(self) -> list[str]:
        """The names of the stacks."""
        return sorted(self._stacks)

    async def get(self, name: str) -> Stack:
        """Return the stack, which the first call creates. Raises ``SandboxError`` if that fails."""
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{name!r} cannot name a stack: use up to 40 letters, digits, dashes and underscores.")
        if name not in self._stacks:
            self._stacks[name] = asyncio.ensure_future(self._make(name))
        try:
            return await asyncio.shield(self._stacks[name])
        except Exception:
            self._stacks.pop(name, None)
            raise

    def existing(self, name: str) -> Stack:
        """Return a running stack. Raises ``ConfigError`` if there is none of that name."""
        task = self._stacks.get(name)
        if task is None or not task.done():
            raise ConfigError(f"There is no stack {name!r}: {nearest(name, self._stacks)}")
        return task.result()

    def endpoints(self, name: str, stack: Stack) -> Endpoints:
        """Return the addresses of a stack. Services that the environment lacks have URLs that refuse connections."""
        services, secrets = self._request.services, ("", "")
        if self._request.references:
            secrets = (self._request.api_key, self._request.jwt_secret)
        urls = {name: url for name, url in stack.addresses.items() if services[name].kind == "http"}
        others = {name: stack.addresses[name] for name in self._request.present if name not in urls}
        return Endpoints(name, urls, others, *secrets)

    def is_shared(self, name: str) -> bool:
        """Whether all stacks share the program of a service."""
        return self._request.services[name].shared and self._request.services[name].is_program

    def template_of(self, name: str) -> str:
        """Return the database from which the databases of a PostgreSQL service are copied."""
        if self._request.references and name == self._request.main_database:
            return TEMPLATE
        return _database(name, "template") if self._request.services[name].migrate else EMPTY

    def place_of(self, name: str) -> Place:
        """Return where the programs of a stack run."""
        from pytest_gaia.sandbox._programs import Place

        return Place(self._servers.run, Path(self._request.folder), name, self._guard)

    async def close(self) -> None:
        """Stop all services of all stacks."""
        stacks = [task.result() for task in self._stacks.values() if task.done() and not task.exception()]
        await asyncio.gather(*(stack.close() for stack in stacks))
        for announcement in self._announcements:
            announcement.cancel()

    def mask(self, text: str) -> str:
        """Mask secrets in ``text``, which may contain the output of programs."""
        from pytest_gaia.secrets.names import is_secret_name
        from pytest_gaia.secrets.redaction import Redactor

        known = [self._request.api_key, self._request.jwt_secret, *self._passwords]
        if self._servers.databases is not None:
            known.append(urlsplit(self._servers.databases.dsn("")).password or "")
        for service in self._request.services.values():
            known += [value for name, value in service.env.items() if is_secret_name(name)]
        return Redactor(known).text(text)

    async def _make(self, name: str) -> Stack:
        main = None if name == MAIN else await self.get(MAIN)
        stack = Stack(self._request, await self._shared_servers(name))
        self._add_programs(stack, name, main)
        self._add_references(stack, name)
        self._add_unused(stack)
        self._passwords.update(urlsplit(url).password or "" for url in stack.addresses.values())
        try:
            await stack.start(self._request.running)
        except BaseException:
            await stack.close()
            raise
        if stack.apps is not None:
            self._announce(stack.apps)
        return stack

    async def _shared_servers(self, name: str) -> dict[str, str]:
        """Return the addresses of a stack's databases and NATS accounts, which are created for it."""
        request, databases, broker = self._request, self._servers.databases, self._servers.broker
        addresses: dict[str, str] = {}
        for service in request.embedded("postgres") if databases else ():
            if databases is not None and self._has_server(service, request.embedded("postgres")):
                database = self._database(service, name)
                await databases.create(database, self.template_of(service))
                addresses[service] = databases.dsn(database)
        for number, service in enumerate(request.embedded("nats")):
            if broker is not None and self._has_server(service, request.embedded("nats")):
                addresses[service] = await broker.url(f"{name}/{service}" if number else name)
        return addresses

    def _has_server(self, service: str, others: tuple[str, ...]) -> bool:
        """Whether a service is on the shared server. It can be started later if none of its kind runs at first."""
        running = self._request.running
        return service in running or not any(other in running for other in others)

    def _database(self, service: str, stack: str) -> str:
        own = self._request.references and service == self._request.main_database
        return _database("gaia" if own else service, stack)

    def _add_programs(self, stack: Stack, name: str, main: Stack | None) -> None:
        for service in self._request.present:
            if not self._request.services[service].is_program:
                continue
            if main is not None and service in main.programs and main.programs[service].is_shared:
                program = main.programs[service]
            elif service in self._request.running or self._request.services[service].command:
                program = self._program(stack, name, self._request.services[service])
            else:
                continue
            stack.programs[service] = program
            stack.addresses[service] = program.url
            if self._request.faulty and self._request.services[service].kind == "http":
                self._add_proxy(stack, program)

    def _add_proxy(self, stack: Stack, program: Program) -> None:
        """Let requests to a program pass through a server that can change the responses."""
        # Most sandboxes have no program.
        from pytest_gaia.sandbox._web import Forwarder

        name, port = program.service.name, ReservedPort()
        forwarder: Any = Forwarder(lambda: program.url)
        stack.of_programs.services.append(name)
        stack.proxies[name] = HttpServer(Faulty(forwarder, name, stack.of_programs), port)
        stack.addresses[name] = port.url

    def _program(self, stack: Stack, name: str, service: Described) -> Program:
        from pytest_gaia.sandbox._programs import program_of

        program = program_of(service, self.place_of(name), stack.addresses)

        def moved() -> None:
            if service.name not in stack.proxies:
                stack.addresses[service.name] = program.url

        program.moved = moved
        return program

    def _add_references(self, stack: Stack, name: str) -> None:
        request = self._request
        if not request.references:
            return
        declared = [name for name, each in request.services.items() if each.reference]
        ports = {each: ReservedPort() for each in REFERENCES[request.api] if each not in stack.programs}
        stack.addresses |= {each: ports[each].url for each in declared}
        stack.unused += [port for each, port in ports.items() if each not in declared]
        stack.apps = build_stack(self._settings(stack, name, {each: port.url for each, port in ports.items()}))
        stack.servers = {each: HttpServer(stack.apps.apps[each], ports[each]) for each in declared}

    def _settings(self, stack: Stack, name: str, urls: Mapping[str, str]) -> StackSettings:
        request, databases = self._request, self._servers.databases
        if databases is None:
            raise SandboxError("The reference services need PostgreSQL.")
        nats = [stack.addresses[each] for each in request.embedded("nats") if each in stack.addresses]
        known = {**urls, **stack.addresses}
        return StackSettings(
            name=name,
            dsn=databases.dsn(_database("gaia", name)),
            jwt_secret=request.jwt_secret,
            api_key=request.api_key,
            backends={each: known[each] for each in REFERENCES[request.api] if each not in ("gateway", "web")},
            nats_url=nats[0] if nats else NO_NATS,
            running=request.references,
            fixed=request.fixed,
            api=request.api,
            logs=self._servers.run,
        )

    def _add_unused(self, stack: Stack) -> None:
        """Give an address that refuses connections to every service that does not run."""
        for name, service in self._request.services.items():
            if name not in stack.addresses:
                port = ReservedPort()
                stack.unused.append(port)
                scheme = SCHEMES.get(service.kind, "http")
                stack.addresses[name] = f"{scheme}://{HOST}:{port.number}"

    def _announce(self, apps: StackApps) -> None:
        """Publish the start of the services on NATS in the background."""
        task = asyncio.ensure_future(apps.start())
        self._announcements.add(task)
        task.add_done_callback(self._announcements.discard)


def _database(service: str, stack: str) -> str:
    """Return the name of a database."""
    name = f"{service}_{stack}"
    if len(name) <= _LONGEST_DATABASE:
        return name
    from zlib import crc32

    return f"{service[:12]}_{crc32(service.encode()):08x}_{stack}"
