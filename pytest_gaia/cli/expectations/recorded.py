"""``gaia expectations diff | suggest | unused``: compare expectations with the results of runs."""

import datetime
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from pytest_gaia.cli.expectations.project import AsOf, ExpectationsProject, FromResults, day, expectations_here
from pytest_gaia.cli.options import AsJson, complete_name
from pytest_gaia.cli.output import echo_json, echo_lines
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.expectations.expectation import ExpectationSet, differences
from pytest_gaia.expectations.files import DRAFT, FOLDER
from pytest_gaia.expectations.subjects import Context
from pytest_gaia.expectations.suggestions import Draft, drafts, removal, written
from pytest_gaia.verdict.evaluated import EvaluatedRun, Evaluation, evaluate_run
from pytest_gaia.verdict.evidence import RecordedRun, TestRecord
from pytest_gaia.verdict.results_log import ResultsLog, read_run
from pytest_gaia.verdict.usage import executed, gone, unexpected, unused
from pytest_gaia.wording import counted

Runs = Annotated[list[Path], typer.Argument(metavar="RESULTS…", help="Files written by pytest --gaia-report-log")]

DIFF_HELP = """\
Compare the expected failures of two environments.

\b
Examples:
  gaia expectations diff staging production
  gaia expectations diff staging production --results run.jsonl

Lists failures, and operations that are gone, that are expected in the first
environment and block in the second. With --results, compare the outcomes of
that run; otherwise, all tests and expectations.
"""

SUGGEST_HELP = """\
Draft expectations for unexpected failures and for operations that are gone.

\b
Examples:
  gaia expectations suggest run.jsonl
  gaia expectations suggest run.jsonl --write

There is one draft per failure signature, and one for all operations that are
gone since the baseline. Drafts have no reason, issue and owner, and gaia does
not read them. A test that failed in one run and passed in another is drafted
as flaky.
"""

UNUSED_HELP = """\
List expectations that no run needed. Exits 1 if there are any.

\b
Examples:
  gaia expectations unused run.jsonl
  gaia expectations unused run*.jsonl --clean-runs 5

Reported are expectations whose tests all passed, tests that passed in every
run, and flaky expectations after enough clean runs in a row. Expectations
whose tests did not run are not reported.

Delete a `removed` expectation when the release without these operations is the
baseline: then nothing is gone any more, and no run needs it.
"""


app = typer.Typer()


@app.command("diff", help=DIFF_HELP)
def diff(
    one: Annotated[
        str,
        typer.Argument(metavar="ENV", help="Environment in which failures are expected", autocompletion=complete_name),
    ],
    other: Annotated[
        str, typer.Argument(metavar="ENV", help="Environment in which they would block", autocompletion=complete_name)
    ],
    results: FromResults = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Compare two environments."""
    project, today = expectations_here(), day(as_of)
    recorded = read_run(results) if results else None
    here, there = (project.context(name, today, recorded) for name in (one, other))
    expectations = project.expectations()
    if recorded:
        both = [
            evaluate_run(recorded.start, recorded.tests, recorded.end, expectations, each) for each in (here, there)
        ]
        found, lost = _by_run(*both), _removals_by_run(*both)
    else:
        found = _by_expectations(project, expectations, here, there)
        lost = _removals(expectations, here, there)
    if as_json:
        echo_json(
            [
                {"expectation": expectation, "reason": reason, "tests": [], "operations": [], kind: names}
                for kind, those in (("tests", found), ("operations", lost))
                for expectation, reason, names in those
            ]
        )
        return
    count = sum(len(nodes) for _, _, nodes in found)
    if recorded:
        typer.echo(f"{counted(count, 'accepted failure')} in {one} would block in {other}")
    else:
        typer.echo(f"failures of {counted(count, 'test')} are expected in {one} and would block in {other}")
    if lost and recorded:
        typer.echo(
            f"{counted(sum(len(each) for *_, each in lost), 'removed operation')} accepted in {one} would block in {other}"
        )
    elif lost:
        typer.echo(f"{counted(len(lost), 'expectation')} of removed operations can apply in {one} and not in {other}")
    if there.tolerance.kind == "advisory" and not recorded:
        typer.echo(f"The tolerance of {other} is advisory: only failures of core tests block there.")
    for expectation, reason, names in (*found, *lost):
        echo_lines(["", f"{expectation}: {reason}", *(f"  {name}" for name in names)])


@app.command("suggest", help=SUGGEST_HELP)
def suggest(
    runs: Runs,
    write: Annotated[bool, typer.Option("--write", help="Write the drafts into expectations/drafts/")] = False,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Draft expectations for failures and removed operations."""
    project, today = expectations_here(), day(as_of)
    evaluated = [_evaluated(project, ResultsLog(path)) for path in runs]
    found = [
        *(removal(*each) for each in gone(run for _, run in evaluated)),
        *drafts(unexpected(evaluated), (subject.node for subject in executed(evaluated))),
    ]
    texts = {draft.name: written(draft, today, _longest(project, draft)) for draft in found}
    if write:
        _write(project, texts)
    if as_json:
        echo_json([{"name": f"{each.name}{DRAFT}", "count": each.count, "text": texts[each.name]} for each in found])
    elif not write:
        echo_lines(f"# --- {name}{DRAFT}\n{text}" for name, text in texts.items())
    if not found and not as_json:
        typer.echo("There are no unexpected failures.")


@app.command("unused", help=UNUSED_HELP)
def list_unused(
    runs: Runs,
    clean_runs: Annotated[int, typer.Option(min=1, help="Clean runs after which a flaky expectation is unused")] = 10,
    as_json: AsJson = False,
) -> None:
    """List expectations that are not needed."""
    project = expectations_here()
    recorded = sorted(map(ResultsLog, runs), key=lambda run: run.start.started)
    found = unused(
        project.expectations().expectations, [_evaluated(project, run)[1] for run in recorded], clean_runs=clean_runs
    )
    if as_json:
        echo_json(
            [{"expectation": each.expectation.id, "reason": each.reason, "tests": list(each.nodes)} for each in found]
        )
    else:
        for each in found:
            echo_lines([f"{each.expectation.place}: {each.reason}", *(f"  {node}" for node in each.nodes)])
        typer.echo(f"{counted(len(found), 'expectation')} not needed in {counted(len(recorded), 'run')}")
    raise typer.Exit(int(bool(found)))


Found = list[tuple[str, str, list[str]]]
"""(expectation, reason why it does not apply there, tests or operations)"""


def _by_expectations(
    project: ExpectationsProject, expectations: ExpectationSet, here: Context, there: Context
) -> Found:
    found = differences(expectations, project.subjects(None), here, there)
    return [(each.expectation.id, each.reason, list(each.nodes)) for each in found]


def _by_run(one: EvaluatedRun, other: EvaluatedRun) -> Found:
    found: dict[tuple[str, str], list[str]] = {}
    for accepted, blocking in zip(one.classifications, other.classifications, strict=True):
        if blocking.blocks and not accepted.blocks:
            reasons = dict(blocking.overridden)
            reason = next(
                (reasons[expectation] for expectation in accepted.expectations if expectation in reasons),
                f"{other.context.tolerance.kind} tolerance",
            )
            found.setdefault((", ".join(accepted.expectations) or accepted.outcome, reason), []).append(accepted.node)
    return [(expectation, reason, nodes) for (expectation, reason), nodes in sorted(found.items())]


def _removals_by_run(one: EvaluatedRun, other: EvaluatedRun) -> Found:
    """Return the gone operations that are accepted in the first environment and block in the other."""
    blocking = {each.operation for each in other.gone if not each.expectation}
    found: dict[str, list[str]] = {}
    for each in one.gone:
        if each.expectation and each.operation in blocking:
            found.setdefault(each.expectation, []).append(each.operation)
    reasons = {each.id: each.inapplicable(other.context) or "max_failures is reached" for each in one.expectations}
    return [(name, reasons[name], operations) for name, operations in sorted(found.items())]


def _removals(expectations: ExpectationSet, here: Context, there: Context) -> Found:
    """Return the expectations of removed operations that can apply ``here`` and not ``there``."""
    return [
        (each.id, reason, [str(pattern) for pattern in each.operations])
        for each in expectations.expectations
        if each.operations and each.excluded(here) is None and (reason := each.excluded(there))
    ]


def _evaluated(project: ExpectationsProject, log: ResultsLog) -> tuple[RecordedRun, EvaluatedRun]:
    """Evaluate a run with the current expectations, as of the day on which it ran; return it without exchanges, too."""
    name = log.start.environment
    if name not in project.tolerances:
        raise ConfigError(f"the run is from the unknown environment {name!r}; {nearest(name, project.tolerances)}")
    ran = datetime.datetime.fromisoformat(log.start.started).date()
    evaluation = Evaluation(project.expectations(), log.start.context(name, ran, project.tolerances[name]))
    tests: list[TestRecord] = []
    for test in log:
        evaluation.add(test)
        # They are most of a results log.
        tests.append(replace(test, exchanges=()))
    return RecordedRun(log.start, tuple(tests), log.end), evaluation.finish(log.start, log.end)


def _longest(project: ExpectationsProject, draft: Draft) -> int:
    return project.tolerances[draft.environment].max_expectation_age_days


def _write(project: ExpectationsProject, texts: dict[str, str]) -> None:
    folder = project.roots[0] / FOLDER / "drafts"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        path = folder / f"{name}{DRAFT}"
        path.write_text(text, encoding="utf-8")
        typer.echo(path.relative_to(project.rootdir).as_posix(), err=True)
