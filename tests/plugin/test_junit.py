"""``--junitxml`` after runs in which everything goes wrong: every planned test once, with its outcome."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.plugin.conftest import ScriptedServer, add_suite
from tests.report.jenkins import problems
from tests.slow import with_workers

if TYPE_CHECKING:
    from pathlib import Path

CHECKS = r"""
import os, unittest
import pytest

attempts = []

def test_passes(): pass

def test_fails(): assert False, "\x1b[31mred\x00"

def test_is_expected(): raise AssertionError("known")

def test_has_healed(): pass

def test_passes_in_the_end():
    attempts.append(1)
    assert len(attempts) > 1

@pytest.fixture
def torn():
    yield
    raise AssertionError("torn")

def test_fails_twice(torn): assert False

def test_has_parts(subtests):
    with subtests.test("one"):
        assert False, "one"
    with subtests.test("two"):
        assert False, "two"

@pytest.mark.parametrize("value", ["a.b::c", "d/e", "<&>"])
def test_with(value): pass

@pytest.mark.gaia(requires=["nats"])
def test_does_not_apply(): pass

@pytest.mark.skip(reason="later")
def test_skipped(): pass

class Old(unittest.TestCase):
    def test_old(self): self.fail("old")
"""
CRASHES = """
import os
def test_before(): pass
def test_dies(): os._exit(3)
def test_after(): pass
"""
EXPECTATION = """
reason = "known"
issue = "GAIA-1"
owner = "@team"
created = 2026-11-01
expires = 2099-01-01
environments = ["small"]
tests = ["suites/small/test_small.py::test_{name}"]
expect = "fail"
match = {{ kind = "assertion" }}
"""
TOML = '[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n[env.small]\n[env.small.tolerance]\nmax_expectation_age_days = 100000\n'


@pytest.fixture
def small(project: pytest.Pytester) -> pytest.Pytester:
    project.makefile(".toml", gaia=TOML)
    add_suite(project, "small", CHECKS)
    expectations = project.path / "suites" / "expectations"
    expectations.mkdir()
    (expectations / "known.toml").write_text(EXPECTATION.format(name="is_expected"))
    (expectations / "healed.toml").write_text(EXPECTATION.format(name="has_healed"))
    return project


def cases(project: pytest.Pytester, server: ScriptedServer, *arguments: str) -> dict[str, str]:
    """Run everything; return the JUnit result of each test; check that Jenkins can read it and counts each test once."""
    file: Path = project.path / "junit.xml"
    project.runpytest_subprocess(
        "--gaia-env=small", f"--gaia-url=gateway={server.url}", f"--junitxml={file}", *arguments
    )
    root = ET.parse(file).getroot()
    assert problems(root) == []
    suite = root[0]
    found = suite.findall("testcase")
    said = Counter(child.tag for case in found for child in case)
    counts = (len(found), said["failure"], said["error"], said["skipped"])
    assert tuple(int(suite.get(name, "")) for name in ("tests", "failures", "errors", "skipped")) == counts
    names = [f"{case.get('classname')} {case.get('name')}".strip() for case in found]
    assert len(set(names)) == len(names)
    tags = [next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), "") for case in found]
    return dict(zip((name.removeprefix("suites.small.test_small ") for name in names), tags, strict=True))


@pytest.mark.parametrize(
    "workers", [("--reruns", "1"), with_workers("--reruns", "1", "-n", "2")], ids=["one", "workers"]
)
def test_every_way_of_ending_stands_there_once(
    small: pytest.Pytester, server: ScriptedServer, workers: tuple[str, ...]
) -> None:
    assert cases(small, server, *workers) == {
        "test_passes": "",
        "test_fails": "failure",
        "test_is_expected": "skipped",
        "test_has_healed": "failure",
        "test_passes_in_the_end": "",
        "test_fails_twice": "failure",
        "test_has_parts": "failure",
        "test_with[a.b::c]": "",
        "test_with[d/e]": "",
        "test_with[<&>]": "",
        "test_does_not_apply": "skipped",
        "test_skipped": "skipped",
        "suites.small.test_small.Old test_old": "failure",
    }


def test_who_crashed_who_never_ran_and_who_was_not_collected_stand_there_too(
    small: pytest.Pytester, server: ScriptedServer
) -> None:
    (small.path / "suites" / "small" / "test_small.py").write_text(CRASHES)
    add_suite(small, "broken", "import not_there\n")

    said = cases(small, server, "-n", "1", "--max-worker-restart=0", "--continue-on-collection-errors")

    assert said == {
        "test_before": "",
        "test_dies": "error",
        "test_after": "error",
        "suites.broken.test_broken": "error",
    }


def test_a_file_that_cannot_be_settled_is_one_message(small: pytest.Pytester, server: ScriptedServer) -> None:
    (small.path / "conftest.py").write_text(
        "def pytest_sessionfinish(session):\n    import pathlib\n    session.config.add_cleanup(lambda: None)\n"
    )
    (small.path / "suites" / "small" / "test_small.py").write_text("def test_passes(): pass\n")
    small.makeconftest(
        "import pathlib, pytest\n"
        "@pytest.hookimpl(trylast=True)\n"
        "def pytest_sessionfinish():\n"
        "    pathlib.Path('junit.xml').write_text('<cut')\n"
    )
    url = f"--gaia-url=gateway={server.url}"

    result = small.runpytest_subprocess("--gaia-env=small", url, "--junitxml=junit.xml", "-k", "passes")

    assert result.ret == 4
    result.stdout.fnmatch_lines(["ERROR: --junitxml=*junit.xml: cannot be written: *"])
