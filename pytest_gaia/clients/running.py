"""The running tests: what each of them sent and received, and whether it may write.

Code finds its test through a context variable, because several tests can run at the same time. A task that a test leaves
behind keeps the variable of that test: after the test, it records nothing and may not write.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import ref

from pytest_gaia.clients.exchanges import new_trace_id

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

    from pytest_gaia.clients.exchanges import Exchange, Message, Statement
    from pytest_gaia.errors import NotSent, UnexpectedResponse

_REMEMBERED = 200
"""limit of recorded statements and messages of one test, because a subscription to everything receives very many"""


class UnnoticedFailure(NamedTuple):
    """A failure that pytest does not notice, such as an exception in a thread."""

    kind: str
    """``background``, ``swallowed``, or that of the error, if it is one of several that end a test"""
    what: str
    """such as ``exception in thread worker-1``"""
    error: BaseException | None = None
    place: str = ""
    """file and line, if the error does not show them"""
    fix: str = ""
    """what to do about it, if the error does not show it"""


class Watched:
    """Failures of one test that pytest does not notice, and what may still become one."""

    __slots__ = ("caught", "expectations", "failures", "futures", "of_setup", "pending", "tasks")

    def __init__(self) -> None:
        self.failures: list[UnnoticedFailure] = []
        self.expectations: list[UnexpectedResponse] = []
        """errors about responses that code of the test has created"""
        self.caught: list[UnexpectedResponse] = []
        """those until the end of its call"""
        self.tasks: list[asyncio.Task[Any]] = []
        self.of_setup: list[asyncio.Task[Any]] = []
        """tasks that its fixtures have created before its call"""
        self.pending: list[asyncio.Task[Any]] | None = None
        """tasks that its call has created, and left behind; None while it runs"""
        self.futures: list[Future[Any]] = []
        """work that the test has given to threads"""


class RunningTest:
    """One attempt of a test: its recorded exchanges, statements and messages, and whether it may write."""

    __slots__ = (
        "__weakref__",
        "_messages",
        "_statements",
        "called",
        "completed",
        "connects",
        "depth",
        "direct",
        "ended",
        "evident",
        "exchanges",
        "node",
        "not_sent",
        "of_fixtures",
        "of_setup",
        "others",
        "passes_alone",
        "trace_id",
        "unread",
        "watched",
        "writes",
    )

    def __init__(self, node: str = "", *, writes: bool = False, direct: bool = False) -> None:
        self.node = node
        """node ID of the test, the same in each attempt"""
        self.writes = writes
        """whether the test is marked with ``writes=True``"""
        self.direct = direct
        """whether it is marked with ``direct="…"``, so that it may connect to services without their clients"""
        self.connects = 0
        """number of these connections, refused ones included"""
        self.ended = False
        self.exchanges: list[Exchange] = []
        self.completed = [0, 0, 0]
        """number of completed exchanges, statements and messages: those that a service has responded to, sent or accepted"""
        self.of_fixtures = [0, 0, 0]
        """those of them that fixtures made"""
        self.called: list[int] | None = None
        """``completed`` at the end of its call"""
        self.evident: set[object] = set()
        """definitions of its own fixtures that made some of them"""
        self.depth = 0
        """number of fixtures that are being set up"""
        self.not_sent: dict[str, str] = {}
        """services to which a request was not sent, with the reasons"""
        self.of_setup: int | None = None
        """number of exchanges in the set-up of a test that was started early"""
        self.others = 0
        """number of other tests that ran when it was started early"""
        self.passes_alone = False
        """whether it failed while others ran, and then passed when it ran once more alone"""
        self.watched: Watched | None = None
        """failures that pytest does not notice, if there may be some"""
        self.unread: dict[int, Exchange] | None = None
        """exchanges whose responses the test has not read, by their identity; None without exchanges"""
        self._statements: deque[Statement] | None = None
        self._messages: deque[Message] | None = None
        self.trace_id = ""
        """trace ID of all requests of this attempt; empty until the first one"""

    def exchanged(self, phase: str) -> int:
        """Return the number of exchanges up to the end of ``phase``, which has just ended for pytest."""
        return self.of_setup if phase == "setup" and self.of_setup is not None else len(self.exchanges)

    def watching(self) -> Watched:
        """Return the failures that pytest does not notice."""
        if self.watched is None:
            self.watched = Watched()
        return self.watched

    @property
    def statements(self) -> tuple[Statement, ...]:
        """The latest SQL statements and Redis commands, without values."""
        return tuple(self._statements or ())

    @property
    def messages(self) -> tuple[Message, ...]:
        """The latest NATS messages that the test sent or received."""
        return tuple(self._messages or ())

    @property
    def last(self) -> Exchange | None:
        """The latest exchange, if there was one."""
        return self.exchanges[-1] if self.exchanges else None

    def add_exchange(self, exchange: Exchange) -> None:
        """Record an HTTP exchange."""
        self.exchanges.append(exchange)
        self.completed[0] += exchange.response is not None

    def add_statement(self, statement: Statement) -> None:
        """Record a SQL statement or a Redis command."""
        if self._statements is None:
            self._statements = deque(maxlen=_REMEMBERED)
        self._statements.append(statement)
        self.completed[1] += statement.is_completed

    def add_message(self, message: Message) -> None:
        """Record a NATS message."""
        if self._messages is None:
            self._messages = deque(maxlen=_REMEMBERED)
        self._messages.append(message)
        self.completed[2] += message.error is None


CURRENT = "current"
"""value of the context variable in fixtures of a wider scope than function: they serve the current test"""

RUNNING: ContextVar[RunningTest | str | None] = ContextVar("gaia_running_test", default=None)
"""the test that code belongs to; None for code in a context of its own, such as a thread"""


def own_generators(loop: Any) -> None:
    """Let an async generator on ``loop`` end in the name of the test that has begun it.

    The garbage collector can end it during any test, in the context of that one.
    """
    begin, end = loop._asyncgen_firstiter_hook, loop._asyncgen_finalizer_hook  # noqa: SLF001 - asyncio has no public name
    owners: dict[int, Callable[[], RunningTest | None] | str | None] = {}
    """by the identity of a generator, which is that of a later one if no entry is left"""

    def begins(generator: Any) -> None:
        test = RUNNING.get()
        owners[id(generator)] = ref(test) if isinstance(test, RunningTest) else test
        begin(generator)

    def ends(generator: Any) -> None:
        owner = owners.pop(id(generator), None)
        token = RUNNING.set(owner() if callable(owner) else owner)
        try:
            end(generator)
        finally:
            RUNNING.reset(token)

    # The loop passes them to Python whenever it runs. Loops in C have no such attributes.
    with contextlib.suppress(AttributeError):
        loop._asyncgen_firstiter_hook, loop._asyncgen_finalizer_hook = begins, ends  # noqa: SLF001


class Recorder:
    """Records for each running test what it sends and receives; call it with each exchange.

    Code in a context of its own records for the current test, and may not write.
    """

    def __init__(self) -> None:
        self.current = RunningTest()
        """the test that pytest is at"""
        self.latest = ""
        """the test that pytest was at before"""
        self.late: list[tuple[str, UnnoticedFailure]] = []
        """failures that no test has; each with the test that was reported last"""

    def begin(self, test: RunningTest) -> None:
        """Make ``test`` the current one; it may have been started early."""
        self.current = test
        RUNNING.set(test)

    def end(self) -> None:
        """End the current test. What it left behind records nothing and may not write."""
        self.current.ended = True
        self.latest = self.current.node
        # The next test may be skipped before it begins. Fixtures whose finalizers run now may write what the test could.
        self.current = RunningTest(writes=self.current.writes)
        RUNNING.set(CURRENT)

    @contextlib.contextmanager
    def starting(self, test: RunningTest) -> Iterator[None]:
        """Make ``test`` the current one while it is set up early: fixtures of a wider scope record for it."""
        before, self.current = self.current, test
        token = RUNNING.set(test)
        try:
            yield
        finally:
            RUNNING.reset(token)
            self.current = before

    def is_marked(self) -> bool:
        """Whether the test that this code belongs to runs and is marked with ``writes=True``."""
        test = RUNNING.get()
        if test is CURRENT:
            test = self.current
        return isinstance(test, RunningTest) and test.writes and not test.ended

    def trace_id(self, has_secret: Callable[[str], bool]) -> str:
        """Return the trace ID of the test that this code belongs to, which has none of these secrets."""
        test = self._test()
        if not test.trace_id:
            test.trace_id = new_trace_id(has_secret)
        return test.trace_id

    def __call__(self, exchange: Exchange) -> None:
        self._test().add_exchange(exchange)

    def add_statement(self, statement: Statement) -> None:
        """Record a SQL statement or a Redis command."""
        self._test().add_statement(statement)

    def add_not_sent(self, error: NotSent) -> None:
        """Record a request that was not sent."""
        self._test().not_sent[error.service] = error.problem

    def add_message(self, message: Message) -> None:
        """Record a sent or received NATS message."""
        self._test().add_message(message)

    def add_failure(self, failure: UnnoticedFailure, test: RunningTest | str | None) -> None:
        """Record a failure that pytest does not notice. If ``test`` has ended, or is None between two tests, it is one of the run."""
        owner = self.owner(test)
        if owner is not None:
            owner.watching().failures.append(failure)
        else:
            self.late.append((test.node if isinstance(test, RunningTest) else self.latest, failure))

    def owner(self, test: RunningTest | str | None) -> RunningTest | None:
        """Return the test that something belongs to; ``test`` is a value of :data:`RUNNING`. None if that has ended."""
        if isinstance(test, RunningTest):
            return None if test.ended else test
        return self.current if self.current.node else None

    def _test(self) -> RunningTest:
        test = RUNNING.get()
        if not isinstance(test, RunningTest):
            return self.current
        # Nothing reads what a test records after its end.
        return RunningTest() if test.ended else test
