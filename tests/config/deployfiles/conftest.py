"""A folder of deploy files, and ways to write into it."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from tests.config.reading import files_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_gaia.config.deployfiles.model import App


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose deploy files are in ``deploy``."""
    (tmp_path / "deploy").mkdir()
    (tmp_path / "gaia.toml").write_text('[gaia]\nplatform = "gaia"\ndeploy_files = "deploy"\n', encoding="utf-8")
    return tmp_path


@pytest.fixture
def folder(project: Path) -> Path:
    """The folder of the deploy files."""
    return project / "deploy"


@pytest.fixture
def write(folder: Path) -> Callable[[str, str], Path]:
    """Write a deploy file; the text may be indented."""

    def call(name: str, text: str) -> Path:
        path = folder / name
        path.write_text(dedent(text), encoding="utf-8")
        return path

    return call


@pytest.fixture
def fly(folder: Path, write: Callable[[str, str], Path]) -> Callable[[str], App]:
    """Return the app of a file ``fly.auth.staging.toml`` with the given text."""

    def call(text: str) -> App:
        write("fly.auth.staging.toml", text)
        return files_in(folder).deployment("staging", "fly").apps[0]

    return call


@pytest.fixture
def compose(folder: Path, write: Callable[[str, str], Path]) -> Callable[[str], dict[str, App]]:
    """Return service → app of a compose file with the given text."""

    def call(text: str) -> dict[str, App]:
        write("docker-compose.yml", text)
        return {app.service: app for app in files_in(folder).deployment("local", "compose", ask=False).apps}

    return call
