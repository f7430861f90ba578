"""What a schema of an OpenAPI document comes to: its references followed, and what ``allOf`` adds merged into it."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

FOR_PEOPLE = frozenset(
    ("title", "description", "default", "example", "examples", "deprecated", "externalDocs", "xml", "$comment", "$id",
     "$schema", "$anchor", "$defs", "definitions")
)  # fmt: skip
"""keywords that say nothing about values"""
_ANY: Schema = {}
_NOTHING: Schema = {"not": _ANY}


class Resolver:
    """Follows the references of one document, and merges what ``allOf`` adds, each once."""

    def __init__(self, document: Schema) -> None:
        self._document = document
        self._found: dict[int, tuple[Schema, Schema | None]] = {}
        """id of a schema → itself, which keeps the id its own, and what it comes to; None while that is being found"""

    def followed(self, part: Schema) -> Schema:
        """Follow references inside the document. Raises ``ValueError`` for one that leads nowhere."""
        seen: set[str] = set()
        while (reference := part.get("$ref")) is not None:
            if reference in seen:
                raise ValueError(f"{reference}: refers to itself")
            seen.add(reference)
            part = self._target(str(reference))
        return part

    def schema(self, part: Any) -> Schema:
        """Return what a schema comes to; none, and ``true``, allow everything."""
        part = self._without_aliases(part)
        if part is None or part is True:
            return _ANY
        if part is False:
            return _NOTHING
        known = self._found.get(id(part))
        if known is None:
            self._found[id(part)] = part, None
            self._found[id(part)] = known = part, self._merged(part)
        if known[1] is None:
            raise ValueError(f"{part.get('$ref') or 'allOf'}: refers to itself")
        return known[1]

    def _without_aliases(self, part: Any) -> Any:
        """Follow a reference that nothing stands beside, however many follow it."""
        seen: set[int] = set()
        while isinstance(part, dict) and "$ref" in part and not part.keys() - {"$ref"} - FOR_PEOPLE:
            if id(part) in seen:
                raise ValueError(f"{part['$ref']}: refers to itself")
            seen.add(id(part))
            part = self._target(str(part["$ref"]))
        return part

    def _target(self, reference: str) -> Any:
        if not reference.startswith("#/"):
            raise ValueError(f"{reference}: only references inside of the document are followed")
        target: Any = self._document
        for name in reference[2:].split("/"):
            try:
                target = target[name.replace("~1", "/").replace("~0", "~")]
            except (KeyError, TypeError):
                raise ValueError(f"{reference}: leads nowhere") from None
        return target

    def _merged(self, part: Schema) -> Schema:
        """Return ``part`` with what its ``$ref`` and ``allOf`` add to it; what they say differently stays beside it."""
        added = [self._target(str(part["$ref"]))] if "$ref" in part else []
        added += part.get("allOf", ())
        own = {key: value for key, value in part.items() if key not in ("$ref", "allOf")}
        if not added:
            return part
        if len(added) == 1 and not own.keys() - FOR_PEOPLE:
            return self.schema(added[0])
        merged: Schema = own
        for each in added:
            merged = _joined(merged, self.schema(each))
        return merged


def _joined(one: Schema, other: Schema) -> Schema:
    joined = {**other, **one}
    for key in one.keys() & other.keys() - FOR_PEOPLE:
        if key == "required":
            joined[key] = list(dict.fromkeys((*one[key], *other[key])))
        elif key == "properties":
            joined[key] = {**other[key], **one[key]}
            for name in one[key].keys() & other[key].keys():
                joined[key][name] = _both(one[key][name], other[key][name])
        elif key == "allOf" or not _same(one[key], other[key]):
            joined["allOf"] = [*joined.get("allOf", ()), *(other[key] if key == "allOf" else [{key: other[key]}])]
    return joined


def _both(one: Any, other: Any) -> Any:
    return one if _same(one, other) else {"allOf": [one, other]}


def _same(one: Any, other: Any) -> bool:
    return one is other or bool(one == other)
