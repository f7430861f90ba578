"""Every key that this package puts into pytest's stash."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config.project import Project

if TYPE_CHECKING:
    from pytest_gaia.run.session import Run

RUN: pytest.StashKey[Run] = pytest.StashKey()
"""on the config: the Gaia side of this pytest run; missing where the run does not use Gaia"""

_PROJECT: pytest.StashKey[Project] = pytest.StashKey()


def project_of(config: pytest.Config) -> Project:
    """Return the project that pytest runs in, the same one whenever it is asked for: its files are read once."""
    if _PROJECT not in config.stash:
        found = Project(config.rootpath) if config.inipath else Project.around(config.rootpath)
        config.stash[_PROJECT] = found
    return config.stash[_PROJECT]
