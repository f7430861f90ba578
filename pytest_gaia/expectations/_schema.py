"""The tables of a file of rules: their keys and types, and what msgspec cannot check about them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct, field

from pytest_gaia.config.platform import SERVICES
from pytest_gaia.config.tolerance import Tolerance
from pytest_gaia.errors import nearest
from pytest_gaia.expectations.selectors import KEYS, parse
from pytest_gaia.expectations.subjects import CAPABILITIES

# No patterns on strings: msgspec 0.22 breaks the interpreter's last garbage collection when such a type met a mistake.
Texts: TypeAlias = str | list[str]
Status: TypeAlias = Annotated[int, Meta(ge=100, le=599)]
Service: TypeAlias = Literal["gateway", "auth", "asset", "chat", "nats", "postgres"]
Via: TypeAlias = Literal["direct", "gateway"]
Method: TypeAlias = Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]
Kind: TypeAlias = Literal["assertion", "http", "timeout", "unreachable", "error"]
Phase: TypeAlias = Literal["setup", "call", "teardown"]


class WhenTable(Struct, frozen=True, forbid_unknown_fields=True):
    """``when``: what must have been observed (``chat``) or not (``!chat``)."""

    capability: Texts = []


class MatchTable(Struct, frozen=True, forbid_unknown_fields=True):
    """``match``: the signature of the failure; of a list, one value has to fit."""

    kind: Kind | list[Kind] = []
    status: Status | list[Status] = []
    service: Service | list[Service] = []
    via: Via | list[Via] = []
    route: Texts = []
    method: Method | list[Method] = []
    message: Texts = []
    sqlstate: Texts = []
    nats: Texts = []


class ExpectationTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file."""

    reason: str = field(name="why")
    issue: str
    owner: str
    added: date
    expires: date
    environments: list[str]
    tests: list[str]
    expect: Literal["fails", "flaky", "passes", "skips"] = "fails"
    phase: Phase | list[Phase] | None = None
    when: WhenTable = WhenTable()
    match: MatchTable = MatchTable()
    max_tests: Annotated[int, Meta(ge=1)] | None = None
    justification: str | None = field(name="widened", default=None)


UsageError = tuple[tuple[str, ...], str]
"""(key, what is wrong with it)"""


def usage_errors(table: ExpectationTable, environments: Mapping[str, Tolerance]) -> Iterator[UsageError]:
    """Yield what is wrong with ``table``; ``environments`` are those that the project knows."""
    yield from _texts(table)
    if table.expires <= table.added:
        yield ("expires",), f"{table.expires} is not after `added`, {table.added}."
    yield from _environments(table.environments, environments)
    yield from _tests(table.tests)
    yield from _capabilities(as_list(table.when.capability))
    yield from _signature(table)
    yield from _fitting(table)


def as_list(value: object) -> list[Any]:
    """Return a value that may stand alone as the list that it stands for."""
    return value if isinstance(value, list) else [value]


def _texts(table: ExpectationTable) -> Iterator[UsageError]:
    named = {"why": table.reason, "issue": table.issue, "owner": table.owner, "widened": table.justification}
    for key, text in named.items():
        if text is not None and not text.strip():
            yield (key,), "is empty; a rule that nobody explains and nobody owns stays for ever."
    for key in ("environments", "tests"):
        values = getattr(table, key)
        if not values:
            yield (key,), "is an empty list; the rule would be about nothing."
        yield from (((key,), f"{each!r} stands in it twice.") for each in _repeated(values))


def _repeated(values: Sequence[str]) -> list[str]:
    if len(set(values)) == len(values):
        return []
    return [value for value in dict.fromkeys(values) if values.count(value) > 1]


def _environments(names: Sequence[str], known: Mapping[str, Tolerance]) -> Iterator[UsageError]:
    for name in names:
        if name not in known:
            yield ("environments",), f"unknown environment {name!r}; {nearest(name, known)}"
        elif known[name].kind == "zero":
            yield ("environments",), f"{name} tolerates nothing, so no rule may name it."


def _tests(texts: Sequence[str]) -> Iterator[UsageError]:
    for text in texts:
        try:
            selector = parse(text)
        except ValueError as error:
            yield ("tests",), f"{error}."
            continue
        service = text.removeprefix("service:")
        if selector.kind == "service" and service not in SERVICES:
            yield ("tests",), f"unknown service {service!r}; {nearest(service, SERVICES)}"


def _capabilities(texts: Sequence[object]) -> Iterator[UsageError]:
    for text in map(str, texts):
        name = text.removeprefix("!")
        if name not in CAPABILITIES:
            yield ("when", "capability"), f"unknown capability {name!r}; {nearest(name, CAPABILITIES)}"
        if f"!{text}" in texts:
            yield ("when", "capability"), f"{text!r} and '!{text}' cannot both hold."


def _signature(table: ExpectationTable) -> Iterator[UsageError]:
    for key in ("message", "nats"):
        if not all(str(each).strip() for each in as_list(getattr(table.match, key))):
            yield ("match", key), "is empty, and would be found in everything."
    for route in as_list(table.match.route):
        if not str(route).startswith("/"):
            yield ("match", "route"), f"{route!r} is no path template; it starts with '/'."
    for state in as_list(table.match.sqlstate):
        if not re.fullmatch("[0-9A-Z]{5}", str(state)):
            yield ("match", "sqlstate"), f"{state!r} is no SQLSTATE; one is five characters, such as 42501."


def _fitting(table: ExpectationTable) -> Iterator[UsageError]:
    """Yield keys that do not go with what the rule expects."""
    asked = {key for key in KEYS if as_list(getattr(table.match, key))}
    if table.expect in ("fails", "flaky"):
        if not asked:
            yield (
                ("expect",),
                (
                    f"{table.expect!r} needs a `match`: without a signature, any other failure would hide behind the rule."
                ),
            )
        if not as_list(table.phase):
            yield ("phase",), "is an empty list; leave it out for `call`."
        return
    for key in sorted(asked - ({"message"} if table.expect == "skips" else set())):
        yield ("match", key), f"says nothing beside expect = {table.expect!r}; leave it out."
    if table.phase is not None:
        yield ("phase",), f"says nothing beside expect = {table.expect!r}; leave it out."
    if table.expect == "passes" and table.max_tests is not None:
        yield ("max_tests",), "says nothing beside expect = 'passes'; leave it out."
