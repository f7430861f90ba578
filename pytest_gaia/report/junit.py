"""A JUnit file in which every planned test stands once, as it was judged: what Jenkins and GitLab read.

pytest writes what its reports say: a test during which a worker ended, or that never began, is not in it at all, one
that failed twice is there twice, and a skip that rejects the release looks like any other.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from xml.etree.ElementTree import Element

from pytest_gaia.expectations.expectation import Expectation
from pytest_gaia.report.layout import terms, told
from pytest_gaia.verdict.classify import Classification
from pytest_gaia.verdict.evaluated import EvaluatedRun, worst_of_each

Address = tuple[str, str]
"""classname and name of a test case"""

_RESULTS = ("failure", "error", "skipped")
_OUTPUTS = ("system-out", "system-err")
_ERRORS = ("error", "crashed", "not collected", "incomplete")
"""outcomes of which JUnit says error: not the test, but what it needs is broken"""
_ILLEGAL = re.compile("[^\t\n\r\u0020-\u007e\u0080-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def settle(root: Element, evaluated: EvaluatedRun, addresses: Mapping[str, Address], *, strict: bool) -> None:
    """Rewrite the document below ``root``, which pytest has written. ``addresses`` are those of all node ids.

    ``strict`` leaves properties of single tests out, which the schema of Jenkins (``xunit2``) does not know.
    """
    for suite in root.iter("testsuite"):
        written: defaultdict[Address, list[Element]] = defaultdict(list)
        for case in suite.findall("testcase"):
            written[case.get("classname", ""), case.get("name", "")].append(case)
            suite.remove(case)
        expectations = {expectation.id: expectation for expectation in evaluated.expectations}
        for each in worst_of_each(evaluated.classifications):
            address = addresses[each.node]
            suite.append(_case(each, address, written.pop(address, []), evaluated, expectations, strict=strict))
        # What belongs to no test, such as an error inside of pytest.
        suite.extend(case for cases in written.values() for case in cases)
        _count(suite)
        _describe(suite, evaluated)


def _case(
    each: Classification,
    address: Address,
    written: Sequence[Element],
    evaluated: EvaluatedRun,
    expectations: Mapping[str, Expectation],
    *,
    strict: bool,
) -> Element:
    attributes = {name: value for case in written[:1] for name, value in case.attrib.items()}
    seconds = sum(float(case.get("time", "0")) for case in written)
    case = Element("testcase", {**attributes, "classname": address[0], "name": address[1], "time": f"{seconds:.3f}"})
    if not strict:
        case.extend(child for old in written for child in old.findall("properties"))
    tag = _tag(each, evaluated)
    message = _legal(_message(each, expectations))
    if tag:
        case.append(_result(tag, each, message, written))
    elif each.outcome != "passed" or each.reason:
        note = Element("system-out")
        note.text = message
        case.append(note)
    case.extend(child for old in written for child in old if child.tag in _OUTPUTS)
    return case


def _tag(each: Classification, evaluated: EvaluatedRun) -> str:
    """Return what JUnit calls an outcome; nothing for a pass."""
    if each.outcome == "passed" and not each.blocks:
        return ""
    if each.outcome == "unexpected pass" and not each.blocks:
        # Where everything is tolerated, it is worth a note.
        return "" if evaluated.context.tolerance.kind == "advisory" else "failure"
    if each.blocks or each.outcome == "incomplete":
        return "error" if each.outcome in _ERRORS else "failure"
    return "skipped"


def _result(tag: str, each: Classification, message: str, written: Sequence[Element]) -> Element:
    said = [child for old in written for child in old if child.tag in _RESULTS]
    # A skip that gates is told by us: pytest has no message for it.
    own = tag == "skipped" or not any(child.tag != "skipped" for child in said)
    result = Element(tag, type=each.outcome, message=message if own else said[0].get("message", message))
    result.text = "\n\n".join(child.text for child in said if child.text) or None
    return result


def _message(each: Classification, expectations: Mapping[str, Expectation]) -> str:
    known = [expectations[expectation] for expectation in each.expectations if expectation in expectations]
    decided = "; ".join(f"rule {expectation.id}, {terms(expectation)}" for expectation in known)
    return f"{each.outcome}: {each.reason}{f' ({decided})' if decided else ''}".removesuffix(": ")


def _count(suite: Element) -> None:
    cases = suite.findall("testcase")
    tags = Counter(child.tag for case in cases for child in case if child.tag in _RESULTS)
    counts = {"tests": len(cases), "failures": tags["failure"], "errors": tags["error"], "skipped": tags["skipped"]}
    for name, count in counts.items():
        suite.set(name, str(count))


def _describe(suite: Element, evaluated: EvaluatedRun) -> None:
    properties = suite.find("properties")
    if properties is None:
        properties = Element("properties")
        suite.insert(0, properties)
    properties.extend(Element("property", name=name, value=_legal(value)) for name, value in _properties(evaluated))


def _properties(evaluated: EvaluatedRun) -> Iterator[tuple[str, str]]:
    yield "gaia.verdict", evaluated.verdict.word
    yield "gaia.exit_code", str(evaluated.verdict.exit_code)
    yield "gaia.reasons", "; ".join(evaluated.verdict.reasons)
    yield "gaia.environment", evaluated.context.environment
    yield "gaia.rehearsal", str(evaluated.start.rehearsal).lower()
    yield "gaia.topology", evaluated.start.topology
    yield "gaia.release", evaluated.start.deployed_version
    for expectation in evaluated.expectations:
        if count := evaluated.using(expectation):
            yield f"gaia.rule.{expectation.id}", f"{count} × {told(expectation)}"


def _legal(text: str) -> str:
    """Return ``text`` without signs that no XML file may hold."""
    return _ILLEGAL.sub(lambda sign: f"#x{ord(sign[0]):02X}", text)
