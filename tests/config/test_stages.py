"""Stages, objectives and the ledger in gaia.toml: values, defaults and errors."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, resolve
from pytest_gaia.config.stages import Freeze, LedgerSettings, Slo, Stage, duration
from pytest_gaia.errors import ConfigError
from tests.projects import ON_GAIA, SERVICES_OF_GAIA

if TYPE_CHECKING:
    from pathlib import Path

FREEZE = "[[env.staging.stage.freeze]]\n"
A_DAY = "from = 2026-12-20T00:00:00Z\nuntil = 2026-12-21T00:00:00Z\n"
SLO = '[[env.staging.slo]]\nroute = "GET /health"\nfail_ms = 800\n'

USAGE_ERRORS = {
    "an unknown key": (
        '[env.staging.stage]\nform = "dev"\n',
        "gaia.toml:2: env.staging.stage.form: unknown key; Known: freeze",
    ),
    "an unknown environment": (
        '[env.staging.stage]\nsoak = "1h"\npromote_from = "devel"\n',
        "gaia.toml:3: env.staging.stage.promote_from: unknown environment 'devel'; did you mean dev?",
    ),
    "the sandbox before a stage": (
        '[env.dev.stage]\npromote_from = "sandbox"\n',
        "gaia.toml:2: env.dev.stage.promote_from: the sandbox cannot be a stage of a release; Known: dev, local, production, staging.",
    ),
    "the sandbox as a stage": (
        '[env.sandbox]\n[env.sandbox.stage]\nsoak = "1h"\n',
        "gaia.toml:2: env.sandbox.stage: the sandbox cannot be a stage of a release",
    ),
    "a stage that comes from itself": (
        '[env.dev.stage]\npromote_from = "dev"\n',
        "gaia.toml:2: env.dev.stage.promote_from: a stage cannot follow itself.",
    ),
    "a circle through what is shipped": (
        '[env.local.stage]\npromote_from = "production"\n',
        "gaia.toml:2: env.local.stage.promote_from: the stages form a cycle: local from production from staging from dev from",
    ),
    "a circle of one's own": (
        '[env.a]\nurl = "http://a"\nstage.promote_from = "b"\n[env.b]\nurl = "http://b"\nstage.promote_from = "a"\n',
        "gaia.toml:3: env.a.stage.promote_from: the stages form a cycle: a from b from a.",
    ),
    "production from nowhere": (
        '[env.production.stage]\npromote_from = ""\n',
        "gaia.toml:2: env.production.stage.promote_from: production needs a stage before it",
    ),
    "production without signatures": (
        "[env.production.stage]\nrequire_signed = false\n",
        "gaia.toml:2: env.production.stage.require_signed: production always requires signed evidence",
    ),
    "a soak that is no duration": (
        '[env.staging.stage]\nsoak = "a day"\n',
        "gaia.toml:2: env.staging.stage.soak: 'a day' is no duration: a whole number and a unit, such as",
    ),
    "a soak as a number": (
        "[env.staging.stage]\nsoak = 24\n",
        "gaia.toml:2: env.staging.stage.soak: expected a string, got a number",
    ),
    "evidence that is old at once": (
        '[env.staging.stage]\nevidence_age = "0s"\n',
        "gaia.toml:2: env.staging.stage.max_evidence_age: '0s' is too short",
    ),
    "production soon after staging": (
        '[env.production.stage]\nsoak = "30m"\n',
        "gaia.toml:2: env.production.stage.soak: '30m' is too short; use at least one hour before production",
    ),
    "evidence of last month for production": (
        '[env.production.stage]\nmax_evidence_age = "31d"\n',
        "gaia.toml:2: env.production.stage.max_evidence_age: '31d' is too long; use at most 30 days (30d).",
    ),
    "evidence of ten years": (
        '[env.staging.stage]\nmax_evidence_age = "3650d"\n',
        "gaia.toml:2: env.staging.stage.max_evidence_age: '3650d' is too long; use at most 365 days (365d).",
    ),
    "production past staging": (
        '[env.staging]\n[env.production.stage]\npromote_from = "dev"\n',
        "gaia.toml:3: env.production.stage.promote_from: dev is before staging, which production must not skip; promote from staging.",
    ),
    "production past all stages of the built-in platform": (
        '[gaia]\nplatform = "gaia"\n[env.production.stage]\npromote_from = "local"\n',
        "gaia.toml:4: env.production.stage.promote_from: local is before staging, which production must not skip; promote from staging.",
    ),
    "a live environment past two of the same role": (
        '[env.qa]\nrole = "staging"\n[env.uat]\nrole = "staging"\n[env.live]\nrole = "production"\nstage.promote_from = "dev"\n',
        "gaia.toml:7: env.live.stage.promote_from: dev is before qa, which live must not skip; promote from qa or uat.",
    ),
    "staging past dev": (
        '[env.dev]\n[env.staging.stage]\npromote_from = "local"\n',
        "gaia.toml:3: env.staging.stage.promote_from: local is before dev, which staging must not skip; promote from dev.",
    ),
    "no suites": ("[env.staging.stage]\nsuites = []\n", "gaia.toml:2: env.staging.stage.suites: expected a list of"),
    "a service that is none": (
        '[env.staging.stage]\nservices = ["gatway"]\n' + SERVICES_OF_GAIA,
        "gaia.toml:2: env.staging.stage.services: unknown service 'gatway'; did you mean gateway?",
    ),
    "a role without a name": (
        '[env.staging.stage]\nsign = [""]\n',
        "gaia.toml:2: env.staging.stage.required_approvals: expected a string of length",
    ),
    "a freeze without an end": (
        f'{FREEZE}from = 2026-12-20T00:00:00Z\nreason = "x"\n',
        "gaia.toml:1: env.staging.stage.freeze: the key `until` is missing.",
    ),
    "a freeze without a zone": (
        f'{FREEZE}from = 2026-12-20T00:00:00\nuntil = 2027-01-02T00:00:00Z\nreason = "x"\n',
        "gaia.toml:2: env.staging.stage.freeze.from: add the time zone, such as 2026-12-20T00:00:00Z.",
    ),
    "a freeze of days": (
        f'{FREEZE}from = 2026-12-20\nuntil = 2027-01-02\nreason = "x"\n',
        "gaia.toml:2: env.staging.stage.freeze.from: expected a date with a time, got a date",
    ),
    "a freeze that ends before it begins": (
        f'{FREEZE}from = 2026-12-20T00:00:00Z\nuntil = 2026-12-19T00:00:00Z\nreason = "x"\n',
        "gaia.toml:3: env.staging.stage.freeze.until: the end must be after the beginning.",
    ),
    "the second of two freezes": (
        f'{FREEZE}{A_DAY}reason = "x"\n{FREEZE}{A_DAY}reason = 3\n',
        "gaia.toml:8: env.staging.stage.freeze.reason: expected a string, got a number",
    ),
    "an objective without a limit": (
        '[[env.staging.slo]]\nroute = "GET /health"\n',
        "gaia.toml:1: env.staging.slo: the key `fail_ms` is missing.",
    ),
    "an unknown key of the second objective": (
        f'{SLO}[[env.staging.slo]]\nroute = "GET /"\nfail = 3\n',
        "gaia.toml:6: env.staging.slo.fail: unknown key; did you mean fail_ms?",
    ),
    "a route without a method": (
        f'{SLO}[[env.staging.slo]]\nroute = "/health"\nfail_ms = 3\n',
        "gaia.toml:5: env.staging.slo.route: '/health' is not a route; write a method and a path, such as",
    ),
    "a warning after the failure": (
        f"{SLO}warn_ms = 900\n",
        "gaia.toml:4: env.staging.slo.warn_ms: must be less than fail_ms, 800.",
    ),
    "one objective twice": (
        SLO + SLO,
        "gaia.toml:5: env.staging.slo.route: GET /health has two objectives for the same percentile",
    ),
    "a percentile of all": (
        f"{SLO}percentile = 100\n",
        "gaia.toml:4: env.staging.slo.percentile: expected a number < 100",
    ),
    "one table for several": ("[env.staging.slo]\nfail_ms = 3\n", "gaia.toml:1: env.staging.slo: expected a list"),
    "an unknown key of the ledger": (
        '[ledger]\npaht = "x"\n',
        "gaia.toml:2: ledger.paht: unknown key; did you mean path?",
    ),
    "a branch for a ledger": (
        '[ledger]\ngit = "refs/heads/main"\n',
        "gaia.toml:2: ledger.git: 'refs/heads/main' is not a valid reference; write one such as refs/gaia/ledger",
    ),
    "a ledger in two places": (
        '[ledger]\ngit = "refs/gaia/ledger"\npath = "x"\n',
        "gaia.toml:3: ledger.path: `path` and `git` exclude each other",
    ),
    "a remote of a folder": (
        '[ledger]\nremote = "origin"\n',
        "gaia.toml:2: ledger.remote: a remote needs a ledger in git",
    ),
    "a ledger that is no table": ("ledger = 3\n", "gaia.toml:1: ledger: expected a table, written [ledger]."),
}


def stages(folder: Path, text: str = "") -> dict[str, Stage]:
    (folder / "gaia.toml").write_text(text + ON_GAIA, encoding="utf-8")
    return dict(Project(folder).stages)


@pytest.mark.parametrize(("text", "message"), USAGE_ERRORS.values(), ids=USAGE_ERRORS)
def test_a_usage_error_is_named_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    services = "" if "[services." in text else SERVICES_OF_GAIA
    (tmp_path / "gaia.toml").write_text(text + services, encoding="utf-8")

    with pytest.raises(ConfigError) as raised:
        _ = Project(tmp_path).suites

    assert str(raised.value).startswith(message)
    with pytest.raises(ConfigError):
        _ = Project(tmp_path).stages


def test_as_shipped_a_release_goes_from_local_to_production(tmp_path: Path) -> None:
    found = stages(tmp_path)

    assert {name: stage.previous for name, stage in found.items()} == {
        "local": None,
        "dev": "local",
        "staging": "dev",
        "production": "staging",
    }
    assert [name for name, stage in found.items() if stage.require_signed] == ["staging", "production"]
    assert found["production"].sign == ("release-manager",)
    assert found["staging"].slos, "without one, nothing could ever show that performance is acceptable"


def test_a_project_changes_a_stage_key_by_key(tmp_path: Path) -> None:
    text = f"""
[env.staging.stage]
soak = "90m"
suites = ["health", "database"]
{FREEZE}from = 2026-12-20T00:00:00+01:00
until = 2027-01-02T00:00:00Z
reason = "holidays"
{SLO}
"""
    staging = stages(tmp_path, text)["staging"]

    assert staging == Stage(
        previous="dev",
        suites=("health", "database"),
        soak=timedelta(minutes=90),
        require_signed=True,
        freezes=(
            Freeze(datetime(2026, 12, 19, 23, tzinfo=UTC), datetime(2027, 1, 2, tzinfo=UTC), "holidays"),
        ),
        slos=(Slo("GET /health", 800),),
    )  # fmt: skip


def test_a_stage_of_the_projects_own_stands_between_two_others(tmp_path: Path) -> None:
    own = '[env.preview]\nurl = "http://preview.example"\nstage.promote_from = "dev"\n[env.staging.stage]\npromote_from = "preview"\n'

    found = stages(tmp_path, own)

    assert found["preview"].previous == "dev"
    assert found["staging"].previous == "preview"


@pytest.mark.parametrize(
    "text",
    [
        '[env.dev]\n[env.production.stage]\npromote_from = "dev"\n',
        '[env.staging]\n[env.soak]\nstage.promote_from = "staging"\n[env.production.stage]\npromote_from = "soak"\n',
        '[env.qa]\nrole = "staging"\n[env.uat]\nstage.promote_from = "qa"\n[env.live]\nrole = "production"\nstage.promote_from = "uat"\n',
        '[env.staging]\n[env.production]\n[env.second]\nrole = "production"\nstage.promote_from = "production"\n',
        '[env.production]\nloopback = true\n[env.production.stage]\nsoak = "0h"\n',
    ],
    ids=["no staging", "a stage between", "two of a role", "two of production", "production on this machine"],
)
def test_a_stage_comes_after_the_nearest_one_that_exists(tmp_path: Path, text: str) -> None:
    (tmp_path / "gaia.toml").write_text(text + SERVICES_OF_GAIA, encoding="utf-8")

    assert Project(tmp_path).stages


def test_a_project_without_dev_begins_later(tmp_path: Path) -> None:
    assert stages(tmp_path, '[env.staging.stage]\npromote_from = ""\n')["staging"].previous is None


def test_a_run_knows_the_stage_of_its_environment_and_where_it_was_set(tmp_path: Path) -> None:
    (tmp_path / "gaia.toml").write_text('[env.staging.stage]\nsoak = "1h"\n' + ON_GAIA, encoding="utf-8")

    staging = resolve(Options(project=Project(tmp_path), environ={}, env="staging"))

    assert staging.stage == Project(tmp_path).stages["staging"]
    assert staging.sources["stage.soak"] == "gaia.toml:2"
    assert staging.sources["stage.promote_from"] == "default"


def test_the_ledger_is_a_folder_unless_the_project_says_otherwise(tmp_path: Path) -> None:
    assert Project(tmp_path).ledger == LedgerSettings(path=".gaia/ledger", keys="keys")
    (tmp_path / "gaia.toml").write_text('[ledger]\ngit = "refs/gaia/ledger"\nremote = "origin"\n', encoding="utf-8")
    assert Project(tmp_path).ledger == LedgerSettings(git="refs/gaia/ledger", remote="origin")


@pytest.mark.parametrize(
    ("text", "length"),
    [("0s", {}), ("45s", {"seconds": 45}), ("30m", {"minutes": 30}), (" 24h ", {"hours": 24}), ("7d", {"days": 7})],
)
def test_durations(text: str, length: dict[str, int]) -> None:
    assert duration(text) == timedelta(**length)


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "1.5h", "1h30m", "1 day", "P1D", "1w", "9999999d", "٣h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        duration(text)
