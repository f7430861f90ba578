"""Every private structure of pytest, pytest-asyncio and xdist that concurrent tests need, with a self-test.

pytest sets up one test at a time: its state has one chain of nodes, and the definition of a fixture has one value. A test
that is set up early gives both back at once, and takes its part again at its turn.

Check this module when you update one of these packages. ``tests/house/test_layout.py`` checks that no other module uses
these names.
"""

# ruff: noqa: SLF001

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import copy_context
from functools import partial
from itertools import chain, islice
from typing import Any, Protocol, TypeAlias

import pytest
import pytest_asyncio.plugin

from pytest_gaia.plugin.pytest_private import SetupState

_RUNNER = "_session_scoped_runner"
"""pytest-asyncio's fixture with the runner of the session's loop"""
_OFF = {
    "usepdb": "--pdb",
    "trace": "--trace",
    "setuponly": "--setup-only",
    "setupplan": "--setup-plan",
    "setupshow": "--setup-show",
}
"""options that are interactive, or show the order of set-ups"""


def obstacle(config: pytest.Config) -> str | None:
    """Return why tests cannot be concurrent: an option, or a package that is not as expected; None if they can."""
    for name, option in _OFF.items():
        if getattr(config.option, name, False):
            return f"{option} shows one test at a time"
    if not config.pluginmanager.is_registered(pytest_asyncio.plugin):
        return "pytest-asyncio is not loaded"
    return unexpected(config)


def unexpected(config: pytest.Config) -> str | None:
    """Self-test: return what is not as this module expects."""
    expected = (
        (f"pytest {pytest.__version__}", "fixtures", _fixtures_are_as_expected),
        (f"pytest {pytest.__version__}", "its state of set-ups", _state_is_as_expected),
        (f"pytest-asyncio {pytest_asyncio.__version__}", "its runner", _asyncio_is_as_expected),
        ("Python", "warnings", _warnings_are_as_expected),
        ("pytest-xdist", "its queue", lambda: not hasattr(config, "workerinput") or _worker(config) is not None),
    )
    for package, what, test in expected:
        passed = False
        with suppress(Exception):
            passed = test()
        if not passed:
            return f"this version of Gaia does not know {what} of {package}"
    return None


def _fixtures_are_as_expected() -> bool:
    definition = {"cached_result", "_finalizers"} <= set(pytest.FixtureDef.__init__.__code__.co_names)
    request = {"_fixture_defs", "_arg2fixturedefs"} <= set(pytest.FixtureRequest.__init__.__code__.co_names)
    test = {"funcargs", "_request"} <= set(pytest.Function._initrequest.__code__.co_names)
    return definition and request and test and callable(pytest.FixtureRequest._get_active_fixturedef)


def _state_is_as_expected() -> bool:
    """Whether the state is a dict, node → (finalizers, error), in the order of the chain."""

    class Node:
        def listchain(self) -> list[Node]:
            return [self]

        def setup(self) -> None:
            pass

        def teardown(self) -> None:
            pass

    state, node = SetupState(), Node()
    state.setup(node)  # type: ignore[arg-type]
    state.addfinalizer(finalizer := list, node)  # type: ignore[arg-type]
    return state.stack == {node: ([node.teardown, finalizer], None)} and state.is_node_active(node)  # type: ignore[arg-type,comparison-overlap]


def _asyncio_is_as_expected() -> bool:
    plugin: Any = pytest_asyncio.plugin
    base: Any = plugin.Coroutine.__mro__[1]
    names = base.runtest.__code__.co_names, base.setup.__code__.co_names
    return (
        hasattr(plugin, _RUNNER)
        and hasattr(plugin.Coroutine, "_loop_scope")
        and "_loop_scope" in {*names[0], *names[1]}
    )


def _warnings_are_as_expected() -> bool:
    seen: list[object] = []
    with warnings.catch_warnings(record=True) as recorded, route_warnings(lambda message, _: seen.append(message)):
        warnings.simplefilter("always")
        warnings.warn("self-test", stacklevel=1)
    return len(seen) == 1 and not recorded


@contextmanager
def route_warnings(route: Callable[[Any, Callable[[Any], None]], None]) -> Iterator[None]:
    """Pass each warning that is shown or recorded to ``route``, with the function that does so."""
    module: Any = warnings
    original = module._showwarnmsg
    module._showwarnmsg = lambda message: route(message, original)
    try:
        yield
    finally:
        module._showwarnmsg = original


def recorder_of_warnings() -> object:
    """Return what gets each warning: pytest, or a test with ``pytest.warns``."""
    module: Any = warnings
    recorder: object = module._showwarnmsg_impl
    return recorder


def runs_on(item: pytest.Item) -> str | None:
    """Return the scope of the event loop on which pytest-asyncio runs a test; None if it does not run it."""
    # A coroutine function alone: pytest-asyncio has other classes for static methods and Hypothesis.
    return item._loop_scope if type(item) is pytest_asyncio.plugin.Coroutine else None


def signature(item: Any) -> tuple[object, tuple[str, ...], Mapping[str, Sequence[pytest.FixtureDef[Any]]]]:
    """Return what identifies the fixtures of a test function, its arguments, and all fixtures that it needs, by name.

    Definitions with the same name override one another; the last one is the closest.
    """
    return item._fixtureinfo, item._fixtureinfo.argnames, item._fixtureinfo.name2fixturedefs


_AT_ONCE = 200
"""number of tests that are read from a worker's queue at once"""
_Value: TypeAlias = tuple[Any, list[Any], str | None]
"""value of a fixture, its finalizers, and its container in Allure"""


class Containers(Protocol):
    """The containers of fixtures in Allure."""

    def exchange_container(self, definition: object, container: str | None) -> str | None:
        """Replace the container of a fixture; return the one before."""


class SetUp:
    """A test that is set up, but that pytest does not know to be: its fixtures' values, finalizers, and error.

    Fixtures of the session are set up in the context of the caller, and all others in ``context``, where their finalizers
    run, too.
    """

    def __init__(self, item: Any, containers: Containers | None) -> None:
        self._item = item
        self._containers = containers
        self.error: BaseException | None = None
        self.arguments: dict[str, object] = {}
        self.context = copy_context()
        state = item.session._setupstate
        if not state.stack:
            state.stack[item.session] = ([item.session.teardown], None)
        self._finalizers: list[Callable[[], object]] = []
        state.stack[item] = (self._finalizers, None)
        try:
            self._set_up_session_fixtures()
            self.context = copy_context()
            self.context.run(item.setup)
            self.arguments = {name: item.funcargs[name] for name in item._fixtureinfo.argnames}
        except KeyboardInterrupt:
            while self._finalizers:
                self.context.run(self._finalizers.pop())
            raise
        except BaseException as error:  # noqa: BLE001 - raised at the turn of the test
            # A traceback begins where it would begin in a serial test.
            self.error = error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
        finally:
            del state.stack[item]
        self._definitions: list[Any] = [each for each in map(_finished_by, self._finalizers) if each is not None]
        self._values: list[_Value] = []
        self.park()

    def _set_up_session_fixtures(self) -> None:
        request = self._item._request
        for name in self._item.fixturenames:
            definitions = request._arg2fixturedefs.get(name)
            if definitions and definitions[-1].scope == "session":
                request._get_active_fixturedef(name)
        request._get_active_fixturedef(_RUNNER)

    @property
    def runner(self) -> asyncio.Runner:
        """The runner of the loop."""
        runner: asyncio.Runner = self._item._request.getfixturevalue(_RUNNER)
        return runner

    def park(self) -> None:
        """Take the values of the fixtures out of their definitions, for another test."""
        self._values = self._put([(None, [], None)] * len(self._definitions))

    def unpark(self) -> None:
        """Put the values of the fixtures back into their definitions."""
        self._put(self._values)

    def _put(self, values: Iterable[_Value]) -> list[_Value]:
        """Give the definitions these values; return those before."""
        before: list[_Value] = []
        for each, (value, finalizers, container) in zip(self._definitions, values, strict=True):
            other = self._containers.exchange_container(each, container) if self._containers else None
            before.append((each.cached_result, list(each._finalizers), other))
            each.cached_result = value
            each._finalizers[:] = finalizers
        return before

    def hand_over(self) -> None:
        """Give pytest, which sets up the test now, the values of its fixtures and their finalizers."""
        self.unpark()
        finalizers, _ = self._item.session._setupstate.stack[self._item]
        finalizers += [partial(self.context.run, each) for each in self._finalizers]

    def add_finalizer(self, finalizer: Callable[[], object]) -> None:
        """Add a finalizer while the test runs."""
        self._finalizers.append(finalizer)

    def tear_down(self) -> None:
        """Run the finalizers of a test that pytest will not run. Their errors are lost, as is the test."""
        others = self._put(self._values)
        while self._finalizers:
            with suppress(Exception, pytest.fail.Exception, pytest.skip.Exception):
                self.context.run(self._finalizers.pop())
        self._put(others)
        # Another worker can give a test back.
        self._item._initrequest()


@contextmanager
def set_aside(item: Any, set_up: SetUp) -> Iterator[None]:
    """Let a test be set up once more, while it is set up."""
    state, request, arguments = item.session._setupstate, item._request, item.funcargs
    entry = state.stack.pop(item)
    set_up.park()
    item._initrequest()
    try:
        yield
    finally:
        item._request, item.funcargs = request, arguments
        set_up.unpark()
        state.stack[item] = entry


def _finished_by(finalizer: Any) -> Any | None:
    """Return the definition of the fixture that ``finalizer`` of a test finishes."""
    owner = getattr(getattr(finalizer, "func", None), "__self__", None)
    return owner if isinstance(owner, pytest.FixtureDef) and finalizer.func.__name__ == "finish" else None


def give_up(task: asyncio.Task[None]) -> None:
    """Let the loop close without this task, which ignores that it is cancelled."""
    asyncio._unregister_task(task)
    pending: Any = task
    pending._log_destroy_pending = False


def pass_on(item: Any, function: Callable[..., None]) -> None:
    """Run the call of a test with ``function`` in the place of its coroutine function, as pytest-asyncio does."""
    __tracebackhide__ = True
    original = item.obj
    item.obj = function
    try:
        pytest.Function.runtest(item)
    finally:
        item.obj = original


def _worker(config: pytest.Config) -> Any | None:
    """Return xdist's plugin in a worker."""
    for each in config.pluginmanager.get_plugins():
        if type(each).__name__ == "WorkerInteractor" and callable(each.torun.lock) and hasattr(each, "nextitem_index"):
            return each
    return None


class Upcoming:
    """The tests that pytest is going to run in this process, as far as it knows them."""

    def __init__(self, session: pytest.Session) -> None:
        self._items = session.items
        self._worker = _worker(session.config) if hasattr(session.config, "workerinput") else None
        self._places = {} if self._worker else {id(item): place for place, item in enumerate(session.items)}
        self._next = 0
        self._passed: set[int] = set()
        self._queue: object = None

    def after(self, item: pytest.Item) -> Iterator[pytest.Item]:
        """Yield the tests from ``item`` on, each of them once. One at which the caller stops is yielded again."""
        if self._worker is None:
            self._next = max(self._next, self._places.get(id(item), 0))
            while self._next < len(self._items):
                yield self._items[self._next]
                self._next += 1
            return
        for each in chain([item], self._queued()):
            if id(each) not in self._passed:
                yield each
                self._passed.add(id(each))

    def _queued(self) -> Iterator[pytest.Item]:
        """Yield the tests that a worker is going to run after the current one."""
        worker: Any = self._worker
        indices, start = [worker.nextitem_index], 0
        while indices:
            # The last one can be a mark for the end.
            yield from (self._items[index] for index in indices if isinstance(index, int))
            with worker.torun.lock() as queue:
                indices = list(islice(queue, start, start + _AT_ONCE))
            start += _AT_ONCE

    def stolen(self, item: pytest.Item, tests: Collection[int]) -> Collection[int]:
        """Return which of ``tests`` another worker has taken over, since the last call. They are given by identity."""
        if self._worker is None or not tests:
            return ()
        with self._worker.torun.lock() as queue:
            # xdist replaces the queue if it takes tests out of it.
            same, self._queue = queue is self._queue, queue
        return () if same else set(tests).difference([id(item), *map(id, self._queued())])


def accept_requests(session: pytest.Session, early: Callable[[object], SetUp | None]) -> None:
    """Let the body of a test that runs early request fixtures of the session from a ``request`` of one of its fixtures.

    ``early`` returns the set-up of such a test. A fixture of the test itself cannot be set up then.
    """
    state: Any = session._setupstate
    is_active, add = state.is_node_active, state.addfinalizer

    def add_finalizer(finalizer: Callable[[], object], node: object) -> None:
        set_up = None if node in state.stack else early(node)
        if set_up is None:
            add(finalizer, node)
        elif (definition := _finished_by(finalizer)) is None:
            set_up.add_finalizer(finalizer)
        else:
            definition.cached_result = None
            definition._finalizers.clear()
            pytest.fail(
                f"a concurrent test cannot set up the fixture {definition.argname!r} of function scope while it runs. "
                "Request it in the test or in a fixture, or mark the test with @pytest.mark.gaia(serial=True).",
                pytrace=False,
            )

    state.is_node_active = lambda node: is_active(node) or early(node) is not None
    state.addfinalizer = add_finalizer
