"""The contract of a deploy hook: one request in, one reply out.

An adapter implements :class:`DeployHook`. An executable speaks the same as JSON: the request on standard input, one
line with the reply as the last line of standard output, everything else on standard error; exit 0 done, 10 already
there, 75 try again, anything else failed. All phases are idempotent.
"""

import datetime
import threading
from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import msgspec

from pytest_gaia.errors import ConfigError

Phase: TypeAlias = Literal["plan", "deploy", "observe", "rollback"]
ReplyStatus: TypeAlias = Literal["done", "unchanged", "retry", "failed"]

EXIT_STATUSES: dict[int, ReplyStatus] = {0: "done", 10: "unchanged", 75: "retry"}
"""exit code of an executable hook → status; 75 is EX_TEMPFAIL of sysexits.h"""


def utc_now(precision: str = "seconds") -> str:
    """Return the time as ISO 8601, in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec=precision)


T = TypeVar("T")
_ONE_AT_A_TIME = threading.Lock()


def converted(value: Any, kind: type[T]) -> T:
    """Return ``value`` as ``kind``, as ``msgspec.convert`` does; apps are asked at the same time.

    msgspec works out what a type holds when it first meets it, and crashes where two threads do that at once.
    """
    with _ONE_AT_A_TIME:
        return msgspec.convert(value, kind)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a hook is asked to do, for one service of one environment."""

    phase: Phase
    environment: str
    service: str
    """the platform's name: nats, postgres, auth, asset, chat, gateway"""
    app: str
    """the tool's name for it: the app on Fly, the service of a compose file"""
    config: str | None = None
    """absolute path of the deploy file"""
    release: str | None = msgspec.field(default=None, name="bundle")
    """id of the bundle that is deployed"""
    image: str | None = None
    """reference to deploy, best with a digest; None: what the deploy file builds or names"""
    previous: str | None = None
    """for ``rollback``, and for the plan of one: the reference to go back to"""
    region: str | None = None
    rebuild: bool = False
    remote_only: bool = True
    beside: tuple[str, ...] | None = None
    """names of the tool for what is started together with ``app``; None: all that it depends on"""
    attempt: int = 1
    deadline: float = 600.0
    """seconds that the phase may take"""
    dry_run: bool = False
    directory: str | None = None
    """absolute path of the project, which the tool is run in and which a build sees; None: the working directory"""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """One machine or container that runs an app, as it was observed."""

    id: str
    state: str
    """``started``, ``stopped``, ``suspended``, ``starting`` … (Fly's words; compose's are translated); ``completed`` for
    a one-shot that has ended well, which is as good as ``started``"""
    group: str = ""
    """its process group on Fly; empty where the tool has none, or does not say"""
    region: str | None = None
    image: str | None = None
    """reference"""
    digest: str | None = None
    """``sha256:…``"""
    version: int | None = msgspec.field(default=None, name="release")
    checks: int = 0
    """configured health checks"""
    passing: int = 0
    critical: int = 0
    host_ok: bool = True
    cordoned: bool = False
    crashed: bool = False
    """whether it ended with an error, or for want of memory, since its last start"""
    memory_mb: int | None = None


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What an app turned out to be. A tool's exit code is no part of it."""

    app: str
    exists: bool
    machines: tuple[Machine, ...] = ()
    """those that serve; machines of a release command, of a console and standbys are left out"""
    version: int | None = msgspec.field(default=None, name="release")
    """number of the current release"""
    hostname: str | None = None
    taken: str = ""
    """when, ISO 8601 in UTC"""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What a hook answers."""

    status: ReplyStatus
    commands: tuple[tuple[str, ...], ...] = ()
    """the exact command lines: those that would run (``plan``, a dry run) or have run"""
    version: int | None = msgspec.field(default=None, name="release")
    image: str | None = None
    observation: Observation | None = None
    message: str = ""
    """one sentence: what happened, and for a failure what to do"""
    tail: tuple[str, ...] = ()
    """the tool's last lines, secrets masked"""


class UnknownApp(ConfigError):
    """The tool knows no app of that name, or not for this user: nothing was ever deployed there."""


class DeployHook(Protocol):
    """A way to deploy. It judges nothing: it does, and says what the tool said."""

    name: str

    def run(self, request: Request, log: Callable[[str], None]) -> Reply:
        """Carry out one phase; ``log`` takes the tool's lines as they come, secrets masked.

        A tool that fails is a reply (``failed``), one that should be asked again another (``retry``: rate limit, 5xx,
        no network, a lease that somebody holds). Raises ``ConfigError`` for what only the user can mend: the tool is
        not installed, nobody is logged in; ``UnknownApp`` where the tool knows no such app.
        """
        ...
