"""Differences between two OpenAPI 3 documents of one service, and whether they break clients of the older one.

A service may accept more in requests and return more in responses. The opposite breaks clients: requests that were
allowed must stay allowed, and fields that clients read must stay.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from fnmatch import fnmatchcase
from itertools import takewhile
from typing import Any, Literal

from pytest_gaia.expectations.apis import METHODS, has_sunset, path_items, prefix_of, sunset_of
from pytest_gaia.promotion.api._schemas import ALSO, Change, Schemas

Document = dict[str, Any]

Place = tuple[str, str]

GONE, NEW = "is gone", "is new"
_FEWEST = 3
"""minimum number of operations in a group"""
WHOLE = "the document"
"""the operation of changes that belong to no operation"""
_ORDER = {"breaking": 0, "unclear": 1, "compatible": 2}
_OF_A_PATH = {*METHODS, "parameters", "summary", "description", "servers", "$ref"}


@dataclass(frozen=True, slots=True)
class ApiChange:
    """One difference."""

    kind: Literal["breaking", "compatible", "unclear"]
    """``unclear``: the parts cannot be compared, so the effect is unknown"""
    operation: str
    """method and path, as documented; for example ``GET /api/v0.2/personas/{persona_id}``"""
    text: str
    schema: str = ""
    """name of the schema that changed, if it has one"""
    also: tuple[str, ...] = ()
    """other operations that use it; the first few if there are many"""
    group: str = ""
    """for operations that are gone or new together: ``/api/v0.2/* (52 operations)``"""

    def __str__(self) -> str:
        if not self.also:
            return self.text
        more = " …" if len(self.also) > ALSO else ""
        return f"{self.text} ({self.schema or 'the same'}, also in {', '.join(self.also[:ALSO])}{more})"


def difference(before: Document, after: Document, day: date) -> tuple[ApiChange, ...]:
    """Return the differences between two documents, breaking ones first.

    An operation that is gone breaks clients, unless it was deprecated with an ``x-sunset`` date before ``day``.
    Raises ``ValueError`` if a document is not OpenAPI 3.0 or 3.1.
    """
    items = []
    for which, document in (("older", before), ("newer", after)):
        try:
            items.append(path_items(document))
        except ValueError as error:
            raise ValueError(f"the {which} document {error}") from None
    schemas = Schemas(before, after)
    schemes, now = _schemes(before, schemas.old), _schemes(after, schemas.new)
    # A document may lack the definition of a scheme that it names. Then the name counts.
    old = _by_operation(before, items[0], now | schemes, schemas.old)
    new = _by_operation(after, items[1], schemes | now, schemas.new)
    # Each schema is reported at its first use, so the order must be stable.
    found = list(_operations(schemas, old, new, day))
    found += [(WHOLE, change) for change in _whole(before, after, items)]
    changes = _grouped([_reported(schemas, name, change) for name, change in found], _names(old), _names(new))
    return tuple(sorted(changes, key=lambda change: (_ORDER[change.kind], change.operation, change.text)))


def _reported(schemas: Schemas, operation: str, change: Change) -> ApiChange:
    kind: Literal["breaking", "compatible", "unclear"] = "breaking" if change.breaks else "compatible"
    name = change.pair.name if change.pair else ""
    return ApiChange(
        "unclear" if change.unclear else kind, operation, change.text, name, schemas.also(change, operation)
    )


def _grouped(changes: list[ApiChange], before: list[str], after: list[str]) -> list[ApiChange]:
    """Group operations that are gone by path, and new ones. A group includes no operation of the other document."""
    alike: dict[tuple[str, str], list[str]] = {}
    for change in changes:
        if change.text == NEW or change.text.startswith(GONE):
            alike.setdefault((change.kind, change.text), []).append(change.operation)
    groups = {
        (*key, operation): f"{pattern} ({len(operations)} operations)"
        for key, names in alike.items()
        for pattern, operations in _patterns(names, [*map(_segments, before if key[1] == NEW else after)])
        for operation in operations
    }
    return [replace(each, group=groups.get((each.kind, each.text, each.operation), "")) for each in changes]


def _patterns(operations: list[str], others: list[list[str]]) -> Iterator[tuple[str, list[str]]]:
    """Yield ``/path/*`` → operations below it, if they are several and it fits none of ``others``."""
    if len(operations) < _FEWEST:
        return
    parents = [_segments(each)[:-1] for each in operations]
    # All that is common to the first and the last in order is common to all.
    shared = takewhile(lambda both: both[0] == both[1], zip(min(parents), max(parents), strict=False))
    prefix = [segment for segment, _ in shared]
    if not any(_below(other, prefix) for other in others):
        written = operations[0].partition(" ")[2].split("/")[: len(prefix) + 1]
        yield f"{'/'.join(written)}/*", operations
        return
    deeper: dict[str, list[str]] = {}
    for each in operations:
        segments = _segments(each)[len(prefix) :]
        if len(segments) > 1:
            deeper.setdefault(segments[0], []).append(each)
    for some in deeper.values():
        yield from _patterns(some, others)


def _segments(operation: str) -> list[str]:
    return re.sub(r"{[^}]*}", "{}", operation.partition(" ")[2]).split("/")[1:]


def _below(path: list[str], prefix: list[str]) -> bool:
    """Whether ``path`` may be below ``prefix``; a parameter may have any value."""
    return len(path) > len(prefix) and all(
        one == other or "{" in one + other for one, other in zip(path, prefix, strict=False)
    )


def _names(operations: Mapping[Place, Document]) -> list[str]:
    return [each["name"] for each in operations.values()]


def _by_operation(
    document: Document,
    items: Mapping[str, Document],
    schemes: Mapping[str, str],
    followed: Callable[[Document], Document],
) -> dict[Place, Document]:
    """Return (method, path) → operation. Names of path parameters do not matter for clients."""
    return {
        (method, re.sub(r"{[^}]*}", "{}", path)): {
            **operation,
            "name": f"{method.upper()} {path}",
            "security": [
                {schemes.get(name, name): scopes for name, scopes in each.items()}
                for each in operation.get("security", document.get("security")) or [{}]
            ],
            "parameters": _by_place(
                path, map(followed, (*item.get("parameters", ()), *operation.get("parameters", ())))
            ),
        }
        for path, item in items.items()
        for method, operation in item.items()
        if method in METHODS
    }


def _schemes(document: Document, followed: Callable[[Document], Document]) -> dict[str, str]:
    """Return name → a text that is the same for the same credentials. URLs of login pages differ between environments."""
    given = (document.get("components") or {}).get("securitySchemes") or {}
    found = {}
    for name, scheme in ((name, followed(scheme)) for name, scheme in given.items()):
        text = " ".join(str(scheme[key]) for key in ("type", "scheme", "in", "name") if key in scheme)
        found[name] = text if scheme.get("in") in ("query", "cookie") else text.lower()
    return found


def _by_place(path: str, parameters: Iterable[Document]) -> dict[Place, Document]:
    """Return (location, name) → parameter; a path parameter has its number as its name."""
    numbers = {name: str(number) for number, name in enumerate(re.findall(r"{([^}]*)}", path), 1)}
    names = {"path": lambda name: numbers.get(name, ""), "header": str.lower}
    return {(each["in"], names.get(each["in"], str)(each["name"])): each for each in parameters}


def _operations(
    schemas: Schemas, before: Mapping[Place, Document], after: Mapping[Place, Document], day: date
) -> Iterator[tuple[str, Change]]:
    for key in before.keys() - after.keys():
        yield before[key]["name"], _gone(before[key], day)
    for key in after.keys() - before.keys():
        yield after[key]["name"], Change(False, NEW)
    for key in sorted(before.keys() & after.keys()):
        schemas.operation = after[key]["name"]
        for change in _operation(schemas, before[key], after[key]):
            yield after[key]["name"], change


def _gone(operation: Document, day: date) -> Change:
    if not has_sunset(operation):
        return Change(True, GONE)
    sunset = sunset_of(operation)
    if sunset is None:
        return Change(True, f"{GONE}, and its x-sunset is not a date")
    if sunset < day:
        return Change(False, f"{GONE}, after its sunset on {sunset}")
    return Change(True, f"{GONE}, before its sunset on {sunset}")


def _operation(schemas: Schemas, before: Document, after: Document) -> Iterator[Change]:
    yield from _parameters(schemas, before["parameters"], after["parameters"])
    yield from _request(schemas, before.get("requestBody"), after.get("requestBody"))
    yield from _responses(schemas, before.get("responses", {}), after.get("responses", {}))
    yield from _security(before["security"], after["security"])
    yield from _unclear("callbacks", before.get("callbacks"), after.get("callbacks"))


def _whole(before: Document, after: Document, items: list[dict[str, Document]]) -> Iterator[Change]:
    """Yield differences outside of operations, and unknown parts of paths."""
    yield from _unclear("webhooks", before.get("webhooks"), after.get("webhooks"))
    # Hosts differ between environments. With another path, every operation is elsewhere.
    yield from _unclear("the path of the server", prefix_of(before), prefix_of(after))
    of_paths = (both for each in items for both in each.items())
    for path, key in sorted({(path, key) for path, item in of_paths for key in item.keys() - _OF_A_PATH}):
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
        yield Change(required, f"{verb} a new {key[0]} parameter {new[key]['name']!r}")
    for key in old.keys() - new.keys():
        if key[0] != "path":
            yield Change(True, f"no longer accepts the {key[0]} parameter {old[key]['name']!r}")
    for key in sorted(old.keys() & new.keys()):
        where = f"{key[0]} parameter {old[key]['name']!r}"
        if new[key].get("required") and not old[key].get("required"):
            yield Change(True, f"the {where} is now required")
        yield from schemas.request(old[key].get("schema"), new[key].get("schema"), where)
        for part in ("style", "explode", "allowReserved", "allowEmptyValue"):
            yield from _unclear(f"{where}: {part}", _serialized(old[key], part), _serialized(new[key], part))
        one, other = _content(old[key]), _content(new[key])
        yield from _unclear(f"{where}: its media type", sorted(one), sorted(other))
        yield from _bodies(schemas.request, [(one[kind], other[kind]) for kind in one.keys() & other.keys()], where)


def _serialized(parameter: Document, part: str) -> Any:
    """Return a property of a parameter, or its default."""
    form = parameter.get("style", "form" if parameter["in"] in ("query", "cookie") else "simple")
    return parameter.get(part, {"style": form, "explode": form == "form"}.get(part, False))


def _bodies(
    compare: Callable[[Any, Any, str], Iterator[Change]], pairs: Iterable[tuple[Document, Document]], where: str
) -> Iterator[Change]:
    for old, new in pairs:
        yield from compare(old.get("schema"), new.get("schema"), where)
        yield from _unclear(f"{where}: encoding", old.get("encoding"), new.get("encoding"))


def _request(schemas: Schemas, before: Document | None, after: Document | None) -> Iterator[Change]:
    old, new = schemas.old(before or {}), schemas.new(after or {})
    if before is None or after is None:
        if before is not after:
            required = bool(new.get("required"))
            text = (
                f"now {'requires' if required else 'accepts'} a body" if before is None else "no longer accepts a body"
            )
            yield Change(after is None or required, text)
        return
    if new.get("required") and not old.get("required"):
        yield Change(True, "the body is now required")
    # A service that accepts any type accepts each.
    gone, pairs = _paired(_content(old), _content(new), fnmatchcase)
    for kind in gone:
        yield Change(True, f"no longer accepts {kind}")
    yield from _bodies(schemas.request, pairs, "body")


def _responses(schemas: Schemas, before: Document, after: Document) -> Iterator[Change]:
    before, after = ({key: each[key] for key in each if key[:2] != "x-"} for each in (before, after))
    pairs = {(status, _covering(status, after)) for status in before}
    pairs |= {(_covering(status, before), status) for status in after}
    for old, new in sorted(pairs):
        if not new:
            # Clients handle any error, and any response may be 304.
            narrowed = old.endswith("XX") and any(each[0] == old[0] for each in after)
            yield Change(old[0] in "23" and old != "304" and not narrowed, f"no longer returns {old}")
        elif not old:
            yield Change(False, f"also returns {new}")
        else:
            status = old if new == "default" or new.endswith("XX") else new
            yield from _response(schemas, schemas.old(before[old]), schemas.new(after[new]), status)


def _covering(status: str, responses: Document) -> str:
    """Return the key that describes ``status``: itself, its range, or ``default``; '' if there is none.

    ``default`` describes a success only if no other key does.
    """
    if status not in responses and status[0] in "23" and any(each[0] in "23" for each in responses):
        return f"{status[0]}XX" if f"{status[0]}XX" in responses else ""
    return next((each for each in (status, f"{status[0]}XX", "default") if each in responses), "")


def _response(schemas: Schemas, old: Document, new: Document, status: str) -> Iterator[Change]:
    # A reader of any type reads each.
    gone, pairs = _paired(_content(old), _content(new), lambda kind, now: fnmatchcase(now, kind))
    for kind in gone:
        yield Change(True, f"{status} is no longer {kind}")
    yield from _bodies(schemas.response, pairs, status)
    headers, now = ({name.lower(): part for name, part in (each.get("headers") or {}).items()} for each in (old, new))
    for name in sorted(headers.keys() - now.keys()):
        yield Change(True, f"{status} no longer has the header {name}")
    for name in sorted(headers.keys() & now.keys()):
        header, where = (schemas.old(headers[name]), schemas.new(now[name])), f"{status} header {name}"
        if header[0].get("required") and not header[1].get("required"):
            yield Change(True, f"the {where} is no longer required")
        yield from _unclear(f"the {where}: its content", header[0].get("content"), header[1].get("content"))
        yield from _bodies(schemas.response, [header], where)


def _paired(
    old: Document, new: Document, fits: Callable[[str, str], bool]
) -> tuple[list[str], list[tuple[Document, Document]]]:
    """Return the media types that are gone, and the pairs to compare."""
    found = {kind: [kind] if kind in new else [now for now in new if fits(kind, now)] for kind in sorted(old)}
    pairs = [(old[kind], new[now]) for kind, matches in found.items() for now in matches]
    return [kind for kind, matches in found.items() if not matches], pairs


def _security(before: list[Document], after: list[Document]) -> Iterator[Change]:
    """Compare the accepted credentials: a list of alternatives, each with all that it needs; {} needs none."""
    for demand in before:
        if not any(
            all(name in demand and {*scopes} <= {*demand[name]} for name, scopes in each.items()) for each in after
        ):
            text = f"no longer accepts the credentials {', '.join(demand)}" if demand else "now requires credentials"
            yield Change(True, text)
    if {} in after and {} not in before:
        yield Change(False, "no longer requires credentials")


def _content(part: Document) -> dict[str, Document]:
    """Return media type → schema. The character set does not matter for JSON, and may be added to any text."""
    found = part.get("content") or {}
    return {re.sub(r"\s*;\s*charset=[^;]*", "", kind.lower()): each for kind, each in found.items()}
