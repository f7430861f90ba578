"""git is run in one way: without the signing key, without questions, and it sees what was committed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_gaia.cli.expectations.files import files_at
from pytest_gaia.cli.reports.report import branch_at
from pytest_gaia.config.deployfiles.values import committed_variables
from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.ledger.stores import GitReference
from pytest_gaia.promotion.release.commits import committed, head
from pytest_gaia.system.processes import KEY_FILE_VARIABLE, KEY_VARIABLE, commit_of, git

ASKED: dict[str, Callable[[Path], object]] = {
    "the branch": branch_at,
    "files of a commit": lambda folder: files_at("HEAD", folder / "rules", rootdir=folder),
    "the .env of a commit": committed_variables,
    "the commit": head,
    "a file of a commit": lambda folder: committed(folder, "HEAD", "rules/a.toml"),
    "a reference": lambda folder: GitReference(folder, "refs/gaia/ledger").fetch(),
}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        monkeypatch.setenv(name, "me")
    for name in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "me@example.org")
    folder = tmp_path / "project"
    (folder / "rules").mkdir(parents=True)
    (folder / "rules" / "a.toml").write_text("as = 'it was'\n")
    (folder / ".env").write_text("A=as it was\n")
    for words in (["init", "-q", "-b", "main"], ["add", "-Af"], ["commit", "-qm", "first"]):
        git(folder, *words).check_returncode()
    return folder


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_no_call_hands_on_the_signing_key(
    ask: Callable[[Path], object], repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools, seen = tmp_path / "tools", tmp_path / "seen"
    tools.mkdir()
    (tools / "git").write_text(f'#!/bin/sh\nenv >> "{seen}"\nPATH="${{PATH#*:}}" exec git "$@"\n')
    (tools / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv(KEY_VARIABLE, "a key")
    monkeypatch.setenv(KEY_FILE_VARIABLE, "a file")

    ask(repository)

    told = seen.read_text()
    assert "GIT_TERMINAL_PROMPT=0" in told
    assert KEY_VARIABLE not in told


@pytest.mark.parametrize("what", ["files of a commit", "a file of a commit", "the .env of a commit"])
def test_what_a_clone_put_in_the_place_of_an_object_is_not_what_was_committed(what: str, repository: Path) -> None:
    before = ASKED[what](repository)
    for name in ("rules/a.toml", ".env"):
        blob = git(repository, "rev-parse", f"HEAD:{name}").stdout.decode().strip()
        forged = git(repository, "hash-object", "-w", "--stdin", given=b"B=forged\n").stdout.decode().strip()
        git(repository, "replace", blob, forged).check_returncode()

    assert ASKED[what](repository) == before
    assert "it was" in str(before)


def test_two_working_trees_with_different_changes_are_not_the_same_commit(repository: Path) -> None:
    clean, rules = commit_of(repository), repository / "rules" / "a.toml"
    rules.write_text("as = 'one shard saw it'\n")
    first = commit_of(repository)
    git(repository, "config", "diff.noprefix", "true").check_returncode()
    again = commit_of(repository / "rules")
    rules.write_text("as = 'another one saw it'\n")

    assert first == again != commit_of(repository)
    assert first.startswith(f"{clean}-dirty-")


def test_new_code_in_the_suites_is_a_change(repository: Path) -> None:
    clean, suites = commit_of(repository), repository / "suites"
    suites.mkdir()
    (suites / "shard-1.log").write_text("what a shard wrote")
    assert commit_of(repository, [suites]) == clean

    (suites / "conftest.py").write_text("one = 1")
    first = commit_of(repository, [suites])
    (suites / "conftest.py").write_text("two = 2")

    assert clean != first != commit_of(repository, [suites])
    assert commit_of(repository) == clean


@pytest.mark.parametrize("broken", ["owner", "index"])
def test_a_repository_that_git_does_not_read_is_an_error(
    broken: str, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if broken == "owner":
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    else:
        (repository / ".git" / "index").write_bytes(b"no index")

    with pytest.raises(ConfigError, match=r"^the commit of the project is unknown: .*safe\.directory"):
        commit_of(repository)


def test_a_folder_without_a_repository_has_no_commit(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == ""
