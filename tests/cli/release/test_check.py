"""``gaia check no-experimental-features``: by the deploy files of the release, and by its newest run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.promotion.gate.gate import evaluate
from pytest_gaia.promotion.ledger.statements import RUN, CheckPredicate, RunDetails, RunPredicate, sha256_of
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.release.comparison import deploy_files
from pytest_gaia.promotion.release.kept import configs_folder, keep_release
from tests.config.reading import files_in
from tests.promotion.pipeline import made_release
from tests.rollout.deploy_files import write_fly_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_gaia.promotion.release.kept import Release
    from tests.cli.conftest import Outcome

    Gaia = Callable[..., Outcome]

SETTINGS = '[env.staging]\nfrom = "fly"\n[env.staging.stage]\nrequire_signed = false\n'


@pytest.fixture
def release(project: Path) -> Callable[..., Release]:
    """Make a release whose deploy file of the gateway sets these variables."""

    def make(more: str = SETTINGS, **variables: str) -> Release:
        (project / "gaia.toml").write_text((project / "gaia.toml").read_text() + more)
        write_fly_files(project, "staging", "auth", "gateway")
        path = project / "fly.gateway.staging.toml"
        lines = "".join(f'  {name} = "{value}"\n' for name, value in variables.items())
        path.write_text(path.read_text() + f"\n[env]\n{lines}")
        files = deploy_files(files_in(project))
        found = made_release(configs={name: sha256_of(content) for name, content in files.items()})
        return keep_release(project, found, files)

    return make


def ran(release: Release, experimental: int) -> None:
    now = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    details = RunDetails(
        environment="dev", release=release.id, verdict="PROMOTE", plan="ab", planned=9, experimental_run=experimental,
        started=now, finished=now,
    )  # fmt: skip
    predicate = RunPredicate(result="PASSED", configuration=(), details=details)
    Promotion.here().ledger.append(RUN, release.subjects(), predicate, signers=())


def check(gaia: Gaia, release: Release) -> tuple[int, str]:
    code, out, err = gaia("release", "attest", "experimental-features", release.short, "--env", "staging")
    assert err == ""
    return code, out


def test_nothing_switched_on_and_nothing_run_is_proved(release: Callable[..., Release], gaia: Gaia) -> None:
    made = release(LOG_LEVEL="info", ENABLE_EXPERIMENTAL_TOOLS="false", EXPERIMENTAL="0")
    ran(made, 3)
    ran(made, 0)

    code, out = check(gaia, made)

    assert code == 0
    assert out.startswith("passed: no experimental feature in fly.auth.staging.toml, fly.gateway.staging.toml; ")
    assert "the newest run in dev ran no experimental test\n" in out
    promotion = Promotion.here()
    items = {check.id: check.finding.status for check in evaluate(promotion.situation("staging", made)).checks}
    assert items["no-experimental-features"] == "passed"


@pytest.mark.parametrize(
    "name", ["EXPERIMENTAL_CHAT", "ENABLE_EXPERIMENTAL_TOOLS", "FEATURE_EXPERIMENTAL_X", "GAIA_ENABLE_EXPERIMENTAL"]
)
def test_what_is_switched_on_fails(release: Callable[..., Release], gaia: Gaia, name: str) -> None:
    made = release(**{name: "true"})
    ran(made, 0)

    code, out = check(gaia, made)

    assert code == 1
    assert f"failed: switched on in staging: gateway {name}=true" in out
    (found,) = [each.predicate for each in Promotion.here().ledger.entries()[1:]]
    assert isinstance(found, CheckPredicate)
    assert found.findings == (f"gateway {name}=true",)


def test_without_a_run_or_with_an_experimental_one_it_is_not_known(release: Callable[..., Release], gaia: Gaia) -> None:
    made = release()

    code, out = check(gaia, made)
    assert (code, "no valid run of this release in dev" in out) == (11, True)
    ran(made, 2)
    code, out = check(gaia, made)
    assert (code, "includes 2 experimental tests" in out) == (11, True)


def test_an_environment_that_leaves_experimental_checks_out_needs_no_run(
    release: Callable[..., Release], gaia: Gaia
) -> None:
    made = release(SETTINGS.replace('from = "fly"', 'from = "fly"\nexperimental = false'))

    assert check(gaia, made)[0] == 0


def test_what_a_file_does_not_show_is_not_known(release: Callable[..., Release], gaia: Gaia) -> None:
    secret = SETTINGS + '[env.staging.deploy]\nsecrets = ["EXPERIMENTAL_KEY"]\n'
    made = release(secret.replace('from = "fly"', 'from = "fly"\nexperimental = false'))

    code, out = check(gaia, made)

    assert (code, "the secret EXPERIMENTAL_KEY" in out) == (11, True)


def test_kept_files_that_were_changed_prove_nothing(project: Path, release: Callable[..., Release], gaia: Gaia) -> None:
    made = release(EXPERIMENTAL="false")
    ran(made, 0)
    path = configs_folder(project, made) / "fly.gateway.staging.toml"
    path.write_text(path.read_text().replace("EXPERIMENTAL", "LEVEL"))

    code, out = check(gaia, made)

    assert (code, "are missing or changed" in out) == (11, True)


def test_where_signatures_are_asked_for_it_needs_a_key(release: Callable[..., Release], gaia: Gaia) -> None:
    made = release('[env.staging]\nfrom = "fly"\n')

    code, out, err = gaia("release", "attest", "experimental-features", made.short, "--env", "staging")

    assert (code, out) == (4, "")
    assert "staging requires evidence signed by a key with the role ci" in err
    assert Promotion.here().ledger.entries() == ()
