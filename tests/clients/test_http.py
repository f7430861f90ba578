"""Requests and responses of the HTTP client on real sockets."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.clients.known_secrets import mint
from pytest_gaia.errors import DeadlineExceeded, UnexpectedResponse, WriteRefused
from pytest_gaia.secrets.masks import Secret, mask_of
from tests.clients.conftest import KEY
from tests.clients.peers import Received, always, peer, response

if TYPE_CHECKING:
    from pytest_gaia.clients.exchanges import Exchange
    from tests.clients.conftest import Connect


async def test_a_path_template_is_filled_and_recorded_as_the_route(connect: Connect) -> None:
    async with peer(always(200, {})) as server:
        gateway = connect({"gateway": server.url}).http("gateway")
        answered = await gateway.get(
            "/personas/{persona_id}",
            path_params={"persona_id": "a b/ü"},
            params={"all": True, "of": [1, 2], "no": None},
        )
    assert server.received[0].target == "/personas/a%20b%2F%C3%BC?all=true&of=1&of=2"
    assert answered.exchange.route == "/personas/{persona_id}"
    assert answered.exchange.request.url == f"{server.url}{server.received[0].target}"


@pytest.mark.parametrize(
    ("path", "values", "problem"),
    [("/a/{b}", None, "path_params"), ("/a", {"b": 1}, "path_params"), ("a", None, "must start with a slash")],
)
async def test_a_path_that_does_not_fit_its_parameters_is_refused(
    connect: Connect, path: str, values: dict[str, object] | None, problem: str
) -> None:
    gateway = connect({"gateway": "http://127.0.0.1:1"}).http("gateway")
    with pytest.raises(ValueError, match=problem):
        await gateway.get(path, path_params=values)


async def test_each_method_goes_out_with_its_body_and_headers(connect: Connect) -> None:
    async with peer(always(200, {})) as server:
        gateway = connect({"gateway": server.url}).http("gateway")
        for send in (gateway.get, gateway.post, gateway.put, gateway.patch, gateway.delete):
            await send("/x", json={"ü": 1}, headers={"X-Trace": "t"})
        await gateway.post("/x", content=b"{broken")
    assert [request.method for request in server.received] == ["GET", "POST", "PUT", "PATCH", "DELETE", "POST"]
    assert all(json.loads(request.body) == {"ü": 1} for request in server.received[:5])
    assert all(request.headers["content-type"] == "application/json" for request in server.received[:5])
    assert all(request.headers["x-trace"] == "t" for request in server.received[:5])
    assert server.received[5].body == b"{broken"
    assert "content-type" not in server.received[5].headers


_FORM = {"content-type": "application/x-www-form-urlencoded"}
DISGUISED: list[tuple[str, str, dict[str, Any], str]] = [
    ("GET", "/x", {"json": {"a": 1}}, "GET /x to gateway with a body"),
    ("HEAD", "/x", {"content": b"a"}, "HEAD /x to gateway with a body"),
    ("OPTIONS", "/x", {"data": {"a": "b"}}, "OPTIONS /x to gateway with a body"),
    ("GET", "/x", {"headers": {"X-HTTP-Method-Override": "POST"}}, "with the header x-http-method-override"),
    ("GET", "/x", {"headers": {"x-method-override": "GET"}}, "with the header x-method-override"),
    ("GET", "/x", {"headers": {"X-Http-Method": "DELETE"}}, "with the header x-http-method"),
    ("GET", "/x", {"headers": {"Upgrade": "websocket"}}, "with the header upgrade"),
    ("GET", "/x", {"headers": {"Host": "gaia.example"}}, "with a header host that names another server"),
    ("GET", "/x", {"headers": {"Host": "127.0.0.1"}}, "with a header host that names another server"),
    ("GET", "/x?_method=DELETE", {}, "with _method in its query"),
    ("GET", "/x", {"params": {"a": 1, "_method": "put"}}, "with _method in its query"),
    ("GET", "/x?%5Fmethod=DELETE", {}, "with _method in its query"),
    ("POST", "/calculator/add?_method=DELETE", {}, "POST /calculator/add to gateway with _method in its query"),
    ("POST", "/calculator/add", {"headers": {"x-http-method": "PUT"}}, "with the header x-http-method"),
    ("POST", "/calculator/add", {"data": {"a": 1, "_method": "DELETE"}}, "with _method in its body"),
    ("POST", "/calculator/add", {"content": "%5Fmethod=DELETE", "headers": _FORM}, "with _method in its body"),
    ("POST", "/calculator/add", {"json": {"_method": "DELETE"}}, "with _method in its body"),
    ("POST", "/calculator/add", {"data": {"_method": "PUT"}, "files": {"a": b"b"}}, "with _method in its body"),
]


@pytest.mark.parametrize(("method", "path", "options", "named"), DISGUISED)
async def test_what_makes_a_read_a_write_is_not_sent_where_writing_is_forbidden(
    connect: Connect, method: str, path: str, options: dict[str, Any], named: str
) -> None:
    async with peer(always(200, {})) as server:
        reading = connect({"gateway": server.url}, name="production", writes=False).http("gateway")
        with pytest.raises(WriteRefused, match=re.escape(named)):
            await reading.request(method, path, **options)
        with pytest.raises(WriteRefused, match=re.escape(named)):
            async with reading.stream(path, method=method, **options):
                pass
        assert server.received == []
        await connect({"gateway": server.url}).http("gateway").request(method, path, **options)
        assert len(server.received) == 1


async def test_what_only_looks_like_it_is_sent(connect: Connect) -> None:
    async with peer(always(200, {})) as server:
        reading = connect({"gateway": server.url}, name="production", writes=False).http("gateway")
        await reading.get("/x", headers={"Host": f"127.0.0.1:{server.port}"}, params={"payment_method": "_method"})
        await reading.get("/x", content=b"")
        await reading.post("/calculator/add", json={"payment_method": "a", "of": "my _method"})
        await reading.post("/calculator/add", data={"payment_method": "a=b"})
        assert len(server.received) == 4


async def test_json_and_content_together_are_refused(connect: Connect) -> None:
    gateway = connect({"gateway": "http://127.0.0.1:1"}).http("gateway")
    with pytest.raises(ValueError, match="got several"):
        await gateway.post("/x", json={}, content=b"")


async def test_views_present_another_identity_over_the_same_connection(connect: Connect) -> None:
    token = mint(Secret("a-secret-that-is-long-enough-for-hs256"), "user")
    async with peer(always(200, {})) as server:
        gateway = connect({"gateway": server.url}).http("gateway")
        for view in (gateway, gateway.as_user(token), gateway.with_key("another-key"), gateway.anonymous()):
            await view.get("/x")
        shown = [(each.headers.get("x-api-key"), each.headers.get("authorization")) for each in server.received]
    assert shown == [(KEY, None), (None, f"Bearer {token}"), ("another-key", None), (None, None)]
    assert server.connections == 1


async def test_an_environment_without_a_key_presents_its_token(connect: Connect) -> None:
    async with peer(always(200, {})) as server:
        clients = connect({"gateway": server.url}, api_key=None, token=Secret("token-of-the-environment"))
        await clients.http("gateway").get("/x")
    assert server.received[0].headers["authorization"] == "Bearer token-of-the-environment"


async def test_every_exchange_is_recorded_without_its_secrets(connect: Connect) -> None:
    seen: list[Exchange] = []
    body = {"token": "t-1234567", "echo": KEY, "total_tokens": 7}
    async with peer(always(200, body, headers={"set-cookie": "session=1"})) as server:
        gateway = connect({"gateway": server.url}, record=seen).http("gateway")
        answered = await gateway.post("/login", json={"email": "a@b.c", "password": "hunter2!"})
    assert answered.json() == body
    exchange = seen[0]
    assert seen == [answered.exchange] == list(gateway.exchanges)
    assert (exchange.service, exchange.via, exchange.status, exchange.error) == ("gateway", "direct", 200, None)
    assert exchange.elapsed > 0
    assert exchange.request.headers["x-api-key"] == mask_of(KEY)
    assert json.loads(exchange.request.body or "") == {"email": "a@b.c", "password": mask_of("hunter2!")}
    assert exchange.response is not None
    assert exchange.response.headers["set-cookie"] == mask_of("session=1")
    assert json.loads(exchange.response.body) == {
        "token": mask_of("t-1234567"),
        "echo": mask_of(KEY),
        "total_tokens": 7,
    }
    assert KEY not in repr(exchange)


async def test_a_token_that_a_service_echoes_is_masked(connect: Connect) -> None:
    async def echo(request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(response(200, f"you sent {request.headers['authorization']}".encode()))
        await writer.drain()

    async with peer(echo) as server:
        answered = await connect({"gateway": server.url}).http("gateway").as_user("not-a-jwt").get("/x")
    assert answered.text == "you sent Bearer not-a-jwt"
    assert answered.exchange.response is not None
    assert answered.exchange.response.body == f"you sent Bearer {mask_of('not-a-jwt')}"


async def test_the_recorded_body_is_capped_and_the_response_is_not(connect: Connect) -> None:
    async with peer(always(200, b"x" * 100_000)) as server:
        answered = await connect({"gateway": server.url}).http("gateway").get("/x")
    assert len(answered.text) == len(answered.body) == 100_000
    assert answered.exchange.response is not None
    assert len(answered.exchange.response.body) == 64 * 1024


async def test_an_unexpected_status_shows_the_whole_exchange(connect: Connect) -> None:
    async with peer(always(503, {"detail": "Service chat unavailable"})) as server:
        gateway = connect({"gateway": server.url}).http("gateway")
        answered = await gateway.post("/api/v0.2/personas/{id}", path_params={"id": 7}, json={"name": "Mu"})
    with pytest.raises(UnexpectedResponse) as caught:
        answered.expect(200, 201)
    message = str(caught.value)
    assert message.startswith("gateway returned 503, expected 200 or 201")
    for part in (
        f"POST {server.url}/api/v0.2/personas/7",
        "route /api/v0.2/personas/{id}, attempt 1",
        " ms",
        "> x-api-key: ***",
        '"name": "Mu"',
        "< 503 Service Unavailable",
        "< content-type: application/json",
        '"detail": "Service chat unavailable"',
    ):
        assert part in message
    assert KEY not in message
    assert isinstance(caught.value, AssertionError)
    assert caught.value.exchange is answered.exchange


async def test_a_redirect_is_a_response(connect: Connect) -> None:
    async with peer(always(307, b"", headers={"location": "/elsewhere"})) as server:
        answered = await connect({"gateway": server.url}).http("gateway").get("/x")
    assert answered.expect(307).headers["Location"] == "/elsewhere"
    assert len(server.received) == 1


async def test_a_response_that_does_not_come_is_reported_at_the_deadline(connect: Connect) -> None:
    seen: list[Exchange] = []

    async def hang(_: Received, writer: asyncio.StreamWriter) -> None:
        await writer.drain()
        await asyncio.Event().wait()

    async with peer(hang) as server:
        gateway = connect({"gateway": server.url}, record=seen).http("gateway")
        with pytest.raises(DeadlineExceeded) as caught:
            await gateway.get("/slow", timeout=0.2)
    message = str(caught.value)
    assert "gateway did not respond in time: no response within 0.2 s" in message
    assert "[env.sandbox.timeouts]" in message
    assert f"GET {server.url}/slow" in message
    assert seen[0].error is not None
    assert seen[0].error.startswith("timeout: ")
    assert seen[0].response is None
    assert seen[0].elapsed > 0.15


async def test_the_deadline_holds_for_a_response_that_trickles(connect: Connect) -> None:
    async def trickle(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with peer(trickle) as server:
        gateway = connect({"gateway": server.url}).http("gateway")
        with pytest.raises(DeadlineExceeded, match=r"bytes of the response within"):
            await gateway.get("/slow", timeout=0.2)
        assert "status 200, received so far: xx" in (gateway.exchanges[0].error or "")


async def test_a_write_is_refused_before_anything_is_sent(connect: Connect) -> None:
    async with peer(always(200, {})) as server:
        gateway = connect({"gateway": server.url}, permitted=False).http("gateway")
        with pytest.raises(WriteRefused, match=r"DELETE /personas/7 to gateway"):
            await gateway.delete("/personas/{id}", path_params={"id": 7})
        with pytest.raises(WriteRefused):
            async with gateway.stream("/personas", json={}):
                pytest.fail("the stream was opened")
        await gateway.post("/calculator/add", json={})
        await gateway.get("/personas")
    assert [(each.method, each.target) for each in server.received] == [
        ("POST", "/calculator/add"),
        ("GET", "/personas"),
    ]


async def test_a_cancelled_request_is_recorded_as_given_up(connect: Connect) -> None:
    async def hang(_: Received, writer: asyncio.StreamWriter) -> None:
        await writer.drain()
        await asyncio.Event().wait()

    async with peer(hang) as server:
        gateway = connect({"gateway": server.url}).http("gateway")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(gateway.get("/x"), 0.1)
    assert [each.error for each in gateway.exchanges] == ["canceled by the test"]
