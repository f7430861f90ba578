"""Records of statements and messages: their text and result, without their values."""

from __future__ import annotations

import asyncio
from contextvars import Context, copy_context
from typing import TYPE_CHECKING

import asyncpg
import pytest

from pytest_gaia.clients.broker.messaging import Messaging
from pytest_gaia.clients.database.client import Database
from pytest_gaia.clients.exchanges import Message, Statement
from pytest_gaia.clients.guard import WriteGuard
from pytest_gaia.clients.running import CURRENT, RUNNING, Recorder, RunningTest
from pytest_gaia.errors import Unreachable, WriteRefused
from pytest_gaia.secrets.masks import Secret
from tests.clients.conftest import environment
from tests.clients.nats_server import nats_server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clients.conftest import OwnDatabase

KEY = "sk-live-0123456789abcdef"


async def test_statements_are_kept_without_their_values(database: OwnDatabase) -> None:
    recorder = Recorder()
    where = environment(name="sandbox", database=Secret(database.owner), sandbox=True, writes=True)
    client = Database(where, "postgres", WriteGuard(where), recorder.add_statement)
    try:
        async with client.test_transaction() as session:
            await session.fetchval("SELECT $1::text", "given")
            await session.execute("CREATE TABLE made (a text PRIMARY KEY)")
            with pytest.raises(asyncpg.UniqueViolationError):
                await session.executemany("INSERT INTO made VALUES ($1)", [("hidden",), ("hidden",)])
    finally:
        await client.aclose()

    assert [(each.text, each.error) for each in recorder.current.statements] == [
        ("SELECT $1::text", None),
        ("CREATE TABLE made (a text PRIMARY KEY)", None),
        ("INSERT INTO made VALUES ($1)", "UniqueViolationError (23505)"),
    ]
    assert all(each.elapsed > 0 and each.started > 0 for each in recorder.current.statements)
    assert "hidden" not in repr(recorder.current.statements)


async def test_a_session_that_only_reads_keeps_what_left_the_process(database: OwnDatabase) -> None:
    recorder = Recorder()
    where = environment(name="dev", database=Secret(database.owner), api_key=Secret(KEY), writes=True)
    client = Database(where, "postgres", WriteGuard(where), recorder.add_statement)
    try:
        async with client.test_transaction() as session:
            with pytest.raises(WriteRefused):
                await session.execute("DELETE FROM personas")
            await session.fetchval(f"SELECT '{KEY}'")
    finally:
        await client.aclose()

    statements = recorder.current.statements
    assert statements
    assert "DELETE" not in repr(statements)
    assert statements[-1].text.startswith("SELECT '***")
    assert KEY not in repr(statements)


async def test_messages_are_kept_both_ways(tmp_path: Path) -> None:
    recorder = Recorder()
    async with nats_server(tmp_path) as server:
        where = environment(nats=server.url, api_key=Secret(KEY))
        broker = await Messaging.of(where, "nats", WriteGuard(where), recorder=recorder.add_message).open()
        async with broker.subscribe("gaia.test.>") as events:
            await broker.publish("gaia.test.a", {"key": KEY})
            await events.wait_for(subject="gaia.test.a")
        with pytest.raises(Unreachable):
            await broker.request("gaia.test.nobody", "anybody?", timeout=1)
        with pytest.raises(WriteRefused):
            await broker.publish("gaia.service.ready", {})
        await broker.aclose()

    # A message can arrive before the server has confirmed it.
    assert sorted((each.subject, each.direction, each.error) for each in recorder.current.messages) == [
        ("gaia.test.a", "received", None),
        ("gaia.test.a", "sent", None),
        ("gaia.test.nobody", "sent", "Unreachable"),
    ]
    assert KEY not in repr(recorder.current.messages)
    assert recorder.current.messages[0].body.startswith('{"key": "***')


def test_a_recorder_keeps_the_latest_of_the_current_test() -> None:
    recorder = Recorder()
    for number in range(300):
        recorder.add_statement(Statement(str(number), 1.0, 1.0))
        recorder.add_message(Message("sent", str(number), "", 1.0))
    test = recorder.current

    recorder.end()

    assert (len(test.statements), test.statements[-1].text) == (200, "299")
    assert (len(test.messages), test.messages[-1].subject) == (200, "299")
    assert (recorder.current.statements, recorder.current.messages) == ((), ())


async def test_each_task_belongs_to_its_test() -> None:
    recorder = Recorder()
    statement = Statement("SELECT 1", 1.0, 1.0)
    go_on = asyncio.Event()

    async def left_behind() -> bool:
        await go_on.wait()
        recorder.add_statement(statement)
        return recorder.is_marked()

    def contexts() -> list[bool]:
        """Return whether code of a fixture with a wider scope, and code in a context of its own, may write."""
        wider = copy_context()
        wider.run(RUNNING.set, CURRENT)
        return [wider.run(recorder.is_marked), Context().run(recorder.is_marked)]

    recorder.begin(RunningTest(writes=True))
    first = recorder.current
    leak = asyncio.create_task(left_behind())
    await asyncio.sleep(0)
    assert recorder.is_marked()
    assert contexts() == [True, False]
    recorder.end()

    recorder.begin(RunningTest(writes=True))
    assert recorder.is_marked()
    go_on.set()
    assert await leak is False
    assert (first.statements, recorder.current.statements) == ((), ())
    Context().run(recorder.add_statement, statement)
    assert recorder.current.statements == (statement,)

    early = RunningTest()
    with recorder.starting(early):
        recorder.add_statement(statement)
        assert contexts() == [False, False]
    assert early.statements == (statement,)
    assert recorder.is_marked()
