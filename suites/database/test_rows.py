"""The rows that the services write, and the constraints of the database."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.secrets.masks import Secret
from suites.personas.lifecycle import ROUTE, Personas

if TYPE_CHECKING:
    from pytest_gaia.clients.database.sessions import Session
    from pytest_gaia.clients.http.client import HttpClient
    from pytest_gaia.config.environment import Environment

pytestmark = pytest.mark.gaia(requires=["postgres"])

_PERSONA = "SELECT name, description, personality_traits, is_active FROM personas WHERE id = $1"
_KEY = "SELECT is_active, expires_at, last_used_at FROM api_keys WHERE key_hash = $1"


@pytest.mark.gaia(requires=["api_key"])
async def test_only_the_hash_of_a_key_is_stored(postgres: Session, gaia_env: Environment) -> None:
    row = await postgres.fetchrow(_KEY, _digest(gaia_env.api_key))
    assert row is not None, "the key that this run uses has no row"
    assert row["is_active"]
    stored = await postgres.fetch("SELECT key_hash, name FROM api_keys")
    assert [row["name"] for row in stored if not re.fullmatch("[0-9a-f]{64}", row["key_hash"])] == []
    assert not any(row["name"] and _digest(Secret(row["name"])) == row["key_hash"] for row in stored)


@pytest.mark.gaia(requires=["api_key", "chat"])
async def test_a_call_with_a_key_records_its_time(
    postgres: Session, gateway: HttpClient, gaia_env: Environment
) -> None:
    used = "SELECT last_used_at FROM api_keys WHERE key_hash = $1"
    before = await postgres.fetchval(used, _digest(gaia_env.api_key))
    (await gateway.get("/api/v0.2/providers")).expect(200)
    after = await postgres.fetchval(used, _digest(gaia_env.api_key))
    assert after is not None
    assert before is None or after > before


@pytest.mark.gaia(requires=["chat"], writes=True)
async def test_a_persona_has_a_row_until_it_is_deleted(
    postgres: Session, gateway: HttpClient, personas: Personas
) -> None:
    made = await personas.create()
    persona_id, params = uuid.UUID(made["id"]), {"persona_id": made["id"]}
    row = await postgres.fetchrow(_PERSONA, persona_id)
    assert row is not None, "the persona that was made has no row"
    assert (row["name"], row["description"], row["is_active"]) == (made["name"], made["description"], True)
    assert _decoded(row["personality_traits"]) == made["personality_traits"]
    (await gateway.put(ROUTE, path_params=params, json={"description": "changed by a check"})).expect(200)
    row = await postgres.fetchrow(_PERSONA, persona_id)
    assert row is not None
    assert row["description"] == "changed by a check"
    (await gateway.delete(ROUTE, path_params=params)).expect(200)
    assert await postgres.fetchrow(_PERSONA, persona_id) is None


@pytest.mark.gaia(writes=True)
async def test_deleting_a_user_deletes_its_keys(postgres: Session, unique_name: str) -> None:
    user_id = uuid.uuid4()
    await postgres.execute(
        "INSERT INTO users (id, email, name) VALUES ($1, $2, $2)", user_id, f"{unique_name}@example.com"
    )
    digest = _digest(Secret(unique_name))
    added = "INSERT INTO api_keys (id, user_id, key_hash, name, permissions) VALUES ($1, $2, $3, $4, '{}')"
    await postgres.execute(added, uuid.uuid4(), user_id, digest, unique_name)
    assert await postgres.fetchrow(_KEY, digest) is not None
    await postgres.execute("DELETE FROM users WHERE id = $1", user_id)
    assert await postgres.fetchrow(_KEY, digest) is None


@pytest.mark.gaia(writes=True)
async def test_deleting_a_persona_deletes_its_selection(postgres: Session, unique_name: str) -> None:
    persona_id = uuid.uuid4()
    added = "INSERT INTO personas (id, name, description, system_prompt) VALUES ($1, $2, '', '')"
    await postgres.execute(added, persona_id, unique_name)
    chosen = "INSERT INTO user_persona_preferences (user_id, persona_id) VALUES ($1, $2)"
    await postgres.execute(chosen, unique_name, persona_id)
    await postgres.execute("DELETE FROM personas WHERE id = $1", persona_id)
    left = await postgres.fetchval("SELECT count(*) FROM user_persona_preferences WHERE user_id = $1", unique_name)
    assert left == 0


def _digest(key: Secret | None) -> str:
    """Return the stored row of a key."""
    assert key is not None
    return hashlib.sha256(key.reveal().encode()).hexdigest()


def _decoded(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value
