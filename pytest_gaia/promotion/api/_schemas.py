"""Differences between two JSON Schemas in OpenAPI documents, for senders and for readers.

References are followed, and ``allOf`` is merged. Each pair of schemas is compared once, regardless of how often it is
used. This limits the work to the size of the documents, and handles recursive schemas. Differences in unknown keywords
are reported as unclear.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Schema = dict[str, Any]

FOR_PEOPLE = frozenset(
    ("title", "description", "default", "example", "examples", "deprecated", "externalDocs", "xml", "$comment", "$id",
     "$schema", "$anchor", "$defs", "definitions")
)  # fmt: skip
"""keywords that do not restrict values"""
_ANY: Schema = {}
_NOTHING: Schema = {"not": _ANY}


_LEAST = ("minLength", "minimum", "exclusiveMinimum", "minItems", "minProperties")
_MOST = ("maxLength", "maximum", "exclusiveMaximum", "maxItems", "maxProperties")
_COMPARED = frozenset(
    ("$ref", "type", "nullable", "enum", "const", "pattern", "format", "properties", "required", "anyOf", "oneOf")
) | {*_LEAST, *_MOST}
"""keywords with their own comparison"""
_ONE = ("items", "propertyNames", "then", "else", "unevaluatedItems", "unevaluatedProperties")
_EITHER_WAY = ("not", "if", "contains")
"""keywords whose schema may restrict or extend the values of the whole schema"""
_MANY = ("allOf", "prefixItems")
_NAMED = ("patternProperties", "dependentSchemas")
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
            self._found[id(part)] = known = part, self._merged(part)
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
        for name in reference[2:].split("/"):
            try:
                target = target[name.replace("~1", "/").replace("~0", "~")]
            except (KeyError, TypeError):
                raise ValueError(f"{reference}: the target does not exist") from None
        return target

    def _merged(self, part: Schema) -> Schema:
        """Return ``part`` merged with its ``$ref`` and ``allOf``. Contradictions stay in ``allOf``."""
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
        self._pairs: dict[tuple[int, int, bool | None], Pair] = {}
        self._next: deque[Pair] = deque()

    def old(self, part: Schema) -> Schema:
        """Return ``part`` of the older document, with references followed."""
        return self._before.followed(part)

    def new(self, part: Schema) -> Schema:
        """Return ``part`` of the newer document, with references followed."""
        return self._after.followed(part)

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
            name = (
                _name(new) if isinstance(new, dict) and "$ref" in new else user.name if isinstance(user, Pair) else ""
            )
            shown = where if len(where) <= _LONGEST else f"{where[:100]}…{where[-100:]}"
            pair = Pair(before, after, sent, shown, name)
            self._pairs[id(before), id(after), sent] = pair
            self._next.append(pair)
        pair.users.append(user)

    def _differences(self, pair: Pair) -> Iterator[Change]:
        yield from _values(pair.old, pair.new, pair.where, sent=pair.sent)
        yield from self._fields(pair)
        yield from self._branches(pair)
        yield from self._others(pair)

    def _fields(self, pair: Pair) -> Iterator[Change]:
        where, sent = pair.where, pair.sent
        before, after = pair.old.get("properties", {}), pair.new.get("properties", {})
        needed_before, needed_after = set(pair.old.get("required", ())), set(pair.new.get("required", ()))
        for name in sorted(before.keys() - after.keys()):
            yield Change(True, f"{where}.{name} is gone")
        for name in sorted(after.keys() - before.keys()):
            yield Change(bool(sent) and name in needed_after, f"{where}.{name} is new")
        for name in sorted((needed_before ^ needed_after) - (before.keys() ^ after.keys())):
            yield Change((name in needed_after) == sent, f"{where}.{name} is {_demand(name in needed_after)}")
        for name in sorted(before.keys() & after.keys()):
            self._use(before[name], after[name], f"{where}.{name}", sent, pair)

    def _branches(self, pair: Pair) -> Iterator[Change]:
        """Compare the branches of ``anyOf`` and ``oneOf`` with the same type. Other branches count as types."""
        alike = _types(pair.old) == _types(pair.new)
        if alike and bool(pair.old.get("nullable")) != bool(pair.new.get("nullable")):
            yield _unclear(pair, "nullable")
        for keyword, other in (("anyOf", "oneOf"), ("oneOf", "anyOf")):
            if keyword not in pair.old and keyword not in pair.new:
                continue
            # A schema without branches counts as its only branch.
            before, after = (
                _by_kind(each.get(keyword, () if other in each else (each,))) for each in (pair.old, pair.new)
            )
            unpaired = (before.keys() - after.keys(), after.keys() - before.keys())
            if all(unpaired) or (any(unpaired) and alike) or pair.old.get("type") != pair.new.get("type"):
                yield _unclear(pair, keyword)
            for kind in sorted(before.keys() & after.keys()):
                if len(before[kind]) != len(after[kind]):
                    yield _unclear(pair, f"{keyword} of {kind}")
                for old, new in zip(before[kind], after[kind], strict=False):
                    self._use(old, new, pair.where, pair.sent, pair)

    def _others(self, pair: Pair) -> Iterator[Change]:
        for keyword in sorted((pair.old.keys() | pair.new.keys()) - _COMPARED - FOR_PEOPLE):
            old, new = pair.old.get(keyword), pair.new.get(keyword)
            if keyword in _ONE and (old is False) == (new is False):
                self._use(old, new, _inside(pair.where, keyword), pair.sent, pair)
            elif keyword in _EITHER_WAY and None not in (old, new):
                self._use(old, new, _inside(pair.where, keyword), None, pair)
            elif keyword == "additionalProperties":
                yield from self._more(pair, old, new)
            elif keyword in _MANY or keyword in _NAMED:
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


def _inside(where: str, keyword: str) -> str:
    return f"{where}[]" if keyword == "items" else f"{where}.{keyword}"


def _by_kind(parts: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for part in parts:
        kind = _listed(_types(part) or frozenset({_name(part)})) if isinstance(part, dict) else str(part)
        found.setdefault(kind, []).append(part)
    return found


def _numbered(parts: Any) -> dict[str, Any]:
    if parts is None:
        return {}
    return dict(parts) if isinstance(parts, dict) else {str(number): part for number, part in enumerate(parts)}


def _changed(sent: bool | None, narrower: bool, wider: bool) -> bool:
    """Whether a change of values breaks clients: senders must not be refused, readers must not get new values."""
    return narrower if sent else wider


def _values(old: Schema, new: Schema, where: str, *, sent: bool | None) -> Iterator[Change]:
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
    """Return the possible types of a value; None for any type. A number may be an integer."""
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
    """Whether a value that was possible before is impossible now; None means all values."""
    return after is not None and (before is None or not before <= after)


def _bounds(before: float | None, after: float | None, *, upper: bool) -> bool:
    if before is None or after is None:
        return before is None
    return after < before if upper else after > before


def _listed(values: frozenset[str] | None) -> str:
    return "any" if values is None else "|".join(sorted(values))


def _demand(required: bool) -> str:
    return "now required" if required else "no longer required"
