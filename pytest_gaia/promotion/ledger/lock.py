"""One promotion of an environment at a time, wherever it runs: a lock with a lifetime and a fencing number.

A holder that dies leaves a lock that ends by itself. One that only slept, and wakes after somebody else took over,
still believes that it holds it: its fencing number is lower than the new holder's, and what it then writes into the
ledger counts for nothing.
"""

import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import msgspec

from pytest_gaia.errors import ConfigError, DeployLocked, GaiaError
from pytest_gaia.files.writing import make_folder
from pytest_gaia.promotion.ledger._git_reference import GitReference, Taken
from pytest_gaia.system.locks import held
from pytest_gaia.system.signals import join

LIFETIME = timedelta(minutes=10)
"""how long a lock holds without being renewed"""
_TRIES = 5


class LockState(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a lock, also after it was released: the fencing number never goes back."""

    environment: str
    fence: int
    token: str = ""
    """known to the holder alone; empty: nobody holds it"""
    holder: str = ""
    acquired: str = ""
    expires: str = ""

    def held(self, now: datetime) -> bool:
        """Whether somebody holds it at ``now``."""
        return bool(self.token) and now < datetime.fromisoformat(self.expires)


Change: TypeAlias = Callable[[LockState | None], LockState]
"""makes the new state from the one that is kept (None before the first time); may raise ``DeployLocked``"""


class FilePlace:
    """A file of this machine; an exclusive lock of the system on it makes each exchange one step."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = f"{path.parent.name}/{path.name}"

    def exchange(self, change: Change) -> LockState:
        """Read the state, let ``change`` make a new one, and keep that, all at once; return it.

        Raises ``ConfigError`` where the file cannot be written.
        """
        try:
            make_folder(self.path.parent)
            with held(self.path) as descriptor:
                content = os.pread(descriptor, 65536, 0)
                state = change(_decoded(content, self.name))
                new = msgspec.json.encode(state)
                os.pwrite(descriptor, new, 0)
                os.ftruncate(descriptor, len(new))
                os.fsync(descriptor)
                return state
        except OSError as error:
            raise ConfigError(f"{self.name}: the lock cannot be used: {error.strerror}. Nothing was changed.") from None


class GitPlace:
    """A file in a git reference, shared by all machines that push to its remote."""

    def __init__(self, reference: GitReference, environment: str) -> None:
        self.reference = reference
        self.file = f"{environment}.json"
        self.name = f"{reference.name}:{self.file}"

    def exchange(self, change: Change) -> LockState:
        """As for a file; of two machines at once, one is :class:`Taken`."""
        tip = self.reference.fetch()
        state = change(_decoded(self.reference.files(tip).get(self.file, b""), self.name))
        self.reference.put(tip, {self.file: msgspec.json.encode(state)}, f"lock {state.environment} {state.fence}")
        return state


Place: TypeAlias = FilePlace | GitPlace
"""where the state of one lock is kept"""


class Lock:
    """A lock of one environment, as one holder uses it."""

    def __init__(self, place: Place, environment: str, holder: str, lifetime: timedelta = LIFETIME) -> None:
        self.place = place
        self.environment = environment
        self.holder = holder
        self.lifetime = lifetime
        self.token = secrets.token_hex(16)
        self.fence = 0

    def acquire(self, now: datetime) -> int:
        """Take the lock; return its fencing number. Raises ``DeployLocked`` (13), naming the holder and its end."""

        def take(state: LockState | None) -> LockState:
            if state is not None and state.held(now) and state.token != self.token:
                raise DeployLocked(
                    f"{self.environment} is held by {state.holder} since {state.acquired}, until {state.expires} unless "
                    "it is renewed. Two promotions at once would leave a mixture of both, so nothing was done. Wait "
                    f"until it has ended, then try again. (lock: {self.place.name})"
                )
            return self._state(now, (state.fence if state else 0) + 1, now.isoformat(timespec="seconds"))

        self.fence = self._exchanged(take).fence
        return self.fence

    def renew(self, now: datetime) -> None:
        """Hold it for another lifetime. Raises ``DeployLocked`` if somebody else has taken over."""

        def prolong(state: LockState | None) -> LockState:
            if state is None or state.token != self.token:
                raise DeployLocked(
                    f"{self.environment}: the lock was lost to {(state and state.holder) or 'nobody'}: this promotion "
                    "did not renew it in time. What it has not finished is not done; observe before you go on."
                )
            return self._state(now, state.fence, state.acquired)

        self._exchanged(prolong)

    def release(self) -> None:
        """Give it back, if it is still held by this holder."""

        def free(state: LockState | None) -> LockState:
            if state is None or state.token != self.token:
                return state or LockState(environment=self.environment, fence=self.fence)
            return LockState(environment=self.environment, fence=state.fence)

        self._exchanged(free)

    def _exchanged(self, change: Change) -> LockState:
        for _ in range(_TRIES):
            try:
                return self.place.exchange(change)
            except Taken:
                continue
        raise DeployLocked(f"{self.environment}: {_TRIES} others changed the lock first. (lock: {self.place.name})")

    def _state(self, now: datetime, fence: int, acquired: str) -> LockState:
        return LockState(
            environment=self.environment,
            fence=fence,
            token=self.token,
            holder=self.holder,
            acquired=acquired,
            expires=(now + self.lifetime).isoformat(timespec="seconds"),
        )


def _decoded(content: bytes, name: str) -> LockState | None:
    if not content:
        return None
    try:
        return msgspec.json.decode(content, type=LockState)
    except msgspec.MsgspecError as error:
        raise ConfigError(
            f"{name}: the lock cannot be read: {error}. If nobody is promoting, remove it; the fencing number begins anew."
        ) from None


@contextmanager
def renewed(lock: Lock, lost: Callable[[], object]) -> Iterator[int]:
    """Take ``lock`` and keep it; give its fencing number. ``lost`` is called, in another thread, if it is taken over.

    A renewal that fails for another reason (a remote out of reach) is tried again until the lock ends by itself; who
    writes evidence renews it once more before, and learns then. Raises ``DeployLocked`` where somebody else holds it.
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
        # What cannot be given back ends by itself.
        with suppress(GaiaError):
            lock.release()
