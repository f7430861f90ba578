"""Every check finds what it is for, at its line, and passes over what only looks like it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.files.yaml import read_yaml
from pytest_gaia.preflight.lint import ALL_CHECKS
from tests.preflight.cases import numbered
from tests.preflight.not_wrong import NOT_WRONG
from tests.preflight.sets import MARK, changed, look, marked_line, spots
from tests.preflight.wrong_elsewhere import WRONG_ELSEWHERE
from tests.preflight.wrong_names import WRONG_NAMES
from tests.preflight.wrong_settings import WRONG_SETTINGS
from tests.projects import ON_GAIA

if TYPE_CHECKING:
    from pathlib import Path

    from tests.preflight.cases import Case

FOUND = [*WRONG_NAMES, *WRONG_SETTINGS, *WRONG_ELSEWHERE]


@pytest.mark.parametrize("case", FOUND, ids=numbered(each.check for each in FOUND))
def test_a_usage_error_is_found_at_its_line(case: Case, tmp_path: Path) -> None:
    directory = changed(tmp_path, *case.changes)
    file = next(change.file for change in case.changes if MARK in change.new)

    found = spots(look(directory))

    assert (file, marked_line(directory, file), case.check) in found


@pytest.mark.parametrize("case", NOT_WRONG, ids=numbered(each.check for each in NOT_WRONG))
def test_what_only_looks_like_a_usage_error_is_passed_over(case: Case, tmp_path: Path) -> None:
    found = look(changed(tmp_path, *case.changes))

    assert [each for each in found if each.check == case.check] == []


WAITING = "services:\n  gateway:\n    build: .\n    depends_on: [other]\n"
READY = "write depends_on: {other: {condition: service_healthy}}"
DONE = "write depends_on: {other: {condition: service_completed_successfully}}"


@pytest.mark.parametrize(
    ("rest", "fix"),
    [
        ("  other: {image: x, healthcheck: {test: ls}}\n", READY),
        ("  other: {image: x, restart: 'no', healthcheck: {test: ls}}\n", READY),
        ("  other: {extends: {service: x}}\n", READY),
        ("  other: {image: x, restart: 'no'}\n", DONE),
        (
            "  other: {image: x}\n  third: {image: x, depends_on: {other: {condition: service_completed_successfully}}}\n",
            DONE,
        ),
        ("  other: {image: x}\n", f"add healthcheck: to other, then {READY}"),
        ("  other: {image: x, healthcheck: {disable: true}}\n", f"add healthcheck: to other, then {READY}"),
    ],
)
def test_to_wait_for_a_service_is_advised_as_compose_takes_it(rest: str, fix: str, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(WAITING + rest, encoding="utf-8")

    assert [each.fix for each in look(tmp_path) if each.check == "depends-on"] == [fix]


@pytest.mark.parametrize(
    ("port", "advised"),
    [
        ("0.0.0.0:5432:5432", "127.0.0.1:5432:5432"),
        ("[::]:5433:5432", "127.0.0.1:5433:5432"),
        ("${DB_PORT:?}:5432", "127.0.0.1:${DB_PORT:?}:5432"),
        ("5432:5432/tcp", "127.0.0.1:5432:5432/tcp"),
        ("0.0.0.0::5432", "127.0.0.1::5432"),
        ("127.0.0.1::5432", None),
        ("${BIND:?}:5432:5432", None),
        ("5432", None),
    ],
)
def test_to_publish_a_database_here_alone_is_advised_as_compose_takes_it(
    port: str, advised: str | None, tmp_path: Path
) -> None:
    text = f"services:\n  db:\n    image: postgres:16\n    ports: ['{port}']\n"
    (tmp_path / "compose.yaml").write_text(text, encoding="utf-8")

    fixes = [each.fix for each in look(tmp_path) if each.check == "open-database"]

    assert fixes == ([f'write "{advised}"'] if advised else [])


def test_to_hand_over_a_secret_is_advised_as_yaml_takes_it(tmp_path: Path) -> None:
    (tmp_path / "gaia.toml").write_text(f'{ON_GAIA}[env.local.deploy]\nsecrets = ["API_KEY"]\n', encoding="utf-8")
    (tmp_path / "compose.yaml").write_text("services: {gateway: {build: .}}\n", encoding="utf-8")

    (fix,) = (each.fix for each in look(tmp_path) if each.check == "secret-unset")

    assert read_yaml(fix.partition("needs it: ")[2], "advice")[0] == {"environment": {"API_KEY": "${API_KEY:?}"}}


def test_every_check_is_tried_both_ways() -> None:
    every = {check.id for check in ALL_CHECKS}

    assert {case.check for case in FOUND} == every
    assert {case.check for case in NOT_WRONG} == every


def test_there_are_enough_checks_and_each_has_its_own_name() -> None:
    names = [check.id for check in ALL_CHECKS]

    assert len(names) == len(set(names)) > 25
