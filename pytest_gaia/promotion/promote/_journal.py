"""How far a promotion has come, on this machine: what ``gaia promote --resume`` goes on from.

It is in ``.gaia/promotions/<environment>.jsonl``, and proves nothing: the ledger does.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from pytest_gaia.errors import ConfigError, DeployLocked
from pytest_gaia.files.writing import make_ignored_folder
from pytest_gaia.system.journal import add_line, read_lines
from pytest_gaia.system.locks import try_hold

FOLDER = ".gaia/promotions"

StepName: TypeAlias = Literal["begin", "lock", "seal", "run", "evidence", "gate", "end"]


class Mark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line: a step was done."""

    step: StepName
    run: str
    """id of the promotion"""
    when: str
    """ISO 8601, UTC"""
    release: str
    token: str = ""
    """``begin``: of the lock, so that going on here may take over what this promotion itself still holds"""
    fence: int = 0
    """``lock``: the fencing number"""
    files: dict[str, str] = {}
    """``seal``, ``run``: file → SHA-256 of what the step has left"""
    record: str = ""
    """``run``: SHA-256 of the record, as pytest has reported it when it was done; empty where it has not"""
    exit_code: int | None = None
    """``run``: pytest's; ``end``: of the promotion"""
    changed: tuple[str, ...] = ()
    """``run``: what of suites, settings, rules and keys is another at its end than before the plan was sealed"""
    problem: str = ""
    """``run``: what else is known of it: that something was deployed; where nothing is, that something else ran before"""


class Journal:
    """The journal of one environment. Raises ``ConfigError`` where it cannot be read or written."""

    def __init__(self, rootdir: Path, environment: str) -> None:
        self.folder = rootdir / FOLDER
        self.environment = environment
        self.path = self.folder / f"{environment}.jsonl"

    def add(self, mark: Mark) -> None:
        """Add one line, and wait until it is on the disk."""
        try:
            # Readable by its owner alone: it holds the lock's token.
            make_ignored_folder(self.folder)
            add_line(self.path, mark)
        except OSError as error:
            raise self._error(error) from None

    def marks(self) -> tuple[Mark, ...]:
        """Return all lines that can be read, the oldest first."""
        try:
            return read_lines(self.path, Mark)
        except OSError as error:
            raise self._error(error) from None

    def unfinished(self) -> tuple[Mark, ...]:
        """Return the lines of the last promotion, if it never came to its end."""
        marks = self.marks()
        last = [mark for mark in marks if mark.run == marks[-1].run] if marks else []
        return () if any(mark.step == "end" for mark in last) else tuple(last)

    @contextmanager
    def alone(self) -> Iterator[int]:
        """Keep others on this machine away, as long as this process or one that inherits the descriptor lives.

        The system frees it with the last of them, however they end: what ``kill -9`` has left behind is free again,
        but for a pytest that it has left running. Raises ``DeployLocked``.
        """
        try:
            make_ignored_folder(self.folder)
            descriptor = try_hold(self.folder / f"{self.environment}.busy")
        except OSError as error:
            raise self._error(error) from None
        if descriptor is None:
            raise DeployLocked(
                f"{self.environment}: another promotion is in progress on this machine, or pytest of a killed one "
                "still runs. Nothing was done. Wait until it ends."
            )
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _error(self, error: OSError) -> ConfigError:
        return ConfigError(
            f"{FOLDER}: the journal cannot be used: {error.strerror}. A promotion that cannot say how far it has come "
            "does not begin."
        )
