"""``gaia config``: check deploy files, compare two environments, print the JSON Schema of ``gaia.toml``."""

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from pytest_gaia import __version__
from pytest_gaia.cli.options import AsJson, complete_name
from pytest_gaia.cli.output import echo_json, echo_lines, show_table, write_json
from pytest_gaia.config.deployfiles.model import Deployment
from pytest_gaia.config.deployfiles.read import OTHER_SPELLINGS
from pytest_gaia.config.project import Project
from pytest_gaia.config.schema import DeployTable, schema
from pytest_gaia.deploy.contract import UnknownApp
from pytest_gaia.deploy.fly.operations import secret_names
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.preflight.difference import BY_NAME, Row, difference
from pytest_gaia.preflight.files import DeployFiles
from pytest_gaia.preflight.findings import Check, Finding, Severity
from pytest_gaia.preflight.lint import ALL_CHECKS, lint
from pytest_gaia.preflight.reading import read_deploy_files, with_secrets
from pytest_gaia.printable import commands, one_line
from pytest_gaia.report.github import github_annotations
from pytest_gaia.report.sarif import code_quality, sarif
from pytest_gaia.wording import counted

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

Format = Literal["text", "json", "github", "gitlab", "sarif"]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the result to FILE", show_default=False)
]


@app.command("check", help=CHECK_HELP)
def check_files(
    env: Annotated[
        str | None,
        typer.Argument(metavar="ENV", help="Show only what concerns this environment", autocompletion=complete_name),
    ] = None,
    explain: Annotated[
        str | None,
        typer.Option(metavar="CHECK", help="Show why CHECK matters, and how to fix its findings", show_default=False),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 for warnings, too")] = False,
    secrets: Annotated[bool, typer.Option("--secrets", help="Ask Fly which secrets are set; needs a login")] = False,
    as_json: AsJson = False,
    form: Annotated[Format, typer.Option("--format", help="Format of the output; github adds annotations")] = "text",
    output: Output = None,
) -> None:
    """Check the deploy files and CI files of this project."""
    if as_json and form not in ("text", "json"):
        raise ConfigError(f"--json and --format {form} exclude each other; give only one of them.")
    form = "json" if as_json else form
    if output is not None and form in ("text", "github"):
        raise ConfigError(f"--output: needs --json, --format gitlab or --format sarif; {form} goes to standard output.")
    project = Project.around(Path.cwd())
    explained = _named(explain) if explain is not None else None
    needed = [env] if env is not None else []
    files = _read(project, *needed, may_be_empty=explained is not None or _names_no_files(project, env))
    name = _name_of(project, files, env)
    if secrets:
        files = _with_secrets(files, name)
    findings = lint(files, name)
    if explained is not None:
        echo_lines(explanation(explained, findings))
        raise typer.Exit
    _write(findings, form, output, _prefix(project.rootdir))
    if form in ("text", "github") or output is not None:
        _show(findings, files, name)
    if form == "github" or (form == "text" and os.environ.get("GITHUB_ACTIONS") == "true"):
        _annotate(findings, _prefix(project.rootdir))
    blocking = ("error", "warning") if strict else ("error",)
    raise typer.Exit(int(any(each.severity in blocking for each in findings)))


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


def _named(identifier: str) -> Check:
    """Return the check of this name."""
    found = {each.id: each for each in ALL_CHECKS}
    if identifier not in found:
        raise ConfigError(f"--explain: unknown check {identifier!r}; {nearest(identifier, found)}")
    return found[identifier]


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


def _write(findings: Sequence[Finding], form: Format, output: Path | None, prefix: str) -> None:
    """Write ``findings`` as one JSON document, if ``form`` is one."""
    if form == "json":
        write_json([each.as_json() for each in findings], output)
    elif form == "gitlab":
        write_json(code_quality(findings, prefix), output)
    elif form == "sarif":
        write_json(sarif(findings, ALL_CHECKS, version=__version__, prefix=prefix), output)


def _show(findings: Sequence[Finding], files: DeployFiles, environment: str | None) -> None:
    echo_lines(map(finding_line, findings))
    names = [each.environment for each in files.deployments if environment in (None, each.environment)]
    typer.echo(summary(Counter(each.severity for each in findings), names))
    if findings:
        typer.echo("Run `gaia config check --explain CHECK` to see why a check matters, and how to fix its findings.")


def _annotate(findings: Sequence[Finding], prefix: str) -> None:
    with commands(sys.stdout):
        for line in github_annotations(findings, prefix):
            typer.echo(line)


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
    if check.refuses:
        lines += ["", "Findings of this check also stop `gaia deploy`."]
    own = [each for each in findings if each.check == check.id]
    for each in own:
        lines += ["", f"{each.place.file}:{each.place.line}: {each.text}", f"  Fix: {each.fix}"]
    if not own:
        lines += ["", "It found nothing in this project."]
    return list(map(one_line, [*lines, "", f"To allow a finding: # gaia: allow {check.id} because REASON"]))


def summary(counts: Mapping[Severity, int], environments: Sequence[str]) -> str:
    """Return the number of findings by severity, and the environments that were checked."""
    where = ", ".join(environments)
    numbers = [counted(counts[severity], severity) for severity in ("error", "warning", "note") if counts.get(severity)]
    if numbers:
        return ", ".join(numbers) + (f" ({where})" if where else "")
    return f"No findings in the deploy files of {where}." if where else "No findings; the project has no deploy files."


def row_cells(row: Row) -> tuple[str, str, str, str, str]:
    """Return one difference as cells of a table."""
    by = {None: "NO", BY_NAME: "by its name"}.get(row.allowed_by, f"yes ({row.allowed_by})")
    return row.service, row.aspect, _value(row.left), _value(row.right), by


def _value(text: str | None) -> str:
    return "-" if text is None else text
