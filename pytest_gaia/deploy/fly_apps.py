"""What can be asked of Fly without changing anything.

Every function raises ``ConfigError`` (flyctl is not installed, nobody is logged in, no permission), its kind
``UnknownApp``, ``DeployUnavailable`` (rate-limited or out of reach, and it lasted) or ``DeployFailed`` (anything else).
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from pytest_gaia.deploy import fly_shapes
from pytest_gaia.deploy.contract import Observation
from pytest_gaia.deploy.fly_machines import serving
from pytest_gaia.deploy.fly_tool import FlyTool

if TYPE_CHECKING:
    from pytest_gaia.deploy.fly_shapes import FlyApp, Release


def apps(organization: str | None = None, *, tool: FlyTool | None = None) -> tuple[FlyApp, ...]:
    """Return all apps, of one organisation (its slug) or of all that the user belongs to, by name.

    A token for a single app may not ask this: ``ConfigError``.
    """
    chosen = ("-o", organization) if organization else ()
    return (tool or FlyTool()).ask(fly_shapes.apps, "apps", "list", *chosen, "--json")


def observe(app: str, *, tool: FlyTool | None = None, deadline: float = 60.0) -> Observation:
    """Return what runs of ``app``: its serving machines, and the number of its current release."""
    tool = tool or FlyTool()
    listing = ("machine", "list", "-a", app, "--json")
    machines = tool.ask(serving, *listing, app=app, deadline=deadline)
    status = tool.ask(fly_shapes.status, "status", "-a", app, "--json", app=app, deadline=deadline)
    return Observation(
        app=app,
        exists=True,
        machines=machines,
        release=status.version or None,
        hostname=status.hostname or None,
        taken=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
    )


def releases(app: str, *, tool: FlyTool | None = None) -> tuple[Release, ...]:
    """Return the newest 25 releases of ``app``, newest first. Their status is flyctl's word, and proves nothing."""
    return (tool or FlyTool()).ask(fly_shapes.releases, "releases", "-a", app, "--json", app=app)


def secret_names(app: str, *, tool: FlyTool | None = None) -> frozenset[str]:
    """Return the names of the secrets that are set for ``app``; their values never leave Fly."""
    return (tool or FlyTool()).ask(fly_shapes.secret_names, "secrets", "list", "-a", app, "--json", app=app)
