"""What is written as it happens: the terminal, the log file, and with ``-s`` what tests print."""

import logging
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from pytest_gaia.plugin.pytest_private import log_file_handler, terminal_stream, wrap_tee, wrap_terminal
from pytest_gaia.printable import SafeStream, commands
from pytest_gaia.secrets.forms import SHORTEST


class MaskedStream(SafeStream):
    """A text stream that masks what is written, and then writes it as a stream for text of any origin does."""

    def __init__(self, stream: Any, mask: Callable[[str], str]) -> None:
        super().__init__(stream)
        self._mask = mask
        # pytest flushes after each letter.
        self.flush = stream.flush

    def safe(self, text: str) -> str:
        """Return ``text`` as it is written now."""
        # The letter of a test that passes must cost nothing.
        return super().safe(text if len(text) < SHORTEST else self._mask(text))


class MaskedFormatter:
    """A formatter of :mod:`logging` that masks what another one has made of a record, which others go on to see."""

    def __init__(self, formatter: logging.Formatter, mask: Callable[[str], str]) -> None:
        self._formatter = formatter
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text."""
        return self._mask(self._formatter.format(record))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._formatter, name)


def mask_terminal(config: pytest.Config, mask: Callable[[str], str]) -> None:
    """Mask what pytest writes to the terminal, and what tests print where nothing captures it."""
    if not hasattr(config, "workerinput") and config.pluginmanager.hasplugin("terminalreporter"):
        wrap_terminal(config, lambda stream: MaskedStream(stream, mask))
    # Without pytest's own plugin for it (-p no:capture) there is no such option, and nothing is captured.
    capture = getattr(config.option, "capture", "no")
    if capture == "no":
        _mask_standard(config, mask)
    elif capture == "tee-sys":
        wrap_tee(config, lambda stream: MaskedStream(stream, mask))


def commands_of(config: pytest.Config) -> AbstractContextManager[None]:
    """Return a context in which lines on the terminal may be commands of GitHub Actions."""
    return commands(terminal_stream(config))


def mask_log_file(config: pytest.Config, mask: Callable[[str], str]) -> None:
    """Mask what ``--log-file`` takes; tests that look at log records see them as they are."""
    if (handler := log_file_handler(config)) is not None:
        handler.setFormatter(MaskedFormatter(handler.formatter, mask))


def _mask_standard(config: pytest.Config, mask: Callable[[str], str]) -> None:
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (MaskedStream(stream, mask) for stream in before)

    def restore() -> None:
        sys.stdout, sys.stderr = before

    config.add_cleanup(restore)
