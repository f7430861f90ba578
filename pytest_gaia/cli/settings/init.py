"""``gaia init``: the files that a new project needs."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Annotated, Literal

import typer

from pytest_gaia.cli.output import echo_lines
from pytest_gaia.config.addresses import http_url
from pytest_gaia.config.deployfiles.read import compose_file, fly_names
from pytest_gaia.config.layers import project_file
from pytest_gaia.config.project import PROJECT_FILE, Project
from pytest_gaia.errors import ConfigError
from pytest_gaia.files.writing import make_folder, write_file

app = typer.Typer()

HELP = """\
Create gaia.toml, a first test, an expectation and CI files

Writes only files that do not exist, into the current folder. Environments come from --env, and from the deploy files
(fly.NAME.toml, docker-compose.yml) in the folder.

\b
Examples:
  gaia init                                        test the sandbox first
  gaia init --env staging=https://api.example.com  with one environment
  gaia init --ci gitlab
  gaia init --dry-run
"""

_EXPIRES_AFTER = datetime.timedelta(days=180)
_PYTEST_FILES = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini")
_TABLES = ("pyproject.toml", r"^\[tool\.pytest"), ("tox.ini", r"^\[pytest\]"), ("setup.cfg", r"^\[tool:pytest\]")
_CI_FILES = {"github": ".github/workflows/gaia.yml", "gitlab": ".gitlab-ci.yml"}

Ci = Literal["github", "gitlab", "none"]


@app.command("init", help=HELP)
def create_project(
    env: Annotated[
        list[str] | None,
        typer.Option("--env", "-e", metavar="NAME=URL", help="Add this environment; repeatable", show_default=False),
    ] = None,
    ci: Annotated[Ci, typer.Option(help="Write a workflow for this CI system")] = "github",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the files, and write none")] = False,
) -> None:
    """Write every file that does not exist."""
    folder = Path.cwd()
    contents = dict(_files(folder, _environments(folder, env or ()), ci))
    skipped = {name: reason for name in contents if (reason := _reason_to_skip(folder, name))}
    for name, text in contents.items():
        if name in skipped:
            continue
        if not dry_run:
            _write(folder / name, text)
        typer.echo(f"{'would create' if dry_run else 'created'}  {name}")
    for name, reason in skipped.items():
        typer.echo(f"skipped  {name}: {reason}")
    if "pytest.toml" in skipped:
        settings = contents["pytest.toml"].splitlines()[1:]
        if not _holds_all(folder / "pytest.toml", settings):
            echo_lines(["", "Add these settings to your configuration of pytest:", *(f"  {line}" for line in settings)])
    echo_lines(["", "Next steps:", *_next_steps(contents)])


def _next_steps(contents: dict[str, str]) -> Iterator[str]:
    yield "  pytest                 run the tests on the sandbox"
    yield "  gaia doctor            check this machine and the project"
    environment = re.search(r"^\[env\.([\w-]+)\]", contents.get(PROJECT_FILE, ""), re.MULTILINE)
    if environment:
        yield f"  pytest --gaia-env {environment[1]}    run them against {environment[1]}"


def _files(folder: Path, environments: str, ci: Ci) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each file."""
    today = datetime.datetime.now(datetime.UTC).date()
    # Unit tests must not become tests of an environment.
    tests = "tests" if not (folder / "tests").exists() or (folder / "tests/smoke").exists() else "release_tests"
    values = {"folder": tests, "today": str(today), "expires": str(today + _EXPIRES_AFTER)}
    settings = _filled("gaia.toml", values) + environments
    project_file(settings, PROJECT_FILE)
    yield PROJECT_FILE, settings
    yield "pytest.toml", _filled("pytest.toml", values)
    yield f"{tests}/smoke/test_first.py", _filled("test_first.py.txt", values)
    yield f"{tests}/expectations/assets-redirect.toml", _filled("assets-redirect.toml", values)
    if ci in _CI_FILES:
        yield _CI_FILES[ci], _filled(f"{ci}.yml", values)
    yield ".pre-commit-config.yaml", _filled("pre-commit.yaml", values)


def _environments(folder: Path, given: Sequence[str]) -> str:
    """Return the tables of all environments; an example in comments if there is none."""
    found: dict[str, str] = {}
    if compose_file(folder):
        found["local"] = 'from = "compose"'
    found |= {each.environment: 'from = "fly"' for each in fly_names(folder)}
    for text in given:
        name, separator, url = text.partition("=")
        if not separator or not re.fullmatch(r"[a-z][a-z0-9-]*", name):
            raise ConfigError(f"--env {text}: not NAME=URL, such as staging=https://api.example.com.")
        found[name] = f'url = "{http_url(url, f"--env {name}")}"'
    filled = (_filled("environment.toml", {"name": name, "address": address}) for name, address in found.items())
    return "".join(filled) or _filled("environments.toml", {})


def _reason_to_skip(folder: Path, name: str) -> str:
    """Return why a file is not written; an empty text if it is."""
    if (folder / name).exists():
        return "exists"
    if name == PROJECT_FILE and (path := Project(folder).path):
        return f"{path} has the settings"
    if name == "pytest.toml":
        others = [each for each in _PYTEST_FILES if (folder / each).exists()]
        others += [each for each, table in _TABLES if _holds(folder / each, table)]
        return f"{others[0]} configures pytest" if others else ""
    return ""


def _holds(path: Path, pattern: str) -> bool:
    return path.is_file() and bool(re.search(pattern, path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE))


def _holds_all(path: Path, lines: Sequence[str]) -> bool:
    return path.is_file() and {*lines} <= {*path.read_text(encoding="utf-8", errors="replace").splitlines()}


def _filled(name: str, values: dict[str, str]) -> str:
    return Template((files(__package__) / "templates" / name).read_text(encoding="utf-8")).substitute(values)


def _write(path: Path, text: str) -> None:
    try:
        make_folder(path.parent)
        write_file(path, text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}.") from None
