"""A test that may only read cannot write, however it tries and whenever, with concurrent tests or without."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.forking.runs import run_pytest
from tests.plugin.concurrency.runs import NUMBERS, Ended, make_project, read, variables
from tests.sandbox.shop import MIGRATE
from tests.slow import in_full

SUITE = Path(__file__).parent / "writing.py"

GAIA = """
[gaia]
suites = ["suites"]

[platform]
name = "shop"

[services.orders]
unsafe = ["GET /orders/{id}/confirm"]
depends_on = ["orders-db"]
[services.orders.sandbox]
command = ["python", "orders.py", "{port}"]

[services.orders-db]
kind = "postgres"
[services.orders-db.sandbox]
migrate = ["python", "migrate.py"]

[services.queue]
kind = "nats"

[services.store]
kind = "redis"
"""

ORDERS = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def respond(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with open("received.log", "a") as log:
            print(self.command, self.path, file=log)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def __getattr__(self, name):
        if not name.startswith("do_"):
            raise AttributeError(name)
        return self.respond

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


LEAVING = {
    *(f"test_leaves_behind[{way}]" for way in ("POST", "publish", "SET", "as_user")),
    "test_leaves_a_request_behind_that_waits",
    "test_while_this_one_writes",
}


@pytest.mark.parametrize("number", [NUMBERS[1], in_full(1)])
def test_what_may_only_read_cannot_write(tmp_path: Path, number: int) -> None:
    project = make_project(tmp_path, SUITE.read_text(), gaia=GAIA)
    (project / "orders.py").write_text(ORDERS)
    (project / "migrate.py").write_text(MIGRATE)
    concurrently = [] if number == 1 else [f"--gaia-concurrency={number}"]
    given = ["-p", "no:allure_pytest", "--gaia-report-log=run.jsonl", "--gaia-verdict-file=verdict.json"]

    done = run_pytest(project, "-v", "--tb=short", "--gaia-env=sandbox", *given, *concurrently, variables=variables())

    ended = read(Ended(done.returncode, done.stdout + done.stderr), project)
    # Tests that leave tasks behind fail for that alone.
    assert {
        each["node"].partition("::")[2] for each in ended.verdict["tests"] if each["outcome"] != "passed"
    } == LEAVING
    assert ended.verdict["counts"]["passed"] >= 30, ended.output
    received = (project / "received.log").read_text().splitlines()
    written = {each for each in received if not each.startswith("GET ")}
    assert written == {
        "POST /permitted",
        "PUT /permitted",
        "POST /permitted/at-the-beginning",
        "DELETE /permitted/at-the-end",
        "DELETE /permitted/after-the-test",
    }
    assert not [each for each in received if "onfirm" in each]
