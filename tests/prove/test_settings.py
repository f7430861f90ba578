"""``prove.toml`` and the catalog that it names."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.errors import ConfigError
from pytest_gaia.prove.faults import parse
from pytest_gaia.prove.settings import Settings, read_catalog, write_catalog

if TYPE_CHECKING:
    from pathlib import Path

ACCEPTED = """\
[[accepted]]
fault = 'gateway GET /health drop version'
reason = "the version is for people"
owner = "ana"
expires = 2027-01-31
"""


def settings(folder: Path, text: str) -> Settings:
    (folder / "suites").mkdir()
    (folder / "suites" / "prove.toml").write_text(text, encoding="utf-8")
    return Settings.of([folder / "suites"], folder)


def test_a_project_needs_no_file(tmp_path: Path) -> None:
    assert Settings.of([tmp_path], tmp_path) == Settings()


def test_all_keys(tmp_path: Path) -> None:
    excluded = '[[excluded]]\nmatch = \'* set version "*\'\nreason = "free text"\n'
    found = settings(tmp_path, f'score = 91.5\ncatalog = "faults.txt"\n{ACCEPTED}{excluded}')
    drop, text, null = (
        parse(f"gateway GET /health {each}", "") for each in ("drop version", 'set version "x"', "set version null")
    )

    assert found.score == 91.5
    assert found.catalog is not None
    assert found.catalog.resolve() == tmp_path / "suites" / "faults.txt"
    assert found.accepted[drop][1] == "suites/prove.toml:4"
    assert found.without_excluded([drop, text, null]) == ([drop, null], [text])
    assert found.expired(date(2027, 1, 31)) == []
    assert [place for _, place in found.expired(date(2027, 2, 1))] == ["suites/prove.toml:4"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("score = \n", "suites/prove.toml:1: not valid TOML"),
        ("\nscor = 90\n", "suites/prove.toml:2: scor: unknown key; did you mean score?"),
        ('score = "90"\n', "suites/prove.toml:1: score: "),
        ("score = 900\n", "suites/prove.toml:1: score: expected percent, from 0 to 100"),
        (ACCEPTED.replace("drop", "dropp"), "suites/prove.toml:2: unknown kind of fault 'dropp'"),
        (ACCEPTED.replace("2027-01-31", '"soon"'), "suites/prove.toml:5: accepted.expires: "),
        (ACCEPTED.replace('owner = "ana"\n', ""), "suites/prove.toml:1: accepted"),
        (ACCEPTED.replace("the version is for people", " "), "suites/prove.toml:3: accepted.reason: say why"),
        (ACCEPTED * 2, "suites/prove.toml:7: `gateway GET /health drop version` is accepted twice"),
    ],
)
def test_an_error_names_the_line(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        settings(tmp_path, text)

    assert str(error.value).startswith(problem), str(error.value)


def test_a_catalog_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "faults.txt"
    known = [parse(f"gateway GET /health {each}", "") for each in ("reset", "drop version", 'set status "another one"')]

    write_catalog(file, known)

    assert read_catalog(file) == known


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("# nothing\n", "contains no faults. To write it: gaia prove --write-catalog"),
        ("# head\ngateway GET /health restet\n", ":2: unknown kind of fault 'restet'"),
    ],
)
def test_a_wrong_catalog_is_one_message(tmp_path: Path, content: str, problem: str) -> None:
    file = tmp_path / "faults.txt"
    file.write_text(content, encoding="utf-8")

    with pytest.raises(ConfigError) as error:
        read_catalog(file)

    assert str(error.value).startswith(f"{file}")
    assert problem in str(error.value)
