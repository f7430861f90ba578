"""``gaia legacy``: every old command line and its pytest options."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.cli.runs.testing import BATCHES, COMMANDS, Selection, select

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Gaia = Callable[..., Outcome]

OLD = """
health · chat MESSAGE · stream MESSAGE · status · models · model-info MODEL · providers · provider-models PROVIDER ·
provider-health · provider-stats · vr · cache · clear · pricing-current PROVIDER · pricing-analytics ·
pricing-providers · cost-estimate · dalle-tiers · meshy-packages · provider-comparison · usage-current ·
usage-history · usage-limits · billing-current · monthly-report · personas-list · personas-current · personas-create ·
personas-initialize · personas-get ID · personas-set ID · performance-summary · performance-providers ·
performance-stages · performance-live · performance-health · performance-reset · auth-register EMAIL PASSWORD ·
auth-login EMAIL PASSWORD
"""
OLD_BATCHES = ["all", "providers-all", "pricing-all", "usage-all", "personas-all", "performance-all", "auth-all"]


def selection(gaia: Gaia, *arguments: str) -> list[str]:
    code, out, err = gaia("legacy", "--dry-run", *arguments)
    assert (code, err) == (0, "")
    return shlex.split(out)


@pytest.mark.parametrize("line", [line.strip() for line in OLD.split("·")])
@pytest.mark.parametrize(("flag", "env"), [("--local", "local"), ("--prod", "production")])
def test_every_old_command_is_accepted_with_its_arguments(gaia: Gaia, line: str, flag: str, env: str) -> None:
    command, *arguments = line.split()

    assert selection(gaia, flag, command, *arguments) == [
        "pytest",
        "checks",
        f"--gaia-env={env}",
        f"--gaia-command={command}",
        *(f"--gaia-argument={'***' if each == 'PASSWORD' else each}" for each in arguments),
    ]


def test_the_table_has_no_other_commands() -> None:
    assert set(COMMANDS) == {line.split()[0] for line in OLD.split("·")}
    assert sorted(BATCHES) == sorted(OLD_BATCHES)


@pytest.mark.parametrize("batch", OLD_BATCHES)
def test_every_batch_keeps_its_environment(gaia: Gaia, batch: str) -> None:
    assert selection(gaia, "--staging", batch)[:3] == ["pytest", "checks", "--gaia-env=staging"]


def test_a_batch_of_one_area_is_the_suite_of_that_area(gaia: Gaia) -> None:
    assert selection(gaia, "--dev", "personas-all") == ["pytest", "checks", "--gaia-env=dev", "-m=personas"]


def test_the_batch_all_is_its_six_commands(gaia: Gaia) -> None:
    assert selection(gaia, "all", "--production") == [
        "pytest",
        "checks",
        "--gaia-env=production",
        *(f"--gaia-command={name}" for name in ("health", "status", "providers", "provider-health", "models", "cache")),
    ]


def test_the_commands_of_a_batch_of_one_area_belong_to_that_suite() -> None:
    for batch, commands in BATCHES.items():
        if batch != "all":
            assert {COMMANDS[name].suite for name in commands} == {batch.removesuffix("-all")}


def test_without_a_flag_the_environment_is_the_default(gaia: Gaia) -> None:
    assert selection(gaia, "health") == ["pytest", "checks", "--gaia-command=health"]


def test_a_url_is_an_environment_of_its_own(gaia: Gaia) -> None:
    assert selection(gaia, "--url", "http://localhost:9000", "health") == [
        "pytest",
        "checks",
        "--gaia-env=adhoc",
        "--gaia-url=http://localhost:9000",
        "--gaia-command=health",
    ]


def test_any_environment_can_be_named(gaia: Gaia) -> None:
    assert "--gaia-env=preview" in selection(gaia, "--env", "preview", "health")


def test_a_message_is_one_argument_and_may_hold_anything(gaia: Gaia) -> None:
    message = 'it\'s 5 > 4, "really"; $HOME `x` -k --'

    assert selection(gaia, "chat", message)[-1] == f"--gaia-argument={message}"


def test_arguments_after_two_dashes_are_for_pytest(gaia: Gaia) -> None:
    assert selection(gaia, "providers", "--", "-x", "-k", "a or b")[-3:] == ["-x", "-k", "a or b"]


def test_an_argument_may_be_left_out(gaia: Gaia) -> None:
    assert selection(gaia, "provider-models") == ["pytest", "checks", "--gaia-command=provider-models"]


def test_from_a_folder_below_the_suites_and_the_root_are_found(
    gaia: Gaia, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project / "checks" / "health")

    assert selection(gaia, "health") == ["pytest", "..", "--rootdir=../..", "--gaia-command=health"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("chta",), "gaia: unknown command 'chta'; did you mean chat?"),
        (("persona-list",), "gaia: unknown command 'persona-list'; did you mean personas-list?"),
        (("--prod", "--dev", "all"), "gaia: --dev and --prod choose different environments. Give only one."),
        (("--prod", "--url", "http://x", "all"), "gaia: --prod and --url choose different environments"),
        (("chat", "Hello", "world"), "gaia: chat takes MESSAGE, but 2 were given. Quote a message that has spaces"),
        (("health", "now"), "gaia: health takes no argument, but 1 were given."),
        (("all", "now"), "gaia: all takes no argument, but 1 were given."),
    ],
)
def test_a_usage_error_exits_4_and_runs_nothing(gaia: Gaia, arguments: tuple[str, ...], message: str) -> None:
    code, out, err = gaia("legacy", *arguments)

    assert (code, out) == (4, "")
    assert err.startswith(message)


def test_a_project_without_suites_gets_a_hint(gaia: Gaia, project: Path) -> None:
    (project / "gaia.toml").write_text("", encoding="utf-8")
    assert "gaia.toml names no suites, so there are no tests to run" in gaia("legacy", "health").err

    (project / "gaia.toml").unlink()
    code, _, err = gaia("legacy", "health")
    assert code == 4
    assert (
        'no gaia.toml in this folder or above it, so there are no tests to run. Add to gaia.toml: [gaia] suites = ["suites"].'
        in err
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("health",), "gaia legacy health"),
        (("--staging", "chat", "Hello world"), "gaia legacy --staging chat 'Hello world'"),
        (
            ("--env", "preview", "auth-login", "me@example.com", "hunter2"),
            "gaia legacy --env preview auth-login me@example.com '***'",
        ),
        (("--url", "http://x"), "gaia legacy --url http://x COMMAND"),
    ],
)
def test_the_old_form_prints_the_new_command_line(gaia: Gaia, arguments: tuple[str, ...], line: str) -> None:
    code, out, err = gaia("test", *arguments)

    assert (code, out, err.splitlines()[1:]) == (4, "", [line])


def test_a_password_reaches_pytest_but_no_output() -> None:
    chosen = select("auth-login", ["me@example.com", "hunter2"])

    assert chosen.options[-1] == "--gaia-argument=hunter2"
    assert chosen.shown[-2:] == ("--gaia-argument=me@example.com", "--gaia-argument=***")
    assert "hunter2" not in repr(chosen)
    assert isinstance(chosen, Selection)


CHECK = """\
import pytest


@pytest.mark.gaia(command="chat")
@pytest.mark.asyncio(loop_scope="session")
async def test_chat(gaia_argument, gaia_env, gateway):
    (await gateway.get("/health")).expect(200)
    assert gaia_argument == ("Test",)
    assert gaia_env.name == "sandbox"


@pytest.mark.gaia(command="health")
def test_health():
    assert False, "not selected"
"""


@pytest.mark.slow("processes")
def test_pytest_runs_the_selection_and_its_exit_code_counts(gaia_process: Gaia, project: Path) -> None:
    (project / "checks" / "health" / "test_health.py").write_text(CHECK, encoding="utf-8")

    passed = gaia_process("legacy", "--env", "sandbox", "chat", "Test", "--", "-p", "no:anyio")
    failed = gaia_process("legacy", "--env", "sandbox", "chat", "Other", "--", "-p", "no:anyio")
    wrong = gaia_process("legacy", "--env", "sandbx", "chat", "Test")

    first, _, rest = passed.out.partition("\n")
    assert first == "pytest checks --gaia-env=sandbox --gaia-command=chat --gaia-argument=Test -p no:anyio"
    assert "1 passed" in rest
    assert passed.code == 0
    assert failed.code == 1
    assert wrong.code == 4
    assert "did you mean sandbox" in wrong.err
