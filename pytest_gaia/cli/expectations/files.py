"""``gaia expectations ratchet | fmt``: earlier versions and the format of expectation files."""

import os
from collections.abc import Sequence
from contextlib import redirect_stderr
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from pytest_gaia.cli.expectations.project import ExpectationsProject, expectations_here
from pytest_gaia.cli.options import AsJson
from pytest_gaia.cli.output import echo_json, echo_lines
from pytest_gaia.config.project import PROJECT_FILE, PYPROJECT_FILE, Project
from pytest_gaia.errors import ConfigError
from pytest_gaia.expectations.expectation import Expectation
from pytest_gaia.expectations.files import DRAFT, expectation_files, expectation_from, expectation_id
from pytest_gaia.expectations.formatting import formatted
from pytest_gaia.expectations.lint import Finding, Level
from pytest_gaia.expectations.ratchet import ratchet
from pytest_gaia.files.toml import parse, read_text
from pytest_gaia.system.processes import git

RATCHET_HELP = """\
Reject broader expectations without a justification, and wider settings.

\b
Examples:
  gaia expectations ratchet --base origin/main
  gaia expectations ratchet --base origin/main --accept-settings

Broader means: more tests or environments, a later `expires`, a higher or no
`max_failures`, another phase, more values or fewer fields in `match`, or fewer
conditions in `when`. For exceptions (expect = "pass"), the opposite holds.

To broaden an expectation, add justification = "…" to its file. New expectations
are allowed.

Settings are compared by their resolved values: those in gaia.toml that allow
more or require less, such as writes, safe operations, hosts, tolerance and
stage, and the trusted keys. A release with wider settings is HOLD until a
release manager waives settings-kept; --accept-settings only names them here.

Exits 1 if an expectation or a setting is rejected.
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
    accept_settings: Annotated[bool, typer.Option("--accept-settings", help="Name wider settings, but exit 0")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare expectations and settings with those at ``base``."""
    project = expectations_here()
    found, settings = broader(project, base), wider_settings(project, base, accepted=accept_settings)
    if as_json:
        echo_json([*found, *settings])
    else:
        echo_lines(f"{each.place}: {each.text}" for each in (*found, *settings))
        if found:
            typer.echo('Add a reason to each file: justification = "…"')
        else:
            typer.echo(f"No expectation is broader than at {base}.")
        if settings and not accept_settings:
            typer.echo("Settings became wider. If that is intended, add --accept-settings.")
    raise typer.Exit(int(bool(found) or any(each.level == "error" for each in settings)))


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


def wider_settings(project: ExpectationsProject, base: str, *, accepted: bool) -> list[Finding]:
    """Return the settings of gaia.toml, and the keys, that became wider since the git reference ``base``."""
    # Imported here, because only this comparison reads keys.
    from pytest_gaia.promotion.gate.settings import Values, settings_of, wider
    from pytest_gaia.promotion.ledger.keys import trusted_keys

    def all_settings(of: Project) -> dict[str, Values]:
        keys = trusted_keys(of.rootdir / of.ledger.keys)
        return {name: settings_of(of, name, keys) for name in of.stages} if of.file else {}

    level: Level = "warning" if accepted else "error"
    after, file = all_settings(project.project), project.project.file
    with TemporaryDirectory(prefix="gaia-base-") as folder, redirect_stderr(StringIO()):
        # Without the notices about old names, which in an earlier commit cannot change.
        earlier = Project(Path(folder))
        try:
            _write_settings(base, project.rootdir, earlier)
            before = all_settings(earlier)
        except ConfigError as error:
            place = project.project.path.name if project.project.path else ""
            return [Finding(level, "wider-setting", "", place, f"cannot be compared with {base}: {error}")]
    found: dict[tuple[tuple[str, ...], str], None] = {}
    for name in (each for each in after if each in before):
        for each in wider(before[name], after[name], datetime.now(UTC)):
            words = tuple(each.setting.split("."))
            key = words if each.of_project else ("env", name, *words)
            found[key, each.change] = None
    # Operations and keys can be in several places.
    places: dict[tuple[str, ...], str] = {("keys",): f"{project.project.ledger.keys}/"}
    places |= {(key,): file.source("services") for key in ("safe", "unsafe") if file}
    return [
        Finding(
            level,
            "wider-setting",
            "",
            places.get(key) or (file.source(*key) if file else ""),
            f"{'.'.join(key)}: {change}",
        )
        for key, change in found
    ]


def _write_settings(base: str, rootdir: Path, earlier: Project) -> None:
    """Write the settings and the keys at ``base`` to the folder of ``earlier``."""
    for name, text in files_at(base, rootdir, rootdir=rootdir).items():
        if name in (PROJECT_FILE, PYPROJECT_FILE):
            (earlier.rootdir / name).write_text(text, encoding="utf-8")
    keys = rootdir / earlier.ledger.keys
    if not keys.is_relative_to(rootdir):
        return
    for name, text in files_at(base, keys, rootdir=rootdir).items():
        (earlier.rootdir / name).parent.mkdir(parents=True, exist_ok=True)
        (earlier.rootdir / name).write_text(text, encoding="utf-8")


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
