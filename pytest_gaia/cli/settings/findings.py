"""What the commands that check files share: options, formats and output of findings."""

import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from pytest_gaia import __version__
from pytest_gaia.cli.output import echo_lines, write_json
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.preflight.findings import Check, Finding, Severity
from pytest_gaia.printable import commands, one_line
from pytest_gaia.report.github import code_quality, github_annotations, sarif
from pytest_gaia.wording import counted

Format = Literal["text", "json", "github", "gitlab", "sarif"]
Explain = Annotated[
    str | None,
    typer.Option(metavar="CHECK", help="Show why CHECK matters, and how to fix its findings", show_default=False),
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 1 for warnings, too")]
Form = Annotated[Format, typer.Option("--format", help="Format of the output; github adds annotations")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the result to FILE", show_default=False)
]


def format_of(form: Format, output: Path | None, *, as_json: bool) -> Format:
    """Return the format of the output. Raises ``ConfigError`` for options that exclude each other."""
    if as_json and form not in ("text", "json"):
        raise ConfigError(f"--json and --format {form} exclude each other; give only one of them.")
    form = "json" if as_json else form
    if output is not None and form in ("text", "github"):
        raise ConfigError(f"--output: needs --json, --format gitlab or --format sarif; {form} goes to standard output.")
    return form


def named(identifier: str, checks: Sequence[Check]) -> Check:
    """Return the check of this name."""
    found = {each.id: each for each in checks}
    if identifier not in found:
        raise ConfigError(f"--explain: unknown check {identifier!r}; {nearest(identifier, found)}")
    return found[identifier]


@dataclass(frozen=True, slots=True)
class Findings:
    """The findings of one command."""

    command: str
    """such as ``gaia config check``"""
    checks: Sequence[Check]
    """all checks of the command"""
    findings: Sequence[Finding]
    summary: str
    """last line of the text: what was checked, and how many findings there are"""
    rootdir: Path

    def write(self, form: Format, output: Path | None) -> None:
        """Write the findings as text or as a document, and the annotations of GitHub Actions."""
        prefix = _prefix(self.rootdir)
        if form == "json":
            write_json([each.as_json() for each in self.findings], output)
        elif form == "gitlab":
            write_json(code_quality(self.findings, prefix), output)
        elif form == "sarif":
            document = sarif(self.findings, self.checks, tool=self.command, version=__version__, prefix=prefix)
            write_json(document, output)
        if form in ("text", "github") or output is not None:
            self._show()
        if form == "github" or (form == "text" and os.environ.get("GITHUB_ACTIONS") == "true"):
            with commands(sys.stdout):
                echo_lines(github_annotations(self.findings, prefix))

    def _show(self) -> None:
        echo_lines(map(finding_line, self.findings))
        typer.echo(self.summary)
        if self.findings:
            typer.echo(f"Run `{self.command} --explain CHECK` to see why a check matters, and how to fix its findings.")

    def exit_code(self, *, strict: bool) -> int:
        """Return 1 if there is an error, or if ``strict`` a warning."""
        blocking = ("error", "warning") if strict else ("error",)
        return int(any(each.severity in blocking for each in self.findings))


def numbers(findings: Sequence[Finding]) -> str:
    """Return the number of findings by severity; empty without any."""
    counts = Counter(each.severity for each in findings)
    severities: tuple[Severity, ...] = ("error", "warning", "note")
    return ", ".join(counted(counts[severity], severity) for severity in severities if counts[severity])


def _prefix(rootdir: Path) -> str:
    """Return the folder of the project within its git repository, with a slash at the end; empty for the top folder."""
    repository = next((folder for folder in (rootdir, *rootdir.parents) if (folder / ".git").exists()), rootdir)
    return "" if repository == rootdir else f"{rootdir.relative_to(repository).as_posix()}/"


def finding_line(finding: Finding) -> str:
    """Return ``finding`` in one line, in the format of compilers."""
    place = f"{finding.place.file}:{finding.place.line}"
    return one_line(f"{place}: {finding.severity}: {finding.check}: {finding.text}")


def explanation(check: Check, findings: Sequence[Finding]) -> list[str]:
    """Return what ``--explain`` prints: why ``check`` matters, and the fix of each of its ``findings``."""
    lines = [f"{check.id} ({check.severity}): {check.title}", "", check.why]
    if check.fix:
        lines += ["", f"Fix: {check.fix}."]
    if check.refuses:
        lines += ["", "Findings of this check also stop `gaia deploy`."]
    own = [each for each in findings if each.check == check.id]
    for each in own:
        lines += ["", f"{each.place.file}:{each.place.line}: {each.text}"]
        lines += [f"  Fix: {each.fix}"] if each.fix != check.fix else []
    if not own:
        lines += ["", "It found nothing in this project."]
    return list(map(one_line, [*lines, "", f"To allow a finding: # gaia: allow {check.id} because REASON"]))
