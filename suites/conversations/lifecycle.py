"""Conversations that tests create, and the fields of a conversation in both versions of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from suites.shapes import MOMENT, STRING, TEXT, each, maybe, shaped

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient
    from pytest_gaia.clients.http.responses import Response
    from suites.shapes import Fields, Shape

V1 = "/api/v1/conversations"
V03 = "/api/v0.3/conversations"
ROUTE = f"{V1}/{{conversation_id}}"

CONVERSATION: Fields = {"id": TEXT, "title": TEXT, "preview": STRING, "created_at": MOMENT, "updated_at": MOMENT}
BRIEF: Fields = {"conversation_id": TEXT, "title": TEXT, "created_at": MOMENT}
"""the fields of a conversation in version 0.3"""

MESSAGE: Shape = {"id": TEXT, "role": TEXT, "content": STRING, "model": maybe(TEXT), "created_at": MOMENT}


class Conversations:
    """Creates conversations with titles that begin with ``title``, and records their ids."""

    def __init__(self, gateway: HttpClient, title: str) -> None:
        self._gateway = gateway
        self._title = title
        self.ids: list[str] = []

    async def create(self) -> dict[str, Any]:
        """Create a conversation and return it from the response."""
        return await self._created(V1, 201, CONVERSATION, "id")

    async def create_brief(self) -> dict[str, Any]:
        """Create a conversation with version 0.3 and return it from the response."""
        return await self._created(V03, 200, BRIEF, "conversation_id")

    async def listed(self) -> dict[str, dict[str, Any]]:
        """Return all listed conversations by id."""
        response = (await self._gateway.get(V1)).expect(200)
        return _by_id(response, CONVERSATION, "id")

    async def listed_briefly(self) -> dict[str, dict[str, Any]]:
        """Return all conversations that version 0.3 lists, by id."""
        response = (await self._gateway.get(V03)).expect(200)
        return _by_id(response, BRIEF, "conversation_id")

    async def read(self, conversation_id: str) -> Response:
        """Request one conversation."""
        return await self._gateway.get(ROUTE, path_params={"conversation_id": conversation_id})

    async def delete(self, conversation_id: str) -> Response:
        """Delete one conversation."""
        return await self._gateway.delete(ROUTE, path_params={"conversation_id": conversation_id})

    async def _created(self, path: str, status: int, shape: Shape, key: str) -> dict[str, Any]:
        title = f"{self._title}-{len(self.ids)}"
        response = (await self._gateway.post(path, json={"title": title})).expect(status)
        self.ids.append(response.field(key))
        made: dict[str, Any] = shaped(response, shape)
        if made["title"] != title:
            raise response.unexpected(f"created a conversation with another title than {title!r}")
        return made


def titles(conversations: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return id → title of listed conversations."""
    return {conversation_id: one["title"] for conversation_id, one in conversations.items()}


def _by_id(response: Response, shape: Shape, key: str) -> dict[str, dict[str, Any]]:
    listed = shaped(response, {"conversations": each(shape)})["conversations"]
    found = {one[key]: one for one in listed}
    if len(found) != len(listed):
        raise response.unexpected("lists a conversation twice")
    return found
