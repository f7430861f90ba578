"""`gaia suites check` reports what hides failures, at its line, and no code that only looks similar."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from pytest_gaia.config.project import Project
from pytest_gaia.plugin import Fixtures
from pytest_gaia.preflight._suites.collection import _OWN
from pytest_gaia.preflight._suites.model import _CLASSES, METHODS, SuiteFiles
from pytest_gaia.preflight.suites import ALL_CHECKS, CHECKS, check_suites, read_suites
from tests.preflight.cases import numbered
from tests.preflight.suite_cases import RIGHT, WRONG, Case

ROOT = Path(__file__).parents[2]
SERVICES = """\
[platform]
entry = "orders"
[services.orders]
[services.db]
kind = "postgres"
[services.bus]
kind = "nats"
"""
OTHERS = {
    "suites/asking.py": "from suites import asked\nasync def ask(client): ...\n",
    "suites/admin/conftest.py": "import pytest\n@pytest.fixture\ndef admin(orders):\n    return orders.with_key('x')\n",
}


@pytest.fixture
def suites(tmp_path: Path) -> SuiteFiles:
    """Files of a project with three services: a function of another file, and a fixture of another ``conftest.py``."""
    (tmp_path / "gaia.toml").write_text(SERVICES, encoding="utf-8")
    files = SuiteFiles(Project(tmp_path).platform)
    for name, code in OTHERS.items():
        files.add(name, code)
    return files


def lines_found(suites: SuiteFiles, case: Case) -> list[int]:
    suites.add(case.file, case.code)
    found = [each for each in check_suites(suites) if each.check == case.check]
    assert all(each.text and each.why and each.fix for each in found)
    return [each.place.line for each in found if each.place.file == case.file]


@pytest.mark.parametrize("case", WRONG, ids=numbered(each.check for each in WRONG))
def test_a_habit_that_hides_failures_is_found_at_its_line(case: Case, suites: SuiteFiles) -> None:
    wrong = [number for number, line in enumerate(case.code.splitlines(), start=1) if "# wrong" in line]

    assert wrong
    assert lines_found(suites, case) == wrong


@pytest.mark.parametrize("case", RIGHT, ids=numbered(each.check for each in RIGHT))
def test_code_that_only_looks_similar_is_not_reported(case: Case, suites: SuiteFiles) -> None:
    assert lines_found(suites, case) == []


def test_every_check_is_tried_both_ways() -> None:
    every = {check.id for check in ALL_CHECKS}

    assert {case.check for case in WRONG} == every
    assert {case.check for case in RIGHT} == every


def test_each_check_has_a_name_a_reason_and_a_fix() -> None:
    assert len({check.id for check in ALL_CHECKS}) == len(ALL_CHECKS)
    assert [check.id for check in CHECKS if not (check.why.endswith(".") and check.fix)] == []


@pytest.mark.parametrize("project", [ROOT, ROOT / "examples" / "shop"], ids=["suites", "shop"])
def test_the_suites_here_have_no_finding(project: Path) -> None:
    found = read_suites(Project(project))

    assert len([test for file in found.files for test in file.tests]) > 10
    assert [f"{each.place}: {each.check}" for each in check_suites(found)] == []


def test_files_are_read_and_not_imported(tmp_path: Path) -> None:
    (tmp_path / "gaia.toml").write_text('[gaia]\nsuites = ["suites"]\n', encoding="utf-8")
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "test_x.py").write_text("raise SystemExit\ndef test_x(): ...\n", encoding="utf-8")

    assert [each.check for each in check_suites(read_suites(Project(tmp_path)))] == ["empty-test"]


@pytest.mark.parametrize(
    ("file", "settings"),
    [
        ("pyproject.toml", '[tool.pytest.ini_options]\npython_functions = ["check_*"]\nxfail_strict = true\n'),
        ("pytest.toml", '[pytest]\npython_functions = ["check_*"]\nxfail_strict = true\n'),
        ("setup.cfg", "[tool:pytest]\npython_functions = check_*\nxfail_strict = true\n"),
        ("pytest.ini", "[pytest]\npython_functions = check_*\nxfail_strict = true\n"),
    ],
)
def test_settings_of_pytest_say_what_a_test_is(file: str, settings: str, tmp_path: Path) -> None:
    code = "import pytest\ndef test_x(): ...\ndef check_x(request):\n    request.node.add_marker(pytest.mark.xfail)\n"
    (tmp_path / file).write_text(settings, encoding="utf-8")
    (tmp_path / "test_x.py").write_text(code + "def check_y(): ...\n", encoding="utf-8")

    found = check_suites(read_suites(Project(tmp_path), [tmp_path]))

    assert [(each.check, each.place.line) for each in found] == [("empty-test", 5), ("uncollected-test", 2)]


def test_the_methods_of_clients_are_those_of_their_classes() -> None:
    from pytest_gaia.clients.broker.events import EventLog
    from pytest_gaia.clients.broker.messaging import JetStream, Messaging
    from pytest_gaia.clients.contract import Contract
    from pytest_gaia.clients.database.sessions import Session
    from pytest_gaia.clients.http.client import HttpClient
    from pytest_gaia.clients.http.responses import EventStream, Response
    from pytest_gaia.clients.redis import RedisClient
    from pytest_gaia.fixtures.declared import Services

    classes: list[type] = [
        *(EventLog, JetStream, Messaging, Contract, Session, HttpClient, EventStream, Response, RedisClient, Services)
    ]
    assert {each.__name__ for each in classes} == set(_CLASSES)
    for each in classes:
        for name, (how, _) in METHODS.get(_CLASSES[each.__name__], {}).items():
            assert inspect.iscoroutinefunction(getattr(each, name)) == (how == "coroutine"), (each, name)


def test_the_fixtures_of_the_plugin_are_known() -> None:
    assert {*Fixtures.NAMES, "services"} <= set(_OWN)
