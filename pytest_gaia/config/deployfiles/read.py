"""Finding and reading the deploy files of a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gaia.config.deployfiles import fly
from pytest_gaia.config.deployfiles.model import Deployment
from pytest_gaia.config.deployfiles.names import FlyFile, fly_names, spellings, unrecognized
from pytest_gaia.config.project import deploy_folder, find_rootdir
from pytest_gaia.config.resolve import known_environments
from pytest_gaia.errors import ConfigError, nearest

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.config.deployfiles.model import App, Source
    from pytest_gaia.config.environment import Environment

COMPOSE_FILES = ("docker-compose.yml", "docker-compose.yaml", "compose.yaml", "compose.yml")
"""what docker compose looks for, the project's usual name first"""

COMPOSE_ENVIRONMENT = "local"
"""the environment that a compose file is for, as the platform has it"""

_KNOWN_ORDER = ("local", "dev", "staging", "production")


def read_deployment(folder: Path, environment: str, source: Source) -> Deployment:
    """Return what the deploy files in ``folder`` say of ``environment``.

    Raises ``ConfigError``: no such folder, no files (with the names that were tried), two files for one app, and with
    file, line and key whatever in a file cannot be understood.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"{shown(folder)}: there is no such folder, and deploy files were to be read from it; "
            "set `deploy_files` in [gaia] of gaia.toml to the folder that holds them."
        )
    apps = _fly_apps(folder, environment) if source == "fly" else _compose_apps(folder, environment)
    return Deployment(environment, source, folder, apps)


def deployment_of(environment: Environment, rootdir: Path) -> Deployment | None:
    """Return the deploy files of ``environment``, which ``from`` asks for, or a hook that works by them.

    None for an environment that has no use for any. Raises ``ConfigError`` as :func:`read_deployment` does.
    """
    source = environment.source
    if source is None and environment.deploy is not None and environment.deploy.hook in ("fly", "compose"):
        source = "fly" if environment.deploy.hook == "fly" else "compose"
    return None if source is None else read_deployment(deploy_folder(rootdir), environment.name, source)


def find_environments(folder: Path) -> tuple[str, ...]:
    """Return the environments of the project that have deploy files in ``folder``; none where there is no such folder."""
    found = {file.environment for file in fly_names(folder, known_environments(find_rootdir(folder)))}
    if compose_file(folder) is not None:
        found.add(COMPOSE_ENVIRONMENT)
    return tuple(sorted(found, key=lambda name: (_place_in_order(name), name)))


def compose_file(folder: Path) -> Path | None:
    """Return the compose file in ``folder``, if there is one."""
    return next((folder / name for name in COMPOSE_FILES if (folder / name).is_file()), None)


def override_file(path: Path) -> Path | None:
    """Return the file that Compose lays over the compose file at ``path`` if it is started without ``--file``."""
    stems = ("compose.override", "docker-compose.override")
    candidates = (path.with_name(f"{stem}{suffix}") for stem in stems for suffix in (".yaml", ".yml"))
    return next((each for each in candidates if each.is_file()), None)


def shown(path: Path) -> str:
    """Return ``path`` as people type it, from the project's folder where it is inside of it."""
    root = find_rootdir(path if path.is_dir() else path.parent)
    return str(path.relative_to(root)) if root in (path, *path.parents) else str(path)


def _place_in_order(name: str) -> int:
    return _KNOWN_ORDER.index(name) if name in _KNOWN_ORDER else len(_KNOWN_ORDER)


def _fly_apps(folder: Path, environment: str) -> tuple[App, ...]:
    files = [file for file in fly_names(folder) if environment in (file.environment, file.spelling)]
    if not files:
        raise _nothing_found(folder, environment)
    _refuse_twins(files)
    return tuple(
        fly.read_app(file.path, shown(file.path), service=file.service, environment=file.spelling, form=file.form)
        for file in files
    )


def _compose_apps(folder: Path, environment: str) -> tuple[App, ...]:
    path = compose_file(folder)
    if path is None:
        raise ConfigError(
            f"there is no compose file for {environment}; looked in {shown(folder)} for {', '.join(COMPOSE_FILES)}."
        )
    # PyYAML is for those who read compose files alone.
    from pytest_gaia.config.deployfiles import compose

    return compose.read_apps(path, shown(path), environment=environment)


def _nothing_found(folder: Path, environment: str) -> ConfigError:
    tried = [f"fly.{part}{name}.toml" for name in spellings(environment) for part in ("", "SERVICE.")]
    there = find_environments(folder)
    strange = [path.name for path in unrecognized(folder, known_environments(find_rootdir(folder)))]
    others = f" Named for no environment of gaia.toml: {', '.join(strange)}." if strange else ""
    return ConfigError(
        f"there are no deploy files for {environment}; looked in {shown(folder)} for {', '.join(tried)}. "
        f"Of the environments that have some, {nearest(environment, there)}{others}"
    )


def _refuse_twins(files: list[FlyFile]) -> None:
    seen: dict[tuple[str, str], FlyFile] = {}
    for file in files:
        twin = seen.setdefault((file.service, file.form), file)
        if twin is not file:
            raise ConfigError(
                f"{shown(file.path)}: {shown(twin.path)} is for {file.service} of {file.environment} as well; "
                "nobody can tell which of the two is deployed. Keep one of them."
            )
