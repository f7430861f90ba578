"""``gaia logs``."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.deploy.contract import LogLine
from pytest_gaia.deploy.fly import operations as fly_operations
from pytest_gaia.secrets.masks import unkeyed
from tests.cli.terminals import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome
    from tests.fake_tools import FakeTools

    Gaia = Callable[..., Outcome]


@pytest.fixture
def talking(operated: Path, fake_tools: FakeTools) -> Path:
    """Two apps and a compose project with logs; one line has a password."""
    with fake_tools.state() as cloud:
        for service in ("auth", "gateway"):
            app = cloud["apps"][f"gaia-{service}-staging"]
            app["logs"] = [f"{service} connects to postgresql://gaia:hunter2@db/gaia"]
        cloud["docker"]["logs"] = {"gateway": ["gateway listens"], "auth-service": ["auth listens"]}
    return operated


def test_each_service_is_shown_with_its_secrets_masked(talking: Path, gaia: Gaia) -> None:
    code, out, _ = gaia("logs", "staging")

    assert code == 0
    lines = [line.split(maxsplit=3) for line in unkeyed(out).splitlines()]
    assert [(service, level, text) for service, _, level, text in lines] == [
        ("auth", "info", "auth connects to postgresql://gaia:***@db/gaia"),
        ("gateway", "info", "gateway connects to postgresql://gaia:***@db/gaia"),
    ]


def test_one_service_as_json_lines(talking: Path, gaia: Gaia) -> None:
    code, out, _ = gaia("logs", "staging", "auth", "--json")

    (line,) = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert (line["service"], line["app"], line["level"], line["region"]) == ("auth", "gaia-auth-staging", "info", "lhr")


def test_compose_has_logs_too(talking: Path, gaia: Gaia, fake_tools: FakeTools) -> None:
    fake_tools.run("docker", "compose", "-f", "deploy/docker-compose.yml", "up", "-d")

    code, out, err = gaia("logs", "local")

    lines = sorted(line.split(maxsplit=2) for line in out.splitlines())
    assert (code, [(service, text) for service, _, text in lines]) == (
        0, [("auth", "auth listens"), ("gateway", "gateway listens")]
    ), err  # fmt: skip


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["-n", "2"], ["now", "later"]),
        (["--since", "10m"], ["now", "later"]),
        (["--since", "10m", "-n", "1"], ["later"]),
        (["--since", "9d", "--lines", "9"], ["old", "now", "later"]),
    ],
)
def test_lines_and_since_choose_the_newest_lines(
    talking: Path, gaia: Gaia, monkeypatch: pytest.MonkeyPatch, options: list[str], expected: list[str]
) -> None:
    now = datetime.now(UTC)
    written = [
        LogLine("old", (now - timedelta(days=1)).isoformat()),
        LogLine("now", now.isoformat()),
        LogLine("later", ""),
    ]

    def logs(app: str, take: Callable[[LogLine], None], **_: object) -> None:
        for line in written:
            take(line)

    monkeypatch.setattr(fly_operations, "logs", logs)

    code, out, _ = gaia("logs", "staging", "auth", *options, "--json")

    assert (code, [json.loads(line)["message"] for line in out.splitlines()]) == (0, expected)


def test_compose_gets_lines_and_since_as_options(talking: Path, gaia: Gaia, fake_tools: FakeTools) -> None:
    fake_tools.run("docker", "compose", "-f", "deploy/docker-compose.yml", "up", "-d")

    code, _, err = gaia("logs", "local", "gateway", "-n", "5", "--since", "1h")

    (call,) = fake_tools.calls("docker", "compose", "logs")[-1:]
    assert code == 0, err
    assert tuple(call.argv[call.argv.index("--tail") :][:2]) == ("--tail", "5")
    assert "--since" in call.argv


@pytest.mark.parametrize("environment", ["staging", "local"])
def test_grep_chooses_lines_before_they_are_counted(
    talking: Path, gaia: Gaia, fake_tools: FakeTools, environment: str
) -> None:
    fake_tools.run("docker", "compose", "-f", "deploy/docker-compose.yml", "up", "-d")
    said = [f"line {number} of 4BF92F35" for number in range(3)] + ["another"] * 300
    with fake_tools.state() as cloud:
        cloud["apps"]["gaia-gateway-staging"]["logs"] = said
        cloud["docker"]["logs"]["gateway"] = said

    code, out, err = gaia("logs", environment, "gateway", "--grep", "4bf92f35", "-n", "2", "--json")

    assert code == 0, err
    assert [json.loads(line)["message"] for line in out.splitlines()] == ["line 1 of 4BF92F35", "line 2 of 4BF92F35"]


def test_follow_shows_several_services_at_once(talking: Path, gaia: Gaia, fake_tools: FakeTools) -> None:
    with fake_tools.state() as cloud:
        cloud["follow_seconds"] = 0

    code, out, err = gaia("logs", "staging", "auth", "gateway", "-f")

    assert code == 0, err
    assert sorted(line.split()[0] for line in out.splitlines()) == ["auth", "gateway"]


def test_ctrl_c_ends_follow(talking: Path, fake_tools: FakeTools) -> None:
    with fake_tools.state() as cloud:
        cloud["follow_seconds"] = 60
    with Terminal("logs", "staging", "auth", "--follow") as terminal:
        terminal.read_until("auth connects to")
        terminal.type("\x03")
        assert terminal.end() == 0

    assert "Traceback" not in terminal.shown
    assert [call.exit for call in fake_tools.calls("fly", "logs")] == [127]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["staging", "--since", "soon"], "--since: 'soon' is"),
        (["staging", "gatway"], "did you mean gateway?"),
        (["staging", "nats"], "nats has no deploy file for staging"),
        (["stagign"], "did you mean staging?"),
        (["preview"], "preview has no deployment"),
        (["sandbox"], "nothing can be deployed to it"),
    ],
)
def test_a_usage_error_is_one_message(talking: Path, gaia: Gaia, arguments: list[str], message: str) -> None:
    code, out, err = gaia("logs", *arguments)

    assert (code, out) == (4, "")
    assert message in err


def test_a_custom_hook_has_no_logs(operated: Path, gaia: Gaia) -> None:
    with (operated / "gaia.toml").open("a") as file:
        file.write('[env.preview.deploy]\nhook = "command"\ncommand = ["true"]\n')

    code, _, err = gaia("logs", "preview")

    assert code == 4
    assert "preview is deployed by the hook 'command', which has no logs" in err


@pytest.mark.parametrize(("fault", "code"), [("rate-limited", 12), ("not-logged-in", 4)])
def test_a_failed_tool_shows_the_reason(
    operated: Path, gaia: Gaia, fake_tools: FakeTools, fault: str, code: int
) -> None:
    fake_tools.fault("*", fault)

    ended, out, err = gaia("logs", "staging")

    assert (ended, out) == (code, "")
    assert "fly logs -a gaia-auth-staging" in err


def test_missing_docker_is_one_message(talking: Path, gaia: Gaia, fake_tools: FakeTools) -> None:
    fake_tools.without("docker")

    code, out, err = gaia("logs", "local")

    assert (code, out) == (4, "")
    assert "docker is not installed, or not on PATH" in err
