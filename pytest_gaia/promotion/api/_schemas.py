"""The difference of two JSON Schemas as they stand in OpenAPI documents, seen by who sends and by who reads.

References are followed, and what ``allOf`` adds is merged. A pair of schemas is compared once, wherever it is used, so
that the work grows with the documents and not with the ways through them; that also ends schemas that refer to
themselves. What is not understood and differs is reported as unclear.
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
"""keywords that say nothing about values"""
_ANY: Schema = {}
_NOTHING: Schema = {"not": _ANY}


_LEAST = ("minLength", "minimum", "exclusiveMinimum", "minItems", "minProperties")
_MOST = ("maxLength", "maximum", "exclusiveMaximum", "maxItems", "maxProperties")
_COMPARED = frozenset(
    ("$ref", "type", "nullable", "enum", "const", "pattern", "format", "properties", "required", "anyOf", "oneOf")
) | {*_LEAST, *_MOST}
"""keywords with a comparison of their own"""
_ONE = ("items", "propertyNames", "then", "else", "unevaluatedItems", "unevaluatedProperties")
_EITHER_WAY = ("not", "if", "contains")
"""keywords that hold a schema of which nobody can tell whether to allow less in it allows less as a whole"""
_MANY = ("allOf", "prefixItems")
_NAMED = ("patternProperties", "dependentSchemas")
_LONGEST = 300
"""characters of a place, before its middle is left out"""
ALSO = 4
"""operations that are named beside the first one"""
_LOOKED_AT = 500
"""pairs that are looked through for them"""


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


@dataclass(frozen=True, slots=True)
class Change:
    """One difference, and whether it breaks a client of the older document."""

    breaks: bool
    text: str
    unclear: bool = False
    """whether it is not known if it breaks: this part could not be compared"""
    pair: Pair | None = None


@dataclass(slots=True, eq=False)
class Pair:
    """Two schemas that stand in the same place of two documents."""

    old: Schema
    new: Schema
    sent: bool | None
    """whether the client sends it, or reads it; None: every difference of it is unclear"""
    where: str
    """the first place"""
    name: str = ""
    """of the schema that it belongs to, if that has one"""
    users: list[Pair | str] = field(default_factory=list)
    """what they are used by: schemas, and operations"""


class Schemas:
    """The schemas of two documents, whose references are followed."""

    def __init__(self, before: Schema, after: Schema) -> None:
        self.operation = ""
        """the one that is being compared"""
        self._before = Resolver(before)
        self._after = Resolver(after)
        self._pairs: dict[tuple[int, int, bool | None], Pair] = {}
        self._next: deque[Pair] = deque()

    def old(self, part: Schema) -> Schema:
        """Return ``part`` of the older document, followed if it is a reference."""
        return self._before.followed(part)

    def new(self, part: Schema) -> Schema:
        """Return ``part`` of the newer document, followed if it is a reference."""
        return self._after.followed(part)

    def request(self, old: Schema | None, new: Schema | None, where: str) -> Iterator[Change]:
        """Yield the differences of what may be sent: to allow less breaks."""
        yield from self._compared(old, new, where, sent=True)

    def answer(self, old: Schema | None, new: Schema | None, where: str) -> Iterator[Change]:
        """Yield the differences of what is answered: to say less, or something else, breaks."""
        yield from self._compared(old, new, where, sent=False)

    def also(self, change: Change, operation: str) -> tuple[str, ...]:
        """Return other operations than ``operation`` that use the schemas of ``change``, a few of them."""
        users: deque[Pair | str] = deque([change.pair] if change.pair else [])
        found: list[str] = []
        seen: set[int] = set()
        while users and len(found) <= ALSO and len(seen) < _LOOKED_AT:
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
        """Have two schemas compared, unless they have been."""
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
        """Compare the branches of ``anyOf`` and ``oneOf`` that are of one kind; those of one side alone are its types."""
        alike = _types(pair.old) == _types(pair.new)
        if alike and bool(pair.old.get("nullable")) != bool(pair.new.get("nullable")):
            yield _unclear(pair, "nullable")
        for keyword, other in (("anyOf", "oneOf"), ("oneOf", "anyOf")):
            if keyword not in pair.old and keyword not in pair.new:
                continue
            # A schema without branches is its only one.
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
        """Compare what else an object may hold: anything unless it says otherwise."""
        if (old is False) == (new is False):
            if old is not False:
                self._use(old, new, f"{pair.where}.*", pair.sent, pair)
            return
        # An answer may say more, as where a field is new.
        text = f"{pair.where}: other fields are {'no longer' if new is False else 'now'} taken"
        yield Change(bool(pair.sent) and new is False, text)

    def _each(self, pair: Pair, keyword: str, old: Any, new: Any) -> Iterator[Change]:
        before, after = _numbered(old), _numbered(new)
        if before.keys() != after.keys():
            yield _unclear(pair, keyword)
        for key in sorted(before.keys() & after.keys()):
            where = pair.where if keyword == "allOf" else f"{pair.where}.{keyword}[{key}]"
            self._use(before[key], after[key], where, pair.sent, pair)


def _unclear(pair: Pair, what: str) -> Change:
    return Change(False, f"{pair.where}: {what} changed, and is not compared", unclear=True)


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
    """Whether other values break a client: who sends must not be refused, who reads must not be surprised."""
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
