"""``gaia report``: build a self-contained HTML report from Allure results, with Allure 3.

The report is built next to its destination and then moved, so a failure leaves the previous report and its history intact.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from pytest_gaia.cli.options import AsJson, environment_option, options_here
from pytest_gaia.cli.output import echo_json, echo_lines
from pytest_gaia.cli.reports.allure import Allure, find_allure, with_output
from pytest_gaia.errors import ConfigError, ReportFailed
from pytest_gaia.files.writing import make_folder
from pytest_gaia.report.viewer.page import Settings, remote_references, shareable
from pytest_gaia.report.viewer.results import Results, branch_of, earlier_runs, history_file, read_results
from pytest_gaia.system.processes import git, hold
from pytest_gaia.wording import counted

HELP = """\
Build an HTML report from test results.

Reads the results that `pytest --alluredir=FOLDER` wrote, and builds the report with Allure 3. The build needs no network,
and the report loads nothing from other machines.

\b
  pytest --alluredir=allure-results
  gaia report                                a single file, in gaia-report/
  gaia report results/dev results/staging    two environments in one report
  gaia report --branch main --history /srv/allure-history

Results in several folders are separated by the environment that they name. Two folders with the same tests are an error
if their results name no environment: a failure in one would look like a retry of the other.

The report only shows results. The verdict comes from the run, or from `gaia replay`.

\b
Exit codes:
  0  the report is built
  1  Allure failed
  4  usage error, or Allure or Node.js is missing
"""

app = typer.Typer()

_RESULTS, _OUTPUT, _HISTORY = Path("allure-results"), Path("gaia-report"), Path(".gaia/report-history")
_LONGEST_NAME = 64
"""maximum length of an environment's name in Allure"""


@app.command("report", help=HELP)
def make_report(
    results: Annotated[
        list[Path] | None, typer.Argument(metavar="RESULTS", help="Folders of results (default: allure-results)")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the report; replaces a previous report")
    ] = _OUTPUT,
    environment: Annotated[
        str | None,
        environment_option("Environment of results that name none"),
    ] = None,
    branch: Annotated[
        str | None, typer.Option(metavar="NAME", help="Branch of the history (default: from CI or git)")
    ] = None,
    history: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the history (default: .gaia/report-history)")
    ] = None,
    runs: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="Runs to keep in the history")] = 50,
    files: Annotated[bool, typer.Option("--files", help="Write many files, for a web server and large runs")] = False,
    allure: Annotated[Path | None, typer.Option(metavar="FILE", help="Executable of Allure; also GAIA_ALLURE")] = None,
    as_json: AsJson = False,
) -> None:
    """Read the results, build the report, print a summary."""
    rootdir = options_here().rootdir
    found = read_results(results or [_RESULTS], environment)
    environments = _environments(found, environment)
    name = branch or branch_of(os.environ) or branch_at(rootdir) or "no branch"
    wanted = Settings(
        name=f"Gaia: {', '.join(environments)}" if environments else "Gaia",
        output=output,
        history=history_file(history or rootdir / _HISTORY, name, environments),
        runs=runs,
        environments=found.environments,
        default=environment,
        categories=found.categories,
        single_file=not files,
    )
    built = build(found, wanted, find_allure(allure, rootdir, os.environ))
    hidden = len(found.uuids) - built.tests
    if not as_json:
        echo_lines(_lines(built, wanted, name, hidden))
        return
    echo_json(
        {
            "report": str(built.page),
            "environments": environments,
            "branch": name,
            "tests": built.tests,
            "statuses": built.statistic,
            "known": built.known,
            "retries": hidden,
            "history": {"file": str(wanted.history), "runs": built.runs},
        }
    )


def branch_at(rootdir: Path) -> str | None:
    """Return the current branch; None for a detached commit, outside a repository, or without git."""
    try:
        done = git(rootdir, "symbolic-ref", "--quiet", "--short", "HEAD")
    except FileNotFoundError:
        return None
    return done.stdout.decode().strip() or None


def _environments(found: Results, given: str | None) -> tuple[str, ...]:
    """Return the environments of the report. Raises ``ConfigError`` for a name that contradicts the results."""
    if given is None:
        return found.environments
    if others := [each for each in found.environments if each != given]:
        raise ConfigError(
            f"--env {given}: the results belong to {', '.join(others)}. Omit the option, or give only results of "
            f"{given}."
        )
    if not given.strip() or len(given) > _LONGEST_NAME or not given.isprintable() or "/" in given or "\\" in given:
        raise ConfigError(f"--env {given!r}: not a valid name of an environment.")
    return (given,)


def _lines(built: Built, wanted: Settings, branch: str, hidden: int) -> list[str]:
    counts = _counts(built.tests, built.statistic, built.known)
    retried = [f"{counted(hidden, 'more result')} shown as retries"] if hidden > 0 else []
    served = [] if wanted.single_file else [f"Serve it: python -m http.server --directory {wanted.output}"]
    return [
        f"{built.page}: {counts}",
        *retried,
        f"history of {branch}: {counted(built.runs, 'run')} in {wanted.history}",
        *served,
        "The verdict comes from the run; the report only shows it.",
    ]


def _counts(total: int, statuses: Mapping[str, int], known: int) -> str:
    """Return the numbers of tests in one line, such as ``4 tests: 1 passed, 3 failed; 1 failure is known``."""
    parts = ", ".join(f"{count} {status}" for status, count in statuses.items())
    failures = f"; {counted(known, 'failure')} {'is' if known == 1 else 'are'} known" if known else ""
    return f"{counted(total, 'test')}: {parts}{failures}"


_STATUSES = ("passed", "failed", "broken", "skipped", "unknown")

MARKER = "gaia-report.json"
"""marks a folder with a report, which may be replaced"""


@dataclass(frozen=True, slots=True)
class Built:
    """A built report, and its numbers."""

    page: Path
    tests: int
    statistic: dict[str, int]
    known: int
    """failures that are known"""
    runs: int
    """runs in the history, including this one"""


def build(results: Results, wanted: Settings, allure: Allure) -> Built:
    """Build the report and add the run to its history.

    Raises ``ConfigError`` if a file cannot be written, and ``ReportFailed`` if Allure builds no report.
    """
    _refuse_what_is_not_ours(wanted.output)
    with _alone(wanted.history), _workplace(wanted.output) as workplace:
        made, history = workplace / "report", workplace / "history.jsonl"
        earlier = earlier_runs(wanted.history, results.uuids, keep=wanted.runs - 1)
        history.write_text(earlier, encoding="utf-8")
        settings = replace(wanted, output=made, history=history)
        (configuration := workplace / "settings.mjs").write_text(settings.module(), encoding="utf-8")
        said = allure.generate(configuration, results.folders, workplace)
        statistic = _statistic(made, f"Allure {allure.version}", said)
        statuses: dict[str, int] = {name: statistic[name] for name in _STATUSES if name in statistic}
        _make_shareable(made / "index.html", allure, results, _counts(statistic["total"], statuses, results.known))
        marker = {"made by": "pytest-gaia", "allure": allure.version, "name": wanted.name, "tests": statistic["total"]}
        (made / MARKER).write_text(json.dumps(marker), encoding="utf-8")
        runs = history.read_text(encoding="utf-8")
        _replace(wanted.output, made, workplace)
        _keep(wanted.history, runs)
    return Built(wanted.output / "index.html", int(statistic["total"]), statuses, results.known, runs.count("\n"))


def _refuse_what_is_not_ours(output: Path) -> None:
    try:
        theirs = output.exists() and (not output.is_dir() or (any(output.iterdir()) and not _is_ours(output)))
    except OSError as error:
        raise ConfigError(f"--output {output}: cannot be read: {error.strerror}.") from None
    if theirs:
        what = "has files that are not a report, and they would be lost" if output.is_dir() else "is a file"
        raise ConfigError(f"--output {output}: {what}. Choose another folder.")


def _is_ours(output: Path) -> bool:
    return (output / MARKER).is_file()


@contextmanager
def _workplace(output: Path) -> Iterator[Path]:
    """Yield a folder on the disk of the report, from which it can be moved in one step."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-")
    except OSError as error:
        raise ConfigError(f"--output {output}: cannot be written: {_why(error)}.") from None
    with folder as name:
        # Allure runs in this folder and needs an absolute path.
        yield Path(name).absolute()


@contextmanager
def _alone(history: Path) -> Iterator[None]:
    """Lock the history: a second report waits, so no run is lost."""
    try:
        make_folder(history.parent)
        lock = hold(history.with_suffix(".lock"))
    except OSError as error:
        raise ConfigError(f"--history {history.parent}: cannot be written: {_why(error)}.") from None
    try:
        yield
    finally:
        os.close(lock)


def _why(error: OSError) -> str | None:
    in_the_way = isinstance(error, FileExistsError | NotADirectoryError)
    return "a file is in its place" if in_the_way else error.strerror


def _statistic(made: Path, who: str, said: Sequence[str]) -> dict[str, Any]:
    try:
        statistic: dict[str, Any] = json.loads((made / "summary.json").read_text(encoding="utf-8"))["stats"]
        total = int(statistic["total"]) if (made / "index.html").is_file() else 0
    except (OSError, ValueError, KeyError, TypeError):
        total = 0
    if not total:
        head = f"{who} exited with 0, but its report is missing or has no tests. The previous report was kept."
        raise ReportFailed(with_output(head, said))
    return statistic


def _make_shareable(page: Path, allure: Allure, results: Results, counts: str) -> None:
    text = shareable(page.read_text(encoding="utf-8"), results.runs, counts)
    if remote := remote_references(text):
        raise ReportFailed(
            f"The page of Allure {allure.version} loads {', '.join(remote)}, which could not be removed. A report must not "
            "load anything from other machines, so the previous report was kept."
        )
    page.write_text(text, encoding="utf-8")


def _replace(output: Path, made: Path, workplace: Path) -> None:
    try:
        if output.exists():
            output.rename(workplace / "before")
        made.rename(output)
    except OSError as error:
        raise ConfigError(f"--output {output}: cannot be replaced: {error.strerror}.") from None


def _keep(history: Path, runs: str) -> None:
    try:
        descriptor, name = tempfile.mkstemp(dir=history.parent, prefix=f".{history.name}-")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(runs)
        # Unlike a temporary file, the history is readable for the group.
        shutil.copymode(history if history.exists() else history.with_suffix(".lock"), name)
        Path(name).replace(history)
    except OSError as error:
        raise ConfigError(
            f"{history}: the report was built, but its history could not be written: {error.strerror}."
        ) from None
