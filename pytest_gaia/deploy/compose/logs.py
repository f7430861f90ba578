"""The logs of the containers of a service, from ``docker compose logs``."""

import math
import re
from collections.abc import Callable
from pathlib import Path

from pytest_gaia.deploy.compose.tool import INSTALL, QUIET, TOOL, is_temporary, usage_error_in
from pytest_gaia.deploy.loglines import LogLine
from pytest_gaia.deploy.process import find_tool, run_tool
from pytest_gaia.errors import ConfigError, DeployFailed, DeployUnavailable

_RECENT = 60.0
_LINES = "200"
_LINE = re.compile(r"(?P<container>\S+)\s+\| (?P<time>\d{4}-\d\d-\d\dT\S+)(?: (?P<message>.*))?", re.DOTALL)
_UNREADABLE = re.compile(r'logs for \\?"(?P<container>[^"\\]+).*logging driver does not support reading')


def logs(
    config: Path,
    service: str,
    environment: str,
    take: Callable[[LogLine], None],
    *,
    project: str = "",
    follow: bool = False,
    lines: int | None = None,
    since: str | None = None,
    log: Callable[[str], None] = lambda _: None,
) -> None:
    """Pass the newest ``lines`` (default: 200) of ``service`` to ``take``; with ``follow`` continue until Ctrl-C.

    ``since`` is a time in ISO 8601; older lines are left out, and ``lines`` then has no default. Secrets are masked. With
    the name of the ``project``, the names of containers are complete. ``log`` gets what Docker itself reports, such as the
    end of a container.

    Raises ``ConfigError`` for problems that only the user can fix, ``DeployUnavailable`` if Docker does not respond, and
    ``DeployFailed`` for any other failure.
    """
    command = [find_tool(TOOL, install=INSTALL), "compose", "logs", "--no-color", "--timestamps"]
    command += ["--tail", str(lines or ("all" if since else _LINES))]
    command += ["--since", since] if since else []
    command += ["--follow"] if follow else []

    short = re.compile(rf"{re.escape(service)}-\d+")

    def out(line: str) -> None:
        if found := _LINE.fullmatch(line):
            name = found["container"]
            full = f"{project}-{name}" if project and short.fullmatch(name) else name
            take(LogLine(found["message"] or "", found["time"], instance=full))
        elif line.strip():
            log(f"note: {line}")

    finished = run_tool(
        [*command, "--", service],
        deadline=math.inf if follow else _RECENT,
        cwd=config.parent,
        env=QUIET,
        environment=environment,
        log=lambda line: log(_explained(line)),
        out=out,
    )
    if finished.ok:
        return
    output = "\n".join(finished.stderr_tail)
    what = f"docker compose logs {service}"
    if why := usage_error_in(output):
        raise ConfigError(f"{what}: {why}. Output: {output}")
    kind = DeployUnavailable if finished.timed_out or is_temporary(output) else DeployFailed
    raise kind(f"{what} ended with exit code {finished.exit_code}: {output or 'no output'}")


def _explained(line: str) -> str:
    found = _UNREADABLE.search(line)
    if found is None:
        return line
    return (
        f"note: Docker keeps no logs of container {found['container']}, because of its logging driver (`logging` in the "
        "compose file, or the default of Docker)."
    )
