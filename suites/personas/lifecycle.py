"""Personas of a check's own, and what every persona looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from suites.shapes import FLAG, MOMENT, OBJECT, STRING, TEXT, each, maybe, shaped

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient
    from pytest_gaia.clients.http.responses import Response
    from suites.shapes import Shape

COLLECTION = "/api/v0.2/personas"
ROUTE = "/api/v0.2/personas/{persona_id}"

PERSONA: Shape = {
    "id": TEXT,
    "name": TEXT,
    "description": STRING,
    "system_prompt": STRING,
    "personality_traits": OBJECT,
    "capabilities": OBJECT,
    "is_active": FLAG,
    "created_by": maybe(TEXT),
    "created_at": MOMENT,
    "updated_at": MOMENT,
}


class Personas:
    """Makes personas under names that begin with ``name`` and remembers their ids."""

    def __init__(self, gateway: HttpClient, name: str) -> None:
        self._gateway = gateway
        self._name = name
        self.ids: list[str] = []

    def wish(self, **fields: Any) -> dict[str, Any]:
        """Return a request for a new persona; ``fields`` win over the usual ones."""
        usual = {
            "name": f"{self._name}-{len(self.ids)}",
            "description": "made by a check, which removes it again",
            "system_prompt": "You are a test assistant.",
            "personality_traits": {"helpful": True, "playful": False},
            "capabilities": {"testing": True},
        }
        return usual | fields

    async def create(self, **fields: Any) -> dict[str, Any]:
        """Create a persona and return it as the platform answered it."""
        response = (await self._gateway.post(COLLECTION, json=self.wish(**fields))).expect(200, 201)
        self.ids.append(response.field("persona.id"))
        return persona_in(response)

    async def refused(self, name: str) -> None:
        """Ask for a second persona of that name, which must be refused.

        The release then answers other inserts with 500 until a persona is changed or removed. The fixture removes those of
        this check, so that later checks find it as it was.
        """
        again = await self._gateway.post(COLLECTION, json=self.wish(name=name))
        if again.status < 400:
            self.ids.append(again.field("persona.id"))
            raise again.unexpected("made a second persona of the same name")

    async def read(self, persona_id: str) -> Response:
        """Ask for one persona."""
        return await self._gateway.get(ROUTE, path_params={"persona_id": persona_id})

    async def listed(self) -> list[dict[str, Any]]:
        """Return all personas of the list."""
        response = (await self._gateway.get(COLLECTION)).expect(200)
        return list(shaped(response, {"personas": each(PERSONA)})["personas"])


def persona_in(response: Response) -> dict[str, Any]:
    """Return the persona of an answer that says it succeeded; raise ``UnexpectedResponse`` for any other shape."""
    content: dict[str, Any] = shaped(response, {"success": FLAG, "message": TEXT, "persona": PERSONA})
    if not content["success"]:
        raise response.unexpected("answered with success: false")
    persona: dict[str, Any] = content["persona"]
    return persona
