"""No run without evidence is green: selection, skips, marks and rules. Every known way is tried, one by one.

Runs that end early, hooks and options are in the neighboring modules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.plugin.ways import EXPECTATION, FAILS, PASSES, ZERO, Way, attempt, check, verdict, way_of

if TYPE_CHECKING:
    import pytest

    from tests.plugin.conftest import ScriptedServer

IMPORT = "import pytest\n"
SKIPPED = "@pytest.mark.skip(reason='later')\ndef test_skipped(): assert False\n"
FLAKY = "seen = []\ndef test_flaky():\n    seen.append(1)\n    assert len(seen) > 1\n"
# As the plugin flaky does it: the whole protocol of the test once more, and no report of the attempt that failed.
AGAIN = """
import pytest
from _pytest import runner

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    original, failed = runner.call_and_report, True

    def quiet(item, when, log=True, **more):
        nonlocal failed
        report = original(item, when, log=False, **more)
        failed = failed or report.failed
        if report.passed or attempt == 2:
            item.ihook.pytest_runtest_logreport(report=report)
        return report

    for attempt in (1, 2):
        if failed:
            failed = False
            runner.call_and_report = quiet
            try:
                runner.pytest_runtest_protocol(item, nextitem)
            finally:
                runner.call_and_report = original
    return True
"""
# As pytest-retry does it: only the call once more, and its result put into the report of the first attempt.
RETRIED = """
import pytest

class Retry:
    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item, call):
        report = (yield).get_result()
        if report.failed:
            again = pytest.CallInfo.from_call(lambda: item.ihook.pytest_runtest_call(item=item), when="call")
            report.outcome = pytest.TestReport.from_item_and_call(item, again).outcome

def pytest_configure(config):
    config.pluginmanager.register(Retry(), "pytest-retry")
"""
MARKED = "@pytest.mark.xfail({})\ndef test_marked(): assert False\n"

CONTROL = (
    Way("nothing at all", 0, "PROMOTE"),
    Way("an expected failure", 0, "PROMOTE", PASSES + FAILS, expectation=EXPECTATION),
    Way("a pass on a retry", 0, "PROMOTE", FLAKY, args=("--reruns=1",)),
    Way("a pass when a plugin runs it again", 0, "PROMOTE", FLAKY, conftest=AGAIN, says="passed on attempt 2"),
    Way("the same with workers", 0, "PROMOTE", FLAKY + PASSES, ("-n1",), AGAIN, says="passed on attempt 2"),
    Way("an expected failure by mark", 0, "PROMOTE", IMPORT + PASSES + MARKED.format("")),
)

SELECTION = (
    Way("by keyword", 11, "HOLD", args=("-k", "nothing")),
    Way("by marker", 11, "HOLD", args=("-m", "not small")),
    Way("by name", 11, "HOLD", args=("--deselect=suites/small",)),
    Way("an ignored folder", 11, "HOLD", args=("--ignore=suites/small",)),
    Way("no tests in the suite", 11, "HOLD", source=""),
    Way("too few", 11, "HOLD", tolerance="min_tests = 2", says="only 1 test ran; at least 2 required"),
    Way("a path that is not there", 4, "HOLD", args=("suites/small/test_gone.py",)),
    Way("a command that nothing stands for", 4, "HOLD", args=("--gaia-command=deploy",)),
)

SKIPS = (
    Way("everything", 11, "HOLD", IMPORT + SKIPPED, says="no test passed"),
    Way("one, in zero", 1, "REJECT", PASSES + IMPORT + SKIPPED, tolerance=ZERO),
    Way("one that no rule lists", 1, "REJECT", PASSES + IMPORT + SKIPPED, tolerance='skip = "expected"'),
    Way(
        "one whose rule lists another reason", 1, "REJECT", PASSES + IMPORT + SKIPPED.replace("skipped", "fails"),
        tolerance='skip = "expected"', expectation=EXPECTATION.replace('kind = "assertion", message = "broken"', 'message = "never"')
        + 'expect = "skip"\n',
    ),
    Way("a module", 11, "HOLD", IMPORT + "pytest.skip('later', allow_module_level=True)\n" + FAILS),
    Way("a module, in zero", 1, "REJECT", IMPORT + "pytest.importorskip('not_there')\n" + FAILS, tolerance=ZERO),
    Way("SkipTest", 11, "HOLD", "import unittest\ndef test_skips(): raise unittest.SkipTest('later')\n"),
    Way("inside of an expected failure", 11, "HOLD", IMPORT + "def test_fails(): pytest.skip('later')\n", expectation=EXPECTATION),
    Way(
        "one that poses as not applicable, in zero", 1, "REJECT",
        IMPORT + PASSES + "def test_skips(): pytest.skip('not applicable: really')\n", tolerance=ZERO,
    ),
    Way("what does not apply", 11, "HOLD", IMPORT + "@pytest.mark.gaia(requires=['postgres'])\n" + PASSES),
    Way(
        "what ceases to apply on a retry, in zero", 1, "REJECT",
        PASSES + "from pytest_gaia.errors import NotApplicable\nseen = []\ndef test_fickle():\n"
        "    seen.append(1)\n    assert len(seen) > 1\n    raise NotApplicable('gone')\n",
        args=("--reruns=1",), tolerance=ZERO,
    ),
)  # fmt: skip


BROKEN = "import pytest\n@pytest.fixture\ndef broken():\n    {}\n\n{}def test_fails(broken): assert {}, 'broken'\n"
XFAIL = "@pytest.mark.xfail\n"

MARKS = (
    Way("everything", 11, "HOLD", IMPORT + MARKED.format("")),
    Way(
        "not run, and counted as run", 11, "HOLD", IMPORT + PASSES + MARKED.format("run=False"),
        tolerance="min_tests = 2",
    ),
    Way("in zero", 1, "REJECT", IMPORT + PASSES + MARKED.format(""), tolerance=ZERO),
    Way("strict, in zero", 1, "REJECT", IMPORT + PASSES + MARKED.format("strict=True"), tolerance=ZERO),
    Way("not run, in zero", 1, "REJECT", IMPORT + PASSES + MARKED.format("run=False"), tolerance=ZERO),
    Way("in code, in zero", 1, "REJECT", IMPORT + PASSES + "def test_x(): pytest.xfail('later')\n", tolerance=ZERO),
    Way("a broken fixture", 1, "REJECT", PASSES + BROKEN.format("assert False, 'broken'", XFAIL, False)),
    Way("a broken teardown", 1, "REJECT", PASSES + BROKEN.format("yield; assert False", XFAIL, False)),
    Way("in a fixture", 11, "HOLD", BROKEN.format("pytest.xfail('later')", "", False), tolerance="min_tests = 1"),
)  # fmt: skip

EXPECTATIONS = (
    Way("a typo in a key", 4, None, FAILS, expectation=EXPECTATION.replace("owner", "owners"), says="did you mean owner"),
    Way("a typo in an environment", 4, None, FAILS, expectation=EXPECTATION.replace("small", "smal"), says="did you mean small"),
    Way("without a signature", 4, None, FAILS, expectation=EXPECTATION.partition("match")[0], says="match"),
    Way("an empty signature", 4, None, FAILS, expectation=EXPECTATION.partition("match")[0] + "match = {}\n", says="match"),
    Way("in zero", 4, None, FAILS, expectation=EXPECTATION, tolerance=ZERO, says="small has strict tolerance"),
    Way("expired", 1, "REJECT", FAILS, expectation=EXPECTATION.replace("2099-01-01", "2026-11-02"), says="has no effect"),
    Way("of another environment", 1, "REJECT", FAILS, expectation=EXPECTATION.replace("small", "staging")),
    Way("of another test", 1, "REJECT", FAILS, expectation=EXPECTATION.replace("::test_fails", "::test_fail")),
    Way("another kind", 1, "REJECT", FAILS.replace("assert False, 'broken'", "raise OSError('broken')"), expectation=EXPECTATION),
    Way("another message", 1, "REJECT", FAILS.replace("broken", "torn"), expectation=EXPECTATION, says="the-rule did not match"),
    Way("another status", 1, "REJECT", FAILS, expectation=EXPECTATION.replace("match = { ", "match = { status = 503, ")),
    Way("another phase", 1, "REJECT", BROKEN.format("assert False, 'broken'", "", True), expectation=EXPECTATION),
    Way("in teardown", 1, "REJECT", BROKEN.format("yield; assert False, 'broken'", "", False), expectation=EXPECTATION),
    Way("over the budget", 11, "HOLD", PASSES + FAILS, expectation=EXPECTATION, tolerance="budget = 0", says="exceed the failure budget of 0"),
    Way(
        "over its cap", 11, "HOLD", PASSES + FAILS + FAILS.replace("fails", "more"),
        expectation=EXPECTATION.replace("::test_fails", "") + "max_failures = 1\n", says="max_failures",
    ),
    Way("everything fails as expected", 11, "HOLD", FAILS, expectation=EXPECTATION, says="no test passed"),
    Way("nothing fails any more", 10, "DRIFT", PASSES + FAILS.replace("False", "True"), expectation=EXPECTATION),
    Way(
        "a strict mark that passes", 1, "REJECT", "import pytest\n@pytest.mark.xfail(strict=True)\ndef test_fails(): pass\n",
        expectation=EXPECTATION.replace(', message = "broken"', ""), says="XPASS(strict)",
    ),
    Way(
        "a pass when a plugin runs it again, in zero", 1, "REJECT", PASSES + FLAKY, conftest=AGAIN, tolerance=ZERO,
        says="a retry does not count",
    ),
    Way(
        "a pass that a plugin makes of a report", 1, "REJECT", PASSES + FLAKY, conftest=RETRIED,
        says="pytest-retry: a test that passes on a retry of this plugin counts as failed.",
    ),
    Way("a pass on a retry, in zero", 1, "REJECT", PASSES + FLAKY, args=("--reruns=1",), tolerance=ZERO, says="a retry does not count"),
)  # fmt: skip


@way_of(CONTROL)
def test_a_run_with_evidence_is_green(
    way: Way, project: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(way, project, server.url, monkeypatch)


@way_of(SELECTION)
def test_leaving_out_is_not_green(
    way: Way, project: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(way, project, server.url, monkeypatch)


@way_of(SKIPS)
def test_skipping_is_not_green(
    way: Way, project: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(way, project, server.url, monkeypatch)


@way_of(MARKS)
def test_marking_is_not_green(
    way: Way, project: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(way, project, server.url, monkeypatch)


@way_of(EXPECTATIONS)
def test_an_expectation_that_does_not_fit_is_not_green(
    way: Way, project: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(way, project, server.url, monkeypatch)


def test_expectations_that_disagree_are_not_green(project: pytest.Pytester, server: ScriptedServer) -> None:
    way = Way("disagreeing", 1, "REJECT", PASSES + FAILS, expectation=EXPECTATION)
    other = (
        EXPECTATION.partition("match")[0].replace("small", "small", 1)
        + 'expect = "pass"\nwhen = { capability = ["gateway", "!nats"] }\n'
    )
    (project.path / "suites" / "expectations").mkdir()
    (project.path / "suites" / "expectations" / "the-other.toml").write_text(other)

    result = attempt(way, project, server.url)

    assert (result.ret, verdict(project)["verdict"]) == (1, "REJECT")


def test_the_last_failures_alone_are_no_complete_run(project: pytest.Pytester, server: ScriptedServer) -> None:
    way = Way(
        "last failed",
        0,
        "PARTIAL",
        PASSES + FAILS,
        args=("--lf",),
        apart=True,
        tolerance="min_tests = 2",
    )
    settings = project.path / "pyproject.toml"
    settings.write_text(settings.read_text().replace('"-p", "no:cacheprovider", ', ""))
    first = attempt(way, project, server.url)
    (project.path / "suites" / "small" / "test_small.py").write_text(PASSES + FAILS.replace("False", "'repaired'"))

    second = project.runpytest_subprocess(
        "--gaia-env=small",
        f"--gaia-url=gateway={server.url}",
        "--gaia-verdict-file=verdict.json",
        *way.args,
    )

    assert (first.ret, second.ret) == (1, 0)
    assert (verdict(project)["verdict"], verdict(project)["counts"]) == ("PARTIAL", {"passed": 1})
