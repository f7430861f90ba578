"""Folders of Allure results, as far as a report has to know them before Allure reads them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_gaia.errors import ConfigError
from pytest_gaia.report.allure.categories import categories as own_categories

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

LABEL = "env"
"""the label that says in which environment a test ran"""


class _Label(msgspec.Struct):
    name: str | None = None
    value: Any = None


class _Result(msgspec.Struct):
    uuid: str = ""
    labels: list[_Label | None] | None = None


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


def read_results(folders: Sequence[Path]) -> Results:
    """Read what is in ``folders``.

    Raises ``ConfigError`` for one that is not there, is no folder or cannot be read, for folders without any result,
    and for a result that is none.
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
    for file in files:
        result = _decoded(file, decode)
        uuids.add(result.uuid or file.name)
        environments[_environment(result)] += 1
    unnamed = environments.pop("", 0)
    return Results(tuple(folders), frozenset(uuids), tuple(sorted(environments)), unnamed, _categories(folders))


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
    except msgspec.DecodeError as error:
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
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigError(f"{path}: is no list of categories: {error}. Correct it, or delete it.") from None
        for category in listed:
            found.setdefault(str(category.get("name")), category)
    return tuple(found.values()) or tuple(own_categories())
