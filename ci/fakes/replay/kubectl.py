"""The command line of ``kubectl``: the commands that the project uses, with the real messages. Its exit code is 1.

A call without ``--context`` or ``--namespace`` fails here, because a real one would use the current context of the user.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from . import kubernetes_api as api
from .faults import take
from .flags import Line, Usage, flags, parse
from .process import Process, answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .state import Store

FLAGS = flags("context namespace/n output/o selector/l request-timeout kubeconfig field-manager")
DOWN = "The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?"
LOGGED_OUT = "error: You must be logged in to the server (Unauthorized)"


class ToolError(Exception):
    """The tool prints this message on standard error and exits with 1."""


def main(words: Sequence[str]) -> int:
    """Run one command line, record it in the state file, and return its exit code."""
    return answer("kubectl", words, _run, interrupted=130)


def _run(words: list[str], store: Store) -> int:
    try:
        line = parse(words, FLAGS)
        command, arguments = next(iter(line.arguments), ""), line.arguments[1:]
        if command == "config":
            for name in api.cluster(store.read())["contexts"]:
                print(name)
        else:
            Call(line, store).run(command, arguments)
    except Usage as error:
        print(f"error: {error}\nSee 'kubectl --help' for usage.", file=sys.stderr)
        return 1
    except (ToolError, api.ApiError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


class Call(Process):
    """One call to the API of a cluster."""

    def __init__(self, line: Line, store: Store) -> None:
        self.context = line.get("context")
        self.namespace = line.get("namespace")
        self.line = line
        self.store = store
        if not self.context or not self.namespace:
            raise ToolError("error: the fake has no current context; a call must have --context and --namespace")

    def run(self, command: str, arguments: list[str]) -> None:
        """Run ``get`` or ``set image``."""
        with self.store.change() as state:
            if self.context not in api.cluster(state)["contexts"]:
                raise ToolError(f'error: context "{self.context}" does not exist')
            self._before(state, command)
            slow = take(state, "kubectl", command, "slow")
        if slow:
            self.follow(slow.number or 1.0)
        with self.store.change() as state:
            if command == "get":
                self._get(state, arguments)
            elif command == "set" and arguments[:1] == ["image"]:
                self._set_image(state, *arguments[1:])
            else:
                raise ToolError(f'error: unknown command "{command}" for "kubectl"')

    def _before(self, state: dict[str, Any], command: str) -> None:
        """Apply the faults of the API server."""
        fault = take(state, "kubectl", command, "down", "unauthorised", "rate-limited", "server-error", "chatter")
        if fault is None:
            return
        if fault.kind == "chatter":
            self.note("Warning: v1 ComponentStatus is deprecated in v1.19+")
            return
        raise {
            "down": ToolError(
                'E0803 15:20:11.404693   20675 memcache.go:265] "Unhandled Error" err="couldn\'t get current server API '
                f'group list: Get \\"https://10.0.0.1:6443/api?timeout=32s\\": connect: connection refused"\n{DOWN}'
            ),
            "unauthorised": ToolError(LOGGED_OUT),
            "rate-limited": api.ApiError("TooManyRequests", "Too many requests, please try again later."),
            "server-error": api.ApiError("InternalError", "Internal error occurred: etcdserver: request timed out"),
        }[fault.kind]

    def _get(self, state: dict[str, Any], arguments: list[str]) -> None:
        kind, name = _kind_and_name(arguments)
        self._allow(state, "get", kind, name)
        if kind == "namespace":
            if name not in api.cluster(state)["contexts"][self.context]:
                raise api.not_found("namespaces", name)
            self._print({"kind": "Namespace", "metadata": {"name": name}}, "namespace", name)
        elif kind == "pods":
            found = api.pods(state, self.context, self.namespace, self.line.get("selector", ""))
            self._print({"apiVersion": "v1", "items": found, "kind": "List", "metadata": {"resourceVersion": ""}})
        else:
            workload = api.find(state, self.context, self.namespace, kind, name)
            api.tick(state, workload)
            self._print(api.shown(workload), kind, name)

    def _set_image(self, state: dict[str, Any], unit: str, change: str) -> None:
        kind, name = _kind_and_name([unit])
        workload = api.find(state, self.context, self.namespace, kind, name)
        container, _, image = change.partition("=")
        if container not in workload["images"]:
            raise ToolError(f'error: unable to find container named "{container}"')
        self._allow(state, "patch", kind, name)
        if workload["images"][container] != image:
            if not take(state, name, "set", "phantom"):
                api.set_image(workload, container, image)
            self.say(f"{kind}.apps/{name} image updated")

    def _allow(self, state: dict[str, Any], verb: str, kind: str, name: str) -> None:
        fault = take(state, name or kind, verb, "forbidden")
        if fault is not None:
            group = "" if kind in ("pods", "namespace") else "apps"
            resource = f"{kind.removesuffix('s')}s"
            what = f"{resource}{f'.{group}' if group else ''}{f' {json.dumps(name)}' if name else ''}"
            raise api.ApiError(
                "Forbidden",
                f'{what} is forbidden: User "ci" cannot {verb if name else "list"} resource "{resource}" in API group '
                f'"{group}" in the namespace "{self.namespace}"',
            )

    def _print(self, value: dict[str, Any], kind: str = "", name: str = "") -> None:
        self.say(f"{kind}/{name}" if self.line.get("output") == "name" else json.dumps(value, indent=4))


def _kind_and_name(arguments: list[str]) -> tuple[str, str]:
    kind, _, name = arguments[0].partition("/")
    name = name or next(iter(arguments[1:]), "")
    if kind not in ("deployment", "statefulset", "daemonset", "pods", "namespace"):
        raise ToolError(f'error: the server doesn\'t have a resource type "{kind}"')
    return kind, name
