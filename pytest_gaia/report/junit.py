"""A JUnit file with every planned test once, with its outcome, for Jenkins and GitLab.

pytest's own file omits a test that never started or whose worker crashed, contains a test that failed twice two times,
and shows a blocking skip like any other.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from xml.etree.ElementTree import Element

from pytest_gaia.expectations.expectation import Expectation
from pytest_gaia.report.footer import groups_not_offered
from pytest_gaia.report.layout import terms, told
from pytest_gaia.verdict.classify import Classification, worst_of_each
from pytest_gaia.verdict.evaluated import EvaluatedRun

Address = tuple[str, str]
"""classname and name of a test case"""

_RESULTS = ("failure", "error", "skipped")
_OUTPUTS = ("system-out", "system-err")
_ERRORS = ("error", "crashed", "not collected", "incomplete")
"""outcomes that are an error in JUnit: not the test failed, but something that it needs"""
_ILLEGAL = re.compile("[^\t\n\r\u0020-\u007e\u0080-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def settle(
    root: Element, evaluated: EvaluatedRun, addresses: Mapping[str, Address], logs: Mapping[str, str], *, strict: bool
) -> None:
    """Rewrite the document below ``root``, which pytest has written. ``addresses`` maps node ids to test cases.

    ``logs`` maps node ids of failing tests to log lines.

    ``strict`` leaves properties of single tests out, which the schema of Jenkins (``xunit2``) does not allow.
    """
    for suite in root.iter("testsuite"):
        written: defaultdict[Address, list[Element]] = defaultdict(list)
        for case in suite.findall("testcase"):
            written[case.get("classname", ""), case.get("name", "")].append(case)
            suite.remove(case)
        expectations = {expectation.id: expectation for expectation in evaluated.expectations}
        for each in worst_of_each(evaluated.classifications):
            address = addresses[each.node]
            case = _case(each, address, written.pop(address, []), evaluated, expectations, strict=strict)
            result = next((child for child in case if child.tag in _RESULTS), None)
            if result is not None and each.node in logs:
                result.text = "\n\n".join(filter(None, (result.text, _legal(logs[each.node]))))
            suite.append(case)
        # Cases without a test, such as an internal error of pytest.
        suite.extend(case for cases in written.values() for case in cases)
        suite.extend(_gone(evaluated))
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


def _gone(evaluated: EvaluatedRun) -> Iterator[Element]:
    """Yield a failed test case if operations are gone: no test fails for them, and some tools read only test cases."""
    for group in groups_not_offered(evaluated):
        if group.blocking:
            case = Element("testcase", classname="gaia", name="no operation is gone", time="0.000")
            failure = Element("failure", type="gone", message=_legal(group.title))
            needs = (line for each, nodes in group.tests.items() for line in (each, *(f"  {node}" for node in nodes)))
            failure.text = _legal("\n".join(needs))
            case.append(failure)
            yield case


def _tag(each: Classification, evaluated: EvaluatedRun) -> str:
    """Return the JUnit element for an outcome; empty for a pass."""
    if each.outcome in ("passed", "passed offline") and not each.blocks:
        return ""
    if each.outcome == "unexpected pass" and not each.blocks:
        # Where no failure blocks, it is only a note.
        return "" if evaluated.context.tolerance.kind == "advisory" else "failure"
    if each.blocks or each.outcome in ("incomplete", "without evidence"):
        return "error" if each.outcome in _ERRORS else "failure"
    return "skipped"


def _result(tag: str, each: Classification, message: str, written: Sequence[Element]) -> Element:
    written_results = [child for old in written for child in old if child.tag in _RESULTS]
    # pytest has no message for a skip that blocks.
    own = tag == "skipped" or not any(child.tag != "skipped" for child in written_results)
    result = Element(tag, type=each.outcome, message=message if own else written_results[0].get("message", message))
    result.text = "\n\n".join(child.text for child in written_results if child.text) or None
    return result


def _message(each: Classification, expectations: Mapping[str, Expectation]) -> str:
    known = [expectations[expectation] for expectation in each.expectations if expectation in expectations]
    decided = "; ".join(f"expectation {expectation.id}, {terms(expectation)}" for expectation in known)
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
    yield "gaia.rehearsal", str(evaluated.start.simulated).lower()
    yield "gaia.platform", evaluated.start.platform.name if evaluated.start.platform else ""
    yield "gaia.services", ", ".join(each.service for each in evaluated.start.services)
    yield "gaia.release", evaluated.start.deployed_version
    if order := evaluated.start.order:
        yield "gaia.order", order
    for service, api in sorted(evaluated.start.apis.items()):
        yield f"gaia.api.{service}", api.document
    if baseline := evaluated.context.apis.baseline:
        yield "gaia.baseline", baseline.name
    if gone := [each.operation for each in evaluated.gone if not each.expectation]:
        yield "gaia.gone", "; ".join(gone)
    for expectation in evaluated.expectations:
        if count := evaluated.using(expectation):
            yield f"gaia.rule.{expectation.id}", f"{count} × {told(expectation)}"


def _legal(text: str) -> str:
    """Return ``text`` without characters that XML forbids."""
    return _ILLEGAL.sub(lambda sign: f"#x{ord(sign[0]):02X}", text)
