"""Child processes that do not outlive the supervisor, and that a later run recognises if they do."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

RECORDS = "children"
"""The folder of a run's directory with one file for each child: its number and when it started."""

_PR_SET_PDEATHSIG = 1
_LOG_TAIL = 2000

_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Account:
    """The user that a child runs as, where that is not the user who runs the supervisor."""

    uid: int
    gid: int


@dataclass(slots=True)
class Child:
    """One running child."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def tail(self) -> str:
        """Return the end of what it wrote."""
        return tail(self.log)


def spawn(
    command: Sequence[str | Path],
    log: Path,
    *,
    account: Account | None = None,
    record: Path | None = None,
    on_death: signal.Signals = signal.SIGKILL,
    source: IO[bytes] | None = None,
    sink: IO[bytes] | None = None,
) -> Child:
    """Start a child in ``/`` that writes to the end of ``log``. Call it on the main thread only.

    On Linux the kernel sends it ``on_death`` when the *thread* that started it ends, which is how it follows a killed
    supervisor. ``source`` and ``sink`` are its standard input and output. Raises ``OSError``.
    """
    identity = {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": ()}
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - fixed programs; what runs after the fork is one system call
            command,
            cwd="/",
            stdin=source or subprocess.DEVNULL,
            stdout=sink or output,
            stderr=output,
            umask=0o077,
            env=_environment(),
            preexec_fn=_follow_parent(on_death),
            **identity,  # type: ignore[arg-type]  # the three keywords of Popen, or none
        )
    if record is not None:
        record.parent.mkdir(mode=0o700, exist_ok=True)
        record.write_text(f"{process.pid} {started_at(process.pid)}")
    return Child(process, log)


def started_at(pid: int) -> str | None:
    """Return when a process started, in whatever words the system has; None if there is no such process."""
    if sys.platform == "linux":
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    listing = subprocess.run(["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603
    return "_".join(listing.stdout.split()) or None


def recorded(record: Path) -> int | None:
    """Return the number of the process that a record names if that very process still runs."""
    try:
        pid, _, started = record.read_text().partition(" ")
    except OSError:
        return None
    return int(pid) if pid.isdigit() and started and started_at(int(pid)) == started else None


def end_recorded(record: Path, request: signal.Signals, within: float) -> None:
    """End a process that is not a child of ours, and kill it after ``within`` seconds. Blocks."""
    deadline = time.monotonic() + within
    while (pid := recorded(record)) is not None:
        late = time.monotonic() > deadline
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL if late else request)
        if late and time.monotonic() > deadline + within:
            return
        time.sleep(0.005)


def tail(log: Path, limit: int = _LOG_TAIL) -> str:
    """Return the last lines of a log, at most ``limit`` bytes of them."""
    try:
        content = log.read_bytes()
    except OSError:
        return ""
    cut = content[-limit:]
    if len(cut) < len(content):
        cut = cut.partition(b"\n")[2]
    return cut.decode("utf-8", "replace").strip()


def _environment() -> dict[str, str]:
    """The environment without what would steer PostgreSQL, and with messages in a language that can be read here."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("PG")}, "LC_ALL": "C"}


def _follow_parent(request: signal.Signals) -> Callable[[], None] | None:
    if _prctl is None:
        return None
    parent = os.getpid()

    def follow() -> None:
        _prctl(_PR_SET_PDEATHSIG, int(request))
        if os.getppid() != parent:
            os.kill(os.getpid(), request)

    return follow
