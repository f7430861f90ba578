"""``gaia expectations ratchet | fmt``: earlier versions and the format of expectation files."""

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
from pytest_gaia.expectations.lint import Finding
from pytest_gaia.expectations.ratchet import ratchet
from pytest_gaia.files.toml import parse, read_text
from pytest_gaia.system.processes import git

RATCHET_HELP = """\
Reject broader expectations without a justification.

\b
Examples:
  gaia expectations ratchet --base origin/main

Broader means: more tests or environments, a later `expires`, a higher or no
`max_failures`, another phase, more values or fewer fields in `match`, or fewer
conditions in `when`. For exceptions (expect = "pass"), the opposite holds.

To broaden an expectation, add justification = "…" to its file. New expectations
are allowed. Exits 1 if an expectation is rejected.
"""

FMT_HELP = """\
Format the expectation files.

\b
Examples:
  gaia expectations fmt            rewrite the files; keep comments
  gaia expectations fmt --check    exit 1 if a file would change

Sorts keys, writes values in one form, and replaces old names of keys.
"""


app = typer.Typer()


@app.command("ratchet", help=RATCHET_HELP)
def ratchet_expectations(
    base: Annotated[str, typer.Option(metavar="REF", help="Commit, branch or tag to compare with")],
    as_json: AsJson = False,
) -> None:
    """Compare the expectations with those at ``base``."""
    project = expectations_here()
    found = broader(project, base)
    if as_json:
        echo_json(found)
    else:
        echo_lines(f"{each.place}: {each.text}" for each in found)
        if found:
            typer.echo('Add a reason to each file: justification = "…"')
        else:
            typer.echo(f"No expectation is broader than at {base}.")
    raise typer.Exit(int(bool(found)))


@app.command("fmt", help=FMT_HELP)
def format_files(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if a file would change")] = False,
    as_json: AsJson = False,
) -> None:
    """Format the expectation files."""
    changed = unformatted(expectations_here())
    if not check:
        for path, text in changed.values():
            path.write_text(text, encoding="utf-8")
    if as_json:
        echo_json({"would_change" if check else "changed": list(changed)})
    else:
        echo_lines(f"{'would change' if check else 'changed'}: {name}" for name in changed)
    raise typer.Exit(int(check and bool(changed)))


def broader(project: ExpectationsProject, base: str) -> list[Finding]:
    """Return the expectations that became broader since the git reference ``base``."""
    before, unreadable = _expectations_at(base, project)
    return ratchet(before, {each.id: each for each in project.expectations().expectations}, unreadable)


def unformatted(project: ExpectationsProject) -> dict[str, tuple[Path, str]]:
    """Return the files whose format differs, by their path in the project, each with the text that it should have."""
    found = {}
    for path in expectation_files(project.folders):
        place = _place(project, path)
        text = read_text(path, place)
        parse(text, place)
        if (wanted := formatted(text)) != text:
            found[place] = path, wanted
    return found


def _expectations_at(base: str, project: ExpectationsProject) -> tuple[dict[str, Expectation], dict[str, str]]:
    """Return the expectations at ``base``, and the problems of files that are invalid today, by ID."""
    found: dict[str, Expectation] = {}
    unreadable: dict[str, str] = {}
    for folder in project.folders:
        for place, text in files_at(base, folder, rootdir=project.rootdir).items():
            if place.endswith(DRAFT):
                continue
            try:
                parse(text, place)
                # The names in an earlier commit cannot change, so do not print notices.
                expectation = expectation_from(formatted(text), place, project.tolerances, project.project.platform)
            except ConfigError as error:
                unreadable[expectation_id(place)] = str(error)
            else:
                found[expectation.id] = expectation
    return found, unreadable


def _place(project: ExpectationsProject, path: Path) -> str:
    return os.path.relpath(path, project.rootdir).replace(os.sep, "/")


def files_at(reference: str, folder: Path, *, rootdir: Path) -> dict[str, str]:
    """Return the text of each TOML file in ``folder`` at the git ``reference``, by path relative to ``rootdir``.

    Raises ``ConfigError`` outside a repository, for an unknown reference, and without git.
    """
    where = folder.relative_to(rootdir).as_posix()
    _git(["rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}"], rootdir, reference)
    listing = _git(["ls-tree", "-z", "--name-only", reference, f"{where}/"], rootdir, reference).decode()
    paths = [path for path in listing.split("\0") if path.endswith(".toml")]
    asked = "".join(f"{reference}:./{path}\n" for path in paths).encode()
    return dict(zip(paths, _contents(_git(["cat-file", "--batch"], rootdir, reference, asked)), strict=True))


def _contents(batch: bytes) -> list[str]:
    """Split the output of ``git cat-file --batch``: for each file a line with its size, its content and a line break."""
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
        raise ConfigError("--base: git is not installed.") from None
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip() or "it is not a commit of this repository"
        raise ConfigError(f"--base: unknown reference {reference!r}: {reason}")
    return done.stdout
