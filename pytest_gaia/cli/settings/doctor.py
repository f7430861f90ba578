"""``gaia doctor``: what this machine and this project are ready for."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Annotated, Literal, NamedTuple

import typer

from pytest_gaia import __version__
from pytest_gaia.cli.options import AsJson, environment_option, options_here
from pytest_gaia.cli.output import echo_json, show_table
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.project import PROJECT_FILE, Project
from pytest_gaia.config.resolve import Options, resolve, resolve_each
from pytest_gaia.config.variables import variable_name
from pytest_gaia.errors import GaiaError, NotConfigured
from pytest_gaia.wording import counted

app = typer.Typer()

HELP = """\
Check this machine, the project and its environments

Prints one line for each check, with a fix for what is missing. Changes nothing. Exits 1 if there is an error.

\b
Examples:
  gaia doctor                 Python, packages, tools, configuration, keys
  gaia doctor -e staging      and whether the services of staging respond
  gaia doctor --json
"""

_EXTRAS = {
    "sandbox": "run tests on this machine",
    "sign": "sign and verify evidence",
    "allure": "write results for the HTML report",
    "contract": "compare services with their OpenAPI documents",
}
"""extra → what it is for"""
_TOOLS = {"fly": ("flyctl", "fly"), "compose": ("docker", "podman"), "kubernetes": ("kubectl",)}
"""deploy hook → names of its tool"""
_PATIENCE = 20.0
"""seconds until a service counts as unreachable"""

State = Literal["ok", "note", "error"]


class Finding(NamedTuple):
    """One line of the result."""

    state: State
    subject: str
    detail: str
    fix: str = ""


@app.command("doctor", help=HELP)
def check_up(
    env: Annotated[str | None, environment_option("Check whether the services of ENV respond.", "--env", "-e")] = None,
    as_json: AsJson = False,
) -> None:
    """Print what every check found."""
    options = options_here()
    found = [*_machine(options), *_project(options, env)]
    if as_json:
        echo_json([each._asdict() for each in found])
    else:
        show_table(("", "check", "result"), [(each.state, each.subject, each.detail) for each in found])
        for each in found:
            if each.fix:
                typer.echo(f"\n{each.subject}: {each.fix}")
    if any(each.state == "error" for each in found):
        raise typer.Exit(1)


def _machine(options: Options) -> Iterator[Finding]:
    yield Finding("ok", "python", f"{platform.python_version()}, {platform.system()} {platform.machine()}")
    yield Finding("ok", "pytest-gaia", f"{__version__}, with pytest {version('pytest')}")
    for extra, purpose in _EXTRAS.items():
        missing = ", ".join(name for name in _packages(extra) if not _is_installed(name))
        if not missing:
            yield Finding("ok", f"extra {extra}", "installed")
        else:
            fix = f"pip install 'pytest-gaia[{extra}]'"
            yield Finding("note", f"extra {extra}", f"{missing} not installed; needed to {purpose}", fix)
    yield _allure(options)


def _packages(extra: str) -> list[str]:
    return [re.split(r"[^\w.-]", text)[0] for text in requires("pytest-gaia") or () if f"extra == '{extra}'" in text]


def _is_installed(name: str) -> bool:
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


def _allure(options: Options) -> Finding:
    from pytest_gaia.cli.reports.allure import find_allure

    try:
        found = find_allure(None, options.rootdir, os.environ)
    except GaiaError as error:
        return Finding("note", "allure", "not available; needed for `gaia report`", str(error))
    return Finding("ok", "allure", f"{found.version} ({found.command[-1]})")


def _project(options: Options, env: str | None) -> Iterator[Finding]:
    project = options.project
    if project.path is None:
        fix = "Run `gaia init` to create gaia.toml, or change to the folder of your project."
        yield Finding("note", "configuration", f"no {PROJECT_FILE} here or in a folder above", fix)
        if env is None:
            return
    try:
        found = resolve_each(options)
    except GaiaError as error:
        yield Finding("error", "configuration", "invalid", str(error))
        return
    environments = [each for each in found.values() if isinstance(each, Environment)]
    if project.path is not None:
        names = ", ".join(each.name for each in environments)
        yield Finding("ok", "configuration", f"{project.path}: {names}")
    for name, problem in found.items():
        if isinstance(problem, Exception) and not isinstance(problem, NotConfigured) and name != env:
            yield Finding("error", f"environment {name}", "invalid", str(problem))
    yield from _expectations(project)
    yield from _tools(environments)
    yield from _keys(project)
    if env is not None:
        yield from _services(project, env)


def _expectations(project: Project) -> Iterator[Finding]:
    from pytest_gaia.expectations.files import folders_of, read

    reading = read(folders_of(project.suites), project.tolerances, project.platform, rootdir=project.rootdir)
    if reading.problems:
        found = counted(len(reading.problems), "error")
        yield Finding("error", "expectations", found, "\n  ".join(reading.problems))
    else:
        yield Finding("ok", "expectations", counted(len(reading.expectations), "file"))


def _tools(environments: Iterable[Environment]) -> Iterator[Finding]:
    """Check the tools that deploy the environments; one that none of them uses is not needed."""
    hooks = {each.deploy.hook: each.name for each in environments if each.deploy is not None}
    for hook, names in _TOOLS.items():
        if hook not in hooks:
            continue
        path = next((found for name in names if (found := shutil.which(name))), None)
        if path:
            yield Finding("ok", names[0], path)
        else:
            fix = f"Install {names[0]}, or add its folder to PATH."
            yield Finding("error", names[0], f"not on PATH; deploys {hooks[hook]}", fix)


def _keys(project: Project) -> Iterator[Finding]:
    from pytest_gaia.promotion.ledger.keys import signing_key, trusted_keys

    if not _is_installed("cryptography"):
        return
    try:
        trusted = trusted_keys(project.rootdir / project.ledger.keys)
        own = signing_key(os.environ)
    except GaiaError as error:
        yield Finding("error", "keys", "invalid", str(error))
        return
    if own is None:
        fix = "To sign evidence, run `gaia key generate NAME` and set GAIA_SIGNING_KEY_FILE."
        yield Finding("note", "signing key", "not set; needed to promote and approve", fix)
        return
    name = next((key.name for key in trusted if key.keyid == own.keyid), None)
    if name:
        yield Finding("ok", "signing key", f"{name}, one of {counted(len(trusted), 'trusted key')}")
    else:
        yield Finding("error", "signing key", "not trusted by this project", "Add it with `gaia key add`.")


def _lacks_credential(environment: Environment, service: str) -> bool:
    return bool(environment.platform[service].auth) and not environment.credentials_of(service)


def _variables(environment: Environment, service: str) -> list[str]:
    """Return the variables that set the credential of a service."""
    described = environment.platform[service]
    own = [f"{described.variable}_{auth.secret}" if described.external else auth.secret for auth in described.auth]
    return [variable_name(environment.name, each) for each in own]


def _services(project: Project, name: str) -> Iterator[Finding]:
    """Query each service of the environment ``name``."""
    from pytest_gaia.observation.readiness import probe_services

    try:
        environment = resolve(options_here(name, project=project))
    except GaiaError as error:
        yield Finding("error", f"environment {name}", "invalid", str(error))
        return
    if environment.sandbox:
        yield Finding("ok", environment.name, "starts with each run on this machine")
        return
    if keyless := [name for name in environment.urls if _lacks_credential(environment, name)]:
        fix = f"Set {' or '.join(_variables(environment, keyless[0]))}, in the environment or in .env."
        yield Finding("note", f"{environment.name}: credentials", f"not set for {', '.join(keyless)}", fix)
    deadline = min(environment.timeouts.ready, _PATIENCE)
    for state in probe_services(environment, deadline=deadline):
        well = state.reachable or not state.asked
        needed = state.service in environment.required
        detail = " ".join(filter(None, (state.state, state.endpoint, state.detail)))
        fix = state.remedy or f"`gaia env show {environment.name}` shows each address and its source."
        level: State = "ok" if well else "error" if needed else "note"
        yield Finding(level, f"{environment.name}: {state.service}", detail, "" if well else fix)
