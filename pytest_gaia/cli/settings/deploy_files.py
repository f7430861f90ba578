"""``gaia config``: what is wrong with deploy files, and what two environments differ in."""

import json
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from pytest_gaia import __version__
from pytest_gaia.cli.options import AsJson, complete_name
from pytest_gaia.cli.output import echo_json, show_table
from pytest_gaia.config.deployfiles.model import Deployment
from pytest_gaia.config.project import Project
from pytest_gaia.deploy.contract import UnknownApp
from pytest_gaia.deploy.fly.operations import secret_names
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.files.writing import write_file
from pytest_gaia.preflight.difference import BY_NAME, Row, difference
from pytest_gaia.preflight.files import DeployFiles
from pytest_gaia.preflight.findings import Finding, Severity
from pytest_gaia.preflight.lint import ALL_CHECKS, lint
from pytest_gaia.preflight.reading import read_deploy_files, with_secrets
from pytest_gaia.preflight.spelling import environment_name
from pytest_gaia.printable import commands, one_line
from pytest_gaia.report.github import github_annotations
from pytest_gaia.report.sarif import sarif
from pytest_gaia.wording import counted

app = typer.Typer(
    name="config", help="What is wrong with deploy files, and what two environments differ in.", no_args_is_help=True
)

LINT_HELP = """\
Check the deploy files (fly.*.toml, docker-compose.yml) and what CI does with them, before anything is deployed.

\b
  gaia config lint                       every environment
  gaia config lint production            what concerns production
  gaia config lint --strict              warnings count too
  gaia config lint --sarif lint.sarif    for code scanning
  gaia config lint --secrets             ask Fly which secrets are set, too

Exits 1 if there is an error, 4 if a file cannot be read. To allow what a check finds, say why in the file, on the line
or above it: # gaia: allow autostop because nobody uses it at night
"""

DIFF_HELP = """\
Show what two environments differ in, by their deploy files, side by side. Exits 0 whatever it shows.

What the project allows (allowed_differences in gaia.toml), and what only follows the environment's name, is marked.

\b
  gaia config diff staging production
"""


@app.command("lint", help=LINT_HELP)
def lint_files(
    env: Annotated[
        str | None, typer.Argument(help="Only what concerns this environment.", autocompletion=complete_name)
    ] = None,
    as_json: AsJson = False,
    sarif: Annotated[Path | None, typer.Option(metavar="FILE", help="Write SARIF 2.1.0 to FILE as well.")] = None,
    github: Annotated[
        bool, typer.Option("--github", help="Write annotations for GitHub Actions; there it is the default.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 for warnings, too.")] = False,
    secrets: Annotated[
        bool, typer.Option("--secrets", help="Ask Fly which secrets are set; needs flyctl and a login.")
    ] = False,
) -> None:
    """Check the deploy files of this project."""
    if as_json and github:
        raise ConfigError("--json and --github both write to standard output; leave one of them out.")
    project = Project.around(Path.cwd())
    files = _read(project, *([env] if env is not None else []))
    name = _known(files, env).environment if env is not None else None
    if secrets:
        files = _with_secrets(files, name)
    findings = lint(files, name)
    if sarif is not None:
        _write_sarif(sarif, findings, _prefix(project.rootdir))
    if as_json:
        echo_json([each.as_json() for each in findings])
    else:
        _show(findings, files, name)
        if github or os.environ.get("GITHUB_ACTIONS") == "true":
            _annotate(findings, _prefix(project.rootdir))
    gating = ("error", "warning") if strict else ("error",)
    raise typer.Exit(int(any(each.severity in gating for each in findings)))


@app.command("diff", help=DIFF_HELP)
def diff_files(
    left: Annotated[str, typer.Argument(metavar="ENV", help="One environment.", autocompletion=complete_name)],
    right: Annotated[str, typer.Argument(metavar="ENV", help="The other one.", autocompletion=complete_name)],
    as_json: AsJson = False,
) -> None:
    """Show what two environments differ in."""
    files = _read(Project.around(Path.cwd()), left, right)
    one, other = _known(files, left), _known(files, right)
    rows = difference(one, other, files.allowed.entries)
    if as_json:
        echo_json([row.as_json() for row in rows])
    elif not rows:
        typer.echo(f"{one.environment} and {other.environment} do not differ.")
    else:
        show_table(("service", "what", one.environment, other.environment, "allowed"), [row_cells(row) for row in rows])
        count = sum(not row.allowed for row in rows)
        typer.echo(f"{len(rows)} differences, {count} of them not listed in allowed_differences.")


def _read(project: Project, *needed: str) -> DeployFiles:
    """Return the files of the project; those of other environments than the ``needed`` may be unreadable."""
    files = read_deploy_files(project, {*needed, *map(environment_name, needed)} if needed else None)
    for problem in files.unread:
        typer.echo(f"gaia: left out, and not compared: {problem}", err=True)
    if not (files.deployments or files.unrecognized):
        raise ConfigError(
            "there are no deploy files: looked for fly.SERVICE.ENV.toml, fly.ENV.toml and docker-compose.yml in "
            f"{_folder(project)}. `deploy_files` in [gaia] of gaia.toml names another folder."
        )
    return files


def _folder(project: Project) -> str:
    folder = project.deploy_folder.path
    return "this folder" if folder == Path.cwd() else str(folder)


def _known(files: DeployFiles, name: str) -> Deployment:
    """Return the deployment of the environment that the user has named, however it is spelled."""
    found = files.deployment(name) or files.deployment(environment_name(name))
    if found is None:
        names = [each.environment for each in files.deployments]
        raise ConfigError(f"no deploy file is for {name!r}; {nearest(name, names)}")
    return found


def _with_secrets(files: DeployFiles, environment: str | None) -> DeployFiles:
    """Return ``files`` with the secrets that are set; an app that is not there yet has none."""
    if not files.secrets:
        raise ConfigError('--secrets: gaia.toml lists no secrets; name them in [env.NAME.deploy]: secrets = ["…"].')
    names: dict[str, frozenset[str]] = {}
    for owner, each in files.apps("fly"):
        if files.secrets.get(owner) and environment in (None, owner) and each.name not in names:
            try:
                names[each.name] = secret_names(each.name)
            except UnknownApp:
                names[each.name] = frozenset()
    return with_secrets(files, names)


def _show(findings: Sequence[Finding], files: DeployFiles, environment: str | None) -> None:
    if sys.stdout.isatty():
        if findings:
            rows = [(each.severity, str(each.place), each.check, f"{each.text}\n→ {each.mend}") for each in findings]
            show_table(("", "where", "check", "what"), rows)
    else:
        for line in (line for each in findings for line in finding_lines(each)):
            typer.echo(line)
    names = [each.environment for each in files.deployments if environment in (None, each.environment)]
    typer.echo(summary(Counter(each.severity for each in findings), names))


def _annotate(findings: Sequence[Finding], prefix: str) -> None:
    with commands(sys.stdout):
        for line in github_annotations(findings, prefix):
            typer.echo(line)


def _write_sarif(path: Path, findings: Sequence[Finding], prefix: str) -> None:
    text = json.dumps(sarif(findings, ALL_CHECKS, version=__version__, prefix=prefix), indent=2, ensure_ascii=False)
    try:
        write_file(path, f"{text}\n")
    except OSError as error:
        raise ConfigError(f"--sarif {path}: cannot be written: {error.strerror}.") from None


def _prefix(rootdir: Path) -> str:
    """Return the project's folder within its git repository, with a slash at the end; empty where it is the repository."""
    repository = next((folder for folder in (rootdir, *rootdir.parents) if (folder / ".git").exists()), rootdir)
    return "" if repository == rootdir else f"{rootdir.relative_to(repository).as_posix()}/"


def finding_lines(finding: Finding) -> list[str]:
    """Return ``finding`` as compilers write theirs, and below it why it matters and what to do."""
    place = f"{finding.place.file}:{finding.place.line}"
    lines = [
        f"{place}: {finding.severity}: {finding.check}: {finding.text}",
        f"    why: {finding.why}",
        f"    do:  {finding.mend}",
    ]
    return list(map(one_line, lines))


def summary(counts: Mapping[Severity, int], environments: Sequence[str]) -> str:
    """Return the last line: how much was found, and where it was looked."""
    where = ", ".join(environments)
    said = [counted(counts[severity], severity) for severity in ("error", "warning", "note") if counts.get(severity)]
    if said:
        return ", ".join(said) + (f" ({where})" if where else "")
    return f"Nothing wrong in the deploy files of {where}."


def row_cells(row: Row) -> tuple[str, str, str, str, str]:
    """Return one difference as cells of a table."""
    by = {None: "NO", BY_NAME: "by its name"}.get(row.allowed_by, f"yes ({row.allowed_by})")
    return row.service, row.aspect, _value(row.left), _value(row.right), by


def _value(text: str | None) -> str:
    return "-" if text is None else text
