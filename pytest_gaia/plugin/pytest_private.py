"""What this package needs of pytest that pytest does not offer: every import of ``_pytest``, and every private member.

Whoever moves to a new pytest looks here first.
"""

# ruff: noqa: SLF001

from collections.abc import Callable, Mapping
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
from _pytest.outcomes import Skipped
from _pytest.pathlib import fnmatch_ex
from _pytest.runner import call_and_report
from _pytest.subtests import SubtestContext
from _pytest.terminal import _color_for_type
from _pytest.unittest import TestCaseFunction

__all__ = [
    "ExceptionChainRepr",
    "ReprEntry",
    "ReprFileLocation",
    "ReprTraceback",
    "Skipped",
    "SubtestContext",
    "TerminalRepr",
    "bin_xml_escape",
    "fnmatch_ex",
    "mangle_test_address",
]

REPLACES_A_FAILURE: CodeType = TestCaseFunction.addExpectedFailure.__code__
"""of the function that raises an xfail in place of a failure which ``unittest.expectedFailure`` expects"""
RUNS_A_PHASE: CodeType = pytest.CallInfo.from_call.__func__.__code__  # type: ignore[attr-defined]
ASKS_FOR_A_REPORT: CodeType = call_and_report.__code__


def is_unittest(item: pytest.Item) -> bool:
    """Whether a test is a method of a ``unittest.TestCase``."""
    return isinstance(item, TestCaseFunction)


def junit_of(config: pytest.Config) -> LogXML | None:
    """Return what writes the file of ``--junitxml``, where there is one."""
    return config.stash.get(xml_key, None)


def show_in_red(outcome: str) -> None:
    """Let the line that counts everything show an outcome in red. pytest shows what it does not know in yellow."""
    _color_for_type.setdefault(outcome, "red")


def settings_found(config: pytest.Config) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the settings of the file that ``-c`` names, and of the one that pytest finds by itself."""
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
    """Return where pytest keeps its cache."""
    cache = getattr(config, "cache", None)
    return cache._cachedir if cache is not None else None


def line_is_empty(terminal: pytest.TerminalReporter) -> None:
    """Say that nothing is left in the terminal's line. pytest counts what was written since the last line break."""
    terminal.config.get_terminal_writer()._current_line = ""


def terminal_stream(config: pytest.Config) -> Any:
    """Return the stream that pytest's terminal writes to."""
    return config.get_terminal_writer()._file


def wrap_terminal(config: pytest.Config, wrap: Callable[[Any], Any]) -> None:
    """Put another stream between pytest's terminal and its stream."""
    writer = config.get_terminal_writer()
    writer._file = wrap(writer._file)


def wrap_tee(config: pytest.Config, wrap: Callable[[Any], Any]) -> None:
    """Put another stream between tests and what ``--capture=tee-sys``, which keeps what is printed, hands it on to."""
    manager: Any = config.pluginmanager.get_plugin("capturemanager")
    capturing = getattr(manager, "_global_capturing", None)
    for capture in (getattr(capturing, "out", None), getattr(capturing, "err", None)):
        copied: Any = getattr(capture, "tmpfile", None)
        if hasattr(copied, "_other"):
            copied._other = wrap(copied._other)


def log_file_handler(config: pytest.Config) -> Any | None:
    """Return what writes the file of ``--log-file``, where there is one."""
    logs: Any = config.pluginmanager.get_plugin("logging-plugin")
    return logs.log_file_handler if logs is not None and get_option_ini(config, "log_file") else None


def rename_parameters(item: Any, rename: Callable[[str], str]) -> None:
    """Give each parameter in the id of a test another name.

    pytest computes an id once, from the name that a test is made with, and offers no way to give it another.
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
    # -k looks at these, and reports carry them.
    known = item.keywords._markers
    for before, after in ((name, item.name), (old.id, new.id)):
        if known.pop(before, None):
            known[after] = True
