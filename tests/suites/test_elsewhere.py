"""Run the suites against a platform that this run did not start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from pytest_gaia.run.sandbox import Sandbox
from tests.projects import gaia_platform
from tests.slow import in_full
from tests.suites.conftest import ROOT
from tests.suites.outcomes import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_gaia.run.sandbox import Stack
    from tests.suites.conftest import Check
    from tests.suites.outcomes import Outcomes


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Start a platform for this module."""
    with Sandbox.start(gaia_platform()) as sandbox:
        yield sandbox


@pytest.fixture
def lab(sandbox: Sandbox) -> Stack:
    """Return the addresses of that platform."""
    return sandbox.stack("main")


def run_in_lab(directory: Path, stack: Stack, *arguments: str, writes: bool) -> Outcomes:
    """Run the suites in a project whose ``gaia.toml`` configures the platform as the environment local."""
    urls = "\n".join(f'{service} = "{url}"' for service, url in stack.urls.items())
    (directory / "gaia.toml").write_text(
        f'[gaia]\nplatform = "gaia"\nsuites = ["{ROOT / "suites"}"]\n\n[env.local]\nwrites = {str(writes).lower()}\n'
        f"\n[env.local.urls]\n{urls}\n",
        encoding="utf-8",
    )
    secrets = {
        "GAIA_LOCAL_API_KEY": stack.api_key,
        "GAIA_LOCAL_JWT_SECRET": stack.jwt_secret,
        "GAIA_LOCAL_NATS_URL": stack.nats,
    }
    if writes:
        secrets["GAIA_LOCAL_DATABASE_URL"] = stack.dsn
    options = (f"--rootdir={directory}", f"--confcutdir={ROOT}", "--gaia-env=local", *arguments)
    return run(directory, *options, variables=secrets)


async def left_over(stack: Stack) -> dict[str, int]:
    """Return table → rows that tests created and left."""
    connection = await asyncpg.connect(stack.dsn, ssl=False)
    try:
        named = {"users": "email", "personas": "name", "api_keys": "name", "assets": "name"}
        counts = {
            table: await connection.fetchval(f"SELECT count(*) FROM {table} WHERE {column} LIKE 'gaia-test-%'")
            for table, column in named.items()
        }
        counts["user_persona_preferences"] = await connection.fetchval(
            "SELECT count(*) FROM user_persona_preferences JOIN personas ON id = persona_id WHERE name <> 'Mu'"
        )
        return {table: count for table, count in counts.items() if count}
    finally:
        await connection.close()


@pytest.mark.slow("suites")
async def test_every_check_runs_there_and_leaves_nothing(checks: list[Check], lab: Stack, tmp_path: Path) -> None:
    result = run_in_lab(tmp_path, lab, writes=True)
    assert result.code == 0, result.output
    known_bugs = {check.id for check in checks if check.known_bug}
    elsewhere = result.inapplicable("needs the sandbox")
    assert result.of("passed") == {check.id for check in checks} - known_bugs - elsewhere - result.inapplicable()
    assert {name.partition("::")[0] for name in elsewhere} == {
        "suites/messaging/test_announcements.py",
        "suites/security/test_limits.py",
    }
    assert await left_over(lab) == {}


@pytest.mark.slow("suites")
async def test_a_check_that_fails_leaves_nothing_either(sandbox: Sandbox, lab: Stack, tmp_path: Path) -> None:
    route = "/api/v0.2/personas/{persona_id}"
    sandbox.fault("main", "gateway", "set", route=route, method="GET", field="persona.name", value="another")
    try:
        result = run_in_lab(tmp_path, lab, "-m", "personas", writes=True)
    finally:
        sandbox.heal("main")
    assert len(result.of("failed")) > 2, result.output
    assert result.of("error") == set()
    assert await left_over(lab) == {}


@pytest.mark.slow("suites")
async def test_where_writing_is_forbidden_no_check_tries_to(checks: list[Check], lab: Stack, tmp_path: Path) -> None:
    result = run_in_lab(tmp_path, lab, writes=False)
    assert result.code == 0, result.output
    writing = {check.id for check in checks if check.writes}
    assert writing <= result.of("skipped")
    core = {check.id for check in checks if check.core and not check.writes and "limits" not in check.id}
    assert core - result.inapplicable() <= result.of("passed")
    assert "writes" not in " ".join(result.checks[name].message for name in result.of("failed"))


@pytest.mark.parametrize("command", [in_full(("chat", "Test")), ("personas-get", None)])
async def test_a_command_that_only_reads_runs_where_writing_is_forbidden(
    checks: list[Check], lab: Stack, tmp_path: Path, command: tuple[str, str | None]
) -> None:
    name, argument = command
    options = [f"--gaia-command={name}", *([f"--gaia-argument={argument}"] if argument else [])]
    result = run_in_lab(tmp_path, lab, *options, writes=False)
    assert result.code == 0, result.output
    assert result.of("passed") == {check.id for check in checks if name in check.command}
