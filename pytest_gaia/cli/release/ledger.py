"""``gaia ledger``: the evidence of every promotion; whether it is whole; and a copy for others."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from pytest_gaia.cli.options import AsJson
from pytest_gaia.cli.output import echo_json, show_table
from pytest_gaia.errors import ConfigError
from pytest_gaia.files.writing import write_file
from pytest_gaia.promotion.ledger.ledger import Entry, counted, problems_of, unsigned_of
from pytest_gaia.promotion.project import Promotion

app = typer.Typer(name="ledger", help="The signed evidence of every promotion.", no_args_is_help=True)

VERIFY_HELP = """\
Check every signature and every link. Needs the public keys of the project, and no network unless a remote is set.

\b
  gaia ledger verify
  gaia ledger verify --head 3f9a1c…     that this entry, noted by a report or a CI log, is still in it
  gaia ledger verify --allow-unsigned   in a project that never signs, or had no key at first

Once an entry is signed, an entry after it without a signature is an error, with or without --allow-unsigned.

Exit codes: 0 whole, and every entry is signed by a trusted key; 1 something was changed, removed, moved or repeated, or
is not signed; 4 a mistake; 12 the remote is out of reach.
"""

_LEAST_DIGITS = 8
"""of a hash that stands for one entry"""

RELEASE = Annotated[str | None, typer.Option("--bundle", metavar="ID", help="Only about this bundle.")]


@app.command("show")
def show_ledger(release: RELEASE = None, as_json: AsJson = False) -> None:
    """Show every entry: what it says, when, and who has signed it."""
    promotion = Promotion.here()
    wanted = promotion.release(release).id if release else None
    entries = [entry for entry in promotion.ledger.entries() if wanted is None or _release(entry) == wanted]
    if as_json:
        echo_json([_plain(entry) for entry in entries])
        return
    if not entries:
        typer.echo(f"{promotion.ledger.store.name}: no entry{' about this bundle' if release else ' yet'}")
        return
    show_table(("no.", "when", "kind", "what it says", "signed by", "hash"), [_row(entry) for entry in entries])


@app.command("verify", help=VERIFY_HELP)
def verify_ledger(
    head: Annotated[
        str | None, typer.Option(metavar="HASH", help="An entry that must be in it; its beginning does.")
    ] = None,
    allow_unsigned: Annotated[
        bool, typer.Option("--allow-unsigned", help="Accept entries from before the first that is signed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Report whether the ledger is whole and signed; exit 1 if not."""
    wanted = None if head is None else head_digits(head)
    ledger = Promotion.here().ledger
    entries = ledger.entries()
    problems = problems_of(entries, wanted)
    if not allow_unsigned and (unsigned := unsigned_of(entries)):
        problems += (f"{unsigned}. In a project that does not sign: --allow-unsigned",)
    newest = entries[-1].sha256 if entries else ""
    if as_json:
        keys = sorted({key.name for entry in entries for key in entry.signers})
        signed = sum(bool(entry.signers) for entry in entries)
        counts = {"entries": len(entries), "signed": signed, "signed_by": keys}
        echo_json({"whole": not problems, **counts, "head": newest, "problems": list(problems)})
    elif problems:
        for problem in problems:
            typer.echo(f"{ledger.store.name}: {problem}", err=True)
    else:
        typer.echo(f"{ledger.store.name}: whole, {counted(entries)}, head {newest or 'none'}")
    if problems:
        raise typer.Exit(1)


@app.command("export")
def export_ledger(
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write to FILE (*.intoto.jsonl) instead of standard output.")
    ] = None,
) -> None:
    """Write all envelopes as JSON Lines, as in-toto bundles are; any DSSE tool verifies them."""
    lines = b"".join(content.rstrip(b"\n") + b"\n" for content in Promotion.here().ledger.store.read().values())
    if output is None:
        # As bytes, because a damaged entry may be no text at all.
        typer.echo(lines, nl=False)
        return
    try:
        write_file(output, lines)
    except OSError as error:
        raise ConfigError(f"--output {output}: cannot be written: {error.strerror}.") from None


def head_digits(text: str) -> str:
    """Return the digits of a hash that ``--head`` gave. Raises ``ConfigError`` for anything else."""
    if not re.fullmatch(rf"[0-9a-f]{{{_LEAST_DIGITS},64}}", text.lower()):
        raise ConfigError(f"--head {text!r}: a hash has 64 digits of 0-9a-f; give at least {_LEAST_DIGITS} of them.")
    return text.lower()


def _row(entry: Entry) -> tuple[str, ...]:
    signers = ", ".join(key.name for key in entry.signers) or ("nobody trusted" if entry.signed else "-")
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
