from __future__ import annotations

import json
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.deploy.hooks import CommandHook
from pytest_gaia.errors import ConfigError
from pytest_gaia.secrets.masks import mask_of
from tests.deploy.executables import a_request, executable

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.deploy.contract import Reply

MACHINE = {"id": "m1", "state": "started", "digest": "sha256:ab", "checks": 1, "passing": 1}


def reply_of(folder: Path, script: str, phase: str = "deploy", **request: Any) -> Reply:
    executable(folder / "hook", script)
    return CommandHook(["./hook"], folder).run(a_request(phase, **request), lambda _: None)


def test_it_reads_the_whole_request(tmp_path: Path) -> None:
    reply_of(
        tmp_path, "cat > seen.json", "deploy", image="registry/gateway@sha256:ab", attempt=2, directory="/srv/gaia"
    )

    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen == {
        "phase": "deploy", "environment": "staging", "service": "gateway", "app": "gaia-gateway-staging",
        "config": None, "bundle": None, "image": "registry/gateway@sha256:ab", "previous": None, "region": None,
        "rebuild": False, "remote_only": True, "attempt": 2, "deadline": 600.0, "dry_run": False,
        "context": None, "namespace": None, "compare": False, "directory": "/srv/gaia",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("code", "status"), [(0, "done"), (10, "unchanged"), (75, "retry"), (1, "failed"), (2, "failed"), (126, "failed")]
)
def test_the_exit_code_is_the_status(tmp_path: Path, code: int, status: str) -> None:
    assert reply_of(tmp_path, f"exit {code}").status == status


@pytest.mark.parametrize(
    ("code", "said", "status"),
    [
        (0, "failed", "failed"),
        (0, "retry", "retry"),
        (0, "unchanged", "unchanged"),
        (10, "done", "unchanged"),
        (75, "done", "retry"),
        (75, "failed", "failed"),
        (3, "done", "failed"),
        (3, "retry", "failed"),
    ],
)
def test_where_code_and_line_disagree_the_worse_counts(tmp_path: Path, code: int, said: str, status: str) -> None:
    assert reply_of(tmp_path, f'echo \'{{"status": "{said}"}}\'; exit {code}').status == status


def test_a_failure_says_what_failed_and_shows_the_last_lines(tmp_path: Path) -> None:
    reply = reply_of(tmp_path, "echo no quota >&2; exit 3")

    assert reply.message == "./hook ended with exit code 3 in `deploy`."
    assert reply.tail == ("no quota",)


def test_the_line_gives_the_rest_of_the_reply(tmp_path: Path) -> None:
    line = {"release": 12, "image": "r/gateway@sha256:ab", "message": "shipped", "commands": [["ship", "gateway"]]}

    reply = reply_of(tmp_path, f"echo '{json.dumps(line)}'")

    assert (reply.status, reply.version, reply.image) == ("done", 12, "r/gateway@sha256:ab")
    assert (reply.message, reply.commands) == ("shipped", (("ship", "gateway"),))


def test_an_observation_needs_to_say_only_what_does_not_follow(tmp_path: Path) -> None:
    line = {"observation": {"machines": [MACHINE], "release": 7}}

    observation = reply_of(tmp_path, f"echo '{json.dumps(line)}'", "observe").observation

    assert observation is not None
    assert (observation.app, observation.exists, observation.version) == ("gaia-gateway-staging", True, 7)
    assert observation.machines[0].digest == "sha256:ab"
    assert observation.taken.startswith("20")


@pytest.mark.parametrize("script", ["true", "echo '{}'", "exit 10", "echo all is well"])
def test_to_observe_without_an_observation_proves_nothing(tmp_path: Path, script: str) -> None:
    reply = reply_of(tmp_path, script, "observe")

    assert reply.status == "failed"
    assert "returned no observation" in reply.message


def test_an_observation_that_is_to_be_asked_for_again_is_no_failure(tmp_path: Path) -> None:
    assert reply_of(tmp_path, "exit 75", "observe").status == "retry"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"release": "seven"}', "Expected `int | null`, got `str` - at `$.release`"),
        ('{"status": "ok"}', "Invalid enum value 'ok'"),
        ('{"observation": {"machines": [{"id": "m"}]}}', "missing required field `state`"),
        ('{"release": ', "not JSON"),
    ],
)
def test_a_line_that_is_no_reply_fails_the_phase(tmp_path: Path, line: str, complaint: str) -> None:
    reply = reply_of(tmp_path, f"echo '{line}'")

    assert reply.status == "failed"
    assert "./hook: the last line of its output is not a valid reply to `deploy`" in reply.message
    assert complaint in reply.message


def test_lines_for_people_are_logged_and_the_reply_is_not(tmp_path: Path) -> None:
    executable(tmp_path / "hook", 'echo building; echo pushing >&2; echo \'{"message": "shipped"}\'')
    lines: list[str] = []

    reply = CommandHook(["./hook"], tmp_path).run(a_request(), lines.append)

    assert sorted(lines) == ["building", "pushing"]
    assert reply.message == "shipped"


def test_an_executable_that_reads_nothing_is_no_broken_pipe(tmp_path: Path) -> None:
    assert reply_of(tmp_path, "exec 0<&-; exit 0", image="x" * 1_000_000).status == "done"


def test_secrets_are_masked_wherever_they_turn_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHIP_TOKEN", "correct-horse")
    line = json.dumps({"message": "with correct-horse", "commands": [["ship", "--key=correct-horse"]]})
    executable(tmp_path / "hook", f"echo using $SHIP_TOKEN >&2; echo '{line}'; exit 4")
    lines: list[str] = []

    reply = CommandHook(["./hook"], tmp_path).run(a_request(), lines.append)

    assert lines == [f"using {mask_of('correct-horse')}"]
    assert "correct-horse" not in repr(reply)
    assert reply.message == f"with {mask_of('correct-horse')}"


def test_past_its_deadline_it_is_ended_with_what_it_has_started(tmp_path: Path) -> None:
    reply = reply_of(tmp_path, "sleep 600 & echo $! > child; echo began >&2; wait", deadline=1.0)

    assert reply.status == "failed"
    assert reply.message == "./hook exceeded its time limit of 1 s in `deploy` and was stopped."
    assert reply.tail == ("began",)
    assert has_ended(int((tmp_path / "child").read_text()))


def test_it_runs_in_the_folder_of_the_project_with_its_arguments(tmp_path: Path) -> None:
    executable(tmp_path / "ci" / "deploy", 'echo "$PWD $*" > said')

    CommandHook(["ci/deploy", "--fast", "two words"], tmp_path).run(a_request(), lambda _: None)

    assert (tmp_path / "said").read_text() == f"{tmp_path} --fast two words\n"


def test_a_name_without_a_slash_is_looked_for_on_path(tmp_path: Path) -> None:
    hook = CommandHook(["sh", "-c", "exit 10"], tmp_path)

    assert hook.run(a_request(), lambda _: None).status == "unchanged"


def test_a_file_that_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"deploy\.command: file ci/deploy not found \(looked for .*ci/deploy\)"):
        CommandHook(["ci/deploy"], tmp_path)


@pytest.mark.parametrize("content", ["echo hello", "#!/no/such/interpreter\n"])
def test_a_file_that_cannot_be_run_is_a_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "deploy").write_text(content)
    (tmp_path / "deploy").chmod(0o644 if content.startswith("echo") else 0o755)

    with pytest.raises(ConfigError, match=r"deploy cannot be run: .*chmod \+x"):
        CommandHook(["./deploy"], tmp_path).run(a_request(), lambda _: None)


def test_a_name_that_is_on_no_path_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no-such-deployer cannot be run"):
        CommandHook(["no-such-deployer"], tmp_path).run(a_request(), lambda _: None)


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or is about to be: a signal needs a moment."""
    for _ in range(500):
        if not is_running(pid):
            return True
        threading.Event().wait(0.01)
    return False


def is_running(pid: int) -> bool:
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip()[:1] not in ("", "Z")
