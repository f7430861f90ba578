"""Parse workloads and pods, as ``kubectl get -o json`` prints them.

Go leaves out counts of 0, and writes empty lists as null. Unused fields are left out here.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from pytest_gaia.deploy.contract import Machine, converted
from pytest_gaia.errors import ConfigError

_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
_REVISION = "deployment.kubernetes.io/revision"
_HASHES = ("pod-template-hash", "controller-revision-hash")
"""labels with the hash of a pod's template: of Deployments, and of StatefulSets and DaemonSets"""
_ARGO_CD = ("argocd.argoproj.io/tracking-id", "argocd.argoproj.io/instance")
_FLUX = ("kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io")
_STARTING = ("ContainerCreating", "PodInitializing")
_SHOWN = 2
"""pods whose problem is shown"""


class _Struct(msgspec.Struct, rename="camel"):
    """A JSON object."""


class _Owner(_Struct):
    kind: str
    name: str
    controller: bool | None = None


class _Metadata(_Struct):
    name: str
    generation: int = 0
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[_Owner] | None = None
    deletion_timestamp: str | None = None

    def marks(self) -> dict[str, str]:
        """Return labels and annotations."""
        return {**(self.labels or {}), **(self.annotations or {})}

    def controller(self) -> tuple[str, str] | None:
        """Return kind and name of the object that controls this one."""
        return next(((each.kind, each.name) for each in self.owner_references or () if each.controller), None)


class _Requirement(_Struct):
    key: str
    operator: str
    values: list[str] | None = None

    def text(self) -> str:
        """Return it in the form that ``--selector`` reads."""
        if self.operator in ("In", "NotIn"):
            return f"{self.key} {self.operator.lower()} ({','.join(self.values or ())})"
        return self.key if self.operator == "Exists" else f"!{self.key}"


class _Selector(_Struct):
    match_labels: dict[str, str] | None = None
    match_expressions: list[_Requirement] | None = None


class _Container(_Struct):
    name: str
    image: str = ""
    readiness_probe: dict[str, Any] | None = None
    ports: list[Any] | None = None


class _PodSpec(_Struct):
    containers: list[_Container]


class _Template(_Struct):
    spec: _PodSpec


class _WorkloadSpec(_Struct):
    selector: _Selector
    template: _Template
    replicas: int | None = None
    paused: bool = False


class _Counts(_Struct):
    """The status of a workload; a DaemonSet has its own names."""

    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0
    desired_number_scheduled: int = 0
    current_number_scheduled: int = 0
    updated_number_scheduled: int = 0
    number_available: int = 0


class Workload(_Struct):
    """A Deployment, a StatefulSet or a DaemonSet."""

    kind: str
    metadata: _Metadata
    spec: _WorkloadSpec
    status: _Counts = msgspec.field(default_factory=_Counts)

    @property
    def revision(self) -> int | None:
        """The number of the current revision of a Deployment; other kinds have none."""
        number = (self.metadata.annotations or {}).get(_REVISION, "")
        return int(number) if number.isdecimal() else None

    def selector(self) -> str:
        """Return the selector of its pods, in the form that ``--selector`` reads."""
        selector = self.spec.selector
        labels = (f"{key}={value}" for key, value in (selector.match_labels or {}).items())
        return ",".join((*labels, *(each.text() for each in selector.match_expressions or ())))

    def container(self, service: str) -> str:
        """Return the name of the container that runs ``service``. Raises ``ConfigError`` if several may."""
        names = [each.name for each in self.spec.template.spec.containers]
        marked = (self.metadata.annotations or {}).get(_DEFAULT_CONTAINER)
        wanted = [each for each in (marked, service, self.metadata.name) if each in names]
        if not wanted and len(names) > 1:
            raise ConfigError(
                f"{self.title} has several containers ({', '.join(names)}), and none has the name of the service "
                f"{service}. Name it in the annotation {_DEFAULT_CONTAINER} of the {self.kind}. Nothing was changed."
            )
        return wanted[0] if wanted and wanted[0] else names[0]

    @property
    def title(self) -> str:
        """``deployment/orders``."""
        return f"{self.kind.lower()}/{self.metadata.name}"

    def refusal(self, container: str) -> str:
        """Return why it must not be deployed here; empty if it may."""
        if owner := self._owner():
            return (
                f"{self.title} belongs to {owner}, which would restore its own image. Change the image there: use "
                'hook = "command" with an executable that does so.'
            )
        if self.spec.paused:
            return f"{self.title} is paused, so a new image would not run. Resume it: kubectl rollout resume."
        served = next(each for each in self.spec.template.spec.containers if each.name == container)
        if served.ports and served.readiness_probe is None:
            return (
                f"the container {container} of {self.title} serves a port and has no readinessProbe, so its health "
                "could not be verified. Add a readinessProbe."
            )
        return ""

    def _owner(self) -> str:
        marks = self.metadata.marks()
        if any(mark in marks for mark in _ARGO_CD):
            return "Argo CD"
        for prefix in _FLUX:
            if f"{prefix}/name" in marks and marks.get(f"{prefix}/reconcile") != "disabled":
                return "Flux"
        controller = self.metadata.controller()
        return " ".join(controller) if controller else ""

    def missing(self) -> Iterator[str]:
        """Yield what its rollout lacks, according to its status."""
        status, generation = self.status, self.metadata.generation
        if status.observed_generation < generation:
            yield f"generation {generation} is not processed yet"
        if self.kind == "DaemonSet":
            wanted, there = status.desired_number_scheduled, status.current_number_scheduled
            updated, available = status.updated_number_scheduled, status.number_available
        else:
            wanted = 1 if self.spec.replicas is None else self.spec.replicas
            there, updated, available = status.replicas, status.updated_replicas, status.available_replicas
        if there != wanted:
            yield f"{there} pods exist, but {wanted} are configured"
        yield from (
            f"{number} of {wanted} pods are {what}"
            for number, what in ((updated, "updated"), (available, "available"))
            if number < wanted
        )

    def owns(self, pod: "Pod") -> bool:
        """Whether it created ``pod``; its selector may match pods of others."""
        if self.kind == "Deployment":
            return pod.metadata.controller() == ("ReplicaSet", f"{self.metadata.name}-{pod.template}")
        return pod.metadata.controller() == (self.kind, self.metadata.name)


class _Waiting(_Struct):
    reason: str = ""
    message: str = ""


class _Terminated(_Struct):
    exit_code: int = 0


class _State(_Struct):
    waiting: _Waiting | None = None
    running: dict[str, Any] | None = None
    terminated: _Terminated | None = None


class _ContainerStatus(_Struct):
    name: str
    ready: bool = False
    image_id: str = msgspec.field(default="", name="imageID")
    state: _State = msgspec.field(default_factory=_State)
    last_state: _State = msgspec.field(default_factory=_State)


class _Condition(_Struct):
    type: str
    status: str
    message: str = ""


class _PodStatus(_Struct):
    phase: str = ""
    conditions: list[_Condition] | None = None
    container_statuses: list[_ContainerStatus] | None = None


class Pod(_Struct):
    """One pod."""

    metadata: _Metadata
    spec: _PodSpec
    status: _PodStatus = msgspec.field(default_factory=_PodStatus)

    @property
    def template(self) -> str:
        """The hash of its template."""
        labels = self.metadata.labels or {}
        return next((labels[each] for each in _HASHES if each in labels), "")

    @property
    def is_over(self) -> bool:
        """Whether it has ended for good, as an evicted pod has, which stays in the list."""
        return self.status.phase in ("Succeeded", "Failed")

    @property
    def is_ready(self) -> bool:
        """Whether it gets requests."""
        return any(each.type == "Ready" and each.status == "True" for each in self.status.conditions or ())

    def machine(self, container: str) -> Machine:
        """Return it as a machine whose image is that of ``container``."""
        spec = next((each for each in self.spec.containers if each.name == container), None)
        status = self._status(container)
        checks = int(spec is not None and spec.readiness_probe is not None)
        ready = status is not None and status.ready and self.is_ready
        return Machine(
            id=self.metadata.name,
            state=self._state(status),
            image=(spec.image if spec else "") or None,
            digest=(status.image_id.partition("@")[2] if status else "") or None,
            checks=checks,
            # A pod that is not ready may still be starting, so no check is critical.
            passing=checks if ready else 0,
            crashed=_crashed(status),
        )

    def _status(self, container: str) -> _ContainerStatus | None:
        return next((each for each in self.status.container_statuses or () if each.name == container), None)

    def _state(self, status: _ContainerStatus | None) -> str:
        if self.metadata.deletion_timestamp is not None:
            return "destroying"
        if status is None or status.state == _State():
            return "creating"
        if status.state.waiting is not None:
            reason = status.state.waiting.reason
            return "starting" if reason in _STARTING else reason or "starting"
        return "terminated" if status.state.terminated is not None else "started"

    def problem(self, container: str) -> str:
        """Return why ``container`` is not ready, in the words of the cluster; empty if it is ready or just starts."""
        status = self._status(container)
        if status is None:
            unscheduled = (each for each in self.status.conditions or () if each.type == "PodScheduled")
            return next((each.message for each in unscheduled if each.status == "False"), "")
        waiting = status.state.waiting
        if status.state.running is not None and self.metadata.deletion_timestamp is None:
            return "" if self.is_ready else "not ready"
        return "" if waiting is None or waiting.reason in _STARTING else waiting.message or waiting.reason


def _crashed(status: _ContainerStatus | None) -> bool:
    """Whether the container ended with an error, and was not started again."""
    if status is None or status.state.running is not None:
        return False
    ended = status.state.terminated or status.last_state.terminated
    return ended is not None and ended.exit_code != 0


class _Pods(_Struct):
    items: list[Pod] | None = None


def workload(text: str) -> Workload:
    """Parse one workload. Raises ``msgspec.MsgspecError``."""
    return converted(msgspec.json.decode(text), Workload)


def pods(text: str, of: Workload) -> tuple[Pod, ...]:
    """Return the pods of a workload that may serve requests. Raises ``msgspec.MsgspecError``.

    Pods that are being deleted may, if they have an earlier template; others of the current template just scale down.
    """
    found = [each for each in converted(msgspec.json.decode(text), _Pods).items or () if of.owns(each)]
    there = [each for each in found if not each.is_over]
    current = {each.template for each in there if each.metadata.deletion_timestamp is None}
    return tuple(each for each in there if each.metadata.deletion_timestamp is None or each.template not in current)


def incomplete(of: Workload, found: Sequence[Pod], container: str) -> str:
    """Return what the rollout of a workload lacks; empty if it is complete."""
    told = [f"{each.metadata.name}: {problem}" for each in found if (problem := each.problem(container))]
    missing = "; ".join((*of.missing(), *told[:_SHOWN]))
    templates = {each.template for each in found}
    return f"pods of {len(templates)} templates exist" if not missing and len(templates) > 1 else missing
