"""Text from files, services and ledger entries is shown as text only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.promotion.ledger.statements import WAIVER, WaiverPredicate
from tests.hostile import HOSTILE, planted
from tests.observation.scripted import ScriptedService, healthy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome
    from tests.cli.evidence import Underway

    Gaia = Callable[..., Outcome]

QUOTED = json.dumps(HOSTILE)
"""as YAML and JSON write it"""


@pytest.fixture(autouse=True)
def in_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")


@pytest.mark.parametrize(
    "services",
    [
        f'gateway:\n    image: x\n    environment: {{{QUOTED}: "postgresql://u:planted@db/x"}}',
        f"gateway:\n    image: x\n  {QUOTED}:\n    image: planted",
        f"{QUOTED}:\n    image: x",
    ],
    ids=["variable", "service", "no platform"],
)
def test_deploy_files(gaia: Gaia, project: Path, services: str) -> None:
    (project / "docker-compose.yml").write_text(f"services:\n  {services}\n", encoding="utf-8")

    for options in ((), ("--json",)):
        outcome = gaia("config", "lint", *options)
        assert planted(outcome.out + outcome.err) == []
        assert "planted" in outcome.out + outcome.err
        assert not any(line.startswith("::error file=planted") for line in outcome.out.splitlines())
    if outcome.code != 4:
        assert any(HOSTILE in each["key"] for each in json.loads(outcome.out))


def test_documents_of_an_api(gaia: Gaia, project: Path) -> None:
    for name, paths in (("a", {f"/b{HOSTILE}": {"get": {"responses": {"200": {"description": "x"}}}}}), ("b", {})):
        (project / name).mkdir()
        (project / name / "gateway.json").write_text(json.dumps({"openapi": "3.0.0", "paths": paths}))

    code, out, err = gaia("api", "diff", "a", "b")

    assert (code, err, len(out.splitlines())) == (1, "", 3)
    assert planted(out) == []
    assert "GET /b1.0 ::error file=planted::planted" in out


def test_the_version_of_a_service(gaia: Gaia, project: Path) -> None:
    service = ScriptedService(healthy(HOSTILE))
    try:
        text = (project / "gaia.toml").read_text()
        (project / "gaia.toml").write_text(
            f'{text}[env.dev]\ntopology = "gateway-only"\n[env.dev.urls]\ngateway = "{service.url}"\n'
        )
        shown = [
            gaia(*command) for command in (("status", "dev"), ("status", "dev", "--json"), ("status", "dev", "--probe"))
        ]
    finally:
        service.close()

    assert [planted(outcome.out + outcome.err) for outcome in shown] == [[], [], []]
    assert all("1.0 ::error file=planted" in outcome.out for outcome in shown)
    assert len([line for line in shown[0].out.splitlines() if "planted" in line]) == 1


def test_what_a_person_says(gaia: Gaia, pipeline: Underway) -> None:
    """Also where the entry was not written by ``gaia``."""
    pipeline.waive("feature-complete", "dev", "rita", "release-manager", reason=HOSTILE, signer=HOSTILE)

    for command in (
        ("ledger", "list"),
        ("release", "check", pipeline.id, "--env", "dev"),
        ("release", "report", pipeline.id, "--env", "dev", "--format", "markdown"),
        ("release", "report", pipeline.id, "--env", "dev", "--format", "html"),
    ):
        outcome = gaia(*command)
        assert planted(outcome.out.replace("\u2060", "") + outcome.err) == [], command
    assert "planted" in outcome.out


def test_a_reason_is_written_on_one_line(gaia: Gaia, pipeline: Underway, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline.hold("rita", monkeypatch)
    waive = (
        "release",
        "waive",
        pipeline.id,
        "rollback-ready",
        "--env",
        "production",
        "--reason",
        HOSTILE,
        "--until",
        "2d",
    )

    assert gaia(*waive).code == 0
    (entry,) = [each for each in pipeline.entries() if each.kind == WAIVER]
    assert isinstance(entry.predicate, WaiverPredicate)
    assert "\n" not in entry.predicate.reason
    assert "\x1b" not in entry.predicate.reason


@pytest.mark.parametrize("given", ["../../etc/passwd", "/etc/passwd", f"./{HOSTILE}.json"])
def test_a_release_is_named_as_it_was_given(gaia: Gaia, project: Path, given: str) -> None:
    code, out, err = gaia("release", "check", given, "--env", "production")

    assert (code, out, planted(err)) == (4, "", [])
    assert err.startswith(f"gaia: {given[:5]}")
    assert len(err.splitlines()) == 1
