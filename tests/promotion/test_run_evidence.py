"""What a run's files are turned into: nothing is claimed that they do not show."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_gaia.promotion.run_evidence import deployment_predicate
from pytest_gaia.verdict.deployment import DeploymentSeen, ServiceSeen
from tests.promotion.release import made_bundle

BUNDLE = made_bundle()


def seen(*outcomes: str, by_this_run: bool = True) -> DeploymentSeen:
    """Return what a run says of auth, gateway …, in this order."""
    names = ("auth", "gateway")
    services = tuple(
        ServiceSeen(service=name, app=name, outcome=outcome, images=(f"sha256:{name}",), release=2)
        for name, outcome in zip(names, outcomes, strict=False)
    )
    return DeploymentSeen(hook="fly", services=services, by_this_run=by_this_run)


def told(deployment: DeploymentSeen | None) -> Any:
    return deployment_predicate(
        deployment, ("auth", "gateway"), environment="dev", bundle=BUNDLE, time="2026-11-02T09:00:00+00:00", fence=3
    )


@pytest.mark.parametrize(
    ("outcomes", "word"),
    [
        (("unchanged", "unchanged"), "unchanged"),
        (("unchanged", "deployed"), "deployed"),
        (("deployed_with_tool_error", "deployed"), "deployed_with_tool_error"),
        (("deployed", "phantom"), "phantom"),
        (("split", "failed"), "split"),
        (("deployed", "unavailable"), "failed"),
        (("deployed", "not begun"), "failed"),
        (("deployed", ""), "failed"),
        (("deployed",), "failed"),
    ],
)
def test_the_worst_service_says_what_became_of_all(outcomes: tuple[str, ...], word: str) -> None:
    assert told(seen(*outcomes)).outcome == word


def test_a_run_that_deployed_nothing_shows_no_deployment() -> None:
    assert told(None).outcome == "failed"
    assert told(seen("unchanged", "unchanged", by_this_run=False)).outcome == "failed"


def test_what_runs_is_told_where_it_is_one_image() -> None:
    says = told(seen("deployed", "deployed"))
    assert says.services == {"auth": "sha256:auth", "gateway": "sha256:gateway"}
    assert (says.releases, says.fence, says.reason) == ({"auth": 2, "gateway": 2}, 3, "")
