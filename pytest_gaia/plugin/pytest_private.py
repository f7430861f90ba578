"""Every import of ``_pytest`` and every use of private members of pytest.

Check this module first when you update pytest.
"""

# ruff: noqa: SLF001

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from _pytest._code.code import ExceptionChainRepr, ReprEntry, ReprFileLocation, ReprTraceback, TerminalRepr
from _pytest.config.findpaths import determine_setup, load_config_dict_from_file, locate_config
from _pytest.junitxml import LogXML, bin_xml_escape, mangle_test_address, xml_key
from _pytest.logging import get_option_ini
from _pytest.nodeid import NodeId
from _pytest.outcomes import Failed, Skipped
from _pytest.pathlib import fnmatch_ex
from _pytest.runner import SetupState, call_and_report
from _pytest.skipping import evaluate_skip_marks
from _pytest.subtests import SubtestContext
from _pytest.terminal import _color_for_type
from _pytest.unittest import TestCaseFunction

__all__ = [
    "ExceptionChainRepr",
    "Failed",
    "ReprEntry",
    "ReprFileLocation",
    "ReprTraceback",
    "SetupState",
    "Skipped",
    "SubtestContext",
    "TerminalRepr",
    "bin_xml_escape",
    "fnmatch_ex",
    "mangle_test_address",
]

REPLACES_A_FAILURE: CodeType = TestCaseFunction.addExpectedFailure.__code__
"""code of the function that replaces a failure of ``unittest.expectedFailure`` with an xfail"""
RUNS_A_PHASE: CodeType = pytest.CallInfo.from_call.__func__.__code__  # type: ignore[attr-defined]
ASKS_FOR_A_REPORT: CodeType = call_and_report.__code__


def is_unittest(item: pytest.Item) -> bool:
    """Whether a test is a method of a ``unittest.TestCase``."""
    return isinstance(item, TestCaseFunction)


def is_skipped(item: pytest.Item) -> bool:
    """Whether a mark skips a test. An invalid mark counts, too; pytest reports it at the turn of the test."""
    if item.get_closest_marker("skip") is None and item.get_closest_marker("skipif") is None:
        return False
    try:
        return evaluate_skip_marks(item) is not None
    except pytest.fail.Exception:
        return True


def junit_of(config: pytest.Config) -> LogXML | None:
    """Return the writer of ``--junitxml``; None if there is none."""
    return config.stash.get(xml_key, None)


def show_in_red(outcome: str) -> None:
    """Show an outcome in red in pytest's summary line, where unknown outcomes are yellow."""
    _color_for_type.setdefault(outcome, "red")


def settings_found(config: pytest.Config) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the settings of the file of ``-c``, and of the file that pytest finds itself."""
    _, _, found, _ = locate_config(config.invocation_params.dir, [config.rootpath])
    given = (config.inipath and load_config_dict_from_file(config.inipath)) or {}
    return given, found


def find_root_again(config: pytest.Config, args: list[str]) -> None:
    """Set the root folder and the configuration file of pytest again, now that options of plugins are known.

    pytest sets both before it loads plugins, and takes the value of ``--gaia-plan FILE`` for the path of a test then.
    Changes ``args``, which hold the ``addopts`` of the configuration file. Call it before any ``conftest.py`` is loaded.
    """
    known = config.known_args_namespace
    root, inipath, settings, ignored = determine_setup(
        inifile=known.inifilename,
        override_ini=known.override_ini,
        args=known.file_or_dir,
        rootdir_cmd_arg=known.rootdir or None,
        invocation_dir=config.invocation_params.dir,
    )
    if (root, inipath) == (config.rootpath, config.inipath):
        return
    del args[: len(config.getini("addopts"))]
    config._rootpath, config._inipath, config._inicfg, config._ignored_config_files = root, inipath, settings, ignored
    config._inicache.clear()
    config._parser.extra_info.update(rootdir=str(root), inifile=str(inipath))
    args[:] = [*config.getini("addopts"), *args]
    config._checkversion()
    config._configure_python_path()
    config.pluginmanager.consider_preparse(args, exclude_only=False)
    config.known_args_namespace = config._parser.parse_known_args(args, namespace=copy(config.option))
    if config.known_args_namespace.confcutdir is None:
        config.known_args_namespace.confcutdir = str(inipath.parent if inipath else root)


def cache_folder(config: pytest.Config) -> Path | None:
    """Return pytest's cache folder."""
    cache = getattr(config, "cache", None)
    return cache._cachedir if cache is not None else None


def line_is_empty(terminal: pytest.TerminalReporter) -> None:
    """Reset pytest's count of characters since the last line break."""
    terminal.config.get_terminal_writer()._current_line = ""


def terminal_stream(config: pytest.Config) -> Any:
    """Return the stream of pytest's terminal."""
    return config.get_terminal_writer()._file


def wrap_terminal(config: pytest.Config, wrap: Callable[[Any], Any]) -> None:
    """Wrap the stream of pytest's terminal."""
    writer = config.get_terminal_writer()
    writer._file = wrap(writer._file)


def wrap_tee(config: pytest.Config, wrap: Callable[[Any], Any]) -> None:
    """Wrap the streams to which ``--capture=tee-sys`` passes captured output."""
    manager: Any = config.pluginmanager.get_plugin("capturemanager")
    capturing = getattr(manager, "_global_capturing", None)
    for capture in (getattr(capturing, "out", None), getattr(capturing, "err", None)):
        copied: Any = getattr(capture, "tmpfile", None)
        if hasattr(copied, "_other"):
            copied._other = wrap(copied._other)


@contextmanager
def wrapped_streams(config: pytest.Config, wrap: Callable[[str, Any], Any]) -> Iterator[None]:
    """Wrap standard output and standard error while pytest does not capture them; ``wrap`` gets name and stream."""
    manager: Any = config.pluginmanager.get_plugin("capturemanager")
    capturing = getattr(manager, "_global_capturing", None)
    both = (getattr(capturing, "out", None), getattr(capturing, "err", None))
    captures: list[Any] = [capture for each in both if hasattr(capture := getattr(each, "syscapture", each), "_old")]
    wrapped: dict[Any, tuple[Any, Any]] = {}
    for name, capture in zip(("stdout", "stderr"), captures or (None, None), strict=True):
        original = getattr(sys, name) if capture is None else capture._old
        wrapped[name] = original, wrap(name, original)
        if capture is not None:
            capture._old = wrapped[name][1]
        if getattr(sys, name) is original:
            setattr(sys, name, wrapped[name][1])
    try:
        yield
    finally:
        for name, (original, mine) in wrapped.items():
            if getattr(sys, name) is mine:
                setattr(sys, name, original)
        for (original, mine), capture in zip(wrapped.values(), captures, strict=False):
            if getattr(capture, "_old", None) is mine:
                capture._old = original


def log_file_handler(config: pytest.Config) -> Any | None:
    """Return the handler of ``--log-file``; None if there is none."""
    logs: Any = config.pluginmanager.get_plugin("logging-plugin")
    return logs.log_file_handler if logs is not None and get_option_ini(config, "log_file") else None


def replaced_fixtures(config: pytest.Config, names: Iterable[str], plugin: str) -> Iterator[tuple[str, str]]:
    """Yield each of ``names`` that a module of another plugin defines too, and that module; the fixture of ``plugin`` applies."""
    session: Any = config.pluginmanager.get_plugin("session")
    for name in names if session is not None else ():
        # The latest one is the first.
        first, *others = session._fixturemanager._arg2node2fixturedefs.get(name, {}).get(session, [None])
        if others and first.func.__module__ == plugin:
            yield name, others[0].func.__module__


def used_fixtures(item: pytest.Item, by_pytest: tuple[str, ...]) -> dict[str, tuple[pytest.FixtureDef[Any], ...]]:
    """Return the fixtures that a test names or asks for, and those that they use, by name; the last definition applies.

    Without those that every test gets (``autouse=True``), unless their names begin with one of ``by_pytest``.
    """
    info, request = getattr(item, "_fixtureinfo", None), getattr(item, "_request", None)
    if info is None or request is None:
        return {}
    named = [*info.argnames, *(name for mark in item.iter_markers("usefixtures") for name in mark.args)]
    named += (name for name in info.names_closure if name.startswith(by_pytest))
    # Of `request.getfixturevalue`.
    named += (name for name in request._fixture_defs if name not in info.name2fixturedefs)
    known, used = {**request._arg2fixturedefs, **info.name2fixturedefs}, {}
    while named:
        name = named.pop()
        if name in known and name not in used:
            used[name] = tuple(known[name])
            named += (each for definition in known[name] for each in definition.argnames)
    return used


def has_replaced_fixtures(item: pytest.Item) -> bool:
    """Whether a fixture that a test gets has the name of another one, which it replaces."""
    request = getattr(item, "_request", None)
    return request is not None and any(len(each) > 1 for each in request._arg2fixturedefs.values())


def functions_calling_tests(config: pytest.Config) -> list[Any]:
    """Return the functions that implement ``pytest_pyfunc_call``, without wrappers."""
    return [each.function for each in config.hook.pytest_pyfunc_call.get_hookimpls() if not each.wrapper]


def tear_down(session: pytest.Session) -> None:
    """Tear down everything that is set up. Raises the errors of finalizers."""
    session._setupstate.teardown_exact(None)


def rename_parameters(item: Any, rename: Callable[[str], str]) -> None:
    """Rename the parameters in the id of a test.

    pytest computes an id once, and offers no way to change it.
    """
    old = getattr(item, "callspec", None)
    if old is None:
        return
    new = replace(old, _idlist=[rename(part) for part in old._idlist])
    if new.id == old.id:
        return
    name = item.name
    item.callspec, item.name = new, name.replace(f"[{old.id}]", f"[{new.id}]")
    item._id = NodeId(path=item._id.path, names=item._id.names, params=new.id)
    # Used by -k, and part of reports.
    known = item.keywords._markers
    for before, after in ((name, item.name), (old.id, new.id)):
        if known.pop(before, None):
            known[after] = True
