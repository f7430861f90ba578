"""A restart loop is reported alike, whenever it is observed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.deploy.contract import Machine, Observation, Reply
from pytest_gaia.deploy.outcome import Wanted
from pytest_gaia.rollout.step import Watch

if TYPE_CHECKING:
    from pytest_gaia.deploy.contract import ReplyStatus

TAKEN = "2026-11-29T14:54:10+00:00"
RUNS: dict[str, Any] = {"state": "started", "started_at": TAKEN}
RUNS_LONGER: dict[str, Any] = {"state": "started", "started_at": "2026-11-29T14:53:40+00:00"}
WAITS: dict[str, Any] = {"state": "restarting", "exit_code": 3}


def observed(state: dict[str, Any], restarts: int) -> Observation:
    machine = Machine(id="c1", label="container shop-chat-1", restarts=restarts, **state)
    return Observation(app="chat", exists=True, machines=(machine,), taken=TAKEN)


@pytest.mark.parametrize("tool", ["done", "failed"])
@pytest.mark.parametrize(
    "seen",
    [
        [(WAITS, 2)],
        [(WAITS, 1), (WAITS, 2)],
        [(RUNS, 1), (WAITS, 2)],
        [(RUNS, 1), (RUNS, 2)],
        [(RUNS, 2), (WAITS, 2)],
        [(RUNS, 2), (RUNS, 3)],
        [(RUNS, 2), (RUNS_LONGER, 4)],
    ],
)
def test_a_restart_loop_is_reported_alike_whenever_it_is_observed(
    tool: ReplyStatus, seen: list[tuple[dict[str, Any], int]]
) -> None:
    watch = Watch(Reply(status=tool), observed(RUNS, 0), Wanted(checks_required=False), stable_for=5)

    for now, (state, restarts) in enumerate(seen):
        assert not watch.is_over
        _, outcome = watch.evaluate(observed(state, restarts), float(now))

    state, restarts = seen[-1]
    ended = ", and its last run ended with exit code 3" if state is WAITS else ""
    assert (watch.is_over, outcome.kind) == (True, "failed")
    assert outcome.reason == f"container shop-chat-1 keeps failing: it was restarted {restarts} times{ended}"
