"""The last word: a run that uses Gaia ends with 0 only if its verdict says so, whoever ends it and however.

Tests, fixtures and hooks can end a run before it is judged: by ``pytest.exit``, by ``SystemExit``, by setting pytest's
exit status, or by ending the process. All of that passes here on its way out.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from pluggy import PluginValidationError

from pytest_gaia.plugin.signs import only_looks
from pytest_gaia.stash import RUN

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

VERDICT: pytest.StashKey[int] = pytest.StashKey()
"""on the config: the exit code of the run's verdict, once there is one"""
UNUSED: pytest.StashKey[bool] = pytest.StashKey()
"""on the config: there are signs of Gaia, and yet this run does not use it"""

_NO_VERDICT = 11
"""as HOLD: no evidence"""


def conftests_guarded(config: pytest.Config, args: Sequence[str]) -> Generator[None]:
    """Wrap the import of ``conftest.py``, which is the first code of a project that runs."""
    _withdraw(config.known_args_namespace.gaia_report, args)
    _watch_process(config)
    try:
        yield
    except SystemExit as ending:
        if _says_success(ending):
            raise pytest.UsageError("a conftest.py has ended the run: SystemExit while it was imported.") from None
        raise
    except PluginValidationError as error:
        if "pytest_gaia_" in str(error):
            raise pytest.UsageError(f"a hook does not take what it is written for: {error}") from None
        raise


def settled(config: pytest.Config) -> Generator[None, int, int]:
    """Wrap a whole run; return what it ends with."""
    if config.option.gaia_deploy and getattr(config.option, "looponfail", False):
        # Its sessions run in processes of their own, which do not know that they are many.
        raise pytest.UsageError("--gaia-deploy deploys once, and --looponfail runs again and again: leave one out.")
    try:
        code = yield
    except SystemExit as ending:
        if _says_success(ending):
            raise SystemExit(exit_code(config, 0)) from None
        raise
    except pytest.UsageError as mistake:
        # pytest quotes what it was given.
        run = config.stash.get(RUN, None)
        raise pytest.UsageError(*((run.redactor.text(str(each)) if run else each) for each in mistake.args)) from None
    return exit_code(config, code)


def exit_code(config: pytest.Config, code: int) -> int:
    """Return what a run ends with that would end with ``code``: nothing that it has written may hold a secret."""
    code, leaked = _decided(config, code), _leaked(config)
    return code or leaked


def _leaked(config: pytest.Config) -> int:
    run, controller = config.stash.get(RUN, None), config.pluginmanager.get_plugin("gaia-controller")
    if run is None or controller is None:
        return 0
    from pytest_gaia.plugin.last_look import look_through

    return look_through(config, run, controller.result)


def _decided(config: pytest.Config, code: int) -> int:
    decides = not (hasattr(config, "workerinput") or only_looks(config.option) or config.stash.get(UNUSED, False))
    if code != 0 or not decides:
        return code
    expected = config.stash.get(VERDICT, None)
    if expected is None:
        sys.stderr.write("gaia: no verdict: the run was ended before it was judged, and counts as not passed.\n")
        sys.stderr.flush()
        return _NO_VERDICT
    return expected


def _says_success(ending: SystemExit) -> bool:
    return ending.code is None or ending.code == 0


def _withdraw(report: Path | None, args: Sequence[str]) -> None:
    """Take back the verdict that an earlier run has left: it is none of this run, however this one ends.

    Workers are handed their controller's options, but not among ``args``: they must leave its file alone.
    """
    if report is not None and any(arg.startswith("--gaia-report") for arg in args):
        # One that cannot be written ends the run a little later, with a message.
        with suppress(OSError):
            Path(report).write_bytes(b"")


def _watch_process(config: pytest.Config) -> None:
    """Until pytest is done, let ``os._exit(0)`` end this process with 0 only where the run may end with 0.

    It goes past everything that could judge. A process that was forked from this one ends as it likes.
    """
    end, process = os._exit, os.getpid()

    def watched(status: int) -> NoReturn:
        if os.getpid() != process:
            end(status)
        code = exit_code(config, status)
        # The verdict may still be in a buffer, which nobody else would write out now.
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        end(code)

    def release() -> None:
        os._exit = end

    os._exit = watched
    config.add_cleanup(release)
