"""What a failed test said to the database and the broker of the sandbox is attached to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.plugin.allure_runs import make_project, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugin.allure_runs import Left

pytestmark = pytest.mark.slow("processes")

CHECKS = """
import pytest

async def test_asks_and_fails(postgres, nats):
    await postgres.fetch("SELECT * FROM personas WHERE name = $1", "never to be shown")
    async with nats.subscribe("gaia.test.>") as events:
        await nats.publish("gaia.test.a", {"number": 1})
        await events.wait_for(subject="gaia.test.a")
    raise AssertionError("broken")

async def test_asks_and_passes(postgres):
    await postgres.fetchval("SELECT 1")

def test_fails_without_asking():
    raise AssertionError("broken")
"""


def attached(left: Left, name: str) -> dict[str, str]:
    """Media type → content."""
    return {each["type"]: left.beside(each["source"]) for each in left.result(name).get("attachments", ())}


def test_statements_and_messages_are_attached_to_the_test_that_failed(tmp_path: Path) -> None:
    make_project(tmp_path, CHECKS, toml='[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n')

    left = run(tmp_path, None)

    assert left.code == 1, left.output
    shown = attached(left, "test_asks_and_fails")
    assert list(shown) == ["text/sql", "application/json"]
    assert shown["text/sql"].endswith(" ms\nSELECT * FROM personas WHERE name = $1;\n")
    messages = json.loads(shown["application/json"])
    assert sorted(each["direction"] for each in messages) == ["received", "sent"]
    assert {each["body"] for each in messages} == {'{"number": 1}'}
    assert attached(left, "test_asks_and_passes") == {}
    assert attached(left, "test_fails_without_asking") == {}
    assert not any("never to be shown" in each.read_text() for each in (tmp_path / "allure").glob("*-attachment.*"))
