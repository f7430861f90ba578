"""The reference agrees with the code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from pytest_gaia.expectations import lint
from pytest_gaia.expectations.files import expectation_from
from pytest_gaia.expectations.formatting import KEY_ORDER
from pytest_gaia.expectations.schema import ExpectationTable, MatchTable
from pytest_gaia.expectations.subjects import KINDS, parse_selector
from pytest_gaia.files.decoding import keys_of
from tests.expectations.build import ENVIRONMENTS, PLATFORM

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = (DOCS / "reference/expectations.md").read_text(encoding="utf-8")


def first_cells(heading: str) -> list[str]:
    """The codes in the first cells of the table below a heading."""
    section = REFERENCE.partition(f"# {heading}\n")[2].partition("\n#")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [code for cell in cells for code in re.findall("`(.*?)`", cell)]


def test_every_key_is_described_in_its_order() -> None:
    assert first_cells("Keys") == list(KEY_ORDER)
    assert set(KEY_ORDER) == set(keys_of(ExpectationTable))


def test_every_field_of_a_signature_and_every_kind_is_described() -> None:
    assert first_cells("Signatures") == list(keys_of(MatchTable))
    line = next(line for line in REFERENCE.splitlines() if line.startswith("| `kind`"))
    assert all(f"`{kind}`" in line for kind in KINDS)


def test_selectors_are_ranked_as_described() -> None:
    ranks = [parse_selector(text).rank for text in first_cells("Selectors") if text != "marker:slow"]

    assert ranks == sorted(ranks, reverse=True)
    assert len(set(ranks)) == len(ranks) == 7


def test_every_check_of_lint_is_described_with_its_level() -> None:
    written = set(re.findall(r'_finding\(\s*"(\w+)",\s*"([\w-]+)"', inspect.getsource(lint))) | {
        ("error", "invalid"),
        ("error", "format"),
        ("error", "broader"),
        ("error", "removed-exception"),
    }
    table = REFERENCE.partition("### Checks\n")[2]
    described = {(level, check) for check, level in re.findall(r"^\| `([\w-]+)` \| (\w+) \|", table, re.MULTILINE)}

    assert described == written


def test_every_command_is_described() -> None:
    from pytest_gaia.cli.app import load

    assert {code.split()[2] for code in first_cells("`gaia expectations`")} == set(load("expectations").commands)


def test_the_example_is_an_expectation() -> None:
    example = REFERENCE.partition("```toml\n")[2].partition("```")[0]

    assert expectation_from(example, "suites/expectations/example.toml", ENVIRONMENTS, PLATFORM).max_failures == 8
