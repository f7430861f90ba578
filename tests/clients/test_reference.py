"""The reference page agrees with the code."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from pytest_gaia.clients.broker.events import EventLog
from pytest_gaia.clients.broker.messaging import JetStream, Messaging
from pytest_gaia.clients.database.client import recipe
from pytest_gaia.clients.database.sessions import Session
from pytest_gaia.clients.exchanges import BODY_LIMIT
from pytest_gaia.clients.http import _exchange as retries
from pytest_gaia.clients.http.client import HttpClient
from pytest_gaia.clients.http.responses import Answer, EventStream, Response
from pytest_gaia.clients.redis import RedisClient
from pytest_gaia.errors import UnexpectedAnswer, UnexpectedResponse
from pytest_gaia.run.sandbox import Sandbox

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "clients.md").read_text("utf-8")
OF_WHOM = {
    "orders": HttpClient,
    "redis": RedisClient,
    "response": Response,
    "nats": Messaging,
    "events": (EventLog, EventStream),
}


def calls() -> list[tuple[str, str, list[str]]]:
    """Return object, method and keywords of every call in the page's examples."""
    found = []
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        indented = "".join(f"    {line}\n" for line in code.splitlines())
        for node in ast.walk(ast.parse(f"async def example():\n{indented}")):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
            ):
                found.append((node.func.value.id, node.func.attr, [each.arg or "" for each in node.keywords]))
    return found


@pytest.mark.parametrize(("owner", "method", "keywords"), calls())
def test_each_call_of_the_examples_exists_with_its_keywords(owner: str, method: str, keywords: list[str]) -> None:
    owners = OF_WHOM[owner]
    found = [
        getattr(each, method) for each in (owners if isinstance(owners, tuple) else (owners,)) if hasattr(each, method)
    ]
    assert found, f"{owner}.{method}"
    names = set(inspect.signature(found[0]).parameters) | set(inspect.signature(HttpClient.request).parameters)
    assert set(keywords) <= names


def test_there_are_examples_of_every_client() -> None:
    assert {owner for owner, _, _ in calls()} == set(OF_WHOM)


def test_the_recipe_is_the_one_of_the_message() -> None:
    (shown,) = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    assert [line.strip() for line in recipe("llm_platform").splitlines()] == shown.splitlines()


def test_every_public_name_is_on_the_page() -> None:
    for owner in (HttpClient, Response, Messaging, JetStream, Session):
        names = [name for name in vars(owner) if not name.startswith("_") and name not in UNMENTIONED]
        assert [name for name in names if name not in PAGE] == []


UNMENTIONED = {"listening", "service", "environment", "base_url", "connect", "aclose", "unexpected"}


def test_the_numbers_are_those_of_the_code() -> None:
    assert f"cut at {BODY_LIMIT // 1024} KiB" in PAGE
    assert (
        f"({', '.join(name for name in ('GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE') if name in retries.IDEMPOTENT)})"
        in PAGE
    )
    assert len(retries.IDEMPOTENT) == 5


def test_old_names_are_aliases() -> None:
    assert Answer is Response
    assert UnexpectedAnswer is UnexpectedResponse
    assert Messaging.listening is Messaging.subscribe
    assert Sandbox.stop_member is Sandbox.stop_service
    assert Sandbox.start_member is Sandbox.start_service
