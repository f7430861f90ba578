from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.deploy.contract import UnknownApp
from pytest_gaia.deploy.fly import operations
from pytest_gaia.deploy.fly.operations import FlyTool
from pytest_gaia.errors import ConfigError, DeployFailed, DeployUnavailable
from pytest_gaia.secrets.masks import unkeyed

if TYPE_CHECKING:
    from pytest_gaia.deploy.contract import LogLine
    from tests.fake_tools import FakeTools

APP = "gaia-auth-staging"


@pytest.fixture
def tool() -> FlyTool:
    return FlyTool(wait=lambda _: None, attempts=2)


def test_releases_say_which_image_they_were(fake_tools: FakeTools, tool: FlyTool) -> None:
    fake_tools.app(APP, release=3, reference="registry.fly.io/gaia-auth:v1")

    newest, *others = operations.releases(APP, tool=tool)

    assert (newest.version, newest.complete, newest.image_ref) == (3, True, "registry.fly.io/gaia-auth:v1")
    assert [release.version for release in others] == [2, 1]


def test_secrets_are_named_and_never_shown(fake_tools: FakeTools, tool: FlyTool) -> None:
    fake_tools.app(APP, secrets=["DATABASE_URL", "SUPABASE_JWT_SECRET"])

    assert operations.secret_names(APP, tool=tool) == {"DATABASE_URL", "SUPABASE_JWT_SECRET"}


@pytest.mark.parametrize("ask", [operations.observe, operations.releases, operations.secret_names, operations.wake])
def test_every_question_about_an_unknown_app_ends_alike(fake_tools: FakeTools, tool: FlyTool, ask: object) -> None:
    with pytest.raises(UnknownApp, match=f"(?:Could not find App|app not found).*fly apps create {APP}"):
        ask(APP, tool=tool)  # type: ignore[operator]  # each is a function


def test_what_sleeps_is_started_and_waited_for(fake_tools: FakeTools, tool: FlyTool) -> None:
    fake_tools.app(APP, machines=2, state="suspended")
    lines: list[str] = []

    started = operations.wake(APP, log=lines.append, deadline=30, tool=tool)

    first, second = started
    assert {machine["state"] for machine in fake_tools.machines(APP)} == {"started"}
    assert [call.argv for call in fake_tools.calls("fly", "machine") if call.argv[1] != "list"] == [
        ("machine", "start", first, second, "-a", APP),
        ("machine", "wait", first, "-a", APP, "--state", "started", "-w", "30s"),
        ("machine", "wait", second, "-a", APP, "--state", "started", "-w", "30s"),
    ]
    assert f"{first} has been started" in lines


def test_what_is_awake_is_left_alone(fake_tools: FakeTools, tool: FlyTool) -> None:
    fake_tools.app(APP, machines=2)

    assert operations.wake(APP, tool=tool) == ()
    assert not fake_tools.calls("fly", "machine", "start")


def test_machines_that_somebody_else_holds_are_not_woken(fake_tools: FakeTools, tool: FlyTool) -> None:
    fake_tools.app(APP, state="stopped")
    fake_tools.fault(APP, "lease-held")

    with pytest.raises(DeployUnavailable, match=r"lease currently held by .* Try again later"):
        operations.wake(APP, tool=tool)


def test_memory_is_scaled_before_the_count(fake_tools: FakeTools, tool: FlyTool) -> None:
    fake_tools.app(APP, machines=1, memory_mb=512)

    reply = operations.scale(APP, count=3, memory=2048, tool=tool)

    assert reply.commands == (
        ("fly", "scale", "memory", "2048", "-a", APP),
        ("fly", "scale", "count", "3", "-a", APP, "--yes"),
    )
    assert reply.observation is not None
    assert [machine.memory_mb for machine in reply.observation.machines] == [2048] * 3


def test_scaling_may_be_kept_to_one_region(fake_tools: FakeTools, tool: FlyTool) -> None:
    fake_tools.app(APP, machines=1)

    operations.scale(APP, count=2, region="fra", tool=tool)

    assert sorted(machine["region"] for machine in fake_tools.machines(APP)) == ["fra", "lhr"]


def test_a_dry_run_scales_nothing(fake_tools: FakeTools, tool: FlyTool) -> None:
    fake_tools.app(APP)

    reply = operations.scale(APP, count=2, dry_run=True, tool=tool)

    assert reply.commands == (("fly", "scale", "count", "2", "-a", APP, "--yes"),)
    assert fake_tools.calls() == []


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({}, "nothing to scale"),
        ({"count": 0}, "count 0 must be at least 1"),
        ({"memory": -1}, "memory -1 must"),
    ],
)
def test_what_cannot_be_scaled_is_said_before_anything_is_done(
    fake_tools: FakeTools, tool: FlyTool, wrong: dict[str, int], why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        operations.scale(APP, tool=tool, **wrong)  # type: ignore[arg-type]  # counts alone

    assert fake_tools.calls() == []


def test_scaling_that_fly_refuses_says_why(fake_tools: FakeTools, tool: FlyTool) -> None:
    fake_tools.app(APP)

    with pytest.raises(DeployFailed, match=f"`fly scale memory 1000 -a {APP}` failed: .*multiple of 256: 1000"):
        operations.scale(APP, memory=1000, tool=tool)


def test_lines_of_a_log_are_read_with_their_machine_and_region(
    fake_tools: FakeTools, tool: FlyTool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAIA_STAGING_API_KEY", "gk-1234567")
    fake_tools.app(APP, region="fra")
    with fake_tools.state() as cloud:
        cloud["apps"][APP]["logs"] = ["started", 'said {"a": [1}', "key gk-1234567", "ends with }"]
    fake_tools.fault(APP, "chatter")
    lines: list[LogLine] = []
    other: list[str] = []

    operations.logs(APP, lines.append, log=other.append, tool=tool)

    (machine,) = fake_tools.machines(APP)
    assert [unkeyed(line.message) for line in lines] == ["started", 'said {"a": [1}', "key ***", "ends with }"]
    assert {(line.instance, line.region, line.level) for line in lines} == {(machine["id"], "fra", "info")}
    assert any("Update available" in line for line in other)
    assert fake_tools.calls("fly", "logs")[0].argv == ("logs", "-a", APP, "--no-tail", "--json")


def test_ctrl_c_ends_the_following_of_a_log(fake_tools: FakeTools, tool: FlyTool) -> None:
    fake_tools.app(APP)
    with fake_tools.state() as cloud:
        cloud["apps"][APP]["logs"] = ["started"]
        cloud["follow_seconds"] = 60

    def press(_: LogLine) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        operations.logs(APP, press, follow=True, tool=tool)

    (call,) = fake_tools.calls("fly", "logs")
    assert ("--no-tail" in call.argv, call.exit) == (False, 127)


def test_a_log_of_an_unknown_app_is_not_taken_for_an_empty_one(fake_tools: FakeTools, tool: FlyTool) -> None:
    with pytest.raises(UnknownApp, match=r"404 Not Found\. Check the name of the app"):
        operations.logs(APP, lambda _: None, tool=tool)


def test_an_empty_log_is_no_failure_although_flyctl_waits_for_lines(
    fake_tools: FakeTools, tool: FlyTool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "_RECENT", 1.0)
    fake_tools.app(APP)
    with fake_tools.state() as cloud:
        cloud["follow_seconds"] = 60
    lines: list[LogLine] = []
    other: list[str] = []

    operations.logs(APP, lines.append, log=other.append, tool=tool)

    assert (lines, other) == ([], [f"{APP}: no line of its log after 1 s."])


def test_the_process_group_that_is_named_is_scaled(fake_tools: FakeTools, tool: FlyTool) -> None:
    fake_tools.app(APP, file={"processes": {"web": "serve", "worker": "work"}})

    reply = operations.scale(APP, count=2, memory=512, group="worker", tool=tool)

    assert reply.observation is not None
    sizes = sorted((machine.group, machine.memory_mb) for machine in reply.observation.machines)
    assert sizes == [("web", 2048), ("worker", 512), ("worker", 512)]


def test_a_log_that_ends_with_an_error_says_so(fake_tools: FakeTools, tool: FlyTool) -> None:
    fake_tools.app(APP)
    fake_tools.fault("*", "unauthorised")

    with pytest.raises(ConfigError, match="The token in FLY_API_TOKEN"):
        operations.logs(APP, lambda _: None, tool=tool)
