"""Check test files for code that hides failures. Reads syntax trees; imports and runs nothing of the project."""

from __future__ import annotations

import configparser
import io
import os
import re
import tokenize
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_gaia.config.project import PYPROJECT_FILE, Project
from pytest_gaia.errors import ConfigError
from pytest_gaia.files.toml import parse, read_text
from pytest_gaia.preflight._suites import collection, failures, requests
from pytest_gaia.preflight._suites.model import Names, SuiteFile, SuiteFiles
from pytest_gaia.preflight.findings import OWN_CHECKS, Check, Finding, finding, order, read_allowances, settle

_TOPICS = {
    "requests": ("Requests and results", requests),
    "failures": ("Assertions and failures", failures),
    "collection": ("Tests that do not run", collection),
}

CHECKS: tuple[Check, ...] = tuple(
    value for _, module in _TOPICS.values() for value in vars(module).values() if isinstance(value, Check)
)
ALL_CHECKS: tuple[Check, ...] = (*CHECKS, *OWN_CHECKS)
"""all checks, including those of allowances"""

TOPICS: Mapping[str, str] = {name: title for name, (title, _) in _TOPICS.items()} | {"allowances": "Allowances"}
"""topic → its heading in the reference"""

_CONFTEST = "conftest.py"
_SKIPPED = re.compile(r"\..*|__pycache__|node_modules|venv|.*\.egg")
"""folders that contain no tests"""


def read_suites(project: Project, more: Iterable[Path] = ()) -> SuiteFiles:
    """Return the Python files of the project's suites and of the files and folders in ``more``, parsed.

    The ``conftest.py`` of the folders above them are included. Raises ``ConfigError`` for a file that cannot be read or is
    no valid Python.
    """
    names, strict = _pytest_settings(project)
    suites = SuiteFiles(project.platform, names, strict)
    for path in python_files(project, [*project.suites, *more]):
        name = name_of(project, path)
        text = read_text(path, name)
        try:
            suites.add(name, text)
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None) or 1
            raise ConfigError(f"{name}:{line}: not valid Python: {getattr(error, 'msg', error)}.") from None
        except RecursionError:
            raise ConfigError(f"{name}: its code is nested too deep to be read.") from None
    return suites


def python_files(project: Project, paths: Iterable[Path]) -> list[Path]:
    """Return the Python files in ``paths``, and the ``conftest.py`` of the folders around them, in order."""
    found: dict[Path, None] = {}
    for path in map(Path, map(os.path.abspath, paths)):
        folders = [each for each in path.parents if each.is_relative_to(project.rootdir.absolute())]
        found |= dict.fromkeys(each / _CONFTEST for each in reversed(folders) if (each / _CONFTEST).is_file())
        found |= dict.fromkeys(_below(path) if path.is_dir() else [path])
    return list(found)


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(each for each in folders if not _SKIPPED.fullmatch(each))
        yield from (Path(place, each) for each in sorted(files) if each.endswith(".py"))


def name_of(project: Project, path: Path) -> str:
    """Return how messages call a file: its path relative to the project, if it is in it."""
    root = project.rootdir.absolute()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def check_suites(suites: SuiteFiles, only: Collection[str] | None = None) -> list[Finding]:
    """Return the findings, errors first; with ``only``, those in the files of these names."""
    files = [each for each in suites.files if only is None or each.name in only]
    findings = [finding(check, found) for file in files for check in CHECKS for found in check.look(file)]
    allowances = read_allowances(each for file in files if (each := _commented(file)) is not None)
    return sorted(settle(findings, allowances, [each.id for each in ALL_CHECKS]), key=order)


def _commented(file: SuiteFile) -> tuple[str, Mapping[int, str], frozenset[int]] | None:
    """Return file, line → comment, and lines with code; None without a comment that may be an allowance."""
    if "gaia:" not in file.text.lower():
        return None
    comments, taken = {}, set()
    for token in tokenize.generate_tokens(io.StringIO(file.text).readline):
        if token.type == tokenize.COMMENT:
            comments[token.start[0]] = token.string
        elif token.string.strip():
            taken |= set(range(token.start[0], token.end[0] + 1))
    return file.name, comments, frozenset(taken)


def _pytest_settings(project: Project) -> tuple[Names, bool]:
    """Return what the settings of pytest call a test, and whether xfail is strict."""
    stated = _stated(project.rootdir)
    default = Names()
    names = Names(
        files=stated.get("python_files", default.files),
        classes=stated.get("python_classes", default.classes),
        functions=stated.get("python_functions", default.functions),
    )
    strict = stated.get("xfail_strict") or stated.get("strict") or ("",)
    return names, strict[0].lower() in ("true", "1", "yes", "on")


_SETTINGS = {
    "pytest.toml": "pytest",
    ".pytest.toml": "pytest",
    "pytest.ini": "pytest",
    ".pytest.ini": "pytest",
    PYPROJECT_FILE: "tool.pytest",
    "tox.ini": "pytest",
    "setup.cfg": "tool:pytest",
}
"""file → table with the settings of pytest, which reads the first file that has the table"""


def _stated(rootdir: Path) -> dict[str, tuple[str, ...]]:
    """Return the settings of pytest, each as a list of words."""
    for name, table in _SETTINGS.items():
        if (rootdir / name).is_file():
            text = read_text(rootdir / name, name)
            found = _from_toml(parse(text, name), table) if name.endswith(".toml") else _from_ini(text, name, table)
            if found:
                return {key: tuple(_words(value)) for key, value in found.items()}
    return {}


def _from_toml(document: dict[str, Any], table: str) -> dict[str, Any]:
    for part in table.split("."):
        document = document.get(part, {})
    return dict(document.get("ini_options", document))


def _from_ini(text: str, name: str, table: str) -> dict[str, Any]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise ConfigError(f"{name}: not valid: {str(error).splitlines()[0]}") from None
    return dict(parser[table]) if parser.has_section(table) else {}


def _words(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else str(value).split()
