"""Finding the project."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from pytest_gaia.config.project import Project, find_rootdir
from pytest_gaia.config.stages import LedgerSettings

if TYPE_CHECKING:
    from pathlib import Path


def test_no_project_file_means_nothing_is_known(tmp_path: Path) -> None:
    project = Project(tmp_path)

    assert (project.path, project.file, project.suites) == (None, None, ())
    assert (project.ledger, project.deploy_folder.path) == (LedgerSettings(), tmp_path)


def test_the_project_names_its_default_and_its_folders_of_suites(tmp_path: Path) -> None:
    (tmp_path / "checks").mkdir()
    (tmp_path / "gaia.toml").write_text('[gaia]\nenvironment = "dev"\nsuites = ["./checks/"]\n', encoding="utf-8")

    project = Project(tmp_path)

    assert project.path == tmp_path / "gaia.toml"
    assert project.file is not None
    assert project.file.gaia.environment == "dev"
    assert project.suites == (tmp_path / "checks",)


def test_an_empty_project_file_is_a_project(tmp_path: Path) -> None:
    (tmp_path / "gaia.toml").touch()

    project = Project(tmp_path)

    assert (project.path, project.suites) == (tmp_path / "gaia.toml", ())
    assert (project.ledger, project.deploy_folder.path) == (LedgerSettings(), tmp_path)


def test_the_project_is_found_from_a_folder_below(tmp_path: Path) -> None:
    (tmp_path / "gaia.toml").touch()
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)

    assert find_rootdir(below) == tmp_path
    assert find_rootdir(tmp_path) == tmp_path


def test_looking_for_a_project_loads_neither_pytest_nor_a_decoder(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from pytest_gaia.config import resolve\n"
        "from pytest_gaia.config.project import Project\n"
        "Project(pathlib.Path(sys.argv[1])).suites\n"
        "print(sorted({'pytest', 'msgspec', 'tomllib', 'asyncio', 'rich', 'typer'} & set(sys.modules)))\n"
    )

    answer = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)

    assert answer.stdout == "[]\n"
