"""Bodies that readers of JSON understand differently: refused, unless the test accepts them."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.clients.exchanges import MOST_DEPTH, MOST_DIGITS
from pytest_gaia.errors import UnexpectedResponse
from tests.clients.peers import always, peer

if TYPE_CHECKING:
    from tests.clients.conftest import Connect

JSON = "application/json"


def deep(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


async def received(connect: Connect, body: bytes, kind: str | None = JSON) -> Any:
    async with peer(always(200, body, headers={"content-type": kind} if kind else None)) as server:
        return await connect({"gateway": server.url}).http("gateway").get("/x")


LOOSE = {
    "NaN": (b'{"a": NaN}', "NaN is not valid JSON", lambda value: math.isnan(value["a"])),
    "infinite": (b'{"a": -Infinity}', "-Infinity is not valid JSON", lambda value: value == {"a": -math.inf}),
    "too large": (b'{"a": [1e999]}', "1e999 is not a finite number", lambda value: value == {"a": [math.inf]}),
    "key": (
        b'{"a": {"status": "unhealthy", "status": "healthy"}}',
        "the key 'status' occurs twice",
        lambda value: value == {"a": {"status": "healthy"}},
    ),
    "surrogate": (
        b'{"a": "\\ud800"}',
        "a string has a surrogate (\\ud800 to \\udfff) without its other half",
        lambda value: value == {"a": "\ud800"},
    ),
    "surrogate in a key": (b'{"\\uDFFF": 1}', "a string has a surrogate", lambda value: value == {"\udfff": 1}),
    "byte order mark": (
        json.dumps({"a": 1}).encode("utf-8-sig"),
        "the encoding is UTF-8 with a byte order mark, expected UTF-8",
        lambda value: value == {"a": 1},
    ),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "the encoding is UTF-16, expected UTF-8", lambda value: value == {"a": 1}),
    "UTF-16 without a mark": (
        '{"a": 1}'.encode("utf-16-be"),
        "the encoding is UTF-16-BE, expected UTF-8",
        lambda value: value == {"a": 1},
    ),
    "deep": (deep(900), f"nested deeper than {MOST_DEPTH}", lambda value: len(value) == 1),
    "one too deep": (deep(MOST_DEPTH + 1), f"nested deeper than {MOST_DEPTH}", lambda value: len(value) == 1),
    "long": (b"1" * 4000, f"a number has 4000 digits, more than {MOST_DIGITS}", lambda value: value > 10**3999),
    "one digit too long": (b"1." + b"1" * MOST_DIGITS, "a number has 33 digits", lambda value: value < 2),
}


@pytest.mark.parametrize(("body", "problem", "accepted"), LOOSE.values(), ids=LOOSE)
async def test_ambiguous_json_is_refused_unless_the_test_accepts_it(
    connect: Connect, body: bytes, problem: str, accepted: Any
) -> None:
    response = await received(connect, body)
    for read in (response.json, lambda: response.field("a")):
        with pytest.raises(UnexpectedResponse) as refused:
            read()
        first = str(refused.value).partition("\n")[0]
        assert first.startswith(f"gateway returned something that is not JSON ({problem}")
        assert first.endswith("json(strict=False) accepts it")
        assert refused.value.kind == "http"

    assert accepted(response.json(strict=False))


@pytest.mark.parametrize(
    "body",
    [b'{"a": 1} x', b"", b"{", b'"\xff"', b"[" * 100_000, b'{"a": 1, }', b"1" * 5000],
    ids=["a byte after the end", "nothing", "cut", "not UTF-8", "too deep for Python", "comma", "too long for Python"],
)
async def test_what_no_reader_accepts_has_no_hint(connect: Connect, body: bytes) -> None:
    response = await received(connect, body)
    for strict in (True, False):
        with pytest.raises(UnexpectedResponse, match="returned something that is not JSON") as refused:
            response.json(strict=strict)
        assert "strict=False" not in str(refused.value).partition("\n")[0]


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (deep(MOST_DEPTH), json.loads(deep(MOST_DEPTH))),
        (b'["' + b"[" * 900 + b'"]', ["[" * 900]),
        (b"[" + b"{}," * 900 + b"{}]", [{}] * 901),
        (b"9" * MOST_DIGITS, 10**MOST_DIGITS - 1),
        (b"-1.7976931348623157e+308", -1.7976931348623157e308),
        (b'"\\ud83d\\ude00 \\\\ud800"', "😀 \\ud800"),
        ("grün".join('""').encode(), "grün"),
    ],
    ids=["deep", "brackets in a string", "many", "long", "largest", "pair of surrogates", "UTF-8"],
)
async def test_strict_json_is_accepted_up_to_its_limits(connect: Connect, body: bytes, value: object) -> None:
    assert (await received(connect, body)).json() == value


@pytest.mark.parametrize(
    "kind",
    [JSON, "application/json; charset=utf-8", "Application/JSON", "application/problem+json", "text/json"],
)
async def test_content_types_of_json_are_accepted(connect: Connect, kind: str) -> None:
    assert (await received(connect, b'{"a": 1}', kind)).field("a") == 1


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("text/html; charset=utf-8", "with the content type 'text/html'"),
        ("application/jsonp", "with the content type 'application/jsonp'"),
        (None, "without a content type"),
    ],
)
async def test_another_content_type_is_refused_unless_the_test_accepts_it(
    connect: Connect, kind: str | None, found: str
) -> None:
    response = await received(connect, b'{"a": 1}', kind)
    for read in (response.json, lambda: response.field("a"), lambda: response.json(strict=False)):
        with pytest.raises(UnexpectedResponse) as refused:
            read()
        assert str(refused.value).startswith(
            f"gateway responded {found}, expected application/json; json(any_type=True) accepts it"
        )

    assert response.json(any_type=True) == {"a": 1}


async def test_events_are_text_unless_they_are_strict_json(connect: Connect) -> None:
    body = b'data: {"a": 1}\n\ndata: {"a": 1, "a": 2}\n\ndata: [DONE]\n\n'
    async with (
        peer(always(200, body, headers={"content-type": "text/event-stream"})) as server,
        connect({"gateway": server.url}).http("gateway").stream("/x") as events,
    ):
        assert [event.data for event in await events.collect()] == [{"a": 1}, '{"a": 1, "a": 2}', "[DONE]"]
