"""Assertions about a response, and their messages."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import pytest

from pytest_gaia.clients.exchanges import Exchange, ReceivedResponse, SentRequest, transcript
from pytest_gaia.clients.http.responses import Headers, Response, unexpected
from pytest_gaia.errors import UnexpectedResponse

BODY = {"summary": {"total_cost": 1.5, "none": None}, "providers": [{"id": "claude"}, {"id": "openai"}], "empty": {}}


def exchange(status: int, body: str, *, error: str | None = None) -> Exchange:
    response = None if error else ReceivedResponse(status, {"content-type": "application/json"}, body)
    request = SentRequest("GET", "http://h/x", {"accept": "*/*"})
    return Exchange("gateway", "direct", "/x", request, response, error, started=0.0, elapsed=0.0123)


def answered(status: int = 200, body: str = json.dumps(BODY)) -> Response:
    return Response(
        status, Headers([("Content-Type", "application/json")]), body.encode(), body, exchange(status, body)
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("summary.total_cost", 1.5),
        ("summary.none", None),
        ("providers.0.id", "claude"),
        ("providers.-1.id", "openai"),
        ("providers", BODY["providers"]),
    ],
)
def test_a_field_is_found_by_its_path(path: str, value: object) -> None:
    assert answered().field(path) == value


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("cost", "has no field 'cost': the response has summary, providers, empty"),
        ("summary.cost", "has no field 'summary.cost': summary has total_cost, none"),
        ("providers.2.id", "providers is a list of 2"),
        ("providers.first", "providers is a list of 2"),
        ("summary.total_cost.cents", "summary.total_cost is float"),
        ("summary.none.x", "summary.none is null"),
        ("empty.x", "empty has no fields"),
    ],
)
def test_a_missing_field_reports_how_far_the_path_leads(path: str, why: str) -> None:
    with pytest.raises(UnexpectedResponse) as caught:
        answered().field(path)
    assert why in str(caught.value)
    assert "GET http://h/x" in str(caught.value)


@pytest.mark.parametrize(("status", "expected"), [(200, ()), (204, ()), (404, (404,)), (409, (200, 409))])
def test_an_expected_status_gives_the_response_back(status: int, expected: tuple[int, ...]) -> None:
    given = answered(status)
    assert given.expect(*expected) is given


@pytest.mark.parametrize(
    ("status", "expected", "wanted"), [(500, (), "2xx"), (200, (404,), "404"), (301, (200, 201), "200 or 201")]
)
def test_an_unexpected_status_reports_both(status: int, expected: tuple[int, ...], wanted: str) -> None:
    with pytest.raises(UnexpectedResponse, match=f"gateway returned {status}, expected {wanted}"):
        answered(status).expect(*expected)


@pytest.mark.parametrize("body", ["<html>", '{"a": NaN}', '{"a": [-Infinity]}', "Infinity"])
def test_a_response_that_is_not_json_is_shown(body: str) -> None:
    with pytest.raises(UnexpectedResponse, match=r"returned something that is not JSON") as caught:
        answered(body=body).json()
    assert body in str(caught.value).partition("< 200")[2]


def test_headers_are_found_in_any_case_and_joined() -> None:
    headers = Headers([("X-A", "1"), ("x-a", "2"), ("B", "3")])
    assert (headers["x-A"], headers["b"], headers.get("c"), len(headers), list(headers)) == (
        "1, 2",
        "3",
        None,
        2,
        ["x-a", "b"],
    )


def test_a_response_shows_no_secret_in_its_repr() -> None:
    given = Response(200, Headers([("x", "hidden-value")]), b"hidden-value", "hidden-value", exchange(200, "***"))
    assert repr(given) == "<Response 200 to GET http://h/x>"
    assert "hidden-value" not in repr(given.headers)


def test_a_transcript_without_a_response_reports_what_failed() -> None:
    text = transcript(exchange(0, "", error="unreachable: connection refused"))
    assert text.splitlines() == [
        "  GET http://h/x",
        "  gateway, route /x, attempt 1, 12 ms",
        "  > accept: */*",
        "  no response: unreachable: connection refused",
    ]


def test_a_transcript_of_a_long_response_reports_how_much_is_left_out() -> None:
    assert "… 1000 more characters" in transcript(exchange(299, "x" * 5000))


@pytest.mark.parametrize(
    ("headers", "left"),
    [
        ({"x-long": "v" * 60_000}, "56008 more characters"),
        ({f"x-{n:04}": "v" * 32 for n in range(2000)}, "1900 more headers"),
    ],
    ids=["a long one", "many"],
)
def test_a_transcript_cuts_headers_as_it_cuts_bodies(headers: dict[str, str], left: str) -> None:
    given = exchange(200, "{}")
    assert given.response is not None
    text = transcript(replace(given, response=replace(given.response, headers=headers)))
    assert left in text
    assert len(text) < 6000


def test_an_exchange_travels_between_processes() -> None:
    given = exchange(200, "{}")
    assert pickle.loads(pickle.dumps(given)) == given


@pytest.mark.parametrize(
    ("status", "headers", "hinted"),
    [(401, {}, True), (401, {"X-API-Key": "***"}, False), (401, {"authorization": "***"}, False), (403, {}, False)],
)
def test_a_401_without_credentials_reports_what_to_configure(
    status: int, headers: dict[str, str], hinted: bool
) -> None:
    exchange = Exchange(
        "gateway",
        "direct",
        "/x",
        SentRequest("GET", "http://h/x", headers),
        ReceivedResponse(status, {}, "{}"),
        None,
        0.0,
        0.01,
    )

    assert ("GAIA_<ENVIRONMENT>_API_KEY" in str(unexpected(exchange, "answered"))) is hinted


def test_a_response_is_true_only_after_its_status_was_as_expected() -> None:
    response = answered(200)

    with pytest.raises(TypeError, match="no truth value"):
        bool(response)

    assert response.expect(200)


def test_an_expectation_may_fail_in_its_block_only() -> None:
    response, other = answered(200), answered(200)

    with response.may_fail("it may be a teapot"):
        response.expect(418)
        pytest.fail("the block goes on")

    with pytest.raises(UnexpectedResponse), response.may_fail("it may be a teapot"):
        other.expect(418)
    with pytest.raises(UnexpectedResponse):
        response.expect(418)
    with pytest.raises(ValueError, match="needs a reason"), response.may_fail(" "):
        pass
