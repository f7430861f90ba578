"""The gateway: checks who asks, forwards to the other services, and tells how they are."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING
from urllib.parse import quote

from pytest_gaia.sandbox.services.asgi import JSON_TYPE, Answer, HttpError, Stream, encode
from pytest_gaia.sandbox.services.clock import naive_now
from pytest_gaia.sandbox.services.forwards import FORWARDS, REPAIRED_TARGETS, Forward
from pytest_gaia.sandbox.services.limits import RateLimit
from pytest_gaia.sandbox.services.proxy import BackendDown, Call, LengthMismatch, send
from pytest_gaia.sandbox.services.routing import Router
from pytest_gaia.sandbox.services.validation import NUMBER, validated

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from pytest_gaia.sandbox.services.asgi import Request
    from pytest_gaia.sandbox.services.database import Database
    from pytest_gaia.sandbox.services.identity import Identities

ANSWER_TIMEOUT = 30.0
HEALTH_TIMEOUT = 2.0
ROOT_LIMIT = 60

_CRASH = Answer(encode({"detail": "Internal server error"}), 500)


def gateway_service(
    identities: Identities, database: Database, backends: Mapping[str, str], *, fixed: bool = False
) -> Router:
    """Build the gateway over the base URLs of its ``backends``."""
    router = Router("LLM Platform", identities.authenticate, crash=_CRASH)
    gateway = Gateway(database, backends, fixed=fixed)
    router.add("GET /health", gateway.health, open_=True)
    router.add("GET /", gateway.root, open_=True)
    for forward in FORWARDS:
        router.add(forward.rule, gateway.handler(forward), open_=forward.open)
    router.add("POST /calculator/add", gateway.add_numbers, open_=True)
    return router


class Gateway:
    """What the gateway answers by itself, and how it forwards the rest."""

    def __init__(self, database: Database, backends: Mapping[str, str], *, fixed: bool) -> None:
        self._database = database
        self._backends = backends
        self._fixed = fixed
        self._root_limit = RateLimit(ROOT_LIMIT, per_seconds=60)

    async def health(self, request: Request) -> object:
        """Tell whether the database and the other services answer; says nothing of the broker."""
        database, *services = await asyncio.gather(self._database.answers(), *map(self._answers, self._backends))
        status = ("healthy" if all(services) else "degraded") if database else "unhealthy"
        return {"status": status, "timestamp": naive_now(), "version": "0.2"}

    async def root(self, request: Request) -> object:
        """Greet, at most sixty times a minute for each client."""
        if not self._root_limit.allows(request.client):
            return Answer.of({"error": f"Rate limit exceeded: {ROOT_LIMIT} per 1 minute"}, 429)
        return {
            "message": "LLM Platform API is running",
            "versions": {"v0.2": "/api/v0.2", "v1": "/api/v1", "legacy": "/"},
            "note": "Use v0.2 for the latest OpenAI/Anthropic compatible streaming API.",
        }

    async def add_numbers(self, request: Request) -> object:
        """Add two numbers."""
        numbers = validated(request.body, {"a": NUMBER, "b": NUMBER})
        return {"result": numbers["a"] + numbers["b"]}

    def handler(self, forward: Forward) -> Callable[[Request], Awaitable[object]]:
        """Return the handler of one forwarded route."""

        async def handle(request: Request) -> object:
            call = self._call(forward, request)
            if forward.streams or (self._fixed and forward.may_stream and _asks_for_stream(call.body)):
                return Stream(self._relay(forward.service, call))
            return await self._forward(forward.service, call)

        return handle

    async def _forward(self, service: str, call: Call) -> Answer:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT), send(self._backends[service], call) as reply:
                body = await reply.body()
        except BackendDown as error:
            raise HttpError(503, f"Service {service} unavailable") from error
        except LengthMismatch as error:
            raise HttpError(500, "Internal server error") from error
        except TimeoutError as error:
            raise HttpError(504, f"Service {service} timeout") from error
        if not 200 <= reply.status < 300:
            raise HttpError(reply.status, f"Service error: {body.decode(errors='replace')}")
        if not reply.content_type.startswith(JSON_TYPE):
            return Answer.of({"content": body.decode(errors="replace"), "content_type": reply.content_type})
        return Answer(body, reply.status)

    async def _relay(self, service: str, call: Call) -> AsyncGenerator[bytes, None]:
        """Pass a stream on as it comes. The 200 is out before the backend is asked: one that is down gives no events."""
        try:
            async with send(self._backends[service], call) as reply:
                async for chunk in reply.chunks:
                    yield chunk
        except BackendDown:
            return

    def _call(self, forward: Forward, request: Request) -> Call:
        target = (self._fixed and REPAIRED_TARGETS.get(forward.rule)) or forward.target or forward.rule.split(" ")[1]
        path = target.format(**{name: quote(value, safe="") for name, value in request.params.items()})
        query = request.scope["query_string"].decode()
        headers = {"content-type": JSON_TYPE}
        if request.identity:
            name, value = request.identity.credentials
            headers[name] = value
        body = _with_identity(request)
        if forward.copies_length and not self._fixed:
            headers["content-length"] = str(len(request.body))
            body = b""
        return Call(request.method, f"{path}?{query}" if query else path, headers, body)

    async def _answers(self, service: str) -> bool:
        """Whether a service answers at all; what it says of itself does not count."""
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT), send(self._backends[service], Call("GET", "/health", {})):
                return True
        except (BackendDown, TimeoutError):
            return False


def _with_identity(request: Request) -> bytes:
    """Return the body with the user added, where it is a JSON object and there is a user."""
    if not request.body or request.identity is None:
        return request.body
    try:
        content = json.loads(request.body)
    except ValueError:
        return request.body
    if not isinstance(content, dict):
        return request.body
    user = {"auth_type": request.identity.kind, "user_id": request.identity.user_id}
    return encode({**content, "_auth": user})


def _asks_for_stream(body: bytes) -> bool:
    try:
        content = json.loads(body)
    except ValueError:
        return False
    return isinstance(content, dict) and content.get("stream") is True
