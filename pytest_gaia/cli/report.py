"""``gaia report``: an HTML report of Allure results, made by Allure 3, that talks to nobody."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from pytest_gaia.cli.allure_tool import find_allure
from pytest_gaia.cli.git import branch_at
from pytest_gaia.cli.options import AsJson, complete_name, options_here
from pytest_gaia.cli.output import echo_json
from pytest_gaia.cli.report_build import Built, Wanted, build
from pytest_gaia.errors import ConfigError
from pytest_gaia.report.viewer.results import Results, branch_of, history_file, read_results
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
        typer.Option(metavar="ENV", help="Whose results they are, if they do not say.", autocompletion=complete_name),
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
    wanted = Wanted(
        results=found,
        environment=environment,
        name=f"Gaia: {', '.join(environments)}" if environments else "Gaia",
        output=output,
        history=history_file(history or rootdir / _HISTORY, name, environments),
        runs=runs,
        single_file=not files,
    )
    built = build(wanted, find_allure(allure, rootdir, os.environ))
    _show(built, wanted, name, environments, as_json=as_json)


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


def _show(built: Built, wanted: Wanted, branch: str, environments: tuple[str, ...], *, as_json: bool) -> None:
    hidden = len(wanted.results.uuids) - built.tests
    if as_json:
        echo_json(
            {
                "report": str(built.page),
                "environments": list(environments),
                "branch": branch,
                "tests": built.tests,
                "statuses": built.statistic,
                "known": built.known,
                "retries": hidden,
                "history": {"file": str(wanted.history), "runs": built.runs},
            }
        )
        return
    for line in _lines(built, wanted, branch, hidden):
        typer.echo(line)


def _lines(built: Built, wanted: Wanted, branch: str, hidden: int) -> list[str]:
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
