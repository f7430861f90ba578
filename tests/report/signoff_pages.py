"""Release reports: one that has something of everything, and one about which nothing is known."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any, Literal

from pytest_gaia.report.signoff.page import (
    Approval,
    Blocking,
    Change,
    Changes,
    Commit,
    Counts,
    EnvironmentResult,
    Fact,
    GateCheck,
    Image,
    KnownFailure,
    Objective,
    Proof,
    ReleasePoint,
    RemovedOperation,
    RunPoint,
    Signature,
    SignOffPage,
    Untested,
    UnusedExpectation,
    Waiver,
    WayBack,
)

HEAD = "18632e7893beea17e7d74ff0cce074753b26428961cea76fe3693b870b2d23c2"
DIGEST = f"sha256:{'2c' * 32}"
PERSONAS = "suites/personas/test_personas.py::test_a_deleted_persona_is_gone"
STREAM = "suites/chat/test_stream.py::test_a_stream_ends[mu, 2 messages]"
PROOF = Proof(35, "406561af69be" + "0" * 52, "run", "2026-11-23 21:04 UTC", "ci")


def full_page(**changes: Any) -> SignOffPage:
    """Return a page that holds a release up, for several reasons, with every section filled; ``changes`` are laid over it."""
    page = SignOffPage(
        decision="NO GO",
        verdict="REJECT",
        question="May this release be deployed to production?",
        target="production",
        release="release c1f04185784b",
        reasons=("Security review complete: not approved by security", "Performance acceptable: too slow: GET /health"),
        as_of="2026-11-23 21:30 UTC",
        version="0.1.0",
        head=HEAD,
        facts=(
            Fact("Release", "c1f0" * 16, code=True),
            Fact("Commit", "5d" * 20, code=True, link="https://git.example/gaia/commit/5d5d"),
            Fact("Migration head", "none"),
            Fact("Ledger head", HEAD, code=True),
        ),
        waivers=_waivers(),
        environments=_environments(),
        images=_images(),
        checks=_checks(),
        approvals=_approvals(),
        known=_known(),
        unused=(
            UnusedExpectation(
                "models-shadowed",
                "@chat-team",
                "GAIA-435",
                "2026-12-01",
                8,
                ("staging: no test needed it",),
            ),
            UnusedExpectation("old-rule", "@chat-team", "GAIA-400", "2026-11-01", -22, ("dev: expired 2026-11-01",)),
        ),
        blocking=_blocking(),
        untested=_untested(),
        changes=_changes(),
        objectives=_objectives(),
        history=_history(),
        releases=_releases(),
        way_back=_way_back(),
        signatures=(Signature("release-manager", "rita", "2026-11-23 10:00 UTC"), Signature("product")),
        verdicts_known=True,
        removed=_removed(),
        compared=(
            "dev: no earlier release has a known API.",
            "staging: compared with release 126cf3f61ef2 in staging; NOT KNOWN now: auth.",
        ),
        ran=186,
        planned=193,
        gaps=("dev: its verdict file (verdict.json) is not on this machine.",),
    )
    return dataclasses.replace(page, **changes)


def bare_page(**changes: Any) -> SignOffPage:
    """Return a page of a release about which nothing is known."""
    nothing = EnvironmentResult("production", "", "", "", None, "unknown")
    empty: dict[str, Any] = dict.fromkeys(
        (
            "waivers",
            "images",
            "checks",
            "approvals",
            "known",
            "unused",
            "blocking",
            "untested",
            "objectives",
            "history",
            "releases",
            "removed",
            "compared",
        ),
        (),
    )
    empty |= {
        "environments": (nothing,),
        "changes": Changes(""),
        "verdicts_known": False,
        "gaps": (),
        "ran": 0,
        "planned": 0,
    }
    empty |= {"way_back": WayBack("", note="the ledger has no earlier release of production"), "signatures": ()}
    return full_page(**empty | changes)


def _waivers() -> tuple[Waiver, ...]:
    given, until = "2026-11-23 20:00 UTC", "2026-11-25 20:00 UTC"
    return (
        Waiver("rollback-ready", "production", "rita", "rita (release-manager)", "partner launch; tried by hand", given, until, 0, "in force", in_force=True),
        Waiver("dev-stable", "staging", "rita", "rita (release-manager)", "the broker was moved", "2026-10-01 20:00 UTC", "2026-10-03 20:00 UTC", 53, "has expired", in_force=False),
    )  # fmt: skip


def _environments() -> tuple[EnvironmentResult, ...]:
    when = "2026-11-23 21:04 UTC"
    notes = ("flaky: suites/health/test_health.py::test_it_answers", "2 required tests have no accepted result")
    return (
        EnvironmentResult("local", "PROMOTE", "PROMOTE", when, Counts(193, 37, 37, 0, 0, 0, 0, 156, 0, 0), f"this release, since {when}"),
        EnvironmentResult("dev", "PROMOTE", "PROMOTE", when, Counts(193, 190, 178, 12, 0, 0, 0, 3, 0, 0), f"this release, since {when}"),
        EnvironmentResult(
            "staging", "REJECT", "REJECT", when, Counts(193, 186, 170, 13, 2, 1, 0, 4, 1, 2), f"release 126cf3f61ef2, since {when}",
            notes, "https://allure.example/staging/", "https://staging.example/", "https://ci.example/runs/7",
        ),
        EnvironmentResult("production", "", "", "", None, f"release 126cf3f61ef2, since {when}", ("no valid run of this release",)),
    )  # fmt: skip


def _images() -> tuple[Image, ...]:
    there = ("local", "this image", True), ("dev", "this image", True)
    return (
        Image("auth", DIGEST, (*there, ("staging", "not observed", False), ("production", "not deployed there", True))),
        Image("gateway", DIGEST, (*there, ("staging", "another: sha256:126cf3f61ef2…", False), ("production", "not observed", False))),
    )  # fmt: skip


def _checks() -> tuple[GateCheck, ...]:
    before: Literal["before deployment"] = "before deployment"
    after: Literal["after deployment"] = "after deployment"
    return (
        GateCheck("rollback-ready", "Rollback plan ready", "before deployment", "waived", True, "waived by rita", "", (PROOF,)),
        GateCheck("security-review", "Security review complete", before, "pending", False, "not approved by security", "gaia release approve c1f04185784b security-review -e production --role security"),
        GateCheck("performance-acceptable", "Performance acceptable", before, "failed", False, "too slow: GET /health", "", (PROOF,)),
        GateCheck("core-verified", "Core functionality verified", before, "expired", False, "measured on 2026-10-01 10:00", ""),
        GateCheck("deployed", "Deployed and running", after, "passed", True, "running", "", (PROOF,)),
    )  # fmt: skip


def _approvals() -> tuple[Approval, ...]:
    return (
        Approval("local → dev", "Feature complete and tested", "approved", True, "rita (release-manager)", "rita (release-manager)", "2026-11-23 10:00 UTC", "2026-11-30 10:00 UTC"),
        Approval("staging → production", "Security review complete", "pending", False, "not approved by security", "", "", ""),
    )  # fmt: skip


def _known() -> tuple[KnownFailure, ...]:
    return (
        KnownFailure("staging-personas", "staging has no chat service", "https://issues.example/GAIA-412", "https://issues.example/GAIA-412", "@persona-team", "2026-12-01", 8, (("staging", 2),), (PERSONAS, STREAM)),
        KnownFailure("old-rule", "it was to be fixed", "GAIA-400", "", "@chat-team", "2026-11-01", -22, (("dev", 1),), (STREAM,)),
        KnownFailure("", "not covered by an expectation", "", "", "", "", None, (("dev", 40),), tuple(f"suites/assets/test_assets.py::test_asset[{number}]" for number in range(40))),
    )  # fmt: skip


def _blocking() -> tuple[Blocking, ...]:
    return (
        Blocking("Security review complete", "production", "not approved by security", "gaia release approve c1f04185784b security-review -e production --role security"),
        Blocking(PERSONAS, "staging", "failed: AssertionError: 200 is not 404\nexpectation staging-personas did not match: status 200, expected 503", link="https://allure.example/staging/?query=test_a_deleted_persona_is_gone"),
    )  # fmt: skip


def _removed() -> tuple[RemovedOperation, ...]:
    where = ("dev", "staging")
    return (
        RemovedOperation("gateway: GET /api/v0.2/personas", ("staging",), "", "", "", blocks=True),
        RemovedOperation("gateway: GET /api/v0.2/models", where, "v0.2-models", "@models-team", "2027-01-31", blocks=False),
        RemovedOperation("gateway: POST /api/v0.2/echo", where, "", "", "", blocks=False),
    )  # fmt: skip


def _untested() -> tuple[Untested, ...]:
    return (
        Untested("everything", "no run", "no valid run of this release", ("production",), (), 0, nowhere=True),
        Untested("performance", "not applicable", 'runs the suite "performance" only if it is selected', ("staging",), ("suites/performance/test_p.py::test_a[GET /a::b]",), 1, nowhere=True),
        Untested("not known", "skipped", "the verdict file is missing", ("dev",), (), 3, nowhere=True),
        Untested("messaging", "not applicable", "services can be restarted in the sandbox only", ("local", "staging"), (STREAM,), 1, nowhere=False),
    )  # fmt: skip


def _changes() -> Changes:
    rows = (
        Change("image of gateway", f"sha256:{'11' * 32}", DIGEST, code=True),
        Change("migration head", "none", "0007", code=True),
        Change(
            "expectation staging-personas",
            "none",
            "staging has no chat service (GAIA-412, @persona-team, until 2026-12-01)",
        ),
        Change("staging: expected failures", "11", "13"),
    )
    return Changes(
        "release 126cf3f61ef2, approved for production on 2026-11-20 09:00 UTC",
        rows,
        ("a note",),
        (
            Commit("5d" * 20, "Return 404 for a removed persona", "Rita", "https://git.example/gaia/commit/5d5d"),
            Commit("4c" * 20, "Add models", "Mu"),
        ),
        2,
        "https://git.example/gaia/compare/11...5d",
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
            "3 samples, at least 20 required",
        ),
    )


def _history() -> tuple[RunPoint, ...]:
    runs = [("126cf3f61ef2", False, "PROMOTE", 176, 11, 0), ("c1f04185784b", True, "REJECT", 170, 13, 3)]
    return tuple(
        RunPoint(name, "2026-11-23 21:04 UTC", release, this, verdict, passed, accepted, failed, 7)
        for name in ("dev", "staging")
        for release, this, verdict, passed, accepted, failed in runs * 4
    )


def _way_back() -> WayBack:
    return WayBack(
        "release 126cf3f61ef2",
        "2026-11-20 09:00 UTC",
        (("auth", f"sha256:{'11' * 32}"), ("gateway", f"sha256:{'12' * 32}")),
        "passed in staging on 2026-11-21 10:00 UTC",
        "gaia rollback production --confirm production",
    )


def _releases() -> tuple[ReleasePoint, ...]:
    first, second = "2026-11-19 09:00 UTC", "2026-11-23 09:00 UTC"
    return (
        ReleasePoint("126cf3f61ef2", False, first, "2026-11-20 09:00 UTC", "1 d", "production", "PROMOTE", 187, 176, 11, 0, 0, 95),
        ReleasePoint("c1f04185784b", True, second, "", "", "staging", "REJECT", 186, 170, 13, 3, 1, 120),
    )  # fmt: skip


def small_page() -> SignOffPage:
    """Return a page about one service that may go out, and that nothing is known to fail in."""
    page = full_page()
    return full_page(
        decision="GO",
        reasons=("All 15 checks of the production gate passed, and none was waived.",),
        waivers=(),
        environments=page.environments[:1],
        images=page.images[1:],
        checks=tuple(each for each in page.checks if each.good),
        approvals=page.approvals[:1],
        known=(),
        removed=(),
        unused=(),
        blocking=(),
        untested=(),
        ran=12,
        planned=12,
        signatures=page.signatures[:1],
        gaps=(),
    )


def large_page() -> SignOffPage:
    """Return a page with more of everything than fits, and with long names without a break and in several scripts."""
    page = full_page()
    long, cjk, rtl = "w" * 500, "発行を承認する" * 60, "اسم الاختبار " * 40
    names = [f"environment-{number}-{long}" for number in range(9)]
    known = [
        replace(page.known[0], reason=f"{script} reason {number}", issue=f"GAIA-{number}-{long}", owner=f"@owner-{number}-{long}", environments=tuple((name, 30) for name in names))
        for number, script in enumerate((long, cjk, rtl) * 60)
    ]  # fmt: skip
    waivers = [replace(page.waivers[0], check=f"check-{number}", reason=rtl, approver=f"{cjk} (release-manager)") for number in range(9)]  # fmt: skip
    blocking = [replace(page.blocking[1], what=f"suites/a/test_a.py::test_{number}_{long}", reason=cjk) for number in range(300)]  # fmt: skip
    untested = [replace(page.untested[1], suite=f"suite-{number}-{long}", count=number + 1) for number in range(60)]
    services = [f"service-{number}-{long}" for number in range(30)]
    return full_page(
        release=f"release {'c1f04185784b'}",
        target=f"production-{long[:40]}",
        question=f"May this release be deployed to production-{long[:40]}?",
        reasons=tuple(f"{cjk} {number}" for number in range(40)),
        waivers=tuple(waivers),
        environments=tuple(replace(page.environments[2], name=name, runs_now=rtl + long) for name in names),
        images=tuple(Image(each, DIGEST, tuple((name, "this image", True) for name in names)) for each in services),
        checks=page.checks * 8,
        known=(*page.known, *known),
        removed=tuple(replace(each, operation=f"{each.operation}/{long}", owner=cjk) for each in page.removed * 30),
        blocking=(*page.blocking, *blocking),
        untested=(*page.untested, *untested),
        changes=replace(page.changes, since=f"release 126cf3f61ef2, {long}", commits=page.changes.commits * 20, commit_count=400),
        way_back=replace(page.way_back, images=tuple((each, DIGEST) for each in services), note=cjk, drill=long),
        signatures=tuple(Signature(f"role-{number}-{long}", cjk, "2026-11-23 10:00 UTC") for number in range(7)),
        gaps=tuple(f"{cjk} {number}" for number in range(12)),
    )  # fmt: skip
