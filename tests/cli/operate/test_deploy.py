"""``gaia deploy``: output, exit codes, and cleanup."""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.terminals import Terminal
from tests.rollout.deploy_files import image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome
    from tests.fake_tools import FakeTools

    Gaia = Callable[..., Outcome]

HEADS = ["service", "app", "outcome", "version", "image", "seconds"]


def deployed(tools: FakeTools) -> list[str]:
    return [call.argv[call.argv.index("-a") + 1] for call in tools.calls("fly", "deploy")]


def test_the_result_is_a_table_and_progress_is_on_stderr(operated: Path, gaia: Gaia, fake_tools: FakeTools) -> None:
    code, out, err = gaia("deploy", "staging")

    heads, *rows = [line.split() for line in out.splitlines()]
    assert (code, heads) == (0, HEADS)
    assert [row[:4] for row in rows] == [
        ["auth", "gaia-auth-staging", "deployed", "2"],
        ["gateway", "gaia-gateway-staging", "deployed", "2"],
    ]
    assert err.splitlines()[0] == "staging: deploying auth, gateway"
    assert "auth | Updating existing machines in 'gaia-auth-staging' with rolling strategy" in err.splitlines()
    assert "gateway: deployed, version 2" in err.splitlines()
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
def test_services_can_be_given_in_several_forms(operated: Path, gaia: Gaia, given: list[str], apps: list[str]) -> None:
    code, out, err = gaia("deploy", "staging", "--dry-run", *given)

    assert (code, err) == (0, "")
    assert [shlex.split(line)[3] for line in out.splitlines()] == [f"gaia-{app}-staging" for app in apps]


def test_a_dry_run_prints_shell_commands_and_changes_nothing(operated: Path, gaia: Gaia, fake_tools: FakeTools) -> None:
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


def test_a_dry_run_of_production_needs_no_confirmation(operated: Path, gaia: Gaia) -> None:
    code, out, _ = gaia("deploy", "production", "--dry-run", "--json")

    document = json.loads(out)
    assert (code, document["dry_run"]) == (0, True)
    assert [step["outcome"] for step in document["steps"]] == ["planned", "planned"]


@pytest.mark.parametrize(
    ("fault", "code", "outcome"),
    [
        ("phantom", 1, "not rolled out"),
        ("split", 1, "mixed versions"),
        ("release-command-fails", 1, "failed"),
        ("server-error", 12, "unreachable"),
    ],
)
def test_a_failed_deployment_shows_the_reason_and_how_to_continue(
    operated: Path,
    gaia: Gaia,
    fake_tools: FakeTools,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    code: int,
    outcome: str,
) -> None:
    monkeypatch.setattr("pytest_gaia.rollout.step._STUCK_AFTER", 0.1)
    (operated / "gaia.toml").write_text((operated / "gaia.toml").read_text() + "[env.staging.deploy]\ndeadline = 3\n")
    fake_tools.fault("gaia-auth-staging", fault)

    ended, out, _ = gaia("deploy", "staging", "--region", "fra")

    assert ended == code
    assert out.splitlines()[1].split()[:2] == ["auth", "gaia-auth-staging"]
    assert f"  {outcome}  " in f"{out.splitlines()[1]}  "
    assert out.splitlines()[2].split()[:4] == ["gateway", "gaia-gateway-staging", "not", "started"]
    assert out.splitlines()[3].startswith("auth: ")
    assert out.splitlines()[-1] == "To continue: gaia deploy staging --services auth,gateway --region fra"


def test_production_accepts_confirm(operated: Path, gaia: Gaia, fake_tools: FakeTools) -> None:
    code, _, _ = gaia("deploy", "production", "--services", "auth", "--confirm", "production")

    assert code == 0
    assert deployed(fake_tools) == ["gaia-auth-production"]


def test_on_a_terminal_production_asks_for_its_name(operated: Path, fake_tools: FakeTools) -> None:
    with Terminal("deploy", "production", "--services", "auth") as terminal:
        terminal.read_until("Deploy auth to production? Type its name, production, to continue: ")
        terminal.type("y\n")
        assert terminal.end() == 4

    assert "not confirmed. Nothing was changed." in terminal.shown
    assert deployed(fake_tools) == []


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_on_a_terminal_progress_is_live(operated: Path, fake_tools: FakeTools, variables: dict[str, str]) -> None:
    with Terminal("deploy", "staging", "--services", "auth", **variables) as terminal:
        assert terminal.end() == 0

    assert "deployed, version 2" in terminal.shown
    colored = any(f"\x1b[{number}m" in terminal.shown for number in range(30, 38))
    assert colored == (not variables)
    assert ("auth | " in terminal.shown) == ("TERM" in variables)


def test_the_history_is_next_to_the_project_file(operated: Path, gaia: Gaia, monkeypatch: pytest.MonkeyPatch) -> None:
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
