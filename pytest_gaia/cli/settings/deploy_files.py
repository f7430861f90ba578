"""``gaia config``: check deploy files, compare two environments, print the JSON Schema of ``gaia.toml``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pytest_gaia.cli.options import AsJson, complete_name
from pytest_gaia.cli.output import echo_json, echo_lines, show_table, write_json
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
from pytest_gaia.config.deployfiles.model import Deployment
from pytest_gaia.config.deployfiles.read import OTHER_SPELLINGS
from pytest_gaia.config.project import Project
from pytest_gaia.config.schema import DeployTable, schema
from pytest_gaia.deploy.contract import UnknownApp
from pytest_gaia.deploy.fly.operations import secret_names
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.preflight.difference import BY_NAME, Row, difference
from pytest_gaia.preflight.files import DeployFiles
from pytest_gaia.preflight.findings import Finding
from pytest_gaia.preflight.lint import ALL_CHECKS, lint
from pytest_gaia.preflight.reading import read_deploy_files, with_secrets

HELP = """\
Check deploy files, compare environments, print a schema.

\b
  gaia config check
  gaia config diff staging production
"""

app = typer.Typer(name="config", help=HELP, no_args_is_help=True)

CHECK_HELP = """\
Check deploy files and CI files, before you deploy.

Reads fly.*.toml, docker-compose.yml, .github/workflows and .gitlab-ci.yml. Changes nothing.

\b
Examples:
  gaia config check                                  all environments
  gaia config check production                       one environment
  gaia config check --explain autostop               reason and fix of a check
  gaia config check --strict                         exit 1 for warnings, too
  gaia config check --format sarif -o lint.sarif     for GitHub code scanning
  gaia config check --format gitlab -o quality.json  for GitLab code quality
  gaia config check --secrets                        query the secrets on Fly

Exits 1 if there is an error, 4 if a file cannot be read. To allow a finding, write a comment with a reason on its line
or above it: # gaia: allow autostop because the pilot ends in May
"""

DIFF_HELP = """\
Compare the deploy files of two environments.

Marks differences that gaia.toml allows (allowed_differences), and those that follow from the name of the environment.

\b
Examples:
  gaia config diff staging production
"""

SCHEMA_HELP = """\
Print the JSON Schema of gaia.toml, for editors.

\b
Examples:
  gaia config schema -o gaia.schema.json

Then start gaia.toml with the line: #:schema ./gaia.schema.json
"""


@app.command("check", help=CHECK_HELP)
def check_files(
    env: Annotated[
        str | None,
        typer.Argument(metavar="ENV", help="Show only what concerns this environment", autocompletion=complete_name),
    ] = None,
    explain: Explain = None,
    strict: Strict = False,
    secrets: Annotated[bool, typer.Option("--secrets", help="Ask Fly which secrets are set; needs a login")] = False,
    as_json: AsJson = False,
    form: Form = "text",
    output: Output = None,
) -> None:
    """Check the deploy files and CI files of this project."""
    form = format_of(form, output, as_json=as_json)
    project = Project.around(Path.cwd())
    explained = named(explain, ALL_CHECKS) if explain is not None else None
    needed = [env] if env is not None else []
    files = _read(project, *needed, may_be_empty=explained is not None or _names_no_files(project, env))
    name = _name_of(project, files, env)
    if secrets:
        files = _with_secrets(files, name)
    findings = lint(files, name)
    if explained is not None:
        echo_lines(explanation(explained, findings))
        raise typer.Exit
    names = [each.environment for each in files.deployments if name in (None, each.environment)]
    result = Findings("gaia config check", ALL_CHECKS, findings, summary(findings, names), project.rootdir)
    result.write(form, output)
    raise typer.Exit(result.exit_code(strict=strict))


@app.command("schema", help=SCHEMA_HELP)
def print_schema(output: Output = None) -> None:
    """Print the JSON Schema of ``gaia.toml``."""
    write_json(schema(), output)


@app.command("diff", help=DIFF_HELP)
def diff_files(
    left: Annotated[str, typer.Argument(metavar="ENV", help="One environment", autocompletion=complete_name)],
    right: Annotated[str, typer.Argument(metavar="ENV", help="The other environment", autocompletion=complete_name)],
    as_json: AsJson = False,
) -> None:
    """Compare the deploy files of two environments."""
    files = _read(Project.around(Path.cwd()), left, right)
    one, other = _known(files, left), _known(files, right)
    rows = difference(one, other, files.allowed.entries)
    if as_json:
        echo_json([row.as_json() for row in rows])
    elif not rows:
        typer.echo(f"{one.environment} and {other.environment} have no differences.")
    else:
        show_table(("service", "what", one.environment, other.environment, "allowed"), [row_cells(row) for row in rows])
        count = sum(not row.allowed for row in rows)
        typer.echo(f"{len(rows)} differences, {count} not listed in allowed_differences.")


def _read(project: Project, *needed: str, may_be_empty: bool = False) -> DeployFiles:
    """Return the deploy files of ``project``; files of environments that are not ``needed`` may be unreadable."""
    files = read_deploy_files(
        project, {*needed, *(OTHER_SPELLINGS.get(each, each) for each in needed)} if needed else None
    )
    for problem in files.unread:
        typer.echo(f"gaia: skipped, and not compared: {problem}", err=True)
    if not (files.deployments or files.unrecognized or may_be_empty):
        raise ConfigError(
            f"no deploy files found: there is no fly.SERVICE.ENV.toml, fly.ENV.toml or docker-compose.yml in "
            f"{_folder(project)}. Set `deploy_files` in [gaia] of gaia.toml if they are in another folder."
        )
    return files


def _names_no_files(project: Project, environment: str | None) -> bool:
    """Whether the project's settings, if it has any, name no deploy files: then CI files are all there is to check."""
    if project.file is None:
        return False
    if environment is not None:
        return _is_deployed_without_files(project, environment)
    sources = (table.source for table in project.file.environments.values())
    return not isinstance(project.file.gaia.deploy_files, str) and not any(isinstance(each, str) for each in sources)


def _folder(project: Project) -> str:
    folder = project.deploy_folder.path
    return "this folder" if folder == Path.cwd() else str(folder)


def _is_deployed_without_files(project: Project, environment: str) -> bool:
    table = project.file.environments.get(environment) if project.file is not None else None
    return table is not None and isinstance(table.deploy, DeployTable) and table.deploy.hook == "kubernetes"


def _name_of(project: Project, files: DeployFiles, environment: str | None) -> str | None:
    """Return the name of the environment in the deploy files; None for all of them."""
    if environment is None or _is_deployed_without_files(project, environment):
        return environment
    return _known(files, environment).environment


def _known(files: DeployFiles, name: str) -> Deployment:
    """Return the deployment of the environment ``name``, which may have another spelling (prod)."""
    found = files.deployment(name) or files.deployment(files.environments.name(name))
    if found is None:
        names = [each.environment for each in files.deployments]
        raise ConfigError(f"no deploy file is for {name!r}; {nearest(name, names)}")
    return found


def _with_secrets(files: DeployFiles, environment: str | None) -> DeployFiles:
    """Return ``files`` with the names of the secrets that are set. An app that does not exist yet has none."""
    if not files.secrets:
        raise ConfigError('--secrets: gaia.toml lists no secrets. Add them to [env.NAME.deploy]: secrets = ["NAME"].')
    names: dict[str, frozenset[str]] = {}
    for owner, each in files.apps("fly"):
        if files.secrets.get(owner) and environment in (None, owner) and each.name not in names:
            try:
                names[each.name] = secret_names(each.name)
            except UnknownApp:
                names[each.name] = frozenset()
    return with_secrets(files, names)


def summary(findings: Sequence[Finding], environments: Sequence[str]) -> str:
    """Return the number of findings by severity, and the environments that were checked."""
    where = ", ".join(environments)
    if findings:
        return numbers(findings) + (f" ({where})" if where else "")
    return f"No findings in the deploy files of {where}." if where else "No findings; the project has no deploy files."


def row_cells(row: Row) -> tuple[str, str, str, str, str]:
    """Return one difference as cells of a table."""
    by = {None: "NO", BY_NAME: "by its name"}.get(row.allowed_by, f"yes ({row.allowed_by})")
    return row.service, row.aspect, _value(row.left), _value(row.right), by


def _value(text: str | None) -> str:
    return "-" if text is None else text
