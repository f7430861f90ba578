"""Start tests early, and let each of them pass through pytest's protocol at its turn.

pytest runs one test after another, in its order, so that every other plugin sees a usual run. When a test is set up, this
module sets up the tests after it and starts their bodies on the session's loop, up to a limit. A body proceeds whenever the
loop runs, which is while pytest waits for the body of the current test. At the turn of a test that was started early,
its set-up and its call are what has happened to it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple

import pytest

from pytest_gaia.clients.running import RunningTest
from pytest_gaia.errors import NotApplicable
from pytest_gaia.plugin.checks.phases import EVIDENCE
from pytest_gaia.plugin.checks.unnoticed import Watch
from pytest_gaia.plugin.concurrency.facts import Reader
from pytest_gaia.plugin.concurrency.output import OUTPUT, Output, Routing
from pytest_gaia.plugin.concurrency.private import SetUp, Upcoming, accept_requests, give_up, pass_on, set_aside
from pytest_gaia.plugin.pytest_private import is_skipped
from pytest_gaia.run.session import Run
from pytest_gaia.verdict.gathering import failure_of

_GRACE = 2.0
"""seconds in which cancelled tests have to end"""
_MOST_ALONE = 5
"""failed tests of a run that are tried again alone"""
_SERVICE_FAILS = ("timeout", "unreachable", "not sent", "direct connection")
"""kinds of failures that other tests do not cause; waiting for them again would take long"""


class Clock(NamedTuple):
    """When a phase of a test ran, as pytest reports it: system times, and a duration in seconds."""

    start: float
    stop: float
    duration: float


class _Stopwatch:
    def __init__(self) -> None:
        self._start, self._began = time.time(), time.perf_counter()

    def stop(self) -> Clock:
        return Clock(self._start, time.time(), time.perf_counter() - self._began)


@dataclass(slots=True, eq=False)
class Early:
    """A test that was started early."""

    item: Any
    number: int
    """in the order of starts"""
    running: RunningTest
    output: Output = field(default_factory=Output)
    clocks: dict[str, Clock] = field(default_factory=dict)
    """phase → when it ran"""
    set_up: SetUp = field(init=False)
    task: asyncio.Task[None] | None = None
    """its body; None if its set-up failed"""
    raised: BaseException | None = None
    """what its body raised"""
    result: Any = None
    """what it adds to its result in Allure, if there is one"""
    waits: bool = True
    """whether its turn has not come"""

    async def body(self, observed: Watch) -> None:
        """Run the body of the test, and keep what it raises."""
        watch = _Stopwatch()
        observed.begin_call(self.running)
        try:
            await self.item.obj(**self.set_up.arguments)
        except BaseException as error:  # noqa: BLE001 - asyncio would raise some of them in another test
            self.raised = error
        finally:
            observed.end_call(self.running)
            self.clocks["call"] = watch.stop()

    @property
    def is_running(self) -> bool:
        """Whether its body runs."""
        return self.task is not None and not self.task.done()

    def outcome(self, **_: object) -> None:
        """Raise what the body raised."""
        __tracebackhide__ = True
        if self.raised is not None:
            raise self.raised
        if self.task is not None and self.task.cancelled():
            raise asyncio.CancelledError


class ConcurrencyHooks:
    """Registered where tests run, if there is more than one at a time."""

    def __init__(self, config: pytest.Config, run: Run, cancelled: Callable[[list[str]], None]) -> None:
        """``cancelled`` receives the tests that had begun when the run ended before their turn."""
        self._run = run
        self._limit = run.declared.concurrency
        checks: Any = config.pluginmanager.get_plugin("gaia-checks")
        self._applies, self._is_expected = checks.applies, checks.is_expected
        self._watch: Watch = checks.watch
        self._reader = Reader(config, run.declared.platform)
        self._cancelled = cancelled
        self._allure: Any = config.pluginmanager.get_plugin("gaia-allure-early")
        self._serial: dict[int, bool] = {}
        """by the identity of a test, whether it runs alone"""
        self._routing = Routing()
        self._upcoming: Upcoming | None = None
        self._early: dict[int, Early] = {}
        """by the identity of a test"""
        self._current: Early | None = None
        self._attempted: set[int] = set()
        self._flying = self._started = self._tried_alone = 0
        self._more = False
        """whether another test could start, but for the limit"""
        self._runner: asyncio.Runner | None = None
        self._wake: asyncio.Future[None] | None = None
        self._enough: Callable[[], bool] = bool

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Move the tests that can run together before the others, and keep the order otherwise."""
        items.sort(key=self._is_serial)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Route the output of tests during the run; cancel what runs when it ends, also after Ctrl-C."""
        self._upcoming = Upcoming(session)
        accept_requests(session, self._of)
        try:
            with self._routing.of_run(session.config):
                try:
                    return (yield)
                finally:
                    # After Ctrl-C, the current test can still run.
                    self._cancel([*self._early.values(), *filter(None, [self._current])])
        finally:
            self._current = None

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None]:
        """Start tests early. This is the innermost wrapper, so that their output is captured and their logs have a level."""
        __tracebackhide__ = True
        self._routing.enter()
        try:
            self._turn_to(item)
            return (yield)
        finally:
            self._routing.leave()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self) -> Generator[None]:
        """Route the output of tests that run meanwhile."""
        self._routing.enter()
        try:
            return (yield)
        finally:
            self._routing.leave()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
        """End a test that could not be called; cancel everything before the fixtures of the session are torn down."""
        self._routing.enter()
        try:
            if (current := self._current) is not None:
                if current.is_running or current.waits:
                    # Another plugin has ended its turn.
                    self._cancel([current])
                for name in ("setup", "runtest"):
                    vars(item).pop(name, None)
            if nextitem is None:
                self._cancel(self._early.values())
            return (yield)
        finally:
            self._current = None
            self._routing.leave()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Give a report the times of its phase, instead of those of the turn."""
        if self._current is not None and (clock := self._current.clocks.get(call.when)) is not None:
            call.start, call.stop, call.duration = clock
        return (yield)

    def _is_serial(self, item: pytest.Item) -> bool:
        known = self._serial.get(id(item))
        if known is None:
            evidence = item.stash.get(EVIDENCE, None)
            if evidence is None:
                # Another hook has added it just now.
                return True
            known = self._serial[id(item)] = self._reader.serial_reason(item, evidence.traits.needs) is not None
        return known

    def _of(self, node: object) -> SetUp | None:
        early = self._early.get(id(node)) or self._current
        return early.set_up if early is not None and early.item is node and early.is_running else None

    def _turn_to(self, item: pytest.Item) -> None:
        """Let the turn of a test begin."""
        self._forget_stolen(item)
        item.stash[EVIDENCE].started = None
        if id(item) in self._attempted:
            # Another attempt: its plugin decides when, and a test that fails with others can pass alone.
            self._wait(lambda: not self._flying)
            return
        self._attempted.add(id(item))
        if self._is_serial(item):
            self._wait(lambda: not self._flying)
            return
        if id(item) in self._early or self._may_start(item):
            self._fill(item)
        if (early := self._early.pop(id(item), None)) is not None:
            self._current = early
            item.stash[EVIDENCE].started = early.running
            vars(item).update(setup=partial(self._hand_over, early), runtest=partial(self._call, early))

    def _hand_over(self, early: Early) -> None:
        """The set-up of a test at its turn."""
        __tracebackhide__ = True
        vars(early.item).pop("setup")
        early.waits = False
        early.set_up.hand_over()
        early.output.follow_setup()
        if early.set_up.error is not None:
            self._close_result(early, add=True)
            raise early.set_up.error

    def _call(self, early: Early) -> None:
        """The call of a test at its turn."""
        __tracebackhide__ = True
        vars(early.item).pop("runtest")
        early.output.follow_call()
        while early.is_running:
            self._wait(lambda: not early.is_running or (self._more and self._flying <= self._limit * 3 // 4))
            if early.is_running or self._more:
                early.set_up.park()
                try:
                    self._fill(early.item)
                finally:
                    early.set_up.unpark()
        self._close_result(early, add=True)
        if early.raised is not None and self._may_be_disturbed(early, early.raised):
            self._tried_alone += 1
            early.running.passes_alone = self._passes_alone(early)
        pass_on(early.item, early.outcome)

    def _may_be_disturbed(self, early: Early, error: BaseException) -> bool:
        """Whether to find out if a test fails only because of the tests that ran at the same time."""
        item, option = early.item, early.item.config.option
        return (
            self._tried_alone < _MOST_ALONE
            # Others may have started after it.
            and (early.running.others > 0 or self._started > early.number)
            and isinstance(error, (Exception, pytest.fail.Exception))
            and not isinstance(error, (NotApplicable, pytest.xfail.Exception))
            and not early.running.not_sent
            and all(exchange.status != HTTPStatus.TOO_MANY_REQUESTS for exchange in early.running.exchanges)
            and (failure := failure_of(error)).kind not in _SERVICE_FAILS
            and item.get_closest_marker("xfail") is None
            and not self._is_expected(item, failure)
            # The run ends, or another plugin tries the test again.
            and not (item.session.shouldfail or item.session.shouldstop or option.maxfail)
            and not getattr(option, "reruns", None)
        )

    def _passes_alone(self, early: Early) -> bool:
        """Run a test once more, when no other test runs. Nothing of this attempt is reported."""
        self._wait(lambda: not self._flying)
        with set_aside(early.item, early.set_up):
            again = self._start(early.item)
            self._wait(lambda: not self._flying)
            del self._early[id(early.item)]
            again.running.ended = True
            self._close_result(again, add=False)
            again.set_up.tear_down()
        running = again.running
        failed = running.not_sent or (running.watched is not None and self._watch.found(running, None, "call"))
        return again.set_up.error is None and again.raised is None and not failed

    def _fill(self, item: pytest.Item) -> None:
        """Start tests from ``item`` on, up to the limit."""
        if item.session.shouldfail or item.session.shouldstop or self._upcoming is None:
            return
        self._more = False
        for each in self._upcoming.after(item):
            if self._is_serial(each):
                break
            if self._flying >= self._limit:
                self._more = True
                break
            if (id(each) not in self._attempted or each is item) and self._may_start(each):
                self._start(each)
        if self._runner is not None and self._flying:
            # Let them send their first requests.
            self._runner.run(asyncio.sleep(0))

    def _may_start(self, item: pytest.Item) -> bool:
        return self._applies(item) and not is_skipped(item)

    def _start(self, item: pytest.Item) -> Early:
        self._started += 1
        early = Early(
            item, self._started, RunningTest(item.nodeid, direct=bool(item.stash[EVIDENCE].traits.needs.direct))
        )
        early.running.others = self._flying
        watch = _Stopwatch()
        token = OUTPUT.set(early.output)
        try:
            with (
                self._run.recorder.starting(early.running),
                self._allure.starting() if self._allure else nullcontext() as early.result,
            ):
                early.set_up = SetUp(item, self._allure)
        finally:
            OUTPUT.reset(token)
        early.clocks["setup"] = watch.stop()
        early.output.end_setup()
        early.running.of_setup = len(early.running.exchanges)
        self._early[id(item)] = early
        if early.set_up.error is None:
            self._runner = early.set_up.runner
            loop = self._runner.get_loop()
            early.task = loop.create_task(early.body(self._watch), context=early.set_up.context.copy())
            self._flying += 1
            early.task.add_done_callback(self._ended)
        return early

    def _ended(self, _: object) -> None:
        self._flying -= 1
        if self._wake is not None and not self._wake.done() and self._enough():
            self._wake.set_result(None)

    def _wait(self, enough: Callable[[], bool]) -> None:
        """Let the loop run until ``enough`` tests have ended."""
        if self._runner is None or enough():
            return
        self._enough = enough
        try:
            self._runner.run(self._woken())
        finally:
            self._wake = None

    async def _woken(self) -> None:
        # A test can have ended when the loop began to run.
        if not self._enough():
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake

    def _forget_stolen(self, item: pytest.Item) -> None:
        """Cancel tests that another worker has taken over."""
        if self._upcoming is not None and (stolen := self._upcoming.stolen(item, self._early.keys())):
            self._cancel([self._early[key] for key in stolen], lost=False)

    def _close_result(self, early: Early, *, add: bool) -> None:
        if early.result is not None:
            self._allure.close(early.result, add=add)
            early.result = None

    def _cancel(self, tests: Iterable[Early], *, lost: bool = True) -> None:
        """Cancel tests, and tear them down. ``lost`` reports that they had begun."""
        tests = list(tests)
        tasks = [early.task for early in tests if early.task is not None and not early.task.done()]
        for task in tasks:
            task.cancel()
        try:
            if tasks and self._runner is not None:
                self._runner.run(_end(tasks))
        finally:
            if lost:
                self._cancelled([early.item.nodeid for early in tests if early is not self._current])
            for early in tests:
                self._early.pop(id(early.item), None)
                self._close_result(early, add=False)
                if early.waits:
                    early.set_up.tear_down()


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Wait for cancelled tests, and give up those that ignore it."""
    _, left = await asyncio.wait(tasks, timeout=_GRACE)
    for task in left:
        give_up(task)
