"""What fails in a test although pytest does not notice it fails the test, or the run if the test has been reported."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.plugin.conftest import add_suite
from tests.plugin.expectations import KNOWN
from tests.plugin.ways import verdict
from tests.slow import in_full, with_workers

if TYPE_CHECKING:
    from tests.plugin.conftest import ScriptedServer

SUITE = Path(__file__).parent / "unnoticed.py.txt"
TEST = "suites/unnoticed/test_unnoticed.py"

CAUGHT = r"an expectation failed: UnexpectedResponse: gateway {}\n  suites/unnoticed/test_unnoticed\.py:\d+: {}.*\n  The test caught this"

COMES_TO: dict[str, tuple[str, str]] = {
    "test_thread_fails": (
        "failed",
        r"exception in thread worker-1: ValueError: boom\n  suites/unnoticed/test_unnoticed\.py:\d+: raise",
    ),
    "test_thread_of_a_thread_fails": ("failed", "exception in thread Thread-"),
    "test_thread_of_the_teardown_fails": ("error", "exception in thread Thread-"),
    "test_finalizer_fails": ("failed", r"exception ignored in Bad\.__del__: ValueError: boom"),
    "test_call_not_awaited": (
        "failed",
        r'coroutine HttpClient\.get was never awaited\n  suites/unnoticed/test_unnoticed\.py:\d+: gateway\.get\("/health"\)\n  Add `await`',
    ),
    "test_own_coroutine_not_awaited": ("failed", r"coroutine moment was never awaited\n  suites.*: moment\(\)"),
    "test_task_fails": ("failed", "task async_boom raised an exception that was never retrieved: ValueError: boom"),
    "test_task_of_a_request_fails": (
        "failed",
        r"task HttpClient\.request raised an exception that was never retrieved|task HttpClient.get",
    ),
    "test_callback_fails": ("failed", "exception in a callback of the event loop: ValueError: boom"),
    "test_future_of_the_loop_fails": (
        "failed",
        "work of a thread pool raised an exception that was never retrieved: ValueError: boom",
    ),
    "test_work_in_a_thread_fails": (
        "failed",
        "work of a thread pool raised an exception that was never retrieved: ValueError: boom",
    ),
    "test_map_in_threads_fails": (
        "failed",
        "work of a thread pool raised an exception that was never retrieved: ValueError: invalid",
    ),
    "test_task_goes_on": (
        "error",
        "task forever was still pending at the end of the test\n  suites.*\n  Await it or cancel it",
    ),
    "test_task_goes_on_for_a_moment": ("error", "task moment was still pending at the end of the test"),
    "test_task_of_a_fixture_goes_on": ("error", "task forever was still pending at the end of the test"),
    "test_task_goes_on_in_a_loop_of_its_own": ("error", "task forever was still pending at the end of the test"),
    "test_caught": ("failed", CAUGHT.format("returned 200, expected 418", r"response\.expect\(418\)")),
    "test_caught_by_its_type": ("failed", CAUGHT.format("returned 200, expected 418", r"response\.expect\(418\)")),
    "test_suppressed": ("failed", CAUGHT.format("returned 200, expected 418", r"response\.expect\(418\)")),
    "test_raises_anything": ("failed", CAUGHT.format("returned 200, expected 418", r"response\.expect\(418\)")),
    "test_returns_in_finally": ("failed", CAUGHT.format("returned 200, expected 418", r"response\.expect\(418\)")),
    "test_gathered": ("failed", CAUGHT.format("returned 200, expected 418", r"\(await gateway")),
    "test_field_caught": ("failed", CAUGHT.format("has no field 'no.such'.*", r"response\.field")),
    "test_json_caught": ("failed", CAUGHT.format("returned something that is not JSON .*", r"response\.json")),
    "test_own_error_caught": ("failed", CAUGHT.format("has no items", "raise response")),
    "test_stream_caught": ("failed", CAUGHT.format("returned 200 with application/json, expected .*", "async with")),
    "test_caught_and_skipped": ("failed", CAUGHT.format("returned 200, expected 418", r"response\.expect\(418\)")),
    "test_both_fail": ("failed", CAUGHT.format("returned 200, expected 418", r"response\.expect\(418\)")),
    "test_marked": ("failed", CAUGHT.format("returned 200, expected 418", r"response\.expect\(418\)")),
    "test_marked_and_both_fail": ("failed", CAUGHT.format("returned 200, expected 418", r"response\.expect\(418\)")),
}

OFF = ("-p", "no:threadexception", "-p", "no:unraisableexception", "-p", "no:warnings", "-W", "ignore")
"""what switches off everything by which pytest warns of such failures"""


def run(
    project: pytest.Pytester, server: ScriptedServer, *options: str, tolerance: str = "known-failures"
) -> pytest.RunResult:
    """Run the suites at one test at a time, unless ``options`` say otherwise, where all warnings are ignored."""
    (project.path / "gaia.toml").write_text(
        '[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n[env.small.tolerance]\n'
        f'kind = "{tolerance}"\nxfail = "expected"\nskip = "allowed"\nmax_expectation_age_days = 100000\n'
    )
    settings = project.path / "pyproject.toml"
    settings.write_text(settings.read_text().replace('["error"]', '["ignore"]'))
    server.answers["/text"] = [(200, b"no JSON")]
    return project.runpytest_subprocess(
        "--gaia-env=small",
        f"--gaia-url=gateway={server.url}",
        "--gaia-verdict-file=verdict.json",
        *("-p", "no:allure_pytest"),
        *(() if any("concurrency" in each for each in options) else ("--gaia-concurrency=1",)),
        *options,
    )


def outcomes(project: pytest.Pytester) -> dict[str, str]:
    """Return the outcome of each test, by the name of its function."""
    return {test["node"].rpartition("::")[2]: test["outcome"] for test in verdict(project)["tests"]}


@pytest.mark.parametrize(
    "options",
    [
        ("--gaia-concurrency=1", *OFF),
        ("--gaia-concurrency=8", *OFF),
        in_full(("--gaia-concurrency=1",)),
        in_full(("--gaia-concurrency=8",)),
        with_workers("-n2", "--gaia-concurrency=8"),
    ],
    ids=" ".join,
)
def test_each_way_fails_its_own_test(
    project: pytest.Pytester, server: ScriptedServer, options: tuple[str, ...]
) -> None:
    (project.path / "suites" / "unnoticed").mkdir()
    shutil.copy(SUITE, project.path / TEST)

    result = run(project, server, *options)

    names = re.findall(r"^async def (test_\w+)", SUITE.read_text(), re.MULTILINE)
    expected = {name: COMES_TO[name][0] if name in COMES_TO else "passed" for name in names}
    assert outcomes(project) == expected
    text = result.stdout.str()
    pages = dict(
        re.findall(r"^_+ (?:ERROR at teardown of )?(test_\w+) _+\n(.*?)(?=^[_=]+ )", text, re.MULTILINE | re.DOTALL)
    )
    assert [name for name, (_, said) in COMES_TO.items() if not re.search(said, pages[name])] == []
    assert verdict(project)["verdict"] == "REJECT"


BROKEN = """
import contextlib, pytest

async def test_fails(gateway):
    response = (await gateway.get("/health")).expect(200)
    with contextlib.suppress(Exception):
        response.expect(418)
    AFTERWARDS
"""

EXPECTATION = f"""{KNOWN}tests = ["suites/small/test_small.py::test_fails"]
"""


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize(
    ("match", "afterwards", "outcome"),
    [
        ('{ message = "expected 418" }', "", "failed"),
        ("{ status = 200 }", "", "failed"),
        ('{ kind = "http" }', "", "failed"),
        ('{ kind = "background" }', "", "failed"),
        ('{ kind = "swallowed" }', "", "expected failure"),
        ('{ kind = "swallowed", message = "expected 418" }', "", "expected failure"),
        ('{ kind = "assertion" }', "assert False", "failed"),
        ('{ kind = ["assertion", "swallowed"] }', "assert False", "expected failure"),
        ('{ message = "known" }', "assert False, 'known'", "failed"),
    ],
)
def test_only_an_expectation_that_names_the_kind_covers_it(
    project: pytest.Pytester, server: ScriptedServer, match: str, afterwards: str, outcome: str, concurrency: int
) -> None:
    add_suite(project, "small", BROKEN.replace("AFTERWARDS", afterwards))
    (project.path / "suites" / "expectations").mkdir()
    (project.path / "suites" / "expectations" / "known.toml").write_text(f"{EXPECTATION}match = {match}\n")

    run(project, server, f"--gaia-concurrency={concurrency}")

    assert outcomes(project) == {"test_fails": outcome}


@pytest.mark.parametrize("afterwards", ["", "assert False"])
def test_an_advisory_environment_does_not_tolerate_it(
    project: pytest.Pytester, server: ScriptedServer, afterwards: str
) -> None:
    add_suite(project, "small", BROKEN.replace("AFTERWARDS", afterwards))

    result = run(project, server, tolerance="advisory")

    assert result.ret == 1
    assert outcomes(project) == {"test_fails": "failed"}


SEVERAL = """
import asyncio

async def test_fails(gateway):
    async def ask(status):
        (await gateway.get("/health")).expect(status)
    tasks = [asyncio.ensure_future(ask(status)) for status in STATUSES]
    await asyncio.gather(*tasks, return_exceptions=True)
    [task.result() for task in tasks]
"""


@pytest.mark.parametrize(("statuses", "outcome"), [((418, 418, 200), "expected failure"), ((418, 500), "failed")])
def test_of_concurrent_requests_each_failure_must_be_expected(
    project: pytest.Pytester, server: ScriptedServer, statuses: tuple[int, ...], outcome: str
) -> None:
    add_suite(project, "small", SEVERAL.replace("STATUSES", str(statuses)))
    (project.path / "suites" / "expectations").mkdir()
    (project.path / "suites" / "expectations" / "known.toml").write_text(
        f'{EXPECTATION}match = {{ kind = "http", message = "expected 418" }}\n'
    )

    run(project, server)

    assert outcomes(project) == {"test_fails": outcome}


AFTER = "noticed after suites/small/test_small.py::test_starts"

LATE = {
    "a thread": (
        """
import threading
GO = threading.Event()

def work():
    GO.wait(30)
    raise ValueError("late")

async def test_starts(gateway):
    (await gateway.get("/health")).expect(200)
    threading.Thread(target=work, name="worker-1").start()

async def test_another(gateway):
    (await gateway.get("/health")).expect(200)
    GO.set()
    [each.join() for each in threading.enumerate() if each.name == "worker-1"]
""",
        f"exception in thread worker-1: ValueError: late (suites/small/test_small.py:7), {AFTER}",
    ),
    "a cycle": (
        """
class Bad:
    def __del__(self): raise ValueError("late")

async def test_starts(gateway):
    (await gateway.get("/health")).expect(200)
    bad = Bad()
    bad.own = bad
""",
        f"exception ignored in Bad.__del__: ValueError: late (suites/small/test_small.py:3), {AFTER}",
    ),
    "a task of the session": (
        """
import asyncio, pytest

async def work():
    raise ValueError("late")

@pytest.fixture(scope="session")
async def worker():
    task = asyncio.create_task(work())
    yield

async def test_starts(gateway, worker):
    (await gateway.get("/health")).expect(200)
""",
        f"task work raised an exception that was never retrieved: ValueError: late (suites/small/test_small.py:5), {AFTER}",
    ),
}


@pytest.mark.parametrize("workers", [(), with_workers("-n1")], ids=["alone", "workers"])
@pytest.mark.parametrize("late", LATE)
def test_what_is_noticed_late_withholds_the_verdict(
    project: pytest.Pytester, server: ScriptedServer, late: str, workers: tuple[str, ...]
) -> None:
    source, said = LATE[late]
    add_suite(project, "small", source)

    run(project, server, *OFF, *workers)

    assert set(outcomes(project).values()) == {"passed"}
    assert (verdict(project)["verdict"], verdict(project)["reasons"]) == ("HOLD", [said])


HARMLESS = {
    "site-packages/library.py": """
import asyncio, threading

class Noisy:
    def __del__(self):
        raise RuntimeError("Event loop is closed")

async def read():
    await asyncio.sleep(3600)

async def fail():
    raise OSError("the connection is gone")

async def connect():
    asyncio.ensure_future(read())
    asyncio.get_running_loop().create_task(fail())
    future = asyncio.get_running_loop().create_future()
    future.set_exception(OSError("the connection is gone"))
    fail()
    Noisy()
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    await asyncio.sleep(0)
""",
    "application.py": """
import asyncio

async def heartbeat():
    await asyncio.sleep(3600)

def start():
    asyncio.create_task(heartbeat())
""",
    "suites/small/test_small.py": """
import application, library

async def test_uses_a_library(gateway):
    await library.connect()
    application.start()
    (await gateway.get("/health")).expect(200)
""",
}


@pytest.mark.parametrize("concurrency", [1, 8])
def test_what_libraries_and_the_application_leave_behind_fails_no_test(
    project: pytest.Pytester, server: ScriptedServer, concurrency: int
) -> None:
    for path, source in HARMLESS.items():
        file = project.path / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(source)
    settings = project.path / "pyproject.toml"
    settings.write_text(f'{settings.read_text()}\npythonpath = [".", "site-packages"]\n')

    result = run(project, server, f"--gaia-concurrency={concurrency}")

    assert result.ret == 0
    assert outcomes(project) == {"test_uses_a_library": "passed"}


UNREAD = """
async def test_reads_nothing(gateway):
    await gateway.get("/health")
    await gateway.get("/none")

async def test_reads(gateway):
    responses = [await gateway.get("/health") for _ in range(6)]
    assert responses[0].status and responses[1].body and responses[2].text and responses[3].headers
    responses[5].expect()
    assert responses[4].json()
"""


def test_a_response_that_nobody_reads_is_a_warning(project: pytest.Pytester, server: ScriptedServer) -> None:
    add_suite(project, "small", UNREAD)

    result = run(project, server)

    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "gaia: warnings",
            "*::test_reads_nothing: passed, but read nothing of the response to GET /health of gateway, 200; GET /none of gateway, 404",
        ]
    )
    assert "test_reads:" not in result.stdout.str()
