"""From an exception to the way a test failed: its kind, and the evidence of the wire that it carries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gaia.errors import ServiceError, UnexpectedAnswer
from pytest_gaia.verdict.evidence import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MESSAGE_LIMIT = 2000
"""characters of a message that are kept"""


def failure_of(error: BaseException, redact: Callable[[str], str] = str) -> Failure:
    """Return the evidence that ``error`` is. ``redact`` masks what a message must not show."""
    exchange = error.exchange if isinstance(error, UnexpectedAnswer) else None
    return Failure(
        kind=_kind(error),
        exception=type(error).__name__,
        message=redact(str(error))[:MESSAGE_LIMIT],
        status=exchange.status if exchange else None,
        service=exchange.service if exchange else None,
        via=exchange.via if exchange else None,
        route=exchange.route if exchange else None,
        method=exchange.request.method if exchange else None,
        sqlstate=_sqlstate(error),
        nats=_nats(error),
    )


def _kind(error: BaseException) -> str:
    if isinstance(error, ServiceError):
        return error.kind
    if isinstance(error, AssertionError):
        return "assertion"
    if isinstance(error, TimeoutError):
        return "timeout"
    return "unreachable" if isinstance(error, ConnectionError) else "error"


def _sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's five-character code, which asyncpg's exceptions carry."""
    codes = (getattr(each, "sqlstate", None) for each in _chain(error))
    return next((code for code in codes if isinstance(code, str)), None)


def _nats(error: BaseException) -> str | None:
    """The class of the error that the NATS client raised, such as ``NoRespondersError``."""
    return next((type(each).__name__ for each in _chain(error) if type(each).__module__.startswith("nats.")), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
