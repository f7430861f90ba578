"""``gaia release approve | waive | report``: decisions of people about one release, and the page that they sign."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pytest_gaia.cli.options import environment_option, moment
from pytest_gaia.cli.release.checks import ReleaseId
from pytest_gaia.errors import ConfigError
from pytest_gaia.files.writing import make_folder, write_file
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.signing import RELEASE, Statement, write_statement

if TYPE_CHECKING:
    from pytest_gaia.promotion.signoff.page import Report

APPROVE_HELP = """\
Approve a check, or the release as a whole.

\b
Examples:
  gaia release approve 3f9a1c security-review -e production \\
      --role security --reason "report SEC-88"
  gaia release approve 3f9a1c -e production --ssh-key ~/.ssh/id_ed25519

The signature is made with the key in GAIA_SIGNING_KEY(_FILE), or with an SSH key. The project must trust the key
(`gaia key list`). Authors of the release cannot approve it. An approval is valid for one release, until its expiry.
"""

WAIVE_HELP = """\
Waive a check, with a reason and an expiry date.

\b
Examples:
  gaia release waive 3f9a1c rollback-ready -e production --until 2d \\
      --reason "partner launch; rollback tested by hand"
  gaia release waive 3f9a1c not-frozen -e production --until 4h \\
      --reason "fix for the outage of today"

Waive `not-frozen` to release during a deployment freeze, and `not-rejected` to accept a run that passed after a rejected
one. Only a release-manager who is no author of the release can waive a check, and for at most 30 days. Reports list
waivers first.
"""

REPORT_HELP = """\
Write the release report that people sign.

\b
Examples:
  gaia release report 3f9a1c -e production
  gaia release report 3f9a1c -e production -o page.html --markdown page.md
  gaia release report 3f9a1c --format markdown

The report has the decision, known failures, untested tests and versions of all stages up to ENV; the default is the
furthest stage of the release in the ledger. Without --output, --markdown and --format, the report is written to
.gaia/signoff/. The command runs no tests.

\b
Exit codes: 0 report written; with --exit-code also 1 REJECT, 11 HOLD;
1 the ledger is corrupt; 4 usage error; 12 remote of the ledger unreachable
"""

CheckName = Annotated[str, typer.Argument(metavar="CHECK", help="ID of the check", show_default=False)]
Target = Annotated[str, environment_option("Environment that the release goes to")]
SshKey = Annotated[Path | None, typer.Option("--ssh-key", metavar="FILE", help="Sign with this SSH key")]


def approve_check(
    release: ReleaseId,
    env: Target,
    check: Annotated[
        str, typer.Argument(metavar="CHECK", help="ID of the check; default: the release", show_default=False)
    ] = RELEASE,
    role: Annotated[str | None, typer.Option(metavar="ROLE", help="Role, if your key has several")] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="What you reviewed")] = "",
    until: Annotated[str, typer.Option(metavar="TIME", help="Expiry: 7d, 12h, or a date")] = "7d",
    ssh_key: SshKey = None,
) -> None:
    """Write a signed approval to the ledger."""
    _sign("signoff", release, Statement(check, env, reason, until, role), ssh_key)


def waive_check(
    release: ReleaseId,
    check: CheckName,
    env: Target,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why the release may skip it", show_default=False)],
    until: Annotated[str, typer.Option(metavar="TIME", help="Expiry: 2d, 12h, or a date", show_default=False)],
    ssh_key: SshKey = None,
) -> None:
    """Write a signed waiver to the ledger."""
    _sign("waiver", release, Statement(check, env, reason, until, "release-manager"), ssh_key)


def _sign(kind: Literal["signoff", "waiver"], release: str, statement: Statement, ssh_key: Path | None) -> None:
    promotion = Promotion.here()
    found = promotion.release(release)
    entry = write_statement(promotion, found, statement, kind, ssh_key, datetime.now(UTC), os.environ.get("USER", ""))
    keys = ", ".join(key.name for key in entry.signers)
    signed = f"signed by {keys}" if keys else "not signed, because this environment does not require it"
    done = "waived" if kind == "waiver" else "approved"
    env = statement.environment
    typer.echo(f"{done} {statement.check} for {env}, release {found.short}: entry {entry.sequence}, {signed}")
    typer.echo(f"next: gaia release check {found.short} -e {env} --pre-deploy")


FOLDER = ".gaia/signoff"
_CORRUPT = 1


def write_report(
    release: ReleaseId,
    env: Annotated[list[str] | None, environment_option("Environment that it goes to; repeatable")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write HTML to FILE")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write Markdown to FILE")] = None,
    form: Annotated[
        Literal["html", "markdown", "json"] | None, typer.Option("--format", help="Print it in this format")
    ] = None,
    verdict: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Add a verdict file of another machine; repeatable")
    ] = None,
    results: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Add a results log of another machine; repeatable")
    ] = None,
    allure: Annotated[str, typer.Option(metavar="URL", help="Link to this report; may contain {environment}")] = "",
    as_of: Annotated[
        str | None, typer.Option(metavar="TIME", help="Decide as of this time (ISO 8601)", show_default=False)
    ] = None,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with the code of the decision")] = False,
) -> None:
    """Write the report, and print its path and its decision."""
    # Loads what the page needs, which no other command of a release does.
    from pytest_gaia.promotion.signoff.page import ReportOptions, signoff_page

    if form and (output or markdown):
        raise ConfigError("--format prints to standard output. Pass either --format, or --output and --markdown.")
    promotion = Promotion.here()
    wanted = ReportOptions(tuple(env or ()), tuple(verdict or ()), tuple(results or ()), allure)
    when = moment(as_of, "--as-of") if as_of is not None else datetime.now(UTC)
    found = signoff_page(promotion, promotion.release(release), wanted, when)
    if form:
        # A document, not text for the log: bytes, so that no character is replaced.
        typer.echo(_rendered(found, form).rstrip("\n").encode())
    else:
        _write_files(promotion, found, output, markdown)
    for problem in found.problems[:1]:
        typer.echo(f"gaia: the ledger is corrupt: {problem}; run `gaia ledger verify`", err=True)
    code = found.exit_code if exit_code else 0
    raise typer.Exit(code or (_CORRUPT if found.problems else 0))


def _write_files(promotion: Promotion, found: Report, output: Path | None, markdown: Path | None) -> None:
    wanted = [(path, form) for path, form in ((output, "html"), (markdown, "markdown")) if path]
    if not wanted:
        wanted = [(_default_path(promotion, found), "html")]
    for path, form in wanted:
        try:
            write_file(path, _rendered(found, form))
        except OSError as error:
            raise ConfigError(f"{path}: the report cannot be written: {error.strerror}.") from None
    page = found.page
    typer.echo(f"{page.decision}: {page.release} to {page.target}; {', '.join(str(path) for path, _ in wanted)}")


def _default_path(promotion: Promotion, found: Report) -> Path:
    folder = promotion.rootdir / FOLDER
    try:
        make_folder(folder)
    except OSError as error:
        raise ConfigError(f"{FOLDER}: the report cannot be written: {error.strerror}. Pass --output FILE.") from None
    name = f"{found.page.target}-{found.page.release.rpartition(' ')[2]}.html"
    return folder / name


def _rendered(found: Report, form: str) -> str:
    if form == "html":
        from pytest_gaia.report.signoff.documents import html

        return html(found.page)
    if form == "markdown":
        from pytest_gaia.report.signoff.documents import markdown

        return markdown(found.page)
    import msgspec

    return msgspec.json.format(msgspec.json.encode(found.page), indent=2).decode()
