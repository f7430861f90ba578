"""``gaia expectations ratchet | fmt``, the former on real repositories."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.expectations.expectation_files import A, B, write_expectation
from tests.verdict.runs import failed, passed, record, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Gaia = Callable[..., Outcome]


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=tester", "-c", "user.email=tester@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(project: Path) -> Path:
    """The project under version control, with one rule."""
    write_expectation(project, max_failures="3")
    git(project, "init", "--quiet")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "--message=first")
    return project


def test_an_unchanged_project_passes(gaia: Gaia, repository: Path) -> None:
    assert gaia("expectations", "ratchet", "--base=HEAD") == (
        0,
        "No expectation is broader than at HEAD.\n",
        "",
    )


def test_a_widening_is_refused_until_it_says_reason(gaia: Gaia, repository: Path) -> None:
    write_expectation(repository, max_failures="9", environments='["staging", "dev"]')
    code, out, _ = gaia("expectations", "ratchet", "--base=HEAD")
    assert code == 1
    assert out == (
        "checks/expectations/chat-cut-over.toml: environments: dev is new\n"
        "checks/expectations/chat-cut-over.toml: max_failures: was 3, is 9\n"
        'Add a reason to each file: justification = "…"\n'
    )

    write_expectation(repository, max_failures="9", environments='["staging", "dev"]', justification='"dev moved too"')
    assert gaia("expectations", "ratchet", "--base=HEAD").code == 0


def test_new_expectations_and_drafts_are_no_widening(gaia: Gaia, repository: Path) -> None:
    write_expectation(repository, "another")
    write_expectation(repository, "a.draft", owner="")

    assert gaia("expectations", "ratchet", "--base=HEAD").code == 0


def test_an_expectation_that_was_malformed_cannot_be_compared(gaia: Gaia, repository: Path) -> None:
    write_expectation(repository, owner="")
    git(repository, "commit", "--quiet", "--all", "--message=broken")
    write_expectation(repository)

    code, out, _ = gaia("expectations", "ratchet", "--base=HEAD", "--json")

    assert code == 1
    assert json.loads(out)[0]["text"] == (
        "cannot be compared: checks/expectations/chat-cut-over.toml:1: required keys are missing: `owner`."
    )


def test_a_project_below_the_top_of_its_repository_is_compared_too(
    gaia: Gaia, project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tmp_path_factory.mktemp("top")
    inner = top / "inner"
    project.rename(inner)
    write_expectation(inner, max_failures="3")
    git(top, "init", "--quiet")
    git(top, "add", ".")
    git(top, "commit", "--quiet", "--message=first")
    monkeypatch.chdir(inner)
    write_expectation(inner, max_failures="4")

    assert "max_failures: was 3, is 4" in gaia("expectations", "ratchet", "--base=HEAD").out


KEY = 'public_key = "ssh-ed25519 {} x"\nroles = ["security"]\n'
PUBLIC = "AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43


def test_wider_settings_are_named_and_refused_until_they_are_accepted(gaia: Gaia, repository: Path) -> None:
    path = repository / "gaia.toml"
    before = path.read_text(encoding="utf-8")
    path.write_text(
        before + '\n[env.production]\nwrites = false\n[env.staging.stage]\nsoak = "720m"\n', encoding="utf-8"
    )
    assert gaia("expectations", "ratchet", "--base=HEAD").code == 0, "defaults spelled out"

    wide = '\n[env.production]\nwrites = true\ndirect = "refuse"\n[env.production.tolerance]\nmin_tests = 0\n'
    path.write_text(before + wide, encoding="utf-8")
    (repository / "keys").mkdir()
    (repository / "keys" / "sam.toml").write_text(KEY.format(PUBLIC), encoding="utf-8")
    line = before.count("\n") + 3
    named = [
        f"gaia.toml:{line}: env.production.writes: was false, is true",
        f"gaia.toml:{line + 3}: env.production.tolerance.min_tests: was 20, is 0",
    ]
    code, out, err = gaia("expectations", "ratchet", "--base=HEAD")
    assert (code, err) == (1, "")
    assert [each in out for each in (*named, "keys/: keys: sam (security) was added")] == [True, True, True], out
    assert out.endswith("Settings became wider. If that is intended, add --accept-settings.\n")
    assert out.count("sam (security)") == 1, "once, not for each environment"

    code, out, _ = gaia("expectations", "ratchet", "--base=HEAD", "--accept-settings", "--json")
    assert code == 0
    assert {each["check"] for each in json.loads(out)} == {"wider-setting"}
    assert {each["level"] for each in json.loads(out)} == {"warning"}


def test_settings_that_are_invalid_today_cannot_be_compared(gaia: Gaia, repository: Path) -> None:
    path = repository / "gaia.toml"
    before = path.read_text(encoding="utf-8")
    path.write_text(f'{before}\n[env.staging.stage]\nevidence_age = "3650d"\n', encoding="utf-8")
    git(repository, "commit", "--quiet", "--all", "--message=long")
    path.write_text(before, encoding="utf-8")

    code, out, err = gaia("expectations", "ratchet", "--base=HEAD")

    assert (code, err) == (1, "")
    assert "gaia.toml: cannot be compared with HEAD: gaia.toml:" in out
    assert "max_evidence_age: '3650d' is too long" in out


def test_an_unknown_reference_is_a_usage_error(gaia: Gaia, repository: Path) -> None:
    assert gaia("expectations", "ratchet", "--base=nowhere") == (
        4,
        "",
        "gaia: --base: unknown reference 'nowhere': it is not a commit of this repository\n",
    )


def test_without_a_repository_git_says_so(gaia: Gaia, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    write_expectation(project)

    code, out, err = gaia("expectations", "ratchet", "--base=HEAD")

    assert (code, out) == (4, "")
    assert "not a git repository" in err


def test_without_git_the_message_says_so(gaia: Gaia, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))

    assert gaia("expectations", "ratchet", "--base=HEAD") == (4, "", "gaia: --base: git is not installed.\n")


def test_fmt_writes_expectations_in_one_way_and_then_has_nothing_to_do(gaia: Gaia, project: Path) -> None:
    path = write_expectation(project)
    tidy = path.read_text()
    path.write_text("\n".join(reversed(tidy.splitlines())))

    assert gaia("expectations", "fmt", "--check") == (1, "would change: checks/expectations/chat-cut-over.toml\n", "")
    assert path.read_text() != tidy
    assert gaia("expectations", "fmt") == (0, "changed: checks/expectations/chat-cut-over.toml\n", "")
    assert path.read_text() == tidy
    assert gaia("expectations", "fmt", "--check", "--json") == (0, '{\n  "would_change": []\n}\n', "")


def test_fmt_names_a_file_that_is_no_toml(gaia: Gaia, project: Path) -> None:
    write_expectation(project).write_text("reason = \n")

    code, _, err = gaia("expectations", "fmt")

    assert code == 4
    assert err.startswith("gaia: checks/expectations/chat-cut-over.toml:1: not valid TOML")


def test_check_includes_the_format_and_broader_expectations(repository: Path, gaia: Gaia) -> None:
    path = write_expectation(repository, max_failures="9")
    path.write_text(path.read_text().replace("max_failures = 9", "max_failures =  9"))
    results = record(repository / "run.jsonl", run(failed(A), passed(B)))

    code, out, _ = gaia("expectations", "check", f"--results={results}", "--base=HEAD", "--json", "--as-of=2026-03-15")

    assert code == 1
    assert [each["check"] for each in json.loads(out) if each["level"] == "error"] == ["broader", "format"]
