"""``gaia check``: items of the checklist that a tool looks at, each with one command."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from pytest_gaia.cli.gate import BundleId
from pytest_gaia.cli.options import AsJson, complete_name
from pytest_gaia.cli.output import echo_json
from pytest_gaia.promotion.project import Promotion

HELP = """\
Items of the checklist that a tool looks at. What it finds is written into the ledger.

\b
  gaia check no-experimental-features --bundle 3f9a1c --env staging
"""

EXPERIMENTAL_HELP = """\
Look whether a bundle goes out with experimental features, and write what is found into the ledger.

\b
  gaia check no-experimental-features --bundle 3f9a1c --env staging

Proved if none of its deploy files for ENV switches one on (a variable named EXPERIMENTAL…, ENABLE_EXPERIMENTAL… or
FEATURE_…EXPERIMENTAL…), and ENV leaves experimental checks out, or the bundle's newest run in the stage before ran none.

Exit codes: 0 proved; 1 one is switched on; 11 not known; 4 a mistake.
"""

app = typer.Typer(name="check", help=HELP, no_args_is_help=True)

_EXIT_CODES = {"proved": 0, "failed": 1, "inconclusive": 11}


@app.callback()
def _checks() -> None:
    """Keep the name of the item a word of its own, though there is one alone."""


@app.command("no-experimental-features", help=EXPERIMENTAL_HELP)
def check_no_experimental_features(
    bundle: BundleId,
    env: Annotated[str, typer.Option("--env", metavar="ENV", help="Where it is to go.", autocompletion=complete_name)],
    as_json: AsJson = False,
) -> None:
    """Look, write, and end with what was found."""
    from pytest_gaia.promotion.promote.checks import ITEM, check_experimental, record_check

    promotion = Promotion.here()
    found, now = promotion.bundle(bundle), datetime.now(UTC)
    status, why, findings = check_experimental(promotion, env, found, now)
    entry = record_check(promotion, env, found, ITEM, (status, why, findings), now)
    if as_json:
        echo_json({"item": ITEM, "status": status, "why": why, "findings": list(findings), "entry": entry.sequence})
    else:
        typer.echo(f"{status}: {why}\nwritten as entry {entry.sequence} of the ledger")
    raise typer.Exit(_EXIT_CODES[status])
