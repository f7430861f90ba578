"""``gaia api``: what services offer, and whether a release breaks it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from pytest_gaia.cli.options import AsJson, EnvironmentName, complete_name, environment_option
from pytest_gaia.cli.output import echo_json, show_table
from pytest_gaia.errors import ConfigError, EnvironmentUnavailable
from pytest_gaia.printable import one_line
from pytest_gaia.promotion.api.check import CHECK_ID, ApiCheck, check, check_release
from pytest_gaia.promotion.api.snapshots import Fetched, Snapshot, fetch, keep, kept_folder, load
from pytest_gaia.promotion.ledger.ledger import Entry
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.checks import environment_apart, record_check
from pytest_gaia.promotion.promote.signers import signers_for

HELP = """\
What services offer, by their OpenAPI documents, and whether a release breaks what production promises its clients.

\b
  gaia api snapshot production
  gaia api diff production dev
  gaia api diff --bundle 3f9a1c --env dev --record
"""

SNAPSHOT_HELP = """\
Fetch /openapi.json of every HTTP service of an environment, and keep it in .gaia/api/ENV, or elsewhere.

\b
  gaia api snapshot production
  gaia api snapshot dev --output before/

A service without a document is said. Exit codes: 0 something was kept; 4 a mistake; 12 no service gave a document.
"""

DIFF_HELP = """\
Compare what is offered: A is older, B is newer. Each is an environment (asked now), or a folder or file of a snapshot.

\b
  gaia api diff production dev
  gaia api diff before/ .gaia/api/dev
  gaia api diff --bundle 3f9a1c --env dev --record

With --bundle, it is the environment that the bundle comes from (it has to be seen to run it) against production, or what
was kept of production last; --record writes the result into the ledger, for the item no-breaking-api-change.

\b
Exit codes: 0 nothing breaks; 1 something does; 11 not known: a document is missing or cannot be read; 4 a mistake.
"""

app = typer.Typer(name="api", help=HELP, no_args_is_help=True)

Side = Annotated[
    str | None,
    typer.Argument(help="An environment, a folder, or a file.", autocompletion=complete_name, show_default=False),
]


@app.command("snapshot", help=SNAPSHOT_HELP)
def take_snapshot(
    env: EnvironmentName,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="The folder to write to instead.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch, keep, and say what was found."""
    promotion = Promotion.here()
    snapshot = fetch(environment_apart(promotion, env))
    written = keep(snapshot, output or kept_folder(promotion.rootdir, env))
    if as_json:
        echo_json({name: {"paths": _paths(each), "problem": each.problem or None} for name, each in snapshot.items()})
    else:
        rows = [(name, str(_paths(each) or ""), each.problem) for name, each in snapshot.items()]
        show_table(("service", "paths", "problem"), rows)
        typer.echo("kept: " + (", ".join(map(str, map(_from_here, written))) or "nothing"))
    if not written:
        raise EnvironmentUnavailable(f"{env}: no service gave a document.")


@app.command("diff", help=DIFF_HELP)
def show_difference(
    a: Side = None,
    b: Side = None,
    release: Annotated[str | None, typer.Option("--bundle", metavar="ID", help="The bundle that is judged.")] = None,
    env: Annotated[str | None, environment_option("Where the bundle is to go.")] = None,
    record: Annotated[bool, typer.Option("--record", help="Write the result into the ledger.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare, and end with what it comes to."""
    promotion = Promotion.here()
    if release is None and env is None and a is not None and b is not None:
        if record:
            raise ConfigError("--record: of which bundle, on its way where? Say --bundle ID --env ENV, and no A and B.")
        _end(check(_side(promotion, a), _side(promotion, b)), None, as_json=as_json)
    if release is None or env is None or a is not None:
        raise ConfigError("give two sides (gaia api diff A B), or a bundle (gaia api diff --bundle ID --env ENV).")
    found, now = promotion.release(release), datetime.now(UTC)
    if record:
        # Before anything is asked: whoever cannot sign should not wait for an answer that is thrown away.
        signers_for(promotion, env)
    result = check_release(promotion, env, found, now)
    says = (result.status, result.reason, result.findings)
    _end(result, record_check(promotion, env, found, CHECK_ID, says, now) if record else None, as_json=as_json)


def _end(result: ApiCheck, entry: Entry | None, *, as_json: bool) -> None:
    if as_json:
        echo_json(_json(result) | {"entry": entry.sequence if entry else None})
        raise typer.Exit(result.exit_code)
    if result.changes:
        rows = [(e.change.kind, e.service, e.change.operation, str(e.change)) for e in result.changes]
        show_table(("", "service", "operation", "change"), rows)
    for line in (*result.unclear, *result.notes):
        typer.echo(one_line(line))
    typer.echo(one_line(f"{result.status}: {result.reason}"))
    if entry:
        typer.echo(f"written as entry {entry.sequence} of the ledger")
    raise typer.Exit(result.exit_code)


def _side(promotion: Promotion, text: str) -> Snapshot:
    """Return what ``text`` names: an environment is asked, and anything with a slash or an ending is a path."""
    path = Path(text)
    if "/" in text or text.endswith(".json"):
        if not path.exists():
            raise ConfigError(f"{text}: there is no such file or folder; `gaia api snapshot ENV --output {text}`.")
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
        "why": result.reason,
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
