"""After everything else of a run: no file that it has written holds a secret, or the run has failed."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_gaia.plugin.checks.result import Result
from pytest_gaia.plugin.pytest_private import cache_folder
from pytest_gaia.run.session import Run
from pytest_gaia.secrets.leaks import Leak, leaks
from pytest_gaia.verdict.evaluated import EXIT_CODES
from pytest_gaia.wording import counted

_SHOWN = 20
_TICK = 1.0
"""seconds by which the clock of a file system may be behind"""


def look_through(config: pytest.Config, run: Run, result: Result) -> int:
    """Return the exit code that what was written asks for: 0 where it holds no secret, that of HOLD where it does.

    The verdict file says HOLD then too, so that nobody promotes by it.
    """
    try:
        found = leaks(
            [*result.written, *filter(None, (cache_folder(config),))], run.redactor, since=result.began - _TICK
        )
    except OSError as error:
        return _hold(result, "what was written cannot be looked through", f"gaia: HOLD: looking for secrets: {error}.")
    return _hold(result, "the run has written secrets", _message(found, config.invocation_params.dir)) if found else 0


def _message(found: Sequence[Leak], folder: Path) -> str:
    places = counted(len(found), "place")
    lines = [
        f"gaia: HOLD: the run has written secrets, in {places}. They are masked there now; a compressed file is removed.",
        *(f"  {os.path.relpath(each.path, folder)}:{each.line}: {each.name}" for each in found[:_SHOWN]),
    ]
    if len(found) > _SHOWN:
        lines.append(f"  and {len(found) - _SHOWN} more")
    lines.append(
        "Something wrote there that does not go through pytest's reports: a plugin, or a test. Find it, and make the "
        "secret a new one if the file has been seen."
    )
    return "\n".join(lines)


def _hold(result: Result, reason: str, message: str) -> int:
    result.withhold(reason)
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
    return EXIT_CODES["HOLD"]
