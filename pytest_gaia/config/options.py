"""What a run was asked for: the raw inputs of one resolution, before anything is read or checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gaia.config.platform import MEMBERS
from pytest_gaia.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pytest_gaia.config.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Raw inputs: the command line as given, the project, the process environment."""

    project: Project
    environ: Mapping[str, str]
    env: str | None = None
    """value of ``--gaia-env``"""
    env_source: str = "--gaia-env"
    """what gave ``env``, for messages"""
    urls: tuple[str, ...] = ()
    """values of ``--gaia-url``: ``SERVICE=URL``, or a bare URL for the gateway"""
    sandbox_without: tuple[str, ...] = ()
    """values of ``--gaia-sandbox-without``: members, each value one or several with commas between"""
    sandbox_fixed: bool = False
    rehearse: bool = False
    addressed: bool = True
    """whether an environment whose deploy files give no address is a mistake; to show or deploy it, none is needed"""

    @property
    def rootdir(self) -> Path:
        """The folder of the project."""
        return self.project.rootdir


def split_members(values: Iterable[str], option: str = "--gaia-sandbox-without") -> tuple[str, ...]:
    """Return the members named in ``values`` (``("asset,chat",)`` → ``("asset", "chat")``), each once.

    Raises ``ConfigError`` for a name that is no member of the platform.
    """
    names = [name.strip() for value in values for name in value.split(",") if name.strip()]
    for name in names:
        if name not in MEMBERS:
            raise ConfigError(f"{option}: {name!r} is no member of the platform; {nearest(name, MEMBERS)}")
    return tuple(dict.fromkeys(names))
