"""Usage errors of ``gaia deploy``: one message, exit 4, and no change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome
    from tests.fake_tools import FakeTools

    Gaia = Callable[..., Outcome]


def deployed(tools: FakeTools) -> list[str]:
    return [call.argv[call.argv.index("-a") + 1] for call in tools.calls("fly", "deploy")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stagign"], "did you mean staging?"),
        (["preview"], "preview has no deployment"),
        (["sandbox"], "nothing can be deployed to it"),
        (["staging", "--services", "gatway"], "did you mean gateway?"),
        (["staging", "--services", "nats"], "nats has no deploy file for staging"),
        (["staging", "--services", " , "], "--services names no service"),
        (["staging", "--image", "auth:v1"], "has no service"),
        (["staging", "--image", "auth="], "has no service"),
        (["staging", "--image", "auth=a:1", "--image", "auth=a:2"], "two images: a:1 and a:2"),
        (["staging", "--image", "chat=chat:v1"], "which is not among the services"),
        (["staging", "--services", "auth", "--image", "a:1", "--rebuild"], "cannot be combined"),
        (["staging", "--confirm", "production"], "but the environment is staging. Nothing was changed."),
        (["production"], "stdin is not a terminal. Pass --confirm production"),
        (["production", "--confirm", "yes"], "but the environment is production"),
        (["staging", "--enviroment"], "No such option"),
        ([], "Missing argument"),
    ],
)
def test_a_usage_error_is_one_message_and_changes_nothing(
    operated: Path, gaia: Gaia, fake_tools: FakeTools, arguments: list[str], message: str
) -> None:
    code, out, err = gaia("deploy", *arguments)

    assert (code, out) == (4, "")
    assert message in err
    assert "Traceback" not in err
    assert deployed(fake_tools) == []
    assert not (operated / ".gaia").exists()


@pytest.mark.parametrize("without", ["file", "folder"])
def test_missing_deploy_files_are_named(operated: Path, gaia: Gaia, without: str) -> None:
    for file in (operated / "deploy").iterdir():
        if without == "folder" or ".staging." in file.name:
            file.unlink()
    if without == "folder":
        (operated / "deploy").rmdir()

    code, out, err = gaia("deploy", "staging")

    assert (code, out) == (4, "")
    assert ("fly.staging.toml" if without == "file" else "folder of deploy files not found") in err


def test_a_broken_deploy_file_is_named_with_its_line(operated: Path, gaia: Gaia, fake_tools: FakeTools) -> None:
    (operated / "deploy" / "fly.gateway.staging.toml").write_text('app = "gaia-gateway-staging"\n[http_service\n')

    code, out, err = gaia("deploy", "staging", "--services", "auth")

    assert (code, out) == (4, "")
    assert "deploy/fly.gateway.staging.toml:2" in err
    assert deployed(fake_tools) == []


def test_a_file_without_health_checks_allows_a_dry_run_only(operated: Path, gaia: Gaia, fake_tools: FakeTools) -> None:
    file = operated / "deploy" / "fly.auth.staging.toml"
    text = file.read_text()
    file.write_text(text[: text.index("  [[http_service.checks]]")] + text[text.index("[[vm]]") :])

    code, out, err = gaia("deploy", "staging")
    dry_code, dry_out, dry_err = gaia("deploy", "staging", "--dry-run")
    document = json.loads(gaia("deploy", "staging", "--dry-run", "--json").out)

    assert (code, out) == (4, "")
    assert "deploy/fly.auth.staging.toml" in err
    assert "gaia config check staging" in err
    assert (dry_code, len(dry_out.splitlines())) == (4, 2)
    assert "deploy/fly.auth.staging.toml" in dry_err
    assert (document["good"], document["exit_code"], len(document["steps"])) == (False, 4, 2)
    assert any(note.startswith("deploy/fly.auth.staging.toml") for note in document["notes"])
    assert deployed(fake_tools) == []


def test_a_missing_tool_is_one_message(operated: Path, gaia: Gaia, fake_tools: FakeTools) -> None:
    fake_tools.without("fly", "flyctl")

    code, out, err = gaia("deploy", "staging")

    assert (code, out) == (4, "")
    assert "fly is not installed, or not on PATH" in err.splitlines()[-1]


@pytest.mark.parametrize(("fault", "message"), [("not-logged-in", "fly auth login"), ("unauthorised", "FLY_API_TOKEN")])
def test_missing_permission_shows_a_fix(
    operated: Path, gaia: Gaia, fake_tools: FakeTools, fault: str, message: str
) -> None:
    fake_tools.fault("*", fault)

    code, out, err = gaia("deploy", "staging")

    assert (code, out) == (4, "")
    assert message in err
    assert deployed(fake_tools) == []


def test_an_unknown_app_stops_the_deployment_before_the_first_service(
    operated: Path, gaia: Gaia, fake_tools: FakeTools
) -> None:
    with fake_tools.state() as cloud:
        del cloud["apps"]["gaia-gateway-staging"]

    code, _, err = gaia("deploy", "staging")

    assert code == 4
    assert "fly apps create gaia-gateway-staging" in err
    assert deployed(fake_tools) == []


@pytest.mark.parametrize(
    ("arguments", "real"),
    [
        (["deploy", "stagign"], ["--confirm", "stagign"]),
        (["deploy", "staging", "--confirm", "production"], []),
        (["deploy", "local", "--region", "fra"], []),
        (["deploy", "production", "--services", "nats"], ["--confirm", "production"]),
        (["deploy", "staging", "--test", "--confirm", "production"], []),
        (["rollback", "staging"], ["--confirm", "staging"]),
        (["rollback", "staging", "--confirm", "production", "--to", "auth=registry/auth:1"], []),
        (["scale", "staging", "nats", "--count", "2"], []),
        (["scale", "staging", "gateway", "--count", "2", "--confirm", "production"], []),
    ],
)
def test_a_dry_run_fails_if_the_run_would_be_refused(
    operated: Path, gaia: Gaia, fake_tools: FakeTools, arguments: list[str], real: list[str]
) -> None:
    code, out, err = gaia(*arguments, *real)
    assert (code, out) == (4, ""), "the run itself"

    dry = gaia(*arguments, "--dry-run")
    assert (dry.code, dry.out, dry.err.splitlines()[-1]) == (4, "", err.splitlines()[-1])

    if "--test" not in arguments:
        code, out, _ = gaia(*arguments, "--dry-run", "--json")
        document = json.loads(out)
        assert (code, document["good"], document["exit_code"]) == (4, False, 4)
        assert document["notes"][0] in " ".join(err.split())
    changing = {"deploy", "scale", "up"}
    assert [call for call in fake_tools.calls() if changing & set(call.argv)] == []
