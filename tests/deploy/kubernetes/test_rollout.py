"""Rollouts with a fake kubectl, and their outcomes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.config.environment import DeploySettings, Environment
from pytest_gaia.config.platform import Platform, Service
from pytest_gaia.deploy.kubernetes._hook import KubernetesHook
from pytest_gaia.errors import ConfigError
from pytest_gaia.rollout.course import roll_out
from pytest_gaia.rollout.model import RolloutInterrupted
from pytest_gaia.rollout.plan import plan_rollout
from pytest_gaia.rollout.rollback import plan_rollback
from tests.rollout.deploy_files import Clock, Listener

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.rollout.model import Rollout, RolloutResult
    from tests.fake_tools import FakeTools

SERVICES = (
    Service("orders", depends_on=("queue",)),
    Service("web", depends_on=("orders",)),
    Service("queue", kind="amqp", units={"kubernetes": "statefulset/{service}-{env}"}),
    Service("bank", external=True),
    Service("orders-db", kind="postgres", undeployed=("fly", "compose", "kubernetes")),
)
PLATFORM = Platform({each.name: each for each in SERVICES}, name="shop", entry="web")
ON = ("--context", "qa-cluster", "--namespace", "shop")


def image(service: str, number: int) -> str:
    return f"registry.example.org/{service}@sha256:{str(number) * 64}"


def environment(**changes: Any) -> Environment:
    settings = {"context": "qa-cluster", "namespace": "shop", "deadline": 120, **changes}
    return Environment(
        "qa", platform=PLATFORM, services=PLATFORM.names, deploy=DeploySettings("kubernetes", **settings)
    )


def plan(root: Path, **images: str) -> Rollout:
    return plan_rollout(environment(), None, rootdir=root, services=tuple(images), images=images)


def deploy(rollout: Rollout, listener: Listener | None = None) -> RolloutResult:
    return roll_out(rollout, KubernetesHook(), progress=listener or Listener(), pace=Clock().pace())


@pytest.fixture
def cluster(fake_tools: FakeTools) -> FakeTools:
    """A cluster with two Deployments and a StatefulSet, which run the first images."""
    fake_tools.workload("deployment/orders", image("orders", 1))
    fake_tools.workload("deployment/web", image("web", 1))
    fake_tools.workload("statefulset/queue-qa", image("queue", 1), container="queue")
    return fake_tools


def changes(tools: FakeTools) -> list[tuple[str, ...]]:
    """Return the calls that are not ``get``, and check that every call names its context and namespace."""
    calls = [call.argv for call in tools.calls("kubectl") if call.argv[:2] != ("config", "get-contexts")]
    assert all(argv[:4] == ON for argv in calls)
    return [argv[4:] for argv in calls if argv[4] != "get"]


def test_the_new_image_runs_in_all_pods_and_the_old_pods_are_gone(cluster: FakeTools, tmp_path: Path) -> None:
    listener = Listener()

    result = deploy(plan(tmp_path, orders=image("orders", 2)), listener)

    (step,) = result.steps
    assert (step.outcome, step.image, step.version) == ("deployed", image("orders", 2), 2)
    assert step.after is not None
    assert [(each.state, each.checks, each.passing) for each in step.after.machines] == [("started", 1, 1)] * 2
    assert changes(cluster) == [("set", "image", "deployment/orders", f"orders={image('orders', 2)}")]
    waited = " ".join(listener.told)
    phases = (
        "0 of 2 pods are updated",
        "is starting, not started",
        "1 of 2 pods are updated",
        "pods of 2 templates exist",
    )
    assert all(phase in waited for phase in phases)


def test_services_are_deployed_in_order_with_their_units(cluster: FakeTools, tmp_path: Path) -> None:
    images = {each: image(each, 2) for each in ("web", "orders", "queue")}

    result = deploy(plan(tmp_path, **images))

    assert [(step.service, step.app, step.outcome) for step in result.steps] == [
        ("queue", "statefulset/queue-qa", "deployed"),
        ("orders", "deployment/orders", "deployed"),
        ("web", "deployment/web", "deployed"),
    ]
    # The container has the name of the service, the workload another one.
    assert changes(cluster)[0] == ("set", "image", "statefulset/queue-qa", f"queue={image('queue', 2)}")


def test_a_daemonset_is_deployed_too(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.workload("daemonset/agent", image("agent", 1), replicas=3)
    agent = Service("agent", kind="tcp", units={"kubernetes": "daemonset/agent"})
    there = Environment(
        "qa", platform=Platform({"agent": agent}), services=("agent",), deploy=environment().deploy
    )  # fmt: skip

    result = deploy(plan_rollout(there, None, rootdir=tmp_path, images={"agent": image("agent", 2)}))

    assert [step.outcome for step in result.steps] == ["deployed"]


def test_what_runs_already_is_left_alone(cluster: FakeTools, tmp_path: Path) -> None:
    deploy(plan(tmp_path, orders=image("orders", 2)))

    result = deploy(plan(tmp_path, orders=image("orders", 2)))

    assert [step.outcome for step in result.steps] == ["unchanged"]
    assert len(changes(cluster)) == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("never-ready", r"2 different images run.*1 of 2 pods are updated; orders-\w+-\w+: not ready"),
        ("image-gone", r"machine orders-\w+-\w+ is ErrImagePull, not started.*failed to resolve reference .*: not found"),
        ("crash", r"2 different images run.*orders-\w+-\w+: back-off 20s restarting failed container=orders"),
        ("unschedulable", r"machine orders-\w+-\w+ is creating, not started.*0/3 nodes are available"),
        ("phantom", r"the tool reported success, but machine orders-\w+-\w+ runs sha256:111111111111, not sha256:222222222222"),
    ],
)  # fmt: skip
def test_a_rollout_that_does_not_complete_has_failed(
    cluster: FakeTools, tmp_path: Path, fault: str, reason: str
) -> None:
    cluster.fault("orders", fault)

    result = deploy(plan(tmp_path, orders=image("orders", 2), web=image("web", 2)))

    step, web = result.steps
    assert not step.good
    assert result.exit_code == 1
    assert web.outcome == "not begun"
    assert step.outcome == ("split" if fault in ("never-ready", "crash") else "phantom")
    assert re.search(reason, step.reason)


def test_a_failed_deployment_is_rolled_back_to_the_earlier_image(cluster: FakeTools, tmp_path: Path) -> None:
    cluster.fault("orders", "image-gone")
    deploy(plan(tmp_path, orders=image("orders", 2)))
    cluster.heal()

    rollout = plan_rollback(environment(), None, KubernetesHook(), rootdir=tmp_path)
    result = deploy(rollout)

    assert [(step.service, step.outcome, step.image) for step in result.steps] == [
        ("orders", "deployed", image("orders", 1))
    ]
    assert [argv[:2] for argv in changes(cluster)] == [("set", "image")] * 2


def test_a_rollback_goes_in_reverse_order(cluster: FakeTools, tmp_path: Path) -> None:
    images = {each: image(each, 2) for each in ("web", "orders", "queue")}
    deploy(plan(tmp_path, **images))

    rollout = plan_rollback(environment(), None, KubernetesHook(), rootdir=tmp_path)

    assert [step.service for step in rollout.steps] == ["web", "orders", "queue"]
    assert deploy(rollout).good


def test_an_interrupted_rollout_reports_how_to_continue(cluster: FakeTools, tmp_path: Path) -> None:
    def interrupt(service: str, text: str) -> None:
        if "starting" in text:
            raise KeyboardInterrupt

    with pytest.raises(RolloutInterrupted) as caught:
        deploy(plan(tmp_path, orders=image("orders", 2)), Listener(when_waiting=interrupt))

    assert [step.outcome for step in caught.value.result.steps] == ["in doubt"]
    assert caught.value.result.go_on == f"gaia deploy qa --services orders --image orders={image('orders', 2)}"
    assert deploy(plan(tmp_path, orders=image("orders", 2))).good


REFUSED = {
    "argo": ({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web"}}, "belongs to Argo CD"),
    "flux": ({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}, "belongs to Flux"),
    "helm by flux": ({"labels": {"helm.toolkit.fluxcd.io/name": "shop"}}, "belongs to Flux"),
    "an operator": (
        {"owner": {"apiVersion": "example.org/v1", "kind": "Shop", "name": "main", "uid": "1", "controller": True}},
        "belongs to Shop main",
    ),
    "a paused one": ({"paused": True}, "is paused"),
    "without a probe": ({"probe": False}, "has no readinessProbe"),
    "several containers": ({"container": "app", "sidecars": ("proxy",)}, r"several containers \(app, proxy\)"),
}  # fmt: skip


@pytest.mark.parametrize(("how", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_deployed_is_refused_before_any_service_changes(
    fake_tools: FakeTools, tmp_path: Path, how: dict[str, Any], reason: str
) -> None:
    fake_tools.workload("deployment/orders", image("orders", 1))
    fake_tools.workload("deployment/web", image("web", 1), **how)

    with pytest.raises(ConfigError, match=f"deployment/web.*{reason}.*Nothing was changed"):
        deploy(plan(tmp_path, orders=image("orders", 2), web=image("web", 2)))

    assert changes(fake_tools) == []


def test_a_workload_that_flux_leaves_alone_is_deployed(fake_tools: FakeTools, tmp_path: Path) -> None:
    labels = {"kustomize.toolkit.fluxcd.io/name": "shop"}
    annotations = {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}
    fake_tools.workload("deployment/orders", image("orders", 1), labels=labels, annotations=annotations)

    assert deploy(plan(tmp_path, orders=image("orders", 2))).good


def test_a_sidecar_keeps_its_image(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.workload("deployment/orders", image("orders", 1), sidecars=("proxy",))

    assert deploy(plan(tmp_path, orders=image("orders", 2))).good
    assert changes(fake_tools) == [("set", "image", "deployment/orders", f"orders={image('orders', 2)}")]


@pytest.mark.parametrize("given", [{}, {"orders": "registry.example.org/orders:v2"}])
def test_an_image_without_a_digest_is_refused(cluster: FakeTools, tmp_path: Path, given: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="needs the image of each service, with its digest: --image orders=IMAGE@"):
        plan_rollout(environment(), None, rootdir=tmp_path, services=("orders",), images=given)

    assert cluster.calls() == []


@pytest.mark.parametrize(
    ("service", "reason"),
    [
        ("bank", r"bank is external \(.*\), so it is tested and never deployed"),
        ("orders-db", r"orders-db is not deployed: `deploy` of \[services.orders-db\]"),
        ("ordrs", "qa has no service 'ordrs'; did you mean orders"),
    ],
)
def test_a_service_that_is_not_deployed_there_cannot_be_selected(tmp_path: Path, service: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        plan(tmp_path, **{service: image(service, 1)})
