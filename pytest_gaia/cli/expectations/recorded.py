"""``gaia policy diff | suggest | prune``: rules held against recorded runs."""

import datetime
from pathlib import Path
from typing import Annotated

import typer

from pytest_gaia.cli.expectations.project import AsOf, ExpectationsProject, FromRun, day, expectations_here
from pytest_gaia.cli.options import AsJson, complete_name
from pytest_gaia.cli.output import echo_json, echo_lines
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.expectations.expectation_set import ExpectationSet, differences
from pytest_gaia.expectations.files import DRAFT, FOLDER
from pytest_gaia.expectations.subjects import Context
from pytest_gaia.expectations.suggestions import Draft, drafts, written
from pytest_gaia.verdict.evaluated import EvaluatedRun, evaluate_run
from pytest_gaia.verdict.evidence import RecordedRun, read_run
from pytest_gaia.verdict.usage import executed, unexpected, unused
from pytest_gaia.wording import counted

Runs = Annotated[list[Path], typer.Argument(metavar="RUN…", help="Files written by --gaia-report-log.")]

DIFF_HELP = """\
List what is excused in one environment and would gate in another.

With --run, what was excused in that run; otherwise, by the rules, what may be.

\b
  gaia policy diff staging production
  gaia policy diff staging production --run run.jsonl
"""

SUGGEST_HELP = """\
Group the failures of recorded runs that no rule excuses by their signature, and draft a rule for each group.

A draft excuses nothing: it lacks the reason, the issue and the owner, and files in drafts/ are never read. A test that
passed in one of the runs and failed in another is drafted as flaky.
"""

PRUNE_HELP = """\
Name the rules that recorded runs did not need. Exits 1 if there are any.

Named are a rule that excused nothing though its tests ran, tests that passed in every run though their rule still
excuses others, and a flaky rule after enough clean runs in a row. A rule whose tests were not run is left alone.
"""


app = typer.Typer()


@app.command("diff", help=DIFF_HELP)
def diff(
    one: Annotated[str, typer.Argument(metavar="ENV", help="Where it is excused.", autocompletion=complete_name)],
    other: Annotated[str, typer.Argument(metavar="ENV", help="Where it would gate.", autocompletion=complete_name)],
    run: FromRun = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Compare two environments."""
    project, today = expectations_here(), day(as_of)
    recorded = read_run(run) if run else None
    here, there = (project.context(name, today, recorded) for name in (one, other))
    expectations = project.expectations()
    found = (
        _by_run(recorded, expectations, here, there)
        if recorded
        else _by_expectations(project, expectations, here, there)
    )
    if as_json:
        echo_json([{"rule": expectation, "why": reason, "tests": nodes} for expectation, reason, nodes in found])
        return
    count = sum(len(nodes) for _, _, nodes in found)
    verb = "was excused" if recorded else "may be excused"
    typer.echo(f"{count} of what {verb} in {one} would gate in {other}")
    if there.tolerance.kind == "advisory" and not recorded:
        typer.echo(f"The tolerance of {other} is open: only core checks gate there.")
    for expectation, reason, nodes in found:
        echo_lines(["", f"{expectation}: {reason}", *(f"  {node}" for node in nodes)])


@app.command("suggest", help=SUGGEST_HELP)
def suggest(
    runs: Runs,
    write: Annotated[bool, typer.Option("--write", help="Write the drafts into expectations/drafts/.")] = False,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Draft rules for failures."""
    project, today = expectations_here(), day(as_of)
    recorded = [read_run(path) for path in runs]
    evaluated = [(run, _evaluated(project, run)) for run in recorded]
    found = drafts(unexpected(evaluated), (subject.node for subject in executed(evaluated)))
    texts = {draft.name: written(draft, today, _longest(project, draft)) for draft in found}
    if write:
        _write(project, texts)
    if as_json:
        echo_json([{"name": f"{each.name}{DRAFT}", "count": each.count, "text": texts[each.name]} for each in found])
    elif not write:
        echo_lines(f"# --- {name}{DRAFT}\n{text}" for name, text in texts.items())
    if not found and not as_json:
        typer.echo("Nothing failed that no rule excuses.")


@app.command("prune", help=PRUNE_HELP)
def prune(
    runs: Runs,
    clean_runs: Annotated[int, typer.Option(min=1, help="Clean runs in a row after which a flaky rule is stale.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Name rules that are not needed."""
    project = expectations_here()
    recorded = sorted((read_run(path) for path in runs), key=lambda run: run.start.started)
    found = unused(
        project.expectations().expectations, [_evaluated(project, run) for run in recorded], clean_runs=clean_runs
    )
    if as_json:
        echo_json([{"rule": each.expectation.id, "why": each.reason, "tests": list(each.nodes)} for each in found])
    else:
        for each in found:
            echo_lines([f"{each.expectation.place}: {each.reason}", *(f"  {node}" for node in each.nodes)])
        typer.echo(f"not needed in {counted(len(recorded), 'run')}: {counted(len(found), 'rule')}, or parts of them")
    raise typer.Exit(int(bool(found)))


Found = list[tuple[str, str, list[str]]]
"""(rule, why it does not hold there, tests)"""


def _by_expectations(
    project: ExpectationsProject, expectations: ExpectationSet, here: Context, there: Context
) -> Found:
    found = differences(expectations, project.subjects(None), here, there)
    return [(each.expectation.id, each.reason, list(each.nodes)) for each in found]


def _by_run(run: RecordedRun, expectations: ExpectationSet, here: Context, there: Context) -> Found:
    one, other = (evaluate_run(run.start, run.tests, run.end, expectations, context) for context in (here, there))
    found: dict[tuple[str, str], list[str]] = {}
    for accepted, blocking in zip(one.classifications, other.classifications, strict=True):
        if blocking.blocks and not accepted.blocks:
            reasons = dict(blocking.overridden)
            reason = next(
                (reasons[expectation] for expectation in accepted.expectations if expectation in reasons),
                f"{there.tolerance.kind} tolerance",
            )
            found.setdefault((", ".join(accepted.expectations) or accepted.outcome, reason), []).append(accepted.node)
    return [(expectation, reason, nodes) for (expectation, reason), nodes in sorted(found.items())]


def _evaluated(project: ExpectationsProject, run: RecordedRun) -> EvaluatedRun:
    """Judge a run by today's rules, as on the day on which it ran."""
    name = run.start.environment
    if name not in project.tolerances:
        raise ConfigError(f"the run is one of {name!r}, which is unknown here; {nearest(name, project.tolerances)}")
    ran = datetime.datetime.fromisoformat(run.start.started).date()
    context = run.start.context(name, ran, project.tolerances[name])
    return evaluate_run(run.start, run.tests, run.end, project.expectations(), context)


def _longest(project: ExpectationsProject, draft: Draft) -> int:
    return project.tolerances[draft.environment].max_expectation_age_days


def _write(project: ExpectationsProject, texts: dict[str, str]) -> None:
    folder = project.roots[0] / FOLDER / "drafts"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        path = folder / f"{name}{DRAFT}"
        path.write_text(text, encoding="utf-8")
        typer.echo(path.relative_to(project.rootdir).as_posix(), err=True)
