"""The project's deploy configuration, before a deployment: one test for each topic of ``gaia config check``.

In an environment that has deploy files, what concerns it is looked at; anywhere else, all of them. Warnings do not fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.preflight.lint import ALL_CHECKS, lint

if TYPE_CHECKING:
    from pytest_gaia.config.environment import Environment
    from pytest_gaia.preflight.files import DeployFiles
    from pytest_gaia.preflight.findings import Finding

pytestmark = pytest.mark.gaia(offline=True)

TOPICS = tuple(dict.fromkeys(check.topic for check in ALL_CHECKS if check.severity == "error"))


@pytest.fixture(scope="module")
def errors(gaia_deployments: DeployFiles, gaia_env: Environment) -> dict[str, list[Finding]]:
    """Topic → its errors."""
    environment = gaia_env.name if gaia_deployments.deployment(gaia_env.name) else None
    found = [each for each in lint(gaia_deployments, environment) if each.severity == "error"]
    topics = {check.id: check.topic for check in ALL_CHECKS}
    return {topic: [each for each in found if topics[each.check] == topic] for topic in TOPICS}


@pytest.mark.gaia(core=True)
@pytest.mark.parametrize("topic", TOPICS)
def test_deploy_files_have_no_errors(errors: dict[str, list[Finding]], topic: str) -> None:
    lines = [f"{each.place}: {each.check}: {each.text}; {each.fix}" for each in errors[topic]]
    assert not lines, "\n".join([f"{len(lines)} wrong", *lines])
