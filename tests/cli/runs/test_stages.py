"""``gaia test`` and ``gaia deploy --test``: the pytest command lines that they run."""

from __future__ import annotations

import shlex
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

QUICK = [f"--gaia-command={name}" for name in ("health", "status", "providers", "provider-health", "models", "cache")]

CHECK = """\
import pytest

@pytest.mark.gaia(core=True)
def test_something():
    pass
"""


def selection(gaia: Gaia, *arguments: str) -> list[str]:
    code, out, err = gaia(*arguments)
    assert (code, err) == (0, "")
    return shlex.split(out)


def test_a_smoke_test_is_the_batch_all(operated: Path, gaia: Gaia) -> None:
    found = selection(gaia, "test", "-e", "staging", "--smoke", "--dry-run", "--", "-x")

    assert found == ["pytest", "checks", "--gaia-env=staging", *QUICK, "-x"]


def test_a_full_test_selects_all_tests(operated: Path, gaia: Gaia) -> None:
    found = selection(gaia, "test", "--env", "production", "--dry-run", "--", "-n", "4")

    assert found == ["pytest", "checks", "--gaia-env=production", "-n", "4"]


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ([], ["--gaia-deploy"]),
        (["--services", "gateway auth"], ["--gaia-deploy", "--gaia-deploy-services=gateway,auth"]),
        (
            ["-s", "auth", "--image", image("auth", 7), "--region", "fra"],
            [
                "--gaia-deploy",
                "--gaia-deploy-services=auth",
                f"--gaia-deploy-image=auth={image('auth', 7)}",
                "--gaia-deploy-region=fra",
            ],
        ),
        (["--rebuild"], ["--gaia-deploy", "--gaia-deploy-rebuild"]),
    ],
)
def test_deploying_and_testing_is_one_run(
    operated: Path, gaia: Gaia, fake_tools: FakeTools, given: list[str], options: list[str]
) -> None:
    full = selection(gaia, "deploy", "staging", *given, "--test", "--dry-run")
    smoke = selection(gaia, "deploy", "--test", "smoke", "staging", *given, "--dry-run", "--", "-x")

    assert full == ["pytest", "checks", "--gaia-env=staging", *options]
    assert smoke == [*full, *QUICK, "-x"]
    assert fake_tools.calls() == []


def test_pytest_replaces_the_command(operated: Path, gaia_process: Callable[..., Outcome]) -> None:
    (operated / "checks" / "health" / "test_it.py").write_text(CHECK)

    # The help of pytest shows that pytest was started with the options.
    code, out, err = gaia_process("test", "-e", "staging", "--", "--help")

    assert code == 0, err
    assert out.startswith("pytest checks --gaia-env=staging")
    assert "--gaia-deploy-services=" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["test", "--smoke", "-e", "stagign"], "did you mean staging?"),
        (["test", "-e", "stagign"], "did you mean staging?"),
        (["deploy", "stagign", "--test"], "did you mean staging?"),
        (["deploy", "preview", "--test"], "preview has no deployment"),
        (["deploy", "staging", "--test", "-s", "gatway"], "did you mean gateway?"),
        (["deploy", "staging", "--test", "--image", "v1"], "has no service"),
        (["deploy", "production", "--test"], "stdin is not a terminal. Pass --confirm production"),
        (["deploy", "production", "--test", "--confirm", "staging"], "but the environment is production"),
        (["deploy", "staging", "--test=slow"], "--test slow: unknown selection; use --test smoke or --test full"),
        (["deploy", "staging", "--test", "--json"], "--json cannot be combined with --test"),
        (["deploy", "staging", "--", "-x"], "add --test to run the tests"),
    ],
)
def test_a_usage_error_is_one_message(
    operated: Path, gaia: Gaia, fake_tools: FakeTools, arguments: list[str], message: str
) -> None:
    code, out, err = gaia(*arguments)

    assert (code, out) == (4, "")
    assert message in err
    assert fake_tools.calls() == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("quick-test staging", "test --env staging --smoke"),
        ("full-test staging", "test --env staging"),
        ("deploy-and-test staging -s auth", "deploy staging --test -s auth"),
        ("deploy-and-test staging --quick", "deploy staging --test smoke"),
    ],
)
def test_the_old_commands_print_a_notice(operated: Path, gaia: Gaia, old: str, new: str) -> None:
    before, after = gaia(*old.split(), "--dry-run"), gaia(*new.split(), "--dry-run")

    assert (before.code, before.out) == (after.code, after.out)
    assert before.err.startswith("gaia: note: `gaia ")
    assert len(before.err.splitlines()) == 1


def test_production_asks_for_its_name(operated: Path, fake_tools: FakeTools) -> None:
    with Terminal("deploy", "production", "--test") as terminal:
        terminal.read_until("Deploy auth, gateway to production, and test it? Type its name, production, to continue: ")
        terminal.type("no\n")
        assert terminal.end() == 4

    assert fake_tools.calls() == []


@pytest.mark.slow("processes")
def test_a_confirmed_production_is_deployed_and_tested(
    operated: Path, gaia_process: Callable[..., Outcome], fake_tools: FakeTools
) -> None:
    (operated / "checks" / "health" / "test_it.py").write_text(CHECK)
    fake_tools.fault("gaia-auth-production", "release-command-fails")

    code, out, err = gaia_process("deploy", "production", "--test", "--confirm", "production", "-s", "auth")

    # The deployment fails and no test runs. After a success, tests would query a production that does not exist.
    assert code == 1, out + err
    assert "release command failed" in out + err
    assert [call.argv[2] for call in fake_tools.calls("fly", "deploy")] == ["gaia-auth-production"]
