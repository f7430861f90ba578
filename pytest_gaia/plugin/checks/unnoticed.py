"""Failures that pytest does not notice: in threads, tasks, callbacks and finalizers, and expectations whose error was caught.

pytest and asyncio warn of some of them, and a project can filter warnings. This module observes them where they happen, for the
whole process, while tests run. What concerns libraries only stays a warning, or a line of the log.
"""

# It reads private state of asyncio, and frames.
# ruff: noqa: SLF001

from __future__ import annotations

import asyncio
import gc
import linecache
import sys
import sysconfig
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from traceback import walk_tb
from types import FrameType
from typing import Any
from weakref import WeakSet

import pytest

import pytest_gaia
from pytest_gaia.clients.running import RUNNING, Recorder, RunningTest, UnnoticedFailure, Watched
from pytest_gaia.errors import DirectConnectionRefused, GaiaError, UnexpectedResponse

__tracebackhide__ = True
"""its functions are between other code and what that calls"""

_BACKGROUND, _SWALLOWED = "background", "swallowed"

_LIBRARIES = tuple(
    f"{folder}{end}"
    for folder in (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), Path(pytest_gaia.__file__).parent)
    for end in "/\\"
)
_INSTALLED = ("/site-packages/", "/dist-packages/", "\\site-packages\\")
_MANY = 256
"""number of tasks after which those that have ended well are forgotten"""
_PATIENCE = 2.0
"""seconds that the run waits for threads of its tests at its end"""
_AWAIT = "Add `await`."
_END = "Await it or cancel it before the test ends."
_TAKE = "Ask for its result before the test ends."
_SAY = (
    'The test caught this error and went on. If it may happen, write `with response.may_fail("why"):`; '
    "if it has to, `with pytest.raises(UnexpectedResponse):`."
)


class Watch:
    """Observes this process from :meth:`begin` to :meth:`end`."""

    def __init__(self, recorder: Recorder, roots: Iterable[Path], rootdir: Path) -> None:
        """``roots`` are the folders of the tests, whose tasks have to end with their test."""
        self._recorder = recorder
        self._roots = tuple(f"{root}{end}" for root in tuple(roots) or (rootdir,) for end in "/\\")
        self._rootdir = rootdir
        self._replaced: list[tuple[Any, str, Any]] = []
        self._depth = 0
        self._threads: WeakSet[threading.Thread] = WeakSet()
        self._left: list[tuple[str, asyncio.Task[Any] | Future[Any]]] = []
        """what has not ended with its test, or belongs to several; each with the node ID of a test"""

    def begin(self) -> None:
        """Observe from now on."""
        self._depth = sys.get_coroutine_origin_tracking_depth()
        # A coroutine then knows the line that has created it.
        sys.set_coroutine_origin_tracking_depth(max(self._depth, 1))
        self._wrap(threading, "excepthook", self._thread_failed)
        self._wrap(threading.Thread, "start", self._thread_starts)
        self._wrap(sys, "unraisablehook", self._ignored)
        self._wrap(warnings, "_warn_unawaited_coroutine", self._not_awaited)
        self._wrap(asyncio.BaseEventLoop, "create_task", self._task_begins)
        self._wrap(asyncio.BaseEventLoop, "default_exception_handler", self._loop_failed)
        self._wrap(asyncio.runners, "_cancel_all_tasks", self._loop_ends)
        self._wrap(asyncio.BaseEventLoop, "run_in_executor", self._executed)
        self._wrap(ThreadPoolExecutor, "submit", self._submitted)
        for each in (pytest.RaisesExc, pytest.RaisesGroup):
            self._wrap(each, "__exit__", _raises)
        self._replace(UnexpectedResponse, "observer", self._unexpected)

    def end(self) -> list[str]:
        """Stop observing, after the threads of the tests have ended; return the failures that no test has, as text."""
        if not self._replaced:
            return []
        try:
            for thread in list(self._threads):
                if not thread.daemon:
                    thread.join(_PATIENCE)
            for node, each in self._left:
                if (failure := _lost(each)) is not None:
                    self._recorder.late.append((node, failure))
            # What is part of a reference cycle has not run its finalizers yet.
            gc.collect()
        finally:
            for owner, name, value in reversed(self._replaced):
                setattr(owner, name, value)
            self._replaced.clear()
            sys.set_coroutine_origin_tracking_depth(self._depth)
        return [
            f"{self.headline(failure)}, noticed after {node or 'the first test'}"
            for node, failure in self._recorder.late
        ]

    def _wrap(self, owner: Any, name: str, function: Callable[..., object]) -> None:
        original = getattr(owner, name)

        def wrapper(*args: Any, **options: Any) -> object:
            return function(original, *args, **options)

        self._replace(owner, name, wrapper)

    def _replace(self, owner: Any, name: str, value: object) -> None:
        self._replaced.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    # What fails

    def _add(self, failure: UnnoticedFailure) -> None:
        """Record a failure of the current context. What the garbage collector finds can be of any test."""
        if _is_collecting():
            self._recorder.late.append((self._recorder.current.node or self._recorder.latest, failure))
        else:
            self._recorder.add_failure(failure, _running())

    def _thread_starts(self, start: Callable[..., None], thread: Any) -> None:
        # An attribute, because the thread has a context of its own.
        thread._gaia_test = _running()
        if not is_library(_file_of(getattr(thread, "_target", None) or type(thread).run)):
            self._threads.add(thread)
        start(thread)

    def _thread_failed(self, original: Callable[..., object], args: threading.ExceptHookArgs) -> object:
        if args.exc_value is None or args.exc_type is SystemExit:
            return original(args)
        name = args.thread.name if args.thread is not None else "unknown"
        failure = UnnoticedFailure(_BACKGROUND, f"exception in thread {name}", args.exc_value)
        self._recorder.add_failure(failure, getattr(args.thread, "_gaia_test", None))
        return None

    def _ignored(self, original: Callable[..., object], args: Any) -> object:
        error, source = args.exc_value, args.object
        if error is None or (is_library(_file_of(source)) and not _concerns(error)):
            return original(args)
        name = getattr(source, "__qualname__", None) or type(source).__qualname__
        self._add(UnnoticedFailure(_BACKGROUND, f"exception ignored in {name}", error))
        return None

    def _not_awaited(self, original: Callable[..., object], coroutine: Any) -> object:
        code = coroutine.cr_code
        file, line, _ = (coroutine.cr_origin or ((code.co_filename, code.co_firstlineno, ""),))[0]
        if is_library(code.co_filename) and is_library(file):
            return original(coroutine)
        what = f"coroutine {coroutine.__qualname__} was never awaited"
        self._add(UnnoticedFailure(_BACKGROUND, what, place=self._line(file, line), fix=_AWAIT))
        return None

    def _loop_failed(self, original: Callable[..., None], loop: Any, context: dict[str, Any]) -> None:
        error, handle = context.get("exception"), context.get("handle")
        if error is not None and handle is not None:
            failure = UnnoticedFailure(_BACKGROUND, "exception in a callback of the event loop", error)
            # Public since Python 3.12.
            self._recorder.add_failure(failure, handle._context.get(RUNNING))
        elif error is not None and not {"task", "future"}.isdisjoint(context) and _concerns(error):
            self._add(UnnoticedFailure(_BACKGROUND, f"asyncio: {context.get('message')}", error))
        original(loop, context)

    def _unexpected(self, error: UnexpectedResponse) -> None:
        if (test := self._recorder.owner(RUNNING.get())) is not None:
            test.watching().expectations.append(error)

    # What may still fail

    def _task_begins(
        self, create: Callable[..., asyncio.Task[Any]], loop: Any, coro: Any, **options: Any
    ) -> asyncio.Task[Any]:
        task = create(loop, coro, **options)
        context = options.get("context")
        test = RUNNING.get() if context is None else context.get(RUNNING)
        # Called by the wrapper above.
        if test is None or not _is_own(coro, sys._getframe(2)):
            return task
        if not isinstance(test, RunningTest) or test.ended:
            self._left.append((self._recorder.current.node, task))
            _forget(self._left, lambda each: each[1])
        else:
            test.watching().tasks.append(task)
            _forget(test.watching().tasks, lambda each: each)
        return task

    def _submitted(self, submit: Callable[..., Future[Any]], *args: Any, **options: Any) -> Future[Any]:
        future = submit(*args, **options)
        if self._is_noted(future, _outside("concurrent.futures", sys._getframe(2))):
            future.__class__ = _Submitted
        return future

    def _executed(self, execute: Callable[..., Any], *args: Any) -> Any:
        # asyncio reports an error when the last reference is gone, but its thread can keep one longer than the test.
        self._is_noted(future := execute(*args), _outside("asyncio", sys._getframe(2)))
        return future

    def _is_noted(self, future: Any, frame: FrameType | None) -> bool:
        """Note work that code of the project gives to a thread; ``frame`` is the code that does so."""
        test = self._recorder.owner(RUNNING.get())
        if test is None or frame is None or is_library(frame.f_code.co_filename):
            return False
        test.watching().futures.append(future)
        return True

    def _loop_ends(self, cancel: Callable[[Any], None], loop: Any) -> None:
        """Note the tasks that are cancelled only because their loop ends."""
        watched = self._recorder.current.watched
        if watched is not None and watched.pending is not None:
            left = [
                each
                for each in (*watched.pending, *watched.of_setup)
                if each.get_loop() is loop and self._is_left(each)
            ]
            watched.failures += map(self._pending, left)
            watched.pending = [each for each in watched.pending if each not in left]
        cancel(loop)

    # The phases of a test

    def begin_call(self, test: RunningTest) -> None:
        """Tasks of the fixtures of ``test`` may run until these are torn down."""
        if (watched := test.watched) is not None:
            watched.of_setup, watched.tasks = watched.tasks, []

    def end_call(self, test: RunningTest) -> None:
        """Note what the call of ``test`` leaves behind."""
        if (watched := test.watched) is not None and watched.pending is None:
            loop = asyncio._get_running_loop()
            own = asyncio.current_task(loop) if loop is not None else None
            watched.pending = [each for each in watched.tasks if each is not own and self._is_left(each)]
            # What a task does that is left behind depends on how long it is left.
            watched.caught, watched.expectations = watched.expectations, []

    def found(self, test: RunningTest, raised: BaseException | None, phase: str) -> tuple[UnnoticedFailure, ...]:
        """Return, once, the failures of ``test`` until the end of a phase that has ``raised``."""
        watched, ended_by = test.watching(), accept(raised)
        if phase == "setup":
            if test.of_setup is None:
                self.begin_call(test)
            return ()
        self.end_call(test)
        caught = watched.caught if phase == "call" else [*watched.caught, *watched.expectations]
        # Of concurrent requests, several can fail, and one of the errors ends the test. The others count as it does.
        is_one_of_many = any(id(each) in ended_by for each in caught)
        for error in caught:
            if not error.accepted and error.__traceback__ is not None:
                kind, fix = ("", "") if is_one_of_many else (_SWALLOWED, _SAY)
                watched.failures.append(UnnoticedFailure(kind, "an expectation failed", error, fix=fix))
        watched.caught = []
        watched.failures += filter(None, map(_lost, (*watched.tasks, *watched.of_setup, *watched.futures)))
        if phase == "teardown":
            watched.failures += self._remains(test, watched)
        # pytest notices what ended the phase.
        found = tuple(each for each in watched.failures if each.error is None or id(each.error) not in ended_by)
        watched.failures = []
        if isinstance(raised, DirectConnectionRefused):
            return tuple(each for each in found if each.kind != raised.kind or each.what not in str(raised))
        return found

    def _remains(self, test: RunningTest, watched: Watched) -> Iterator[UnnoticedFailure]:
        """Yield a failure for each task that had to end with its test; what else goes on can fail later."""
        ended = (
            each for each in watched.pending or () if each.done() and not each.cancelled() and each.exception() is None
        )
        left = filter(self._is_left, dict.fromkeys((*(watched.pending or ()), *watched.of_setup)))
        yield from map(self._pending, (*ended, *left))
        work: tuple[asyncio.Task[Any] | Future[Any], ...] = (*watched.tasks, *watched.of_setup, *watched.futures)
        self._left += ((test.node, each) for each in work if not each.done())

    def _is_left(self, task: asyncio.Task[Any]) -> bool:
        """Whether a task goes on and runs code of the tests. Other code can have tasks that outlive a test."""
        if task.done() or task.cancelling():
            return False
        file = _file_of(task.get_coro())
        return not is_library(file) and (file.startswith(self._roots) or Path(file).name == "conftest.py")

    def _pending(self, task: Any) -> UnnoticedFailure:
        # Python would log it when it forgets the task.
        task._log_destroy_pending = False
        coro = task.get_coro()
        code = _code_of(coro)
        what = f"task {coro.__qualname__} was still pending at the end of the test"
        return UnnoticedFailure(_BACKGROUND, what, place=self._line(code.co_filename, code.co_firstlineno), fix=_END)

    # Text

    def headline(self, failure: UnnoticedFailure) -> str:
        """Return a failure in one line, with its place."""
        place = next(filter(None, (*reversed(self._lines(failure.error)), failure.place)), "")
        text = failure.what
        if failure.error is not None:
            text += f": {type(failure.error).__name__}: {str(failure.error).strip().partition(chr(10))[0]}"
        return f"{text} ({place.partition(': ')[0]})" if place else text

    def text(self, failure: UnnoticedFailure) -> str:
        """Return a failure with the lines of the project that led to it, and what to do."""
        first = failure.what
        if failure.error is not None:
            first += f": {type(failure.error).__name__}: {str(failure.error).strip().partition(chr(10) * 2)[0]}"
        return "\n  ".join(filter(None, (first, failure.place, *self._lines(failure.error), failure.fix)))

    def _lines(self, error: BaseException | None) -> list[str]:
        """Return the lines of a traceback, without those of libraries."""
        steps = walk_tb(error.__traceback__) if error is not None else ()
        return [
            self._line(frame.f_code.co_filename, line)
            for frame, line in steps
            if not is_library(frame.f_code.co_filename)
        ]

    def _line(self, file: str, line: int) -> str:
        path = Path(file)
        shown = path.relative_to(self._rootdir).as_posix() if path.is_relative_to(self._rootdir) else file
        return f"{shown}:{line}: {linecache.getline(file, line).strip()}".removesuffix(": ")


@lru_cache(maxsize=4096)
def is_library(file: str) -> bool:
    """Whether a file of code is Python's, this package's, or that of an installed one."""
    return not file or file.startswith((*_LIBRARIES, "<frozen ")) or any(folder in file for folder in _INSTALLED)


def accept(raised: BaseException | None) -> set[int]:
    """Let the errors that ended a phase, and those that led to them, not count as caught; return their identities."""
    seen: set[int] = set()
    waiting = [raised]
    while waiting:
        error = waiting.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        if isinstance(error, UnexpectedResponse):
            error.accepted = True
        if isinstance(error, BaseExceptionGroup):
            waiting.extend(error.exceptions)
        waiting += (error.__cause__, error.__context__)
    return seen


class _Submitted(Future[Any]):
    """Work in a thread that knows whether its result has been retrieved."""

    retrieved = False

    def result(self, timeout: float | None = None) -> Any:
        self.retrieved = True
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self.retrieved = True
        return super().exception(timeout)

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        self.retrieved = True
        super().add_done_callback(fn)


def _lost(work: Any) -> UnnoticedFailure | None:
    """Return the failure of a task, or of work in a thread, that has raised an error that was never retrieved."""
    if not work.done() or work.cancelled():
        return None
    coroutine: Any = work.get_coro() if isinstance(work, asyncio.Task) else None
    who = f"task {coroutine.__qualname__}" if coroutine else "work of a thread pool"
    what = f"{who} raised an exception that was never retrieved"
    lost = not work.retrieved if isinstance(work, _Submitted) else work._log_traceback
    # Now it has been retrieved, so that Python does not log it later.
    return UnnoticedFailure(_BACKGROUND, what, error, fix=_TAKE) if lost and (error := work.exception()) else None


def _running() -> RunningTest | str | None:
    """Return the test that runs this code, in a thread the one that started it, as :data:`RUNNING` does."""
    test = RUNNING.get()
    return getattr(threading.current_thread(), "_gaia_test", None) if test is None else test


def _forget(work: list[Any], task_of: Callable[[Any], Any]) -> None:
    """Forget tasks that have ended well, from time to time."""
    if len(work) % _MANY == 0:
        work[:] = [each for each in work if not task_of(each).done() or getattr(task_of(each), "_log_traceback", True)]


def _is_own(coro: Any, frame: FrameType | None) -> bool:
    """Whether a task runs code of the project, or such code has created it."""
    if not is_library(_file_of(coro)):
        return True
    frame = _outside("asyncio", frame)
    return frame is not None and not is_library(frame.f_code.co_filename)


def _outside(package: str, frame: FrameType | None) -> FrameType | None:
    while frame is not None and frame.f_globals.get("__name__", "").startswith(package):
        frame = frame.f_back
    return frame


def _concerns(error: BaseException) -> bool:
    """Whether code of the project raised an error or led to it, or a client of this package raised it."""
    steps = walk_tb(error.__traceback__)
    return isinstance(error, GaiaError) or any(not is_library(frame.f_code.co_filename) for frame, _ in steps)


def _code_of(source: Any) -> Any:
    """Return the code of a function, a coroutine or a generator; None if it has none."""
    for name in ("cr_code", "__code__", "gi_code", "ag_code"):
        if (code := getattr(source, name, None)) is not None:
            return code
    inner = getattr(source, "__func__", None) or getattr(source, "func", None)
    return None if inner is None else _code_of(inner)


def _file_of(source: Any) -> str:
    code = _code_of(source)
    return "" if code is None else str(code.co_filename)


def _is_collecting() -> bool:
    """Whether the garbage collector runs, which then does nothing if it is called."""
    before = gc.get_stats()[0]["collections"]
    gc.collect(0)
    return bool(gc.get_stats()[0]["collections"] == before)


def _raises(leave: Callable[..., bool | None], expected: Any, *details: Any) -> bool | None:
    """``pytest.raises`` takes the error of an expectation if it names its type, or the message of the error."""
    left = leave(expected, *details)
    error = details[1]
    if left and isinstance(error, BaseException) and (_names(expected) or getattr(expected, "match", None)):
        accept(error)
    return left


def _names(expected: Any) -> bool:
    kinds = getattr(expected, "expected_exceptions", ())
    return any(
        issubclass(each, GaiaError) if isinstance(each, type) else _names(each) or bool(getattr(each, "match", None))
        for each in kinds
    )
