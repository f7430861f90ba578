"""Sign-off pages: one that has something of everything, and one about which nothing is known."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from pytest_gaia.report.signoff.page import (
    Blocking,
    Change,
    Changes,
    ChecklistRow,
    Counts,
    Criterion,
    EnvironmentSeen,
    ExpectationAge,
    Fact,
    IdleExpectation,
    Image,
    KnownFailure,
    Objective,
    Proof,
    RunPoint,
    SignOffPage,
    Untested,
    Waiver,
)

HEAD = "18632e7893beea17e7d74ff0cce074753b26428961cea76fe3693b870b2d23c2"
DIGEST = f"sha256:{'2c' * 32}"
PERSONAS = "suites/personas/test_personas.py::test_a_removed_persona_is_gone"
STREAM = "suites/chat/test_stream.py::test_a_stream_ends[mu, 2 messages]"
PROOF = Proof(35, "406561af69be" + "0" * 52, "run", "2026-11-23 21:04 UTC", "ci")


def full_page(**changes: Any) -> SignOffPage:
    """Return a page that holds a release up, for several reasons, with every section filled; ``changes`` are laid over it."""
    page = SignOffPage(
        answer="NO GO",
        verdict="REJECT",
        question="May this release be deployed to production? Nothing of it is there yet, as far as the ledger knows.",
        target="production",
        release="bundle c1f04185784b",
        reasons=("Security review complete: not signed by security", "Performance acceptable: too slow: GET /health"),
        as_of="2026-11-23 21:30 UTC",
        version="0.1.0",
        head=HEAD,
        facts=(
            Fact("Bundle", "c1f0" * 16, code=True),
            Fact("Migration head", "none"),
            Fact("Ledger head", HEAD, code=True),
        ),
        waivers=_waivers(),
        environments=_environments(),
        images=_images(),
        criteria=_criteria(),
        checklist=_checklist(),
        known=_known(),
        idle=(
            IdleExpectation(
                "models-shadowed",
                "@chat-team",
                "GAIA-435",
                "2026-12-01",
                8,
                ("staging: in force, and no test needed it",),
            ),
            IdleExpectation("old-rule", "@chat-team", "GAIA-400", "2026-11-01", -22, ("dev: expired 2026-11-01",)),
        ),
        blocking=_blocking(),
        untested=_untested(),
        changes=_changes(),
        objectives=_objectives(),
        history=_history(),
        ages=(ExpectationAge("staging-personas", 61, 8, used=True), ExpectationAge("old-rule", 300, -22, used=False)),
        verdicts_known=True,
        gaps=("dev: its verdict file (verdict.json) is not on this machine.",),
    )
    return dataclasses.replace(page, **changes)


def bare_page(**changes: Any) -> SignOffPage:
    """Return a page of a release about which nothing is known."""
    nothing = EnvironmentSeen("production", "", "", "", None, "nothing is known")
    empty: dict[str, Any] = dict.fromkeys(
        (
            "waivers",
            "images",
            "criteria",
            "checklist",
            "known",
            "idle",
            "blocking",
            "untested",
            "objectives",
            "history",
            "ages",
        ),
        (),
    )
    empty |= {"environments": (nothing,), "changes": Changes(""), "verdicts_known": False, "gaps": ()}
    return full_page(**empty | changes)


def _waivers() -> tuple[Waiver, ...]:
    given, until = "2026-11-23 20:00 UTC", "2026-11-25 20:00 UTC"
    return (
        Waiver("rollback-ready", "production", "rita", "rita (release-manager)", "partner launch; tried by hand", given, until, 0, "in force", in_force=True),
        Waiver("dev-stable", "staging", "rita", "rita (release-manager)", "the broker was moved", "2026-10-01 20:00 UTC", "2026-10-03 20:00 UTC", 53, "has expired", in_force=False),
    )  # fmt: skip


def _environments() -> tuple[EnvironmentSeen, ...]:
    when = "2026-11-23 21:04 UTC"
    notes = ("flaky: suites/health/test_health.py::test_it_answers", "2 sealed tests have neither passed nor an excuse")
    return (
        EnvironmentSeen("local", "PROMOTE", "PROMOTE", when, Counts(193, 37, 37, 0, 0, 0, 156, 0, 0), f"this release, since {when}"),
        EnvironmentSeen("dev", "PROMOTE", "PROMOTE", when, Counts(193, 190, 178, 12, 0, 0, 3, 0, 0), f"this release, since {when}"),
        EnvironmentSeen(
            "staging", "REJECT", "REJECT", when, Counts(193, 186, 170, 13, 2, 1, 4, 1, 2), f"bundle 126cf3f61ef2, since {when}",
            notes, "https://allure.example/staging/",
        ),
        EnvironmentSeen("production", "", "", "", None, f"bundle 126cf3f61ef2, since {when}", ("no run of this release counts as evidence here",)),
    )  # fmt: skip


def _images() -> tuple[Image, ...]:
    there = ("local", "this image", True), ("dev", "this image", True)
    return (
        Image("auth", DIGEST, (*there, ("staging", "not observed", False), ("production", "not part of it", True))),
        Image("gateway", DIGEST, (*there, ("staging", "another: sha256:126cf3f61ef2…", False), ("production", "not observed", False))),
    )  # fmt: skip


def _criteria() -> tuple[Criterion, ...]:
    before: Literal["before it is deployed"] = "before it is deployed"
    after: Literal["after it is deployed"] = "after it is deployed"
    return (
        Criterion("rollback-ready", "Rollback plan ready", "before it is deployed", "waived", True, "waived by rita", "", (PROOF,)),
        Criterion("security-review", "Security review complete", before, "missing", False, "not signed by security", "gaia signoff security-review"),
        Criterion("performance-acceptable", "Performance acceptable", before, "failed", False, "too slow: GET /health", "", (PROOF,)),
        Criterion("core-verified", "Core functionality verified", before, "stale", False, "measured on 2026-10-01 10:00", ""),
        Criterion("deployed", "Deployed, and seen to run", after, "proved", True, "seen to run", "", (PROOF,)),
    )  # fmt: skip


def _checklist() -> tuple[ChecklistRow, ...]:
    return (
        ChecklistRow("local → dev", "Feature complete and tested", "signed", True, "rita (release-manager)", "rita (release-manager)", "2026-11-23 10:00 UTC", "2026-11-30 10:00 UTC"),
        ChecklistRow("staging → production", "Security review complete", "missing", False, "not signed by security", "", "", ""),
    )  # fmt: skip


def _known() -> tuple[KnownFailure, ...]:
    return (
        KnownFailure("staging-personas", "staging has no chat service", "https://issues.example/GAIA-412", "https://issues.example/GAIA-412", "@persona-team", "2026-12-01", 8, (("staging", 2),), (PERSONAS, STREAM)),
        KnownFailure("old-rule", "it was to be mended", "GAIA-400", "", "@chat-team", "2026-11-01", -22, (("dev", 1),), (STREAM,)),
        KnownFailure("", "not excused by a rule: the environment's tolerance", "", "", "", "", None, (("dev", 40),), tuple(f"suites/assets/test_assets.py::test_asset[{number}]" for number in range(40))),
    )  # fmt: skip


def _blocking() -> tuple[Blocking, ...]:
    return (
        Blocking("Security review complete", "production", "not signed by security", "gaia signoff security-review --env production --bundle c1f04185784b --role security"),
        Blocking(PERSONAS, "staging", "failed: AssertionError: 200 is not 404\nrule staging-personas did not excuse: status 200, expected 503", link="https://allure.example/staging/?query=test_a_removed_persona_is_gone"),
    )  # fmt: skip


def _untested() -> tuple[Untested, ...]:
    return (
        Untested("everything", "no run", "no run of this release counts as evidence", ("production",), (), 0, nowhere=True),
        Untested("performance", "not applicable", "does not run the suite performance unless it is selected", ("staging",), ("suites/performance/test_p.py::test_a[GET /a::b]",), 1, nowhere=True),
        Untested("not known", "skipped", "the verdict file is missing", ("dev",), (), 3, nowhere=True),
        Untested("messaging", "not applicable", "services are restarted in the sandbox only", ("local", "staging"), (STREAM,), 1, nowhere=False),
    )  # fmt: skip


def _changes() -> Changes:
    rows = (
        Change("image of gateway", f"sha256:{'11' * 32}", DIGEST, code=True),
        Change("migration head", "none", "0007", code=True),
        Change(
            "rule staging-personas",
            "not there",
            "staging has no chat service (GAIA-412, @persona-team, until 2026-12-01)",
        ),
        Change("staging: expected failures", "11", "13"),
    )
    return Changes(
        "bundle 126cf3f61ef2, which the gate of production let pass on 2026-11-20 09:00 UTC", rows, ("a note",)
    )


def _objectives() -> tuple[Objective, ...]:
    return (
        Objective(
            "staging", "GET /health", 95, 60, 910.0, 300, 800, "failed", "p95 is 910 ms, over 800 ms", 40.2, 1200
        ),
        Objective(
            "staging",
            "GET /api/v0.2/personas/{persona_id}",
            99,
            25,
            120,
            400,
            900,
            "passed",
            "p99 is 120 ms",
            80.1,
            131,
        ),
        Objective(
            "staging",
            "POST /api/v0.2/chat",
            95,
            3,
            None,
            None,
            5000,
            "inconclusive",
            "3 samples, at least 20 are asked",
        ),
    )


def _history() -> tuple[RunPoint, ...]:
    runs = [("126cf3f61ef2", False, "PROMOTE", 176, 11, 0), ("c1f04185784b", True, "REJECT", 170, 13, 3)]
    return tuple(
        RunPoint(name, "2026-11-23 21:04 UTC", release, this, verdict, passed, accepted, failed, 7)
        for name in ("dev", "staging")
        for release, this, verdict, passed, accepted, failed in runs * 4
    )
