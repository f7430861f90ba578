"""No run without evidence is green, however it ends."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.verdict.results_log import read_run
from tests.plugin.ways import EXPECTATION, FAILS, PASSES, ZERO, Way, attempt, check, verdict, way_of

if TYPE_CHECKING:
    from tests.plugin.conftest import ScriptedServer

EXIT = "pytest.exit('enough', returncode=0)"
TEST = "import pytest\ndef test_ends(): {}\n"
FIXTURE = "import pytest\n@pytest.fixture\ndef ending():\n    {}\n\ndef test_ends(ending): pass\n"
HOOK = "import os, pytest, sys\ndef pytest_{}: {}\n"
UNEVALUATED = "no verdict: the run ended before it was evaluated"

PYTEST_EXIT = (
    Way("in a test", 11, "HOLD", PASSES + TEST.format(EXIT), says="1 test did not complete"),
    Way("in a setup", 11, "HOLD", PASSES + FIXTURE.format(EXIT)),
    Way("in the last teardown", 11, "HOLD", PASSES + FIXTURE.format(f"yield; {EXIT}")),
    Way("after an expected failure", 11, "HOLD", FAILS + TEST.format(EXIT), expectation=EXPECTATION),
    Way("in a file", 2, "REJECT", f"import pytest\n{EXIT}\n"),
    Way("in a file, and on", 1, "REJECT", f"import pytest\n{EXIT}\n", args=("--continue-on-collection-errors",)),
    Way("while configuring", 11, None, conftest=HOOK.format("configure()", EXIT), says=UNEVALUATED),
    Way("while starting", 11, None, conftest=HOOK.format("sessionstart()", EXIT), says=UNEVALUATED),
    Way("while collecting", 11, "HOLD", conftest=HOOK.format("collection()", EXIT)),
    Way("before the tests", 11, "HOLD", conftest=HOOK.format("runtestloop()", EXIT)),
    Way("after the tests", 1, "REJECT", FAILS, conftest=HOOK.format("sessionfinish()", EXIT)),
    Way("at the very end", 1, "REJECT", FAILS, conftest=HOOK.format("unconfigure()", EXIT), apart=True),
    Way(
        "with a code of its own", 11, "HOLD", says="pytest ended with 7",
        conftest=HOOK.format("runtest_logfinish()", "pytest.exit('enough', returncode=7)"),
    ),
)  # fmt: skip

SYSTEM_EXIT = (
    Way("in a test", 1, "REJECT", PASSES + TEST.format("raise SystemExit(0)")),
    Way("in a setup", 1, "REJECT", PASSES + FIXTURE.format("raise SystemExit(0)")),
    Way("in a teardown", 1, "REJECT", PASSES + FIXTURE.format("yield; raise SystemExit(0)")),
    Way("in a file", 3, "HOLD", "raise SystemExit(0)\n", apart=True),
    Way(
        "in conftest.py",
        4,
        None,
        conftest="import sys\nsys.exit()\n",
        apart=True,
        says="a conftest.py raised SystemExit",
    ),
    Way("while starting", 3, None, conftest=HOOK.format("sessionstart()", "sys.exit(0)"), apart=True),
    Way("after the tests", 1, "REJECT", FAILS, conftest=HOOK.format("sessionfinish()", "sys.exit(0)"), apart=True),
    Way("at the very end", 1, "REJECT", FAILS, conftest=HOOK.format("unconfigure()", "sys.exit(0)"), apart=True),
)

PROCESS_ENDS = (
    Way("in a test", 11, None, PASSES + "import os\n" + TEST.format("os._exit(0)"), apart=True),
    Way("in a setup", 11, None, PASSES + "import os\n" + FIXTURE.format("os._exit(0)"), apart=True),
    Way("in a file", 11, None, "import os\nos._exit(0)\n", apart=True),
    Way("in conftest.py", 11, None, conftest="import os\nos._exit(0)\n", apart=True),
    Way("at the very end", 1, "REJECT", FAILS, conftest=HOOK.format("unconfigure()", "os._exit(0)"), apart=True),
    Way("by a signal", -9, None, "import os\n" + TEST.format("os.kill(os.getpid(), 9)"), apart=True),
)

REWRITE = """
import atexit, json, os, pathlib

def rewrite():
    path = pathlib.Path("verdict.json")
    if path.read_text():
        path.write_text(path.read_text().replace("REJECT", "PROMOTE"))
"""
CHANGED = "verdict.json: changed after this run wrote it"
WRAPPER = "import pytest\n@pytest.hookimpl(wrapper=True, tryfirst=True)\ndef pytest_cmdline_main():\n    yield\n    return 0\n"
AT_EXIT = (
    Way("by atexit", 1, "REJECT", FAILS, conftest=REWRITE + "atexit.register(os._exit, 0)\n", apart=True),
    Way("by the system's module", 1, "REJECT", FAILS, conftest="import atexit, posix\natexit.register(posix._exit, 0)\n", apart=True),
    Way("with another verdict", 1, "REJECT", FAILS, conftest=REWRITE + "atexit.register(rewrite)\n", apart=True, says=CHANGED),
    Way("with another verdict, and at once", 1, "REJECT", FAILS, apart=True, says=CHANGED,
        conftest=REWRITE + "atexit.register(lambda: (rewrite(), os._exit(0)))\n"),
    Way("with another verdict, in a hook", 1, "REJECT", FAILS, says=CHANGED,
        conftest=REWRITE + HOOK.format("unconfigure()", "rewrite()")),
    Way("before a verdict", 11, None, PASSES + "import os\n" + TEST.format("open('verdict.json', 'w').write('{}'), os._exit(0)"),
        apart=True),
    Way("by a wrapper of the whole run", 1, "REJECT", FAILS, conftest=WRAPPER, apart=True),
    Way("by a wrapper of the whole run, in this process", 1, "REJECT", FAILS, conftest=WRAPPER),
    Way("in a child of its own", 0, "PROMOTE", apart=True, conftest="""
import atexit, os
if (child := os.fork()) == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""),
)  # fmt: skip

STOPPED = (
    Way("by the user", 2, "HOLD", PASSES + TEST.format("raise KeyboardInterrupt"), apart=True),
    Way("by a hook", 2, "HOLD", PASSES + FAILS, conftest=HOOK.format("runtest_teardown(item)", "item.session.shouldstop = 'x'")),
    Way("by a failing hook", 11, "HOLD", conftest=HOOK.format("sessionfinish(session)", "session.exitstatus = 1")),
    Way("at the first failure", 1, "REJECT", FAILS + PASSES, args=("-x",)),
    Way("at the second failure", 1, "REJECT", FAILS + FAILS.replace("fails", "too") + PASSES, args=("--maxfail=2",)),
    Way("by a file that is broken", 2, "REJECT", "import not_there\n"),
    Way("not by a file that is broken", 1, "REJECT", "import not_there\n", args=("--continue-on-collection-errors",)),
)  # fmt: skip

UNREACHABLE = Way("unreachable", 12, "INFRA", says="is unreachable; no test ran")

KILL = "import os\n" + TEST.format("os.kill(os.getpid(), 9)")
RANDOM = (
    "import pytest, uuid\n@pytest.mark.parametrize('name', [uuid.uuid4()], ids=str)\ndef test_random(name): pass\n"
    + PASSES
)
LATE = "import os\ndef pytest_sessionfinish(session):\n    if hasattr(session.config, 'workerinput'): os._exit(0)\n"

WORKERS = (
    Way("killed", 1, "REJECT", PASSES + KILL, args=("-n2",), says="1 crashed"),
    Way("killed, under a rule", 1, "REJECT", PASSES + KILL.replace("ends", "fails"), args=("-n2",), expectation=EXPECTATION),
    Way("killed, and retried in zero", 1, "REJECT", PASSES + KILL, args=("-n1", "--reruns=1"), tolerance=ZERO),
    Way("all killed", 1, "REJECT", KILL + KILL.replace("ends", "more") + PASSES, args=("-n2", "--max-worker-restart=0")),
    Way("ended in a test", 1, "REJECT", PASSES + "import os\n" + TEST.format("os._exit(0)"), args=("-n1",)),
    Way("ended in a file", 11, "HOLD", "import os\nos._exit(0)\n", args=("-n1", "--max-worker-restart=0")),
    Way(
        "ended after its tests", 11, "HOLD", conftest=LATE,
        args=("-n1", "--max-worker-restart=0"), says="these workers ended early: worker gw0",
    ),
    Way("pytest.exit in a test", 3, "HOLD", PASSES + TEST.format(EXIT), args=("-n1",)),
    Way("workers that collect different tests", 1, "REJECT", RANDOM, args=("-n2",)),
    Way("stopped at the first failure", 2, "REJECT", FAILS + PASSES, args=("-n1", "-x")),
    Way("pytest.exit in a file", 1, "REJECT", f"import pytest\n{EXIT}\n", args=("-n1",)),
    Way(
        "a worker's hook that leaves out what fails", 11, "HOLD", PASSES + FAILS, args=("-n1",),
        conftest="def pytest_collection_modifyitems(items): items[:] = [i for i in items if 'passes' in i.name]\n",
        says="1 test did not complete",
    ),
)  # fmt: skip


@way_of(PYTEST_EXIT)
def test_pytest_exit_is_not_green(
    way: Way, project: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(way, project, server.url, monkeypatch)


@way_of(SYSTEM_EXIT)
def test_system_exit_is_not_green(
    way: Way, project: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(way, project, server.url, monkeypatch)


@way_of(PROCESS_ENDS)
def test_the_end_of_the_process_is_not_green(
    way: Way, project: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(way, project, server.url, monkeypatch)


@way_of(AT_EXIT)
def test_the_end_of_the_interpreter_is_not_green(
    way: Way, project: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(way, project, server.url, monkeypatch)


@pytest.mark.parametrize("name", ["verdict.json", "record.jsonl"])
def test_files_that_are_changed_after_a_pass_hold_it(
    project: pytest.Pytester, server: ScriptedServer, name: str
) -> None:
    change = f"import atexit, pathlib\natexit.register(lambda: pathlib.Path({name!r}).open('a').write('\\n'))\n"
    result = attempt(Way("", 0, "", conftest=change, apart=True), project, server.url, "--gaia-report-log=record.jsonl")

    assert result.ret == 11
    result.stderr.fnmatch_lines([f"gaia: *{name}: changed after this run wrote it. The file is restored*"])
    assert (verdict(project)["verdict"], verdict(project)["reasons"]) == (
        "HOLD",
        [f"changed after the run wrote it: {name}"],
    )
    recorded = read_run(project.path / "record.jsonl")
    assert recorded.end is not None
    assert recorded.end.held == f"changed after the run wrote it: {name}"


@way_of(STOPPED)
def test_stopping_early_is_not_green(
    way: Way, project: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(way, project, server.url, monkeypatch)


def test_an_environment_out_of_reach_is_not_green(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    check(UNREACHABLE, project, "http://127.0.0.1:1", monkeypatch)


@way_of(tuple(replace(way, apart=True) for way in WORKERS), quick=1)
def test_the_end_of_a_worker_is_not_green(
    way: Way, project: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(way, project, server.url, monkeypatch)
