"""Keys of pytest's stash."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config.project import Project

if TYPE_CHECKING:
    from pytest_gaia.run.session import Run

RUN: pytest.StashKey[Run] = pytest.StashKey()
"""on the config: the run; missing if pytest does not use Gaia"""

_PROJECT: pytest.StashKey[Project] = pytest.StashKey()


def project_of(config: pytest.Config) -> Project:
    """Return the project of this pytest run; its files are read once."""
    if _PROJECT not in config.stash:
        found = Project(config.rootpath) if config.inipath else Project.around(config.rootpath)
        config.stash[_PROJECT] = found
    return config.stash[_PROJECT]
