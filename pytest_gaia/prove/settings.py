"""``prove.toml`` of a suites folder, and the catalog of faults that it names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from pytest_gaia.errors import ConfigError
from pytest_gaia.files.decoding import TableError, decode
from pytest_gaia.files.toml import key_lines, nearest_line, parse, read_text
from pytest_gaia.files.toml import shown as shown_key
from pytest_gaia.files.writing import write_file
from pytest_gaia.prove import faults
from pytest_gaia.prove.faults import Fault

FILE = "prove.toml"
MOST_EXCLUDED = 0.05
"""share of the faults that may be excluded"""


class _Reasoned(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    reason: str


class Excluded(_Reasoned, forbid_unknown_fields=True, kw_only=True):
    """Faults that no test can notice."""

    match: str
    """pattern of their lines, with ``*``"""

    def covers(self, fault: Fault) -> bool:
        """Whether the pattern matches the line of ``fault``."""
        return fnmatchcase(str(fault), self.match.replace("[", "[[]"))


class Accepted(_Reasoned, forbid_unknown_fields=True, kw_only=True):
    """A survivor that is not worth a test for now."""

    fault: str
    owner: str
    expires: date


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    score: float | None = None
    catalog: str = ""
    excluded: list[Excluded] = []
    accepted: list[Accepted] = []


@dataclass(frozen=True)
class Settings:
    """The settings of one project; the defaults are those without a file."""

    place: str = FILE
    """path of the file, for messages"""
    score: float | None = None
    """percent, which a complete run must reach"""
    catalog: Path | None = None
    excluded: Sequence[Excluded] = ()
    accepted: dict[Fault, tuple[Accepted, str]] = field(default_factory=dict)
    """fault → its entry and the place of that"""

    @classmethod
    def of(cls, roots: Iterable[Path], rootdir: Path) -> Settings:
        """Return the settings in the first of the suites folders ``roots`` that has the file.

        Raises ``ConfigError`` with file and line.
        """
        path = next((root / FILE for root in roots if (root / FILE).exists()), None)
        if path is None:
            return cls()
        place = os.path.relpath(path, rootdir).replace(os.sep, "/")
        text = read_text(path, place)
        document, lines = parse(text, place), key_lines(text, place)

        def at(*key: str) -> str:
            return f"{place}:{nearest_line(lines, key)}"

        try:
            table = decode(document, _Table)
        except TableError as error:
            name = shown_key(error.key)
            raise ConfigError(f"{at(*error.key)}: {name}{': ' if name else ''}{error}") from None
        _check(table, at)
        accepted: dict[Fault, tuple[Accepted, str]] = {}
        for number, entry in enumerate(table.accepted):
            where = at("accepted", f"[{number}]", "fault")
            fault = faults.parse(entry.fault, where)
            if fault in accepted:
                raise ConfigError(f"{where}: `{fault}` is accepted twice.")
            accepted[fault] = entry, where
        catalog = Path(os.path.relpath(path.parent / table.catalog)) if table.catalog else None
        return cls(place, table.score, catalog, table.excluded, accepted)

    def without_excluded(self, known: Iterable[Fault]) -> tuple[list[Fault], list[Fault]]:
        """Return the faults to try, and those that are excluded."""
        tried: list[Fault] = []
        excluded: list[Fault] = []
        for fault in known:
            (excluded if any(each.covers(fault) for each in self.excluded) else tried).append(fault)
        return tried, excluded

    def expired(self, today: date | None = None) -> list[tuple[Accepted, str]]:
        """Return the accepted survivors that have expired, with their places."""
        today = today or datetime.now(UTC).date()
        return [(entry, place) for entry, place in self.accepted.values() if entry.expires < today]


def _check(table: _Table, at: Callable[..., str]) -> None:
    every: dict[str, Sequence[_Reasoned]] = {"accepted": table.accepted, "excluded": table.excluded}
    for kind, entries in every.items():
        for number, each in enumerate(entries):
            if not each.reason.strip():
                raise ConfigError(f"{at(kind, f'[{number}]', 'reason')}: {kind}.reason: say why in a sentence.")
    if table.score is not None and not 0 <= table.score <= 100:
        raise ConfigError(f"{at('score')}: score: expected percent, from 0 to 100.")


def read_catalog(path: Path) -> list[Fault]:
    """Return the faults in a file: one on each line, and comments that begin with ``#``.

    Raises ``ConfigError`` with file and line.
    """
    name = str(path)
    found: dict[Fault, None] = {}
    for number, line in enumerate(read_text(path, name).splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            found[faults.parse(line.strip(), f"{name}:{number}")] = None
    if not found:
        raise ConfigError(f"{name}: contains no faults. To write it: gaia prove --write-catalog {name}")
    return list(found)


def write_catalog(path: Path, known: Sequence[Fault]) -> None:
    """Write a file that :func:`read_catalog` reads. Raises ``ConfigError`` if that is not possible."""
    head = f"# {len(known)} faults that `gaia prove` tries. To write this file again: gaia prove --write-catalog FILE\n"
    try:
        write_file(path, head + "".join(f"{fault}\n" for fault in known))
    except OSError as error:
        raise ConfigError(f"--write-catalog {path}: cannot be written: {error.strerror}.") from None
