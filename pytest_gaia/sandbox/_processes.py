"""Child processes that end with the supervisor, records of them for later runs, and the ports on which they listen."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from pytest_gaia.errors import SandboxError
from pytest_gaia.sandbox.directories import private_log

HOST = "127.0.0.1"

# On Linux two sockets with SO_REUSEADDR may share an address while neither listens: a bound socket that never listens
# reserves the port, and connections to it are refused. Other systems do not support this.
_CAN_SHARE = sys.platform == "linux"

RECORDS = "children"
"""the folder with one file for each child process: its id and start time"""

_PR_SET_PDEATHSIG = 1
_LOG_TAIL = 2000

_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

NO_SPACE = "No space left on device"
_ADVICE = {
    NO_SPACE: "Free some space, or set TMPDIR to a folder with 100 MB.",
    "could not look up effective user ID": (
        "PostgreSQL needs a user name, and this user has none. Add it to /etc/passwd, or run as another user."
    ),
    "error while loading shared libraries": "The wheel does not fit this system. Set GAIA_PG_BIN to an installation.",
    "cannot execute binary file": "The program is for another kind of machine.",
}
"""text in a log → what to do"""


@dataclass(frozen=True, slots=True)
class Account:
    """The user of a child process, if it is not the supervisor's user."""

    uid: int
    gid: int


class Surroundings(NamedTuple):
    """The folder and the environment of a program of the project. It gets a process group of its own."""

    folder: Path
    environment: Mapping[str, str]


@dataclass(slots=True)
class Child:
    """One child process."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    def tail(self) -> str:
        """Return the end of its output."""
        return tail(self.log)


def spawn(
    run: Path,
    name: str,
    command: Sequence[str | Path],
    *,
    account: Account | None = None,
    on_death: signal.Signals = signal.SIGKILL,
    source: IO[bytes] | None = None,
    sink: IO[bytes] | None = None,
    surroundings: Surroundings | None = None,
) -> Child:
    """Start a child process of ``run`` that appends to ``name.log``. Call it on the main thread only.

    On Linux the kernel sends it ``on_death`` when the *thread* that started it ends, so it ends with a killed supervisor.
    ``source`` and ``sink`` are its standard input and output. ``surroundings`` are those of a program of the project.
    Raises ``OSError``.
    """
    around: dict[str, Any] = {"cwd": "/", "env": _environment(), "umask": 0o077}
    if surroundings is not None:
        around = {"cwd": surroundings.folder, "env": dict(surroundings.environment), "process_group": 0}
    if account is not None:
        around |= {"user": account.uid, "group": account.gid, "extra_groups": ()}
    log = run / f"{name}.log"
    with private_log(log) as output:
        # The programs are fixed, or named in gaia.toml. Between fork and exec the function makes two system calls and
        # takes no lock, which is safe with threads.
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=source or subprocess.DEVNULL,
            stdout=sink or output,
            stderr=output,
            preexec_fn=_follow_parent(on_death),  # noqa: PLW1509
            **around,
        )
    records = run / RECORDS
    records.mkdir(mode=0o700, exist_ok=True)
    (records / name).write_text(f"{process.pid} {started_at(process.pid)}")
    return Child(process, log)


def started_at(pid: int) -> str | None:
    """Return the start time of a process in the system's format; None if there is no such process."""
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    # A fixed program and a number.
    command = ("/bin/ps", "-o", "lstart=", "-p", str(pid))
    listing = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return "_".join(listing.stdout.split()) or None


def recorded(record: Path) -> int | None:
    """Return the id of a recorded process if that process still runs."""
    try:
        pid, _, started = record.read_text().partition(" ")
    except OSError:
        return None
    return int(pid) if pid.isdigit() and started and started_at(int(pid)) == started else None


def end_recorded(record: Path, request: signal.Signals, within: float) -> None:
    """End a recorded process, or its group if it leads one, and kill it after ``within`` seconds. Blocks."""
    deadline = time.monotonic() + within
    leads = False
    while (pid := recorded(record)) is not None:
        late = time.monotonic() > deadline
        with suppress(ProcessLookupError):
            leads = os.getpgid(pid) == pid
            send(pid, signal.SIGKILL if late else request, group=leads)
        if late and time.monotonic() > deadline + within:
            return
        time.sleep(0.005)
    if leads:
        send(int(record.read_text().partition(" ")[0]), signal.SIGKILL, group=True)


def send(pid: int, request: signal.Signals, *, group: bool) -> None:
    """Send a signal to a process or to its group; to none of them if they are gone."""
    # macOS forbids a signal to a group of processes that have ended and are not yet waited for.
    with suppress(ProcessLookupError, PermissionError):
        (os.killpg if group else os.kill)(pid, request)


def tail(log: Path, limit: int = _LOG_TAIL) -> str:
    """Return the last lines of a log, at most ``limit`` bytes."""
    try:
        content = log.read_bytes()
    except OSError:
        return ""
    cut = content[-limit:]
    if len(cut) < len(content):
        cut = cut.partition(b"\n")[2]
    return cut.decode("utf-8", "replace").strip()


def _environment() -> dict[str, str]:
    """Return the environment without PostgreSQL's variables, and with English messages."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("PG")}, "LC_ALL": "C"}


def _follow_parent(request: signal.Signals) -> Callable[[], None] | None:
    if _prctl is None:
        return None
    parent = os.getpid()

    prctl = _prctl

    def follow() -> None:
        prctl(_PR_SET_PDEATHSIG, int(request))
        if os.getppid() != parent:
            os.kill(os.getpid(), request)

    return follow


def failed(what: str, log: str) -> SandboxError:
    """Return the error for ``what``, a sentence without its full stop, with the end of the log."""
    advice = [words for sign, words in _ADVICE.items() if sign in log]
    return SandboxError("\n".join((f"{what}. End of its log:", log or "(empty)", *advice)))


async def succeeded(child: Child, what: str, within: float) -> bool:
    """Wait until a child process exits, and return whether it succeeded.

    Raises ``SandboxError`` that begins with ``what`` if it still runs after ``within`` seconds.
    """
    import asyncio

    deadline = time.monotonic() + within
    while child.running:
        if time.monotonic() > deadline:
            child.process.kill()
            child.process.wait()
            raise failed(f"{what} took longer than {within:.0f} s", child.tail())
        await asyncio.sleep(0.001)
    return child.process.returncode == 0


async def ended(child: Child, request: signal.Signals, within: float, *, group: bool = False) -> None:
    """Send ``request`` to a child process, or to its group, and wait for its end; kill it after ``within`` seconds."""
    import asyncio

    pid = child.process.pid
    if child.running:
        send(pid, request, group=group)
    deadline = time.monotonic() + within
    while child.running:
        if time.monotonic() > deadline:
            send(pid, signal.SIGKILL, group=group)
        await asyncio.sleep(0.001)
    if group:
        # Processes that the program has started and left behind.
        send(pid, signal.SIGKILL, group=True)


class Guard:
    """A process that kills the programs of a project, and all that they have started, when the supervisor is gone.

    The kernel ends only the direct children of a killed supervisor. The guard reads the list of their process groups from
    a pipe, which closes when the supervisor ends in any way.
    """

    _SCRIPT = 'while read -r groups; do known=$groups; done; for group in $known; do kill -s KILL -- "-$group"; done 2>/dev/null'

    def __init__(self, run: Path) -> None:
        self._run = run
        self._groups: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, group: int) -> None:
        """Kill this process group too."""
        self._groups.add(group)
        self._write()

    def discard(self, group: int) -> None:
        """Forget a process group, which has ended."""
        self._groups.discard(group)
        self._write()

    def close(self) -> None:
        """Kill the groups that are still known."""
        if self._process is not None:
            self._process.communicate()

    def _write(self) -> None:
        if self._process is None:
            command = ("/bin/sh", "-c", self._SCRIPT, "gaia-guard", str(self._run))
            # A fixed script. In a session of its own, so that no signal to the supervisor reaches it.
            self._process = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd="/", start_new_session=True
            )
        if self._process.stdin is not None:
            # If it was killed, the kernel still ends the direct children.
            with suppress(BrokenPipeError):
                self._process.stdin.write((" ".join(map(str, self._groups)) + "\n").encode())
                self._process.stdin.flush()


class ReservedPort:
    """A free port of the loopback interface, reserved until :meth:`release`.

    A server that sets ``SO_REUSEADDR`` (PostgreSQL, NATS and asyncio do) can listen on it, stop, and listen again.
    """

    def __init__(self) -> None:
        holder = _bound(0)
        self.number: int = holder.getsockname()[1]
        self._holder: socket.socket | None = holder
        if not _CAN_SHARE:
            self.release()

    @property
    def url(self) -> str:
        """The base URL of an HTTP server on this port."""
        return f"http://{HOST}:{self.number}"

    def socket(self) -> socket.socket:
        """Return a new socket bound to the port, for a server to listen on. Raises ``OSError`` if it is taken."""
        return _bound(self.number)

    def release(self) -> None:
        """Release the port."""
        if self._holder is not None:
            self._holder.close()
            self._holder = None


def _bound(number: int) -> socket.socket:
    # asyncio disables Nagle's algorithm (40 ms for two writes) only for sockets with an explicit protocol.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((HOST, number))
    except OSError:
        bound.close()
        raise
    return bound
