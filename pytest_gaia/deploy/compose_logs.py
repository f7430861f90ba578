"""Logs of the services of a compose file."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pytest_gaia.deploy.compose_errors import is_temporary, mistake_in
from pytest_gaia.deploy.process import find_tool, run_tool
from pytest_gaia.errors import ConfigError, DeployFailed, DeployUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_RECENT = 60.0
_LINES = "200"


def logs(
    config: Path,
    service: str,
    environment: str,
    take: Callable[[str], None],
    *,
    follow: bool = False,
    log: Callable[[str], None] = lambda _: None,
) -> None:
    """Hand the newest lines of ``service`` to ``take``; with ``follow`` go on until Ctrl-C. Secrets are masked.

    Raises ``ConfigError`` for what only the user can mend, ``DeployUnavailable`` where Docker does not answer, and
    ``DeployFailed`` for the rest.
    """
    docker = find_tool("docker", install="Install Docker with its compose plugin (version 2).")
    command = [docker, "compose", "--file", str(config), "logs", "--no-color", "--no-log-prefix", "--tail", _LINES]
    command += ["--follow"] if follow else []
    finished = run_tool(
        [*command, "--", service], deadline=math.inf if follow else _RECENT, environment=environment, log=log, out=take
    )
    if finished.ok:
        return
    said = "\n".join(finished.stderr_tail)
    what = f"docker compose logs {service}"
    if why := mistake_in(said):
        raise ConfigError(f"{what}: {why}. It said: {said}")
    kind = DeployUnavailable if finished.timed_out or is_temporary(said) else DeployFailed
    raise kind(f"{what} ended with exit code {finished.exit_code}: {said or 'it said nothing'}")
