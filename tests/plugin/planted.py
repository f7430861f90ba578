"""A suite that has a secret in every place that it can have one. Copied into a project and run there.

Each place prints its name just before its secret, so that the name before a mask proves that the place was reached. The
places are listed in ``test_planted_secrets.py``.
"""

from __future__ import annotations

import base64
import contextlib
import html
import json
import logging
import os
import sys
import warnings
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pytest
from nats import connect

from pytest_gaia.clients.services import ClientSet
from pytest_gaia.errors import NotApplicable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from pytest_gaia.clients.broker.messaging import Messaging
    from pytest_gaia.clients.database.sessions import Session
    from pytest_gaia.clients.http.client import HttpClient
    from pytest_gaia.config.environment import Environment
    from pytest_gaia.run.session import Run


def secret(place: str) -> str:
    return os.environ[f"PLANT_{place.upper()}_TOKEN"]


def plant(place: str) -> str:
    return f"{place}={secret(place)}"


@pytest.fixture
async def echo(gaia_run: Run, gaia_env: Environment) -> AsyncIterator[HttpClient]:
    where = replace(gaia_env, urls=MappingProxyType({"gateway": os.environ["ECHO_URL"]}))
    clients = ClientSet(where, gaia_run.guard, gaia_run.recorder, gaia_run.redactor)
    yield clients.http("gateway")
    await clients.aclose()


WRITES = pytest.mark.gaia(writes=True)


class TestWire:
    async def test_header(self, echo: HttpClient) -> None:
        (await echo.get("/x", headers={"x-plant": plant("header")})).expect(200)

    async def test_authorization(self, echo: HttpClient) -> None:
        (await echo.get("/x", headers={"authorization": f"Bearer {secret('authorization')}"})).expect(200)

    async def test_key(self, echo: HttpClient) -> None:
        (await echo.with_key(secret("key")).get("/x")).expect(200)

    async def test_user(self, echo: HttpClient) -> None:
        (await echo.as_user(secret("user")).get("/x")).expect(200)

    async def test_basic(self, echo: HttpClient) -> None:
        credentials = base64.b64encode(f"me:{secret('basic')}".encode()).decode()
        (await echo.get("/x", headers={"x-basic": f"basic={credentials}"})).expect(200)

    async def test_cookie(self, echo: HttpClient) -> None:
        (await echo.get("/x", headers={"cookie": f"session={secret('cookie')}"})).expect(200)

    async def test_set_cookie(self, echo: HttpClient) -> None:
        (await echo.get("/x", headers={"x-set-cookie": secret("set_cookie")})).expect(200)

    async def test_query(self, echo: HttpClient) -> None:
        (await echo.get("/x", params={"query": secret("query")})).expect(200)

    async def test_path(self, echo: HttpClient) -> None:
        (await echo.get("/x/{path}", path_params={"path": plant("path")})).expect(200)

    @WRITES
    async def test_body(self, echo: HttpClient) -> None:
        (await echo.post("/x", json={"note": plant("body"), "password": secret("body_field")})).expect(200)

    @WRITES
    async def test_login(self, echo: HttpClient) -> None:
        answer = await echo.post("/login", json={"name": "mu"})
        raise AssertionError(f"login={answer.json()['access_token']}")

    async def test_url(self, echo: HttpClient) -> None:
        raise AssertionError(f"http://host/x?api_key={secret('url')}&url=1")


class TestData:
    async def test_argument(self, postgres: Session) -> None:
        await postgres.fetch("select $1::int", plant("sql_argument"))

    @WRITES
    async def test_detail(self, postgres_fresh: Session) -> None:
        await postgres_fresh.execute("create table planted (sql_detail text primary key)")
        for _ in range(2):
            await postgres_fresh.execute("insert into planted values ($1)", secret("sql_detail"))

    async def test_message(self, nats: Messaging) -> None:
        async with nats.subscribe("gaia.test.>") as events:
            await nats.publish("gaia.test.plant", {"note": plant("nats")})
            await events.wait_for(subject="gaia.test.other", within=1.5)

    async def test_message_header(self, nats: Messaging, gaia_env: Environment) -> None:
        # Events have no headers: only a listener of its own shows that this one was sent.
        listener = await connect(gaia_env.connections["nats"].reveal(), connect_timeout=60)
        arriving = await listener.subscribe("gaia.test.header")
        await listener.flush(60)
        await nats.publish("gaia.test.header", b"", headers={"x-plant": plant("nats_header")})
        arrived = await arriving.next_msg(60)
        await listener.close()
        raise AssertionError(arrived.headers)


def test_assertion() -> None:
    assert plant("assertion") == "nothing"


def test_comparison() -> None:
    assert {"of": [plant("comparison"), 1]} == {"of": [2, 1]}


def test_local() -> None:
    planted = plant("local")
    raise AssertionError(len(planted))


def test_long_local() -> None:
    planted = plant("long_local") + "." * 200
    longer = "x" * 20 + plant("cut")
    raise AssertionError(len(planted), len(longer))


def test_literal() -> None:
    raise AssertionError("literal=@LITERAL@")


def test_exception() -> None:
    raise ValueError(plant("exception"))


def test_note() -> None:
    error = ValueError("see the note")
    error.add_note(plant("note"))
    raise error


def test_group() -> None:
    raise ExceptionGroup("several", [ValueError(plant("group")), KeyError(1)])


def test_cause() -> None:
    try:
        raise KeyError(plant("cause"))
    except KeyError as error:
        raise ValueError("from a cause") from error


def test_context() -> None:
    try:
        raise KeyError(plant("context"))
    except KeyError:
        raise ValueError("in a context")  # noqa: B904 - the context is what is looked at


def test_fails_short() -> None:
    pytest.fail(plant("fail"), pytrace=False)


def test_warning() -> None:
    warnings.warn(plant("warning"), UserWarning, stacklevel=1)


def test_output() -> None:
    print(plant("stdout"))
    print(plant("stderr"), file=sys.stderr)
    logging.getLogger("planted").warning("%s", plant("log"))


def test_forms() -> None:
    value = secret("base64")
    print("base64=" + base64.b64encode(value.encode()).decode())
    print("base64url=" + base64.urlsafe_b64encode(secret("base64url").encode()).decode())
    print("quoted=" + quote(secret("quoted"), safe=""))
    print("quoted_plus=" + quote_plus(secret("quoted_plus")))
    print("json=" + json.dumps(secret("json"))[1:-1])
    print("repr=" + repr(secret("repr"))[1:-1])
    print("html=" + html.escape(secret("html")))
    print("bytes=" + repr(secret("bytes").encode())[2:-1])


@pytest.mark.parametrize("value", [secret("id"), "plain"])
def test_id(value: str) -> None:
    raise AssertionError(len(value))


@pytest.mark.parametrize("value", [1], ids=[plant("explicit_id")])
def test_explicit_id(value: int) -> None:
    raise AssertionError(value)


@pytest.fixture(params=[secret("fixture_id")])
def parameter(request: pytest.FixtureRequest) -> object:
    return request.param


def test_fixture_id(parameter: str) -> None:
    raise AssertionError(len(parameter))


def test_property(record_property: Callable[[str, object], None]) -> None:
    record_property("planted", plant("property"))


def test_suite_property(record_testsuite_property: Callable[[str, object], None]) -> None:
    record_testsuite_property("planted", plant("suite_property"))


def test_subtest(subtests: pytest.Subtests) -> None:
    with subtests.test(plant("subtest"), subtest_value=secret("subtest_value")):
        print(plant("subtest_output"))
        raise AssertionError


def test_skip() -> None:
    pytest.skip(plant("skip"))


@pytest.mark.xfail(reason=plant("xfail"))
def test_xfail() -> None:
    raise AssertionError


def test_does_not_apply() -> None:
    raise NotApplicable(plant("not_applicable"))


@pytest.fixture
def broken() -> None:
    raise RuntimeError(plant("setup"))


@pytest.fixture
def torn() -> Iterator[None]:
    yield
    raise RuntimeError(plant("teardown"))


def test_setup(broken: None) -> None:
    pass


def test_teardown(torn: None) -> None:
    pass


def test_environment() -> None:
    print(dict(os.environ))


def test_environment_of_others() -> None:
    for name in ("GAIA_STAGING_API_KEY", "GAIA_STAGING_DATABASE_URL", "GAIA_STAGING_NATS_URL", "FLY_API_TOKEN"):
        print(f"{name.lower()}={os.environ[name].rpartition('@')[0].rpartition(':')[2] or os.environ[name]}")
    print("signing=" + os.environ["GAIA_SIGNING_KEY"].splitlines()[1])


def test_dotenv() -> None:
    print("dotenv=@DOTENV@")


def test_minted(gaia_tokens: Callable[..., str]) -> None:
    print("minted=" + gaia_tokens("mu"))


def test_taught(gaia_secret: Callable[[str], str]) -> None:
    print("taught=" + gaia_secret("@TAUGHT@"))


def test_stack(gaia_env: Environment) -> None:
    assert gaia_env.jwt_secret is not None
    print("stack=" + gaia_env.jwt_secret.reveal())


def test_suppressed() -> None:
    with contextlib.suppress(ValueError):
        raise ValueError(plant("suppressed"))
    print(plant("passing"))


def values(*names: str) -> list[Any]:
    return [secret(name) for name in names]


def test_many() -> None:
    one, two = values("one", "two")
    raise AssertionError(f"one={one} two={two}")
