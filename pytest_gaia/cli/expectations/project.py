"""Expectations and tests of the current project, and texts about expectations."""

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from pytest_gaia.cli.options import options_here
from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import resolve
from pytest_gaia.config.tolerance import Tolerance
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.expectations.expectation import Expectation, ExpectationSet
from pytest_gaia.expectations.files import Reading, folders_of, load, read
from pytest_gaia.expectations.lint import SOON
from pytest_gaia.expectations.subjects import Context, Subject, read_subjects
from pytest_gaia.system.processes import completed
from pytest_gaia.verdict.classify import subject_of
from pytest_gaia.verdict.evidence import RecordedRun
from pytest_gaia.verdict.results_log import ResultsLog
from pytest_gaia.wording import counted

AsOf = Annotated[
    datetime | None, typer.Option("--as-of", metavar="DATE", formats=["%Y-%m-%d"], help="Evaluate as of this day")
]
FromResults = Annotated[
    Path | None,
    typer.Option("--results", metavar="FILE", help="Use the tests of this results log", show_default=False),
]


@dataclass(frozen=True, slots=True)
class ExpectationsProject:
    """A project with suite folders."""

    project: Project

    @property
    def rootdir(self) -> Path:
        """The folder of gaia.toml."""
        return self.project.rootdir

    @property
    def roots(self) -> tuple[Path, ...]:
        """The suite folders."""
        return self.project.suites

    @property
    def tolerances(self) -> Mapping[str, Tolerance]:
        """The tolerance of each environment."""
        return self.project.tolerances

    @property
    def folders(self) -> tuple[Path, ...]:
        """The expectation folders."""
        return folders_of(self.roots)

    def reading(self) -> Reading:
        """Return the expectations and the problems of their files."""
        return read(self.folders, self.tolerances, self.project.platform, rootdir=self.rootdir)

    def expectations(self) -> ExpectationSet:
        """Return the expectations. Raises ``ConfigError`` for invalid files."""
        return load(self.folders, self.tolerances, self.project.platform, rootdir=self.rootdir)

    def context(self, environment: str, today: date, run: RecordedRun | None = None) -> Context:
        """Return the context of ``run`` in ``environment``; without a run, all declared services count as reachable.

        Raises ``ConfigError`` for an unknown environment.
        """
        if environment not in self.tolerances:
            raise ConfigError(f"unknown environment {environment!r}; {nearest(environment, self.tolerances)}")
        if run:
            return run.start.context(environment, today, self.tolerances[environment])
        declared = resolve(options_here(environment, project=self.project)).services
        return Context(environment, frozenset(declared), today, self.tolerances[environment])

    def subjects(self, run: Path | None) -> list[Subject]:
        """Return the tests of the results log ``run``; without one, those that pytest collects."""
        if run is not None:
            return list(
                dict.fromkeys(subject_of(record) for record in ResultsLog(run) if record.state != "not collected")
            )
        with tempfile.TemporaryDirectory() as folder:
            return self._collect(Path(folder) / "subjects.json")

    def _collect(self, path: Path) -> list[Subject]:
        # The sandbox applies to every test. A collection starts nothing.
        command = [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-qq",
            "-p",
            "no:cacheprovider",
            "--gaia-env=sandbox",
        ]
        where = [f"--rootdir={self.rootdir}", f"--gaia-subjects={path}", *map(str, self.roots)]
        found = completed([*command, *where], cwd=self.rootdir)
        if found.returncode != 0 or not path.is_file():
            raise ConfigError(
                f"pytest cannot collect the tests (exit code {found.returncode}). See `pytest --collect-only`.\n"
                f"{_errors_in((found.stdout + found.stderr).decode(errors='replace'))}"
            )
        return read_subjects(path)


def expectations_here() -> ExpectationsProject:
    """Return the project of this folder. Raises ``ConfigError`` if it has no suites."""
    project = options_here().project
    if not project.suites:
        problem = "gaia.toml names no suites" if project.path else "no gaia.toml in this folder or a parent folder"
        raise ConfigError(
            f'{problem}, so there are no expectations. Set the suite folders in gaia.toml: [gaia] suites = ["suites"].'
        )
    return ExpectationsProject(project)


def _errors_in(output: str) -> str:
    """Return the errors that pytest printed, without tracebacks."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return "\n".join([line for line in lines if line.startswith(("E  ", "ERROR "))] or lines[-5:])


def day(as_of: datetime | None) -> date:
    """Return the given day; by default today in UTC."""
    return (as_of or datetime.now(UTC)).date()


def expectation_json(expectation: Expectation, today: date) -> dict[str, Any]:
    """Return ``expectation`` as JSON values."""
    return {
        "id": expectation.id,
        "file": expectation.place,
        "reason": expectation.reason,
        "issue": expectation.issue,
        "owner": expectation.owner,
        "created": expectation.created.isoformat(),
        "expires": expectation.expires.isoformat(),
        "days_left": expectation.days_left(today),
        "environments": list(expectation.environments),
        "tests": [selector.text for selector in expectation.selectors],
        "expect": expectation.expect,
        "phase": list(expectation.phase_names),
        "operations": [str(pattern) for pattern in expectation.operations],
        "when": [condition(*each) for each in expectation.when],
        "offers": [condition(*each) for each in expectation.offers],
        "match": {key: list(getattr(expectation.match, key)) for key in expectation.match.keys},
        "max_failures": expectation.max_failures,
    }


def condition(what: object, wanted: bool) -> str:
    """Return a condition on a service or an operation as expectation files write it."""
    return str(what) if wanted else f"!{what}"


def signature(expectation: Expectation) -> str:
    """Return the failure signature, or the removed operations, as text."""
    if expectation.operations:
        return ", ".join(map(str, expectation.operations))
    fields = (f"{key} {'|'.join(map(str, getattr(expectation.match, key)))}" for key in expectation.match.keys)
    return ", ".join(fields) or "anything"


def life(expectation: Expectation, today: date) -> str:
    """Return how long ``expectation`` still applies."""
    left = expectation.days_left(today)
    if left <= 0:
        return f"expired {expectation.expires}"
    return counted(left, "day") if left > SOON else f"{counted(left, 'day')}!"
