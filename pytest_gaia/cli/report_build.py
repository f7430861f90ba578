"""Making the HTML report: beside its place first, so that a failure leaves the one before, and its history, as it is."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_gaia.cli.allure_tool import Allure, told
from pytest_gaia.errors import ConfigError, ReportFailed
from pytest_gaia.outputs import make_folder
from pytest_gaia.report.viewer.page import passed_on, remote_references
from pytest_gaia.report.viewer.results import Results, earlier_runs
from pytest_gaia.report.viewer.settings import Settings
from pytest_gaia.system.locks import hold

_STATUSES = ("passed", "failed", "broken", "skipped", "unknown")

MARKER = "gaia-report.json"
"""says that a folder is one of ours, and so may be replaced"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be made."""

    results: Results
    environment: str | None
    """of the results that name none"""
    name: str
    output: Path
    history: Path
    """the file of earlier runs"""
    runs: int
    """how many of them are kept"""
    single_file: bool


@dataclass(frozen=True, slots=True)
class Built:
    """What was made, as Allure counts it."""

    page: Path
    tests: int
    statistic: dict[str, int]
    known: int
    """failed, and known to fail"""
    runs: int
    """in the history, this one among them"""


def build(wanted: Wanted, allure: Allure) -> Built:
    """Make the report, and add the run to its history.

    Raises ``ConfigError`` where something may not be written, ``ReportFailed`` where Allure makes no report.
    """
    _refuse_what_is_not_ours(wanted.output)
    with _alone(wanted.history), _workplace(wanted.output) as workplace:
        made, history = workplace / "report", workplace / "history.jsonl"
        earlier = earlier_runs(wanted.history, wanted.results.uuids, keep=wanted.runs - 1)
        history.write_text(earlier, encoding="utf-8")
        (configuration := workplace / "settings.mjs").write_text(_settings(wanted, made, history), encoding="utf-8")
        said = allure.generate(configuration, wanted.results.folders, workplace)
        counted = _counted(made, f"Allure {allure.version}", said)
        _make_fit(made / "index.html", allure)
        marker = {"made by": "pytest-gaia", "allure": allure.version, "name": wanted.name, "tests": counted["total"]}
        (made / MARKER).write_text(json.dumps(marker), encoding="utf-8")
        runs = history.read_text(encoding="utf-8")
        _replace(wanted.output, made, workplace)
        _keep(wanted.history, runs)
    known = int(counted.get("resolutions", {}).get("accepted", 0))
    total = int(counted["total"])
    statuses: dict[str, int] = {name: counted[name] for name in _STATUSES if name in counted}
    return Built(wanted.output / "index.html", total, statuses, known, runs.count("\n"))


def _settings(wanted: Wanted, made: Path, history: Path) -> str:
    return Settings(
        name=wanted.name,
        output=made,
        history=history,
        runs=wanted.runs,
        environments=wanted.results.environments,
        default=wanted.environment,
        categories=wanted.results.categories,
        single_file=wanted.single_file,
    ).module()


def _refuse_what_is_not_ours(output: Path) -> None:
    try:
        theirs = output.exists() and (not output.is_dir() or (any(output.iterdir()) and not _is_ours(output)))
    except OSError as error:
        raise ConfigError(f"--output={output}: cannot be read: {error.strerror}.") from None
    if theirs:
        what = "holds files that are no report of gaia" if output.is_dir() else "is a file"
        raise ConfigError(f"--output={output}: {what}, and they would be lost. Give another folder, or move it away.")


def _is_ours(output: Path) -> bool:
    return (output / MARKER).is_file()


@contextmanager
def _workplace(output: Path) -> Iterator[Path]:
    """A folder on the disk of the report, so that moving it there is one step."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-")
    except OSError as error:
        raise ConfigError(f"--output={output}: nothing can be written there: {_why(error)}.") from None
    with folder as name:
        # Allure runs in there, and so needs its whole path.
        yield Path(name).absolute()


@contextmanager
def _alone(history: Path) -> Iterator[None]:
    """One report at a time works on a history; a second one waits, and so loses nothing."""
    try:
        make_folder(history.parent)
        lock = hold(history.with_suffix(".lock"))
    except OSError as error:
        raise ConfigError(f"--history: {history.parent} cannot be written to: {_why(error)}.") from None
    try:
        yield
    finally:
        os.close(lock)


def _why(error: OSError) -> str | None:
    in_the_way = isinstance(error, FileExistsError | NotADirectoryError)
    return "a file is in the way" if in_the_way else error.strerror


def _counted(made: Path, who: str, said: Sequence[str]) -> dict[str, Any]:
    try:
        statistic: dict[str, Any] = json.loads((made / "summary.json").read_text(encoding="utf-8"))["stats"]
        total = int(statistic["total"]) if (made / "index.html").is_file() else 0
    except (OSError, ValueError, KeyError, TypeError):
        total = 0
    if not total:
        head = f"{who} ended with 0, but its report is missing or shows no test; nothing was replaced."
        raise ReportFailed(told(head, said))
    return statistic


def _make_fit(page: Path, allure: Allure) -> None:
    text = passed_on(page.read_text(encoding="utf-8"))
    if remote := remote_references(text):
        raise ReportFailed(
            f"The page of Allure {allure.version} loads {', '.join(remote)} in a way that could not be removed; a "
            "report asks no other machine for anything, so nothing was replaced."
        )
    page.write_text(text, encoding="utf-8")


def _replace(output: Path, made: Path, workplace: Path) -> None:
    try:
        if output.exists():
            output.rename(workplace / "before")
        made.rename(output)
    except OSError as error:
        raise ConfigError(f"--output={output}: cannot be replaced: {error.strerror}.") from None


def _keep(history: Path, runs: str) -> None:
    try:
        descriptor, name = tempfile.mkstemp(dir=history.parent, prefix=f".{history.name}-")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(runs)
        # What a temporary file may not be, a file of the project is: readable to its group.
        shutil.copymode(history if history.exists() else history.with_suffix(".lock"), name)
        Path(name).replace(history)
    except OSError as error:
        raise ConfigError(f"{history}: the report is made, but its history was not kept: {error.strerror}.") from None
