"""No run without evidence is green: whatever hooks, options and the interpreter do to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.plugin.ways import EXPECTATION, FAILS, PASSES, ZERO, Way, attempt, check, verdict, way_of

if TYPE_CHECKING:
    from tests.plugin.conftest import ScriptedServer

WRAPPER = "import pytest\n@pytest.hookimpl(wrapper=True, tryfirst=True)\ndef pytest_{}:\n    {}\n    report = yield\n    {}\n    return report\n"
REPORT = "runtest_makereport(item, call)"

ADDED = """
import pytest

def fails(): assert False, "broken"

def pytest_collection_modifyitems(items):
    items.append(pytest.Function.from_parent(items[0].parent, name="test_added", callobj=fails))
"""

COLLECTION = (
    Way("a hook that empties", 11, "HOLD", conftest="def pytest_collection_modifyitems(items): items.clear()\n"),
    Way(
        "a hook that leaves out what fails", 11, "HOLD", PASSES + FAILS,
        conftest="def pytest_collection_modifyitems(items): items[:] = [i for i in items if 'passes' in i.name]\n",
    ),
    Way(
        "one that is first of all", 11, "HOLD", PASSES + FAILS,
        conftest="import pytest\n@pytest.hookimpl(tryfirst=True)\n"
        "def pytest_collection_modifyitems(items): del items[-1]\n",
    ),
    Way(
        "one that is last of all", 11, "HOLD", PASSES + FAILS,
        conftest="import pytest\n@pytest.hookimpl(trylast=True)\n"
        "def pytest_collection_modifyitems(session): session.items = session.items[:1]\n",
    ),
    Way("a hook that adds what fails", 1, "REJECT", conftest=ADDED),
    Way(
        "a hook before every setup",
        1,
        "REJECT",
        conftest="import pytest\n@pytest.hookimpl(tryfirst=True)\ndef pytest_runtest_setup(): assert False\n",
    ),
    Way("no collection", 11, "HOLD", conftest="def pytest_collection(): return True\n"),
    Way("no loop", 11, "HOLD", conftest="import pytest\n@pytest.hookimpl(tryfirst=True)\ndef pytest_runtestloop(): return True\n"),
    Way("no protocol", 11, "HOLD", conftest="def pytest_runtest_protocol(): return True\n"),
    Way("no session", 11, None, conftest="def pytest_cmdline_main(): return 0\n", says="no verdict"),
    Way("an empty call", 1, "REJECT", FAILS, conftest="def pytest_pyfunc_call(): pass\n"),
)  # fmt: skip

REPORTS = (
    Way(
        "a report that passes always", 1, "REJECT", FAILS,
        conftest="from _pytest.reports import TestReport\ndef pytest_runtest_makereport(item, call):\n"
        "    report = TestReport.from_item_and_call(item, call)\n    report.outcome = 'passed'\n    return report\n",
    ),
    Way("an outcome that is changed", 1, "REJECT", FAILS, conftest=WRAPPER.format(REPORT, "", "report.outcome = 'passed'")),
    Way("an exception that is taken away", 1, "REJECT", FAILS, conftest=WRAPPER.format(REPORT, "call.excinfo = None", "")),
    Way(
        "one taken away within", 1, "REJECT", FAILS,
        conftest="import pytest\n@pytest.hookimpl(tryfirst=True)\n"
        "def pytest_runtest_makereport(call): call.excinfo = None\n",
    ),
    Way("a report that is another one", 1, "REJECT", FAILS,
        conftest="from _pytest.reports import TestReport\n" + WRAPPER.format(
            REPORT, "", "report = TestReport(item.nodeid, item.location, {}, 'passed', None, call.when)"
        ),
    ),
    Way("a skip in zero", 1, "REJECT", FAILS, conftest=WRAPPER.format(REPORT, "", "if call.when == 'call': report.outcome = 'skipped'"), tolerance=ZERO),
    Way("an xfail in zero", 1, "REJECT", FAILS, conftest=WRAPPER.format(REPORT, "", "report.wasxfail = 'x'"), tolerance=ZERO),
    Way("a status", 1, "REJECT", FAILS, conftest="def pytest_report_teststatus(): return 'passed', '.', 'PASSED'\n"),
    Way("a log", 1, "REJECT", FAILS, conftest="def pytest_runtest_logreport(report): report.outcome = 'passed'\n"),
    Way(
        "another loop of retries, in zero", 1, "REJECT",
        "seen = []\ndef test_flaky():\n    seen.append(1)\n    assert len(seen) > 1\n", tolerance=ZERO,
        conftest="from _pytest.runner import runtestprotocol\ndef pytest_runtest_protocol(item, nextitem):\n"
        "    for _ in range(2): reports = runtestprotocol(item, nextitem=None, log=False)\n"
        "    for report in reports: item.ihook.pytest_runtest_logreport(report=report)\n    return True\n",
    ),
    Way("a forgotten count", 1, "REJECT", FAILS, conftest="def pytest_sessionfinish(session): session.testsfailed = 0\n"),
    Way("an exit status", 1, "REJECT", FAILS, conftest="def pytest_sessionfinish(session): session.exitstatus = 0\n"),
    Way(
        "an exit status, last of all", 1, "REJECT", FAILS,
        conftest="import pytest\n@pytest.hookimpl(wrapper=True, tryfirst=True)\n"
        "def pytest_sessionfinish(session):\n    try:\n        return (yield)\n    finally:\n        session.exitstatus = 0\n",
    ),
)  # fmt: skip

TESTS = (
    Way("one that returns what it should assert", 1, "REJECT", PASSES + "def test_fails(): return False\n"),
    Way(
        "one that deletes exchanges",
        1,
        "REJECT",
        "def test_fails(gaia_run):\n    gaia_run.recorder.end()\n    assert False\n",
    ),
    Way(
        "one that writes the verdict",
        1,
        "REJECT",
        FAILS + "def test_writes():\n    open('verdict.json', 'w').write('{}')\n",
    ),
    Way("one that goes elsewhere", 1, "REJECT", FAILS + "import os\ndef test_goes(tmp_path): os.chdir(tmp_path)\n"),
    Way(
        "one that unmarks itself",
        1,
        "REJECT",
        PASSES
        + "import pytest\ndef test_fails(request):\n    request.applymarker(pytest.mark.xfail)\n    assert False\n",
        tolerance=ZERO,
    ),
    Way(
        "one that has forked",
        1,
        "REJECT",
        "import os\ndef test_forks():\n    if os.fork() == 0: os._exit(0)\n    assert os.wait()[1] == 1\n",
    ),
)

OPTIONS = (
    Way("other names of files", 11, "HOLD", FAILS, args=("-o", "python_files=check_*.py")),
    Way("only collecting", 0, None, FAILS, args=("--collect-only",)),
    Way("only planning", 0, None, FAILS, args=("--setup-plan",)),
    Way("only setting up", 11, "HOLD", FAILS, args=("--setup-only",)),
    Way("only fixtures", 0, None, FAILS, args=("--fixtures",)),
    Way("only markers", 0, None, FAILS, args=("--markers",)),
    Way("only help", 0, None, FAILS, args=("--help",)),
    Way("setting up, loudly", 1, "REJECT", FAILS, args=("--setup-show",)),
    Way("without python", 11, "HOLD", FAILS, args=("-p", "no:python"), apart=True),
    Way("without marks", 1, "REJECT", FAILS, args=("-p", "no:skipping")),
    Way("without the plugin that observes tests", 4, None, FAILS, args=("-p", "no:gaia-checks"), says="is required for a verdict"),
    Way("without its ears", 4, None, FAILS, args=("-p", "no:gaia-observer"), says="is required for a verdict"),
    Way("without its mouth", 4, None, FAILS, args=("-p", "no:gaia-controller"), says="is required for a verdict"),
    Way("without its books", 4, None, FAILS, args=("-p", "no:gaia-collection"), says="is required for a verdict"),
    Way("without assertions", 4, None, variables=(("PYTHONOPTIMIZE", "1"),), args=("-W", "default"), apart=True, says="removes every assert"),
    Way("without assertions in a worker", 4, None, variables=(("PYTHONOPTIMIZE", "1"),), args=("-n1", "-W", "default"), apart=True),
    Way("without expectations", 1, "REJECT", PASSES + FAILS, args=("--runxfail",), expectation=EXPECTATION),
    Way("with a wrong option", 4, None, args=("--gaia-enviroment=small",), says="unrecognized arguments"),
    Way("with two environments", 4, None, args=("--gaia-env=smal",), says="did you mean small"),
)  # fmt: skip


@way_of(COLLECTION)
def test_hooks_of_collection_are_not_green(
    way: Way, project: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(way, project, server.url, monkeypatch)


@way_of(REPORTS)
def test_hooks_of_reports_are_not_green(
    way: Way, project: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(way, project, server.url, monkeypatch)


@way_of(TESTS)
def test_clever_tests_are_not_green(
    way: Way, project: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(way, project, server.url, monkeypatch)


@way_of(OPTIONS)
def test_options_are_not_green(
    way: Way, project: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(way, project, server.url, monkeypatch)


def test_the_verdict_is_reached_without_a_terminal(project: pytest.Pytester, server: ScriptedServer) -> None:
    result = attempt(Way("silent", 1, "REJECT", FAILS, args=("-p", "no:terminal")), project, server.url)

    assert (result.ret, verdict(project)["verdict"]) == (1, "REJECT")


def test_a_report_that_is_asked_for_is_written_whatever_is_tested(
    project: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.path / "gaia.toml").write_text(
        '[gaia]\nplatform = "gaia"\nenvironment = "small"\nsuites = ["suites"]\n[env.small]\n'
    )
    (project.path / "verdict.json").write_text('{"verdict": "PROMOTE"}')
    monkeypatch.setenv("GAIA_GATEWAY_URL", server.url)
    project.makepyfile(test_elsewhere=FAILS)

    result = project.runpytest_inprocess(
        "test_elsewhere.py", "--gaia-verdict-file=verdict.json", "-p", "no:allure_pytest"
    )

    assert (result.ret, json.loads((project.path / "verdict.json").read_text())["verdict"]) == (1, "REJECT")


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [(("-p", "no:gaia"), {}), ((), {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})],
    ids=["this plugin", "all plugins"],
)
def test_without_the_plugin_its_options_are_unknown(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    result = attempt(Way("unknown", 4, None, args=arguments, apart=True), project, "http://127.0.0.1:1")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*unrecognized arguments*--gaia-env=small*"])
