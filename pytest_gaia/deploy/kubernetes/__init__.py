"""Deploy workloads of a Kubernetes cluster with kubectl."""

from pytest_gaia.deploy.contract import DeployHook


def adapter() -> DeployHook:
    """Return the adapter."""
    from pytest_gaia.deploy.kubernetes._hook import KubernetesHook

    return KubernetesHook()
