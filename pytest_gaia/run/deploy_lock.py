"""One roll-out of an environment at a time on this machine: an exclusive file that the system frees by itself."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pytest_gaia.errors import ConfigError, DeployLocked
from pytest_gaia.outputs import make_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_READ_AT_MOST = 4096


@contextmanager
def only_one(path: Path, environment: str, holder: Mapping[str, str]) -> Iterator[None]:
    """Hold the lock at ``path``; ``holder`` is what others are told of the one who has it.

    The system frees it however this process ends, so that nothing has to be cleared away after a crash. Raises
    ``DeployLocked`` where somebody has it, ``ConfigError`` where the file cannot be made.
    """
    try:
        make_folder(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as problem:
        raise ConfigError(_unusable(path, problem)) from None
    try:
        _take(descriptor, path, environment)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(dict(holder)).encode(), 0)
        try:
            yield
        finally:
            # The file stays: removing it would let two others hold two files of the same name.
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, environment: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _described(os.pread(descriptor, _READ_AT_MOST, 0))
        raise DeployLocked(
            f"{environment} is being deployed to right now{holder}. Two roll-outs at once would leave a mixture of "
            f"both, so nothing was done. Wait until it has ended, then try again. (lock: {path})"
        ) from None
    except OSError as problem:
        raise ConfigError(_unusable(path, problem)) from None


def _described(content: bytes) -> str:
    try:
        holder = json.loads(content)
    except ValueError:
        # Between taking the lock and writing who took it.
        return ""
    return ": " + ", ".join(f"{key} {value}" for key, value in holder.items())


def _unusable(path: Path, problem: OSError) -> str:
    reason = "it is a folder" if problem.errno == errno.EISDIR else problem.strerror
    return (
        f"the lock {path} cannot be used: {reason}. A roll-out keeps its lock and its journal beside gaia.toml; make "
        "that folder writable. Nothing was changed."
    )
