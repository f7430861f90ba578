"""The last word: a run that uses Gaia ends with 0 only if its verdict says so, whoever ends it and however.

Tests, fixtures and hooks can end a run before it is judged: by ``pytest.exit``, by ``SystemExit``, by setting pytest's
exit status, or by ending the process. All of that passes here on its way out. Where pytest is the program, the watch
lasts until the interpreter ends: what callbacks of ``atexit`` do to the exit code, the record and the verdict file counts too.
"""

from __future__ import annotations

import atexit
import inspect
import os
import sys
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import pytest
from pluggy import PluginValidationError

from pytest_gaia.config.variables import RECORD_PIPE_VARIABLE
from pytest_gaia.files.writing import PRIVATE, write_file
from pytest_gaia.plugin.options import files_after_a_space, runs_no_tests, value_of
from pytest_gaia.plugin.pytest_private import find_root_again
from pytest_gaia.stash import RUN, project_of

if TYPE_CHECKING:
    # A run that does not touch the suites comes here, too.
    from pytest_gaia.plugin.checks.result import Result

VERDICT: pytest.StashKey[int] = pytest.StashKey()
"""on the config: the exit code of the run's verdict, once there is one"""
UNUSED: pytest.StashKey[bool] = pytest.StashKey()
"""on the config: there are signs of Gaia, and yet this run does not use it"""
RESULT: pytest.StashKey[Result] = pytest.StashKey()
"""on the config of the process that talks to the user: what the run comes to"""
_PIPE: pytest.StashKey[int] = pytest.StashKey()
"""on the config: where the promotion that has started this run waits for the digest of its record"""
_ENDED: pytest.StashKey[int] = pytest.StashKey()
"""on the config: what the run ends with, once that was decided"""

_NO_VERDICT = 11
"""as HOLD: no evidence"""


def guard_conftests(config: pytest.Config, args: list[str]) -> Generator[None]:
    """Wrap the import of ``conftest.py``, which is the first code of a project that runs."""
    if files_after_a_space(config.known_args_namespace, config.invocation_params.args):
        find_root_again(config, args)
    _withdraw(config)
    _take_pipe(config)
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
    # After every conftest.py that has a say in how pytest ends: the hook that is registered last is the outermost.
    if config.pluginmanager.register(EndingHooks(), "gaia-ending") is None:
        raise pytest.UsageError("-p no:gaia-ending: this part cannot be left out, there would be no verdict.")


class EndingHooks:
    """Around all other hooks: what they make of a run's end is not its end."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> Generator[None, int, int]:
        """As :func:`guard_run`, for hooks that wrap that; and what the run has written is as it was written."""
        code = yield from guard_run(config)
        return _changed(config) or code


def guard_run(config: pytest.Config) -> Generator[None, int, int]:
    """Wrap a whole run; return what it ends with."""
    if hasattr(config, "workerinput") and getattr(config.option, "clean_alluredir", False):
        # Its controller has cleaned it. A worker that comes for one that died would delete what there is by then.
        config.option.clean_alluredir = False
    if config.option.gaia_deploy and getattr(config.option, "looponfail", False):
        # Its sessions run in processes of their own, which do not know that they are many.
        raise pytest.UsageError("--gaia-deploy deploys once, and --looponfail runs again and again: leave one out.")
    try:
        code = yield
    except SystemExit as ending:
        if _says_success(ending):
            raise SystemExit(exit_code(config, 0)) from None
        raise
    except pytest.UsageError as usage_error:
        # pytest quotes what it was given.
        run = config.stash.get(RUN, None)
        raise pytest.UsageError(*((run.shown(str(each)) if run else each) for each in usage_error.args)) from None
    return exit_code(config, code)


def exit_code(config: pytest.Config, code: int) -> int:
    """Return what a run ends with that would end with ``code``: nothing that it has written may hold a secret.

    Decided once: who asks again is given at best what was decided then.
    """
    if _ENDED not in config.stash:
        decided, leaked = _decided(config, code), _leaked(config)
        config.stash[_ENDED] = decided or leaked
        _report_digest(config)
    return code or config.stash[_ENDED]


def _leaked(config: pytest.Config) -> int:
    run, result = config.stash.get(RUN, None), config.stash.get(RESULT, None)
    if run is None or result is None:
        return 0
    from pytest_gaia.plugin.masking import scan_for_secrets

    return scan_for_secrets(config, run, result)


def _changed(config: pytest.Config) -> int:
    """Return the exit code that changed files ask for: 0 where record and verdict file are as the run wrote them."""
    result = config.stash.get(RESULT, None)
    files = result.restore() if result is not None else []
    for file in files:
        sys.stderr.write(
            f"gaia: {file}: was changed after this run had written it. It is restored; this run has not passed.\n"
        )
    sys.stderr.flush()
    if result is None or not files:
        return 0
    return (result.evaluated and result.evaluated.verdict.exit_code) or _NO_VERDICT


def _take_pipe(config: pytest.Config) -> None:
    """Keep the promotion's pipe from everything that this process starts."""
    with suppress(ValueError, OSError):
        pipe = int(os.environ.pop(RECORD_PIPE_VARIABLE, ""))
        os.set_inheritable(pipe, False)
        config.stash[_PIPE] = pipe
    if _PIPE in config.stash:
        _refuse_other_settings(config)
        _refuse_other_paths(config)


def _refuse_other_settings(config: pytest.Config) -> None:
    """Without settings of its own, a project has those of pytest in a folder above its repository, and their conftest.py."""
    folders = (config.rootpath, *config.rootpath.parents)
    top = next((folder for folder in folders if (folder / ".git").exists()), config.rootpath)
    if config.inipath is not None and not config.inipath.is_relative_to(top):
        raise pytest.UsageError(
            f"{config.inipath}: settings of pytest outside of the project's repository, and a promotion loads none of them. "
            f"Write [tool.pytest] into {config.rootpath / 'pyproject.toml'}, and commit it."
        )


def _refuse_other_paths(config: pytest.Config) -> None:
    """A path outside of the suites brings a ``conftest.py`` of its own, which nobody has looked at."""
    roots = [root.resolve() for root in project_of(config).suites]
    for given in config.known_args_namespace.file_or_dir:
        path = (config.invocation_params.dir / given.partition("::")[0]).resolve()
        if not any(path.is_relative_to(root) for root in roots):
            raise pytest.UsageError(f"{given}: in none of the project's suites, and a promotion runs nothing else.")


def _report_digest(config: pytest.Config) -> None:
    """Report which record this run has written: what is changed in the file from now on is none of it."""
    pipe, result = config.stash.get(_PIPE, None), config.stash.get(RESULT, None)
    if pipe is not None and result is not None:
        # The promotion may have been killed, and nobody listens.
        with suppress(OSError):
            os.write(pipe, result.digest.encode())
            os.close(pipe)


def _decided(config: pytest.Config, code: int) -> int:
    decides = not (hasattr(config, "workerinput") or runs_no_tests(config.option) or config.stash.get(UNUSED, False))
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


def _withdraw(config: pytest.Config) -> None:
    """Empty the verdict file that an earlier run has left: it is none of this run, however this one ends."""
    if getattr(config.option, "gaia_verdict_file", None):
        # A worker has its controller's options before it parses any, and must leave that file alone.
        return
    path = value_of(config, config.known_args_namespace, "gaia_verdict_file")
    if path is not None:
        # One that cannot be written ends the run a little later, with a message.
        with suppress(OSError):
            write_file(Path(path), b"", mode=PRIVATE)


def _watch_process(config: pytest.Config) -> None:
    """Let ``os._exit(0)`` end this process with 0 only where the run may end with 0.

    It goes past everything that could judge. A process that was forked from this one ends as it likes. Where pytest is
    the program, there is no end to this: callbacks of ``atexit`` run when pytest is done.
    """
    end, process = os._exit, os.getpid()

    def watched(status: int) -> NoReturn:
        if os.getpid() != process:
            end(status)
        code = exit_code(config, status)
        code = _changed(config) or code
        # The verdict may still be in a buffer, which nobody else would write out now.
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        end(code)

    def last() -> None:
        # Registered before any code of the project ran, so that it is called after all that such code has registered.
        if os.getpid() == process and (code := _changed(config)):
            with suppress(OSError, ValueError):
                sys.stdout.flush()
            end(code)

    _set_exit(watched)
    if _is_program():
        atexit.register(last)
    else:
        config.add_cleanup(lambda: _set_exit(end))


def _set_exit(function: Callable[[int], NoReturn]) -> None:
    # In the module of the system too, where ``os`` has it from.
    for module in (os, sys.modules[os.name]):
        vars(module)["_exit"] = function


def _is_program() -> bool:
    """Whether this run of pytest is what the process was started for, and not one that a program has called."""
    frame = inspect.currentframe()
    while frame and not _of_pytest(frame, "_main"):
        frame = frame.f_back
    return frame is not None and _of_pytest(frame.f_back, "_console_main")


def _of_pytest(frame: FrameType | None, function: str) -> bool:
    return frame is not None and frame.f_code.co_name == function and frame.f_globals["__name__"] == "_pytest.config"
