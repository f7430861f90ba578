"""``gaia api``: documents of real services, compared, and the result in the ledger."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.promotion.gate.gate import evaluate
from pytest_gaia.promotion.ledger.statements import DEPLOYMENT, CheckPredicate, DeploymentPredicate
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.release.kept import keep_release
from tests.cli.documents import Service, serving
from tests.promotion.pipeline import START, made_release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Gaia = Callable[..., Outcome]

DEAD = "http://127.0.0.1:9"
RELEASE = made_release()


@pytest.fixture
def services() -> Iterator[tuple[Service, Service]]:
    """The gateways of production and of local."""
    with serving() as production, serving() as local:
        production.offers("/personas", "/models")
        local.offers("/personas", "/models", "/usage")
        yield production, local


@pytest.fixture
def released(project: Path, services: tuple[Service, Service]) -> Path:
    """The project, its environments on those services, and a release that runs in local, by the ledger."""
    production, local = services
    text = (project / "gaia.toml").read_text() + (
        f'[env.production]\nservices = ["gateway"]\n[env.production.urls]\ngateway = "{production.url}"\n'
        f'[env.local.urls]\ngateway = "{local.url}"\n'
    )
    (project / "gaia.toml").write_text(text)
    keep_release(project, RELEASE, {})
    return project


def deployed(release: Any = RELEASE, environment: str = "local") -> None:
    says = DeploymentPredicate(
        environment=environment,
        release=release.id,
        outcome="deployed",
        services=release.digests,
        time=START.isoformat(),
    )
    Promotion.here().ledger.append(DEPLOYMENT, release.subjects(), says, signers=())


def classify(gaia: Gaia, *more: str) -> Outcome:
    return gaia("api", "diff", "--release", RELEASE.short, "--env", "dev", *more)


def checks() -> list[CheckPredicate]:
    entries = Promotion.here().ledger.entries()
    return [entry.predicate for entry in entries if isinstance(entry.predicate, CheckPredicate)]


def test_a_snapshot_is_kept_and_says_what_has_none(released: Path, gaia: Gaia) -> None:
    text = (released / "gaia.toml").read_text().replace('services = ["gateway"]', 'services = ["gateway", "auth"]')
    (released / "gaia.toml").write_text(text.replace("[env.local.urls]", f'auth = "{DEAD}"\n[env.local.urls]'))

    code, out, _ = gaia("api", "snapshot", "production")

    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()[1:2]] == [["gateway", "2"]]
    assert "connection refused" in out
    assert out.splitlines()[-1] == "saved: .gaia/api/production/gateway.json"
    assert set(json.loads((released / ".gaia/api/production/gateway.json").read_text())["paths"]) == {
        "/personas",
        "/models",
    }


def test_no_document_at_all_is_an_environment_that_is_not_there(
    released: Path, services: tuple[Service, Service], gaia: Gaia
) -> None:
    services[0].answers(503)

    code, _, err = gaia("api", "snapshot", "production", "--output", "out")

    assert code == 12
    assert "production: no service returned an OpenAPI document" in err


def test_environments_folders_and_files_are_compared(
    released: Path, services: tuple[Service, Service], gaia: Gaia
) -> None:
    gaia("api", "snapshot", "production", "--output", "before")

    assert gaia("api", "diff", "production", "local").code == 0
    assert gaia("api", "diff", "./before", "local").code == 0
    assert gaia("api", "diff", "before/gateway.json", "before").code == 0
    code, out, _ = gaia("api", "diff", "local", "before", "--json")
    document = json.loads(out)
    assert (code, document["status"]) == (1, "failed")
    assert document["changes"] == [
        {"service": "gateway", "kind": "breaking", "operation": "GET /usage", "text": "is gone"}
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prodution", "local"], "did you mean production?"),
        (["./none", "local"], "./none: no such file or folder"),
        (["production"], "Pass two sides"),
        (["production", "local", "--attest"], "--attest needs a release"),
        (["--release", "abcd"], "Pass two sides"),
        (["gaia.json", "local"], "invalid JSON"),
    ],
)
def test_a_usage_error_is_one_message(released: Path, gaia: Gaia, arguments: list[str], message: str) -> None:
    (released / "gaia.json").write_text("{")

    code, out, err = gaia("api", "diff", *arguments)

    assert (code, out) == (4, "")
    assert message in err


def test_operations_that_are_gone_together_are_one_line_and_each_is_in_the_json(
    released: Path, services: tuple[Service, Service], gaia: Gaia
) -> None:
    services[0].offers("/v1/a", "/v1/b", "/v1/c/{id}", "/health")
    services[1].offers("/health", "/v2/a")

    code, out, _ = gaia("api", "diff", "production", "local")

    assert code == 1
    assert [line.split() for line in out.splitlines()[1:3]] == [
        ["breaking", "gateway", "/v1/*", "(3", "operations)", "is", "gone"],
        ["compatible", "gateway", "GET", "/v2/a", "is", "new"],
    ]
    changes = json.loads(gaia("api", "diff", "production", "local", "--json").out)["changes"]
    assert {each["operation"] for each in changes if each["kind"] == "breaking"} == {
        "GET /v1/a",
        "GET /v1/b",
        "GET /v1/c/{id}",
    }


def test_what_only_adds_is_proved_and_the_gate_takes_it(released: Path, gaia: Gaia) -> None:
    deployed()

    code, out, err = classify(gaia, "--attest")

    assert (code, err) == (0, "")
    assert "proved: no breaking change in gateway; 1 compatible change" in out
    (found,) = checks()
    assert (found.environment, found.check, found.status) == ("dev", "no-breaking-api-change", "proved")
    promotion = Promotion.here()
    items = {check.id: check.finding.status for check in evaluate(promotion.situation("dev", RELEASE)).checks}
    assert items["no-breaking-api-change"] == "passed"


def test_what_breaks_is_written_with_what_it_is(released: Path, services: tuple[Service, Service], gaia: Gaia) -> None:
    deployed()
    services[1].offers("/personas")

    code, out, _ = classify(gaia, "--attest", "--json")

    assert (code, json.loads(out)["entry"]) == (1, 2)
    (found,) = checks()
    assert found.status == "failed"
    assert "breaking: gateway GET /models is gone" in found.findings


def test_without_record_nothing_is_written(released: Path, gaia: Gaia) -> None:
    deployed()

    assert classify(gaia).code == 0
    assert checks() == []


def test_the_documents_of_production_that_were_kept_count_where_it_does_not_answer(
    released: Path, services: tuple[Service, Service], gaia: Gaia
) -> None:
    deployed()
    production, local = services
    production.answers(502)
    assert classify(gaia).code == 11
    production.offers("/personas", "/models")
    gaia("api", "snapshot", "production")
    production.answers(502)

    assert classify(gaia).code == 0
    local.offers("/personas")
    assert classify(gaia).code == 1


def test_nothing_is_proved_of_a_release_that_does_not_run_there(
    released: Path, services: tuple[Service, Service], gaia: Gaia
) -> None:
    code, out, _ = classify(gaia)
    assert code == 11
    assert f"no evidence that local runs release {RELEASE.short}" in out

    deployed()
    deployed(made_release("b"))
    code, out, _ = classify(gaia)
    assert (code, "local now runs another release" in out) == (11, True)


@pytest.mark.parametrize(
    "body", [b"[]", b"<html>", b'{"openapi": "3.1.0", "paths": {"/personas": 7}}', b'{"swagger": "2.0"}']
)
def test_a_document_that_cannot_be_understood_proves_nothing(
    released: Path, services: tuple[Service, Service], gaia: Gaia, body: bytes
) -> None:
    deployed()
    services[1].answers(200, body)

    assert classify(gaia).code == 11


def test_one_address_for_both_compares_nothing(released: Path, services: tuple[Service, Service], gaia: Gaia) -> None:
    deployed()
    text = (released / "gaia.toml").read_text().replace(services[1].url, services[0].url)
    (released / "gaia.toml").write_text(text)

    code, out, _ = classify(gaia)

    assert code == 11
    assert "local and production have the same address" in out


def test_a_variable_without_a_name_does_not_make_both_one(
    released: Path, services: tuple[Service, Service], gaia: Gaia, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed()
    services[1].offers("/personas")
    monkeypatch.setenv("GAIA_GATEWAY_URL", services[0].url)

    assert classify(gaia).code == 1


def test_where_signatures_are_asked_for_nobody_is_asked_without_a_key(released: Path, gaia: Gaia) -> None:
    text = (released / "gaia.toml").read_text() + "[env.dev.stage]\nrequire_signed = true\n"
    (released / "gaia.toml").write_text(text)

    code, out, err = classify(gaia, "--attest")

    assert (code, out) == (4, "")
    assert "no key is configured: set GAIA_SIGNING_KEY_FILE" in err
    assert checks() == []


def test_the_first_stage_has_nothing_to_compare(released: Path, gaia: Gaia) -> None:
    code, _, err = gaia("api", "diff", "--release", RELEASE.short, "--env", "local")

    assert code == 4
    assert "local is the first stage" in err


def test_a_first_stage_that_asks_for_it_is_compared_itself(
    released: Path, services: tuple[Service, Service], gaia: Gaia
) -> None:
    text = (released / "gaia.toml").read_text().replace("env.local", "env.dev") + '[env.dev.stage]\npromote_from = ""\n'
    (released / "gaia.toml").write_text(text)
    assert classify(gaia).code == 11, "it does not run there yet"
    deployed(environment="dev")

    assert classify(gaia, "--attest").code == 0
    services[1].offers("/personas")
    assert classify(gaia).code == 1
