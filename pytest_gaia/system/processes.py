"""Start processes without the signing key, and wait for them without blocking signals.

Git runs without prompts, without side effects of reading, and without replaced objects.

Locks between processes are files. The system releases them when a process ends, in any way. The file of a lock is never
removed, because two processes could then hold two files of the same name.
"""

import fcntl
import hashlib
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import AnyStr

from pytest_gaia.errors import ConfigError
from pytest_gaia.system.signals import ROUND, rounds

KEY_VARIABLE, KEY_FILE_VARIABLE = "GAIA_SIGNING_KEY", "GAIA_SIGNING_KEY_FILE"

_PAUSE = 0.05
"""seconds between two attempts, because a blocking call misses signals that another thread gets"""
_PR_SET_DUMPABLE = 4
_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


def without_signing_key(environ: Mapping[str, str]) -> dict[str, str]:
    """Return ``environ`` without the variables of the signing key."""
    return {name: value for name, value in environ.items() if name not in (KEY_VARIABLE, KEY_FILE_VARIABLE)}


def hide_memory() -> None:
    """Make the memory and the variables of this process unreadable for other processes of the user, on Linux.

    Programs that it starts are not affected.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def completed(
    command: Sequence[str],
    *,
    given: bytes = b"",
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    seconds: float = math.inf,
) -> subprocess.CompletedProcess[bytes]:
    """Run ``command`` to its end, without a shell, and return its result.

    Its standard input is ``given``; its variables are ``environ``, or else those of this process without the signing key. It
    is killed after an exception here, and after ``seconds`` (``subprocess.TimeoutExpired``). Raises ``FileNotFoundError`` if
    the program does not exist.
    """
    env = without_signing_key(os.environ) if environ is None else dict(environ)
    # A file, not a pipe, because ``communicate`` cannot resume writing to a pipe.
    with tempfile.TemporaryFile() as source:
        source.write(given)
        source.seek(0)
        pipe = subprocess.PIPE
        # S603: callers build the command.
        with subprocess.Popen(command, stdin=source, stdout=pipe, stderr=pipe, env=env, cwd=cwd) as process:  # noqa: S603
            try:
                output, errors = _communicated(process, seconds)
            except BaseException:
                process.kill()
                raise
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def exit_code_of(process: subprocess.Popen[AnyStr]) -> int:
    """Wait until ``process`` has ended."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(ROUND)


def output_of(process: subprocess.Popen[AnyStr]) -> AnyStr:
    """Wait until ``process`` has ended, and return its output."""
    return _communicated(process, math.inf)[0]


def _communicated(process: subprocess.Popen[AnyStr], seconds: float) -> tuple[AnyStr, AnyStr]:
    for each in rounds(seconds):
        # Output that was read before a timeout is not lost.
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=each)
    raise subprocess.TimeoutExpired(process.args, seconds)


_ENVIRON = {
    "LC_ALL": "C",
    # A prompt would block a CI job.
    "GIT_TERMINAL_PROMPT": "0",
    # Otherwise git status refreshes the index, and blocks other git processes.
    "GIT_OPTIONAL_LOCKS": "0",
    # Ignore replaced objects (git replace) of this clone.
    "GIT_NO_REPLACE_OBJECTS": "1",
}

_SAME = (
    *("--binary", "--full-index", "--no-renames", "--no-color", "--no-ext-diff", "--no-textconv", "--submodule=short"),
    *("--diff-algorithm=myers", "--unified=3", "--src-prefix=a/", "--dst-prefix=b/"),
)
"""options of ``git diff`` for which the settings of a user hardly matter"""

_SETTINGS = ("conftest.py", "gaia.toml", "pyproject.toml", "pytest.toml", "pytest.ini", "tox.ini", "setup.cfg")
"""files in the folder of a project that pytest reads"""
_CODE = (b".py", b".toml", b".ini", b".cfg")

DIRTY = "-dirty"
"""suffix of a commit that files differ from, as in ``git describe``"""


def git(
    folder: Path,
    *arguments: str,
    given: bytes = b"",
    environ: Mapping[str, str] | None = None,
    seconds: float = math.inf,
) -> subprocess.CompletedProcess[bytes]:
    """Run git in the repository around ``folder``, and return its result. ``environ`` is added to its variables.

    It does not get the signing key, because hooks, filters and helpers of a clone may be untrusted. Raises
    ``FileNotFoundError`` if git is not installed, and ``subprocess.TimeoutExpired``.
    """
    variables = without_signing_key(os.environ) | _ENVIRON | dict(environ or {})
    return completed(["git", "-C", str(folder), *arguments], given=given, environ=variables, seconds=seconds)


def commit_of(rootdir: Path, folders: Iterable[Path] = ()) -> str:
    """Return the commit of the project; empty without git.

    If tracked files differ from it, or there are new files of code and settings in ``folders``, it ends with ``-dirty-`` and a digest of the differences, so that two working trees with
    different changes are not taken for the same. Raises ``ConfigError`` if there is a repository that git does not read, such as
    that of another user: without commits, two working trees cannot be distinguished.
    """
    try:
        found = git(rootdir, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        changes = git(rootdir, "diff", *_SAME, "HEAD")
        inside = [str(each) for each in folders if each.is_relative_to(rootdir)]
        new = git(rootdir, "ls-files", "--others", "--exclude-standard", "-z", "--", *inside, *_SETTINGS)
    except FileNotFoundError:
        return ""
    for each in (found, changes, new):
        if each.returncode and (b"dubious ownership" in each.stderr or found.stdout):
            raise ConfigError(
                f"the commit of the project is unknown: {said(each, 0)}. If the repository belongs to another user, run "
                f"git config --global --add safe.directory {rootdir}"
            )
    commit = found.stdout.decode().strip()
    digest = hashlib.sha256(changes.stdout)
    names = sorted(name for name in new.stdout.split(b"\0") if name.endswith(_CODE))
    for name in names:
        digest.update(b"\0%b\0%b" % (name, (rootdir / os.fsdecode(name)).read_bytes()))
    return f"{commit}{DIRTY}-{digest.hexdigest()[:12]}" if commit and (changes.stdout or names) else commit


def said(found: subprocess.CompletedProcess[bytes], line: int = -1) -> str:
    """Return one line of the error output of git: the last one, or the one at index ``line``."""
    lines = found.stderr.decode(errors="replace").strip().splitlines()
    return lines[line].removeprefix("fatal: ").rstrip(".") if lines else f"it ended with {found.returncode}"


def hold(path: Path) -> int:
    """Wait for the lock. It is held until the returned descriptor is closed in all processes that have it.

    Raises ``OSError`` if the file cannot be created or locked.
    """
    while (descriptor := try_hold(path)) is None:
        time.sleep(_PAUSE)
    return descriptor


def try_hold(path: Path) -> int | None:
    """Return a descriptor as ``hold`` does, or None if another process holds the lock."""
    descriptor = os.open(path, _FLAGS | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def held(path: Path) -> Iterator[int]:
    """Wait for the lock, and hold it during the block."""
    descriptor = hold(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether a process holds the lock. Does not create the file."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
