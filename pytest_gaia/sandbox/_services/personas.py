"""The routes of personas, which are stored in the database."""

import json
import uuid
from typing import Any

from pytest_gaia.clients.database.driver import Record
from pytest_gaia.sandbox._services.app import HttpError, Request, Service, naive, naive_now
from pytest_gaia.sandbox._services.database import ADD_PERSONA, MU, Database, persona_values
from pytest_gaia.sandbox._services.validation import OPTIONAL_OBJECT, OPTIONAL_STRING, STRING, Field, validated

_NAME = Field((str,), "string", longest=100)

CREATE = {
    "name": _NAME,
    "description": STRING,
    "system_prompt": STRING,
    "personality_traits": OPTIONAL_OBJECT,
    "capabilities": OPTIONAL_OBJECT,
}
UPDATE = {
    "name": Field((str,), "string", optional=True, longest=100),
    "description": OPTIONAL_STRING,
    "system_prompt": OPTIONAL_STRING,
    "personality_traits": OPTIONAL_OBJECT,
    "capabilities": OPTIONAL_OBJECT,
}

_CURRENT = """
    SELECT personas.* FROM personas LEFT JOIN user_persona_preferences AS chosen
        ON chosen.persona_id = personas.id AND chosen.user_id = $1
    WHERE is_active ORDER BY chosen.user_id IS NULL, created_at LIMIT 1
"""
_UPDATE = """
    UPDATE personas SET name = coalesce($2, name), description = coalesce($3, description),
        system_prompt = coalesce($4, system_prompt), personality_traits = coalesce($5, personality_traits),
        capabilities = coalesce($6, capabilities), updated_at = now()
    WHERE id = $1 RETURNING *
"""
_CHOOSE = """
    INSERT INTO user_persona_preferences (user_id, persona_id) VALUES ($1, $2)
    ON CONFLICT (user_id) DO UPDATE SET persona_id = excluded.persona_id, updated_at = now()
"""


def add_personas(router: Service, database: Database, *, fixed: bool) -> None:
    """Add the routes."""
    personas = Personas(database, fixed=fixed)
    base = "/api/v0.2/personas"
    router.add(f"GET {base}/", personas.listing)
    router.add(f"POST {base}/", personas.create)
    router.add(f"GET {base}/current", personas.current)
    router.add(f"GET {base}/{{persona_id}}", personas.get)
    router.add(f"PUT {base}/{{persona_id}}", personas.update)
    router.add(f"DELETE {base}/{{persona_id}}", personas.delete)
    router.add(f"POST {base}/set", personas.choose)
    router.add(f"POST {base}/initialize-default", personas.initialize)


class Personas:
    """The handlers of personas.

    All inserts use one database session. The platform does not roll it back after a duplicate name: then every insert
    returns 500 until a persona is changed, selected or deleted, which begins with a rollback.
    """

    def __init__(self, database: Database, *, fixed: bool) -> None:
        self._database = database
        self._session = database.session()
        self._fixed = fixed

    async def listing(self, request: Request) -> object:
        """List the active personas, or all with ``active_only=false``."""
        everything = request.query_params.get("active_only", "true").lower() in ("false", "0", "no")
        rows = await self._database.fetch(
            "SELECT * FROM personas WHERE is_active OR $1 ORDER BY created_at", everything
        )
        found = [_persona(row) for row in rows]
        return {"success": True, "personas": found, "total": len(found), "message": f"Found {len(found)} personas"}

    async def create(self, request: Request) -> object:
        """Add a persona. Returns 400 for a duplicate name."""
        from pytest_gaia.clients.database import driver

        wish = validated(request.content, CREATE)
        try:
            rows = await self._session.run(ADD_PERSONA, *persona_values(wish, request.user_id), dry=request.dry)
        except driver.UniqueViolationError:
            if self._fixed:
                await self._session.rollback()
            raise _taken(wish["name"]) from None
        made = _persona(rows[0])
        # Only here the platform writes times without a zone.
        times = {name: naive(rows[0][name]) for name in ("created_at", "updated_at")}
        return _done("created", {**made, **times})

    async def current(self, request: Request) -> object:
        """Return the user's selected persona, otherwise the first, otherwise a default."""
        rows = await self._database.fetch(_CURRENT, request.user_id)
        message = "Current persona retrieved successfully"
        return {"success": True, "message": message, "persona": _persona(rows[0]) if rows else _default_persona()}

    async def get(self, request: Request) -> object:
        """Return one persona, or 404."""
        return _done("retrieved", _persona(await self._find(request.path_params["persona_id"])))

    async def update(self, request: Request) -> object:
        """Change the given fields of a persona. Returns 404 for an unknown one, 400 for a duplicate name."""
        wish = validated(request.content, UPDATE)
        await self._session.rollback()
        row = await self._find(request.path_params["persona_id"])
        if wish.get("name") not in (None, row["name"]) and await self._is_taken(wish["name"]):
            raise _taken(wish["name"])
        texts = (wish.get(name) for name in ("name", "description", "system_prompt"))
        traits = (_encoded(wish.get(name)) for name in ("personality_traits", "capabilities"))
        rows = await self._database.write(_UPDATE, row["id"], *texts, *traits, dry=request.dry)
        return _done("updated", _persona(rows[0]))

    async def delete(self, request: Request) -> object:
        """Delete a persona, or return 404."""
        await self._session.rollback()
        row = await self._find(request.path_params["persona_id"])
        await self._database.write("DELETE FROM personas WHERE id = $1", row["id"], dry=request.dry)
        return {"success": True, "message": "Persona deleted successfully", "persona_id": str(row["id"])}

    async def choose(self, request: Request) -> object:
        """Select a persona for the user, or return 404."""
        wish = validated(request.content, {"persona_id": STRING})
        await self._session.rollback()
        row = await self._find(wish["persona_id"])
        await self._database.write(_CHOOSE, request.user_id, row["id"], dry=request.dry)
        message = f"Active persona set to {row['name']}"
        return {"success": True, "message": message, "persona_id": str(row["id"]), "persona_name": row["name"]}

    async def initialize(self, request: Request) -> object:
        """Create the first persona if it does not exist."""
        rows = await self._session.run("SELECT * FROM personas WHERE name = $1", MU["name"])
        created = not rows
        if created:
            rows = await self._session.run(ADD_PERSONA, *persona_values(MU, "system"), dry=request.dry)
        message = f"Default persona {'created' if created else 'already exists'}"
        return {"success": True, "message": message, "persona": _persona(rows[0]), "was_created": created}

    async def _find(self, persona_id: str) -> Record:
        try:
            rows = await self._database.fetch("SELECT * FROM personas WHERE id = $1", uuid.UUID(persona_id))
        except ValueError:
            rows = []
        if not rows:
            raise HttpError(404, f"Persona not found: {persona_id}")
        return rows[0]

    async def _is_taken(self, name: str) -> bool:
        return bool(await self._database.fetch("SELECT FROM personas WHERE name = $1", name))


def _taken(name: str) -> HttpError:
    return HttpError(400, f"Persona with name '{name}' already exists")


def _persona(row: Record) -> dict[str, Any]:
    traits = {name: json.loads(row[name]) for name in ("personality_traits", "capabilities")}
    times = {name: row[name].isoformat() for name in ("created_at", "updated_at")}
    texts = {name: row[name] for name in ("name", "description", "system_prompt")}
    return {
        **texts,
        **traits,
        "id": str(row["id"]),
        "is_active": row["is_active"],
        "created_by": row["created_by"],
        **times,
    }


def _default_persona() -> dict[str, Any]:
    times = dict.fromkeys(("created_at", "updated_at"), naive_now())
    return {**MU, "id": "default", "is_active": True, "created_by": "system", **times}


def _done(verb: str, persona: dict[str, Any]) -> dict[str, Any]:
    return {"success": True, "message": f"Persona {verb} successfully", "persona": persona}


def _encoded(traits: dict[str, object] | None) -> str | None:
    return None if traits is None else json.dumps(traits)
