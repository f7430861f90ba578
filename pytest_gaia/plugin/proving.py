"""A process of `gaia prove`: instead of running every test once, run chosen tests with the faults that it is sent.

Loaded with ``-p pytest_gaia.plugin.proving``. One process has one session of pytest and one sandbox.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import msgspec
import pytest

from pytest_gaia.clients.exchanges import Exchange
from pytest_gaia.collection.suites import Places
from pytest_gaia.plugin.checks.observer import ObserverHooks
from pytest_gaia.plugin.ending import RESULT
from pytest_gaia.plugin.pytest_private import tear_down
from pytest_gaia.prove.cells import VARIABLE, Batch, Checked, Failed, Map, Mapped, Ready, Reply, Request, Tried
from pytest_gaia.prove.faults import FIELDS, Fault, Route, Seen, fields_of
from pytest_gaia.run.session import Run
from pytest_gaia.stash import RUN
from pytest_gaia.verdict.classify import Classification, classify

SLOW_TESTS = 8
"""tests that try a delay; each of them takes so much longer"""
_HOLD = ("without evidence", "incomplete")
"""outcomes that do not block, but hold the release"""
_SUCCESS = range(200, 300)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register the hooks. Without the variable there is nothing to talk to."""
    descriptor = os.environ.pop(VARIABLE, "")
    if not descriptor:
        raise pytest.UsageError("pytest_gaia.plugin.proving is a part of `gaia prove`, and cannot be used alone.")
    os.set_inheritable(int(descriptor), False)
    # The failures are not shown, and formatting them takes longer than most tests.
    config.option.tbstyle = "line"
    config.pluginmanager.register(ProvingHooks(config, Line(socket.socket(fileno=int(descriptor)))), "gaia-proving")


class Line:
    """The connection to `gaia prove`. If that ends, this process ends too."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True, name="gaia prove").start()

    def send(self, reply: Reply) -> None:
        """Send one message."""
        self._connection.sendall(msgspec.json.encode(reply) + b"\n")

    def next(self) -> Request | None:
        """Wait for the next request; None at the end."""
        return self._requests.get()

    def _read(self) -> None:
        decoder = msgspec.json.Decoder(Request)
        with self._connection.makefile("rb") as lines:
            for line in lines:
                self._requests.put(decoder.decode(line))
        self._requests.put(None)
        # The main thread may be in a test. It ends as after Ctrl-C, and fixtures are torn down.
        signal.raise_signal(signal.SIGINT)


class ProvingHooks:
    """Runs the tests that are asked for."""

    def __init__(self, config: pytest.Config, line: Line) -> None:
        self._config = config
        self._line = line
        self._items: dict[str, pytest.Item] = {}
        self._received: dict[str, list[Exchange]] = {}
        """node ID → the exchanges of the test; only while the routes are mapped"""
        self._mapping = False
        self._of_fixtures: dict[str, list[Exchange]] = {}
        """name of a fixture of a wider scope than function → its exchanges"""
        self._answered = False

    @property
    def _run(self) -> Run:
        return self._config.stash[RUN]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Handle requests until there are no more."""
        if session.testsfailed or not session.items:
            return True
        self._items = {item.nodeid: item for item in session.items}
        self._answered = True
        self._line.send(Ready(len(session.items)))
        while (request := self._line.next()) is not None:
            if isinstance(request, Map):
                self._line.send(self._map(session, request))
            else:
                self._try(session, request)
        return True

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Say why no test can run."""
        if self._answered:
            return
        result = self._config.stash[RESULT]
        broken = [f"{each.node}: {each.message.strip().splitlines()[-1]}" for each in result.records if each.message]
        reason = result.unavailable or "\n".join(broken) or "no test was collected"
        with suppress(OSError):
            self._line.send(Failed(reason, unavailable=bool(result.unavailable)))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None]:
        """Keep the exchanges of a test."""
        try:
            return (yield)
        finally:
            if self._mapping:
                self._received[item.nodeid] = list(self._run.recorder.current.exchanges)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
        """Keep the exchanges of fixtures that several tests share."""
        if not self._mapping or fixturedef.scope == "function":
            return (yield)
        before = len(self._run.recorder.current.exchanges)
        try:
            return (yield)
        finally:
            self._of_fixtures.setdefault(fixturedef.argname, []).extend(self._run.recorder.current.exchanges[before:])

    def _map(self, session: pytest.Session, request: Map) -> Mapped:
        self._mapping = True
        seconds: dict[str, float] = {}
        broken, slow = [], []
        for item, following in zip(session.items, (*session.items[1:], None), strict=True):
            outcome, took = self._timed(item, following)
            if took > request.slowest:
                # It may have waited for the machine.
                outcome, again = self._timed(item, following)
                took = min(took, again)
            seconds[item.nodeid] = took
            if outcome is None or outcome.blocks:
                broken.append(item.nodeid)
            elif took > request.slowest and outcome.outcome in ("passed", "expected failure"):
                slow.append(item.nodeid)
            elif outcome.outcome == "passed":
                continue
            self._received.pop(item.nodeid, None)
        self._mapping = False
        return Mapped(self._routes(session, seconds), self._suites(session), broken, slow)

    def _timed(self, item: pytest.Item, following: pytest.Item | None) -> tuple[Classification | None, float]:
        began = time.monotonic()
        return self._outcome(item, following), time.monotonic() - began

    def _routes(self, session: pytest.Session, seconds: dict[str, float]) -> list[Seen]:
        seen: dict[Route, Seen] = {}
        responses: dict[Route, list[Exchange]] = {}
        for item in (item for item in session.items if item.nodeid in self._received):
            shared = [e for name in getattr(item, "fixturenames", ()) for e in self._of_fixtures.get(name, ())]
            for exchange in (*self._received[item.nodeid], *shared):
                route = _route(exchange)
                entry = seen.setdefault(route, Seen(route))
                if item.nodeid not in entry.tests:
                    entry.tests.append(item.nodeid)
                responses.setdefault(route, []).append(exchange)
        changing = {route for exchanges in self._received.values() for route in _changing(exchanges)}
        shared_routes = {_route(each) for exchanges in self._of_fixtures.values() for each in exchanges}
        for route, entry in seen.items():
            entry.tests.sort(key=seconds.__getitem__)
            entry.shared = route in shared_routes
            entry.fields = _fields(responses[route])
            entry.denied = any(each.status == HTTPStatus.UNAUTHORIZED for each in responses[route])
            entry.changes = route in changing
        return [seen[route] for route in sorted(seen)]

    def _suites(self, session: pytest.Session) -> dict[str, str]:
        places = Places(self._run.roots, self._run.options.rootdir)
        return {item.nodeid: places.of(item).suite or "" for item in session.items}

    def _try(self, session: pytest.Session, batch: Batch) -> None:
        tests = [self._items[node] for node in batch.tests]
        caught: dict[str, pytest.Item] = {}
        for number, fault in enumerate(batch.faults):
            # Also before the first one, so that the result does not depend on the batches before.
            if batch.fresh or not number:
                self._start_again(session)
            self._inject(fault)
            try:
                item = self._first_failure(session, tests[:SLOW_TESTS] if fault.kind == "slow" else tests)
            finally:
                self._heal()
            if item is not None:
                caught[item.nodeid] = item
                # It probably catches the next fault of the route, too.
                tests.remove(item)
                tests.insert(0, item)
            self._line.send(Tried(fault, item.nodeid if item else ""))
        if batch.fresh:
            self._start_again(session)
        broken = [item for item in caught.values() if self._blocks(session, item)]
        if broken:
            self._start_again(session)
            broken = [item for item in broken if self._blocks(session, item)]
        self._line.send(Checked([item.nodeid for item in broken]))

    def _first_failure(self, session: pytest.Session, tests: Sequence[pytest.Item]) -> pytest.Item | None:
        return next((item for item in tests if self._blocks(session, item)), None)

    def _blocks(self, session: pytest.Session, item: pytest.Item) -> bool:
        # The next test is not known yet. With the session as next item, its fixtures stay alive.
        next_item: Any = session
        outcome = self._outcome(item, next_item)
        return outcome is None or outcome.blocks or outcome.outcome in _HOLD

    def _outcome(self, item: pytest.Item, following: pytest.Item | None) -> Classification | None:
        """Run one test, and return its outcome."""
        result = self._config.stash[RESULT]
        observer: Any = self._config.pluginmanager.get_plugin("gaia-observer")
        assert isinstance(observer, ObserverHooks)
        result.records.clear()
        self._config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        observer.assembly.settle()
        if not result.records:
            return None
        evaluating = result.evaluating
        return classify(result.records[-1], evaluating.expectations, evaluating.context)

    def _inject(self, fault: Fault) -> None:
        assert self._run.sandbox is not None
        self._run.sandbox.fault(self._run.process, fault.route.service, fault.kind, **fault.arguments)

    def _heal(self) -> None:
        assert self._run.sandbox is not None
        self._run.sandbox.heal(self._run.process)

    def _start_again(self, session: pytest.Session) -> None:
        """Tear down all fixtures, and restart the services."""
        # The last fault may be the cause; the tests are checked without it later.
        with suppress(Exception):
            tear_down(session)
        assert self._run.sandbox is not None
        self._run.sandbox.restart(self._run.process)


def _changing(exchanges: Iterable[Exchange]) -> Iterator[Route]:
    """Yield the routes of GET requests with the same URL and different responses."""
    first: dict[str, str] = {}
    for each in exchanges:
        if each.request.method == "GET" and each.response is not None:
            body = each.response.body
            if first.setdefault(each.request.url, body) != body:
                yield _route(each)


def _route(exchange: Exchange) -> Route:
    receiver = exchange.service if exchange.via == "direct" else exchange.via
    return Route(receiver, exchange.request.method, exchange.route)


def _fields(exchanges: Iterable[Exchange]) -> dict[str, str]:
    """Return the fields of the successful JSON responses; those of other ones if there are no successful ones."""
    found: dict[bool, dict[str, str]] = {True: {}, False: {}}
    for exchange in exchanges:
        if exchange.response is None:
            continue
        try:
            content = json.loads(exchange.response.body)
        except ValueError:
            continue
        for field, value in fields_of(content).items():
            found[exchange.response.status in _SUCCESS].setdefault(field, value)
    chosen = found[True] or found[False]
    return dict(list(chosen.items())[:FIELDS])
