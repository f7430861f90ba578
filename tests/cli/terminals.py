"""A terminal for a command: its output, and keys to press."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
from typing import TYPE_CHECKING, Self

from tests.cli.conftest import GAIA

if TYPE_CHECKING:
    from types import TracebackType

_LINES, _COLUMNS = 40, 140
_PATIENCE = 60.0


class Terminal:
    """``gaia ARGUMENTS`` on a terminal; ``shown`` is its output."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        self._screen, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", _LINES, _COLUMNS, 0, 0))
        self.shown = ""

        def take() -> None:
            # Ctrl-C reaches those whose terminal it is.
            fcntl.ioctl(inner, termios.TIOCSCTTY, 0)

        self._process = subprocess.Popen(
            [GAIA, *arguments],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
            # Between fork and exec it makes one system call, which is safe in spite of threads.
            preexec_fn=take,  # noqa: PLW1509
            env={**os.environ, "TERM": "xterm-256color", **variables},
        )
        os.close(inner)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._screen)

    def read_until(self, *texts: str) -> None:
        """Wait until one of ``texts`` has been shown."""
        while not any(text in self.shown for text in texts):
            assert self._read(), self.shown

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._screen, keys.encode())

    def end(self) -> int:
        """Wait for the command to end, with everything shown; return its exit code."""
        while self._read():
            pass
        return self._process.wait(_PATIENCE)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._screen], [], [], _PATIENCE)
        assert ready, f"nothing more came after: {self.shown}"
        try:
            piece = os.read(self._screen, 65536)
        except OSError:
            # Linux reports a closed terminal as an error, other systems as empty input.
            return False
        self.shown += piece.decode(errors="replace")
        return bool(piece)
