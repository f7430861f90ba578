"""Stages and objectives in ``gaia env show``."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.cli.settings.values import span
from pytest_gaia.config.stages import duration
from tests.projects import ON_GAIA

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Gaia = Callable[..., Outcome]

STAGE = """\
[env.staging.stage]
soak = "90m"
[[env.staging.stage.freeze]]
from = 2026-12-20T00:00:00Z
until = 2027-01-02T00:00:00Z
why = "holidays"
[[env.staging.slo]]
route = "GET /health"
warn_ms = 300
fail_ms = 800
"""


def shown(gaia: Gaia, name: str) -> dict[str, str]:
    lines = gaia("env", "show", name).out.splitlines()
    return {line.split()[0]: line.split(maxsplit=2)[2] for line in lines if line.startswith(("stage.", "slo"))}


def test_a_stage_is_shown_with_its_places(gaia: Gaia, project: Path) -> None:
    (project / "gaia.toml").write_text(STAGE + ON_GAIA, encoding="utf-8")

    assert shown(gaia, "staging") == {
        "stage.promote_from": "dev",
        "stage.suites": "those of the environment",
        "stage.services": "those that are deployed",
        "stage.soak": "90m",
        "stage.max_evidence_age": "7d",
        "stage.required_approvals": "none",
        "stage.require_signed": "yes",
        "stage.freeze": "2026-12-20T00:00:00+00:00 to 2027-01-02T00:00:00+00:00: holidays",
        "slo": "GET /health: p95 below 800 ms, warned from 300 ms, of 20 samples or more",
    }
    values = json.loads(gaia("env", "show", "staging", "--json").out)["settings"]
    assert values["stage.soak"] == {"value": "90m", "source": "gaia.toml:2"}
    assert values["stage.require_signed"] == {"value": True, "source": "default"}
    assert values["slo"]["source"] == "gaia.toml:7"


def test_the_first_stage_and_what_is_none(gaia: Gaia, project: Path) -> None:
    assert shown(gaia, "local")["stage.promote_from"] == "the first stage"
    assert not [key for key in shown(gaia, "sandbox") if key.startswith("stage.")]


@pytest.mark.parametrize("text", ["0s", "45s", "90s", "30m", "12h", "7d"])
def test_a_duration_is_shown_as_it_is_written(text: str) -> None:
    assert span(duration(text)) == text


def test_the_largest_unit_that_holds_it_is_shown() -> None:
    assert [span(timedelta(**each)) for each in ({"hours": 24}, {"minutes": 60}, {"seconds": 120})] == [
        "1d",
        "1h",
        "2m",
    ]
