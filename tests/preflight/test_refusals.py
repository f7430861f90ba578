"""What stops a deployment: nothing could be proved after it, or it could harm another environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.preflight.lint import ALL_CHECKS, refusals
from tests.config.reading import files_in
from tests.preflight.cases import A_PRODUCTION, APP, CHECK, ENV, N_PRODUCTION, URL
from tests.preflight.sets import CORRECTED, Change, changed, look

if TYPE_CHECKING:
    from pathlib import Path

DATABASE = f'{ENV}\nDATABASE_URL = "{URL.format("db.example.com")}"'


def refused(directory: Path, *beside: str) -> list[str]:
    deployment = files_in(directory).deployment("production", "fly")
    return [
        each.check
        for each in refusals(
            deployment,
            [files_in(directory).deployment(name, "fly") for name in beside],
        )
    ]


def test_right_files_are_not_refused() -> None:
    assert refused(CORRECTED, "staging") == []


@pytest.mark.parametrize(
    ("check", "old", "new"),
    [
        ("no-health-check", CHECK, ""),
        ("check-off-port", "[[http_service.checks]]", "[[services.http_checks]]"),
        ("port-mismatch", 'PORT = "8000"', 'PORT = "8080"'),
        ("foreign-host", ENV, f'{ENV}\nPEER_URL = "https://gaia-chat-staging.fly.dev"'),
        ("duplicate-app", APP, 'app = "gaia-chat-production"'),
    ],
)
def test_what_could_not_be_proved_or_would_harm_is_refused(check: str, old: str, new: str, tmp_path: Path) -> None:
    assert refused(changed(tmp_path, Change(A_PRODUCTION, old, new))) == [check]


def test_other_usage_errors_do_not_stop_a_deployment(tmp_path: Path) -> None:
    change = Change(A_PRODUCTION, "min_machines_running = 2", "min_machines_running = 1")

    assert refused(changed(tmp_path, change)) == []


def test_what_an_environment_shares_is_seen_beside_the_other(tmp_path: Path) -> None:
    staging = Change("fly.auth.staging.toml", 'ENVIRONMENT = "staging"', DATABASE.replace("production", "staging"))
    directory = changed(tmp_path, Change(A_PRODUCTION, ENV, DATABASE), staging)

    assert refused(directory) == []
    assert refused(directory, "staging") == ["shared-database"]


@pytest.mark.parametrize(("reason", "found"), [("because Fly asks it itself", []), ("", ["no-health-check"])])
def test_a_reason_lifts_a_refusal(reason: str, found: list[str], tmp_path: Path) -> None:
    changes = [
        Change(A_PRODUCTION, CHECK, ""),
        Change(A_PRODUCTION, "[http_service]", f"[http_service]  # gaia: allow no-health-check {reason}"),
    ]

    assert refused(changed(tmp_path, *changes)) == found


def test_a_broker_that_is_checked_on_another_port_is_not_refused(tmp_path: Path) -> None:
    monitoring = '[checks.monitoring]\ntype = "http"\nport = 8222\npath = "/healthz"'
    directory = changed(tmp_path, Change(N_PRODUCTION, "[[services.tcp_checks]]", monitoring))

    assert refused(directory) == []
    assert [each.check for each in look(directory, "production") if each.check == "no-health-check"] == [
        "no-health-check"
    ]


def test_only_errors_refuse() -> None:
    assert {check.severity for check in ALL_CHECKS if check.refuses} == {"error"}
