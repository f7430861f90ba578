"""Text about deployments: what runs before the tests, and messages for failed deployments."""

import shlex
from collections.abc import Iterator

from pytest_gaia.report.layout import aligned
from pytest_gaia.rollout.model import Rollout, RolloutResult, StepResult
from pytest_gaia.verdict.evidence import DeploymentSeen, ServiceSeen

_SHORT = 19
"""characters shown of a digest: ``sha256:`` and twelve more"""
_TAIL = 15
"""number of the tool's last lines to show after a failure"""


def intention(rollout: Rollout, hook: str) -> str:
    """Return the header line for a planned deployment."""
    services = ", ".join(step.service for step in rollout.steps)
    return f"gaia: will deploy {services} to {rollout.environment} with {hook} before the first test"


def command(rollout: Rollout) -> str:
    """Return the command line of pytest that deploys ``rollout``."""
    services = ",".join(step.service for step in rollout.steps)
    words = ["pytest", f"--gaia-env={rollout.environment}", "--gaia-deploy", f"--gaia-deploy-services={services}"]
    words += [f"--gaia-deploy-image={step.service}={step.image}" for step in rollout.steps if step.image]
    words += [f"--gaia-deploy-region={rollout.region}"] if rollout.region else []
    words += ["--gaia-deploy-rebuild"] if rollout.rebuild else []
    return shlex.join(words)


def table(label: str, seen: DeploymentSeen) -> list[str]:
    """Return one aligned line per service: what runs, its health, and the outcome of this run's deployment."""
    if not seen.services:
        return []
    shown = [each for each in seen.services if each.machines is not None or each.outcome]
    did = "deployed by this run" if seen.by_this_run else "deployed state"
    lines = [f"gaia: {label}: {did} ({seen.hook})", *aligned([_row(each) for each in shown])] if shown else []
    return [*lines, *_unseen(seen), *(f"gaia: note: {note}" for note in seen.notes)]


def ending(step: StepResult) -> str:
    """Return the outcome of one service, in one line."""
    outcome = step.outcome.replace("_", " ")
    return f"  {step.service}: {outcome}" + (f": {step.reason}" if step.reason else "")


def failure(result: RolloutResult) -> list[str]:
    """Return the message for a failed deployment: the tool's last output, services not started, how to continue.

    The outcome of earlier services has been printed as they ended.
    """
    stopped = next(step for step in result.steps if not step.good)
    output = [f"  {stopped.service} | {line}" for line in stopped.tail[-_TAIL:]]
    head = f"gaia: the deployment of {result.environment} failed; no test ran."
    return [head, *output, *_untouched(result), *_go_on(result)]


def interruption(result: RolloutResult) -> list[str]:
    """Return the message for a deployment that was interrupted."""
    head = f"gaia: the deployment of {result.environment} was interrupted; no test ran."
    doubtful = [ending(step) for step in result.steps if step.outcome == "in doubt"]
    return [head, *doubtful, *_untouched(result), *_go_on(result)]


def _untouched(result: RolloutResult) -> list[str]:
    names = [step.service for step in result.steps if step.outcome == "not begun"]
    return [f"  not started: {', '.join(names)}"] if names else []


def _go_on(result: RolloutResult) -> list[str]:
    return [f"  to continue: {result.go_on}"] if result.go_on else []


def _row(seen: ServiceSeen) -> tuple[str, ...]:
    version = f"version {seen.version}" if seen.version is not None else ""
    images = ", ".join(each[:_SHORT] if each.startswith("sha256:") else each for each in seen.images)
    return (f"  {seen.service}", seen.app, _state(seen), version, images, _health(seen), seen.reason)


def _state(seen: ServiceSeen) -> str:
    if seen.outcome:
        return seen.outcome.replace("_", " ")
    return "running" if seen.machines else "not deployed"


def _health(seen: ServiceSeen) -> str:
    if not seen.machines:
        return ""
    machines = f"{seen.machines} machine{'s' if seen.machines > 1 else ''}"
    return f"{machines}, {seen.passing} of {seen.checks} checks pass" if seen.checks else f"{machines}, no checks"


def _unseen(seen: DeploymentSeen) -> Iterator[str]:
    """Yield why services could not be observed, grouped by reason."""
    reasons: dict[str, list[str]] = {}
    for each in seen.services:
        if each.machines is None and not each.outcome:
            reasons.setdefault(each.reason, []).append(each.service)
    for reason, services in reasons.items():
        yield f"gaia: note: deployed version unknown for {', '.join(services)}: {reason}"
