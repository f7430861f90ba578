"""A test that reads and shares nothing but the session may be concurrent; every other one has a reason to be serial."""

from __future__ import annotations

import pytest

from pytest_gaia.collection.concurrency import Facts, Fixture, serial_reason
from pytest_gaia.collection.needs import Needs

SHARED = (
    Fixture("gateway", "session"),
    Fixture("gaia_clients", "session", yields=True),
    Fixture("unique_name", parametrized=True),
    Fixture("tmp_path", yields=True),
)


def test_a_reading_asynchronous_test_may_be_concurrent() -> None:
    assert serial_reason(Needs(core=True), Facts(fixtures=SHARED), {"postgres"}) is None


@pytest.mark.parametrize(
    ("needs", "facts", "reason"),
    [
        (Needs(serial=True), Facts(), "it is marked serial=True"),
        (Needs(writes=True), Facts(), "it writes"),
        (Needs(), Facts(asynchronous=False, session_loop=False), "it is not asynchronous"),
        (Needs(), Facts(session_loop=False), "it does not run on the event loop of the session"),
        (Needs(), Facts(marks=("filterwarnings",)), "it has the marker filterwarnings"),
        (
            Needs(),
            Facts(hook="pytest_runtest_setup of a/conftest.py"),
            "pytest_runtest_setup of a/conftest.py runs before each test",
        ),
        (Needs(), Facts(filters="warns"), "it uses warns, which changes the warnings of the process"),
        (Needs(), Facts(requested=True), "it has the argument request"),
    ],
)
def test_a_test_that_needs_the_process_is_serial(needs: Needs, facts: Facts, reason: str) -> None:
    assert serial_reason(needs, facts) == reason


@pytest.mark.parametrize(
    ("fixture", "reason"),
    [
        (Fixture("postgres", yields=True), "it uses the fixture postgres, which holds a transaction"),
        (Fixture("capsys", yields=True), "it uses the fixture capsys, which captures the output of the process"),
        (Fixture("gaia_contract"), "it uses the fixture gaia_contract, which reports subtests"),
        (Fixture("lazy", asks=True), "it uses the fixture lazy, which has a function that requests other fixtures"),
        (Fixture("account", "module"), "it uses the fixture account, which has module scope"),
        (
            Fixture("server", "session", parametrized=True),
            "it uses the fixture server, which has parameters and session scope",
        ),
        (Fixture("account", yields=True), "it uses the fixture account, which has code after its yield"),
        (
            Fixture("_xunit_setup_class_fixture_TestIt", "class", yields=True),
            "it has setup_class or teardown_class",
        ),
    ],
)
def test_a_test_with_a_fixture_of_its_own_is_serial(fixture: Fixture, reason: str) -> None:
    assert serial_reason(Needs(), Facts(fixtures=(*SHARED, fixture)), {"postgres"}) == reason
