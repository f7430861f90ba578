"""A set of results logs that is not one complete run of each shard of the plan: HOLD, and the reason names the shard."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.cli.app import run
from tests.cli.reports.shards import Copy, Project, made, project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.reports.shards import Mutation

__all__ = ["made", "project"]

LONG_AGO = "2026-01-01T00:00:00+00:00"


@pytest.fixture
def copy(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Copy:
    """A copy of the good set."""
    monkeypatch.chdir(project.folder)
    return Copy(project, tmp_path)


def missing(*indexes: int) -> Mutation:
    def remove(copy: Copy) -> None:
        for index in sorted(indexes, reverse=True):
            del copy.paths[index - 1]

    return remove


def start(index: int, **values: Any) -> Mutation:
    """Change the first line of a shard."""
    return lambda copy: copy.edit(index, 0, lambda line: line.update(values))


def end(index: int, **values: Any) -> Mutation:
    """Change the last line of a shard."""
    return lambda copy: copy.edit(index, -1, lambda line: line.update(values))


def content(index: int, change: Callable[[bytes], bytes]) -> Mutation:
    return lambda copy: copy.text(index, change)


def service(index: int, **values: Any) -> Mutation:
    """Change what the run saw of its first service."""
    return lambda copy: copy.edit(index, 0, lambda line: line["members"][0].update(values))


def another(name: str, *arguments: str, shard: str = "2/3") -> Mutation:
    """Run the shard again with other arguments."""

    def rerun(copy: Copy) -> None:
        path = copy.project.shard(shard, f"{name}.jsonl", *arguments)
        shutil.move(path, copy.paths[1])

    return rerun


def twice(copy: Copy) -> None:
    copy.paths.append(copy.paths[1])


def copied(copy: Copy) -> None:
    copy.paths.append(copy.folder / "copy.jsonl")
    shutil.copy(copy.paths[1], copy.paths[-1])


def linked(copy: Copy) -> None:
    copy.paths.append(copy.folder / "link.jsonl")
    copy.paths[-1].symlink_to(copy.paths[1])


def run_again(copy: Copy) -> None:
    copy.paths.append(copy.project.shard("2/3", "again.jsonl"))


def instead(copy: Copy) -> None:
    """The first shard twice under the names of two."""
    shutil.copy(copy.paths[0], copy.paths[1])


def without_line(copy: Copy) -> None:
    lines = copy.lines(2)
    del lines[2]
    copy.write(2, lines)


def line_of_another(copy: Copy) -> None:
    copy.write(2, [*copy.lines(2)[:-1], copy.lines(1)[1], copy.lines(2)[-1]])


def relabelled(copy: Copy) -> None:
    other = copy.lines(1)[1]["node"]
    copy.edit(2, 2, lambda line: line.update(node=other))


def passed_and_failed(copy: Copy) -> None:
    """A test that passes in its shard, and fails in another one."""
    lines = copy.lines(2)
    failed = lines[1] | {"node": copy.lines(1)[1]["node"]}
    copy.write(2, [*lines[:-1], failed, lines[-1]])


def bad_line(copy: Copy) -> None:
    lines = copy.paths[1].read_bytes().splitlines(keepends=True)
    copy.paths[1].write_bytes(b"".join([*lines[:2], b'{"line":"test","node"\n', *lines[2:]]))


def line_twice(copy: Copy) -> None:
    lines = copy.lines(2)
    copy.write(2, [*lines[:2], lines[1], *lines[2:]])


def two_ends(copy: Copy) -> None:
    copy.write(2, [*copy.lines(2), copy.lines(2)[-1] | {"planned": 1}])


def two_runs(copy: Copy) -> None:
    """The lines of another shard after those of one."""
    copy.write(2, [*copy.lines(2), *copy.lines(1)])


def of_one_more(copy: Copy) -> None:
    copy.paths[1] = copy.project.shard("2/4", "of-four.jsonl")


def whole_run(copy: Copy) -> None:
    """A run of all tests between shards."""
    copy.project.run("--gaia-plan=plan.json", "--gaia-report-log=of-all.jsonl")
    copy.paths[1] = copy.project.folder / "of-all.jsonl"


def merged_run(copy: Copy) -> None:
    """A merged run instead of a shard."""
    assert run(["merge", *map(str, copy.paths), "--plan", str(copy.plan), "--output", str(copy.folder / "m")]) == 0
    copy.paths[1] = copy.folder / "m" / "results.jsonl"


def other_plan(copy: Copy) -> None:
    plan = json.loads(copy.plan.read_text())
    plan["created"] = plan["created"].replace("+00:00", ".5+00:00")
    copy.plan.write_text(json.dumps(plan))


def smaller_plan(copy: Copy) -> None:
    """A plan that lost a test after the shards ran."""
    plan = json.loads(copy.plan.read_text())
    plan["tests"] = [each for each in plan["tests"] if "is_broken" not in each["node"]]
    copy.plan.write_text(json.dumps(plan))


def without_unplanned(copy: Copy) -> None:
    """A selected test that the plan lacks, and that has no result."""
    copy.edit(2, -1, lambda line: line.update(planned=line["planned"] + 1))


def with_a_new_service(copy: Copy) -> None:
    copy.edit(2, 0, lambda line: line["members"].append({"member": "kb", "state": "ready"}))


CORRUPTED: dict[str, tuple[Mutation, str]] = {
    "the first is missing": (missing(1), "shard 1/3 is missing"),
    "the second is missing": (missing(2), "shard 2/3 is missing"),
    "the last is missing": (missing(3), "shard 3/3 is missing"),
    "all but one are missing": (missing(1, 3), "shard 1/3 is missing; shard 3/3 is missing"),
    "the same file twice": (twice, "shard 2/3 is there twice; give one: *shard-2.jsonl, *shard-2.jsonl"),
    "a copy": (copied, "shard 2/3 is there twice; give one: *"),
    "a link": (linked, "shard 2/3 is there twice; give one: *"),
    "another run of the same shard": (run_again, "shard 2/3 is there twice; give one: *"),
    "one under the name of another": (instead, "shard 1/3 is there twice; give one: *; shard 2/3 is missing"),
    "an empty file": (content(2, lambda text: b""), "shard-2.jsonl: is empty: this shard did not begin"),
    "a file that does not exist": (lambda copy: copy.paths[1].unlink(), "shard-2.jsonl: cannot be read: No such file*"),
    "cut in the first line": (content(2, lambda text: text[:100]), "shard-2.jsonl: is truncated in its first line"),
    "only the first line": (
        content(2, lambda text: text[: text.index(b"\n") + 1]),
        "shard 2/3 (*shard-2.jsonl): the run was killed, or the file is truncated",
    ),
    "cut within a line": (
        content(2, lambda text: text[: text.index(b"\n") + 300]),
        "shard 2/3 (*shard-2.jsonl): the run was killed, or the file is truncated; shard 2/3 (*): lacks 5 of its 5 tests: *",
    ),
    "cut before the end": (
        content(2, lambda text: text[: text.rindex(b'{"line":"end"')]),
        "shard 2/3 (*shard-2.jsonl): the run was killed, or the file is truncated",
    ),
    "cut within the end": (content(2, lambda text: text[:-2]), "shard 2/3 (*): the run was killed, or *truncated"),
    "without one test": (without_line, "shard 2/3 (*shard-2.jsonl): lacks 1 of its 5 tests: suites/*"),
    "a test under the name of another": (
        relabelled,
        "shard 2/3 (*): lacks 1 of its *has 1 test of another shard: suites*",
    ),
    "a test of another shard": (line_of_another, "shard 2/3 (*): has 1 test of another shard: suites/*"),
    "a test twice with two results": (passed_and_failed, "shard 2/3 (*): has 1 test of another shard: suites/*"),
    "a line that is no JSON": (bad_line, "shard 2/3: *shard-2.jsonl:3: not a line of a results log*"),
    "a line twice": (line_twice, "shard 2/3: *shard-2.jsonl:3: *is already in line 2*"),
    "two ends": (two_ends, "shard 2/3: *shard-2.jsonl:*: a second run starts or ends here*"),
    "two shards in one file": (two_runs, "shard 2/3: *shard-2.jsonl:*: a second run starts or ends here*"),
    "of another number of shards": (of_one_more, "shard 2/4 (*of-four.jsonl): is one of 4 shards, the others of 3; *"),
    "an impossible number": (
        start(2, shard={"index": 4, "count": 3}),
        "shard 4/3 (*): there is no such shard; *2/3 is*",
    ),
    "shard zero": (
        start(2, shard={"index": 0, "count": 3}),
        "shard 0/3 (*): there is no such shard; shard 2/3 is missing*",
    ),
    "a run of all tests": (
        whole_run,
        "*of-all.jsonl: is of a merge or of a whole run, not of a shard (pytest --gaia-shard); leave it out; shard 2/3 is missing",
    ),
    "a merged run": (
        merged_run,
        "*results.jsonl: is of a merge or of a whole run, not of a shard (pytest --gaia-shard); leave it out; shard 2/3 is missing",
    ),
    "another commit": (start(2, commit="f" * 40), f"shard 2/3 (*): ran with another commit: {'f' * 12}, not *"),
    "a long name of an environment": (
        start(2, environment="staging-of-the-team-for-payments-and-invoices"),
        "shard 2/3 (*): ran with another environment: staging-of-the-team-for-payments-and-invoices, not preview",
    ),
    "no commit": (start(2, commit=""), "shard 2/3 (*): ran with another commit: none, not *"),
    "changed files": (
        lambda copy: copy.edit(2, 0, lambda line: line.update(commit=f"{line['commit']}-dirty")),
        "shard 2/3 (*): ran with another commit: *, not *",
    ),
    "other expectations": (start(2, policy="0" * 64), "shard 2/3 (*): ran with another set of expectations: 0000*"),
    "another environment": (start(2, environment="staging"), "shard 2/3 (*): ran with another environment: staging*"),
    "another plan": (end(2, plan="0" * 64), "shard 2/3 (*): ran with another test plan: 0000*"),
    "without a plan": (end(2, plan="", sealed=[]), "shard 2/3 (*): ran with another test plan: none, not *"),
    "a plan of another moment": (other_plan, "shard 1/3 (*): ran with another test plan: *"),
    "a plan with fewer tests": (smaller_plan, "shard 1/3 (*): ran with another test plan: *"),
    "other required tests": (end(2, sealed=["a.py::test"]), "shard 2/3 (*): has other required tests than the plan"),
    "another release": (end(2, bundle="r2"), "shard 2/3 (*): tested another release: r2, not none"),
    "another address": (service(2, address="other:80"), "shard 2/3 (*): ran with the addresses *other:80*"),
    "another version of a service": (service(2, version="9.9"), "shard 2/3 (*): ran with the versions *9.9*"),
    "another image": (
        start(2, deployment={"hook": "fly", "services": [{"service": "gateway", "app": "g", "images": ["sha256:1"]}]}),
        "shard 2/3 (*): ran with the deployment *sha256:1*",
    ),
    "another deployment of the same image": (
        start(2, deployment={"hook": "fly", "services": [{"service": "gateway", "app": "g", "release": 7}]}),
        'shard 2/3 (*): ran with the deployment {"gateway":{"images":[],"version":7}}, other shards with {}',
    ),
    "another API": (
        start(2, apis={"gateway": {"document": "v2", "operations": ["GET /health"]}}),
        'shard 2/3 (*): ran with the API {"gateway":{"document":"v2","operations":["GET /health"]}}, other shards with {}',
    ),
    "another baseline": (start(2, baseline={"name": "r0"}), "shard 2/3 (*): ran with the baseline *r0*"),
    "another description of the services": (
        start(2, platform={"name": "x"}),
        "shard 2/3 (*): ran with the description of services *",
    ),
    "other services": (with_a_new_service, "shard 2/3 (*): ran with the versions *kb*"),
    "other reachable services": (start(2, capabilities=["auth"]), "shard 2/3 (*): ran with the reachable services *"),
    "other plugins": (
        start(2, plugins=["pytest-evil 1"]),
        'shard 2/3 (*): ran with the plugins ["pytest-evil 1"], other shards with ["*',
    ),
    "another version of pytest-gaia": (start(2, version="0.0.1"), "shard 2/3 (*): ran with pytest-gaia *0.0.1*"),
    "other concurrency": (start(2, concurrency=3), "shard 2/3 (*): ran with concurrency 3, other shards with 16"),
    "without the known bugs": (
        start(2, no_known_bugs=True),
        "shard 2/3 (*): ran with --gaia-sandbox-no-known-bugs true, other shards with false",
    ),
    "simulated": (start(2, rehearsal=True), "shard 2/3 (*): ran with simulation true*"),
    "a worker that ended": (end(2, lost=["worker gw1"]), "shard 2/3 (*): these workers ended early: worker gw1"),
    "withheld": (end(2, held="changed after the run wrote it: results.jsonl"), "shard 2/3 (*): changed after the run*"),
    "interrupted": (end(2, pytest_exit=2), "shard 2/3 (*): the run was interrupted"),
    "an unknown exit code": (end(2, pytest_exit=77), "shard 2/3 (*): pytest ended with 77"),
    "a failure without a result": (
        end(1, pytest_exit=1),
        "shard 1/3 (*): pytest reports a failure that is missing in the results",
    ),
    "not all of it ran": (without_unplanned, "shard 2/3 (*): 1 selected test without a result"),
    "the deadline passed": (end(2, deadline=60.0, pytest_exit=2), "shard 2/3 (*): the deadline of 60 s passed*"),
    "before the plan": (start(2, started=LONG_AGO), "shard 2/3 (*): started before the plan was created: 2026-01*"),
    "not known when": (start(2, started="once"), "shard 2/3: *shard-2.jsonl: invalid start or end time*"),
    "not known which part": (end(2, partial=None), "shard 2/3 (*): does not say that it is a shard"),
    "complete": (end(2, partial=[]), "shard 2/3 (*): does not say that it is a shard"),
    "changed during the run": (end(2, changed=["gateway changed"]), "shard 2/3: gateway changed"),
    "late failure": (end(2, late=["test_x: late"]), "shard 2/3: test_x: late"),
    "a fail-fast run": (another("fast", "--maxfail=1", "-k", "not many"), "shard 2/3 (*): lacks 3 of its 5 tests*"),
}


@pytest.mark.parametrize("way", CORRUPTED)
def test_a_corrupted_set_holds(copy: Copy, way: str, capsys: pytest.CaptureFixture[str]) -> None:
    mutate, reason = CORRUPTED[way]
    mutate(copy)
    capsys.readouterr()

    code = run(["merge", *map(str, copy.paths), "--plan", str(copy.plan), "--output", str(copy.folder / "merged")])

    out, err = capsys.readouterr()
    verdict = json.loads((copy.folder / "merged" / "verdict.json").read_text())
    assert verdict["verdict"] == "HOLD", out
    assert verdict["exit_code"] == code == 11, out
    assert "Traceback" not in err
    pytest.LineMatcher("; ".join(verdict["reasons"]).split("\n")).fnmatch_lines([f"*{_literal(reason)}*"])
    # What was written can be read, and does not promote.
    assert run(["replay", str(copy.folder / "merged" / "results.jsonl")]) == 11


def shown(out: str) -> list[str]:
    """The lines from the problems to the end."""
    _, title, rest = out.partition("gaia: problems of the merge\n")
    assert title, out
    return rest.splitlines()


def test_each_problem_has_a_line_and_one_says_what_to_do(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    lost = [json.loads(line)["node"] for line in copy.paths[1].read_bytes().splitlines()[-3:-1]]
    copy.write(2, copy.lines(2)[:-3])
    copy.edit(3, 0, lambda line: line.update(environment="staging"))
    _, second, third = copy.paths

    assert run(["merge", str(second), str(third), "--plan", str(copy.plan)]) == 11

    *problems, step, verdict = shown(capsys.readouterr().out)
    assert problems == [
        "  shard 1/3 is missing",
        f"  shard 3/3 ({third}): ran with another environment: staging, not preview",
        f"  shard 2/3 ({second}): the run was killed, or the file is truncated",
        f"  shard 2/3 ({second}): lacks 2 of its 5 tests: {', '.join(lost)}",
    ]
    assert step == (
        "gaia: run shard 1/3, shard 2/3, shard 3/3 again, and merge all shards: "
        f"pytest --gaia-env=preview --gaia-plan={copy.plan} --gaia-shard=1/3 --gaia-report-log=FILE"
    )
    assert verdict == (
        "gaia verdict: HOLD on preview, 2 shards: 4 problems, 8 of 16 required tests without a result, 5 passed, "
        "1 passed offline, 1 expected failure, 1 not applicable"
    )


def test_a_test_that_did_not_pass_is_named_beside_those_without_a_result(
    copy: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    skipped = copy.lines(2)[1]["node"]
    phases = [{"when": "setup", "outcome": "skipped", "reason": "later"}]
    copy.edit(2, 1, lambda line: line.update(phases=phases))
    run(["merge", *map(str, copy.paths[1:]), "--plan", str(copy.plan)])
    assert f" 7 of 16 required tests did not pass: {skipped}, 6 without a result, " in capsys.readouterr().out


def of_another_plan(copy: Copy) -> None:
    for index in (1, 2, 3):
        copy.edit(index, -1, lambda line: line.update(plan="0" * 64))


def old_plan(copy: Copy) -> None:
    copy.plan.write_text(json.dumps(json.loads(copy.plan.read_text()) | {"created": LONG_AGO}))
    copy.edit(1, -1, lambda line: line.update(plan=""))


@pytest.mark.parametrize(
    ("mutate", "step"),
    [
        (missing(2), "run shard 2/3 again, and merge all shards: *--gaia-shard=2/3*"),
        (of_another_plan, "merge again with the test plan of these shards (--plan)"),
        (old_plan, "create a new plan, because this one is older than 24 hours, *--gaia-plan-out=*plan.json"),
    ],
)
def test_the_next_step_depends_on_the_problem(
    copy: Copy, mutate: Mutation, step: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mutate(copy)
    assert run(["merge", *map(str, copy.paths), "--plan", str(copy.plan)]) == 11
    pytest.LineMatcher(shown(capsys.readouterr().out)[-2:]).fnmatch_lines([f"gaia: {step}", "gaia verdict: HOLD*"])


def test_the_good_set_promotes(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["merge", *map(str, copy.paths), "--plan", str(copy.plan)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("gaia verdict: PROMOTE on preview, 3 shards: 13 passed")


def _literal(pattern: str) -> str:
    """Return a pattern in which only ``*`` has a meaning."""
    return pattern.replace("[", "[[]").replace("?", "[?]")
