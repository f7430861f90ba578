"""Collect results: convert exceptions to failures, and assemble one record per test."""

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from signal import SIGINT
from typing import Any

import msgspec

from pytest_gaia.errors import DirectConnectionRefused, ServiceError, UnexpectedResponse
from pytest_gaia.system.signals import held_back
from pytest_gaia.verdict.evidence import Failure, Phase, State, TestRecord

MESSAGE_LIMIT = 2000
"""longest message that is kept"""


# pytest-timeout raises the same exception as `pytest.fail`; only the text differs.
_TIMED_OUT = re.compile(r"Timeout \(?>\d+(\.\d+)?s\)?( from pytest-timeout)?\.?")
_CLIENTS = ("nats.", "redis.")
"""modules of the clients of message brokers and caches"""
_ENDED = "the run ended before the test completed"


def failure_of(error: BaseException, redact: Callable[[str], str] = str) -> Failure:
    """Return the failure for ``error``. ``redact`` masks secrets in messages.

    For a group of exceptions, the failure contains the values that all exceptions share.
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
    """Yield the exceptions of a group at any depth, in order."""
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
        reason=_client_error(error),
    )


def _kind(error: BaseException) -> str:
    if isinstance(error, (ServiceError, DirectConnectionRefused)):
        return error.kind
    if isinstance(error, AssertionError):
        return "assertion"
    if isinstance(error, TimeoutError) or (type(error).__name__ == "Failed" and _TIMED_OUT.fullmatch(str(error))):
        return "timeout"
    return "unreachable" if isinstance(error, ConnectionError) else "error"


def _sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE of asyncpg's exception."""
    codes = (getattr(each, "sqlstate", None) for each in _chain(error))
    return next((code for code in codes if isinstance(code, str)), None)


def _client_error(error: BaseException) -> str | None:
    """Return the class of the exception of a client of NATS or Redis, such as ``NoRespondersError``."""
    found = (type(each) for each in _chain(error))
    return next((each.__name__ for each in found if each.__module__.startswith(_CLIENTS)), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@dataclass(slots=True)
class Assembly:
    """Adds the record of each test to ``records`` when it is complete, and records missing tests at the end.

    Ctrl-C can come at any time, and must neither lose a record nor repeat it.
    """

    records: list[TestRecord]
    added: Callable[[], object]
    """called after each record; may end early, because of Ctrl-C"""
    planned: dict[str, None] = field(default_factory=dict)
    """node IDs of the selected tests, in order"""
    _known: set[str] = field(default_factory=set)
    """tests of the first ``_learned`` records"""
    _learned: int = 0
    _failed: dict[str, TestRecord] = field(default_factory=dict)
    """latest test of each worker, if it did not pass; another attempt may follow"""
    _not_started: str = _ENDED
    """why selected tests have no result"""
    _not_ended: str = _ENDED
    _running: Container[str] = ()

    def plan(self, nodes: Iterable[str]) -> None:
        """Add selected tests. Workers select the same tests, so a node may be added twice."""
        self.planned.update(dict.fromkeys(nodes))

    def complete(self, record: TestRecord, *, passed: bool) -> None:
        """Record a completed test. One that has not ``passed`` waits for another attempt."""
        if passed and not self._failed:
            # Nearly every test passes, so this path must be cheap.
            self._hand_on(record)
            return
        with held_back(SIGINT):
            before = self._failed.pop(record.worker, None)
            if before is not None and (before.node != record.node or before.attempt >= record.attempt):
                self._hand_on(before)
            if passed:
                self._hand_on(record)
            else:
                self._failed[record.worker] = record

    def settle(self) -> None:
        """Record waiting tests: no worker repeats its latest test."""
        if self._failed:
            with held_back(SIGINT):
                while self._failed:
                    self._hand_on(self._failed.pop(next(iter(self._failed))))

    def begun_elsewhere(self, node: str, worker: str) -> None:
        """Record the waiting test of ``worker``, unless ``node``, which it runs now, is another attempt."""
        before = self._failed.get(worker)
        if before is not None and before.node != node:
            with held_back(SIGINT):
                self._hand_on(self._failed.pop(worker))

    def complete_elsewhere(self, plain: Mapping[str, Any], worker: str) -> None:
        """Record a test that ran on ``worker``, from plain values."""
        record = msgspec.convert({**plain, "worker": worker}, TestRecord)
        self.complete(record, passed=all(phase.outcome == "passed" for phase in record.phases))

    def without_end(self, node: str, state: State, message: str = "", worker: str = "main") -> None:
        """Record a test that was deselected or never started, unless it is already recorded."""
        if not self._knows(node):
            self._hand_on(TestRecord(node, state, message=message, worker=worker))

    def crashed(self, node: str, message: str, worker: str) -> None:
        """Record the test during which a worker ended, even if another worker completed the same test."""
        with held_back(SIGINT):
            if (before := self._failed.pop(worker, None)) is not None:
                self._hand_on(before)
            self._hand_on(TestRecord(node, "crashed", message=message, worker=worker))

    def not_collected(self, node: str, message: str, *, skipped: bool) -> None:
        """Record a file that cannot be collected or skips itself, once for all workers."""
        if not self._knows(node):
            left_out = (Phase("collect", "skipped", reason=message),) if skipped else ()
            self._hand_on(TestRecord(node, "not collected", left_out, message=message))

    def end_early(self, not_started: str, not_ended: str, running: Container[str]) -> None:
        """Give the reason why tests have no result: those that did not start, and those that are ``running``."""
        self._not_started, self._not_ended, self._running = not_started, not_ended, running

    def finish(self) -> None:
        """Record the selected tests without a result."""
        self.settle()
        self._learn()
        for node in [node for node in self.planned if node not in self._known]:
            self.without_end(node, "never ran", self._not_ended if node in self._running else self._not_started)

    def _hand_on(self, record: TestRecord) -> None:
        # A signal handler runs before or after this call, never within it.
        self.records.append(record)
        self.added()

    def _knows(self, node: str) -> bool:
        self._learn()
        return node in self._known

    def _learn(self) -> None:
        # Appending to a list is fast while tests run; the set is built on demand.
        self._known.update(record.node for record in self.records[self._learned :])
        self._learned = len(self.records)
