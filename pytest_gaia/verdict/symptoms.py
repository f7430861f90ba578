"""From an exception to the way a test failed: its kind, and the evidence of the wire that it carries."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from pytest_gaia.errors import ServiceError, UnexpectedAnswer
from pytest_gaia.verdict.evidence import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MESSAGE_LIMIT = 2000
"""characters of a message that are kept"""


# pytest-timeout raises what `pytest.fail` raises: only its text tells them apart.
_TIMED_OUT = re.compile(r"Timeout \(?>\d+(\.\d+)?s\)?( from pytest-timeout)?\.?")


def failure_of(error: BaseException, redact: Callable[[str], str] = str) -> Failure:
    """Return the evidence that ``error`` is. ``redact`` masks what a message must not show.

    Of a group of exceptions it holds what is the same for all of them, so that a rule that fits it fits each of them.
    """
    if not isinstance(error, BaseExceptionGroup):
        return _failure_of(error, redact)
    first, *others = [_failure_of(each, redact) for each in _leaves(error)]
    same = {
        name: value
        for name, value in msgspec.structs.asdict(first).items()
        if all(getattr(each, name) == value for each in others)
    }
    unlike = {"kind": "error", "exception": type(error).__name__, "message": redact(str(error))[:MESSAGE_LIMIT]}
    return Failure(**{**unlike, **same})


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """Yield the exceptions of a group that are no groups, in their order, whatever the depth."""
    waiting: list[BaseException] = [group]
    while waiting:
        error = waiting.pop()
        if isinstance(error, BaseExceptionGroup):
            waiting.extend(reversed(error.exceptions))
        else:
            yield error


def _failure_of(error: BaseException, redact: Callable[[str], str]) -> Failure:
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
    if isinstance(error, TimeoutError) or (type(error).__name__ == "Failed" and _TIMED_OUT.fullmatch(str(error))):
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
