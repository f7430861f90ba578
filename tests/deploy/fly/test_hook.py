"""The hook fly, with a fake flyctl."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.deploy.contract import Machine, Observation, Reply, UnknownApp
from pytest_gaia.deploy.fly._hook import FlyHook
from pytest_gaia.deploy.fly.operations import FlyTool
from pytest_gaia.deploy.outcome import Wanted, classify
from pytest_gaia.errors import ConfigError
from tests.deploy.executables import a_request

if TYPE_CHECKING:
    from pytest_gaia.deploy.outcome import Outcome
    from tests.fake_tools import FakeTools

APP = "gaia-gateway-staging"
NEW = "sha256:" + "1" * 64
IMAGE = f"registry.fly.io/gaia-gateway-dev@{NEW}"
TOKEN = "FlyV1 fm2_lJPECAAAAAAAtoken"


class Waits(list[float]):
    """The waits that were asked for; none is made."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def deploy_file(tmp_path: Path) -> str:
    """A deploy file with a health check."""
    path = tmp_path / "fly.gateway.staging.toml"
    check = '[[http_service.checks]]\npath = "/health"\n'
    path.write_text(f'app = "{APP}"\n[http_service]\ninternal_port = 8000\n{check}')
    return str(path)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def hook(waits: Waits) -> FlyHook:
    return FlyHook(FlyTool(wait=waits))


def silent(_: str) -> None:
    pass


def run(hook: FlyHook, phase: str = "deploy", **changes: Any) -> Reply:
    request = a_request(phase, **{"app": APP, "image": IMAGE, "deadline": 60.0, **changes})
    return hook.run(request, silent)


def seen(hook: FlyHook) -> Observation:
    observation = run(hook, "observe").observation
    assert observation is not None
    return observation


def outcome(hook: FlyHook, **changes: Any) -> Outcome:
    """Observe, deploy, observe and evaluate."""
    request = a_request("deploy", **{"app": APP, "image": IMAGE, "deadline": 60.0, **changes})
    before = seen(hook)
    reply = hook.run(request, silent)
    return classify(reply, before, seen(hook), Wanted.of(request, reply))


# Its reply about an app.


def test_it_observes_machines_releases_and_health(fake_tools: FakeTools, hook: FlyHook) -> None:
    fake_tools.app(APP, machines=2, release=41, memory_mb=2048, region="fra")

    observation = seen(hook)

    assert (observation.exists, observation.version, observation.hostname) == (True, 41, f"{APP}.fly.dev")
    assert observation.taken.endswith("+00:00")
    names = {each["id"] for each in fake_tools.machines(APP)}
    (digest,) = fake_tools.digests(APP)
    assert {machine.id for machine in observation.machines} == names
    first = observation.machines[0]
    assert first == Machine(
        id=first.id, state="started", group="app", region="fra", digest=digest, version=41, checks=1, passing=1, memory_mb=2048,
        image=f"registry.fly.io/{APP}:deployment-{41:026}@{digest}",
    )  # fmt: skip


def test_it_observes_by_two_questions(fake_tools: FakeTools, hook: FlyHook) -> None:
    fake_tools.app(APP)

    seen(hook)

    assert [call.argv for call in fake_tools.calls("fly")] == [
        ("machine", "list", "-a", APP, "--json"),
        ("status", "-a", APP, "--json"),
    ]


def test_an_app_that_never_was_deployed_has_no_machines_and_no_release(fake_tools: FakeTools, hook: FlyHook) -> None:
    fake_tools.app(APP, machines=0)

    observation = seen(hook)

    assert (observation.exists, observation.machines, observation.version) == (True, (), None)


def test_it_finds_the_answer_among_chatter(fake_tools: FakeTools, hook: FlyHook) -> None:
    fake_tools.app(APP, machines=2)
    fake_tools.fault(APP, "chatter")

    assert len(seen(hook).machines) == 2


# What it does.


def test_it_deploys_a_known_image_by_one_command(fake_tools: FakeTools, hook: FlyHook, tmp_path: Path) -> None:
    fake_tools.app(APP, release=41)
    config = tmp_path / "fly.gateway.staging.toml"
    config.write_text(f'app = "{APP}"\n[http_service]\ninternal_port = 8000\nmin_machines_running = 1\n')

    reply = run(hook, config=str(config))

    (call,) = fake_tools.calls("fly", "deploy")
    assert call.argv == (
        "deploy", "-a", APP, "-c", str(config), "--image", IMAGE, "--remote-only", "--ha=false",
        "--release-command-timeout", "60s", "--wait-timeout", "60s", "--deploy-retries", "0", "--yes",
    )  # fmt: skip
    assert (reply.status, reply.version, reply.image) == ("done", 42, IMAGE)
    assert reply.commands == (("fly", *call.argv),)


def test_it_sets_flyctls_variables_and_leaves_the_token_where_it_is(
    fake_tools: FakeTools, hook: FlyHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLY_API_TOKEN", TOKEN)
    fake_tools.app(APP)

    run(hook)

    for call in fake_tools.calls("fly"):
        assert {"NO_COLOR": "1", "FLY_NO_UPDATE_CHECK": "1", "FLY_SEND_METRICS": "0"}.items() <= call.env.items()
        assert (call.env["FLY_EMIT_RELEASE_JSON"], call.env["FLY_API_TOKEN"]) == ("1", "set")
        assert not [word for word in call.argv if "fm2" in word]


@pytest.mark.parametrize(
    ("changes", "there", "away"),
    [
        ({"region": "fra"}, "--primary-region fra", "--no-cache"),
        ({"rebuild": True, "image": None}, "--no-cache", "--image"),
        ({"rebuild": True}, "--image", "--no-cache"),
        # A local Docker would be asked for the image first.
        ({"remote_only": False}, "--remote-only", "--local-only"),
        ({"remote_only": False, "image": None}, "--deploy-retries 0", "--remote-only"),
        ({"image": f"registry.fly.io/gaia-auth:v1@{NEW}"}, f"--image registry.fly.io/gaia-auth@{NEW}", ":v1"),
        ({"image": "localhost:5000/gaia-auth:v1"}, "--image localhost:5000/gaia-auth:v1", "@"),
        ({"deadline": 1200.0}, "--wait-timeout 300s", "1200s"),
    ],
)
def test_what_is_asked_for_is_in_the_command(
    fake_tools: FakeTools, hook: FlyHook, deploy_file: str, changes: dict[str, Any], there: str, away: str
) -> None:
    (command,) = run(hook, "plan", config=deploy_file, **changes).commands

    assert there in " ".join(command)
    assert away not in " ".join(command[5:])


TIMEOUTS = '[deploy]\nwait_timeout = "30m"\nrelease_command_timeout = "45m"\n'


@pytest.mark.parametrize(
    ("file", "changes", "flags", "said"),
    [
        (TIMEOUTS, {"deadline": 7200.0}, ["--release-command-timeout", "2700s", "--wait-timeout", "1800s"], ""),
        (TIMEOUTS, {"deadline": 7200.0, "previous": IMAGE}, ["--skip-release-command", "--wait-timeout", "1800s"], ""),
        (
            TIMEOUTS,
            {"deadline": 2000.0},
            ["--release-command-timeout", "2000s", "--wait-timeout", "1800s"],
            "release_command_timeout is 2700 s in fly.toml, but the deployment stops after 2000 s; raise `deadline`",
        ),
        (
            TIMEOUTS,
            {"deadline": 900.0, "previous": IMAGE},
            ["--skip-release-command", "--wait-timeout", "900s"],
            "wait_timeout is 1800 s in fly.toml, but the deployment stops after 900 s; raise `deadline`",
        ),
        (
            "[deploy]\nwait_timeout = 90000000000\n",
            {},
            ["--release-command-timeout", "60s", "--wait-timeout", "60s"],
            "90 s",
        ),
        ("", {"deadline": 7200.0}, ["--release-command-timeout", "600s", "--wait-timeout", "300s"], ""),
    ],
)
def test_timeouts_of_the_deploy_file_are_kept_and_a_deadline_below_them_is_reported(
    fake_tools: FakeTools,
    hook: FlyHook,
    tmp_path: Path,
    file: str,
    changes: dict[str, Any],
    flags: list[str],
    said: str,
) -> None:
    config = tmp_path / "fly.toml"
    config.write_text(file)

    plan = run(hook, "plan", config=str(config), **changes)

    assert " ".join(flags) in " ".join(plan.commands[0])
    assert (said in plan.message) if said else plan.message == ""


@pytest.mark.parametrize(
    ("file", "spare"),
    [
        ("[http_service]\nmin_machines_running = 2\n", True),
        ("[[services]]\nmin_machines_running = 3\n", True),
        ("[http_service]\nmin_machines_running = 1\n", False),
        ("services = 3\n", False),
        ("", False),
    ],
)
def test_a_second_machine_is_made_only_for_apps_that_ask_for_two(
    fake_tools: FakeTools, hook: FlyHook, tmp_path: Path, file: str, spare: bool
) -> None:
    config = tmp_path / "fly.toml"
    config.write_text(file)

    (command,) = run(hook, "plan", config=str(config)).commands

    assert ("--ha=false" in command) is not spare


@pytest.mark.parametrize("changes", [{"phase": "plan"}, {"dry_run": True}, {"phase": "rollback", "dry_run": True}])
def test_a_plan_and_a_dry_run_call_nothing(fake_tools: FakeTools, hook: FlyHook, changes: dict[str, Any]) -> None:
    fake_tools.app(APP)

    reply = run(hook, **{"phase": "deploy", "previous": IMAGE, **changes})

    assert reply.commands[0][:4] == ("fly", "deploy", "-a", APP)
    assert fake_tools.calls() == []


def test_the_command_of_a_plan_is_the_one_that_runs(fake_tools: FakeTools, hook: FlyHook) -> None:
    fake_tools.app(APP)

    planned = run(hook, "plan", region="lhr").commands
    done = run(hook, region="lhr").commands

    assert planned == done


def test_it_goes_back_to_an_image_without_its_release_command(fake_tools: FakeTools, hook: FlyHook) -> None:
    fake_tools.app(APP, release=42)

    reply = run(hook, "rollback", image=None, previous=IMAGE)

    (call,) = fake_tools.calls("fly", "deploy")
    assert (call.argv[3], call.argv[4]) == ("--image", IMAGE)
    assert "--skip-release-command" in call.argv
    assert "--remote-only" in call.argv
    assert (reply.version, fake_tools.digests(APP)) == (43, {NEW})


def test_it_runs_in_the_folder_of_the_project(
    fake_tools: FakeTools, hook: FlyHook, deploy_file: str, tmp_path: Path
) -> None:
    fake_tools.app(APP)

    run(hook, directory=str(tmp_path), config=deploy_file)

    assert fake_tools.calls("fly", "deploy")[0].cwd == str(tmp_path)


def test_without_a_deploy_file_no_other_is_taken_for_it(
    fake_tools: FakeTools, hook: FlyHook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tools.app(APP)
    (tmp_path / "fly.toml").write_text('app = "blog"\n')
    monkeypatch.chdir(tmp_path)

    run(hook, directory=str(tmp_path))

    folder = fake_tools.calls("fly", "deploy")[0].cwd
    assert folder != str(tmp_path)
    assert not Path(folder).exists()


def test_it_wakes_what_the_deployment_left_asleep(fake_tools: FakeTools, hook: FlyHook) -> None:
    fake_tools.app(APP, machines=2, state="suspended")

    reply = run(hook)

    names = tuple(each["id"] for each in fake_tools.machines(APP))
    assert [command[1:4] for command in reply.commands[1:]] == [
        ("machine", "start", names[0]),
        ("machine", "wait", names[0]),
        ("machine", "wait", names[1]),
    ]
    assert {machine.state for machine in seen(hook).machines} == {"started"}
    assert reply.message == ""


def test_a_standby_is_left_asleep(fake_tools: FakeTools, hook: FlyHook, tmp_path: Path) -> None:
    config = tmp_path / "fly.toml"
    config.write_text(
        f'app = "{APP}"\n[processes]\napp = "serve"\nworker = "work"\n'
        '[http_service]\ninternal_port = 8000\nprocesses = ["app"]\nmin_machines_running = 2\n'
    )
    fake_tools.app(APP, machines=0)

    reply = run(hook, config=str(config))

    assert len(reply.commands) == 1
    assert [machine.group for machine in seen(hook).machines] == ["app", "app", "worker"]
    assert len(fake_tools.machines(APP)) == 4


def test_the_lines_of_the_tool_come_as_they_are_said_and_without_the_token(
    fake_tools: FakeTools, hook: FlyHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLY_API_TOKEN", TOKEN)
    fake_tools.app(APP)
    lines: list[str] = []

    reply = hook.run(a_request("deploy", app=APP, image=f"registry.fly.io/x:{TOKEN.split()[1]}"), lines.append)

    assert "Searching for image" in "".join(lines)
    assert reply.status == "failed"
    assert "fm2_lJPE" not in "".join(lines) + repr(reply)


# What becomes of it.


@pytest.mark.parametrize(
    ("faults", "machines", "kind", "reason"),
    [
        ([], 2, "deployed", ""),
        (["suspended"], 2, "deployed", ""),
        (["slow:0.3@deploy"], 1, "deployed", ""),
        (["chatter"], 1, "deployed", ""),
        (["phantom"], 2, "phantom", "the tool reported success, but machine"),
        (["reverting:0"], 2, "phantom", "the tool reported success, but machine"),
        (["split"], 2, "split", "2 different images run: "),
        (["unhealthy"], 2, "split", "timeout reached waiting for health checks"),
        (["unhealthy"], 1, "failed", "timeout reached waiting for health checks"),
        (["oom"], 1, "failed", "ran out of memory after it started"),
        (["release-command-fails"], 2, "failed", "release command failed - aborting deployment"),
        (["image-gone"], 1, "failed", "could not find image"),
        (["tool-error-after-success"], 2, "deployed_with_tool_error", "runs everywhere, although `fly deploy"),
    ],
)
def test_every_outcome_is_told_from_every_other(
    fake_tools: FakeTools, hook: FlyHook, deploy_file: str, faults: list[str], machines: int, kind: str, reason: str
) -> None:
    fake_tools.app(APP, machines=machines, release=41)
    fake_tools.fault(APP, *faults)

    became = outcome(hook, config=deploy_file)

    assert became.kind == kind, became.reason
    assert reason in became.reason


def test_a_deployment_that_builds_is_evaluated_by_what_it_built(
    fake_tools: FakeTools, hook: FlyHook, deploy_file: str
) -> None:
    fake_tools.app(APP, machines=2, release=41)
    fake_tools.new_source("v2")

    assert outcome(hook, image=None, config=deploy_file).kind == "deployed"
    fake_tools.fault(APP, "phantom")
    assert outcome(hook, image=None, config=deploy_file).kind == "phantom"


def test_an_app_without_health_checks_is_not_taken_for_a_healthy_one(
    fake_tools: FakeTools, hook: FlyHook, tmp_path: Path
) -> None:
    config = tmp_path / "fly.toml"
    config.write_text(f'app = "{APP}"\n[http_service]\ninternal_port = 8000\n')
    fake_tools.app(APP, release=41)

    became = outcome(hook, config=str(config))

    assert became.kind == "phantom"
    assert "has no health check" in became.reason


def test_machines_that_do_not_wake_are_a_phantom(fake_tools: FakeTools, hook: FlyHook, deploy_file: str) -> None:
    fake_tools.app(APP, machines=2, state="suspended")
    fake_tools.fault(APP, "lease-held@machine start")
    before = seen(hook)

    request = a_request("deploy", app=APP, image=IMAGE, config=deploy_file)
    reply = hook.run(request, silent)
    became = classify(reply, before, seen(hook), Wanted.of(request, reply))

    assert "lease currently held" in reply.message
    assert (became.kind, "is suspended, not started" in became.reason) == ("phantom", True)


def test_what_a_crashing_app_logs_is_not_taken_for_the_error_of_flyctl(fake_tools: FakeTools, hook: FlyHook) -> None:
    fake_tools.app(APP, release=41)
    # More lines than are kept, and one that would be a temporary failure of flyctl.
    fake_tools.logged(APP, *["Error: connection refused by the database"] * 60)
    fake_tools.fault(APP, "oom")

    reply = run(hook)

    assert reply.status == "failed"
    assert "failed: smoke checks for " in reply.message
    assert "the app appears to be crashing." in reply.message
    assert "connection refused by the database" in "".join(reply.tail)


# What does not work out.


@pytest.mark.parametrize("fault", ["rate-limited", "server-error", "lease-held"])
def test_a_deployment_that_fails_for_a_time_only_is_to_be_tried_again(
    fake_tools: FakeTools, hook: FlyHook, fault: str
) -> None:
    fake_tools.app(APP, release=41)
    fake_tools.fault(APP, f"{fault}:1@deploy")

    first, second = run(hook), run(hook)

    assert (first.status, second.status) == ("retry", "done")
    assert f"`fly deploy -a {APP}` failed: " in first.message
    assert len(fake_tools.calls("fly", "deploy")) == 2


@pytest.mark.parametrize("fault", ["rate-limited:3", "server-error:3"])
def test_a_question_is_asked_again_after_ever_longer_waits(
    fake_tools: FakeTools, hook: FlyHook, waits: Waits, fault: str
) -> None:
    fake_tools.app(APP)
    fake_tools.fault("*", f"{fault}@machine list")

    assert seen(hook).exists
    assert [round(0.5 * 2**number, 1) <= wait <= 1.5 * 2**number for number, wait in enumerate(waits)] == [True] * 3


@pytest.mark.parametrize(
    ("fault", "why"), [("rate-limited", "rate limit exceeded"), ("server-error", "non-2xx status: 503")]
)
def test_a_question_that_keeps_failing_is_to_be_asked_later(
    fake_tools: FakeTools, hook: FlyHook, waits: Waits, fault: str, why: str
) -> None:
    fake_tools.app(APP)
    fake_tools.fault("*", fault)

    reply = run(hook, "observe")

    assert (reply.status, reply.observation, len(waits)) == ("retry", None, 4)
    assert why in reply.message


def test_a_question_is_not_asked_again_after_its_deadline(fake_tools: FakeTools, hook: FlyHook, waits: Waits) -> None:
    fake_tools.app(APP)
    fake_tools.fault("*", "rate-limited")

    assert run(hook, "observe", deadline=0.3).status == "retry"
    assert waits == []


def test_a_listing_that_fails_otherwise_is_no_observation(fake_tools: FakeTools, hook: FlyHook) -> None:
    fake_tools.app(APP)
    fake_tools.fault(APP, "list-fails")

    reply = run(hook, "observe")

    assert (reply.status, reply.observation) == ("failed", None)
    why = "failed to list VMs: API returned unexpected status, 302"
    assert reply.message == f"`fly machine list -a {APP} --json` failed: {why}."


@pytest.mark.parametrize("phase", ["observe", "deploy", "rollback"])
@pytest.mark.parametrize(
    ("fault", "what", "do"),
    [
        ("not-logged-in", "no access token available", "Run `fly auth login`, or set FLY_API_TOKEN"),
        ("unauthorised", "unauthorized", "The token in FLY_API_TOKEN, or the account of `fly auth whoami`"),
    ],
)
def test_who_may_not_deploy_is_told_so_in_one_message(
    fake_tools: FakeTools, hook: FlyHook, phase: str, fault: str, what: str, do: str
) -> None:
    fake_tools.app(APP)
    fake_tools.fault("*", fault)

    with pytest.raises(ConfigError) as problem:
        run(hook, phase, previous=IMAGE)

    assert what in str(problem.value)
    assert do in str(problem.value)
    assert len(fake_tools.calls("fly")) == 1


@pytest.mark.parametrize("phase", ["observe", "deploy"])
def test_an_unknown_app_is_told_with_how_to_create_it(fake_tools: FakeTools, hook: FlyHook, phase: str) -> None:
    fake_tools.app("gaia-gateway-production")

    with pytest.raises(UnknownApp, match=f"app not found.*fly apps create {APP}"):
        run(hook, phase)


@pytest.mark.parametrize("phase", ["plan", "deploy", "observe"])
def test_without_flyctl_nothing_is_done(fake_tools: FakeTools, hook: FlyHook, phase: str) -> None:
    fake_tools.without("fly", "flyctl")

    with pytest.raises(ConfigError, match=r"fly is not installed, or not on PATH: looked for fly and flyctl in .*"):
        run(hook, phase)


def test_flyctl_by_its_long_name_will_do(fake_tools: FakeTools, hook: FlyHook) -> None:
    fake_tools.without("fly")
    fake_tools.app(APP)

    assert run(hook).commands[0][0] == "flyctl"


def test_a_rollback_needs_an_image(hook: FlyHook) -> None:
    with pytest.raises(ConfigError, match="no image for the rollback; name one with --to"):
        run(hook, "rollback", previous=None)


def test_a_deployment_needs_a_file_or_an_image(hook: FlyHook) -> None:
    with pytest.raises(ConfigError, match="nothing to deploy, because there is neither a deploy file nor an image"):
        run(hook, image=None, config=None)


def test_at_the_deadline_flyctl_is_ended_and_says_so(fake_tools: FakeTools, hook: FlyHook) -> None:
    fake_tools.app(APP, release=41)
    fake_tools.fault(APP, "slow:60@deploy")

    reply = run(hook, deadline=2.0)

    assert reply.status == "failed"
    assert "time limit exceeded after 2 s" in reply.message
    assert [call.exit for call in fake_tools.calls("fly", "deploy")] == [127]
    assert fake_tools.releases(APP)[-1]["status"] == "interrupted"


def test_ctrl_c_ends_flyctl_in_the_middle_of_a_deployment(fake_tools: FakeTools, hook: FlyHook) -> None:
    fake_tools.app(APP, release=41)
    fake_tools.fault(APP, "slow:60@deploy")

    def press(line: str) -> None:
        if line.startswith("Updating existing machines"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hook.run(a_request("deploy", app=APP, image=IMAGE), press)

    assert [call.exit for call in fake_tools.calls("fly", "deploy")] == [127]
    for thread in threading.enumerate():
        if thread.name.startswith("gaia-std"):
            # It ends when it has read what flyctl wrote last.
            thread.join(10)
            assert not thread.is_alive()


def test_a_tool_of_the_same_name_is_told_from_flyctl(
    hook: FlyHook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fly").write_text("#!/bin/sh\necho name url team\n")
    (tmp_path / "fly").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    reply = run(hook, "observe")

    assert reply.status == "failed"
    assert f"no JSON in its output. Check that {tmp_path}/fly is a recent flyctl: `fly version`." in reply.message
