"""Conversations of version 1: create, list, read and delete."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from suites.conversations.lifecycle import CONVERSATION, MESSAGE, ROUTE, V03, V1, Conversations, titles
from suites.services import NOWHERE
from suites.shapes import TEXT, each, shaped

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gaia.clients.http.client import HttpClient

pytestmark = pytest.mark.gaia(requires=["chat"])


@pytest.mark.gaia(core=True)
async def test_the_conversations_are_listed_without_duplicates(existing_conversations: Conversations) -> None:
    listed = await existing_conversations.listed()
    assert all(one["created_at"] <= one["updated_at"] for one in listed.values())


@pytest.mark.gaia(writes=True)
async def test_a_new_conversation_is_listed_and_read(conversations: Conversations) -> None:
    first, second = [await conversations.create() for _ in range(2)]
    assert first["id"] != second["id"]
    listed = await conversations.listed()
    for made in (first, second):
        assert (made["id"], made["title"]) in titles(listed).items()
        read = shaped((await conversations.read(made["id"])).expect(200), CONVERSATION)
        assert (read["id"], read["title"]) == (made["id"], made["title"])


@pytest.mark.gaia(writes=True)
async def test_a_new_conversation_has_no_messages(gateway: HttpClient, conversations: Conversations) -> None:
    made = await conversations.create()
    response = await gateway.get(f"{ROUTE}/messages", path_params={"conversation_id": made["id"]})
    assert shaped(response.expect(200), {"messages": each(MESSAGE)})["messages"] == []


@pytest.mark.gaia(writes=True)
async def test_a_deleted_conversation_is_gone_and_others_are_not(conversations: Conversations) -> None:
    kept, deleted = [(await conversations.create())["id"] for _ in range(2)]
    (await conversations.delete(deleted)).expect(200, 204)
    assert (await conversations.read(deleted)).expect(404).field("detail")
    listed = await conversations.listed()
    assert deleted not in listed
    assert kept in listed


@pytest.mark.gaia(core=True)
@pytest.mark.parametrize("conversation_id", [NOWHERE, "no-uuid"])
async def test_an_unknown_conversation_is_not_found(
    existing_conversations: Conversations, conversation_id: str
) -> None:
    shaped((await existing_conversations.read(conversation_id)).expect(404), {"detail": TEXT})


@pytest.mark.gaia(writes=True)
@pytest.mark.parametrize("path", [V1, V03])
async def test_without_a_key_no_conversation_is_created(
    anonymous: HttpClient, conversations: Conversations, unique_name: str, path: str
) -> None:
    shaped((await anonymous.post(path, json={"title": unique_name})).expect(401), {"detail": TEXT})
    assert unique_name not in titles(await conversations.listed()).values()


@pytest.mark.gaia(requires=["jwt"], writes=True)
async def test_a_user_does_not_see_the_conversations_of_another(
    gateway: HttpClient, conversations: Conversations, gaia_tokens: Callable[..., str]
) -> None:
    made = await conversations.create()
    other = Conversations(gateway.as_user(gaia_tokens(str(uuid.uuid4()))), "")
    (await conversations.read(made["id"])).expect(200)
    (await other.read(made["id"])).expect(403, 404)
    assert made["id"] not in await other.listed()
