"""A JUnit file with every planned test once, with its outcome, for Jenkins and GitLab.

pytest's own file omits a test that never started or whose worker crashed, contains a test that failed twice two times,
and shows a blocking skip like any other.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile
from xml.etree.ElementTree import Element, ParseError, SubElement, iterparse, tostring

from pytest_gaia.errors import ConfigError
from pytest_gaia.expectations.expectation import Expectation
from pytest_gaia.report.footer import groups_not_offered
from pytest_gaia.report.layout import terms, told
from pytest_gaia.verdict.classify import Classification, worst_of_each
from pytest_gaia.verdict.evaluated import EvaluatedRun

Address = tuple[str, str]
"""classname and name of a test case"""

_OWN = "gaia"
"""class name of cases that are not a test"""
_BLOCK = 1 << 20
_COUNTS = {"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"}
"""attribute of a suite → the elements that it counts"""
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


class MergedSuite:
    """The document of a merged run: each test of the run once, and each required one without a result, as an error."""

    def __init__(self, evaluated: EvaluatedRun, required: Sequence[str]) -> None:
        self._evaluated = evaluated
        self._classified = {each.node: each for each in worst_of_each(evaluated.classifications)}
        self._nodes = {address_of(node): node for node in (*self._classified, *required)}
        self._left = dict.fromkeys(self._nodes.values())
        self._expectations = {expectation.id: expectation for expectation in evaluated.expectations}
        self._suite = Element("testsuite", name="pytest", errors="0", failures="0", skipped="0", tests="0", time="0")
        self._tags: Counter[str] = Counter()
        self._seconds = 0.0

    def pieces(self, paths: Sequence[Path]) -> Iterator[bytes]:
        """Yield the document. ``paths`` are the files of the shards, as a run has rewritten them by its verdict.

        Raises ``OSError``, and ``ConfigError`` for a file that is not JUnit.
        """
        # The numbers precede the tests.
        with TemporaryFile() as file:
            for case in chain.from_iterable((*map(self._of_shard, paths), self._others())):
                self._tags.update(("testcase", *(child.tag for child in case if child.tag in _RESULTS)))
                file.write(tostring(case))
            for name, tag in _COUNTS.items():
                self._suite.set(name, str(self._tags[tag]))
            self._suite.set("time", f"{self._seconds:.3f}")
            _describe(self._suite, self._evaluated)
            head = tostring(self._suite).removesuffix(b"</testsuite>")
            yield b'<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests">' + head
            file.seek(0)
            yield from iter(partial(file.read, _BLOCK), b"")
            yield b"</testsuite></testsuites>"

    def _of_shard(self, path: Path) -> Iterator[Element]:
        prefix = ""
        for case, seconds in _cases_of(path, self._suite):
            self._seconds += seconds
            if case is None:
                continue
            address = case.get("classname", ""), case.get("name", "")
            prefix = prefix or _prefix(address, self._nodes)
            node = self._nodes.get((address[0].removeprefix(prefix), address[1]))
            if node in self._left:
                del self._left[node]
                yield self._case(node, address, case)
            elif node is None and address[0] != _OWN:
                # An internal error of pytest.
                yield case

    def _case(self, node: str, address: Address, written: Element | None) -> Element:
        each = self._classified.get(node) or Classification(node, "incomplete", True, "no shard has a result of it")
        if written is not None:
            shown = next((child.tag for child in written if child.tag in _RESULTS), "")
            if shown == _tag(each, self._evaluated):
                return written
        return _case(
            each, address, [] if written is None else [written], self._evaluated, self._expectations, strict=False
        )

    def _others(self) -> Iterator[Element]:
        yield from (self._case(node, address_of(node), None) for node in self._left)
        yield from _gone(self._evaluated)


def _cases_of(path: Path, suite: Element) -> Iterator[tuple[Element | None, float]]:
    try:
        yield from _cases(path, suite)
    except (ParseError, ValueError) as error:
        raise ConfigError(f"{path}: not a JUnit file: {error}.") from None


def _cases(path: Path, suite: Element) -> Iterator[tuple[Element | None, float]]:
    """Yield the cases of a file, and its time; add its other properties to ``suite``."""
    root: Element | None = None
    # Results of this project's own shards.
    for event, element in iterparse(path, events=("start", "end")):  # noqa: S314
        if event == "start":
            if root is None and element.tag not in ("testsuites", "testsuite"):
                raise ValueError(f"it begins with <{element.tag}>")
            root = element if root is None or element.tag == "testsuite" else root
            if element.tag == "testsuite":
                suite.attrib.update({name: element.get(name, "") for name in ("timestamp", "hostname")} | suite.attrib)
                yield None, float(element.get("time", "0"))
        elif element.tag == "testcase" and root is not None:
            yield element, 0.0
            root.remove(element)
        elif element.tag == "properties" and root is not None and element in list(root):
            own = suite.find("properties")
            if own is None:
                own = SubElement(suite, "properties")
            known = {(each.get("name"), each.get("value")) for each in own}
            own.extend(
                each
                for each in element
                if not each.get("name", "").startswith("gaia.") and (each.get("name"), each.get("value")) not in known
            )


def _prefix(address: Address, nodes: Mapping[Address, str]) -> str:
    """Return what ``--junit-prefix`` has added to the class name of a test; empty if nothing."""
    parts = address[0].split(".")
    for count in range(1, len(parts)):
        if (".".join(parts[count:]), address[1]) in nodes and address not in nodes:
            return f"{'.'.join(parts[:count])}."
    return ""


def address_of(node: str) -> Address:
    """Return class name and name of a test, as pytest writes them."""
    path, bracket, case = node.partition("[")
    file, *names = path.split("::")
    *classes, name = [file.replace("/", ".").removesuffix(".py"), *names]
    return ".".join(classes), _legal(f"{name}{bracket}{case}")


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
            case = Element("testcase", classname=_OWN, name="no operation is gone", time="0.000")
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
    tags = Counter(child.tag for case in cases for child in (case, *case))
    for name, tag in _COUNTS.items():
        suite.set(name, str(tags[tag]))


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
