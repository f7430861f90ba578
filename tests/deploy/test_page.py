"""The reference of deploy hooks agrees with the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest

from pytest_gaia.deploy.contract import EXIT_STATUSES, Machine, Observation, Phase, Reply, Request
from pytest_gaia.deploy.fly._hook import deploy_arguments
from pytest_gaia.deploy.fly.operations import VARIABLES
from pytest_gaia.deploy.outcome import GOOD, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    import msgspec

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "deploy-hooks.md").read_text(encoding="utf-8")


def missing(names: Iterable[str], part: str) -> list[str]:
    return [name for name in names if f"`{name}`" not in part]


def section(title: str) -> str:
    return re.split(r"^#{2,3} ", PAGE.partition(f"# {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


@pytest.mark.parametrize(("title", "shape"), [("Request", Request), ("Reply", Reply)])
def test_every_field_is_explained(title: str, shape: type[msgspec.Struct]) -> None:
    assert missing(shape.__struct_encode_fields__, section(title)) == []


@pytest.mark.parametrize("shape", [Observation, Machine])
def test_every_field_of_what_is_observed_is_named(shape: type[msgspec.Struct]) -> None:
    assert missing(shape.__struct_encode_fields__, section("Reply")) == []


def test_every_phase_and_every_exit_code_is_named() -> None:
    rows = [f"| {code} | `{status}` |" for code, status in EXIT_STATUSES.items()]

    assert missing(get_args(Phase), section("The contract")) == []
    assert [row for row in rows if row not in PAGE] == []


def test_every_outcome_is_named_with_whether_it_is_good() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| (yes|no)\b.*", section("Outcomes"), re.MULTILINE)

    assert {(name, good == "yes") for name, good in rows} == {(kind, kind in GOOD) for kind in get_args(Kind)}


def test_the_command_of_a_deployment_is_the_one_that_runs(tmp_path: Path) -> None:
    words = next(line for line in PAGE.splitlines() if line.startswith("fly deploy")).split()
    config = tmp_path / "fly.auth.staging.toml"
    config.write_text("[http_service]\nmin_machines_running = 1\n")
    words[words.index("-c") + 1] = str(config)
    app, image = words[words.index("-a") + 1], words[words.index("--image") + 1]

    asked = Request(phase="deploy", environment="staging", service="auth", app=app, config=str(config), image=image)

    assert words[1:] == list(deploy_arguments(asked))


def test_every_variable_is_named() -> None:
    assert missing((f"{name}={value}" for name, value in VARIABLES.items()), PAGE) == []
