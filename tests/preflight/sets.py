"""Sets of deploy files to look at: the two that are kept, and the corrected one with one thing changed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pytest_gaia.config.project import Project
from pytest_gaia.preflight.lint import lint
from pytest_gaia.preflight.reading import read_deploy_files

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_gaia.preflight.findings import Finding

FILES = Path(__file__).parent / "files"
BROKEN, CORRECTED, FEATURES = FILES / "broken", FILES / "corrected", FILES / "features"

MARK = "# wrong"


class Spot(NamedTuple):
    """What was found where."""

    file: str
    line: int
    check: str


class Change(NamedTuple):
    """One change of one file. Without ``old`` the file is written anew; without ``new`` it is removed."""

    file: str
    old: str
    new: str


def changed(directory: Path, *changes: Change) -> Path:
    """Return ``directory`` with the corrected set in it, changed."""
    shutil.copytree(CORRECTED, directory, dirs_exist_ok=True)
    for file, old, new in changes:
        path = directory / file
        if not new and not old:
            path.unlink()
        elif not old:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(new, encoding="utf-8")
        else:
            text = path.read_text(encoding="utf-8")
            assert old in text, f"{file} has no {old!r}"
            path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return directory


def look(directory: Path, environment: str | None = None) -> list[Finding]:
    """Return what is wrong with the files in ``directory``."""
    return lint(read_deploy_files(Project(directory)), environment)


def spots(findings: Iterable[Finding]) -> set[Spot]:
    """Return the findings as what was found where."""
    return {Spot(each.place.file, each.place.line, each.check) for each in findings}


def marked(directory: Path) -> set[Spot]:
    """Return what the comments ``# wrong: CHECK…`` in the files say should be found on their lines."""
    found = set()
    for path in (each for each in directory.rglob("*") if each.is_file()):
        for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            said = re.search(rf"{MARK}: (.*)", text)
            for check in said[1].split() if said else ():
                found.add(Spot(path.relative_to(directory).as_posix(), line, check))
    return found


def marked_line(directory: Path, file: str) -> int:
    """Return the line of ``file`` that carries the mark."""
    lines = (directory / file).read_text(encoding="utf-8").splitlines()
    return next(number for number, text in enumerate(lines, start=1) if MARK in text)
