"""``gaia report``: an HTML report of Allure results, made by Allure 3, that talks to nobody.

It is made beside its place first, so that a failure leaves the one before, and its history, as it is.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from pytest_gaia.cli.options import AsJson, environment_option, options_here
from pytest_gaia.cli.output import echo_json, echo_lines
from pytest_gaia.cli.reports.allure import Allure, find_allure, told
from pytest_gaia.errors import ConfigError, ReportFailed
from pytest_gaia.files.writing import make_folder
from pytest_gaia.report.viewer.page import passed_on, remote_references
from pytest_gaia.report.viewer.results import Results, branch_of, earlier_runs, history_file, read_results
from pytest_gaia.report.viewer.settings import Settings
from pytest_gaia.system.git import git
from pytest_gaia.system.locks import hold
from pytest_gaia.wording import counted

HELP = """\
Make an HTML report of what `pytest --alluredir=FOLDER` has written. Allure 3 makes it, offline; analytics are taken out.

\b
  pytest --alluredir=allure-results
  gaia report                                  gaia-report/index.html, one file that opens by a double click
  gaia report results/dev results/staging      both environments in one report, kept apart
  gaia report --branch main --history /srv/allure-history

Results of several folders are told apart by the environment that they name. Two folders with the same tests that name none
are refused: a failure in one would look like a retry of the other.

The report shows; it decides nothing. The verdict is that of the run, or of `gaia replay`.

\b
Exit codes: 0 made, 1 Allure failed, 4 a mistake, or Allure or Node.js is missing.
"""

app = typer.Typer()

_RESULTS, _OUTPUT, _HISTORY = Path("allure-results"), Path("gaia-report"), Path(".gaia/report-history")
_LONGEST_NAME = 64
"""characters that Allure allows an environment's name"""


@app.command("report", help=HELP)
def make_report(
    results: Annotated[
        list[Path] | None, typer.Argument(metavar="[RESULTS]...", help="Folders of results; default: allure-results.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The report; a report of ours in there is replaced.")
    ] = _OUTPUT,
    environment: Annotated[
        str | None,
        environment_option("Whose results they are, if they do not say.", "--environment"),
    ] = None,
    branch: Annotated[str | None, typer.Option(help="Whose history; default: as CI or git says.")] = None,
    history: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Earlier runs; default: .gaia/report-history in the project.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, max=1000, help="How many runs the history keeps.")] = 50,
    files: Annotated[bool, typer.Option("--files", help="Many files for a web server, for very large runs.")] = False,
    allure: Annotated[Path | None, typer.Option(metavar="FILE", help="Allure's executable; also GAIA_ALLURE.")] = None,
    as_json: AsJson = False,
) -> None:
    """Read, make, show."""
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
    """Return the branch that is checked out; None for a bare commit, outside of a repository, or without git."""
    try:
        done = git(rootdir, "symbolic-ref", "--quiet", "--short", "HEAD")
    except FileNotFoundError:
        return None
    return done.stdout.decode().strip() or None


def _environments(found: Results, given: str | None) -> tuple[str, ...]:
    """The environments that the report is about. A name that contradicts the results would put a run where it is not."""
    if given is None:
        return found.environments
    if others := [each for each in found.environments if each != given]:
        raise ConfigError(
            f"--environment={given}: these are results of {', '.join(others)}. Leave the option out, or give the "
            f"results of {given} alone."
        )
    if not given.strip() or len(given) > _LONGEST_NAME or not given.isprintable() or "/" in given or "\\" in given:
        raise ConfigError(f"--environment={given!r}: is no name of an environment.")
    return (given,)


def _lines(built: Built, wanted: Settings, branch: str, hidden: int) -> list[str]:
    counts = ", ".join(f"{count} {status}" for status, count in built.statistic.items())
    known = f"; {built.known} of the failures known" if built.known else ""
    retried = [f"{hidden} more results are shown as retries of others."] if hidden > 0 else []
    served = [] if wanted.single_file else [f"Serve it: python -m http.server --directory {wanted.output}"]
    return [
        f"{built.page}: {built.tests} tests ({counts}{known})",
        *retried,
        f"history of {branch}: {counted(built.runs, 'run')}, in {wanted.history}",
        *served,
        "Allure only shows: the verdict is the run's own.",
    ]


_STATUSES = ("passed", "failed", "broken", "skipped", "unknown")

MARKER = "gaia-report.json"
"""says that a folder is one of ours, and so may be replaced"""


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


def build(results: Results, wanted: Settings, allure: Allure) -> Built:
    """Make the report that is ``wanted`` of ``results``, and add the run to its history.

    Raises ``ConfigError`` where something may not be written, ``ReportFailed`` where Allure makes no report.
    """
    _refuse_what_is_not_ours(wanted.output)
    with _alone(wanted.history), _workplace(wanted.output) as workplace:
        made, history = workplace / "report", workplace / "history.jsonl"
        earlier = earlier_runs(wanted.history, results.uuids, keep=wanted.runs - 1)
        history.write_text(earlier, encoding="utf-8")
        settings = replace(wanted, output=made, history=history)
        (configuration := workplace / "settings.mjs").write_text(settings.module(), encoding="utf-8")
        said = allure.generate(configuration, results.folders, workplace)
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
