"""``gaia expectations list | check | explain | schema``."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pytest_gaia.cli.expectations import files as expectations_files
from pytest_gaia.cli.expectations import recorded as expectations_runs
from pytest_gaia.cli.expectations.files import broader, unformatted
from pytest_gaia.cli.expectations.project import (
    AsOf,
    ExpectationsProject,
    FromResults,
    condition,
    day,
    expectation_json,
    expectations_here,
    life,
    signature,
)
from pytest_gaia.cli.options import AsJson, environment_option
from pytest_gaia.cli.output import echo_json, echo_lines, show_table, write_json
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.expectations.apis import NO_APIS, Apis, NamedOperation
from pytest_gaia.expectations.expectation import Expectation, ExpectationSet, Resolution
from pytest_gaia.expectations.lint import Finding, lint, sort_key
from pytest_gaia.expectations.schema import schema
from pytest_gaia.expectations.subjects import Context, Subject
from pytest_gaia.verdict.classify import Classification, GoneOperation, classify, subject_of
from pytest_gaia.verdict.evaluated import evaluate_run
from pytest_gaia.verdict.evidence import TestRecord
from pytest_gaia.verdict.results_log import read_run, read_start
from pytest_gaia.wording import counted

app = typer.Typer(
    name="expectations",
    help="""\
List, check, explain and draft expectations of known failures.

\b
Examples:
  gaia expectations list -e staging    known failures of an environment
  gaia expectations check              errors and warnings in the files
""",
    no_args_is_help=True,
)
app.add_typer(expectations_runs.app)
app.add_typer(expectations_files.app)

LIST_HELP = """\
List expectations with owner, issue and days left.

\b
Examples:
  gaia expectations list               all environments
  gaia expectations list -e staging    one environment
"""

CHECK_HELP = """\
Check keys, selectors, dates and format of all files.

\b
Examples:
  gaia expectations check                       collect the tests with pytest
  gaia expectations check --results run.jsonl   use the tests of a results log
  gaia expectations check --base origin/main    reject broader expectations

\b
Errors    invalid, unused, unused-selector, shadowed, duplicate, conflict,
          expired, long-lived, format; with --base: broader, removed-exception
Warnings  expires-soon, created-in-future, overlap, no-limit, loose-limit;
          with --results: still-offered

Exits 1 if there is an error.
"""

EXPLAIN_HELP = """\
Explain which expectations apply to a test, or accept that an operation is gone.

With --results, also show the outcome in that run.

\b
Examples:
  gaia expectations explain "suites/users/test_users.py::test_add[a]" -e dev
  gaia expectations explain suites/chat/test_chat.py::test_answer -e staging \\
      --results run.jsonl
  gaia expectations explain "orders: GET /v1/orders" -e staging
"""

SCHEMA_HELP = """\
Print the JSON Schema of expectation files, for editors.

\b
Examples:
  gaia expectations schema -o expectation.schema.json

Then start each file with the line: #:schema ../../expectation.schema.json
"""


@app.command("list", help=LIST_HELP)
def list_expectations(
    env: Annotated[str | None, environment_option("Only expectations of this environment")] = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """List the expectations of this project."""
    project, today = expectations_here(), day(as_of)
    if env is not None and env not in project.tolerances:
        raise ConfigError(f"unknown environment {env!r}; {nearest(env, project.tolerances)}")
    every = project.expectations().expectations
    expectations = [each for each in every if env is None or env in each.environments]
    if as_json:
        echo_json([expectation_json(expectation, today) for expectation in expectations])
    elif expectations:
        columns = ("expectation", "expect", "environments", "signature", "owner", "issue", "left")
        show_table(
            columns,
            [
                (r.id, r.expect, ", ".join(r.environments), signature(r), r.owner, r.issue, life(r, today))
                for r in expectations
            ],
        )
    else:
        typer.echo("There are no expectations: every failure blocks the release.")


@app.command("check", help=CHECK_HELP)
def check(
    results: FromResults = None,
    base: Annotated[
        str | None,
        typer.Option(metavar="REF", help="Reject expectations broader than at this commit", show_default=False),
    ] = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Check every expectation of this project."""
    project = expectations_here()
    reading = project.reading()
    found = [_invalid(each) for each in reading.problems]
    if not found:
        _warn_of_partial_results(results)
        apis = Apis(read_start(results).apis) if results else NO_APIS
        found = lint(reading.expectations, project.subjects(results), project.tolerances, day(as_of), apis)
        found += [
            Finding("error", "format", Path(name).stem, name, "is not formatted; run `gaia expectations fmt`")
            for name in unformatted(project)
        ]
        found += broader(project, base) if base is not None else []
        found.sort(key=sort_key)
    if as_json:
        echo_json(found)
    else:
        echo_lines(f"{each.level}: {each.check}: {each.place}: {each.text}" for each in found)
        typer.echo(_summary(found, len(reading.expectations)))
        if reading.problems:
            typer.echo("Fix the invalid files first; the other checks need them.")
    raise typer.Exit(int(any(each.level == "error" for each in found)))


@app.command("schema", help=SCHEMA_HELP)
def print_schema(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the schema to FILE", show_default=False),
    ] = None,
) -> None:
    """Print the JSON Schema of expectation files."""
    write_json(schema(), output)


@app.command("explain", help=EXPLAIN_HELP)
def explain(
    node: Annotated[str, typer.Argument(metavar="NODEID", help="Node ID of one test, or an operation of a service")],
    env: Annotated[str, environment_option("The environment")],
    results: FromResults = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Explain the expectations of one test or operation."""
    project = expectations_here()
    recorded = read_run(results) if results else None
    context = project.context(env, day(as_of), recorded)
    if operation := _operation(node, project):
        covering = [each for each in project.expectations().expectations if each.covers(str(operation))]
        if as_json:
            echo_json(removal_json(operation, covering, context))
        else:
            echo_lines(removal_explained(operation, covering, context))
        return
    subjects = {subject.node: subject for subject in project.subjects(results)}
    if node not in subjects:
        inside = [each for each in subjects if each.startswith((f"{node}[", f"{node}::", f"{node}/"))]
        hint = f"it covers several, such as {inside[0]}" if inside else _near(node, list(subjects))
        raise ConfigError(f"there is no test {node!r}; {hint}")
    records = [each for each in recorded.tests if subject_of(each).node == node] if recorded else []
    expectations = project.expectations()
    resolution = expectations.resolution(subjects[node], context)
    gone = evaluate_run(recorded.start, recorded.tests, recorded.end, expectations, context).gone if recorded else ()
    if as_json:
        echo_json(explained_json(subjects[node], resolution, records, context, gone))
    else:
        echo_lines(explained(subjects[node], resolution, records, context, gone, recorded=recorded is not None))


def _warn_of_partial_results(results: Path | None) -> None:
    """Warn that expectations of tests that were not selected are reported as unused."""
    end = read_run(results).end if results else None
    if results is not None and (end is None or not end.complete):
        typer.echo(
            f"gaia: {results} is from a partial run; expectations of other tests are reported as unused.", err=True
        )


def _invalid(text: str) -> Finding:
    place, _, problem = text.partition(": ")
    name = place.partition(":")[0].rpartition("/")[2].removesuffix(".toml")
    return Finding("error", "invalid", name, place, problem)


def _summary(found: Sequence[Finding], expectations: int) -> str:
    levels = Counter(each.level for each in found)
    errors, warnings = (counted(levels[level], level) for level in ("error", "warning"))
    return f"{counted(expectations, 'expectation')}: {errors}, {warnings}"


def _near(node: str, known: Sequence[str]) -> str:
    import difflib

    close = difflib.get_close_matches(node, known, n=1)
    return f"did you mean {close[0]}?" if close else "list the tests with `pytest --collect-only -q`."


def _operation(text: str, project: ExpectationsProject) -> NamedOperation | None:
    """Return the operation in ``text``; None if it is something else, such as a node ID."""
    platform = project.project.platform
    try:
        operation = NamedOperation.of(text, platform.entry)
    except ValueError:
        return None
    return operation if operation.service in platform.http else None


def removal_explained(operation: NamedOperation, covering: Sequence[Expectation], context: Context) -> Iterator[str]:
    """Yield lines that explain which of the ``covering`` expectations accept that ``operation`` is gone."""
    baseline = context.apis.baseline
    yield str(operation)
    yield _circumstances(context)
    yield f"  in this release: {_OFFERED[context.apis.offers(operation)]}"
    yield f"  in {baseline.name if baseline else 'the baseline'}: {_OFFERED[context.apis.in_baseline(str(operation), context.today)]}"
    yield ""
    reasons = [(each, each.inapplicable(context)) for each in covering]
    if all(reason for _, reason in reasons):
        yield "No expectation accepts that it is gone, which would block the release."
    for each in (each for each, reason in reasons if not reason):
        yield f"{each.id} accepts that it is gone ({signature(each)})"
        yield from _details(each, context)
    yield from (f"  does not apply: {each.id} ({signature(each)}): {reason}" for each, reason in reasons if reason)


_OFFERED = {True: "offered", False: "not offered", None: "not known"}


def removal_json(operation: NamedOperation, covering: Sequence[Expectation], context: Context) -> dict[str, Any]:
    """Return the explanation of an operation as JSON values."""
    reasons = [(each, each.inapplicable(context)) for each in covering]
    return {
        "operation": str(operation),
        "environment": context.environment,
        "date": context.today.isoformat(),
        "offered": context.apis.offers(operation),
        "in_baseline": context.apis.in_baseline(str(operation), context.today),
        "effective": [expectation_json(each, context.today) for each, reason in reasons if not reason],
        "overridden": [{"expectation": each.id, "reason": reason} for each, reason in reasons if reason],
    }


def explained(
    subject: Subject,
    resolution: Resolution,
    records: Sequence[TestRecord],
    context: Context,
    gone: Sequence[GoneOperation],
    *,
    recorded: bool,
) -> Iterator[str]:
    """Yield lines that explain the expectations of ``subject``, and the outcomes of its ``records``."""
    seen = "reachable" if recorded else "assumed reachable"
    yield subject.node
    yield f"  markers:     {', '.join(sorted(subject.markers)) or 'none'}"
    yield f"  services:    {', '.join(sorted(subject.services)) or 'none'}"
    yield _circumstances(context)
    yield f"  {seen}: {', '.join(sorted(context.capabilities)) or 'none'}"
    if context.unknown:
        yield f"  unknown:     {', '.join(sorted(context.unknown))}"
    yield ""
    yield from _effective(resolution, context)
    for expectation, reason in resolution.overridden:
        yield f"  does not apply: {expectation.id} ({', '.join(_covering(expectation, resolution))}): {reason}"
    for record, classification in zip(records, _evaluated(records, resolution, context), strict=True):
        yield ""
        yield f"In this run: {classification.outcome}{', which blocks the release' if classification.blocks else ''}"
        yield from (f"  {line}" for line in classification.reason.splitlines())
        if record.in_flight and classification.outcome not in ("passed", "not applicable"):
            yield f"  {counted(record.in_flight, 'other test')} ran when it started"
        for each in (each for each in gone if each.operation in classification.operations):
            consequence = f"{each.expectation} accepts that" if each.expectation else "that blocks the release"
            yield f"  {each.operation} is gone since the baseline; {consequence}"


def _circumstances(context: Context) -> str:
    return f"  environment: {context.environment}, tolerance {context.tolerance.kind}, on {context.today}"


def explained_json(
    subject: Subject,
    resolution: Resolution,
    records: Sequence[TestRecord],
    context: Context,
    gone: Sequence[GoneOperation],
) -> dict[str, Any]:
    """Return the explanation as JSON values."""
    return {
        "node": subject.node,
        "markers": sorted(subject.markers),
        "services": sorted(subject.services),
        "environment": context.environment,
        "tolerance": context.tolerance.kind,
        "date": context.today.isoformat(),
        "capabilities": sorted(context.capabilities),
        "unknown": sorted(context.unknown),
        "effective": [expectation_json(expectation, context.today) for expectation in resolution.effective],
        "overridden": [
            {"expectation": expectation.id, "reason": reason} for expectation, reason in resolution.overridden
        ],
        "outcomes": [
            {
                "outcome": each.outcome,
                "blocks": each.blocks,
                "reason": each.reason,
                "in_flight": record.in_flight,
                "gone": {one.operation: one.expectation for one in gone if one.operation in each.operations},
            }
            for record, each in zip(records, _evaluated(records, resolution, context), strict=True)
        ],
    }


def _effective(resolution: Resolution, context: Context) -> Iterator[str]:
    if not resolution.effective:
        yield "No expectation applies: if the test fails, it blocks the release."
    for expectation in resolution.effective:
        yield f"{expectation.id} applies ({', '.join(_covering(expectation, resolution))}): {_expectation(expectation)}"
        yield from _details(expectation, context)


def _details(expectation: Expectation, context: Context) -> Iterator[str]:
    yield f"  reason: {expectation.reason}"
    yield f"  owner:  {expectation.owner}, {expectation.issue}, {life(expectation, context.today)} left, {expectation.place}"
    if expectation.when:
        yield f"  when:   {', '.join(condition(*each) for each in expectation.when)}"
    if expectation.offers:
        yield f"  offers: {', '.join(condition(*each) for each in expectation.offers)}"


def _expectation(expectation: Expectation) -> str:
    if expectation.expect in ("pass", "skip"):
        return f"the test {expectation.expect}{'es' if expectation.expect == 'pass' else 's'}"
    verb = "fails" if expectation.expect == "fail" else "may fail"
    return f"the test {verb} in {' or '.join(expectation.phase_names)} with {signature(expectation)}"


def _covering(expectation: Expectation, resolution: Resolution) -> list[str]:
    return [selector.text for selector in expectation.selectors if selector.text in resolution.keys]


def _evaluated(records: Sequence[TestRecord], resolution: Resolution, context: Context) -> list[Classification]:
    expectations = ExpectationSet([*resolution.effective, *(expectation for expectation, _ in resolution.overridden)])
    return [classify(record, expectations, context) for record in records]
