"""Which tests may be concurrent, and why the others are serial."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from pytest_gaia.collection.needs import Needs

_OF_ONE_TEST = {
    "capfd": "captures the output of the process",
    "capfdbinary": "captures the output of the process",
    "caplog": "captures the log of the process",
    "capsys": "captures the output of the process",
    "capsysbinary": "captures the output of the process",
    "capteesys": "captures the output of the process",
    "gaia_contract": "reports subtests",
    "monkeypatch": "changes the process",
    "pytester": "changes the process",
    "recwarn": "captures the warnings of the process",
    "subtests": "reports subtests",
}
"""fixtures that only one test can use at a time → why"""
_HOLDS_NOTHING = ("tmp_path",)
"""fixtures whose code after the yield only deletes what belongs to the test"""
_XUNIT = re.compile(r"_xunit_setup_(function|method|class|module)_fixture_.*")


@dataclass(frozen=True, slots=True)
class Fixture:
    """A fixture that a test uses, also through another fixture."""

    name: str
    scope: str = "function"
    yields: bool = False
    """whether it has code that runs after the test"""
    asks: bool = False
    """whether it has a function that requests other fixtures, possibly while the test runs"""
    parametrized: bool = False
    """whether its value depends on a parameter"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Properties of a collected test that decide whether it may be concurrent."""

    asynchronous: bool = True
    """whether pytest-asyncio runs it"""
    session_loop: bool = True
    """whether it runs on the event loop of the session"""
    fixtures: tuple[Fixture, ...] = ()
    """the fixtures that it names first"""
    requested: bool = False
    """whether ``request`` is one of its arguments"""
    marks: tuple[str, ...] = ()
    """its markers that have an effect on the whole process, or that keep it from running"""
    filters: str = ""
    """a function that it calls and that changes how the process treats warnings"""
    hook: str = ""
    """a hook around it that neither pytest nor a known plugin has, with its place"""


def serial_reason(needs: Needs, facts: Facts, databases: Collection[str] = ()) -> str | None:
    """Return why a test is serial, as a part of a sentence; None if it may be concurrent.

    ``databases`` are the names of fixtures with a session of a database.
    """
    if needs.serial:
        return "it is marked serial=True"
    if needs.writes:
        return "it writes"
    if not facts.asynchronous:
        return "it is not asynchronous"
    if not facts.session_loop:
        return "it does not run on the event loop of the session"
    if facts.marks:
        return f"it has the marker {facts.marks[0]}"
    for fact, why in (
        (facts.filters, f"it uses {facts.filters}, which changes the warnings of the process"),
        (facts.hook, f"{facts.hook} runs before each test"),
        (facts.requested, "it has the argument request"),
    ):
        if fact:
            return why
    return next((reason for each in facts.fixtures if (reason := _of_fixture(each, databases))), None)


def _of_fixture(fixture: Fixture, databases: Collection[str]) -> str | None:
    name, scope = fixture.name, fixture.scope
    if xunit := _XUNIT.fullmatch(name):
        return f"it has setup_{xunit[1]} or teardown_{xunit[1]}"
    if name in databases:
        return f"it uses the fixture {name}, which holds a transaction"
    if why := _OF_ONE_TEST.get(name):
        return f"it uses the fixture {name}, which {why}"
    if scope == "session":
        return f"it uses the fixture {name}, which has parameters and session scope" if fixture.parametrized else None
    if scope != "function":
        return f"it uses the fixture {name}, which has {scope} scope"
    if fixture.asks:
        return f"it uses the fixture {name}, which has a function that requests other fixtures"
    if fixture.yields and name not in _HOLDS_NOTHING:
        return f"it uses the fixture {name}, which has code after its yield"
    return None
