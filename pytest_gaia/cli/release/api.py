"""``gaia api``: what services offer, and whether a release breaks it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from pytest_gaia.cli.options import AsJson, EnvironmentName, complete_name, complete_release, environment_option
from pytest_gaia.cli.output import echo_json, show_table
from pytest_gaia.errors import ConfigError, EnvironmentUnavailable
from pytest_gaia.observation.documents import Fetched, Snapshot, fetch, keep, kept_folder, load
from pytest_gaia.printable import one_line
from pytest_gaia.promotion.api.check import CHECK_ID, ApiCheck, check, check_release
from pytest_gaia.promotion.ledger.ledger import Entry
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.checks import environment_apart, record_check
from pytest_gaia.promotion.promote.signers import signers_for

HELP = """\
Compare the OpenAPI documents of services, and find breaking changes.

\b
Examples:
  gaia api snapshot production
  gaia api diff production dev
  gaia api diff --release 3f9a1c -e dev --attest
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

app = typer.Typer(name="api", help=HELP, no_args_is_help=True)

Side = Annotated[
    str | None,
    typer.Argument(help="Environment, folder or file", autocompletion=complete_name, show_default=False),
]


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
        _end(check(_side(promotion, a), _side(promotion, b), now.date()), None, as_json=as_json)
    if release is None or env is None or a is not None:
        raise ConfigError("Pass two sides (gaia api diff A B), or a release (gaia api diff --release RELEASE -e ENV).")
    found = promotion.release(release)
    if attest:
        # Before any request: without a key, the result could not be recorded.
        signers_for(promotion, env)
    result = check_release(promotion, env, found, now)
    says = (result.status, result.reason, result.findings)
    _end(result, record_check(promotion, env, found, CHECK_ID, says, now) if attest else None, as_json=as_json)


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
