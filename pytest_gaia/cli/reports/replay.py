"""``gaia replay``: judge a recorded run again, under another environment's rules or on another day."""

import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from pytest_gaia.cli.options import environment_option, options_here
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.expectations.files import folders_of, load
from pytest_gaia.report import footer
from pytest_gaia.verdict.evaluated import EvaluatedRun, evaluate_run
from pytest_gaia.verdict.evidence import read_run
from pytest_gaia.verdict.report import verdict_file, write_report

HELP = """\
Judge a recorded run again. The record is what `pytest --gaia-report-log FILE` has written; nothing is run.

Ends with the exit code of the verdict: 0 PROMOTE or PARTIAL, 1 REJECT, 10 DRIFT, 11 HOLD, 12 INFRA.

\b
  gaia replay run.jsonl                        by the rules as they are now
  gaia replay run.jsonl --as-env production    would this run go to production?
  gaia replay run.jsonl --as-of 2026-12-24     which rules will have expired by then?
"""

app = typer.Typer()


@app.command("replay", help=HELP)
def replay_run(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A file written by --gaia-report-log.")],
    as_env: Annotated[str | None, environment_option("Judge by this environment's rules.", "--as-env")] = None,
    as_of: Annotated[
        datetime.datetime | None, typer.Option(metavar="DATE", formats=["%Y-%m-%d"], help="Judge as on this day.")
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the verdict file as well.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write the verdict file to standard output instead.")] = False,
) -> None:
    """Judge, show, and exit with the verdict's code."""
    evaluated = evaluate_again(run, as_env, as_of.date() if as_of else None)
    if report is not None:
        try:
            write_report(report, evaluated)
        except OSError as error:
            raise ConfigError(f"--report={report}: cannot be written: {error.strerror}.") from None
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(verdict_file(evaluated)), indent=2).decode())
    else:
        for line in (
            *footer.blocking(evaluated),
            *footer.notes(evaluated),
            footer.verdict_line(_label(evaluated), evaluated),
        ):
            typer.echo(line)
    raise typer.Exit(evaluated.verdict.exit_code)


def evaluate_again(path: Path, environment: str | None, day: datetime.date | None) -> EvaluatedRun:
    """Judge the run at ``path`` under ``environment`` (its own by default) as on ``day`` (today by default).

    Raises :class:`~pytest_gaia.errors.ConfigError` for a file that is no recorded run and an unknown environment.
    """
    recorded = read_run(path)
    project = options_here().project
    tolerances = project.tolerances
    name = environment or recorded.start.environment
    if name not in tolerances:
        raise ConfigError(f"there is no environment {name!r}: {nearest(name, tolerances)}")
    expectations = load(folders_of(project.suites), tolerances, rootdir=project.rootdir)
    today = day or datetime.datetime.now(datetime.UTC).date()
    context = recorded.start.context(name, today, tolerances[name])
    return evaluate_run(recorded.start, recorded.tests, recorded.end, expectations, context)


def _label(evaluated: EvaluatedRun) -> str:
    start, name = evaluated.start, evaluated.context.environment
    rehearsal = " (SIMULATED on the sandbox)" if start.rehearsal else ""
    return (
        f"{name}{rehearsal}"
        if name == start.environment
        else f"{name}, replaying a run of {start.environment}{rehearsal}"
    )
