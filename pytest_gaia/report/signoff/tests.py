"""What the sign-off page says of single tests and rules."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_gaia.report.terms import remaining


@dataclass(frozen=True, slots=True)
class KnownFailure:
    """One cause that is known, and that a rule excuses; or failures that only the environment's tolerance lets through."""

    rule: str
    """id of the rule; empty for failures that no rule is about"""
    why: str
    issue: str
    issue_link: str
    owner: str
    expires: str
    days_left: int | None
    """on the day of the page; None where nothing ends it"""
    environments: tuple[tuple[str, int], ...]
    """(environment, tests)"""
    tests: tuple[str, ...]

    @property
    def expired(self) -> bool:
        """Whether it excuses nothing any more."""
        return self.days_left is not None and self.days_left <= 0

    @property
    def left(self) -> str:
        """How much longer it excuses anything, in words."""
        return "" if self.days_left is None else remaining(self.days_left)


@dataclass(frozen=True, slots=True)
class IdleRule:
    """A rule in force that decided no test of any run on the page."""

    rule: str
    owner: str
    issue: str
    expires: str
    days_left: int
    why: tuple[str, ...]
    """one sentence an environment"""

    @property
    def left(self) -> str:
        """How much longer it is in force, in words."""
        return remaining(self.days_left)


@dataclass(frozen=True, slots=True)
class Blocking:
    """Something that stands in the way: an item of the gate, or a test that gates."""

    what: str
    where: str
    """the environment"""
    why: str
    next: str = ""
    link: str = ""
    """the test in Allure"""


@dataclass(frozen=True, slots=True)
class Untested:
    """Tests that have shown nothing, for one reason, in one or several environments."""

    suite: str
    outcome: str
    why: str
    environments: tuple[str, ...]
    tests: tuple[str, ...]
    count: int
    """how many tests; more than ``tests`` where their names are not known"""
    nowhere: bool
    """whether no other environment of the page has run them either, as far as is known"""
