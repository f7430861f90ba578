"""Output of tests that run early: printed text, log records and warnings are kept, and follow at the test's turn.

Code finds the output of its test through a context variable. File descriptors have no context: what a child process
or a C library writes belongs to the current test.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any

import pytest

from pytest_gaia.plugin.concurrency.private import recorder_of_warnings, route_warnings
from pytest_gaia.plugin.pytest_private import wrapped_streams

_STREAMS = ("stdout", "stderr")


class Output:
    """What one test writes before its turn. When its call is pytest's current phase, it writes directly."""

    __slots__ = ("_kept", "_kept_of_setup", "_warned", "direct")

    def __init__(self) -> None:
        self.direct = False
        self._kept: list[Callable[[], object]] = []
        self._kept_of_setup: list[Callable[[], object]] = []
        self._warned: set[object] = set()

    def keep(self, event: Callable[[], object]) -> None:
        """Keep an event for later."""
        self._kept.append(event)

    def end_setup(self) -> None:
        """Keep what follows for the call of the test."""
        self._kept_of_setup, self._kept = self._kept, []

    def follow_setup(self) -> None:
        """Let what the set-up of the test wrote follow now."""
        for event in self._kept_of_setup:
            event()
        self._kept_of_setup = []

    def follow_call(self) -> None:
        """Let what the test wrote in its call follow now, and let it write directly from now on."""
        self.direct = True
        for event in self._kept:
            event()
        self._kept = []

    def repeats(self, warning: warnings.WarningMessage) -> bool:
        """Whether the test has shown a warning that a filter shows once; other tests may show it, too.

        Python remembers such warnings for the whole process, and pytest makes it forget them after each test.
        """
        found = _remembered(warning)
        if found is None:
            return False
        registry, key = found
        del registry[key]
        # The dictionary of a module lives as long as the module.
        once = (id(registry), key)
        repeated = once in self._warned
        self._warned.add(once)
        return repeated


def _remembered(warning: warnings.WarningMessage) -> tuple[dict[Any, Any], object] | None:
    """Return where Python remembers a warning that is shown once; None if its filter always shows it."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001
    while frame is not None and (frame.f_code.co_filename, frame.f_lineno) != (warning.filename, warning.lineno):
        frame = frame.f_back
    known = frame.f_globals.get("__warningregistry__", {}) if frame is not None else {}
    text = str(warning.message)
    for registry, key in (
        (known, (text, warning.category, warning.lineno)),
        (known, (text, warning.category, 0)),
        (vars(warnings)["onceregistry"], (text, warning.category)),
    ):
        if key in registry:
            return registry, key
    return None


OUTPUT: ContextVar[Output | None] = ContextVar("gaia_output", default=None)
"""the output of the test that code belongs to; None if it was not started early"""


def _early() -> Output | None:
    output = OUTPUT.get()
    return None if output is None or output.direct else output


class _Stream:
    """A standard stream: keeps what tests write early, and passes everything else on to the original."""

    def __init__(self, name: str, original: Any) -> None:
        self._name = name
        self.original = original

    def write(self, text: str) -> int:
        output = _early()
        if output is None:
            return int(self.original.write(text) or 0)
        output.keep(lambda: getattr(sys, self._name).write(text))
        return len(text)

    @property
    def buffer(self) -> Any:
        """The stream for bytes."""
        return self.original.buffer if _early() is None else _Bytes(self)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


class _Outer(_Stream):
    """A standard stream that pytest does not capture."""


class _Bytes:
    """The stream for bytes of a test that runs early."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    def write(self, data: bytes) -> int:
        self._stream.write(bytes(data).decode(self._stream.encoding or "utf-8", "backslashreplace"))
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream.original.buffer, name)


class Routing:
    """Routes printed text, log records and warnings of this process to the tests that they belong to."""

    def __init__(self) -> None:
        self._entered = False
        self._recorder: object = None
        """what gets the warnings of the current phase"""

    @contextmanager
    def of_run(self, config: pytest.Config) -> Iterator[None]:
        """Route log records, warnings, and what threads of tests print while pytest captures nothing."""
        loggers: Any = logging.Logger
        call_handlers = loggers.callHandlers

        def handle(logger: logging.Logger, record: logging.LogRecord) -> None:
            call_handlers(logger, record)
            if self._entered:
                # Live logs suspend and resume pytest's capture, which sets the streams again.
                self.enter()

        def route(logger: logging.Logger, record: logging.LogRecord) -> None:
            output = _early()
            if output is None:
                handle(logger, record)
            else:
                output.keep(lambda: handle(logger, record))

        loggers.callHandlers = route
        try:
            with route_warnings(self._warn), wrapped_streams(config, _Outer):
                yield
        finally:
            loggers.callHandlers = call_handlers

    def enter(self) -> None:
        """Route the streams that pytest has just begun to capture."""
        if not self._entered:
            self._recorder = recorder_of_warnings()
        self._entered = True
        for name in _STREAMS:
            original = getattr(sys, name)
            if not isinstance(original, _Stream):
                # A new one, because a fixture such as capsys restores the stream that it has found.
                setattr(sys, name, _Stream(name, original))

    def leave(self) -> None:
        """Restore the streams, unless a test has replaced them."""
        self._entered = False
        for name in _STREAMS:
            stream = getattr(sys, name)
            if isinstance(stream, _Stream) and not isinstance(stream, _Outer):
                setattr(sys, name, stream.original)

    def _warn(self, warning: warnings.WarningMessage, show: Callable[[Any], None]) -> None:
        output = OUTPUT.get()
        # A function that the test calls may expect the warning.
        if output is None or (self._entered and recorder_of_warnings() != self._recorder):
            show(warning)
        elif output.repeats(warning):
            return
        elif output.direct:
            show(warning)
        else:
            output.keep(lambda: show(warning))
