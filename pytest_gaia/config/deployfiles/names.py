"""Names of deploy files: ``fly.SERVICE.ENVIRONMENT.toml``, and ``fly.ENVIRONMENT.toml`` for a gateway that stands alone.

Each may be JSON or YAML as well (``.json``, ``.yaml``, ``.yml``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gaia.config.platform import MEMBERS

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from pytest_gaia.config.deployfiles.model import Form

OTHER_SPELLINGS = {"prod": "production", "stage": "staging", "development": "dev"}
"""how file names spell an environment → its name"""

FLY_SUFFIXES = (".toml", ".json", ".yaml", ".yml")
"""the formats that flyctl reads"""

_OTHER_SERVICES = {"db": "postgres", "database": "postgres", "postgresql": "postgres"}


@dataclass(frozen=True, slots=True)
class FlyFile:
    """One deploy file, by its name."""

    path: Path
    service: str
    environment: str
    spelling: str
    """the environment as the file's name has it, such as ``prod``"""
    form: Form


def fly_names(folder: Path, environments: Collection[str] | None = None) -> list[FlyFile]:
    """Return the files in ``folder`` that are named for an environment, in the order of their names.

    ``fly.toml`` and ``fly.SERVICE.toml`` name none, and are left aside. Whether a word is the name of an environment only
    ``environments`` can say; without it, any word may be one.
    """
    found = [file for file in map(_understood, _fly_files(folder)) if file is not None]
    return [file for file in found if environments is None or {file.environment, file.spelling} & set(environments)]


def unrecognized(folder: Path, environments: Collection[str]) -> list[Path]:
    """Return the files in ``folder`` that are named neither for one of ``environments`` nor for a known service alone."""
    known = fly_names(folder, environments)
    services = {*MEMBERS, *(file.service for file in known)}
    aside = {path for path in _fly_files(folder) if service_name(path.stem.removeprefix("fly.")) in services}
    return [path for path in _fly_files(folder) if path not in aside and path not in {file.path for file in known}]


def _fly_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("fly.*.*") if path.suffix in FLY_SUFFIXES and path.is_file())


def spellings(environment: str) -> tuple[str, ...]:
    """Return how file names may spell ``environment``, its own name first."""
    return (environment, *(other for other, name in OTHER_SPELLINGS.items() if name == environment))


def service_name(name: str) -> str:
    """Return the platform's name for what a file calls ``name``: ``auth-service`` → ``auth``, ``db`` → ``postgres``."""
    short = name.removesuffix("-service").removesuffix("_service")
    return _OTHER_SERVICES.get(short, short)


def _understood(path: Path) -> FlyFile | None:
    match path.name.split(".")[1:-1]:
        case [spelling] if service_name(spelling) not in MEMBERS:
            return FlyFile(path, "gateway", _name(spelling), spelling, "gateway-only")
        case [service, spelling]:
            return FlyFile(path, service_name(service), _name(spelling), spelling, "service")
    return None


def _name(spelling: str) -> str:
    return OTHER_SPELLINGS.get(spelling, spelling)
