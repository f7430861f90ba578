"""The verdict file matches its published schema."""

from __future__ import annotations

import json
from pathlib import Path

from pytest_gaia.verdict.evaluated import EXIT_CODES
from pytest_gaia.verdict.report import FORMAT, schema

PUBLISHED = Path(__file__).parents[2] / "docs" / "reference" / "verdict.schema.json"


def test_the_published_schema_is_the_codes() -> None:
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == schema(), (
        "write it anew: .venv/bin/python -c 'import json; from pytest_gaia.verdict.report import schema; "
        f"print(json.dumps(schema(), indent=2))' > {PUBLISHED}"
    )


def test_the_schema_names_the_format_and_every_verdict() -> None:
    properties = schema()["$defs"]["VerdictFile"]["properties"]

    assert properties["format"]["enum"] == [FORMAT]
    assert set(properties["verdict"]["enum"]) == set(EXIT_CODES)


def test_a_file_from_before_addresses_and_left_out_tests_were_recorded_is_read() -> None:
    assert "partial" not in schema()["$defs"]["VerdictFile"]["required"]
    assert "addresses" not in schema()["$defs"]["VerdictFile"]["required"]
    assert "address" not in schema()["$defs"]["ServiceHealth"]["required"]
