"""A service with evidence stays: the gate reports one that is no longer declared, and a description that changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from pytest_gaia.config.platform import Operation, Platform, SandboxSettings, Service
from pytest_gaia.expectations.apis import Api
from pytest_gaia.promotion.gate.gate import evaluate
from pytest_gaia.promotion.gate.services import baseline_of, described
from pytest_gaia.promotion.gate.situation import Situation
from pytest_gaia.promotion.ledger.statements import RemovedOperation
from pytest_gaia.promotion.release.kept import Component
from tests.promotion.pipeline import STAGES, Pipeline, declared, made_release

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.promotion.gate.check import Check, Finding
    from tests.promotion.conftest import Keyring

NAMES = ("orders", "billing", "db")
SHOP = Platform({name: Service(name, kind="postgres" if name == "db" else "http") for name in NAMES}, "shop", "orders")


@pytest.fixture
def pipeline(keyring: Keyring, tmp_path: Path) -> Pipeline:
    return Pipeline(keyring, tmp_path / "ledger", release_of("orders", "billing"))


def release_of(*services: str) -> Any:
    digests = {name: f"sha256:{name}" for name in services}
    return made_release(
        components=tuple(Component(name, f"registry/{name}@{digests[name]}", digests[name]) for name in services)
    )


def without(*names: str) -> Platform:
    return replace(SHOP, services={name: each for name, each in SHOP.services.items() if name not in names})


def changed(name: str, **values: Any) -> Platform:
    return replace(SHOP, services={**SHOP.services, name: replace(SHOP[name], **values)})


def promoted(pipeline: Pipeline, environment: str, **changes: Any) -> None:
    """The release was tested and promoted, as the project was declared then."""
    pipeline.deploy(environment)
    evidence = {
        "described": described(SHOP, NAMES),
        "services": NAMES,
        "required": ("orders",),
        "addresses": {name: (f"{name}.example.org:443",) for name in NAMES},
    }
    pipeline.run(environment, **evidence | changes)
    pipeline.gate(environment, verdict="PROMOTE")


def kept(pipeline: Pipeline, environment: str, platform: Platform = SHOP, **given: Any) -> Check:
    given = {"services": platform.names, "required": ("orders",), **given}
    situation = Situation(
        environment,
        declared(environment, platform=platform, **given),
        STAGES[environment],
        pipeline.release,
        pipeline.keyring.ledger(pipeline.folder).entries(),
        pipeline.now,
    )
    return next(each for each in evaluate(situation).checks if each.id == "services-kept")


def test_what_is_declared_as_before_is_kept(pipeline: Pipeline) -> None:
    assert kept(pipeline, "staging").finding.reason == "nothing was promoted before"
    promoted(pipeline, "staging")

    assert kept(pipeline, "staging").finding.status == "passed"
    # Where a service is, and how a sandbox runs it, does not matter; neither does another service.
    moved = changed("orders", url="https://o.example.org", sandbox=SandboxSettings(command=("run",)))
    assert kept(pipeline, "staging", moved).good
    assert kept(pipeline, "staging", replace(SHOP, services={**SHOP.services, "new": Service("new")})).good


@pytest.mark.parametrize("environment", ["local", "staging", "production"])
def test_a_service_with_evidence_that_is_no_longer_declared_is_an_open_item(
    pipeline: Pipeline, environment: str
) -> None:
    old = pipeline.release.short
    promoted(pipeline, environment)
    pipeline.release = release_of("orders")
    check = kept(pipeline, environment, without("billing"))

    assert check.finding.status == "pending"
    assert f"billing is no longer declared, and ran in {environment} by release {old}" in check.finding.reason
    assert check.finding.next.startswith(f"gaia release waive {pipeline.release.short} services-kept -e {environment}")
    assert "db is no longer declared" in kept(pipeline, environment, without("db")).finding.reason


def test_evidence_from_before_descriptions_names_services_too(pipeline: Pipeline) -> None:
    promoted(pipeline, "staging", described={}, services=(), required=())

    assert kept(pipeline, "staging").good
    pipeline.release = release_of("orders")
    assert "billing is no longer declared" in kept(pipeline, "staging", without("billing")).finding.reason


def test_the_evidence_of_the_previous_stage_counts(pipeline: Pipeline) -> None:
    promoted(pipeline, "dev")

    assert kept(pipeline, "staging").good
    # The next stage may have fewer services.
    assert kept(pipeline, "staging", services=("orders",)).good
    assert "db is no longer declared, and ran in dev" in kept(pipeline, "staging", without("db")).finding.reason


@pytest.mark.parametrize(
    ("platform", "given", "reason"),
    [
        (
            changed("orders", safe=(Operation("POST", "/buy"),)),
            {},
            "the description of orders changed since release {}",
        ),
        (changed("orders", unsafe=(Operation("GET", "/buy"),), once=True), {}, "ran in staging: once, unsafe"),
        (changed("db", kind="tcp"), {}, "the description of db changed"),
        (SHOP, {"required": ()}, "orders is no longer required, and was in staging"),
        (SHOP, {"services": ("orders", "billing")}, "staging no longer has db, which was tested in staging"),
    ],
)
def test_a_change_of_what_is_tested_is_an_open_item(
    pipeline: Pipeline, platform: Platform, given: dict[str, Any], reason: str
) -> None:
    promoted(pipeline, "staging")
    check = kept(pipeline, "staging", platform, **given)

    assert check.finding.status == "pending"
    assert reason.format(pipeline.release.short) in check.finding.reason


def test_a_service_that_a_variable_added_to_a_run_is_not_missing_without_the_variable(pipeline: Pipeline) -> None:
    promoted(pipeline, "staging", services=("orders", "billing"))

    assert kept(pipeline, "staging", services=("orders", "billing")).good
    assert "db is no longer declared" in kept(pipeline, "staging", without("db")).finding.reason


def test_another_role_is_an_open_item(pipeline: Pipeline) -> None:
    promoted(pipeline, "staging", role="production")

    assert kept(pipeline, "staging").finding.reason == "the role of staging was production, and is staging"


def test_a_service_without_an_image_in_the_release_is_an_open_item(pipeline: Pipeline) -> None:
    promoted(pipeline, "staging")
    pipeline.release = release_of("orders")

    assert (
        "the release has no image of billing, which was deployed in staging" in kept(pipeline, "staging").finding.reason
    )


def test_a_description_may_change_where_it_is_developed(pipeline: Pipeline) -> None:
    promoted(pipeline, "dev")
    check = kept(pipeline, "dev", changed("orders", health="/ready"))

    assert check.good
    assert check.finding.reason.startswith("the description of orders changed")


def test_a_release_manager_accepts_a_change(pipeline: Pipeline) -> None:
    promoted(pipeline, "staging")
    platform = without("db")
    pipeline.waive("services-kept", "staging", "dev", "security")
    assert kept(pipeline, "staging", platform).finding.status == "pending"
    pipeline.waive("services-kept", "staging", "rita", "release-manager")

    assert kept(pipeline, "staging", platform).finding.status == "waived"


def test_only_valid_evidence_of_a_promotion_counts(pipeline: Pipeline) -> None:
    pipeline.deploy("staging")
    pipeline.run("staging", described=described(SHOP, NAMES))
    pipeline.gate("staging", verdict="HOLD")
    assert kept(pipeline, "staging", without("db")).finding.reason == "nothing was promoted before"

    pipeline.gate("staging", by=None, verdict="PROMOTE")
    assert kept(pipeline, "staging", without("db")).finding.reason == "nothing was promoted before"


def api(*operations: str) -> dict[str, Api]:
    return {"orders": Api(f"sha256:{len(operations)}", operations)}


OLD, NEW = api("GET /new", "GET /old"), api("GET /new")
ACCEPTED = RemovedOperation("orders: GET /old", 3, "removed", "@team", "2027-01-01")


def asked(pipeline: Pipeline, environment: str = "production") -> Situation:
    entries = pipeline.keyring.ledger(pipeline.folder).entries()
    about = declared(environment, platform=SHOP, services=SHOP.names)
    return Situation(environment, about, STAGES[environment], pipeline.release, entries, pipeline.now)


def removed(pipeline: Pipeline) -> Finding:
    return next(each.finding for each in evaluate(asked(pipeline)).checks if each.id == "removed-operations")


def test_a_removed_operation_needs_people_before_production(pipeline: Pipeline) -> None:
    promoted(pipeline, "production", apis=OLD)
    before, pipeline.release = pipeline.release, structs.replace(pipeline.release, commit="next")
    assert removed(pipeline).reason == "no valid run of this release in staging"
    promoted(pipeline, "staging", apis=OLD)
    assert removed(pipeline).reason == f"it offers every operation of release {before.short} in production"

    # Another release had removed it from staging before, so only the comparison with production shows it.
    promoted(pipeline, "staging", apis=NEW)

    finding = removed(pipeline)
    assert (finding.status, finding.reason) == (
        "pending",
        "it lacks 1 operation: orders: GET /old; not approved by release-manager or product",
    )
    assert finding.next == (
        f"gaia release approve {pipeline.release.short} removed-operations -e production --role release-manager"
    )
    pipeline.sign("removed-operations", "production", "rita", "release-manager")
    assert removed(pipeline).status == "approved"


def test_an_accepted_removal_and_an_unknown_api_need_people_too(pipeline: Pipeline) -> None:
    promoted(pipeline, "staging", apis=NEW, removed=(ACCEPTED,))
    assert removed(pipeline).status == "pending"
    promoted(pipeline, "staging", apis={}, unknown_apis=("orders",))
    assert removed(pipeline).reason.startswith("the API of orders is not known in staging; not approved")
    promoted(pipeline, "staging")
    assert removed(pipeline).reason == "no earlier release in production has a known API"


def test_a_release_that_was_rolled_back_is_no_baseline(pipeline: Pipeline) -> None:
    first = pipeline.release
    promoted(pipeline, "production", apis=OLD)
    pipeline.release = second = structs.replace(first, commit="second")
    promoted(pipeline, "production", apis=NEW)
    pipeline.release = structs.replace(first, commit="third")
    assert baseline_of(asked(pipeline)).name == f"release {second.short} in production"

    pipeline.release = second
    pipeline.roll_back("production", rehearsal=False, target=first.id)
    pipeline.release = structs.replace(first, commit="third")

    assert baseline_of(asked(pipeline)).apis == OLD


def test_only_the_same_image_offers_what_the_stage_before_recorded(pipeline: Pipeline) -> None:
    images = pipeline.release.digests
    promoted(pipeline, "staging", apis=OLD, digests=images)
    (recorded,) = baseline_of(asked(pipeline)).recorded.values()
    assert (recorded.operations, recorded.source) == (
        OLD["orders"].operations,
        f"release {pipeline.release.short} in staging",
    )

    promoted(pipeline, "staging", apis=OLD, digests=images | {"orders": "sha256:other"})

    assert baseline_of(asked(pipeline)).recorded == {}


def examined(pipeline: Pipeline, environment: str) -> Check:
    entries = pipeline.keyring.ledger(pipeline.folder).entries()
    stage = STAGES[environment]
    situation = Situation(environment, declared(environment), stage, pipeline.release, entries, pipeline.now)
    return next(each for each in evaluate(situation).checks if each.id == "tests-kept")


BEFORE = ("a.py::test_one", "a.py::test_two", "b.py::test_three[x]")
REMOVED = "of release {old} removed: "


@pytest.mark.parametrize(
    ("passed", "changes", "status", "reason"),
    [
        (BEFORE, {}, "passed", "all 3 tests of release {old} are required"),
        ((*BEFORE, "a.py::test_more"), {}, "passed", "all 3 tests of release {old} are required"),
        (BEFORE[1:], {}, "pending", "1 test of release {old} removed: a.py::test_one"),
        (
            ("a.py::test_first", *BEFORE[1:]),
            {},
            "pending",
            "1 test of release {old} removed: a.py::test_one; 1 test new (a renamed test is a removed and a new one)",
        ),
        (("c.py::test_new",), {}, "pending", "3 tests of release {old} removed: a.py::test_one, a.py::test_two, b.py::te"),
        (BEFORE[:2], {"unexecuted": {BEFORE[2]: "not applicable"}}, "pending", "1 test no longer applicable: b.py::test_th"),
        (BEFORE[:2], {"failed": BEFORE[2:]}, "passed", "all 3 tests of release {old} are required"),
        # An expectation accepts a skip, and other checks decide about operations that the release lacks.
        (BEFORE[:2], {"unexecuted": {BEFORE[2]: "skipped"}}, "passed", "all 3 tests"),
        (BEFORE[:2], {"unexecuted": {BEFORE[2]: "not offered"}}, "passed", "all 3 tests"),
    ],
)  # fmt: skip
def test_a_test_of_the_last_promoted_run_is_missed(
    pipeline: Pipeline, passed: tuple[str, ...], changes: dict[str, Any], status: str, reason: str
) -> None:
    promoted(pipeline, "staging", passed=BEFORE[:1], warned=BEFORE[1:])
    old, pipeline.release = pipeline.release.short, release_of("orders")
    pipeline.run("staging", passed=passed, **changes)

    finding = examined(pipeline, "staging").finding

    assert (finding.status, finding.reason.startswith(reason.format(old=old))) == (status, True), finding
    assert bool(finding.names) == (status == "pending")


def test_a_removed_test_holds_until_a_waiver_and_is_only_named_where_tests_change_every_day(pipeline: Pipeline) -> None:
    assert examined(pipeline, "staging").finding.reason == "nothing was promoted before"
    for environment in ("dev", "staging"):
        promoted(pipeline, environment)
    pipeline.release = release_of("orders")
    assert examined(pipeline, "staging").finding.reason == "the last promoted run lists no tests"
    for environment in ("dev", "staging"):
        promoted(pipeline, environment, passed=BEFORE)
    pipeline.release = release_of("orders", "db")
    assert examined(pipeline, "staging").finding.reason == "no complete run of this release in staging"
    pipeline.run("staging", verdict="REJECT", plan="", planned=0)
    assert examined(pipeline, "staging").finding.reason == "no complete run of this release in staging"
    for environment in ("dev", "staging"):
        pipeline.run(environment, passed=BEFORE[:1])

    dev, staging = examined(pipeline, "dev"), examined(pipeline, "staging")
    assert (dev.finding.status, dev.finding.names) == ("passed", BEFORE[1:])
    assert "2 tests of release" in dev.finding.reason
    assert staging.finding.next.startswith(f"gaia release waive {pipeline.release.short} tests-kept -e staging")
    pipeline.waive("tests-kept", "staging", "dev", "release-manager")
    assert not examined(pipeline, "staging").good, "an author of the release signed"
    pipeline.waive("tests-kept", "staging", "rita", "release-manager")
    waived = examined(pipeline, "staging").finding
    assert (waived.status, waived.names) == ("waived", BEFORE[1:])
