"""The files of results: what each has to say by the judged run; those of tests that left none are written."""

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
from pytest_gaia.report.allure.outcomes import ExpectedAs, Telling, message, tell
from pytest_gaia.verdict.evaluated import EvaluatedRun, worst_of_each

PATTERN = "*-result.json"


class Written(msgspec.Struct, frozen=True, rename="camel"):
    """What has to be known of a result to hold it against a judgement."""

    history_id: str | None = None
    status: str | None = None
    start: int = 0
    stop: int = 0


@dataclass(frozen=True, slots=True)
class Shelf:
    """The folder of one run's results."""

    folder: Path
    environment: str
    """as results name it"""
    rootdir: Path
    """that of pytest's node ids"""
    roots: tuple[Path, ...]
    """the suites' root folders"""
    link: Callable[[str], str]
    """from the text of an issue to its address"""
    redact: Callable[[str], str]
    earlier: frozenset[str] = frozenset()
    """names of files that other runs have left here"""

    def written(self) -> Iterator[tuple[Path, Written]]:
        """Yield each result that this run has written so far."""
        for path in self.folder.glob(PATTERN):
            if path.name not in self.earlier:
                # Somebody else's file, which is no result at all, says nothing of any test.
                with suppress(msgspec.MsgspecError):
                    yield path, msgspec.json.decode(path.read_bytes(), type=Written)

    def settle(self, tellings: Iterable[tuple[str, Telling]], moment: int) -> None:
        """Make the results say what was judged: one for each node at least, and none that says otherwise.

        ``moment`` is when the run ended, in milliseconds. Raises ``OSError``.
        """
        wanted = {history_id(node, self.environment): (node, telling) for node, telling in tellings}
        attempts: dict[str, list[tuple[Path, Written]]] = {}
        for path, result in self.written():
            if result.history_id in wanted:
                attempts.setdefault(result.history_id, []).append((path, result))
        for known, (node, telling) in wanted.items():
            if known in attempts:
                self._align(attempts[known], telling)
            else:
                self._write(self.result(node, telling, moment))

    def result(self, node: str, telling: Telling, moment: int) -> dict[str, Any]:
        """Return the result of a test that left none."""
        identity = Identity.of(node)
        labels = (*origin(identity), *of_project(identity, self.environment, self.rootdir, self.roots))
        return {
            "uuid": str(uuid.uuid4()),
            "historyId": history_id(node, self.environment),
            "testCaseId": test_case_id(identity.full_name),
            "fullName": identity.full_name,
            "name": identity.name,
            "titlePath": identity.title_path,
            "status": telling.status,
            "statusDetails": self._details({}, telling),
            "start": moment,
            "stop": moment,
            "labels": _named((*labels, *telling.labels)),
            "links": self._links(telling),
            "parameters": [{"name": n, "value": v, "mode": "hidden"} for n, v in hidden(identity, self.environment)],
        }

    def _align(self, attempts: list[tuple[Path, Written]], telling: Telling) -> None:
        """The latest attempt says what was judged. Those before it are history, and say what happened, but no pass."""
        latest = max(attempts, key=lambda each: (each[1].start, each[1].stop))
        for path, result in attempts:
            wrong = (path, result) == latest or (result.status == "passed" != telling.status)
            if wrong and not telling.agrees(result.status):
                self._correct(path, telling)

    def _correct(self, path: Path, telling: Telling) -> None:
        plain: dict[str, Any] = json.loads(path.read_bytes())
        said = [label for label in plain.get("labels", ()) if label.get("name") not in ("expectation", "rule")]
        plain |= {
            "status": telling.status,
            "statusDetails": self._details(plain.get("statusDetails", {}), telling),
            "labels": [*said, *_named(telling.labels)],
            "links": [*plain.get("links", ()), *self._links(telling)],
        }
        self._replace(path, plain)

    def _details(self, before: dict[str, Any], telling: Telling) -> dict[str, Any]:
        own = without_note(before.get("message", ""))
        return {
            **before,
            "known": telling.known,
            "flaky": telling.flaky,
            "message": self.redact(message(own, telling.note)),
        }

    def _links(self, telling: Telling) -> list[dict[str, str]]:
        return [{"type": "issue", "url": self.link(each), "name": each} for each in telling.issues]

    def _write(self, plain: dict[str, Any]) -> None:
        self._replace(self.folder / f"{uuid.uuid4()}-result.json", plain)

    def _replace(self, path: Path, plain: dict[str, Any]) -> None:
        write_file(path, json.dumps(plain), mode=PRIVATE)


def hidden(identity: Identity, environment: str) -> tuple[tuple[str, str], ...]:
    """Return the hidden parameters by which histories are told apart; all others are left out of that."""
    case = ((CASE, identity.case),) if identity.case else ()
    return ((ENVIRONMENT, environment), *case)


def without_note(text: str) -> str:
    """Return the message without what an earlier note of ours has added."""
    return "" if text.startswith("gaia: ") else text.partition("\n\ngaia: ")[0]


def _named(labels: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in labels]


def tellings(evaluated: EvaluatedRun, expected_as: ExpectedAs) -> Iterator[tuple[str, Telling]]:
    """Yield each node of the run once, with what Allure is told of it. What the user left out is left out."""
    expectations = {expectation.id: expectation for expectation in evaluated.expectations}
    away = evaluated.verdict.reasons[0] if evaluated.verdict.word == "INFRA" else ""
    for classification in worst_of_each(evaluated.classifications):
        told = classification
        if classification.outcome == "incomplete" and away:
            # Readers ask why, and the answer is the same for all.
            told = msgspec.structs.replace(
                classification, reason=f"{classification.reason}\ngaia: infrastructure: {away}"
            )
        yield classification.node, tell(told, expectations, expected_as)
