"""What is started by tests heeds signals, whatever started the tests: ``nohup`` or a shell's ``&`` have some ignored."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", autouse=True)
def heeded_signals() -> Iterator[None]:
    """Hand no ignored signal down; the tests themselves go on without it, as whoever had it ignored wants."""
    ignored = [
        each for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) == signal.SIG_IGN
    ]
    for each in ignored:
        # A handler is not inherited by a program that is executed, where being ignored is.
        signal.signal(each, lambda *_: None)
    yield
    for each in ignored:
        signal.signal(each, signal.SIG_IGN)
