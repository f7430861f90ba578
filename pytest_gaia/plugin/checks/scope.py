"""The scope of a run: what was left out of the suites."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from inspect import isclass, isfunction
from pathlib import Path
from typing import Any

import pytest

from pytest_gaia.plugin.checks.plans import Sharding
from pytest_gaia.plugin.launch import paths_of
from pytest_gaia.plugin.pytest_private import fnmatch_ex, settings_found
from pytest_gaia.run.session import Run
from pytest_gaia.wording import counted

_NAMED = 3
"""how many names a sentence lists"""
_FLAGS = (("--lf", "lf"), ("--sw", "stepwise"))
_COLLECTING = (
    "collect_imported_tests",
    "norecursedirs",
    "python_classes",
    "python_files",
    "python_functions",
    "testpaths",
)
"""settings of pytest that determine what is a test"""
_LIKE_TESTS = ("test_", "Test")
_PYTHON_FILES = ("test_*.py", "*_test.py")
_NO_SUITES = (".*", "__pycache__", "node_modules", "venv", "*.egg")
"""folders that contain no tests"""


class CollectionHooks:
    """Registered where tests are collected."""

    def __init__(
        self,
        scope: Scope,
        taken_out: Callable[[list[str]], None],
        uncollected: Callable[[list[str]], None],
        sharding: Sharding | None = None,
    ) -> None:
        """``taken_out`` receives node ids that a hook removed without reporting it.

        ``uncollected`` receives files that were not read, and functions and classes that look like tests.
        """
        self._scope = scope
        self._taken_out = taken_out
        self._uncollected = uncollected
        self._sharding = sharding
        # By identity, because a hook may rename tests.
        self._open: dict[int, pytest.Item] = {}
        self._seen: set[Path] = set()
        self._dropped: list[str] = []
        self._unusual: list[str] = []

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_pycollect_makeitem(
        self, collector: pytest.Module | pytest.Class, name: str, obj: object
    ) -> Generator[None, object, object]:
        """Note tests that a hook drops while pytest creates them, and those that pytest does not collect."""
        made = yield
        if name.startswith(_LIKE_TESTS) and (why := _uncollected(collector, made, obj)):
            self._unusual.append(f"{collector.nodeid}::{name} ({why})")
        if made == [] and (collector.istestfunction(obj, name) or collector.istestclass(obj, name)):
            self._dropped.append(f"{collector.nodeid}::{name}")
        return made

    def pytest_collectstart(self, collector: pytest.Collector) -> None:
        """Note that the file is read."""
        self._seen.add(collector.path)

    @pytest.hookimpl(tryfirst=True)
    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Note a collected test."""
        self._open[id(item)] = item

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None]:
        """Remove the tests of other shards, after other hooks have selected and sorted tests."""
        yield
        if self._sharding is not None:
            for item in self._sharding.remove_others(items):
                self._open.pop(id(item), None)

    def pytest_report_collectionfinish(self) -> list[str]:
        """Say how many tests this shard has."""
        return [self._sharding.summary] if self._sharding is not None and self._sharding.summary else []

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Forget tests whose deselection is reported."""
        for item in items:
            self._open.pop(id(item), None)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Report the collected tests that will not run."""
        for item in session.items:
            self._open.pop(id(item), None)
        missing = [*self._dropped, *(item.nodeid for item in self._open.values())]
        self._dropped.clear()
        self._open.clear()
        if missing:
            self._taken_out(missing)
        if missing := [*self._scope.missing(self._seen), *self._unusual]:
            self._uncollected(missing)


@dataclass(frozen=True, slots=True)
class Scope:
    """The tests of a full run."""

    config: pytest.Config
    folders: tuple[Path, ...]
    """the folders of ``[gaia] suites``; without them, what pytest collects without a path"""
    skipped: tuple[str, ...]
    """names of subfolders that contain no tests"""

    @classmethod
    def of(cls, config: pytest.Config, run: Run) -> Scope:
        """Return the scope of a run."""
        if run.roots:
            return cls(config, run.roots, _NO_SUITES)
        rootdir = run.options.rootdir
        # As in pytest, a pattern may be absolute or contain `..`. PTH207: a path's own glob takes neither.
        patterns = (rootdir / pattern for pattern in config.getini("testpaths"))
        found = [os.path.normpath(path) for each in patterns for path in sorted(glob(str(each), recursive=True))]  # noqa: PTH207
        return cls(config, tuple(map(Path, found)) or (rootdir,), ("__pycache__", *config.getini("norecursedirs")))

    def left_out(
        self, *, planned: int = 0, deselected: int = 0, taken_out: int = 0, uncollected: Sequence[str] = ()
    ) -> tuple[str, ...]:
        """Return what a run leaves out, one sentence each; empty for a full run."""
        found: list[str] = []
        options = self._narrowing()
        if deselected:
            total = planned + deselected + taken_out
            found.append(f"{' and '.join(options) or 'a plugin'} deselected {deselected} of {total} tests")
        elif options:
            found.append(f"{' and '.join(options)} {_were(options)} given")
        if named := self._narrower():
            found.append(f"only {_some(named)} {_were(named)} collected")
        if uncollected:
            found.append(f"{_some(uncollected)} {_were(uncollected)} not collected")
        if taken_out:
            found.append(f"a plugin removed {counted(taken_out, 'test')} without reporting it")
        return tuple(found)

    def missing(self, seen: set[Path]) -> list[str]:
        """Return test files that are not in ``seen``; empty if the paths on the command line explain it."""
        if self._narrower():
            return []
        return [self._shown(path) for path in self._test_files() if path not in seen]

    def _narrower(self) -> list[str]:
        """Return the paths and node ids to collect, if they are less than all folders."""
        pairs = list(zip(self.config.args, paths_of(self.config), strict=True))
        whole = [path for argument, path in pairs if "::" not in argument]
        if all(any(path == folder or path in folder.parents for path in whole) for folder in self.folders):
            return []
        return [self._shown(path) + "".join(argument.partition("::")[1:]) for argument, path in pairs]

    def _narrowing(self) -> list[str]:
        """Return the options that select a part of the tests, even if they deselect none."""
        words = [
            *(f"-m {shlex.quote(value)}" for value in self._given("markexpr")),
            *(f"-k {shlex.quote(value)}" for value in self._given("keyword")),
            *(f"-o {shlex.quote(value)}" for value in self._given("override_ini") if _decides(value)),
            *(f"-c {shlex.quote(value)}" for value in self._given("inifilename") if self._decides_otherwise()),
            *(f"--gaia-command={value}" for value in self._given("gaia_command")),
            *(f"--deselect={value}" for value in self._given("deselect")),
            *(f"--ignore={value}" for value in self._given("ignore") if self._concerns(value)),
            *(f"--ignore-glob={value}" for value in self._given("ignore_glob")),
            *(flag for flag, name in _FLAGS if getattr(self.config.option, name, None)),
        ]
        return [*words[:_NAMED], f"{len(words) - _NAMED} more options"] if len(words) > _NAMED + 1 else words

    def _given(self, name: str) -> list[str]:
        value = getattr(self.config.option, name, None) or []
        return [value] if isinstance(value, str) else list(map(str, value))

    def _decides_otherwise(self) -> bool:
        """Whether the file of ``-c`` has other settings for collection than the one that pytest finds itself."""
        given, found = settings_found(self.config)
        return bool(found) and any(_words(given, name) != _words(found, name) for name in _COLLECTING)

    def _concerns(self, ignored: str) -> bool:
        path = Path(os.path.normpath(self.config.invocation_params.dir / ignored))
        return any(path == each or path in each.parents or each in path.parents for each in self.folders)

    def _test_files(self) -> Iterator[Path]:
        python = self.config.pluginmanager.has_plugin("python")
        patterns = self.config.getini("python_files") if python else _PYTHON_FILES
        for root in self.folders:
            for folder, folders, files in os.walk(root):
                here = Path(folder)
                folders[:] = sorted(name for name in folders if not self._skips(here / name))
                found = (here / name for name in sorted(files) if name.endswith(".py"))
                yield from (path for path in found if any(fnmatch_ex(each, path) for each in patterns))

    def _skips(self, folder: Path) -> bool:
        named = any(fnmatch_ex(each, folder) for each in self.skipped)
        return named or (folder / "pyvenv.cfg").exists()

    def _shown(self, path: Path) -> str:
        return os.path.relpath(path, self.config.rootpath).replace(os.sep, "/")


def _uncollected(collector: pytest.Module | pytest.Class, made: object, obj: object) -> str:
    """Return why pytest does not collect a function or class that is named like a test; empty if it does, or need not.

    ``made`` is what pytest made of ``obj``. ``__test__ = False`` is a decision of the project.
    """
    if getattr(obj, "__test__", None) is False:
        return ""
    if made is None and isfunction(obj):
        return "does not match python_functions"
    if not isclass(obj) or not _has_tests(collector, obj):
        return ""
    if made is None:
        return "does not match python_classes"
    constructors = [each for each in ("__init__", "__new__") if getattr(obj, each) is not getattr(object, each)]
    # Plugins return it in a list. The collector of a class of unittest is of another type.
    collected = made if isinstance(made, list) else [made]
    return f"has {constructors[0]}" if constructors and any(type(each) is pytest.Class for each in collected) else ""


def _has_tests(collector: pytest.Module | pytest.Class, of: type) -> bool:
    parents = of.__mro__[:-1]
    return any(isfunction(each) and collector.funcnamefilter(n) for base in parents for n, each in vars(base).items())


def _words(settings: Mapping[str, Any], name: str) -> object:
    """Return a setting in a form that is the same for all file formats."""
    value = settings[name].value if name in settings else None
    return value.split() if isinstance(value, str) else value


def _decides(setting: str) -> bool:
    return setting.partition("=")[0].strip() in _COLLECTING


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {counted(rest, 'other')}" if rest > 0 else "")


def _were(things: Sequence[str]) -> str:
    return "was" if len(things) == 1 else "were"
