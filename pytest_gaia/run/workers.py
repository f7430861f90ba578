"""Controller and workers of pytest-xdist: the only module that speaks of ``workerinput`` and ``workeroutput``."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_gaia.run.sandbox import Sandbox
from pytest_gaia.run.session import MAIN, Run
from pytest_gaia.secrets.masks import adopt_mask_key, mask_key

DESELECTED = "gaia_deselected"
LEFT_OUT = "gaia_left_out"
"""tests that vanished between collection and the first test"""
UNCOLLECTED = "gaia_uncollected"
"""files of tests that were not collected"""
_SANDBOX = "gaia_stack"
_HANDOFF = "gaia_handoff"
_USAGE_ERROR = "gaia_mistake"
_MASKS = "gaia_masks"
_SECRETS = "gaia_secrets"


def process_name(config: Any) -> str:
    """Return the worker's id, or ``main`` for a controller and for a run without workers."""
    workerinput: dict[str, str] | None = getattr(config, "workerinput", None)
    return workerinput["workerid"] if workerinput else MAIN


def tell_worker(node: Any, run: Run) -> None:
    """On the controller: hand a starting worker the places of the sandbox and of what will be observed."""
    if run.sandbox is not None:
        node.workerinput[_SANDBOX] = str(run.sandbox.directory)
    node.workerinput[_HANDOFF] = str(run.handoff.open())
    node.workerinput[_MASKS] = mask_key()


def attach(config: Any, run: Run) -> None:
    """On a worker: use the controller's sandbox, and see what it sees."""
    run.handoff.attach(Path(config.workerinput[_HANDOFF]))
    # Taken out, so that nobody shows it who shows what a worker was given.
    adopt_mask_key(config.workerinput.pop(_MASKS))
    if directory := config.workerinput.get(_SANDBOX):
        run.sandbox = Sandbox.attach(Path(directory))


def hold_back(scheduler: Any, may_begin: Callable[[], bool]) -> None:
    """On the controller: let no worker begin before all have collected and ``may_begin`` has agreed.

    It is asked once. A scheduler that was never told to begin has nothing pending, and so ends the run in order.
    """
    schedule: Callable[[], None] = scheduler.schedule
    answers: list[bool] = []

    def held() -> None:
        if not answers:
            answers.append(may_begin())
        if answers[0]:
            schedule()

    scheduler.schedule = held


def report_usage_error(config: Any, message: str) -> None:
    """On a worker: hand the user's mistake to the controller, which has the terminal and the exit code."""
    config.workeroutput[_USAGE_ERROR] = message


def tell_nodes(config: Any, what: str, nodes: Iterable[str]) -> None:
    """On a worker: hand the controller node ids, or files; ``what`` is :data:`DESELECTED` or one of its kind."""
    config.workeroutput.setdefault(what, []).extend(nodes)


def nodes_of(node: Any, what: str) -> list[str]:
    """On the controller: the node ids, or files, that a worker has handed over."""
    output: dict[str, list[str]] = getattr(node, "workeroutput", {})
    return output.get(what, [])


def tell_secrets(config: Any, named: Mapping[str, str]) -> None:
    """On a worker: hand the controller the secrets that this process knows, value → name."""
    config.workeroutput[_SECRETS] = dict(named)


def secrets_of_worker(node: Any) -> Iterator[tuple[str, str]]:
    """On the controller: take over name and value of the secrets that a worker knew, and leave none of them behind."""
    output: dict[str, dict[str, str]] = getattr(node, "workeroutput", {})
    return ((name, value) for value, name in output.pop(_SECRETS, {}).items())


def usage_error_of(node: Any) -> str | None:
    """On the controller: the mistake that a worker found, if it ended in order and found one."""
    output: dict[str, str] = getattr(node, "workeroutput", {})
    return output.get(_USAGE_ERROR)
