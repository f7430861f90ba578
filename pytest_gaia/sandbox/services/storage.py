"""The tables of the platform and the rows that every cell starts with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncpg import Connection

USER_ID = "6a1a0000-0000-4000-8000-000000000001"
"""The user whose API key ``seed`` stores."""

MU = {
    "name": "Mu",
    "description": "A cheerful robot companion for virtual worlds",
    "system_prompt": "You are Mu, a cheerful robot companion. Answer briefly and kindly.",
    "personality_traits": {"cheerful": True, "helpful": True, "playful": True},
    "capabilities": {"vr_interaction": True, "asset_generation": True, "multi_language": False},
}
"""The first persona."""

ADD_PERSONA = """
    INSERT INTO personas (name, description, system_prompt, personality_traits, capabilities, created_by)
    VALUES ($1, $2, $3, $4, $5, $6) RETURNING *
"""


def schema() -> str:
    """Return the SQL that creates the platform's tables in an empty database."""
    return Path(__file__).with_name("schema.sql").read_text("utf-8")


def key_hash(api_key: str) -> str:
    """Return what the platform stores of an API key: its SHA-256 in hexadecimal."""
    return hashlib.sha256(api_key.encode()).hexdigest()


async def seed(connection: Connection, api_key: str) -> None:
    """Add the first user, the hash of its API key, and the persona Mu."""
    await connection.execute(
        "INSERT INTO users (id, email, name) VALUES ($1, $2, $3)", USER_ID, "sandbox@example.com", "Sandbox User"
    )
    await connection.execute(
        "INSERT INTO api_keys (user_id, key_hash, name, permissions) VALUES ($1, $2, $3, $4)",
        USER_ID,
        key_hash(api_key),
        "sandbox",
        json.dumps({"read": True, "write": True}),
    )
    await connection.execute(ADD_PERSONA, *persona_values(MU, "system"))


def persona_values(persona: Mapping[str, object], created_by: str) -> tuple[object, ...]:
    """Return the parameters of ``ADD_PERSONA``."""
    traits = (json.dumps(persona.get(name) or {}) for name in ("personality_traits", "capabilities"))
    return (persona["name"], persona["description"], persona["system_prompt"], *traits, created_by)
