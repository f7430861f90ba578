"""The progress of a promotion, for ``gaia promote --resume`` and for the next part of a split promotion.

It is stored in ``.gaia/promotions/<environment>.jsonl``. It is no evidence; only the ledger is.
"""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from pytest_gaia.errors import ConfigError, DeployLocked
from pytest_gaia.files.writing import add_line, make_ignored_folder, read_lines
from pytest_gaia.promotion.ledger.statements import DeploymentPredicate, ShardSeen
from pytest_gaia.system.processes import try_hold
from pytest_gaia.verdict.evidence import Shard

FOLDER = ".gaia/promotions"

StepName: TypeAlias = Literal["begin", "lock", "seal", "deploy", "run", "evidence", "gate", "end"]


class Mark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the journal: a completed step."""

    step: StepName
    run: str
    """ID of the promotion"""
    when: str
    """ISO 8601, UTC"""
    release: str
    token: str = ""
    """``begin``: token of the lock, with which a resumed promotion takes over its own lock"""
    fence: int = 0
    """``lock``, ``deploy``: the fencing token"""
    files: dict[str, str] = {}
    """``seal``, ``run``: file → SHA-256 of the files of the step"""
    record: str = ""
    """``run``: SHA-256 of the results log, as pytest reported it at its end; empty if it did not"""
    exit_code: int | None = None
    """``run``: exit code of pytest; ``end``: exit code of the promotion"""
    changed: tuple[str, ...] = ()
    """``run``: suites, settings, expectations and keys that changed since the plan was written"""
    problem: str = ""
    """``run``, ``deploy``: a deployment has begun; or, without deployments, another release ran before"""
    shards: int = 0
    """``seal``: the number of shards; 0 if the run is not split"""
    strays: str = ""
    """``seal`` of a split run: SHA-256 of the differences between the files and the commit of the release"""
    promotion: str = ""
    """``seal`` of a split run: ID of the promotion, also in copies of this line"""
    deployment: DeploymentPredicate | None = None
    """``deploy``: what was deployed; None without deployments"""
    refused: str = ""
    """``run``, merged from shards: why they prove nothing"""
    seen: tuple[ShardSeen, ...] = ()
    """``run``: its shards"""


class Journal:
    """The journal of one environment. Raises ``ConfigError`` if it cannot be read or written."""

    def __init__(self, rootdir: Path, environment: str) -> None:
        self.folder = rootdir / FOLDER
        self.environment = environment
        self.path = self.folder / f"{environment}.jsonl"

    def add(self, mark: Mark) -> None:
        """Add one line, and wait until it is on disk."""
        try:
            # Readable only by its owner, because it contains the token of the lock.
            make_ignored_folder(self.folder)
            add_line(self.path, mark)
        except OSError as error:
            raise self._error(error) from None

    def marks(self) -> tuple[Mark, ...]:
        """Return all readable lines, oldest first."""
        try:
            return read_lines(self.path, Mark)
        except OSError as error:
            raise self._error(error) from None

    def unfinished(self) -> tuple[Mark, ...]:
        """Return the lines of the last promotion, if it did not end."""
        marks = self.marks()
        last = [mark for mark in marks if mark.run == marks[-1].run] if marks else []
        return () if any(mark.step == "end" for mark in last) else tuple(last)

    @contextmanager
    def alone(self, shard: Shard | None = None) -> Iterator[int]:
        """Lock out other promotions on this machine while this process, or one that inherits the descriptor, runs.

        A ``shard`` locks out only itself. The operating system releases the lock when the last of them ends, also after ``kill -9``.
        Raises ``DeployLocked`` with the process that has the lock.
        """
        path = self.folder / f"{self.environment}{f'.shard-{shard.index}' if shard else ''}.busy"
        try:
            make_ignored_folder(self.folder)
            descriptor = try_hold(path)
            if descriptor is None:
                what = f"{self.environment}: {f'shard {shard}' if shard else 'another promotion'}"
                raise DeployLocked(f"{what} {_busy([int(each) for each in path.read_text().split()])}")
            os.ftruncate(descriptor, 0)
        except OSError as error:
            raise self._error(error) from None
        try:
            note_holder(descriptor, os.getpid())
            yield descriptor
        finally:
            os.close(descriptor)

    def _error(self, error: OSError) -> ConfigError:
        return ConfigError(
            f"{FOLDER}: the journal of promotions cannot be used: {error.strerror}. Nothing was done. Fix the permissions "
            "or free disk space."
        )


def note_holder(descriptor: int, process: int) -> None:
    """Write the ID of a process that keeps ``descriptor`` to the file of the lock, for the message to others."""
    # The lock holds without it.
    with suppress(OSError):
        os.write(descriptor, b"%d\n" % process)


def _busy(holders: Sequence[int]) -> str:
    """Return who has the lock, and what to do: this project's process, or one that it started and left behind."""
    first = f" (process {holders[0]})" if holders else ""
    if not holders or _runs(holders[0]):
        return f"is in progress on this machine{first}. Nothing was done. Wait until it ends."
    left = holders[-1]
    return (
        f"was killed{first}, but pytest still runs (process {left}). Nothing was done. Wait until it ends, or end it with "
        f"`kill {left}`. Then try again."
    )


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:
        return error.errno != errno.ESRCH
    return True
