"""``gaia key``: the pair of keys that signs evidence, and whom the project trusts."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from pytest_gaia.cli.asking import moment
from pytest_gaia.cli.options import AsJson
from pytest_gaia.cli.output import echo_json, show_table
from pytest_gaia.config.stages import MACHINE_ROLE
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.files.toml import read_text
from pytest_gaia.promotion.gate.checks import CHECKS
from pytest_gaia.promotion.ledger.key_files import check_name, create_pair, retire, write_trusted
from pytest_gaia.promotion.ledger.keys import TrustedKey, check_roles
from pytest_gaia.promotion.project import Promotion

app = typer.Typer(name="key", help="The keys that sign evidence, and whom the project trusts.", no_args_is_help=True)

CREATE_HELP = """\
Make a pair of Ed25519 keys: the public one goes into the project, and is committed; the private one stays yours.

\b
  gaia key create ci --role ci --output ci.pem          then store ci.pem as the CI secret GAIA_SIGNING_KEY
  gaia key create rita --role release-manager --identity rita@example.org
  gaia key trust rita ~/.ssh/id_ed25519.pub --role release-manager --identity rita@example.org

Roles: ci testifies what machines did; release-manager, security and product sign and waive. A key has either ci, or
roles of people. An identity is an e-mail address as it stands in commits: who wrote a release cannot approve it, and
without one a key approves nothing.
"""

RETIRE_HELP = """\
End a key, or one role of it: what it signed until then stays valid, and it signs nothing after that. Never delete the
file of a key that has signed something: without it, nobody can verify what it signed.

\b
  gaia key retire ci                                 now
  gaia key retire rita --role release-manager        she signs in her other roles still
  gaia key retire ci --at 2027-01-31T12:00Z

Exits 4, and changes nothing, if the ledger holds what it signed after that time.
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
    check_name(name)
    promotion = Promotion.here()
    _check_roles(promotion, role, identity or ())
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
    promotion = Promotion.here()
    _check_roles(promotion, role, identity or ())
    text = read_text(public_key, str(public_key))
    path = write_trusted(promotion.rootdir / promotion.settings.keys, name, text, role, identity or ())
    typer.echo(f"{os.path.relpath(path)}: commit it, and {name} is trusted as {', '.join(role)}")


@app.command("retire", help=RETIRE_HELP)
def retire_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The key: its file in the project, without .toml.")],
    role: Annotated[str | None, typer.Option(metavar="ROLE", help="Only this role of it.")] = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="From when on (ISO 8601); default now.", show_default=False)
    ] = None,
) -> None:
    """Write the end into the file of the key."""
    promotion = Promotion.here()
    key = next((each for each in promotion.ledger.keys if each.name == name), None)
    if key is None:
        raise ConfigError(
            f"{name}: no key of that name is trusted; {nearest(name, [each.name for each in promotion.ledger.keys])}"
        )
    when = moment(at, "--at") if at is not None else datetime.now(UTC).replace(microsecond=0)
    path = retire(promotion.rootdir / promotion.settings.keys, key, role, when, promotion.ledger.entries())
    what = f"{name} is no {role} any more" if role else f"{name} signs nothing any more"
    typer.echo(f"{os.path.relpath(path)}: commit it, and {what}; what it signed before stays valid")


@app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List the keys that the project trusts, and say which one would sign here."""
    promotion = Promotion.here()
    signers, keys = promotion.signers(), promotion.ledger.keys
    here = {key.keyid for key in signers}
    if as_json:
        echo_json([_plain(key, signs=key.keyid in here) for key in keys])
        return
    if not keys:
        raise ConfigError(f"{promotion.settings.keys}: no key is trusted yet; gaia key create --help tells how.")
    columns = ("name", "roles", "identities", "until", "key", "signs here")
    show_table(columns, [_row(key, signs=key.keyid in here) for key in keys])
    for signer in signers:
        if signer.keyid not in {key.keyid for key in keys}:
            typer.echo(
                f"{signer.source}: this key ({signer.keyid[:12]}) is not trusted; gaia key trust --help", err=True
            )


def _row(key: TrustedKey, *, signs: bool) -> tuple[str, ...]:
    until = key.not_after.isoformat() if key.not_after else ""
    return key.name, ", ".join(key.roles), ", ".join(key.identities), until, key.keyid[:12], "yes" if signs else ""


def _plain(key: TrustedKey, *, signs: bool) -> dict[str, Any]:
    return {
        "name": key.name,
        "keyid": key.keyid,
        "roles": list(key.roles),
        "identities": list(key.identities),
        "not_before": key.not_before.isoformat() if key.not_before else None,
        "not_after": key.not_after.isoformat() if key.not_after else None,
        "former_roles": {role: until.isoformat() for role, until in key.former_roles},
        "signs_here": signs,
    }


def _check_roles(promotion: Promotion, roles: Sequence[str], identities: Sequence[str]) -> None:
    """Raise ``ConfigError`` for roles that would be noticed too late.

    Those are one that nothing in the project asks for, some that one key cannot have together, and one of a person whose
    identity is not given.
    """
    asked = {role for stage in promotion.stages.values() for role in stage.sign}
    known = {MACHINE_ROLE, *asked, *(role for check in CHECKS for role in check.roles)}
    if unknown := [role for role in roles if role not in known]:
        raise ConfigError(f"--role {unknown[0]}: nothing asks for it; {nearest(unknown[0], known)}")
    try:
        check_roles(roles)
    except ValueError as error:
        raise ConfigError(f"--role: this key {error}") from None
    if MACHINE_ROLE not in roles and not identities:
        raise ConfigError(
            f"--role {roles[0]}: is one of people, and without an identity nobody could tell whether its owner wrote a "
            "part of a release. Add --identity name@example.org, as it stands in commits."
        )


def _config_folder() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "gaia"
