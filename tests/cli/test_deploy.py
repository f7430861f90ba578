"""``gaia deploy``: what it prints where, its exit codes, and what it leaves behind however it ends."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.run.journal import Journal
from tests.cli.conftest import GAIA
from tests.cli.terminals import Terminal
from tests.run.deploy_files import image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome
    from tests.fake_tools import FakeTools

    Gaia = Callable[..., Outcome]

HEADS = ["service", "app", "outcome", "release", "image", "seconds"]


def deployed(tools: FakeTools) -> list[str]:
    return [call.argv[call.argv.index("-a") + 1] for call in tools.calls("fly", "deploy")]


def started(*arguments: str) -> subprocess.Popen[str]:
    """Start a command in a session of its own, its standard error to be read."""
    return subprocess.Popen(
        [GAIA, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )


def read_until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if text in line:
            return
    pytest.fail(f"it ended before {text!r} came: {seen}")


def test_the_result_is_a_table_and_the_course_is_told_beside_it(
    operated: Path, gaia: Gaia, fake_tools: FakeTools
) -> None:
    code, out, err = gaia("deploy", "staging")

    heads, *rows = [line.split() for line in out.splitlines()]
    assert (code, heads) == (0, HEADS)
    assert [row[:4] for row in rows] == [
        ["auth", "gaia-auth-staging", "deployed", "2"],
        ["gateway", "gaia-gateway-staging", "deployed", "2"],
    ]
    assert err.splitlines()[0] == "staging: deploying auth, gateway"
    assert "auth | Updating existing machines in 'gaia-auth-staging' with rolling strategy" in err.splitlines()
    assert "gateway: deployed, release 2" in err.splitlines()
    assert "\x1b" not in out + err


def test_json_is_one_document(operated: Path, gaia: Gaia, fake_tools: FakeTools) -> None:
    code, out, _ = gaia("deploy", "staging", "-s", "auth", "--image", image("auth", 7), "--json")

    document = json.loads(out)
    (step,) = document["steps"]
    assert (code, document["good"], document["exit_code"], document["go_on"]) == (0, True, 0, None)
    assert (step["service"], step["outcome"], step["release"], step["attempts"]) == ("auth", "deployed", 2, 1)
    assert step["image"] == image("auth", 7)
    assert step["digests"] == [image("auth", 7).partition("@")[2]]
    assert step["commands"][0][:4] == ["fly", "deploy", "-a", "gaia-auth-staging"]


@pytest.mark.parametrize(
    ("given", "apps"),
    [
        (["--services", "auth"], ["auth"]),
        (["--services", "gateway auth"], ["auth", "gateway"]),
        (["--services", "gateway,auth"], ["auth", "gateway"]),
        (["--services", "gateway", "--services", "auth"], ["auth", "gateway"]),
        (["--services", "all"], ["auth", "gateway"]),
        ([], ["auth", "gateway"]),
    ],
)
def test_services_can_be_written_in_every_way(operated: Path, gaia: Gaia, given: list[str], apps: list[str]) -> None:
    code, out, err = gaia("deploy", "staging", "--dry-run", *given)

    assert (code, err) == (0, "")
    assert [shlex.split(line)[3] for line in out.splitlines()] == [f"gaia-{app}-staging" for app in apps]


def test_a_dry_run_prints_commands_that_a_shell_can_run_and_touches_nothing(
    operated: Path, gaia: Gaia, fake_tools: FakeTools
) -> None:
    folder = operated / "deploy files"
    (operated / "deploy").rename(folder)
    (operated / "gaia.toml").write_text((operated / "gaia.toml").read_text().replace('"deploy"', '"deploy files"'))

    code, out, err = gaia("deploy", "staging", "--dry-run", "--region", "fra", "--rebuild", "--no-remote-only")

    assert (code, err) == (0, "")
    first = shlex.split(out.splitlines()[0])
    assert first[:6] == ["fly", "deploy", "-a", "gaia-auth-staging", "-c", str(folder / "fly.auth.staging.toml")]
    assert {"--primary-region", "fra", "--no-cache"} <= set(first)
    assert "--remote-only" not in first
    assert fake_tools.calls() == []
    assert not (operated / ".gaia").exists()
    # What it prints is what fly understands.
    assert subprocess.run(out.splitlines()[0], shell=True, cwd=operated, check=False).returncode == 0


def test_a_dry_run_of_production_asks_nothing(operated: Path, gaia: Gaia) -> None:
    code, out, _ = gaia("deploy", "production", "--dry-run", "--json")

    document = json.loads(out)
    assert (code, document["dry_run"]) == (0, True)
    assert [step["outcome"] for step in document["steps"]] == ["planned", "planned"]


@pytest.mark.parametrize(
    ("fault", "code", "outcome"),
    [
        ("phantom", 1, "phantom"),
        ("split", 1, "split"),
        ("release-command-fails", 1, "failed"),
        ("server-error", 12, "unavailable"),
    ],
)
def test_a_deployment_that_fails_says_why_and_how_to_go_on(
    operated: Path,
    gaia: Gaia,
    fake_tools: FakeTools,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    code: int,
    outcome: str,
) -> None:
    monkeypatch.setattr("pytest_gaia.run.rollout_step._STUCK_AFTER", 0.1)
    (operated / "gaia.toml").write_text((operated / "gaia.toml").read_text() + "[env.staging.deploy]\ndeadline = 3\n")
    fake_tools.fault("gaia-auth-staging", fault)

    ended, out, _ = gaia("deploy", "staging", "--region", "fra")

    assert ended == code
    assert out.splitlines()[1].split()[:3] == ["auth", "gaia-auth-staging", outcome]
    assert out.splitlines()[2].split()[:4] == ["gateway", "gaia-gateway-staging", "not", "begun"]
    assert out.splitlines()[3].startswith("auth: ")
    assert out.splitlines()[-1] == "To go on: gaia deploy staging --services auth,gateway --region fra"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stagign"], "did you mean staging?"),
        (["preview"], "preview has no deployment"),
        (["sandbox"], "which nothing is deployed to"),
        (["staging", "--services", "gatway"], "did you mean gateway?"),
        (["staging", "--services", "nats"], "nats has no deploy file for staging"),
        (["staging", "--services", " , "], "--services names no service"),
        (["staging", "--image", "auth:v1"], "of which service is it the image?"),
        (["staging", "--image", "auth="], "of which service is it the image?"),
        (["staging", "--image", "auth=a:1", "--image", "auth=a:2"], "two images: a:1 and a:2"),
        (["staging", "--image", "chat=chat:v1"], "which is not among the services"),
        (["staging", "--services", "auth", "--image", "a:1", "--rebuild"], "give one of them"),
        (["staging", "--confirm", "production"], "but the environment is staging. Nothing was done."),
        (["production"], "there is no terminal to ask at. Add --confirm production"),
        (["production", "--confirm", "yes"], "but the environment is production"),
        (["staging", "--enviroment"], "No such option"),
        ([], "Missing argument"),
    ],
)
def test_a_mistake_is_one_message_and_nothing_is_done(
    operated: Path, gaia: Gaia, fake_tools: FakeTools, arguments: list[str], message: str
) -> None:
    code, out, err = gaia("deploy", *arguments)

    assert (code, out) == (4, "")
    assert message in err
    assert "Traceback" not in err
    assert deployed(fake_tools) == []
    assert not (operated / ".gaia").exists()


@pytest.mark.parametrize("without", ["file", "folder"])
def test_deploy_files_that_are_missing_are_named(operated: Path, gaia: Gaia, without: str) -> None:
    for file in (operated / "deploy").iterdir():
        if without == "folder" or ".staging." in file.name:
            file.unlink()
    if without == "folder":
        (operated / "deploy").rmdir()

    code, out, err = gaia("deploy", "staging")

    assert (code, out) == (4, "")
    assert ("fly.staging.toml" if without == "file" else "there is no such folder") in err


def test_a_broken_deploy_file_is_named_with_its_line(operated: Path, gaia: Gaia, fake_tools: FakeTools) -> None:
    (operated / "deploy" / "fly.gateway.staging.toml").write_text('app = "gaia-gateway-staging"\n[http_service\n')

    code, out, err = gaia("deploy", "staging", "--services", "auth")

    assert (code, out) == (4, "")
    assert "deploy/fly.gateway.staging.toml:2" in err
    assert deployed(fake_tools) == []


def test_a_file_without_health_checks_is_refused_and_can_be_looked_at(
    operated: Path, gaia: Gaia, fake_tools: FakeTools
) -> None:
    file = operated / "deploy" / "fly.auth.staging.toml"
    text = file.read_text()
    file.write_text(text[: text.index("  [[http_service.checks]]")] + text[text.index("[[vm]]") :])

    code, out, err = gaia("deploy", "staging")
    dry_code, dry_out, dry_err = gaia("deploy", "staging", "--dry-run")

    assert (code, out) == (4, "")
    assert "deploy/fly.auth.staging.toml" in err
    assert "gaia config lint staging" in err
    assert (dry_code, len(dry_out.splitlines())) == (0, 2)
    assert "deploy/fly.auth.staging.toml" in dry_err
    assert deployed(fake_tools) == []


def test_no_tool_is_one_message(operated: Path, gaia: Gaia, fake_tools: FakeTools) -> None:
    fake_tools.without("fly", "flyctl")

    code, out, err = gaia("deploy", "staging")

    assert (code, out) == (4, "")
    assert "fly is not installed, or not on PATH" in err.splitlines()[-1]


@pytest.mark.parametrize(("fault", "message"), [("not-logged-in", "fly auth login"), ("unauthorised", "FLY_API_TOKEN")])
def test_who_may_not_is_told_what_to_do(
    operated: Path, gaia: Gaia, fake_tools: FakeTools, fault: str, message: str
) -> None:
    fake_tools.fault("*", fault)

    code, out, err = gaia("deploy", "staging")

    assert (code, out) == (4, "")
    assert message in err
    assert deployed(fake_tools) == []


def test_an_app_that_is_not_there_stops_it_before_the_first(operated: Path, gaia: Gaia, fake_tools: FakeTools) -> None:
    with fake_tools.state() as cloud:
        del cloud["apps"]["gaia-gateway-staging"]

    code, _, err = gaia("deploy", "staging")

    assert code == 4
    assert "fly apps create gaia-gateway-staging" in err
    assert deployed(fake_tools) == []


def test_of_two_at_once_one_goes_on_and_the_other_does_nothing(
    operated: Path, gaia: Gaia, fake_tools: FakeTools
) -> None:
    fake_tools.fault("gaia-auth-staging", "slow:2@deploy")
    with started("deploy", "staging", "-s", "auth") as first:
        read_until(first, "Updating existing machines")
        code, out, err = gaia("deploy", "staging")
        first.communicate(timeout=60)

    assert (code, out) == (13, "")
    assert "staging is being deployed to right now: action deploy, by " in err
    assert f"process {first.pid}" in err
    assert first.returncode == 0
    assert deployed(fake_tools) == ["gaia-auth-staging"]


def test_production_goes_on_with_its_name(operated: Path, gaia: Gaia, fake_tools: FakeTools) -> None:
    code, _, _ = gaia("deploy", "production", "--services", "auth", "--confirm", "production")

    assert code == 0
    assert deployed(fake_tools) == ["gaia-auth-production"]


def test_on_a_terminal_production_asks_for_its_name(operated: Path, fake_tools: FakeTools) -> None:
    with Terminal("deploy", "production", "--services", "auth") as terminal:
        terminal.read_until("Deploy auth to production? Type its name, production, to go on: ")
        terminal.type("y\n")
        assert terminal.end() == 4

    assert "not confirmed. Nothing was done." in terminal.shown
    assert deployed(fake_tools) == []


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_on_a_terminal_the_course_is_live(operated: Path, fake_tools: FakeTools, variables: dict[str, str]) -> None:
    with Terminal("deploy", "staging", "--services", "auth", **variables) as terminal:
        assert terminal.end() == 0

    assert "deployed, release 2" in terminal.shown
    coloured = any(f"\x1b[{number}m" in terminal.shown for number in range(30, 38))
    assert coloured == (not variables)
    assert ("auth | " in terminal.shown) == ("TERM" in variables)


@pytest.mark.parametrize("kind", ["dumb", "xterm-256color"])
def test_ctrl_c_on_a_terminal_says_how_to_go_on(operated: Path, fake_tools: FakeTools, kind: str) -> None:
    fake_tools.fault("gaia-auth-staging", "slow:30@deploy")
    with Terminal("deploy", "staging", TERM=kind) as terminal:
        terminal.read_until("Updating existing machines")
        terminal.type("\x03")
        assert terminal.end() == 130

    assert "in doubt" in terminal.shown
    assert "To go on: gaia deploy staging --services auth,gateway" in terminal.shown
    # flyctl was ended too, and has noted it: no tool goes on behind our back.
    assert [call.exit for call in fake_tools.calls("fly", "deploy")] == [127]


def test_sigterm_does_what_ctrl_c_does(operated: Path, fake_tools: FakeTools) -> None:
    fake_tools.fault("gaia-auth-staging", "slow:30@deploy")
    with started("deploy", "staging", "--json") as process:
        read_until(process, "Updating existing machines")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)

    document = json.loads(out)
    assert (process.returncode, document["exit_code"]) == (130, 130)
    assert [step["outcome"] for step in document["steps"]] == ["in doubt", "not begun"]
    assert Journal(operated, "staging").entries()[-1].outcome == "interrupted"


def test_a_second_run_goes_on_after_a_kill(operated: Path, gaia: Gaia, fake_tools: FakeTools) -> None:
    images = ["--image", f"auth={image('auth', 7)}", "--image", f"gateway={image('gateway', 7)}"]
    fake_tools.fault("gaia-gateway-staging", "slow:30@deploy")
    with started("deploy", "staging", *images) as process:
        read_until(process, "gateway | Updating existing machines")
        process.kill()
        process.communicate(timeout=60)
    # The system ends the tool with its parent; it has noted its call when it is gone.
    until_noted(fake_tools, 2)
    fake_tools.heal()

    code, out, err = gaia("deploy", "staging", *images)

    assert code == 0
    assert "never came to its end: auth deployed, gateway in doubt" in err
    assert [line.split()[2] for line in out.splitlines()[1:]] == ["unchanged", "deployed"]
    assert deployed(fake_tools) == ["gaia-auth-staging", "gaia-gateway-staging", "gaia-gateway-staging"]


def until_noted(tools: FakeTools, number: int) -> None:
    """Wait until so many deployments have been noted."""
    for _ in range(600):
        if len(deployed(tools)) >= number:
            return
        threading.Event().wait(0.1)
    pytest.fail(f"only {deployed(tools)} were noted")


def test_the_journal_is_beside_the_project_file_wherever_one_stands(
    operated: Path, gaia: Gaia, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(operated / "checks" / "health")

    code, _, _ = gaia("deploy", "staging", "--services", "auth")

    assert code == 0
    assert (operated / ".gaia/deployments/staging.jsonl").is_file()


def test_a_command_of_the_project_can_deploy(operated: Path, gaia: Gaia) -> None:
    hook = operated / "ci" / "deploy"
    hook.parent.mkdir()
    hook.write_text(
        "#!/bin/sh\n"
        "read -r request\n"
        'echo "got $request" >&2\n'
        'case "$request" in\n'
        """*'"phase":"plan"'*) echo '{"commands": [["ci/deploy", "it all"]]}' ;;\n"""
        """*'"phase":"deploy"'*) echo v2 > running ;;\n"""
        """*) echo '{"observation": {"machines": [{"id": "1", "state": "started", "image": "auth:'$(cat running)'"}]}}' ;;\n"""
        "esac\n"
    )
    hook.chmod(0o755)
    (operated / "running").write_text("v1\n")
    with (operated / "gaia.toml").open("a") as file:
        file.write('[env.preview.deploy]\nhook = "command"\ncommand = ["ci/deploy"]\nservices = ["auth"]\n')

    dry_code, dry_out, _ = gaia("deploy", "preview", "--dry-run")
    code, out, err = gaia("deploy", "preview", "--image", "auth=auth:v2")

    assert (dry_code, dry_out) == (0, "ci/deploy 'it all'\n")
    assert code == 0, err
    assert out.splitlines()[1].split()[:3] == ["auth", "auth", "deployed"]
