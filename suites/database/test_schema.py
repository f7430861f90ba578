"""The tables of the platform: columns and their kinds, keys, and what may not be there twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_gaia.clients.sessions import Session

pytestmark = pytest.mark.gaia(requires=["postgres"])

TIMES = {"created_at": "timestamp", "updated_at": "timestamp"}

TABLES: dict[str, dict[str, str]] = {
    "users": {"id": "uuid", "email": "character varying", "name": "character varying", **TIMES},
    "api_keys": {
        "id": "uuid",
        "user_id": "uuid",
        "key_hash": "character varying",
        "name": "character varying",
        "permissions": "jsonb",
        "is_active": "boolean",
        "expires_at": "timestamp",
        "last_used_at": "timestamp",
        **TIMES,
    },
    "chat_messages": {
        "id": "uuid",
        "user_id": "uuid",
        "conversation_id": "uuid",
        "role": "character varying",
        "content": "text",
        "model": "character varying",
        "provider": "character varying",
        "tokens_used": "integer",
        "created_at": "timestamp",
    },
    "assets": {
        "id": "uuid",
        "user_id": "uuid",
        "type": "character varying",
        "name": "character varying",
        "description": "text",
        "url": "text",
        "metadata": "jsonb",
        "generation_params": "jsonb",
        "status": "character varying",
        **TIMES,
    },
    "personas": {
        "id": "uuid",
        "name": "character varying",
        "description": "text",
        "system_prompt": "text",
        "personality_traits": "jsonb",
        "capabilities": "jsonb",
        "is_active": "boolean",
        "created_by": "character varying",
        **TIMES,
    },
    "user_persona_preferences": {"user_id": "", "persona_id": "uuid", "updated_at": "timestamp"},
}
"""table → column → how its type's name begins"""

_COLUMNS = """
    SELECT column_name, data_type FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name = $1
"""
_KEYS = """
    SELECT contype::text AS kind, confdeltype::text AS on_delete, confrelid::regclass::text AS target,
        (SELECT array_agg(attname::text) FROM pg_attribute WHERE attrelid = conrelid AND attnum = ANY (conkey)) AS columns
    FROM pg_constraint WHERE conrelid = to_regclass($1)
"""
_UNIQUE = """
    SELECT array_agg(attname::text) AS columns FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
    WHERE indrelid = to_regclass($1) AND indisunique GROUP BY indexrelid
"""


@pytest.mark.parametrize("table", TABLES)
async def test_a_table_has_its_columns(postgres: Session, table: str) -> None:
    found = {row["column_name"]: row["data_type"] for row in await postgres.fetch(_COLUMNS, table)}
    wrong = {
        name: found.get(name) for name, kind in TABLES[table].items() if not (found.get(name) or "-").startswith(kind)
    }
    assert not wrong, f"{table}: expected {[TABLES[table][name] for name in wrong]}"
    assert TABLES[table].keys() <= found.keys()


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("users", "email"),
        ("api_keys", "key_hash"),
        ("personas", "name"),
        ("user_persona_preferences", "user_id"),
        *((table, "id") for table in TABLES if "id" in TABLES[table]),
    ],
)
async def test_a_value_is_there_once(postgres: Session, table: str, column: str) -> None:
    assert [column] in [row["columns"] for row in await postgres.fetch(_UNIQUE, table)]


@pytest.mark.parametrize(
    ("table", "column", "target", "cascades"),
    [
        ("api_keys", "user_id", "users", True),
        ("user_persona_preferences", "persona_id", "personas", True),
        ("chat_messages", "user_id", "users", False),
        ("assets", "user_id", "users", False),
    ],
)
async def test_a_row_refers_to_one_that_there_is(
    postgres: Session, table: str, column: str, target: str, cascades: bool
) -> None:
    keys = [row for row in await postgres.fetch(_KEYS, table) if row["kind"] == "f" and row["columns"] == [column]]
    assert [key["target"].removeprefix("public.") for key in keys] == [target]
    if cascades:
        assert keys[0]["on_delete"] == "c"
