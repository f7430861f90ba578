"""One stack of a sandbox, and its client."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
import jwt

if TYPE_CHECKING:
    import httpx

    from pytest_gaia.run.sandbox import Sandbox, Stack


@dataclass(frozen=True, slots=True)
class Platform:
    """One stack, and a client with its API key for all of its services."""

    sandbox: Sandbox
    stack: Stack
    client: httpx.AsyncClient

    async def ask(self, request: str, *, service: str = "gateway", **more: Any) -> httpx.Response:
        """Send a request such as ``"GET /health"``."""
        method, path = request.split(" ")
        return await self.client.request(method, self.stack.urls[service] + path, **more)

    async def content(self, request: str, **more: Any) -> Any:
        """Send a request, require status 200 and return the JSON."""
        response = await self.ask(request, **more)
        assert response.status_code == 200, response.text
        return response.json()

    async def rows(self, query: str, *values: object) -> list[asyncpg.Record]:
        """Run SQL in the stack's database."""
        connection = await asyncpg.connect(self.stack.dsn)
        try:
            return await connection.fetch(query, *values)
        finally:
            await connection.close()

    def bearer(self, subject: str | None = None, **claims: Any) -> dict[str, str]:
        """Return the header with a user's token; without ``subject`` for a new user."""
        secret = claims.pop("secret", self.stack.jwt_secret)
        user = {"sub": subject or str(uuid.uuid4()), "aud": "authenticated", "exp": int(time.time()) + 600}
        return {"Authorization": f"Bearer {jwt.encode({**user, **claims}, secret, algorithm='HS256')}"}

    def fault(self, service: str, kind: str, **arguments: Any) -> None:
        """Inject a fault into a service of the stack; it is removed after the test."""
        self.sandbox.fault(self.stack.name, service, kind, **arguments)


def events_of(response: httpx.Response) -> list[Any]:
    """Return the events of a stream in their order, JSON decoded."""
    data = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
    return [json.loads(one) if one.startswith("{") else one for one in data]
