"""The project: one value for the settings in its files, which are read once."""

from __future__ import annotations

import os.path
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_gaia.config.platform import Platform
from pytest_gaia.config.stages import LedgerSettings, Stage
from pytest_gaia.config.tolerance import Tolerance, tolerance_of
from pytest_gaia.config.variables import DOTENV_FILE, read_dotenv
from pytest_gaia.errors import ConfigError

if TYPE_CHECKING:
    # Decoding loads msgspec, which a project without settings does not need.
    from pytest_gaia.config.catalogue import Catalogue
    from pytest_gaia.config.deployfiles.read import DeployFolder
    from pytest_gaia.config.layers import ConfigFile
    from pytest_gaia.config.schema import EnvironmentTable

PROJECT_FILE = "gaia.toml"
PYPROJECT_FILE = "pyproject.toml"

_TABLE = re.compile(r"""^[ \t]*\[+[ \t]*tool[ \t]*\.[ \t]*["']?gaia["']?[ \t]*[].]""", re.MULTILINE)


@dataclass(frozen=True)
class Project:
    """The project in one folder. Each of its files is read at most once, when it is first needed.

    All users of one value therefore see the same settings. To read the files again, create another value. Every property
    that reads a file raises ``ConfigError`` for an error in it.
    """

    rootdir: Path

    @classmethod
    def around(cls, folder: Path) -> Project:
        """Return the project whose settings are nearest from ``folder`` upward, or that of ``folder`` if there are none."""
        return cls(find_rootdir(folder))

    @cached_property
    def path(self) -> Path | None:
        """The file with the settings: ``gaia.toml``, or ``pyproject.toml`` with ``[tool.gaia]``; None without either."""
        own, shared = self.rootdir / PROJECT_FILE, self.rootdir / PYPROJECT_FILE
        is_shared = _has_table(shared)
        if own.exists() and is_shared:
            raise ConfigError(
                f"{PYPROJECT_FILE} has [tool.gaia], and there is a {PROJECT_FILE} in the same folder; keep only one of them."
            )
        return own if own.exists() else shared if is_shared else None

    @cached_property
    def text(self) -> str:
        """The text of the file with the settings; empty without one."""
        if self.path is None:
            return ""
        from pytest_gaia.files.toml import read_text

        return read_text(self.path, self.path.name)

    @cached_property
    def file(self) -> ConfigFile | None:
        """The decoded settings."""
        if self.path is None:
            return None
        from pytest_gaia.config.layers import project_file

        return project_file(self.text, self.path.name)

    @cached_property
    def platform(self) -> Platform:
        """The services of the project."""
        return Platform() if self.file is None else self.file.platform

    @cached_property
    def dotenv(self) -> Mapping[str, tuple[str, int]]:
        """The variables in ``.env``: name → value and line."""
        return read_dotenv(self.rootdir / DOTENV_FILE)

    @cached_property
    def suites(self) -> tuple[Path, ...]:
        """The folders in which each subfolder is a suite; empty if the settings name none."""
        return () if self.file is None else _suites(self.file, self.rootdir)

    @cached_property
    def deploy_folder(self) -> DeployFolder:
        """The folder of the deploy files, by default that of the project. It may not exist."""
        named = None if self.file is None else self.file.gaia.deploy_files
        return self.deploy_files_in(self.rootdir / named if isinstance(named, str) else self.rootdir)

    def deploy_files_in(self, folder: Path) -> DeployFolder:
        """Return ``folder`` as a folder of deploy files for this project's environments."""
        from pytest_gaia.config.deployfiles.read import DeployFolder

        roles = {name: self.role(name) for name in self.environments}
        dotenv = folder / DOTENV_FILE
        # Of the project's own file, the values that were read before count.
        read = (lambda: self.dotenv) if folder == self.rootdir else partial(read_dotenv, dotenv)
        return DeployFolder(folder, roles, self.platform, read)

    @cached_property
    def ledger(self) -> LedgerSettings:
        """Where evidence is stored, and whose signatures are trusted."""
        if self.file is None:
            return LedgerSettings()
        from pytest_gaia.config.assemble import ledger_settings

        return ledger_settings(self.file.ledger)

    @cached_property
    def environments(self) -> tuple[str, ...]:
        """The names of the environments, built-in ones first."""
        return self.catalogue.names()

    @cached_property
    def tolerances(self) -> Mapping[str, Tolerance]:
        """The tolerance of each environment."""
        from pytest_gaia.config.schema import set_values

        tables = {name: self.catalogue.stated(name).tolerance for name in self.environments}
        return {name: tolerance_of(self.role(name), set_values(table)) for name, table in tables.items()}

    def stated(self, environment: str) -> EnvironmentTable:
        """Return the settings of an environment in gaia.toml, over the built-in ones; without those of deploy files."""
        return self.catalogue.stated(environment)

    def role(self, environment: str) -> str:
        """Return the role of an environment; an empty string for none."""
        return self.catalogue.role(environment)

    @cached_property
    def stages(self) -> Mapping[str, Stage]:
        """The stage of each environment, without the sandbox."""
        from pytest_gaia.config.assemble import stage_settings
        from pytest_gaia.config.environment import SANDBOX

        return {name: stage_settings(self.catalogue.stated(name)) for name in self.environments if name != SANDBOX}

    @cached_property
    def catalogue(self) -> Catalogue:
        """The settings in files, without variables. The results that depend on files alone are kept here."""
        from pytest_gaia.config.catalogue import Catalogue
        from pytest_gaia.config.variables import Variables

        return Catalogue(self, Variables({}, {}))


def find_rootdir(start: Path) -> Path:
    """Return the nearest folder from ``start`` upward that has settings, or ``start`` if none has."""
    for folder in (start, *start.parents):
        if (folder / PROJECT_FILE).exists() or _has_table(folder / PYPROJECT_FILE):
            return folder
    return start


def _has_table(path: Path) -> bool:
    """Whether ``path`` has a table ``[tool.gaia]``. What else is in it, and whether it is valid, does not matter here."""
    try:
        text = path.read_bytes()
    except OSError:
        return False
    return b"gaia" in text and _TABLE.search(text.decode(errors="replace")) is not None


def _suites(file: ConfigFile, rootdir: Path) -> tuple[Path, ...]:
    names = file.gaia.suites if isinstance(file.gaia.suites, tuple) else ()
    for name in names:
        if not (rootdir / name).is_dir():
            raise ConfigError(f"{file.source('gaia', 'suites')}: suites: there is no folder {name!r} next to the file.")
    # Absolute, but with symbolic links, as pytest's own paths are, so that the two can be compared.
    return tuple(rootdir.absolute() / name for name in map(os.path.normpath, names))
