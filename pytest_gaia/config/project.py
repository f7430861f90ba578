"""The project: one value for all that its files say, which is read once and handed down to whoever decides by it."""

from __future__ import annotations

import os.path
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_gaia.config.stages import LedgerSettings, Stage
from pytest_gaia.config.tolerance import Tolerance, tolerance_of
from pytest_gaia.errors import ConfigError
from pytest_gaia.files.dotenv import DOTENV_FILE, read_dotenv

if TYPE_CHECKING:
    # Decoding loads msgspec; a project without gaia.toml must not pay for it.
    from pytest_gaia.config.catalogue import Catalogue
    from pytest_gaia.config.deployfiles.read import DeployFolder
    from pytest_gaia.config.layers import ConfigFile

PROJECT_FILE = "gaia.toml"


@dataclass(frozen=True)
class Project:
    """The project in one folder. Each of its files is read when it is first asked for, and then never again.

    So everybody who is handed the same value decides by the same words. Who needs what the files say later makes another
    one. Whatever reads a file raises ``ConfigError`` for a mistake anywhere in it.
    """

    rootdir: Path

    @classmethod
    def around(cls, folder: Path) -> Project:
        """Return the project whose ``gaia.toml`` is the nearest from ``folder`` upward; that of ``folder`` without any."""
        return cls(find_rootdir(folder))

    @cached_property
    def path(self) -> Path | None:
        """The project file, if there is one. Without it, this is all that is looked for."""
        path = self.rootdir / PROJECT_FILE
        return path if path.exists() else None

    @cached_property
    def text(self) -> str:
        """The text of the project file; an empty one where there is none."""
        if self.path is None:
            return ""
        from pytest_gaia.files.toml import read_text

        return read_text(self.path, PROJECT_FILE)

    @cached_property
    def file(self) -> ConfigFile | None:
        """What the project file says."""
        if self.path is None:
            return None
        from pytest_gaia.config.layers import project_file

        return project_file(self.text, PROJECT_FILE)

    @cached_property
    def dotenv(self) -> Mapping[str, tuple[str, int]]:
        """The variables of ``.env``: name → value and line."""
        return read_dotenv(self.rootdir / DOTENV_FILE)

    @cached_property
    def suites(self) -> tuple[Path, ...]:
        """The folders whose tests are Gaia checks, each subfolder a suite; empty: no folder is special."""
        return () if self.file is None else _suites(self.file, self.rootdir)

    @cached_property
    def deploy_folder(self) -> DeployFolder:
        """The folder of the deploy files: what ``gaia.toml`` says, or that of the project. It may not be there."""
        named = None if self.file is None else self.file.gaia.deploy_files
        return self.deploy_files_in(self.rootdir / named if isinstance(named, str) else self.rootdir)

    def deploy_files_in(self, folder: Path) -> DeployFolder:
        """Return ``folder`` as one of deploy files for the environments of this project."""
        from pytest_gaia.config.deployfiles.read import DeployFolder

        return DeployFolder(folder, self.environments)

    @cached_property
    def ledger(self) -> LedgerSettings:
        """Where evidence is kept, and whose signatures count."""
        if self.file is None:
            return LedgerSettings()
        from pytest_gaia.config.assemble import ledger_settings

        return ledger_settings(self.file.ledger)

    @cached_property
    def environments(self) -> tuple[str, ...]:
        """The names of the environments, as shipped first."""
        return self._catalogue.names()

    @cached_property
    def tolerances(self) -> Mapping[str, Tolerance]:
        """The tolerance of each environment."""
        from pytest_gaia.config.schema import set_values

        tables = {name: self._catalogue.stated(name).tolerance for name in self.environments}
        return {name: tolerance_of(name, set_values(table)) for name, table in tables.items()}

    @cached_property
    def stages(self) -> Mapping[str, Stage]:
        """The stage of each environment; the sandbox has none."""
        from pytest_gaia.config.assemble import stage_settings
        from pytest_gaia.config.environment import SANDBOX

        return {name: stage_settings(self._catalogue.stated(name)) for name in self.environments if name != SANDBOX}

    @cached_property
    def _catalogue(self) -> Catalogue:
        """What the files say, without any variable."""
        from pytest_gaia.config.catalogue import Catalogue
        from pytest_gaia.config.variables import Variables

        return Catalogue(self, Variables({}, {}))


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
