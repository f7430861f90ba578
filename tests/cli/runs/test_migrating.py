"""The migration page has a row for every command and option of the old scripts, with a valid command line."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer

from pytest_gaia.cli.app import root, split_extra

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome

    Gaia = Callable[..., Outcome]

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "migrating.md"
ROW = re.compile(r"^\| `(?P<old>[^`]+)` \| `(?P<new>[^`]+)` \|", re.MULTILINE)
ROWS = [(found["old"], found["new"]) for found in ROW.finditer(PAGE.read_text(encoding="utf-8"))]
MANAGE = ["deploy-and-test", "quick-test", "full-test", "monitor", "rollback", "scale", "logs", "status"]
DEPLOY = {
    "--env": ["dev", "staging", "production"],
    "--services": ["all", '"gateway auth"'],
    "--region": ["lax"],
    "--database": ["fly", "supabase"],
    "--rebuild": [""],
    "--remote-only": [""],
    "--dry-run": [""],
}
TEST = ["--local", "--dev", "--staging", "--prod", "--url"]


def old(script: str) -> list[str]:
    return [before.removeprefix(f"{script} ") for before, _ in ROWS if before.startswith(f"{script} ")]


def test_every_command_of_manage_sh_has_one_row() -> None:
    assert [line.split()[0] for line in old("manage.sh")] == MANAGE


def test_every_option_of_deploy_sh_has_a_row_for_each_of_its_values() -> None:
    lines = old("deploy.sh")

    assert [
        (option, value)
        for option, values in DEPLOY.items()
        for value in values
        if not any(line.endswith(f"{option} {value}".strip()) for line in lines)
    ] == []
    assert {word for line in lines for word in line.split() if word.startswith("--")} == set(DEPLOY)


def test_every_option_of_test_sh_has_a_row() -> None:
    assert [option for option in TEST if not any(line.startswith(option) for line in old("test.sh"))] == []


@pytest.mark.parametrize("line", sorted({new for _, new in ROWS}))
def test_each_new_command_line_is_valid(line: str) -> None:
    gaia, *words = shlex.split(line)
    given, _ = split_extra(words)
    command = root()

    assert gaia == "gaia"
    # Parsing without running: a usage error would be raised.
    context = command.make_context("gaia", given)
    while isinstance(context.command, typer.core.TyperGroup):
        name, inner, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
        assert inner is not None
        context = inner.make_context(name, rest, parent=context)


@pytest.mark.parametrize(
    "line",
    sorted({new for _, new in ROWS if new.split()[1] in ("deploy", "scale", "test", "legacy")}),
)
def test_a_dry_run_shows_the_commands(operated: Path, gaia: Gaia, line: str) -> None:
    for service in ("auth", "gateway"):
        staging = (operated / "deploy" / f"fly.{service}.staging.toml").read_text()
        (operated / "deploy" / f"fly.{service}.dev.toml").write_text(staging.replace("staging", "dev"))
    with (operated / "gaia.toml").open("a") as file:
        file.write('[env.dev]\nfrom = "fly"\n')
    words = shlex.split(line)[1:]

    code, out, err = gaia(*words, *([] if "--dry-run" in words else ["--dry-run"]))

    assert (code, err) == (0, "")
    assert out.startswith(("fly ", "pytest "))
