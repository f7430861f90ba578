"""Deployments outside of a promotion: found in the ledger, in the deployment history, and by observation."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.promotion.ledger.statements import NO_RELEASE, DeploymentPredicate
from pytest_gaia.promotion.release.kept import Component, keep_release
from pytest_gaia.rollout.journal import FOLDER
from tests.cli.evidence import Underway
from tests.promotion.other_verifiers import statement_in
from tests.promotion.pipeline import made_release
from tests.rollout.deploy_files import image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome
    from tests.fake_tools import FakeTools

    Gaia = Callable[..., Outcome]

SERVICES = ("auth", "gateway")
OTHER = ("--image", f"auth={image('auth', 9)}", "--services", "auth")
PAST = ("deploy", "production", "--confirm", "production", *OTHER)
SAID = "production was deployed outside of a promotion on 20"


@pytest.fixture
def released(operated: Path, fake_tools: FakeTools) -> Underway:
    """A release that was promoted to production four hours ago, and runs there and in staging."""
    pipeline = Underway.of(operated)
    images = {service: image(service, 1) for service in SERVICES}
    parts = tuple(Component(each, reference, reference.partition("@")[2]) for each, reference in images.items())
    pipeline.release = keep_release(operated, made_release(components=parts), {})
    for environment in ("staging", "production"):
        for service, reference in images.items():
            fake_tools.app(f"gaia-{service}-{environment}", reference=reference, machines=2)
    pipeline.all_but()
    return pipeline


def gate(gaia: Gaia, pipeline: Underway, *arguments: str) -> Outcome:
    return gaia("release", "check", pipeline.id, "--env", "production", *arguments)


def promoted_again(pipeline: Underway) -> None:
    now = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    pipeline.deploy("production", time=now)
    pipeline.run("production", started=now, finished=now)


def page(gaia: Gaia, pipeline: Underway) -> dict[str, object]:
    code, out, _ = gaia("release", "report", pipeline.id, "--env", "production", "--format", "json", "--exit-code")
    shown: dict[str, object] = json.loads(out)
    return shown | {"exit_code": code}


def test_an_outside_deployment_is_recorded_and_holds_until_a_promotion(
    released: Underway, gaia: Gaia, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gate(gaia, released).code == 0
    assert page(gaia, released)["decision"] == "GO"
    released.hold("rita", monkeypatch)

    code, _, err = gaia(*PAST)

    entry = released.entries()[-1]
    assert code == 0
    assert (
        f"gaia: deployed outside of a promotion (entry {entry.sequence} of the ledger): the gate of production" in err
    )
    assert isinstance(entry.predicate, DeploymentPredicate)
    assert (entry.predicate.release, entry.predicate.outcome) == (NO_RELEASE, "deployed")
    assert entry.predicate.services == {"auth": image("auth", 9).partition("@")[2]}
    assert gaia("ledger", "verify").code == 0
    assert f"deployment  {SAID}" in gaia("ledger", "list").out
    code, out, err = gaia("rollback", "production", "--dry-run")
    assert (code, image("auth", 1) in out) == (0, True), err
    shutil.rmtree(released.folder.parents[1] / FOLDER)
    code, out, _ = gate(gaia, released)
    assert code == 11
    assert [line.split()[:2] for line in out.splitlines() if SAID in line] == [["pending", "deployed"]]
    shown = page(gaia, released)
    assert (shown["decision"], shown["exit_code"]) == ("NO GO", 11)
    assert SAID in json.dumps(shown["reasons"])
    assert SAID in json.dumps(shown["blocking"])
    assert SAID in json.dumps(shown["gaps"])
    assert SAID in json.dumps(shown["environments"])
    assert gate(gaia, released, "--pre-deploy").code == 0, "the way out is to promote"

    promoted_again(released)
    assert gate(gaia, released).code == 0


def test_a_deployment_that_left_mixed_versions_is_a_valid_statement(
    released: Underway, gaia: Gaia, fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    released.hold("ci", monkeypatch)
    fake_tools.fault("gaia-auth-production", "split")

    gaia(*PAST)

    entry = released.entries()[-1]
    assert isinstance(entry.predicate, DeploymentPredicate)
    assert (entry.predicate.release, entry.predicate.services) == (NO_RELEASE, {})
    document = statement_in(json.loads(released.entry_file(entry.sequence).read_bytes()))
    assert [each["name"] for each in document["subject"]] == ["gaia.toml"]


def test_without_a_key_the_deployment_history_holds(released: Underway, gaia: Gaia, fake_tools: FakeTools) -> None:
    before = released.entries()

    code, _, err = gaia(*PAST)

    assert code == 0
    assert (
        "deployed outside of a promotion, which could not be recorded in the ledger: the ledger (.gaia/ledger)" in err
    )
    assert released.entries() == before
    code, out, _ = gate(gaia, released)
    assert code == 11
    assert SAID in out
    assert page(gaia, released)["decision"] == "NO GO"

    shutil.rmtree(released.folder.parents[1] / FOLDER)
    assert gate(gaia, released).code == 0, "another machine does not know of it, unless it looks"
    code, out, _ = gate(gaia, released, "--observe")
    assert code == 11
    assert "running auth: gaia-auth-production runs sha256:000000000000, the release has sha256:000000000000" in out


def test_a_deployment_from_another_machine_is_observed(released: Underway, gaia: Gaia, fake_tools: FakeTools) -> None:
    code, out, _ = gate(gaia, released, "--observe")
    assert code == 0
    assert "2 services run the images of the release" in out

    fake_tools.app("gaia-gateway-production", reference=image("gateway", 5))
    assert gate(gaia, released).code == 0
    assert gate(gaia, released, "--observe").code == 11

    fake_tools.fault("*", "not-logged-in")
    code, out, err = gate(gaia, released, "--observe", "--json")
    assert code == 11, err
    check = next(each for each in json.loads(out)["checks"] if each["id"] == "running-now")
    assert (check["status"], check["next"]) == ("pending", f"gaia promote production {released.id}")

    code, out, err = gate(gaia, released, "--observe", "--pre-deploy")
    assert (code, out) == (4, "")
    assert "--pre-deploy and --observe exclude each other" in err


def test_an_outside_deployment_of_staging_blocks_production(
    released: Underway, gaia: Gaia, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gate(gaia, released, "--pre-deploy").code == 0

    gaia("deploy", "staging", *OTHER)

    code, out, _ = gate(gaia, released, "--pre-deploy")
    assert code == 1
    assert "staging was deployed outside of a promotion on 20" in out


def test_a_deployment_without_changes_holds_nothing(
    released: Underway, gaia: Gaia, monkeypatch: pytest.MonkeyPatch
) -> None:
    released.hold("ci", monkeypatch)
    same = ("deploy", "production", "--confirm", "production", "--image", f"auth={image('auth', 1)}", "-s", "auth")
    # The first does not know with which deploy file it runs, and deploys it.
    gaia(*same)
    assert gate(gaia, released).code == 11
    promoted_again(released)
    entries = released.entries()

    code, _, err = gaia(*same, "--json")

    assert (code, "outside of a promotion" in err) == (0, False)
    assert (released.entries(), gate(gaia, released).code) == (entries, 0)


def test_a_project_without_promotions_records_nothing(operated: Path, gaia: Gaia) -> None:
    code, _, err = gaia("deploy", "staging")

    assert (code, "promotion" in err) == (0, False)
    assert not (operated / ".gaia" / "ledger").exists()


def test_a_deployment_that_did_not_start_is_not_recorded(
    released: Underway, gaia: Gaia, fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    released.hold("ci", monkeypatch)
    entries = released.entries()
    fake_tools.fault("*", "unauthorised")

    assert gaia(*PAST).code != 0
    assert gaia("deploy", "production", "--dry-run", *OTHER).code in (0, 4)

    assert released.entries() == entries
