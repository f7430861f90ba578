"""What holds of all rules, whatever they say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import example, given
from hypothesis import strategies as st

from pytest_gaia.policy.match import mismatch
from pytest_gaia.policy.ruleset import RuleSet
from pytest_gaia.policy.selectors import keys_of, parse
from tests.policy import strategies as some
from tests.policy.build import answered, context, rule, subject

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from pytest_gaia.policy.match import Match
    from pytest_gaia.policy.rules import Rule
    from pytest_gaia.policy.selectors import Selector
    from pytest_gaia.policy.subjects import Context, Subject, Symptom


def excusing(rules: Iterable[Rule], test: Subject, failure: Symptom, circumstances: Context) -> list[str]:
    standing = RuleSet(rules).standing(test, circumstances)
    return [each.id for each in standing.winners if not each.refusal(failure)]


def covered_by_hand(selector: Selector, test: Subject) -> bool:
    """Whether ``selector`` covers ``test``, decided without the index: by text, piece by piece."""
    if selector.kind in ("service", "marker"):
        return selector.text.partition(":")[2] in (test.services if selector.kind == "service" else test.markers)
    return selector.text in ("all", test.node) or any(
        test.node.startswith(f"{selector.text}{boundary}") and selector.kind != "parameters"
        for boundary in ("/", "::", "[")
    )


@given(some.rule_lists(), some.rules(), some.subjects, some.symptoms, some.contexts)
def test_adding_a_rule_never_excuses_what_it_does_not_cover_and_match(
    rules: list[Rule], new: Rule, test: Subject, failure: Symptom, circumstances: Context
) -> None:
    before = excusing(rules, test, failure, circumstances)
    after = excusing([*rules, new], test, failure, circumstances)

    if after and not before:
        assert after == [new.id]
        assert any(covered_by_hand(selector, test) for selector in new.selectors)
        assert mismatch(new.match, failure) == ()
        assert failure.phase in new.phases
        assert new.expires > circumstances.today
        assert circumstances.environment in new.environments
        assert circumstances.environment != "production"
        assert all((name in circumstances.capabilities) == wanted for name, wanted in new.when)


@given(some.rule_lists(), some.subjects, some.contexts, st.randoms())
def test_the_order_of_files_makes_no_difference(
    rules: list[Rule], test: Subject, circumstances: Context, random: Random
) -> None:
    shuffled = list(rules)
    random.shuffle(shuffled)
    one, other = RuleSet(rules).standing(test, circumstances), RuleSet(shuffled).standing(test, circumstances)

    assert (one.winners, one.tied, one.losers) == (other.winners, other.tied, other.losers)


@given(some.rule_lists(), some.subjects, some.contexts)
def test_every_rule_about_a_test_is_a_winner_or_a_loser_with_a_reason(
    rules: list[Rule], test: Subject, circumstances: Context
) -> None:
    standing = RuleSet(rules).standing(test, circumstances)
    losers = [each for each, _ in standing.losers]
    about = {each.id for each in rules if any(covered_by_hand(selector, test) for selector in each.selectors)}

    assert {each.id for each in (*standing.winners, *losers)} == about
    assert len(standing.winners) + len(losers) == len(about)
    assert all(why for _, why in standing.losers)
    assert len({each.expect for each in standing.winners}) <= 1


@given(some.rule_lists(), st.lists(some.subjects, max_size=8), some.contexts)
def test_what_is_remembered_of_other_tests_makes_no_difference(
    rules: list[Rule], tests: list[Subject], circumstances: Context
) -> None:
    together = RuleSet(rules)

    for test in tests:
        alone = RuleSet(rules).standing(test, circumstances)
        assert together.standing(test, circumstances).winners == alone.winners


@given(some.selectors, some.selectors, some.selectors)
def test_specificity_is_a_total_preorder(a: Selector, b: Selector, c: Selector) -> None:
    assert a.rank <= b.rank or b.rank <= a.rank
    if a.rank <= b.rank <= c.rank:
        assert a.rank <= c.rank
    if a.text == b.text:
        assert a.rank == b.rank


@given(some.subjects, some.selectors, some.selectors)
def test_of_two_selectors_on_one_path_the_narrower_is_more_specific(
    test: Subject, one: Selector, other: Selector
) -> None:
    if one.covers(test) and other.covers(test) and one.rank[0] > 1 and other.rank[0] > 1 and one != other:
        assert one.rank != other.rank
        narrow, broad = (one, other) if one.rank > other.rank else (other, one)
        assert narrow.text.startswith(broad.text)


@given(some.selectors, some.subjects)
@example(parse("suites/persona"), subject("suites/personas/test_a.py::test_a"))
@example(parse("suites/x.py::test_a"), subject("suites/x.py::test_ab"))
@example(parse("suites/x.py::test_a[b]"), subject("suites/x.py::test_a[b]::c]"))
def test_a_selector_covers_what_the_text_says_and_nothing_else(selector: Selector, test: Subject) -> None:
    assert selector.covers(test) == covered_by_hand(selector, test)


@given(some.nodes)
def test_a_node_id_selects_its_own_test(node: str) -> None:
    assert parse(node).covers(subject(node))
    assert keys_of(subject(node))[0] == node


@given(some.symptoms, some.matches)
def test_a_field_more_never_lets_more_through(failure: Symptom, match: Match) -> None:
    for key in match.keys:
        looser = replace(match, **{key: ()})
        if looser.keys and not mismatch(match, failure) and failure.kind != "crash":
            assert mismatch(looser, failure) == ()


def test_the_helper_above_tells_covered_from_uncovered() -> None:
    covering = rule("covering", "suites/personas")

    assert excusing([covering], subject("suites/personas/test_a.py::test_a"), answered(503), context()) == ["covering"]
    assert not excusing([covering], subject("suites/personas/test_a.py::test_a"), answered(500), context())
    assert not excusing([covering], subject("suites/other/test_a.py::test_a"), answered(503), context())
