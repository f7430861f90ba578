"""Rules and circumstances for tests, each with what the test is not about filled in."""

from __future__ import annotations

from datetime import date
from typing import Any

from pytest_gaia.config.tolerance import Tolerance, tolerance_of
from pytest_gaia.expectations.apis import NO_APIS, Apis, NamedOperation
from pytest_gaia.expectations.expectation import Expectation
from pytest_gaia.expectations.subjects import Context, FailureDetails, Match, Subject, parse_selector
from tests.projects import gaia_platform

TODAY = date(2026, 3, 15)
ADDED, EXPIRES = date(2026, 3, 1), date(2026, 3, 28)

ENVIRONMENTS = {name: tolerance_of(name, {}) for name in ("sandbox", "dev", "staging", "production")}

PLATFORM = gaia_platform()

EXPECTATION = """\
reason = "personas are not deployed yet"
issue = "GAIA-412"
owner = "@persona-team"
created = 2026-03-01
expires = 2026-03-28
environments = ["staging"]
tests = ["suites/personas"]
match = { status = 503 }
"""


def expectation(expectation_id: str, *tests: str, **more: Any) -> Expectation:
    """An expectation for staging that covers status 503 of ``tests``; ``more`` sets other fields."""
    fields: dict[str, Any] = {
        "reason": "not deployed yet",
        "issue": "GAIA-1",
        "owner": "@team",
        "created": ADDED,
        "expires": EXPIRES,
        "environments": ("staging",),
        "match": Match(status=(503,)),
        "place": f"suites/expectations/{expectation_id}.toml",
        **more,
    }
    return Expectation(id=expectation_id, selectors=tuple(map(parse_selector, tests)), **fields)


def operation(text: str) -> NamedOperation:
    """An operation, or a pattern; of the gateway if the text names no service."""
    return NamedOperation.of(text, "gateway", pattern=True)


def offers(*texts: str) -> tuple[tuple[NamedOperation, bool], ...]:
    """Conditions on what a release offers, as files write them."""
    return tuple((operation(text.removeprefix("!")), not text.startswith("!")) for text in texts)


def removal(expectation_id: str, *patterns: str, **more: Any) -> Expectation:
    """An expectation for staging that accepts that operations are gone; ``more`` sets other fields."""
    fields = {"expect": "removed", "match": Match(), "operations": tuple(map(operation, patterns)), **more}
    return expectation(expectation_id, **fields)


def context(environment: str = "staging", *capabilities: str, today: date = TODAY, apis: Apis = NO_APIS) -> Context:
    """The circumstances of a run in an environment with its usual tolerance."""
    tolerance: Tolerance = ENVIRONMENTS[environment]
    return Context(environment, frozenset(capabilities), today, tolerance, apis=apis)


def subject(node: str, *, markers: tuple[str, ...] = (), services: tuple[str, ...] = ()) -> Subject:
    """A collected test."""
    return Subject(node, frozenset(markers), frozenset(services))


def answered(status: int, **more: Any) -> FailureDetails:
    """An unexpected response in the call of a test."""
    return FailureDetails(
        "call", "http", **{"status": status, "service": "chat", "via": "gateway", "method": "GET", **more}
    )
