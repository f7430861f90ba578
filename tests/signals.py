"""Let processes of tests receive signals, although ``nohup`` or ``&`` may have started the tests with some ignored."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", autouse=True)
def unignored_signals() -> Iterator[None]:
    """Reset ignored signals in child processes; the tests themselves keep ignoring them."""
    ignored = [
        each for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) == signal.SIG_IGN
    ]
    for each in ignored:
        # A new program inherits ignored signals, but not handlers.
        signal.signal(each, lambda *_: None)
    yield
    for each in ignored:
        signal.signal(each, signal.SIG_IGN)
