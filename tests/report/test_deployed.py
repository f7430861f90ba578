from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_gaia.report.services import command, failure, intention, interruption, table
from pytest_gaia.rollout.model import Rollout, RolloutResult, Step, StepResult
from pytest_gaia.verdict.evidence import DeploymentSeen, ServiceSeen

if TYPE_CHECKING:
    from collections.abc import Sequence

DIGEST = f"sha256:{'a' * 64}"
ROOT = Path("/srv/gaia")


def result(*steps: StepResult, go_on: str = "gaia deploy dev --services chat,gateway") -> RolloutResult:
    return RolloutResult("dev", "deploy", steps, "2030-01-01T00:00:00+00:00", 3.0, go_on=go_on)


def step(service: str, outcome: Any, reason: str = "", tail: Sequence[str] = ()) -> StepResult:
    return StepResult(service, f"gaia-{service}-dev", outcome, reason, tail=tuple(tail))


def test_the_header_says_what_is_going_to_be_done() -> None:
    rollout = Rollout("dev", ROOT, (Step("auth", "gaia-auth-dev"), Step("gateway", "gaia-gateway-dev")))

    assert intention(rollout, "fly") == "gaia: will deploy auth, gateway to dev with fly before the first test"


def test_one_line_a_service_says_what_runs_and_how_well() -> None:
    seen = DeploymentSeen(
        "fly",
        (
            ServiceSeen(
                "auth", "gaia-auth-dev", "deployed_with_tool_error", "healthy", "a lease", 7, (DIGEST,), 2, 2, 2
            ),
            ServiceSeen("chat", "gaia-chat-dev", state="crashed", version=3, images=("r/chat:1", DIGEST), machines=1),
            ServiceSeen("nats", "gaia-nats-dev", state="not deployed", machines=0),
        ),
        by_this_run=True,
    )

    assert table("dev", seen) == [
        "gaia: dev: deployed by this run (fly)",
        (
            "  auth  gaia-auth-dev  deployed with tool error  version 7  sha256:aaaaaaaaaaaa            "
            "2 machines, 2 of 2 checks pass  a lease"
        ),
        "  chat  gaia-chat-dev  crashed                   version 3  r/chat:1, sha256:aaaaaaaaaaaa  1 machine, no checks",
        "  nats  gaia-nats-dev  not deployed",
    ]


def test_one_reason_for_several_services_is_told_once() -> None:
    seen = DeploymentSeen(
        "fly",
        (
            ServiceSeen("auth", "gaia-auth-dev", reason="fly is not installed"),
            ServiceSeen("chat", "gaia-chat-dev", reason="fly is not installed"),
            ServiceSeen("gateway", "gaia-gateway-dev", reason="rate limit"),
        ),
        notes=("something else",),
    )

    assert table("dev", seen) == [
        "gaia: note: deployed version unknown for auth, chat: fly is not installed",
        "gaia: note: deployed version unknown for gateway: rate limit",
        "gaia: note: something else",
    ]


def test_nothing_to_look_at_is_nothing_to_say() -> None:
    assert table("dev", DeploymentSeen("fly")) == []


def test_a_failure_shows_the_tools_last_lines_and_how_to_go_on() -> None:
    lines = [f"line {number}" for number in range(40)]

    told = failure(
        result(step("auth", "deployed"), step("chat", "failed", "no quota", lines), step("gateway", "not begun"))
    )

    assert told[0] == "gaia: the deployment of dev failed; no test ran."
    assert told[1:-2] == [f"  chat | line {number}" for number in range(25, 40)]
    assert told[-2:] == ["  not started: gateway", "  to continue: gaia deploy dev --services chat,gateway"]


def test_an_interruption_tells_what_is_in_doubt() -> None:
    told = interruption(
        result(
            step("auth", "deployed"), step("chat", "in doubt", "it was being deployed"), step("gateway", "not begun")
        )
    )

    assert told == [
        "gaia: the deployment of dev was interrupted; no test ran.",
        "  chat: in doubt: it was being deployed",
        "  not started: gateway",
        "  to continue: gaia deploy dev --services chat,gateway",
    ]


def test_the_command_line_of_pytest_that_does_the_same() -> None:
    rollout = Rollout("dev", ROOT, (Step("auth", "a", image="r/a b@x"), Step("chat", "c")), region="fra", rebuild=True)

    assert command(rollout) == (
        "pytest --gaia-env=dev --gaia-deploy --gaia-deploy-services=auth,chat '--gaia-deploy-image=auth=r/a b@x' "
        "--gaia-deploy-region=fra --gaia-deploy-rebuild"
    )
