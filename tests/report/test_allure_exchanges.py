"""Exchanges as attachments for Allure, within their size limit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_gaia.clients.exchanges import Exchange, Message, ReceivedResponse, SentRequest, Statement
from pytest_gaia.report.allure.exchanges import LIMIT, MOST, Attached, attached


def exchange(*, body: str | None = None, received: str | None = "{}", error: str | None = None) -> Exchange:
    request = SentRequest(
        "POST", "http://host/a?x=1&x=2&y=", {"content-type": "application/json", "cookie": "***"}, body
    )
    response = ReceivedResponse(503, {"content-type": "text/plain"}, received) if received is not None else None
    return Exchange("gateway", "direct", "/a", request, response, error, 1000.5, 0.25)


def only(*exchanges: Exchange) -> Attached:
    (one,) = attached(exchanges, (), ())
    return one


def shown(one: Attached) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(one.body)
    return plain


def test_an_exchange_is_complete() -> None:
    one = only(exchange(body='{"a": 1}', received="away"))

    assert (one.name, one.type, one.extension) == (
        "POST /a → 503",
        "application/vnd.allure.http+json",
        "httpexchange",
    )
    assert shown(one) == {
        "schemaVersion": 1,
        "start": 1000500,
        "stop": 1000750,
        "request": {
            "method": "POST",
            "url": "http://host/a?x=1&x=2&y=",
            "headers": [{"name": "content-type", "value": "application/json"}, {"name": "cookie", "value": "***"}],
            "query": [{"name": "x", "value": "1"}, {"name": "x", "value": "2"}, {"name": "y", "value": ""}],
            "cookies": [{"name": "cookie", "value": "***"}],
            "body": {"encoding": "utf8", "value": '{"a": 1}', "size": 8, "contentType": "application/json"},
        },
        "response": {
            "status": 503,
            "statusText": "Service Unavailable",
            "headers": [{"name": "content-type", "value": "text/plain"}],
            "body": {"encoding": "utf8", "value": "away", "size": 4, "contentType": "text/plain"},
        },
    }


def test_an_exchange_without_a_response_has_an_error() -> None:
    one = only(exchange(received=None, error="unreachable: connection refused"))

    assert one.name == "POST /a → unreachable: connection refused"
    assert "response" not in shown(one)
    assert shown(one)["error"] == {"name": "unreachable", "message": "connection refused"}


@pytest.mark.parametrize("character", ["x", "ü", '"', "🚀"])
def test_large_bodies_are_cut_and_marked(character: str) -> None:
    one = only(exchange(body=character * LIMIT, received=character * LIMIT))

    assert len(one.body) <= LIMIT
    for side in ("request", "response"):
        body = shown(one)[side]["body"]
        assert body["truncated"]
        assert body["size"] == len(character.encode()) * LIMIT
        assert set(body["value"]) == {character}


def test_only_the_latest_exchanges_are_attached() -> None:
    many = [exchange(error=str(number), received=None) for number in range(MOST + 5)]

    names = [each.name for each in attached(many, (), ())]

    assert names == [f"POST /a → {number}" for number in range(5, MOST + 5)]


def test_statements_are_one_sql_file_with_placeholders() -> None:
    statements = (Statement("SELECT $1;", 1.0, 0.0021), Statement("INSERT INTO a", 1.0, 0.1, "UniqueViolation (23505)"))

    (one,) = attached((), statements, ())

    assert (one.name, one.type, one.extension) == ("SQL (2)", "text/sql", "sql")
    assert one.body.decode() == (
        "-- 2.1 ms\nSELECT $1;\n\n-- 100.0 ms, failed: UniqueViolation (23505)\nINSERT INTO a;\n"
    )


def test_many_statements_are_cut() -> None:
    (one,) = attached((), [Statement("SELECT 'ü" * 500, 1.0, 0.1)] * 200, ())

    assert len(one.body) <= LIMIT
    assert one.body.decode().endswith("\n-- cut\n")


def test_messages_are_one_json_file() -> None:
    messages = (Message("sent", "gaia.test.a", '{"a": 1}', 2.0), Message("received", "b", "", 3.0, "TimeoutError"))

    (one,) = attached((), (), messages)

    assert (one.name, one.type, one.extension) == ("NATS (2)", "application/json", "json")
    assert json.loads(one.body) == [
        {"direction": "sent", "subject": "gaia.test.a", "time": 2000, "body": '{"a": 1}'},
        {"direction": "received", "subject": "b", "time": 3000, "body": "", "error": "TimeoutError"},
    ]


@pytest.mark.parametrize("size", [100, 1000, LIMIT])
def test_of_many_messages_the_first_are_omitted(size: int) -> None:
    messages = [Message("received", str(number), "ü" * size, 1.0) for number in range(200)]

    (one,) = attached((), (), messages)

    assert len(one.body) <= LIMIT
    assert json.loads(one.body)[-1]["subject"] == "199"


def test_without_exchanges_nothing_is_attached() -> None:
    assert list(attached((), (), ())) == []


def test_control_and_bidirectional_characters_are_visible() -> None:
    one = only(exchange(received="\x1b[31mred\x1b[0m \x1b[2Jcleared gnp\u202eexe", error="Reset: \u202eback"))

    assert shown(one)["response"]["body"]["value"] == "red \\x1b[2Jcleared gnp\\u202eexe"
    assert shown(one)["error"]["message"] == "\\u202eback"
