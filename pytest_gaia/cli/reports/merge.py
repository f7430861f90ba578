"""``gaia merge``: one verdict for the shards of a run."""

from pathlib import Path
from typing import Annotated

import typer

from pytest_gaia.cli.app import CHOSEN
from pytest_gaia.cli.options import options_here
from pytest_gaia.cli.output import echo_json
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.expectations.files import folders_of, load
from pytest_gaia.report import footer
from pytest_gaia.system.processes import commit_of
from pytest_gaia.verdict.merging import Merge
from pytest_gaia.verdict.plan import read_plan
from pytest_gaia.verdict.report import verdict_file, write_report

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
