"""The tables of the platform: columns and their kinds, required columns and unique columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_gaia.clients.database.sessions import Session

pytestmark = pytest.mark.gaia(requires=["postgres"])

KINDS = {
    "text": {"text", "character varying"},
    "time": {"timestamp with time zone", "timestamp without time zone"},
    "number": {"integer", "bigint"},
    "uuid": {"uuid"},
    "jsonb": {"jsonb"},
    "boolean": {"boolean"},
}
"""kind → names of PostgreSQL's types"""

TIMES = {"created_at": "time", "updated_at": "time"}

TABLES = {
    "users": {"id": "uuid", "email": "text", "name": "text", **TIMES},
    "api_keys": {
        "id": "uuid",
        "user_id": "uuid",
        "key_hash": "text",
        "name": "text",
        "permissions": "jsonb",
        "is_active": "boolean",
        "expires_at": "time",
        "last_used_at": "time",
        **TIMES,
    },
    "chat_messages": {
        "user_id": "uuid",
        "conversation_id": "uuid",
        "role": "text",
        "content": "text",
        "model": "text",
        "provider": "text",
        "tokens_used": "number",
        "created_at": "time",
    },
    "assets": {
        "user_id": "uuid",
        "type": "text",
        "name": "text",
        "description": "text",
        "url": "text",
        "metadata": "jsonb",
        "generation_params": "jsonb",
        "status": "text",
        **TIMES,
    },
    "personas": {
        "id": "uuid",
        "name": "text",
        "description": "text",
        "system_prompt": "text",
        "personality_traits": "jsonb",
        "capabilities": "jsonb",
        "is_active": "boolean",
        "created_by": "text",
        **TIMES,
    },
    "user_persona_preferences": {"user_id": "text", "persona_id": "uuid", "updated_at": "time"},
}
"""table → column → kind"""

UNIQUE = [
    ("users", "id"),
    ("users", "email"),
    ("api_keys", "id"),
    ("api_keys", "key_hash"),
    ("personas", "id"),
    ("personas", "name"),
    ("user_persona_preferences", "user_id"),
]
"""table and column with required, unique values"""

_COLUMNS = """
    SELECT column_name, data_type, is_nullable = 'YES' AS optional FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name = $1
"""
_UNIQUE = """
    SELECT array_agg(attname::text) AS columns
    FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
    WHERE indrelid = to_regclass($1) AND indisunique GROUP BY indexrelid
"""
_REFERENCES = """
    SELECT confrelid::regclass::text AS target, confdeltype = 'c' AS cascades
    FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND conkey = ARRAY[attnum]
    WHERE contype = 'f' AND conrelid = to_regclass($1) AND attname = $2
"""


@pytest.mark.parametrize("table", TABLES)
async def test_a_table_has_its_columns(postgres: Session, table: str) -> None:
    found = {row["column_name"]: row["data_type"] for row in await postgres.fetch(_COLUMNS, table)}
    assert TABLES[table].keys() <= found.keys(), f"{table} lacks a column"
    wrong = {name: found[name] for name, kind in TABLES[table].items() if found[name] not in KINDS[kind]}
    assert not wrong, f"{table} has columns of another type"


@pytest.mark.parametrize(("table", "column"), UNIQUE)
async def test_a_column_is_unique(postgres: Session, table: str, column: str) -> None:
    optional = {row["column_name"]: row["optional"] for row in await postgres.fetch(_COLUMNS, table)}
    assert optional[column] is False
    assert [column] in [row["columns"] for row in await postgres.fetch(_UNIQUE, table)]


@pytest.mark.parametrize(
    ("table", "column", "target", "cascades"),
    [
        ("api_keys", "user_id", "users", True),
        ("user_persona_preferences", "persona_id", "personas", True),
        ("chat_messages", "user_id", "users", None),
        ("assets", "user_id", "users", None),
    ],
)
async def test_a_foreign_key_refers_to_its_table(
    postgres: Session, table: str, column: str, target: str, cascades: bool | None
) -> None:
    (reference,) = await postgres.fetch(_REFERENCES, table, column)
    assert reference["target"].removeprefix("public.") == target
    # None accepts both.
    assert cascades in (None, reference["cascades"])
