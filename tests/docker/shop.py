"""A small platform on a Docker engine: a gateway and chat, which respond to ``/health``."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.docker.engine import Engine, Project

GAIA_TOML = """\
[gaia]
suites = ["suites"]
[services.gateway]
health = "/health"
depends_on = ["chat"]
[services.chat]
health = "/health"
[services.migrate]
once = true
[env.local]
from = "compose"
[env.local.tolerance]
min_tests = 1
[env.local.deploy]
deadline = 30
stable_for = {stable_for}
"""
HTTPD = "httpd -f -p 8000 -h /www"
ONCE_BEFORE = "depends_on: {migrate: {condition: service_completed_successfully}}"
SUITE = """\
import pytest

async def test_gateway(gateway):
    (await gateway.get("/health")).expect(200)

@pytest.mark.gaia(requires=["chat"])
async def test_chat(gateway):
    (await gateway.get("/health")).expect(200)
"""
PYTEST_INI = """\
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = session
asyncio_default_test_loop_scope = session
"""


def service(name: str, command: str = HTTPD, *keys: str, check: str | None = "interval: 1s", port: int = 0) -> str:
    """Return a service of a compose file; without ``check``, it has no health check."""
    # As PID 1, busybox would ignore SIGTERM.
    lines = [f"{name}:", "  image: tiny", "  init: true", f"  command: {command}", *(f"  {key}" for key in keys)]
    if check is not None:
        test = "[CMD, wget, -qO-, 'http://127.0.0.1:8000/health']"
        lines.append(f"  healthcheck: {{test: {test}, retries: 1, {check}}}")
    if port:
        lines.append(f"  ports: ['127.0.0.1:{port}:8000']")
    return "".join(f"  {line}\n" for line in lines)


GATEWAY = service("gateway", port=18000)
CHAT = service("chat", port=18001)


def compose(*services: str) -> str:
    """Return a compose file."""
    return "".join(("services:\n", *services))


@contextlib.contextmanager
def shop(engine: Engine, folder: Path, *services: str, stable_for: float = 1) -> Iterator[Project]:
    """A project with these services, by default the gateway and chat, and a suite of two tests."""
    text = compose(*(services or (GATEWAY, CHAT)))
    with engine.project(folder, text, GAIA_TOML.format(stable_for=stable_for)) as project:
        project.write("pytest.ini", PYTEST_INI)
        project.write("suites/health/test_it.py", SUITE)
        yield project


def outcomes(out: str) -> dict[str, str]:
    """Return service → outcome in the table that ``gaia deploy`` prints."""
    table = [line for line in out.splitlines()[1:] if re.match(r"\w+ +\w+  ", line)]
    return {line.split()[0]: re.split(r"  +", line)[2] for line in table}


def states(out: str) -> dict[str, str]:
    """Return service → state in the table that ``gaia status`` prints."""
    rows = (re.split(r" {2,}", line) for line in out.partition("environment  service")[2].splitlines()[1:])
    return {cells[1]: cells[2] for cells in rows if len(cells) > 2}
