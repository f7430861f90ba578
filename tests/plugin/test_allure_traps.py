"""Difficult tests have correct results in Allure, alone and on workers with retries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.plugin.allure_runs import left
from tests.plugin.test_traps import COMES_TO, ELSEWHERE, run, traps
from tests.slow import with_workers

if TYPE_CHECKING:
    from tests.plugin.conftest import ScriptedServer

pytestmark = pytest.mark.slow("processes")

__all__ = ["traps"]

SHOWN = {
    "passed": {"passed"},
    "failed": {"failed", "broken"},
    "error": {"failed", "broken"},
    "not collected": {"broken"},
    "expected failure": {"failed"},
    "unexpected pass": {"failed"},
    "skipped": {"skipped"},
    "not applicable": {"skipped"},
}


@pytest.mark.parametrize("mode", [(), with_workers("-n2", "--reruns=1")], ids=["alone", "workers and retries"])
def test_every_trap_is_shown_as_it_was_evaluated(
    traps: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, mode: tuple[str, ...]
) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)

    done = run(traps, server, "--alluredir=allure", "--continue-on-collection-errors", *mode)

    found = left(traps.path, int(done.ret), done.stdout.str())
    # The latest attempt of each.
    shown = {node_of(result): result for result in found.results}
    assert set(shown) == set(found.evaluated)
    assert len(shown) == len(COMES_TO) + len(ELSEWHERE)
    told = {node: (outcome, shown[node]["status"]) for node, outcome in found.evaluated.items()}
    assert not {node: pair for node, pair in told.items() if pair[1] not in SHOWN[pair[0]]}
    known = {node for node, result in shown.items() if result.get("statusDetails", {}).get("known")}
    assert known == {node for node, outcome in found.evaluated.items() if outcome == "expected failure"}
    unexplained = {n for n, r in shown.items() if r["status"] != "passed" and not r["statusDetails"].get("message")}
    assert not unexplained


def node_of(result: dict[str, Any]) -> str:
    """Return the node id of a result."""
    path = "/".join(each for each in result["titlePath"] if each != "Old")
    if result["name"] == path:
        return path
    return "::".join((path, *(each for each in result["titlePath"] if each == "Old"), result["name"]))
