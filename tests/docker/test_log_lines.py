"""The log lines of a failing test's requests, from containers on a real engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.docker.shop import GAIA_TOML, PYTEST_INI

if TYPE_CHECKING:
    from pathlib import Path

    from tests.docker.engine import Engine

pytestmark = pytest.mark.slow("docker")

COMPOSE = """\
services:
  gateway:
    image: tiny
    init: true
    ports: ["127.0.0.1:18000:8000"]
    command:
      - sh
      - -c
      - |
        mkdir -p /www/cgi-bin
        cat >/www/cgi-bin/broken <<'END'
        #!/bin/sh
        echo "ERROR $$QUERY_STRING password=hunter2-of-mine request_id=$$HTTP_X_REQUEST_ID" >&2
        printf 'Status: 500 Internal Server Error\\r\\nContent-Type: application/json\\r\\n\\r\\n{}'
        END
        chmod +x /www/cgi-bin/broken
        exec httpd -f -p 8000 -h /www
  chat:
    image: tiny
    init: true
    ports: ["127.0.0.1:18001:8000"]
    command: httpd -f -p 8000 -h /www
    logging: {driver: none}
"""
SUITE = """\
async def test_first(gateway):
    (await gateway.get("/cgi-bin/broken?first")).expect(200)

async def test_second(gateway):
    (await gateway.get("/cgi-bin/broken?second")).expect(200)
"""


def test_a_failing_test_shows_the_lines_of_its_container(engine: Engine, tmp_path: Path) -> None:
    with engine.project(tmp_path, COMPOSE, GAIA_TOML.format(stable_for=1)) as project:
        project.write("pytest.ini", PYTEST_INI)
        project.write("suites/health/test_it.py", SUITE)
        assert project.compose("up", "--detach").code == 0

        tested = project.pytest("--gaia-env=local", "--gaia-report-log=run.jsonl")

    assert tested.code == 1, tested.out
    first = tested.out.partition("_ test_first _")[2].partition("_ test_second _")[0]
    lines = first.partition(" log of gateway -")[2].splitlines()[1:]
    request_id = first.partition("request ID ")[2].partition(",")[0]
    (error,) = [line for line in lines if line.startswith("ERROR")]
    assert error.startswith("ERROR first password=***")
    assert error.endswith(f" request_id={request_id}")
    assert "hunter2-of-mine" not in tested.out
    assert tested.out.count("log of gateway") == 2
