"""``gaia merge`` and ``gaia replay``: the verdict of results that were recorded before."""

import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from pytest_gaia.cli.app import CHOSEN
from pytest_gaia.cli.options import environment_option, options_here
from pytest_gaia.cli.output import echo_json
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.expectations.files import folders_of, load
from pytest_gaia.report import footer
from pytest_gaia.system.processes import commit_of
from pytest_gaia.verdict.evaluated import EvaluatedRun, Evaluation
from pytest_gaia.verdict.merging import Merge
from pytest_gaia.verdict.plan import read_plan
from pytest_gaia.verdict.report import verdict_file, write_report
from pytest_gaia.verdict.results_log import ResultsLog

RESULTS_LOG, VERDICT_FILE = "results.jsonl", "verdict.json"

HELP = """\
Merge the results of all shards into one verdict.

\b
Examples:
  pytest --collect-only -q --gaia-env=staging --gaia-plan-out=plan.json
  pytest --gaia-env=staging --gaia-plan=plan.json --gaia-shard=2/5 \\
    --gaia-report-log=shard-2.jsonl
  gaia merge shard-*.jsonl --plan plan.json --output merged

RESULTS are the files that pytest --gaia-report-log wrote, one for each shard.
A shard that is missing, there twice, truncated, or ran with another plan,
commit, environment or release makes the verdict HOLD.

\b
Exit codes: 0 PROMOTE or PARTIAL; 1 REJECT; 10 DRIFT; 11 HOLD; 12 INFRA;
4 usage error
"""

REPLAY_HELP = """\
Evaluate the results of a run again, without running tests.

\b
Examples:
  gaia replay run.jsonl                      with the current expectations
  gaia replay run.jsonl -e production        as if it ran in production
  gaia replay run.jsonl --as-of 2026-12-24   as if it ran on this day

RESULTS is the file that `pytest --gaia-report-log FILE` wrote. -v lists the
tests of each cause. The exit code is that of the verdict: 0 PROMOTE or PARTIAL,
1 REJECT, 10 DRIFT, 11 HOLD, 12 INFRA.
"""

app = typer.Typer()


@app.command("merge", help=HELP)
def merge_shards(
    results: Annotated[list[Path], typer.Argument(metavar="RESULTS…", help="The results log of each shard")],
    plan: Annotated[Path, typer.Option("--plan", metavar="FILE", help="File written by pytest --gaia-plan-out")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Write the merged results to FOLDER", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict file")] = False,
) -> None:
    """Merge, print the verdict, and exit with its code."""
    project, required = options_here().project, read_plan(plan)
    tolerances = project.tolerances
    if required.environment not in tolerances:
        raise ConfigError(
            f"{plan}: unknown environment {required.environment!r}; {nearest(required.environment, tolerances)}"
        )
    expectations = load(folders_of(project.suites), tolerances, project.platform, rootdir=project.rootdir)
    commit = commit_of(project.rootdir)
    merged = Merge(required, expectations, tolerances[required.environment], commit).of(results)
    evaluated = merged.evaluated
    if output is not None:
        try:
            output.mkdir(parents=True, exist_ok=True)
            merged.write_results_log(output / RESULTS_LOG)
            write_report(output / VERDICT_FILE, evaluated)
        except OSError as error:
            raise ConfigError(f"--output={output}: cannot be written: {error.strerror}.") from None
    if as_json:
        echo_json(verdict_file(evaluated))
    else:
        layout = footer.Layout(expected=CHOSEN.verbose, inapplicable=CHOSEN.verbose)
        label = f"{required.environment}, {len(merged.end.shards)} shards"
        for line in (
            *footer.blocking(evaluated, layout=layout),
            *footer.notes(evaluated, layout),
            # Other verdicts do not say it.
            *(f"gaia: {problem}" for problem in merged.problems if evaluated.verdict.word != "HOLD"),
            footer.verdict_line(label, evaluated),
        ):
            typer.echo(line)
    raise typer.Exit(evaluated.verdict.exit_code)


@app.command("replay", help=REPLAY_HELP)
def replay_run(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="File written by pytest --gaia-report-log")],
    env: Annotated[str | None, environment_option("Evaluate by the expectations of ENV")] = None,
    as_of: Annotated[
        datetime.datetime | None, typer.Option(metavar="DATE", formats=["%Y-%m-%d"], help="Evaluate as of this day")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the verdict file to FILE", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict file")] = False,
) -> None:
    """Evaluate, print the verdict and exit with its code."""
    evaluated = evaluate_again(results, env, as_of.date() if as_of else None)
    if output is not None:
        try:
            write_report(output, evaluated)
        except OSError as error:
            raise ConfigError(f"--output={output}: cannot be written: {error.strerror}.") from None
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(verdict_file(evaluated)), indent=2).decode())
    else:
        layout = footer.Layout(expected=CHOSEN.verbose, inapplicable=CHOSEN.verbose)
        order = evaluated.start.order
        for line in (
            *([f"gaia: {order}"] if order else ()),
            *footer.blocking(evaluated, layout=layout),
            *footer.notes(evaluated, layout),
            footer.verdict_line(_label(evaluated), evaluated),
        ):
            typer.echo(line)
    raise typer.Exit(evaluated.verdict.exit_code)


def evaluate_again(path: Path, environment: str | None, day: datetime.date | None) -> EvaluatedRun:
    """Evaluate the results log at ``path`` for ``environment`` (default: its own) as of ``day`` (default: today).

    Raises :class:`~pytest_gaia.errors.ConfigError` for an invalid file or an unknown environment.
    """
    log = ResultsLog(path)
    project = options_here().project
    tolerances = project.tolerances
    name = environment or log.start.environment
    if name not in tolerances:
        raise ConfigError(f"unknown environment {name!r}; {nearest(name, tolerances)}")
    expectations = load(folders_of(project.suites), tolerances, project.platform, rootdir=project.rootdir)
    today = day or datetime.datetime.now(datetime.UTC).date()
    evaluation = Evaluation(expectations, log.start.context(name, today, tolerances[name]))
    evaluation.add_all(log)
    return evaluation.finish(log.start, log.end)


def _label(evaluated: EvaluatedRun) -> str:
    start, name = evaluated.start, evaluated.context.environment
    simulated = " (SIMULATED on the sandbox)" if start.simulated else ""
    return (
        f"{name}{simulated}" if name == start.environment else f"{name} (results from {start.environment}{simulated})"
    )
