"""What the OpenAPI document of a service shows: its health check, its credential, and an operation for a first test."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pytest_gaia.cli.settings.drafts import Draft
from pytest_gaia.config.addresses import http_url
from pytest_gaia.errors import ConfigError
from pytest_gaia.files.toml import read_text
from pytest_gaia.files.yaml import yaml_texts
from pytest_gaia.observation.http_probe import opener
from pytest_gaia.printable import one_line

DOCUMENTS = tuple(f"{stem}.{suffix}" for stem in ("openapi", "swagger") for suffix in ("json", "yaml", "yml"))
"""names of OpenAPI documents"""
_FOLDERS = ("", "spec", "api", "docs")
_LARGEST = 32 * 1024 * 1024
"""maximum bytes of a document"""
_TIMEOUT = 10.0
"""seconds for a document"""
_HEALTH = (
    "health",
    "healthz",
    "healthcheck",
    "ready",
    "readyz",
    "readiness",
    "livez",
    "live",
    "alive",
    "status",
    "ping",
    "up",
)
"""last parts of the paths of health checks, the best first"""


def find_document(folder: Path) -> Path | None:
    """Return the OpenAPI document in ``folder``, or in one of its usual places."""
    candidates = (folder / below / name for below in _FOLDERS for name in DOCUMENTS)
    return next((each for each in candidates if each.is_file()), None)


def read_document(source: str, place: str) -> dict[str, Any]:
    """Return the OpenAPI document in a file, or at a URL. Raises ``ConfigError`` that begins with ``place``."""
    text = _fetched(source, place) if "://" in source else read_text(Path(source), place)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = yaml_texts(text, place)
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise ConfigError(f"{place}: not an OpenAPI document, because it has no `paths`.")
    return document


def _fetched(url: str, place: str) -> str:
    http_url(url.partition("?")[0], place)
    try:
        with opener(url).open(url, timeout=_TIMEOUT) as response:
            content: bytes = response.read(_LARGEST)
    except (OSError, ValueError, HTTPException) as error:
        raise ConfigError(f"{place}: cannot be fetched: {one_line(str(error))}.") from None
    return content.decode(errors="replace")


def server_url(document: Mapping[str, Any]) -> str:
    """Return the first address of the service in its OpenAPI document, without a path; empty if it has none."""
    servers = (str(_tables(each).get("url", "")) for each in _listed(document.get("servers")))
    found = (re.match(r"https?://[^/\s@{}?#]+(?=/|$)", each) for each in servers)
    return next((match[0] for match in found if match), "")


def describe(draft: Draft, document: Mapping[str, Any]) -> None:
    """Complete ``draft`` with what its OpenAPI document shows: health check, credential, and an operation for a first test."""
    found = sorted(_gets(document), key=_order)
    base = _base(document)
    checks = [each for each in found if not each.secured and _health_rank(each.path) < len(_HEALTH)]
    if checks and not draft.health:
        best = min(checks, key=lambda each: (_health_rank(each.path), len(each.path)))
        draft.health = base + best.path
    if found:
        draft.get, draft.secured = (base + found[0].path, found[0].status), found[0].secured
        if not found[0].secured:
            draft.health = draft.health or base + found[0].path
    draft.auth, draft.described = _credential(document), True


class _Get(NamedTuple):
    """A documented GET without required parameters."""

    path: str
    status: int
    secured: bool
    deprecated: bool
    is_json: bool


def _order(each: _Get) -> tuple[Any, ...]:
    is_check = _health_rank(each.path) < len(_HEALTH)
    return each.secured, each.deprecated, is_check, not each.is_json, len(each.path), each.path


def _health_rank(path: str) -> int:
    last = path.rstrip("/").rpartition("/")[2].lower()
    return _HEALTH.index(last) if last in _HEALTH else len(_HEALTH)


def _gets(document: Mapping[str, Any]) -> Iterator[_Get]:
    for path, item in document["paths"].items():
        operation = item.get("get") if isinstance(item, dict) else None
        if not isinstance(operation, dict) or not re.fullmatch(r"/[\w./~@:+-]*", str(path)):
            continue
        if any(_is_required(document, each) for part in (item, operation) for each in _listed(part.get("parameters"))):
            continue
        responses = {str(key): value for key, value in _tables(operation.get("responses")).items()}
        good = sorted(each for each in responses if re.fullmatch("2[0-9][0-9]", each))
        if good:
            response = _resolved(document, responses[good[0]])
            types = [str(each) for each in (*_tables(response.get("content")), *_listed(operation.get("produces")))]
            if not any("event-stream" in each or "octet-stream" in each for each in types):
                yield _Get(
                    path,
                    int(good[0]),
                    secured=_needs_credential(document, operation),
                    deprecated=_is_true(operation.get("deprecated")),
                    is_json=any("json" in each for each in types),
                )


def _needs_credential(document: Mapping[str, Any], operation: Mapping[str, Any]) -> bool:
    # An empty requirement ({}) means that the credential is optional.
    security = operation.get("security", document.get("security"))
    return bool(security) and all(_listed(security))


def _is_required(document: Mapping[str, Any], parameter: object) -> bool:
    found = _resolved(document, parameter)
    return not found or _is_true(found.get("required"))


def _resolved(document: Mapping[str, Any], value: object) -> Mapping[str, Any]:
    """Return the table that ``value`` is or refers to in the same document; empty for others."""
    for _ in range(10):
        if not isinstance(value, dict) or "$ref" not in value:
            break
        found: Any = document
        for part in str(value["$ref"]).removeprefix("#/").split("/"):
            found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        value = found
    return value if isinstance(value, dict) and "$ref" not in value else {}


def _credential(document: Mapping[str, Any]) -> dict[str, str]:
    """Return ``auth`` for the first security scheme that is sent in a header, those that the whole document uses first."""
    components = _tables(document.get("components"))
    schemes = _tables(components.get("securitySchemes")) or _tables(document.get("securityDefinitions"))
    used = [name for each in _listed(document.get("security")) for name in _tables(each)]
    for name in dict.fromkeys([*used, *schemes]):
        if found := _auth(_resolved(document, schemes.get(name))):
            return found
    return {}


def _auth(scheme: Mapping[str, Any]) -> dict[str, str]:
    kind, header = scheme.get("type"), str(scheme.get("name", ""))
    if kind == "apiKey" and scheme.get("in") == "header" and re.fullmatch(r"[\w-]+", header):
        if header.lower() != "authorization":
            return {"secret": "API_KEY", "header": header}
        is_bearer = "bearer" in str(scheme.get("description", "")).lower()
        return {"secret": "TOKEN", "header": header} | ({"scheme": "Bearer"} if is_bearer else {})
    if kind == "basic" or (kind == "http" and str(scheme.get("scheme")).lower() == "basic"):
        return {"secret": "BASIC_AUTH", "header": "Authorization", "scheme": "Basic"}
    if kind in ("oauth2", "openIdConnect") or (kind == "http" and str(scheme.get("scheme")).lower() == "bearer"):
        return {"secret": "TOKEN", "header": "Authorization", "scheme": "Bearer"}
    return {}


def _base(document: Mapping[str, Any]) -> str:
    """Return the path that comes before all paths of the document."""
    server = next(iter(_listed(document.get("servers"))), None)
    url = str(_tables(server).get("url", "")) if server else str(document.get("basePath", ""))
    for name, variable in _tables(_tables(server).get("variables")).items():
        url = url.replace(f"{{{name}}}", str(_tables(variable).get("default", "")))
    try:
        path = urlsplit(url).path.rstrip("/")
    except ValueError:
        return ""
    return path if re.fullmatch(r"(/[\w.~@:+-]+)*", path) else ""


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _tables(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_true(value: object) -> bool:
    return value is True or value == "true"
