"""The reference agrees with the code: kinds of fault, variables, folders."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_gaia.sandbox import directories
from pytest_gaia.sandbox._services.faults import KINDS, REQUIRED
from pytest_gaia.sandbox._stacks import STOP

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs" / "reference" / "sandbox.md").read_text("utf-8")


def section(title: str) -> str:
    """Return the text below a heading."""
    return REFERENCE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def rows(title: str) -> dict[str, str]:
    """Return the rows of the table below a heading: the code in its first column → the rest."""
    found = re.findall(r"^\| (`[a-z_A-Z]+`(?:, `[a-z_A-Z]+`)*) \|(.*)\|$", section(title), re.MULTILINE)
    return {name.strip("`"): rest for names, rest in found for name in names.split(", ")}


def test_every_kind_of_fault_is_described() -> None:
    assert set(rows("Faults")) == {STOP, *KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_the_arguments_of_a_fault_are_described(kind: str) -> None:
    described = rows("Faults")[kind]

    for name, default in KINDS[kind].items():
        assert f"`{name}`" in described
        if default not in (REQUIRED, None):
            assert f"`{name}` = {default}" in described


def test_every_variable_of_the_sandbox_is_described() -> None:
    sources = [*(ROOT / "pytest_gaia" / "sandbox").glob("*.py"), ROOT / "pytest_gaia" / "run" / "sandbox.py"]
    used = {name for path in sources for name in re.findall(r'environ\.get\("(GAIA_\w+)"', path.read_text("utf-8"))}

    assert used == {name for name in rows("Variables") if name.startswith("GAIA_")}


def test_the_bound_for_memory_is_the_one_described() -> None:
    assert f"less than {directories.ENOUGH // 1024 // 1024} MB" in REFERENCE
