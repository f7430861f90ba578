"""Observe and operate apps on Fly.

Every function raises ``ConfigError`` (flyctl is not installed or not logged in, or has no permission), its subclass
``UnknownApp``, ``DeployUnavailable`` (Fly is rate-limited or unreachable) or ``DeployFailed`` (anything else). ``log`` gets
the lines of flyctl, with secrets masked.
"""

import math
from collections.abc import Callable

from pytest_gaia.deploy.contract import Observation, Reply, utc_now
from pytest_gaia.deploy.fly import shapes
from pytest_gaia.deploy.fly._tool import FlyTool
from pytest_gaia.deploy.fly.shapes import LogLine, NotJson, Release, find_json
from pytest_gaia.deploy.process import Finished
from pytest_gaia.errors import ConfigError

ASLEEP = frozenset({"stopped", "suspended"})
"""states of a machine that can be started again"""
_WAKE = 120.0
_SCALE = 300.0
_RECENT = 60.0


def observe(app: str, *, tool: FlyTool | None = None, deadline: float = 60.0) -> Observation:
    """Return the serving machines of ``app``, and the number of its current release."""
    tool = tool or FlyTool()
    listing = ("machine", "list", "-a", app, "--json")
    machines = tool.ask(shapes.serving, *listing, app=app, deadline=deadline)
    status = tool.ask(shapes.status, "status", "-a", app, "--json", app=app, deadline=deadline)
    return Observation(
        app=app,
        exists=True,
        machines=machines,
        version=status.version or None,
        hostname=status.hostname or None,
        taken=utc_now("milliseconds"),
    )


def releases(app: str, *, tool: FlyTool | None = None) -> tuple[Release, ...]:
    """Return the newest 25 releases of ``app``, newest first. Their status, as flyctl reports it, is not reliable."""
    return (tool or FlyTool()).ask(shapes.releases, "releases", "-a", app, "--json", app=app)


def secret_names(app: str, *, tool: FlyTool | None = None) -> frozenset[str]:
    """Return the names of the secrets that are set for ``app``. Fly does not return their values."""
    return (tool or FlyTool()).ask(shapes.secret_names, "secrets", "list", "-a", app, "--json", app=app)


def _nothing(_: str) -> None:
    pass


def sleeping(observation: Observation) -> tuple[str, ...]:
    """Return the ids of stopped and suspended machines."""
    return tuple(machine.id for machine in observation.machines if machine.state in ASLEEP)


def wake_commands(app: str, machines: tuple[str, ...], deadline: float = _WAKE) -> tuple[tuple[str, ...], ...]:
    """Return the arguments that start ``machines`` and wait until each has started."""
    if not machines:
        return ()
    limit = f"{max(1, int(deadline))}s"
    waits = (("machine", "wait", one, "-a", app, "--state", "started", "-w", limit) for one in machines)
    return ("machine", "start", *machines, "-a", app), *waits


def wake(
    app: str, *, log: Callable[[str], None] = _nothing, deadline: float = _WAKE, tool: FlyTool | None = None
) -> tuple[str, ...]:
    """Start the stopped and suspended machines of ``app``, wait until they have started, and return their ids.

    They may not respond immediately. Raises ``DeployUnavailable`` during a deployment, which holds the machines.
    """
    tool = tool or FlyTool()
    machines = sleeping(observe(app, tool=tool))
    for command in wake_commands(app, machines, deadline):
        _must(tool, tool.act(*command, deadline=deadline, log=log, out=log), app)
    return machines


def scale_commands(
    app: str, *, count: int | None = None, memory: int | None = None, region: str | None = None
) -> tuple[tuple[str, ...], ...]:
    """Return the arguments that set the number of machines of ``app`` and their ``memory`` in MB.

    Raises ``ConfigError`` if neither is given, or if one is not positive.
    """
    if count is None and memory is None:
        raise ConfigError(f"{app}: nothing to scale; give a count, an amount of memory, or both.")
    for what, value in (("count", count), ("memory", memory)):
        if value is not None and value < 1:
            raise ConfigError(f"{app}: {what} {value} must be at least 1.")
    place = ("--region", region) if region else ()
    commands = []
    # Memory first, because new machines copy the existing ones.
    if memory is not None:
        commands.append(("scale", "memory", str(memory), "-a", app))
    if count is not None:
        commands.append(("scale", "count", str(count), "-a", app, *place, "--yes"))
    return tuple(commands)


def scale(
    app: str,
    *,
    count: int | None = None,
    memory: int | None = None,
    region: str | None = None,
    dry_run: bool = False,
    log: Callable[[str], None] = _nothing,
    deadline: float = _SCALE,
    tool: FlyTool | None = None,
) -> Reply:
    """Set the number of machines of ``app`` and their ``memory`` in MB; return the commands and an observation."""
    tool = tool or FlyTool()
    commands = scale_commands(app, count=count, memory=memory, region=region)
    command_lines = tuple((tool.name, *command) for command in commands)
    if dry_run:
        return Reply(status="done", commands=command_lines)
    for command in commands:
        _must(tool, tool.act(*command, deadline=deadline, log=log, out=log), app)
    return Reply(status="done", commands=command_lines, observation=observe(app, tool=tool))


def logs(
    app: str,
    take: Callable[[LogLine], None],
    *,
    follow: bool = False,
    log: Callable[[str], None] = _nothing,
    tool: FlyTool | None = None,
) -> None:
    """Pass the newest lines of the log of ``app`` to ``take``; with ``follow`` continue until Ctrl-C. Masks secrets."""
    tool = tool or FlyTool()
    entries = _Entries(take, log)
    arguments = ("logs", "-a", app, *(() if follow else ("--no-tail",)), "--json")
    _must(tool, tool.act(*arguments, deadline=math.inf if follow else _RECENT, log=log, out=entries.add), app)


class _Entries:
    """Parser of JSON objects that span several lines."""

    def __init__(self, take: Callable[[LogLine], None], other: Callable[[str], None]) -> None:
        self._take = take
        self._other = other
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        """Add one line. The last line of an entry completes it; lines outside of entries go to ``other``."""
        if not self._lines and not line.startswith("{"):
            self._other(line)
            return
        self._lines.append(line)
        if line.endswith("}") and not line.startswith(" "):
            text, self._lines = "\n".join(self._lines), []
            try:
                self._take(shapes.log_line(find_json(text)))
            except NotJson:
                self._other(text)


def _must(tool: FlyTool, finished: Finished, app: str) -> None:
    if not finished.ok:
        raise tool.error(finished, app)
