"""``gaia scale``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cli.terminals import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome
    from tests.fake_tools import FakeTools

    Gaia = Callable[..., Outcome]


def test_machines_and_memory_are_set_and_shown(operated: Path, gaia: Gaia, fake_tools: FakeTools) -> None:
    code, out, _ = gaia("scale", "staging", "gateway", "--count", "3", "--memory", "4096")

    heads, *rows = [line.split() for line in out.splitlines()]
    assert (code, heads) == (0, ["app", "machine", "group", "state", "region", "memory"])
    assert [(row[0], *row[2:4], *row[5:]) for row in rows] == [
        ("gaia-gateway-staging", "app", "started", "4096", "MB")
    ] * 3
    assert len(fake_tools.machines("gaia-gateway-staging")) == 3
    assert len(fake_tools.machines("gaia-auth-staging")) == 1


def test_json_is_one_document(operated: Path, gaia: Gaia) -> None:
    code, out, _ = gaia("scale", "staging", "gateway", "--memory", "1024", "--json")

    document = json.loads(out)
    assert (code, document["app"], document["service"]) == (0, "gaia-gateway-staging", "gateway")
    assert [machine["memory_mb"] for machine in document["machines"]] == [1024]


def test_a_dry_run_prints_the_commands(operated: Path, gaia: Gaia, fake_tools: FakeTools) -> None:
    code, out, err = gaia("scale", "production", "gateway", "--count", "3", "--memory", "4096", "--dry-run")

    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "fly scale memory 4096 -a gaia-gateway-production",
        "fly scale count 3 -a gaia-gateway-production --yes",
    ]
    assert fake_tools.calls() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["staging", "gateway"], "nothing to scale. Pass --count N, --memory MB, or both."),
        (["staging", "gatway", "--count", "2"], "did you mean gateway?"),
        (["staging", "nats", "--count", "2"], "nats has no deploy file for staging"),
        (["preview", "gateway", "--count", "2"], "preview has no deployment"),
        (["staging", "gateway", "--count", "0"], "--count"),
        (["staging", "gateway", "--memory", "lots"], "--memory"),
        (["production", "gateway", "--count", "2"], "stdin is not a terminal. Pass --confirm production"),
        (["production", "gateway", "--count", "2", "--confirm", "prod"], "but the environment is production"),
    ],
)
def test_a_usage_error_is_one_message_and_nothing_is_scaled(
    operated: Path, gaia: Gaia, fake_tools: FakeTools, arguments: list[str], message: str
) -> None:
    code, out, err = gaia("scale", *arguments)

    assert (code, out) == (4, "")
    assert message in err
    assert fake_tools.calls("fly", "scale") == []


def test_services_of_a_compose_file_are_not_scaled(operated: Path, gaia: Gaia) -> None:
    code, _, err = gaia("scale", "local", "gateway", "--count", "2")

    assert code == 4
    assert "local is deployed by the hook 'compose'. Only services on Fly can be scaled" in err


def test_production_asks_for_its_name(operated: Path, fake_tools: FakeTools) -> None:
    with Terminal("scale", "production", "gateway", "--count", "3") as terminal:
        terminal.read_until("Set gaia-gateway-production to 3 machines? Type its name, production, to continue: ")
        terminal.type("production\n")
        assert terminal.end() == 0

    assert len(fake_tools.machines("gaia-gateway-production")) == 3


@pytest.mark.parametrize(("fault", "code"), [("rate-limited", 12), ("lease-held", 12), ("unauthorised", 4)])
def test_a_failed_tool_shows_the_reason(
    operated: Path, gaia: Gaia, fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch, fault: str, code: int
) -> None:
    monkeypatch.setattr("pytest_gaia.deploy.fly.operations._FIRST_PAUSE", 0.01)
    fake_tools.fault("gaia-gateway-staging", fault)

    ended, out, err = gaia("scale", "staging", "gateway", "--count", "2")

    assert (ended, out) == (code, "")
    assert "fly scale count" in err
