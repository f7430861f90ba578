"""Why a collected test is serial: its kind, marks and fixtures, and the hooks around it.

A run prints before its first test why no test is concurrent, or which tests are serial.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import CodeType

import pytest

from pytest_gaia.collection.concurrency import Facts, Fixture, serial_reason
from pytest_gaia.collection.needs import Needs
from pytest_gaia.config.platform import Platform
from pytest_gaia.plugin.checks.phases import EVIDENCE
from pytest_gaia.plugin.concurrency.private import obstacle, runs_on, signature
from pytest_gaia.run.session import Run
from pytest_gaia.wording import counted

_HOOKS = ("pytest_runtest_protocol", "pytest_runtest_setup", "pytest_runtest_call", "pytest_pyfunc_call")
"""hooks that would run at the turn of a test, after its body"""
_KNOWN = frozenset(
    {
        "_hypothesis_pytestplugin",
        "_pytest",
        "allure_pytest",
        "anyio",
        "pytest_asyncio",
        "pytest_cov",
        "pytest_gaia",
        "pytest_rerunfailures",
        "pytest_timeout",
        "schemathesis",
        "xdist",
    }
)
"""packages whose hooks do not change what a test does"""


_FILTERS = frozenset({"catch_warnings", "deprecated_call", "filterwarnings", "resetwarnings", "simplefilter", "warns"})
"""functions that change how the process treats warnings; a test can wait while they do"""


class Reader:
    """Reads why tests are serial. Tests of one function or file share most of it."""

    def __init__(self, config: pytest.Config, platform: Platform) -> None:
        self._root = config.rootpath
        databases = [platform[name].identifier for name in platform.of_kind("postgres")]
        self._databases = (*databases, *(f"{name}_fresh" for name in databases))
        self._fixtures: dict[int, tuple[Fixture, ...]] = {}
        self._hooks: dict[tuple[Path, int], str] = {}

    def serial_reason(self, item: pytest.Item, needs: Needs) -> str | None:
        """Return why a test is serial, as a part of a sentence; None if it may be concurrent."""
        loop = runs_on(item)
        if loop is None or needs.serial or needs.writes:
            return serial_reason(needs, Facts(asynchronous=loop is not None))
        known, arguments, definitions = signature(item)
        parameters = item.callspec.params if hasattr(item, "callspec") else ()
        fixtures = self._fixtures.get(id(known))
        if fixtures is None:
            fixtures = self._fixtures[id(known)] = tuple(
                _fixture(name, each, name in parameters)
                for name, overridden in definitions.items()
                for each in overridden
            )
        facts = Facts(
            session_loop=loop == "session",
            fixtures=fixtures,
            requested="request" in arguments,
            marks=tuple(_marks(item)),
            filters=next(_filters(getattr(inspect.unwrap(item.obj), "__code__", None)), ""),  # type: ignore[attr-defined]
            hook=self._hook(item),
        )
        return serial_reason(needs, facts, self._databases)

    def _hook(self, item: pytest.Item) -> str:
        place = item.path, id(item.parent)
        if place not in self._hooks:
            self._hooks[place] = next(self._found(item), "")
        return self._hooks[place]

    def _found(self, item: pytest.Item) -> Iterator[str]:
        for name in _HOOKS:
            for each in getattr(item.ihook, name).get_hookimpls():
                if each.function.__module__.partition(".")[0] not in _KNOWN:
                    yield f"the hook {name} of {self._origin(each.function) or each.plugin_name}"
        for node in item.listchain():
            if isinstance(node, pytest.Package) and "_module" in (node.path / "__init__.py").read_text("utf-8"):
                yield f"setup_module of {self._shown(node.path / '__init__.py')}"

    def _origin(self, function: object) -> str:
        path = inspect.getsourcefile(inspect.unwrap(function))  # type: ignore[arg-type]
        return self._shown(Path(path)) if path and path.endswith("conftest.py") else ""

    def _shown(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix() if path.is_relative_to(self._root) else path.name


def _fixture(name: str, definition: pytest.FixtureDef[object], parametrized: bool) -> Fixture:
    function = definition.func
    yields = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    return Fixture(name, definition.scope, yields, _asks(function), parametrized or definition.params is not None)


def _asks(function: object) -> bool:
    """Whether a fixture has an inner function that requests other fixtures."""
    code: CodeType | None = getattr(inspect.unwrap(function), "__code__", None)  # type: ignore[arg-type]
    inner = (each for each in code.co_consts if isinstance(each, CodeType)) if code is not None else ()
    return any("getfixturevalue" in each.co_names for each in inner)


def _filters(code: CodeType | None) -> Iterator[str]:
    """Yield what the code of a function uses of :data:`_FILTERS`, also in its inner functions."""
    if code is not None:
        yield from sorted(_FILTERS.intersection(code.co_names))
        for each in code.co_consts:
            if isinstance(each, CodeType):
                yield from _filters(each)


def _marks(item: pytest.Item) -> Iterator[str]:
    for each in item.iter_markers():
        if each.name == "filterwarnings":
            yield "filterwarnings, which changes the process"
        elif each.name == "xfail" and each.kwargs.get("run") is False:
            yield "xfail(run=False)"


class SequentialHooks:
    """Registered if tests cannot be concurrent."""

    def __init__(self, why: str) -> None:
        self._why = why

    def pytest_report_header(self) -> list[str]:
        """Say why tests are not concurrent."""
        return [f"gaia: tests are not concurrent: {self._why}"]


class ExplanationHooks:
    """Registered with ``--collect-only``: prints how many tests may be concurrent, and with ``-v`` why the others are serial."""

    def __init__(self, config: pytest.Config, run: Run) -> None:
        self._config = config
        self._limit = run.declared.concurrency
        self._reader = Reader(config, run.declared.platform)
        self._reasons: Mapping[str, str] = {}
        """serial test → why"""

    def pytest_report_collectionfinish(self, items: Sequence[pytest.Item]) -> list[str]:
        """Say how many tests may be concurrent."""
        if self._config.get_verbosity() < 0 or not items:
            return []
        reasons = {item.nodeid: self._reader.serial_reason(item, item.stash[EVIDENCE].traits.needs) for item in items}
        self._reasons = {node: reason for node, reason in reasons.items() if reason}
        alone, several = len(self._reasons), len(reasons) - len(self._reasons)
        line = f"gaia: {several} of {counted(len(reasons), 'test')} run concurrently, {self._limit} at a time; {alone} run alone"
        return [line if self._config.get_verbosity() > 0 or not alone else f"{line} (-v shows why)"]

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self) -> None:
        """Say why the others are serial, after pytest has listed the tests."""
        terminal: pytest.TerminalReporter | None = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None or not self._reasons or self._config.get_verbosity() <= 0:
            return
        terminal.write_line(f"gaia: {counted(len(self._reasons), 'test')} run alone:")
        for node, reason in self._reasons.items():
            terminal.write_line(f"  {node}: {reason}")


def introduction(config: pytest.Config, run: Run) -> SequentialHooks | ExplanationHooks | None:
    """Return the hooks that explain the concurrency of ``run``, if there is something to explain.

    If tests cannot be concurrent, ``run`` is a run with one test at a time from now on.
    """
    if why := obstacle(config):
        run.declared = replace(run.declared, concurrency=1)
        return SequentialHooks(why)
    return ExplanationHooks(config, run) if config.option.collectonly and not run.is_worker else None
