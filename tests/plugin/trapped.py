"""A suite of traps: every way of failing, skipping and half passing that pytest has. Copied into a project and run there.

What each of these tests has to come to stands in ``test_traps.py``.
"""

from __future__ import annotations

import unittest
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

seen: list[str] = []


def test_passes() -> None:
    pass


def test_fails() -> None:
    raise AssertionError("shadowed")


def test_fails_by_expectation() -> None:
    raise AssertionError("shadowed")


def test_fails_by_another_kind() -> None:
    raise ValueError("shadowed")


def test_passes_against_its_expectation() -> None:
    pass


@pytest.fixture
def broken() -> None:
    raise AssertionError("shadowed")


@pytest.fixture
def failing() -> None:
    pytest.fail("shadowed")


@pytest.fixture(scope="session")
def dead() -> None:
    raise ConnectionError("shadowed")


@pytest.fixture
def torn() -> Iterator[None]:
    yield
    raise AssertionError("shadowed")


def test_setup_breaks(broken: None) -> None:
    pass


def test_setup_breaks_beside_an_expectation(broken: None) -> None:
    pass


def test_setup_breaks_by_expectation(broken: None) -> None:
    pass


def test_setup_fails(failing: None) -> None:
    pass


def test_session_is_dead(dead: None) -> None:
    pass


def test_session_is_still_dead(dead: None) -> None:
    pass


def test_teardown_breaks(torn: None) -> None:
    pass


def test_teardown_breaks_beside_an_expectation(torn: None) -> None:
    raise AssertionError("shadowed")


@pytest.mark.xfail
def test_marked() -> None:
    raise AssertionError("torn")


@pytest.mark.xfail
def test_marked_and_setup_breaks(broken: None) -> None:
    pass


@pytest.mark.xfail
def test_marked_and_teardown_breaks(torn: None) -> None:
    raise AssertionError("torn")


@pytest.mark.xfail(strict=True)
def test_marked_beside_an_expectation() -> None:
    raise AssertionError("shadowed")


@pytest.mark.xfail(strict=True)
def test_marked_and_passes() -> None:
    pass


@pytest.mark.xfail(strict=True)
def test_marked_and_passes_beside_an_expectation() -> None:
    pass


@pytest.mark.xfail(strict=False)
def test_marked_and_may_pass() -> None:
    pass


@pytest.mark.xfail(raises=ValueError)
def test_marked_for_another_exception() -> None:
    raise AssertionError("torn")


@pytest.mark.xfail(run=False)
def test_marked_and_not_run() -> None:
    raise AssertionError("torn")


def test_marks_itself() -> None:
    pytest.xfail("later")


@pytest.mark.skip(reason="later")
def test_skipped() -> None:
    raise AssertionError("torn")


def test_skips_itself_beside_an_expectation() -> None:
    pytest.skip("later")


@pytest.mark.gaia(requires=["postgres"])
def test_does_not_apply() -> None:
    raise AssertionError("torn")


@pytest.mark.parametrize("value", ["a b", "c[d]", "e::f", "g]"], ids=str)
def test_parameters(value: str) -> None:
    raise AssertionError("shadowed")


def test_subtest_fails(subtests: pytest.Subtests) -> None:
    with subtests.test("one"):
        assert seen is not None
    with subtests.test("two"):
        raise AssertionError("torn")


def test_subtest_fails_by_expectation(subtests: pytest.Subtests) -> None:
    with subtests.test("one"):
        raise AssertionError("shadowed")
    with subtests.test("two"):
        assert seen is not None


def test_one_of_two_subtests_fails_by_expectation(subtests: pytest.Subtests) -> None:
    with subtests.test("one"):
        raise AssertionError("shadowed")
    with subtests.test("two"):
        raise AssertionError("torn")


def test_subtests_pass_and_it_fails(subtests: pytest.Subtests) -> None:
    with subtests.test("one"):
        assert seen is not None
    raise AssertionError("torn")


def test_subtests_pass_against_an_expectation(subtests: pytest.Subtests) -> None:
    with subtests.test("one"):
        assert seen is not None


def test_leaves() -> None:
    raise SystemExit(0)


def test_fails_once() -> None:
    seen.append("once")
    assert seen.count("once") > 1, "torn"


def test_is_flaky_by_expectation() -> None:
    pass


class Old(unittest.TestCase):
    def test_passes(self) -> None:
        self.assertTrue(seen is not None)  # noqa: PT009 - what unittest's own look like

    def test_fails(self) -> None:
        self.fail("torn")

    @unittest.expectedFailure
    def test_fails_as_expected(self) -> None:
        self.fail("torn")

    @unittest.expectedFailure
    def test_passes_unexpectedly(self) -> None:
        pass

    def test_skips(self) -> None:
        self.skipTest("later")
