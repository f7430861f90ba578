"""A cluster: workloads and pods with the shapes of a real API server, which a rollout changes step by step.

Each ``get`` of a workload is one step: its controller observes the change, creates a pod, the pod starts, becomes ready, an
old pod is deleted. So a test sees every stage of a rollout without waiting.
"""

from __future__ import annotations

from typing import Any

from .digests import digest_of
from .faults import take

Json = dict[str, Any]

_CREATED = "2026-08-03T15:20:11Z"
_KINDS = {"deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet"}
_STUCK = {
    "image-gone": ("ErrImagePull", 'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {image}: not found'),
    "crash": ("CrashLoopBackOff", "back-off 20s restarting failed container={container} pod={pod}"),
}  # fmt: skip
_UNSCHEDULABLE = "0/3 nodes are available: 3 Insufficient memory. preemption: 0/3 nodes are available."


class ApiError(Exception):
    """An error of the API server, as kubectl prints it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"Error from server ({reason}): {message}")


def not_found(resource: str, name: str) -> ApiError:
    """Return the error for an object that does not exist."""
    return ApiError("NotFound", f'{resource} "{name}" not found')


def cluster(state: Json) -> Json:
    """Return the part of the state that belongs to Kubernetes."""
    found: Json = state.setdefault("kubernetes", {})
    found.setdefault("contexts", {})
    found.setdefault("workloads", [])
    return found


def add(
    state: Json, unit: str, image: str, *, context: str, namespace: str, replicas: int = 2, container: str | None = None,
    probe: bool = True, sidecars: tuple[str, ...] = (), paused: bool = False, labels: Json | None = None,
    annotations: Json | None = None, owner: Json | None = None,
) -> None:  # fmt: skip
    """Add a workload ``deployment/NAME`` whose pods run and are ready."""
    kind, _, name = unit.partition("/")
    namespaces = cluster(state)["contexts"].setdefault(context, [])
    if namespace not in namespaces:
        namespaces.append(namespace)
    images = {container or name: image, **{each: f"registry.example.org/{each}:1" for each in sidecars}}
    workload = {
        "context": context, "namespace": namespace, "kind": kind, "name": name, "images": images, "replicas": replicas,
        "probe": probe, "paused": paused, "labels": labels or {}, "annotations": annotations or {}, "owner": owner,
        "generation": 1, "observed": 1, "revision": 1, "made": 0, "pods": [],
    }  # fmt: skip
    for _ in range(replicas):
        workload["pods"].append(_new_pod(workload) | {"stage": "ready"})
    cluster(state)["workloads"].append(workload)


def find(state: Json, context: str, namespace: str, kind: str, name: str) -> Json:
    """Return a workload. The server reports the same for a missing one and for a missing namespace."""
    for each in cluster(state)["workloads"]:
        if (each["context"], each["namespace"], each["kind"], each["name"]) == (context, namespace, kind, name):
            found: Json = each
            return found
    raise not_found(f"{kind}s.apps", name)


def set_image(workload: Json, container: str, image: str) -> None:
    """Change the template, as ``kubectl set image`` does."""
    workload["images"][container] = image
    workload["generation"] += 1


def tick(state: Json, workload: Json) -> None:
    """Let the controller and the kubelets take one step."""
    if workload["observed"] < workload["generation"]:
        workload["observed"] = workload["generation"]
        workload["revision"] += 1
        return
    if workload["paused"]:
        return
    fresh = [pod for pod in workload["pods"] if pod["template"] == _template(workload)]
    moving = next((pod for pod in fresh if pod["stage"] != "ready"), None)
    leaving = next((pod for pod in workload["pods"] if pod["stage"] == "leaving"), None)
    if moving is not None:
        _advance(state, workload, moving)
    elif leaving is not None:
        workload["pods"].remove(leaving)
    else:
        _replace(workload, fresh)


def _replace(workload: Json, fresh: list[Json]) -> None:
    old = [pod for pod in workload["pods"] if pod["template"] != _template(workload)]
    in_place = workload["kind"] != "deployment"
    surge = 0 if in_place else 1
    if old and len(workload["pods"]) >= workload["replicas"] + surge:
        old[-1]["stage"] = "leaving"
    elif len(fresh) < workload["replicas"]:
        workload["pods"].append(_new_pod(workload))
    elif old:
        old[-1]["stage"] = "leaving"


def _advance(state: Json, workload: Json, pod: Json) -> None:
    """Start a pod, unless a fault prevents it."""
    fault = take(state, workload["name"], "get", "image-gone", "crash", "never-ready", "unschedulable")
    kind = fault.kind if fault else ""
    if kind in _STUCK:
        pod["stage"] = kind
    elif kind == "unschedulable":
        pod["stage"] = "unschedulable"
    elif kind == "never-ready":
        pod["stage"] = "running"
    else:
        pod["stage"] = {"creating": "running"}.get(pod["stage"], "ready")


def _template(workload: Json) -> str:
    return digest_of(workload["name"], *workload["images"].values())[7:17]


def _new_pod(workload: Json) -> Json:
    taken = {pod["name"] for pod in workload["pods"]}
    workload["made"] += 1
    template = _template(workload)
    if workload["kind"] == "statefulset":
        name = next(each for number in range(99) if (each := f"{workload['name']}-{number}") not in taken)
    else:
        between = f"{template}-" if workload["kind"] == "deployment" else ""
        name = f"{workload['name']}-{between}{digest_of(workload['name'], str(workload['made']))[7:12]}"
    return {"name": name, "template": template, "stage": "creating", "images": dict(workload["images"])}


def shown(workload: Json) -> Json:
    """Return a workload as ``kubectl get -o json`` prints it."""
    marks = {"annotations": dict(workload["annotations"]), "labels": {"app": workload["name"], **workload["labels"]}}
    if workload["kind"] == "deployment":
        marks["annotations"]["deployment.kubernetes.io/revision"] = str(workload["revision"])
    spec: Json = {
        "replicas": workload["replicas"],
        "revisionHistoryLimit": 10,
        "selector": {"matchLabels": {"app": workload["name"]}},
        "template": {
            "metadata": {"labels": {"app": workload["name"]}},
            "spec": _pod_spec(workload, workload["images"]),
        },
    }
    if workload["paused"]:
        spec["paused"] = True
    if workload["kind"] == "daemonset":
        del spec["replicas"]
    return {
        "apiVersion": "apps/v1",
        "kind": _KINDS[workload["kind"]],
        "metadata": {
            **marks,
            **({"ownerReferences": [workload["owner"]]} if workload["owner"] else {}),
            "creationTimestamp": _CREATED,
            "generation": workload["generation"],
            "name": workload["name"],
            "namespace": workload["namespace"],
            "resourceVersion": "81021",
            "uid": "0b3b1c1e-52b4-4ae3-b40a-1f6f35f6bd4c",
        },
        "spec": spec,
        "status": _status(workload),
    }


def _status(workload: Json) -> Json:
    """Return the status, without counts of 0, as Go leaves them out."""
    there = [pod for pod in workload["pods"] if pod["stage"] != "leaving"]
    # Until the controller has observed the change, all pods are of the current template.
    stale = workload["observed"] < workload["generation"]
    updated = len(there) if stale else sum(pod["template"] == _template(workload) for pod in there)
    ready = sum(pod["stage"] == "ready" for pod in there)
    names = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    numbers = (len(there), updated, ready, ready)
    counts = {name: number for name, number in zip(names, numbers, strict=True) if number}
    if workload["kind"] == "daemonset":
        counts = {
            "desiredNumberScheduled": workload["replicas"], "currentNumberScheduled": len(there),
            "updatedNumberScheduled": updated, "numberAvailable": ready, "numberReady": ready, "numberMisscheduled": 0,
        }  # fmt: skip
    return {**counts, "observedGeneration": workload["observed"]}


def pods(state: Json, context: str, namespace: str, selector: str) -> list[Json]:
    """Return the pods that a selector matches; none in a namespace that does not exist."""
    wanted = dict(each.split("=", 1) for each in selector.split(","))
    return [
        _shown_pod(workload, pod)
        for workload in cluster(state)["workloads"]
        if (workload["context"], workload["namespace"]) == (context, namespace)
        if wanted.get("app") == workload["name"]
        for pod in workload["pods"]
    ]


def _shown_pod(workload: Json, pod: Json) -> Json:
    key = "pod-template-hash" if workload["kind"] == "deployment" else "controller-revision-hash"
    template = pod["template"] if workload["kind"] == "deployment" else f"{workload['name']}-{pod['template']}"
    owner = {"apiVersion": "apps/v1", "kind": _KINDS[workload["kind"]], "name": workload["name"], "controller": True}
    if workload["kind"] == "deployment":
        owner |= {"kind": "ReplicaSet", "name": f"{workload['name']}-{template}"}
    leaving = {"deletionGracePeriodSeconds": 30, "deletionTimestamp": _CREATED} if pod["stage"] == "leaving" else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **leaving,
            "creationTimestamp": _CREATED,
            "labels": {"app": workload["name"], key: template},
            "name": pod["name"],
            "namespace": workload["namespace"],
            "ownerReferences": [{**owner, "blockOwnerDeletion": True, "uid": "5f7c1f41-6c14-4d1e-9c9e-2b8a4e0f7d11"}],
            "uid": digest_of("uid", pod["name"])[7:39],
        },
        "spec": {**_pod_spec(workload, pod["images"]), "nodeName": "node-1"},
        "status": _pod_status(pod),
    }


def _pod_status(pod: Json) -> Json:
    ready = pod["stage"] in ("ready", "leaving")
    conditions = [
        {"lastProbeTime": None, "status": "True" if ready else "False", "type": "Ready"},
        {"lastProbeTime": None, "status": "True", "type": "PodScheduled"},
    ]
    if pod["stage"] == "unschedulable":
        conditions[1] |= {"status": "False", "reason": "Unschedulable", "message": _UNSCHEDULABLE}
        return {"conditions": conditions[1:], "phase": "Pending", "qosClass": "BestEffort"}
    statuses = [_container_status(pod, name, image) for name, image in pod["images"].items()]
    phase = "Running" if pod["stage"] in ("running", "ready", "leaving", "crash") else "Pending"
    return {"conditions": conditions, "containerStatuses": statuses, "hostIP": "10.0.0.7", "phase": phase}


def _container_status(pod: Json, name: str, image: str) -> Json:
    stage = pod["stage"]
    status: Json = {"image": image, "imageID": "", "lastState": {}, "name": name, "ready": False, "restartCount": 0}
    if stage in _STUCK:
        reason, text = _STUCK[stage]
        message = text.format(image=image, container=name, pod=pod["name"])
        status["state"] = {"waiting": {"message": message, "reason": reason}}
        if stage == "crash":
            status |= {"imageID": _image_id(image), "restartCount": 2}
            status["lastState"] = {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": _CREATED}}
    elif stage == "creating":
        status["state"] = {"waiting": {"reason": "ContainerCreating"}}
    else:
        status |= {"imageID": _image_id(image), "ready": stage != "running", "started": True}
        status["state"] = {"running": {"startedAt": _CREATED}}
    return status


def _image_id(image: str) -> str:
    name, _, digest = image.partition("@")
    return f"{name.rpartition(':')[0] or name}@{digest or digest_of('registry', image)}"


def _pod_spec(workload: Json, images: Json) -> Json:
    probe = {
        "readinessProbe": {
            "failureThreshold": 3,
            "httpGet": {"path": "/health", "port": 8000, "scheme": "HTTP"},
            "periodSeconds": 10,
            "successThreshold": 1,
            "timeoutSeconds": 1,
        }
    }
    return {
        "containers": [
            {
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "name": name,
                "ports": [{"containerPort": 8000, "protocol": "TCP"}],
                **(probe if workload["probe"] else {}),
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }
            for name, image in images.items()
        ],
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    }
