"""Whether a run uses Gaia, from the command line, the variables and the files alone: read in every run of pytest."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pytest_gaia.plugin.options import environment_settings, is_requested

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_LOOKING = (
    "help",
    "version",
    "collectonly",
    "setupplan",
    "showfixtures",
    "show_fixtures_per_test",
    "markers",
    "cacheshow",
)


def only_looks(option: Any) -> bool:
    """Whether pytest only shows something and runs no test. Such a run has no verdict."""
    return any(getattr(option, name, None) for name in _LOOKING)


def may_use_gaia(config: pytest.Config, option: Any) -> bool:
    """Whether there is any sign of Gaia. The cheapest test comes first, because most runs end here."""
    return (
        is_requested(option)
        or any(environment_settings(config))
        or _has_project(config.rootpath, marked=config.inipath is not None)
        or any(name.startswith("GAIA_") for name in os.environ)
    )


def _has_project(root: Path, *, marked: bool) -> bool:
    """Whether there may be settings: in pytest's root, or above it if no configuration file of pytest marks the root."""
    folders = (root,) if marked else (root, *root.parents)
    return any((folder / "gaia.toml").exists() or _mentions_gaia(folder / "pyproject.toml") for folder in folders)


def _mentions_gaia(path: Path) -> bool:
    """Whether ``path`` may have a table ``[tool.gaia]``; a run that uses Gaia looks more closely."""
    try:
        return b"[tool.gaia" in path.read_bytes()
    except OSError:
        return False
