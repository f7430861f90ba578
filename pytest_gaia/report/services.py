"""Text about the environment: the header, the table of services, the deployed state, and why no test ran."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_gaia.config.environment import Environment
from pytest_gaia.config.ownership import misplaced
from pytest_gaia.config.platform import Service
from pytest_gaia.config.variables import variable_name
from pytest_gaia.observation.readiness import ServiceState
from pytest_gaia.observation.targets import ABSENT, question_of
from pytest_gaia.report.layout import aligned
from pytest_gaia.verdict.evidence import DeploymentSeen, ServiceSeen

if TYPE_CHECKING:
    # Most runs deploy nothing.
    from pytest_gaia.rollout.model import Rollout, RolloutResult, StepResult

_SHOWN = 12
"""limit of services in the header"""
_ASSUMED = Service("").auth
"""credentials of a service that declares none"""


def header(environment: Environment) -> list[str]:
    """Return the header: the environment, the source of that choice, its services, and missing credentials."""
    chosen = environment.sources.get("name", "default")
    services = environment.services
    more = f" and {len(services) - _SHOWN} more" if len(services) > _SHOWN else ""
    named = ", ".join(services[:_SHOWN]) or "none"
    lines = [f"gaia: environment {environment.label} ({chosen}), services: {named}{more}"]
    if not environment.sandbox:
        lines += _without_credentials(environment)
        lines += [f"gaia: no evidence for a promotion: {why}" for why in misplaced(environment)]
    return lines


def _without_credentials(environment: Environment) -> list[str]:
    """Return one line for each missing credential that a service is known to need.

    A service of the project that does not declare ``auth`` may need none.
    """
    described = [environment.platform[name] for name in environment.urls]
    needing = [each for each in described if each.auth and (each.auth != _ASSUMED or each.place == "default")]
    missing = [each for each in needing if not environment.credentials_of(each.name)]
    return list(dict.fromkeys(_without_credential(environment.name, each) for each in missing))


def _without_credential(environment: str, service: Service) -> str:
    name = service.auth[0].secret
    if name == "API_KEY" and not service.external:
        return f"gaia: no API key: set {variable_name(environment, name)}, GAIA_API_KEY or a line in .env"
    variable = variable_name(environment, f"{service.variable}_{name}")
    return f"gaia: no credential for {service.name}: set {variable} or a line in .env"


def service_table(environment: Environment, states: Sequence[ServiceState]) -> list[str]:
    """Return one aligned line per service: name, state, address and details."""
    release = environment.release or next((s.version for s in states if s.version), "unknown")
    rows = [(f"  {state.service}", state.state, state.endpoint, state.detail) for state in states]
    return [f"gaia: {environment.label}, version: {release}", *aligned(rows)]


def missing(environment: Environment, states: Sequence[ServiceState]) -> tuple[ServiceState, ...]:
    """Return the required services that have no address, are unreachable, or did not become ready."""
    required = [state for state in states if state.service in environment.required]
    return tuple(each for each in required if _is_absent(environment, each) or not (each.reachable and each.settled))


def _is_absent(environment: Environment, state: ServiceState) -> bool:
    # Tests of services that the sandbox does not run are not applicable.
    return state.state == ABSENT and not environment.sandbox


def reasons(absent: Sequence[ServiceState]) -> str:
    """Return why no test ran, in one line."""
    return "; ".join(
        f"{state.service}: {state.detail or state.state}" + (f": {state.remedy}" if state.is_out else "")
        for state in absent
    )


def not_ready(environment: Environment, absent: Sequence[ServiceState], deadline: float) -> list[str]:
    """Return the message for an environment that cannot be tested: hosts, attempts, and how to fix it."""
    gone = [state for state in absent if not state.reachable or state.state == ABSENT]
    lines = [f"gaia: {environment.label} is {'unreachable' if gone else 'not ready'}; no test ran."]
    for state in absent:
        if state.state == ABSENT:
            lines.append(f"  {state.service}: no address is known")
            continue
        if state.is_out:
            lines.append(f"  {state.service}: {state.detail}")
            continue
        source = environment.sources.get(f"urls.{state.service}", "default")
        question = question_of(environment.platform[state.service], state.endpoint)
        lines += [
            f"  {state.service}: {state.endpoint} ({source}): {state.detail}",
            f"    tried: {question}, {state.attempts} times in {state.elapsed:.1f} s (deadline {deadline:g} s)",
        ]
    return [*lines, *(_when_gone(environment, gone) if gone else _when_unsettled(environment))]


def _when_gone(environment: Environment, gone: Sequence[ServiceState]) -> list[str]:
    remedies = [f"{state.service}: {state.remedy}" if len(gone) > 1 else state.remedy for state in gone if state.remedy]
    others = [environment.platform[state.service] for state in gone if not state.remedy]
    ways = dict.fromkeys("--gaia-url SERVICE=URL" if each.is_http else f"GAIA_{each.variable}_URL" for each in others)
    if ways:
        remedies += [
            f"check the network and the host name, or set another address with {' or '.join(ways)};",
            f"`gaia env show {environment.name}` shows the source of each value.",
        ]
    first, *more = remedies
    return [f"  fix: {first}", *(f"       {each}" for each in more)]


def _when_unsettled(environment: Environment) -> list[str]:
    return [
        f"  fix: `gaia status {environment.name} --watch` shows the progress, `gaia logs {environment.name}` the reason;",
        f"       to wait longer, raise `ready` in [env.{environment.name}.timeouts] of gaia.toml.",
    ]


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


def outage_lines(outages: Mapping[str, object]) -> list[str]:
    """Return one line for each service whose containers are no evidence."""
    return [f"gaia: {service}: {outage}" for service, outage in outages.items()]


def taken(label: str, reasons: Sequence[str]) -> list[str]:
    """Return the message for addresses at which containers of another project respond."""
    head = f"gaia: {label} is not what responds at its addresses; no test ran."
    return [head, *(f"  {reason}" for reason in reasons), "  fix: stop the other containers, or publish other ports."]


def _state(seen: ServiceSeen) -> str:
    return seen.outcome.replace("_", " ") or seen.state


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


def reduced(limits: Mapping[str, tuple[int, int]]) -> list[str]:
    """Return a sentence for each service that returned 429 to concurrent tests; ``limits`` are those before and after."""
    return [
        f"{service} returned 429: from then on, at most {after} instead of {before} requests to it were sent at a time"
        for service, (before, after) in limits.items()
    ]
