"""The handle of a sandbox: one process of a run starts it, and all processes use it.

All functions are synchronous and can be called from any thread.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import DISABLED, SANDBOX_APIS, Platform
from pytest_gaia.errors import ConfigError, SandboxError, nearest
from pytest_gaia.sandbox import directories
from pytest_gaia.secrets.masks import Secret

_STOP_SECONDS = 10.0
_CALL_SECONDS = 30.0
"""time limit for a call, in addition to that of a start if it starts something"""
_POLL_SECONDS = 0.002
_LOOK_SECONDS = 0.2
_TELL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Stack:
    """One isolated stack of the sandbox: its addresses, and its credentials, which are not part of ``repr``."""

    name: str
    urls: Mapping[str, str]
    """HTTP service → base URL; a service that does not run refuses connections"""
    connections: Mapping[str, str] = field(repr=False)
    """service of another kind → its URL, which may contain a password"""
    api_key: str = field(repr=False)
    """key of the reference services; empty without them"""
    jwt_secret: str = field(repr=False)

    @property
    def nats(self) -> str:
        """URL of the stack's first NATS account, or ``disabled``."""
        return next((url for url in self.connections.values() if url.startswith("nats:")), DISABLED)

    @property
    def dsn(self) -> str:
        """DSN of the stack's first database; empty without one."""
        return next((url for url in self.connections.values() if url.startswith("postgresql:")), "")


class Sandbox:
    """One sandbox. Every method may raise :class:`~pytest_gaia.errors.SandboxError`."""

    def __init__(
        self, directory: Path, process: subprocess.Popen[bytes] | None = None, hold: int | None = None
    ) -> None:
        self.directory = directory
        self._process = process
        self._hold = hold
        self._known: dict[str, Any] | None = None
        self._limit: float | None = None

    @classmethod
    def start(
        cls,
        platform: Platform,
        *,
        services: Iterable[str] | None = None,
        without: Iterable[str] = (),
        fixed: bool = False,
        api: str = SANDBOX_APIS[0],
        folder: Path | None = None,
        ready: float = 15.0,
        faulty: bool = False,
    ) -> Self:
        """Start a sandbox for the services of ``platform`` and return immediately; :meth:`ready` waits for it.

        ``services`` are those of the environment, by default the usual ones; ``without`` lists services that do not run; ``fixed``
        fixes the known bugs; ``api`` is the one of ``SANDBOX_APIS`` that the reference services offer. ``folder`` is that of gaia.toml, and ``ready`` is how many seconds a service with a command
        may take; ``faulty`` lets the responses of programs have faults, too. The sandbox ends with :meth:`stop`, or with this process. Raises ``ConfigError`` for a service that it
        cannot run.
        """
        platform = platform.offering(api)
        left_out = tuple(without)
        _check(platform, left_out)
        request = directories.Request.of(
            platform,
            (_secret(), _secret()),
            platform.usual if services is None else tuple(services),
            left_out,
            fixed=fixed,
            api=api,
            folder=str((folder or Path()).absolute()),
            ready=ready,
            faulty=faulty,
        )
        try:
            directory, lock = directories.create_run()
            hold = directories.hold(directory, directories.STARTER)
        except OSError as error:
            raise SandboxError(
                f"Cannot create a folder for the sandbox: {error}. Set TMPDIR to a writable one."
            ) from error
        try:
            request.write(directory)
            process = _spawn(directory, lock)
        except OSError as error:
            os.close(hold)
            raise SandboxError(f"Cannot start the sandbox in {directory}: {error}") from error
        finally:
            os.close(lock)
        return cls(directory, process, hold)

    @classmethod
    def attach(cls, directory: Path) -> Self:
        """Return the sandbox that another process of this run has started."""
        return cls(directory)

    def __enter__(self) -> Self:
        """Wait until it is ready; stop it at the end of the block."""
        try:
            self.ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def limit(self) -> float:
        """Seconds within which the sandbox is ready; its programs and migrations need longer than its servers."""
        if self._limit is None:
            try:
                self._limit = directories.Request.read(self.directory).limit
            except (OSError, ValueError, KeyError):
                # It has ended, or has not begun.
                return directories.START_SECONDS
        return self._limit

    def ready(self, timeout: float | None = None, waiting: Callable[[], None] = lambda: None) -> None:
        """Wait until the sandbox is ready, at most ``timeout`` seconds (:attr:`limit`). Raises ``SandboxError`` with the
        reason.

        ``waiting`` is called about five times a second.
        """
        timeout = self.limit if timeout is None else timeout
        now = told = time.monotonic()
        deadline = now + timeout
        while self._known is None and not self._look():
            now = time.monotonic()
            if now > deadline:
                raise SandboxError(f"The sandbox was not ready after {timeout:g} s.{self._log()}")
            if now - told > _TELL_SECONDS:
                told = now
                waiting()
            time.sleep(_POLL_SECONDS)

    def stack(self, name: str) -> Stack:
        """Return a stack; the first call for a name creates it. Wait for :meth:`ready` first."""
        known = self._details["stacks"].get(name) or self._call("POST", f"/stacks/{name}", within=self.limit)
        maps = {key: MappingProxyType(known[key]) for key in ("urls", "connections")}
        return Stack(**{**known, **maps})

    def fresh_database(self, stack: str, service: str | None = None) -> str:
        """Return the DSN of a new database with tables and initial rows: of a service, by default of the first one."""
        dsn: str = self._call("POST", f"/stacks/{stack}/databases", {"service": service})["dsn"]
        return dsn

    def drop_database(self, stack: str, dsn: str) -> None:
        """Drop a fresh database in the background, and close its connections."""
        self._call("DELETE", f"/stacks/{stack}/databases", {"dsn": dsn})

    def fault(self, stack: str, service: str, kind: str, **arguments: object) -> None:
        """Inject a fault into a service of a stack. Raises ``ConfigError`` for an unknown name or argument.

        ``stop`` refuses connections. The other kinds are those of :mod:`pytest_gaia.sandbox._services.faults`, for
        reference services, and for the HTTP services that are programs in a sandbox that was started with ``faulty``.
        """
        self._call("POST", f"/stacks/{stack}/faults", {**arguments, "service": service, "kind": kind})

    def heal(self, stack: str) -> None:
        """Remove all faults of a stack."""
        self._call("DELETE", f"/stacks/{stack}/faults", within=self.limit)

    def restart(self, stack: str) -> None:
        """Restart the reference services of a stack: they forget what is in memory, such as rate limits, and faults."""
        self._call("POST", f"/stacks/{stack}/restart", within=self.limit)

    def stop_service(self, service: str) -> None:
        """Stop a service that all stacks share. All services of kind ``postgres`` have one server, and so have ``nats``."""
        self._call("POST", f"/services/{service}/stop")

    def start_service(self, service: str) -> None:
        """Start a service that all stacks share again, at the same address."""
        self._call("POST", f"/services/{service}/start", within=self.limit)

    stop_member, start_member = stop_service, start_service
    """old names of these methods"""

    @property
    def timings(self) -> Mapping[str, float]:
        """Stage of the start → seconds after the supervisor's first line."""
        return MappingProxyType(self._details["timings"])

    def wait(self) -> None:
        """Block until the sandbox ends unexpectedly, and raise ``SandboxError``. Signals interrupt it."""
        # In short waits, because Python handles a signal only between them.
        while self._process is not None and self._process.poll() is None:
            time.sleep(_LOOK_SECONDS)
        raise SandboxError(f"The sandbox ended unexpectedly.{self._log()}")

    def stop(self) -> None:
        """Stop the sandbox and wait for its end. Does nothing if it is stopped, or was started by another process."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        deadline = time.monotonic() + _STOP_SECONDS
        # Popen.wait with a timeout polls only every 50 ms.
        while process.poll() is None:
            if time.monotonic() > deadline:
                process.kill()
            time.sleep(_POLL_SECONDS)
        if self.directory.exists():
            from pytest_gaia.sandbox.leftovers import clear

            clear(self.directory)
        if self._hold is not None:
            os.close(self._hold)
            self._hold = None

    @property
    def _details(self) -> dict[str, Any]:
        if self._known is None:
            raise SandboxError("The sandbox is not ready yet: call ready() first.")
        return self._known

    def _look(self) -> bool:
        """Whether the sandbox is ready. Raises ``SandboxError`` if its start failed."""
        # In this order, because the supervisor writes the file before it exits.
        ended = self._process.poll() is not None if self._process else not directories.is_held(self.directory)
        try:
            self._known = json.loads((self.directory / directories.READY).read_text("utf-8"))
        except FileNotFoundError:
            if not ended:
                return False
            raise SandboxError(self._failure(self.directory / directories.ERROR)) from None
        return True

    def _failure(self, report: Path) -> str:
        try:
            return report.read_text("utf-8")
        except FileNotFoundError:
            return f"The supervisor of the sandbox ended before the sandbox was ready.{self._log()}"

    def _log(self) -> str:
        try:
            end = (self.directory / directories.LOG).read_text("utf-8", "replace")[-2000:].strip()
        except OSError:
            return ""
        return f" End of its log:\n{end}" if end else ""

    def _call(
        self, method: str, path: str, content: Mapping[str, object] | None = None, *, within: float = 0.0
    ) -> dict[str, Any]:
        """Call the supervisor, and wait ``within`` seconds longer. Raises ``ConfigError`` for an invalid call."""
        from http.client import HTTPConnection, HTTPException
        from urllib.parse import quote

        connection = HTTPConnection("127.0.0.1", self._details["control"], timeout=_CALL_SECONDS + within)
        try:
            headers = {"Authorization": f"Bearer {self._details['token']}"}
            connection.request(method, quote(path), json.dumps(content or {}), headers)
            response = connection.getresponse()
            reply: dict[str, Any] = json.loads(response.read())
        except (OSError, HTTPException, ValueError) as error:
            raise SandboxError(f"The sandbox does not respond ({method} {path}): {error}.{self._log()}") from error
        finally:
            connection.close()
        if response.status == 400:
            raise ConfigError(reply["error"])
        if response.status != 200:
            raise SandboxError(f"The sandbox failed at {method} {path}: {reply['error']}")
        return reply


def bind(environment: Environment, stack: Stack) -> Environment:
    """Return ``environment`` with the addresses and credentials of ``stack``.

    The services that the sandbox does not run are absent. A simulated environment keeps its services: what it lacks is
    absent, and what it reaches through another service has no URL here either.
    """
    simulated = not environment.sandbox or environment.simulated
    services = tuple(name for name in environment.services if name in stack.urls or name in stack.connections)
    urls = {name: stack.urls[name] for name in services if name in stack.urls}
    if simulated:
        urls = {name: url for name, url in urls.items() if _has_url(name, environment)}
    connections = {name: Secret(stack.connections[name]) for name in services if name in stack.connections}
    required = tuple(name for name in environment.required if name in services)
    filled = [f"urls.{name}" for name in (*urls, *connections)]
    credentials: dict[str, Any] = {"token": None, "credentials": MappingProxyType({})} if simulated else {}
    if stack.api_key:
        keys = {"api_key": Secret(stack.api_key), "jwt_secret": Secret(stack.jwt_secret)}
        credentials |= {**keys, "token": None}
        filled += [f"secrets.{name}" for name in keys]
    elif simulated:
        credentials |= {"api_key": None, "jwt_secret": None}
    return replace(
        environment,
        urls=MappingProxyType(urls),
        connections=MappingProxyType(connections),
        services=services,
        required=required or environment.platform.required(services),
        hosts=(),
        sandbox=True,
        simulated=simulated,
        sources=MappingProxyType({**environment.sources, **dict.fromkeys(filled, "sandbox")}),
        **credentials,
    )


def _has_url(name: str, environment: Environment) -> bool:
    """Whether a simulated environment has a URL for a service. Its files may not contain those that variables set."""
    return name in environment.urls or environment.platform[name].via is None


def _check(platform: Platform, without: tuple[str, ...]) -> None:
    """Raise ``ConfigError`` for a service that is unknown or cannot be run as described."""
    for name in without:
        if name not in platform:
            raise ConfigError(f"The sandbox has no service {name!r}: {nearest(name, platform)}")
    known = directories.REFERENCES[SANDBOX_APIS[-1]]
    for name, service in platform.services.items():
        if service.sandbox is not None and service.sandbox.reference and name not in known:
            raise ConfigError(
                f"{service.place}: services.{name}.sandbox.reference: pytest-gaia has no reference service of this name; "
                f"{nearest(name, known)} Use `command` to run another program."
            )


def _secret() -> str:
    return os.urandom(24).hex()


def _spawn(directory: Path, lock: int) -> subprocess.Popen[bytes]:
    """Start the supervisor in a session of its own, where Ctrl-C does not reach it. It inherits the lock."""
    program = Path(__file__).parents[1] / "sandbox" / "__main__.py"
    # -P: import nothing from the current folder. -W: do not apply the user's warning filters.
    command = (sys.executable, "-P", "-W", "ignore", str(program), str(directory))
    with directories.private_log(directory / directories.LOG) as log:
        # This very interpreter, with a program of this package.
        return subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, pass_fds=(lock,)
        )
