"""``gaia api show`` and ``gaia api operations``: what an environment or a run offers, and what tests request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.expectations.apis import Api, Baseline
from pytest_gaia.verdict.evidence import SCHEMA, Failure, Line, Phase, RunEnd, RunStart, TestRecord, Wire
from pytest_gaia.verdict.results_log import encode
from tests.cli.documents import document, serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Gaia = Callable[..., Outcome]

GATEWAY = Api("sha256:0123456789abcdef", ("GET /personas", "GET /personas/{id}", "POST /chat"))
BEFORE = Baseline("release 3f9a1c in staging", {"gateway": Api("sha256:ff", ("GET /models", "POST /chat"))})
SUITE = "checks/test_a.py::"


def test_an_environment_shows_its_operations_and_what_is_gone_and_new(project: Path, gaia: Gaia) -> None:
    (project / "before").mkdir()
    (project / "before" / "gateway.json").write_text(json.dumps(document("/models", "/personas")))
    with serving() as gateway, serving() as auth:
        gateway.offers("/personas", "/usage")
        auth.answers(404)
        urls = ("--url", f"gateway={gateway.url}", "--url", f"auth={auth.url}")

        code, out, _ = gaia("api", "show", "local", *urls, "--baseline", "before", "--operations")
        bare = gaia("api", "show", "local", *urls)
        known: dict[str, Any] = json.loads(gaia("api", "show", "local", *urls, "--json").out)

        gateway.answers(404)
        nothing = gaia("api", "show", "local", *urls)

    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert rows[1][:2] == ["gateway", "2"]
    assert rows[1][3] == "fetched"
    assert rows[2] == ["auth", "GET", "/openapi.json", "returned", "404"]
    assert out.splitlines()[3:] == [
        "1 operation gone since the documents in before:",
        "  gateway: GET /models",
        "1 operation new since the documents in before:",
        "  gateway: GET /usage",
        "gateway: GET /personas",
        "gateway: GET /usage",
    ]
    assert "local: no baseline is known; pass --baseline PATH, or run `gaia api snapshot local`" in bare.out
    assert known["services"]["gateway"]["operations"] == ["GET /personas", "GET /usage"]
    assert known["services"]["auth"] == {"problem": "GET /openapi.json returned 404"}
    assert known["baseline"] is None
    assert nothing.code == 12
    assert nothing.err == "gaia: local: no service returned an OpenAPI document.\n"


@pytest.fixture
def results(project: Path) -> Callable[..., str]:
    """Write a results log of tests, each with its requests to the gateway and the operations in its marker."""

    def written(*tests: TestRecord, **start: Any) -> str:
        begin = RunStart(SCHEMA, "local", "gateway-only", "2026-11-23T12:00:00Z", ("gateway",), **start)
        lines: tuple[Line, ...] = (begin, *tests, RunEnd("2026-11-23T12:01:00Z", 0, len(tests)))
        (project / "run.jsonl").write_bytes(b"".join(encode(line) for line in lines))
        return "run.jsonl"

    return written


def ran(name: str, *requests: str, marker: tuple[str, ...] | None = None, fails: bool = False) -> TestRecord:
    pairs = (each.split(" ", 1) for each in requests)
    exchanges = tuple(Wire(method, path, "gateway", "direct", 0.1, 200) for method, path in pairs)
    call = Phase("call", "failed", failure=Failure("assertion")) if fails else Phase("call", "passed")
    phases = (Phase("setup", "passed"), call, Phase("teardown", "passed"))
    return TestRecord(f"{SUITE}{name}", "ran", phases, exchanges, operations=marker)


def test_a_run_shows_what_it_recorded(results: Callable[..., str], gaia: Gaia) -> None:
    path = results(apis={"gateway": GATEWAY}, baseline=BEFORE)

    code, out, _ = gaia("api", "show", path)

    assert code == 0
    assert out.splitlines() == [
        "service  operations  document             source",
        "gateway  3           sha256:0123456789ab  fetched",
        "1 operation gone since release 3f9a1c in staging:",
        "  gateway: GET /models",
        "2 operations new since release 3f9a1c in staging:",
        "  gateway: GET /personas",
        "  gateway: GET /personas/{id}",
    ]


def test_the_operations_of_each_test_are_those_of_the_document(results: Callable[..., str], gaia: Gaia) -> None:
    path = results(
        ran("test_one", "GET /personas/7", "GET /personas/8", "POST /chat"),
        ran("test_other", "PUT /undocumented"),
        ran("test_none"),
        apis={"gateway": GATEWAY},
    )

    assert gaia("api", "operations", path).out.splitlines() == [
        f"{SUITE}test_one",
        "  gateway: GET /personas/{id}",
        "  gateway: POST /chat",
        f"{SUITE}test_other",
        "  gateway: PUT /undocumented",
    ]


@pytest.mark.parametrize("apis", [{"gateway": GATEWAY}, {}], ids=["with a document", "without"])
def test_a_marker_names_what_its_test_requests(results: Callable[..., str], gaia: Gaia, apis: dict[str, Api]) -> None:
    good = ran("test_good", "GET /personas/7", marker=("gateway: GET /personas/{persona}",))
    wrong = ran("test_wrong", "GET /personas", marker=("gateway: POST /chat", "kb: GET /personas"))
    failed = ran("test_failed", marker=("gateway: POST /chat",), fails=True)

    found = gaia("api", "operations", results(good, wrong, failed, apis=apis), "--check")

    assert found.code == 1
    assert found.out.splitlines() == [
        f"{SUITE}test_wrong: the marker names gateway: POST /chat, which the test never requested",
        f"{SUITE}test_wrong: the marker names kb: GET /personas, which the test never requested",
        "2 of 3 tests with operations in a marker passed and were checked: 2 findings",
    ]
    both = json.loads(gaia("api", "operations", "run.jsonl", "--check", "--json").out)
    assert [each["operation"] for each in both["findings"]] == ["gateway: POST /chat", "kb: GET /personas"]
    assert both["tests"][0] == {
        "node": f"{SUITE}test_good",
        "operations": ["gateway: GET /personas/{id}" if apis else "gateway: GET /personas/7"],
        "declared": ["gateway: GET /personas/{persona}"],
    }
    assert gaia("api", "operations", results(good, apis=apis), "--check").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show", "run.jsonl"), "run.jsonl: this run recorded no OpenAPI document of a service."),
        (
            ("show", "run.jsonl", "--url", "gateway=http://127.0.0.1:1"),
            "--url is for an environment, not for a results",
        ),
        (("show", "sandbox"), "sandbox: no service has a URL to fetch an OpenAPI document from."),
        (("show", "elsewhere"), "elsewhere"),
        (("show", "gone.jsonl"), "gone.jsonl: cannot be read: No such file"),
        (("operations", "gone.jsonl"), "gone.jsonl: cannot be read: No such file"),
        (("operations", "gaia.toml"), "gaia.toml: not a results log (see --gaia-report-log)"),
    ],
)
def test_usage_errors_name_their_cause(
    results: Callable[..., str], gaia: Gaia, words: tuple[str, ...], message: str
) -> None:
    results()

    code, out, err = gaia("api", *words)

    assert (code, out) == (4, "")
    assert err.startswith("gaia: ")
    assert message in err
    assert len(err.splitlines()) == 1
