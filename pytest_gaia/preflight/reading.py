"""From a project's folder to its deploy files, read for the checks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_gaia.config.deployfiles import compose, fly
from pytest_gaia.config.deployfiles.model import Deployment, Place
from pytest_gaia.config.deployfiles.names import fly_names
from pytest_gaia.config.deployfiles.read import COMPOSE_ENVIRONMENT, compose_file, shown
from pytest_gaia.config.project import PROJECT_FILE, deploy_folder, find_project
from pytest_gaia.errors import ConfigError
from pytest_gaia.preflight.difference import check_allowed
from pytest_gaia.preflight.files import Allowed, DeployFiles, Secrets
from pytest_gaia.preflight.spelling import KNOWN
from pytest_gaia.preflight.workflows.read import read_workflows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from pytest_gaia.config.environment import Environment


def read_deploy_files(rootdir: Path, environments: Iterable[Environment] = ()) -> DeployFiles:
    """Return the deploy files of the project at ``rootdir``; ``deployments`` is empty where it has none.

    ``environments`` are what the project says of them: hosts, topology, secrets. Unlike a deployment, the checks read
    all files of an environment, those that contradict each other included: to say so is what they are for.

    Raises ``ConfigError`` with file and line for a file that cannot be read or understood, and for an entry of
    ``allowed_differences`` that names nothing.
    """
    folder = deploy_folder(rootdir)
    if not folder.is_dir():
        raise ConfigError(f"{shown(folder)}: there is no such folder; `deploy_files` in [gaia] of gaia.toml names it.")
    known = tuple(environments)
    return DeployFiles(
        deployments=tuple(_deployments(folder)),
        workflows=read_workflows(rootdir),
        allowed=_allowed(rootdir),
        claims={each.name: each.topology for each in known if _is_said(each, "topology")},
        hosts={each.name: each.hosts for each in known},
        secrets=_secrets(known),
    )


def with_secrets(files: DeployFiles, names: Mapping[str, frozenset[str]]) -> DeployFiles:
    """Return ``files`` with the names of the secrets that are set: app → names, as the deploy tool has listed them."""
    return replace(files, set_secrets=dict(names))


def _deployments(folder: Path) -> Iterator[Deployment]:
    named = fly_names(folder)
    path = compose_file(folder)
    order = {name: number for number, name in enumerate(KNOWN)}
    found = {each.environment for each in named} | ({COMPOSE_ENVIRONMENT} if path else set())
    for environment in sorted(found, key=lambda name: (order.get(name, len(order)), name)):
        apps = tuple(
            fly.read_app(each.path, shown(each.path), service=each.service, environment=each.spelling, form=each.form)
            for each in named
            if each.environment == environment
        )
        if apps:
            yield Deployment(environment, "fly", folder, apps)
        elif path is not None:
            composed = compose.read_apps(path, shown(path), environment=environment)
            yield Deployment(environment, "compose", folder, composed)


def _allowed(rootdir: Path) -> Allowed:
    entries = find_project(rootdir).allowed_differences
    if entries is None:
        return Allowed()
    from pytest_gaia.config.documents import read_text
    from pytest_gaia.config.locate import key_lines, nearest_line

    lines = key_lines(read_text(rootdir / PROJECT_FILE, PROJECT_FILE))
    place = Place(PROJECT_FILE, nearest_line(lines, ("gaia", "allowed_differences")), "gaia.allowed_differences")
    check_allowed(entries, f"{place.file}:{place.line}")
    return Allowed(entries, place)


def _secrets(environments: Iterable[Environment]) -> dict[str, Secrets]:
    found = {}
    for each in environments:
        if each.deploy is not None and each.deploy.secrets:
            place = _place(each.sources.get("deploy.secrets", ""), f"env.{each.name}.deploy.secrets")
            found[each.name] = Secrets(each.deploy.secrets, place)
    return found


def _is_said(environment: Environment, key: str) -> bool:
    """Whether ``gaia.toml`` itself says ``key``, and no deploy file or default does."""
    return environment.sources.get(key, "").startswith(f"{PROJECT_FILE}:")


def _place(source: str, key: str) -> Place:
    """Return the place that a source such as ``gaia.toml:12`` names."""
    file, _, rest = source.partition(":")
    line = rest.partition(":")[0]
    return Place(file or PROJECT_FILE, int(line) if line.isdigit() else 1, key)
