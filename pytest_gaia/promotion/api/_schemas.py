"""Differences between two JSON Schemas in OpenAPI documents, for senders and for readers.

References are followed, and ``allOf`` is merged. Each pair of schemas is compared once, regardless of how often it is
used. This limits the work to the size of the documents, and handles recursive schemas. Differences in unknown keywords
are reported as unclear.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

Schema = dict[str, Any]

FOR_PEOPLE = frozenset(
    ("title", "description", "default", "example", "examples", "deprecated", "externalDocs", "xml", "$comment", "$id",
     "$schema", "$anchor", "$defs", "definitions", "readOnly", "writeOnly", "discriminator")
)  # fmt: skip
"""keywords that do not restrict values"""
_ANY: Schema = {}
_NOTHING: Schema = {"not": _ANY}
_TYPE_OF = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
_TYPES = frozenset(("null", *_TYPE_OF.values()))

_SIZES = ("minLength", "minItems", "minProperties")
_BOUNDS = {
    "minimum": 1,
    "maximum": -1,
    "maxLength": -1,
    "maxItems": -1,
    "maxProperties": -1,
    **dict.fromkeys(_SIZES, 1),
}
"""keyword → 1 if a higher value allows less, -1 if it allows more"""
_COMPARED = frozenset(
    ("$ref", "type", "nullable", "enum", "const", "pattern", "format", "properties", "required",
     "exclusiveMinimum", "exclusiveMaximum", "anyOf", "oneOf", *_BOUNDS)
)  # fmt: skip
"""keywords with their own comparison"""
_WIDER = {("int32", "int64"), ("float", "double")}
"""pairs of formats: the second includes the first"""
_HIDDEN = {True: "readOnly", False: "writeOnly"}
"""whether clients send a schema → the keyword of fields that it does not have then"""
_ONE = ("items", "propertyNames", "then", "else", "unevaluatedItems", "unevaluatedProperties")
_EITHER_WAY = ("not", "if", "contains")
"""keywords whose schema may restrict or extend the values of the whole schema"""
_MANY = ("allOf", "prefixItems", "patternProperties", "dependentSchemas")
_LONGEST = 300
"""maximum characters of a location; a longer one is shortened in the middle"""
ALSO = 4
"""maximum number of other operations in a message"""
_SEARCHED = 500
"""maximum number of pairs to search for them"""


class Resolver:
    """Follows the references in one document, and merges ``allOf``, once for each schema."""

    def __init__(self, document: Schema) -> None:
        self._document = document
        self._found: dict[int, tuple[Schema, Schema | None]] = {}
        """id of a schema → the schema (so that its id stays unique) and the result; None while it is computed"""

    def followed(self, part: Schema) -> Schema:
        """Follow references inside the document. Raises ``ValueError`` if the target does not exist."""
        seen: set[str] = set()
        while (reference := part.get("$ref")) is not None:
            if reference in seen:
                raise ValueError(f"{reference}: refers to itself")
            seen.add(reference)
            part = self._target(str(reference))
        return part

    def schema(self, part: Any) -> Schema:
        """Return a schema with references and ``allOf`` resolved. No schema, and ``true``, allow everything."""
        part = self._without_aliases(part)
        if part is None or part is True:
            return _ANY
        if part is False:
            return _NOTHING
        known = self._found.get(id(part))
        if known is None:
            self._found[id(part)] = part, None
            known = part, self._merged(part)
            # The result counts as a schema, too.
            self._found[id(part)] = self._found[id(known[1])] = known
        if known[1] is None:
            raise ValueError(f"{part.get('$ref') or 'allOf'}: refers to itself")
        return known[1]

    def _without_aliases(self, part: Any) -> Any:
        """Follow a chain of references without other keywords."""
        seen: set[int] = set()
        while isinstance(part, dict) and "$ref" in part and not part.keys() - {"$ref"} - FOR_PEOPLE:
            if id(part) in seen:
                raise ValueError(f"{part['$ref']}: refers to itself")
            seen.add(id(part))
            part = self._target(str(part["$ref"]))
        return part

    def _target(self, reference: str) -> Any:
        if not reference.startswith("#/"):
            raise ValueError(f"{reference}: references to other documents are not supported")
        target: Any = self._document
        for name in unquote(reference[2:]).split("/"):
            try:
                key = name.replace("~1", "/").replace("~0", "~")
                target = target[int(key) if isinstance(target, list) else key]
            except (LookupError, TypeError, ValueError):
                raise ValueError(f"{reference}: the target does not exist") from None
        return target

    def _merged(self, part: Schema) -> Schema:
        """Return ``part`` merged with its ``$ref`` and ``allOf``. Contradictions stay in ``allOf``."""
        if dynamic := part.keys() & {"$dynamicRef", "$recursiveRef"}:
            raise ValueError(f"{min(dynamic)} is not supported")
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
        elif key == "allOf" or one[key] != other[key]:
            joined["allOf"] = [*joined.get("allOf", ()), *(other[key] if key == "allOf" else [{key: other[key]}])]
    return joined


def _both(one: Any, other: Any) -> Any:
    return one if one == other else {"allOf": [one, other]}


@dataclass(frozen=True, slots=True)
class Change:
    """One difference, and whether it breaks clients of the older document."""

    breaks: bool
    text: str
    unclear: bool = False
    """whether the effect is unknown, because this part cannot be compared"""
    pair: Pair | None = None


@dataclass(slots=True, eq=False)
class Pair:
    """Two schemas at the same location in two documents."""

    old: Schema
    new: Schema
    sent: bool | None
    """whether clients send it or read it; None: every difference is unclear"""
    where: str
    """the first location"""
    name: str = ""
    """name of its schema, if there is one"""
    users: list[Pair | str] = field(default_factory=list)
    """schemas and operations that use it"""


class Schemas:
    """Compares the schemas of two documents."""

    def __init__(self, before: Schema, after: Schema) -> None:
        self.operation = ""
        """the current operation"""
        self._before = Resolver(before)
        self._after = Resolver(after)
        self.old, self.new = self._before.followed, self._after.followed
        """follow the references of a part of either document"""
        self._pairs: dict[tuple[int, int, bool | None], Pair] = {}
        self._next: deque[Pair] = deque()

    def request(self, old: Schema | None, new: Schema | None, where: str) -> Iterator[Change]:
        """Yield the differences of a request. Allowing less breaks clients."""
        yield from self._compared(old, new, where, sent=True)

    def response(self, old: Schema | None, new: Schema | None, where: str) -> Iterator[Change]:
        """Yield the differences of a response. Returning less, or other values, breaks clients."""
        yield from self._compared(old, new, where, sent=False)

    def also(self, change: Change, operation: str) -> tuple[str, ...]:
        """Return a few operations, except ``operation``, that use the schemas of ``change``."""
        users: deque[Pair | str] = deque([change.pair] if change.pair else [])
        found: list[str] = []
        seen: set[int] = set()
        while users and len(found) <= ALSO and len(seen) < _SEARCHED:
            user = users.popleft()
            if isinstance(user, str):
                found += [user] if user != operation and user not in found else []
            elif id(user) not in seen:
                seen.add(id(user))
                users += user.users
        return tuple(found)

    def _compared(self, old: Schema | None, new: Schema | None, where: str, *, sent: bool) -> Iterator[Change]:
        self._use(old, new, where, sent, self.operation)
        while self._next:
            pair = self._next.popleft()
            for change in self._differences(pair):
                yield Change(change.breaks, change.text, change.unclear or pair.sent is None, pair)

    def _use(self, old: Any, new: Any, where: str, sent: bool | None, user: Pair | str) -> None:
        """Queue two schemas for comparison, unless that was done before."""
        before, after = self._before.schema(old), self._after.schema(new)
        if (pair := self._pairs.get((id(before), id(after), sent))) is None:
            name = _name(new) or (user.name if isinstance(user, Pair) else "")
            shown = where if len(where) <= _LONGEST else f"{where[:100]}…{where[-100:]}"
            pair = Pair(before, after, sent, shown, name)
            self._pairs[id(before), id(after), sent] = pair
            self._next.append(pair)
        pair.users.append(user)

    def _differences(self, pair: Pair) -> Iterator[Change]:
        old, new = pair.old, pair.new
        for keyword in ("anyOf", "oneOf"):
            if keyword in old and keyword in new:
                yield from self._branches(pair, old[keyword], new[keyword])
            elif keyword in old or keyword in new:
                union, other = (old, new) if keyword in old else (new, old)
                if union.keys() - FOR_PEOPLE - {keyword} or other.keys() & {"anyOf", "oneOf"}:
                    yield _unclear(pair, keyword)
                else:
                    # A schema without branches is its only branch, except for null.
                    yield from self._branches(pair, *(each.get(keyword) or _without_null(each) for each in (old, new)))
                    return
        yield from _values(pair)
        yield from self._fields(pair)
        yield from self._others(pair)

    def _fields(self, pair: Pair) -> Iterator[Change]:
        where, sent = pair.where, pair.sent
        before, needed_before = _visible(pair.old, self._before, sent)
        after, needed_after = _visible(pair.new, self._after, sent)
        for name in sorted(before.keys() - after.keys()):
            # Readers of an optional field can do without it. A sender could not know that it is ignored.
            optional = sent is False and name not in needed_before
            yield Change(not optional, f"{where}.{name} is gone" + (", and was optional" if optional else ""))
        for name in sorted(after.keys() - before.keys()):
            yield Change(bool(sent) and name in needed_after, f"{where}.{name} is new")
        for name in sorted((needed_before ^ needed_after) - (before.keys() ^ after.keys())):
            now = name in needed_after
            yield Change(now == sent, f"{where}.{name} is {'now' if now else 'no longer'} required")
        for name in sorted(before.keys() & after.keys()):
            self._use(before[name], after[name], f"{where}.{name}", sent, pair)

    def _branches(self, pair: Pair, before: Sequence[Any], after: Sequence[Any]) -> Iterator[Change]:
        """Compare the branches of a union. A sender needs all old ones; a reader knows no other ones."""
        gone = old = [_Branch(part, self._before.schema(part)) for part in before]
        added = new = [_Branch(part, self._after.schema(part)) for part in after]
        for alike in _ALIKE:
            for one in gone:
                if other := next((each for each in added if alike(one, each)), None):
                    self._use(one.part, other.part, pair.where, pair.sent, pair)
                    gone = [each for each in gone if each is not one]
                    added = [each for each in added if each is not other]
        # A branch of the other side may include one, as a number includes an integer.
        for one in gone:
            if pair.sent and (wider := [each for each in new if each.types > one.types]):
                self._use(one.part, wider[0].part, pair.where, pair.sent, pair)
            else:
                yield Change(bool(pair.sent), f"{pair.where}: can no longer be {one}")
        for one in added:
            if not pair.sent and (wider := [each for each in old if each.types > one.types]):
                self._use(wider[0].part, one.part, pair.where, pair.sent, pair)
            else:
                yield Change(not pair.sent, f"{pair.where}: may also be {one}")

    def _others(self, pair: Pair) -> Iterator[Change]:
        for keyword in sorted((pair.old.keys() | pair.new.keys()) - _COMPARED - FOR_PEOPLE):
            old, new = pair.old.get(keyword), pair.new.get(keyword)
            where = f"{pair.where}[]" if keyword == "items" else f"{pair.where}.{keyword}"
            if keyword in _ONE and (old is False) == (new is False):
                self._use(old, new, where, pair.sent, pair)
            elif keyword in _EITHER_WAY and None not in (old, new):
                self._use(old, new, where, None, pair)
            elif keyword == "additionalProperties":
                yield from self._more(pair, old, new)
            elif keyword in _MANY:
                yield from self._each(pair, keyword, old, new)
            elif keyword in (*_ONE, *_EITHER_WAY) or ((old or None) != (new or None) and not keyword.startswith("x-")):
                yield _unclear(pair, keyword)

    def _more(self, pair: Pair, old: Any, new: Any) -> Iterator[Change]:
        """Compare ``additionalProperties``, which allows everything by default."""
        if (old is False) == (new is False):
            if old is not False:
                self._use(old, new, f"{pair.where}.*", pair.sent, pair)
            return
        # A response may have more fields, as with a new field.
        text = f"{pair.where}: other fields are {'no longer' if new is False else 'now'} allowed"
        yield Change(bool(pair.sent) and new is False, text)

    def _each(self, pair: Pair, keyword: str, old: Any, new: Any) -> Iterator[Change]:
        before, after = _numbered(old), _numbered(new)
        if before.keys() != after.keys():
            yield _unclear(pair, keyword)
        for key in sorted(before.keys() & after.keys()):
            where = pair.where if keyword == "allOf" else f"{pair.where}.{keyword}[{key}]"
            self._use(before[key], after[key], where, pair.sent, pair)


def _unclear(pair: Pair, what: str) -> Change:
    return Change(False, f"{pair.where}: {what} changed, and cannot be compared", unclear=True)


@dataclass(frozen=True, slots=True)
class _Branch:
    """One branch of a union."""

    part: Any
    """as written, perhaps a reference"""
    schema: Schema

    @property
    def types(self) -> frozenset[str]:
        return _types(self.schema) or _TYPES

    def __str__(self) -> str:
        return _name(self.part) or _listed(_choices(self.schema) or _types(self.schema))


_ALIKE: tuple[Callable[[_Branch, _Branch], bool], ...] = (
    lambda one, other: _name(one.part) == _name(other.part) != "",
    lambda one, other: one.schema == other.schema,
    lambda one, other: one.types == other.types,
)
"""which branches belong together, most certain first"""


def _visible(schema: Schema, resolver: Resolver, sent: bool | None) -> tuple[dict[str, Any], set[str]]:
    """Return the fields that a request or a response has, and the names of those that are required."""
    fields = schema.get("properties", {})
    hidden = {name for name, part in fields.items() if sent is not None and resolver.schema(part).get(_HIDDEN[sent])}
    return {name: part for name, part in fields.items() if name not in hidden}, {*schema.get("required", ())} - hidden


def _without_null(schema: Schema) -> tuple[Schema, ...]:
    """Return ``schema`` as branches: null, if it is possible, and the rest."""
    types = _given(schema)
    if types is None or not types > {"null"}:
        return (schema,)
    rest = {key: value for key, value in schema.items() if key != "nullable"} | {"type": sorted(types - {"null"})}
    if "enum" in rest:
        rest["enum"] = [value for value in rest["enum"] if value is not None]
    return rest, {"type": "null"}


def _numbered(parts: Any) -> dict[str, Any]:
    return parts if isinstance(parts, dict) else {str(number): part for number, part in enumerate(parts or ())}


def _values(pair: Pair) -> Iterator[Change]:
    """Compare single values. Senders must not be refused, and readers must not get new values."""
    old, new = pair.old, pair.new
    for what, found in (("type", _types), ("values", _choices)):
        before, after = found(old), found(new)
        if before != after:
            breaks = _narrower(before, after) if pair.sent else _narrower(after, before)
            yield Change(breaks, f"{pair.where}: {what} {_listed(before)} became {_listed(after)}")
    if bool(old.get("nullable")) != bool(new.get("nullable")) and _given(old) is _given(new) is None:
        yield _unclear(pair, "nullable")
    for name, sign in _BOUNDS.items():
        least, now = _bound(old, name, sign), _bound(new, name, sign)
        if least != now:
            narrower = least is None or (now is not None and now > least)
            text = f"{pair.where}: {name} {_shown(least, sign)} became {_shown(now, sign)}"
            yield Change(narrower if pair.sent else not narrower, text)
    for name in ("pattern", "format"):
        one, other = old.get(name), new.get(name)
        if one != other:
            narrower, wider = (one, other) not in _WIDER, (other, one) not in _WIDER
            breaks = (narrower and other is not None) if pair.sent else (wider and one is not None)
            yield Change(breaks, f"{pair.where}: {name} {one} became {other}")


def _types(schema: Schema) -> frozenset[str] | None:
    """Return the possible types of a value; None for any type. A number may be an integer."""
    types = _given(schema)
    if types is None:
        choices = _values_of(schema)
        types = None if choices is None else frozenset(_TYPE_OF.get(type(value), "null") for value in choices)
    return types and frozenset(types | {"integer"} if "number" in types else types)


def _given(schema: Schema) -> frozenset[str] | None:
    given = schema.get("type")
    if given is None:
        return None
    return frozenset([given] if isinstance(given, str) else given) | ({"null"} if schema.get("nullable") else set())


def _name(part: Any) -> str:
    """Return the name of a schema that ``part`` refers to, or ''."""
    return str(part["$ref"]).rpartition("/")[2] if isinstance(part, dict) and "$ref" in part else ""


def _values_of(schema: Schema) -> list[Any] | None:
    if "const" not in schema:
        return schema.get("enum")
    return [value for value in [schema["const"]] if value in schema.get("enum", [value])]


def _choices(schema: Schema) -> frozenset[str] | None:
    if (given := _values_of(schema)) is None:
        return None
    return frozenset(each if isinstance(each, str) else json.dumps(each, sort_keys=True) for each in given)


def _bound(schema: Schema, name: str, sign: int) -> tuple[float, bool] | None:
    """Return a bound as (value, whether it is excluded); the greater one allows less. None: every value is allowed.

    ``exclusiveMinimum`` is a flag in OpenAPI 3.0, and a number in 3.1.
    """
    value, exclusive = schema.get(name), schema.get(f"exclusive{name.capitalize()}")
    found = [] if value is None or (name in _SIZES and value == 0) else [(sign * value, exclusive is True)]
    if not isinstance(exclusive, bool) and exclusive is not None:
        found.append((sign * exclusive, True))
    return max(found, default=None)


def _shown(bound: tuple[float, bool] | None, sign: int) -> str:
    return "None" if bound is None else f"{bound[0] * sign}{' (excluded)' if bound[1] else ''}"


def _narrower(before: frozenset[str] | None, after: frozenset[str] | None) -> bool:
    """Whether a value that was possible before is impossible now; None means all values."""
    return after is not None and (before is None or not before <= after)


def _listed(values: frozenset[str] | None) -> str:
    return "any" if values is None else "|".join(sorted(values))
