"""Results for Allure: outcomes, labels, exchanges and masked secrets."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.secrets.masks import MASKED
from tests.plugin.allure_checks import CHECKS, EXPECTATIONS, KEY
from tests.plugin.allure_runs import make_project, run
from tests.plugin.conftest import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.plugin.allure_runs import Left


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer()
    for path in ("/api/items", "/api/items?page=2"):
        scripted.answers[path] = [(404, {"detail": "Not Found", "token": KEY})]
    yield scripted
    scripted.close()


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory, server: ScriptedServer) -> Left:
    """What one run of all checks has left; read by all tests here."""
    folder = make_project(tmp_path_factory.mktemp("small"), CHECKS, expectations=EXPECTATIONS)
    pattern = "--allure-link-pattern=issue:https://issues.example/{}"
    done = run(folder, server.url, pattern, GAIA_API_KEY=KEY)
    assert done.code == 1, done.output
    return done


def attachments(left: Left, item: dict[str, Any]) -> dict[str, str]:
    """Name → content of the attachments of a result or a step."""
    return {each["name"]: left.beside(each["source"]) for each in item.get("attachments", ())}


def test_an_expected_failure_is_red_and_known_with_all_that_was_agreed(left: Left) -> None:
    result = left.result("test_expected")

    assert (result["status"], result["statusDetails"]["known"]) == ("failed", True)
    failure, _, note = left.message("test_expected").partition("\n\n")
    assert failure == "AssertionError: as always"
    assert note.splitlines() == [
        "gaia: expected failure",
        "expectation: shadowed: the route is shadowed",
        "issue: GAIA-1",
        "owner: @models",
        "expires: 2099-01-01",
    ]
    assert 'raise AssertionError("as always")' in result["statusDetails"]["trace"]
    assert left.labels("test_expected", "outcome") == ["expected failure"]
    assert left.labels("test_expected", "expectation") == ["shadowed"]
    assert result["links"] == [{"type": "issue", "url": "https://issues.example/GAIA-1", "name": "GAIA-1"}]


def test_an_unexpected_pass_is_red_and_names_the_expectation(left: Left) -> None:
    assert left.statuses["test_unexpected"] == "failed"
    assert left.message("test_unexpected").startswith(
        "gaia: unexpected pass: expected to fail: fixed\nexpectation: fixed: "
    )
    assert left.labels("test_unexpected", "outcome") == ["unexpected pass"]
    assert left.labels("test_unexpected", "expectation") == ["fixed"]


def test_an_expected_failure_does_not_hide_what_breaks_after_it(left: Left) -> None:
    assert left.statuses["test_expected_and_torn"] in ("failed", "broken")
    assert "known" not in left.result("test_expected_and_torn")["statusDetails"]
    assert "RuntimeError: torn" in left.message("test_expected_and_torn")
    assert "gaia: expected failure" not in left.message("test_expected_and_torn")


def test_a_failure_without_a_matching_expectation_has_the_reasons(left: Left) -> None:
    assert left.statuses["test_otherwise"] == "failed"
    assert "expectation otherwise did not match: no status, expected 404" in left.message("test_otherwise")
    assert left.labels("test_otherwise", "expectation") == []


def test_every_outcome_has_its_status(left: Left) -> None:
    names = ("passes", "fails", "breaks", "skipped", "does_not_apply", "expected_part", "native")

    assert {name: left.statuses[f"test_{name}"] for name in names} == {
        "passes": "passed",
        "fails": "failed",
        "breaks": "broken",
        "skipped": "skipped",
        "does_not_apply": "skipped",
        "expected_part": "failed",
        "native": "failed",
    }
    assert left.message("test_skipped") == "gaia: skipped: later"
    assert left.message("test_does_not_apply").startswith("gaia: not applicable: no URL of postgres is configured")
    assert left.result("test_expected_part")["statusDetails"]["known"]
    assert left.result("test_native")["statusDetails"]["known"]
    assert left.message("test_native").endswith("gaia: expected failure: xfail: not yet")


def test_no_result_is_passed_that_was_not_evaluated_so(left: Left) -> None:
    evaluated = {node.partition("::")[2].rpartition("::")[2]: outcome for node, outcome in left.evaluated.items()}
    passed = {name for name, status in left.statuses.items() if status == "passed"}

    assert len(left.evaluated) == len(left.results)
    assert passed == {name for name, outcome in evaluated.items() if outcome == "passed"}


def test_suites_are_features_and_labels_of_the_author_take_precedence(left: Left) -> None:
    def behaviours(name: str) -> list[str]:
        return [value for label in ("epic", "feature", "story", "env") for value in left.labels(name, label)]

    assert behaviours("test_passes") == ["Gaia Platform", "small", "small", "small"]
    assert behaviours("test_in_class") == ["Gaia Platform", "small", "TestThings", "small"]
    assert behaviours("test_marked") == ["Mine", "My feature", "small", "mine"]


def test_tests_whose_values_look_alike_have_histories_of_their_own(left: Left) -> None:
    alike = [each for each in left.results if each["name"].startswith(("test_alike[", "test_keys["))]

    def identity(result: dict[str, Any]) -> tuple[str, ...]:
        """Return the identity by which Allure 3 distinguishes histories."""
        counted = [f"{each['name']}:{each['value']}" for each in result["parameters"] if not each.get("excluded")]
        return (result["testCaseId"], *counted)

    assert len(alike) == 4
    assert len({each["historyId"] for each in alike}) == 4
    assert len({identity(each) for each in alike}) == 4
    hidden = [each for each in alike[0]["parameters"] if each["name"] == "environment"]
    assert hidden == [{"name": "environment", "value": "small", "mode": "hidden"}]


def test_an_exchange_is_attached_to_a_test_that_did_not_pass(left: Left) -> None:
    (attached,) = left.result("test_exchanges")["attachments"]

    assert attached["type"] == "application/vnd.allure.http+json"
    assert attached["source"].endswith(".httpexchange")
    shown = json.loads(left.beside(attached["source"]))
    assert shown["schemaVersion"] == 1
    assert shown["start"] <= shown["stop"]
    request, response = shown["request"], shown["response"]
    assert (request["method"], request["query"]) == ("GET", [{"name": "page", "value": "2"}])
    assert request["url"].endswith("/api/items?page=2")
    assert (response["status"], response["statusText"]) == (404, "Not Found")
    assert json.loads(response["body"]["value"])["detail"] == "Not Found"
    sent = {each["name"]: each["value"] for each in request["headers"]}
    assert MASKED.fullmatch(sent["x-api-key"])
    assert "attachments" not in left.result("test_exchanges_and_passes")


def test_no_secret_is_in_any_file(left: Left) -> None:
    for path in (left.folder / "allure").iterdir():
        assert KEY.encode() not in path.read_bytes(), path.name

    (told,) = [each for each in left.results if each["name"].startswith("with ")]
    (step,) = told["steps"]
    masked = r"\*\*\*[0-9a-f]{8}\*\*\*"
    assert re.fullmatch(f"with {masked}", told["name"])
    assert re.fullmatch(f"step {masked}", step["name"])
    sources = {each["name"]: each["source"] for each in (*step["attachments"], *told["attachments"])}
    assert (left.folder / "allure" / sources["no text"]).read_bytes() == b"\xff\xfe"
    assert re.fullmatch(f"bytes {masked}", left.beside(sources["attached"]))
    assert re.fullmatch(f"file {masked}", left.beside(sources["given"]))


def test_the_circumstances_of_the_run_are_next_to_the_results(left: Left) -> None:
    known = dict(line.split("=", 1) for line in left.beside("environment.properties").splitlines())

    assert (known["environment"], known["verdict"], known["services"]) == (
        "small",
        "REJECT",
        "gateway, auth, asset, chat, nats, postgres",
    )
    assert known["versions.gateway"] == "0.2"
    assert {"versions.pytest-gaia", "versions.pytest", "versions.allure-pytest", "versions.python"} <= set(known)
    assert json.loads(left.beside("executor.json")) == {
        "name": "local",
        "type": "local",
        "reportName": "small: REJECT",
    }
    assert json.loads(left.beside("categories.json"))[-1]["name"] == "Blocking failure"


def test_a_verdict_that_is_no_promote_is_an_error_of_the_whole_run(left: Left) -> None:
    (path,) = (left.folder / "allure").glob("*-globals.json")

    (error,) = json.loads(path.read_text())["errors"]

    assert error["message"].startswith("gaia verdict: REJECT on small: ")
    assert error["message"] in " ".join(left.output.split())


@pytest.mark.slow("workers")
def test_workers_tell_the_same(tmp_path: Path, server: ScriptedServer, left: Left) -> None:
    make_project(tmp_path, CHECKS, expectations=EXPECTATIONS)

    apart = run(tmp_path, server.url, "-n2", GAIA_API_KEY=KEY)

    def told(run: Left) -> dict[str, tuple[str, ...]]:
        return {MASKED.sub("", each["name"]): (each["status"], each["historyId"]) for each in run.results}

    assert told(apart) == told(left)
