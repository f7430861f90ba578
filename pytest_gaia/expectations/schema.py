"""Keys and types of expectation files, their JSON Schema, and checks that types cannot express."""

import re
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct, structs

from pytest_gaia.config.platform import Platform
from pytest_gaia.config.services import unknown_service
from pytest_gaia.config.tolerance import Tolerance
from pytest_gaia.errors import nearest
from pytest_gaia.expectations.apis import NamedOperation
from pytest_gaia.expectations.subjects import DIRECT, KEYS, parse_selector
from pytest_gaia.files.decoding import OldNames

# No patterns on strings: msgspec 0.22 breaks the interpreter's last garbage collection if a value did not match such a type.
Texts: TypeAlias = str | list[str]
Status: TypeAlias = Annotated[int, Meta(ge=100, le=599)]
Method: TypeAlias = Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]
Kind: TypeAlias = Literal[
    "assertion", "http", "timeout", "unreachable", "error", "background", "swallowed", "direct connection"
]
Phase: TypeAlias = Literal["setup", "call", "teardown"]


class WhenTable(Struct, frozen=True, forbid_unknown_fields=True):
    """Conditions: services that the run must have observed (``orders``) or not observed (``!orders``), and operations."""

    capability: Texts = []
    """one service of the project, or a list of services that must all hold"""
    offers: Texts = []
    """operation that the release must offer (`orders: GET /orders`) or must not offer (`!orders: GET /orders`)"""


class MatchTable(Struct, frozen=True, forbid_unknown_fields=True):
    """Failure signature. Every field must match; one value of a list is enough."""

    kind: Kind | list[Kind] = []
    """kind of failure"""
    status: Status | list[Status] = []
    """HTTP status of the response"""
    service: Texts = []
    """service that was called"""
    via: Texts = []
    """`direct`, or the service through which it was called"""
    route: Texts = []
    """path template of the request, such as `/personas/{id}`"""
    method: Method | list[Method] = []
    """method of the request"""
    message: Texts = []
    """text that the failure message contains"""
    sqlstate: Texts = []
    """SQLSTATE of a PostgreSQL error, such as 42501"""
    reason: Texts = []
    """class of an error of a client of NATS or Redis, such as `NoRespondersError`"""


class ExpectationTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One known cause of failures: which tests fail, where, why and until when."""

    reason: str
    """cause of the failures, in one sentence"""
    issue: str
    """issue that tracks the cause"""
    owner: str
    """person or team that resolves the issue"""
    created: date
    """day on which the expectation was created"""
    expires: date
    """first day on which the expectation no longer applies"""
    environments: list[str]
    """environments in which the failures are expected; never production"""
    tests: list[str] = []
    """selectors: node ID, file, folder, `service:NAME`, `marker:NAME` or `all`; required except for `removed`"""
    operations: Texts = []
    """for `removed`: operations that the release no longer offers, such as `orders: GET /v1/*`; `*` also for any method"""
    expect: Literal["fail", "flaky", "pass", "skip", "removed"] = "fail"
    """expected outcome: always fail, sometimes fail, pass (an exception to a broader expectation), or skip; `removed`
    accepts operations that are gone"""
    phase: Phase | list[Phase] | None = None
    """phases of the test that may fail; `call` by default"""
    when: WhenTable = WhenTable()
    """capabilities under which the expectation applies"""
    match: MatchTable = MatchTable()
    """failure signature; required for `fail` and `flaky`"""
    max_failures: Annotated[int, Meta(ge=1)] | None = None
    """most tests that may fail, or operations that may be gone, in one run"""
    justification: str | None = None
    """why the expectation covers more than before; required by `gaia expectations ratchet`"""


OLD_NAMES = OldNames(
    keys={
        "why": "reason",
        "added": "created",
        "max_tests": "max_failures",
        "widened": "justification",
        "match.nats": "reason",
    },
    values={"expect": {"fails": "fail", "passes": "pass", "skips": "skip"}},
)
"""former names of keys and values, which are accepted with a notice"""

_REQUIRED = tuple(item.encode_name for item in structs.fields(ExpectationTable) if item.required)


def missing_keys(document: Mapping[str, object]) -> list[str]:
    """Return the keys that the file ``document`` must have and lacks."""
    # `problems` explains `operations` without expect = "removed".
    about = "operations" if document.get("expect") == "removed" or "operations" in document else "tests"
    return [key for key in (*_REQUIRED, about) if key not in document]


def schema() -> dict[str, Any]:
    """Return the JSON Schema of expectation files."""
    # Only this command needs it.
    from pytest_gaia.files.decoding import json_schema

    return json_schema(ExpectationTable, "expectation.toml", {})


Problem = tuple[tuple[str, ...], str]
"""(key, problem)"""


def problems(table: ExpectationTable, environments: Mapping[str, Tolerance], platform: Platform) -> Iterator[Problem]:
    """Yield the problems of ``table``; ``environments`` and the services of ``platform`` are those of the project."""
    if as_list(table.operations) and table.expect != "removed":
        if not table.tests:
            yield ("operations",), 'requires expect = "removed".'
            return
        yield ("operations",), f"has no effect with expect = {table.expect!r}; remove it."
    yield from _texts(table)
    if table.expires <= table.created:
        yield ("expires",), f"{table.expires} is not after `created`, {table.created}."
    yield from _environments(table, environments)
    yield from _tests(table.tests, platform)
    yield from _operations(table, platform)
    yield from _capabilities(as_list(table.when.capability), platform)
    yield from _services(table.match, platform)
    yield from _signature(table)
    yield from _fitting(table)


def as_list(value: object) -> list[Any]:
    """Return ``value`` as a list."""
    return value if isinstance(value, list) else [value]


def _texts(table: ExpectationTable) -> Iterator[Problem]:
    for key in ("reason", "issue", "owner", "justification"):
        text = getattr(table, key)
        if text is not None and not text.strip():
            yield (key,), "must not be empty."
    about = "operations" if table.expect == "removed" else "tests"
    for key in ("environments", "tests", "operations"):
        values = as_list(getattr(table, key))
        if not values and key in ("environments", about):
            yield (key,), "must not be an empty list."
        yield from (((key,), f"{each!r} is listed twice.") for each in _repeated(values))


def _repeated(values: Sequence[str]) -> list[str]:
    if len(set(values)) == len(values):
        return []
    return [value for value in dict.fromkeys(values) if values.count(value) > 1]


def _environments(table: ExpectationTable, known: Mapping[str, Tolerance]) -> Iterator[Problem]:
    for name in table.environments:
        if name not in known:
            yield ("environments",), f"unknown environment {name!r}; {nearest(name, known)}"
        elif known[name].kind == "strict" and table.expect != "removed":
            yield ("environments",), f"{name} has strict tolerance; an expectation of failures cannot apply there."


def _operations(table: ExpectationTable, platform: Platform) -> Iterator[Problem]:
    key, conditions = ("when", "offers"), [str(each) for each in as_list(table.when.offers)]
    offered = yield from _named(key, (each for each in conditions if not each.startswith("!")), platform)
    lacking = yield from _named(key, (each[1:] for each in conditions if each.startswith("!")), platform)
    patterns = yield from _named(("operations",), map(str, as_list(table.operations)), platform, pattern=True)
    for meaning, operation in offered.items():
        if meaning in lacking:
            yield key, f"'{operation}' and '!{operation}' cannot both hold."
        if meaning in patterns:
            yield key, f"'{operation}' is also one of `operations`; it cannot be offered and gone."
    for each in patterns.values():
        if each.path == "/*":
            yield ("operations",), f"'{each}' covers the whole API of {each.service}; name a path, such as '/v1/*'."


def _named(
    key: tuple[str, ...], texts: Iterable[str], platform: Platform, *, pattern: bool = False
) -> Generator[Problem, None, dict[str, NamedOperation]]:
    """Yield the problems of operations, and return the valid ones by their meaning."""
    found: dict[str, NamedOperation] = {}
    for text in texts:
        try:
            operation = NamedOperation.of(text, platform.entry, pattern=pattern)
        except ValueError as error:
            yield key, f"{error}."
            continue
        if operation.service not in platform:
            yield key, unknown_service(operation.service, platform, platform.http)
        elif operation.service not in platform.http:
            yield key, f"{operation.service} is not an HTTP service; {nearest(operation.service, platform.http)}"
        elif operation.meaning in found:
            yield key, f"{text!r} is listed twice."
        found[operation.meaning] = operation
    return found


def _tests(texts: Sequence[str], platform: Platform) -> Iterator[Problem]:
    for text in texts:
        try:
            selector = parse_selector(text)
        except ValueError as error:
            yield ("tests",), f"{error}."
            continue
        service = text.removeprefix("service:")
        if selector.kind == "service" and service not in platform:
            yield ("tests",), unknown_service(service, platform)


def _services(match: MatchTable, platform: Platform) -> Iterator[Problem]:
    for name in map(str, as_list(match.service)):
        if name not in platform:
            yield ("match", "service"), unknown_service(name, platform)
    ways = tuple(dict.fromkeys((DIRECT, *(each.via for each in platform.services.values() if each.via))))
    for way in map(str, as_list(match.via)):
        if way not in ways:
            yield ("match", "via"), f"unknown value {way!r}; {nearest(way, ways)}"


def _capabilities(texts: Sequence[object], platform: Platform) -> Iterator[Problem]:
    for text in map(str, texts):
        name = text.removeprefix("!")
        if name not in platform:
            yield ("when", "capability"), unknown_service(name, platform)
        if f"!{text}" in texts:
            yield ("when", "capability"), f"{text!r} and '!{text}' cannot both hold."


def _signature(table: ExpectationTable) -> Iterator[Problem]:
    for key in ("message", "reason"):
        if not all(str(each).strip() for each in as_list(getattr(table.match, key))):
            yield ("match", key), "must not be empty; an empty text matches every failure."
    for route in as_list(table.match.route):
        if not str(route).startswith("/"):
            yield ("match", "route"), f"{route!r} is not a path template; it must start with '/'."
    for state in as_list(table.match.sqlstate):
        if not re.fullmatch("[0-9A-Z]{5}", str(state)):
            yield ("match", "sqlstate"), f"{state!r} is not a SQLSTATE, which has five characters, such as 42501."


def _fitting(table: ExpectationTable) -> Iterator[Problem]:
    """Yield keys that contradict the expected outcome."""
    given = {key for key in KEYS if as_list(getattr(table.match, key))}
    if table.expect in ("fail", "flaky"):
        if not given:
            yield ("expect",), f"{table.expect!r} needs a `match`; without one, every failure would be expected."
        if not as_list(table.phase):
            yield ("phase",), "must not be an empty list; remove it for `call`."
        return
    removed = table.expect == "removed"
    useless: dict[tuple[str, ...], bool] = {
        **{("match", key): True for key in sorted(given - ({"message"} if table.expect == "skip" else set()))},
        ("phase",): table.phase is not None,
        ("max_failures",): table.expect == "pass" and table.max_failures is not None,
        ("tests",): removed and bool(table.tests),
        ("when", "capability"): removed and bool(as_list(table.when.capability)),
    }
    yield from ((key, f"has no effect with expect = {table.expect!r}; remove it.") for key in useless if useless[key])
