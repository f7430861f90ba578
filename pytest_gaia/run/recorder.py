"""What the running test has exchanged with the platform."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_gaia.clients.exchanges import Exchange, Message, Statement

_REMEMBERED = 200
"""statements and messages of one test that are kept: the latest; a listener on everything can see very many"""


@dataclass(slots=True)
class Recorder:
    """Collects the exchanges of one test; calling it records one more."""

    exchanges: list[Exchange] = field(default_factory=list)
    _statements: deque[Statement] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    _messages: deque[Message] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def __call__(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)

    def add_statement(self, statement: Statement) -> None:
        """Record one more SQL statement."""
        self._statements.append(statement)

    def add_message(self, message: Message) -> None:
        """Record one more message of the broker, sent or received."""
        self._messages.append(message)

    def clear(self) -> None:
        """Forget everything: the next test begins."""
        if self.exchanges:
            # A new list, because whoever asked for the old one may still be reading it.
            self.exchanges = []
        if self._statements or self._messages:
            self._statements.clear()
            self._messages.clear()

    @property
    def statements(self) -> tuple[Statement, ...]:
        """The latest SQL statements, with placeholders and without values."""
        return tuple(self._statements)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The latest messages that the test sent or saw."""
        return tuple(self._messages)

    @property
    def last(self) -> Exchange | None:
        """The latest exchange, if there was one."""
        return self.exchanges[-1] if self.exchanges else None
