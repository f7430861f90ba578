"""What is kept of each message of the broker: where it went or came from, and its body as masked text."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Literal

from pytest_gaia.clients.exchanges import BODY_LIMIT, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_gaia.clients.redaction import Redactor


class MessageLog:
    """Tells ``keep`` of each message."""

    def __init__(self, keep: Callable[[Message], None], redactor: Redactor) -> None:
        self._keep = keep
        self._redactor = redactor

    @contextlib.contextmanager
    def sending(self, subject: str, payload: bytes) -> Iterator[None]:
        """Wrap the sending of one message."""
        started = time.time()
        try:
            yield
        except BaseException as failure:
            self._keep(self._message("sent", subject, payload, started, type(failure).__name__))
            raise
        self._keep(self._message("sent", subject, payload, started))

    def received(self, subject: str, payload: bytes) -> None:
        """Note a message that came."""
        self._keep(self._message("received", subject, payload, time.time()))

    def _message(
        self,
        direction: Literal["sent", "received"],
        subject: str,
        payload: bytes,
        when: float,
        error: str | None = None,
    ) -> Message:
        text = self._redactor.shown(payload.decode("utf-8", "replace"))
        return Message(direction, self._redactor.shown(subject), text[:BODY_LIMIT], when, error)
