"""Deploy services of a compose file on this machine with Docker."""

from pytest_gaia.config.deployfiles.model import Deployment
from pytest_gaia.config.platform import Platform
from pytest_gaia.deploy.contract import DeployHook


def adapter(platform: Platform, deployment: Deployment | None = None) -> DeployHook:
    """Return the adapter for the services of ``platform``, whose compose files ``deployment`` describes."""
    from pytest_gaia.deploy.compose.hook import ComposeHook

    return ComposeHook(platform, deployment)
