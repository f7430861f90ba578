"""Received NATS messages: decoded, in order, and awaited with a deadline."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pytest_gaia.clients.exchanges import decode
from pytest_gaia.clients.reasons import hide
from pytest_gaia.errors import DeadlineExceeded
from pytest_gaia.wording import counted

__tracebackhide__ = hide

_LISTED = 20
_WIDTH = 160


@dataclass(frozen=True, slots=True)
class Event:
    """One message. ``data`` is the decoded payload, see :func:`~pytest_gaia.clients.exchanges.decode`."""

    subject: str
    data: Any
    raw: bytes = field(repr=False)
    received: float = 0.0
    """seconds since the epoch"""


def matches(pattern: str, subject: str) -> bool:
    """Return whether a subject matches a pattern with the NATS wildcards ``*`` and ``>``.

    >>> matches("gaia.*.ready", "gaia.service.ready"), matches("gaia.>", "gaia")
    (True, False)
    """
    wanted, given = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted = wanted[:-1]
        if len(given) <= len(wanted):
            return False
        given = given[: len(wanted)]
    return len(wanted) == len(given) and all(token in ("*", name) for token, name in zip(wanted, given, strict=True))


class EventLog:
    """All messages of one ``subscribe``. :meth:`wait_for` returns each of them once."""

    def __init__(self, subjects: tuple[str, ...], show: Callable[[str], str]) -> None:
        self._subjects = subjects
        self._show = show
        self._seen: list[Event] = []
        self._taken: set[int] = set()
        self._news = asyncio.Event()
        self._breaks = 0

    @property
    def seen(self) -> tuple[Event, ...]:
        """All events so far, in the order of arrival."""
        return tuple(self._seen)

    def add(self, subject: str, payload: bytes) -> None:
        """Add one message."""
        self._seen.append(Event(subject, decode(payload), payload, time.time()))
        self._news.set()

    def broken(self) -> None:
        """Count a broken connection: events during the outage are lost."""
        self._breaks += 1

    async def wait_for(
        self, *, subject: str = ">", where: Callable[[Any], bool] | None = None, within: float = 5.0
    ) -> Event:
        """Return the first matching event that ``wait_for`` has not returned yet; wait for it if necessary.

        ``subject`` may contain wildcards. ``where`` gets the decoded data; a ``KeyError`` or a similar error in it means
        no match. ``within`` is in seconds. Raises ``DeadlineExceeded`` with a list of the events received.
        """
        start = len(self._seen)
        try:
            async with asyncio.timeout(within):
                return await self._first(subject, where)
        except TimeoutError:
            raise DeadlineExceeded(self._missed(subject, where, within, start)) from None

    async def expect_none(
        self, *, subject: str = ">", where: Callable[[Any], bool] | None = None, within: float = 0.5
    ) -> None:
        """Wait ``within`` seconds; raise ``AssertionError`` if a matching event arrives."""
        try:
            async with asyncio.timeout(within):
                event = await self._first(subject, where)
        except TimeoutError:
            return
        raise AssertionError(f"expected no event on {subject}, got one:\n  {self._line(event)}")

    async def _first(self, subject: str, where: Callable[[Any], bool] | None) -> Event:
        at = 0
        while True:
            while at < len(self._seen):
                event = self._seen[at]
                if at not in self._taken and matches(subject, event.subject) and _holds(where, event):
                    self._taken.add(at)
                    return event
                at += 1
            self._news.clear()
            await self._news.wait()

    def _missed(self, subject: str, where: Callable[[Any], bool] | None, within: float, start: int) -> str:
        condition = f" where {_name(where)}" if where else ""
        lines = [f"no event on {subject}{condition} within {within:g} s, subscribed to {', '.join(self._subjects)}."]
        if self._breaks:
            lines.append(f"The connection broke {counted(self._breaks, 'time')}; events during the outage are lost.")
        lines.append(
            f"Other events ({len(self._seen) - start} of them during the wait):" if self._seen else "No event arrived."
        )
        lines += [f"  {self._line(event)}{self._note(at)}" for at, event in enumerate(self._seen[-_LISTED:])]
        return "\n".join(lines)

    def _note(self, at: int) -> str:
        index = max(len(self._seen) - _LISTED, 0) + at
        return "   (already returned)" if index in self._taken else ""

    def _line(self, event: Event) -> str:
        data = event.data if isinstance(event.data, str) else json.dumps(event.data, default=repr)
        text = self._show(data)
        return f"{event.subject}  {text if len(text) <= _WIDTH else text[:_WIDTH] + '…'}"


def _holds(where: Callable[[Any], bool] | None, event: Event) -> bool:
    try:
        return where is None or bool(where(event.data))
    except (LookupError, TypeError, AttributeError, ValueError):
        # Data of other events may have other fields; a condition need not handle them.
        return False


def _name(where: Callable[[Any], bool]) -> str:
    return getattr(where, "__name__", repr(where)).replace("<lambda>", "the condition holds")
