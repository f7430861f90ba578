"""The reference of deploy files agrees with the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_gaia.config.deployfiles.read import COMPOSE_FILES, OTHER_SPELLINGS
from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, resolve

REFERENCE = (Path(__file__).parents[3] / "docs/reference/deploy-files.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_every_name_is_in_the_reference(name: str) -> None:
    assert f"`{name}`" in REFERENCE


@pytest.mark.parametrize(("spelling", "name"), OTHER_SPELLINGS.items())
def test_every_other_spelling_is_in_the_reference(spelling: str, name: str) -> None:
    assert f"`{spelling}`" in REFERENCE
    assert f"`{name}`" in REFERENCE


def test_the_example_is_a_valid_project(tmp_path: Path) -> None:
    (tmp_path / "gaia.toml").write_text(REFERENCE.partition("```toml\n")[2].partition("```")[0], encoding="utf-8")
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy/fly.staging.toml").write_text('app = "acme"\n[http_service]\n', encoding="utf-8")

    staging = resolve(Options(project=Project(tmp_path), environ={}, env="staging"))

    assert staging.urls == {"orders": "https://acme.fly.dev"}
