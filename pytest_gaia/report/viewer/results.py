"""Folders of Allure results: their environments, verdicts and categories, and the history of earlier runs."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pytest_gaia.errors import ConfigError
from pytest_gaia.report.allure.around import categories as own_categories
from pytest_gaia.report.allure.around import read_properties
from pytest_gaia.report.viewer.page import RunSummary

LABEL = "env"
"""the label with the environment of a test"""


_Test = tuple[object, ...]
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+|^\.+")
_LONGEST = 80
_BRANCHES = ("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME", "CHANGE_BRANCH", "BRANCH_NAME")
"""variables of GitHub, GitLab and Jenkins with the branch, in order of precedence"""


class _Label(msgspec.Struct):
    name: str | None = None
    value: Any = None


class _Parameter(msgspec.Struct):
    name: str | None = None
    value: Any = None
    excluded: bool | None = None


class _Details(msgspec.Struct):
    known: bool | None = None


class _Result(msgspec.Struct, rename="camel"):
    uuid: str = ""
    name: str | None = None
    labels: list[_Label | None] | None = None
    history_id: str | None = None
    test_case_id: str | None = None
    full_name: str | None = None
    parameters: list[_Parameter | None] | None = None
    status: str | None = None
    status_details: _Details | None = None
    start: int | None = None


@dataclass(frozen=True, slots=True)
class Results:
    """The content of the folders."""

    folders: tuple[Path, ...]
    uuids: frozenset[str]
    """ids of all results"""
    environments: tuple[str, ...]
    """environments named in the results, sorted"""
    unnamed: int
    """number of results without an environment"""
    categories: tuple[dict[str, Any], ...]
    """categories of the folders, each name once; the defaults of this package if no folder has any"""
    runs: tuple[RunSummary, ...] = ()
    """verdict of each folder that has one"""
    known: int = 0
    """tests whose newest result is a known failure"""


def read_results(folders: Sequence[Path], given: str | None = None) -> Results:
    """Read the results in ``folders``; ``given`` is the environment of results that name none.

    Raises ``ConfigError`` for a missing or unreadable folder, for folders without results, for an invalid result, and
    for folders that would hide each other's failures.
    """
    files = [file for folder in folders for file in _files(folder)]
    if not files:
        named = " and ".join(map(str, folders))
        raise ConfigError(
            f"{named}: no test results (*-result.json) found. Run the tests first: pytest --alluredir={folders[0]}"
        )
    decode = msgspec.json.Decoder(_Result).decode
    uuids: set[str] = set()
    environments: Counter[str] = Counter()
    apart = _Apart(given or "")
    newest: dict[tuple[str, str], tuple[int, bool]] = {}
    for file in files:
        result = _decoded(file, decode)
        uuids.add(result.uuid or file.name)
        environment = _environment(result)
        environments[environment] += 1
        test = (environment, result.history_id or result.uuid or file.name)
        newest[test] = max(newest.get(test, (0, False)), (result.start or 0, _is_known(result)))
        apart.add(file.parent, result, environment)
    unnamed = environments.pop("", 0)
    known = sum(is_known for _, is_known in newest.values())
    names = tuple(sorted(environments))
    return Results(tuple(folders), frozenset(uuids), names, unnamed, _categories(folders), _verdicts(folders), known)


def _is_known(result: _Result) -> bool:
    failed = result.status in ("failed", "broken")
    return failed and result.status_details is not None and bool(result.status_details.known)


class _Apart:
    """Detects results of one folder that would become retries of another folder's results.

    Allure shows the newest result of a test in an environment, and all others as its retries.
    """

    def __init__(self, given: str) -> None:
        self._given = given
        self._seen: dict[tuple[str, _Test], tuple[Path, bool]] = {}

    def add(self, folder: Path, result: _Result, environment: str) -> None:
        """Add one result. Raises ``ConfigError`` if Allure would treat it and one of another folder as one test."""
        for test in _tests(result):
            other, named = self._seen.setdefault((environment or self._given, test), (folder, bool(environment)))
            if not (named and environment) and other != folder and other.resolve() != folder.resolve():
                name = result.full_name or result.name or result.uuid
                raise ConfigError(
                    f"{other} and {folder} both have results of {name}, and not both name an environment: a failure in one "
                    "would be hidden as a retry of the other. Build one report of each (gaia report "
                    f"{folder} -e ENV), or run the tests with pytest --gaia-env=ENV --alluredir={folder}"
                )


def _tests(result: _Result) -> Iterator[_Test]:
    """Yield the identity of a test: Allure 2 uses its history id, Allure 3 its id or name with its parameters."""
    if result.history_id:
        yield ("history", result.history_id)
    if case := result.test_case_id or result.full_name:
        given = [each for each in result.parameters or () if each is not None and not each.excluded]
        yield ("case", case, *sorted((str(each.name), str(each.value)) for each in given))


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(file for file in folder.iterdir() if file.name.endswith("-result.json"))
    except FileNotFoundError:
        raise ConfigError(f"{folder}: folder not found. Run the tests first: pytest --alluredir={folder}") from None
    except NotADirectoryError:
        raise ConfigError(f"{folder}: is a file. Give the folder that pytest --alluredir=FOLDER wrote.") from None
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be read: {error.strerror}.") from None


def _decoded(file: Path, decode: Any) -> _Result:
    try:
        result: _Result = decode(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}.") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigError(
            f"{file}: not a valid test result: {error}. The run may have been killed while writing it. Run the tests again, "
            "or delete the file."
        ) from None
    return result


def _environment(result: _Result) -> str:
    named = (label.value for label in result.labels or () if label is not None and label.name == LABEL)
    return str(next(named, "") or "")


def _categories(folders: Iterable[Path]) -> tuple[dict[str, Any], ...]:
    found: dict[str, dict[str, Any]] = {}
    for folder in folders:
        path = folder / "categories.json"
        if not path.exists():
            continue
        try:
            listed = msgspec.json.decode(path.read_bytes(), type=list[dict[str, Any]])
        except (OSError, msgspec.DecodeError, RecursionError) as error:
            raise ConfigError(f"{path}: not a valid list of categories: {error}. Fix or delete it.") from None
        for category in listed:
            found.setdefault(str(category.get("name")), category)
    return tuple(found.values()) or tuple(own_categories())


def _verdicts(folders: Iterable[Path]) -> tuple[RunSummary, ...]:
    """Return the verdict of each folder; a folder of another tool has none."""
    found = []
    for folder in folders:
        try:
            values = read_properties((folder / "environment.properties").read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            continue
        if "verdict" in values:
            known = (values.get(each, "") for each in ("environment", "verdict", "reasons", "gone", "baseline"))
            found.append(RunSummary(*known))
    return tuple(found)


def branch_of(environ: Mapping[str, str]) -> str | None:
    """Return the branch named by CI, or None outside of CI."""
    return next(filter(None, map(environ.get, _BRANCHES)), None)


def history_file(folder: Path, branch: str, environments: Sequence[str]) -> Path:
    """Return the history file for ``environments`` on ``branch``. Different names never share a file."""
    return folder / safe_name(branch) / f"{safe_name('+'.join(environments) or 'no environment')}.jsonl"


def safe_name(name: str) -> str:
    """Return ``name`` as a file name: only letters, digits, ``.``, ``_`` and ``-`` are kept.

    A digest distinguishes names that become equal, or differ only in case.

    >>> safe_name("main")
    'main'
    >>> safe_name("feature/x") == safe_name("feature-x")
    False
    """
    safe = _UNSAFE.sub("-", name)[:_LONGEST]
    if name and safe == name == name.lower():
        return name
    return f"{safe}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def earlier_runs(path: Path, uuids: Iterable[str], *, keep: int) -> str:
    """Return the newest ``keep`` lines of the history at ``path``, without those of the results ``uuids``.

    A report that is built again does not count its run twice. Raises ``ConfigError`` for an invalid or unreadable
    history.
    """
    # Allure identifies a result by this digest.
    ours = {hashlib.md5(uuid.encode(), usedforsecurity=False).hexdigest() for uuid in uuids}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: cannot read the history: {error}. Move the file away to start a new history."
        ) from None
    runs = [(line, _ids(path, number, line)) for number, line in enumerate(lines, 1) if line.strip()]
    others = [line for line, ids in runs if not ids or not ids <= ours]
    return "".join(f"{line}\n" for line in others[max(len(others) - keep, 0) :])


def _ids(path: Path, number: int, line: str) -> set[str]:
    try:
        return {str(result["id"]) for result in json.loads(line)["testResults"].values()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ConfigError(
            f"{path}:{number}: not a valid run. Delete the line, or move the file away to start a new history."
        ) from None
