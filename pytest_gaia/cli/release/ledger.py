"""``gaia ledger``: list, verify and export the evidence of promotions."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pytest_gaia.cli.options import AsJson, complete_release
from pytest_gaia.cli.output import echo_json, show_table
from pytest_gaia.errors import ConfigError
from pytest_gaia.files.writing import write_file
from pytest_gaia.promotion.attestation import verified
from pytest_gaia.promotion.ledger.keys import TrustedKey
from pytest_gaia.promotion.ledger.ledger import Entry, Ledger, counted, problems_of, unsigned_of
from pytest_gaia.promotion.project import Promotion

HELP = """\
List, verify and export the signed evidence.

The ledger is an append-only log of deployments, test runs, approvals and decisions.

\b
Examples:
  gaia ledger list
  gaia ledger verify
"""

LIST_HELP = """\
List the entries of the ledger: content, time and signatures.

\b
Examples:
  gaia ledger list
  gaia ledger list --release 3f9a1c
"""

EXPORT_HELP = """\
Write all DSSE envelopes as JSON Lines, for in-toto tools.

\b
Example:
  gaia ledger export -o evidence.intoto.jsonl
"""

app = typer.Typer(name="ledger", help=HELP, no_args_is_help=True)

VERIFY_HELP = """\
Verify every signature, and the hash chain of the entries.

\b
Examples:
  gaia ledger verify
  gaia ledger verify --head 3f9a1c7d2e   this entry must still exist
  gaia ledger verify --allow-unsigned    for a project without keys
  gaia ledger verify run.intoto.json     an attestation (--gaia-attest)

The command needs the public keys of the project, and no network unless the ledger has a remote. After the first signed
entry, an unsigned entry is always an error. With FILE, it verifies these attestations of runs instead of the ledger.

\b
Exit codes: 0 intact, and signed by trusted keys; 1 corrupt or unsigned, or
an attested run that did not pass; 4 usage error; 12 remote unreachable
"""

_LEAST_DIGITS = 8
"""minimum length of an abbreviated hash"""

RELEASE = Annotated[
    str | None,
    typer.Option("--release", metavar="RELEASE", help="List only this release", autocompletion=complete_release),
]


@app.command("list", help=LIST_HELP)
def list_entries(release: RELEASE = None, as_json: AsJson = False) -> None:
    """Print one line for each entry."""
    promotion = Promotion.here()
    wanted = promotion.release(release).id if release else None
    entries = [entry for entry in promotion.ledger.entries() if wanted is None or _release(entry) == wanted]
    if as_json:
        echo_json([_plain(entry) for entry in entries])
        return
    if not entries:
        typer.echo(f"{promotion.ledger.store.name}: no entries{' of this release' if release else ' yet'}")
        return
    show_table(("no.", "time", "kind", "content", "signed by", "hash"), [_row(entry) for entry in entries])


@app.command("verify", help=VERIFY_HELP)
def verify_ledger(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Attestations to verify instead of the ledger")
    ] = None,
    head: Annotated[
        str | None, typer.Option(metavar="HASH", help="Require this entry; abbreviations are accepted")
    ] = None,
    allow_unsigned: Annotated[
        bool, typer.Option("--allow-unsigned", help="Accept entries before the first signed one")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print whether the ledger is intact and signed; exit with 1 if not."""
    wanted = None if head is None else head_digits(head)
    ledger = Promotion.here().ledger
    if files:
        if head is not None or allow_unsigned:
            raise ConfigError("--head and --allow-unsigned are about the ledger, and exclude FILE.")
        _verify_attestations(files, ledger, as_json=as_json)
        return
    entries = ledger.entries()
    problems = problems_of(entries, wanted)
    if not allow_unsigned and (unsigned := unsigned_of(entries)):
        problems += (f"{unsigned}. If this project does not sign, pass --allow-unsigned",)
    newest = entries[-1].sha256 if entries else ""
    if as_json:
        keys = sorted({key.name for entry in entries for key in entry.signers})
        signed = sum(bool(entry.signers) for entry in entries)
        counts = {"entries": len(entries), "signed": signed, "signed_by": keys}
        echo_json({"intact": not problems, **counts, "head": newest, "problems": list(problems)})
    elif problems:
        for problem in problems:
            typer.echo(f"{ledger.store.name}: {problem}", err=True)
    else:
        typer.echo(f"{ledger.store.name}: intact, {counted(entries)}, head {newest or 'none'}")
    if problems:
        raise typer.Exit(1)


def _verify_attestations(files: Sequence[Path], ledger: Ledger, *, as_json: bool) -> None:
    """Print who signed each attestation, and its result; exit with 1 if one is not valid or its run did not pass."""
    if not ledger.keys:
        raise ConfigError(
            "the project trusts no key, so no attestation can be verified. To add one, run `gaia key add`."
        )
    found = [_attestation(file, ledger.keys) for file in files]
    if as_json:
        echo_json(found)
    else:
        for file, each in zip(files, found, strict=True):
            text = each["problem"] or f"signed by {', '.join(each['signed_by'])}: {each['run']}"
            typer.echo(f"{file}: {text}", err=bool(each["problem"]))
    if any(each["result"] not in ("PASSED", "WARNED") for each in found):
        raise typer.Exit(1)


def _attestation(file: Path, keys: Sequence[TrustedKey]) -> dict[str, Any]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}.") from None
    known: dict[str, Any] = {"file": str(file), "problem": "", "signed_by": [], "result": None, "run": None}
    try:
        valid = verified(content, keys)
    except ValueError as error:
        return known | {"problem": str(error)}
    signers = [key.name for key in valid.signers]
    run = str(valid.run)
    return known | {
        "signed_by": signers,
        "result": valid.run.result,
        "run": run,
        "subject": valid.subjects,
        "predicate": valid.run,
    }


@app.command("export", help=EXPORT_HELP)
def export_ledger(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to FILE, not to standard output")
    ] = None,
) -> None:
    """Write all envelopes as JSON Lines."""
    lines = b"".join(content.rstrip(b"\n") + b"\n" for content in Promotion.here().ledger.store.read().values())
    if output is None:
        # As bytes, because a corrupt entry may not be text.
        typer.echo(lines, nl=False)
        return
    try:
        write_file(output, lines)
    except OSError as error:
        raise ConfigError(f"--output {output}: the file cannot be written: {error.strerror}.") from None


def head_digits(text: str) -> str:
    """Return the hash given to ``--head`` in lower case. Raises ``ConfigError`` if it is not hexadecimal."""
    if not re.fullmatch(rf"[0-9a-f]{{{_LEAST_DIGITS},64}}", text.lower()):
        raise ConfigError(f"--head {text!r}: not a hash. Pass {_LEAST_DIGITS} to 64 hexadecimal digits.")
    return text.lower()


def _row(entry: Entry) -> tuple[str, ...]:
    signers = ", ".join(key.name for key in entry.signers) or ("untrusted key" if entry.signed else "-")
    when = f"{entry.time:%Y-%m-%d %H:%M}" if entry.time else "-"
    says = f"PROBLEM: {entry.problem}" if entry.problem else str(entry)
    return str(entry.sequence), when, entry.word, says, signers, entry.sha256[:12]


def _plain(entry: Entry) -> dict[str, Any]:
    return {
        "sequence": entry.sequence,
        "sha256": entry.sha256,
        "kind": entry.word,
        "time": entry.time.isoformat() if entry.time else None,
        "signed_by": [key.name for key in entry.signers],
        "problem": entry.problem,
        "predicate": entry.predicate,
    }


def _release(entry: Entry) -> str:
    says: Any = entry.predicate
    for part in (says, getattr(says, "details", None), getattr(says, "decision", None)):
        if release := getattr(part, "release", ""):
            return str(release)
    return ""
