"""``gaia key``: generate, add, revoke and list signing keys."""

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from pytest_gaia.cli.options import AsJson, moment
from pytest_gaia.cli.output import echo_json, show_table
from pytest_gaia.config.stages import MACHINE_ROLE
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.files.toml import read_text
from pytest_gaia.promotion.gate.gate import CHECKS
from pytest_gaia.promotion.ledger.key_files import check_name, create_pair, retire, write_trusted
from pytest_gaia.promotion.ledger.keys import TrustedKey, check_roles, public_pem
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.system.processes import git

HELP = """\
Generate, add, revoke and list signing keys.

\b
Examples:
  gaia key generate ci --role ci -o ci.pem
  gaia key list
"""

SHOW_HELP = """\
Print a trusted public key as PEM, for other tools that verify evidence.

\b
Example:
  gaia key show ci > ci.pub.pem
"""

ADD_HELP = """\
Add an existing public key to the trusted keys.

\b
Example:
  gaia key add rita ~/.ssh/id_ed25519.pub --role release-manager \\
      --identity rita@example.org
"""

LIST_HELP = """\
List the trusted keys, and the key that signs on this machine.

\b
Example:
  gaia key list
"""

app = typer.Typer(name="key", help=HELP, no_args_is_help=True)

GENERATE_HELP = """\
Generate an Ed25519 key pair. Commit the public key to the project.

\b
Examples:
  gaia key generate ci --role ci --output ci.pem
  gaia key generate rita --role release-manager --identity rita@example.org

Store the private key of CI as the secret GAIA_SIGNING_KEY. The role ci attests what machines did; release-manager,
security and product approve and waive. A key has either the role ci, or roles of people. An identity is an e-mail address
in commits: authors of a release cannot approve it, and a key without an identity approves nothing.
"""

REVOKE_HELP = """\
Revoke a key, or one of its roles, from a point in time.

\b
Examples:
  gaia key revoke ci                             now
  gaia key revoke rita --role release-manager    keep her other roles
  gaia key revoke ci --at 2027-01-31T12:00Z

Signatures before that time stay valid. Do not delete the file of a key that has signed: its signatures could not be
verified any more. If the ledger has a later signature of the key, the command changes nothing and exits with 4.
"""

Roles = Annotated[list[str], typer.Option("--role", metavar="ROLE", help="Role of the key; repeatable")]
Identities = Annotated[
    list[str] | None, typer.Option("--identity", metavar="EMAIL", help="E-mail address of its owner; repeatable")
]


@app.command("generate", help=GENERATE_HELP)
def generate_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the key")],
    role: Roles,
    identity: Identities = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Private key; default ~/.config/gaia/NAME.pem"),
    ] = None,
) -> None:
    """Write both keys; existing files are an error."""
    check_name(name)
    promotion = Promotion.here()
    _check_roles(promotion, role, identity or ())
    private = Path(os.path.abspath(output or _config_folder() / f"{name}.pem"))  # noqa: PTH100  # keeps symbolic links
    folder = promotion.rootdir / promotion.settings.keys
    public = create_pair(private, lambda text: write_trusted(folder, name, text, role, identity or ()))
    typer.echo(f"public:  {os.path.relpath(public)}   commit it")
    typer.echo(f"private: {private}   keep it secret")
    typer.echo(f"to sign: export GAIA_SIGNING_KEY_FILE={private}   (in CI: its text, as the secret GAIA_SIGNING_KEY)")
    if _is_offered_to_git(private):
        typer.echo(
            f"gaia: warning: {os.path.relpath(private)} is in a git repository, which does not ignore it. Never commit a "
            "private key: add it to .gitignore, or move it elsewhere.",
            err=True,
        )


@app.command("add", help=ADD_HELP)
def add_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the key")],
    public_key: Annotated[Path, typer.Argument(metavar="FILE", help="Public key: PEM, or id_ed25519.pub")],
    role: Roles,
    identity: Identities = None,
) -> None:
    """Write the file of the key."""
    promotion = Promotion.here()
    _check_roles(promotion, role, identity or ())
    text = read_text(public_key, str(public_key))
    path = write_trusted(promotion.rootdir / promotion.settings.keys, name, text, role, identity or ())
    typer.echo(f"{os.path.relpath(path)}: commit it. {name} is then trusted as {', '.join(role)}")


@app.command("revoke", help=REVOKE_HELP)
def revoke_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the key")],
    role: Annotated[str | None, typer.Option(metavar="ROLE", help="Revoke only this role")] = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Time in ISO 8601; default: now", show_default=False)
    ] = None,
) -> None:
    """Write the time to the file of the key."""
    promotion = Promotion.here()
    key = _named(promotion, name)
    when = moment(at, "--at") if at is not None else datetime.now(UTC).replace(microsecond=0)
    path = retire(promotion.rootdir / promotion.settings.keys, key, role, when, promotion.ledger.entries())
    what = f"{name} has no role {role}" if role else f"{name} cannot sign"
    typer.echo(f"{os.path.relpath(path)}: commit it. {what} from then on; earlier signatures stay valid")


@app.command("show", help=SHOW_HELP)
def show_key(name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the key")]) -> None:
    """Print the public key."""
    typer.echo(public_pem(_named(Promotion.here(), name).raw), nl=False)


@app.command("list", help=LIST_HELP)
def list_keys(as_json: AsJson = False) -> None:
    """Print one line for each key."""
    promotion = Promotion.here()
    signers, keys = promotion.signers(), promotion.ledger.keys
    here = {key.keyid for key in signers}
    if as_json:
        echo_json([_plain(key, signs=key.keyid in here) for key in keys])
        return
    if not keys:
        raise ConfigError(f"{promotion.settings.keys}: no trusted keys yet. To create one, run `gaia key generate`.")
    columns = ("name", "roles", "identities", "until", "key", "signs here")
    show_table(columns, [_row(key, signs=key.keyid in here) for key in keys])
    for signer in signers:
        if signer.keyid not in {key.keyid for key in keys}:
            typer.echo(
                f"{signer.source}: this key ({signer.keyid[:12]}) is not trusted; to add it, run `gaia key add`",
                err=True,
            )


def _named(promotion: Promotion, name: str) -> TrustedKey:
    """Return the trusted key. Raises ``ConfigError`` if there is none of this name."""
    for key in promotion.ledger.keys:
        if key.name == name:
            return key
    raise ConfigError(
        f"{name}: no trusted key has this name; {nearest(name, [each.name for each in promotion.ledger.keys])}"
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
    """Raise ``ConfigError`` for roles that no check requires, that exclude each other, or that need an identity."""
    asked = {role for stage in promotion.stages.values() for role in stage.sign}
    known = {MACHINE_ROLE, *asked, *(role for check in CHECKS for role in check.roles)}
    if unknown := [role for role in roles if role not in known]:
        raise ConfigError(f"--role {unknown[0]}: no check requires this role; {nearest(unknown[0], known)}")
    try:
        check_roles(roles)
    except ValueError as error:
        raise ConfigError(f"--role: this key {error}") from None
    if MACHINE_ROLE not in roles and not identities:
        raise ConfigError(
            f"--role {roles[0]}: a role of people needs an identity, to tell whether the owner is an author of a release. "
            "Add --identity name@example.org, the e-mail address in commits."
        )


def _is_offered_to_git(path: Path) -> bool:
    """Whether ``git add .`` takes the file ``path``: it is in a repository, which does not ignore it."""
    # 1: not ignored; 128: not in a working tree. Without git, nothing is committed here.
    with suppress(FileNotFoundError):
        return git(path.parent, "check-ignore", "--quiet", "--", path.name).returncode == 1
    return False


def _config_folder() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "gaia"
