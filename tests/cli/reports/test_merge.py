"""``gaia merge``: the verdict of all shards is that of a run in one process."""

from __future__ import annotations

import errno
import json
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_gaia.cli.app import run
from pytest_gaia.verdict.results_log import read_start
from tests.cli.reports.shards import COUNT, STATE, Project, made, project

__all__ = ["made", "project"]

_TIMES = re.compile(rb'"(cold_start_ms|started|finished)": ("[^"]*"|[0-9.]+)')


WORKERS = ("-n2", "--dist=loadfile")
"""one test of the project needs another one of its file"""


@pytest.fixture(autouse=True)
def within(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.folder)
    for name in ("GAIA_ENV", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)


def merge(project: Project, paths: list[Path], plan: str = "plan.json", output: str = "merged") -> int:
    """Merge, and return the exit code."""
    shutil.rmtree(project.folder / output, ignore_errors=True)
    return run(["merge", *map(str, paths), "--plan", plan, "--output", output])


def timeless(verdict: bytes) -> bytes:
    """A verdict file without times."""
    return _TIMES.sub(rb'"\1": 0', verdict)


def verdict_of(project: Project, output: str = "merged") -> bytes:
    return (project.folder / output / "verdict.json").read_bytes()


def test_the_verdict_is_that_of_one_process_byte_for_byte(project: Project) -> None:
    whole = project.whole()

    assert merge(project, [project.folder / f"shard-{index}.jsonl" for index in range(1, COUNT + 1)]) == 0

    assert timeless(verdict_of(project)) == timeless(whole)
    # Times of the run, and of the start of the service.
    assert len(_TIMES.findall(whole)) == 3


def test_with_workers_it_is_that_of_one_process_but_for_the_order(project: Project) -> None:
    whole = json.loads(timeless(project.whole(*WORKERS, name="workers")))

    assert merge(project, project.shards(*WORKERS, name="workers")) == 0

    merged = json.loads(timeless(verdict_of(project)))
    for each in (whole, merged):
        each["tests"].sort(key=lambda test: test["node"])
    assert merged == whole


def test_one_shard_is_the_whole_run(project: Project) -> None:
    whole = project.whole(name="for-one")
    assert merge(project, project.shards(count=1, name="one")) == 0
    assert timeless(verdict_of(project)) == timeless(whole)


def test_the_merged_results_log_has_the_same_verdict(project: Project) -> None:
    assert merge(project, [project.folder / f"shard-{index}.jsonl" for index in range(1, COUNT + 1)]) == 0
    log = project.folder / "merged" / "results.jsonl"

    assert run(["replay", str(log), "--output", "again.json"]) == 0

    assert (project.folder / "again.json").read_bytes() == verdict_of(project)
    assert log.stat().st_mode & 0o777 == 0o600
    assert [*json.loads(log.read_text().splitlines()[-1])["shards"]] == ["1/3", "2/3", "3/3"]


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(COUNT)))
def test_the_order_of_the_files_does_not_matter(project: Project, order: list[int]) -> None:
    paths = [project.folder / f"shard-{index + 1}.jsonl" for index in order]
    assert merge(project, paths, output="ordered") == 0
    found = [(project.folder / "ordered" / name).read_bytes() for name in ("verdict.json", "results.jsonl")]
    assert merge(project, sorted(paths), output="sorted") == 0
    assert found == [(project.folder / "sorted" / name).read_bytes() for name in ("verdict.json", "results.jsonl")]


def test_json_is_the_verdict_file(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(project.folder / f"shard-{index}.jsonl") for index in range(1, COUNT + 1)]
    assert run(["merge", *paths, "--plan", "plan.json", "--output", "merged"]) == 0
    capsys.readouterr()
    assert run(["merge", *paths, "--plan", "plan.json", "--json"]) == 0
    assert capsys.readouterr().out == verdict_of(project).decode()


def test_a_merge_that_fails_leaves_no_verdict_of_an_earlier_one(project: Project) -> None:
    paths = [project.folder / f"shard-{index}.jsonl" for index in range(1, COUNT + 1)]
    assert merge(project, paths) == 0
    empty = project.folder / "empty.jsonl"
    empty.write_bytes(b"")

    assert run(["merge", str(empty), "--plan", "plan.json", "--output", "merged"]) == 4

    assert verdict_of(project) == b""


def test_it_merges_from_another_folder(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.folder / "suites")
    paths = [f"../shard-{index}.jsonl" for index in range(1, COUNT + 1)]
    assert run(["merge", *paths, "--plan", "../plan.json"]) == 0


def test_a_failure_in_one_shard_rejects(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    test = project.folder / "suites" / "state" / "test_state.py"
    test.write_text(STATE.replace('assert seen == ["first"]', "assert seen == []"))
    project.commit()
    try:
        project.plan("failing.json")
        paths = project.shards(plan="failing.json", name="failing")
        whole = project.whole(plan="failing.json", name="failing")
        assert merge(project, paths, "failing.json") == 1
        assert timeless(verdict_of(project)) == timeless(whole)
        capsys.readouterr()
        # Also if another shard is missing, with a note.
        missing = next(path for path in paths if b"test_second" not in path.read_bytes())
        paths.remove(missing)
        assert merge(project, paths, "failing.json") == 1
        assert f"gaia: problems of the merge\n  shard {missing.stem[-1]}/3 is missing\n" in capsys.readouterr().out
    finally:
        test.write_text(STATE)
        project.git("reset", "--quiet", "--hard", "HEAD~1")


def test_another_commit_of_the_project_holds(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    test = project.folder / "suites" / "state" / "test_state.py"
    test.write_text(f"{STATE}\n")
    try:
        assert merge(project, [project.folder / f"shard-{index}.jsonl" for index in range(1, COUNT + 1)]) == 11
    finally:
        test.write_text(STATE)
    out = capsys.readouterr().out
    assert f"  this project ({project.folder}/gaia.toml) is at another commit than the plan: " in out
    assert "-dirty-" in out
    assert out.count("; merge at that of the plan\n") == 1


def test_expectations_that_were_changed_after_the_plan_hold(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    added = project.folder / "suites" / "expectations" / "more.toml"
    added.write_text((added.parent / "broken.toml").read_text().replace("is_broken", "many"))
    try:
        assert merge(project, [project.folder / f"shard-{index}.jsonl" for index in range(1, COUNT + 1)]) == 11
    finally:
        added.unlink()
    out = capsys.readouterr().out
    assert f"  the expectations of this project ({project.folder}/gaia.toml) are not those of the plan\n" in out


def test_expectations_expire_by_the_date_of_the_plan(project: Project, tmp_path: Path) -> None:
    plan = json.loads((project.folder / "plan.json").read_text())
    assert merge(project, [project.folder / f"shard-{index}.jsonl" for index in range(1, COUNT + 1)]) == 0
    assert json.loads(verdict_of(project))["judged_as_of"] == plan["created"][:10]


def edited(project: Project, **values: object) -> str:
    plan = json.loads((project.folder / "plan.json").read_text())
    (project.folder / "edited.json").write_text(json.dumps(plan | values))
    return "edited.json"


WRONG = {
    "not a results log": (["gaia.toml"], "plan.json", "gaia.toml: not a results log (see --gaia-report-log)*"),
    "not a results log among others": (
        ["shard-1.jsonl", "gaia.toml"],
        "plan.json",
        "gaia.toml: not a results log (see --gaia-report-log)*",
    ),
    "the plan": (
        ["plan.json"],
        "plan.json",
        "plan.json: not a results log (see --gaia-report-log): the first line is *",
    ),
    "a device": (
        ["/dev/zero"],
        "plan.json",
        "/dev/zero: not a results log (see --gaia-report-log): a pipe or device *",
    ),
    "a name that no file has": (["a" * 300], "plan.json", "a: cannot be read: File name too long*"),
    "nothing": (["missing.jsonl"], "plan.json", "there is nothing to merge: missing.jsonl: cannot be read: No such*"),
    "only a run of all tests": (["shard-*.jsonl"], "plan.json", "there is nothing to merge: shard-?.jsonl: cannot be*"),
    "not a plan": (["shard-1.jsonl"], "gaia.toml", "gaia.toml: not a test plan*"),
    "no plan": (["shard-1.jsonl"], "missing.json", "missing.json: cannot be read: No such file or directory."),
}


@pytest.mark.parametrize("way", WRONG)
def test_wrong_files_are_one_message(project: Project, way: str, capsys: pytest.CaptureFixture[str]) -> None:
    paths, plan, message = WRONG[way]

    assert run(["merge", *paths, "--plan", plan]) == 4

    err = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("gaia: note:")]
    assert len(err) == 1, err
    pytest.LineMatcher(err).fnmatch_lines([f"*{message.replace('[', '[[]')}"])


def test_a_folder_that_cannot_be_read_is_one_message(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path) -> list[Path]:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert run(["merge", "suites", "--plan", "plan.json"]) == 4
    assert capsys.readouterr().err.splitlines()[-1] == "gaia: suites: cannot be read: Permission denied."


@pytest.mark.parametrize("given", ["own", "own/results.jsonl", "link/results.jsonl"])
def test_results_that_the_output_would_overwrite_are_one_message(
    project: Project, given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [project.folder / f"shard-{index}.jsonl" for index in range(1, COUNT + 1)]
    assert merge(project, paths, output="own") == 0
    (project.folder / "link").symlink_to("own")
    before = {path: path.read_bytes() for path in (project.folder / "own").iterdir()}
    capsys.readouterr()
    try:
        assert run(["merge", given, *map(str, paths), "--plan", "plan.json", "--output", "own"]) == 4
    finally:
        (project.folder / "link").unlink()

    (error,) = (line for line in capsys.readouterr().err.splitlines() if not line.startswith("gaia: note:"))
    assert error.startswith(f"gaia: --output=own: would overwrite {given}, which is among RESULTS. Leave out what ")
    assert {path: path.read_bytes() for path in (project.folder / "own").iterdir()} == before


@pytest.mark.parametrize("created", ["", "once", "2026-99-99"])
def test_an_older_plan_is_one_message(project: Project, created: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["merge", "shard-1.jsonl", "--plan", edited(project, created=created)]) == 4
    assert "the plan was created by an older version; create it again" in capsys.readouterr().err


def test_a_plan_of_an_unknown_environment_is_one_message(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["merge", "shard-1.jsonl", "--plan", edited(project, environment="previem")]) == 4
    where = f"this project ({project.folder}/gaia.toml)"
    assert f"edited.json: {where} has no environment 'previem'; did you mean preview" in capsys.readouterr().err


def test_a_folder_without_a_project_is_named(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["merge", "shard-1.jsonl", "--plan", str(project.folder / "plan.json")]) == 4
    assert f"this project ({tmp_path}, without gaia.toml) has no environment 'preview'" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["gaia.toml", "gaia.toml/merged", "/proc/nowhere"])
def test_an_output_that_cannot_be_written_is_one_message(
    project: Project, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [f"shard-{index}.jsonl" for index in range(1, COUNT + 1)]
    assert run(["merge", *paths, "--plan", "plan.json", "--output", output]) == 4
    err = capsys.readouterr().err
    assert f"--output={output}: cannot be written: " in err
    assert "Traceback" not in err


SHARDS = {
    "3/2": "*--gaia-shard=3/2: there is no shard 3 of 2; the first is 1/2.",
    "0/3": "*--gaia-shard=0/3: there is no shard 0 of 3; the first is 1/3.",
    "1/0": "*--gaia-shard=1/0: a run has 1 to 1000 shards.",
    "x": "*--gaia-shard=x: not a shard. Write K/N, such as 2/5 for the second of five.",
    "-1/3": "*--gaia-shard=-1/3: not a shard*",
    "1/99": "*--gaia-shard=1/99: the tests can be divided into * shards at most*",
}


@pytest.mark.parametrize(
    ("shard", "workers"), [*((shard, ()) for shard in SHARDS), ("3/2", ("-n2",)), ("1/99", ("-n2",))]
)
def test_a_wrong_shard_is_one_message(project: Project, shard: str, workers: tuple[str, ...]) -> None:
    done = project.run(f"--gaia-shard={shard}", *workers)
    _refused(done.returncode, done.stdout + done.stderr, SHARDS[shard])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--gaia-shard=1/3", "--gaia-plan-out=p.json"), "*--gaia-shard and --gaia-plan-out exclude each other: *"),
        (("--gaia-shard=1/3", "--gaia-deploy"), "*--gaia-shard and --gaia-deploy exclude each other: *"),
        (("--gaia-shard=1/3", "--gaia-plan=gaia.toml"), "*gaia.toml: not a test plan*"),
        (
            ("--gaia-shard=1/3", "--gaia-plan=old.json"),
            "*--gaia-plan=*old.json: created 2026-01-01*shards need a plan of*",
        ),
        (("--gaia-durations=shard-1.jsonl",), "*--gaia-durations: balances shards; give it with*"),
        (("--gaia-shard=1/3", "--gaia-durations=gaia.toml"), "*gaia.toml: not a results log (see --gaia-report-log)*"),
    ],
)
def test_wrong_options_are_one_message(project: Project, arguments: tuple[str, ...], message: str) -> None:
    plan = json.loads((project.folder / "plan.json").read_text())
    (project.folder / "old.json").write_text(json.dumps(plan | {"created": "2026-01-01T00:00:00+00:00"}))
    done = project.run(*arguments)
    _refused(done.returncode, done.stdout + done.stderr, message)


def _refused(code: int, output: str, message: str) -> None:
    assert code == 4, output
    errors = [line for line in output.splitlines() if line.startswith("ERROR: ")]
    assert len(errors) == 1, output
    pytest.LineMatcher(errors).fnmatch_lines([message])
    assert "Traceback" not in output
    assert "INTERNALERROR" not in output


@pytest.mark.parametrize("options", [(), ("--gaia-sandbox-no-known-bugs",)])
def test_a_results_log_has_whether_the_known_bugs_were_fixed(project: Project, options: tuple[str, ...]) -> None:
    done = project.run("--gaia-env=sandbox", "-k", "test_alone", "--gaia-report-log=sandbox.jsonl", *options)
    assert read_start(project.folder / "sandbox.jsonl").no_known_bugs is bool(options), done.stdout


def test_each_shard_says_what_it_runs_and_is_partial(project: Project) -> None:
    done = project.run("--gaia-plan=plan.json", "--gaia-shard=2/3")
    assert done.returncode == 0
    assert "gaia: shard 2/3: 5 of 16 tests" in done.stdout
    assert "PARTIAL on preview: partial run: cannot promote a release, only shard 2/3 was selected" in done.stdout
