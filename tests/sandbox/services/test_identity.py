"""Authentication: keys through the database, tokens by signature, audience and age."""

from __future__ import annotations

import hashlib
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.sandbox.services.platform import Platform

PROVIDERS = "GET /api/v0.2/providers"


async def _add_key(platform: Platform, **columns: object) -> str:
    key = str(uuid.uuid4())
    names = ", ".join(("key_hash", "user_id", *columns))
    values = (hashlib.sha256(key.encode()).hexdigest(), *columns.values())
    places = ", ".join(f"${number}" for number in range(2, len(values) + 1))
    user = "(SELECT id FROM users LIMIT 1)"
    await platform.rows(f"INSERT INTO api_keys ({names}) VALUES ($1, {user}{', ' * bool(columns)}{places})", *values)
    return key


async def test_use_of_a_key_is_noted(platform: Platform) -> None:
    key = await _add_key(platform)
    query = "SELECT last_used_at FROM api_keys WHERE key_hash = $1"
    key_hash = hashlib.sha256(key.encode()).hexdigest()
    before = (await platform.rows(query, key_hash))[0]["last_used_at"]

    await platform.content(PROVIDERS, headers={"X-API-Key": key})

    assert before is None
    assert (await platform.rows(query, key_hash))[0]["last_used_at"] is not None


async def test_inactive_key_is_refused(platform: Platform) -> None:
    key = await _add_key(platform, is_active=False)

    assert (await platform.ask(PROVIDERS, headers={"X-API-Key": key})).status_code == 403


async def test_expired_key_is_refused(platform: Platform) -> None:
    key = await _add_key(platform)
    await platform.rows("UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE last_used_at IS NULL")

    assert (await platform.ask(PROVIDERS, headers={"X-API-Key": key})).status_code == 403


@pytest.mark.parametrize(
    "claims",
    [{"secret": "another secret of at least 32 bytes!"}, {"aud": "other"}, {"exp": int(time.time()) - 5}, {"sub": ""}],
    ids=["signature", "audience", "expired", "subject"],
)
async def test_token_that_is_not_valid_is_refused(platform: Platform, claims: dict[str, Any]) -> None:
    headers = {**platform.bearer(**claims), "X-API-Key": ""}

    assert (await platform.ask(PROVIDERS, headers=headers)).status_code == 401


async def test_key_counts_where_the_token_does_not(platform: Platform) -> None:
    headers = {"Authorization": "Bearer nonsense", "X-API-Key": platform.stack.api_key}

    assert (await platform.ask(PROVIDERS, headers=headers)).status_code == 200


async def test_services_check_for_themselves(platform: Platform) -> None:
    responses = [
        await platform.ask(f"GET {path}", service=service, headers={"X-API-Key": "wrong"})
        for service, path in (("chat", "/api/v0.2/providers/"), ("asset", "/api/v1/assets/"))
    ]

    assert [response.status_code for response in responses] == [403, 403]
