"""The gateway: health, the rate limit of its root, and forwarding to faulty services."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import jwt
import pytest

from pytest_gaia.sandbox._services import StackSettings, build_stack, gateway
from pytest_gaia.sandbox._services.gateway import RateLimit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.sandbox.services.platform import Platform


async def test_root_is_limited_to_sixty_calls_a_minute(platform: Platform) -> None:
    stack = platform.sandbox.stack("limited")
    statuses = [(await platform.client.get(f"{stack.urls['gateway']}/")).status_code for _ in range(61)]

    assert statuses == [200] * 60 + [429]


def test_limit_is_for_each_client_and_ends_with_its_window(monkeypatch: pytest.MonkeyPatch) -> None:
    limit, now = RateLimit(2, per_seconds=60), 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)

    assert [limit.allows("a"), limit.allows("a"), limit.allows("a"), limit.allows("b")] == [True, True, False, True]
    now = 60.0
    assert limit.allows("a")


async def test_health_follows_the_services(platform: Platform) -> None:
    assert (await platform.content("GET /health"))["status"] == "healthy"
    platform.fault("asset", "stop")
    assert (await platform.content("GET /health"))["status"] == "degraded"


async def test_sick_service_is_not_a_dead_one(platform: Platform) -> None:
    platform.fault("chat", "status", route="/health", status=500)

    assert (await platform.content("GET /health"))["status"] == "healthy"


async def test_wrong_method_differs_from_wrong_path(platform: Platform) -> None:
    wrong_method = await platform.ask("PATCH /api/v0.2/providers")
    bodiless = await platform.ask("HEAD /health")
    wrong_path = await platform.ask("GET /nowhere")

    assert (wrong_method.status_code, bodiless.status_code, wrong_path.status_code) == (405, 405, 404)


async def test_missing_slash_is_redirected_with_the_query(platform: Platform) -> None:
    response = await platform.ask("GET /api/v0.2/models?provider=openai", service="chat")

    assert response.status_code == 307
    assert response.headers["location"] == f"{platform.stack.urls['chat']}/api/v0.2/models/?provider=openai"


@pytest.mark.parametrize("body", [b"{", b"[1]", b"", b'"text"'])
async def test_body_that_is_no_object_is_a_422(platform: Platform, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    response = await platform.ask("POST /api/v0.2/chat", content=body, headers=headers)

    assert response.status_code == 422


SECRET = "a secret of at least thirty-two bytes"


@asynccontextmanager
async def gateway_over(response: bytes | None) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of a gateway whose services write ``response`` and close, or never write anything."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if response is None:
            await ended.wait()
        else:
            writer.write(response)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    settings = StackSettings(
        "broken", "postgresql://127.0.0.1:1/none", SECRET, "key", backends=dict.fromkeys(("auth", "asset", "chat"), url)
    )
    transport = httpx.ASGITransport(build_stack(settings).apps["gateway"])
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            yield client
    finally:
        ended.set()
        server.close()
        await server.wait_closed()


HEADERS = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


@pytest.mark.parametrize(
    "broken",
    [b"", b"HTTP/1.1 200", HEADERS + b"content-length: 9\r\n\r\n{}", HEADERS + b"\r\n5\r\n{}"],
    ids=["nothing", "half a status", "half a body", "half a chunk"],
)
async def test_response_that_breaks_off_is_a_503(broken: bytes) -> None:
    async with gateway_over(broken) as client:
        response = await client.post("/api/v1/auth/validate", json={})

    assert (response.status_code, response.json()) == (503, {"detail": "Service auth unavailable"})


async def test_response_that_does_not_come_is_a_504(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "RESPONSE_TIMEOUT", 0.02)
    async with gateway_over(None) as client:
        response = await client.post("/api/v1/auth/validate", json={})

    assert (response.status_code, response.json()) == (504, {"detail": "Service auth timeout"})


async def test_chunks_are_put_together() -> None:
    async with gateway_over(HEADERS + b'\r\n3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n') as client:
        response = await client.post("/api/v1/auth/validate", json={})

    assert response.json() == {"a": 1}


async def test_stream_comes_through_before_it_ends(platform: Platform) -> None:
    request = {"message": "hello"}
    url = f"{platform.stack.urls['gateway']}/api/v0.2/chat/stream"
    async with platform.client.stream("POST", url, json=request) as response:
        sizes = [len(chunk) async for chunk in response.aiter_raw()]

    assert response.headers["transfer-encoding"] == "chunked"
    assert len(sizes) > 1


async def test_stream_that_breaks_off_does_not_look_complete() -> None:
    broken = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n9\r\ndata: {}\n\r\n"
    async with gateway_over(broken) as client:
        with pytest.raises(asyncio.IncompleteReadError):
            await client.post("/api/v0.2/chat/stream", json={}, headers=bearer())


def bearer() -> dict[str, str]:
    claims = {"sub": "u", "aud": "authenticated", "exp": int(time.time()) + 60}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, algorithm='HS256')}"}
