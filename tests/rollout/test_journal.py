"""The journal: lines that are only added, and read whatever happened to them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.rollout.journal import Entry, Journal, outcomes, unfinished

if TYPE_CHECKING:
    from pathlib import Path

WHEN = "2026-08-01T12:00:00+00:00"


def entry(event: str, run: str = "one", **values: Any) -> Entry:
    return Entry(**{"event": event, "run": run, "when": WHEN, **values})


def a_run(run: str, *, finished: bool = True) -> list[Entry]:
    lines = [
        entry("begin", run, services=("auth", "chat", "gateway")),
        entry("start", run, service="auth"),
        entry("end", run, service="auth", outcome="deployed", well=True),
        entry("start", run, service="chat"),
    ]
    return [*lines, entry("finish", run, outcome="stopped")] if finished else lines


def test_what_is_added_is_read_back_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "staging")

    for line in a_run("one"):
        journal.add(line)

    assert list(journal.entries()) == a_run("one")
    assert journal.path == tmp_path / ".gaia/deployments/staging.jsonl"
    assert journal.path.stat().st_mode & 0o077 == 0


def test_there_is_nothing_before_the_first_line(tmp_path: Path) -> None:
    assert Journal(tmp_path, "staging").entries() == ()
    assert list(tmp_path.iterdir()) == []


def test_environments_have_journals_of_their_own(tmp_path: Path) -> None:
    Journal(tmp_path, "staging").add(entry("begin"))

    assert Journal(tmp_path, "dev").entries() == ()


@pytest.mark.parametrize("cut", [1, 10, 30])
def test_a_last_line_that_was_cut_off_is_left_out_and_does_not_spoil_the_next(tmp_path: Path, cut: int) -> None:
    journal = Journal(tmp_path, "staging")
    for line in a_run("one"):
        journal.add(line)
    content = journal.path.read_bytes()
    journal.path.write_bytes(content[:-cut])

    cut_line_is_whole = cut == 1
    kept = a_run("one") if cut_line_is_whole else a_run("one")[:-1]
    assert list(journal.entries()) == kept

    journal.add(entry("begin", "two"))
    assert list(journal.entries()) == [*kept, entry("begin", "two")]


@pytest.mark.parametrize(
    "line", ["", "null", "[]", "\xff", '{"event": "other", "run": "x", "when": "y"}', "{" * 10_000]
)
def test_lines_that_are_no_entries_are_left_out(tmp_path: Path, line: str) -> None:
    journal = Journal(tmp_path, "staging")
    journal.add(entry("begin"))
    with journal.path.open("ab") as file:
        file.write(line.encode("latin-1") + b"\n")
    journal.add(entry("finish"))

    assert [each.event for each in journal.entries()] == ["begin", "finish"]


def test_fields_of_later_versions_are_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "staging")
    journal.folder.mkdir(parents=True)
    journal.path.write_text(json.dumps({"event": "begin", "run": "one", "when": WHEN, "moon": "full"}) + "\n")

    assert journal.entries() == (entry("begin"),)


def test_the_last_roll_out_is_unfinished_until_it_says_that_it_has_ended() -> None:
    finished, open_ended = tuple(a_run("one")), tuple(a_run("two", finished=False))

    assert unfinished(()) == ()
    assert unfinished(finished) == ()
    assert unfinished((*open_ended, *finished)) == ()
    assert unfinished((*finished, *open_ended)) == open_ended


def test_lines_tell_what_became_of_each_service() -> None:
    assert outcomes(tuple(a_run("one"))) == {"auth": "deployed", "chat": "in doubt", "gateway": "not begun"}
