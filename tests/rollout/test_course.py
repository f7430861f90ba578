"""What an interrupted rollout leaves: its message and its deployment history."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.errors import ConfigError, DeployLocked
from pytest_gaia.rollout.course import roll_out
from pytest_gaia.rollout.journal import Journal, only_one
from pytest_gaia.rollout.model import RolloutInterrupted, RolloutResult
from tests.rollout.deploy_files import Clock, Listener, fly_hook, fly_rollout

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.rollout.model import Rollout
    from tests.fake_tools import FakeTools


def deploy(rollout: Rollout, listener: Listener | None = None, clock: Clock | None = None) -> RolloutResult:
    return roll_out(rollout, fly_hook(), progress=listener or Listener(), pace=(clock or Clock()).pace())


def deployed_apps(tools: FakeTools) -> list[str]:
    return [call.argv[call.argv.index("-a") + 1] for call in tools.calls("fly", "deploy")]


def outcomes(result: RolloutResult) -> dict[str, str]:
    return {step.service: step.outcome for step in result.steps}


def journal(root: Path, environment: str = "staging") -> list[tuple[str, str, str]]:
    return [(each.event, each.service, each.outcome) for each in Journal(root, environment).entries()]


@pytest.mark.parametrize("moment", ["auth: checking", "gateway: deploying"])
def test_an_interruption_says_what_was_done_and_how_to_go_on(
    fake_tools: FakeTools, tmp_path: Path, moment: str
) -> None:
    fake_tools.platform("staging", ["auth", "chat", "gateway"])
    service, text = moment.split(": ")

    def interrupt(at: str, what: str) -> None:
        if (at, what[: len(text)]) == (service, text):
            raise KeyboardInterrupt

    listener = Listener(when_waiting=interrupt)
    with pytest.raises(RolloutInterrupted) as interruption:
        deploy(replace(fly_rollout(tmp_path, "auth", "gateway", "chat"), region="fra"), listener)

    result = interruption.value.result
    begun = service == "gateway"
    assert result.exit_code == 130
    assert outcomes(result) == {
        "auth": "deployed" if begun else "not begun",
        "gateway": "in doubt" if begun else "not begun",
        "chat": "not begun",
    }
    left = "gateway,chat" if begun else "auth,gateway,chat"
    assert result.go_on == f"gaia deploy staging --services {left} --region fra"
    assert journal(tmp_path)[-1:] == ([("finish", "", "interrupted")] if begun else [])


def test_the_tool_is_ended_when_it_is_interrupted(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.platform("staging", ["auth"], machines=2)
    fake_tools.fault("gaia-auth-staging", "slow:30@deploy")

    def interrupt(_: str, line: str) -> None:
        if "Updating existing machines" in line:
            raise KeyboardInterrupt

    with pytest.raises(RolloutInterrupted):
        deploy(fly_rollout(tmp_path, "auth"), Listener(when_line=interrupt))

    # flyctl exits with 127 when it is terminated. The call is recorded when it ends, so it has ended.
    assert [call.exit for call in fake_tools.calls("fly", "deploy")] == [127]
    assert fake_tools.releases("gaia-auth-staging")[-1]["status"] == "interrupted"


def test_two_roll_outs_of_one_environment_do_not_mix(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.platform("staging", ["auth"])
    fake_tools.platform("dev", ["auth"])

    with only_one(tmp_path / ".gaia/deployments/staging.lock", "staging", {"by": "someone"}):
        with pytest.raises(DeployLocked, match="by someone") as locked:
            deploy(fly_rollout(tmp_path, "auth"))
        other = deploy(fly_rollout(tmp_path, "auth", environment="dev"))

    assert locked.value.exit_code == 13
    assert other.good
    assert deployed_apps(fake_tools) == ["gaia-auth-dev"]


def test_a_roll_out_that_was_killed_is_told_of(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.platform("staging", ["auth", "gateway"])
    deploy(fly_rollout(tmp_path, "auth", "gateway"))
    path = Journal(tmp_path, "staging").path
    # As it would be left: the gateway was begun, nothing came after, and the last line did not get to the disk whole.
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4]) + b'{"event":"end","ru')
    listener = Listener()

    result = deploy(fly_rollout(tmp_path, "auth", "gateway"), listener)

    assert result.good
    (note,) = result.notes
    assert "did not finish: auth deployed, gateway in doubt" in note
    assert f"note: {note}" in listener.told
    assert journal(tmp_path)[4:] == [
        ("begin", "", ""),
        ("start", "auth", ""),
        ("end", "auth", "deployed"),
        ("start", "gateway", ""),
        ("end", "gateway", "deployed"),
        ("finish", "", "done"),
    ]


def test_a_journal_that_cannot_be_written_stops_it_before_anything_is_changed(
    fake_tools: FakeTools, tmp_path: Path
) -> None:
    fake_tools.platform("staging", ["auth"])
    (tmp_path / ".gaia/deployments/staging.jsonl").mkdir(parents=True)

    with pytest.raises(ConfigError, match="Nothing was changed"):
        deploy(fly_rollout(tmp_path, "auth"))

    assert deployed_apps(fake_tools) == []


def test_a_journal_that_is_lost_on_the_way_is_said_and_stops_nothing(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.platform("staging", ["auth"])
    path = Journal(tmp_path, "staging").path

    def lose(_: str, line: str) -> None:
        if "Updating existing machines" in line and path.is_file():
            path.unlink()
            path.mkdir()

    listener = Listener(when_line=lose)
    result = deploy(fly_rollout(tmp_path, "auth"), listener)

    assert result.good
    assert any(told.startswith("note: the deployment history") for told in listener.told)


def test_the_deploy_file_is_kept_as_it_was(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.platform("staging", ["auth"])
    rollout = fly_rollout(tmp_path, "auth")
    file = tmp_path / "deploy" / "fly.auth.staging.toml"
    before = file.read_text()

    deploy(rollout)
    file.write_text("")

    end = next(each for each in Journal(tmp_path, "staging").entries() if each.event == "end")
    kept = tmp_path / ".gaia/deployments/files" / end.config
    assert kept.read_text() == before
    assert kept.stat().st_mode & 0o077 == 0
    assert (tmp_path / ".gaia/deployments/.gitignore").read_text() == "*\n"
