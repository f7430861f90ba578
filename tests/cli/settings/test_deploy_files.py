"""``gaia config``: output, exit codes, and usage errors."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]
import pytest

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
    """A project with every kind of error."""
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
    outcome = gaia("config", "check", "--strict")

    assert outcome == (0, "No findings in the deploy files of local, staging, production.\n", "")


@pytest.mark.usefixtures("broken")
def test_errors_exit_1_with_one_line_for_each_finding(gaia: Callable[..., Outcome]) -> None:
    code, out, err = gaia("config", "check")

    assert (code, err) == (1, "")
    lines = out.splitlines()
    finding = 'fly.prod.toml:1: error: environment-spelling: "gaia-gateway-prod" has the spelling "prod", but other files have "production"'
    assert lines.count(finding) == 1
    severities = [line.split(": ")[1] for line in lines[:-2]]
    assert severities == sorted(severities, key=("error", "warning", "note").index)
    assert lines[-2].endswith("4 notes (local, dev, staging, production)")
    assert "gaia config check --explain CHECK" in lines[-1]
    assert "hunter2" not in out


def test_warnings_exit_1_only_where_that_is_asked_for(corrected: Path, gaia: Callable[..., Outcome]) -> None:
    replace(corrected / A_PRODUCTION, 'grace_period = "20s"\n', "")
    replace(corrected / A_PRODUCTION.replace("production", "staging"), 'grace_period = "20s"\n', "")

    assert gaia("config", "check").code == 0
    assert gaia("config", "check", "--strict").code == 1


def test_a_finding_that_belongs_to_no_environment_is_counted_without_one(
    project: Path, gaia: Callable[..., Outcome]
) -> None:
    (project / "fly.orders.toml").write_text('app = "orders"\n', encoding="utf-8")

    code, out, _ = gaia("config", "check")

    assert (code, out.splitlines()[-2]) == (0, "1 warning")


@pytest.mark.usefixtures("broken")
def test_one_environment_alone_however_it_is_spelled(gaia: Callable[..., Outcome]) -> None:
    outcome = gaia("config", "check", "dev")

    assert outcome.out.splitlines()[-2] == "3 errors, 2 warnings (dev)"
    assert gaia("config", "check", "prod") == gaia("config", "check", "production")


@pytest.mark.usefixtures("broken")
def test_json_is_one_document_with_every_field(gaia: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    code, out, _ = gaia("config", "check", "--json")

    found: list[dict[str, Any]] = json.loads(out)
    assert code == 1
    assert all(
        list(each) == ["check", "severity", "environment", "file", "line", "key", "what", "why", "fix"]
        for each in found
    )
    (shared,) = [each for each in found if each["check"] == "shared-database"]
    assert (shared["file"], shared["environment"]) == ("fly.gateway.production.toml", "production")
    assert shared["key"] == "env.DATABASE_URL"


@pytest.mark.usefixtures("corrected")
def test_json_of_nothing_is_an_empty_list(gaia: Callable[..., Outcome]) -> None:
    assert gaia("config", "check", "--json") == (0, "[]\n", "")


@pytest.mark.usefixtures("broken")
def test_explain_shows_the_reason_once_and_the_fix_of_each_finding(gaia: Callable[..., Outcome]) -> None:
    code, out, _ = gaia("config", "check", "--explain", "environment-spelling")

    assert code == 0
    assert out.startswith(
        "environment-spelling (error): One environment is spelled in two ways\n\nshop-orders-prod and"
    )
    assert '\nfly.prod.toml:1: "gaia-gateway-prod" has the spelling "prod"' in out
    assert '\n  Fix: write "production" everywhere' in out
    assert "# gaia: allow environment-spelling because REASON" in out


@pytest.mark.usefixtures("project")
def test_explain_needs_no_deploy_files(gaia: Callable[..., Outcome]) -> None:
    code, out, _ = gaia("config", "check", "--explain", "autostop")

    assert code == 0
    assert "It found nothing in this project." in out


def test_gitlab_code_quality_has_what_gitlab_requires(broken: Path, gaia: Callable[..., Outcome]) -> None:
    outcome = gaia("config", "check", "--format", "gitlab", "-o", "quality.json")

    found = json.loads((broken / "quality.json").read_text(encoding="utf-8"))
    assert outcome.code == 1
    assert f"{sum(each['severity'] == 'critical' for each in found)} errors" in outcome.out
    assert len({each["fingerprint"] for each in found}) == len(found)
    spelling = next(each for each in found if each["check_name"] == "environment-spelling")
    assert spelling["location"] == {"path": "fly.prod.toml", "lines": {"begin": 1}}
    assert spelling["description"].startswith('"fly.prod.toml" has the spelling "prod"')


@pytest.mark.parametrize("old", [("lint", "--sarif", "lint.sarif"), ("check", "--sarif=lint.sarif")])
def test_old_names_still_work(broken: Path, gaia: Callable[..., Outcome], old: tuple[str, ...]) -> None:
    gaia("config", *old)

    assert json.loads((broken / "lint.sarif").read_text(encoding="utf-8"))["version"] == "2.1.0"


def test_the_schema_accepts_what_gaia_toml_may_have_and_explains_its_keys(
    project: Path, gaia: Callable[..., Outcome]
) -> None:
    assert gaia("config", "schema", "-o", "schema.json").code == 0

    schema = json.loads((project / "schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(schema)(schema)
    validator.check_schema(schema)
    assert validator.is_valid(
        {"gaia": {"suites": ["s"]}, "env": {"dev": {"url": "http://h", "timeouts": {"ready": 9}}}}
    )
    assert not validator.is_valid({"env": {"dev": {"urll": "http://h"}}})
    assert not validator.is_valid({"env": {"Dev": {}}})
    tables = (each for name, each in schema["$defs"].items() if name != "ProjectTable")
    unexplained = [
        f"{table['title']}.{key}"
        for table in tables
        for key, value in table["properties"].items()
        if "description" not in value
    ]
    assert unexplained == []


def test_sarif_is_written_beside_the_text(broken: Path, gaia: Callable[..., Outcome]) -> None:
    outcome = gaia("config", "check", "--format", "sarif", "-o", "lint.sarif")

    (run,) = json.loads((broken / "lint.sarif").read_text(encoding="utf-8"))["runs"]
    errors = [each for each in run["results"] if each["level"] == "error"]
    assert f"{len(errors)} errors" in outcome.out.splitlines()[-2]


def test_paths_are_those_of_the_repository(
    broken: Path, gaia: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = broken / "services"
    inner.mkdir()
    for path in [each for each in broken.iterdir() if each.name.startswith(("fly.", "gaia"))]:
        shutil.move(path, inner)
    (broken / ".git").mkdir()
    monkeypatch.chdir(inner)

    outcome = gaia("config", "check", "--format", "github")
    gaia("config", "check", "--format", "sarif", "-o", "lint.sarif")

    assert "::error file=services/fly.prod.toml,line=1,title=gaia environment-spelling::" in outcome.out
    assert "\nfly.prod.toml:1: error: environment-spelling" in outcome.out
    assert '"uri": "services/fly.prod.toml"' in (inner / "lint.sarif").read_text(encoding="utf-8")


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(("inside", "options"), [("true", ()), (None, ("--format=github",))])
def test_annotations_come_by_themselves_in_actions(
    gaia: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, inside: str | None, options: tuple[str, ...]
) -> None:
    assert "::error" not in gaia("config", "check").out
    if inside:
        monkeypatch.setenv("GITHUB_ACTIONS", inside)

    lines = [line for line in gaia("config", "check", *options).out.splitlines() if line.startswith("::")]

    assert {line.split(" ")[0] for line in lines} == {"::error", "::warning", "::notice"}


def test_secrets_are_asked_of_fly(corrected: Path, gaia: Callable[..., Outcome], fake_tools: FakeTools) -> None:
    services = ("gateway", "auth", "asset", "chat", "nats")
    fake_tools.platform("staging", services, secrets=("DATABASE_URL", "SUPABASE_JWT_SECRET"))
    fake_tools.platform("production", ("gateway", "auth"), secrets=("DATABASE_URL",))

    code, out, err = gaia("config", "check", "--secrets")

    # Three apps of production are not there yet: they have no secrets.
    assert (code, err) == (1, "")
    assert "gaia.toml:17: error: secret-unset: SUPABASE_JWT_SECRET is not set for any app of production" in out
    assert "DATABASE_URL is set" not in out
    assert "of staging" not in out
    assert gaia("config", "check", "staging", "--secrets").code == 0
    assert gaia("config", "check").code == 0


@pytest.mark.usefixtures("corrected")
def test_without_a_login_the_message_has_the_command(gaia: Callable[..., Outcome], fake_tools: FakeTools) -> None:
    fake_tools.fault("*", "not-logged-in")

    code, out, err = gaia("config", "check", "--secrets")

    assert (code, out) == (4, "")
    assert "fly auth login" in err


@pytest.mark.usefixtures("corrected")
def test_without_flyctl_there_are_no_secrets(gaia: Callable[..., Outcome], fake_tools: FakeTools) -> None:
    fake_tools.without("fly", "flyctl")

    code, out, err = gaia("config", "check", "--secrets")

    assert (code, out) == (4, "")
    assert "fly" in err


USAGE_ERRORS = [
    (("check", "stagign"), "no deploy file is for 'stagign'; did you mean staging? Known: local, production, staging."),
    (("check", "--json", "--format", "github"), "--json and --format github exclude each other"),
    (("check", "--format", "sarif", "-o", "gone/x"), "--output gone/x: cannot be written: No such file or directory."),
    (("check", "-o", "x"), "--output: needs --json, --format gitlab or --format sarif"),
    (("check", "--explain", "autostp"), "--explain: unknown check 'autostp'; did you mean autostop?"),
    (("check", "--strikt"), "No such option: --strikt"),
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
@pytest.mark.parametrize("arguments", [("check", "staging"), ("diff", "staging", "production")])
def test_a_project_without_deploy_files_gets_the_names_of_the_files(
    gaia: Callable[..., Outcome], arguments: tuple[str, ...]
) -> None:
    code, out, err = gaia("config", *arguments)

    assert (code, out) == (4, "")
    assert err.startswith("gaia: no deploy files found: there is no fly.SERVICE.ENV.toml")
    assert "`deploy_files` in [gaia] of gaia.toml" in err


def test_a_project_that_names_no_deploy_files_needs_none(project: Path, gaia: Callable[..., Outcome]) -> None:
    code, out, _ = gaia("config", "check")
    assert (code, out) == (0, "No findings; the project has no deploy files.\n")

    with (project / "gaia.toml").open("a") as file:
        file.write('[env.staging]\nfrom = "fly"\n')
    assert gaia("config", "check")[0] == 4


def test_secrets_without_a_list_of_them_is_an_error(broken: Path, gaia: Callable[..., Outcome]) -> None:
    (broken / "gaia.toml").write_text("[gaia]\n", encoding="utf-8")

    code, _, err = gaia("config", "check", "--secrets")

    assert code == 4
    assert "--secrets: gaia.toml lists no secrets" in err


def test_a_file_that_cannot_be_read_is_named_with_its_line(corrected: Path, gaia: Callable[..., Outcome]) -> None:
    replace(corrected / A_PRODUCTION, "[env]", "[env")

    code, out, err = gaia("config", "check")

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
    assert lines[-1].endswith("0 not listed in allowed_differences.")


def test_diff_marks_what_is_not_listed(corrected: Path, gaia: Callable[..., Outcome]) -> None:
    replace(corrected / A_PRODUCTION, '"rolling"', '"canary"')

    code, out, _ = gaia("config", "diff", "staging", "production")

    assert code == 0
    assert "auth strategy rolling canary NO" in [" ".join(line.split()) for line in out.splitlines()]
    assert "1 not listed" in out


@pytest.mark.usefixtures("corrected")
def test_diff_as_json_has_places(gaia: Callable[..., Outcome]) -> None:
    rows = json.loads(gaia("config", "diff", "staging", "prod", "--json").out)

    (row,) = [each for each in rows if (each["service"], each["aspect"]) == ("auth", "memory")]
    assert (row["left"], row["right"], row["allowed_by"]) == ("1024 MB", "2048 MB", "memory")
    assert row["right_place"].startswith("fly.auth.production.toml:")


@pytest.mark.usefixtures("corrected")
def test_equal_environments_do_not_differ(gaia: Callable[..., Outcome]) -> None:
    assert gaia("config", "diff", "staging", "staging").out == "staging and staging have no differences.\n"
