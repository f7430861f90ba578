"""The interface of deploy hooks: one request in, one reply out.

An adapter implements :class:`DeployHook`. An executable uses the same values as JSON: it reads the request from standard
input, and writes the reply as the last line of standard output and all else to standard error. Exit code 0 means done, 10
unchanged, 75 retry, any other failed. All phases are idempotent.
"""

import datetime
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

import msgspec

from pytest_gaia.errors import ConfigError, DeployUnavailable

Phase: TypeAlias = Literal["plan", "deploy", "observe", "rollback"]
EndedBy: TypeAlias = Literal["", "stop", "kill"]
ReplyStatus: TypeAlias = Literal["done", "unchanged", "retry", "failed"]

EXIT_STATUSES: dict[int, ReplyStatus] = {0: "done", 10: "unchanged", 75: "retry"}
"""exit code of an executable hook → status; 75 is EX_TEMPFAIL of sysexits.h"""


def utc_now(precision: str = "seconds") -> str:
    """Return the time as ISO 8601, in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec=precision)


T = TypeVar("T")
_ONE_AT_A_TIME = threading.Lock()


def converted(value: Any, kind: type[T]) -> T:
    """Return ``value`` as ``kind``, with a lock around ``msgspec.convert``.

    msgspec inspects a type at its first use, and crashes if two threads do that at the same time.
    """
    with _ONE_AT_A_TIME:
        return msgspec.convert(value, kind)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request to a hook, for one service of one environment."""

    phase: Phase
    environment: str
    service: str
    """name of the service in the project: ``[services.NAME]``"""
    app: str
    """its name in the tool: the app on Fly, the service in a compose file, ``deployment/NAME`` on Kubernetes"""
    config: str | None = None
    """absolute path of the deploy file"""
    release: str | None = msgspec.field(default=None, name="bundle")
    """id of the release that is deployed"""
    image: str | None = None
    """reference of the image, preferably with a digest; None for the image in the deploy file, or a build"""
    previous: str | None = None
    """for ``rollback`` and its plan: reference of the image to restore"""
    region: str | None = None
    rebuild: bool = False
    remote_only: bool = True
    attempt: int = 1
    deadline: float = 600.0
    """time limit of the phase, in seconds"""
    dry_run: bool = False
    context: str | None = None
    """for Kubernetes: context in the kubeconfig"""
    namespace: str | None = None
    """for Kubernetes: namespace of the workload"""
    compare: bool = False
    """for ``observe``: whether to compare what runs with the deploy files"""
    directory: str | None = None
    """absolute path of the project, in which the tool runs and builds; None for the working directory"""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The observed state of one machine or container of an app."""

    id: str
    state: str
    """``started``, ``stopped``, ``suspended``, ``starting`` … (the states of Fly); for containers also ``restarting`` and
    ``paused``, and ``completed`` for one that runs once and succeeded, which counts as ``started``"""
    label: str = ""
    """its name in messages, such as ``container shop-orders-1``; empty for ``machine ID``"""
    group: str = ""
    """process group on Fly; empty if there is none or it is unknown"""
    region: str | None = None
    image: str | None = None
    """reference"""
    digest: str | None = None
    """``sha256:…``"""
    unpublished: bool = False
    """whether its image is only on this machine: no registry is known to have it, and ``digest`` is its id"""
    version: int | None = msgspec.field(default=None, name="release")
    checks: int = 0
    """configured health checks"""
    passing: int = 0
    critical: int = 0
    host_ok: bool = True
    cordoned: bool = False
    crashed: bool = False
    """whether it crashed or ran out of memory since its last start"""
    memory_mb: int | None = None
    started_at: str = ""
    """time of its last start, ISO 8601; empty if the tool does not report it"""
    exit_code: int | None = None
    """of a container that has ended, which Docker does not start again by itself unless it is ``restarting``; on Fly, of a
    machine that crashed since its last start"""
    out_of_memory: bool = False
    """whether it ended because it exceeded its memory limit"""
    ended_by: EndedBy = ""
    """the request that ended it, if that is known"""
    restarts: int = 0
    """how often the tool has started it again after a failure"""
    error: str = ""
    """why it did not start, in the tool's words"""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """The observed state of an app, independent of the exit code of the tool."""

    app: str
    exists: bool
    machines: tuple[Machine, ...] = ()
    """machines that serve, without those of release commands, consoles and standbys"""
    version: int | None = msgspec.field(default=None, name="release")
    """number of the current release"""
    hostname: str | None = None
    incomplete: str = ""
    """what the rollout still lacks, according to the tool; empty if it is complete, or if the tool does not report it"""
    taken: str = ""
    """time of the observation, ISO 8601 in UTC"""
    differences: tuple[str, ...] = ()
    """how what runs differs from the deploy files, each a sentence; only if the request asked for them"""
    orphans: tuple[str, ...] = ()
    """machines of the project that no deploy file names any more, each in a few words; only if the request asked for them"""
    elsewhere: str = ""
    """what responds instead at its address, such as a container of another project; empty for nothing"""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The reply of a hook."""

    status: ReplyStatus
    commands: tuple[tuple[str, ...], ...] = ()
    """exact command lines that ran, or would run (``plan``, a dry run)"""
    version: int | None = msgspec.field(default=None, name="release")
    image: str | None = None
    observation: Observation | None = None
    message: str = ""
    """one sentence: the result, and for a failure what to do"""
    tail: tuple[str, ...] = ()
    """last lines of the tool, with secrets masked"""


class LogLine(msgspec.Struct, frozen=True):
    """One line of an app's log."""

    message: str = ""
    timestamp: str = ""
    """ISO 8601"""
    level: str = ""
    instance: str = ""
    """id of the machine, or name of the container"""
    region: str = ""


class UnknownApp(ConfigError):
    """The app does not exist in the tool, or this user cannot see it."""


class UnavailableServices(DeployUnavailable):
    """The tool was not available for ``services``; the others were not begun. Without ``services``, it is unknown."""

    def __init__(self, message: str, services: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.services = services


class DeployHook(Protocol):
    """A way to deploy. It runs a tool and reports its result, without evaluating it."""

    name: str

    def run(self, request: Request, log: Callable[[str], None]) -> Reply:
        """Run one phase; ``log`` gets each line of the tool, with secrets masked.

        The reply to a failure is ``failed``, or ``retry`` for a temporary one (rate limit, 5xx, no network, a lease held by
        another process). Raises ``ConfigError`` if only the user can fix the problem (the tool is not installed, or not
        logged in), and ``UnknownApp`` for an app that does not exist.
        """
        ...


@runtime_checkable
class JointHook(DeployHook, Protocol):
    """A deploy hook that runs a phase for several services at once, such as all services of one compose file."""

    def run_all(self, requests: Sequence[Request], log: Callable[[str, str], None]) -> tuple[Reply, ...]:
        """Run one phase for services of one environment; return one reply each, in their order.

        ``log`` gets the name of the service (the first one if that is unknown) and each line of the tool, with secrets
        masked. Raises as :meth:`DeployHook.run`.
        """
        ...
