"""A project with services of its own: its release is created, promoted and decided, and no service can vanish from it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from pytest_gaia.promotion.ledger.statements import DeploymentPredicate, RunPredicate
from pytest_gaia.promotion.project import Promotion
from tests.cli.conftest import gaia
from tests.plugin.conftest import project, server
from tests.plugin.deployer import HOOK, OLD, deployer
from tests.repositories import Repository

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from pytest_gaia.promotion.ledger.ledger import Entry
    from tests.cli.conftest import Outcome
    from tests.plugin.deployer import Deployer

    Gaia = Callable[..., Outcome]

__all__ = ["deployer", "gaia", "project", "server"]

DIGEST = f"sha256:{'a' * 64}"
SHOP = """
[gaia]
suites = ["suites"]

[platform]
name = "shop"

[services.orders]
health = "/ready"
depends_on = ["billing"]
[services.billing]
healthy = {{}}

[env.stage]
urls = {{ orders = "{url}", billing = "{url}/billing" }}
[env.stage.deploy]
hook = "command"
command = ["ci/deploy"]
consecutive_successes = 1
"""


def test_a_release_of_two_services_is_promoted_and_keeps_both(
    deployer: Deployer, gaia: Gaia, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = deployer.project.path
    repository = Repository(folder, monkeypatch)
    monkeypatch.chdir(folder)
    # Each service has a state of its own.
    (deployer.folder / "deploy").write_text(HOOK.format(python=sys.executable).replace('"state.json"', 'f"{app}.json"'))
    for name in ("orders", "billing"):
        (deployer.folder / f"{name}.json").write_text(json.dumps({"release": 1, "digest": OLD}))
    deployer.server.answers |= {"/ready": [(200, {"status": "ok"})], "/billing/health": [(200, {})]}

    def created(text: str, *services: str) -> str:
        """Commit gaia.toml and create a release."""
        repository.write("gaia.toml", text)
        repository.write(".gitignore", ".gaia/\n__pycache__/\nci/calls\nci/*.json\n")
        repository.commit("a release")
        images = [f"--image={name}=registry/{name}@{DIGEST}" for name in services]
        code, out, err = gaia("release", "create", "--json", *images)
        assert (code, err) == (0, "")
        return str(json.loads(out)["short"])

    text = SHOP.format(url=deployer.server.url)
    release = created(text, "orders", "billing")
    code, out, err = gaia("release", "check", release, "-e", "stage", "--pre-deploy")
    assert (code, err) == (0, "")
    code, out, err = gaia("promote", "stage", release)
    assert (code, "PROMOTE" in out) == (0, True), out + err

    deployment, run, _ = (entry.predicate for entry in _entries(deployer))
    assert isinstance(deployment, DeploymentPredicate)
    assert isinstance(run, RunPredicate)
    # A service is deployed after those that it depends on.
    assert [call["service"] for call in deployer.calls if call["phase"] == "deploy"] == ["billing", "orders"]
    assert deployment.services == {"orders": DIGEST, "billing": DIGEST}
    assert (set(run.details.described), run.details.required) == ({"orders", "billing"}, ("orders", "billing"))
    assert run.details.platform.startswith("sha256:")
    code, out, _ = gaia("release", "check", release, "-e", "stage")
    assert (code, "all services with evidence are declared" in out) == (0, True), out

    # Its failures cannot vanish together with the service.
    without = text.replace('depends_on = ["billing"]\n', "").replace("[services.billing]\nhealthy = {}\n", "")
    smaller = created(without.replace(f', billing = "{deployer.server.url}/billing"', ""), "orders")
    code, out, _ = gaia("release", "check", smaller, "-e", "stage", "--pre-deploy")
    assert code == 11
    assert f"billing is no longer declared, and ran in stage by release {release}" in " ".join(out.split())
    assert f"gaia release waive {smaller} services-kept -e stage" in out

    # An image is required for each service that is deployed.
    code, out, _ = gaia("release", "check", created(text + "# again\n", "orders"), "-e", "stage", "--pre-deploy")
    assert (code, "no image of billing, which stage runs" in out) == (11, True), out


def _entries(deployer: Deployer) -> tuple[Entry, ...]:
    return Promotion.here(deployer.project.path, {}).ledger.entries()
