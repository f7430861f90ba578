"""Deploy workloads of a Kubernetes cluster with kubectl."""

from pytest_gaia.config.deployfiles.model import Deployment
from pytest_gaia.config.platform import Platform
from pytest_gaia.deploy.contract import DeployHook


def adapter(platform: Platform, deployment: Deployment | None = None) -> DeployHook:
    """Return the adapter, which needs no description of the services."""
    from pytest_gaia.deploy.kubernetes._hook import KubernetesHook

    return KubernetesHook()
