"""Random rules, tests and failures from a small world, so that they meet often."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from pytest_gaia.policy.match import Match
from pytest_gaia.policy.selectors import parse
from pytest_gaia.policy.subjects import KINDS, PHASES, Context, Subject, Symptom
from tests.policy.build import ENVIRONMENTS, TODAY, rule

if TYPE_CHECKING:
    from pytest_gaia.policy.rules import Rule

PARTS = ("persona", "personas", "a", "ab")
SERVICES = ("gateway", "chat", "asset")
MARKERS = ("slow", "experimental", "chat")

parameters = st.sampled_from(["a", "a b", "a[b]", "a/b", "a::b", "]", "[", "x]::test_a[y", "é*?"])
folders = st.lists(st.sampled_from(PARTS), min_size=1, max_size=3).map("/".join)
files = st.builds("{}/test_{}.py".format, folders, st.sampled_from(PARTS))
functions = st.builds(
    "{}::{}test_{}".format, files, st.sampled_from(["", "TestA::", "TestAb::"]), st.sampled_from(PARTS)
)
nodes = st.one_of(functions, st.builds("{}[{}]".format, functions, parameters))

texts = st.one_of(
    st.just("all"),
    folders,
    files,
    functions,
    functions.map(lambda text: text.rpartition("::")[0]),
    nodes,
    st.sampled_from(SERVICES).map("service:{}".format),
    st.sampled_from(MARKERS).map("marker:{}".format),
)
selectors = texts.map(parse)

subjects = st.builds(
    Subject, nodes, st.frozensets(st.sampled_from(MARKERS), max_size=2), st.frozensets(st.sampled_from(SERVICES))
)

STATUSES = (404, 500, 503)
MESSAGES = ("Service unavailable", "not found", "persona is  unavailable", "")
symptoms = st.builds(
    Symptom,
    phase=st.sampled_from(PHASES),
    kind=st.sampled_from(KINDS),
    message=st.sampled_from(MESSAGES),
    status=st.sampled_from((None, *STATUSES)),
    service=st.sampled_from((None, *SERVICES)),
    via=st.sampled_from((None, "direct", "gateway")),
)


def _some(values: tuple[object, ...]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(st.sampled_from(values), max_size=2, unique=True).map(tuple)


matches = st.builds(
    Match,
    kind=_some(KINDS),
    status=_some(STATUSES),
    service=_some(SERVICES),
    via=_some(("direct", "gateway")),
    message=_some(("UNAVAILABLE", "not  found")),
).filter(lambda match: bool(match.keys))

conditions = st.lists(
    st.tuples(st.sampled_from(SERVICES), st.booleans()), max_size=2, unique_by=lambda each: each[0]
).map(tuple)


@st.composite
def rules(draw: st.DrawFn, rule_id: str = "new") -> Rule:
    """A rule that the files could hold; carve-outs and expired ones included."""
    expect = draw(st.sampled_from(("fails", "fails", "flaky", "passes")))
    return rule(
        rule_id,
        *{each.text: None for each in draw(st.lists(selectors, min_size=1, max_size=3))},
        expect=expect,
        match=Match() if expect == "passes" else draw(matches),
        phases=frozenset(draw(st.sets(st.sampled_from(PHASES), min_size=1))),
        when=draw(conditions),
        environments=tuple(draw(st.sets(st.sampled_from(("dev", "staging", "production")), min_size=1))),
        expires=TODAY + timedelta(draw(st.sampled_from((-1, 0, 1, 9)))),
    )


@st.composite
def rule_lists(draw: st.DrawFn) -> list[Rule]:
    """Up to six rules with ids of their own."""
    return [draw(rules(f"rule-{number}")) for number in range(draw(st.integers(0, 6)))]


contexts = st.builds(
    lambda name, observed: Context(name, observed, TODAY, ENVIRONMENTS[name]),
    st.sampled_from(("dev", "staging", "production")),
    st.frozensets(st.sampled_from(SERVICES)),
)
