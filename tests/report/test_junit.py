"""A JUnit file in which every test stands once, in a form that Jenkins takes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from hypothesis import given

from pytest_gaia.report.junit import settle
from tests.report.evaluated import PERSONAS, WHY, evaluated_runs, eventful
from tests.report.jenkins import problems

if TYPE_CHECKING:
    from pytest_gaia.verdict.evaluated import EvaluatedRun

Address = tuple[str, str]


def written(*cases: str) -> ET.Element:
    """A file as pytest writes it."""
    return ET.fromstring(
        '<testsuites><testsuite name="pytest" errors="7" failures="7" skipped="7" tests="7" time="0.1">'
        f"{''.join(cases)}</testsuite></testsuites>"
    )


def addresses(evaluated: EvaluatedRun) -> dict[str, Address]:
    return {each.node: ("", each.node) for each in evaluated.classifications}


def settled(evaluated: EvaluatedRun, *cases: str, strict: bool = True) -> ET.Element:
    root = written(*cases)
    settle(root, evaluated, addresses(evaluated), {}, strict=strict)
    return root


def case_of(root: ET.Element, name: str) -> ET.Element:
    return next(case for case in root.iter("testcase") if case.get("name") == name)


@given(evaluated_runs)
def test_every_test_stands_there_once_and_jenkins_can_read_it(evaluated: EvaluatedRun) -> None:
    root = ET.fromstring(ET.tostring(settled(evaluated)))

    planned = {each.node for each in evaluated.classifications if each.outcome != "deselected"}
    blocking = {each.node for each in evaluated.classifications if each.blocks}
    assert problems(root) == []
    assert Counter(case.get("name") for case in root.iter("testcase")) == Counter(planned)
    bad = [case for case in root.iter("testcase") if {child.tag for child in case} & {"failure", "error"}]
    assert blocking <= {case.get("name") for case in bad}


@given(evaluated_runs)
def test_the_counts_are_those_of_the_cases(evaluated: EvaluatedRun) -> None:
    suite = settled(evaluated)[0]
    tags = Counter(child.tag for case in suite.iter("testcase") for child in case)

    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == [
        str(len(suite.findall("testcase"))),
        *(str(tags[tag]) for tag in ("failure", "error", "skipped")),
    ]


def test_an_expected_failure_is_skipped_and_says_by_which_expectation() -> None:
    skipped = case_of(settled(eventful()), PERSONAS)[0]

    told = "expectation staging-personas, GAIA-1, @team, until 2026-03-28"
    assert (skipped.tag, skipped.get("message")) == ("skipped", f"expected failure: {WHY} ({told})")


def test_an_unexpected_pass_is_a_failure() -> None:
    failure = case_of(settled(eventful()), "suites/health/test_health.py::test_ok")[0]

    assert (failure.tag, failure.get("type")) == ("failure", "unexpected pass")


def test_the_suite_says_verdict_and_environment() -> None:
    properties = {each.get("name"): each.get("value") for each in settled(eventful()).iter("property")}

    assert (properties["gaia.verdict"], properties["gaia.environment"]) == ("REJECT", "staging")
    assert properties["gaia.rule.staging-personas"] == f"1 × {WHY} (GAIA-1, @team, until 2026-03-28)"


def test_two_cases_of_one_test_become_one_that_says_both() -> None:
    node = "suites/chat/test_chat.py::test_answers[0|a]"
    first = f'<testcase classname="" name="{node}" time="0.100"><failure message="call">one</failure></testcase>'
    second = f'<testcase classname="" name="{node}" time="0.200"><error message="teardown">two</error></testcase>'
    case = case_of(settled(eventful(), first, second), node)

    assert case.get("time") == "0.300"
    assert [(child.tag, child.get("message"), child.text) for child in case] == [("failure", "call", "one\n\ntwo")]


def test_properties_of_single_tests_stay_in_the_older_form_only() -> None:
    node = "suites/health/test_health.py::test_fine"
    kept = '<properties><property name="mine" value="1" /></properties><system-out>said</system-out>'
    case = f'<testcase classname="" name="{node}" time="0.1">{kept}</testcase>'

    assert [child.tag for child in case_of(settled(eventful(), case), node)] == ["system-out"]
    assert [child.tag for child in case_of(settled(eventful(), case, strict=False), node)] == [
        "properties",
        "system-out",
    ]


def test_what_belongs_to_no_test_is_kept() -> None:
    inside = '<testcase classname="pytest" name="internal" time="0"><error message="internal error" /></testcase>'

    assert case_of(settled(eventful(), inside), "internal")[0].tag == "error"
