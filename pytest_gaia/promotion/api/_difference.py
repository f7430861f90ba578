"""Differences between two OpenAPI 3 documents of one service, and whether they break clients of the older one.

A service may accept more in requests and return more in responses. The opposite breaks clients: requests that were
allowed must stay allowed, and fields that clients read must stay.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pytest_gaia.promotion.api._schemas import ALSO, Change, Schemas

Document = dict[str, Any]

Place = tuple[str, str]

WHOLE = "the document"
"""the operation of changes that belong to no operation"""
_ORDER = {"breaking": 0, "unclear": 1, "compatible": 2}
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_OF_A_PATH = {*METHODS, "parameters", "summary", "description", "servers", "$ref"}


@dataclass(frozen=True, slots=True)
class ApiChange:
    """One difference."""

    kind: Literal["breaking", "compatible", "unclear"]
    """``unclear``: the parts cannot be compared, so the effect is unknown"""
    operation: str
    """for example ``GET /api/v0.2/personas``"""
    text: str
    schema: str = ""
    """name of the schema that changed, if it has one"""
    also: tuple[str, ...] = ()
    """other operations that use it; the first few if there are many"""

    def __str__(self) -> str:
        if not self.also:
            return self.text
        more = " …" if len(self.also) > ALSO else ""
        return f"{self.text} ({self.schema or 'the same'}, also in {', '.join(self.also[:ALSO])}{more})"


def difference(before: Document, after: Document) -> tuple[ApiChange, ...]:
    """Return the differences between two documents, breaking ones first.

    Raises ``ValueError`` if one is not an OpenAPI 3 document.
    """
    for document in (before, after):
        if not str(document.get("openapi", "")).startswith("3.") or not isinstance(document.get("paths"), dict):
            raise ValueError("not an OpenAPI 3 document: it has no `openapi: 3.…` or no `paths`")
    schemas = Schemas(before, after)
    # Each schema is reported at its first use, so the order must be stable.
    found = list(_operations(schemas, _by_operation(before, schemas.old), _by_operation(after, schemas.new)))
    found += [(WHOLE, change) for change in _whole(schemas, before, after)]
    changes = (_reported(schemas, name, change) for name, change in found)
    return tuple(sorted(changes, key=lambda change: (_ORDER[change.kind], change.operation, change.text)))


def _reported(schemas: Schemas, operation: str, change: Change) -> ApiChange:
    kind: Literal["breaking", "compatible", "unclear"] = "breaking" if change.breaks else "compatible"
    name = change.pair.name if change.pair else ""
    return ApiChange(
        "unclear" if change.unclear else kind, operation, change.text, name, schemas.also(change, operation)
    )


def _by_operation(document: Document, followed: Callable[[Document], Document]) -> dict[str, Document]:
    """Return method and path → operation. Names of path parameters do not matter for clients."""
    return {
        f"{method.upper()} {re.sub(r'{[^}]*}', '{}', path)}": {
            "security": document.get("security"),
            **operation,
            "parameters": _by_place(
                path, map(followed, (*item.get("parameters", ()), *operation.get("parameters", ())))
            ),
        }
        for path, item in ((path, followed(item)) for path, item in document["paths"].items())
        for method, operation in item.items()
        if method in METHODS
    }


def _by_place(path: str, parameters: Iterable[Document]) -> dict[tuple[str, str], Document]:
    """Return (location, name) → parameter; a path parameter has its number as its name."""
    numbers = {name: str(number) for number, name in enumerate(re.findall(r"{([^}]*)}", path), 1)}
    return {
        (each["in"], numbers.get(each["name"], "") if each["in"] == "path" else each["name"]): each
        for each in parameters
    }


def _operations(
    schemas: Schemas, before: Mapping[str, Document], after: Mapping[str, Document]
) -> Iterator[tuple[str, Change]]:
    for name in before.keys() - after.keys():
        yield name, Change(True, "is gone")
    for name in after.keys() - before.keys():
        yield name, Change(False, "is new")
    for name in sorted(before.keys() & after.keys()):
        schemas.operation = name
        for change in _operation(schemas, before[name], after[name]):
            yield name, change


def _operation(schemas: Schemas, before: Document, after: Document) -> Iterator[Change]:
    yield from _parameters(schemas, before["parameters"], after["parameters"])
    yield from _request(schemas, before.get("requestBody"), after.get("requestBody"))
    yield from _responses(schemas, before.get("responses", {}), after.get("responses", {}))
    yield from _security(before.get("security"), after.get("security"))
    yield from _unclear("callbacks", before.get("callbacks"), after.get("callbacks"))


def _whole(schemas: Schemas, before: Document, after: Document) -> Iterator[Change]:
    """Yield differences outside of operations, and unknown parts of paths."""
    yield from _unclear("webhooks", before.get("webhooks"), after.get("webhooks"))
    schemes = [document.get("components", {}).get("securitySchemes") or {} for document in (before, after)]
    for name in sorted(schemes[0].keys() & schemes[1].keys()):
        old, new = schemas.old(schemes[0][name]), schemas.new(schemes[1][name])
        # URLs of login pages differ between environments.
        ways = ([each.get(key) for key in ("type", "in", "name", "scheme")] for each in (old, new))
        yield from _unclear(f"the security scheme {name}", *ways)
    items = [(path, schemas.old(item)) for path, item in before["paths"].items()]
    items += [(path, schemas.new(item)) for path, item in after["paths"].items()]
    for path, key in sorted({(path, key) for path, item in items for key in item.keys() - _OF_A_PATH}):
        if not key.startswith("x-"):
            yield Change(False, f"{key} {path} cannot be compared", unclear=True)


def _unclear(what: str, before: Any, after: Any) -> Iterator[Change]:
    if (before or None) != (after or None):
        yield Change(False, f"{what} changed, and cannot be compared", unclear=True)


def _parameters(schemas: Schemas, old: Mapping[Place, Document], new: Mapping[Place, Document]) -> Iterator[Change]:
    for key in new.keys() - old.keys():
        if key[0] == "path":
            continue
        required = bool(new[key].get("required"))
        verb = "requires" if required else "accepts"
        yield Change(required, f"{verb} a new {key[0]} parameter {key[1]!r}")
    for key in old.keys() - new.keys():
        if key[0] != "path":
            yield Change(True, f"no longer accepts the {key[0]} parameter {key[1]!r}")
    for key in sorted(old.keys() & new.keys()):
        where = f"{key[0]} parameter {old[key]['name']!r}"
        if new[key].get("required") and not old[key].get("required"):
            yield Change(True, f"the {where} is now required")
        yield from schemas.request(old[key].get("schema"), new[key].get("schema"), where)
        for part in ("style", "explode", "allowReserved", "allowEmptyValue"):
            yield from _unclear(f"{where}: {part}", old[key].get(part), new[key].get(part))
        yield from _bodies(schemas.request, _content(old[key]), _content(new[key]), where)


def _bodies(
    compare: Callable[[Any, Any, str], Iterator[Change]], old: Document, new: Document, where: str
) -> Iterator[Change]:
    """Compare the schemas of the media types that both sides have."""
    for kind in sorted(old.keys() & new.keys()):
        yield from compare(old[kind].get("schema"), new[kind].get("schema"), where)
        yield from _unclear(f"{where}: encoding", old[kind].get("encoding"), new[kind].get("encoding"))


def _request(schemas: Schemas, before: Document | None, after: Document | None) -> Iterator[Change]:
    if before is None and after is None:
        return
    if before is None or after is None:
        required = bool((after or {}).get("required"))
        text = "now accepts a body" if after is not None else "no longer accepts a body"
        yield Change(required or after is None, text)
        return
    old, new = schemas.old(before), schemas.new(after)
    if new.get("required") and not old.get("required"):
        yield Change(True, "the body is now required")
    for kind in _content(old).keys() - _content(new).keys():
        yield Change(True, f"no longer accepts {kind}")
    yield from _bodies(schemas.request, _content(old), _content(new), "body")


def _responses(schemas: Schemas, before: Document, after: Document) -> Iterator[Change]:
    for status in before.keys() - after.keys():
        yield Change(status.startswith("2"), f"no longer returns {status}")
    for status in after.keys() - before.keys():
        yield Change(False, f"also returns {status}")
    for status in sorted(before.keys() & after.keys()):
        old, new = schemas.old(before[status]), schemas.new(after[status])
        for kind in _content(old).keys() - _content(new).keys():
            yield Change(True, f"{status} is no longer {kind}")
        yield from _bodies(schemas.response, _content(old), _content(new), status)
        yield from _headers(schemas, old.get("headers") or {}, new.get("headers") or {}, status)


def _headers(schemas: Schemas, before: Document, after: Document, status: str) -> Iterator[Change]:
    old, new = ({name.lower(): part for name, part in each.items()} for each in (before, after))
    for name in sorted(old.keys() - new.keys()):
        yield Change(True, f"{status} no longer has the header {name}")
    for name in sorted(old.keys() & new.keys()):
        one, other = schemas.old(old[name]), schemas.new(new[name])
        yield from schemas.response(one.get("schema"), other.get("schema"), f"{status} header {name}")


def _security(before: list[Any] | None, after: list[Any] | None) -> Iterator[Change]:
    if after and not before:
        yield Change(True, "now requires credentials")
    elif before and not after:
        yield Change(False, "no longer requires credentials")
    elif before and after:
        for demand in before:
            if demand not in after:
                yield Change(True, f"no longer accepts the credentials {', '.join(demand) or 'none'}")


def _content(part: Document) -> dict[str, Document]:
    return part.get("content") or {}
