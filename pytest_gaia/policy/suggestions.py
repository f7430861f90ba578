"""From failures to drafts of rules: those that look alike become one, and no draft excuses anything by itself."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pytest_gaia.config.secrets import unkeyed
from pytest_gaia.policy.match import Match
from pytest_gaia.policy.selectors import GROUP, keys_of, parse
from pytest_gaia.policy.subjects import Subject
from pytest_gaia.policy.writing import document
from pytest_gaia.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from pytest_gaia.policy.subjects import Symptom

MOST_ROUTES = 4
"""a signature that would name more routes names none"""

LEAST_MESSAGE = 8
"""characters of a message that make a signature"""

DAYS = 28
"""the life that a draft proposes"""


@dataclass(frozen=True, slots=True)
class Failing:
    """One failure that no rule has excused."""

    environment: str
    subject: Subject
    symptom: Symptom
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
        "match": {key: _plain(getattr(draft.match, key)) for key in draft.match.keys},
        "max_tests": draft.count,
    }
    head = (
        f"# {counted(draft.count, 'test')} failed like this in {draft.environment}:\n"
        f"# {draft.example}\n"
        f"# A draft excuses nothing. Say why, name the issue and the owner, and move it to expectations/{draft.name}.toml\n"
    )
    return f"{head}\n{document(values)}"


def _plain(values: Sequence[object]) -> object:
    return list(values) if len(values) > 1 else values[0]


_VARIABLE = re.compile(r"""\S*\d\S*|\S*\*{3}\S*|'[^']*'|"[^"]*"|\{.*\}|\[.*\]""")


def literal(message: str) -> str:
    """Return the longest piece of the message's first line that names no number, id or quoted value."""
    first = unkeyed(message).strip().partition("\n")[0]
    piece = max((part.strip(" .,:;()") for part in _VARIABLE.split(first)), key=len, default="")
    return piece if len(piece) >= LEAST_MESSAGE else ""


def _likeness(failing: Failing) -> tuple[object, ...]:
    symptom = failing.symptom
    wire = (symptom.status, symptom.service, symptom.via, symptom.sqlstate, symptom.nats)
    # What the wire says is the better signature: messages change with every release.
    message = literal(symptom.message) if wire == (None,) * len(wire) else ""
    return (failing.environment, failing.flaky, symptom.phase, symptom.kind, *wire, message)


def _draft(cluster: Sequence[Failing], executed: Sequence[str], taken: Counter[str]) -> Draft:
    first = cluster[0]
    nodes = sorted({each.subject.node for each in cluster})
    name = _name(first)
    taken[name] += 1
    return Draft(
        name=name if taken[name] == 1 else f"{name}-{taken[name]}",
        environment=first.environment,
        phase=first.symptom.phase,
        expect="flaky" if first.flaky else "fails",
        match=_match(cluster),
        tests=compressed(nodes, executed),
        count=len(nodes),
        example=unkeyed(first.symptom.message).strip().partition("\n")[0][:200],
    )


def _match(cluster: Sequence[Failing]) -> Match:
    symptom = cluster[0].symptom
    fields: dict[str, Any] = {
        key: (value,)
        for key in ("kind", "status", "service", "via", "sqlstate", "nats")
        if (value := getattr(symptom, key)) is not None
    }
    routes = sorted({route for each in cluster if (route := each.symptom.route)})
    if 0 < len(routes) <= MOST_ROUTES and all(each.symptom.route for each in cluster):
        fields["route"] = tuple(routes)
    if set(fields) == {"kind"} and literal(symptom.message):
        fields["message"] = (literal(symptom.message),)
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
    symptom = failing.symptom
    what = symptom.status or symptom.sqlstate or symptom.nats or symptom.kind
    parts = (failing.environment, symptom.service or failing.subject.node.split("/")[-1].partition(".")[0], str(what))
    return "-".join(re.sub("[^a-z0-9]+", "-", part.lower()).strip("-") for part in parts)
