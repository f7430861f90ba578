"""A suite of traps for concurrent tests. Copied into a project and run there, once sequentially and once concurrently.

The tests that may be started early come first, so that the order of both runs is the same. Most of them fail, because pytest
shows the output of tests that fail.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
import unittest
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import allure
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from pytest_gaia import HttpClient

log = logging.getLogger("trapped")
# Its functions have no types.
dynamic: Any = allure.dynamic
seen: list[str] = []
user = contextvars.ContextVar("user", default="nobody")


async def others_run() -> None:
    """Let other tests run."""
    for _ in range(4):
        await asyncio.sleep(0.002)


async def says(name: str) -> None:
    """Write to every stream, while others do the same."""
    for step in range(3):
        print(f"{name}: out {step}")
        print(f"{name}: err {step}", file=sys.stderr)
        log.warning("%s: log %d", name, step)
        warnings.warn(f"{name}: warning {step}", stacklevel=1)
        await others_run()


@pytest.fixture(scope="session")
def shared() -> object:
    print("set-up of the session fixture")
    return object()


@pytest.fixture
def box(shared: object) -> list[str]:
    print("set-up of box")
    log.warning("set-up of box")
    assert shared
    return []


@pytest.fixture
async def filled(box: list[str]) -> list[str]:
    await others_run()
    box.append("filled")
    return box


@pytest.fixture
async def ann() -> str:
    user.set("ann")
    return "ann"


@pytest.fixture
def bob() -> str:
    user.set("bob")
    return "bob"


@pytest.fixture(params=["one", "two", "three"])
def number(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def broken() -> NoReturn:
    print("about to break")
    raise LookupError("broken fixture")


@pytest.fixture
async def async_broken() -> NoReturn:
    await others_run()
    raise LookupError("broken async fixture")


@pytest.fixture
def skipping() -> None:
    pytest.skip("skipped by a fixture")


@pytest.fixture
def finalizer_fails(request: pytest.FixtureRequest) -> None:
    def fail() -> None:
        print("finalizer")
        raise OSError("broken finalizer")

    # With `yield`, its tests would run alone.
    request.addfinalizer(fail)  # noqa: PT021


@pytest.mark.parametrize("name", ["a", "b", "c"])
async def test_output(name: str) -> None:
    await says(name)
    pytest.fail("shown")


async def test_output_of_a_test_that_passes() -> None:
    await says("passing")


async def test_output_of_tasks() -> None:
    await asyncio.gather(says("first"), says("second"))
    await asyncio.to_thread(print, "from a thread")
    pytest.fail("shown")


async def test_a_fixture_is_not_shared(filled: list[str], box: list[str], shared: object) -> None:
    assert filled is box
    filled.append("here")
    await others_run()
    assert filled == ["filled", "here"], "another test has it, too"
    assert not shared, "shown"


async def test_a_fixture_is_not_shared_either(filled: list[str], box: list[str]) -> None:
    assert filled is box
    filled.append("there")
    await others_run()
    assert filled == ["filled", "there"], "another test has it, too"


async def test_a_context_variable_of_an_async_fixture(ann: str) -> None:
    await others_run()
    assert user.get() == ann
    user.set("changed")
    await others_run()
    assert user.get() == "changed"


async def test_a_context_variable_of_a_sync_fixture(bob: str) -> None:
    await others_run()
    assert user.get() == bob


async def test_no_context_variable_of_another_test() -> None:
    await others_run()
    assert user.get() != "ann"


async def test_parametrized_fixture(number: str) -> None:
    await others_run()
    raise ValueError(number)


@pytest.mark.parametrize("number", ["four"], indirect=True)
async def test_indirect(number: str) -> None:
    assert number == "four"


async def test_broken_fixture(box: list[str], broken: None) -> None:
    del box, broken


async def test_broken_async_fixture(async_broken: None) -> None:
    del async_broken


async def test_skipped_by_a_fixture(skipping: None) -> None:
    del skipping


async def test_finalizer_fails(finalizer_fails: None) -> None:
    print("body")


async def test_body_and_finalizer_fail(finalizer_fails: None) -> None:
    await others_run()
    raise AssertionError("body")


async def test_skips_itself() -> None:
    await others_run()
    pytest.skip("later")


@pytest.mark.skip(reason="marked")
async def test_skipped() -> None:
    raise AssertionError


@pytest.mark.xfail(reason="known")
async def test_xfail() -> None:
    await others_run()
    raise AssertionError("known")


@pytest.mark.xfail(reason="known", strict=True)
async def test_strict_xfail_passes() -> None:
    await others_run()


@pytest.mark.xfail(raises=LookupError, strict=False)
async def test_xfail_for_another_exception() -> None:
    raise ValueError("other")


async def test_marks_itself() -> None:
    await others_run()
    pytest.xfail("said so")


async def test_compares() -> None:
    await others_run()
    assert {"one": 1, "two": [2]} == {"one": 1, "two": [3]}


async def test_expects_an_exception() -> None:
    with pytest.raises(ValueError, match="inside"):
        await fails("inside")


def warns_inside() -> None:
    with pytest.warns(UserWarning, match="inside"):
        warnings.warn("inside", stacklevel=1)


async def test_expects_a_warning_of_a_function() -> None:
    await others_run()
    warns_inside()
    warnings.warn("outside", stacklevel=1)
    pytest.fail("shown")


class Stop(BaseException):
    """Not an ``Exception``."""


async def test_base_exception() -> None:
    await others_run()
    raise Stop("base")


async def test_leaves() -> None:
    await others_run()
    raise SystemExit(3)


async def test_task_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(fails("first"))
        group.create_task(asyncio.sleep(60))


async def fails(text: str) -> None:
    await others_run()
    raise ValueError(text)


async def test_cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel("by itself")
    await asyncio.sleep(60)


async def test_too_late() -> None:
    async with asyncio.timeout(0.01):
        await asyncio.sleep(60)


async def test_too_deep() -> None:
    await test_too_deep()


async def test_fails_once() -> None:
    await others_run()
    seen.append("once")
    assert seen.count("once") > 1, "for the first time"


async def test_files(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(tmp_path.name)
    await others_run()
    assert (tmp_path / "file").read_text() == tmp_path.name
    assert tmp_path.name.startswith("test_files")


async def test_properties(record_property: Callable[[str, object], None]) -> None:
    await others_run()
    record_property("color", "green")


@allure.step("set-up of the report")
async def announce(name: str) -> None:
    await others_run()
    allure.attach(f"attached to the step of {name}", name)


@pytest.fixture
async def reported(request: pytest.FixtureRequest) -> str:
    name = str(request.node.name)
    dynamic.label("from", "fixture")
    with allure.step("in the fixture"):
        await announce(name)
    return name


@pytest.mark.parametrize("item", range(3))
async def test_report(reported: str, item: int) -> None:
    await others_run()
    dynamic.title(f"title of {item}")
    dynamic.description(f"description of {item}")
    dynamic.link(f"https://example.com/{item}")
    dynamic.parameter("extra", item)
    with allure.step(f"step of {reported}"):
        await announce(reported)
        with allure.step("inner"):
            await others_run()
    await asyncio.gather(announce("first"), announce("second"))
    allure.attach(f"attached by {item}", "attachment")
    assert item != 1


@pytest.mark.parametrize("item", range(5))
async def test_exchanges(shop: HttpClient, item: int) -> None:
    for step in range(3):
        (await shop.get("/items/{item}", path_params={"item": item}, params={"step": step})).expect(200)
    first = await shop.get(f"/missing/{item}")
    if item % 2:
        first.expect(200)


@pytest.mark.usefixtures("box")
class TestMethods:
    state = "none"

    async def test_one(self) -> None:
        self.state = "one"
        await others_run()
        assert self.state == "one"

    async def test_two(self) -> None:
        assert self.state == "none"


# From here on, each test runs alone.


async def test_output_of_a_serial_test(capsys: pytest.CaptureFixture[str]) -> None:
    await says("serial")
    assert capsys.readouterr().out.startswith("serial: out 0\nserial: out 1\n")


async def test_logs_of_a_serial_test(caplog: pytest.LogCaptureFixture) -> None:
    await says("logged")
    assert [each.getMessage() for each in caplog.records] == [f"logged: log {step}" for step in range(3)]


async def test_warnings_of_a_serial_test(recwarn: pytest.WarningsRecorder) -> None:
    await says("warned")
    assert len(recwarn) == 3


async def test_expects_a_warning() -> None:
    # It waits while it expects the warning.
    with pytest.warns(UserWarning, match="expected"):  # noqa: PT031
        await others_run()
        warnings.warn("expected", stacklevel=1)


@pytest.fixture(scope="module")
def module() -> Iterator[str]:
    print("set-up of the module")
    yield "module"
    print("end of the module")


@pytest.fixture(scope="class")
async def of_class() -> AsyncIterator[list[str]]:
    values: list[str] = []
    yield values
    print("end of the class", values)


@pytest.fixture
async def torn() -> AsyncIterator[None]:
    yield
    await others_run()
    raise OSError("torn")


@pytest.fixture
async def carol() -> AsyncIterator[str]:
    token = user.set("carol")
    yield "carol"
    user.reset(token)


class TestScopes:
    async def test_first(self, module: str, of_class: list[str]) -> None:
        print(module, of_class)
        of_class.append("first")

    async def test_second(self, of_class: list[str]) -> None:
        await others_run()
        print(of_class)


async def test_teardown_fails(module: str, torn: None) -> None:
    print("body")


async def test_teardown_resets_a_context_variable(carol: str) -> None:
    assert user.get() == carol


async def test_subtests(subtests: pytest.Subtests) -> None:
    with subtests.test("first"):
        await others_run()
    with subtests.test("second"):
        raise AssertionError("in a subtest")


def test_sync(record_property: Callable[[str, object], None]) -> None:
    record_property("color", "blue")
    print("sync")
    raise AssertionError("sync")


class Old(unittest.TestCase):
    def test_passes(self) -> None:
        pass

    def test_fails(self) -> None:
        self.fail("old")


class OldAsync(unittest.IsolatedAsyncioTestCase):
    async def test_own_loop(self) -> None:
        await asyncio.sleep(0)


@pytest.mark.gaia(writes=True)
async def test_writes(shop: HttpClient) -> None:
    (await shop.post("/items", json={})).expect(200)


async def test_session_value(shared: object, request: pytest.FixtureRequest) -> None:
    value: Any = request.getfixturevalue("shared")
    assert value is shared
