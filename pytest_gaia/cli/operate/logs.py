"""``gaia logs``: the logs of the services of an environment."""

import json
import re
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from typing import Annotated, NamedTuple

import typer

from pytest_gaia.cli.options import EnvironmentName, Target, complete_service, seconds, target
from pytest_gaia.cli.output import echo_error, echo_json
from pytest_gaia.config.deployfiles.model import App
from pytest_gaia.deploy.compose import tool as compose_logs
from pytest_gaia.deploy.contract import LogLine
from pytest_gaia.deploy.fly import operations as fly_operations
from pytest_gaia.deploy.process import ending
from pytest_gaia.errors import ConfigError
from pytest_gaia.rollout.plan import apps_of, choose, settings_of
from pytest_gaia.system.signals import like_interrupts

HELP = """\
Show the logs of the services of an environment.

\b
  gaia logs staging
  gaia logs staging auth gateway --follow
  gaia logs local gateway --since 10m
  gaia logs production -n 100 --json | jq .message
  gaia logs staging --grep 4bf92f3577b34da6a3ce929d0e0e4736

Without a service the logs of all services are shown, one after the other. --follow prints new lines of all of them until
Ctrl-C. Secrets are masked. --json prints one JSON object per line; of a container, the level is the one in its line.

\b
Exit codes:
   0  done
   1  the deploy tool failed
   4  usage error
  12  the deploy tool is rate-limited or unreachable
"""

_LEVELS = "trace|debug|info|notice|warn|warning|error|critical|fatal|panic"
_FIRST_WORD = re.compile(rf"\s*(?:[\[<(]?({_LEVELS.upper()})\b|[\[<(]({_LEVELS})[\])>]|({_LEVELS}):)")
_KEYS = ("level", "severity", "levelname", "lvl")

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

app = typer.Typer()

Take = Callable[[App, LogLine], None]


@app.command("logs", help=HELP)
def show_logs(
    env: EnvironmentName,
    services: Annotated[
        list[str] | None,
        typer.Argument(metavar="SERVICE", help="Only these services", autocompletion=complete_service),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines until Ctrl-C")] = False,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DURATION", help="Only lines of the last 30s, 10m, 2h, 1d")
    ] = None,
    lines: Annotated[
        int | None, typer.Option("--lines", "-n", metavar="N", min=1, help="Only the last N lines of each service")
    ] = None,
    grep: Annotated[
        str, typer.Option("--grep", metavar="TEXT", help="Only lines that contain TEXT, such as a trace ID")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line")] = False,
) -> None:
    """Write the logs to standard output, and messages of the deploy tool to standard error."""
    there = target(env)
    apps = _apps(there, services or ["all"])
    start = None if since is None else datetime.now(UTC) - timedelta(seconds=seconds(since, "--since"))
    wanted = Wanted(start, lines, grep.lower(), follow=follow)
    write = _write_json if as_json else _write
    try:
        with like_interrupts():
            if follow:
                _follow(there, apps, write, wanted)
            else:
                for app in apps:
                    _show(there, app, write, wanted)
    except KeyboardInterrupt:
        # Ctrl-C is how --follow ends, and not an error.
        ending.set()


def _apps(there: Target, services: Sequence[str]) -> list[App]:
    environment = there.environment
    if settings_of(environment).hook not in ("fly", "compose") or there.deployment is None:
        raise ConfigError(
            f"{environment.name} is deployed by the hook {settings_of(environment).hook!r}, which has no logs. "
            "gaia logs supports Fly and Docker Compose only."
        )
    apps = apps_of(there.deployment)
    return [apps[name] for name in choose(environment, there.deployment, apps, services)]


class Wanted(NamedTuple):
    """Which lines of a service are shown."""

    start: datetime | None
    lines: int | None
    """the last ones; those that follow come after them"""
    text: str = ""
    """part of each line, in lower case"""
    follow: bool = False

    def has(self, line: LogLine) -> bool:
        """Whether the line contains the text."""
        return self.text in line.message.lower()


def _follow(there: Target, apps: Sequence[App], write: Take, wanted: Wanted) -> None:
    """Show the logs of ``apps`` at the same time, until Ctrl-C or the first error."""
    lock = threading.Lock()

    def take(app: App, line: LogLine) -> None:
        with lock:
            write(app, line)

    with ThreadPoolExecutor(len(apps)) as pool:
        running = [pool.submit(_show, there, app, take, wanted) for app in apps]
        try:
            for done in wait(running, return_when=FIRST_EXCEPTION).done:
                done.result()
        except BaseException:
            # Ends the tools that the other threads wait for.
            ending.set()
            raise


def _show(there: Target, app: App, write: Take, wanted: Wanted) -> None:
    if there.deployment is not None and there.deployment.source == "compose":
        _show_containers(there, there.deployment.project, app, write, wanted)
        return
    # flyctl has no options for either.
    last: deque[LogLine] = deque(maxlen=wanted.lines)
    if wanted.lines is not None or not wanted.follow:
        fly_operations.logs(app.name, lambda line: last.append(line) if wanted.has(line) else None, log=echo_error)
    for line in last:
        if _is_new(line, wanted.start):
            write(app, line)
    if wanted.follow:
        newest = _time(last[-1]) if last else None
        later = newest or wanted.start
        fly_operations.logs(
            app.name,
            lambda line: write(app, line) if wanted.has(line) and _is_new(line, later, newest is not None) else None,
            follow=True,
            log=echo_error,
        )


def _show_containers(there: Target, project: str, app: App, write: Take, wanted: Wanted) -> None:
    # Docker counts lines before they are searched, so it returns all of them.
    found: deque[LogLine] = deque(maxlen=wanted.lines)
    counted = bool(wanted.text and wanted.lines and not wanted.follow)

    def take(line: LogLine) -> None:
        if wanted.has(line) and counted:
            found.append(line)
        elif wanted.has(line):
            write(app, line)

    start = wanted.start or (_BEGINNING if wanted.text else None)
    compose_logs.logs(
        app.path, app.name, there.environment.name, take, project=project, follow=wanted.follow,
        lines=None if counted else wanted.lines, since=start.isoformat() if start else None, log=echo_error,
    )  # fmt: skip
    for line in found:
        write(app, line)


def _is_new(line: LogLine, start: datetime | None, shown: bool = False) -> bool:
    """Return whether ``line`` is not older than ``start``, or, if the line of ``start`` is ``shown``, newer."""
    when = _time(line)
    return start is None or when is None or when > start or (when == start and not shown)


def _time(line: LogLine) -> datetime | None:
    try:
        found = datetime.fromisoformat(line.timestamp)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _write_json(app: App, line: LogLine) -> None:
    document = {
        "service": app.service,
        "app": app.name,
        "time": line.timestamp or None,
        "level": line.level or _level(line.message) or None,
        "machine": line.instance or None,
        "region": line.region or None,
        "message": line.message,
    }
    echo_json(document, indent=None)


def _write(app: App, line: LogLine) -> None:
    typer.echo(" ".join(part for part in (app.service, line.timestamp, line.level, line.message) if part))


def _level(message: str) -> str:
    """Return the level in a line that is a JSON object with a level, or begins with one; empty for any other line."""
    if message.lstrip().startswith("{"):
        try:
            values = json.loads(message)
        except (ValueError, RecursionError):
            return ""
        found = next((values[key] for key in _KEYS if key in values), "")
        return found.lower() if isinstance(found, str) else ""
    word = _FIRST_WORD.match(message)
    return next(filter(None, word.groups())).lower() if word else ""
