"""Whether a run uses Gaia, from the command line, the variables and the files alone: read in every run of pytest."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_ASKING = (
    "gaia_env",
    "gaia_url",
    "gaia_sandbox_without",
    "gaia_sandbox_fixed",
    "gaia_rehearse",
    "gaia_command",
    "gaia_argument",
    "gaia_record",
    "gaia_report",
    "gaia_subjects",
    "gaia_seal",
    "gaia_plan",
    "gaia_require_full",
    "gaia_bundle",
    "gaia_deploy",
    "gaia_deploy_services",
    "gaia_deploy_image",
    "gaia_deploy_region",
    "gaia_deploy_rebuild",
)
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


def asks_for_gaia(option: Any) -> bool:
    """Whether an option of this package's is given."""
    return any(getattr(option, name, None) for name in _ASKING)


def only_looks(option: Any) -> bool:
    """Whether pytest was asked to show something instead of running tests: such a run has no verdict."""
    return any(getattr(option, name, None) for name in _LOOKING)


def may_use_gaia(option: Any, root: Path, *, marked: bool) -> bool:
    """Whether there is any sign of Gaia: the cheapest question first, because most runs end here.

    ``marked`` says that a file of pytest's own marks ``root``.
    """
    return (
        asks_for_gaia(option)
        or _has_project(root, marked=marked)
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
