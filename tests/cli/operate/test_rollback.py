"""``gaia rollback``: its target and its confirmation."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import pytest

from ci.fakes.replay.digests import digest_of
from tests.cli.terminals import Terminal
from tests.rollout.deploy_files import image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome
    from tests.fake_tools import FakeTools

    Gaia = Callable[..., Outcome]


@pytest.fixture
def deployed(operated: Path, gaia: Gaia) -> Callable[[str], None]:
    """Deploy image 2 of auth; the rollback target is the image before."""

    def deploy(environment: str) -> None:
        reference = image("auth", 2, environment)
        done = gaia("deploy", environment, "--confirm", environment, "--image", reference, "-s", "auth")
        assert done.code == 0

    return deploy


def before(environment: str = "staging") -> str:
    """The first image."""
    name = f"registry.fly.io/gaia-auth-{environment}"
    return f"{name}@{digest_of('seed', f'{name}:deployment-{1:026}')}"


def runs(tools: FakeTools, environment: str = "staging") -> set[str]:
    return tools.digests(f"gaia-auth-{environment}")


def digest(reference: str) -> str:
    return reference.partition("@")[2]


NEW, NEW_IN_PRODUCTION = image("auth", 2), image("auth", 2, "production")


def test_it_shows_the_target_and_rolls_back(deployed: Callable[[str], None], gaia: Gaia, fake_tools: FakeTools) -> None:
    deployed("staging")

    code, out, err = gaia("rollback", "staging", "--confirm", "staging")

    assert code == 0
    assert out.splitlines()[1].split()[:5] == ["auth", "gaia-auth-staging", "rolled", "back", "3"]
    assert f"auth returns to {before()} (ran well until 20" in err.splitlines()[0]
    assert runs(fake_tools) == {digest(before())}


def test_json_is_one_document(deployed: Callable[[str], None], gaia: Gaia) -> None:
    deployed("staging")

    code, out, _ = gaia("rollback", "staging", "--confirm", "staging", "--json")

    document = json.loads(out)
    assert (code, document["action"], document["good"]) == (0, "rollback", True)
    assert [step["image"] for step in document["steps"]] == [before()]


def test_a_dry_run_prints_the_command_without_confirmation(
    deployed: Callable[[str], None], gaia: Gaia, fake_tools: FakeTools
) -> None:
    deployed("production")

    code, out, _ = gaia("rollback", "production", "--dry-run")

    (command,) = [shlex.split(line) for line in out.splitlines()]
    assert (code, command[:4]) == (0, ["fly", "deploy", "-a", "gaia-auth-production"])
    assert {"--skip-release-command", before("production")} <= set(command)
    assert len(fake_tools.calls("fly", "deploy")) == 1


def test_without_confirmation_nothing_is_changed(
    deployed: Callable[[str], None], gaia: Gaia, fake_tools: FakeTools
) -> None:
    deployed("staging")
    deployed("production")

    for environment in ("staging", "production"):
        code, out, err = gaia("rollback", environment)
        assert (code, out) == (4, "")
        assert f"stdin is not a terminal. Pass --confirm {environment}. Nothing was changed." in err
    for name in ("staging", "", "yes", "Production"):
        code, out, err = gaia("rollback", "production", "--confirm", name)
        assert (code, out) == (4, "")
        assert "but the environment is production. Nothing was changed." in err

    assert runs(fake_tools) == {digest(NEW)}
    assert runs(fake_tools, "production") == {digest(NEW_IN_PRODUCTION)}


@pytest.mark.parametrize(
    ("environment", "question", "answers", "agreement"),
    [
        ("production", "Type its name, production, to continue: ", ["y\n", "\n", "staging\n", "\x04"], "production\n"),
        ("staging", "Continue? [y/N] ", ["\n", "n\n", "staging\n", "\x04"], "y\n"),
    ],
)
def test_a_terminal_asks_for_confirmation(
    deployed: Callable[[str], None],
    fake_tools: FakeTools,
    environment: str,
    question: str,
    answers: list[str],
    agreement: str,
) -> None:
    deployed(environment)

    for answer in answers:
        with Terminal("rollback", environment) as terminal:
            terminal.read_until(question)
            terminal.type(answer)
            assert terminal.end() == 4
        assert "not confirmed. Nothing was changed." in terminal.shown
    assert len(fake_tools.calls("fly", "deploy")) == 1
    with Terminal("rollback", environment) as terminal:
        terminal.read_until(question)
        terminal.type(agreement)
        assert terminal.end() == 0

    assert f"returns to {before(environment)}" in terminal.shown
    assert runs(fake_tools, environment) == {digest(before(environment))}


def test_ctrl_c_is_no_confirmation(deployed: Callable[[str], None], fake_tools: FakeTools) -> None:
    deployed("production")

    with Terminal("rollback", "production") as terminal:
        terminal.read_until("to continue: ")
        terminal.type("\x03")
        assert terminal.end() == 130

    assert "Interrupted. Nothing was changed." in terminal.shown
    assert "Traceback" not in terminal.shown
    assert runs(fake_tools, "production") == {digest(NEW_IN_PRODUCTION)}


def test_a_second_rollback_needs_an_image(deployed: Callable[[str], None], gaia: Gaia, fake_tools: FakeTools) -> None:
    deployed("staging")
    gaia("rollback", "staging", "--confirm", "staging")

    code, _, err = gaia("rollback", "staging", "--confirm", "staging")
    named, _, _ = gaia("rollback", "staging", "--confirm", "staging", "-s", "auth", "--to", image("auth", 9))

    assert code == 4
    assert "a rollback is not rolled back. To go back further, name the image: --to auth=IMAGE" in err
    assert named == 0
    assert runs(fake_tools) == {digest(image("auth", 9))}


def test_mixed_versions_are_rolled_back(deployed: Callable[[str], None], gaia: Gaia, fake_tools: FakeTools) -> None:
    deployed("staging")
    fake_tools.fault("gaia-auth-staging", "split:1")
    failed, out, _ = gaia("deploy", "staging", "-s", "auth", "--image", image("auth", 3))
    assert (failed, "  mixed versions  " in out) == (1, True)

    code, _, _ = gaia("rollback", "staging", "--confirm", "staging")

    assert code == 0
    assert runs(fake_tools) == {digest(NEW)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stagign"], "did you mean staging?"),
        (["preview"], "preview has no deployment"),
        (["staging", "-s", "gatway"], "did you mean gateway?"),
        (["staging", "--to", "v1"], "has no service"),
        (["staging", "-s", "gateway", "--to", "auth=v1"], "--to names auth, which --services leaves out"),
        (["staging", "-s", "gateway"], "no rollback target for gateway"),
    ],
)
def test_a_usage_error_is_one_message(operated: Path, gaia: Gaia, arguments: list[str], message: str) -> None:
    code, out, err = gaia("rollback", *arguments, "--confirm", arguments[0])

    assert (code, out) == (4, "")
    assert message in err


def test_an_unreachable_tool_is_no_result(
    operated: Path, gaia: Gaia, fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_gaia.deploy.fly.operations._FIRST_PAUSE", 0.01)
    text = (operated / "gaia.toml").read_text()
    (operated / "gaia.toml").write_text(f"{text}[env.staging.deploy]\ndeadline = 2\n")
    fake_tools.fault("*", "rate-limited")

    code, out, err = gaia("rollback", "staging", "-s", "auth", "--confirm", "staging")

    assert (code, out) == (12, "")
    assert "gaia-auth-staging could not be observed in time" in err
