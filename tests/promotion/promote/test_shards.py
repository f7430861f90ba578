"""A promotion whose tests run in shards: what counts as their record, and what does not."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pytest_gaia.cli.app import run
from pytest_gaia.promotion.ledger._signatures import Envelope, wrap
from pytest_gaia.promotion.ledger.keys import signing_key
from pytest_gaia.promotion.ledger.statements import DeploymentPredicate, GatePredicate, RunPredicate, sha256_of
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.system.processes import KEY_VARIABLE, hold
from tests.plugin.conftest import project, server
from tests.plugin.deployer import OLD, deployer
from tests.promotion.conftest import Keyring
from tests.promotion.promotable import DIGEST, promotable

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.promotion.promotable import Promotable

__all__ = ["deployer", "project", "promotable", "server"]

SUITE = "".join(f"def test_{number}(): pass\n" for number in range(6))
SEES_NO_KEY = """
import os
from pathlib import Path
def test_0():
    assert "GAIA_SIGNING_KEY" not in os.environ
    try:
        shown = Path(f"/proc/{os.getppid()}/environ").read_bytes()
    except PermissionError:
        shown = b""
    assert b"PRIVATE KEY" not in shown or os.geteuid() == 0
"""


class Split:
    """A promotion in three shards, with signatures required."""

    def __init__(self, promotable: Promotable, monkeypatch: pytest.MonkeyPatch) -> None:
        self.promotable = promotable
        self.monkeypatch = monkeypatch
        self.keyring = Keyring(promotable.rootdir / "keys")
        self.pem = self.keyring.make_pem("ci", "ci")
        promotable.configure("\n[env.stage.stage]\nrequire_signed = true\n")
        self.suite = promotable.rootdir / "suites" / "health" / "test_health.py"
        self.write(SUITE)

    def write(self, suite: str) -> None:
        """Write the suite, and make its release."""
        self.suite.write_text(suite, encoding="utf-8")
        self.promotable.create_release()

    def part(self, *words: str, key: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a part of the promotion, with a key if it signs."""
        signs = "--shard" in words or "evidence" in words
        if signs and key != "":
            self.monkeypatch.setenv(KEY_VARIABLE, key or self.pem)
        else:
            self.monkeypatch.delenv(KEY_VARIABLE, raising=False)
        return self.promotable.promote("--only", *words)

    def plan(self) -> None:
        """Plan and deploy."""
        done = self.part("plan", "--shards", "3")
        assert done.returncode == 0, done.stdout + done.stderr

    def shard(self, number: int, **given: Any) -> subprocess.CompletedProcess[str]:
        """Run a shard."""
        return self.part("run", "--shard", f"{number}/3", **given)

    def until(self, *numbers: int) -> None:
        """Plan, deploy, and run these shards."""
        self.plan()
        for number in numbers:
            done = self.shard(number)
            assert done.returncode == 0, done.stdout + done.stderr

    def evidence(self) -> subprocess.CompletedProcess[str]:
        """Merge and decide."""
        return self.part("evidence")

    def folder(self, number: int) -> Path:
        """Return what a shard left."""
        (found,) = self.promotable.rootdir.glob(f".gaia/promotions/stage-*/shard-{number}")
        return found

    def refuses(self, verdict: str, problem: str) -> None:
        """Decide, and see that nothing is promoted, with the reason in the ledger and on the terminal."""
        done = self.evidence()
        assert done.returncode == {"HOLD": 11, "REJECT": 1}[verdict], done.stdout + done.stderr
        assert problem in done.stdout
        run = self.promotable.predicate(RunPredicate)
        assert (run.result, run.details.verdict, problem in run.details.problem) == ("FAILED", verdict, True)
        assert self.promotable.predicate(GatePredicate).decision.verdict == verdict


@pytest.fixture
def split(promotable: Promotable, monkeypatch: pytest.MonkeyPatch) -> Split:
    return Split(promotable, monkeypatch)


def test_shards_at_the_same_time_are_merged_signed_and_promoted(split: Split) -> None:
    split.write(SEES_NO_KEY + SUITE.replace("def test_0(): pass\n", ""))
    split.monkeypatch.setenv("GITHUB_RUN_ATTEMPT", "2")
    split.plan()
    assert split.promotable.runs() == DIGEST
    assert split.promotable.kinds == []
    split.monkeypatch.setenv(KEY_VARIABLE, split.pem)

    with ThreadPoolExecutor(3) as pool:
        shards = list(
            pool.map(lambda number: split.promotable.promote("--only", "run", "--shard", f"{number}/3"), (1, 2, 3))
        )
    assert [done.returncode for done in shards] == [0, 0, 0], "".join(done.stdout + done.stderr for done in shards)
    assert split.promotable.kinds == []
    done = split.evidence()

    assert done.returncode == 0, done.stdout + done.stderr
    deployment, run, gate = (entry.predicate for entry in split.promotable.entries)
    assert isinstance(deployment, DeploymentPredicate)
    assert isinstance(run, RunPredicate)
    assert isinstance(gate, GatePredicate)
    assert [[key.name for key in entry.signers] for entry in split.promotable.entries] == [["ci"]] * 3
    assert (deployment.outcome, deployment.services) == ("deployed", {"gateway": DIGEST})
    assert (run.result, run.details.planned, run.details.missing) == ("PASSED", 6, ())
    assert [(each.shard, each.attempt, each.signers, each.ci_attempt) for each in run.details.shards] == [
        (f"{number}/3", 1, ("ci",), "2") for number in (1, 2, 3)
    ]
    assert {f"shard-{number}/record.jsonl" for number in (1, 2, 3)} <= {each.name for each in run.configuration}
    assert gate.decision.verdict == "PROMOTE"


def of_another_key(split: Split) -> None:
    pem, path = Keyring.private_pem(), split.folder(2) / "statement.json"
    rewrite(path, lambda _: None, pem)


def rewrite(path: Path, change: Callable[[dict[str, Any]], object], pem: str | None) -> None:
    """Change a statement, and sign it with another key, or not at all."""
    body = json.loads(msgspec.json.decode(path.read_bytes(), type=Envelope).body())
    change(body)
    key = signing_key({KEY_VARIABLE: pem}) if pem else None
    path.write_bytes(msgspec.json.encode(wrap(json.dumps(body).encode(), [key] if key else [])))


def unsigned(split: Split) -> None:
    rewrite(split.folder(2) / "statement.json", lambda _: None, None)


def of_another_plan(split: Split) -> None:
    rewrite(split.folder(2) / "statement.json", lambda body: body["predicate"].update(plan="ab" * 32), split.pem)


def of_another_promotion(split: Split) -> None:
    rewrite(split.folder(2) / "statement.json", lambda body: body["predicate"].update(promotion="abc"), split.pem)


def changed_by_a_byte(split: Split) -> None:
    path = split.folder(2) / "record.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"elapsed"', b'"elapsee"', 1) + b"\n")


def of_another_shard(split: Split) -> None:
    shutil.copytree(split.folder(1), split.folder(2), dirs_exist_ok=True)


def its_log_alone(split: Split) -> None:
    shutil.copy(split.folder(1) / "record.jsonl", split.folder(2))


def changed_files(split: Split) -> None:
    rewrite(
        split.folder(2) / "statement.json", lambda body: body["predicate"].update(changed=["suites/a.py"]), split.pem
    )


def another_exit_code(split: Split) -> None:
    rewrite(split.folder(2) / "statement.json", lambda body: body["predicate"].update(exit_code=1), split.pem)


@pytest.mark.slow("processes")
def test_a_record_that_is_not_signed_for_this_shard_of_this_plan_is_refused(split: Split) -> None:
    """One promotion for all cases, whose ledger and lock are restored, because only the last part differs."""
    split.until(1, 2, 3)
    rootdir = split.promotable.rootdir
    saved = rootdir.parent / "saved"
    shutil.copytree(rootdir / ".gaia", saved)
    for change, problem in (
        (of_another_key, "shard 2/3: is signed by no trusted key, or was changed after it was signed"),
        (unsigned, "shard 2/3: is not signed"),
        (of_another_plan, "shard 2/3: is signed for another test plan: abababababab"),
        (of_another_promotion, "shard 2/3: is signed for another promotion: abc"),
        (changed_by_a_byte, "shard 2/3: record.jsonl was changed after it was signed"),
        (of_another_shard, "shard 2/3: is signed for another shard: 1/3, not 2/3"),
        (its_log_alone, "shard 2/3: record.jsonl was changed after it was signed"),
        (changed_files, "shard 2/3: files changed during the run: suites/a.py"),
        (another_exit_code, "shard 2/3: its results are of attempt 1 with exit code 1, but the last attempt is 1"),
        (of_another_environment_of_python, "ran with the plugins"),
    ):
        change(split)
        split.refuses("HOLD" if change is of_another_environment_of_python else "REJECT", problem)
        shutil.rmtree(rootdir / ".gaia")
        shutil.copytree(saved, rootdir / ".gaia")

    assert split.evidence().returncode == 0


@pytest.mark.slow("processes")
def test_a_missing_shard_holds(split: Split) -> None:
    split.until(1, 3)

    split.refuses("HOLD", "shard 2/3 is missing")


@pytest.mark.slow("processes")
def test_no_shard_at_all_holds(split: Split) -> None:
    split.plan()

    split.refuses("HOLD", "none of the 3 shards left a results log")
    assert split.promotable.predicate(DeploymentPredicate).outcome == "deployed"


def of_another_environment_of_python(split: Split) -> None:
    """Let shard 2 have loaded another plugin, in a record that is signed correctly."""
    path = split.folder(2) / "record.jsonl"
    start, *rest = path.read_bytes().splitlines(keepends=True)
    line = json.loads(start)
    content = json.dumps(line | {"plugins": [*line["plugins"], "extra 1.0"]}).encode() + b"\n" + b"".join(rest)
    path.write_bytes(content)
    digest = sha256_of(content)
    rewrite(split.folder(2) / "statement.json", lambda body: body["predicate"].update(record=digest), split.pem)


@pytest.mark.slow("processes")
def test_a_shard_refuses_what_a_promotion_refuses(split: Split) -> None:
    split.plan()
    assert split.shard(1, key="").returncode == 4
    given = split.part("run", "--shard", "1/3", "--", "-p", "other")
    assert (given.returncode, "-p is not allowed in a promotion" in given.stderr) == (4, True)
    split.suite.write_text("def test_0(): pass\n")

    changed = split.shard(2)

    assert changed.returncode == 11
    assert "these files differ from the commit of the release: suites/health/test_health.py" in changed.stdout
    assert not list(split.promotable.rootdir.glob(".gaia/promotions/stage-*/shard-*"))
    assert split.part("plan", "--shards", "3", key="").returncode == 11


@pytest.mark.slow("processes")
def test_after_another_promotion_took_the_lock_nothing_of_the_plan_counts(split: Split) -> None:
    split.until(1, 2)
    split.monkeypatch.setenv(KEY_VARIABLE, split.pem)
    assert split.promotable.promote().returncode == 0
    kinds = split.promotable.kinds

    late = split.shard(3)
    done = split.evidence()

    assert late.returncode == 4, late.stdout + late.stderr
    assert "there is no test plan here" in late.stderr
    assert done.returncode == 4
    assert split.promotable.kinds == kinds


@pytest.mark.slow("processes")
def test_a_lock_taken_elsewhere_stops_a_shard_and_the_evidence(split: Split) -> None:
    split.until(1, 2)
    promotion = Promotion.here(split.promotable.rootdir, {})
    lock = promotion.lock("stage", "another machine")
    lock.acquire(datetime.now(UTC))
    lock.release()

    late = split.shard(3)
    done = split.evidence()

    assert (late.returncode, "another promotion or rollback has taken the lock" in late.stderr) == (13, True)
    assert (done.returncode, "another promotion took the lock since" in done.stderr) == (4, True)
    assert split.promotable.kinds == []


FAILS_AT_FIRST = """
from pathlib import Path
tried = Path(__file__).parents[2] / ".gaia" / "tried"
def test_flaky():
    if not tried.exists():
        tried.touch()
        assert False
def test_other(): pass
"""


@pytest.mark.slow("processes")
def test_a_failed_shard_that_is_run_again_until_it_passes_is_rejected_before(split: Split) -> None:
    split.write(FAILS_AT_FIRST)
    assert split.part("plan", "--shards", "2").returncode == 0
    codes = [split.part("run", "--shard", f"{number}/2").returncode for number in (1, 2)]
    assert sorted(codes) == [0, 1]
    failed = codes.index(1) + 1
    assert split.part("run", "--shard", f"{failed}/2").returncode == 0

    done = split.evidence()

    assert done.returncode == 11, done.stdout + done.stderr
    assert "2nd run, 1 rejected before" in done.stdout
    first = next(entry.predicate for entry in split.promotable.entries if isinstance(entry.predicate, RunPredicate))
    assert f"attempt 1 of shard {failed}/2" in first.details.problem
    assert first.details.verdict == "REJECT"
    state = json.loads((split.promotable.rootdir / ".gaia" / "locks" / "stage.json").read_text())
    assert state["attempts"] == []


WAITS = """
import threading
from pathlib import Path
began = Path(__file__).parents[2] / ".gaia" / "began"
def wait():
    if began.exists():
        began.write_text("x")
        threading.Event().wait(60)
"""


@pytest.mark.slow("processes")
def test_a_shard_runs_once_at_a_time_and_again_after_it_was_killed(split: Split) -> None:
    split.write(WAITS + "".join(f"def test_{number}(): wait()\n" for number in range(3)))
    split.plan()
    locks, began = split.promotable.rootdir / ".gaia" / "promotions", split.promotable.rootdir / ".gaia" / "began"
    os.mkfifo(began)
    told = os.open(began, os.O_RDONLY | os.O_NONBLOCK)
    split.monkeypatch.setenv(KEY_VARIABLE, split.pem)
    process = split.promotable.begin("--only", "run", "--shard", "1/3")
    assert select.select([told], [], [], 60)[0]
    os.close(told)

    at_once = split.shard(1)
    early = split.evidence()
    process.kill()
    process.wait(60)
    left = split.shard(1)

    assert (at_once.returncode, early.returncode, left.returncode) == (13, 4, 13)
    assert (
        f"stage: shard 1/3 is in progress on this machine (process {process.pid}). Nothing was done." in at_once.stderr
    )
    assert f"({process.pid})). Wait while it runs. If it was killed, run it again: gaia promote stage" in early.stderr
    assert f"stage: shard 1/3 was killed (process {process.pid}), but pytest still runs (process " in left.stderr
    (found,) = re.findall(r"end it with `kill (\d+)`", left.stderr)
    os.kill(int(found), signal.SIGTERM)
    os.close(hold(locks / "stage.shard-1.busy"))
    began.unlink()
    again = split.shard(1)
    assert (again.returncode, "testing shard 1/3, attempt 2" in again.stderr) == (0, True)
    assert f"({process.pid})) did not report its end. If it still runs, end it" in again.stderr
    assert (split.shard(2).returncode, split.shard(3).returncode) == (0, 0)
    done = split.evidence()
    assert (done.returncode, "2nd run, 1 rejected before" in done.stdout) == (11, True)
    assert "attempt 1 of shard 1/3" in json.dumps([str(entry.predicate) for entry in split.promotable.entries])


@pytest.mark.slow("processes")
def test_a_failed_deployment_is_recorded_and_no_shard_runs(split: Split) -> None:
    split.promotable.deployer.tell("deploy", lazy=True)
    split.promotable.configure("")
    split.promotable.deployer.settings(deadline=1)
    split.promotable.configure("\n[env.stage.stage]\nrequire_signed = true\n")
    split.promotable.create_release()
    done = split.part("plan", "--shards", "3")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the deployment failed" in done.stdout

    shard = split.shard(1)
    end = split.evidence()

    assert (shard.returncode, "the deployment failed" in shard.stderr) == (4, True)
    assert end.returncode == 1, end.stdout + end.stderr
    assert split.promotable.predicate(DeploymentPredicate).outcome == "phantom"
    assert split.promotable.runs() == OLD


@pytest.mark.slow("processes")
def test_evidence_waits_for_all_shards_and_a_split_promotion_continues_in_its_parts(split: Split) -> None:
    split.until(1, 2)
    path = split.promotable.rootdir / ".gaia" / "locks" / "stage.json"
    state = json.loads(path.read_text())
    running = state["attempts"][0] | {"shard": "3/3", "code": None}
    path.write_text(json.dumps(state | {"attempts": [*state["attempts"], running]}))

    early = split.evidence()
    resumed = split.promotable.promote("--resume")
    other = split.part("run", "--shard", "1/4")

    assert (early.returncode, "no end was reported by shard 3/3 (begun 2026-" in early.stderr) == (4, True)
    assert (resumed.returncode, "is split into 3 shards" in resumed.stderr) == (4, True)
    assert (other.returncode, "--shard 1/4: the test plan is for 3 shards" in other.stderr) == (4, True)
    assert split.promotable.kinds == []
    assert split.shard(3).returncode == 0

    done = split.evidence()

    assert done.returncode == 11, done.stdout + done.stderr
    assert "attempt 1 of shard 3/3" in json.dumps([str(entry.predicate) for entry in split.promotable.entries])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--only", "plan"), "--only plan needs the number of shards"),
        (("--shards", "3"), "--shards needs --only plan"),
        (("--only", "run", "--shards", "3"), "--shards needs --only plan"),
        (("--shard", "1/3"), "--shard needs --only run"),
        (("--only", "evidence", "--shard", "1/3"), "--shard needs --only run"),
        (("--only", "run", "--shard", "4/3"), "--shard=4/3: there is no shard 4 of 3"),
        (("--only", "run", "--shard", "x"), "--shard=x: not a shard"),
        (("--only", "plan", "--shards", "0"), "--shards"),
        (("--only", "plan", "--shards", "3", "--resume"), "--resume cannot be combined"),
        (("--only", "plan", "--shards", "3", "--", "-x"), "arguments after `--`"),
        (("--durations", "a.jsonl"), "--durations balances shards"),
        (("--only", "plan", "--shards", "3", "--durations", "a.jsonl"), "there is no such file"),
        (("--only", "run", "--shard", "1/3"), "there is no test plan here"),
    ],
)
def test_wrong_combinations_are_one_message(
    promotable: Promotable,
    words: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(promotable.rootdir)

    assert run(["promote", "stage", promotable.release.short, *words]) == 4

    assert said in capsys.readouterr().err
    assert promotable.marks == ()


def test_more_shards_than_groups_of_tests_deploy_nothing(promotable: Promotable) -> None:
    done = promotable.promote("--only", "plan", "--shards", "3")

    assert done.returncode == 4, done.stdout + done.stderr
    assert "--shards 3: the tests can be divided into" in done.stderr
    assert promotable.runs() == OLD


def test_dry_runs_show_the_part(promotable: Promotable) -> None:
    plan = promotable.promote("--only", "plan", "--shards", "2", "--dry-run")
    shard = promotable.promote("--only", "run", "--shard", "2/2", "--dry-run", "--json")

    assert (plan.returncode, "4. deploy gateway" in plan.stdout) == (0, True), plan.stderr
    assert json.loads(shard.stdout)["dry_run"] is True


@pytest.mark.slow("processes")
def test_shards_on_other_machines_share_lock_and_ledger_through_git(split: Split) -> None:
    first, remote = split.promotable.rootdir, split.promotable.rootdir.parent / "remote.git"
    split.promotable.configure('\n[ledger]\ngit = "refs/gaia/ledger"\nremote = "origin"\n')
    split.promotable.create_release()
    subprocess.run(["git", "init", "-q", "--bare", str(remote)], check=True)
    split.promotable.repository.git("remote", "add", "origin", str(remote))
    split.plan()
    machines = [first.parent / f"machine-{number}" for number in (1, 2, 3)]
    for machine in machines:
        shutil.copytree(first, machine)
    split.monkeypatch.setenv(KEY_VARIABLE, split.pem)

    def run_there(number: int) -> subprocess.CompletedProcess[str]:
        words = split.promotable.command("--only", "run", "--shard", f"{number}/3")
        return subprocess.run(words, cwd=machines[number - 1], capture_output=True, text=True, timeout=120, check=False)

    with ThreadPoolExecutor(3) as pool:
        shards = list(pool.map(run_there, (1, 2, 3)))
    assert [done.returncode for done in shards] == [0, 0, 0], "".join(done.stdout + done.stderr for done in shards)
    for number, machine in enumerate(machines, 1):
        (left,) = machine.glob(f".gaia/promotions/stage-*/shard-{number}")
        shutil.copytree(left, first / left.relative_to(machine))
    done = split.evidence()

    assert done.returncode == 0, done.stdout + done.stderr
    assert [each.attempt for each in split.promotable.predicate(RunPredicate).details.shards] == [1, 1, 1]
    late = run_there(1)
    assert (late.returncode, "another promotion or rollback has taken the lock" in late.stderr) == (13, True)


@pytest.mark.slow("processes")
def test_a_machine_without_the_lock_of_the_plan_runs_nothing(split: Split) -> None:
    split.plan()
    (split.promotable.rootdir / ".gaia" / "locks" / "stage.json").unlink()

    done = split.shard(1)

    assert done.returncode == 13
    assert "keep the ledger in git" in done.stderr
