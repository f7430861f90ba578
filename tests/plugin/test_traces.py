"""Request ID and trace ID of a request: recorded, and shown with the failure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.verdict.results_log import read_run
from tests.plugin.conftest import ScriptedServer, add_suite
from tests.slow import with_workers

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.verdict.evidence import TestRecord
    from tests.fake_tools import FakeTools

CHECKS = """
async def test_passes(gateway):
    (await gateway.get("/health")).expect(200)

async def test_fails(gateway):
    (await gateway.get("/health")).expect(200)
    (await gateway.get("/broken", headers={"X-Request-ID": "given-by-the-test"})).expect(200)

async def test_compares(gateway):
    assert (await gateway.get("/health")).json() == {}

def test_sends_nothing():
    assert False
"""


def recorded(folder: Path) -> dict[str, TestRecord]:
    return {test.node.rpartition("::")[2]: test for test in read_run(folder / "run.jsonl").tests}


@pytest.mark.parametrize("workers", [(), with_workers("-n2")], ids=["alone", "workers"])
def test_ids_are_recorded_and_shown_with_the_failure(
    project: pytest.Pytester, server: ScriptedServer, workers: tuple[str, ...]
) -> None:
    (project.path / "gaia.toml").write_text('[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n[env.small]\n')
    add_suite(project, "small", CHECKS)
    server.answers["/broken"] = [(500, {})]
    given = ("-p", "no:allure_pytest", "--gaia-env=small", f"--gaia-url=gateway={server.url}", *workers)
    text = project.runpytest_subprocess(*given, "--gaia-report-log=run.jsonl").stdout.str()

    records = recorded(project.path)
    passed, failed = records["test_passes"], records["test_fails"]
    assert len({passed.trace_id, failed.trace_id}) == 2
    assert records["test_sends_nothing"].trace_id == ""
    assert [each.trace_id for each in failed.exchanges] == ["", ""], "the same as that of the test"
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", failed.exchanges[0].request_id)
    assert failed.exchanges[1].request_id == "given-by-the-test"
    failure = failed.phases[1].failure
    assert failure is not None
    assert failed.trace_id not in failure.message
    assert f"  request ID given-by-the-test, trace ID {failed.trace_id}\n" in text
    compared = records["test_compares"]
    assert f"latest: request ID {compared.exchanges[-1].request_id}, trace ID {compared.trace_id}\n" in text


def attached(folder: Path, test: str) -> Path:
    """Return the file with the log lines of a test in Allure's results."""
    results = (json.loads(path.read_bytes()) for path in folder.glob("*-result.json"))
    (attachments,) = (each["attachments"] for each in results if each["name"] == test)
    source: str = next(each["source"] for each in attachments if each["name"] == "log lines of the services")
    return folder / source


SERVICE = """
import re, sys, traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        sent = self.headers
        ids = f"request_id={sent['X-Request-ID']} traceparent={sent['traceparent']}"
        broken = self.path.startswith("/broken")
        print(f"INFO \\x1b[31m{self.path}\\x1b[0m\\x07 password=hunter2-of-mine {ids}")
        if broken:
            try:
                {}["missing"]
            except KeyError:
                print(f"ERROR cannot serve {self.path} {ids}\\n{traceback.format_exc().rstrip()}")
            print("INFO cleaned up")
        self.send_response(500 if broken else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "16")
        self.end_headers()
        self.wfile.write(b'{"status": "ok"}')

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

OWN = """
[services.orders]
health = "/health"
sandbox.command = ["python", "orders.py", "{port}"]
[services.silent]
health = "/health"
sandbox.command = ["python", "silent.py", "{port}"]
"""

OF_OWN = """
import asyncio

async def test_passes(orders):
    (await orders.get("/fine")).expect(200)

async def test_fails(orders):
    for number in range(40):
        (await orders.get(f"/before/{number}")).expect(200)
    (await orders.get("/broken/first")).expect(200)

async def test_fails_too(orders, silent):
    (await silent.get("/fine")).expect(200)
    (await orders.get("/broken/second", headers={"X-Request-ID": "of-the-test"})).expect(200)

async def test_is_expected_to_fail_as_well(orders):
    (await orders.get("/broken/third")).expect(200)
"""


@pytest.mark.parametrize(
    "more",
    [(), ("-q",), ("--gaia-concurrency=4",), with_workers("-n2")],
    ids=["alone", "quiet", "concurrent", "workers"],
)
def test_a_failing_test_shows_the_log_lines_of_its_requests(project: pytest.Pytester, more: tuple[str, ...]) -> None:
    (project.path / "gaia.toml").write_text(OWN)
    (project.path / "orders.py").write_text(SERVICE)
    (project.path / "silent.py").write_text(SERVICE.replace("print(", "str("))
    project.makepyfile(OF_OWN.replace("async def test_is_expected", "@pytest.mark.xfail\nasync def test_is_expected"))
    project.path.joinpath("conftest.py").write_text("import builtins, pytest\nbuiltins.pytest = pytest\n")

    given = ("--alluredir=allure", "--gaia-report-log=run.jsonl", "--junitxml=junit.xml", *more)
    result = project.runpytest_subprocess("--gaia-env=sandbox", *given)

    text = result.stdout.str()
    assert result.ret == 1
    records = recorded(project.path)
    first, second = (
        text.partition(f"_ {name} _")[2].partition("\n__")[0].partition("\n===")[0]
        for name in ("test_fails", "test_fails_too")
    )
    lines = first.partition(" log of orders -")[2]
    broken = records["test_fails"].exchanges[-1].request_id
    assert re.search(rf"INFO /broken/first password=\*+\w+\*+ request_id={broken} traceparent=00-\w+-\w+-01\n", lines)
    assert re.search(
        rf"ERROR cannot serve /broken/first request_id={broken} traceparent=\S+\n"
        r"Traceback \(most recent call last\):\n  File .*\n    .*missing.*\n(    [~^]+\n)?KeyError: 'missing'",
        lines,
    )
    assert "INFO /before/39 " in lines, "another request of the test"
    assert re.search(r"\n… \d+ more records with an ID of the test\nINFO /before/2\d ", lines)
    assert "cleaned up" not in lines
    assert "/fine" not in lines
    assert "second" not in lines
    assert "ERROR cannot serve /broken/second request_id=of-the-test " in second.partition(" log of orders -")[2]
    assert "/first" not in second
    assert "hunter2-of-mine" not in text
    assert "\x07" not in text
    assert text.count("log of orders") == 2
    said = "gaia: no log line of silent contains the request ID or the trace ID of a test that failed"
    assert (said in text) is ("-q" not in more)
    for file in (project.path / "junit.xml", attached(project.path / "allure", "test_fails")):
        assert f"ERROR cannot serve /broken/first request_id={broken}" in file.read_text()
        assert "hunter2-of-mine" not in file.read_text()


UNREADABLE = """
async def test_fails(orders, gaia_run):
    (gaia_run.sandbox.directory / "orders.another.log").mkdir()
    (await orders.get("/broken")).expect(200)
"""


def test_a_log_that_cannot_be_read_is_a_note(project: pytest.Pytester) -> None:
    (project.path / "gaia.toml").write_text(OWN.partition("[services.silent]")[0])
    (project.path / "orders.py").write_text(SERVICE)
    project.makepyfile(UNREADABLE)

    result = project.runpytest_subprocess("--gaia-env=sandbox", "-p", "no:allure_pytest")

    assert result.ret == 1
    assert " log of orders -" not in result.stdout.str()
    result.stdout.fnmatch_lines(
        ["gaia: the log of orders was not read: *Is a directory*", "gaia verdict: REJECT on sandbox: 1 failed*"]
    )


def test_a_private_key_is_masked_although_its_beginning_is_left_out(project: pytest.Pytester) -> None:
    key = ["-----BEGIN PRIVATE KEY-----", *(f"{number:04}{'MIIEvQIBADANBgkq' * 3}" for number in range(26))]
    text = "\n".join(["  config:", "    a: 1", "    b: 2", "    key: |", *(f"      {line}" for line in key)])
    (project.path / "gaia.toml").write_text(OWN)
    dump = f"print(f'ERROR {{ids}}' + {chr(10) + text + chr(10) + '      the end'!r})"
    (project.path / "orders.py").write_text(SERVICE.replace('print("INFO cleaned up")', dump))
    (project.path / "silent.py").write_text(SERVICE)
    project.makepyfile('async def test_fails(orders):\n    (await orders.get("/broken")).expect(200)\n')

    result = project.runpytest_subprocess("--gaia-env=sandbox", "-p", "no:xdist", "--junitxml=junit.xml")

    for shown in (result.stdout.str(), (project.path / "junit.xml").read_text()):
        assert "    a: 1\n  … 18 lines\n***" in shown
        assert "      the end" in shown
        assert "MIIEvQIBADANBgkq" not in shown


OF_GAIA = """
import pytest

@pytest.mark.gaia(requires=["chat"])
async def test_fails(gateway):
    (await gateway.get("/api/v0.2/models/none")).expect(200)
    assert False

@pytest.mark.gaia(requires=["chat"])
async def test_passes(gateway):
    (await gateway.get("/api/v0.2/providers")).expect(200)
"""


def test_the_services_of_the_sandbox_log_the_ids_and_pass_them_on(project: pytest.Pytester) -> None:
    (project.path / "gaia.toml").write_text('[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n')
    add_suite(project, "small", OF_GAIA)

    result = project.runpytest_subprocess("-p", "no:allure_pytest", "--gaia-env=sandbox", "--gaia-report-log=run.jsonl")

    text = result.stdout.str()
    request_id = recorded(project.path)["test_fails"].exchanges[0].request_id
    for service in ("gateway", "chat"):
        lines = text.partition(f" log of {service} -")[2].partition("\n-")[0].splitlines()[1:]
        assert any(f"request_id={request_id}" in line for line in lines), service
        assert not any("providers" in line for line in lines)


COMPOSED = """
[gaia]
platform = "gaia"
suites = ["suites"]
[env.local]
from = "compose"
"""
FILE = """
services:
  gateway:
    image: gaia/gateway:1
    ports: ["8666:8000"]
    healthcheck: {test: [CMD, "true"]}
"""
GIVEN = """
async def test_fails(gateway):
    (await gateway.get("/broken", headers={"X-Request-ID": "order-17-of-mine"})).expect(200)
"""


def test_containers_are_read_once_and_what_cannot_be_read_is_a_note(
    project: pytest.Pytester, server: ScriptedServer, fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.path / "gaia.toml").write_text(COMPOSED)
    (project.path / "docker-compose.yml").write_text(FILE)
    add_suite(project, "small", GIVEN + GIVEN.replace("test_fails", "test_fails_again"))
    server.answers["/broken"] = [(500, {})]
    monkeypatch.setenv("GAIA_GATEWAY_URL", server.url)
    with fake_tools.state() as state:
        names = ("order-17", "order-17-of-mine", "order-17-of-mine-2")
        state["docker"]["logs"] = {"gateway": [f"request {name}: token={'s3cret' * 4}" for name in names]}
    arguments = ("--gaia-env=local", "-p", "no:xdist", "-p", "no:allure_pytest")
    assert fake_tools.run("docker", "compose", "up", "--detach", folder=project.path).returncode == 0

    result = project.runpytest_subprocess(*arguments)

    text = result.stdout.str()
    assert result.ret == 1
    assert len(fake_tools.calls("docker", "compose", "logs")) == 1
    lines = [part.splitlines()[1] for part in text.split(" log of gateway -")[1:]]
    assert len(lines) == 2
    assert all(re.fullmatch(r"request order-17-of-mine: token=\*{3}\w+\*{3}", line) for line in lines)
    assert text.count("request order") == 2

    reasons = []
    for installed in (True, False):
        if installed:
            fake_tools.fault("docker", "daemon-down")
        else:
            fake_tools.without("docker")
        result = project.runpytest_subprocess(*arguments)
        text = result.stdout.str()
        assert result.ret == 1
        assert " log of gateway -" not in text
        assert "gaia verdict: REJECT on local: 2 failed" in text
        reasons += re.findall(r"(?m)^gaia: the log of gateway was not read: (.*)", text)
    assert "the Docker daemon does not respond" in reasons[0]
    assert "docker is not installed" in reasons[1]
