"""The parts of the sign-off page as tables of Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gaia.report.markdown_text import code, escaped, link, table
from pytest_gaia.report.signoff.page import SHOWN_BLOCKING, SHOWN_TESTS, SHOWN_UNTESTED
from pytest_gaia.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_gaia.report.signoff.page import SignOffPage

_UNKNOWN = "Not known: no verdict file of any run is here."


def _names(tests: Sequence[str], most: int, count: int) -> str:
    """Return names, and how many more there are than are named."""
    shown = [code(each) for each in tests[:most]]
    more = count - len(shown)
    return "<br>".join(
        [*shown, *([f"{more} more" if shown else f"{more}, whose names are not known here"] if more else [])]
    )


def waivers(page: SignOffPage) -> list[str]:
    """Return who has let what go."""
    rows = [
        (
            f"**{escaped(each.item)}** into {escaped(each.environment)}",
            *map(
                escaped, (each.why, each.owner, each.approver, each.until, counted(each.age_days, "day"), each.standing)
            ),
        )
        for each in page.waivers
    ]
    columns = ("Item", "Reason", "Owner", "Approved by", "Until", "Age", "Standing")
    return table(columns, rows, "None: nobody has let anything go for this release.")


def blocking(page: SignOffPage) -> list[str]:
    """Return what stands in the way."""
    rows = [
        (
            code(each.what) if "::" in each.what else escaped(each.what),
            escaped(each.where),
            escaped(each.why),
            code(each.next) + (link("see it in Allure", each.link) if each.link else ""),
        )
        for each in page.blocking[:SHOWN_BLOCKING]
    ]
    more = len(page.blocking) - len(rows)
    lines = table(("What", "Where", "Why", "What mends it"), rows, "Nothing.")
    return [*lines, "", f"And {more} more."] if more else lines


def environments(page: SignOffPage) -> list[str]:
    """Return the matrix."""
    rows = []
    for each in page.environments:
        numbers = each.counts and (
            each.counts.planned,
            each.counts.ran,
            each.counts.passed,
            each.counts.expected,
            each.counts.failed,
            each.counts.unexpected_passes,
            each.counts.not_applicable,
            each.counts.blocked,
            each.counts.not_run,
        )
        shown = map(str, numbers) if numbers else ["–"] * 9
        name = link(each.name, each.link)
        rows.append((name, escaped(each.gate) or "no decision", escaped(each.run) or "no evidence", *shown))
    outcomes = ("Expected failures", "Unexpected failures", "Unexpected passes", "Not applicable", "Blocked", "Not run")
    columns = ("Environment", "Gate", "Run", "Planned", "Ran", "Passed", *outcomes)
    remarks = [f"- {escaped(each.name)}: {escaped('; '.join(each.notes))}" for each in page.environments if each.notes]
    return [*table(columns, rows, "None."), *(["", *remarks] if remarks else [])]


def known(page: SignOffPage) -> list[str]:
    """Return what is known to fail, and who accepted it until when."""
    rows = [
        (
            code(each.rule) or "**no rule**",
            escaped(each.why),
            link(each.issue, each.issue_link),
            escaped(each.owner) or "nobody",
            escaped(f"{each.expires}, {each.left}") if each.rule else "no end",
            escaped(", ".join(f"{count} in {name}" for name, count in each.environments)),
            _names(each.tests, SHOWN_TESTS, len(each.tests)),
        )
        for each in page.known
    ]
    columns = ("Rule", "Why", "Issue", "Accepted by", "Until", "Tests", "Which")
    return table(columns, rows, "None." if page.verdicts_known else _UNKNOWN)


def idle(page: SignOffPage) -> list[str]:
    """Return the rules that matched nothing."""
    rows = [
        (
            code(each.rule),
            "<br>".join(map(escaped, each.why)),
            escaped(each.owner),
            escaped(each.issue),
            escaped(each.expires),
        )
        for each in page.idle
    ]
    columns = ("Rule", "Why it decided nothing", "Owner", "Issue", "Expires")
    return table(columns, rows, "None." if page.verdicts_known else _UNKNOWN)


def facts(page: SignOffPage) -> list[str]:
    """Return what identifies the release."""
    return [
        *(f"- {escaped(each.label)}: {code(each.value) if each.code else escaped(each.value)}" for each in page.facts),
        "",
    ]


def images(page: SignOffPage) -> list[str]:
    """Return which image was seen where."""
    names = [each.name for each in page.environments]
    rows: list[Sequence[str]] = [
        (escaped(each.service), code(each.digest), *(escaped(seen) for _, seen, _ in each.seen)) for each in page.images
    ]
    rows.append(("Runs now", "", *(escaped(each.runs_now) for each in page.environments)))
    return table(("Service", "Image of this release", *map(escaped, names)), rows, "")


def criteria(page: SignOffPage) -> list[str]:
    """Return the items of the gate."""
    rows = [
        (
            f"{'✓' if each.good else '✕'} {escaped(each.status)}",
            escaped(each.title),
            escaped(each.why),
            "<br>".join(
                f"{proof.number} {code(proof.sha256[:12])} {escaped(proof.what)}, {escaped(proof.signed_by)}"
                for proof in each.proofs
            ),
        )
        for each in page.criteria
    ]
    return table(("Status", "Item", "Why", "Evidence"), rows, "None.")


def checklist(page: SignOffPage) -> list[str]:
    """Return the checklist, and who signed."""
    rows = [
        (
            f"{'✓' if each.good else '✕'} {escaped(each.status)}",
            f"{escaped(each.title)} ({escaped(each.edge)})",
            escaped(each.who) or "nobody",
            *map(escaped, (each.when, each.until, each.why)),
        )
        for each in page.checklist
    ]
    return table(("Status", "Item", "Signed or shown by", "When", "Until", "Why"), rows, "Nothing is asked.")


def changes(page: SignOffPage) -> list[str]:
    """Return what changed."""
    if not page.changes.since:
        return ["No release was signed off there before this one, as far as the ledger knows."]
    rows = [
        (escaped(each.what), *((code if each.code else escaped)(text) for text in (each.old, each.new)))
        for each in page.changes.rows
    ]
    notes = [f"- {escaped(note)}" for note in page.changes.notes]
    return [
        f"Compared with {escaped(page.changes.since)}.",
        "",
        *table(("What", "Then", "Now"), rows, "Nothing that is known here."),
        *(["", *notes] if notes else []),
    ]


def objectives(page: SignOffPage) -> list[str]:
    """Return how fast it was."""
    rows = [
        (
            escaped(each.environment),
            code(each.route),
            escaped(each.status),
            "–" if each.measured_ms is None else f"p{each.percentile:g} {each.measured_ms:g} ms",
            f"{each.fail_ms:g} ms",
            str(each.samples),
        )
        for each in page.objectives
    ]
    columns = ("Environment", "Route", "Status", "Measured", "Limit", "Samples")
    return table(columns, rows, "No objective was measured.")


def runs(page: SignOffPage) -> list[str]:
    """Return the runs of the ledger."""
    rows = [
        (
            escaped(each.environment),
            escaped(each.when),
            "this release" if each.this else code(each.release),
            escaped(each.verdict),
            *map(str, (each.passed, each.excused, each.failed, each.other)),
        )
        for each in page.history
    ]
    columns = (
        "Environment",
        "When",
        "Release",
        "Verdict",
        "Passed",
        "Excused",
        "Unexpected",
        "Not run or not applicable",
    )
    return table(columns, rows, "The ledger holds no run of these environments.")


def rule_ages(page: SignOffPage) -> list[str]:
    """Return how old rules are."""
    rows = [
        (code(each.rule), counted(each.age_days, "day"), each.left, "yes" if each.used else "no") for each in page.ages
    ]
    return table(("Rule", "Age", "Left", "Excused a failure"), rows, "No rule was in force.")


def untested(page: SignOffPage) -> list[str]:
    """Return what was not tested."""
    rows = [
        (
            escaped(each.suite),
            str(each.count or "all"),
            escaped(f"{each.outcome}: {each.why}"),
            escaped(", ".join(each.environments)),
            "nowhere" if each.nowhere else "elsewhere",
            _names(each.tests, SHOWN_UNTESTED, each.count),
        )
        for each in page.untested
    ]
    columns = ("Suite", "Tests", "What became of them", "Where", "Tested", "Which")
    return table(columns, rows, "Nothing: every planned test ran in every environment.")
