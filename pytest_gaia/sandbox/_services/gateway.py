"""The gateway: authenticates requests, forwards them to the other services, and reports their health."""

import asyncio
import json
import time
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from pytest_gaia.sandbox._services.app import (
    JSON_TYPE,
    RESPONSES,
    TRACE_HEADERS,
    HttpError,
    Request,
    Service,
    Stream,
    encode,
    json_response,
    naive_now,
)
from pytest_gaia.sandbox._services.auth import Identities
from pytest_gaia.sandbox._services.database import Database
from pytest_gaia.sandbox._services.validation import NUMBER, validated

V02 = "/api/v0.2"
V1 = "/api/v1"
REPAIRED_TARGETS = {f"GET {V1}/assets": f"{V1}/assets/"}
"""route → target with ``fixed``; the platform uses a path that the backend does not serve"""
CONNECT_TIMEOUT = 5.0
RESPONSE_TIMEOUT = 30.0
HEALTH_TIMEOUT = 2.0
ROOT_LIMIT = 60


class Forward(NamedTuple):
    """One route of the gateway and its target; an empty ``target`` is the same path."""

    rule: str
    service: str = "chat"
    target: str = ""
    open: bool = False
    streams: bool = False
    may_stream: bool = False
    """whether ``"stream": true`` in the body requests a stream, which the platform wraps in JSON"""
    copies_length: bool = False
    """whether the platform forwards the headers of this POST without its body, so that a body breaks it"""


FORWARDS = (
    Forward(f"GET {V02}/", open=True),
    Forward(f"GET {V02}/health", open=True),
    Forward(f"POST {V02}/chat", may_stream=True),
    Forward(f"GET {V02}/chat/status"),
    Forward(f"DELETE {V02}/chat/history"),
    Forward(f"POST {V02}/chat/reload-prompt", copies_length=True),
    Forward(f"POST {V02}/chat/stream", streams=True),
    Forward(f"POST {V02}/chat/stream/cache/invalidate", copies_length=True),
    Forward(f"GET {V02}/chat/stream/cache/status"),
    Forward(f"GET {V02}/chat/stream/status"),
    Forward(f"DELETE {V02}/chat/stream/history"),
    Forward(f"GET {V02}/chat/stream/models"),
    Forward(f"GET {V02}/chat/stream/models/performance"),
    Forward(f"GET {V02}/providers", target=f"{V02}/providers/"),
    Forward(f"GET {V02}/providers/{{provider}}"),
    Forward(f"GET {V02}/providers/{{provider}}/models"),
    Forward(f"GET {V02}/providers/{{provider}}/health"),
    Forward(f"GET {V02}/providers/stats"),
    Forward(f"GET {V02}/providers/{{provider}}/stats"),
    Forward(f"GET {V02}/models", target=f"{V02}/models/"),
    Forward(f"GET {V02}/models/{{model_id}}"),
    Forward(f"GET {V02}/models/capabilities"),
    Forward(f"GET {V02}/models/priorities"),
    Forward(f"GET {V02}/models/contexts"),
    Forward(f"GET {V02}/assets/pricing/current"),
    Forward(f"GET {V02}/assets/pricing/analytics"),
    Forward(f"POST {V02}/assets/pricing/update"),
    Forward(f"GET {V02}/assets/pricing/providers"),
    Forward(f"POST {V02}/assets/pricing/cost-estimator/estimate"),
    Forward(f"GET {V02}/assets/pricing/cost-estimator/dalle-tiers"),
    Forward(f"GET {V02}/assets/pricing/cost-estimator/meshy-packages"),
    Forward(f"GET {V02}/assets/pricing/cost-estimator/provider-comparison"),
    Forward(f"GET {V02}/usage/current"),
    Forward(f"GET {V02}/usage/history"),
    Forward(f"POST {V02}/usage/log"),
    Forward(f"GET {V02}/usage/limits"),
    Forward(f"GET {V02}/usage/billing/current"),
    Forward(f"GET {V02}/usage/reports/monthly"),
    Forward(f"GET {V02}/personas", target=f"{V02}/personas/"),
    Forward(f"POST {V02}/personas", target=f"{V02}/personas/"),
    Forward(f"GET {V02}/personas/current"),
    Forward(f"GET {V02}/personas/{{persona_id}}"),
    Forward(f"PUT {V02}/personas/{{persona_id}}"),
    Forward(f"DELETE {V02}/personas/{{persona_id}}"),
    Forward(f"POST {V02}/personas/set"),
    Forward(f"POST {V02}/personas/initialize-default", copies_length=True),
    Forward(f"GET {V02}/performance/summary"),
    Forward(f"GET {V02}/performance/providers"),
    Forward(f"GET {V02}/performance/stages"),
    Forward(f"GET {V02}/performance/live"),
    Forward(f"GET {V02}/performance/health"),
    Forward(f"DELETE {V02}/performance/reset"),
    Forward(f"POST {V1}/chat", target="/chat/"),
    Forward(f"POST {V1}/chat/completions", target="/chat/"),
    Forward(f"GET {V1}/chat/status", target="/chat/status"),
    Forward(f"DELETE {V1}/chat/history", target="/chat/history"),
    Forward(f"POST {V1}/chat/reload-prompt", target="/chat/reload-prompt", copies_length=True),
    Forward(f"GET {V1}/chat/personas", target="/chat/personas"),
    Forward(f"POST {V1}/chat/personas", target="/chat/personas"),
    Forward(f"GET {V1}/assets", "asset"),
    Forward(f"POST {V1}/assets/generate", "asset", copies_length=True),
    Forward(f"GET {V1}/assets/{{asset_id}}", "asset"),
    Forward(f"POST {V1}/auth/validate", "auth", "/auth/validate", open=True),
    Forward(f"POST {V1}/auth/refresh", "auth", "/auth/refresh", open=True),
    Forward(f"POST {V1}/auth/register", "auth", "/auth/register", open=True),
    Forward(f"POST {V1}/auth/login", "auth", "/auth/login", open=True),
    Forward(f"GET {V1}/filesystem", target="/filesystem"),
    Forward(f"POST {V1}/filesystem/read", target="/filesystem/read"),
)


class RateLimit:
    """A limit of ``limit`` calls of a client in a window of ``per_seconds``."""

    def __init__(self, limit: int, *, per_seconds: float) -> None:
        self._limit = limit
        self._window = per_seconds
        self._calls: defaultdict[str, deque[float]] = defaultdict(deque)

    def allows(self, client: str) -> bool:
        """Whether the client may call now; rejected calls do not count."""
        now = time.monotonic()
        calls = self._calls[client]
        while calls and calls[0] <= now - self._window:
            calls.popleft()
        if len(calls) >= self._limit:
            return False
        calls.append(now)
        return True


class BackendDown(Exception):
    """The service refused the connection, or closed it before its response."""


class LengthMismatch(Exception):
    """The declared length of a request differs from its body, so it cannot be sent."""


class Call(NamedTuple):
    """One request to a backend. ``headers`` may contain a ``content-length``; the default is the body's length."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    def head(self, host: str) -> bytes:
        """Return request line and headers. Raises ``LengthMismatch``."""
        declared = self.headers.get("content-length", str(len(self.body)))
        if declared != str(len(self.body)):
            raise LengthMismatch
        fields = {**self.headers, "host": host, "content-length": declared, "connection": "close"}
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Reply(NamedTuple):
    """The head of a response; ``chunks`` iterates over its body."""

    status: int
    content_type: str
    chunks: AsyncIterator[bytes]

    async def body(self) -> bytes:
        """Read the whole body. Raises ``BackendDown`` if it is truncated."""
        try:
            return b"".join([chunk async for chunk in self.chunks])
        except (OSError, asyncio.IncompleteReadError) as error:
            raise BackendDown from error


@asynccontextmanager
async def send(base_url: str, call: Call) -> AsyncIterator[Reply]:
    """Send ``call`` and yield the head of the response. Raises ``BackendDown`` or ``LengthMismatch``."""
    url = urlsplit(base_url)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            reader, writer = await asyncio.open_connection(url.hostname, url.port or 80)
    except OSError as error:
        raise BackendDown from error
    try:
        writer.write(call.head(url.netloc) + call.body)
        yield await _reply(reader)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _reply(reader: asyncio.StreamReader) -> Reply:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (OSError, asyncio.IncompleteReadError) as error:
        raise BackendDown from error
    status_line, *lines = head.strip().split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    status, length = int(status_line.split(" ")[1]), fields.get("content-length")
    if status == 204:
        length = "0"
    chunks = _chunked(reader) if length is None else _sized(reader, int(length))
    return Reply(status, fields.get("content-type", ""), chunks)


async def _sized(reader: asyncio.StreamReader, length: int) -> AsyncIterator[bytes]:
    yield await reader.readexactly(length)


async def _chunked(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int(await reader.readuntil(b"\r\n"), 16):
        yield (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")


def gateway_service(
    identities: Identities, database: Database, backends: Mapping[str, str], *, fixed: bool = False
) -> Service:
    """Build the gateway over the base URLs of its ``backends``."""
    router = Service(
        "LLM Platform", identities.authenticate, crash=lambda: json_response({"detail": "Internal server error"}, 500)
    )
    gateway = Gateway(database, backends, fixed=fixed)
    router.add("GET /health", gateway.health, open_=True)
    router.add("GET /", gateway.root, open_=True)
    for forward in FORWARDS:
        router.add(forward.rule, gateway.handler(forward), open_=forward.open)
    router.add("POST /calculator/add", gateway.add_numbers, open_=True)
    return router


class Gateway:
    """The handlers of the gateway's own routes and of forwarded routes."""

    greeting: Mapping[str, Any] = RESPONSES["gateway"]["GET /"]

    def __init__(self, database: Database, backends: Mapping[str, str], *, fixed: bool) -> None:
        self._database = database
        self._backends = backends
        self._fixed = fixed
        self._root_limit = RateLimit(ROOT_LIMIT, per_seconds=60)

    async def health(self, request: Request) -> object:
        """Report the health of the database and the other services; NATS is not included."""
        database, *services = await asyncio.gather(self._database.responds(), *map(self._responds, self._backends))
        status = ("healthy" if all(services) else "degraded") if database else "unhealthy"
        return {"status": status, "timestamp": naive_now(), "version": "0.2"}

    async def root(self, request: Request) -> object:
        """Return a greeting, at most sixty times a minute for each client."""
        if not self._root_limit.allows(request.client.host if request.client else "unknown"):
            return json_response({"error": f"Rate limit exceeded: {ROOT_LIMIT} per 1 minute"}, 429)
        return self.greeting

    async def add_numbers(self, request: Request) -> object:
        """Add two numbers."""
        numbers = validated(request.content, {"a": NUMBER, "b": NUMBER})
        return {"result": numbers["a"] + numbers["b"]}

    def handler(self, forward: Forward) -> Callable[[Request], Awaitable[object]]:
        """Return the handler of one forwarded route."""

        async def handle(request: Request) -> object:
            call = self._call(forward, request)
            if forward.streams or (self._fixed and forward.may_stream and _asks_for_stream(call.body)):
                return Stream(self._relay(forward.service, call))
            return await self._forward(forward.service, call)

        return handle

    async def _forward(self, service: str, call: Call) -> object:
        try:
            async with asyncio.timeout(RESPONSE_TIMEOUT), send(self._backends[service], call) as reply:
                body = await reply.body()
        except BackendDown as error:
            raise HttpError(503, f"Service {service} unavailable") from error
        except LengthMismatch as error:
            raise HttpError(500, "Internal server error") from error
        except TimeoutError as error:
            raise HttpError(504, f"Service {service} timeout") from error
        if not 200 <= reply.status < 300:
            raise self._failure(reply.status, body.decode(errors="replace"))
        if not reply.content_type.startswith(JSON_TYPE):
            return json_response({"content": body.decode(errors="replace"), "content_type": reply.content_type})
        return json_response(body, reply.status)

    def _failure(self, status: int, body: str) -> HttpError:
        """Return the response for an error response of another service."""
        return HttpError(status, f"Service error: {body}")

    async def _relay(self, service: str, call: Call) -> AsyncGenerator[bytes, None]:
        """Forward a stream. The status 200 is sent before the backend is called, so an outage gives an empty stream."""
        try:
            async with send(self._backends[service], call) as reply:
                async for chunk in reply.chunks:
                    yield chunk
        except BackendDown:
            return

    def _call(self, forward: Forward, request: Request) -> Call:
        target = (self._fixed and REPAIRED_TARGETS.get(forward.rule)) or forward.target or forward.rule.split(" ")[1]
        path = target.format(**{name: quote(value, safe="") for name, value in request.path_params.items()})
        query = request.scope["query_string"].decode()
        headers = {"content-type": JSON_TYPE}
        if request.identity:
            name, value = request.identity.credentials
            headers[name] = value
        headers |= {name: request.headers[name] for name in TRACE_HEADERS if name in request.headers}
        body = _with_identity(request)
        if forward.copies_length and not self._fixed:
            headers["content-length"] = str(len(request.content))
            body = b""
        return Call(request.method, f"{path}?{query}" if query else path, headers, body)

    async def _responds(self, service: str) -> bool:
        """Whether a service responds, whatever its status."""
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT), send(self._backends[service], Call("GET", "/health", {})):
                return True
        except (BackendDown, TimeoutError):
            return False


def _with_identity(request: Request) -> bytes:
    """Return the body with the user added, if it is a JSON object and there is a user."""
    if not request.content or request.identity is None:
        return request.content
    try:
        content = json.loads(request.content)
    except ValueError:
        return request.content
    if not isinstance(content, dict):
        return request.content
    user = {"auth_type": request.identity.kind, "user_id": request.identity.user_id}
    return encode({**content, "_auth": user})


def _asks_for_stream(body: bytes) -> bool:
    try:
        content = json.loads(body)
    except ValueError:
        return False
    return isinstance(content, dict) and content.get("stream") is True
