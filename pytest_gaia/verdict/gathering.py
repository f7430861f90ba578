"""How evidence comes about: an exception becomes a failure, and what workers report one record a test."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pytest_gaia.errors import ServiceError, UnexpectedResponse
from pytest_gaia.verdict.evidence import Failure, Phase, State, TestRecord

MESSAGE_LIMIT = 2000
"""characters of a message that are kept"""


# pytest-timeout raises what `pytest.fail` raises: only its text tells them apart.
_TIMED_OUT = re.compile(r"Timeout \(?>\d+(\.\d+)?s\)?( from pytest-timeout)?\.?")
_ENDED = "the run ended before the test did"


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
    exchange = error.exchange if isinstance(error, UnexpectedResponse) else None
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


@dataclass(slots=True)
class Assembly:
    """Hands the record of every test to ``sink`` as soon as it is known, and at the end those of the missing ones."""

    sink: Callable[[TestRecord], None]
    planned: dict[str, None] = field(default_factory=dict)
    """node ids of the selected tests, in order"""
    _known: set[str] = field(default_factory=set)
    _ended: list[str] = field(default_factory=list)
    """those that have become known since somebody asked"""
    _failed: dict[str, TestRecord] = field(default_factory=dict)
    """worker → its latest test, if that did not pass: another attempt at it may follow"""

    def plan(self, nodes: Iterable[str]) -> None:
        """Add selected tests; workers select the same ones, so the same node may come twice."""
        self.planned.update(dict.fromkeys(nodes))

    def complete(self, record: TestRecord, *, passed: bool) -> None:
        """Hand on a test that ran to its end; one that has not ``passed`` waits for another attempt, which counts it."""
        before = self._failed.pop(record.worker, None)
        if before is not None and (before.node != record.node or before.attempt >= record.attempt):
            self._hand_on(before)
        if passed:
            self._hand_on(record)
        else:
            self._failed[record.worker] = record

    def settle(self) -> None:
        """Another test begins, or none: no attempt follows at the latest one of any worker."""
        while self._failed:
            self._hand_on(self._failed.pop(next(iter(self._failed))))

    def begun_elsewhere(self, node: str, worker: str) -> None:
        """Do as :meth:`settle` for ``worker``, which runs ``node`` now, unless that is another attempt."""
        before = self._failed.get(worker)
        if before is not None and before.node != node:
            self._hand_on(self._failed.pop(worker))

    def complete_elsewhere(self, plain: Mapping[str, Any], worker: str) -> None:
        """Do as :meth:`complete` with a test that ran on ``worker``, which has sent its record as plain values."""
        record = msgspec.convert({**plain, "worker": worker}, TestRecord)
        self.complete(record, passed=all(phase.outcome == "passed" for phase in record.phases))

    def without_end(self, node: str, state: State, message: str = "", worker: str = "main") -> None:
        """Hand on a test that did not run to its end: deselected, or never begun. A node that is known is left out."""
        if not self._knows(node):
            self._hand_on(TestRecord(node, state, message=message, worker=worker))

    def crashed(self, node: str, message: str, worker: str) -> None:
        """Hand on the test during which a worker ended, even if the same test has come to its end elsewhere."""
        if (before := self._failed.pop(worker, None)) is not None:
            self._hand_on(before)
        self._hand_on(TestRecord(node, "crashed", message=message, worker=worker))

    def not_collected(self, node: str, message: str, *, skipped: bool) -> None:
        """Hand on a file that could not be collected, or that skipped itself as a whole. Every worker finds it so."""
        if not self._knows(node):
            left_out = (Phase("collect", "skipped", reason=message),) if skipped else ()
            self._hand_on(TestRecord(node, "not collected", left_out, message=message))

    def finish(self) -> None:
        """Hand on what was selected and is not known to have ended."""
        self.settle()
        self._learn()
        for node in [node for node in self.planned if node not in self._known]:
            self.without_end(node, "never ran", _ENDED)

    def _hand_on(self, record: TestRecord) -> None:
        self._ended.append(record.node)
        self.sink(record)

    def _knows(self, node: str) -> bool:
        self._learn()
        return node in self._known

    def _learn(self) -> None:
        # A list grows at no cost while tests run; a set is made of it when somebody asks.
        self._known.update(self._ended)
        self._ended.clear()
