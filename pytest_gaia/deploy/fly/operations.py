"""Run flyctl: observe and operate apps on Fly, classify failures, and retry temporary ones.

Every function raises ``ConfigError`` (flyctl is not installed or not logged in, or has no permission), its subclass
``UnknownApp``, ``DeployUnavailable`` (Fly is rate-limited or unreachable) or ``DeployFailed`` (anything else). ``log`` gets
the lines of flyctl, with secrets masked.
"""

import math
import random
import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path, PurePath
from typing import Any, Literal, TypeAlias, TypeVar

from pytest_gaia.deploy.contract import LogLine, Observation, Reply, UnknownApp, utc_now
from pytest_gaia.deploy.fly import shapes
from pytest_gaia.deploy.fly.shapes import NotJson, Release, find_json
from pytest_gaia.deploy.process import Finished, ending, find_tool, run_tool
from pytest_gaia.errors import ConfigError, DeployFailed, DeployUnavailable
from pytest_gaia.system.signals import wait_for

T = TypeVar("T")

VARIABLES = {"NO_COLOR": "1", "FLY_NO_UPDATE_CHECK": "1", "FLY_SEND_METRICS": "0", "FLY_EMIT_RELEASE_JSON": "1"}
"""Variables for every call, in addition to those of the user. The token stays in a variable, never in a command."""

_SECRETS = ("FLY_", "DOCKER_", "DEPOT_")
"""prefixes of secrets that flyctl and its builders read"""

_INSTALL = "Install flyctl (https://fly.io/docs/flyctl/install/), or add its folder to PATH."
_FIRST_PAUSE = 1.0
_DO: dict[str, str] = {
    "not-logged-in": "Run `fly auth login`, or set FLY_API_TOKEN (in CI: `fly tokens create deploy -a {app}`).",
    "unauthorized": (
        "The token in FLY_API_TOKEN, or the account of `fly auth whoami`, has no permission: it belongs to another "
        "organization or app, is read-only, or has expired."
    ),
    "unknown-app": "Check the name of the app in the deploy file, or run `fly apps create {app}`.",
}


class FlyTool:
    """flyctl. ``wait`` waits a number of seconds; ``attempts`` is the maximum number of calls."""

    def __init__(self, *, wait: Callable[[float], object] | None = None, attempts: int = 5) -> None:
        self._wait = partial(wait_for, ending) if wait is None else wait
        self._attempts = attempts

    @cached_property
    def path(self) -> str:
        """The path of the executable. Raises ``ConfigError`` if it is not installed."""
        return find_tool("fly", "flyctl", install=_INSTALL)

    @property
    def name(self) -> str:
        """The name of the executable."""
        return PurePath(self.path).name

    def act(
        self,
        *arguments: str,
        deadline: float,
        log: Callable[[str], None] = lambda _: None,
        out: Callable[[str], None] | None = None,
        directory: Path | None = None,
    ) -> Finished:
        """Run one command, and return its result; ``log`` and ``out`` get its lines."""
        crashes: list[str] = []

        def take(line: str) -> None:
            if _CRASH.match(line):
                crashes.append(line)
            log(line)

        command = [self.path, *arguments]
        done = run_tool(command, deadline=deadline, cwd=directory, env=VARIABLES, secrets=_SECRETS, log=take, out=out)
        # flyctl prints the log of the app after this error, and any line of it may begin with "error".
        return replace(done, stderr_tail=(*done.stderr_tail, crashes[-1])) if crashes else done

    def ask(self, read: Callable[[Any], T], *arguments: str, app: str = "", deadline: float = 60.0) -> T:
        """Return the result of ``read`` for the JSON output of a command. Retries temporary failures.

        Raises ``ConfigError`` for problems that only the user can fix, ``DeployUnavailable`` if a temporary failure lasts,
        and ``DeployFailed`` for any other failure.
        """
        until = time.monotonic() + deadline
        for attempt in range(1, self._attempts + 1):
            finished = self.act(*arguments, deadline=max(1.0, until - time.monotonic()))
            if finished.ok:
                return self._read(read, finished)
            pause = _pause(attempt)
            again = attempt < self._attempts and time.monotonic() + pause < until
            if classify(finished) != "temporary" or not again:
                break
            self._wait(pause)
        raise self.error(finished, app)

    def error(self, finished: Finished, app: str = "") -> ConfigError | DeployUnavailable | DeployFailed:
        """Return the failure of a command as an error with its reason and what to do."""
        what, why = f"`{self.command_line(finished)}` failed", explain(finished)
        failure = classify(finished)
        if failure in _DO:
            kind = UnknownApp if failure == "unknown-app" else ConfigError
            return kind(f"{what}: {why}. {_DO[failure].format(app=app or 'APP')}")
        if failure == "temporary" or finished.timed_out:
            return DeployUnavailable(f"{what} repeatedly: {why}. Try again later.")
        return DeployFailed(f"{what}: {why}.")

    def command_line(self, finished: Finished) -> str:
        """Return the command line."""
        return " ".join((self.name, *finished.argv[1:]))

    def _read(self, read: Callable[[Any], T], finished: Finished) -> T:
        try:
            return read(find_json(finished.stdout))
        except NotJson as problem:
            raise DeployFailed(
                f"`{self.command_line(finished)}` printed unexpected output: {problem}. Check that {self.path} is a recent "
                f"flyctl: `{self.name} version`."
            ) from None


def _pause(attempt: int) -> float:
    """Return the seconds before the next attempt: doubled each time, with random jitter."""
    # Not used for anything secret.
    spread: float = random.uniform(0.5, 1.5)  # noqa: S311
    return _FIRST_PAUSE * 2.0 ** (attempt - 1) * spread


Failure: TypeAlias = Literal["not-logged-in", "unauthorized", "unknown-app", "temporary", "other"]

_TEMPORARY = (
    r"rate.?limit|too many requests|status\D{0,8}(?:429|5\d\d)\b|internal server error|bad gateway|service unavailable"
    r"|gateway time-?out|lease currently held|failed to (?:acquire|obtain) leases?|no such host"
    r"|connection (?:refused|reset)|network is unreachable|temporary failure in name resolution|i/o timeout"
    r"|tls handshake timeout|unexpected eof|: eof\b|context deadline exceeded|did not acquire lease"
)
_DENIED = (
    r"unauthori[sz]ed|not authori[sz]ed|must be authenticated|status\D{0,8}40[13]\b|forbidden|invalid token"
    r"|token.*(?:expired|invalid|revoked)"
)
_SIGNS: tuple[tuple[Failure, str], ...] = (
    ("not-logged-in", r"no access token available|not logged in|flyctl auth login"),
    # Before temporary failures, whose words also occur in these messages; a retry would not help.
    ("other", r"machine not found|(?:health|smoke) checks|release.command"),
    ("temporary", _TEMPORARY),
    ("unauthorized", _DENIED),
    # `fly logs` reports only the status line of the response.
    ("unknown-app", r"could not find app|app not found|the app name \S+ could not be found|^404 not found"),
)
_SIGN = tuple((failure, re.compile(pattern, re.IGNORECASE)) for failure, pattern in _SIGNS)
_ERROR = re.compile(r"^\s*(?:✖|x)?\s*error\b:?\s*", re.IGNORECASE)
_CRASH = re.compile(r"error: smoke checks for \S+ failed", re.IGNORECASE)
_REQUEST_ID = re.compile(r"\s*\((?:Request|Trace) ID: [^)]*\)")
_LONGEST = 400
_DEADLINE, _CANCELLED, _PANIC = 126, 127, 3


def classify(finished: Finished) -> Failure:
    """Return the kind of failure. Only the error of flyctl counts, because an app may log any of these words."""
    text = _error(finished)
    if finished.exit_code == _DEADLINE and not text:
        return "temporary"
    return next((failure for failure, sign in _SIGN if sign.search(text)), "other")


def explain(finished: Finished) -> str:
    """Return the reason of the failure in one line, without a full stop."""
    if finished.timed_out:
        return f"time limit exceeded after {finished.elapsed:.0f} s"
    text = " ".join(_REQUEST_ID.sub("", _error(finished)).split()).rstrip(".")
    if text:
        return text[:_LONGEST]
    meaning = {_DEADLINE: " (deadline exceeded)", _CANCELLED: " (canceled)", _PANIC: " (crashed)"}
    return f"exit code {finished.exit_code}{meaning.get(finished.exit_code or 0, '')}"


def _error(finished: Finished) -> str:
    """Return its last line that begins with "error" and the lines after it, or else its last line."""
    lines = [line for line in finished.stderr_tail if line.strip()]
    for number in range(len(lines) - 1, -1, -1):
        if _ERROR.match(lines[number]):
            return " ".join((_ERROR.sub("", lines[number]), *lines[number + 1 :]))
    return lines[-1] if lines else ""


ASLEEP = frozenset({"stopped", "suspended"})
"""states of a machine that can be started again"""
_WAKE = 120.0
_SCALE = 300.0
_RECENT = 30.0


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
    app: str, *, count: int | None = None, memory: int | None = None, region: str | None = None, group: str = ""
) -> tuple[tuple[str, ...], ...]:
    """Return the arguments that set the number of machines of ``app`` and their ``memory`` in MB.

    Without a process ``group``, flyctl changes ``app`` or the only one. Raises ``ConfigError`` if neither is given, or if one is not positive.
    """
    if count is None and memory is None:
        raise ConfigError(f"{app}: nothing to scale; give a count, an amount of memory, or both.")
    for what, value in (("count", count), ("memory", memory)):
        if value is not None and value < 1:
            raise ConfigError(f"{app}: {what} {value} must be at least 1.")
    place = ("--region", region) if region else ()
    machines = ("--process-group", group) if group else ()
    commands = []
    # Memory first, because new machines copy the existing ones.
    if memory is not None:
        commands.append(("scale", "memory", str(memory), "-a", app, *machines))
    if count is not None:
        commands.append(("scale", "count", str(count), "-a", app, *machines, *place, "--yes"))
    return tuple(commands)


def scale(
    app: str,
    *,
    count: int | None = None,
    memory: int | None = None,
    region: str | None = None,
    group: str = "",
    dry_run: bool = False,
    log: Callable[[str], None] = _nothing,
    deadline: float = _SCALE,
    tool: FlyTool | None = None,
) -> Reply:
    """Set the number of machines of ``app`` and their ``memory`` in MB; return the commands and an observation."""
    tool = tool or FlyTool()
    commands = scale_commands(app, count=count, memory=memory, region=region, group=group)
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
    finished = tool.act(*arguments, deadline=math.inf if follow else _RECENT, log=log, out=entries.add)
    # `--no-tail` ends after the first lines: with an empty log, flyctl asks for ever.
    if finished.timed_out and not finished.stderr_tail:
        log(f"{app}: no line of its log after {_RECENT:g} s.")
    else:
        _must(tool, finished, app)


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
