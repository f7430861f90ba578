"""No name of a service has a meaning: the built-in platform with all of its services renamed is observed in the same way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_gaia.config.platform import Platform
from pytest_gaia.observation.overview import environment_view
from pytest_gaia.observation.overview import observe as observe_environment
from pytest_gaia.observation.readiness import Demand, probe_services
from pytest_gaia.observation.sampling import sample
from pytest_gaia.report.services import not_ready
from pytest_gaia.run.sandbox import bind
from tests.observation.scripted import observe
from tests.projects import gaia_environment

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.config.environment import Environment
    from pytest_gaia.run.sandbox import Sandbox

NAMES = {
    "gateway": "edge",
    "auth": "gate-keeper",
    "asset": "files",
    "chat": "talk",
    "nats": "queue",
    "postgres": "accounts-db",
}
JUST_DEPLOYED = Demand(successes=2, healthy=frozenset(NAMES.values()), patient=True)


def renamed(environment: Environment) -> Environment:
    """Return ``environment`` with other names of its services, declared in reverse order."""
    services = [
        replace(
            service,
            name=NAMES[name],
            depends_on=tuple(NAMES[each] for each in service.depends_on),
            via=NAMES.get(service.via or ""),
        )
        for name, service in environment.platform.services.items()
        if name in NAMES
    ]
    platform = Platform({each.name: each for each in reversed(services)}, name="other", entry="edge")
    return replace(
        environment,
        platform=platform,
        urls={NAMES[name]: url for name, url in environment.urls.items()},
        connections={NAMES[name]: url for name, url in environment.connections.items()},
        services=tuple(NAMES[name] for name in environment.services),
        required=tuple(NAMES[name] for name in environment.required),
    )


def test_it_gets_ready_and_has_its_capabilities(sandbox: Sandbox, tmp_path: Path) -> None:
    whole = renamed(bind(gaia_environment("sandbox", sandbox=True), sandbox.stack("renamed")))

    states = probe_services(whole, deadline=30, demand=JUST_DEPLOYED)

    assert [each.service for each in states] == list(reversed(NAMES.values()))
    assert {(each.state, each.settled) for each in states} == {("ready", True)}
    assert observe(whole, states).capabilities == set(NAMES.values())
    alone = replace(whole, urls={"edge": whole.urls["edge"]}, connections={})
    seen = observe(alone, [each for each in states if each.service == "edge"])
    assert seen.capabilities == {"edge", "gate-keeper", "files", "talk"}

    view = observe_environment(whole, tmp_path, deadline=10)
    assert (view.state, [each.service for each in view.apps]) == ("running", list(reversed(NAMES.values())))


def test_a_missing_service_is_missed_unless_the_environment_lacks_it(sandbox: Sandbox) -> None:
    stack = sandbox.stack("renamed-without")
    sandbox.fault("renamed-without", "asset", "stop")
    whole = renamed(bind(gaia_environment("sandbox", sandbox=True), stack))
    without = replace(
        whole,
        services=tuple(each for each in whole.services if each != "files"),
        urls={name: url for name, url in whole.urls.items() if name != "files"},
    )

    missed = {each.service: each for each in probe_services(whole, deadline=2, demand=JUST_DEPLOYED)}
    (lacking,) = (each for each in probe_services(without, deadline=20, demand=JUST_DEPLOYED) if each.service == "edge")
    readings = sample(without, deadline=5)
    sandbox.heal("renamed-without")

    assert [name for name, each in missed.items() if not each.settled] == ["files", "edge"]
    assert "  files: " in "\n".join(not_ready(whole, [missed["files"]], 2))
    assert (lacking.state, lacking.settled) == ("degraded", True)
    assert {each.well for each in readings} == {True}
    view = environment_view(without, [], source="health")
    assert [(each.service, each.state) for each in view.apps] == [("files", "absent")]
