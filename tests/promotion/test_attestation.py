"""Attestations of runs: what is signed, and what a verifier refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pytest_gaia.config.tolerance import tolerance_of
from pytest_gaia.expectations.expectation import ExpectationSet
from pytest_gaia.promotion.attestation import Files, sign, statement, verified
from pytest_gaia.promotion.ledger._signatures import wrap
from pytest_gaia.promotion.ledger.keys import trusted_keys
from pytest_gaia.promotion.ledger.statements import RUN, RunDetails, RunPredicate, Subject
from pytest_gaia.verdict.evaluated import EvaluatedRun, evaluate_run
from pytest_gaia.verdict.evidence import SCHEMA, DeploymentSeen, Phase, RunEnd, RunStart, ServiceSeen, TestRecord

if TYPE_CHECKING:
    from pytest_gaia.promotion.ledger.keys import SigningKey
    from tests.promotion.conftest import Keyring

RECORD, PLAN, IMAGE = "ab" * 32, "cd" * 32, "ef" * 32
FILES = Files(record=RECORD, written={"r.jsonl": RECORD}, read={"gaia.toml": "12" * 32})
START = RunStart(
    schema=SCHEMA, environment="staging", topology="microservices", started="2026-11-29T10:00:00+00:00", version="0.2.0"
)
END = RunEnd(finished="2026-11-29T10:05:00+00:00", pytest_exit=0, planned=2, complete=True, partial=(), plan=PLAN)
WHOLE = tuple(Phase(when, "passed") for when in ("setup", "call", "teardown"))


def test(node: str, *phases: Phase, **values: Any) -> TestRecord:
    return TestRecord(node=node, state="ran", phases=phases or WHOLE, statements=1, **values)


test.__test__ = False  # type: ignore[attr-defined]


def evaluated(*tests: TestRecord, start: RunStart = START, end: RunEnd | None = END) -> EvaluatedRun:
    context = start.context("dev", date(2026, 11, 29), tolerance_of("dev", {}))
    if end is not None:
        end = msgspec.structs.replace(end, planned=len(tests))
    return evaluate_run(start, tests, end, ExpectationSet(), context)


@pytest.fixture
def key(keyring: Keyring) -> SigningKey:
    return keyring.make("ci", "ci")


def test_a_shard_is_signed_for_its_plan_and_its_results_log(keyring: Keyring, key: SigningKey) -> None:
    end = msgspec.structs.replace(END, required=("test_a", "test_b"))
    content = sign(statement(evaluated(test("test_a"), test("test_b"), end=end), FILES), [key])

    found = verified(content, trusted_keys(keyring.folder))

    assert (found.run.details.plan, found.run.details.record) == (PLAN, RECORD)
    assert (found.run.result, found.run.passed) == ("PASSED", ("test_a", "test_b"))
    assert [each.name for each in found.signers] == ["ci"]


def test_a_required_test_without_a_result_did_not_pass() -> None:
    end = msgspec.structs.replace(END, required=("test_a", "test_gone"))

    found = predicate(statement(evaluated(test("test_a"), end=end), FILES))

    assert (found["result"], found["failedTests"]) == ("FAILED", ["test_gone"])


def test_a_flaky_test_is_a_warning_and_an_allowed_skip_is_listed() -> None:
    skipped = test("test_skip", Phase("setup", "skipped", reason="no"), Phase("teardown", "passed"))

    found = predicate(statement(evaluated(test("test_a"), test("test_b", attempt=2), skipped), FILES))

    assert (found["result"], found["passedTests"], found["warnedTests"]) == ("WARNED", ["test_a"], ["test_b"])
    assert found["urn:pytest-gaia:attested-run/1"]["unexecuted"] == {"test_skip": "skipped"}


@pytest.mark.parametrize("code", [1, 4])
def test_an_exit_code_of_the_run_is_no_pass(code: int) -> None:
    assert predicate(statement(evaluated(test("test_a")), FILES, exit_code=code))["result"] == "FAILED"


def test_the_subjects_are_what_was_tested_and_the_files_of_the_run() -> None:
    services = (
        ServiceSeen("auth", "auth", images=(f"sha256:{IMAGE}",)),
        ServiceSeen("mixed", "mixed", images=("a", "b")),
    )
    start = msgspec.structs.replace(START, deployment=DeploymentSeen("compose", services))
    end = msgspec.structs.replace(END, release="9" * 64)
    files = replace(FILES, commit="1" * 40, tests_sources=True)

    document = json.loads(statement(evaluated(test("test_a"), start=start, end=end), files, url="https://ci/1"))

    assert document["subject"] == [
        {"name": "auth", "digest": {"sha256": IMAGE}},
        {"name": "release", "digest": {"sha256": "9" * 64}},
        {"name": "commit", "digest": {"gitCommit": "1" * 40}},
        {"name": "r.jsonl", "digest": {"sha256": RECORD}},
    ]
    assert document["predicate"]["url"] == "https://ci/1"
    assert document["predicate"]["configuration"] == [
        {"name": "gaia.toml", "digest": {"sha256": "12" * 32}},
        {"name": "r.jsonl", "digest": {"sha256": RECORD}},
        {"name": "commit", "digest": {"gitCommit": "1" * 40}},
    ]


def test_a_killed_run_has_no_statement() -> None:
    with pytest.raises(ValueError, match="killed before its end"):
        statement(evaluated(test("test_a"), end=None), FILES)


def test_keys_of_people_former_keys_and_other_keys_are_refused(keyring: Keyring, key: SigningKey) -> None:
    body = statement(evaluated(test("test_a")), FILES)
    rita = keyring.make("rita", "security", identities=("rita@example.org",))
    old = keyring.make("old", "ci", extra=f"not_after = {datetime(2026, 1, 1, tzinfo=UTC).isoformat()}")
    keys = trusted_keys(keyring.folder)

    for signer, reason in (
        (rita, "signed by rita, which has the roles security, not only ci"),
        (old, "not valid then: old"),
    ):
        with pytest.raises(ValueError, match=reason):
            verified(sign(body, [signer]), keys)
    for content, reason in ((sign(body, []), "^is not signed$"), (sign(body, [key]), "signed by no trusted key")):
        with pytest.raises(ValueError, match=reason):
            verified(content, [each for each in keys if each.name != "ci"])


def test_an_entry_of_a_ledger_is_no_attestation_and_is_not_signed_as_one(keyring: Keyring, key: SigningKey) -> None:
    details = RunDetails(
        environment="dev", release="9" * 64, verdict="PROMOTE", plan=PLAN, planned=1, started=START.started, finished=END.finished
    )  # fmt: skip
    run = RunPredicate(result="PASSED", configuration=(), details=details)
    chain = {"ledger": "x", "sequence": 1, "previous": ""}
    document = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [msgspec.to_builtins(Subject("auth", {"sha256": IMAGE}))],
        "predicateType": RUN,
        "predicate": msgspec.to_builtins(run) | {"urn:pytest-gaia:chain/1": chain},
    }
    also = json.loads(statement(evaluated(test("test_a")), FILES))
    also["predicate"]["urn:pytest-gaia:chain/1"] = chain

    for each in (document, also):
        body = json.dumps(each).encode()
        with pytest.raises(ValueError, match="not the statement of an attestation"):
            sign(body, [key])
        with pytest.raises(ValueError, match="is not an attestation of a run"):
            verified(msgspec.json.encode(wrap(body, [key])), trusted_keys(keyring.folder))


@pytest.mark.parametrize(
    "content", [b"{}", b"[" * 100_000, b'{"payload": "!", "payloadType": "x", "signatures": [{"sig": ""}]}']
)
def test_anything_else_is_refused_with_a_reason(keyring: Keyring, key: SigningKey, content: bytes) -> None:
    with pytest.raises(ValueError, match=r"not an attestation of a run|not base64"):
        verified(content, trusted_keys(keyring.folder))


def predicate(body: bytes) -> Any:
    return json.loads(body)["predicate"]


def test_an_empty_file_is_that_of_a_run_without_an_end(keyring: Keyring, key: SigningKey) -> None:
    with pytest.raises(ValueError, match=r"^is empty: the run was killed, or it ran no test$"):
        verified(b"", trusted_keys(keyring.folder))


def test_a_simulation_is_not_shown_as_a_run_of_its_environment(keyring: Keyring, key: SigningKey) -> None:
    start = msgspec.structs.replace(START, simulated=True)

    found = verified(
        sign(statement(evaluated(test("test_a"), start=start), FILES), [key]), trusted_keys(keyring.folder)
    )

    assert str(found.run).startswith("dev (SIMULATED on the sandbox): PROMOTE (FAILED), 1 passed")
