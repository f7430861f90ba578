"""Folders of Allure results, as far as a report has to know them before Allure reads them, and what earlier runs came to."""

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

LABEL = "env"
"""the label that says in which environment a test ran"""


_Test = tuple[object, ...]
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+|^\.+")
_LONGEST = 80
_BRANCHES = ("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME", "CHANGE_BRANCH", "BRANCH_NAME")
"""the variables in which GitHub, GitLab and Jenkins say which branch this is, the first one first"""


class _Label(msgspec.Struct):
    name: str | None = None
    value: Any = None


class _Parameter(msgspec.Struct):
    name: str | None = None
    value: Any = None
    excluded: bool | None = None


class _Result(msgspec.Struct, rename="camel"):
    uuid: str = ""
    name: str | None = None
    labels: list[_Label | None] | None = None
    history_id: str | None = None
    test_case_id: str | None = None
    full_name: str | None = None
    parameters: list[_Parameter | None] | None = None


@dataclass(frozen=True, slots=True)
class Results:
    """What the folders hold."""

    folders: tuple[Path, ...]
    uuids: frozenset[str]
    """of all results"""
    environments: tuple[str, ...]
    """all that results name, sorted"""
    unnamed: int
    """results that name none"""
    categories: tuple[dict[str, Any], ...]
    """of the folders, each name once; those of this package where no folder has any"""


def read_results(folders: Sequence[Path], given: str | None = None) -> Results:
    """Read what is in ``folders``; ``given`` is the environment of results that name none.

    Raises ``ConfigError`` for one that is not there, is no folder or cannot be read, for folders without any result,
    for a result that is none, and for folders that would hide one another's failures.
    """
    files = [file for folder in folders for file in _files(folder)]
    if not files:
        named = " and ".join(map(str, folders))
        raise ConfigError(
            f"{named}: no results of a test in there (*-result.json), so there is nothing to report; no evidence is "
            f"not good evidence. Write some: pytest --alluredir={folders[0]}"
        )
    decode = msgspec.json.Decoder(_Result).decode
    uuids: set[str] = set()
    environments: Counter[str] = Counter()
    apart = _Apart(given or "")
    for file in files:
        result = _decoded(file, decode)
        uuids.add(result.uuid or file.name)
        environment = _environment(result)
        environments[environment] += 1
        apart.add(file.parent, result, environment)
    unnamed = environments.pop("", 0)
    return Results(tuple(folders), frozenset(uuids), tuple(sorted(environments)), unnamed, _categories(folders))


class _Apart:
    """Keeps watch that no folder's result becomes a retry of another's, unless both name the same environment.

    Allure shows the newest result of a test in an environment, and all others as its retries.
    """

    def __init__(self, given: str) -> None:
        self._given = given
        self._seen: dict[tuple[str, _Test], tuple[Path, bool]] = {}

    def add(self, folder: Path, result: _Result, environment: str) -> None:
        """Take one result. Raises ``ConfigError`` where it and one of another folder would be taken for one test."""
        for test in _tests(result):
            other, named = self._seen.setdefault((environment or self._given, test), (folder, bool(environment)))
            if not (named and environment) and other != folder and other.resolve() != folder.resolve():
                name = result.full_name or result.name or result.uuid
                raise ConfigError(
                    f"{other} and {folder} both hold results of {name}, and do not both name an environment: a failure "
                    "in one would be hidden as a retry of the other. Make one report of each (gaia report "
                    f"{folder} --environment ENV), or let the runs name their environment: pytest --gaia-env=ENV "
                    f"--alluredir={folder}"
                )


def _tests(result: _Result) -> Iterator[_Test]:
    """Yield by what Allure knows a test again: Allure 2 by its history, Allure 3 by its id or name and its parameters."""
    if result.history_id:
        yield ("history", result.history_id)
    if case := result.test_case_id or result.full_name:
        given = [each for each in result.parameters or () if each is not None and not each.excluded]
        yield ("case", case, *sorted((str(each.name), str(each.value)) for each in given))


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(file for file in folder.iterdir() if file.name.endswith("-result.json"))
    except FileNotFoundError:
        raise ConfigError(f"{folder}: there is no such folder. Make it by a run: pytest --alluredir={folder}") from None
    except NotADirectoryError:
        raise ConfigError(f"{folder}: is a file; give the folder that pytest --alluredir=FOLDER has written.") from None
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be read: {error.strerror}.") from None


def _decoded(file: Path, decode: Any) -> _Result:
    try:
        result: _Result = decode(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}.") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigError(
            f"{file}: is no result of a test: {error}. Perhaps the run was killed while it wrote; a report without "
            "this test would claim too much, so none was made. Run again, or delete the file."
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
            raise ConfigError(f"{path}: is no list of categories: {error}. Correct it, or delete it.") from None
        for category in listed:
            found.setdefault(str(category.get("name")), category)
    return tuple(found.values()) or tuple(own_categories())


def branch_of(environ: Mapping[str, str]) -> str | None:
    """Return the branch as CI tells it, or None outside of CI."""
    return next(filter(None, map(environ.get, _BRANCHES)), None)


def history_file(folder: Path, branch: str, environments: Sequence[str]) -> Path:
    """Return the file for runs of ``environments`` on ``branch``. Different names never share one."""
    return folder / safe_name(branch) / f"{safe_name('+'.join(environments) or 'no environment')}.jsonl"


def safe_name(name: str) -> str:
    """Return ``name`` as the name of a file: what is no letter, digit, ``.``, ``_`` or ``-`` is replaced.

    A digest keeps apart what that makes equal, and what differs in case alone.

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
    """Return the newest ``keep`` lines of the history at ``path`` that are not about the results ``uuids`` themselves.

    So a report that is made again does not count its run twice. Raises ``ConfigError`` for a history that cannot be
    read, or is none.
    """
    # Allure knows a result by this digest.
    ours = {hashlib.md5(uuid.encode(), usedforsecurity=False).hexdigest() for uuid in uuids}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the history cannot be read: {error}. Move it away, and a new one begins.") from None
    runs = [(line, _ids(path, number, line)) for number, line in enumerate(lines, 1) if line.strip()]
    others = [line for line, ids in runs if not ids or not ids <= ours]
    return "".join(f"{line}\n" for line in others[max(len(others) - keep, 0) :])


def _ids(path: Path, number: int, line: str) -> set[str]:
    try:
        return {str(result["id"]) for result in json.loads(line)["testResults"].values()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ConfigError(
            f"{path}:{number}: this line is no run of a history. Delete the line, or move the file away, and a new "
            "history begins."
        ) from None
