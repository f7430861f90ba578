"""All faults of ``fly``: messages, exit codes, and the state afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ci.fakes.replay import faults
from tests.fakes.asking import ask

if TYPE_CHECKING:
    from tests.fake_tools import FakeTools

APP = "gaia-chat-production"
NEW = "sha256:" + "b" * 64
DEPLOY = ("fly", "deploy", "-a", APP, "--image", f"registry.fly.io/gaia-chat-staging@{NEW}", "--yes")
LIST = ("fly", "machine", "list", "-a", APP, "--json")


def listed(tools: FakeTools) -> list[dict[str, object]]:
    machines: list[dict[str, object]] = ask(tools, *LIST)
    return machines


def images(tools: FakeTools) -> set[bool]:
    """Whether all listed machines run the new image."""
    return {each["image_ref"]["digest"] == NEW for each in ask(tools, *LIST)}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("rate-limited", "Error: failed to list VMs even after retries: rate limit exceeded"),
        ("server-error", "request returned non-2xx status: 503"),
        ("not-logged-in", "Error: no access token available. Please login with 'flyctl auth login'"),
        ("unauthorised", "unauthorized"),
        ("lease-held", "lease currently held by"),
        ("image-gone", "could not find image"),
        ("release-command-fails", "release command failed - aborting deployment"),
    ],
)
def test_a_deployment_that_never_began_changes_no_machine(fake_tools: FakeTools, kind: str, message: str) -> None:
    fake_tools.app(APP)
    fake_tools.fault(APP, f"{kind}@deploy")

    done = fake_tools.run(*DEPLOY)

    assert (done.returncode, message in done.stderr) == (1, True), done.stderr
    assert NEW not in fake_tools.digests(APP)


def test_the_api_s_refusals_read_differently_for_graphql(fake_tools: FakeTools) -> None:
    fake_tools.fault("*", "rate-limited:1", "server-error:1", "unauthorised:1")

    said = [fake_tools.run("fly", "status", "-a", APP, "--json").stderr.splitlines()[0] for _ in range(3)]

    assert sorted(said) == [
        "Error: failed to get app: You must be authenticated to view this.",
        "Error: failed to get app: server returned a non-200 status code: 429",
        "Error: failed to get app: server returned a non-200 status code: 503",
    ]


def test_a_counted_fault_goes_away(fake_tools: FakeTools) -> None:
    fake_tools.app(APP)
    fake_tools.fault(APP, "rate-limited:2")

    assert [fake_tools.run(*LIST).returncode for _ in range(3)] == [1, 1, 0]


def test_a_list_that_fails_does_not_say_why(fake_tools: FakeTools) -> None:
    fake_tools.app(APP)
    fake_tools.fault(APP, "list-fails:1")

    assert fake_tools.run(*LIST).stderr == "Error: failed to list VMs: API returned unexpected status, 302\n\n"


def test_a_phantom_ends_well_and_changes_nothing(fake_tools: FakeTools) -> None:
    fake_tools.app(APP, machines=2, release=3)
    fake_tools.fault(APP, "phantom")

    assert fake_tools.run(*DEPLOY).returncode == 0
    assert images(fake_tools) == {False}
    assert ask(fake_tools, "fly", "status", "-a", APP, "--json")["Version"] == 4


def test_a_phantom_of_a_first_deployment_leaves_machines_that_do_not_run(fake_tools: FakeTools) -> None:
    fake_tools.app(APP, machines=0)
    fake_tools.fault(APP, "phantom")

    assert fake_tools.run(*DEPLOY).returncode == 0
    assert {each["state"] for each in listed(fake_tools)} == {"launch_failed"}


@pytest.mark.parametrize("machines", [1, 3])
def test_a_split_leaves_two_images(fake_tools: FakeTools, machines: int) -> None:
    fake_tools.app(APP, machines=machines)
    fake_tools.fault(APP, "split")

    done = fake_tools.run(*DEPLOY)

    assert (done.returncode, images(fake_tools)) == (1, {True, False})
    assert fake_tools.releases(APP)[-1]["status"] == "failed"


def test_reverting_machines_show_the_new_image_for_a_while(fake_tools: FakeTools) -> None:
    fake_tools.app(APP)
    fake_tools.fault(APP, "reverting:2")

    assert fake_tools.run(*DEPLOY).returncode == 0
    assert [images(fake_tools) for _ in range(3)] == [{True}, {True}, {False}]
    assert fake_tools.machines(APP)[0]["state"] == "started"


def test_machines_can_be_put_to_sleep(fake_tools: FakeTools) -> None:
    fake_tools.app(APP, machines=2)
    fake_tools.fault(APP, "suspended")

    assert {each["state"] for each in listed(fake_tools)} == {"suspended"}
    fake_tools.run("fly", "machine", "start", *(str(each["id"]) for each in listed(fake_tools)), "-a", APP)
    assert {each["state"] for each in listed(fake_tools)} == {"started"}


@pytest.mark.parametrize(("strategy", "code"), [("rolling", 1), ("immediate", 0)])
def test_an_unhealthy_image_is_waited_for_unless_the_strategy_is_immediate(
    fake_tools: FakeTools, strategy: str, code: int
) -> None:
    fake_tools.app(APP)
    fake_tools.fault(APP, "unhealthy")

    done = fake_tools.run(*DEPLOY, "--strategy", strategy)

    assert (done.returncode, images(fake_tools)) == (code, {True})
    assert [each["status"] for each in fake_tools.machines(APP)[0]["checks"]] == ["critical"]


def test_an_image_that_runs_out_of_memory_leaves_an_event(fake_tools: FakeTools) -> None:
    fake_tools.app(APP)
    fake_tools.logged(APP, "Error: no database")
    fake_tools.fault(APP, "oom")

    done = fake_tools.run(*DEPLOY)

    event = fake_tools.machines(APP)[0]["events"][0]
    assert done.stderr.splitlines()[-1] == "Error: no database"
    assert (done.returncode, event["type"], event["request"]["exit_event"]["oom_killed"]) == (1, "exit", True)


def test_the_tool_can_fail_after_it_did_all_it_should(fake_tools: FakeTools) -> None:
    fake_tools.app(APP)
    fake_tools.fault(APP, "tool-error-after-success")

    assert (fake_tools.run(*DEPLOY).returncode, images(fake_tools)) == (1, {True})


def test_chatter_stands_around_the_json(fake_tools: FakeTools) -> None:
    fake_tools.app(APP)
    fake_tools.fault(APP, "chatter")

    output = fake_tools.run(*LIST).stdout

    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(output)
    assert json.loads(output[output.index("\n[\n") : output.rindex("\n]\n") + 3])[0]["state"] == "started"


def test_a_failed_release_command_leaves_its_machine_and_a_failed_release(fake_tools: FakeTools) -> None:
    fake_tools.app(APP)
    fake_tools.fault(APP, "release-command-fails")

    fake_tools.run(*DEPLOY)

    runner = listed(fake_tools)[-1]
    assert (runner["state"], fake_tools.releases(APP)[-1]["status"]) == ("stopped", "failed")
    assert fake_tools.run(*DEPLOY, "--skip-release-command").returncode == 0


def test_a_slow_call_is_a_call_that_waits(fake_tools: FakeTools) -> None:
    fake_tools.app(APP)
    fake_tools.fault(APP, "slow:0.01")

    assert (fake_tools.run(*LIST).returncode, fake_tools.run(*DEPLOY).returncode) == (0, 0)


def test_every_fault_is_explained_and_tried_here(fake_tools: FakeTools) -> None:
    help_text = fake_tools.run("fly", "--fake-help").stdout
    source = Path(__file__).read_text(encoding="utf-8")

    assert [kind for kind in faults.FLY if f'"{kind}' not in source or f"  {kind} " not in help_text] == []


def test_a_fault_that_does_not_exist_is_refused(fake_tools: FakeTools) -> None:
    with pytest.raises(ValueError, match="unknown fault: phantasm"):
        fake_tools.fault(APP, "phantasm")
