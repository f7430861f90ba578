"""``gaia suites``: check the test files of a project."""

from pathlib import Path
from typing import Annotated

import typer

from pytest_gaia.cli.options import AsJson
from pytest_gaia.cli.output import echo_lines
from pytest_gaia.cli.settings.findings import (
    Explain,
    Findings,
    Form,
    Output,
    Strict,
    explanation,
    format_of,
    named,
    numbers,
)
from pytest_gaia.config.project import Project
from pytest_gaia.errors import ConfigError
from pytest_gaia.preflight.suites import ALL_CHECKS, check_suites, name_of, python_files, read_suites
from pytest_gaia.wording import counted

HELP = """\
Check test files for code that hides failures.

\b
  gaia suites check
"""

app = typer.Typer(name="suites", help=HELP, no_args_is_help=True)

CHECK_HELP = """\
Check test files for code that hides failures.

Reads the Python files of the suites, and each conftest.py above them. Imports and runs none of them.

\b
Examples:
  gaia suites check                               all suites of the project
  gaia suites check suites/orders                 one folder or file
  gaia suites check --explain broad-except        reason and fix of a check
  gaia suites check --strict                      exit 1 for warnings, too
  gaia suites check --format sarif -o lint.sarif  for GitHub code scanning

Exits 1 if there is an error, 4 if a file cannot be read. To allow a finding, write a comment with a reason on its line
or above it: # gaia: allow unread-response because the service deletes it, too
"""


@app.callback()
def suites() -> None:
    """Make it a group of commands, although there is only one."""


@app.command("check", help=CHECK_HELP)
def check(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="PATH", help="Files and folders; default: all suites of the project")
    ] = None,
    explain: Explain = None,
    strict: Strict = False,
    as_json: AsJson = False,
    form: Form = "text",
    output: Output = None,
) -> None:
    """Check the test files of this project."""
    form = format_of(form, output, as_json=as_json)
    project = Project.around(Path.cwd())
    explained = named(explain, ALL_CHECKS) if explain is not None else None
    given = paths or []
    for path in given:
        if not path.exists():
            raise ConfigError(f"there is no file or folder {str(path)!r}.")
    if not (given or project.suites or explained):
        raise ConfigError("no suites found. Set `suites` in [gaia] of gaia.toml, or name files or folders.")
    suites = read_suites(project, given)
    only = {name_of(project, each) for each in python_files(project, given)} if given else None
    findings = check_suites(suites, only)
    if explained is not None:
        echo_lines(explanation(explained, findings))
        raise typer.Exit
    count = len(suites.files) if only is None else len(only)
    end = f"{numbers(findings) or 'No findings'} in {counted(count, 'file')}."
    result = Findings("gaia suites check", ALL_CHECKS, findings, end, project.rootdir)
    result.write(form, output)
    raise typer.Exit(result.exit_code(strict=strict))
