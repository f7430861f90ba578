"""Deploy services of a compose file on this machine with Docker."""

from pytest_gaia.deploy.contract import DeployHook


def adapter() -> DeployHook:
    """Return the adapter."""
    from pytest_gaia.deploy.compose.hook import ComposeHook

    return ComposeHook()
