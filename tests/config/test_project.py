"""Finding the project."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config.project import Project, find_rootdir
from pytest_gaia.config.resolve import Options, resolve
from pytest_gaia.config.stages import LedgerSettings
from pytest_gaia.errors import ConfigError

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


SETTINGS = '[project]\nname = "x"\n[tool.gaia]\nenvironment = "preview"\nsuites = ["checks"]\n[tool.gaia.env.preview]\nurl = "http://h"\n[tool.gaia.services.web]\n'


def test_settings_in_pyproject_are_those_of_gaia_toml(tmp_path: Path) -> None:
    (tmp_path / "checks").mkdir()
    (tmp_path / "pyproject.toml").write_text(SETTINGS, encoding="utf-8")

    project = Project.around(tmp_path / "checks")

    assert project.path == tmp_path / "pyproject.toml"
    assert project.suites == (tmp_path / "checks",)
    preview = resolve(Options(project=project, environ={}))
    assert (preview.name, preview.sources["urls.web"]) == ("preview", "pyproject.toml:7")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[tool.gaia]\nsuits = ["a"]\n', "pyproject.toml:2: tool.gaia.suits: unknown key; did you mean suites?"),
        (
            "[tool.gaia.env.dev]\nurll = 1\n",
            "pyproject.toml:2: tool.gaia.env.dev.urll: unknown key; did you mean url?",
        ),
        (
            "[tool.gaia.dev]\n",
            "pyproject.toml:1: tool.gaia.dev: unknown table; write an environment as [tool.gaia.env.dev].",
        ),
        ("[tool.gaia.gaia]\n", "pyproject.toml:1: tool.gaia.gaia: write these keys in [tool.gaia]."),
    ],
)
def test_an_error_in_pyproject_names_its_own_key(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError) as error:
        _ = Project(tmp_path).file

    assert str(error.value).startswith(message)


def test_two_files_with_settings_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(SETTINGS, encoding="utf-8")
    (tmp_path / "gaia.toml").touch()

    with pytest.raises(ConfigError, match=r"pyproject.toml has \[tool.gaia\], and there is a gaia.toml"):
        _ = Project(tmp_path).path


def test_a_pyproject_of_another_tool_is_no_project(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "gaia"\n[tool.gaiac]\n', encoding="utf-8")

    assert Project(tmp_path).path is None
