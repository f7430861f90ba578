"""Text about the environment: the header, the table of services, and the message for an unreachable one."""

from collections.abc import Sequence

from pytest_gaia.config.environment import Environment
from pytest_gaia.config.ownership import misplaced
from pytest_gaia.config.variables import variable_name
from pytest_gaia.observation.readiness import ServiceState
from pytest_gaia.report.layout import aligned

_KEYS = {"nats": "nats", "postgres": "secrets.database"}
"""service → key of its address in the sources, if it is not an HTTP service"""


def header(environment: Environment) -> list[str]:
    """Return the header: the environment, the source of that choice, and missing credentials."""
    chosen = environment.sources.get("name", "default")
    lines = [f"gaia: environment {environment.label} ({chosen}), topology {environment.topology}"]
    if not environment.sandbox and environment.api_key is None:
        lines.append(
            f"gaia: no API key: set {variable_name(environment.name, 'API_KEY')}, GAIA_API_KEY or a line in .env"
        )
    if not environment.sandbox:
        lines += [f"gaia: no evidence for a promotion: {why}" for why in misplaced(environment)]
    return lines


def service_table(environment: Environment, states: Sequence[ServiceState]) -> list[str]:
    """Return one aligned line per service: name, state, address and details."""
    release = environment.release or next((s.version for s in states if s.version), "unknown")
    rows = [(f"  {state.service}", state.state, state.endpoint, state.detail) for state in states]
    return [f"gaia: {environment.label}, version: {release}", *aligned(rows)]


def missing(environment: Environment, states: Sequence[ServiceState]) -> tuple[ServiceState, ...]:
    """Return the required services that are unreachable or did not become ready."""
    return tuple(s for s in states if s.service in environment.required and s.asked and not (s.reachable and s.settled))


def reasons(absent: Sequence[ServiceState]) -> str:
    """Return why no test ran, in one line."""
    return "; ".join(f"{state.service}: {state.detail}" for state in absent)


def not_ready(environment: Environment, absent: Sequence[ServiceState], deadline: float) -> list[str]:
    """Return the message for an environment that cannot be tested: hosts, attempts, and how to fix it."""
    gone = [state for state in absent if not state.reachable]
    lines = [f"gaia: {environment.label} is {'unreachable' if gone else 'not ready'}; no test ran."]
    for state in absent:
        source = environment.sources.get(_KEYS.get(state.service, f"urls.{state.service}"), "default")
        lines += [
            f"  {state.service}: {state.endpoint} ({source}): {state.detail}",
            f"    tried: {_question(state)}, {state.attempts} times in {state.elapsed:.1f} s (deadline {deadline:g} s)",
        ]
    return [*lines, *(_when_gone(environment, gone) if gone else _when_unsettled(environment))]


def _when_gone(environment: Environment, gone: Sequence[ServiceState]) -> list[str]:
    remedies = [f"{state.service}: {state.remedy}" if len(gone) > 1 else state.remedy for state in gone if state.remedy]
    variables = {"nats": "GAIA_NATS_URL", "postgres": "GAIA_DATABASE_URL"}
    ways = dict.fromkeys(variables.get(state.service, "--gaia-url SERVICE=URL") for state in gone if not state.remedy)
    if ways:
        remedies += [
            f"check the network and the host name, or set another address with {' or '.join(ways)};",
            f"`gaia env show {environment.name}` shows the source of each value.",
        ]
    first, *others = remedies
    return [f"  fix: {first}", *(f"       {each}" for each in others)]


def _when_unsettled(environment: Environment) -> list[str]:
    return [
        f"  fix: `gaia status {environment.name} --watch` shows the progress, `gaia logs {environment.name}` the reason;",
        f"       to wait longer, raise `ready` in [env.{environment.name}.timeouts] of gaia.toml.",
    ]


def _question(state: ServiceState) -> str:
    questions = {"nats": "PING to NATS", "postgres": "connection to PostgreSQL"}
    return questions.get(state.service, "GET /health")
