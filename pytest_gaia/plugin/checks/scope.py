"""What there was to run, and what was left out of it: a full run collects everything, and a sealed plan is owed."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.collection.suites import suite_names
from pytest_gaia.errors import ConfigError
from pytest_gaia.plugin.checks.phases import EVIDENCE
from pytest_gaia.plugin.checks.result import Evaluator, Result
from pytest_gaia.plugin.launch import distributes, paths_of, selects_nothing
from pytest_gaia.plugin.options import runs_no_tests
from pytest_gaia.plugin.pytest_private import fnmatch_ex, settings_found
from pytest_gaia.run.session import Run
from pytest_gaia.verdict.plan import Plan, PlannedObjective, PlannedTest, read_plan, write_plan
from pytest_gaia.verdict.report import expectations_digest
from pytest_gaia.wording import counted

if TYPE_CHECKING:
    # It imports this module.
    from pytest_gaia.plugin.checks.observer import ObserverHooks

_NAMED = 3
"""how many of the things that were left out a sentence names"""
_FLAGS = (("--lf", "lf"), ("--sw", "stepwise"))
_COLLECTING = (
    "collect_imported_tests",
    "norecursedirs",
    "python_classes",
    "python_files",
    "python_functions",
    "testpaths",
)
"""settings of pytest that decide what is a test"""
_PYTHON_FILES = ("test_*.py", "*_test.py")
_NO_SUITES = (".*", "__pycache__", "node_modules", "venv", "*.egg")
"""folders in which pytest looks for no tests, and nobody keeps checks"""


class CollectionHooks:
    """Registered where tests are collected."""

    def __init__(
        self, scope: Scope, taken_out: Callable[[list[str]], None], uncollected: Callable[[list[str]], None]
    ) -> None:
        """``taken_out`` takes the node ids that a hook took out without a word, ``uncollected`` the missing files."""
        self._scope = scope
        self._taken_out = taken_out
        self._uncollected = uncollected
        # By identity, because a hook may rename what it does not take out.
        self._open: dict[int, pytest.Item] = {}
        self._seen: set[Path] = set()
        self._dropped: list[str] = []

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_pycollect_makeitem(
        self, collector: pytest.Module | pytest.Class, name: str, obj: object
    ) -> Generator[None, object, object]:
        """It is made: a hook that makes nothing of what pytest takes for a test leaves it out."""
        made = yield
        if made == [] and (collector.istestfunction(obj, name) or collector.istestclass(obj, name)):
            self._dropped.append(f"{collector.nodeid}::{name}")
        return made

    def pytest_collectstart(self, collector: pytest.Collector) -> None:
        """Its file is read."""
        self._seen.add(collector.path)

    @pytest.hookimpl(tryfirst=True)
    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """It was found."""
        self._open[id(item)] = item

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """It was left out, and whoever did that says so."""
        for item in items:
            self._open.pop(id(item), None)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """What is not to be run now is missing."""
        for item in session.items:
            self._open.pop(id(item), None)
        missing = [*self._dropped, *(item.nodeid for item in self._open.values())]
        self._dropped.clear()
        self._open.clear()
        if missing:
            self._taken_out(missing)
        if files := self._scope.missing(self._seen):
            self._uncollected(files)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a full run collects."""

    config: pytest.Config
    folders: tuple[Path, ...]
    """those of ``[gaia] suites``; without them, what pytest collects when it is given no path"""
    skipped: tuple[str, ...]
    """names of folders below them that hold no tests"""

    @classmethod
    def of(cls, config: pytest.Config, run: Run) -> Scope:
        """Return that of one run."""
        if run.roots:
            return cls(config, run.roots, _NO_SUITES)
        rootdir = run.options.rootdir
        # As pytest does it: a pattern may be absolute, or lead upwards. PTH207: a path's own glob takes neither.
        patterns = (rootdir / pattern for pattern in config.getini("testpaths"))
        found = [os.path.normpath(path) for each in patterns for path in sorted(glob(str(each), recursive=True))]  # noqa: PTH207
        return cls(config, tuple(map(Path, found)) or (rootdir,), ("__pycache__", *config.getini("norecursedirs")))

    def left_out(
        self, *, planned: int = 0, deselected: int = 0, taken_out: int = 0, uncollected: Sequence[str] = ()
    ) -> tuple[str, ...]:
        """Return what a run leaves out of it, one sentence each; nothing for a full run."""
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
            found.append(f"a plugin took out {counted(taken_out, 'test')} without reporting it")
        return tuple(found)

    def missing(self, seen: set[Path]) -> list[str]:
        """Return the files of tests that are not among those ``seen``; nothing where the paths of the run explain it."""
        if self._narrower():
            return []
        return [self._shown(path) for path in self._test_files() if path not in seen]

    def _narrower(self) -> list[str]:
        """Return the paths and node ids that are to be collected, where that is less than all folders."""
        pairs = list(zip(self.config.args, paths_of(self.config), strict=True))
        whole = [path for argument, path in pairs if "::" not in argument]
        if all(any(path == folder or path in folder.parents for path in whole) for folder in self.folders):
            return []
        return [self._shown(path) + "".join(argument.partition("::")[1:]) for argument, path in pairs]

    def _narrowing(self) -> list[str]:
        """Return the options that leave something out, whether or not there was something to leave out."""
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
        """Whether the file of ``-c`` has other settings for what is a test than the one that pytest finds by itself."""
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


def _words(settings: Mapping[str, Any], name: str) -> object:
    """Return a setting, the same for all formats of files."""
    value = settings[name].value if name in settings else None
    return value.split() if isinstance(value, str) else value


def _decides(setting: str) -> bool:
    return setting.partition("=")[0].strip() in _COLLECTING


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {counted(rest, 'other')}" if rest > 0 else "")


def _were(things: Sequence[str]) -> str:
    return "was" if len(things) == 1 else "were"


class PlanHooks:
    """Registered on the process that talks to the user, if ``--gaia-plan-out`` is given."""

    def __init__(
        self, run: Run, evaluating: Evaluator, result: Result, observer: ObserverHooks, config: pytest.Config
    ) -> None:
        self.run = run
        self.evaluating = evaluating
        self.result = result
        self.observer = observer
        self.config = config
        self.path: Path = config.option.gaia_plan_out.absolute()
        _refuse_narrowing(run, config, observer.scope)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write the plan before anything else happens; from here on the run owes what is in it."""
        if session.testsfailed or not session.items or (partial := self.observer.partial()):
            why = "not everything could be collected" if session.items else "nothing was collected"
            why = "; ".join(partial) if session.items and not session.testsfailed else why
            raise pytest.UsageError(f"--gaia-plan-out={self.path}: {why}; a plan of less than all proves nothing.")
        plan = plan_of(self.run, self.evaluating, session.items, self.config.option.gaia_release or "")
        try:
            write_plan(self.path, plan)
        except OSError as error:
            raise pytest.UsageError(f"--gaia-plan-out={self.path}: cannot be written: {error.strerror}.") from None
        self.result.plan = plan


def plan_of(run: Run, evaluating: Evaluator, items: Sequence[pytest.Item], release: str) -> Plan:
    """Return what a run of ``items`` owes."""
    environment = run.declared
    subjects = [(item.nodeid, item.stash[EVIDENCE].subject) for item in items]
    tests = (PlannedTest(node, tuple(sorted(s.markers)), tuple(sorted(s.services))) for node, s in subjects)
    objectives = (
        PlannedObjective(slo.route, slo.percentile, slo.warn_ms, slo.fail_ms, slo.least_samples)
        for slo in environment.stage.slos
    )
    known = suite_names(run.roots)
    suites = {marker for _, subject in subjects for marker in subject.markers if marker in known}
    return Plan(
        environment=environment.name,
        release=release,
        suites=tuple(sorted(suites)),
        tests=tuple(sorted(tests)),
        objectives=tuple(sorted(objectives)),
        expectations_digest=expectations_digest(evaluating.expectations.expectations),
    )


def read_required_plan(run: Run, evaluating: Evaluator, config: pytest.Config) -> Plan | None:
    """Return the plan that ``--gaia-plan`` names. Raises ``ConfigError`` for one that is not this run's."""
    path: Path | None = config.option.gaia_plan
    if path is None:
        return None
    plan = read_plan(path)
    for what, theirs, ours in (
        ("environment", plan.environment, run.declared.name),
        ("bundle", plan.release, config.option.gaia_release or plan.release),
        ("set of rules", plan.expectations_digest, expectations_digest(evaluating.expectations.expectations)),
    ):
        if theirs != ours:
            raise ConfigError(
                f"--gaia-plan={path}: sealed for another {what} ({theirs[:12]}, this run's is {ours[:12]}). "
                "Seal a plan for this run: pytest --collect-only --gaia-plan-out=FILE."
            )
    return plan


def _refuse_narrowing(run: Run, config: pytest.Config, scope: Scope) -> None:
    if not selects_nothing(config, run.roots) or scope.left_out():
        raise ConfigError(
            "--gaia-plan-out: a plan holds everything that the environment runs by itself, and this run was told to leave "
            "something out (-k, -m, --deselect, --lf, --gaia-command, a path below a suite's folder …). Seal without "
            "that; what the run itself then leaves out is missing from it."
        )
    if distributes(config) and not runs_no_tests(config.option):
        raise ConfigError(
            "--gaia-plan-out: workers collect by themselves, so a plan is sealed before: "
            "pytest --collect-only --gaia-plan-out=FILE, then pytest -n 2 --gaia-plan=FILE."
        )
