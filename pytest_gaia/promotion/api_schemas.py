"""The difference of two JSON Schemas as they stand in OpenAPI documents, seen by who sends and by who reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Schema = dict[str, Any]

_DEEPEST = 30
"""levels below which schemas are taken to be the same: they refer to themselves"""
_LEAST = ("minLength", "minimum", "exclusiveMinimum", "minItems", "minProperties")
_MOST = ("maxLength", "maximum", "exclusiveMaximum", "maxItems", "maxProperties")


@dataclass(frozen=True, slots=True)
class Change:
    """One difference, and whether it breaks a client of the older document."""

    breaks: bool
    text: str


class Schemas:
    """The schemas of two documents, whose references are followed."""

    def __init__(self, before: Schema, after: Schema) -> None:
        self.before = before
        self.after = after

    def old(self, part: Schema) -> Schema:
        """Return ``part`` of the older document, followed if it is a reference."""
        return _followed(part, self.before)

    def new(self, part: Schema) -> Schema:
        """Return ``part`` of the newer document, followed if it is a reference."""
        return _followed(part, self.after)

    def request(self, old: Schema | None, new: Schema | None, where: str) -> Iterator[Change]:
        """Yield the differences of what may be sent: to allow less breaks."""
        yield from self._compared(old, new, where, 0, sent=True)

    def answer(self, old: Schema | None, new: Schema | None, where: str) -> Iterator[Change]:
        """Yield the differences of what is answered: to say less, or something else, breaks."""
        yield from self._compared(old, new, where, 0, sent=False)

    def _compared(
        self, old: Schema | None, new: Schema | None, where: str, depth: int, *, sent: bool
    ) -> Iterator[Change]:
        if depth > _DEEPEST or old is None or new is None:
            return
        before, after = self.old(old), self.new(new)
        yield from _values(before, after, where, sent=sent)
        yield from self._fields(before, after, where, depth, sent=sent)
        if "items" in before and "items" in after:
            yield from self._compared(before["items"], after["items"], f"{where}[]", depth + 1, sent=sent)

    def _fields(self, old: Schema, new: Schema, where: str, depth: int, *, sent: bool) -> Iterator[Change]:
        before, after = old.get("properties", {}), new.get("properties", {})
        needed_before, needed_after = set(old.get("required", ())), set(new.get("required", ()))
        for name in sorted(before.keys() - after.keys()):
            yield Change(True, f"{where}.{name} is gone")
        for name in sorted(after.keys() - before.keys()):
            yield Change(sent and name in needed_after, f"{where}.{name} is new")
        for name in sorted(before.keys() & after.keys()):
            if (name in needed_before) != (name in needed_after):
                yield Change((name in needed_after) == sent, f"{where}.{name} is {_demand(name in needed_after)}")
            yield from self._compared(before[name], after[name], f"{where}.{name}", depth + 1, sent=sent)


def _changed(sent: bool, narrower: bool, wider: bool) -> bool:
    """Whether other values break a client: who sends must not be refused, who reads must not be surprised."""
    return narrower if sent else wider


def _values(old: Schema, new: Schema, where: str, *, sent: bool) -> Iterator[Change]:
    for what, found in (("type", _types), ("values", _choices)):
        before, after = found(old), found(new)
        if before != after:
            breaks = _changed(sent, _narrower(before, after), _narrower(after, before))
            yield Change(breaks, f"{where}: {what} {_listed(before)} became {_listed(after)}")
    for name, less in (*((name, False) for name in _LEAST), *((name, True) for name in _MOST)):
        if old.get(name) != new.get(name):
            narrower = _bounds(old.get(name), new.get(name), upper=less)
            yield Change(
                _changed(sent, narrower, not narrower), f"{where}: {name} {old.get(name)} became {new.get(name)}"
            )
    for name in ("pattern", "format"):
        if old.get(name) != new.get(name):
            narrower, wider = new.get(name) is not None, old.get(name) is not None
            yield Change(_changed(sent, narrower, wider), f"{where}: {name} {old.get(name)} became {new.get(name)}")


def _types(schema: Schema) -> frozenset[str] | None:
    """Return the types that a value may have; None for any. A number may be an integer."""
    parts = schema.get("anyOf") or schema.get("oneOf")
    if parts:
        return frozenset().union(*(_types(part) or {_name(part)} for part in parts))
    given = schema.get("type")
    if given is None:
        return None
    types = {given} if isinstance(given, str) else set(given)
    if schema.get("nullable"):
        types.add("null")
    return frozenset(types | {"integer"} if "number" in types else types)


def _name(schema: Schema) -> str:
    return str(schema.get("$ref", "any")).rpartition("/")[2]


def _choices(schema: Schema) -> frozenset[str] | None:
    given = [schema["const"]] if "const" in schema else schema.get("enum")
    return None if given is None else frozenset(map(str, given))


def _narrower(before: frozenset[str] | None, after: frozenset[str] | None) -> bool:
    """Whether a value that was possible before no longer is; None stands for everything."""
    return after is not None and (before is None or not before <= after)


def _bounds(before: float | None, after: float | None, *, upper: bool) -> bool:
    if before is None or after is None:
        return before is None
    return after < before if upper else after > before


def _listed(values: frozenset[str] | None) -> str:
    return "any" if values is None else "|".join(sorted(values))


def _demand(required: bool) -> str:
    return "now required" if required else "no longer required"


def _followed(part: Schema, document: Schema) -> Schema:
    """Follow references inside the document. Raises ``ValueError`` for one that leads nowhere."""
    for _ in range(_DEEPEST):
        reference = part.get("$ref")
        if reference is None:
            return _merged(part, document)
        if not str(reference).startswith("#/"):
            raise ValueError(f"{reference}: only references inside of the document are followed")
        target: Any = document
        for name in str(reference)[2:].split("/"):
            try:
                target = target[name.replace("~1", "/").replace("~0", "~")]
            except (KeyError, TypeError):
                raise ValueError(f"{reference}: leads nowhere") from None
        part = target
    raise ValueError(f"{part.get('$ref')}: refers to itself")


def _merged(part: Schema, document: Schema) -> Schema:
    """Return ``part`` with what its ``allOf`` adds."""
    merged: Schema = {key: value for key, value in part.items() if key != "allOf"}
    for each in part.get("allOf", ()):
        found = _followed(each, document)
        merged = {
            **found,
            **merged,
            "properties": {**found.get("properties", {}), **merged.get("properties", {})},
            "required": [*found.get("required", ()), *merged.get("required", ())],
        }
    return merged
