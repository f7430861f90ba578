"""``gaia config lint`` and ``gaia config diff``: output, exit codes, and users' mistakes."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import GAIA
from tests.preflight.cases import A_PRODUCTION
from tests.preflight.sets import BROKEN, CORRECTED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome
    from tests.fake_tools import FakeTools


@pytest.fixture(autouse=True)
def outside_of_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a developer's machine, wherever these tests run."""
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)


@pytest.fixture
def broken(project: Path) -> Path:
    """A project with every mistake."""
    shutil.copytree(BROKEN, project, dirs_exist_ok=True)
    return project


@pytest.fixture
def corrected(project: Path) -> Path:
    """A project with none."""
    shutil.copytree(CORRECTED, project, dirs_exist_ok=True)
    return project


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.usefixtures("corrected")
def test_right_files_exit_0(gaia: Callable[..., Outcome]) -> None:
    outcome = gaia("config", "lint", "--strict")

    assert outcome == (0, "Nothing wrong in the deploy files of local, staging, production.\n", "")


@pytest.mark.usefixtures("broken")
def test_errors_exit_1_and_say_place_reason_and_mend(gaia: Callable[..., Outcome]) -> None:
    code, out, err = gaia("config", "lint")

    assert (code, err) == (1, "")
    lines = out.splitlines()
    at = lines.index(
        'fly.prod.toml:1: error: environment-spelling: "gaia-gateway-prod" says "prod", and other files say "production"'
    )
    assert lines[at + 1].startswith("    why: gaia-gateway-prod and gaia-gateway-production are two apps")
    assert lines[at + 2].startswith('    do:  write "production" everywhere')
    assert lines[-1].endswith("3 notes (local, dev, staging, production)")
    assert "hunter2" not in out


def test_warnings_exit_1_only_where_that_is_asked_for(corrected: Path, gaia: Callable[..., Outcome]) -> None:
    replace(corrected / A_PRODUCTION, 'grace_period = "20s"\n', "")
    replace(corrected / A_PRODUCTION.replace("production", "staging"), 'grace_period = "20s"\n', "")

    assert gaia("config", "lint").code == 0
    assert gaia("config", "lint", "--strict").code == 1


def test_a_finding_that_belongs_to_no_environment_is_counted_without_one(
    project: Path, gaia: Callable[..., Outcome]
) -> None:
    (project / "fly.orders.toml").write_text('app = "orders"\n', encoding="utf-8")

    code, out, _ = gaia("config", "lint")

    assert (code, out.splitlines()[-1]) == (0, "1 warning")


@pytest.mark.usefixtures("broken")
def test_one_environment_alone_however_it_is_spelled(gaia: Callable[..., Outcome]) -> None:
    outcome = gaia("config", "lint", "dev")

    assert outcome.out.splitlines()[-1] == "3 errors, 2 warnings (dev)"
    assert gaia("config", "lint", "prod") == gaia("config", "lint", "production")


@pytest.mark.usefixtures("broken")
def test_json_is_one_document_with_every_field(gaia: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    code, out, _ = gaia("config", "lint", "--json")

    found: list[dict[str, Any]] = json.loads(out)
    assert code == 1
    assert all(
        list(each) == ["check", "severity", "environment", "file", "line", "key", "what", "why", "mend"]
        for each in found
    )
    (shared,) = [each for each in found if each["check"] == "shared-database"]
    assert (shared["file"], shared["environment"]) == ("fly.gateway.production.toml", "production")
    assert shared["key"] == "env.DATABASE_URL"


@pytest.mark.usefixtures("corrected")
def test_json_of_nothing_is_an_empty_list(gaia: Callable[..., Outcome]) -> None:
    assert gaia("config", "lint", "--json") == (0, "[]\n", "")


def test_sarif_is_written_beside_the_text(broken: Path, gaia: Callable[..., Outcome]) -> None:
    outcome = gaia("config", "lint", "--sarif", "lint.sarif")

    (run,) = json.loads((broken / "lint.sarif").read_text(encoding="utf-8"))["runs"]
    errors = [each for each in run["results"] if each["level"] == "error"]
    assert f"{len(errors)} errors" in outcome.out.splitlines()[-1]


def test_paths_are_those_of_the_repository(
    broken: Path, gaia: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = broken / "services"
    inner.mkdir()
    for path in [each for each in broken.iterdir() if each.name.startswith(("fly.", "gaia"))]:
        shutil.move(path, inner)
    (broken / ".git").mkdir()
    monkeypatch.chdir(inner)

    outcome = gaia("config", "lint", "--github", "--sarif", "lint.sarif")

    assert "::error file=services/fly.prod.toml,line=1,title=gaia environment-spelling::" in outcome.out
    assert "\nfly.prod.toml:1: error: environment-spelling" in outcome.out
    assert '"uri": "services/fly.prod.toml"' in (inner / "lint.sarif").read_text(encoding="utf-8")


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(("inside", "options"), [("true", ()), (None, ("--github",))])
def test_annotations_come_by_themselves_in_actions(
    gaia: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, inside: str | None, options: tuple[str, ...]
) -> None:
    assert "::error" not in gaia("config", "lint").out
    if inside:
        monkeypatch.setenv("GITHUB_ACTIONS", inside)

    lines = [line for line in gaia("config", "lint", *options).out.splitlines() if line.startswith("::")]

    assert {line.split(" ")[0] for line in lines} == {"::error", "::warning", "::notice"}


def test_a_terminal_gets_a_table(broken: Path) -> None:
    leader, follower = pty.openpty()
    done = subprocess.Popen(
        [GAIA, "config", "lint", "dev"],
        stdout=follower,
        cwd=broken,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "xterm"},
    )
    os.close(follower)
    shown = b""
    while chunk := _read(leader):
        shown += chunk
    os.close(leader)

    assert done.wait(60) == 1
    lines = shown.decode().splitlines()
    assert any(line.split()[:3] == ["where", "check", "what"] for line in lines)
    assert any("fly.dev.toml:8" in line and "localhost-url" in line for line in lines)
    assert any("→ write the address of auth in dev" in line for line in lines)


def _read(leader: int) -> bytes:
    try:
        return os.read(leader, 65536)
    except OSError:
        # The other end is closed: on Linux that is an error.
        return b""


def test_secrets_are_asked_of_fly(corrected: Path, gaia: Callable[..., Outcome], fake_tools: FakeTools) -> None:
    services = ("gateway", "auth", "asset", "chat", "nats")
    fake_tools.platform("staging", services, secrets=("DATABASE_URL", "SUPABASE_JWT_SECRET"))
    fake_tools.platform("production", ("gateway", "auth"), secrets=("DATABASE_URL",))

    code, out, err = gaia("config", "lint", "--secrets")

    # Three apps of production are not there yet: they have no secrets.
    assert (code, err) == (1, "")
    assert "gaia.toml:16: error: secret-unset: SUPABASE_JWT_SECRET is set for no app of production" in out
    assert "DATABASE_URL is set" not in out
    assert "of staging" not in out
    assert gaia("config", "lint", "staging", "--secrets").code == 0
    assert gaia("config", "lint").code == 0


@pytest.mark.usefixtures("corrected")
def test_who_is_not_logged_in_is_told(gaia: Callable[..., Outcome], fake_tools: FakeTools) -> None:
    fake_tools.fault("*", "not-logged-in")

    code, out, err = gaia("config", "lint", "--secrets")

    assert (code, out) == (4, "")
    assert "fly auth login" in err


@pytest.mark.usefixtures("corrected")
def test_without_flyctl_there_are_no_secrets(gaia: Callable[..., Outcome], fake_tools: FakeTools) -> None:
    fake_tools.without("fly", "flyctl")

    code, out, err = gaia("config", "lint", "--secrets")

    assert (code, out) == (4, "")
    assert "fly" in err


USAGE_ERRORS = [
    (("lint", "stagign"), "no deploy file is for 'stagign'; did you mean staging? Known: local, production, staging."),
    (("lint", "--json", "--github"), "--json and --github both write to standard output"),
    (("lint", "--sarif", "gone/lint.sarif"), "--sarif gone/lint.sarif: cannot be written: No such file or directory."),
    (("lint", "--sarf", "x"), "No such option: --sarf"),
    (("diff", "staging"), "Missing argument 'ENV'"),
    (("diff", "staging", "pruduction"), "no deploy file is for 'pruduction'; did you mean production?"),
]


@pytest.mark.usefixtures("corrected")
@pytest.mark.parametrize(("arguments", "said"), USAGE_ERRORS, ids=[" ".join(row[0]) for row in USAGE_ERRORS])
def test_a_usage_error_is_one_message_and_exit_4(
    gaia: Callable[..., Outcome], arguments: tuple[str, ...], said: str
) -> None:
    code, _, err = gaia("config", *arguments)

    assert code == 4
    assert said in err
    assert "Traceback" not in err


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("arguments", [("lint",), ("diff", "staging", "production")])
def test_a_project_without_deploy_files_is_told_where_they_were_looked_for(
    gaia: Callable[..., Outcome], arguments: tuple[str, ...]
) -> None:
    code, out, err = gaia("config", *arguments)

    assert (code, out) == (4, "")
    assert err.startswith("gaia: there are no deploy files: looked for fly.SERVICE.ENV.toml")
    assert "`deploy_files` in [gaia] of gaia.toml" in err


def test_secrets_without_a_list_of_them_are_a_usage_error(broken: Path, gaia: Callable[..., Outcome]) -> None:
    (broken / "gaia.toml").write_text("[gaia]\n", encoding="utf-8")

    code, _, err = gaia("config", "lint", "--secrets")

    assert code == 4
    assert "--secrets: gaia.toml lists no secrets" in err


def test_a_file_that_cannot_be_read_is_told_with_its_line(corrected: Path, gaia: Callable[..., Outcome]) -> None:
    replace(corrected / A_PRODUCTION, "[env]", "[env")

    code, out, err = gaia("config", "lint")

    assert (code, out) == (4, "")
    assert f"{A_PRODUCTION}:10: not valid TOML" in err


@pytest.mark.usefixtures("corrected")
def test_diff_shows_two_environments_side_by_side(gaia: Callable[..., Outcome]) -> None:
    code, out, _ = gaia("config", "diff", "staging", "production")

    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == ["service", "what", "staging", "production", "allowed"]
    assert "chat memory 1024 MB 2048 MB yes (memory)" in [" ".join(line.split()) for line in lines]
    assert any(line.endswith("by its name") for line in lines)
    assert lines[-1].endswith("0 of them not listed in allowed_differences.")


def test_diff_marks_what_is_not_listed(corrected: Path, gaia: Callable[..., Outcome]) -> None:
    replace(corrected / A_PRODUCTION, '"rolling"', '"canary"')

    code, out, _ = gaia("config", "diff", "staging", "production")

    assert code == 0
    assert "auth strategy rolling canary NO" in [" ".join(line.split()) for line in out.splitlines()]
    assert "1 of them not listed" in out


@pytest.mark.usefixtures("corrected")
def test_diff_as_json_has_places(gaia: Callable[..., Outcome]) -> None:
    rows = json.loads(gaia("config", "diff", "staging", "prod", "--json").out)

    (row,) = [each for each in rows if (each["service"], each["aspect"]) == ("auth", "memory")]
    assert (row["left"], row["right"], row["allowed_by"]) == ("1024 MB", "2048 MB", "memory")
    assert row["right_place"].startswith("fly.auth.production.toml:")


@pytest.mark.usefixtures("corrected")
def test_equal_environments_do_not_differ(gaia: Callable[..., Outcome]) -> None:
    assert gaia("config", "diff", "staging", "staging").out == "staging and staging do not differ.\n"
