"""The hook with the real kubectl, and an API server on loopback that serves the shapes of the fake.

It shows that kubectl accepts the command lines of the hook, and that its output and its errors are those of the fake.
"""

from __future__ import annotations

import json
import shutil
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from ci.fakes.replay import kubernetes_api as api
from pytest_gaia.deploy.contract import UnknownApp
from pytest_gaia.deploy.kubernetes._hook import KubernetesHook
from pytest_gaia.errors import ConfigError
from pytest_gaia.rollout.course import roll_out
from tests.deploy.executables import a_request
from tests.deploy.kubernetes.test_rollout import image, plan
from tests.rollout.deploy_files import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

APPS = [{"name": f"{kind}s", "kind": kind.capitalize()} for kind in ("deployment", "statefulset", "daemonset")]
CORE = [{"name": "pods", "kind": "Pod"}, {"name": "namespaces", "kind": "Namespace"}]
STATUS = {"Forbidden": 403, "TooManyRequests": 429, "NotFound": 404}


class Server(BaseHTTPRequestHandler):
    """The part of the API that kubectl needs: discovery, objects, lists and a strategic merge patch of one image."""

    state: ClassVar[dict[str, Any]] = {}

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        match urlsplit(self.path).path.strip("/").split("/"):
            case ["api"]:
                self._send({"kind": "APIVersions", "versions": ["v1"]})
            case ["apis"]:
                version = {"groupVersion": "apps/v1", "version": "v1"}
                group = {"name": "apps", "versions": [version], "preferredVersion": version}
                self._send({"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]})
            case ["api", "v1"] | ["apis", "apps", "v1"] as words:
                self._resources("/".join(words[1:]), APPS if "apps" in words else CORE)
            case ["api", "v1", "namespaces", name]:
                self._namespace(name)
            case ["api", "v1", "namespaces", namespace, "pods"]:
                selector = parse_qs(urlsplit(self.path).query)["labelSelector"][0]
                items = api.pods(self.state, "qa-cluster", namespace, selector)
                self._send({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})
            case ["apis", "apps", "v1", "namespaces", namespace, kinds, name]:
                self._workload(namespace, kinds, name)
            case _:
                self._fail("NotFound", "the server could not find the requested resource")

    def do_PATCH(self) -> None:
        *_, namespace, kinds, name = self.path.partition("?")[0].split("/")
        workload = api.find(self.state, "qa-cluster", namespace, kinds.removesuffix("s"), name)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for container in body["spec"]["template"]["spec"]["containers"]:
            api.set_image(workload, container["name"], container["image"])
        self._send(api.shown(workload))

    def _namespace(self, name: str) -> None:
        if name == "shop":
            self._send({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}})
        else:
            self._fail("NotFound", f'namespaces "{name}" not found')

    def _workload(self, namespace: str, kinds: str, name: str) -> None:
        if self.state.get("refusal"):
            self._fail(*self.state["refusal"])
            return
        try:
            workload = api.find(self.state, "qa-cluster", namespace, kinds.removesuffix("s"), name)
        except api.ApiError:
            self._fail("NotFound", f'{kinds}.apps "{name}" not found')
            return
        api.tick(self.state, workload)
        self._send(api.shown(workload))

    def _resources(self, version: str, resources: list[dict[str, str]]) -> None:
        verbs = {"namespaced": True, "singularName": "", "verbs": ["get", "list", "patch"]}
        listed = [{**verbs, **each, "namespaced": each["kind"] != "Namespace"} for each in resources]
        for each in listed:
            each["singularName"] = str(each["kind"]).lower()
        self._send({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": listed})

    def _fail(self, reason: str, message: str) -> None:
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason}
        self._send({**status, "code": STATUS[reason]}, STATUS[reason])

    def _send(self, value: object, code: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The state of a cluster, whose API server is the context ``qa-cluster``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    Server.state = {"faults": {}}
    api.add(Server.state, "deployment/orders", image("orders", 1), context="qa-cluster", namespace="shop")
    Thread(target=server.serve_forever, daemon=True).start()
    configuration = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "qa-cluster", "context": {"cluster": "c", "user": "u"}}],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(configuration), encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setenv("HOME", str(tmp_path))
    yield Server.state
    server.shutdown()
    server.server_close()


def observe(**changes: Any) -> Any:
    there = {"context": "qa-cluster", "namespace": "shop", "app": "deployment/orders", "service": "orders"}
    return KubernetesHook().run(a_request("observe", **{**there, **changes}), lambda _: None)


def test_a_deployment_runs_the_new_image(state: dict[str, Any], tmp_path: Path) -> None:
    result = roll_out(plan(tmp_path, orders=image("orders", 2)), KubernetesHook(), pace=Clock().pace())

    assert [(step.outcome, step.image) for step in result.steps] == [("deployed", image("orders", 2))]


def test_its_errors_are_recognized(state: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r'context "qa" does not exist.*did you mean qa-cluster'):
        observe(context="qa")
    with pytest.raises(ConfigError, match="the namespace shp of context qa-cluster does not exist"):
        observe(namespace="shp")
    with pytest.raises(UnknownApp, match=r'deployments\.apps "ordrs" not found in namespace shop'):
        observe(app="deployment/ordrs")
    with pytest.raises(ConfigError, match="doesn't have a resource type"):
        observe(app="rollout/orders")
    state["refusal"] = (
        "Forbidden",
        'deployments.apps "orders" is forbidden: User "ci" cannot get resource "deployments"',
    )
    with pytest.raises(ConfigError, match="needs the permission in namespace shop"):
        observe()
    state["refusal"] = ("TooManyRequests", "Too many requests, please try again later.")
    assert observe().status == "retry"


def test_a_server_that_refuses_connections_is_tried_again(state: dict[str, Any], tmp_path: Path) -> None:
    text = (tmp_path / "kubeconfig").read_text()
    server = json.loads(text)["clusters"][0]["cluster"]["server"]
    (tmp_path / "kubeconfig").write_text(text.replace(server, "http://127.0.0.1:1"))

    reply = observe()

    assert (reply.status, "was refused" in reply.message, "memcache" in reply.message) == ("retry", True, False)
