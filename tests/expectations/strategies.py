"""Random rules, tests and failures from a small world, so that they meet often."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from pytest_gaia.expectations.apis import Api, Apis
from pytest_gaia.expectations.expectation import ExpectationSet
from pytest_gaia.expectations.subjects import (
    KINDS,
    PHASES,
    Context,
    FailureDetails,
    Match,
    Subject,
    keys_of,
    parse_selector,
)
from tests.expectations.build import ENVIRONMENTS, TODAY, expectation, operation, removal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_gaia.expectations.apis import NamedOperation
    from pytest_gaia.expectations.expectation import Expectation, Resolution

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
selectors = texts.map(parse_selector)

subjects = st.builds(
    Subject, nodes, st.frozensets(st.sampled_from(MARKERS), max_size=2), st.frozensets(st.sampled_from(SERVICES))
)

STATUSES = (404, 500, 503)
MESSAGES = ("Service unavailable", "not found", "persona is  unavailable", "")
details = st.builds(
    FailureDetails,
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


def matches_of(failure: FailureDetails) -> st.SearchStrategy[Match]:
    """Signatures that fit ``failure``, in one or several fields."""
    known = [key for key in ("kind", "status", "service", "via") if getattr(failure, key) is not None]
    keys = st.lists(st.sampled_from(known), min_size=1, unique=True)
    return keys.map(lambda chosen: Match(**{key: (getattr(failure, key),) for key in chosen}))


OPERATIONS = ("GET /v1/a", "POST /v1/a", "GET /v1/a/{id}", "GET /v1", "GET /v2/a")
PATTERNS = (*OPERATIONS, "* /v1/a", "* /v1/*", "GET /v1*", "GET /v1/a/{name}", "* /v2/*")

contexts = st.builds(
    lambda name, observed, offered: Context(name, observed, TODAY, ENVIRONMENTS[name], apis=Apis(offered)),
    st.sampled_from(("staging", "staging", "staging", "dev", "production")),
    st.frozensets(st.sampled_from(SERVICES)),
    st.dictionaries(
        st.sampled_from(("gateway", "chat")),
        st.builds(Api, st.just("sha256:0"), st.lists(st.sampled_from(OPERATIONS), unique=True).map(tuple)),
    ),
)

FLAWS = ("selectors", "match", "phases", "when", "offers", "environments", "expires")
"""what can keep an expectation from matching a failure"""


@dataclass(frozen=True)
class Failed:
    """A test that failed, and where."""

    test: Subject
    details: FailureDetails
    circumstances: Context


def resolution(expectations: Iterable[Expectation], failed: Failed) -> Resolution:
    """How ``rules`` stand to the test that failed."""
    return ExpectationSet(expectations).resolution(failed.test, failed.circumstances)


def accepting(expectations: Iterable[Expectation], failed: Failed) -> list[str]:
    """The IDs of the expectations that cover the failure."""
    return [each.id for each in resolution(expectations, failed).effective if not each.refusal(failed.details)]


failures = st.builds(Failed, subjects, details, contexts)


@st.composite
def expectations(draw: st.DrawFn, failed: Failed, expectation_id: str = "new") -> Expectation:
    """An expectation that a file could hold. It matches ``failed`` except for at most one field."""
    flaw = draw(st.sampled_from(("none", *FLAWS)))
    expect = draw(st.sampled_from(("fails", "fails", "fails", "flaky", "passes")))
    selector = selectors if flaw == "selectors" else st.sampled_from(keys_of(failed.test)).map(parse_selector)
    match = matches if flaw == "match" else matches_of(failed.details)
    phases = [phase for phase in PHASES if (phase == failed.details.phase) != (flaw == "phases")]
    names = [name for name in ENVIRONMENTS if (name == failed.circumstances.environment) != (flaw == "environments")]
    return expectation(
        expectation_id,
        draw(selector).text,
        expect=expect,
        match=Match() if expect == "pass" else draw(match),
        phases=frozenset(draw(st.lists(st.sampled_from(phases), min_size=1))),
        when=draw(conditions(failed.circumstances, holding=flaw != "when")),
        offers=draw(offers(failed.circumstances, holding=flaw != "offers")),
        environments=tuple(draw(st.lists(st.sampled_from(names), min_size=1, unique=True))),
        expires=TODAY + timedelta(draw(st.sampled_from((-1, 0) if flaw == "expires" else (1, 9)))),
    )


def conditions(circumstances: Context, *, holding: bool) -> st.SearchStrategy[tuple[tuple[str, bool], ...]]:
    """Conditions that all hold under ``circumstances``, or none of them."""
    names = st.lists(st.sampled_from(SERVICES), min_size=not holding, max_size=2, unique=True)
    return names.map(lambda some: tuple((name, (name in circumstances.capabilities) == holding) for name in some))


def offers(circumstances: Context, *, holding: bool) -> st.SearchStrategy[tuple[tuple[NamedOperation, bool], ...]]:
    """Conditions on what the release offers that all hold under ``circumstances``, or none of them."""
    every = [operation(f"{service}: {text}") for service in ("gateway", "chat") for text in OPERATIONS]
    known = [(each, circumstances.apis.offers(each)) for each in every]
    able = [(each, offered is holding) for each, offered in known if offered is not None or not holding]
    if not able:
        return st.just(())
    return st.lists(st.sampled_from(able), min_size=not holding, max_size=2, unique=True).map(tuple)


@st.composite
def removals(draw: st.DrawFn, circumstances: Context, expectation_id: str = "gone") -> Expectation:
    """An expectation that operations are gone, which mostly applies under ``circumstances``."""
    names = [circumstances.environment, circumstances.environment, *ENVIRONMENTS]
    return removal(
        expectation_id,
        *draw(st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3, unique=True)),
        environments=tuple(draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))),
        expires=TODAY + timedelta(draw(st.sampled_from((-1, 1, 9)))),
        offers=draw(offers(circumstances, holding=draw(st.sampled_from((True, True, False))))),
        max_failures=draw(st.sampled_from((None, 1, 3))),
    )


@dataclass(frozen=True)
class Scene:
    """A failure, and the rules of a project."""

    failed: Failed
    expectations: list[Expectation]
    new: Expectation
    """one that is not among ``rules``"""


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """A failure under up to four rules, often none."""
    failed = draw(failures)
    count = draw(st.sampled_from((0, 0, 1, 2, 4)))
    known = [draw(expectations(failed, f"rule-{number}")) for number in range(count)]
    return Scene(failed, known, draw(expectations(failed)))
