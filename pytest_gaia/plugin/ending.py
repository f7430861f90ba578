"""Guard the end of a run: a run that uses Gaia exits with 0 only if its verdict allows it.

Tests, fixtures and hooks can end a run before it is evaluated: with ``pytest.exit``, ``SystemExit``, pytest's exit status,
or by ending the process. All of these pass through this module. If pytest is the program, the guard lasts until the
interpreter exits, so that ``atexit`` callbacks cannot change the exit code, the results log or the verdict file.
"""

from __future__ import annotations

import atexit
import inspect
import os
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from signal import SIGINT
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from pluggy import PluginValidationError

from pytest_gaia.config.variables import RECORD_PIPE_VARIABLE
from pytest_gaia.errors import ConfigError
from pytest_gaia.files.writing import PRIVATE, write_file
from pytest_gaia.plugin.options import files_after_a_space, runs_no_tests, value_of
from pytest_gaia.plugin.pytest_private import find_root_again
from pytest_gaia.stash import RUN, project_of
from pytest_gaia.system.signals import held_back

if TYPE_CHECKING:
    # Runs that do not use Gaia import this module, too.
    from pytest_gaia.plugin.checks.result import Result
    from pytest_gaia.promotion.attestation import SigningProcess

VERDICT: pytest.StashKey[int] = pytest.StashKey()
"""on the config: the exit code of the run's verdict, once there is one"""
UNUSED: pytest.StashKey[bool] = pytest.StashKey()
"""on the config: this run does not use Gaia, although the project does"""
RESULT: pytest.StashKey[Result] = pytest.StashKey()
"""on the config of the controller process: the result of the run"""
_PIPE: pytest.StashKey[int] = pytest.StashKey()
"""on the config: the pipe to a promotion that waits for the digest of the results log"""
_SIGNING: pytest.StashKey[SigningProcess] = pytest.StashKey()
"""on the config of the controller process: the process with the signing key, for ``--gaia-attest``"""
_ENDED: pytest.StashKey[int] = pytest.StashKey()
"""on the config: the exit code of the run, once it is decided"""

_NO_VERDICT = 11
"""the exit code of HOLD"""


def guard_conftests(config: pytest.Config, args: list[str]) -> Generator[None]:
    """Wrap the import of ``conftest.py``, the first code of a project that runs."""
    if files_after_a_space(config.known_args_namespace, config.invocation_params.args):
        find_root_again(config, args)
    _withdraw(config)
    _take_pipe(config)
    _take_key(config)
    _watch_process(config)
    try:
        yield
    except SystemExit as ending:
        if _is_success(ending):
            raise pytest.UsageError(
                "a conftest.py raised SystemExit while it was imported, which ended the run."
            ) from None
        raise
    except PluginValidationError as error:
        if "pytest_gaia_" in str(error):
            raise pytest.UsageError(f"a hook has wrong arguments: {error}") from None
        raise
    # After every conftest.py, because the hook that is registered last is the outermost.
    if config.pluginmanager.register(EndingHooks(), "gaia-ending") is None:
        raise pytest.UsageError("-p no:gaia-ending: this plugin is required, because it guards the verdict.")
    _await_key(config)


class EndingHooks:
    """Wraps all other hooks, so that they cannot change how a run ends."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> Generator[None, int, int]:
        """Guard the run against hooks that wrap :func:`guard_run`, and restore changed files."""
        code = yield from guard_run(config)
        return _changed(config) or code


def guard_run(config: pytest.Config) -> Generator[None, int, int]:
    """Wrap a whole run; return its exit code."""
    if hasattr(config, "workerinput") and getattr(config.option, "clean_alluredir", False):
        # The controller has cleaned it. A worker that replaces a crashed one would delete the results.
        config.option.clean_alluredir = False
    if config.option.gaia_deploy and getattr(config.option, "looponfail", False):
        # Each of its sessions runs in a new process and would deploy again.
        raise pytest.UsageError("--gaia-deploy and --looponfail exclude each other: a deployment runs once.")
    try:
        code = yield
    except SystemExit as ending:
        if _is_success(ending):
            raise SystemExit(exit_code(config, 0)) from None
        raise
    except pytest.UsageError as usage_error:
        # pytest quotes its arguments, which can contain secrets.
        run = config.stash.get(RUN, None)
        raise pytest.UsageError(*((run.shown(str(each)) if run else each) for each in usage_error.args)) from None
    return exit_code(config, code)


def exit_code(config: pytest.Config, code: int) -> int:
    """Return the exit code of a run that would exit with ``code``; not 0 if written files contain secrets.

    Decided once; later calls return at best the same code.
    """
    if _ENDED not in config.stash:
        decided, leaked = _decided(config, code), _leaked(config)
        config.stash[_ENDED] = _attested(config, decided or leaked)
        _report_digest(config)
    return code or config.stash[_ENDED]


def _leaked(config: pytest.Config) -> int:
    run, result = config.stash.get(RUN, None), config.stash.get(RESULT, None)
    if run is None or result is None:
        return 0
    from pytest_gaia.plugin.masking import scan_for_secrets

    return scan_for_secrets(config, run, result)


def _attested(config: pytest.Config, code: int) -> int:
    """Write the attestation of a run that ends with ``code``, if requested; return the exit code, not 0 if it cannot be written."""
    signing, result = config.stash.get(_SIGNING, None), config.stash.get(RESULT, None)
    if result is None or not result.attests or runs_no_tests(config.option):
        return code
    problem = "--gaia-attest: the key was not taken at the start, so that nothing is signed."
    if signing is not None:
        with held_back(SIGINT):
            problem = result.attest(signing, code)
    if problem:
        sys.stderr.write(f"gaia: {problem}\n")
        sys.stderr.flush()
    return code or (int(pytest.ExitCode.USAGE_ERROR) if problem else 0)


def _changed(config: pytest.Config) -> int:
    """Return the exit code for changed files: 0 if the files with the verdict are as the run wrote them."""
    result = config.stash.get(RESULT, None)
    files = result.restore() if result is not None else []
    for file in files:
        sys.stderr.write(
            f"gaia: {file}: changed after this run wrote it. The file is restored; the run has not passed.\n"
        )
    sys.stderr.flush()
    if result is None or not files:
        return 0
    return _attested(config, (result.evaluated and result.evaluated.verdict.exit_code) or _NO_VERDICT)


def _take_key(config: pytest.Config) -> None:
    """Start the process that signs the verdict, before code of the project can read the key.

    Raises ``UsageError`` if there is no key. A run without tests needs none, and signs nothing.
    """
    option = config.known_args_namespace
    if _is_worker() or runs_no_tests(option) or not value_of(config, option, "gaia_attest"):
        return
    from pytest_gaia.promotion.attestation import SigningProcess

    try:
        signing = config.stash[_SIGNING] = SigningProcess(os.environ)
    except ConfigError as error:
        raise pytest.UsageError(f"--gaia-attest: {error}") from None
    if _is_program():
        # Before the guard registers its own callback, which runs first, and may sign again.
        atexit.register(signing.close)
    else:
        config.add_cleanup(signing.close)
        config.add_cleanup(partial(os.environ.update, signing.withheld))


def _await_key(config: pytest.Config) -> None:
    """Wait until the process that signs has loaded its key. Raises ``UsageError`` if it cannot."""
    if _SIGNING in config.stash:
        try:
            config.stash[_SIGNING].ready()
        except ConfigError as error:
            raise pytest.UsageError(f"--gaia-attest: {error}") from None


def _take_pipe(config: pytest.Config) -> None:
    """Take the promotion's pipe, so that child processes do not inherit it."""
    with suppress(ValueError, OSError):
        pipe = int(os.environ.pop(RECORD_PIPE_VARIABLE, ""))
        os.set_inheritable(pipe, False)
        config.stash[_PIPE] = pipe
    if _PIPE in config.stash:
        _refuse_other_settings(config)
        _refuse_other_paths(config)


def _refuse_other_settings(config: pytest.Config) -> None:
    """Refuse settings of pytest, and their conftest.py, from a folder above the project's repository."""
    folders = (config.rootpath, *config.rootpath.parents)
    top = next((folder for folder in folders if (folder / ".git").exists()), config.rootpath)
    if config.inipath is not None and not config.inipath.is_relative_to(top):
        raise pytest.UsageError(
            f"{config.inipath}: is outside of the project's repository, and a promotion does not load such settings. "
            f"Add [tool.pytest] to {config.rootpath / 'pyproject.toml'}, and commit it."
        )


def _refuse_other_paths(config: pytest.Config) -> None:
    """Refuse paths outside of the suites, whose ``conftest.py`` has not been reviewed."""
    roots = [root.resolve() for root in project_of(config).suites]
    for given in config.known_args_namespace.file_or_dir:
        path = (config.invocation_params.dir / given.partition("::")[0]).resolve()
        if not any(path.is_relative_to(root) for root in roots):
            raise pytest.UsageError(f"{given}: is not in a suite of the project, and a promotion runs suites only.")


def _report_digest(config: pytest.Config) -> None:
    """Send the digest of the results log to the promotion, which detects later changes of the file."""
    pipe, result = config.stash.get(_PIPE, None), config.stash.get(RESULT, None)
    if pipe is not None and result is not None:
        # The promotion may have been killed.
        with suppress(OSError):
            os.write(pipe, result.digest.encode())
            os.close(pipe)


def _decided(config: pytest.Config, code: int) -> int:
    decides = not (hasattr(config, "workerinput") or runs_no_tests(config.option) or config.stash.get(UNUSED, False))
    if code != 0 or not decides:
        return code
    expected = config.stash.get(VERDICT, None)
    if expected is None:
        sys.stderr.write("gaia: no verdict: the run ended before it was evaluated, so it counts as not passed.\n")
        sys.stderr.flush()
        return _NO_VERDICT
    return expected


def _is_success(ending: SystemExit) -> bool:
    return ending.code is None or ending.code == 0


def _withdraw(config: pytest.Config) -> None:
    """Empty the verdict file and the attestation of an earlier run, so that they are never taken for those of this run."""
    for key in ("gaia_verdict_file", "gaia_attest"):
        if getattr(config.option, key, None):
            # A worker has its controller's options before it parses any, and must leave that file alone.
            continue
        path = value_of(config, config.known_args_namespace, key)
        if path is not None:
            # A file that cannot be written ends the run later, with a message.
            with suppress(OSError):
                write_file(Path(path), b"", mode=PRIVATE)


def _watch_process(config: pytest.Config) -> None:
    """Let ``os._exit(0)`` exit with 0 only if the run may exit with 0, and let no other program replace the process.

    It bypasses every other guard. Forked processes are not affected. If pytest is the program, the guard stays active,
    because ``atexit`` callbacks run after pytest.
    """
    end, process = os._exit, os.getpid()

    def watched(status: int) -> NoReturn:
        if os.getpid() != process:
            end(status)
        code = exit_code(config, status)
        code = _changed(config) or code
        # The verdict may still be in a buffer.
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        end(code)

    def last() -> None:
        # Registered before code of the project, so that it runs after callbacks of that code.
        if os.getpid() == process and (code := _changed(config)):
            with suppress(OSError, ValueError):
                sys.stdout.flush()
            end(code)

    replaced: dict[str, Callable[..., NoReturn]] = {"_exit": end, "execv": os.execv, "execve": os.execve}
    _set_functions({"_exit": watched, "execv": _refusing(os.execv), "execve": _refusing(os.execve)})
    if _is_program():
        atexit.register(last)
    else:
        config.add_cleanup(lambda: _set_functions(replaced))


def _refusing(replace: Callable[..., NoReturn]) -> Callable[..., NoReturn]:
    """Return ``replace``, which replaces a process by another program, for forked processes only."""
    process = os.getpid()

    def replacing(*arguments: Any) -> NoReturn:
        if os.getpid() == process:
            raise PermissionError("refused: another program would replace this run, and end it without a verdict")
        replace(*arguments)

    return replacing


def _set_functions(functions: Mapping[str, Callable[..., NoReturn]]) -> None:
    # In the system's module, too, from which ``os`` imports them.
    for module in (os, sys.modules[os.name]):
        vars(module).update(functions)


def _is_program() -> bool:
    """Whether the process was started to run pytest, instead of a program that calls pytest."""
    return _of_pytest(_caller_of("_main"), "_console_main")


def _is_worker() -> bool:
    """Whether this configuration is that of a worker, which has no mark of its own before its options are read."""
    caller = _caller_of("_prepareconfig")
    return caller is not None and caller.f_globals["__name__"] == "__channelexec__"


def _caller_of(function: str) -> FrameType | None:
    """Return the frame that called ``function`` of pytest; None if it does not run."""
    frame = inspect.currentframe()
    while frame and not _of_pytest(frame, function):
        frame = frame.f_back
    return frame and frame.f_back


def _of_pytest(frame: FrameType | None, function: str) -> bool:
    return frame is not None and frame.f_code.co_name == function and frame.f_globals["__name__"] == "_pytest.config"
