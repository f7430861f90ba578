"""Rules for the layout of the project."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

from pytest_gaia.cli.app import COMMANDS
from pytest_gaia.deploy.hooks import BUILT_IN

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "pytest_gaia").rglob("*.py"))
MOST_MODULES = 16
MOST_LINES = 450
FEWEST_LINES = 40


def test_the_plugin_and_the_command_are_entry_points() -> None:
    assert [each.value for each in entry_points(group="pytest11", name="gaia")] == ["pytest_gaia.plugin"]
    assert [each.value for each in entry_points(group="console_scripts", name="gaia")] == ["pytest_gaia.cli:main"]


def test_the_package_ships_its_types_and_its_data() -> None:
    package = ROOT / "pytest_gaia"

    assert (package / "py.typed").is_file()
    assert (package / "config" / "roles.toml").is_file()
    assert (package / "config" / "platforms" / "gaia.toml").is_file()


def test_no_file_has_a_catch_all_name() -> None:
    catch_all = {"util", "utils", "helper", "helpers", "common", "misc"}

    assert [path for path in SOURCES if path.stem in catch_all or path.parent.name in catch_all] == []


def test_every_module_has_a_docstring() -> None:
    undocumented = [path for path in SOURCES if ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) is None]

    assert undocumented == []


def test_folders_and_modules_are_small() -> None:
    modules = [path for path in SOURCES if path.name != "__init__.py"]
    folders = Counter(path.parent for path in modules)
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules}

    assert {folder: count for folder, count in folders.items() if count > MOST_MODULES} == {}
    assert {path: length for path, length in lengths.items() if length > MOST_LINES} == {}
    assert len(modules) <= 300


def test_a_module_with_one_importer_is_not_tiny() -> None:
    importers = Counter(name for path in (*SOURCES, *(ROOT / "suites").rglob("*.py")) for name in set(imported(path)))
    fragments = {
        path
        for path in SOURCES
        if path.name != "__init__.py" and len(path.read_text(encoding="utf-8").splitlines()) < FEWEST_LINES
    }
    alone = {dotted(path) for path in fragments if importers[dotted(path)] < 2}

    # Specifications of hooks, commands and adapters are loaded by name.
    by_name = {
        "pytest_gaia.hookspecs",
        *(f"pytest_gaia.cli.{command.module}" for command in COMMANDS.values()),
        *(f"pytest_gaia.deploy.{name}" for name in BUILT_IN),
    }
    assert alone - by_name == set()


def test_one_module_uses_the_private_structures_of_concurrent_tests() -> None:
    names = (
        *("_setupstate", "cached_result", "_finalizers", "_fixtureinfo", "_arg2fixturedefs", "funcargs"),
        *("_session_scoped_runner", "torun", "_showwarnmsg"),
    )
    users = {path.name for path in SOURCES for name in names if name in path.read_text(encoding="utf-8")}

    assert users - {"pytest_private.py"} == {"private.py"}


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
