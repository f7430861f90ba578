"""The project: is there a ``gaia.toml``, and what does it say of the project as a whole."""

from __future__ import annotations

import os.path
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_gaia.config.stages import LedgerSettings
from pytest_gaia.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.config.files import ConfigFile

PROJECT_FILE = "gaia.toml"


@dataclass(frozen=True, slots=True)
class Project:
    """What ``[gaia]`` in the project file says; all empty where there is no such file."""

    path: Path | None = None
    """the project file"""
    default_environment: str | None = None
    suites: tuple[Path, ...] = ()
    """folders whose tests are Gaia checks, each subfolder a suite; empty: no folder is special"""
    deploy_files: Path | None = None
    """the folder of the deploy files, where the file names one"""
    allowed_differences: tuple[str, ...] | None = None
    """what the deploy files of staging and production may differ in; None where the file does not say"""
    ledger: LedgerSettings = field(default_factory=LedgerSettings)


def find_project(rootdir: Path) -> Project:
    """Return the project at ``rootdir``. Without a ``gaia.toml`` there this costs one look at the file system.

    Raises ``ConfigError`` for a mistake anywhere in the file.
    """
    path = rootdir / PROJECT_FILE
    if not path.exists():
        return Project()
    # Decoding loads msgspec; a project without the file must not pay for it.
    from pytest_gaia.config.files import project_file
    from pytest_gaia.config.stage_settings import ledger_settings

    file = project_file(path)
    environment, differences = file.gaia.environment, file.gaia.allowed_differences
    return Project(
        path=path,
        default_environment=environment if isinstance(environment, str) else None,
        suites=_suites(file, rootdir),
        deploy_files=rootdir / file.gaia.deploy_files if isinstance(file.gaia.deploy_files, str) else None,
        allowed_differences=differences if isinstance(differences, tuple) else None,
        ledger=ledger_settings(file.ledger),
    )


def deploy_folder(rootdir: Path) -> Path:
    """Return the folder of the deploy files of the project at ``rootdir``: what ``gaia.toml`` says, or ``rootdir``.

    Whether it is there is not looked at. Raises ``ConfigError`` for a mistake in the project file.
    """
    return find_project(rootdir).deploy_files or rootdir


def find_rootdir(start: Path) -> Path:
    """Return the nearest folder from ``start`` upward that holds a ``gaia.toml``; ``start`` where none does."""
    for folder in (start, *start.parents):
        if (folder / PROJECT_FILE).exists():
            return folder
    return start


def _suites(file: ConfigFile, rootdir: Path) -> tuple[Path, ...]:
    names = file.gaia.suites if isinstance(file.gaia.suites, tuple) else ()
    for name in names:
        if not (rootdir / name).is_dir():
            raise ConfigError(
                f"{file.source('gaia', 'suites')}: gaia.suites: there is no folder {name!r} beside the file."
            )
    # As pytest does with its paths: made absolute, but links are not followed, so that the two can be compared.
    return tuple(rootdir.absolute() / name for name in map(os.path.normpath, names))
