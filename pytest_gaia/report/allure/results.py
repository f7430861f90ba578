"""The result files of a run: status, identity and labels; correct those that differ from the verdict, write missing ones."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import msgspec

from pytest_gaia.expectations.expectation import Expectation
from pytest_gaia.files.writing import PRIVATE, write_file
from pytest_gaia.verdict.classify import ACCEPTED, Classification, Outcome, worst_of_each
from pytest_gaia.verdict.evaluated import EvaluatedRun

Status = Literal["failed", "broken", "passed", "skipped", "unknown"]
ExpectedAs = Literal["failed", "skipped"]
"""how non-blocking failures are shown: as failed and known, or as skipped, for Allure 2"""

_STATUSES: Mapping[Outcome, Status] = {
    "passed": "passed",
    "passed offline": "passed",
    "without evidence": "failed",
    "failed": "failed",
    "error": "broken",
    "crashed": "broken",
    "not collected": "broken",
    "expected failure": "failed",
    "tolerated": "failed",
    "unexpected pass": "failed",
    "skipped": "skipped",
    "not applicable": "skipped",
    "incomplete": "unknown",
    "deselected": "skipped",
}
_ALIKE: Mapping[Status, frozenset[Status]] = {
    "failed": frozenset(("failed", "broken")),
    "broken": frozenset(("failed", "broken")),
    "unknown": frozenset(("unknown", "broken")),
}
_LABELLED: frozenset[Outcome] = frozenset(
    ("expected failure", "tolerated", "unexpected pass", "not applicable", "without evidence")
)


@dataclass(frozen=True, slots=True)
class AllureOutcome:
    """What a result shows in addition to the output of the test."""

    outcome: Outcome
    status: Status
    note: str = ""
    """text below the failure; begins with ``gaia:``, which the categories match"""
    known: bool = False
    flaky: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    issues: tuple[str, ...] = ()

    def agrees(self, status: str | None) -> bool:
        """Whether a result with this status agrees. "Broken" counts as failed."""
        if self.outcome in ("failed", "error", "incomplete"):
            return status in _ALIKE[self.status]
        return status == self.status


def allure_outcome(
    classification: Classification, expectations: Mapping[str, Expectation], expected_as: ExpectedAs
) -> AllureOutcome:
    """Return what Allure shows for one test; ``expectations`` are those of the run, by id."""
    outcome = classification.outcome
    decided = [expectations[each] for each in classification.expectations if each in expectations]
    return AllureOutcome(
        outcome,
        _status(classification, expected_as),
        _note(classification, decided),
        known=outcome == "expected failure",
        flaky=classification.retried,
        labels=_labels(outcome, classification.expectations),
        issues=tuple(dict.fromkeys(expectation.issue for expectation in decided)) if outcome in _LABELLED else (),
    )


def message(failure: str, note: str) -> str:
    """Return failure and note as one text."""
    return "\n\n".join(part for part in (failure, note) if part)


def _status(classification: Classification, expected_as: ExpectedAs) -> Status:
    if classification.outcome == "skipped" and classification.blocks:
        # A blocking result must not be gray.
        return "failed"
    if classification.outcome in ACCEPTED:
        return expected_as
    return _STATUSES[classification.outcome]


def _labels(outcome: Outcome, expectations: Iterable[str]) -> tuple[tuple[str, str], ...]:
    if outcome not in _LABELLED:
        return ()
    return (("outcome", outcome), *(("expectation", expectation) for expectation in expectations))


def _note(classification: Classification, expectations: Sequence[Expectation]) -> str:
    outcome, reason = classification.outcome, classification.reason
    if outcome == "expected failure":
        return (
            "\n".join(("gaia: expected failure", *map(_terms, expectations)))
            if expectations
            else f"gaia: expected failure: {reason}"
        )
    if outcome == "unexpected pass":
        head = f"gaia: unexpected pass: {reason or 'an expectation expects it to fail'}"
        return "\n".join((head, *map(_terms, expectations)))
    if outcome == "skipped":
        return (
            f"gaia: skipped, and no expectation covers that: {reason}"
            if classification.blocks
            else f"gaia: skipped: {reason}"
        )
    if outcome in ("passed", "passed offline"):
        return f"gaia: {reason}" if reason else ""
    if outcome in ("failed", "error") and not reason:
        return ""
    return f"gaia: {outcome}: {reason}" if reason else f"gaia: {outcome}"


def _terms(expectation: Expectation) -> str:
    return f"expectation: {expectation.id}: {expectation.reason}\nissue: {expectation.issue}\nowner: {expectation.owner}\nexpires: {expectation.expires.isoformat()}"


ENVIRONMENT = "environment"
"""hidden parameter that separates the histories of environments in Allure 3"""
CASE = "case"
"""hidden parameter that separates parametrized tests, whose values can look equal after masking"""


Labels = tuple[tuple[str, str], ...]

PATTERN = "*-result.json"


@dataclass(frozen=True, slots=True)
class Identity:
    """The names of one test in Allure, from pytest's node id."""

    node: str
    path: str
    classes: tuple[str, ...]
    function: str
    case: str
    """the text in brackets; empty for a test without parameters, and for a file"""

    @classmethod
    def of(cls, node: str) -> Identity:
        """Return the identity of a node id. A file that could not be collected has no function."""
        path, _, rest = node.partition("::")
        names, bracket, case = rest.partition("[")
        *classes, function = names.split("::")
        return cls(node, path, tuple(classes), function, case.removesuffix("]") if bracket else "")

    @property
    def name(self) -> str:
        """The displayed name: the function with its case, or the file."""
        shown = f"{self.function}[{self.case}]" if self.case else self.function
        return shown or self.path

    @property
    def full_name(self) -> str:
        """The dotted name that all cases of a test share, in the format of allure-pytest."""
        folder, _, file = self.path.rpartition("/")
        package = ".".join(part for part in (folder.replace("/", "."), file.rsplit(".", 1)[0]) if part)
        return f"{'.'.join((package, *self.classes))}#{self.function}" if self.function else package

    @property
    def title_path(self) -> list[str]:
        """The folders, the file and the classes of the test."""
        return [*self.path.split("/"), *self.classes]


def history_id(node: str, environment: str) -> str:
    """Return the id that all runs of one test in one environment share."""
    return _md5(f"{node}\0{environment}")


def test_case_id(full_name: str) -> str:
    """Return the id that all environments and cases of one test share."""
    return _md5(full_name)


def environment_name(name: str, *, simulated: bool) -> str:
    """Return the name of the environment in the results; a simulated run has a name of its own."""
    return f"{name}-simulated" if simulated else name


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(errors="surrogatepass"), usedforsecurity=False).hexdigest()


def origin(identity: Identity) -> Labels:
    """Return the origin of a test: its suites, package and framework, in the format of allure-pytest."""
    dotted = identity.path.removesuffix(".py").replace("/", ".")
    package, _, module = dotted.rpartition(".")
    named = (
        ("parentSuite", package),
        ("suite", module),
        ("subSuite", " > ".join(identity.classes)),
        ("package", dotted),
        ("framework", "pytest"),
        ("language", "python"),
    )
    return tuple((name, value) for name, value in named if value)


def of_project(identity: Identity, environment: str, rootdir: Path, roots: tuple[Path, ...], epic: str) -> Labels:
    """Return the labels of this package: environment, epic, feature and story."""
    return (("env", environment), *behaviours(rootdir / identity.path, identity.classes, roots, epic))


def epic_of(platform: str, rootdir: Path) -> str:
    """Return the epic of all tests: the name of the platform, or of the project's folder if it has none."""
    # The results of earlier runs have this title.
    return "Gaia Platform" if platform == "gaia" else platform or rootdir.name or "project"


def missing(present: Iterable[str], wanted: Labels) -> Labels:
    """Return the labels of ``wanted`` whose names are not in ``present``: the labels of a test's author take precedence."""
    taken = set(present)
    return tuple((name, value) for name, value in wanted if name not in taken)


@lru_cache(maxsize=4096)
def behaviours(path: Path, classes: tuple[str, ...], roots: tuple[Path, ...], epic: str) -> tuple[tuple[str, str], ...]:
    """Return the labels of one file or class: the feature is the suite, the story is the class or the file.

    ``roots`` are the root folders of the suites. Outside of them, the folder of the file is the feature.
    """
    root = next((root for root in roots if root in path.parents), None)
    parts = path.relative_to(root).parts if root else (path.parent.name, path.name)
    feature = parts[0] if len(parts) > 1 and parts[0] else epic
    story = " ".join(classes) or path.stem.removeprefix("test_").replace("_", " ")
    return (("epic", epic), ("feature", feature), ("story", story))


class Written(msgspec.Struct, frozen=True, rename="camel"):
    """The parts of a result that are compared with the verdict."""

    history_id: str | None = None
    status: str | None = None
    start: int = 0
    stop: int = 0


@dataclass(frozen=True, slots=True)
class ResultsFolder:
    """The folder with the results of one run."""

    folder: Path
    environment: str
    """name of the environment in the results"""
    rootdir: Path
    """folder that the node ids are relative to"""
    roots: tuple[Path, ...]
    """root folders of the suites"""
    link: Callable[[str], str]
    """returns the address of an issue"""
    redact: Callable[[str], str]
    epic: str
    """name of the platform under test"""
    earlier: frozenset[str] = frozenset()
    """file names of other runs in this folder"""

    def written(self) -> Iterator[tuple[Path, Written]]:
        """Yield each result that this run wrote so far."""
        for path in self.folder.glob(PATTERN):
            if path.name not in self.earlier:
                # A file that is not a result belongs to someone else.
                with suppress(msgspec.MsgspecError):
                    yield path, msgspec.json.decode(path.read_bytes(), type=Written)

    def reconcile(
        self, allure_outcomes: Iterable[tuple[str, AllureOutcome]], logs: Mapping[str, str], moment: int
    ) -> None:
        """Make the results match the verdict: at least one for each node, and none that contradicts it.

        ``logs`` maps node ids of failing tests to log lines, which are attached. ``moment`` is the end of the run, in
        milliseconds. Raises ``OSError``.
        """
        wanted = {history_id(node, self.environment): (node, shown) for node, shown in allure_outcomes}
        attempts: dict[str, list[tuple[Path, Written]]] = {}
        for path, result in self.written():
            if result.history_id in wanted:
                attempts.setdefault(result.history_id, []).append((path, result))
        for known, (node, shown) in wanted.items():
            if known in attempts:
                self._align(attempts[known], shown)
                if node in logs:
                    self._attach(_latest(attempts[known])[0], logs[node])
            else:
                self._write(self.result(node, shown, moment))

    def result(self, node: str, shown: AllureOutcome, moment: int) -> dict[str, Any]:
        """Return the result of a test that wrote none."""
        identity = Identity.of(node)
        labels = (*origin(identity), *of_project(identity, self.environment, self.rootdir, self.roots, self.epic))
        return {
            "uuid": str(uuid.uuid4()),
            "historyId": history_id(node, self.environment),
            "testCaseId": test_case_id(identity.full_name),
            "fullName": identity.full_name,
            "name": identity.name,
            "titlePath": identity.title_path,
            "status": shown.status,
            "statusDetails": self._details({}, shown),
            "start": moment,
            "stop": moment,
            "labels": _named((*labels, *shown.labels)),
            "links": self._links(shown),
            "parameters": [{"name": n, "value": v, "mode": "hidden"} for n, v in hidden(identity, self.environment)],
        }

    def _align(self, attempts: list[tuple[Path, Written]], shown: AllureOutcome) -> None:
        """Make the latest attempt match the verdict. Earlier attempts stay as they are, unless they would count as a pass."""
        latest = _latest(attempts)
        for path, result in attempts:
            wrong = (path, result) == latest or (result.status == "passed" != shown.status)
            if wrong and not shown.agrees(result.status):
                self._correct(path, shown)

    def _attach(self, path: Path, text: str) -> None:
        plain: dict[str, Any] = json.loads(path.read_bytes())
        source = f"{uuid.uuid4()}-attachment.txt"
        write_file(self.folder / source, text, mode=PRIVATE)
        attached = {"name": "log lines of the services", "source": source, "type": "text/plain"}
        self._replace(path, plain | {"attachments": [*plain.get("attachments", ()), attached]})

    def _correct(self, path: Path, shown: AllureOutcome) -> None:
        plain: dict[str, Any] = json.loads(path.read_bytes())
        said = [
            label for label in plain.get("labels", ()) if label.get("name") not in ("outcome", "expectation", "rule")
        ]
        plain |= {
            "status": shown.status,
            "statusDetails": self._details(plain.get("statusDetails", {}), shown),
            "labels": [*said, *_named(shown.labels)],
            "links": [*plain.get("links", ()), *self._links(shown)],
        }
        self._replace(path, plain)

    def _details(self, before: dict[str, Any], shown: AllureOutcome) -> dict[str, Any]:
        own = without_note(before.get("message", ""))
        return {
            **before,
            "known": shown.known,
            "flaky": shown.flaky,
            "message": self.redact(message(own, shown.note)),
        }

    def _links(self, shown: AllureOutcome) -> list[dict[str, str]]:
        return [{"type": "issue", "url": self.link(each), "name": each} for each in shown.issues]

    def _write(self, plain: dict[str, Any]) -> None:
        self._replace(self.folder / f"{uuid.uuid4()}-result.json", plain)

    def _replace(self, path: Path, plain: dict[str, Any]) -> None:
        write_file(path, json.dumps(plain), mode=PRIVATE)


def _latest(attempts: list[tuple[Path, Written]]) -> tuple[Path, Written]:
    return max(attempts, key=lambda each: (each[1].start, each[1].stop))


def hidden(identity: Identity, environment: str) -> tuple[tuple[str, str], ...]:
    """Return the hidden parameters that distinguish histories; all other parameters are excluded from that."""
    case = ((CASE, identity.case),) if identity.case else ()
    return ((ENVIRONMENT, environment), *case)


def without_note(text: str) -> str:
    """Return the message without an earlier note of this package."""
    return "" if text.startswith("gaia: ") else text.partition("\n\ngaia: ")[0]


def _named(labels: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in labels]


def allure_outcomes(
    evaluated: EvaluatedRun, expected_as: ExpectedAs, more: Iterable[Classification] = ()
) -> Iterator[tuple[str, AllureOutcome]]:
    """Yield each node of the run and of ``more`` once, with its outcome in Allure. Deselected tests are omitted."""
    expectations = {expectation.id: expectation for expectation in evaluated.expectations}
    away = evaluated.verdict.reasons[0] if evaluated.verdict.word == "INFRA" else ""
    for classification in worst_of_each(chain(evaluated.classifications, more)):
        told = classification
        if classification.outcome == "incomplete" and away:
            # The reason is the same for all tests.
            told = msgspec.structs.replace(
                classification, reason=f"{classification.reason}\ngaia: infrastructure: {away}"
            )
        yield classification.node, allure_outcome(told, expectations, expected_as)
