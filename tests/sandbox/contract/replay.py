"""Send the table's requests to one stack and record the responses."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx
import jwt

if TYPE_CHECKING:
    from pytest_gaia.run.sandbox import Stack

TABLE = json.loads(Path(__file__).with_name("table.json").read_text("utf-8"))
ROUTES: dict[str, list[str]] = json.loads(Path(__file__).with_name("routes.json").read_text("utf-8"))
TOPOLOGIES = ("full", "no-asset", "no-chat", "gateway-only", "nats-down", "db-down")

_TYPES = {"json": "application/json", "sse": "text/event-stream; charset=utf-8", None: None}


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected result of a row for one topology; ``shape`` is a list of events for a stream, a text without a type."""

    status: int
    content_type: str | None
    shape: Any


@dataclass(frozen=True, slots=True)
class Got:
    """The result of one request; ``content`` is the JSON, the events in order, or the text."""

    status: int
    content_type: str | None
    content: Any


def rows(topology: str) -> dict[str, Expected]:
    """Return the rows of one topology by name."""
    found = {}
    for row in TABLE["rows"]:
        absent = row.get("absent", [])
        if topology == "full" or (absent != "all" and topology not in absent):
            response = row.get(topology, row["full"])
            status, kind, shape = TABLE["answers"][response] if isinstance(response, str) else response
            found[row["name"]] = Expected(status, _TYPES[kind], shape)
    return found


class Replay:
    """One replay of the table: the result of each row, and the values created for it."""

    def __init__(self, stack: Stack, topology: str) -> None:
        self.got: dict[str, Got] = {}
        self._stack = stack
        self._topology = topology
        user = str(uuid.uuid4())
        self.values = {
            "persona_name": f"contract-{uuid.uuid4()}",
            "api_key": stack.api_key,
            "jwt": self._token(user),
            "expired_jwt": self._token(user, expires_in=-60),
            "wrong_audience_jwt": self._token(user, audience="other"),
        }

    async def play(self) -> None:
        """Send every request of the topology, in the table's order."""
        wanted = rows(self._topology)
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            for step in TABLE["before"].get(self._topology, []):
                await self._prepare(client, step)
            for row in TABLE["rows"]:
                if row["name"] in wanted:
                    self.got[row["name"]] = await self._send(client, row)

    async def _prepare(self, client: httpx.AsyncClient, step: str) -> None:
        """Put the platform into the state of the topology."""
        if step == "a streamed chat":
            row = {
                "service": "gateway",
                "send": "POST /api/v0.2/chat/stream",
                "as": "key",
                "body": {"message": "hello"},
            }
            assert (await self._send(client, row)).status == 200
        else:
            assert step == "no active persona"
            connection = await asyncpg.connect(self._stack.dsn)
            await connection.execute("UPDATE personas SET is_active = false")
            await connection.close()

    async def _send(self, client: httpx.AsyncClient, row: dict[str, Any]) -> Got:
        method, path = self._filled(row["send"]).split(" ")
        body = json.loads(self._filled(json.dumps(row["body"]))) if "body" in row else None
        response = await client.request(
            method, self._stack.urls[row["service"]] + path, headers=self._credentials(row["as"]), json=body
        )
        got = _got(response)
        if row.get("name") == "personas-create" and got.status == 200:
            self.values["persona_id"] = got.content["persona"]["id"]
        return got

    def _credentials(self, who: str) -> dict[str, str]:
        match who:
            case "none":
                return {}
            case "key":
                return {"X-API-Key": self._stack.api_key}
            case "bad-key":
                return {"X-API-Key": "not-a-key"}
        return {"Authorization": f"Bearer {self.values[who.replace('-', '_')]}"}

    def _filled(self, text: str) -> str:
        for name, value in self.values.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def _token(self, user: str, *, audience: str = "authenticated", expires_in: int = 600) -> str:
        claims = {"sub": user, "aud": audience, "exp": int(time.time()) + expires_in}
        return jwt.encode(claims, self._stack.jwt_secret, algorithm="HS256")


def _got(response: httpx.Response) -> Got:
    kind = response.headers.get("content-type")
    if kind == _TYPES["json"]:
        return Got(response.status_code, kind, response.json())
    if kind == _TYPES["sse"]:
        data = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
        return Got(response.status_code, kind, [json.loads(one) if one.startswith("{") else one for one in data])
    return Got(response.status_code, kind, response.text)
