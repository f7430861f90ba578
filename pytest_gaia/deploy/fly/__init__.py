"""Deploy apps on Fly.io with flyctl."""

from pytest_gaia.deploy.contract import DeployHook


def adapter() -> DeployHook:
    """Return the adapter."""
    from pytest_gaia.deploy.fly._hook import FlyHook

    return FlyHook()
