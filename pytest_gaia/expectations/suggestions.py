"""Draft expectations: one for all failures with the same signature, and one for all operations that are gone."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from pytest_gaia.expectations.apis import NamedOperation, removed_without_tests
from pytest_gaia.expectations.formatting import document
from pytest_gaia.expectations.subjects import GROUP, Context, FailureDetails, Match, Subject, keys_of, parse_selector
from pytest_gaia.secrets.masks import MASK, unkeyed
from pytest_gaia.secrets.names import is_secret_parameter
from pytest_gaia.wording import counted

MOST_VALUES = 4
"""most routes or methods of a signature; with more, the signature names none"""

LEAST_MESSAGE = 8
"""fewest characters of a message in a signature"""

DAYS = 28
"""lifetime of a draft, in days"""


@dataclass(frozen=True, slots=True)
class Failing:
    """One failure that no expectation covers."""

    environment: str
    subject: Subject
    details: FailureDetails
    flaky: bool = False
    """whether the test passed in another run"""


_ANYTHING = Match()


@dataclass(frozen=True, slots=True)
class Draft:
    """An expectation without reason, issue and owner."""

    name: str
    environment: str
    expect: str
    count: int
    """tests that failed like this, or operations that are gone"""
    example: str
    """first line of one message, or the baseline that has the operations"""
    phase: str = "call"
    match: Match = _ANYTHING
    tests: tuple[str, ...] = ()
    """selectors"""
    operations: tuple[str, ...] = ()
    """patterns"""


def drafts(failures: Iterable[Failing], executed: Iterable[str]) -> list[Draft]:
    """Return one draft per signature, the most frequent first. ``executed`` are the node IDs of all executed tests."""
    clusters: defaultdict[object, list[Failing]] = defaultdict(list)
    for each in failures:
        clusters[_likeness(each)].append(each)
    all_nodes = sorted(set(executed))
    ordered = sorted(clusters.values(), key=lambda cluster: (-len(cluster), cluster[0].subject.node))
    taken: Counter[str] = Counter()
    return [_draft(cluster, all_nodes, taken) for cluster in ordered]


def removal(context: Context, gone: Iterable[str]) -> Draft:
    """Return a draft for operations that are ``gone`` in a run. It covers no operation that the release offers."""
    apis = context.apis
    needed = list(map(NamedOperation.written, gone))
    offered = (NamedOperation.written(f"{name}: {each}") for name, api in apis.now.items() for each in api.operations)
    operations = patterns(needed, offered)
    every = {*map(str, needed), *removed_without_tests(apis, (), context.today)}
    return Draft(
        name=f"{context.environment}-removed",
        environment=context.environment,
        expect="removed",
        count=sum(any(pattern.covers(each) for pattern in operations) for each in every),
        example=apis.baseline.name if apis.baseline else "",
        operations=tuple(map(str, operations)),
    )


def patterns(gone: Iterable[NamedOperation], offered: Iterable[NamedOperation]) -> list[NamedOperation]:
    """Return few patterns that cover ``gone``, none of ``offered``, and never the whole API of a service."""
    foreign = {each.meaning for operation in offered for each in _around(operation)}
    left = {each.meaning: each for each in gone}
    found: list[NamedOperation] = []
    while left:
        able = {each.meaning: each for operation in left.values() for each in _around(operation)}
        covering = Counter(each.meaning for operation in left.values() for each in _around(operation))
        # Of two patterns that cover the same operations, prefer the narrower one.
        best = max(
            (each for meaning, each in able.items() if meaning not in foreign),
            key=lambda each: (covering[each.meaning], each.method != "*", len(each.path), str(each)),
            default=next(iter(left.values())),
        )
        found.append(best)
        left = {meaning: each for meaning, each in left.items() if not best.covers(str(each))}
    return sorted(found, key=str)


def _around(operation: NamedOperation) -> Iterator[NamedOperation]:
    """Yield the operation, and every pattern of whole parts of paths that covers it."""
    parts = operation.path.split("/")
    paths = [operation.path, *("/".join([*parts[:length], "*"]) for length in range(2, len(parts)))]
    yield from (replace(operation, method=method, path=path) for path in paths for method in (operation.method, "*"))


def written(draft: Draft, today: date, longest_days: int) -> str:
    """Return the draft as TOML. It is invalid until the empty values are filled in."""
    signature = {key: _plain(getattr(draft.match, key)) for key in draft.match.keys}
    hint = ""
    if signature.keys() == {"kind"}:
        # The kind alone would match every other failure of these tests.
        signature["message"] = ""
        hint = "# Add part of the message: without it, every failure of this kind would be expected.\n"
    values: Mapping[str, object] = {
        "reason": "",
        "issue": "",
        "owner": "",
        "created": today,
        "expires": today + timedelta(min(DAYS, longest_days)),
        "environments": [draft.environment],
        "tests": list(draft.tests) or None,
        "operations": list(draft.operations) or None,
        "expect": draft.expect,
        "phase": draft.phase if draft.phase != "call" else None,
        "match": signature or None,
        "max_failures": draft.count,
    }
    example = f"compared with {draft.example}" if draft.expect == "removed" else draft.example
    head = (
        f"# {_found(draft)} {draft.environment}:\n"
        f"# {example}\n"
        f"# gaia does not read drafts. Fill in reason, issue and owner, then move the file to expectations/{draft.name}.toml\n"
        f"{hint}"
    )
    return f"{head}\n{document(values)}"


def _found(draft: Draft) -> str:
    if draft.expect != "removed":
        return f"{counted(draft.count, 'test')} failed like this in"
    return f"{counted(draft.count, 'operation')} {'is' if draft.count == 1 else 'are'} gone in"


def _plain(values: Sequence[object]) -> object:
    return list(values) if len(values) > 1 else values[0]


_LONGEST_LINE = 2000
"""characters of a message that are read"""
_QUOTED = re.compile(r"""'[^']*'|"[^"]*\"""")
_CUT = "\n"
_CODE = re.compile(r"\d{6}|(?=[a-z-]{0,7}\d)(?=[\d-]{0,7}[a-z])[a-z\d-]{8}", re.IGNORECASE)
"""start of a one-time code, an invitation or a key: six digits, or eight letters and digits"""
_SEGMENT = re.compile(r"[A-Za-z]{5,}")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_UNPRONOUNCEABLE = re.compile(r"[^aeiouy]{6}|^(?!https$)[^aeiouy]+$", re.IGNORECASE)
_LEAST_RANDOM = 5
"""fewest letters of a word that can look random"""
_LONGEST_WORD = 30
_SHORTEST_PARTS = 2.5
"""mean number of letters; random text alternates between capital and small letters faster than CamelCase"""


def literal(message: str) -> str:
    """Return the longest part of the first line that similar failures share: without numbers, IDs and quoted values.

    If that is too short, return the longest part with them. The part never contains random words or values of secrets,
    because drafts are committed.
    """
    first = _first_line(message)
    stable = _QUOTED.sub(_CUT, _without_brackets(first))
    return _longest(_pieces(stable, _has_digit)) or _longest(_pieces(first))


def narrow(message: str) -> str:
    """Return the longest part of the first line that failures with the same cause share.

    It includes quoted values, and numbers if values were compared.
    """
    first = _first_line(message)
    compared = first.removeprefix("AssertionError: ").startswith("assert ")
    return ("" if compared else _longest(_pieces(first, _has_digit))) or _longest(_pieces(first))


def _first_line(message: str) -> str:
    line = unkeyed(message.strip().partition("\n")[0])
    return line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE].rpartition(" ")[0]


def _longest(pieces: Iterable[str]) -> str:
    longest = max(pieces, key=len, default="")
    return longest if len(longest) >= LEAST_MESSAGE else ""


def _has_digit(word: str) -> bool:
    return any(map(str.isdigit, word))


def _without_brackets(line: str) -> str:
    """Return ``line`` without the text between the outermost braces and between the outermost brackets."""
    for opening, closing in ("{}", "[]"):
        start, end = line.find(opening), line.rfind(closing)
        if 0 <= start < end:
            line = line[:start] + _CUT + line[end + 1 :]
    return line


def _pieces(line: str, varies: Callable[[str], bool] = lambda _: False) -> list[str]:
    """Return the parts of ``line`` between words that vary or may be secrets."""
    kept = [_CUT if MASK in word or varies(word) or hidden else word for word, hidden in _words(line)]
    return [" ".join(piece.split()).strip(" .,:;()") for piece in "".join(kept).split(_CUT)]


def _words(line: str) -> Iterator[tuple[str, bool]]:
    """Yield (word or spaces, whether it may be a secret)."""
    before, in_key = "", False
    for word in re.findall(r"\s+|\S+", line):
        if word.isspace():
            yield word, False
            continue
        in_key = in_key or "-----BEGIN" in word
        name = before.strip("\"'()[]{}<>,.:=")
        beside = before[-1:] in (":", "=") or word[0] in "\"'"
        yield word, in_key or _is_random(word) or _holds_parameters(word) or (beside and is_secret_parameter(name))
        before = word


def _holds_parameters(word: str) -> bool:
    """Return whether ``word`` is a URL with a query or a user, or contains a secret with its name."""
    name, equals, value = word.partition("=")
    address = "://" in word and ("?" in word or "@" in word)
    return address or (bool(equals and value) and is_secret_parameter(name.strip("\"'([{<,").rpartition("&")[2]))


def _is_random(word: str) -> bool:
    """Return whether the letters of ``word`` look random."""
    if _CODE.search(word):
        return True
    for segment in _SEGMENT.findall(word):
        parts = _PART.findall(segment)
        longest = max(map(len, parts))
        if longest > _LONGEST_WORD or any(
            _UNPRONOUNCEABLE.search(part) for part in parts if len(part) >= _LEAST_RANDOM
        ):
            return True
        if len(segment) > _LEAST_RANDOM and len(segment) / len(parts) < _SHORTEST_PARTS:
            return True
    return False


def _example(message: str) -> str:
    """Return the first line of the message without possible secrets."""
    return "".join("…" if hidden else word for word, hidden in _words(_first_line(message)))[:200]


def _likeness(failing: Failing) -> tuple[object, ...]:
    details = failing.details
    wire = (details.status, details.service, details.via, details.sqlstate, details.reason)
    # Protocol fields are the better signature: messages change with every release.
    message = "" if _is_on_the_wire(details) else literal(details.message)
    return (failing.environment, failing.flaky, details.phase, details.kind, *wire, message)


def _is_on_the_wire(details: FailureDetails) -> bool:
    """Return whether a status or error code identifies the failure."""
    return any(value is not None for value in (details.status, details.sqlstate, details.reason))


def _draft(cluster: Sequence[Failing], executed: Sequence[str], taken: Counter[str]) -> Draft:
    first = cluster[0]
    nodes = sorted({each.subject.node for each in cluster})
    name = _name(first)
    taken[name] += 1
    return Draft(
        name=name if taken[name] == 1 else f"{name}-{taken[name]}",
        environment=first.environment,
        phase=first.details.phase,
        expect="flaky" if first.flaky else "fail",
        match=_match(cluster),
        tests=compressed(nodes, executed),
        count=len(nodes),
        example=_example(first.details.message),
    )


def _match(cluster: Sequence[Failing]) -> Match:
    details = cluster[0].details
    fields: dict[str, Any] = {
        key: (value,)
        for key in ("kind", "status", "service", "via", "sqlstate", "reason")
        if (value := getattr(details, key)) is not None
    }
    for key in ("route", "method"):
        values = sorted({value for each in cluster if (value := getattr(each.details, key))})
        if 0 < len(values) <= MOST_VALUES and all(getattr(each.details, key) for each in cluster):
            fields[key] = tuple(values)
    if not _is_on_the_wire(details) and literal(details.message):
        pieces = sorted({narrow(each.details.message) for each in cluster})
        fields["message"] = tuple(pieces) if len(pieces) <= MOST_VALUES else (literal(details.message),)
    return Match(**fields)


def compressed(nodes: Sequence[str], executed: Sequence[str]) -> tuple[str, ...]:
    """Return the fewest selectors that cover ``nodes`` and no other test of ``executed``; never the top folder."""
    wanted = set(nodes)
    foreign = {key for node in executed if node not in wanted for key in keys_of(Subject(node))}
    places = {node: [key for key in keys_of(Subject(node)) if _is_place(key) and key not in foreign] for node in nodes}
    covering = Counter(key for keys in places.values() for key in keys)
    # Of two selectors that cover the same tests, prefer the narrower one.
    return tuple(dict.fromkeys(max(keys, key=covering.__getitem__, default=node) for node, keys in places.items()))


def _is_place(key: str) -> bool:
    """Return whether ``key`` is part of a node ID below the top folder."""
    return parse_selector(key).rank[0] > GROUP and ("/" in key or "::" in key)


def _name(failing: Failing) -> str:
    details = failing.details
    what = details.status or details.sqlstate or details.reason or details.kind
    parts = (failing.environment, details.service or failing.subject.node.split("/")[-1].partition(".")[0], str(what))
    return "-".join(re.sub("[^a-z0-9]+", "-", part.lower()).strip("-") for part in parts)
