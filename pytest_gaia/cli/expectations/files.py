"""``gaia policy ratchet | fmt``: the files of rules as they were, and as they should be written."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pytest_gaia.cli.expectations.project import ExpectationsProject, expectations_here
from pytest_gaia.cli.options import AsJson
from pytest_gaia.cli.output import echo_json, echo_lines
from pytest_gaia.errors import ConfigError
from pytest_gaia.expectations.expectation import Expectation
from pytest_gaia.expectations.files import DRAFT, expectation_files, expectation_from, expectation_id
from pytest_gaia.expectations.formatting import formatted
from pytest_gaia.expectations.ratchet import ratchet
from pytest_gaia.files.toml import parse, read_text
from pytest_gaia.system.git import git

RATCHET_HELP = """\
Refuse rules that excuse more than they did at a git reference and do not say why. Exits 1 if there are any.

Wider is: more tests or environments, a later end, a higher or no max_failures, a value more or a field less in `match`,
a condition less in `when`, another phase; and for a carve-out (expect = "pass") the opposite. To widen a rule, say
why in the file: justification = "chat moved behind the gateway too". A new rule says why anyway.

\b
  gaia policy ratchet --base origin/main
"""

FMT_HELP = """\
Write every rule in one way: keys in order, one form for each value, comments kept. With --check, write nothing, and
exit 1 if a file would change.
"""


app = typer.Typer()


@app.command("ratchet", help=RATCHET_HELP)
def ratchet_expectations(
    base: Annotated[str, typer.Option(metavar="REF", help="A commit, branch or tag to compare with.")],
    as_json: AsJson = False,
) -> None:
    """Compare the rules with those at ``base``."""
    project = expectations_here()
    before, unreadable = _expectations_at(base, project)
    found = ratchet(
        before, {expectation.id: expectation for expectation in project.expectations().expectations}, unreadable
    )
    if as_json:
        echo_json(found)
    else:
        echo_lines(f"{each.place}: {each.text}" for each in found)
        if found:
            typer.echo('Say why in each file: justification = "…"')
        else:
            typer.echo(f"No rule excuses more than at {base} without saying why.")
    raise typer.Exit(int(bool(found)))


@app.command("fmt", help=FMT_HELP)
def format_files(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if a file would change.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the files of rules afresh."""
    project = expectations_here()
    changed = {path: text for path in expectation_files(project.folders) if (text := _reformatted(project, path))}
    names = [_place(project, path) for path in changed]
    if not check:
        for path, text in changed.items():
            path.write_text(text, encoding="utf-8")
    if as_json:
        echo_json({"would_change" if check else "changed": names})
    else:
        echo_lines(f"{'would change' if check else 'changed'}: {name}" for name in names)
    raise typer.Exit(int(check and bool(names)))


def _reformatted(project: ExpectationsProject, path: Path) -> str | None:
    """Return the text that the file should have, or None where it has it."""
    place = _place(project, path)
    text = read_text(path, place)
    parse(text, place)
    wanted = formatted(text)
    return wanted if wanted != text else None


def _expectations_at(base: str, project: ExpectationsProject) -> tuple[dict[str, Expectation], dict[str, str]]:
    """Return the rules as they were, and id → why for files that cannot be read by today's standards."""
    found: dict[str, Expectation] = {}
    unreadable: dict[str, str] = {}
    for folder in project.folders:
        for place, text in files_at(base, folder, rootdir=project.rootdir).items():
            if place.endswith(DRAFT):
                continue
            try:
                expectation = expectation_from(text, place, project.tolerances)
            except ConfigError as error:
                unreadable[expectation_id(place)] = str(error)
            else:
                found[expectation.id] = expectation
    return found, unreadable


def _place(project: ExpectationsProject, path: Path) -> str:
    return os.path.relpath(path, project.rootdir).replace(os.sep, "/")


def files_at(reference: str, folder: Path, *, rootdir: Path) -> dict[str, str]:
    """Return path (relative to ``rootdir``) → text of the files right below ``folder`` as they were at ``reference``.

    Raises ``ConfigError`` outside of a repository, for an unknown reference, and where there is no git.
    """
    where = folder.relative_to(rootdir).as_posix()
    _git(["rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}"], rootdir, reference)
    listing = _git(["ls-tree", "-z", "--name-only", reference, f"{where}/"], rootdir, reference).decode()
    paths = [path for path in listing.split("\0") if path.endswith(".toml")]
    asked = "".join(f"{reference}:./{path}\n" for path in paths).encode()
    return dict(zip(paths, _contents(_git(["cat-file", "--batch"], rootdir, reference, asked)), strict=True))


def _contents(batch: bytes) -> list[str]:
    """Split what ``git cat-file --batch`` answers: a line with the size, the content, a line break."""
    found: list[str] = []
    at = 0
    while at < len(batch):
        end = batch.index(b"\n", at)
        size = int(batch[at:end].rpartition(b" ")[2])
        found.append(batch[end + 1 : end + 1 + size].decode("utf-8-sig"))
        at = end + size + 2
    return found


def _git(arguments: Sequence[str], rootdir: Path, reference: str, given: bytes = b"") -> bytes:
    try:
        done = git(rootdir, *arguments, given=given)
    except FileNotFoundError:
        raise ConfigError("--base: there is no git on PATH.") from None
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip() or "it is no commit of this repository"
        raise ConfigError(f"--base: git does not know {reference!r}: {reason}")
    return done.stdout
