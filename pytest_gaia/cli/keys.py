"""``gaia key``: the pair of keys that signs evidence, and whom the project trusts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

# At run time, because typer reads the annotations.
from pytest_gaia.cli.deployments import AsJson  # noqa: TC001
from pytest_gaia.cli.policy_shown import echo_json
from pytest_gaia.cli.tables import show_table
from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.project import Promotion

if TYPE_CHECKING:
    from pytest_gaia.promotion.keys import TrustedKey

app = typer.Typer(help="The keys that sign evidence, and whom the project trusts.", no_args_is_help=True)

CREATE_HELP = """\
Make a pair of Ed25519 keys: the public one goes into the project, and is committed; the private one stays yours.

\b
  gaia key create ci --role ci --output ci.pem          then store ci.pem as the CI secret GAIA_SIGNING_KEY
  gaia key create rita --role release-manager --identity rita@example.org
  gaia key trust rita ~/.ssh/id_ed25519.pub --role release-manager

Roles: ci testifies what machines did; release-manager, security and product sign and waive. An identity is an e-mail
address as it stands in commits: who wrote a release cannot approve it.
"""

Roles = Annotated[list[str], typer.Option("--role", metavar="ROLE", help="What the key may sign as; repeatable.")]
Identities = Annotated[
    list[str] | None, typer.Option("--identity", metavar="EMAIL", help="An address of its owner; repeatable.")
]


@app.command("create", help=CREATE_HELP)
def create_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is called: its file in the project.")],
    role: Roles,
    identity: Identities = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the private key goes; default ~/.config/gaia/NAME.pem.")
    ] = None,
) -> None:
    """Write both keys; neither over another."""
    from pytest_gaia.promotion.key_files import create_pair, write_trusted

    promotion = Promotion.here()
    private = (output or _config_folder() / f"{name}.pem").absolute()
    folder = promotion.rootdir / promotion.settings.keys
    public = create_pair(private, lambda text: write_trusted(folder, name, text, role, identity or ()))
    typer.echo(f"public:  {os.path.relpath(public)}   commit it")
    typer.echo(f"private: {private}   keep it secret")
    typer.echo(f"to sign: export GAIA_SIGNING_KEY_FILE={private}   (in CI: its text, as the secret GAIA_SIGNING_KEY)")


@app.command("trust")
def trust_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is called: its file in the project.")],
    public_key: Annotated[Path, typer.Argument(metavar="FILE", help="A public key: PEM, or id_ed25519.pub of SSH.")],
    role: Roles,
    identity: Identities = None,
) -> None:
    """Trust a public key that somebody has already."""
    from pytest_gaia.config.documents import read_text
    from pytest_gaia.promotion.key_files import write_trusted

    promotion = Promotion.here()
    text = read_text(public_key, str(public_key))
    path = write_trusted(promotion.rootdir / promotion.settings.keys, name, text, role, identity or ())
    typer.echo(f"{os.path.relpath(path)}: commit it, and {name} is trusted as {', '.join(role)}")


@app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List the keys that the project trusts, and say which one would sign here."""
    promotion = Promotion.here()
    here = {key.keyid for key in promotion.signers()}
    rows = [_row(key, signs=key.keyid in here) for key in promotion.ledger.keys]
    if as_json:
        echo_json(rows)
        return
    if not rows:
        raise ConfigError(f"{promotion.settings.keys}: no key is trusted yet; gaia key create --help tells how.")
    columns = tuple(rows[0])
    show_table(columns, [[str(row[column]) for column in columns] for row in rows])


def _row(key: TrustedKey, *, signs: bool) -> dict[str, str]:
    return {
        "name": key.name,
        "roles": ", ".join(key.roles),
        "identities": ", ".join(key.identities),
        "until": key.not_after.isoformat() if key.not_after else "",
        "key": key.keyid[:12],
        "signs here": "yes" if signs else "",
    }


def _config_folder() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "gaia"
