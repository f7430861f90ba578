"""The docker command: its settings, the meaning of its messages, and the logs of a service."""

import json
import math
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytest_gaia.deploy.compose.containers import images
from pytest_gaia.deploy.contract import LogLine
from pytest_gaia.deploy.outcome import key_of
from pytest_gaia.deploy.process import Finished, find_tool, run_tool
from pytest_gaia.errors import ConfigError, DeployFailed, DeployUnavailable
from pytest_gaia.secrets.redaction import masker

TOOL = "docker"
BUILD_FAILED = 17
"""exit code of Compose after a failed build"""
INSTALL = "Install Docker with its compose plugin (version 2)."
QUIET = {"COMPOSE_ANSI": "never", "COMPOSE_PROGRESS": "plain", "NO_COLOR": "1", "DOCKER_CLI_HINTS": "false"}
"""variables of the command"""
IMAGE = "[{{json .Id}},{{json .RepoDigests}},{{json .RepoTags}}]"
"""format in which :func:`.containers.images` reads images"""
_CONFLICT = re.compile(r'The container name "/?([^"]+)" is already in use')
_NO_IMAGE = re.compile(r"no such image", re.IGNORECASE)
_RECENT = 60.0
_LINES = "200"
_LINE = re.compile(r"(?P<container>\S+)\s+\| (?P<time>\d{4}-\d\d-\d\dT\S+)(?: (?P<message>.*))?", re.DOTALL)
_UNREADABLE = re.compile(r'logs for \\?"(?P<container>[^"\\]+).*logging driver does not support reading')
_ONLY_THE_USER = (
    (r"cannot connect to the docker daemon|docker daemon is not running",
     "the Docker daemon{where} does not respond; start Docker{instead}"),
    (r"context .* not found|context not found", "the Docker context does not exist; `docker context ls` lists those that do"),
    (r"permission denied while trying to connect", "this user has no permission to use Docker; add it to the group docker"),
    (r"is not a docker command|unknown (?:shorthand )?flag: '?-{0,2}f|unknown command: docker compose|run 'docker command --help'",
     "Docker has no `compose` command; install the compose plugin, version 2"),
    (r"no such service", "the service is not in the compose file"),
    (r"no configuration file provided|(?:open|stat) \S+(?:\.ya?ml|\.env)\S*: no such file",
     "the compose file, or a file in it, is missing"),
    (r"yaml: |validating .*: |additional propert|undefined (?:network|volume|service)|invalid compose project",
     "the compose file is malformed"),
    (r"required variable .* is missing|invalid interpolation format", "a variable of the compose file is not set"),
    (r"pull access denied|manifest (?:unknown|for .* not found)|repository does not exist|no such image",
     "the image does not exist, or this user may not pull it; check its name, or run `docker login`"),
    (r"unauthorized|authentication required", "the registry needs a login; run `docker login`"),
)  # fmt: skip
"""pattern in the output → meaning, and what to do; a retry would not help"""

_TEMPORARY = re.compile(
    r"toomanyrequests|too many requests|\b429\b|rate limit|\b50[0234]\b|internal server error|bad gateway"
    r"|service unavailable|tls handshake timeout|i/o timeout|connection (?:reset|refused)|no such host"
    r"|network is unreachable|no route to host"
    r"|error during connect"
    r"|temporary failure in name resolution|server misbehaving|request canceled|unexpected eof",
    re.IGNORECASE,
)


def usage_error_in(text: str) -> str:
    """Return the problem in ``text`` that only the user can fix; empty if there is none."""
    found = next((why for pattern, why in _ONLY_THE_USER if re.search(pattern, text, re.IGNORECASE)), "")
    where, instead = _chosen_daemon() if "{where}" in found else ("", "")
    return found.replace("{where}", where).replace("{instead}", instead)


def _chosen_daemon() -> tuple[str, str]:
    """Return which daemon is not the default one, and how to choose another; empty strings for the default one."""
    if host := os.environ.get("DOCKER_HOST"):
        return f" at {masker()(host)} (DOCKER_HOST)", ", or unset DOCKER_HOST"
    context = os.environ.get("DOCKER_CONTEXT") or _current_context()
    if context in ("", "default"):
        return "", ""
    return f" of the context {context}", ", or choose another context with `docker context use`"


def _current_context() -> str:
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(found.get("currentContext") or "") if isinstance(found, dict) else ""


def is_temporary(text: str) -> bool:
    """Whether ``text`` contains a temporary failure of a registry or a network."""
    return _TEMPORARY.search(text) is not None


def problem_of(shown: str, finished: Finished) -> ConfigError | DeployUnavailable | DeployFailed:
    """Return the error for the command ``shown``, which failed."""
    text, last = "\n".join(finished.stderr_tail), last_line(finished)
    if finished.timed_out:
        return DeployUnavailable(f"{shown} exceeded its time limit.")
    if why := usage_error_in(text):
        return ConfigError(f"{shown}: {why}. Output: {last}")
    if is_temporary(text):
        return DeployUnavailable(f"{shown}: {last}")
    if shown == "docker compose config":
        return ConfigError(f"{shown}: {last}")
    return DeployFailed(f"{shown} ended with exit code {finished.exit_code}: {last}")


def decoded(shown: str, text: str) -> Any:
    """Return the JSON that the command ``shown`` printed. Raises ``ConfigError`` for other output."""
    try:
        return json.loads(text)
    except ValueError as problem:
        raise ConfigError(f"{shown}: invalid JSON ({problem}). {INSTALL}") from None


def last_line(finished: Finished) -> str:
    """Return the last line of its error output."""
    return next((line.strip() for line in reversed(finished.stderr_tail) if line.strip()), "no output")


def way_out(line: str) -> str:
    """Return what to do about an error of Docker that only its message explains; empty if there is nothing to add."""
    found = _CONFLICT.search(line)
    return f" To remove it: docker rm {found[1]} (with --force if it runs)." if found else ""


def images_here(references: Sequence[str]) -> frozenset[str]:
    """Return those of ``references`` that are on this machine. Raises as :func:`logs`."""
    if not references:
        return frozenset()
    # Docker finds an image that was built here by its id only.
    asked = sorted({each for reference in references for each in (reference, key_of(reference))})
    finished = run_tool(
        [find_tool(TOOL, install=INSTALL), "image", "inspect", "--format", IMAGE, *asked], deadline=_RECENT, env=QUIET
    )
    if not finished.ok and not _NO_IMAGE.search("\n".join(finished.stderr_tail)):
        raise problem_of("docker image inspect", finished)
    found = images(finished.stdout).values()
    return frozenset(each for each in references if any(image.is_named(each) for image in found))


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
    redact: Callable[[str], str] | None = None,
    deadline: float = _RECENT,
) -> None:
    """Pass the newest ``lines`` (default: 200) of ``service`` to ``take``; with ``follow`` continue until Ctrl-C.

    ``since`` is a time in ISO 8601; older lines are left out, and ``lines`` then has no default. Secrets are masked. With
    the name of the ``project``, the names of containers are complete. ``log`` gets what Docker itself reports, such as the
    end of a container. ``redact`` masks lines (default: ``masker()``). Without ``follow``, Docker gets ``deadline`` seconds.

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
        deadline=math.inf if follow else deadline,
        cwd=config.parent,
        env=QUIET,
        environment=environment,
        log=lambda line: log(_explained(line)),
        out=out,
        redact=redact,
    )
    if finished.ok:
        return
    raise problem_of(f"docker compose logs {service}", finished)


def _explained(line: str) -> str:
    found = _UNREADABLE.search(line)
    if found is None:
        return line
    return (
        f"note: Docker keeps no logs of container {found['container']}, because of its logging driver (`logging` in the "
        "compose file, or the default of Docker)."
    )
