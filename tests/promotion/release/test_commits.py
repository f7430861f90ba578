"""Information from git about a release, in real repositories."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.release.commits import LAST, authors, head, knows, strays
from tests.repositories import Repository

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    folder = tmp_path / "repository"
    folder.mkdir()
    return Repository(folder, monkeypatch)


def test_a_work_tree_that_is_its_commit(repository: Repository) -> None:
    repository.write("x")
    commit = repository.commit()

    found = head(repository.folder)

    assert (found.id, found.changed) == (commit, ())
    assert knows(repository.folder, commit)
    assert not knows(repository.folder, "0" * 40)


def test_changed_new_and_removed_files_are_told(repository: Repository) -> None:
    for name in ("a", "b", "c", "ä ö"):
        repository.write(name)
    repository.write(".gitignore", "ignored\n")
    repository.commit()
    repository.write("a", "other")
    repository.write("new")
    repository.write("ignored")
    repository.git("rm", "--quiet", "b")
    repository.git("add", "--force", "ignored")
    repository.git("rm", "--cached", "--quiet", "ignored")

    assert sorted(head(repository.folder).changed) == ["a", "b", "new"]


def test_what_is_changed_beside_the_projects_folder_counts_and_what_is_left_out_does_not(
    repository: Repository,
) -> None:
    project = repository.folder / "project"
    repository.write("services/auth.py")
    repository.write("project/gaia.toml")
    repository.commit()
    repository.write("project/.gaia/bundles/x.json")
    repository.write("project/ledger/000001.json")
    assert head(project, beside=(".gaia", "ledger")).changed == ()

    repository.write("services/auth.py", "changed")
    assert head(project, beside=(".gaia", "ledger")).changed == ("services/auth.py",)


def test_authors_are_those_of_what_is_new_with_their_co_authors(repository: Repository) -> None:
    repository.commit("old", author="Old <old@example.org>")
    released = repository.git("rev-parse", "HEAD")
    repository.commit("new", author="Ann <Ann@Example.org>")
    repository.commit("pair\n\nCo-authored-by: Bob <bob@example.org>\nCo-authored-by: Eve <eve@example.org>")

    assert authors(repository.folder, released) == (
        "ann@example.org",
        "bob@example.org",
        "dev@example.org",
        "eve@example.org",
    )
    assert "old@example.org" in authors(repository.folder)


def test_who_merges_is_an_author_too(repository: Repository) -> None:
    released = repository.commit("start")
    repository.git("checkout", "--quiet", "-b", "feature")
    repository.commit("feature", author="Ann <ann@example.org>")
    repository.git("checkout", "--quiet", "main")
    repository.git("merge", "--quiet", "--no-ff", "-m", "merge", "feature")

    assert authors(repository.folder, released) == ("ann@example.org", "committer@example.org")


@pytest.mark.parametrize("since", ["HEAD", "0" * 40, "no such thing", None])
def test_where_nothing_is_new_or_the_last_release_is_unknown_the_last_commits_count(
    repository: Repository, since: str | None
) -> None:
    repository.commit("long ago", author="Forgotten <forgotten@example.org>")
    for number in range(LAST):
        repository.commit(author=f"A <{number % 3}@example.org>")
    known = repository.git("rev-parse", since) if since == "HEAD" else since

    assert authors(repository.folder, known) == ("0@example.org", "1@example.org", "2@example.org")


def test_a_mailmap_changes_no_author(repository: Repository) -> None:
    repository.write(".mailmap", "Other <other@example.org> <dev@example.org>\n")
    repository.commit()

    assert authors(repository.folder) == ("dev@example.org",)


def test_a_replaced_commit_has_the_author_that_it_had(repository: Repository) -> None:
    first = repository.commit("first")
    mine = repository.commit("mine", author="Me <me@example.org>")
    repository.git("checkout", "--quiet", first)
    yours = repository.commit("mine", author="You <you@example.org>")
    repository.git("checkout", "--quiet", "main")
    repository.git("replace", mine, yours)

    assert authors(repository.folder, first) == ("me@example.org",)


def test_a_shallow_clone_is_refused(repository: Repository, tmp_path: Path) -> None:
    repository.commit("one", author="Hidden <hidden@example.org>")
    repository.commit("two")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", repository.folder.as_uri(), clone], check=True)

    with pytest.raises(ConfigError, match=r"shallow clone.*git fetch --unshallow"):
        authors(clone)


def test_outside_of_a_repository_without_a_commit_and_without_git(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="this repository has none: commit"):
        head(repository.folder)
    with pytest.raises(ConfigError, match="git reports none: not a git repository"):
        head(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="git is not on PATH"):
        head(repository.folder)


STRAYS = {
    "a changed check": ("project/suites/a/test_a.py", "was changed"),
    "a changed setting": ("project/gaia.toml", "was changed"),
    "a changed deploy script": ("project/ci/deploy", "was changed"),
    "a removed check": ("project/suites/b/test_b.py", "is gone"),
    "a new conftest": ("project/suites/a/conftest.py", "is new"),
    "new data of a suite": ("project/suites/a/data.json", "is new"),
    "a new rule": ("project/suites/expectations/late.toml", "is new"),
    "a new key": ("project/keys/mallory.toml", "is new"),
    "a new setting of pytest": ("project/pytest.ini", "is new"),
    "a new setting above the project": ("conftest.py", "is new"),
    "a changed setting above the project": ("pyproject.toml", "was changed"),
    "a new module next to the suites": ("project/httpx.py", "is new"),
    "a new module anywhere in the project": ("project/src/deep/new.py", "is new"),
    "an ignored check": ("project/suites/ignored/conftest.py", "is new"),
    "an ignored module": ("project/ignored.py", "is new"),
    "an ignored package": ("project/ignored/__init__.py", "is new"),
    "an ignored setting": ("project/setup.cfg", "is new"),
}


@pytest.fixture
def project(repository: Repository) -> Path:
    for name in (
        "suites/a/test_a.py",
        "suites/b/test_b.py",
        "suites/link.py",
        "keys/ci.toml",
        "gaia.toml",
        "ci/deploy",
    ):
        repository.write(f"project/{name}")
    repository.write("pyproject.toml")
    repository.write("other/main.py")
    repository.write(".gitignore", "ignored*\nsetup.cfg\n__pycache__/\n")
    repository.commit()
    return repository.folder / "project"


def differing(project: Path, commit: str = "HEAD") -> dict[str, str]:
    return strays(project, commit, beside=(".gaia",), folders=("suites", "keys"))


@pytest.mark.parametrize("way", STRAYS)
def test_what_a_run_reads_is_compared_with_the_commit(repository: Repository, project: Path, way: str) -> None:
    assert differing(project) == {}
    name, how = STRAYS[way]
    repository.folder.joinpath(name).unlink() if how == "is gone" else repository.write(name, "other")

    found = differing(project)

    assert list(found) == [name]
    assert found[name].startswith(how)


def test_two_states_of_a_file_can_be_told_apart(repository: Repository, project: Path) -> None:
    repository.write("project/suites/a/test_a.py", "one")
    first = differing(project)
    repository.write("project/suites/a/test_a.py", "two")
    assert differing(project) != first


def test_what_no_run_reads_is_not_compared(repository: Repository, project: Path) -> None:
    for name in (
        "other/main.py",
        "project/junit.xml",
        "project/.gaia/promotions/x.py",
        "project/suites/a/__pycache__/test_a.cpython-311.pyc",
        "project/ignored/venv/lib.py",
        "project/suites/ignored.log",
    ):
        repository.write(name, "other")

    assert differing(project) == {}


def test_an_index_that_looks_away_hides_nothing(repository: Repository, project: Path) -> None:
    repository.git("update-index", "--assume-unchanged", "project/suites/a/test_a.py")
    repository.git("update-index", "--skip-worktree", "project/gaia.toml")
    repository.write("project/suites/a/test_a.py", "other")
    repository.write("project/gaia.toml", "other")
    repository.git("add", "--force", "project/suites/b")

    assert list(differing(project)) == ["project/gaia.toml", "project/suites/a/test_a.py"]


def test_what_a_clone_has_set_up_for_itself_hides_nothing(repository: Repository, project: Path) -> None:
    commit = repository.git("rev-parse", "HEAD")
    repository.write("project/suites/a/test_a.py", "other")
    other = repository.commit("other")
    repository.git("replace", commit, other)
    assert list(differing(project, commit)) == ["project/suites/a/test_a.py"]

    repository.git("replace", "--delete", commit)
    repository.write(".git/info/attributes", "*.py filter=hide\n")
    repository.git("config", "filter.hide.clean", f"git cat-file blob {commit}:%f")
    assert list(differing(project, commit)) == ["project/suites/a/test_a.py"]


def test_line_ends_of_a_work_tree_are_no_difference(repository: Repository, project: Path) -> None:
    repository.write("project/suites/a/test_a.py", "a = 1\n")
    repository.commit()
    repository.git("config", "core.autocrlf", "true")
    repository.write("project/suites/a/test_a.py").write_bytes(b"a = 1\r\n")

    assert differing(project) == {}


@pytest.mark.parametrize("way", ["GIT_WORK_TREE", "core.worktree"])
def test_another_work_tree_is_not_compared_in_the_place_of_this_one(
    repository: Repository, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    clean = tmp_path / "clean"
    repository.git("clone", "--quiet", str(repository.folder), str(clean))
    if way == "core.worktree":
        repository.git("config", way, str(clean))
    else:
        monkeypatch.setenv("GIT_DIR", str(repository.folder / ".git"))
        monkeypatch.setenv(way, str(clean))

    with pytest.raises(ConfigError, match=f"git uses the working tree {clean}, but the project is in {project}"):
        differing(project)


def test_an_earlier_commit_is_compared_with_what_is_there_now(repository: Repository, project: Path) -> None:
    earlier = repository.git("rev-parse", "HEAD")
    repository.write("project/suites/a/test_a.py", "other")
    repository.commit()

    assert differing(project) == {}
    assert list(differing(project, earlier)) == ["project/suites/a/test_a.py"]

    with pytest.raises(ConfigError, match="commit c0ffee of the release is not in this repository"):
        differing(project, "c0ffee")
