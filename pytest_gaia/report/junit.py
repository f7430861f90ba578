"""A JUnit file in which every planned test stands once, as it was judged: what Jenkins and GitLab read.

pytest writes what its reports say: a test during which a worker ended, or that never began, is not in it at all, one
that failed twice is there twice, and a skip that rejects the release looks like any other.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from xml.etree.ElementTree import Element

from pytest_gaia.policy.rules import Rule
from pytest_gaia.report.terms import terms, told
from pytest_gaia.verdict.judge import Judgement
from pytest_gaia.verdict.judged import Judged, worst_of_each

Address = tuple[str, str]
"""classname and name of a test case"""

_RESULTS = ("failure", "error", "skipped")
_OUTPUTS = ("system-out", "system-err")
_ERRORS = ("error", "crashed", "not collected", "incomplete")
"""outcomes of which JUnit says error: not the test, but what it needs is broken"""
_ILLEGAL = re.compile("[^\t\n\r\u0020-\u007e\u0080-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def settle(root: Element, judged: Judged, addresses: Mapping[str, Address], *, strict: bool) -> None:
    """Rewrite the document below ``root``, which pytest has written. ``addresses`` are those of all node ids.

    ``strict`` leaves properties of single tests out, which the schema of Jenkins (``xunit2``) does not know.
    """
    for suite in root.iter("testsuite"):
        written: defaultdict[Address, list[Element]] = defaultdict(list)
        for case in suite.findall("testcase"):
            written[case.get("classname", ""), case.get("name", "")].append(case)
            suite.remove(case)
        rules = {rule.id: rule for rule in judged.rules}
        for each in worst_of_each(judged.judgements):
            address = addresses[each.node]
            suite.append(_case(each, address, written.pop(address, []), judged, rules, strict=strict))
        # What belongs to no test, such as an error inside of pytest.
        suite.extend(case for cases in written.values() for case in cases)
        _count(suite)
        _describe(suite, judged)


def _case(
    each: Judgement,
    address: Address,
    written: Sequence[Element],
    judged: Judged,
    rules: Mapping[str, Rule],
    *,
    strict: bool,
) -> Element:
    attributes = {name: value for case in written[:1] for name, value in case.attrib.items()}
    seconds = sum(float(case.get("time", "0")) for case in written)
    case = Element("testcase", {**attributes, "classname": address[0], "name": address[1], "time": f"{seconds:.3f}"})
    if not strict:
        case.extend(child for old in written for child in old.findall("properties"))
    tag = _tag(each, judged)
    message = _legal(_message(each, rules))
    if tag:
        case.append(_result(tag, each, message, written))
    elif each.outcome != "passed" or each.why:
        note = Element("system-out")
        note.text = message
        case.append(note)
    case.extend(child for old in written for child in old if child.tag in _OUTPUTS)
    return case


def _tag(each: Judgement, judged: Judged) -> str:
    """Return what JUnit calls an outcome; nothing for a pass."""
    if each.outcome == "passed" and not each.gates:
        return ""
    if each.outcome == "unexpected pass" and not each.gates:
        # Where everything is tolerated, it is worth a note.
        return "" if judged.context.tolerance.kind == "open" else "failure"
    if each.gates or each.outcome == "incomplete":
        return "error" if each.outcome in _ERRORS else "failure"
    return "skipped"


def _result(tag: str, each: Judgement, message: str, written: Sequence[Element]) -> Element:
    said = [child for old in written for child in old if child.tag in _RESULTS]
    # A skip that gates is told by us: pytest has no message for it.
    own = tag == "skipped" or not any(child.tag != "skipped" for child in said)
    result = Element(tag, type=each.outcome, message=message if own else said[0].get("message", message))
    result.text = "\n\n".join(child.text for child in said if child.text) or None
    return result


def _message(each: Judgement, rules: Mapping[str, Rule]) -> str:
    known = [rules[rule] for rule in each.rules if rule in rules]
    decided = "; ".join(f"rule {rule.id}, {terms(rule)}" for rule in known)
    return f"{each.outcome}: {each.why}{f' ({decided})' if decided else ''}".removesuffix(": ")


def _count(suite: Element) -> None:
    cases = suite.findall("testcase")
    tags = Counter(child.tag for case in cases for child in case if child.tag in _RESULTS)
    counts = {"tests": len(cases), "failures": tags["failure"], "errors": tags["error"], "skipped": tags["skipped"]}
    for name, count in counts.items():
        suite.set(name, str(count))


def _describe(suite: Element, judged: Judged) -> None:
    properties = suite.find("properties")
    if properties is None:
        properties = Element("properties")
        suite.insert(0, properties)
    properties.extend(Element("property", name=name, value=_legal(value)) for name, value in _properties(judged))


def _properties(judged: Judged) -> Iterator[tuple[str, str]]:
    yield "gaia.verdict", judged.verdict.word
    yield "gaia.exit_code", str(judged.verdict.exit_code)
    yield "gaia.reasons", "; ".join(judged.verdict.reasons)
    yield "gaia.environment", judged.context.environment
    yield "gaia.rehearsal", str(judged.start.rehearsal).lower()
    yield "gaia.topology", judged.start.topology
    yield "gaia.release", judged.start.release
    for rule in judged.rules:
        if count := judged.using(rule):
            yield f"gaia.rule.{rule.id}", f"{count} × {told(rule)}"


def _legal(text: str) -> str:
    """Return ``text`` without signs that no XML file may hold."""
    return _ILLEGAL.sub(lambda sign: f"#x{ord(sign[0]):02X}", text)
