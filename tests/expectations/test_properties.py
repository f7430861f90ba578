"""What holds of all rules, whatever they say."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pytest_gaia.expectations.expectation import ExpectationSet
from pytest_gaia.expectations.subjects import CRASH, UNNOTICED, keys_of, mismatch, parse_selector
from tests.expectations import strategies as some
from tests.expectations.build import answered, context, expectation, subject

if TYPE_CHECKING:
    from random import Random

    from pytest_gaia.expectations.subjects import Context, FailureDetails, Match, Selector, Subject


def covered_by_hand(selector: Selector, test: Subject) -> bool:
    """Whether ``selector`` covers ``test``, decided without the index: by text, piece by piece."""
    if selector.kind in ("service", "marker"):
        return selector.text.partition(":")[2] in (test.services if selector.kind == "service" else test.markers)
    return selector.text in ("all", test.node) or any(
        test.node.startswith(f"{selector.text}{boundary}") and selector.kind != "parameters"
        for boundary in ("/", "::", "[")
    )


@given(some.scenes())
@settings(max_examples=3 * settings().max_examples)
def test_adding_an_expectation_never_accepts_what_it_does_not_cover_and_match(scene: some.Scene) -> None:
    new, failed = scene.new, scene.failed
    before, after = some.accepting(scene.expectations, failed), some.accepting([*scene.expectations, new], failed)
    event(f"covered before: {bool(before)}, after: {bool(after)}")

    if after and not before:
        assert after == [new.id]
        assert any(covered_by_hand(selector, failed.test) for selector in new.selectors)
        assert mismatch(new.match, failed.details) == ()
        assert failed.details.phase in new.phases
        assert new.expires > failed.circumstances.today
        assert failed.circumstances.environment in new.environments
        assert failed.circumstances.environment != "production"
        assert all((name in failed.circumstances.capabilities) == wanted for name, wanted in new.when)
        assert all(failed.circumstances.apis.offers(each) is wanted for each, wanted in new.offers)


@given(some.scenes(), st.data())
def test_accepting_that_operations_are_gone_changes_no_outcome_of_a_test(
    scene: some.Scene, data: st.DataObject
) -> None:
    circumstances = scene.failed.circumstances
    gone = [data.draw(some.removals(circumstances, f"gone-{number}")) for number in range(2)]
    alone, together = (
        some.resolution(each, scene.failed) for each in (scene.expectations, [*scene.expectations, *gone])
    )

    assert (alone.effective, alone.conflicting, alone.overridden) == (
        together.effective,
        together.conflicting,
        together.overridden,
    )
    assert all(each.refusal(scene.failed.details) for each in gone)


@given(some.contexts, st.data())
def test_only_an_expectation_for_the_environment_and_the_day_accepts_that_an_operation_is_gone(
    circumstances: Context, data: st.DataObject
) -> None:
    gone = data.draw(some.removals(circumstances))
    applies = gone.inapplicable(circumstances) is None
    event(f"applies: {applies}")

    # In every tolerance, also that of production.
    assert applies == (
        circumstances.environment in gone.environments
        and gone.expires > circumstances.today
        and all(circumstances.apis.offers(each) is wanted for each, wanted in gone.offers)
    )


@given(some.scenes(), st.randoms())
def test_the_order_of_files_makes_no_difference(scene: some.Scene, random: Random) -> None:
    shuffled = list(scene.expectations)
    random.shuffle(shuffled)
    one, other = (some.resolution(each, scene.failed) for each in (scene.expectations, shuffled))

    assert (one.effective, one.conflicting, one.overridden) == (other.effective, other.conflicting, other.overridden)


@given(some.scenes())
def test_every_expectation_about_a_test_is_a_winner_or_a_overridden_with_a_reason(scene: some.Scene) -> None:
    found = some.resolution(scene.expectations, scene.failed)
    overridden = [each for each, _ in found.overridden]
    test = scene.failed.test
    about = {each.id for each in scene.expectations if any(covered_by_hand(part, test) for part in each.selectors)}

    assert {each.id for each in (*found.effective, *overridden)} == about
    assert len(found.effective) + len(overridden) == len(about)
    assert all(reason for _, reason in found.overridden)
    assert len({each.expect for each in found.effective}) <= 1


@given(some.scenes(), st.lists(some.subjects, max_size=8))
def test_what_is_remembered_of_other_tests_makes_no_difference(scene: some.Scene, others: list[Subject]) -> None:
    together, circumstances = ExpectationSet(scene.expectations), scene.failed.circumstances

    for test in (*others, scene.failed.test, *others):
        alone = ExpectationSet(scene.expectations).resolution(test, circumstances)
        assert together.resolution(test, circumstances).effective == alone.effective


@given(some.selectors, some.selectors, some.selectors)
def test_specificity_is_a_total_preorder(a: Selector, b: Selector, c: Selector) -> None:
    assert a.rank <= b.rank or b.rank <= a.rank
    if a.rank <= b.rank <= c.rank:
        assert a.rank <= c.rank
    if a.text == b.text:
        assert a.rank == b.rank


@given(some.nodes)
def test_of_two_selectors_of_a_node_the_longer_is_more_specific(node: str) -> None:
    ranks = [parse_selector(key).rank for key in sorted(keys_of(subject(node)), key=len) if key != "all"]

    assert all(shorter < longer for shorter, longer in pairwise(ranks))


@given(some.selectors, some.subjects)
@example(parse_selector("suites/persona"), subject("suites/personas/test_a.py::test_a"))
@example(parse_selector("suites/x.py::test_a"), subject("suites/x.py::test_ab"))
@example(parse_selector("suites/x.py::test_a[b]"), subject("suites/x.py::test_a[b]::c]"))
def test_a_selector_covers_what_the_text_says_and_nothing_else(selector: Selector, test: Subject) -> None:
    assert selector.covers(test) == covered_by_hand(selector, test)


@given(some.nodes)
def test_a_node_id_selects_its_own_test(node: str) -> None:
    assert parse_selector(node).covers(subject(node))
    assert keys_of(subject(node))[0] == node


@given(some.details, some.matches)
def test_a_field_more_never_lets_more_through(failure: FailureDetails, match: Match) -> None:
    for key in match.keys:
        looser = replace(match, **{key: ()})
        if looser.keys and not mismatch(match, failure) and failure.kind not in (CRASH, *UNNOTICED):
            assert mismatch(looser, failure) == ()


def test_the_helpers_above_tell_accepted_from_not_accepted() -> None:
    expectations = [expectation("covering", "suites/personas")]
    inside, outside = (subject(f"suites/{name}/test_a.py::test_a") for name in ("personas", "other"))

    assert some.accepting(expectations, some.Failed(inside, answered(503), context())) == ["covering"]
    assert not some.accepting(expectations, some.Failed(inside, answered(500), context()))
    assert not some.accepting(expectations, some.Failed(outside, answered(503), context()))
