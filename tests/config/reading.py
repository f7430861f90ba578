"""Deploy files of a folder, as the project around it has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gaia.config.project import Project

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.config.deployfiles.read import DeployFolder


def files_in(folder: Path) -> DeployFolder:
    """Return ``folder``, none of whose files has been read yet."""
    return Project.around(folder).deploy_files_in(folder)
