"""What is kept of each SQL statement: its text with placeholders, how long it took, how it failed. Never its values."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from pytest_gaia.clients.exchanges import BODY_LIMIT, Statement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_gaia.clients.redaction import Redactor


def unrecorded(_: object) -> None:
    """Keep nothing."""


class StatementLog:
    """Tells ``keep`` of each statement once it is done."""

    def __init__(self, keep: Callable[[Statement], None], redactor: Redactor) -> None:
        self._keep = keep
        self._redactor = redactor

    @contextlib.contextmanager
    def sending(self, statement: str) -> Iterator[None]:
        """Wrap the sending of one statement and the wait for its answer."""
        started, begun = time.time(), time.perf_counter()
        error: str | None = None
        try:
            yield
        except BaseException as failure:
            error = _named(failure)
            raise
        finally:
            text = self._redactor.shown(statement)[:BODY_LIMIT]
            self._keep(Statement(text, started, time.perf_counter() - begun, error))


def _named(failure: BaseException) -> str:
    """Return class and SQLSTATE. What the server says beside them can hold the values."""
    state = getattr(failure, "sqlstate", None)
    return f"{type(failure).__name__} ({state})" if state else type(failure).__name__
