"""Read ``expectations/*.toml``: one file per expectation, with file and line of every problem."""

import os.path
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pytest_gaia.config.platform import Platform
from pytest_gaia.config.tolerance import Tolerance
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.expectations.apis import NamedOperation
from pytest_gaia.expectations.expectation import Expectation, ExpectationSet
from pytest_gaia.expectations.schema import OLD_NAMES, ExpectationTable, Problem, as_list, missing_keys, problems
from pytest_gaia.expectations.subjects import KEYS, Match, parse_selector
from pytest_gaia.files.decoding import TableError, decode, keys_of, with_new_names
from pytest_gaia.files.toml import key_lines, nearest_line, parse, read_text

FOLDER = "expectations"
"""name of the folder, below each suite folder"""

DRAFT = ".draft.toml"
"""end of the file names of drafts, which are never read"""

KEY_NAMES = keys_of(ExpectationTable)


MOST_PROBLEMS = 20
"""problems that one error message lists"""


@dataclass(frozen=True, slots=True)
class Reading:
    """Contents of the expectation files of a project."""

    expectations: tuple[Expectation, ...]
    problems: tuple[str, ...]
    """each starts with file, line and key"""


def folders_of(roots: Iterable[Path]) -> tuple[Path, ...]:
    """Return the existing expectation folders of the suite folders ``roots``."""
    return tuple(folder for root in roots if (folder := root / FOLDER).is_dir())


def load(
    folders: Iterable[Path], environments: Mapping[str, Tolerance], platform: Platform, *, rootdir: Path
) -> ExpectationSet:
    """Return the expectations in ``folders``. File names are relative to ``rootdir``.

    ``environments`` and ``platform`` are those of the project. Raises ``ConfigError`` that lists the problems of all files.
    """
    reading = read(folders, environments, platform, rootdir=rootdir)
    if reading.problems:
        shown = list(reading.problems[:MOST_PROBLEMS])
        if more := len(reading.problems) - len(shown):
            shown.append(f"{more} more: run `gaia expectations check`.")
        raise ConfigError("\n".join(shown))
    return ExpectationSet(reading.expectations)


def read(
    folders: Iterable[Path], environments: Mapping[str, Tolerance], platform: Platform, *, rootdir: Path
) -> Reading:
    """Return the expectations in ``folders``, and all problems of their files."""
    expectations: dict[str, Expectation] = {}
    found: list[str] = []
    for path, place in _placed(folders, rootdir):
        try:
            text = read_text(path, place)
            expectation = expectation_from(text, place, environments, platform)
        except ConfigError as error:
            found += str(error).split("\n")
            continue
        if expectation.id in expectations:
            other = expectations[expectation.id].place
            found.append(f"{place}:1: the expectation {expectation.id} is also defined in {other}; rename one file.")
        expectations[expectation.id] = expectation
    return Reading(tuple(expectations.values()), tuple(found))


def expectation_files(folders: Iterable[Path]) -> Iterator[Path]:
    """Yield the expectation files, without drafts."""
    for folder in folders:
        names = (path.name for path in folder.glob("*.toml"))
        yield from (folder / name for name in sorted(names) if not name.endswith(DRAFT))


def _placed(folders: Iterable[Path], rootdir: Path) -> Iterator[tuple[Path, str]]:
    """Yield the expectation files, each with its path as messages show it."""
    for folder in folders:
        place = os.path.relpath(folder, rootdir).replace(os.sep, "/")
        yield from ((path, f"{place}/{path.name}") for path in expectation_files([folder]))


def expectation_id(place: str) -> str:
    """Return the ID of the expectation in the file at ``place``: the file name without ``.toml``."""
    return place.rpartition("/")[2].removesuffix(".toml")


def expectation_from(text: str, place: str, environments: Mapping[str, Tolerance], platform: Platform) -> Expectation:
    """Return the expectation that the file ``text`` defines; ``place`` is the path of the file.

    Raises ``ConfigError`` with one line per problem. Each line starts with file, line and key.
    """
    name = expectation_id(place)
    if not _ID.fullmatch(name):
        raise ConfigError(f"{place}:1: name the file with lower-case letters, digits and single '-', not {name!r}.")
    document = parse(text, place)
    if _has_old_names(document):
        document, _ = with_new_names(document, key_lines(text, place), OLD_NAMES, place)
    if found := list(_wrong_keys(document)):
        raise _error(text, place, found)
    try:
        table = decode(document, ExpectationTable)
    except TableError as error:
        raise _error(text, place, [(error.key, str(error))]) from None
    if found := list(problems(table, environments, platform)):
        raise _error(text, place, found)
    return _expectation(name, place, table, platform, _limit_line(text, place) if table.max_failures is not None else 0)


def _has_old_names(document: Mapping[str, object]) -> bool:
    # To find the lines of all keys in a thousand files takes long.
    match = document.get("match")
    return (
        not OLD_NAMES.keys.keys().isdisjoint(document)
        or document.get("expect") in OLD_NAMES.values["expect"]
        or (isinstance(match, dict) and not OLD_NAMES.keys.keys().isdisjoint(f"match.{key}" for key in match))
    )


def _wrong_keys(document: Mapping[str, object]) -> Iterator[Problem]:
    if missing := missing_keys(document):
        yield (), f"required keys are missing: {', '.join(f'`{key}`' for key in missing)}."
    for key in document:
        if key not in KEY_NAMES:
            yield (key,), f"unknown key; {nearest(key, KEY_NAMES)}"


def _limit_line(text: str, place: str) -> int:
    found = [number for number, line in enumerate(text.splitlines(), 1) if _LIMIT.match(line)]
    # A text of several lines may contain a similar line. Parsing every line of a thousand files takes long.
    return found[0] if len(found) == 1 else nearest_line(key_lines(text, place), ("max_failures",))


_LIMIT = re.compile(r"\s*max_failures\s*=")
_ID = re.compile("[a-z0-9]+(-[a-z0-9]+)*")


def _expectation(
    name: str, place: str, table: ExpectationTable, platform: Platform, max_failures_line: int
) -> Expectation:
    capabilities = [str(each) for each in as_list(table.when.capability)]
    return Expectation(
        id=name,
        reason=table.reason.strip(),
        issue=table.issue.strip(),
        owner=table.owner.strip(),
        created=table.created,
        expires=table.expires,
        environments=tuple(table.environments),
        selectors=tuple(dict.fromkeys(map(parse_selector, table.tests))),
        expect=table.expect,
        phases=_phases(tuple(map(str, as_list(table.phase or "call")))),
        when=tuple((each.removeprefix("!"), not each.startswith("!")) for each in capabilities),
        offers=tuple(
            (NamedOperation.of(each.removeprefix("!"), platform.entry), not each.startswith("!"))
            for each in map(str, as_list(table.when.offers))
        ),
        operations=tuple(
            NamedOperation.of(str(each), platform.entry, pattern=True) for each in as_list(table.operations)
        ),
        match=Match(**{key: tuple(as_list(asked)) for key in KEYS if (asked := getattr(table.match, key)) != []}),
        max_failures=table.max_failures,
        justification=table.justification,
        place=place,
        max_failures_line=max_failures_line,
    )


# A thousand expectations use the same few combinations.
_phases = lru_cache(maxsize=64)(frozenset[str])


def _error(text: str, place: str, found: Iterable[Problem]) -> ConfigError:
    lines = key_lines(text, place)
    old_keys = (tuple(old.split(".")) for old in OLD_NAMES.keys)
    new_to_old = {(*old[:-1], OLD_NAMES.keys[".".join(old)]): old for old in old_keys if old in lines}
    return ConfigError(
        "\n".join(
            _message(place, nearest_line(lines, _written(key, new_to_old)), key, problem) for key, problem in found
        )
    )


def _written(key: tuple[str, ...], new_to_old: Mapping[tuple[str, ...], tuple[str, ...]]) -> tuple[str, ...]:
    """Return ``key`` as the file spells it."""
    return new_to_old.get(key) or (*new_to_old.get(key[:1], key[:1]), *key[1:])


def _message(place: str, line: int, key: tuple[str, ...], problem: str) -> str:
    return f"{place}:{line}: {'.'.join(key)}: {problem}" if key else f"{place}:{line}: {problem}"
