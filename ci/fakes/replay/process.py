"""What the processes of both tools do alike: show their help, end at a signal, note how they were called."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from .calls import note
from .help import text
from .state import Store, state_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def answer(tool: str, words: Sequence[str], run: Callable[[list[str], Store], int], *, interrupted: int) -> int:
    """Run one command line of ``tool`` and return its exit code, which is ``interrupted`` after a signal.

    What was called is noted in the state file, also where ``run`` raises.
    """
    if list(words) == ["--fake-help"]:
        print(text(tool))
        return 0
    store = Store(state_file())
    signal.signal(signal.SIGTERM, _interrupt)
    code = 1
    try:
        code = run(list(words), store)
    except KeyboardInterrupt:
        code = interrupted
    finally:
        note(store, tool, words, code)
    return code


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt
