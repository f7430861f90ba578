"""``gaia rollback`` with a ledger that knows the running release: dry run, drill, rollback, blocked release."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.promotion.gate.gate import evaluate
from pytest_gaia.promotion.ledger.statements import (
    DEPLOYMENT,
    ROLLBACK,
    RUN,
    DeploymentPredicate,
    RollbackPredicate,
    RunDetails,
    RunPredicate,
    sha256_of,
)
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.release.comparison import deploy_files
from pytest_gaia.promotion.release.kept import FOLDER, Component, Release, configs_folder, keep_release
from pytest_gaia.system.processes import KEY_VARIABLE
from tests.cli.operate.test_deploy_interrupted import read_until, started
from tests.config.reading import files_in
from tests.promotion.conftest import Keyring
from tests.rollout.deploy_files import image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_gaia.promotion.ledger.keys import SigningKey
    from tests.cli.conftest import Outcome
    from tests.fake_tools import FakeTools

    Gaia = Callable[..., Outcome]

SERVICES = ("auth", "gateway")


class Releases:
    """Releases of staging, and their entries in the ledger."""

    def __init__(self, folder: Path, tools: FakeTools) -> None:
        self.folder = folder
        self.tools = tools
        self.signers: list[SigningKey] = []
        self._time = datetime.now(UTC) - timedelta(hours=5)

    def make(self, number: int, **changes: Any) -> Release:
        """Create a release of images ``number``, with the current deploy files."""
        files = deploy_files(files_in(self.folder / "deploy"))
        components = tuple(
            Component(each, image(each, number), image(each, number).partition("@")[2]) for each in SERVICES
        )
        values: dict[str, Any] = {
            "created": "2026-11-02",
            "kind": "registry",
            "commit": f"c{number}",
            "authors": ("dev@example.org",),
            "components": components,
            "configs": {name: sha256_of(content) for name, content in files.items()},
        }
        return keep_release(self.folder, Release(**values | changes), files)

    def ran(self, release: Release, verdict: Any = "PROMOTE", outcome: Any = "deployed") -> None:
        """Record a deployment to staging and a run of its suites."""
        time = self._tick()
        says = DeploymentPredicate(
            environment="staging", release=release.id, outcome=outcome, services=release.digests, time=time
        )
        self._write(DEPLOYMENT, release, says)
        details = RunDetails(
            environment="staging",
            release=release.id,
            verdict=verdict,
            plan="ab",
            planned=9,
            started=time,
            finished=time,
        )
        self._write(RUN, release, RunPredicate(result="PASSED", configuration=(), details=details))

    def run_now(self, release: Release) -> None:
        """Run it in the fake cloud."""
        for each in release.components:
            self.tools.app(f"gaia-{each.service}-staging", reference=each.image)

    def rolled_back(self, **changes: Any) -> None:
        """Record a rollback in the ledger."""
        values: dict[str, Any] = {
            "environment": "staging", "target": "earlier", "reason": "", "outcome": "deployed", "services": {},
            "time": self._tick(),
        }  # fmt: skip
        release = changes.pop("release")
        self._write(ROLLBACK, release, RollbackPredicate(release=release.id, **values | changes))

    def written(self) -> list[RollbackPredicate]:
        """Return the rollbacks in the ledger."""
        entries = Promotion.here().ledger.entries()
        return [each.predicate for each in entries if isinstance(each.predicate, RollbackPredicate)]

    def check(self, release: Release, environment: str, name: str) -> str:
        """Return the state of one check."""
        situation = Promotion.here().situation(environment, release)
        return next(check.finding.status for check in evaluate(situation).checks if check.id == name)

    def _write(self, kind: str, release: Release, predicate: Any) -> None:
        Promotion.here().ledger.append(kind, release.subjects(), predicate, signers=self.signers)

    def _tick(self) -> str:
        self._time += timedelta(minutes=5)
        return self._time.isoformat(timespec="seconds")


@pytest.fixture
def releases(operated: Path, fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch) -> Releases:
    """Staging with a ledger, without signatures and without a suite `health`."""
    text = (operated / "gaia.toml").read_text().replace(
        '[env.staging]\n', '[env.staging]\nrequired = ["gateway"]\n'
    )  # fmt: skip
    (operated / "gaia.toml").write_text(
        text + "[env.staging.stage]\nrequire_signed = false\n[env.staging.timeouts]\nready = 5\n"
    )
    (operated / "checks" / "health").rmdir()
    monkeypatch.setenv("GAIA_STAGING_GATEWAY_URL", "http://127.0.0.1:9")
    return Releases(operated, fake_tools)


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A healthy gateway."""
    from tests.cli.documents import serving

    with serving() as service:
        monkeypatch.setenv("GAIA_STAGING_GATEWAY_URL", service.url)
        yield service


def two(releases: Releases, **changes: Any) -> tuple[Release, Release]:
    old, new = releases.make(1), releases.make(2, **changes)
    releases.ran(old)
    releases.ran(new)
    releases.run_now(new)
    return old, new


def running(tools: FakeTools) -> set[str]:
    return {found for service in SERVICES for found in tools.digests(f"gaia-{service}-staging")}


def test_the_plan_goes_to_the_last_release_that_ran_well_and_changes_nothing(
    releases: Releases, gaia: Gaia, fake_tools: FakeTools
) -> None:
    old, new = releases.make(1), releases.make(2)
    bad, gone = releases.make(3), releases.make(4)
    releases.ran(old)
    releases.ran(gone)
    releases.ran(bad, verdict="REJECT")
    releases.ran(new)
    releases.rolled_back(release=gone, environment="dev")

    code, out, err = gaia("rollback", "staging", "--dry-run")

    commands = out.splitlines()
    assert code == 0
    assert f"staging: from release {new.short} back to release {old.short}, last known good on 20" in err
    assert [line.split()[3] for line in commands] == ["gaia-gateway-staging", "gaia-auth-staging"]
    assert all("--skip-release-command" in line and image(*each) in line for line, each in zip(
        commands, (("gateway", 1), ("auth", 1)), strict=True
    ))  # fmt: skip
    assert str(configs_folder(releases.folder, old)) in out
    assert fake_tools.calls("fly", "deploy") == []


def test_all_services_return_and_the_release_is_blocked(
    releases: Releases, gaia: Gaia, fake_tools: FakeTools, answering: object
) -> None:
    old, new = two(releases)

    code, _, err = gaia("rollback", "staging", "--confirm", "staging")

    assert code == 0, err
    assert f"release {new.short} will be blocked" in err
    assert running(fake_tools) == set(old.digests.values())
    (says,) = releases.written()
    assert (says.release, says.target, says.outcome, says.rehearsal) == (new.id, old.id, "deployed", False)
    assert says.services == old.digests
    assert says.fence == 1
    assert releases.check(new, "production", "not-quarantined") == "failed"
    assert releases.check(old, "staging", "not-quarantined") == "passed"

    code, _, err = gaia("rollback", "staging", "--confirm", "staging")
    assert code == 4
    assert f"staging was rolled back from {new.short} to {old.short}" in err
    assert "a rollback cannot be rolled back" in err


def test_without_a_key_a_rollback_is_not_recorded_in_a_signed_ledger(
    releases: Releases, gaia: Gaia, fake_tools: FakeTools, answering: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring = Keyring(releases.folder / "keys")
    releases.signers = [keyring.make("ci", "ci")]
    old, new = two(releases)

    code, _, err = gaia("rollback", "staging", "--confirm", "staging")

    assert code == 1
    assert (
        f"gaia: staging was rolled back, but the rollback is not recorded in the ledger, so release {new.short} is not "
        "blocked yet: " in err
    )
    assert running(fake_tools) == set(old.digests.values())
    assert releases.written() == []

    pem = keyring.private_pem()
    monkeypatch.setattr(keyring, "private_pem", lambda: pem)
    keyring.make("rita", "release-manager", identities=("rita@example.org",))
    monkeypatch.setenv(KEY_VARIABLE, pem)
    code, _, err = gaia("rollback", "staging", "--confirm", "staging")

    assert code == 0, err
    assert [says.outcome for says in releases.written()] == ["unchanged"]
    assert Promotion.here().ledger.problems() == ()
    assert releases.check(new, "production", "not-quarantined") == "failed"


def test_an_unhealthy_environment_after_the_rollback_is_reported(
    releases: Releases, gaia: Gaia, fake_tools: FakeTools
) -> None:
    old, _ = two(releases)

    code, _, err = gaia("rollback", "staging", "--confirm", "staging")

    assert code == 1
    assert "gaia: staging was rolled back, but gateway does not respond: " in err
    assert running(fake_tools) == set(old.digests.values())
    assert [says.outcome for says in releases.written()] == ["deployed"]


FAILS = "def test_never():\n    assert 1 == 2\n"
HIDES = f"import atexit, ctypes\natexit.register(lambda: ctypes.CDLL(None)._exit(0))\n{FAILS}"


@pytest.mark.parametrize(
    ("suite", "variables", "said"),
    [
        (FAILS, {}, "exited with 1, and REJECT; 1 failed"),
        (HIDES, {}, "exited with 0, and REJECT; 1 failed"),
        (FAILS, {"PYTEST_ADDOPTS": "--collect-only"}, "exited with 0, and its results log is missing or was changed"),
        (FAILS, {"PYTEST_PLUGINS": "other"}, "cannot be run: PYTEST_PLUGINS is not allowed in a promotion"),
    ],
)
def test_the_suite_health_runs_after_the_rollback(
    releases: Releases,
    gaia: Gaia,
    answering: object,
    monkeypatch: pytest.MonkeyPatch,
    suite: str,
    variables: dict[str, str],
    said: str,
) -> None:
    two(releases)
    folder = releases.folder / "checks" / "health"
    folder.mkdir()
    (folder / "test_health.py").write_text(suite)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    code, _, err = gaia("rollback", "staging", "--confirm", "staging")

    assert code == 1
    assert f"gaia: staging was rolled back, but its health suite {said}" in err


def test_a_failed_rollback_is_recorded_and_repeated(
    releases: Releases, gaia: Gaia, fake_tools: FakeTools, answering: object
) -> None:
    old, new = two(releases)
    fake_tools.fault("gaia-auth-staging", "split:1")

    failed, _, _ = gaia("rollback", "staging", "--confirm", "staging")
    again, _, err = gaia("rollback", "staging", "--confirm", "staging")

    assert (failed, again) == (1, 0), err
    assert [(says.release, says.target, says.outcome) for says in releases.written()] == [
        (new.id, old.id, "split"),
        (new.id, old.id, "deployed"),
    ]


def test_a_rollback_to_an_image_blocks_the_release_too(
    releases: Releases, gaia: Gaia, fake_tools: FakeTools, answering: object
) -> None:
    _, new = two(releases)

    code, _, err = gaia("rollback", "staging", "--confirm", "staging", "-s", "auth", "--to", image("auth", 7))

    assert code == 0, err
    (says,) = releases.written()
    assert (says.release, says.target) == (new.id, "no bundle")  # glossary: ok
    assert releases.check(new, "staging", "deployed") == "pending"


def test_another_migration_is_refused_unless_it_is_accepted(releases: Releases, gaia: Gaia) -> None:
    two(releases, migration_head="0042")

    code, out, err = gaia("rollback", "staging", "--dry-run")
    accepted, _, noted = gaia("rollback", "staging", "--dry-run", "--accept-migrations")

    assert (code, out) == (4, "")
    assert "the database is at 0042" in err
    assert "pass --accept-migrations" in err
    assert accepted == 0
    assert "accepted" in noted


def test_changed_deploy_files_are_refused(releases: Releases, gaia: Gaia) -> None:
    old, _ = two(releases)
    path = configs_folder(releases.folder, old) / "fly.auth.staging.toml"
    path.write_text(path.read_text().replace("2gb", "1gb"))

    code, _, err = gaia("rollback", "staging", "--dry-run")

    assert code == 4
    assert "its saved deploy files were changed: kept file fly.auth.staging.toml was changed" in err


def test_a_drill_rolls_back_and_forward_and_passes_the_check(
    releases: Releases, gaia: Gaia, fake_tools: FakeTools, answering: object
) -> None:
    old, new = two(releases)
    text = (releases.folder / "gaia.toml").read_text() + '[env.production.stage]\npromote_from = "staging"\n'
    (releases.folder / "gaia.toml").write_text(text)

    code, _, err = gaia("rollback", "staging", "--drill", "--release", new.short)

    assert code == 0, err
    assert f"staging returned to release {old.short} and forward again to {new.short}" in err
    assert running(fake_tools) == set(new.digests.values())
    apps = [call.argv[2] for call in fake_tools.calls("fly", "deploy")]
    assert apps == [f"gaia-{each}-staging" for each in ("gateway", "auth", "auth", "gateway")]
    (says,) = releases.written()
    assert (says.rehearsal, says.outcome, says.target) == (True, "deployed", old.id)
    assert releases.check(new, "staging", "not-quarantined") == "passed"
    assert releases.check(new, "staging", "deployed") == "passed"


def test_a_drill_with_a_failed_rollback_goes_forward_and_passes_nothing(
    releases: Releases, gaia: Gaia, fake_tools: FakeTools, answering: object
) -> None:
    _, new = two(releases)
    fake_tools.fault("gaia-gateway-staging", "split:1")

    code, out, err = gaia("rollback", "staging", "--drill", "--json")

    document = json.loads(out)
    assert code == document["exit_code"] == 1, err
    assert (document["back"]["good"], document["forth"]["good"]) == (False, True)
    assert running(fake_tools) == set(new.digests.values())
    assert [(says.rehearsal, says.outcome) for says in releases.written()] == [(True, "split")]


def test_a_drill_with_an_unhealthy_environment_passes_nothing(releases: Releases, gaia: Gaia) -> None:
    two(releases)

    code, _, err = gaia("rollback", "staging", "--drill")

    assert code == 1
    assert "runs, but gateway does not respond" in err
    assert [says.outcome for says in releases.written()] == ["failed"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["staging", "--drill"], "the ledger has no release that runs in staging"),
        (["stagign", "--dry-run"], "did you mean staging?"),
        (["staging", "--release", "abcd"], "--release needs --dry-run or --drill"),
        (["staging", "--drill", "-s", "auth"], "--drill rolls back a whole release"),
        (["production", "--drill"], "run a rollback drill in the stage before production"),
        (["staging", "--drill", "--release", "abcd"], "has no release yet"),
    ],
)
def test_a_usage_error_is_one_message(releases: Releases, gaia: Gaia, arguments: list[str], message: str) -> None:
    code, out, err = gaia("rollback", *arguments)

    assert (code, out) == (4, "")
    assert message in err


def test_a_missing_release_is_an_error_only_if_it_is_the_target(releases: Releases, gaia: Gaia) -> None:
    old, new = two(releases)
    lost = releases.make(5)
    releases.ran(lost, verdict="HOLD")
    releases.ran(new)
    (releases.folder / FOLDER / f"{lost.id}.json").unlink()

    code, _, err = gaia("rollback", "staging", "--dry-run")
    assert (code, f"back to release {old.short}" in err) == (0, True)

    (releases.folder / FOLDER / f"{old.id}.json").unlink()
    code, _, err = gaia("rollback", "staging", "--dry-run")
    assert code == 4
    assert f"staging would return to release {old.short}, its last good one, but this machine does not have it" in err


def test_the_old_subcommands_print_a_notice(releases: Releases, gaia: Gaia) -> None:
    old, new = two(releases)

    code, _, err = gaia("rollback", "plan", "staging", "--bundle", new.short)
    drill = gaia("rollback", "rehearse", "production")

    assert (code, f"back to release {old.short}" in err) == (0, True)
    assert err.startswith("gaia: note: `gaia rollback plan ENV --bundle RELEASE` is now `gaia rollback ENV --dry-run")
    assert "is now `gaia rollback ENV --drill --release RELEASE`" in drill.err


def test_an_environment_may_have_the_name_of_an_old_subcommand(gaia: Gaia) -> None:
    assert "unknown environment 'plan'" in gaia("rollback", "plan").err


def test_the_first_release_has_no_rollback_target(releases: Releases, gaia: Gaia) -> None:
    new = releases.make(2)
    releases.ran(new)
    releases.run_now(new)

    code, _, err = gaia("rollback", "staging", "--drill")

    assert code == 4
    assert f"the ledger has no release before {new.short}" in err


def test_a_drill_needs_the_running_release(releases: Releases, gaia: Gaia, fake_tools: FakeTools) -> None:
    _, new = two(releases)
    releases.run_now(releases.make(9))

    code, _, err = gaia("rollback", "staging", "--drill")

    assert code == 4
    assert f"staging does not run release {new.short}" in err
    assert fake_tools.calls("fly", "deploy") == []


def test_a_promotion_in_progress_is_not_disturbed(releases: Releases, gaia: Gaia, fake_tools: FakeTools) -> None:
    two(releases)
    Promotion.here().lock("staging", "a promotion").acquire(datetime.now(UTC))

    for arguments in (["staging", "--drill"], ["staging", "--yes"]):
        code, _, err = gaia("rollback", *arguments)
        assert (code, "staging is locked by a promotion" in err) == (13, True)
    assert fake_tools.calls("fly", "deploy") == []


def test_an_interrupted_drill_fails_the_check_until_it_is_repeated(
    releases: Releases, gaia: Gaia, fake_tools: FakeTools, answering: object
) -> None:
    _, new = two(releases)
    fake_tools.fault("gaia-auth-staging", "slow:30@deploy")
    with started("rollback", "staging", "--drill") as process:
        read_until(process, "auth | Updating existing machines")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    fake_tools.heal()

    assert process.returncode == 130
    assert releases.check(new, "staging", "deployed") == "failed"

    code, _, err = gaia("rollback", "staging", "--drill", "--release", new.short)
    assert code == 0, err
    assert releases.check(new, "staging", "deployed") == "passed"


def test_a_release_without_its_image_is_skipped(
    releases: Releases, gaia: Gaia, fake_tools: FakeTools, answering: object
) -> None:
    old, gone, new = releases.make(1), releases.make(2), releases.make(3)
    for each in (old, gone, new):
        releases.ran(each)
    releases.run_now(new)
    fake_tools.fault("gaia-auth-staging", "image-gone:1")
    code, _, err = gaia("rollback", "staging", "--confirm", "staging")
    assert (code, f"back to {gone.components[0].image}" in err) == (1, True)

    code, _, err = gaia("rollback", "staging", "--confirm", "staging")

    assert code == 0, err
    assert f"release {gone.short} was skipped: the image of auth was not in its registry" in err
    assert "as asked for" not in err
    assert running(fake_tools) == set(old.digests.values())
    assert [(says.target, says.gone) for says in releases.written()] == [(gone.id, ("auth",)), (old.id, ())]
