"""A suite that tries to write from tests that may only read. Copied into a project with services of its own, and run there.

Each attempt has to be refused, also if it is made later, while a test runs that may write.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.errors import GaiaError, WriteRefused

if TYPE_CHECKING:
    from pytest_gaia import HttpClient, Messaging, RedisClient, Services, Session
    from pytest_gaia.clients.services import ClientSet

Attempt = Callable[[], Awaitable[Any]]

begun = threading.Event()
"""set while a test runs that may write"""
tried: dict[str, str] = {}
"""attempt that was left behind → what became of it"""
left: list[str] = []
"""attempts that were left behind"""
context_of_a_writer: list[contextvars.Context] = []
kept: list[object] = []


class Clients:
    """Everything that can write."""

    def __init__(
        self, orders: HttpClient, queue: Messaging, store: RedisClient, gaia_clients: ClientSet, services: Services
    ) -> None:
        self.orders = orders
        self.queue = queue
        self.store = store
        self.set = gaia_clients
        self.services = services

    async def post(self) -> Any:
        return await self.orders.post("/orders", json={})

    async def stream(self) -> None:
        async with self.orders.stream("/orders", method="POST") as events:
            await events.collect()

    async def jetstream(self) -> None:
        async with self.queue.jetstream().stream("ORDERS", "shop.>"):
            pass

    async def task(self) -> Any:
        return await asyncio.create_task(self.post())

    async def task_without_context(self) -> Any:
        return await asyncio.create_task(self.post(), context=contextvars.Context())

    async def task_of_a_writer(self) -> Any:
        context = context_of_a_writer[0].copy() if context_of_a_writer else contextvars.Context()
        return await asyncio.create_task(self.post(), context=context)

    async def thread(self) -> Any:
        loop = asyncio.get_running_loop()
        return await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(self.post(), loop).result(20))

    async def executor(self) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, lambda: asyncio.run_coroutine_threadsafe(self.post(), loop).result(20))

    async def bare_thread(self) -> Any:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def run() -> None:
            future = asyncio.run_coroutine_threadsafe(self.post(), loop)
            loop.call_soon_threadsafe(done.set_result, future)

        threading.Thread(target=run).start()
        return await asyncio.wrap_future(await done)

    async def own_loop(self) -> Any:
        return await asyncio.to_thread(lambda: asyncio.run(self.post()))

    async def callback(self, **context: Any) -> Any:
        loop = asyncio.get_running_loop()
        started: asyncio.Future[Any] = loop.create_future()
        loop.call_later(0.01, lambda: started.set_result(loop.create_task(self.post())), **context)
        return await (await started)

    async def callback_without_context(self) -> Any:
        return await self.callback(context=contextvars.Context())

    async def group(self) -> Any:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.refused())
        return await self.orders.post("/orders") if task.result() else None

    async def refused(self) -> bool:
        with pytest.raises(WriteRefused):
            await self.post()
        return True

    async def generator(self) -> None:
        async def open_end() -> AsyncIterator[None]:
            try:
                yield
            finally:
                await self.post()

        generator = open_end()
        await anext(generator)
        await generator.aclose()  # type: ignore[attr-defined]  # it is a generator


WAYS: dict[str, Callable[[Clients], Awaitable[Any]]] = {
    "POST": lambda on: on.orders.post("/orders", json={}),
    "PUT": lambda on: on.orders.put("/orders/7", json={}),
    "PATCH": lambda on: on.orders.patch("/orders/7", json={}),
    "DELETE": lambda on: on.orders.delete("/orders/7"),
    "another method": lambda on: on.orders.request("PURGE", "/orders/7"),
    "an unsafe GET": lambda on: on.orders.get("/orders/7/confirm"),
    "an encoded path": lambda on: on.orders.get("/orders/7/%63onfirm"),
    "a stream": Clients.stream,
    "as_user": lambda on: on.orders.as_user("token-of-a-user").post("/orders"),
    "with_key": lambda on: on.orders.with_key("another-key").post("/orders"),
    "anonymous": lambda on: on.orders.anonymous().post("/orders"),
    "services": lambda on: on.services["orders"].post("/orders"),
    "the set of clients": lambda on: on.set.http("orders").post("/orders"),
    "a task": Clients.task,
    "a task without context": Clients.task_without_context,
    "a task group": Clients.group,
    "a thread": Clients.thread,
    "a thread without context": Clients.bare_thread,
    "an executor": Clients.executor,
    "a loop of its own": Clients.own_loop,
    "a callback": Clients.callback,
    "a callback without context": Clients.callback_without_context,
    "a generator": Clients.generator,
    "publish": lambda on: on.queue.publish("shop.orders", {}),
    "request": lambda on: on.queue.request("shop.orders", {}, timeout=1),
    "JetStream publish": lambda on: on.queue.jetstream().publish("shop.orders", {}),
    "JetStream stream": Clients.jetstream,
    "SET": lambda on: on.store.command("SET", "key", "value"),
    "EVAL": lambda on: on.store.command("EVAL", "return redis.call('SET', 'key', 1)", 0),
}
"""how a test may try to write"""


@pytest.fixture(scope="session")
async def messages(queue: Messaging) -> AsyncIterator[list[str]]:
    """The subjects of all messages."""
    async with queue.subscribe("shop.>") as events:
        subjects: list[str] = []
        kept.append(events)
        yield subjects
        subjects.extend(event.subject for event in events.seen)


@pytest.fixture(scope="session")
async def background() -> AsyncIterator[asyncio.Queue[tuple[Attempt, asyncio.Future[Any]]]]:
    """A task of the session that carries out what it gets."""
    waiting: asyncio.Queue[tuple[Attempt, asyncio.Future[Any]]] = asyncio.Queue()

    async def work() -> None:
        while True:
            attempt, future = await waiting.get()
            try:
                future.set_result(await attempt())
            except Exception as error:  # noqa: BLE001 - the test that waits for it raises it
                future.set_exception(error)

    task = asyncio.create_task(work())
    yield waiting
    task.cancel()


@pytest.fixture
def clients(
    orders: HttpClient,
    queue: Messaging,
    store: RedisClient,
    gaia_clients: ClientSet,
    services: Services,
    messages: list[str],
) -> Clients:
    return Clients(orders, queue, store, gaia_clients, services)


@pytest.fixture
async def writing_fixture(orders: HttpClient) -> str:
    with pytest.raises(WriteRefused):
        await orders.post("/orders")
    return "refused"


@pytest.mark.parametrize("way", WAYS)
async def test_write(clients: Clients, way: str) -> None:
    (await clients.orders.get("/orders")).expect(200)
    with pytest.raises(GaiaError) as caught:
        await WAYS[way](clients)
    # A client belongs to the loop of the session.
    assert isinstance(caught.value, WriteRefused) or way == "a loop of its own"


async def test_write_in_the_background(
    clients: Clients, background: asyncio.Queue[tuple[Attempt, asyncio.Future[Any]]]
) -> None:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    background.put_nowait((clients.post, future))
    with pytest.raises(WriteRefused):
        await future


async def test_write_in_a_fixture(writing_fixture: str) -> None:
    assert writing_fixture == "refused"


async def true(condition: Callable[[], bool]) -> None:
    """Wait until ``condition()`` is true."""
    async with asyncio.timeout(60):
        # Threads set it, too, so it is no event of asyncio.
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def later(name: str, attempt: Attempt) -> None:
    """Make an attempt when a test runs that may write."""
    await true(begun.is_set)
    await note(name, attempt)


async def note(name: str, attempt: Attempt) -> None:
    try:
        await attempt()
    except Exception as error:  # noqa: BLE001 - the test that may write compares it
        tried[name] = type(error).__name__
    else:
        tried[name] = "written"


def in_a_thread(name: str, attempt: Attempt, loop: asyncio.AbstractEventLoop) -> None:
    begun.wait(60)
    asyncio.run_coroutine_threadsafe(note(name, attempt), loop)


def leave(name: str, attempt: Attempt) -> None:
    """Leave attempts behind."""
    loop = asyncio.get_running_loop()

    def poll(name: str) -> None:
        if begun.is_set():
            kept.append(loop.create_task(note(name, attempt)))
        else:
            loop.call_later(0.01, poll, name)

    kept.append(asyncio.create_task(later(f"{name}, task", attempt)))
    kept.append(asyncio.create_task(later(f"{name}, empty context", attempt), context=contextvars.Context()))
    kept.append(loop.run_in_executor(None, in_a_thread, f"{name}, executor", attempt, loop))
    loop.call_later(0.01, poll, f"{name}, callback")
    threading.Thread(target=in_a_thread, args=(f"{name}, thread", attempt, loop), daemon=True).start()
    left.extend(f"{name}, {how}" for how in ("task", "empty context", "executor", "callback", "thread"))


@pytest.mark.parametrize("way", ["POST", "publish", "SET", "as_user"])
async def test_leaves_behind(clients: Clients, way: str) -> None:
    (await clients.orders.get("/orders")).expect(200)
    leave(way, lambda: WAYS[way](clients))


async def test_leaves_a_request_behind_that_waits(clients: Clients) -> None:
    async def twice() -> None:
        await clients.orders.get("/orders")
        await clients.orders.post("/orders")

    left.append("after a read")
    kept.append(asyncio.create_task(later("after a read", twice)))


async def test_leaves_a_generator_behind(clients: Clients) -> None:
    async def open_end() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await note("a generator", clients.post)

    generator = open_end()
    await anext(generator)
    # A cycle, which only the garbage collector ends.
    cycle: list[Any] = [generator]
    cycle.append(cycle)
    left.append("a generator")


# The tests below may write.


@pytest.mark.gaia(writes=True)
async def test_while_this_one_writes(clients: Clients) -> None:
    context_of_a_writer.append(contextvars.copy_context())
    begun.set()
    gc.collect()
    (await clients.orders.post("/permitted")).expect(200)
    await true(lambda: len(tried) == len(left))
    assert tried == dict.fromkeys(left, "WriteRefused")
    (await asyncio.create_task(clients.orders.put("/permitted"))).expect(200)
    begun.clear()
    leave("written by a test that has ended", clients.post)


@pytest.mark.gaia(writes=True)
async def test_while_the_next_one_writes(orders: HttpClient) -> None:
    begun.set()
    await true(lambda: len(tried) == len(left))
    assert tried == dict.fromkeys(left, "WriteRefused")
    (await orders.post("/permitted")).expect(200)


async def test_with_the_context_of_a_writer(clients: Clients) -> None:
    with pytest.raises(WriteRefused):
        await clients.task_of_a_writer()


async def test_sql_is_rolled_back(orders_db: Session) -> None:
    await orders_db.execute("INSERT INTO orders VALUES (1)")


async def test_nothing_was_written(orders_db: Session, store: RedisClient) -> None:
    assert await orders_db.fetchval("SELECT count(*) FROM orders") == 0
    assert await store.command("DBSIZE") == 0
    subjects = {event.subject for events in kept for event in getattr(events, "seen", ())}
    assert subjects == set()


@pytest.fixture(scope="module")
async def cleaned(orders: HttpClient) -> AsyncIterator[None]:
    (await orders.post("/permitted/at-the-beginning")).expect(200)
    yield
    (await orders.delete("/permitted/at-the-end")).expect(200)


@pytest.fixture
async def cleaned_by_test(orders: HttpClient) -> AsyncIterator[None]:
    yield
    (await orders.delete("/permitted/after-the-test")).expect(200)


@pytest.mark.gaia(writes=True)
async def test_cleans_up(cleaned: None, cleaned_by_test: None, orders: HttpClient) -> None:
    (await orders.post("/permitted")).expect(200)
