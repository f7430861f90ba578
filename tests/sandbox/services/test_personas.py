"""Personas are rows: a write of one request is visible to the next one."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.sandbox.services.platform import Platform

PERSONAS = "/api/v0.2/personas"


def wish(name: str) -> dict[str, object]:
    return {"name": name, "description": "d", "system_prompt": "s", "personality_traits": {"calm": True}}


@pytest.fixture
def name() -> str:
    return f"services-{uuid.uuid4()}"


async def test_persona_lives_from_create_to_delete(platform: Platform, name: str) -> None:
    user = platform.bearer()
    made = (await platform.content(f"POST {PERSONAS}", json=wish(name), headers=user))["persona"]
    path = f"{PERSONAS}/{made['id']}"

    await platform.content(f"POST {PERSONAS}/set", json={"persona_id": made["id"]}, headers=user)
    current = await platform.content(f"GET {PERSONAS}/current", headers=user)
    await platform.content(f"PUT {path}", json={"description": "changed"})
    read = (await platform.content(f"GET {path}"))["persona"]
    rows = await platform.rows("SELECT description FROM personas WHERE name = $1", name)
    await platform.content(f"DELETE {path}")
    after = await platform.content(f"GET {PERSONAS}/current", headers=user)

    assert current["persona"]["id"] == made["id"]
    assert (read["description"], read["system_prompt"], read["personality_traits"]) == ("changed", "s", {"calm": True})
    assert [row["description"] for row in rows] == ["changed"]
    assert after["persona"]["name"] == "Mu"
    assert (await platform.ask(f"GET {path}")).status_code == 404


async def test_choice_of_one_user_is_not_that_of_another(platform: Platform, name: str) -> None:
    made = (await platform.content(f"POST {PERSONAS}", json=wish(name)))["persona"]
    await platform.content(f"POST {PERSONAS}/set", json={"persona_id": made["id"]}, headers=platform.bearer())

    other = await platform.content(f"GET {PERSONAS}/current", headers=platform.bearer())

    assert other["persona"]["name"] == "Mu"


async def refuse(platform: Platform, name: str) -> str:
    """Request a duplicate name; return the path of the persona that has it."""
    made = (await platform.content(f"POST {PERSONAS}", json=wish(name)))["persona"]
    again = await platform.ask(f"POST {PERSONAS}", json=wish(name))
    assert (again.status_code, name in again.text) == (400, True)
    return f"{PERSONAS}/{made['id']}"


@pytest.mark.parametrize("recover", ["DELETE", "PUT", "set"])
async def test_a_refused_name_leaves_a_failed_transaction_to_inserts_until_it_is_rolled_back(
    platform: Platform, name: str, recover: str
) -> None:
    path = await refuse(platform, name)
    inserting = ((f"POST {PERSONAS}", wish(f"{name}-b")), (f"POST {PERSONAS}/initialize-default", None))

    for request, body in (*inserting, *inserting):
        response = await platform.ask(request, json=body)
        assert (response.status_code, "InFailedSqlTransaction" in response.text) == (500, True)
    assert (await platform.content(f"GET {path}"))["persona"]["name"] == name

    if recover == "set":
        await platform.content(f"POST {PERSONAS}/set", json={"persona_id": path.rpartition("/")[2]})
    else:
        await platform.content(f"{recover} {path}", json={"description": "e"} if recover == "PUT" else None)
    for request, body in inserting:
        await platform.content(request, json=body)
    assert len(await platform.rows("SELECT FROM personas WHERE name = $1", f"{name}-b")) == 1


async def test_a_failed_transaction_does_not_outlive_the_database(platform: Platform, name: str) -> None:
    await refuse(platform, name)
    await platform.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction (aborted)' "
        "AND datname = current_database()"
    )

    assert (await platform.ask(f"POST {PERSONAS}/initialize-default")).status_code == 500
    await platform.content(f"POST {PERSONAS}/initialize-default")


async def test_renaming_to_a_taken_name_is_refused(platform: Platform, name: str) -> None:
    made = (await platform.content(f"POST {PERSONAS}", json=wish(name)))["persona"]

    response = await platform.ask(f"PUT {PERSONAS}/{made['id']}", json={"name": "Mu"})

    assert response.status_code == 400


async def test_name_of_more_than_a_hundred_characters_is_refused(platform: Platform) -> None:
    response = await platform.ask(f"POST {PERSONAS}", json=wish("n" * 101))

    assert (response.status_code, "string_too_long" in response.text) == (422, True)


async def test_list_leaves_inactive_personas_out_unless_asked(platform: Platform, name: str) -> None:
    await platform.content(f"POST {PERSONAS}", json=wish(name))
    await platform.rows("UPDATE personas SET is_active = false WHERE name = $1", name)

    active = await platform.content(f"GET {PERSONAS}")
    everything = await platform.content(f"GET {PERSONAS}?active_only=false")

    assert name not in [persona["name"] for persona in active["personas"]]
    assert name in [persona["name"] for persona in everything["personas"]]
    assert active["total"] == len(active["personas"])


async def test_default_persona_is_made_again_when_it_is_gone(platform: Platform) -> None:
    await platform.rows("DELETE FROM personas WHERE name = 'Mu'")

    first = await platform.content(f"POST {PERSONAS}/initialize-default")
    second = await platform.content(f"POST {PERSONAS}/initialize-default")

    assert (first["was_created"], second["was_created"]) == (True, False)
    assert first["persona"]["id"] == second["persona"]["id"]
