"""What has changed between two OpenAPI 3 documents of one service, and which of it breaks a client of the older one.

A request may be taken more freely, an answer may say more; the other way round breaks. Rules follow the substitution of
JSON Schemas: what a client may send must stay allowed, what it reads must stay there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pytest_gaia.promotion.api_schemas import Change, Schemas

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Document = dict[str, Any]

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


@dataclass(frozen=True, slots=True)
class ApiChange:
    """One difference."""

    kind: Literal["breaking", "compatible"]
    operation: str
    """such as ``GET /api/v0.2/personas``"""
    text: str


def difference(before: Document, after: Document) -> tuple[ApiChange, ...]:
    """Return every difference of two documents, breaking ones first.

    Raises ``ValueError`` for what is no OpenAPI 3 document.
    """
    for document in (before, after):
        if not str(document.get("openapi", "")).startswith("3.") or not isinstance(document.get("paths"), dict):
            raise ValueError("not an OpenAPI 3 document: it has no `openapi: 3.…` or no `paths`")
    schemas = Schemas(before, after)
    found = list(_operations(schemas, _by_operation(before), _by_operation(after)))
    return tuple(sorted(found, key=lambda change: (change.kind != "breaking", change.operation, change.text)))


def _by_operation(document: Document) -> dict[str, Document]:
    """Return method and path → operation. What a parameter of the path is called is no business of a client."""
    return {
        f"{method.upper()} {re.sub(r'{[^}]*}', '{}', path)}": {
            **operation,
            "parameters": [*shared, *operation.get("parameters", ())],
        }
        for path, item in document["paths"].items()
        for shared in (item.get("parameters", ()),)
        for method, operation in item.items()
        if method in METHODS
    }


def _operations(schemas: Schemas, before: Mapping[str, Document], after: Mapping[str, Document]) -> Iterator[ApiChange]:
    for name in before.keys() - after.keys():
        yield ApiChange("breaking", name, "is gone")
    for name in after.keys() - before.keys():
        yield ApiChange("compatible", name, "is new")
    for name in before.keys() & after.keys():
        for change in _operation(schemas, before[name], after[name]):
            yield ApiChange("breaking" if change.breaks else "compatible", name, change.text)


def _operation(schemas: Schemas, before: Document, after: Document) -> Iterator[Change]:
    yield from _parameters(schemas, before["parameters"], after["parameters"])
    yield from _request(schemas, before.get("requestBody"), after.get("requestBody"))
    yield from _answers(schemas, before.get("responses", {}), after.get("responses", {}))
    yield from _security(before.get("security"), after.get("security"))


def _parameters(schemas: Schemas, before: list[Document], after: list[Document]) -> Iterator[Change]:
    old = {(each["in"], each["name"]): each for each in map(schemas.old, before) if each["in"] != "path"}
    new = {(each["in"], each["name"]): each for each in map(schemas.new, after) if each["in"] != "path"}
    for key in new.keys() - old.keys():
        required = bool(new[key].get("required"))
        needed = "needs" if required else "takes"
        yield Change(required, f"{needed} a new {key[0]} parameter {key[1]!r}")
    for key in old.keys() - new.keys():
        yield Change(True, f"no longer takes the {key[0]} parameter {key[1]!r}")
    for key in old.keys() & new.keys():
        if new[key].get("required") and not old[key].get("required"):
            yield Change(True, f"the {key[0]} parameter {key[1]!r} is now required")
        yield from schemas.request(old[key].get("schema"), new[key].get("schema"), f"{key[0]} parameter {key[1]!r}")


def _request(schemas: Schemas, before: Document | None, after: Document | None) -> Iterator[Change]:
    if before is None and after is None:
        return
    if before is None or after is None:
        required = bool((after or {}).get("required"))
        yield Change(required or after is None, "takes a body now" if after is not None else "no longer takes a body")
        return
    old, new = schemas.old(before), schemas.new(after)
    if new.get("required") and not old.get("required"):
        yield Change(True, "the body is now required")
    for kind in _content(old).keys() - _content(new).keys():
        yield Change(True, f"no longer takes {kind}")
    for kind in _content(old).keys() & _content(new).keys():
        yield from schemas.request(_content(old)[kind].get("schema"), _content(new)[kind].get("schema"), "body")


def _answers(schemas: Schemas, before: Document, after: Document) -> Iterator[Change]:
    for status in before.keys() - after.keys():
        yield Change(status.startswith("2"), f"no longer answers {status}")
    for status in after.keys() - before.keys():
        yield Change(False, f"answers {status} as well")
    for status in before.keys() & after.keys():
        old, new = _content(schemas.old(before[status])), _content(schemas.new(after[status]))
        for kind in old.keys() - new.keys():
            yield Change(True, f"{status} is no longer {kind}")
        for kind in old.keys() & new.keys():
            yield from schemas.answer(old[kind].get("schema"), new[kind].get("schema"), status)


def _security(before: list[Any] | None, after: list[Any] | None) -> Iterator[Change]:
    if after and not before:
        yield Change(True, "asks for credentials now")
    elif before and not after:
        yield Change(False, "no longer asks for credentials")
    elif before and after:
        for demand in before:
            if demand not in after:
                yield Change(True, f"no longer takes the credentials {', '.join(demand) or 'none'}")


def _content(part: Document) -> dict[str, Document]:
    return part.get("content") or {}
