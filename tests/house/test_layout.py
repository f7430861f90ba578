"""What every part of the project can rely on."""

from __future__ import annotations

import ast
from importlib.metadata import entry_points
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "pytest_gaia").rglob("*.py"))


def test_the_plugin_and_the_command_are_entry_points() -> None:
    assert [each.value for each in entry_points(group="pytest11", name="gaia")] == ["pytest_gaia.plugin"]
    assert [each.value for each in entry_points(group="console_scripts", name="gaia")] == ["pytest_gaia.cli:main"]


def test_the_package_ships_its_types_and_its_data() -> None:
    package = ROOT / "pytest_gaia"

    assert (package / "py.typed").is_file()
    assert (package / "config" / "roles.toml").is_file()
    assert (package / "config" / "platforms" / "gaia.toml").is_file()


def test_no_file_is_a_drawer() -> None:
    drawers = {"util", "utils", "helper", "helpers", "common", "misc"}

    assert [path for path in SOURCES if path.stem in drawers or path.parent.name in drawers] == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [path for path in SOURCES if ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) is None]

    assert silent == []
