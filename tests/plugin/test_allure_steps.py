"""Steps and what is attached in them stay together, however many tasks and threads have steps open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.plugin.allure_runs import make_project, run
from tests.plugin.conftest import ScriptedServer

if TYPE_CHECKING:
    from tests.plugin.allure_runs import Left

CHECKS = """
import allure, asyncio, threading, pytest, pytest_asyncio

def attach(name):
    allure.attach(name, name, allure.attachment_type.TEXT)

async def part(name, mine, others):
    with allure.step(name):
        mine.set()
        await others.wait()
        attach(f"in {name}")
        with allure.step(f"inner {name}"):
            await asyncio.sleep(0)
            attach(f"in inner {name}")

async def test_gather():
    one, two = asyncio.Event(), asyncio.Event()
    with allure.step("outer"):
        await asyncio.gather(part("one", one, two), part("two", two, one))
        attach("in outer")
    attach("in test")

def work(name, barrier):
    with allure.step(name):
        barrier.wait(10)
        attach(f"in {name}")

async def test_to_thread():
    barrier = threading.Barrier(2)
    with allure.step("outer"):
        await asyncio.gather(*(asyncio.to_thread(work, name, barrier) for name in ("one", "two")))

def test_threads():
    barrier = threading.Barrier(2)
    threads = [threading.Thread(target=work, args=(name, barrier)) for name in ("one", "two")]
    with allure.step("outer"):
        for each in threads: each.start()
        for each in threads: each.join()

async def test_a_task_that_fails():
    async def fails():
        with allure.step("fails"):
            raise ValueError("torn")
    async def passes():
        with allure.step("passes"):
            await asyncio.sleep(0)
            attach("in passes")
    await asyncio.gather(fails(), passes(), return_exceptions=True)

@pytest_asyncio.fixture(loop_scope="session")
async def given():
    with allure.step("given"):
        attach("in given")
    yield
    with allure.step("taken"):
        attach("in taken")

async def test_fixture(given):
    with allure.step("step"): attach("in step")

async def test_left_behind():
    async def later():
        with allure.step("left open"):
            await asyncio.Event().wait()
    task = asyncio.ensure_future(later())
    await asyncio.sleep(0)
    task.cancel()
    attach("in test")

def test_after():
    with allure.step("step"): attach("in step")
"""


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    server = ScriptedServer()
    done = run(make_project(tmp_path_factory.mktemp("steps"), CHECKS), server.url)
    server.close()
    assert done.code == 0, done.output
    return done


def tree(item: dict[str, Any]) -> dict[str, Any]:
    """Name of each step → its own tree; attachments map to None."""
    steps = {step["name"]: tree(step) for step in item.get("steps", ())}
    return steps | dict.fromkeys(each["name"] for each in item.get("attachments", ()))


def test_tasks_keep_their_steps(left: Left) -> None:
    assert tree(left.result("test_gather")) == {
        "outer": {
            "one": {"in one": None, "inner one": {"in inner one": None}},
            "two": {"in two": None, "inner two": {"in inner two": None}},
            "in outer": None,
        },
        "in test": None,
    }


@pytest.mark.parametrize("name", ["test_to_thread", "test_threads"])
def test_threads_keep_their_steps(left: Left, name: str) -> None:
    assert tree(left.result(name)) == {"outer": {"one": {"in one": None}, "two": {"in two": None}}}


def test_a_step_that_fails_is_the_one_that_failed(left: Left) -> None:
    result = left.result("test_a_task_that_fails")

    assert {step["name"]: step["status"] for step in result["steps"]} == {"fails": "broken", "passes": "passed"}
    assert tree(result) == {"fails": {}, "passes": {"in passes": None}}


def test_a_test_has_its_own_steps_and_no_others(left: Left) -> None:
    assert tree(left.result("test_fixture")) == {"step": {"in step": None}}
    assert tree(left.result("test_left_behind")) == {"left open": {}, "in test": None}
    assert tree(left.result("test_after")) == {"step": {"in step": None}}
