"""The hook ``kubernetes``: set the image of a workload, and observe its pods.

Context and namespace are explicit in every call, so the current context of the user never counts. Neither
``rollout undo`` (it returns to any last revision) nor ``rollout status`` (its exit code is not reliable) is used.
"""

import re
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec

from pytest_gaia.deploy.contract import Observation, Reply, Request, UnknownApp, utc_now
from pytest_gaia.deploy.kubernetes import _shapes
from pytest_gaia.deploy.outcome import digest_of, is_id, repository_of
from pytest_gaia.deploy.process import Finished, find_tool, run_tool
from pytest_gaia.errors import ConfigError, DeployFailed, DeployUnavailable, nearest
from pytest_gaia.secrets.redaction import masker

T = TypeVar("T")

_TOOL = "kubectl"
_INSTALL = "Install kubectl (https://kubernetes.io/docs/tasks/tools/), or add its folder to PATH."
_VARIABLES = {"KUBERC": "off", "NO_COLOR": "1"}
"""no preferences of the user, which could change the output"""
_LONGEST = 60.0
"""seconds for one call, which sends few requests to the cluster"""


class KubernetesHook:
    """Deploy one workload. Regions and builds do not apply."""

    name = "kubernetes"

    def run(self, request: Request, log: Callable[[str], None]) -> Reply:
        """Run one phase. Raises ``ConfigError`` for problems that only the user can fix."""
        cluster = _Cluster(request, log)
        try:
            if request.phase == "observe":
                return _observe(cluster)
            return _deploy(cluster, _image(request))
        except DeployUnavailable as problem:
            return Reply(status="retry", message=str(problem))
        except DeployFailed as problem:
            return Reply(status="failed", message=str(problem))


def _observe(cluster: "_Cluster") -> Reply:
    workload = cluster.workload()
    container = workload.container(cluster.request.service)
    selected = ("get", "pods", "--selector", workload.selector())
    found = cluster.read(lambda text: _shapes.pods(text, workload), *selected)
    observation = Observation(
        app=cluster.request.app,
        exists=True,
        machines=tuple(each.machine(container) for each in found),
        version=workload.revision,
        incomplete=_shapes.incomplete(workload, found, container),
        taken=utc_now("milliseconds"),
    )
    return Reply(status="done", version=observation.version, observation=observation)


def _deploy(cluster: "_Cluster", image: str) -> Reply:
    request = cluster.request
    workload = cluster.workload()
    container = workload.container(request.service)
    if why := workload.refusal(container):
        raise ConfigError(f"{why} Nothing was changed.")
    arguments = cluster.arguments("set", "image", request.app, f"{container}={image}")
    reply = Reply(status="done", commands=((_TOOL, *arguments),), image=image)
    if request.phase != "plan" and not request.dry_run:
        cluster.call(arguments)
    return reply


def _image(request: Request) -> str:
    """Return the image to deploy, without its tag. Raises ``ConfigError`` for a request that this hook cannot fulfill."""
    if request.region is not None:
        raise ConfigError("--region: the context of the environment decides where a workload runs; remove the option.")
    if request.rebuild:
        raise ConfigError("--rebuild: the hook kubernetes builds no images; remove the option.")
    image = request.previous or request.image or ""
    if is_id(image) or not (digest := digest_of(image)):
        option = "--to" if request.phase == "rollback" or request.previous else "--image"
        given = f"{image} has no digest" if image else "no image is given"
        raise ConfigError(
            f"{request.service}: {given}, so gaia could not verify what runs. "
            f"Use {option} {request.service}=IMAGE@sha256:…. Nothing was changed."
        )
    return f"{repository_of(image)}@{digest}"


class _Cluster:
    """Calls of kubectl for one request."""

    def __init__(self, request: Request, log: Callable[[str], None]) -> None:
        if not request.context or not request.namespace:
            raise ConfigError(
                f"kubernetes: {request.environment} has no context and namespace; set both in "
                f"[env.{request.environment}.deploy] of gaia.toml. The current context of kubectl is never used."
            )
        self.request = request
        self._log = log
        self._redact = masker()
        self._until = time.monotonic() + request.deadline
        self._there = f"namespace {request.namespace} of context {request.context}"

    def workload(self) -> _shapes.Workload:
        """Return the workload of the request."""
        return self.read(_shapes.workload, "get", self.request.app)

    def arguments(self, *words: str) -> tuple[str, ...]:
        """Return the arguments of kubectl for one call."""
        return ("--context", str(self.request.context), "--namespace", str(self.request.namespace), *words)

    def read(self, parse: Callable[[str], T], *words: str) -> T:
        """Return the parsed output of a call."""
        finished = self.call(self.arguments(*words, "--output", "json"))
        try:
            return parse(finished.stdout)
        except msgspec.MsgspecError as problem:
            raise DeployFailed(f"`{_shown(finished)}` printed unexpected output: {problem}.") from None

    def call(self, arguments: tuple[str, ...]) -> Finished:
        """Run kubectl. Raises the failure as an error with its reason and what to do."""
        finished = self._run(arguments)
        if not finished.ok:
            raise self._error(finished)
        return finished

    def _run(self, arguments: tuple[str, ...]) -> Finished:
        return run_tool(
            (find_tool(_TOOL, install=_INSTALL), *arguments),
            deadline=max(1.0, min(_LONGEST, self._until - time.monotonic())),
            # Plugins for logins read variables of their own; none of this project's credentials concerns them.
            env=_VARIABLES,
            log=self._log,
            redact=self._redact,
        )

    def _error(self, finished: Finished) -> Exception:
        what, why = f"`{_shown(finished)}` failed", _reason(finished)
        if finished.timed_out or _TEMPORARY.search(why):
            return DeployUnavailable(f"{what}: {why}.")
        if re.search(r"\(NotFound\)", why):
            return self._not_found(what, why)
        if re.search(r"context .*does not exist|no context exists", why):
            return ConfigError(f"{what}: {why}. {self._contexts()}")
        for pattern, fix in _ONLY_THE_USER:
            if re.search(pattern, why, re.IGNORECASE):
                return ConfigError(f"{what}: {why}. {fix.format(there=self._there)}")
        return DeployFailed(f"{what}: {why}.")

    def _contexts(self) -> str:
        """Return the contexts that exist, for a wrong one."""
        found = self._run(("config", "get-contexts", "--output", "name"))
        known = tuple(found.stdout.split()) if found.ok else ()
        return nearest(str(self.request.context), known) if known else "kubectl has no contexts; see KUBECONFIG."

    def _not_found(self, what: str, why: str) -> ConfigError:
        """Return the error for a missing workload. The server reports the same for a missing namespace."""
        namespace = self._run(self.arguments("get", "namespace", str(self.request.namespace), "--output", "name"))
        if not namespace.ok and "(NotFound)" in _reason(namespace):
            return ConfigError(f"{what}: the {self._there} does not exist. Correct `namespace`, or create it.")
        return UnknownApp(
            f"{what}: {why} in {self._there}. Create it first, for example with kubectl apply, or correct `deploy` of "
            f"the service {self.request.service}."
        )


_TEMPORARY = re.compile(
    r"\((?:TooManyRequests|ServiceUnavailable|InternalError|Timeout|ServerTimeout|Conflict)\)|etcdserver"
    r"|was refused|connection (?:refused|reset)|i/o timeout|TLS handshake timeout|no such host|network is unreachable"
    r"|temporary failure in name resolution|context deadline exceeded|Client\.Timeout|unexpected EOF",
    re.IGNORECASE,
)
_ONLY_THE_USER = (
    (r"admission webhook|\(Invalid\)", "A rule of the cluster refuses it."),
    (r"\(Forbidden\)", "The user of the context needs the permission in {there}."),
    (r"\(Unauthorized\)|must be logged in|provide credentials|getting credentials|error: EOF",
     "Log in to the cluster of the context again."),
    (r"x509|certificate", "Check the certificates in the kubeconfig."),
    (r"loading config file|invalid configuration", "Correct the kubeconfig (KUBECONFIG, or ~/.kube/config)."),
    (r"doesn't have a resource type|unable to find container", "Correct `deploy` of the service."),
)  # fmt: skip
"""pattern in the message → what to do; a retry would not help"""
_KLOG = re.compile(r"^[EWI]\d{4} ")
"""beginning of a line of the log of client libraries, which repeats the reason"""


def _reason(finished: Finished) -> str:
    """Return the reason of a failure in one line, without a full stop."""
    if finished.timed_out:
        return f"time limit exceeded after {finished.elapsed:.0f} s"
    lines = [line for line in finished.stderr_tail if line.strip() and not _KLOG.match(line)]
    return " ".join(lines[-1].split()).rstrip(".") if lines else f"exit code {finished.exit_code}"


def _shown(finished: Finished) -> str:
    return " ".join((_TOOL, *finished.argv[1:]))
