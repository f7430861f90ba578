"""Services that run as programs, each on a port of its own: those with a ``command``, and Redis.

A program belongs to one stack, or to all of them. It gets few variables of the user, and so none of the keys of an environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import socket
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytest_gaia.errors import SandboxError
from pytest_gaia.sandbox._processes import (
    HOST,
    Child,
    Guard,
    ReservedPort,
    Surroundings,
    ended,
    failed,
    spawn,
    succeeded,
)
from pytest_gaia.sandbox.binaries import RedisProgram, find_redis
from pytest_gaia.sandbox.directories import MIGRATE_SECONDS, SCHEMES, Described

Addresses = Mapping[str, str]
"""service → URL in this stack"""

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR")
_ATTEMPTS = 3
_STOP_SECONDS = 3.0
_PROBE_SECONDS = 5.0
_TIMED_OUT = "timed out"
_LONGEST_BODY = 64 * 1024
_TAKEN = ("address already in use", "eaddrinuse", "address in use")
_PING = b"*1\r\n$4\r\nPING\r\n"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the programs of a stack run."""

    run: Path
    """the folder of the run"""
    project: Path
    """the folder of gaia.toml"""
    stack: str
    guard: Guard


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a program once."""

    command: tuple[str, ...]
    surroundings: Surroundings
    text: str = ""
    """its standard input, which may contain a password"""


class Program(ABC):
    """One service that runs as a child process. It keeps its port while it is stopped."""

    def __init__(self, service: Described, place: Place) -> None:
        self.service = service
        self.port = ReservedPort()
        self.moved: Callable[[], None] = lambda: None
        """called when another process has taken the port, and the program gets another one"""
        self._place = place
        self._child: Child | None = None
        self._started = False

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self._child is not None and self._child.running

    @property
    def is_shared(self) -> bool:
        """Whether all stacks share it."""
        return self.service.shared

    @property
    @abstractmethod
    def url(self) -> str:
        """Its URL, which may contain a password."""

    @abstractmethod
    def launch(self) -> Launch:
        """Return how to start it on its present port."""

    @abstractmethod
    def probe(self, timeout: float) -> str:
        """Return why it is not ready; empty if it is. Blocks."""

    async def start(self) -> None:
        """Start the program and wait until it is ready. Raises ``SandboxError`` with the end of its log."""
        for attempt in range(1, _ATTEMPTS + 1):
            if not self._started and _listens(self.port.number):
                self._move()
            launch = self.launch()
            self._child = self._spawn(launch)
            if await self._is_ready(self._child, launch, last=attempt == _ATTEMPTS):
                self._started = True
                return
            self._child.log.unlink(missing_ok=True)
            if not self._started:
                self._move()
            # Not every program can share its port with the socket that reserves it.
            self.port.release()

    async def stop(self, request: signal.Signals = signal.SIGTERM) -> None:
        """Stop the program and everything that it has started."""
        child = self._child
        if child is not None:
            await ended(child, request, _STOP_SECONDS, group=True)
            self._place.guard.discard(child.process.pid)

    def _move(self) -> None:
        self.port.release()
        self.port = ReservedPort()
        self.moved()

    def _spawn(self, launch: Launch) -> Child:
        label = f"{self.service.name}.{'shared' if self.service.shared else self._place.stack}"
        try:
            child = started(self._place.run, label, launch)
        except OSError as error:
            raise SandboxError(_cannot_start(self.service, "command", launch.command, error)) from error
        self._place.guard.add(child.process.pid)
        return child

    async def _is_ready(self, child: Child, launch: Launch, *, last: bool) -> bool:
        """Wait until the program is ready; False if its port is taken and this is not the ``last`` attempt."""
        deadline = time.monotonic() + self.service.ready
        problem, pause = "", 0.005
        while child.running:
            left = deadline - time.monotonic()
            if left <= 0:
                await self.stop(signal.SIGKILL)
                unused = "" if _uses_port(self.service) else "; its command does not use {port}"
                what = f"{self._words(launch)} was not ready after {self.service.ready:g} s ({problem}{unused})"
                raise failed(what, child.tail())
            found = await asyncio.to_thread(self.probe, min(left, _PROBE_SECONDS))
            if not found and child.running:
                return True
            # The deadline cut this probe short, so the one before has the better reason.
            if not problem or left >= _PROBE_SECONDS or not found.endswith(_TIMED_OUT):
                problem = found
            await asyncio.sleep(pause)
            pause = min(0.1, pause * 1.5)
        await self.stop(signal.SIGKILL)
        log = child.tail()
        if not last and any(each in log.lower() for each in _TAKEN):
            return False
        raise failed(f"{self._words(launch)} {_ending(child.process.returncode)} before it was ready", log)

    def _words(self, launch: Launch) -> str:
        return f"The sandbox cannot start {self.service.name}: `{shlex.join(launch.command)}`"


class Command(Program):
    """A service with a ``command``."""

    def __init__(self, service: Described, place: Place, addresses: Addresses) -> None:
        super().__init__(service, place)
        self._addresses = addresses

    @property
    def url(self) -> str:
        """Its URL, without a password."""
        scheme = SCHEMES.get(self.service.kind, "http")
        return f"{scheme}://{HOST}:{self.port.number}{'/0' if scheme == 'redis' else ''}"

    def launch(self) -> Launch:
        """Return the command with its placeholders replaced."""
        words = _values(self._addresses, self._place.stack, self.port.number)
        return Launch(
            tuple(_expanded(word, words) for word in self.service.command),
            _surroundings(self.service, self._place.project, words),
        )

    def probe(self, timeout: float) -> str:
        """Return why it is not ready: the result of the health check, or that it refuses connections."""
        match self.service.kind:
            case "http":
                return _probe_http(self.url, self.service, timeout)
            case "redis":
                return _probe_redis(self.port.number, timeout)
            case _:
                return "" if _listens(self.port.number, timeout) else "connection refused"


class Redis(Program):
    """Debian's or any other redis-server, or fakeredis where there is none."""

    def __init__(self, service: Described, place: Place, program: RedisProgram) -> None:
        super().__init__(service, place)
        self._program = program
        self._password = os.urandom(16).hex()

    @property
    def url(self) -> str:
        """Its URL with its password."""
        return f"redis://:{self._password}@{HOST}:{self.port.number}/0"

    def launch(self) -> Launch:
        """Return the program, whose settings are its standard input."""
        folder = self._place.run / f"redis.{self.service.name}.{self._place.stack}"
        folder.mkdir(mode=0o700, exist_ok=True)
        settings = {
            "port": self.port.number,
            "bind": HOST,
            "dir": json.dumps(str(folder), ensure_ascii=False),
            "requirepass": self._password,
            "save": '""',
            "appendonly": "no",
            "daemonize": "no",
            "databases": 16,
        }
        text = "".join(f"{name} {value}\n" for name, value in settings.items())
        return Launch(self._program.command, Surroundings(folder, _environment()), text)

    def probe(self, timeout: float) -> str:
        """Return why it is not ready."""
        return _probe_redis(self.port.number, timeout)


def program_of(service: Described, place: Place, addresses: Addresses) -> Program:
    """Return the program that runs a service. Raises ``SandboxError`` if there is no Redis."""
    return Command(service, place, addresses) if service.command else Redis(service, place, find_redis())


def started(run: Path, label: str, launch: Launch) -> Child:
    """Start a program; its output is in ``label.log``. Raises ``OSError``."""
    if not launch.text:
        return spawn(run, label, launch.command, surroundings=launch.surroundings)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source:
        with os.fdopen(writing, "wb") as sink:
            sink.write(launch.text.encode())
        return spawn(run, label, launch.command, surroundings=launch.surroundings, source=source)


async def migrate(service: Described, place: Place, dsn: str) -> None:
    """Run the command that creates the tables of a new database. Raises ``SandboxError`` with the end of its output."""
    words = _values({service.name: dsn}, place.stack, urlsplit(dsn).port or 0)
    around = _surroundings(service, place.project, words)
    around = Surroundings(around.folder, {**around.environment, "DATABASE_URL": dsn})
    launch = Launch(tuple(_expanded(word, words) for word in service.migrate), around)
    what = f"The sandbox cannot create the tables of {service.name}: `{shlex.join(launch.command)}`"
    try:
        child = started(place.run, f"{service.name}.migrate", launch)
    except OSError as error:
        raise SandboxError(_cannot_start(service, "migrate", launch.command, error)) from error
    place.guard.add(child.process.pid)
    try:
        if not await succeeded(child, what, MIGRATE_SECONDS):
            raise failed(f"{what} {_ending(child.process.returncode)}", child.tail())
    finally:
        await ended(child, signal.SIGTERM, _STOP_SECONDS, group=True)
        place.guard.discard(child.process.pid)


def _values(addresses: Addresses, stack: str, port: int) -> dict[str, str]:
    """Return the values of the placeholders."""
    values = {"port": str(port), "host": HOST, "stack": stack}
    for name, url in addresses.items():
        parts = urlsplit(url)
        values |= {f"{name}.url": url, f"{name}.host": parts.hostname or HOST, f"{name}.port": str(parts.port or 0)}
    return values


def _expanded(text: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)


def _surroundings(service: Described, project: Path, values: Mapping[str, str]) -> Surroundings:
    given = {name: _expanded(text, values) for name, text in service.env.items()}
    return Surroundings(project / service.cwd, {**_environment(), **given})


def _environment() -> dict[str, str]:
    """Return the variables that every program gets.

    The programs of this virtual environment are on PATH, also if it is not activated. Python writes each line of output
    at once, so that it is in the log when a test has failed.
    """
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith("LC_")}
    own = str(Path(sys.executable).parent)
    path = kept.get("PATH", os.defpath)
    if sys.prefix != sys.base_prefix and own not in path.split(os.pathsep):
        kept["PATH"] = f"{own}{os.pathsep}{path}"
    return {"PYTHONUNBUFFERED": "1", **kept}


def _uses_port(service: Described) -> bool:
    text = " ".join((*service.command, *service.env.values()))
    return not service.command or "{port}" in text or f"{{{service.name}." in text


def _cannot_start(service: Described, key: str, command: tuple[str, ...], error: OSError) -> str:
    return (
        f"{service.place}: services.{service.name}.sandbox.{key}: `{shlex.join(command)}` cannot be started: "
        f"{error.strerror}: {error.filename}. Correct the command or `cwd`, or install the program."
    )


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def _listens(port: int, timeout: float = 1.0) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=timeout):
            return True
    except OSError:
        return False


def _probe_redis(port: int, timeout: float) -> str:
    try:
        with socket.create_connection((HOST, port), timeout=timeout) as connection:
            connection.sendall(_PING)
            reply = connection.recv(64)
    except OSError as error:
        return str(error)
    # A server with a password has started as well.
    return "" if reply.startswith((b"+PONG", b"-NOAUTH")) else "the server does not speak the protocol of Redis"


def _probe_http(url: str, service: Described, timeout: float) -> str:
    # Most sandboxes have no program, and these imports take as long as a stack.
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import ProxyHandler, build_opener

    try:
        with build_opener(ProxyHandler({})).open(f"{url}{service.health}", timeout=timeout) as response:
            return _unhealthy(response.status, response.read(_LONGEST_BODY), service)
    except HTTPError as error:
        error.close()
        return f"GET {service.health} returned {error.code}"
    except (OSError, HTTPException, ValueError) as error:
        return f"GET {service.health}: {getattr(error, 'reason', error)}"


def _unhealthy(status: int, body: bytes, service: Described) -> str:
    """Return why a response to the health check is not that of a healthy service; empty if it is."""
    if status != 200:
        return f"GET {service.health} returned {status}"
    if service.field is None:
        return ""
    try:
        content: Any = json.loads(body)
    except (ValueError, RecursionError):
        return f"GET {service.health} did not return JSON"
    if not isinstance(content, dict):
        return f"GET {service.health} did not return an object"
    # Imported here, because most sandboxes have no program.
    from pytest_gaia.config.platform import Health

    # A response without the field counts too.
    state = Health(service.field).reported(content)
    return "" if state is None or state in service.healthy else f"GET {service.health} reports {state[:80]!r}"
