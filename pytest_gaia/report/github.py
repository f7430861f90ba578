"""Output for GitHub: the job summary, annotations at lines of a pull request, and findings as SARIF or for GitLab.

Text is escaped for Markdown, so that it cannot become a heading, a link, an image, a mention or HTML.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from pytest_gaia.preflight.findings import Check, Finding, Severity
from pytest_gaia.printable import one_line, visible
from pytest_gaia.report.footer import NotOffered, groups_not_offered, not_sent, spent, warnings
from pytest_gaia.verdict.classify import Classification
from pytest_gaia.verdict.evaluated import EvaluatedRun
from pytest_gaia.wording import counted

_MEANING = re.compile(r"([\\`*_{}\[\]#!|~<>&$])")
_REFERENCE = re.compile(r"@(?=\w)|#(?=\d)|:(?=[\w+-]{1,99}:)")
"""text that GitHub turns into a mention, a link to an issue, or an emoji, even if it is escaped"""
_BEGINNING = re.compile(r"^(\d*)([.)+=-])(?=\s|$|-|=)")
_ADDRESS = re.compile(r"(https?|ftp)(?=:)|www(?=\.)", re.IGNORECASE)
_SAFE = ":/?#[]@!$&'()*+,;=%~"
"""characters of an address that are not escaped"""
_JOINER = "\u2060"
"""an invisible character that prevents links, mentions and emoji"""

MOST = 10
"""annotations of one kind that GitHub shows per step; it drops the others silently"""
SUMMARY_LIMIT = 1024 * 1024
"""bytes that GitHub accepts as the summary of a step; it drops a longer one as a whole"""

_SPACE_FOR_A_NOTE = 200
_WORDS = {"error": "error", "warning": "warning", "note": "notice"}
"""severity of a finding → kind of its workflow command"""


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a job in GitHub Actions."""

    summary: Path | None
    """file of the step's summary"""
    prefix: str
    """the project's folder within the repository, such as ``services/``; empty at its root"""

    @classmethod
    def of(cls, root: Path, environ: Mapping[str, str]) -> Self:
        """Return the step of a process with these variables; ``root`` is the folder of the project."""
        summary = environ.get("GITHUB_STEP_SUMMARY")
        workspace = Path(environ.get("GITHUB_WORKSPACE") or root)
        inside = root.relative_to(workspace).as_posix() if workspace in root.parents else "."
        return cls(Path(summary) if summary else None, "" if inside == "." else f"{inside}/")

    def summarise(self, evaluated: EvaluatedRun, label: str, mask: Callable[[str], str] = str) -> str:
        """Add the run to the step's summary; return an error message if it cannot be written, which does not matter."""
        if self.summary is None:
            return ""
        try:
            before = self.summary.stat().st_size if self.summary.exists() else 0
            text = mask(job_summary(evaluated, label, SUMMARY_LIMIT - before))
            with self.summary.open("a", encoding="utf-8", errors="replace") as file:
                file.write(text)
        except OSError as error:
            return f"GITHUB_STEP_SUMMARY={self.summary}: cannot be written: {error.strerror}"
        return ""


def escaped(text: str) -> str:
    """Return ``text`` on one line, with all Markdown syntax escaped."""
    plain = _BEGINNING.sub(r"\1\\\2", _MEANING.sub(r"\\\1", " ".join(one_line(text).split())))
    return _ADDRESS.sub(rf"\g<0>{_JOINER}", _REFERENCE.sub(rf"\g<0>{_JOINER}", plain))


def code(text: str) -> str:
    """Return ``text`` as code, also within a table."""
    shown = " ".join(one_line(text).split())
    if "`" in shown or "|" in shown:
        return escaped(shown)
    return f"`{shown}`" if shown else ""


def link(text: str, address: str) -> str:
    """Return a link to ``address``; without an address, only the text."""
    return f"[{escaped(text)}](<{quote(address, safe=_SAFE)}>)" if address else escaped(text)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table. The cells are Markdown already."""
    return [f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows)]


def run_annotations(
    evaluated: EvaluatedRun, label: str, places: Mapping[str, tuple[str, int]], prefix: str = ""
) -> Iterator[str]:
    """Yield a workflow command for each blocking test and each warning.

    ``places`` maps node ids to the file and line of the failure; ``prefix`` is the project's folder within its
    repository, such as ``services/``. If there are more than GitHub shows, the last one counts the rest.
    """

    def failure(each: Classification) -> str:
        file, line = places.get(each.node, (each.node.partition("::")[0], 0))
        return annotation(
            "error", f"gaia {each.outcome}", f"{each.node}\n{each.reason}".strip(), f"{prefix}{file}", line
        )

    gone = [partial(_gone, each) for each in groups_not_offered(evaluated) if each.blocking]
    unsent = [partial(annotation, "error", "gaia", text.removeprefix("gaia: ")) for text in not_sent(evaluated)]
    failed = (each for each in evaluated.classifications if each.blocks and not each.not_sent)
    blocking = [*gone, *unsent, *(partial(failure, each) for each in failed)]
    yield from _most("error", blocking or [*_verdict(evaluated, label)], "tests block")
    if evaluated.verdict.word == "PARTIAL":
        yield annotation("notice", "gaia PARTIAL", f"{label}: {'; '.join(evaluated.verdict.reasons)}")
    warned = [partial(annotation, "warning", "gaia", text) for text in warnings(evaluated)]
    yield from _most("warning", warned, "warnings")


def job_summary(evaluated: EvaluatedRun, label: str, limit: int = SUMMARY_LIMIT) -> str:
    """Return the run as Markdown, in at most ``limit`` bytes of UTF-8."""
    return _fitting(_summary(evaluated, label), limit)


def _gone(group: NotOffered) -> str:
    return annotation("error", "gaia API", "\n".join((group.title, *group.tests)))


def _verdict(evaluated: EvaluatedRun, label: str) -> Iterator[Callable[[], str]]:
    """Yield an annotation for a verdict without anything that blocks, such as HOLD or INFRA."""
    if evaluated.verdict.exit_code:
        title = f"gaia {evaluated.verdict.word}"
        yield partial(annotation, "error", title, f"{label}: {'; '.join(evaluated.verdict.reasons)}")


def _most(kind: str, found: Sequence[Callable[[], str]], what: str) -> Iterator[str]:
    shown = found if len(found) <= MOST else found[: MOST - 1]
    yield from (each() for each in shown)
    if left := len(found) - len(shown):
        yield annotation(kind, "gaia", f"{left} more {what}; see the log and the job summary.")


def _summary(evaluated: EvaluatedRun, label: str) -> Iterator[str]:
    yield f"## gaia: {evaluated.verdict.word} on {_cell(label)}"
    yield ""
    yield " · ".join(f"{count} {outcome}" for outcome, count in evaluated.counts.items()) or "no test ran"
    if evaluated.verdict.word != "PROMOTE":
        yield ""
        yield from (f"- {_cell(reason)}" for reason in evaluated.verdict.reasons)
    yield from (f"- {_cell(text.removeprefix('gaia: '))}" for text in not_sent(evaluated))
    blocking = [
        (each.node, each.outcome, each.reason)
        for each in evaluated.classifications
        if each.blocks and not each.not_sent
    ]
    yield from _table("Blocking failures", ("test", "outcome", "reason"), blocking)
    for group in groups_not_offered(evaluated):
        rows = [(str(len(nodes)), operation) for operation, nodes in group.tests.items()]
        yield from _table(f"Not offered by this release: {group.title}", ("tests", "operation"), rows)
    yield from _table(
        f"Expected failures{spent(evaluated)}",
        ("tests", "expectation", "issue", "owner", "expires", "reason"),
        [
            (
                str(evaluated.using(expectation)),
                expectation.id,
                expectation.issue,
                expectation.owner,
                expectation.expires.isoformat(),
                expectation.reason,
            )
            for expectation in evaluated.expectations
            if evaluated.using(expectation)
        ],
    )
    yield from _table("Warnings", ("warning",), [(text,) for text in warnings(evaluated)])
    yield from _table("Not tested", ("tests", "outcome", "reason"), _untested(evaluated))
    if evaluated.blocking_in_production and evaluated.context.tolerance.kind != "strict":
        yield from ("", f"{counted(evaluated.blocking_in_production, 'failure')} would block production.")


def _untested(evaluated: EvaluatedRun) -> list[tuple[str, str, str]]:
    outcomes = ("without evidence", "not applicable", "skipped", "incomplete", "not collected", "deselected")
    others = (each for each in evaluated.classifications if each.outcome in outcomes and not each.operations)
    groups = Counter((each.outcome, each.reason) for each in others)
    return [(str(count), outcome, why) for (outcome, why), count in groups.items()]


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if rows:
        yield from ("", f"### {title}", "", *table(columns, [[_cell(cell) for cell in row] for row in rows]))


def _cell(text: str) -> str:
    """Return ``text`` for a cell of a table, with Markdown escaped and lines joined by ``<br>``."""
    return "<br>".join(map(escaped, text.strip().splitlines()))


def _fitting(lines: Iterable[str], limit: int) -> str:
    taken: list[str] = []
    used = 0
    lines = list(lines)
    for number, line in enumerate(lines):
        size = len(line.encode(errors="replace")) + 1
        if used + size > limit - _SPACE_FOR_A_NOTE:
            taken += ["", f"GitHub limits the size: {len(lines) - number} lines are left out. See the log."]
            break
        taken.append(line)
        used += size
    return "\n".join(taken) + "\n"


def github_annotations(findings: Iterable[Finding], prefix: str = "") -> list[str]:
    """Return one line per finding; ``prefix`` is the project's folder within its repository, such as ``services/``."""
    return [_annotation(each, prefix) for each in findings]


def annotation(kind: str, title: str, message: str, file: str = "", line: int = 0) -> str:
    """Return one workflow command. ``kind`` is error, warning or notice; ``line`` counts from 1; 0 is unknown."""
    place = {"file": file, "line": str(line) if line else ""} if file else {}
    properties = {**place, "title": title}
    shown = ",".join(f"{name}={_escaped(value, ':,')}" for name, value in properties.items() if value)
    return f"::{kind} {shown}::{_escaped(message)}"


def _annotation(finding: Finding, prefix: str) -> str:
    message = f"{finding.text}. {finding.why}\nFix: {finding.fix}."
    place = finding.place
    return annotation(_WORDS[finding.severity], f"gaia {finding.check}", message, f"{prefix}{place.file}", place.line)


def _escaped(text: str, more: str = "") -> str:
    """Return ``text`` with percent codes for characters that have a meaning in workflow commands."""
    text = visible(text)
    for sign in f"%\r\n{more}":
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text


SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_ROOT = "%SRCROOT%"


def sarif(
    findings: Sequence[Finding], checks: Sequence[Check], *, tool: str, version: str, prefix: str = ""
) -> dict[str, Any]:
    """Return one log with one run: all ``checks`` as rules, and ``findings`` as results.

    ``tool`` is the command, ``version`` is this package's; ``prefix`` is the project's folder within its repository, such as ``services/``.
    """
    rules = {each.id: number for number, each in enumerate(checks)}
    driver = {
        "name": tool,
        "semanticVersion": version,
        "informationUri": "https://pypi.org/project/pytest-gaia/",
        "rules": [_rule(each) for each in checks],
    }
    results = [_result(each, rules[each.check], prefix) for each in findings]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


_GITLAB: dict[Severity, str] = {"error": "critical", "warning": "major", "note": "info"}


def code_quality(findings: Sequence[Finding], prefix: str = "") -> list[dict[str, Any]]:
    """Return a code quality report of GitLab; ``prefix`` is as for :func:`sarif`."""
    return [
        {
            "description": f"{each.text}. Fix: {each.fix}.",
            "check_name": each.check,
            "fingerprint": _fingerprint((each.check, each.place.file, each.text)),
            "severity": _GITLAB[each.severity],
            "location": {"path": f"{prefix}{each.place.file}", "lines": {"begin": each.place.line}},
        }
        for each in findings
    ]


def _rule(check: Check) -> dict[str, Any]:
    return {
        "id": check.id,
        "name": "".join(word.capitalize() for word in check.id.split("-")),
        "shortDescription": {"text": f"{check.title}."},
        "fullDescription": {"text": check.why},
        "help": {"text": f"{check.title}. {check.why}" + (f" Fix: {check.fix}." if check.fix else "")},
        "defaultConfiguration": {"level": check.severity},
        "properties": {"tags": [check.topic]},
    }


def _result(finding: Finding, rule: int, prefix: str) -> dict[str, Any]:
    location = {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(f"{prefix}{finding.place.file}"), "uriBaseId": _ROOT},
            "region": {"startLine": finding.place.line},
        }
    }
    return {
        "ruleId": finding.check,
        "ruleIndex": rule,
        "level": finding.severity,
        "message": {"text": f"{finding.text}. {finding.why} Fix: {finding.fix}."},
        "locations": [location],
        "partialFingerprints": {"gaiaFinding/v1": _fingerprint((finding.check, finding.place.file, finding.text))},
    }


def _fingerprint(parts: Iterable[str]) -> str:
    """Return an identifier that stays the same when lines move, so that a known finding is not shown as new."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
