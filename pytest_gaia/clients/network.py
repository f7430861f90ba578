"""The network guard: connections to services that no client of this package opens.

It reacts to audit events of Python, which cannot be switched off again. It is a guard rail against accidents, not a sandbox
against malice: child processes and libraries that connect without Python (libpq, libcurl, gRPC, uvloop) are not seen.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import mmap
import os
import socket
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from pytest_gaia.clients.reasons import hide
from pytest_gaia.clients.running import RUNNING, Recorder, RunningTest, UnnoticedFailure
from pytest_gaia.config.addresses import Endpoint, endpoint_of, is_loopback, matches
from pytest_gaia.config.environment import Environment
from pytest_gaia.errors import DirectConnectionRefused, RefusedAgain

__tracebackhide__ = hide

_HERE = "127.0.0.1"
"""stands for every address of this machine"""
_FRESH = 30.0
"""seconds for which a resolved name is not resolved again"""
_ATTEMPTS = 3
"""refusals of one test at one address after which a client that tries again and again is stopped"""

UNSEEN = (
    *("confluent_kafka", "curl_cffi", "grpc", "MySQLdb", "psycopg", "psycopg2", "pycurl", "pyodbc", "uvloop", "zmq"),
)
"""modules whose connections cause no audit event"""

_SPAWNING = frozenset({"multiprocessing.popen_spawn_posix", "multiprocessing.popen_forkserver"})
"""modules that start processes without an audit event"""

MARKER = '@pytest.mark.gaia(direct="why")'

_CHILDREN = ("subprocess.Popen", "os.system", "os.posix_spawn", "os.fork", "os.forkpty", "os.exec")
"""audit events of child processes"""

CONNECTING: ContextVar[str] = ContextVar("gaia_connecting", default="")
"""the service to which a client of this package connects; set around connecting only, never around requests"""


@contextlib.contextmanager
def connecting(service: str) -> Iterator[None]:
    """Permit the connections of this context, which are those of a client to ``service``."""
    token = CONNECTING.set(service)
    try:
        yield
    finally:
        CONNECTING.reset(token)


_handlers: dict[str, Callable[[tuple[Any, ...]], None]] = {}
"""audit event → what handles it; empty while no guard is active"""
_active: list[NetworkGuard] = []
"""the guard of this process, last; several if a test runs pytest in its own process"""
_installed: list[bool] = []


def _hook(event: str, arguments: tuple[Any, ...], get: Any = _handlers.get) -> None:
    # Called for every audit event; a second can have thousands.
    handler = get(event)
    if handler is not None:
        handler(arguments)


def may_write() -> bool:
    """Whether the running test may write, whatever a guard that the test has created itself permits."""
    return not _active or _active[-1].may_write()


@dataclass(frozen=True, slots=True)
class OtherHosts:
    """Hosts of other environments, which no test of this run may connect to."""

    hosts: Mapping[str, tuple[str, ...]]
    """environment → its host names and IP addresses; ``*`` is allowed as the first label"""
    own: tuple[str, ...] = ()
    """those of this environment"""

    def owner(self, host: str) -> str:
        """Return the other environment that ``host`` belongs to; empty for none."""
        found = (name for name, known in self.hosts.items() if matches(host, known))
        return "" if matches(host, self.own) else next(found, "")


@dataclass(slots=True)
class Findings:
    """What the network guards of a run have found, besides what they refused."""

    direct: dict[str, None] = field(default_factory=dict)
    """direct connections that were permitted, one sentence for each place"""
    unused: list[str] = field(default_factory=list)
    """tests that permit direct connections and opened none"""
    unseen: set[str] = field(default_factory=set)
    """modules whose connections are not monitored"""
    children: int = 0
    """number of child processes, which are not monitored"""

    def plain(self) -> dict[str, Any]:
        """Return the values as those that xdist can send."""
        return {
            "direct": list(self.direct),
            "unused": self.unused,
            "unseen": list(self.unseen),
            "children": self.children,
        }

    def add(self, found: Mapping[str, Any]) -> None:
        """Add the values of another process."""
        self.direct |= dict.fromkeys(found["direct"])
        self.unused += found["unused"]
        self.unseen |= set(found["unseen"])
        self.children += found["children"]

    def sentences(self) -> tuple[str, ...]:
        """Return them for the summary."""
        unseen = sorted(self.unseen) + ([f"child processes: {self.children}"] if self.children else [])
        return (
            *self.direct,
            *(f"{node}: no direct connection was seen; remove `direct` from its marker" for node in self.unused),
            *([f"not monitored: {', '.join(unseen)}"] if unseen else []),
        )


@dataclass(slots=True)
class NetworkGuard:
    """Finds direct connections: to an address of a service, by something else than a client of this package.

    ``[env.NAME] direct`` decides whether they are refused. A refusal is recorded with the running test before it is raised.
    """

    environment: Environment
    others: OtherHosts
    recorder: Recorder
    rootdir: Path
    findings: Findings = field(default_factory=Findings)
    _names: dict[Endpoint, str] = field(default_factory=dict)
    """host name and port → service"""
    _known: dict[tuple[str, int], str] = field(default_factory=dict)
    """IP address and port → service"""
    _foreign: dict[str, tuple[str, str]] = field(default_factory=dict)
    """IP address → name that was resolved to it, and the other environment that it belongs to"""
    _resolved: dict[str, float] = field(default_factory=dict)
    _asked: str = ""
    """name that was resolved last"""
    _resolves: bool = False
    _process: int = field(default_factory=os.getpid)
    _shared: mmap.mmap | None = None
    """memory for a refusal of a forked process"""
    _before: dict[str, Callable[[tuple[Any, ...]], None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take the addresses of the environment."""
        for service, text in self.environment.addresses.items():
            for endpoint in map(endpoint_of, text.split(",")):
                self._names[endpoint] = service
                if (ip := _ip_of(endpoint.host)) is not None:
                    self._known[ip, endpoint.port] = service

    def begin(self) -> None:
        """Begin to watch this process."""
        self._shared = mmap.mmap(-1, 4096)
        self._before = dict(_handlers)
        _active.append(self)
        _handlers.clear()
        _handlers.update(
            {
                "socket.connect": self._connect,
                "socket.sendto": self._connect,
                "socket.getaddrinfo": self._resolve,
                "socket.gethostbyname": self._resolve,
            }
        )
        if self.environment.direct == "refuse":
            _handlers.update(dict.fromkeys(_CHILDREN, self._child))
        if not _installed:
            _installed.append(True)
            sys.addaudithook(_hook)

    def end(self) -> None:
        """Stop watching."""
        if self in _active:
            _active.remove(self)
            _handlers.clear()
            _handlers.update(self._before)

    def note_unseen(self) -> None:
        """Note what the guard cannot see, after the last test."""
        if self.environment.direct == "refuse":
            self.findings.unseen = {name for name in UNSEEN if name in sys.modules}
            if not _SPAWNING.isdisjoint(sys.modules):
                self.findings.unseen.add("multiprocessing")

    def may_write(self) -> bool:
        """Whether the running test may write."""
        return self.environment.writes and self.recorder.is_marked()

    def ended(self, test: RunningTest) -> None:
        """Note a test that permits direct connections and opened none."""
        if test.direct and not test.connects:
            self.findings.unused.append(test.node)

    def _child(self, _: tuple[Any, ...]) -> None:
        frame = sys._getframe(2)  # noqa: SLF001 - as the standard library does
        # The module subprocess causes two events. Processes that this package or pytest starts do not count.
        if frame.f_code.co_name != "_posix_spawn":
            self.findings.children += _place(frame) is not None

    def _resolve(self, arguments: tuple[Any, ...]) -> None:
        """Find the addresses of a service or of another environment when its name is resolved."""
        host = _text(arguments[0])
        if host and not self._resolves:
            self._asked = host
            self._look_up(host)

    def _look_up(self, host: str) -> None:
        owner = self.others.owner(host)
        mine = [(endpoint.port, service) for endpoint, service in self._names.items() if endpoint.host == host]
        now = time.monotonic()
        if not (owner or mine) or self._resolved.get(host, 0.0) > now - _FRESH:
            return
        self._resolved[host] = now
        for ip in self._addresses(host):
            for port, service in mine:
                self._known[ip, port] = service
            if owner and ip != _HERE:
                self._foreign[ip] = host, owner

    def _addresses(self, host: str) -> Iterator[str]:
        self._resolves = True
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError:
            return
        finally:
            self._resolves = False
        for *_, address in found:
            if (ip := _ip_of(str(address[0]))) is not None:
                yield ip

    def _connect(self, arguments: tuple[Any, ...]) -> None:
        address = arguments[1]
        # Not a socket of Unix, such as those of event loops.
        if not isinstance(address, tuple) or len(address) < 2 or not isinstance(address[1], int):
            return
        host, port = _text(address[0]), address[1]
        ip = _ip_of(host)
        if ip is None:
            # The operating system resolves it.
            self._look_up(host)
        if own := CONNECTING.get():
            if ip is not None:
                self._known.setdefault((ip, port), own)
            return
        name, owner = self._owner(host, ip, port)
        if owner:
            mine = self.environment.name
            self._refuse(
                f"{name}:{port}",
                f"it belongs to the environment {owner}, and this run tests {mine}",
                f"To test {owner}, use --gaia-env={owner}. If the host belongs to {mine}, correct `hosts` in gaia.toml.",
            )
        service = self._service(host, ip, port)
        if service:
            self._meet(service, str(Endpoint(host, port)))

    def _owner(self, host: str, ip: str | None, port: int) -> tuple[str, str]:
        """Return a name of the host and the other environment that it belongs to; empty texts for none."""
        name, owner = self._foreign.get(ip, ("", "")) if ip else ("", "")
        if owner and (ip, port) in self._known and not self.others.owner(self._asked):
            # Both environments are behind one proxy, and the name of this one was resolved last.
            return "", ""
        return (name, owner) if owner else (host, self.others.owner(ip or host))

    def _service(self, host: str, ip: str | None, port: int) -> str:
        if ip is None:
            return self._names.get(Endpoint(host, port), "")
        if (ip, port) not in self._known and ip != _HERE:
            # Not before code connects directly, because it takes time.
            for endpoint in self._names:
                if endpoint.port == port:
                    self._look_up(endpoint.host)
        return self._known.get((ip, port), "")

    def _meet(self, service: str, address: str) -> None:
        """Handle a direct connection to a service of the environment."""
        test = self._test()
        test.connects += 1
        if test.direct or self.environment.direct == "allow":
            return
        if self.environment.direct == "refuse":
            self._refuse(
                f"{service} at {address}",
                "only the clients of pytest-gaia can tell a write, and this run refuses others "
                f'(direct = "refuse" of environment {self.environment.label})',
                f"Use the fixture {self._fixture(service)}, or mark the test: {MARKER}",
            )
        self.findings.direct.setdefault(
            f"{self._place(test)} connects to {service} at {address} without its client, so the write guard does not see "
            f"what it sends. Use the fixture, or mark the test: {MARKER}",
            None,
        )

    def _fixture(self, service: str) -> str:
        described = self.environment.platform.services.get(service)
        return described.identifier if described else service

    def _test(self) -> RunningTest:
        """Return the test that connects; the current one for a thread pool, and for what a test has left behind."""
        test = RUNNING.get()
        if test is None:
            # A thread has a context of its own.
            test = getattr(threading.current_thread(), "_gaia_test", None)
        return test if isinstance(test, RunningTest) and not test.ended else self.recorder.current

    def _place(self, test: RunningTest) -> str:
        """Return file and line of the innermost code of the project; the test if there is none, as in a task of a library."""
        found = _place(sys._getframe(1))  # noqa: SLF001 - as the standard library does
        if found is None:
            return test.node or "a task of a library"
        file, line = found
        return f"{os.path.relpath(file, self.rootdir) if file.startswith(f'{self.rootdir}{os.sep}') else file}:{line}"

    def _refuse(self, what: str, reason: str, todo: str) -> NoReturn:
        """Record a refusal with the running test, which fails whatever it does with the error, and raise it."""
        test = self._test()
        first = f"{self._place(test)} connects to {what} without its client; refused, nothing was sent"
        rest = f"Reason: {reason}.\n{todo}"
        if os.getpid() == self._process:
            self._record(test, first, rest)
        elif self._shared is not None:
            # A forked process, whose memory the test does not see.
            text = f"{first}\n{rest}".encode()[: len(self._shared) - 1]
            self._shared[: len(text)] = text
        test.connects += 1
        # Some clients would try again for minutes, whatever they catch.
        raise (RefusedAgain if test.connects > _ATTEMPTS else DirectConnectionRefused)(f"{first}.\n{rest}")

    def _record(self, test: RunningTest, first: str, rest: str) -> None:
        known = test.watched.failures if test.watched is not None else []
        if all(each.what != first for each in known):
            fix = rest.replace("\n", "\n  ")
            failure = UnnoticedFailure(DirectConnectionRefused.kind, first, fix=fix)
            self.recorder.add_failure(failure, test if test.node else None)

    def collect(self, test: RunningTest) -> None:
        """Record a refusal of a process that ``test`` has forked."""
        if self._shared is not None and self._shared[0]:
            first, _, rest = self._shared[:].rstrip(b"\0").decode(errors="replace").partition("\n")
            self._shared[:] = bytes(len(self._shared))
            self._record(test, f"{first} (in a forked process)", rest)


def _text(host: object) -> str:
    """Return a host as it is compared, without its final dot."""
    text = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else str(host or "")
    return text.lower().rstrip(".")


def _ip_of(host: str) -> str | None:
    """Return the IP address that ``host`` is, in one spelling; None for a name.

    All addresses of this machine are the same one, because a server often listens at several of them.
    """
    if is_loopback(host):
        return _HERE
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:
            # Other spellings of IPv4, such as one number.
            ip = ipaddress.ip_address(socket.inet_aton(host))
        except (OSError, ValueError):
            return None
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return _HERE if ip.is_loopback or ip.is_unspecified else str(ip)


def _place(frame: FrameType | None) -> tuple[str, int] | None:
    """Return file and line of the innermost frame that is neither Python's nor that of an installed package."""
    while frame is not None:
        if not _is_library(frame.f_code.co_filename):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return None


@functools.cache
def _libraries() -> tuple[str, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib", "scripts")
    paths = {path for name in names if (path := sysconfig.get_paths().get(name))}
    return tuple(f"{path}{os.sep}" for path in (*paths, *map(os.path.realpath, paths), str(Path(__file__).parents[1])))


@functools.lru_cache(maxsize=1024)
def _is_library(file: str) -> bool:
    return file.startswith(("<", *_libraries())) or "site-packages" in file
