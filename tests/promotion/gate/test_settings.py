"""A setting that allows more, or tests or requires less, than at the last promotion is named, and holds the release."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.config.project import Project
from pytest_gaia.config.stages import Freeze, Stage
from pytest_gaia.promotion.gate.gate import evaluate
from pytest_gaia.promotion.gate.settings import SETTINGS, settings_of, wider
from pytest_gaia.promotion.gate.situation import Situation
from pytest_gaia.promotion.ledger.keys import trusted_keys
from tests.promotion.pipeline import STAGES, Pipeline, declared, made_release

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.promotion.gate.check import Check
    from pytest_gaia.promotion.gate.gate import Gate
    from tests.promotion.conftest import Keyring

NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)
PROJECT = """
[gaia]
suites = ["suites", "more"]
[services.orders]
safe = ["POST /search", "POST /quote"]
unsafe = ["GET /logout"]
[services.billing]
[env.local]
[env.dev]
[env.staging]
url = "https://{service}.staging.example.org"
hosts = ["a.example.org", "*.staging.example.org"]
required = ["orders"]
[env.staging.tolerance]
budget = 3
min_tests = 20
skip = "expected"
[env.staging.stage]
suites = ["health", "orders"]
required_approvals = ["qa", "product"]
[[env.staging.stage.freeze]]
from = 2026-12-20T00:00:00Z
until = 2027-01-02T00:00:00Z
reason = "holidays"
[[env.staging.slo]]
route = "GET /health"
fail_ms = 300
"""
STAGING = '[env.staging]\nurl = "https://{service}.staging.example.org"'
SAME = {
    "defaults spelled out": (
        STAGING,
        STAGING + "\nwrites = false\ndirect = 'refuse'\ncore_only = false\nloopback = false",
    ),
    "stage defaults spelled out": (
        "[env.staging.stage]",
        '[env.staging.stage]\nsoak = "720m"\nmax_evidence_age = "168h"\npromote_from = "dev"\nrequire_signed = true',
    ),
    "another order": ('["qa", "product"]', '["product", "qa"]'),
    "services in another order": ('["POST /search", "POST /quote"]', '["POST /quote", "POST /search"]'),
    "a comment": (STAGING, f"# staging\n{STAGING}"),
    "less tolerance": ("budget = 3", "budget = 2"),
    "more tests": ("min_tests = 20", "min_tests = 30"),
    "a longer soak time": ("[env.staging.stage]", '[env.staging.stage]\nsoak = "2d"'),
    "younger evidence": ("[env.staging.stage]", '[env.staging.stage]\nmax_evidence_age = "1d"'),
    "one more approval": ('["qa", "product"]', '["qa", "product", "security"]'),
    "one safe operation less": ('safe = ["POST /search", "POST /quote"]', 'safe = ["POST /search"]'),
    "a faster objective": ("fail_ms = 300", "fail_ms = 200"),
    "a longer freeze": ("2027-01-02T", "2027-01-05T"),
    "a host below a known one": ('"*.staging.example.org"', '"*.staging.example.org", "x.staging.example.org"'),
    "a stage between": (
        "[env.staging.stage]",
        '[env.qa]\nstage.promote_from = "dev"\n[env.staging.stage]\npromote_from = "qa"',
    ),
}
WIDER: dict[str, tuple[str, str, list[str]]] = {
    "writes": (STAGING, f"{STAGING}\nwrites = true", ["writes: was false, is true", "direct: was refuse, is warn"]),
    "writes, inline": (
        STAGING,
        STAGING.replace("[env.staging]", "[env.staging]\n'writes' = true\ndirect = 'refuse'"),
        ["writes: was false, is true"],
    ),
    "direct": (STAGING, f"{STAGING}\ndirect = 'allow'", ["direct: was refuse, is allow"]),
    "loopback": (STAGING, f"{STAGING}\nloopback = true", ["loopback: was false, is true"]),
    "core tests only": (STAGING, f"{STAGING}\ncore_only = true", ["core_only: was false, is true"]),
    "no experimental tests": (STAGING, f"{STAGING}\nexperimental = false", ["experimental: was true, is false"]),
    "some suites": (STAGING, f'{STAGING}\nsuites = ["health"]', ["suites: was all, is health"]),
    "one folder of suites": ('["suites", "more"]', '["suites"]', ["gaia.suites: more was removed"]),
    "hosts": (
        '"a.example.org", ',
        '"*.example.org", ',
        ["hosts: *.example.org was added"],
    ),
    "a host less": ('"a.example.org", ', "", ["hosts: a.example.org was removed"]),
    "a service less": (STAGING, f'{STAGING}\nwithout = ["billing"]', ["services: billing was removed"]),
    "not required": ('required = ["orders"]', "required = []", ["required: orders was removed"]),
    "a safe operation": ('"POST /quote"', '"POST /quote", "DELETE /x"', ["safe: DELETE /x of orders was added"]),
    "an unsafe operation less": ('unsafe = ["GET /logout"]', "", ["unsafe: GET /logout of orders was removed"]),
    "kind": (
        "budget = 3",
        'kind = "advisory"\nbudget = 3',
        ["tolerance.kind: was known-failures, is advisory", "tolerance.baseline: was required, is optional"],
    ),
    "budget": ("budget = 3", "budget = 4", ["tolerance.budget: was 3, is 4"]),
    "no budget": ("budget = 3", "", ["tolerance.budget: was 3, is not limited"]),
    "min_tests": ("min_tests = 20", "", ["tolerance.min_tests: was 20, is 1"]),
    "old expectations": (
        "budget = 3",
        "budget = 3\nmax_expectation_age_days = 400",
        ["tolerance.max_expectation_age_days: was 366, is 400"],
    ),
    "skips": ('skip = "expected"', "", ["tolerance.skip: was expected, is allowed"]),
    "no baseline": ("budget = 3", 'budget = 3\nbaseline = "optional"', ["tolerance.baseline: was required, is optional"]),
    "a first stage": (
        "[env.staging.stage]",
        '[env.staging.stage]\npromote_from = ""',
        ["stage.promote_from: dev was removed", "stage.promote_from: local was removed"],
    ),
    "soak": ("[env.staging.stage]", '[env.staging.stage]\nsoak = "90m"', ["stage.soak: was 12h, is 90m"]),
    "no soak": ("[env.staging.stage]", '[env.staging.stage]\nsoak = "0s"', ["stage.soak: was 12h, is 0s"]),
    "old evidence": (
        "[env.staging.stage]",
        '[env.staging.stage]\nmax_evidence_age = "30d"',
        ["stage.max_evidence_age: was 7d, is 30d"],
    ),
    "unsigned": (
        "[env.staging.stage]",
        "[env.staging.stage]\nrequire_signed = false",
        ["stage.require_signed: was true, is false"],
    ),
    "one approval": ('["qa", "product"]', '["qa"]', ["stage.required_approvals: product was removed"]),
    "no suites": ('suites = ["health", "orders"]', "", ["stage.suites: was health, orders, is not set"]),
    "fewer services": (
        "[env.staging.stage]",
        '[env.staging.stage]\nservices = ["orders"]',
        ["stage.services: was all, is orders"],
    ),
    "slower": ("fail_ms = 300", "fail_ms = 800", ["slo: GET /health p95: was 300 ms, is 800 ms"]),
    "fewer samples": ("fail_ms = 300", "fail_ms = 300\nmin_samples = 2", ["slo: GET /health p95: min_samples was 20, is 2"]),
    "another percentile": ("fail_ms = 300", "fail_ms = 300\npercentile = 50", ["slo: GET /health p95 was removed"]),
    "a shorter freeze": (
        "2027-01-02T",
        "2026-12-27T",
        ["stage.freeze: the freeze until 2027-01-02T00:00:00+00:00 was removed or shortened"],
    ),
    "another ledger": ("[gaia]", '[ledger]\npath = "fresh"\n[gaia]', ["ledger: path was .gaia/ledger, is fresh"]),
}  # fmt: skip


def settings(folder: Path, text: str, name: str = "staging") -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    (folder / "gaia.toml").write_text(text, encoding="utf-8")
    return settings_of(Project(folder), name, trusted_keys(folder / "keys"))


def changed(folder: Path, old: str, new: str) -> list[str]:
    assert old in PROJECT
    before = settings(folder / "before", PROJECT)
    return list(map(str, wider(before, settings(folder / "after", PROJECT.replace(old, new)), NOW)))


@pytest.mark.parametrize(("old", "new"), SAME.values(), ids=SAME)
def test_the_same_or_a_narrower_value_is_no_change(tmp_path: Path, old: str, new: str) -> None:
    assert changed(tmp_path, old, new) == []


@pytest.mark.parametrize(("old", "new", "texts"), WIDER.values(), ids=WIDER)
def test_a_wider_setting_is_named(tmp_path: Path, old: str, new: str, texts: list[str]) -> None:
    assert changed(tmp_path, old, new) == texts
    # And back again, it is narrower; only for hosts and the ledger, every change counts.
    if not texts[0].startswith(("hosts", "ledger")):
        after = settings(tmp_path / "after", PROJECT.replace(old, new))
        back = wider(after, settings(tmp_path / "before", PROJECT), NOW)
        assert {each.setting for each in back} <= {"slo"}


def test_a_freeze_that_is_over_can_be_removed(tmp_path: Path) -> None:
    before = settings(tmp_path, PROJECT)
    after = settings(tmp_path, PROJECT.replace("2027-01-02T", "2026-12-27T"))

    assert wider(before, after, datetime(2027, 1, 3, tzinfo=UTC)) == []


KEY = """\
public_key = '''{}'''
roles = ["qa", "security"]
identities = ["a@example.org"]
not_after = 2027-01-01T00:00:00Z
"""


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('"qa", ', '"qa", "release-manager", ', "one has the new role release-manager"),
        ("a@example.org", "b@example.org", "the identities of one were a@example.org, are b@example.org"),
        ("2027", "2028", "one is valid for longer"),
        ("not_after = 2027-01-01T00:00:00Z\n", "", "one is valid for longer"),
        ("a@example.org", "A@Example.org", ""),
        ('"qa", "security"', '"security", "qa"', ""),
        ('"qa", ', "", ""),
        ("2027", "2026", ""),
    ],
)
def test_a_wider_key_is_named(tmp_path: Path, keyring: Keyring, old: str, new: str, text: str) -> None:
    keyring.make("one", "qa")
    path = keyring.folder / "one.toml"
    public = path.read_text(encoding="utf-8").split('"""')[1]
    path.write_text(KEY.format(public), encoding="utf-8")
    before = settings(tmp_path, PROJECT)
    path.write_text(KEY.format(public).replace(old, new), encoding="utf-8")

    found = wider(before, settings(tmp_path, PROJECT), NOW)

    assert list(map(str, found)) == ([f"keys: {text}"] if text else [])
    (added,) = wider({"keys": {}}, settings(tmp_path, PROJECT), NOW)
    assert str(added).startswith("keys: one (")


@pytest.fixture
def pipeline(keyring: Keyring, tmp_path: Path) -> Pipeline:
    return Pipeline(keyring, tmp_path / "ledger")


def promoted(pipeline: Pipeline, environment: str, values: dict[str, Any]) -> None:
    """A release was promoted with these settings, and another one comes."""
    pipeline.deploy(environment)
    pipeline.run(environment, settings=values)
    pipeline.gate(environment, verdict="PROMOTE")
    pipeline.release = made_release("b")


def asked(pipeline: Pipeline, environment: str, values: dict[str, Any], stage: Stage | None = None) -> Gate:
    entries = pipeline.keyring.ledger(pipeline.folder).entries()
    stage = stage or STAGES[environment]
    return evaluate(
        Situation(environment, declared(environment, settings=values), stage, pipeline.release, entries, pipeline.now)
    )


def kept(gate: Gate) -> Check:
    return next(each for each in gate.checks if each.id == SETTINGS)


def test_a_wider_setting_holds_before_the_deployment_until_a_release_manager_waives_it(pipeline: Pipeline) -> None:
    old = pipeline.release.short
    promoted(pipeline, "staging", {"tolerance.kind": "strict", "core_only": False})
    wide = {"tolerance.kind": "advisory", "core_only": True}

    check = kept(asked(pipeline, "staging", wide))
    assert (check.group, check.finding.status) == ("pre-deploy", "pending")
    assert check.finding.reason == (
        f"2 settings wider since release {old}: core_only: was false, is true; tolerance.kind: was strict, is advisory"
    )
    assert check.finding.next.startswith(f"gaia release waive {pipeline.release.short} settings-kept -e staging")
    pipeline.waive(SETTINGS, "staging", "dev", "release-manager")
    assert not kept(asked(pipeline, "staging", wide)).good, "an author of the release signed"
    pipeline.waive(SETTINGS, "staging", "rita", "release-manager")
    assert kept(asked(pipeline, "staging", wide)).finding.status == "waived"


def test_the_promoted_values_of_the_stage_decide_until_then(pipeline: Pipeline) -> None:
    freeze = {"2027-01-02T00:00:00+00:00": "2026-10-01T00:00:00+00:00"}
    before = {
        "stage.soak": 86400,
        "stage.required_approvals": ["qa"],
        "stage.freeze": freeze,
        "stage.require_signed": True,
    }
    promoted(pipeline, "staging", before)
    stage = Stage(previous="dev")
    wide = {"stage.soak": 0, "stage.required_approvals": [], "stage.freeze": {}, "stage.require_signed": False}

    gate = asked(pipeline, "staging", wide, stage)

    states = {each.id: each.finding.status for each in gate.checks}
    assert (states["signed-qa"], states["not-frozen"], states["not-rejected"]) == ("pending", "pending", "passed")
    # A waiver without a signature does not count either, although the new settings would require none.
    pipeline.waive(SETTINGS, "staging", None, "release-manager")
    assert not kept(asked(pipeline, "staging", wide, stage)).good
    pipeline.waive(SETTINGS, "staging", "rita", "release-manager")
    assert "signed-qa" not in {each.id for each in asked(pipeline, "staging", wide, stage).checks}


def test_a_new_key_cannot_accept_itself_and_only_shows_where_nothing_needs_a_signature(pipeline: Pipeline) -> None:
    rita = pipeline.keys["rita"].keyid
    old = {"name": "rita", "roles": ["release-manager"], "identities": ["rita@example.org"]}
    limits: dict[str, Any] = {"not_before": None, "not_after": None, "former_roles": {}}
    before, after = {"keys": {rita: old | limits}}, {"keys": {rita: old | limits, "1": old | limits | {"name": "eve"}}}
    for environment in ("dev", "staging"):
        promoted(pipeline, environment, before)
        pipeline.release = made_release()
    pipeline.release = made_release("b")
    pipeline.keys["eve"] = pipeline.keyring.make("eve", "release-manager", identities=("eve@example.org",))

    pipeline.waive(SETTINGS, "staging", "eve", "release-manager")
    check = kept(asked(pipeline, "staging", after))
    assert (check.finding.status, check.finding.names) == ("pending", ("keys: eve (release-manager) was added",))
    assert kept(asked(pipeline, "dev", after)).finding.status == "passed"
    pipeline.waive(SETTINGS, "staging", "rita", "release-manager")
    assert kept(asked(pipeline, "staging", after)).good


@pytest.mark.parametrize(
    ("environment", "now", "reason"),
    [
        ("production", {"writes": True}, "1 setting wider than the defaults of production: writes: was false, is true"),
        ("production", {"writes": True, "loopback": True}, "nothing was promoted before"),
        ("production", {"writes": False}, "nothing was promoted before"),
        ("staging", {"writes": True}, "nothing was promoted before"),
    ],
)
def test_before_the_first_promotion_only_writes_to_production_are_wider(
    pipeline: Pipeline, environment: str, now: dict[str, Any], reason: str
) -> None:
    assert kept(asked(pipeline, environment, now)).finding.reason == reason


@pytest.mark.parametrize(
    ("role", "known", "good"),
    [("staging", ("dev", "qa"), False), ("staging", ("dev", "qa", "staging"), True), ("dev", ("dev", "qa"), True)],
)
def test_another_name_of_the_environment_is_no_new_beginning(
    pipeline: Pipeline, role: str, known: tuple[str, ...], good: bool
) -> None:
    pipeline.run("staging", role="staging", settings={"core_only": False})
    pipeline.gate("staging", verdict="PROMOTE")
    pipeline.release = made_release("b")
    entries = pipeline.keyring.ledger(pipeline.folder).entries()
    now = declared("qa", role=role, environments=known, settings={"core_only": True})

    gate = evaluate(Situation("qa", now, STAGES["staging"], pipeline.release, entries, pipeline.now))

    assert kept(gate).good is good


def test_entries_of_earlier_versions_have_no_settings(pipeline: Pipeline) -> None:
    promoted(pipeline, "staging", {})

    assert kept(asked(pipeline, "staging", {"writes": True})).finding.reason == "the last promoted run has no settings"


def test_safe_operations_do_not_matter_where_everything_may_be_written(pipeline: Pipeline) -> None:
    promoted(pipeline, "dev", {"safe": {}})
    now = {"safe": {"orders": ["POST /x"]}}

    assert not kept(asked(pipeline, "dev", now)).good
    assert kept(asked(pipeline, "dev", {"writes": True, **now})).good


def test_a_freeze_of_the_stage_still_counts(pipeline: Pipeline) -> None:
    stage = replace(STAGES["staging"], freezes=(Freeze(pipeline.now, pipeline.now + timedelta(days=9), "audit"),))

    assert not next(each for each in asked(pipeline, "staging", {}, stage).checks if each.id == "not-frozen").good
