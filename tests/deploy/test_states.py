"""The condition of a machine in words."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_gaia.deploy.contract import Machine
from pytest_gaia.deploy.states import condition

BEGAN, TAKEN = "2026-11-29T14:54:07.486504+00:00", "2026-11-29T14:54:10.500000+00:00"


@pytest.mark.parametrize(
    ("given", "word", "text"),
    [
        ({}, "healthy", ""),
        ({"state": "completed"}, "completed", ""),
        ({"checks": 1, "passing": 1}, "healthy", ""),
        ({"checks": 2, "passing": 1}, "unhealthy", "passes 1 of 2 health checks"),
        ({"checks": 1, "started_at": BEGAN}, "starting", "is starting for 3 s: it passes 0 of 1 health checks"),
        ({"checks": 1, "critical": 1}, "unhealthy", "is unhealthy: it passes 0 of 1 health checks"),
        ({"crashed": True}, "crashed", "crashed or ran out of memory after it started"),
        ({"crashed": True, "exit_code": 3}, "crashed", "crashed with exit code 3 after it started"),
        (
            {"crashed": True, "exit_code": 137, "out_of_memory": True},
            "out of memory",
            "ran out of memory after it started (exit code 137)",
        ),
        ({"cordoned": True}, "cordoned", "is cordoned, so it gets no requests"),
        ({"host_ok": False}, "unreachable", "is on a host that does not respond"),
        ({"state": "paused"}, "paused", "is paused"),
        ({"state": "stopped", "exit_code": 137, "ended_by": "stop"}, "stopped", "was stopped (exit code 137)"),
        ({"state": "stopped", "exit_code": 143}, "stopped", "was stopped (exit code 143)"),
        ({"state": "stopped", "exit_code": 137, "ended_by": "kill"}, "killed", "was killed (exit code 137)"),
        ({"state": "stopped", "exit_code": 137}, "killed", "was stopped or killed (exit code 137)"),
        ({"state": "stopped", "exit_code": 0}, "stopped", "ended with exit code 0"),
        ({"state": "stopped", "exit_code": 3}, "crashed", "crashed with exit code 3"),
        (
            {"state": "stopped", "exit_code": 137, "out_of_memory": True},
            "out of memory",
            "ran out of memory (exit code 137)",
        ),
        (
            {"state": "restarting", "exit_code": 3, "restarts": 1},
            "restarting",
            "is restarting: it was restarted 1 time, and its last run ended with exit code 3",
        ),
        (
            {"state": "restarting", "exit_code": 137, "restarts": 5, "out_of_memory": True},
            "restarting",
            "is restarting: it was restarted 5 times, and its last run ran out of memory",
        ),
        (
            {"restarts": 2, "started_at": BEGAN},
            "restarting",
            "was restarted 2 times, and has run for 3 s only",
        ),
        ({"restarts": 2, "started_at": "2026-11-29T14:53:07+00:00"}, "healthy", ""),
        ({"state": "created"}, "created", "was created, but not started"),
        (
            {"state": "created", "error": "port is already allocated"},
            "created",
            "was created, but not started: port is already allocated",
        ),
        ({"state": "suspended"}, "suspended", "is suspended, not started"),
        ({"state": "replacing"}, "replacing", "is replacing, not started"),
    ],
)
def test_each_condition_has_its_own_word(given: dict[str, Any], word: str, text: str) -> None:
    found = condition(Machine(**({"id": "1", "state": "started"} | given)), TAKEN)

    assert (found.word, found.text) == (word, text)
    assert found.good is (text == "")
