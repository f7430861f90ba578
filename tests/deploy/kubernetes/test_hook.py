"""The hook kubernetes with a fake kubectl: requests, and the errors of the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.deploy.contract import UnknownApp
from pytest_gaia.deploy.kubernetes._hook import KubernetesHook
from pytest_gaia.errors import ConfigError
from tests.deploy.executables import a_request

if TYPE_CHECKING:
    from pytest_gaia.deploy.contract import Reply
    from tests.fake_tools import FakeTools

OLD, NEW = (f"registry.example.org/orders@sha256:{number:064x}" for number in (1, 2))
SET = ("kubectl", "--context", "qa-cluster", "--namespace", "shop", "set", "image", "deployment/orders")


def ask(phase: str, **changes: Any) -> Reply:
    there = {"context": "qa-cluster", "namespace": "shop", "app": "deployment/orders", "service": "orders"}
    return KubernetesHook().run(a_request(phase, **{"environment": "qa", **there, **changes}), lambda _: None)


@pytest.fixture
def cluster(fake_tools: FakeTools) -> FakeTools:
    fake_tools.workload("deployment/orders", OLD)
    return fake_tools


def test_a_plan_shows_the_exact_command_and_changes_nothing(cluster: FakeTools) -> None:
    planned = ask("plan", image=NEW)

    assert planned.commands == ((*SET, f"orders={NEW}"),)
    assert ask("deploy", image=NEW, dry_run=True) == planned
    assert not [call for call in cluster.calls() if "set" in call.argv]


def test_the_tag_of_an_image_with_a_digest_is_removed(cluster: FakeTools) -> None:
    assert ask("plan", image=NEW.replace("@", ":v2@")).commands == ((*SET, f"orders={NEW}"),)


def test_a_rollback_sets_the_image_of_before(cluster: FakeTools) -> None:
    reply = ask("rollback", image=NEW, previous=OLD)

    assert reply.commands == ((*SET, f"orders={OLD}"),)
    assert reply.image == OLD


def test_pods_are_observed_with_what_they_run(cluster: FakeTools) -> None:
    cluster.fault("kubectl", "chatter")

    observation = ask("observe").observation

    assert observation is not None
    assert (observation.exists, observation.version, observation.incomplete) == (True, 1, "")
    assert [(each.state, each.image, each.digest) for each in observation.machines] == [
        ("started", OLD, OLD.partition("@")[2])
    ] * 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"region": "lhr"}, "--region: the context"),
        ({"rebuild": True}, "--rebuild: the hook kubernetes builds no images"),
        ({"image": None}, "orders: no image is given"),
        ({"image": "orders:v2"}, "orders: orders:v2 has no digest.*--image orders=IMAGE@sha256"),
        ({"context": None}, r"set both in \[env.qa.deploy\].*The current context of kubectl is never used"),
        ({"namespace": None}, "no context and namespace"),
        ({"app": "orders"}, "doesn't have a resource type.*Correct `deploy` of the service"),
    ],
)
def test_requests_that_cannot_be_fulfilled_are_refused(
    cluster: FakeTools, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        ask("deploy", **{"image": NEW, **changes})


def test_an_unknown_context_is_reported_with_the_nearest_one(cluster: FakeTools) -> None:
    with pytest.raises(ConfigError, match=r'context "qa-clustr" does not exist.*did you mean qa-cluster'):
        ask("observe", context="qa-clustr")


def test_an_unknown_namespace_is_told_apart_from_an_unknown_workload(cluster: FakeTools) -> None:
    with pytest.raises(ConfigError, match=r"the namespace shp of context qa-cluster does not exist") as namespace:
        ask("observe", namespace="shp")
    with pytest.raises(
        UnknownApp, match=r'deployments\.apps "ordrs" not found in namespace shop of context qa-cluster'
    ):
        ask("observe", app="deployment/ordrs")
    cluster.fault("shop", "forbidden")
    with pytest.raises(UnknownApp):
        ask("observe", app="deployment/ordrs")

    assert not isinstance(namespace.value, UnknownApp)


@pytest.mark.parametrize(
    ("target", "fault", "phase", "message"),
    [
        ("orders", "forbidden@get", "observe", 'cannot get resource "deployments".*needs the permission in namespace shop'),
        ("pods", "forbidden", "observe", 'cannot list resource "pods".*needs the permission'),
        ("orders", "forbidden@patch", "deploy", 'cannot patch resource "deployments".*needs the permission'),
        ("kubectl", "unauthorised", "observe", "must be logged in.*Log in to the cluster"),
    ],
)  # fmt: skip
def test_missing_permissions_are_for_the_user_to_fix(
    cluster: FakeTools, target: str, fault: str, phase: str, message: str
) -> None:
    cluster.fault(target, fault)

    with pytest.raises(ConfigError, match=message):
        ask(phase, image=NEW)


@pytest.mark.parametrize("fault", ["down", "rate-limited", "server-error"])
@pytest.mark.parametrize("phase", ["observe", "deploy"])
def test_a_server_that_does_not_respond_is_tried_again(cluster: FakeTools, fault: str, phase: str) -> None:
    cluster.fault("kubectl", fault)

    reply = ask(phase, image=NEW)

    assert reply.status == "retry"
    assert reply.message.startswith(
        "`kubectl --context qa-cluster --namespace shop get deployment/orders --output json` failed: "
    )
    assert "memcache" not in reply.message


def test_a_call_that_takes_too_long_is_stopped(cluster: FakeTools) -> None:
    cluster.fault("kubectl", "slow:30")

    reply = ask("observe", deadline=0.5)

    assert (reply.status, "time limit exceeded" in reply.message) == ("retry", True)


def test_without_kubectl_it_says_what_was_looked_for(cluster: FakeTools) -> None:
    cluster.without("kubectl")

    with pytest.raises(ConfigError, match=r"kubectl is not installed, or not on PATH.*Install kubectl"):
        ask("observe")


def test_credentials_of_the_project_are_not_passed_on(cluster: FakeTools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/srv/kubeconfig")

    ask("observe")

    assert {each.env["KUBECONFIG"] for each in cluster.calls()} == {"/srv/kubeconfig"}
    assert {each.env["KUBERC"] for each in cluster.calls()} == {"off"}
