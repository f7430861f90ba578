"""The tables of ways: what they contain, and the project in which a way is tried."""

from __future__ import annotations

import shutil
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HERE = Path(__file__).parent
BASE = HERE / "project"
"""the project that every way changes: one good test and one that fails"""
GOOD_TEST, BAD_TEST = "suites/small/test_good.py", "suites/small/test_bad.py"
PLAIN_CLIENT = HERE / "plain_client.py"
"""the fixture ``shop`` for tools without one"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to a wrong result: what it changes in the project, and the correct outcome."""

    id: str
    title: str
    outcome: str
    """word of the verdict; ``refused`` (exit code 4)"""
    right: str = ""
    """why the exit code 0 is right here; empty if it would be wrong"""
    possible: str = ""
    """why a run cannot stop it; empty if it can"""
    test: str = ""
    """replaces the test that fails"""
    conftest: str = ""
    """``conftest.py`` of the suites"""
    gaia: str = ""
    """added to gaia.toml"""
    pytest: str = ""
    """added to the settings of pytest"""
    files: Mapping[str, str] = field(default_factory=dict)
    """path → content of further files, or of those that replace files of the project; empty: no such file"""
    env: str = "strict"
    """the environment: ``strict`` accepts no failure, ``lenient`` accepts skips and expected failures"""
    args: str = ""
    """arguments of pytest"""
    environ: Mapping[str, str] = field(default_factory=dict)
    also: Sequence[str] = ()
    """further numbers of concurrent tests (``8``), or of processes (``-n2``), with the same outcome"""
    shows: Sequence[str] = ()
    """what the output contains, so that a user finds the cause"""
    writes: bool = False
    """whether a write reaches a service"""
    check: str = ""
    """the finding of ``gaia suites check``, if it has one"""

    @property
    def only_gaia(self) -> bool:
        """Whether it is about settings or functions of Gaia, so that it cannot be tried with another tool."""
        texts = (self.test, self.conftest, *self.files.values())
        return bool(self.gaia) or "gaia.toml" in self.files or any("gaia" in each for each in texts)

    @property
    def needs_servers(self) -> bool:
        """Whether it needs a database and a broker."""
        return any("{database}" in each or "{nats}" in each for each in self.environ.values())


def ways(name: str) -> list[Way]:
    """Return the rows of ``NAME.toml``."""
    rows: list[dict[str, Any]] = tomllib.loads((HERE / f"{name}.toml").read_text(encoding="utf-8"))["way"]
    found = [Way(**row) for row in rows]
    ids = [each.id for each in found]
    assert len(ids) == len(set(ids)), "two ways have the same ID"
    return found


def write_project(way: Way, folder: Path, values: Mapping[str, str]) -> None:
    """Write the project with what ``way`` changes into ``folder``; ``values`` fill ``{name}`` in the changes."""
    shutil.copytree(BASE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    changes = {"gaia.toml": (BASE / "gaia.toml").read_text(encoding="utf-8") + way.gaia, **way.files}
    if way.test:
        changes[BAD_TEST] = way.test
    if way.conftest:
        changes["suites/conftest.py"] = way.conftest
    if way.pytest:
        changes["pyproject.toml"] = (BASE / "pyproject.toml").read_text(encoding="utf-8") + way.pytest
    for path, text in changes.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(filled(text, values), encoding="utf-8") if text else target.unlink()


def filled(text: str, values: Mapping[str, str]) -> str:
    """Return ``text`` with ``{name}`` replaced by each value."""
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def concurrency_of(number: str) -> str:
    """Return the arguments for a number of concurrent tests (``8``) or of processes (``-n2``)."""
    return f"{number} --gaia-concurrency=1" if number.startswith("-") else f"--gaia-concurrency={number}"
