"""From failures to drafts of rules: those that look alike become one, and no draft excuses anything by itself."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from pytest_gaia.expectations.formatting import document
from pytest_gaia.expectations.selectors import GROUP, Match, keys_of, parse
from pytest_gaia.expectations.subjects import FailureDetails, Subject
from pytest_gaia.secrets.masks import MASK, unkeyed
from pytest_gaia.secrets.names import is_secret_parameter
from pytest_gaia.wording import counted

MOST_VALUES = 4
"""a signature that would name more routes or methods names none"""

LEAST_MESSAGE = 8
"""characters of a message that make a signature"""

DAYS = 28
"""the life that a draft proposes"""


@dataclass(frozen=True, slots=True)
class Failing:
    """One failure that no rule has excused."""

    environment: str
    subject: Subject
    details: FailureDetails
    flaky: bool = False
    """whether the test has passed as well"""


@dataclass(frozen=True, slots=True)
class Draft:
    """A rule that lacks what only people know: why, the issue, the owner."""

    name: str
    environment: str
    phase: str
    expect: str
    match: Match
    tests: tuple[str, ...]
    """selectors"""
    count: int
    """tests that failed like this"""
    example: str
    """first line of one of the messages"""


def drafts(failures: Iterable[Failing], executed: Iterable[str]) -> list[Draft]:
    """Return one draft for each kind of failure, the most frequent first. ``executed`` are the nodes of all tests."""
    clusters: defaultdict[object, list[Failing]] = defaultdict(list)
    for each in failures:
        clusters[_likeness(each)].append(each)
    all_nodes = sorted(set(executed))
    ordered = sorted(clusters.values(), key=lambda cluster: (-len(cluster), cluster[0].subject.node))
    taken: Counter[str] = Counter()
    return [_draft(cluster, all_nodes, taken) for cluster in ordered]


def written(draft: Draft, today: date, longest_days: int) -> str:
    """Return the draft as TOML. It cannot be loaded before somebody has filled in what is empty."""
    signature = {key: _plain(getattr(draft.match, key)) for key in draft.match.keys}
    hint = ""
    if signature.keys() == {"kind"}:
        # A kind alone would excuse every other failure of these tests.
        signature["message"] = ""
        hint = "# Nothing tells these failures from others that may be shown here: give a piece of the message.\n"
    values: Mapping[str, object] = {
        "why": "",
        "issue": "",
        "owner": "",
        "added": today,
        "expires": today + timedelta(min(DAYS, longest_days)),
        "environments": [draft.environment],
        "tests": list(draft.tests),
        "expect": draft.expect,
        "phase": draft.phase if draft.phase != "call" else None,
        "match": signature,
        "max_tests": draft.count,
    }
    head = (
        f"# {counted(draft.count, 'test')} failed like this in {draft.environment}:\n"
        f"# {draft.example}\n"
        f"# A draft excuses nothing. Say why, name the issue and the owner, and move it to expectations/{draft.name}.toml\n"
        f"{hint}"
    )
    return f"{head}\n{document(values)}"


def _plain(values: Sequence[object]) -> object:
    return list(values) if len(values) > 1 else values[0]


_LONGEST_LINE = 2000
"""characters of a message that are looked at; what is longer is no message that a rule names"""
_QUOTED = re.compile(r"""'[^']*'|"[^"]*\"""")
_CUT = "\n"
_CODE = re.compile(r"\d{6}|(?=[a-z-]{0,7}\d)(?=[\d-]{0,7}[a-z])[a-z\d-]{8}", re.IGNORECASE)
"""what begins like a one-time code, an invitation or a key: six digits, or eight letters and digits"""
_SEGMENT = re.compile(r"[A-Za-z]{5,}")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_UNPRONOUNCEABLE = re.compile(r"[^aeiouy]{6}|^(?!https$)[^aeiouy]+$", re.IGNORECASE)
_LEAST_RANDOM = 5
"""letters by which a word is taken for a random one"""
_LONGEST_WORD = 30
_SHORTEST_PARTS = 2.5
"""letters, in the mean; in a random text capital and small letters take turns faster than in any CamelCase"""


def literal(message: str) -> str:
    """Return what failures with such a message have in common: the longest piece of its first line without numbers, ids and
    quoted values, or, where that is next to nothing, with them.

    Words that look random, and what stands beside the name of a secret, are never in it: a draft is going to be committed.
    """
    first = _first_line(message)
    stable = _QUOTED.sub(_CUT, _without_brackets(first))
    return _longest(_pieces(stable, _has_digit)) or _longest(_pieces(first))


def narrow(message: str) -> str:
    """Return the longest piece of the message's first line that a failure with the same cause has as well: with quoted values,
    and, where values were compared, with numbers.
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
    """Return ``line`` without what stands from the first brace to the last, and from the first bracket to the last."""
    for opening, closing in ("{}", "[]"):
        start, end = line.find(opening), line.rfind(closing)
        if 0 <= start < end:
            line = line[:start] + _CUT + line[end + 1 :]
    return line


def _pieces(line: str, varies: Callable[[str], bool] = lambda _: False) -> list[str]:
    """Return the stretches of ``line`` between the words that vary, and those that may be secrets."""
    kept = [_CUT if MASK in word or varies(word) or hidden else word for word, hidden in _words(line)]
    return [" ".join(piece.split()).strip(" .,:;()") for piece in "".join(kept).split(_CUT)]


def _words(line: str) -> Iterator[tuple[str, bool]]:
    """Yield the words of ``line`` and the spaces between them, each with whether it may be a secret."""
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
    """Whether ``word`` is an address with a query or a user, or names a secret and its value."""
    name, equals, value = word.partition("=")
    address = "://" in word and ("?" in word or "@" in word)
    return address or (bool(equals and value) and is_secret_parameter(name.strip("\"'([{<,").rpartition("&")[2]))


def _is_random(word: str) -> bool:
    """Whether ``word`` looks like made by a machine, as far as its letters show it."""
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
    """Return the message's first line without what may be a secret."""
    return "".join("…" if hidden else word for word, hidden in _words(_first_line(message)))[:200]


def _likeness(failing: Failing) -> tuple[object, ...]:
    details = failing.details
    wire = (details.status, details.service, details.via, details.sqlstate, details.nats)
    # What the wire says is the better signature: messages change with every release.
    message = "" if _is_on_the_wire(details) else literal(details.message)
    return (failing.environment, failing.flaky, details.phase, details.kind, *wire, message)


def _is_on_the_wire(details: FailureDetails) -> bool:
    """Whether an answer tells this failure from others of its kind."""
    return any(value is not None for value in (details.status, details.sqlstate, details.nats))


def _draft(cluster: Sequence[Failing], executed: Sequence[str], taken: Counter[str]) -> Draft:
    first = cluster[0]
    nodes = sorted({each.subject.node for each in cluster})
    name = _name(first)
    taken[name] += 1
    return Draft(
        name=name if taken[name] == 1 else f"{name}-{taken[name]}",
        environment=first.environment,
        phase=first.details.phase,
        expect="flaky" if first.flaky else "fails",
        match=_match(cluster),
        tests=compressed(nodes, executed),
        count=len(nodes),
        example=_example(first.details.message),
    )


def _match(cluster: Sequence[Failing]) -> Match:
    details = cluster[0].details
    fields: dict[str, Any] = {
        key: (value,)
        for key in ("kind", "status", "service", "via", "sqlstate", "nats")
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
    """Return the fewest selectors, none of a whole top folder, that cover ``nodes`` and no other of ``executed``."""
    wanted = set(nodes)
    foreign = {key for node in executed if node not in wanted for key in keys_of(Subject(node))}
    places = {node: [key for key in keys_of(Subject(node)) if _is_place(key) and key not in foreign] for node in nodes}
    covering = Counter(key for keys in places.values() for key in keys)
    # A file with one failed test is not a failed file: of two that cover the same tests, the narrower is meant.
    return tuple(dict.fromkeys(max(keys, key=covering.__getitem__, default=node) for node, keys in places.items()))


def _is_place(key: str) -> bool:
    """Whether ``key`` is a part of a node id, and more than the top folder of all tests."""
    return parse(key).rank[0] > GROUP and ("/" in key or "::" in key)


def _name(failing: Failing) -> str:
    details = failing.details
    what = details.status or details.sqlstate or details.nats or details.kind
    parts = (failing.environment, details.service or failing.subject.node.split("/")[-1].partition(".")[0], str(what))
    return "-".join(re.sub("[^a-z0-9]+", "-", part.lower()).strip("-") for part in parts)
