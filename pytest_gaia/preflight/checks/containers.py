"""Checks of compose files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gaia.config.deployfiles.model import COMPLETED
from pytest_gaia.preflight.findings import Found, check
from pytest_gaia.preflight.standing import head, standing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gaia.config.deployfiles.model import App, Deployment
    from pytest_gaia.preflight.files import DeployFiles

_HEALTHY = "service_healthy"


@check(
    "container-unchecked",
    "warning",
    "A container has no health check",
    "`docker compose up --wait` takes it for ready as soon as its process runs, and tests meet a service that still starts.",
)
def container_unchecked(files: DeployFiles) -> Iterator[Found]:
    """Find services without ``healthcheck`` that are there to stay."""
    for deployment in _composed(files):
        finite = _finite(deployment)
        for app in deployment.apps:
            health = app.document.get("healthcheck")
            is_off = isinstance(health, dict) and (health.get("disable") is True or health.get("test") == ["NONE"])
            if app.name not in finite and (not health or is_off):
                mend = "add healthcheck: with test, interval, timeout and start_period"
                yield Found(head(app), f"{app.name} has no healthcheck", mend, deployment.environment)


@check(
    "depends-on",
    "warning",
    "A container starts before what it depends on is ready",
    "Without a condition, depends_on only orders the starts: the first connection finds nobody, and fails or is retried.",
)
def depends_on(files: DeployFiles) -> Iterator[Found]:
    """Find dependencies that wait for nothing."""
    for deployment in _composed(files):
        for app in deployment.apps:
            for name, condition in app.waits_for.items():
                if condition not in (_HEALTHY, COMPLETED):
                    what = f"{app.name} does not wait until {name} is healthy"
                    mend = f"write depends_on: {{{name}: {{condition: {_HEALTHY}}}}}"
                    yield Found(_place_of(app, name), what, mend, deployment.environment)


def _finite(deployment: Deployment) -> set[str]:
    """Return the one-shots: others wait until they have ended well."""
    return {name for app in deployment.apps for name, how in app.waits_for.items() if how == COMPLETED}


def _place_of(app: App, name: str) -> Any:
    given = app.document["depends_on"]
    key = f"depends_on[{given.index(name)}]" if isinstance(given, list) else f"depends_on.{name}"
    return standing(app, *key.split("."))


@check(
    "restart-policy",
    "note",
    "A container is not started again when it ends",
    "After a crash the platform stays incomplete until somebody notices.",
)
def restart_policy(files: DeployFiles) -> Iterator[Found]:
    """Find services without a restart policy that are there to stay."""
    for deployment in _composed(files):
        finite = _finite(deployment)
        for app in deployment.apps:
            policy = app.document.get("restart")
            deploy = app.document.get("deploy")
            is_told = policy is not None or (isinstance(deploy, dict) and "restart_policy" in deploy)
            if app.name not in finite and not is_told:
                what = f"{app.name} has no restart policy"
                yield Found(head(app), what, "write restart: unless-stopped", deployment.environment)


def _composed(files: DeployFiles) -> Iterator[Deployment]:
    return (deployment for deployment in files.deployments if deployment.source == "compose")
