"""The OpenAPI documents of the services of an environment: fetch, save and load them, and the baseline of a run."""

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import msgspec

from pytest_gaia.config.addresses import host_of
from pytest_gaia.config.environment import Environment
from pytest_gaia.errors import ConfigError
from pytest_gaia.expectations.apis import Api, Baseline, api_of
from pytest_gaia.files.writing import make_folder, write_file
from pytest_gaia.observation.http_probe import opener
from pytest_gaia.observation.probes import classified
from pytest_gaia.observation.targets import run_all
from pytest_gaia.verdict.results_log import read_start

FOLDER = ".gaia/api"
"""folder for the last documents of each environment, below the folder of gaia.toml"""
OBJECTS = "objects"
"""folder in it for the documents of all runs, by digest"""
_LARGEST = 32 * 1024 * 1024
"""maximum bytes of a document"""
_NONE_THERE = (404, 405, 410)
"""status codes of a service that publishes no document"""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The document of one service, or the reason why there is none."""

    service: str
    document: dict[str, Any] | None = None
    problem: str = ""
    published: bool = True
    """False: the service responded that it publishes none"""
    kept: str = ""
    """file that it was loaded from; empty if it was fetched"""


Snapshot = dict[str, Fetched]
"""service → document"""


def fetch(environment: Environment) -> Snapshot:
    """Fetch the document of every service of ``environment`` that has a URL and is not external, in parallel.

    Raises ``ConfigError`` if no service has a URL.
    """
    names, platform = published(environment), environment.platform
    if not names:
        entry = platform[platform.entry].variable if platform.entry else "NAME"
        raise ConfigError(
            f"{environment.name}: no service has a URL to fetch an OpenAPI document from. Set `url` in "
            f"[env.{environment.name}] of gaia.toml, or GAIA_{entry}_URL."
        )
    asks = {name: partial(document_of, environment, name) for name in names}
    found = run_all(asks, deadline=environment.timeouts.ready)
    return {name: found.get(name) or late(name) for name in asks}


def late(service: str) -> Fetched:
    """Return the result for a document that was not there in time."""
    return Fetched(service, problem="no response in time")


def published(environment: Environment) -> list[str]:
    """Return the HTTP services of ``environment`` that have a URL and are not external."""
    platform = environment.platform
    return [name for name in platform.http if name in environment.urls and not platform[name].external]


def apis_of(snapshot: Snapshot) -> dict[str, Api]:
    """Return service → its operations, without services whose document is missing or not OpenAPI 3.0 or 3.1."""
    apis: dict[str, Api] = {}
    for name, document in documents(snapshot).items():
        try:
            apis[name] = api_of(document, digest_of(document))
        except ValueError:
            continue
    return apis


def offered(snapshot: Snapshot, baseline: Baseline | None) -> dict[str, Api]:
    """Return service → its operations, as :func:`apis_of` does.

    For a service that publishes no document, those that the baseline has of the same release count. They do not replace a
    document that could not be fetched.
    """
    recorded = baseline.recorded if baseline else {}
    silent = {name for name, each in snapshot.items() if not each.published}
    return apis_of(snapshot) | {name: api for name, api in recorded.items() if name in silent}


def digest_of(document: dict[str, Any]) -> str:
    """Return the SHA-256 of a document in hex, independent of its format."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def store(snapshot: Snapshot, rootdir: Path) -> None:
    """Write each document to a file with its digest as its name, which the evidence of a run refers to."""
    folder = rootdir / FOLDER / OBJECTS
    make_folder(folder)
    for document in documents(snapshot).values():
        path = folder / f"{digest_of(document)}.json"
        if not path.is_file():
            write_file(path, json.dumps(document, sort_keys=True, separators=(",", ":")) + "\n")


def baseline_at(path: Path) -> Baseline:
    """Return the baseline at ``path``: a folder of documents, a results log, or a file that a promotion wrote.

    Only the file of a promotion may be without operations: then no earlier release is known. Raises ``ConfigError``.
    """
    if path.is_dir():
        shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        return Baseline(f"the documents in {shown}", _known(apis_of(load(path)), path))
    if path.suffix == ".jsonl":
        start = read_start(path)
        name = f"the run in {start.environment} of {start.started[:10]}"
        return Baseline(name, _known(start.apis, path))
    try:
        return msgspec.json.decode(path.read_bytes(), type=Baseline)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ConfigError(
            f"{path}: not a baseline. It is a folder of `gaia api snapshot`, or a results log (*.jsonl) of a run."
        ) from None


def last_baseline(rootdir: Path, environment: str) -> Baseline | None:
    """Return the last saved documents of ``environment`` as a baseline; None if there are none."""
    folder = kept_folder(rootdir, environment)
    apis = apis_of(load(folder)) if folder.is_dir() and any(folder.glob("*.json")) else {}
    return Baseline(f"the last documents of {environment}", apis) if apis else None


def _known(apis: dict[str, Api], path: Path) -> dict[str, Api]:
    if not apis:
        raise ConfigError(
            f"{path}: contains no operations of a service. To save the documents of an environment, run "
            "`gaia api snapshot ENV`."
        )
    return apis


def documents(snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    """Return service → document for all services that have one."""
    return {name: each.document for name, each in snapshot.items() if each.document is not None}


def keep(snapshot: Snapshot, folder: Path) -> tuple[Path, ...]:
    """Write each document to ``folder/<service>.json``; other files stay. Raises ``ConfigError``."""
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
    """Load a folder of :func:`keep`, or the file of one service.

    Raises ``ConfigError`` if there is no file, and for a file that is not a JSON object.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise ConfigError(
            f"{path}: this folder has no documents. To create them, run `gaia api snapshot ENV --output {path}`."
        )
    return {file.stem: Fetched(file.stem, _read(file), kept=str(file)) for file in files}


def kept_folder(rootdir: Path, environment: str) -> Path:
    """Return the folder of the last saved documents of ``environment``; it may not exist."""
    return rootdir / FOLDER / environment


def with_kept(snapshot: Snapshot, folder: Path) -> Snapshot:
    """Return ``snapshot``, completed with the documents in ``folder`` for services that did not respond."""
    kept = load(folder) if folder.is_dir() and any(folder.glob("*.json")) else {}
    lacking = {name for name, each in snapshot.items() if each.document is None and each.published}
    return {**snapshot, **{name: each for name, each in kept.items() if name in lacking or name not in snapshot}}


def document_of(environment: Environment, service: str) -> Fetched:
    """Fetch the document of one service, if it publishes one."""
    where = environment.platform[service].openapi
    if where is None:
        return Fetched(service, problem="openapi = false", published=False)
    if not where.startswith("/"):
        # A file of the project is the same for all environments, so a comparison would prove nothing.
        return Fetched(service, problem=f"{where} is a file of the project, and does not show what runs there")
    return _fetched(service, environment.urls[service], where, environment.timeouts_of(service).response)


def _fetched(service: str, url: str, path: str, timeout: float) -> Fetched:
    try:
        with opener(url).open(url + path, timeout=timeout) as response:
            content = response.read(_LARGEST + 1)
    except HTTPError as error:
        error.close()
        published = error.code not in _NONE_THERE
        return Fetched(service, problem=f"GET {path} returned {error.code}", published=published)
    except URLError as error:
        return Fetched(service, problem=str(classified(error.reason, host_of(url))))
    except (OSError, ValueError, HTTPException) as error:
        return Fetched(service, problem=str(classified(error, host_of(url))))
    if len(content) > _LARGEST:
        return Fetched(service, problem=f"GET {path} returned more than {_LARGEST // 1024 // 1024} MiB")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return Fetched(service, problem=f"GET {path} did not return JSON")
    if not isinstance(document, dict):
        return Fetched(service, problem=f"GET {path} did not return a JSON object")
    return Fetched(service, document)


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: invalid JSON: {error}.") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: not an OpenAPI document, because it is not a JSON object.")
    return document
