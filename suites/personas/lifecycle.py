"""Personas that tests create, and the fields of a persona."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from suites.shapes import FLAG, MOMENT, OBJECT, STRING, TEXT, each, equal, maybe, shaped

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


TIMES = ("created_at", "updated_at")


def timeless(persona: dict[str, Any]) -> dict[str, Any]:
    """Return a persona without its times: those of a new persona have no zone, and an update changes one."""
    return {name: value for name, value in persona.items() if name not in TIMES}


class Personas:
    """Creates personas with names that begin with ``name``, and records their ids."""

    def __init__(self, gateway: HttpClient, name: str) -> None:
        self._gateway = gateway
        self._name = name
        self.ids: list[str] = []

    def wish(self, **fields: Any) -> dict[str, Any]:
        """Return a request for a new persona; ``fields`` override the defaults."""
        usual = {
            "name": f"{self._name}-{len(self.ids)}",
            "description": "created by a test, which deletes it",
            "system_prompt": "You are a test assistant.",
            "personality_traits": {"helpful": True, "playful": False},
            "capabilities": {"testing": True},
        }
        return usual | fields

    async def create(self, **fields: Any) -> dict[str, Any]:
        """Create a persona and return it from the response."""
        response = (await self._gateway.post(COLLECTION, json=self.wish(**fields))).expect(200, 201)
        self.ids.append(response.field("persona.id"))
        return persona_in(response)

    async def refused(self, name: str) -> None:
        """Request a second persona with that name, which must be rejected.

        The platform then returns 500 for other inserts until a persona is changed or deleted. The fixture deletes the
        personas of this test, so that later tests work.
        """
        again = await self._gateway.post(COLLECTION, json=self.wish(name=name))
        if again.status < 400:
            self.ids.append(again.field("persona.id"))
            raise again.unexpected("created a second persona with the same name")

    async def read(self, persona_id: str) -> Response:
        """Request one persona."""
        return await self._gateway.get(ROUTE, path_params={"persona_id": persona_id})

    async def listed(self) -> list[dict[str, Any]]:
        """Return all listed personas."""
        response = (await self._gateway.get(COLLECTION)).expect(200)
        return list(shaped(response, {"personas": each(PERSONA)})["personas"])


def persona_in(response: Response, **more: Shape) -> dict[str, Any]:
    """Return the persona of a successful response; raise ``UnexpectedResponse`` for other fields."""
    shape: Shape = {"success": equal(True), "message": TEXT, "persona": PERSONA, **more}
    persona: dict[str, Any] = shaped(response, shape)["persona"]
    return persona
