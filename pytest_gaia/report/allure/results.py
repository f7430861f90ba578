"""The result files of a run: correct those that differ from the verdict, and write missing ones."""

import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pytest_gaia.files.writing import PRIVATE, write_file
from pytest_gaia.report.allure.labels import CASE, ENVIRONMENT, Identity, history_id, of_project, origin, test_case_id
from pytest_gaia.report.allure.outcomes import AllureOutcome, ExpectedAs, allure_outcome, message
from pytest_gaia.verdict.evaluated import EvaluatedRun, worst_of_each

PATTERN = "*-result.json"


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

    def reconcile(self, allure_outcomes: Iterable[tuple[str, AllureOutcome]], moment: int) -> None:
        """Make the results match the verdict: at least one for each node, and none that contradicts it.

        ``moment`` is the end of the run, in milliseconds. Raises ``OSError``.
        """
        wanted = {history_id(node, self.environment): (node, shown) for node, shown in allure_outcomes}
        attempts: dict[str, list[tuple[Path, Written]]] = {}
        for path, result in self.written():
            if result.history_id in wanted:
                attempts.setdefault(result.history_id, []).append((path, result))
        for known, (node, shown) in wanted.items():
            if known in attempts:
                self._align(attempts[known], shown)
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
        latest = max(attempts, key=lambda each: (each[1].start, each[1].stop))
        for path, result in attempts:
            wrong = (path, result) == latest or (result.status == "passed" != shown.status)
            if wrong and not shown.agrees(result.status):
                self._correct(path, shown)

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


def hidden(identity: Identity, environment: str) -> tuple[tuple[str, str], ...]:
    """Return the hidden parameters that distinguish histories; all other parameters are excluded from that."""
    case = ((CASE, identity.case),) if identity.case else ()
    return ((ENVIRONMENT, environment), *case)


def without_note(text: str) -> str:
    """Return the message without an earlier note of this package."""
    return "" if text.startswith("gaia: ") else text.partition("\n\ngaia: ")[0]


def _named(labels: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in labels]


def allure_outcomes(evaluated: EvaluatedRun, expected_as: ExpectedAs) -> Iterator[tuple[str, AllureOutcome]]:
    """Yield each node of the run once, with its outcome in Allure. Deselected tests are omitted."""
    expectations = {expectation.id: expectation for expectation in evaluated.expectations}
    away = evaluated.verdict.reasons[0] if evaluated.verdict.word == "INFRA" else ""
    for classification in worst_of_each(evaluated.classifications):
        told = classification
        if classification.outcome == "incomplete" and away:
            # The reason is the same for all tests.
            told = msgspec.structs.replace(
                classification, reason=f"{classification.reason}\ngaia: infrastructure: {away}"
            )
        yield classification.node, allure_outcome(told, expectations, expected_as)
