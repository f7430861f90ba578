"""``gaia policy list | lint | explain``: what the rules of a project say, and whether they still hold."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pytest_gaia.cli.expectations import files as expectations_files
from pytest_gaia.cli.expectations import recorded as expectations_runs
from pytest_gaia.cli.expectations.project import (
    AsOf,
    FromRun,
    condition,
    day,
    expectation_json,
    expectations_here,
    life,
    signature,
)
from pytest_gaia.cli.options import AsJson, environment_option
from pytest_gaia.cli.output import echo_json, echo_lines, show_table
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.expectations.expectation import Expectation
from pytest_gaia.expectations.expectation_set import ExpectationSet, Resolution
from pytest_gaia.expectations.lint import Finding, lint
from pytest_gaia.expectations.subjects import Context, Subject
from pytest_gaia.verdict.classify import Classification, classify, subject_of
from pytest_gaia.verdict.evidence import TestRecord, read_run

app = typer.Typer(name="policy", help="What failures are expected where, why, and until when.", no_args_is_help=True)
app.add_typer(expectations_runs.app)
app.add_typer(expectations_files.app)

LIST_HELP = """\
List the rules: what they expect, where, who answers for them, and how long they still apply.
"""

LINT_HELP = """\
Look for rules that are wrong, useless or late. Exits 1 if there is an error; warnings alone exit 0.

\b
Errors    mistake, unused, unused-selector, shadowed, duplicate, tie, expired, long-lived
Warnings  expires-soon, added-later, overlap, uncapped, loose-cap

The tests are collected (nothing is run), or taken from a recorded run.
"""

EXPLAIN_HELP = """\
Say which rule speaks for a test, which rules lost, and why. With --run, say too how the test failed in that run and
what became of it.

\b
  gaia policy explain "suites/personas/test_crud.py::test_create[a b]" --env staging
  gaia policy explain suites/chat/test_chat.py::test_answer --env staging --run run.jsonl --as-of 2030-01-31
"""


@app.command("list", help=LIST_HELP)
def list_expectations(
    env: Annotated[str | None, environment_option("Only rules of this environment.")] = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """List the rules of this project."""
    project, today = expectations_here(), day(as_of)
    if env is not None and env not in project.tolerances:
        raise ConfigError(f"unknown environment {env!r}; {nearest(env, project.tolerances)}")
    expectations = [
        expectation
        for expectation in project.expectations().expectations
        if env is None or env in expectation.environments
    ]
    if as_json:
        echo_json([expectation_json(expectation, today) for expectation in expectations])
    elif expectations:
        columns = ("rule", "expect", "environments", "signature", "owner", "issue", "left")
        show_table(
            columns,
            [
                (r.id, r.expect, ", ".join(r.environments), signature(r), r.owner, r.issue, life(r, today))
                for r in expectations
            ],
        )
    else:
        typer.echo("There are no rules: every failure gates.")


@app.command("lint", help=LINT_HELP)
def lint_expectations(run: FromRun = None, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Look at every rule of this project."""
    project = expectations_here()
    reading = project.reading()
    found = [_usage_error(each) for each in reading.problems]
    if not found:
        _warn_of_a_part(run)
        found = lint(reading.expectations, project.subjects(run), project.tolerances, day(as_of))
    if as_json:
        echo_json(found)
    else:
        echo_lines(f"{each.level}: {each.check}: {each.place}: {each.text}" for each in found)
        typer.echo(_summary(found, len(reading.expectations)))
        if reading.problems:
            typer.echo("Once every file can be read, lint holds the rules against the tests.")
    raise typer.Exit(int(any(each.level == "error" for each in found)))


@app.command("explain", help=EXPLAIN_HELP)
def explain(
    node: Annotated[str, typer.Argument(metavar="NODEID", help="One test, as pytest names it.")],
    env: Annotated[str, environment_option("The environment.")],
    run: FromRun = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Say what the rules say of one test."""
    project = expectations_here()
    recorded = read_run(run) if run else None
    context = project.context(env, day(as_of), recorded)
    subjects = {subject.node: subject for subject in project.subjects(run)}
    if node not in subjects:
        inside = [each for each in subjects if each.startswith((f"{node}[", f"{node}::", f"{node}/"))]
        hint = f"it stands for several, such as {inside[0]}" if inside else _near(node, list(subjects))
        raise ConfigError(f"there is no test {node!r}; {hint}")
    records = [each for each in recorded.tests if subject_of(each).node == node] if recorded else []
    resolution = project.expectations().resolution(subjects[node], context)
    if as_json:
        echo_json(explained_json(subjects[node], resolution, records, context))
    else:
        echo_lines(explained(subjects[node], resolution, records, context, recorded=recorded is not None))


def _warn_of_a_part(run: Path | None) -> None:
    """A selection cannot tell a rule about a test that was not selected from a rule about none."""
    end = read_run(run).end if run else None
    if run is not None and (end is None or not end.complete):
        typer.echo(f"gaia: {run} is not a run of all tests; rules about the others are called unused.", err=True)


def _usage_error(text: str) -> Finding:
    place, _, problem = text.partition(": ")
    name = place.partition(":")[0].rpartition("/")[2].removesuffix(".toml")
    return Finding("error", "mistake", name, place, problem)


def _summary(found: Sequence[Finding], expectations: int) -> str:
    levels = Counter(each.level for each in found)
    return f"{expectations} rules: {levels['error']} errors, {levels['warning']} warnings"


def _near(node: str, known: Sequence[str]) -> str:
    import difflib

    close = difflib.get_close_matches(node, known, n=1)
    return f"did you mean {close[0]}?" if close else "`pytest --collect-only -q` lists them."


def explained(
    subject: Subject, resolution: Resolution, records: Sequence[TestRecord], context: Context, *, recorded: bool
) -> Iterator[str]:
    """Yield the lines that explain how rules stand to ``subject``, and what became of its ``records``."""
    seen = "observed" if recorded else "taken to answer, as declared"
    yield subject.node
    yield f"  markers:     {', '.join(sorted(subject.markers)) or 'none'}"
    yield f"  services:    {', '.join(sorted(subject.services)) or 'none'}"
    yield f"  environment: {context.environment}, tolerance {context.tolerance.kind}, on {context.today}"
    yield f"  {seen}: {', '.join(sorted(context.capabilities)) or 'nothing'}"
    if context.unknown:
        yield f"  not known: {', '.join(sorted(context.unknown))}"
    yield ""
    yield from _effective(resolution, context)
    for expectation, reason in resolution.overridden:
        yield f"  lost: {expectation.id} ({', '.join(_covering(expectation, resolution))}): {reason}"
    for classification in _evaluated(records, resolution, context):
        yield ""
        yield f"In this run: {classification.outcome}{', which gates' if classification.blocks else ''}"
        yield from (f"  {line}" for line in classification.reason.splitlines())


def explained_json(
    subject: Subject, resolution: Resolution, records: Sequence[TestRecord], context: Context
) -> dict[str, Any]:
    """Return the same as plain values."""
    return {
        "node": subject.node,
        "markers": sorted(subject.markers),
        "services": sorted(subject.services),
        "environment": context.environment,
        "tolerance": context.tolerance.kind,
        "date": context.today.isoformat(),
        "capabilities": sorted(context.capabilities),
        "unknown": sorted(context.unknown),
        "winners": [expectation_json(expectation, context.today) for expectation in resolution.effective],
        "losers": [{"rule": expectation.id, "why": reason} for expectation, reason in resolution.overridden],
        "judgements": [
            {"outcome": each.outcome, "gates": each.blocks, "why": each.reason}
            for each in _evaluated(records, resolution, context)
        ],
    }


def _effective(resolution: Resolution, context: Context) -> Iterator[str]:
    if not resolution.effective:
        yield "No rule speaks for it: if it fails, that counts in full."
    for expectation in resolution.effective:
        yield f"{expectation.id} speaks for it ({', '.join(_covering(expectation, resolution))}): {_expectation(expectation)}"
        yield f"  why:   {expectation.reason}"
        yield f"  who:   {expectation.owner}, {expectation.issue}, {life(expectation, context.today)} left, {expectation.place}"
        if expectation.when:
            yield f"  when:  {', '.join(condition(*each) for each in expectation.when)}"


def _expectation(expectation: Expectation) -> str:
    if expectation.expect in ("pass", "skip"):
        return f"it {expectation.expect}"
    verb = "fails" if expectation.expect == "fail" else "may fail"
    return f"it {verb} in {' or '.join(expectation.phase_names)} with {signature(expectation)}"


def _covering(expectation: Expectation, resolution: Resolution) -> list[str]:
    return [selector.text for selector in expectation.selectors if selector.text in resolution.keys]


def _evaluated(records: Sequence[TestRecord], resolution: Resolution, context: Context) -> list[Classification]:
    expectations = ExpectationSet([*resolution.effective, *(expectation for expectation, _ in resolution.overridden)])
    return [classify(record, expectations, context) for record in records]
