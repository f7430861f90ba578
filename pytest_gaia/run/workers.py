"""Data exchange between controller and workers of pytest-xdist, through ``workerinput`` and ``workeroutput``."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_gaia.run.sandbox import Sandbox
from pytest_gaia.run.session import MAIN, Run
from pytest_gaia.secrets.masks import adopt_mask_key, mask_key

CANCELLED = "gaia_cancelled"
"""tests that had begun when the run ended before their turn"""
DESELECTED = "gaia_deselected"
LATE = "gaia_late"
"""failures that belong to no test"""
LEFT_OUT = "gaia_left_out"
"""tests that vanished between collection and the first test"""
UNCOLLECTED = "gaia_uncollected"
"""files of tests that were not collected"""
_SANDBOX = "gaia_stack"
_HANDOFF = "gaia_handoff"
_USAGE_ERROR = "gaia_mistake"
_SEED = "gaia_shuffle_seed"
_MASKS = "gaia_masks"
_SECRETS = "gaia_secrets"
_CREDENTIALS = "gaia_credentials"
_REDUCED = "gaia_reduced"
_NETWORK = "gaia_network"


def process_name(config: Any) -> str:
    """Return the worker's id, or ``main`` for a controller and for a run without workers."""
    workerinput: dict[str, str] | None = getattr(config, "workerinput", None)
    return workerinput["workerid"] if workerinput else MAIN


def tell_worker(node: Any, run: Run) -> None:
    """On the controller: pass folders, credentials that it has removed from its variables, and the seed to a new worker."""
    if run.sandbox is not None:
        node.workerinput[_SANDBOX] = str(run.sandbox.directory)
    node.workerinput[_HANDOFF] = str(run.handoff.open())
    node.workerinput[_MASKS] = mask_key()
    node.workerinput[_CREDENTIALS] = dict(run.withheld)
    node.workerinput[_SEED] = run.shuffle_seed


def take_credentials(config: Any) -> None:
    """On a worker: add variables with credentials that the controller has removed from its own."""
    # Removed, so that a dump of workerinput does not contain them.
    os.environ.update(getattr(config, "workerinput", {}).pop(_CREDENTIALS, {}))


def attach(config: Any, run: Run) -> None:
    """On a worker: use the controller's sandbox, its observation and its order of tests."""
    run.shuffle_seed = config.workerinput[_SEED]
    run.handoff.attach(Path(config.workerinput[_HANDOFF]))
    # Removed, so that a dump of workerinput does not contain it.
    adopt_mask_key(config.workerinput.pop(_MASKS))
    if directory := config.workerinput.get(_SANDBOX):
        run.sandbox = Sandbox.attach(Path(directory))


def hold_back(scheduler: Any, may_begin: Callable[[], bool]) -> None:
    """On the controller: start no worker until all have collected and ``may_begin`` returns true.

    ``may_begin`` is called once. A scheduler that never starts has no pending tests, and so the run ends normally.
    """
    schedule: Callable[[], None] = scheduler.schedule
    permissions: list[bool] = []

    def held() -> None:
        if not permissions:
            permissions.append(may_begin())
        if permissions[0]:
            schedule()

    scheduler.schedule = held


def report_usage_error(config: Any, message: str) -> None:
    """On a worker: pass a usage error to the controller, which prints it and sets the exit code."""
    config.workeroutput[_USAGE_ERROR] = message


def tell_nodes(config: Any, what: str, nodes: Iterable[str]) -> None:
    """On a worker: pass node ids, files or failures to the controller; ``what`` is a key such as :data:`DESELECTED`."""
    config.workeroutput.setdefault(what, []).extend(nodes)


def nodes_of(node: Any, what: str) -> list[str]:
    """On the controller: return the node ids, files or failures from a worker."""
    output: dict[str, list[str]] = getattr(node, "workeroutput", {})
    return output.get(what, [])


def tell_secrets(config: Any, named: Mapping[str, str]) -> None:
    """On a worker: pass the known secrets to the controller, value → name."""
    config.workeroutput[_SECRETS] = dict(named)


def secrets_of_worker(node: Any) -> Iterator[tuple[str, str]]:
    """On the controller: remove the secrets from a worker's output and return their names and values."""
    output: dict[str, dict[str, str]] = getattr(node, "workeroutput", {})
    return ((name, value) for value, name in output.pop(_SECRETS, {}).items())


def tell_reduced(config: Any, run: Run) -> None:
    """On a worker: pass the services whose limit a 429 has reduced to the controller."""
    config.workeroutput[_REDUCED] = run.reduced()


def reduced_of_worker(node: Any) -> dict[str, tuple[int, int]]:
    """On the controller: return service → limit of requests in flight before and after the responses of 429."""
    output: dict[str, dict[str, tuple[int, int]]] = getattr(node, "workeroutput", {})
    return output.get(_REDUCED, {})


def tell_network(config: Any, run: Run) -> None:
    """On a worker: pass what its network guard has found to the controller."""
    if run.network is not None:
        config.workeroutput[_NETWORK] = run.network.findings.plain()


def network_of_worker(node: Any) -> dict[str, Any] | None:
    """On the controller: return what the network guard of a worker has found, as plain values."""
    output: dict[str, dict[str, Any]] = getattr(node, "workeroutput", {})
    return output.get(_NETWORK)


def usage_error_of(node: Any) -> str | None:
    """On the controller: return the usage error of a worker, if it reported one."""
    output: dict[str, str] = getattr(node, "workeroutput", {})
    return output.get(_USAGE_ERROR)
