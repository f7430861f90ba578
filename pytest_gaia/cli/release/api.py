"""``gaia api``: what services offer, and whether a release breaks it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from pytest_gaia.cli.app import CHOSEN
from pytest_gaia.cli.options import (
    AsJson,
    EnvironmentName,
    complete_name,
    complete_release,
    environment_option,
    options_here,
)
from pytest_gaia.cli.output import echo_json, echo_lines, show_table
from pytest_gaia.config.resolve import resolve
from pytest_gaia.errors import ConfigError, EnvironmentUnavailable
from pytest_gaia.expectations.apis import Api, Apis, Baseline, NamedOperation, removed_without_tests
from pytest_gaia.observation.documents import (
    Fetched,
    Snapshot,
    apis_of,
    baseline_at,
    fetch,
    keep,
    kept_folder,
    last_baseline,
    load,
)
from pytest_gaia.printable import one_line
from pytest_gaia.promotion.ledger.ledger import Entry
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.checks import (
    API,
    ApiCheck,
    check_release,
    compare,
    environment_apart,
    record_check,
)
from pytest_gaia.promotion.promote.signing import signers_for
from pytest_gaia.report.layout import aligned
from pytest_gaia.verdict.evidence import RecordedRun
from pytest_gaia.verdict.results_log import read_run, read_start
from pytest_gaia.wording import counted

HELP = """\
Show and compare the operations of services, and find breaking changes.

\b
Examples:
  gaia api show staging
  gaia api operations run.jsonl --check
  gaia api snapshot production
  gaia api diff production dev
  gaia api diff --release 3f9a1c -e dev --attest
"""

SHOW_HELP = """\
Show the operations that an environment offers now, or that a run recorded.

\b
Examples:
  gaia api show staging
  gaia api show run.jsonl --operations
  gaia api show staging --baseline run.jsonl

Lists each service with its number of operations and its document, and the
operations that are gone and new since the baseline: PATH of --baseline, that of
the run, or the last documents of the environment. Also with -v, list all.

\b
Exit codes: 0 shown; 4 usage error; 12 no service returned a document
"""

OPERATIONS_HELP = """\
List the operations that each test of a run requested, to write markers from.

\b
Examples:
  gaia api operations run.jsonl
  gaia api operations run.jsonl --check

A marker is @pytest.mark.gaia(operations=[...]). --check compares the markers of
tests that passed with their requests, and lists operations that a test never
requested.

\b
Exit codes: 0 listed; 1 --check found an operation; 4 usage error
"""

SNAPSHOT_HELP = """\
Save /openapi.json of every HTTP service of an environment.

\b
Examples:
  gaia api snapshot production
  gaia api snapshot dev --output before/

The default folder is .gaia/api/ENV. Services without a document are listed.

\b
Exit codes: 0 saved; 4 usage error; 12 no service returned a document
"""

DIFF_HELP = """\
Compare two versions of an API; list breaking changes.

\b
Examples:
  gaia api diff production dev
  gaia api diff before/ .gaia/api/dev
  gaia api diff --release 3f9a1c -e dev --attest

A and B are environments, or folders or files of snapshots. With --release, the command compares the environment that
runs the release with production, or with the last snapshot of production. --attest records the result in the ledger, for
the check no-breaking-api-change.

\b
Exit codes: 0 no breaking change; 1 breaking change; 11 inconclusive, a
document is missing or invalid; 4 usage error
"""

_SHORT = len("sha256:") + 12
"""characters of a digest in a table"""

app = typer.Typer(name="api", help=HELP, no_args_is_help=True)

Side = Annotated[
    str | None,
    typer.Argument(help="Environment, folder or file", autocompletion=complete_name, show_default=False),
]


@app.command("show", help=SHOW_HELP)
def show_api(
    env: Annotated[
        str | None,
        typer.Argument(
            metavar="ENV|RUN.jsonl",
            help="Default: the environment that a run uses",
            autocompletion=complete_name,
            show_default=False,
        ),
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Compare with this folder of a snapshot, or results log")
    ] = None,
    url: Annotated[
        list[str] | None, typer.Option(metavar="SERVICE=URL", help="As --gaia-url of pytest; repeatable")
    ] = None,
    operations: Annotated[bool, typer.Option("--operations", help="List all operations")] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch or read the operations, compare them with the baseline, and print them."""
    shown = _recorded(Path(env), url) if env and env.endswith(".jsonl") else _offered(env, url)
    if baseline is not None:
        shown = replace(shown, baseline=baseline_at(baseline.absolute()))
    if as_json:
        echo_json(shown.json())
    else:
        echo_lines(shown.lines(whole=operations or CHOSEN.verbose))
    if not shown.now:
        raise EnvironmentUnavailable(f"{shown.name}: no service returned an OpenAPI document.")


@dataclass(frozen=True, slots=True)
class _Shown:
    """What an environment or a run offers."""

    name: str
    now: Mapping[str, Api]
    baseline: Baseline | None
    problems: Mapping[str, str] = field(default_factory=dict)
    """service → why its document is not known"""
    hint: str = ""
    """how to get a baseline, in addition to --baseline"""

    def json(self) -> dict[str, Any]:
        services = {
            name: {"document": api.document, "source": api.source, "operations": list(api.operations)}
            for name, api in self.now.items()
        }
        lacking = {name: {"problem": problem} for name, problem in self.problems.items()}
        since = self.baseline and {"name": self.baseline.name, "gone": self._gone(), "new": self._new()}
        return {"name": self.name, "services": services | lacking, "baseline": since}

    def lines(self, *, whole: bool) -> list[str]:
        rows = [
            (name, str(len(api.operations)), api.document[:_SHORT], api.source) for name, api in self.now.items()
        ] + [(name, "", "", problem) for name, problem in self.problems.items()]
        lines = aligned([("service", "operations", "document", "source"), *rows])
        if self.baseline is None:
            lines.append(f"{self.name}: no baseline is known; pass --baseline PATH{self.hint}")
        else:
            since, found = self.baseline.name, (("gone", self._gone()), ("new", self._new()))
            for word, them in found:
                lines.append(f"{counted(len(them), 'operation')} {word} since {since}{':' if them else ''}")
                lines += [f"  {each}" for each in them]
        if whole:
            lines += [f"{name}: {each}" for name, api in self.now.items() for each in api.operations]
        return lines

    def _gone(self) -> list[str]:
        return removed_without_tests(Apis(self.now, self.baseline), (), datetime.now(UTC).date())

    def _new(self) -> list[str]:
        before = self.baseline.apis if self.baseline else {}
        return removed_without_tests(Apis(before, Baseline("", dict(self.now))), (), datetime.now(UTC).date())


def _recorded(path: Path, urls: Sequence[str] | None) -> _Shown:
    if urls:
        raise ConfigError("--url is for an environment, not for a results log.")
    start = read_start(path)
    if not start.apis:
        raise ConfigError(f"{path}: this run recorded no OpenAPI document of a service.")
    return _Shown(str(path), start.apis, start.baseline)


def _offered(env: str | None, urls: Sequence[str] | None) -> _Shown:
    options = options_here(env, urls=tuple(urls or ()))
    environment = resolve(options)
    snapshot = fetch(environment)
    now = apis_of(snapshot)
    problems = {
        name: each.problem or "not an OpenAPI document of version 3.0 or 3.1"
        for name, each in snapshot.items()
        if name not in now
    }
    name = environment.name
    return _Shown(name, now, last_baseline(options.rootdir, name), problems, f", or run `gaia api snapshot {name}`")


@app.command("operations", help=OPERATIONS_HELP)
def list_operations(
    results: Annotated[Path, typer.Argument(metavar="RUN.jsonl", help="File written by pytest --gaia-report-log")],
    compare: Annotated[bool, typer.Option("--check", help="Compare the markers with the requests")] = False,
    as_json: AsJson = False,
) -> None:
    """Read the exchanges of each test, and print or compare its operations."""
    recorded = read_run(results)
    requested = _requested(recorded)
    declared = {each.node: each.operations for each in recorded.tests if each.operations is not None}
    findings = _unused(recorded, requested) if compare else []
    if as_json:
        tests = [{"node": node, "operations": them, "declared": declared.get(node)} for node, them in requested.items()]
        echo_json({"tests": tests, "findings": [{"node": node, "operation": each} for node, each in findings]})
    elif compare:
        echo_lines(f"{node}: the marker names {each}, which the test never requested" for node, each in findings)
        marked = {node for node, operations in declared.items() if operations}
        checked = len(marked & {test.node for test in recorded.tests if test.clean})
        typer.echo(
            f"{checked} of {counted(len(marked), 'test')} with operations in a marker passed and were checked: "
            f"{counted(len(findings), 'finding')}"
        )
    else:
        for node, them in requested.items():
            echo_lines([node, *(f"  {each}" for each in them)])
    raise typer.Exit(1 if findings else 0)


def _requested(recorded: RecordedRun) -> dict[str, list[str]]:
    """Return node ID → the operations that the test requested, as documents spell them, each once and in order."""
    apis = Apis(recorded.start.apis, recorded.start.baseline)
    found: dict[str, dict[str, None]] = {}
    for test in recorded.tests:
        for each in test.exchanges:
            operation = apis.spelled(NamedOperation(each.receiver, each.method, each.route))
            found.setdefault(test.node, {})[operation] = None
    return {node: list(them) for node, them in found.items()}


def _unused(recorded: RecordedRun, requested: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Return the operations that the markers of passed tests name and these tests did not request.

    A test that failed may have ended before its request.
    """
    passed = {test.node: test.operations or () for test in recorded.tests if test.clean}
    return [
        (node, declared)
        for node, operations in passed.items()
        for declared in operations
        if not _is_among(declared, requested.get(node, ()))
    ]


def _is_among(declared: str, requested: Sequence[str]) -> bool:
    service, _, operation = declared.partition(": ")
    alone = Apis({service: Api("", (operation,))})
    named = (NamedOperation.of(each, None) for each in requested)
    return any(alone.offers(each) for each in named if each.service == service)


@app.command("snapshot", help=SNAPSHOT_HELP)
def take_snapshot(
    env: EnvironmentName,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder to write to")] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch, save, and print what was found."""
    promotion = Promotion.here()
    snapshot = fetch(environment_apart(promotion, env))
    written = keep(snapshot, output or kept_folder(promotion.rootdir, env))
    if as_json:
        echo_json({name: {"paths": _paths(each), "problem": each.problem or None} for name, each in snapshot.items()})
    else:
        rows = [(name, str(_paths(each) or ""), each.problem) for name, each in snapshot.items()]
        show_table(("service", "paths", "problem"), rows)
        typer.echo("saved: " + (", ".join(map(str, map(_from_here, written))) or "nothing"))
    if not written:
        raise EnvironmentUnavailable(f"{env}: no service returned an OpenAPI document.")


@app.command("diff", help=DIFF_HELP)
def show_difference(
    a: Side = None,
    b: Side = None,
    release: Annotated[
        str | None,
        typer.Option("--release", metavar="RELEASE", help="Release to check", autocompletion=complete_release),
    ] = None,
    env: Annotated[str | None, environment_option("Environment that the release goes to")] = None,
    attest: Annotated[bool, typer.Option("--attest", help="Record the result in the ledger")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare, print the changes, and exit with their code."""
    promotion, now = Promotion.here(), datetime.now(UTC)
    if release is None and env is None and a is not None and b is not None:
        if attest:
            raise ConfigError(
                "--attest needs a release and its target: pass --release RELEASE -e ENV instead of A and B."
            )
        _end(compare(_side(promotion, a), _side(promotion, b), now.date()), None, as_json=as_json)
    if release is None or env is None or a is not None:
        raise ConfigError("Pass two sides (gaia api diff A B), or a release (gaia api diff --release RELEASE -e ENV).")
    found = promotion.release(release)
    if attest:
        # Before any request: without a key, the result could not be recorded.
        signers_for(promotion, env)
    result = check_release(promotion, env, found, now)
    says = (result.status, result.reason, result.findings)
    _end(result, record_check(promotion, env, found, API, says, now) if attest else None, as_json=as_json)


def _end(result: ApiCheck, entry: Entry | None, *, as_json: bool) -> None:
    if as_json:
        echo_json(_json(result) | {"entry": entry.sequence if entry else None})
        raise typer.Exit(result.exit_code)
    if result.changes:
        show_table(("", "service", "operation", "change"), [*dict.fromkeys(each.row for each in result.changes)])
    for line in (*result.unclear, *result.notes):
        typer.echo(one_line(line))
    typer.echo(one_line(f"{result.status}: {result.reason}"))
    if entry:
        typer.echo(f"recorded in the ledger as entry {entry.sequence}")
    raise typer.Exit(result.exit_code)


def _side(promotion: Promotion, text: str) -> Snapshot:
    """Return the snapshot that ``text`` names: a path if it has a slash or ends in .json, else an environment."""
    path = Path(text)
    if "/" in text or text.endswith(".json"):
        if not path.exists():
            raise ConfigError(
                f"{text}: no such file or folder. To create it, run `gaia api snapshot ENV --output {text}`."
            )
        return load(path)
    try:
        environment = environment_apart(promotion, text)
    except ConfigError:
        if path.exists():
            return load(path)
        raise
    return fetch(environment)


def _json(result: ApiCheck) -> dict[str, Any]:
    return {
        "status": result.status,
        "reason": result.reason,
        "exit_code": result.exit_code,
        "changes": [
            {"service": e.service, "kind": e.change.kind, "operation": e.change.operation, "text": e.change.text}
            | ({"schema": e.change.schema, "also": list(e.change.also)} if e.change.also else {})
            for e in result.changes
        ],
        "unclear": list(result.unclear),
        "notes": list(result.notes),
        "compared": {name: {"before": old, "after": new} for name, (old, new) in (result.compared or {}).items()},
    }


def _paths(fetched: Fetched) -> int | None:
    paths = (fetched.document or {}).get("paths")
    return len(paths) if isinstance(paths, dict) else None


def _from_here(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
