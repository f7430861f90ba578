"""``gaia signoff | waive``: what only people can say, signed, in their role, for one bundle, until a day."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pytest_gaia.cli.gate import BundleId
from pytest_gaia.promotion.bundle.model import Bundle
from pytest_gaia.promotion.project import Promotion

SIGNOFF_HELP = """\
Sign an item of the checklist for one bundle, or the release as a whole, in a role that your key has.

\b
  gaia signoff security-review --env production --bundle 3f9a1c --role security --why "report SEC-88"
  gaia signoff release --env production --bundle 3f9a1c --role release-manager --ssh-key ~/.ssh/id_ed25519

The key is that of GAIA_SIGNING_KEY(_FILE), or an SSH key, and the project trusts it (gaia key list). Who wrote a part of
the bundle cannot sign for it. A sign-off holds until a day, and for this bundle alone.
"""

WAIVE_HELP = """\
Let an item of the checklist go for one bundle, for a reason and a while. It stands first in every report.

\b
  gaia waive rollback-ready --env production --bundle 3f9a1c --until 2d --why "partner launch, rollback tried by hand"

A freeze is waived as an item is (gaia waive not-frozen …), and so is a run that was rejected before the one that passed
(gaia waive not-rejected …, after that run). Only a release-manager can, who has not written a part of the bundle, and for
30 days at most.
"""

app = typer.Typer()

ItemName = Annotated[str, typer.Argument(metavar="ITEM", help="The item; see gaia checklist.", show_default=False)]
Target = Annotated[str, typer.Option("--env", metavar="ENV", help="The environment that it goes to.")]
SshKey = Annotated[
    Path | None, typer.Option("--ssh-key", metavar="FILE", help="Sign with this SSH key, through ssh-keygen.")
]


def sign_off(
    item: ItemName,
    env: Target,
    bundle: BundleId,
    role: Annotated[
        str | None, typer.Option(metavar="ROLE", help="The role to sign in; needed where your key has several.")
    ] = None,
    why: Annotated[str, typer.Option(metavar="TEXT", help="What you have looked at.")] = "",
    until: Annotated[str, typer.Option(metavar="TIME", help="Until when it holds: 7d, 12h, or a date.")] = "7d",
    ssh_key: SshKey = None,
) -> None:
    """Write a signed sign-off into the ledger."""
    _sign("signoff", item, env, bundle, role, why, until, ssh_key)


@app.command("waive", help=WAIVE_HELP)
def waive_item(
    item: ItemName,
    env: Target,
    bundle: BundleId,
    why: Annotated[str, typer.Option(metavar="TEXT", help="Why it may go without.", show_default=False)],
    until: Annotated[str, typer.Option(metavar="TIME", help="Until when: 2d, 12h, or a date.", show_default=False)],
    ssh_key: SshKey = None,
) -> None:
    """Write a signed waiver into the ledger."""
    _sign("waiver", item, env, bundle, "release-manager", why, until, ssh_key)


def _sign(
    kind: str, item: str, env: str, bundle: str, role: str | None, why: str, until: str, ssh_key: Path | None
) -> None:
    from pytest_gaia.promotion.promote.signing import Word, write_word

    promotion = Promotion.here()
    found: Bundle = promotion.bundle(bundle)
    word = Word(item, env, why, until, role)
    entry = write_word(promotion, found, word, kind, ssh_key, datetime.now(UTC), os.environ.get("USER", ""))
    who = ", ".join(key.name for key in entry.signers) or "nobody's key: this environment asks for none"
    typer.echo(f"{item} for {env}, bundle {found.short}: written as entry {entry.sequence}, signed by {who}")
    typer.echo(f"next: gaia gate {env} --bundle {found.short} --edge")
