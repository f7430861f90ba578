"""Reading ``expectations/*.toml``: one file a rule, strictly, every mistake with its place."""

import os.path
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pytest_gaia.config.tolerance import Tolerance
from pytest_gaia.errors import ConfigError
from pytest_gaia.expectations import selectors
from pytest_gaia.expectations._schema import ExpectationTable, as_list, usage_errors
from pytest_gaia.expectations.expectation import Expectation
from pytest_gaia.expectations.expectation_set import ExpectationSet
from pytest_gaia.expectations.selectors import KEYS, Match
from pytest_gaia.files.decoding import TableError, decode
from pytest_gaia.files.toml import key_lines, nearest_line, parse, read_text

FOLDER = "expectations"
"""below each folder of suites"""

DRAFT = ".draft.toml"
"""End of the name of a rule that nobody owns yet; such files are never read."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the files of a project hold."""

    expectations: tuple[Expectation, ...]
    usage_errors: tuple[str, ...]
    """each starts with file, line and key"""


def folders_of(roots: Iterable[Path]) -> tuple[Path, ...]:
    """Return the folders of rules that there are below the folders of suites."""
    return tuple(folder for root in roots if (folder := root / FOLDER).is_dir())


def load(folders: Iterable[Path], environments: Mapping[str, Tolerance], *, rootdir: Path) -> ExpectationSet:
    """Return the rules of ``folders``; messages and rules name files relative to ``rootdir``.

    ``environments`` are all that the project knows. Raises ``ConfigError`` for the first mistake, and says how many
    more there are.
    """
    reading = read(folders, environments, rootdir=rootdir)
    if reading.usage_errors:
        first, *more = reading.usage_errors
        rest = f"\n{len(more)} more: `gaia policy lint` shows them." if more else ""
        raise ConfigError(f"{first}{rest}")
    return ExpectationSet(reading.expectations)


def read(folders: Iterable[Path], environments: Mapping[str, Tolerance], *, rootdir: Path) -> Reading:
    """Return the rules and all mistakes of ``folders``."""
    expectations: dict[str, Expectation] = {}
    found: list[str] = []
    for path, place in _placed(folders, rootdir):
        try:
            expectation = read_expectation(path, place, environments)
        except ConfigError as error:
            found.append(str(error))
            continue
        if expectation.id in expectations:
            found.append(
                f"{place}:1: the rule {expectation.id} is in {expectations[expectation.id].place} too; an id is used once."
            )
        expectations[expectation.id] = expectation
    return Reading(tuple(expectations.values()), tuple(found))


def expectation_files(folders: Iterable[Path]) -> Iterator[Path]:
    """Yield the files of rules, without drafts."""
    for folder in folders:
        names = (path.name for path in folder.glob("*.toml"))
        yield from (folder / name for name in sorted(names) if not name.endswith(DRAFT))


def _placed(folders: Iterable[Path], rootdir: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files of rules, each with its place as messages show it."""
    for folder in folders:
        place = os.path.relpath(folder, rootdir).replace(os.sep, "/")
        yield from ((path, f"{place}/{path.name}") for path in expectation_files([folder]))


def read_expectation(path: Path, place: str, environments: Mapping[str, Tolerance]) -> Expectation:
    """Return the rule in the file at ``path``; raises ``ConfigError`` that starts with ``place``, line and key."""
    return expectation_from(read_text(path, place), place, environments)


def expectation_id(place: str) -> str:
    """Return the id of the rule in the file at ``place``."""
    return place.rpartition("/")[2].removesuffix(".toml")


def expectation_from(text: str, place: str, environments: Mapping[str, Tolerance]) -> Expectation:
    """Return the rule that ``text`` is; the name of the file, the end of ``place``, is its id."""
    name = expectation_id(place)
    if not _ID.fullmatch(name):
        raise ConfigError(f"{place}:1: a rule is named in lower-case letters, digits and single '-', not {name!r}.")
    document = parse(text, place)
    try:
        table = decode(document, ExpectationTable)
    except TableError as error:
        raise _error(text, place, error.key, str(error)) from None
    for key, problem in usage_errors(table, environments):
        raise _error(text, place, key, problem)
    return _expectation(name, place, table, _line_of_cap(text, place) if table.max_tests is not None else 0)


def _line_of_cap(text: str, place: str) -> int:
    found = [number for number, line in enumerate(text.splitlines(), 1) if _CAP.match(line)]
    # Another line may look like it within a text of several lines; to parse every line of a thousand files takes long.
    return found[0] if len(found) == 1 else nearest_line(key_lines(text, place), ("max_tests",))


_CAP = re.compile(r"\s*max_tests\s*=")
_ID = re.compile("[a-z0-9]+(-[a-z0-9]+)*")


def _expectation(name: str, place: str, table: ExpectationTable, max_tests_line: int) -> Expectation:
    capabilities = [str(each) for each in as_list(table.when.capability)]
    return Expectation(
        id=name,
        reason=table.reason.strip(),
        issue=table.issue.strip(),
        owner=table.owner.strip(),
        added=table.added,
        expires=table.expires,
        environments=tuple(table.environments),
        selectors=tuple(dict.fromkeys(map(selectors.parse, table.tests))),
        expect=table.expect,
        phases=_phases(tuple(map(str, as_list(table.phase or "call")))),
        when=tuple((each.removeprefix("!"), not each.startswith("!")) for each in capabilities),
        match=Match(**{key: tuple(as_list(asked)) for key in KEYS if (asked := getattr(table.match, key)) != []}),
        max_tests=table.max_tests,
        justification=table.justification,
        place=place,
        max_tests_line=max_tests_line,
    )


# A thousand rules are about the same few combinations.
_phases = lru_cache(maxsize=64)(frozenset[str])


def _error(text: str, place: str, key: tuple[str, ...], problem: str) -> ConfigError:
    line = nearest_line(key_lines(text, place), key)
    name = f"{'.'.join(key)}: " if key else ""
    return ConfigError(f"{place}:{line}: {name}{problem}")
