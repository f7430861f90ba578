"""The OpenAPI documents of an environment's services: fetched, kept, and read back."""

import json
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

from pytest_gaia.config.addresses import host_of
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import HTTP_SERVICES
from pytest_gaia.errors import ConfigError
from pytest_gaia.files.writing import make_folder, write_file
from pytest_gaia.observation.probes import classified, opener

FOLDER = ".gaia/api"
"""where the last documents of each environment are kept, below the folder of gaia.toml"""
PATH = "/openapi.json"
_LARGEST = 32 * 1024 * 1024
"""bytes of a document; more is no description of an API"""
_NONE_THERE = (404, 405, 410)
"""answers of a service that publishes no document"""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The document of one service, or why there is none."""

    service: str
    document: dict[str, Any] | None = None
    problem: str = ""
    published: bool = True
    """False: the service has answered that it publishes none"""
    kept: str = ""
    """where it was read from, if it was not fetched just now"""


Snapshot = dict[str, Fetched]
"""service → document"""


def fetch(environment: Environment) -> Snapshot:
    """Ask every service of ``environment`` that has a URL for its document. One that has none says so.

    Raises ``ConfigError`` where no service has a URL.
    """
    asked = {name: environment.urls[name] for name in HTTP_SERVICES if name in environment.urls}
    if not asked:
        raise ConfigError(
            f"{environment.name}: no service has an address to ask for {PATH}; say one in gaia.toml "
            f"([env.{environment.name}] url), or GAIA_GATEWAY_URL."
        )
    return {name: _fetched(name, url, environment.timeouts.response) for name, url in asked.items()}


def documents(snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    """Return service → document of those that have one."""
    return {name: each.document for name, each in snapshot.items() if each.document is not None}


def keep(snapshot: Snapshot, folder: Path) -> tuple[Path, ...]:
    """Write each document to ``folder/<service>.json``; what was kept of others stays. Raises ``ConfigError``."""
    written = []
    try:
        make_folder(folder)
        for name, document in documents(snapshot).items():
            write_file(folder / f"{name}.json", json.dumps(document, indent=1, sort_keys=True) + "\n")
            written.append(folder / f"{name}.json")
    except OSError as error:
        raise ConfigError(f"{folder}: the documents cannot be written there: {error.strerror}.") from None
    return tuple(written)


def load(path: Path) -> Snapshot:
    """Read what :func:`keep` has written: a folder, or the file of one service.

    Raises ``ConfigError`` where there is none, and for a file that holds no JSON object.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise ConfigError(
            f"{path}: no document is in this folder; `gaia api snapshot ENV --output {path}` writes them."
        )
    return {file.stem: Fetched(file.stem, _read(file), kept=str(file)) for file in files}


def kept_folder(rootdir: Path, environment: str) -> Path:
    """Return the folder of the last documents of ``environment`` that were kept; it need not be there."""
    return rootdir / FOLDER / environment


def with_kept(snapshot: Snapshot, folder: Path) -> Snapshot:
    """Return ``snapshot`` with the documents in ``folder`` for those services that gave none, though they may have one."""
    kept = load(folder) if folder.is_dir() and any(folder.glob("*.json")) else {}
    lacking = {name for name, each in snapshot.items() if each.document is None and each.published}
    return {**snapshot, **{name: each for name, each in kept.items() if name in lacking or name not in snapshot}}


def _fetched(service: str, url: str, timeout: float) -> Fetched:
    try:
        with opener(url).open(url + PATH, timeout=timeout) as response:
            content = response.read(_LARGEST + 1)
    except HTTPError as error:
        error.close()
        published = error.code not in _NONE_THERE
        return Fetched(service, problem=f"GET {PATH} returned {error.code}", published=published)
    except URLError as error:
        return Fetched(service, problem=str(classified(error.reason, host_of(url))))
    except (OSError, ValueError, HTTPException) as error:
        return Fetched(service, problem=str(classified(error, host_of(url))))
    if len(content) > _LARGEST:
        return Fetched(service, problem=f"GET {PATH} returned more than {_LARGEST // 1024 // 1024} MiB")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return Fetched(service, problem=f"GET {PATH} returned something else than JSON")
    if not isinstance(document, dict):
        return Fetched(service, problem=f"GET {PATH} returned no JSON object")
    return Fetched(service, document)


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: no JSON: {error}.") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: holds no JSON object, and so no OpenAPI document.")
    return document
