"""Which migration a release needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.release.making import migration_head

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, *names: str, text: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(text, encoding="utf-8")


def alembic(folder: Path, revision: str, down: str, *, typed: bool = False) -> None:
    kind = ": str | None" if typed else ""
    text = (
        f'"""make {revision}"""\nfrom alembic import op\nrevision{kind} = "{revision}"\ndown_revision{kind} = {down}\n'
    )
    write(folder, f"{revision}_x.py", text=f"{text}raise SystemExit('a migration is read, never run')\n")


def test_a_project_without_migrations_has_no_head(tmp_path: Path) -> None:
    assert migration_head(tmp_path) == ""
    write(tmp_path / "migrations", "README.md", "env.py")
    assert migration_head(tmp_path) == ""


@pytest.mark.parametrize(
    ("names", "newest"),
    [
        (["2_b.sql", "10_a.sql", "9_z.sql"], "10_a"),
        (["V1__a.sql", "V2.1__b.sql", "V2__c.sql", "V10__d.sql"], "V10__d"),
        (["20260101_a.sql", "20251231_b.sql", "helpers.sql"], "20260101_a"),
        (["0001_a.py", "0002_b.py", "__init__.py"], "0002_b"),
        (["1_a.up.sql", "1_a.down.sql", "2_b.up.sql", "2_b.down.sql"], "2_b.up"),
    ],
)
def test_numbered_files_follow_one_another_by_their_numbers(tmp_path: Path, names: list[str], newest: str) -> None:
    write(tmp_path / "migrations", *names)

    assert migration_head(tmp_path) == newest


def test_the_head_of_alembic_is_what_none_follows_whatever_the_names(tmp_path: Path) -> None:
    versions = tmp_path / "alembic" / "versions"
    alembic(versions, "f00", "None")
    alembic(versions, "a11", '"f00"', typed=True)
    alembic(versions, "b22", '"f00"')
    alembic(versions, "c33", '("a11", "b22")')

    assert migration_head(tmp_path) == "c33"


def test_several_heads_are_for_the_user_to_decide(tmp_path: Path) -> None:
    versions = tmp_path / "alembic" / "versions"
    alembic(versions, "f00", "None")
    alembic(versions, "a11", '"f00"')
    alembic(versions, "b22", '"f00"')

    with pytest.raises(ConfigError, match=r"has 2 heads: a11, b22\. Merge them .*--migration-head"):
        migration_head(tmp_path)


def test_so_are_two_kinds_of_migrations(tmp_path: Path) -> None:
    alembic(tmp_path / "alembic" / "versions", "f00", "None")
    write(tmp_path / "migrations", "0001_a.sql")

    with pytest.raises(ConfigError, match=r"f00 in alembic/versions, 0001_a in migrations\. Select one"):
        migration_head(tmp_path)


def test_a_migration_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write(tmp_path / "alembic" / "versions", "broken_x.py", text="revision = (")

    with pytest.raises(ConfigError, match=r"broken_x\.py: this migration cannot be read"):
        migration_head(tmp_path)
