"""Deploy apps on Fly.io with flyctl."""

from pytest_gaia.config.deployfiles.model import Deployment
from pytest_gaia.config.platform import Platform
from pytest_gaia.deploy.contract import DeployHook


def adapter(platform: Platform, deployment: Deployment | None = None) -> DeployHook:
    """Return the adapter, which needs no description of the services."""
    from pytest_gaia.deploy.fly._hook import FlyHook

    return FlyHook()
