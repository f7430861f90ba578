"""The sandbox as the processes of a run see it: started by one of them, shared by all.

Everything here is synchronous and can be called from any thread.
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

from pytest_gaia.config.environment import Environment, Topology
from pytest_gaia.config.platform import SERVICES
from pytest_gaia.errors import ConfigError, SandboxError, nearest
from pytest_gaia.sandbox import directories
from pytest_gaia.secrets.masks import Secret

_STOP_SECONDS = 10.0
_CALL_SECONDS = 30.0
_POLL_SECONDS = 0.002
_LOOK_SECONDS = 0.2
_TELL_SECONDS = 0.2
START_SECONDS = 30.0
"""how long a sandbox may take until it serves"""


@dataclass(frozen=True, slots=True)
class Stack:
    """One isolated platform of the sandbox: its addresses and credentials, which stay out of ``repr``."""

    name: str
    urls: Mapping[str, str]
    """service → base URL; connections to a service that does not run are refused"""
    nats: str = field(repr=False)
    """URL of the cell's account on the broker, or ``disabled``"""
    dsn: str = field(repr=False)
    api_key: str = field(repr=False)
    jwt_secret: str = field(repr=False)


class Sandbox:
    """The servers of one sandbox. Every method may raise :class:`~pytest_gaia.errors.SandboxError`."""

    def __init__(
        self, directory: Path, process: subprocess.Popen[bytes] | None = None, hold: int | None = None
    ) -> None:
        self.directory = directory
        self._process = process
        self._hold = hold
        self._known: dict[str, Any] | None = None

    @classmethod
    def start(cls, *, without: Iterable[str] = (), topology: Topology = "microservices", fixed: bool = False) -> Self:
        """Start a sandbox and return at once; :meth:`ready` waits for it.

        ``without`` names members that do not run, ``fixed`` serves the platform without its known defects. The sandbox
        ends with :meth:`stop`, and with this process, however that ends. Raises ``ConfigError`` for an unknown member.
        """
        left_out = tuple(without)
        for service in left_out:
            if service not in SERVICES:
                raise ConfigError(f"The sandbox has no member {service!r}: {nearest(service, SERVICES)}")
        try:
            directory, lock = directories.create_run()
            hold = directories.hold(directory, directories.STARTER)
        except OSError as error:
            raise SandboxError(f"No directory could be made for the sandbox: {error}. Set TMPDIR to one.") from error
        try:
            directories.Request(_secret(), _secret(), left_out, topology, fixed).write(directory)
            process = _spawn(directory, lock)
        except OSError as error:
            os.close(hold)
            raise SandboxError(f"The sandbox could not be started in {directory}: {error}") from error
        finally:
            os.close(lock)
        return cls(directory, process, hold)

    @classmethod
    def attach(cls, directory: Path) -> Self:
        """Return the sandbox that another process of this run has started."""
        return cls(directory)

    def __enter__(self) -> Self:
        """Wait until it serves; leaving the block ends it."""
        try:
            self.ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def ready(self, timeout: float = START_SECONDS, waiting: Callable[[], None] = lambda: None) -> None:
        """Wait until the sandbox serves, at most ``timeout`` seconds. Raises ``SandboxError`` that says why it does not.

        ``waiting`` is called about five times a second.
        """
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
        """Return a cell, made at the first call for its name. Wait for :meth:`ready` before."""
        known = self._details["stacks"].get(name) or self._call("POST", f"/stacks/{name}")
        return Stack(**{**known, "urls": MappingProxyType(known["urls"])})

    def fresh_database(self, stack: str) -> str:
        """Return the DSN of a new database with the platform's tables and first rows, which nobody else uses."""
        dsn: str = self._call("POST", f"/stacks/{stack}/databases")["dsn"]
        return dsn

    def drop_database(self, stack: str, dsn: str) -> None:
        """Drop such a database, in the background, with whatever is connected to it."""
        self._call("DELETE", f"/stacks/{stack}/databases", {"dsn": dsn})

    def fault(self, stack: str, service: str, kind: str, **arguments: object) -> None:
        """Give a service of a cell a fault; ``stop`` lets connections be refused. Raises ``ConfigError`` for a wrong one.

        The other kinds and their arguments are those of :mod:`pytest_gaia.sandbox._services.faults`.
        """
        self._call("POST", f"/stacks/{stack}/faults", {**arguments, "service": service, "kind": kind})

    def heal(self, stack: str) -> None:
        """Remove all faults of a cell."""
        self._call("DELETE", f"/stacks/{stack}/faults")

    def stop_service(self, service: str) -> None:
        """Stop ``nats`` or ``postgres``, which all cells share."""
        self._call("POST", f"/services/{service}/stop")

    def start_service(self, service: str) -> None:
        """Start ``nats`` or ``postgres`` again, at the address that it had."""
        self._call("POST", f"/services/{service}/start")

    @property
    def timings(self) -> Mapping[str, float]:
        """Stage of the start → seconds after the supervisor's first line."""
        return MappingProxyType(self._details["timings"])

    def wait(self) -> None:
        """Block until the sandbox ends by itself; raises ``SandboxError``, because it should not. A signal interrupts."""
        # In short waits: Python hears of a signal that comes just before a wait only when that ends.
        while self._process is not None and self._process.poll() is None:
            time.sleep(_LOOK_SECONDS)
        raise SandboxError(f"The sandbox has ended by itself.{self._log()}")

    def stop(self) -> None:
        """End the sandbox and wait until nothing of it is left. Does nothing the second time, or if it is not ours."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        deadline = time.monotonic() + _STOP_SECONDS
        # Popen.wait with a timeout looks only every 50 ms.
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
            raise SandboxError("The sandbox was asked for something before it was ready: call ready() first.")
        return self._known

    def _look(self) -> bool:
        """Whether the sandbox serves. Raises ``SandboxError`` if it never will."""
        # In this order: a supervisor that has ended has written before.
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
            return f"The sandbox's supervisor ended before it was ready.{self._log()}"

    def _log(self) -> str:
        try:
            end = (self.directory / directories.LOG).read_text("utf-8", "replace")[-2000:].strip()
        except OSError:
            return ""
        return f" Its log ends:\n{end}" if end else ""

    def _call(self, method: str, path: str, content: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Call the supervisor. A mistake of the caller comes back as ``ConfigError``."""
        from http.client import HTTPConnection, HTTPException
        from urllib.parse import quote

        connection = HTTPConnection("127.0.0.1", self._details["control"], timeout=_CALL_SECONDS)
        try:
            headers = {"Authorization": f"Bearer {self._details['token']}"}
            connection.request(method, quote(path), json.dumps(content or {}), headers)
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        except (OSError, HTTPException, ValueError) as error:
            raise SandboxError(f"The sandbox does not answer ({method} {path}): {error}.{self._log()}") from error
        finally:
            connection.close()
        if response.status == 400:
            raise ConfigError(answer["error"])
        if response.status != 200:
            raise SandboxError(f"The sandbox failed at {method} {path}: {answer['error']}")
        return answer


def bind(environment: Environment, stack: Stack) -> Environment:
    """Return ``environment`` with the addresses and credentials of ``cell``.

    A simulated environment keeps its topology: a service without a URL gets none, and NATS stays disabled if it is
    disabled.
    """
    simulated = not environment.sandbox or environment.simulated
    urls = {
        name: url for name, url in stack.urls.items() if not simulated or name in (environment.urls or ("gateway",))
    }
    nats = environment.nats if simulated and not environment.has_nats else stack.nats
    filled = ("nats", "database", "secrets.api_key", "secrets.jwt_secret", *(f"urls.{name}" for name in urls))
    return replace(
        environment,
        urls=MappingProxyType(urls),
        nats=nats,
        hosts=(),
        sandbox=True,
        simulated=simulated,
        database=Secret(stack.dsn),
        api_key=Secret(stack.api_key),
        jwt_secret=Secret(stack.jwt_secret),
        token=None,
        sources=MappingProxyType({**environment.sources, **dict.fromkeys(filled, "sandbox")}),
    )


def _secret() -> str:
    return os.urandom(24).hex()


def _spawn(directory: Path, lock: int) -> subprocess.Popen[bytes]:
    """Start the supervisor in a session of its own, where Ctrl-C does not reach it. It inherits the lock."""
    program = Path(__file__).parents[1] / "sandbox" / "__main__.py"
    # -P: nothing of the current folder is imported by mistake. -W: the user's own warning filters are not for it.
    command = (sys.executable, "-P", "-W", "ignore", str(program), str(directory))
    with directories.private_log(directory / directories.LOG) as log:
        # This very interpreter, with a program of this package.
        return subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, pass_fds=(lock,)
        )
