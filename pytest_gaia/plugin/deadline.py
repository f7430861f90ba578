"""``--gaia-deadline``: a whole run ends when its time is up, whatever it waits for.

The main thread is then interrupted as by Ctrl-C: pytest closes the fixtures, and the run is evaluated. A thread sends the
signal, because a process has only one alarm, which pytest-timeout uses.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Generator
from types import FrameType
from typing import Any

import pytest

from pytest_gaia.errors import ConfigError
from pytest_gaia.plugin.checks.observer import ObserverHooks
from pytest_gaia.plugin.checks.result import Result
from pytest_gaia.plugin.options import runs_no_tests
from pytest_gaia.plugin.pytest_private import RUNS_A_PHASE, tear_down

_SIGNAL: int = getattr(signal, "SIGVTALRM", 0)
"""a signal that hardly any program uses; 0 on Windows, which has none"""
_TICK = 0.05
"""seconds between signals after the deadline; most are ignored, because an interruption has to wait for its moment"""
_AGAIN = 0.5
"""seconds until an interruption without effect is repeated"""
_LATER = 0.3
"""seconds by which workers end after the controller, which would report a worker that ends first as crashed"""
_WORKERS_END = 1.5
"""seconds until the controller kills workers that do not end"""
_UNTIL = "gaia_deadline"

_WRITES = "pytest_gaia.plugin.checks.result"
"""module that writes the results log, which must be complete"""
_DEPLOYS = "pytest_gaia.rollout"
_WAITS = ("pytest_gaia.observation", "pytest_gaia.run.sandbox", "queue")
"""modules that wait outside of tests; xdist's controller waits in ``queue``"""


class DeadlinePassed(Exception):
    """Raised in the finalizer of a fixture that does not end after the deadline."""


class DeadlineHooks:
    """Registered in each process of a run with a deadline."""

    def __init__(
        self, config: pytest.Config, seconds: float, result: Result | None, observer: ObserverHooks | None
    ) -> None:
        """A worker has neither ``result`` nor ``observer``."""
        self._config = config
        self._seconds = seconds
        self._result = result
        self._observer = observer
        workerinput = getattr(config, "workerinput", None)
        if workerinput:
            self._until = time.monotonic() + workerinput[_UNTIL] + _LATER - time.time()
        else:
            plugin: Any = config.pluginmanager.get_plugin("gaia-fixtures")
            self._until = getattr(plugin, "began", time.monotonic()) + seconds
        self._running: dict[str, None] = {}
        """tests that have begun and not ended"""
        self._passed = False
        self._interrupted = False
        """whether the current phase of a test was interrupted"""
        self._closing = False
        """whether pytest closes the fixtures at the end"""
        self._next = 0.0
        """earliest time of the next interruption"""
        self._failed: BaseException | None = None
        """error of a finalizer at the end"""
        self._over = threading.Event()
        self._main = threading.main_thread().ident or 0
        self._before: Any = None
        self._thread = threading.Thread(target=self._watch, name="gaia-deadline", daemon=True)

    def start(self) -> bool:
        """Start to watch the time; return False outside of the main thread, and on a system without such signals."""
        if not _SIGNAL or threading.get_ident() != self._main:
            return False
        self._before = signal.signal(_SIGNAL, self._signalled)
        self._thread.start()
        return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self) -> Generator[None, Any, Any]:
        """Give the deadline as the reason of the interruption."""
        return (yield from self._explained())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self) -> Generator[None, Any, Any]:
        """Give the deadline as the reason of the interruption."""
        return (yield from self._explained())

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Start no test after the deadline."""
        if self._passed:
            raise KeyboardInterrupt
        self._running[nodeid] = None

    # The outermost wrapper: wrappers of the old style, such as those of pytest-rerunfailures 16.1, do not expect an interruption.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self) -> Generator[None, Any, Any]:
        """Report no phase that was interrupted, whatever its test made of the interruption."""
        if self._interrupted:
            raise KeyboardInterrupt
        return (yield)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Note that a test has ended."""
        self._running.pop(nodeid, None)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell an xdist worker when to end."""
        node.workerinput[_UNTIL] = time.time() + self._until - time.monotonic()

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Close the fixtures that are still open; after the deadline, interrupt each finalizer that does not end."""
        if self._observer is not None:
            self._running.update(dict.fromkeys(self._observer.cancelled))
        self._next, self._closing = time.monotonic() + 2 * _AGAIN, True
        try:
            tear_down(session)
        except BaseException as error:  # noqa: BLE001 - raised below
            self._failed = error
        finally:
            self._closing = False

    @pytest.hookimpl(trylast=True, specname="pytest_sessionfinish")
    def pytest_gaia_closed(self) -> None:
        """Raise the error of a finalizer after the hooks that write files, as pytest does."""
        if self._failed is not None and not self._passed:
            raise self._failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self) -> None:
        """Stop watching the time."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
            signal.signal(_SIGNAL, self._before)

    @property
    def _reason(self) -> str:
        return f"the deadline of {self._seconds:g} s passed"

    def _explained(self) -> Generator[None, Any, Any]:
        try:
            return (yield)
        except KeyboardInterrupt:
            if self._passed:
                raise pytest.Session.Interrupted(f"{self._reason} (--gaia-deadline)") from None
            raise

    def _watch(self) -> None:
        while (left := self._until - time.monotonic()) > 0:
            if self._over.wait(min(left, 60.0)):
                return
        while not self._over.wait(_TICK):
            signal.pthread_kill(self._main, _SIGNAL)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        """Runs in the main thread: interrupt it, unless it has to complete what it does."""
        if not self._passed:
            self._pass()
        now = time.monotonic()
        if now < self._next:
            return
        if self._closing:
            self._next = now + _AGAIN
            raise DeadlinePassed(self._reason)
        where = _waiting(frame)
        if where is None:
            return
        first, self._interrupted = not self._interrupted, where == "test"
        # A deployment is interrupted once, because it then has to find out what was deployed.
        self._next = math.inf if where == "deployment" else now + _AGAIN
        handler = signal.getsignal(signal.SIGINT)
        if first and callable(handler):
            # That of asyncio cancels the running task.
            handler(signal.SIGINT, frame)
        else:
            raise KeyboardInterrupt

    def _pass(self) -> None:
        self._passed = True
        if self._result is not None and self._observer is not None:
            self._result.deadline = self._seconds
            reasons = f"{self._reason} before it started", f"{self._reason} while it ran"
            self._observer.assembly.end_early(*reasons, self._running)
        distributed: Any = self._config.pluginmanager.get_plugin("dsession")
        if distributed is not None:
            distributed.nodemanager.EXIT_TIMEOUT = _WORKERS_END


def _waiting(frame: FrameType | None) -> str | None:
    """Return what can be interrupted at ``frame``: a test, a deployment, or another wait; None for the rest."""
    while frame is not None:
        module: str = frame.f_globals.get("__name__", "")
        if module == _WRITES:
            return None
        if frame.f_code is RUNS_A_PHASE:
            return "test"
        if module.startswith(_DEPLOYS):
            return "deployment"
        if module.startswith(_WAITS):
            return "wait"
        frame = frame.f_back
    return None


def register_deadline(
    config: pytest.Config, result: Result | None = None, observer: ObserverHooks | None = None
) -> None:
    """Watch the time of a run with ``--gaia-deadline``. Raises ``ConfigError`` for a wrong number of seconds."""
    option = config.option
    seconds = _seconds(option.gaia_deadline)
    if runs_no_tests(option) or option.usepdb or option.trace:
        return
    hooks = DeadlineHooks(config, seconds, result, observer)
    config.pluginmanager.register(hooks, "gaia-deadline")
    # The controller kills workers that do not end themselves.
    if not hooks.start() and result is not None:
        raise ConfigError("--gaia-deadline requires pytest in the main thread of a system with POSIX signals.")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ConfigError(f"--gaia-deadline={text}: not a number of seconds above 0, such as 600.")
    return seconds
