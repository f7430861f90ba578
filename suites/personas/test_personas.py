"""Personas: create, read, select, change and delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from suites.naming import PREFIX
from suites.personas.lifecycle import COLLECTION, PERSONA, ROUTE, Personas, persona_in, timeless
from suites.services import NOWHERE, OFFERS_V03
from suites.shapes import COUNT, FLAG, TEXT, each, equal, shaped, some

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient

pytestmark = pytest.mark.gaia(requires=["chat"])

CURRENT = "/api/v0.2/personas/current"
CHOICE = "/api/v0.2/personas/set"
INITIALIZE = "/api/v0.2/personas/initialize-default"


@pytest.mark.gaia(command="personas-list")
async def test_the_list_counts_its_personas(gateway: HttpClient) -> None:
    response = (await gateway.get(COLLECTION)).expect(200)
    shape = {"success": equal(True), "personas": each(PERSONA), "total": COUNT, "message": TEXT}
    content = shaped(response, shape)
    names = [persona["name"] for persona in content["personas"]]
    assert content["total"] == len(names) == len(set(names))
    assert str(content["total"]) in content["message"]


@pytest.mark.gaia(core=True, operations=[OFFERS_V03])
async def test_version_1_lists_the_personas(gateway: HttpClient) -> None:
    response = (await gateway.get("/api/v1/chat/personas")).expect(200)
    shape = {"success": equal(True), "personas": some(PERSONA), "total": COUNT, "message": TEXT}
    content = shaped(response, shape)
    names = [persona["name"] for persona in content["personas"]]
    assert content["total"] == len(names) == len(set(names))
    assert any(persona["is_active"] for persona in content["personas"])


@pytest.mark.gaia(command="personas-current")
async def test_there_is_always_a_current_persona(gateway: HttpClient, existing_personas: Personas) -> None:
    current = persona_in((await gateway.get(CURRENT)).expect(200))
    assert current["is_active"]
    # It is the default persona, which is not listed, if there is no other.
    listed = {one["id"]: one for one in await existing_personas.listed()}
    assert current == listed.get(current["id"], current)


@pytest.mark.gaia(writes=True, command="personas-create")
async def test_a_new_persona_has_the_requested_fields(personas: Personas) -> None:
    wish = personas.wish()
    persona = await personas.create(**wish)
    assert {name: persona[name] for name in wish} == wish
    assert persona["is_active"]
    assert persona["id"] in [one["id"] for one in await personas.listed()]
    read = persona_in((await personas.read(persona["id"])).expect(200))
    assert {name: read[name] for name in wish} == wish
    assert read["created_by"] == persona["created_by"]


@pytest.mark.gaia(command="personas-get")
async def test_a_persona_is_read_as_it_is_listed(existing_personas: Personas, command_argument: str | None) -> None:
    # Personas of other tests may be deleted meanwhile.
    listed = {one["id"]: one for one in await existing_personas.listed() if not one["name"].startswith(PREFIX)}
    for persona_id in [command_argument] if command_argument else listed:
        persona = persona_in((await existing_personas.read(persona_id)).expect(200))
        assert persona["id"] == persona_id
        assert persona == listed.get(persona_id, persona)


@pytest.mark.gaia(writes=True, command="personas-set")
async def test_the_chosen_persona_is_the_current_one(
    gateway: HttpClient, personas: Personas, command_argument: str | None
) -> None:
    before = persona_in((await gateway.get(CURRENT)).expect(200))["id"]
    chosen = command_argument or (await personas.create())["id"]
    try:
        response = (await gateway.post(CHOICE, json={"persona_id": chosen})).expect(200)
        content = shaped(response, {"success": equal(True), "persona_id": equal(chosen), "persona_name": TEXT})
        assert content["persona_name"] in response.field("message")
        assert persona_in((await gateway.get(CURRENT)).expect(200))["id"] == chosen
    finally:
        # Restore the selection; the default persona of an empty list cannot be selected.
        (await gateway.post(CHOICE, json={"persona_id": before})).expect(200, 404)


@pytest.mark.gaia(writes=True)
async def test_an_update_changes_only_the_given_fields(gateway: HttpClient, personas: Personas) -> None:
    made = await personas.create()
    expected = {**made, "description": "changed by a check"}
    change = {"description": expected["description"]}
    response = await gateway.put(ROUTE, path_params={"persona_id": made["id"]}, json=change)
    read = await personas.read(made["id"])
    assert timeless(persona_in(response.expect(200))) == timeless(expected)
    assert timeless(persona_in(read.expect(200))) == timeless(expected)


@pytest.mark.gaia(writes=True)
async def test_a_deleted_persona_is_gone(gateway: HttpClient, personas: Personas) -> None:
    made = await personas.create()
    response = (await gateway.delete(ROUTE, path_params={"persona_id": made["id"]})).expect(200)
    shaped(response, {"success": equal(True), "message": TEXT, "persona_id": equal(made["id"])})
    assert made["id"] in (await personas.read(made["id"])).expect(404).field("detail")
    assert made["id"] not in [one["id"] for one in await personas.listed()]


@pytest.mark.gaia(writes=True)
async def test_a_name_is_unique(personas: Personas) -> None:
    made = await personas.create()
    await personas.refused(made["name"])
    assert persona_in((await personas.read(made["id"])).expect(200))["name"] == made["name"]


@pytest.mark.gaia(writes=True)
@pytest.mark.parametrize("route", [COLLECTION, INITIALIZE])
async def test_after_a_duplicate_name_the_next_persona_is_created(
    gateway: HttpClient, personas: Personas, route: str
) -> None:
    await personas.refused((await personas.create())["name"])
    if route == COLLECTION:
        await personas.create()
    else:
        (await gateway.post(INITIALIZE)).expect(200)


@pytest.mark.parametrize("persona_id", [NOWHERE, "no-uuid"])
async def test_an_unknown_persona_is_not_found(existing_personas: Personas, persona_id: str) -> None:
    assert persona_id in (await existing_personas.read(persona_id)).expect(404).field("detail")


@pytest.mark.gaia(writes=True)
async def test_an_unknown_persona_cannot_be_chosen(gateway: HttpClient) -> None:
    assert NOWHERE in (await gateway.post(CHOICE, json={"persona_id": NOWHERE})).expect(404).field("detail")


@pytest.mark.gaia(writes=True)
@pytest.mark.parametrize("field", ["name", "description", "system_prompt"])
async def test_a_persona_without_a_required_field_is_rejected(
    gateway: HttpClient, personas: Personas, field: str
) -> None:
    wish = personas.wish()
    del wish[field]
    assert field in (await gateway.post(COLLECTION, json=wish)).expect(422).field("detail")


@pytest.mark.gaia(writes=True, command="personas-initialize")
async def test_the_first_persona_is_created_only_once(gateway: HttpClient, personas: Personas) -> None:
    listed: list[dict[str, Any]] = []
    for _ in range(2):
        first = persona_in((await gateway.post(INITIALIZE)).expect(200), was_created=equal(False) if listed else FLAG)
        # Other checks make and remove theirs meanwhile.
        listed.append({one["id"]: one for one in await personas.listed() if not one["name"].startswith(PREFIX)})
        assert timeless(first) == timeless(listed[-1].get(first["id"], {}))
    assert listed[0].keys() == listed[1].keys()


@pytest.mark.gaia(writes=True)
async def test_the_first_persona_is_created_by_a_request_with_a_body(gateway: HttpClient) -> None:
    shaped((await gateway.post(INITIALIZE, json={})).expect(200), {"success": equal(True)})
