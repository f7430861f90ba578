"""``gaia signoff | waive``: what only people can say, signed, for one bundle; and the page that tells them of the release."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from pytest_gaia.cli.asking import moment
from pytest_gaia.cli.options import DefaultGroup, environment_option
from pytest_gaia.cli.release.gate import ReleaseId
from pytest_gaia.errors import ConfigError
from pytest_gaia.files.writing import make_folder, write_file
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.signing import Word, write_word
from pytest_gaia.promotion.release.model import Release
from pytest_gaia.promotion.signoff.page import Asked, Found, signoff_page

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

HELP = """\
Write the sign-off page of a release: may it go out, what is known to fail, who accepted it and until when, what was not
tested, and what runs where. Nothing is run, asked, or written but the page; the answer is that of the gate.

\b
  gaia signoff report --bundle 3f9a1c --env production
  gaia signoff report --bundle 3f9a1c --env production --output page.html --markdown page.md
  gaia signoff report --bundle 3f9a1c --format markdown

An environment stands for the whole way up to it; without --env, it is the furthest that the ledger knows of the release.
Without --output, --markdown and --format, the page is written to .gaia/signoff/.

\b
Exit codes: 0 the page was written, whatever it says (--exit-code: 1 for REJECT, 11 for HOLD, as of gaia gate); 1 the ledger
is not whole, which the page says; 4 a mistake; 12 the remote of the ledger is out of reach.
"""

GROUP_HELP = (
    SIGNOFF_HELP
    + "\n`gaia signoff report` writes the page that says what there is to sign: gaia signoff report --help.\n"
)

signoff = typer.Typer(name="signoff", help=GROUP_HELP, cls=DefaultGroup)

app.add_typer(signoff)


CheckName = Annotated[str, typer.Argument(metavar="ITEM", help="The item; see gaia checklist.", show_default=False)]
Target = Annotated[str, typer.Option("--env", metavar="ENV", help="The environment that it goes to.")]
SshKey = Annotated[
    Path | None, typer.Option("--ssh-key", metavar="FILE", help="Sign with this SSH key, through ssh-keygen.")
]


@signoff.command("item", help=GROUP_HELP, hidden=True)
def sign_off(
    check: CheckName,
    env: Target,
    release: ReleaseId,
    role: Annotated[
        str | None, typer.Option(metavar="ROLE", help="The role to sign in; needed where your key has several.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", "--why", metavar="TEXT", help="What you have looked at.")] = "",
    until: Annotated[str, typer.Option(metavar="TIME", help="Until when it holds: 7d, 12h, or a date.")] = "7d",
    ssh_key: SshKey = None,
) -> None:
    """Write a signed sign-off into the ledger."""
    _sign("signoff", check, env, release, role, reason, until, ssh_key)


@app.command("waive", help=WAIVE_HELP)
def waive_check(
    check: CheckName,
    env: Target,
    release: ReleaseId,
    reason: Annotated[
        str, typer.Option("--reason", "--why", metavar="TEXT", help="Why it may go without.", show_default=False)
    ],
    until: Annotated[str, typer.Option(metavar="TIME", help="Until when: 2d, 12h, or a date.", show_default=False)],
    ssh_key: SshKey = None,
) -> None:
    """Write a signed waiver into the ledger."""
    _sign("waiver", check, env, release, "release-manager", reason, until, ssh_key)


def _sign(
    kind: str, check: str, env: str, release: str, role: str | None, reason: str, until: str, ssh_key: Path | None
) -> None:
    promotion = Promotion.here()
    found: Release = promotion.release(release)
    word = Word(check, env, reason, until, role)
    entry = write_word(promotion, found, word, kind, ssh_key, datetime.now(UTC), os.environ.get("USER", ""))
    who = ", ".join(key.name for key in entry.signers) or "nobody's key: this environment asks for none"
    typer.echo(f"{check} for {env}, bundle {found.short}: written as entry {entry.sequence}, signed by {who}")
    typer.echo(f"next: gaia gate {env} --bundle {found.short} --edge")


FOLDER = ".gaia/signoff"
_NOT_WHOLE = 1


@signoff.command("report", help=HELP)
def report_signoff(
    release: ReleaseId,
    env: Annotated[list[str] | None, environment_option("The environment that it goes to; repeatable.")] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the page, as HTML, to FILE.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it as Markdown to FILE.")] = None,
    form: Annotated[
        Literal["html", "markdown", "json"] | None,
        typer.Option("--format", help="Write it to standard output instead."),
    ] = None,
    run: Annotated[
        list[Path] | None,
        typer.Option(metavar="VERDICT.json", help="A verdict file that is not kept on this machine; repeatable."),
    ] = None,
    record: Annotated[
        list[Path] | None,
        typer.Option(metavar="RUN.jsonl", help="A recorded run that is not kept on this machine; repeatable."),
    ] = None,
    allure: Annotated[
        str, typer.Option(metavar="URL", help="Link to this report; {environment} in it stands for the name.")
    ] = "",
    as_of: Annotated[
        str | None, typer.Option(metavar="TIME", help="As at this time (ISO 8601), not now.", show_default=False)
    ] = None,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End as the gate does.")] = False,
) -> None:
    """Write the page, and say where it is and what it answers."""
    if form and (output or markdown):
        raise ConfigError("--format writes to standard output; give --output and --markdown, or --format, not both.")
    promotion = Promotion.here()
    asked = Asked(tuple(env or ()), tuple(run or ()), tuple(record or ()), allure)
    when = moment(as_of, "--as-of") if as_of is not None else datetime.now(UTC)
    found = signoff_page(promotion, promotion.release(release), asked, when)
    if form:
        # A document, not text for the log: as bytes, so that no character of it is shown as another one.
        typer.echo(_rendered(found, form).rstrip("\n").encode())
    else:
        _write_files(promotion, found, output, markdown)
    for problem in found.problems[:1]:
        typer.echo(f"gaia: the ledger is not whole: {problem}; gaia ledger verify. The page says so.", err=True)
    code = found.exit_code if exit_code else 0
    raise typer.Exit(code or (_NOT_WHOLE if found.problems else 0))


def _write_files(promotion: Promotion, found: Found, output: Path | None, markdown: Path | None) -> None:
    wanted = [(path, form) for path, form in ((output, "html"), (markdown, "markdown")) if path]
    if not wanted:
        wanted = [(_own_place(promotion, found), "html")]
    for path, form in wanted:
        try:
            write_file(path, _rendered(found, form))
        except OSError as error:
            raise ConfigError(f"{path}: the page cannot be written: {error.strerror}.") from None
    page = found.page
    typer.echo(f"{page.answer}: {page.release} to {page.target}; {', '.join(str(path) for path, _ in wanted)}")


def _own_place(promotion: Promotion, found: Found) -> Path:
    folder = promotion.rootdir / FOLDER
    try:
        make_folder(folder)
    except OSError as error:
        raise ConfigError(f"{FOLDER}: the page cannot be written: {error.strerror}. --output FILE.") from None
    name = f"{found.page.target}-{found.page.release.rpartition(' ')[2]}.html"
    return folder / name


def _rendered(found: Found, form: str) -> str:
    if form == "html":
        from pytest_gaia.report.signoff.documents import html

        return html(found.page)
    if form == "markdown":
        from pytest_gaia.report.signoff.documents import markdown

        return markdown(found.page)
    import msgspec

    return msgspec.json.format(msgspec.json.encode(found.page), indent=2).decode()
