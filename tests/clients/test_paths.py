"""The requested path, the sent path and the recorded path are equal."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gaia.clients.guard import WriteGuard
from pytest_gaia.clients.http._arguments import fill
from pytest_gaia.clients.known_secrets import redactor_of
from pytest_gaia.clients.services import ClientSet
from tests.clients.conftest import environment
from tests.clients.peers import always, peer

if TYPE_CHECKING:
    from tests.clients.conftest import Connect

NOWHERE = "http://127.0.0.1:1"

SENT = {
    "/x?a=1": ({"b": 2}, "/x?a=1&b=2"),
    "/x?": ({"b": 2}, "/x?b=2"),
    "/x?a=1&": ({"b": 2}, "/x?a=1&b=2"),
    "/x?a=2": ({}, "/x?a=2"),
    "/x": ([("a", 1), ("b", True), ("a", [2, None]), ("c", None)], "/x?a=1&b=true&a=2"),
    "/p/q/../r": (None, "/p/q/../r"),
    "/p/./r/..": (None, "/p/./r/.."),
    "/p/%2e%2e/a%2Fb": (None, "/p/%2e%2e/a%2Fb"),
    "//twice//": (None, "//twice//"),
    "/50%/a b/ü{}?q={}&r=50%": (None, "/50%25/a%20b/%C3%BC%7B%7D?q={}&r=50%25"),
    "/?http://h/../x": (None, "/?http://h/../x"),
}


@pytest.mark.parametrize("prefix", ["", "/below/../it"])
async def test_what_is_recorded_is_the_request_line(connect: Connect, prefix: str) -> None:
    async with peer(always(200, {})) as server:
        gateway = connect({"gateway": f"{server.url}{prefix}"}).http("gateway")
        recorded = [(await gateway.get(path, params=params)).exchange.request.url for path, (params, _) in SENT.items()]
    assert [each.target for each in server.received] == [f"{prefix}{sent}" for _, sent in SENT.values()]
    assert recorded == [f"{server.url}{each.target}" for each in server.received]


async def test_the_request_line_is_the_same_through_a_proxy(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    async with peer(always(200, {})) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        answered = await connect({"gateway": "http://gaia.invalid"}).http("gateway").get("/p/q/../r?a")
    assert proxy.received[0].target == answered.exchange.request.url == "http://gaia.invalid/p/q/../r?a"


TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
PATHS = st.lists(TEXT | st.sampled_from([".", "..", "", "%2e", "a%2Fb"]), max_size=4).map(
    lambda parts: f"/{'/'.join(parts)}"
)
PARAMS = st.dictionaries(
    TEXT, TEXT | st.integers() | st.booleans() | st.none() | st.lists(TEXT, max_size=2), max_size=3
)


@given(path=PATHS, params=PARAMS, value=TEXT)
@settings(max_examples=100, deadline=None)
async def test_any_path_is_sent_as_recorded_or_refused(path: str, params: dict[str, Any], value: str) -> None:
    async with peer(always(200, {})) as server:
        where = environment(urls={"gateway": server.url})
        clients = ClientSet(where, WriteGuard(where))
        gateway = clients.http("gateway")
        with contextlib.suppress(ValueError):
            await gateway.get(f"{path}/{{value}}", path_params={"value": value}, params=params)
        await clients.aclose()
    shown = redactor_of(where).url
    assert [each.request.url for each in gateway.exchanges] == [
        shown(f"{server.url}{each.target}") for each in server.received
    ]


@pytest.mark.parametrize(
    ("template", "values", "problem"),
    [
        ("/p/{id}", {"id": ".."}, r"'\{id\}' becomes '\.\.', which is another path"),
        ("/p/{id}", {"id": "."}, "becomes"),
        ("/p/{id}/x?a={a}", {"id": "..", "a": "."}, "becomes"),
        ("/p/{a}{b}", {"a": ".", "b": "."}, "becomes"),
        ("/p/.{a}", {"a": "."}, "becomes"),
        ("/h#f?y", {}, "fragment"),
        ("/h?y#f", {}, "fragment"),
        ("/h\nx", {}, "control character"),
    ],
)
async def test_what_would_ask_for_something_else_is_refused(
    connect: Connect, template: str, values: dict[str, object], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        await connect({"gateway": NOWHERE}).http("gateway").get(template, path_params=values)


@pytest.mark.parametrize(
    ("value", "filled"),
    [("a/../b", "/p/a%2F..%2Fb"), ("%2e%2e", "/p/%252e%252e"), ("", "/p/"), ("...", "/p/..."), (7, "/p/7")],
)
def test_any_other_value_is_one_segment(value: object, filled: str) -> None:
    assert fill("/p/{id}", {"id": value}) == filled
