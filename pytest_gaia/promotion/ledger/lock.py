"""A lock that allows one promotion of an environment at a time, with a lifetime and a fencing token.

If the holder dies, the lock expires. If the holder was only suspended, and another process took the lock, the holder
still assumes that it has the lock. Its fencing token is lower then, and the entries that it writes do not count.
"""

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from pytest_gaia.errors import ConfigError, DeployLocked, GaiaError
from pytest_gaia.files.writing import make_folder
from pytest_gaia.promotion.ledger.stores import GitReference, Taken
from pytest_gaia.system.processes import held
from pytest_gaia.system.signals import join

LIFETIME = timedelta(minutes=10)
"""time after which a lock expires unless it is renewed"""
_TRIES = 5
_TRIES_OF_SHARDS = 50
"""the same for shards, which begin and end at the same time"""
_PAUSE = 0.5
"""longest pause between two tries of shards, in seconds"""
_MOST_ATTEMPTS = 5000


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to run a shard of a promotion. It is stored with the lock, which all machines share."""

    release: str
    fence: int
    """fencing token of the promotion"""
    shard: str
    """such as ``2/5``"""
    began: str
    """ISO 8601, UTC"""
    code: int | None = None
    """exit code; None if it has not ended"""
    holder: str = ""
    """who runs it, as for a lock"""

    def __str__(self) -> str:
        return f"begun {self.began[:19]} by {self.holder}"


class LockState(msgspec.Struct, frozen=True, kw_only=True):
    """The stored state of a lock. It also exists after a release, because the fencing token only increases."""

    environment: str
    fence: int
    token: str = ""
    """known only to the holder; empty if the lock is free"""
    holder: str = ""
    acquired: str = ""
    expires: str = ""
    attempts: tuple[Attempt, ...] = ()
    """attempts to run shards that are not in the ledger yet, in order"""

    def held(self, now: datetime) -> bool:
        """Whether the lock is held at ``now``."""
        return bool(self.token) and now < datetime.fromisoformat(self.expires)


Change: TypeAlias = Callable[[LockState | None], LockState]
"""computes the new state from the stored one (None at first); may raise ``DeployLocked``"""


class FilePlace:
    """A file on this machine. An exclusive lock of the operating system makes each exchange atomic."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = f"{path.parent.name}/{path.name}"

    def exchange(self, change: Change) -> LockState:
        """Replace the state with the result of ``change``, atomically, and return it.

        Raises ``ConfigError`` if the file cannot be written.
        """
        try:
            make_folder(self.path.parent)
            with held(self.path) as descriptor:
                content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
                state = change(_decoded(content, self.name))
                new = msgspec.json.encode(state)
                os.pwrite(descriptor, new, 0)
                os.ftruncate(descriptor, len(new))
                os.fsync(descriptor)
                return state
        except OSError as error:
            raise ConfigError(f"{self.name}: the lock cannot be used: {error.strerror}. Nothing was changed.") from None


class GitPlace:
    """A file in a git reference, shared by all machines that use the remote."""

    def __init__(self, reference: GitReference, environment: str) -> None:
        self.reference = reference
        self.file = f"{environment}.json"
        self.name = f"{reference.name}:{self.file}"

    def exchange(self, change: Change) -> LockState:
        """Replace the state as for a file. Raises :class:`Taken` if another machine was faster."""
        tip = self.reference.fetch()
        state = change(_decoded(self.reference.files(tip, (self.file,)).get(self.file, b""), self.name))
        self.reference.put(tip, {self.file: msgspec.json.encode(state)}, f"lock {state.environment} {state.fence}")
        return state


Place: TypeAlias = FilePlace | GitPlace
"""where the state of one lock is stored"""


class Lock:
    """The lock of one environment, for one holder."""

    def __init__(self, place: Place, environment: str, holder: str, lifetime: timedelta = LIFETIME) -> None:
        self.place = place
        self.environment = environment
        self.holder = holder
        self.lifetime = lifetime
        self.token = secrets.token_hex(16)
        self.fence = 0
        self.attempts: tuple[Attempt, ...] = ()
        """attempts to run shards that are not in the ledger yet, when the lock was acquired"""
        self.check: Callable[[LockState | None], object] = lambda _: None
        """raises an error if the lock must not be acquired"""

    def acquire(self, now: datetime) -> int:
        """Acquire the lock and return its fencing token. Raises ``DeployLocked`` (13) with the holder and the expiry."""

        def take(state: LockState | None) -> LockState:
            if state is not None and state.held(now) and state.token != self.token:
                raise DeployLocked(
                    f"{self.environment} is locked by {state.holder} since {state.acquired}. The lock expires at "
                    f"{state.expires} unless it is renewed. Two promotions at the same time would mix releases, so "
                    f"nothing was changed. Wait for the other one to end, then try again. (lock: {self.place.name})"
                )
            self.check(state)
            return self._state(now, (state.fence if state else 0) + 1, now.isoformat(timespec="seconds"), state)

        taken = self._exchanged(take)
        self.fence, self.attempts = taken.fence, taken.attempts
        return self.fence

    def renew(self, now: datetime) -> None:
        """Extend the lock by another lifetime. Raises ``DeployLocked`` if another process has taken it."""

        def prolong(state: LockState | None) -> LockState:
            if state is None or state.token != self.token:
                raise DeployLocked(
                    f"{self.environment}: this promotion did not renew its lock in time, and "
                    f"{f'{state.holder} has taken it' if state and state.holder else 'it has expired'}. Unfinished steps "
                    f"are not done. Before you continue, run `gaia status {self.environment}`."
                )
            return self._state(now, state.fence, state.acquired, state)

        self._exchanged(prolong)

    def release(self) -> None:
        """Release the lock, if this holder still has it."""

        def free(state: LockState | None) -> LockState:
            if state is None or state.token != self.token:
                return state or LockState(environment=self.environment, fence=self.fence)
            return LockState(environment=self.environment, fence=state.fence, attempts=state.attempts)

        self._exchanged(free)

    def begin_attempt(self, attempt: Attempt) -> tuple[Attempt, ...]:
        """Store that a shard begins, without acquiring the lock; return its attempts so far, with this one.

        Raises ``DeployLocked`` if another promotion has taken the lock since the plan.
        """

        def add(state: LockState | None) -> LockState:
            found = self._of_plan(state, attempt.fence)
            return replace(found, attempts=(*found.attempts, attempt)[-_MOST_ATTEMPTS:])

        return attempts_of(attempt.shard, attempt.fence, self._exchanged(add, _TRIES_OF_SHARDS).attempts)

    def end_attempt(self, attempt: Attempt, code: int) -> bool:
        """Store the exit code of an attempt; return whether no other promotion has taken the lock since the plan."""

        def end(state: LockState | None) -> LockState:
            state = state or LockState(environment=self.environment, fence=attempt.fence)
            attempts = (replace(each, code=code) if each == attempt else each for each in state.attempts)
            return replace(state, attempts=tuple(attempts))

        return self._exchanged(end, _TRIES_OF_SHARDS).fence == attempt.fence

    def forget(self, release: str) -> None:
        """Remove the attempts for ``release``, which are in the ledger now."""

        def remove(state: LockState | None) -> LockState:
            state = state or LockState(environment=self.environment, fence=self.fence)
            return replace(state, attempts=tuple(each for each in state.attempts if each.release != release))

        self._exchanged(remove)

    def _of_plan(self, state: LockState | None, fence: int) -> LockState:
        if state is None:
            raise DeployLocked(
                f"{self.environment}: this machine does not have the lock of the promotion ({self.place.name}), so it is unknown "
                'whether another one began since. To use several machines, keep the ledger in git: [ledger] git = "…".'
            )
        if state.fence != fence:
            raise DeployLocked(
                f"{self.environment}: another promotion or rollback has taken the lock since the test plan of this one was "
                f"created (fencing token {state.fence}, that of the plan is {fence}). Begin again with --only plan."
            )
        return state

    def _exchanged(self, change: Change, tries: int = _TRIES) -> LockState:
        for _ in range(tries):
            try:
                return self.place.exchange(change)
            except Taken:
                if tries != _TRIES:
                    time.sleep(secrets.randbelow(1000) / 1000 * _PAUSE)
        raise DeployLocked(
            f"{self.environment}: other processes changed the lock first, {tries} times; try again. "
            f"(lock: {self.place.name})"
        )

    def _state(self, now: datetime, fence: int, acquired: str, before: LockState | None) -> LockState:
        return LockState(
            environment=self.environment,
            fence=fence,
            token=self.token,
            holder=self.holder,
            acquired=acquired,
            expires=(now + self.lifetime).isoformat(timespec="seconds"),
            attempts=before.attempts if before else (),
        )


def attempts_of(shard: str, fence: int, attempts: Iterable[Attempt]) -> tuple[Attempt, ...]:
    """Return the attempts to run ``shard`` of the promotion with the fencing token ``fence``, in order."""
    return tuple(each for each in attempts if (each.fence, each.shard) == (fence, shard))


def _decoded(content: bytes, name: str) -> LockState | None:
    if not content:
        return None
    try:
        return msgspec.json.decode(content, type=LockState)
    except msgspec.MsgspecError as error:
        raise ConfigError(
            f"{name}: the lock is not readable: {error}. If no promotion is running, remove it; the fencing token then "
            "starts again at 1."
        ) from None


@contextmanager
def renewed(lock: Lock, lost: Callable[[], object]) -> Iterator[int]:
    """Acquire ``lock``, renew it in a thread, and yield its fencing token. Raises ``DeployLocked`` if it is held.

    If another process takes the lock, the thread calls ``lost``. A renewal that fails for another reason, such as an
    unreachable remote, is tried again. Callers also renew the lock before they write evidence.
    """
    fence = lock.acquire(datetime.now(UTC))
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(lock.lifetime.total_seconds() / 3):
            try:
                lock.renew(datetime.now(UTC))
            except DeployLocked:
                lost()
                return
            except GaiaError:
                continue

    thread = threading.Thread(target=renew, name="gaia-lock", daemon=True)
    thread.start()
    try:
        yield fence
    finally:
        ended.set()
        join(thread)
        # A lock that cannot be released expires.
        with suppress(GaiaError):
            lock.release()
