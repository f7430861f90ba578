"""What went over the wire: one frozen record for each request, statement and message, for errors, judge and reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Request:
    """What was sent. Headers and body are masked before they are stored."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: str | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """What came back. ``body`` is text, cut at ``BODY_LIMIT`` characters."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what became of it: either ``response`` or ``error`` is set, never both."""

    service: str
    """the service that was asked: gateway, auth, asset or chat"""
    via: str
    """``direct``, or ``gateway`` where the service has no URL of its own"""
    route: str
    """the path template, such as ``/api/v0.2/personas/{persona_id}``"""
    request: Request
    response: Response | None
    error: str | None
    """what failed instead of an answer, such as ``unreachable: connection refused``"""
    started: float
    """seconds since the epoch"""
    elapsed: float
    """seconds until the answer was complete"""
    attempt: int = 1

    @property
    def status(self) -> int | None:
        """The status of the answer, or None where there was none."""
        return self.response.status if self.response else None


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement that was sent: its text as the check wrote it, with placeholders, masked; never its values."""

    text: str
    started: float
    """seconds since the epoch"""
    elapsed: float
    """seconds until the answer was complete"""
    error: str | None = None
    """class and SQLSTATE of what it failed with"""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the broker that the check sent or saw. ``body`` is masked text, cut at ``BODY_LIMIT``."""

    direction: Literal["sent", "received"]
    subject: str
    body: str
    time: float
    """seconds since the epoch"""
    error: str | None = None
    """class of what kept it from being sent"""


BODY_LIMIT = 64 * 1024
