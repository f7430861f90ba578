"""The hook ``compose``: deploy services of a compose file on this machine with ``up``, and observe them with ``ps``."""

import json
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from msgspec.structs import replace

from pytest_gaia.config.deployfiles.compose import one_shots
from pytest_gaia.config.deployfiles.read import override_file
from pytest_gaia.config.platform import Platform
from pytest_gaia.deploy.contract import Machine, Observation, Reply, Request, utc_now
from pytest_gaia.deploy.outcome import digest_of, repository_of
from pytest_gaia.deploy.process import Finished, find_tool, run_tool
from pytest_gaia.errors import ConfigError, DeployFailed, DeployUnavailable
from pytest_gaia.secrets.redaction import masker

_STATES = {
    "running": "started",
    "exited": "stopped",
    "paused": "suspended",
    "restarting": "starting",
    "dead": "failed",
    "removing": "destroying",
}
"""state of a container → state of a machine; ``created`` is the same in both"""
_ONE_OFF = "com.docker.compose.oneoff=True"
"""label of containers created by `docker compose run`"""


@dataclass(frozen=True, slots=True)
class Image:
    """The image of one container."""

    id: str
    """``sha256:…`` of the image's configuration"""
    references: tuple[str, ...] = ()
    """``repository@sha256:…`` for each registry; empty for an image built on this machine"""
    oom_killed: bool = False

    def digest(self, wanted: str | None, repository: str) -> str:
        """Return the ``wanted`` digest if it is one of this image, or else another one of it."""
        known = [(digest, name) for name, _, digest in (each.partition("@") for each in self.references) if digest]
        if wanted is not None and wanted in (self.id, *(digest for digest, _ in known)):
            return wanted
        own = (digest for digest, name in known if name == repository)
        return next(own, known[0][0] if known else self.id)


@dataclass(frozen=True, slots=True)
class Container:
    """One line of ``docker compose ps -a --format json``."""

    id: str
    service: str
    image: str
    state: str
    health: str
    """``healthy``, ``unhealthy``, ``starting``; empty without a health check"""
    exit_code: int
    port: int | None
    """port on the host"""

    def well(self, *, may_end: bool = False) -> bool:
        """Whether it runs and is not unhealthy, or (with ``may_end``) ended successfully."""
        if self.state == "running":
            return self.health in ("", "healthy")
        return may_end and self.completed

    @property
    def completed(self) -> bool:
        """Whether it ended with exit code 0."""
        return self.state == "exited" and self.exit_code == 0

    def machine(self, image: Image, wanted: str | None, *, may_end: bool = False) -> Machine:
        """Return it as a machine; ``wanted`` is the wanted digest, ``may_end`` whether it runs only once."""
        ended_badly = self.state in ("exited", "restarting") and self.exit_code != 0
        completed = may_end and self.completed
        return Machine(
            id=self.id[:12],
            state="completed" if completed else _STATES.get(self.state, self.state),
            image=self.image,
            digest=image.digest(wanted, repository_of(self.image)),
            checks=int(self.health != ""),
            passing=int(self.health == "healthy"),
            critical=int(self.health == "unhealthy"),
            crashed=ended_badly or self.state == "dead" or (image.oom_killed and self.state != "running"),
        )


def containers(output: str) -> tuple[Container, ...]:
    """Parse the output of ``ps``: one object per line, or one array in older versions. Raises ``ValueError``."""
    return tuple(_container(values) for values in _objects(output) if _ONE_OFF not in str(values.get("Labels", "")))


def images(inspected: str, referred: str) -> Mapping[str, Image]:
    """Return container id → image.

    ``inspected`` has one line "id image-id oom-killed" for each container, ``referred`` one line "image-id [references]"
    for each image.
    """
    references = {
        words[0]: tuple(json.loads(words[1]) or ())
        for words in (line.split(None, 1) for line in referred.splitlines())
        if len(words) == 2 and words[1].startswith(("[", "null"))
    }
    lines = (line.split() for line in inspected.splitlines())
    return {
        words[0]: Image(words[1], references.get(words[1], ()), words[2:] == ["true"])
        for words in lines
        if len(words) >= 2 and words[1].startswith("sha256:")
    }


def _objects(output: str) -> Iterator[dict[str, Any]]:
    text = output.strip()
    if text.startswith("["):
        yield from json.loads(text)
        return
    for line in text.splitlines():
        # There may be warnings between the lines.
        if line.startswith("{"):
            yield json.loads(line)


def _container(values: Mapping[str, Any]) -> Container:
    return Container(
        id=str(values.get("ID", "")),
        service=str(values.get("Service", "")),
        image=str(values.get("Image", "")),
        state=str(values.get("State", "")).lower(),
        health=str(values.get("Health") or "").lower(),
        exit_code=int(values.get("ExitCode") or 0),
        port=_published(values.get("Publishers") or ()),
    )


def _published(publishers: Iterable[Mapping[str, Any]]) -> int | None:
    ports = (int(each.get("PublishedPort") or 0) for each in publishers)
    return next((port for port in ports if port), None)


_ONLY_THE_USER = (
    (r"cannot connect to the docker daemon|docker daemon is not running",
     "the Docker daemon does not respond; start Docker"),
    (r"permission denied while trying to connect", "this user has no permission to use Docker; add it to the group docker"),
    (r"is not a docker command|unknown (?:shorthand )?flag: '?-{0,2}f|unknown command: docker compose",
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
    r"|error during connect"
    r"|temporary failure in name resolution|server misbehaving|request canceled|unexpected eof",
    re.IGNORECASE,
)


def usage_error_in(text: str) -> str:
    """Return the problem in ``text`` that only the user can fix; empty if there is none."""
    return next((why for pattern, why in _ONLY_THE_USER if re.search(pattern, text, re.IGNORECASE)), "")


def is_temporary(text: str) -> bool:
    """Whether ``text`` contains a temporary failure of a registry or a network."""
    return _TEMPORARY.search(text) is not None


Command: TypeAlias = tuple[str, ...]

_NONE = Platform()
_TOOL = "docker"
_INSTALL = "Install Docker with its compose plugin (version 2)."
_QUIET = {"COMPOSE_ANSI": "never", "COMPOSE_PROGRESS": "plain", "NO_COLOR": "1", "DOCKER_CLI_HINTS": "false"}
_SPARE = 0.1
"""share of the deadline after the time limit of `up`, so that `up` can report what it waited for"""
_VERBS = ("up", "build", "ps")
_INSPECT = ("container", "inspect", "--format", "{{.Id}} {{.Image}} {{.State.OOMKilled}}")
_IMAGES = ("image", "inspect", "--format", "{{.Id}} {{json .RepoDigests}}")
_RECENT = 60.0
_LINES = "200"


class ComposeHook:
    """Deploy one service of a compose file. Regions and remote builders do not apply."""

    name = "compose"

    def __init__(self, platform: Platform = _NONE) -> None:
        self._platform = platform

    def run(self, request: Request, log: Callable[[str], None]) -> Reply:
        """Run one phase. Raises ``ConfigError`` for problems that only the user can fix."""
        if request.config is None:
            raise ConfigError(f"compose: no compose file for {request.service} in {request.environment}.")
        if request.region is not None:
            raise ConfigError("--region: compose runs on this machine only; remove the option.")
        job = _Job(request, self._platform, log)
        if request.phase == "plan" or (request.dry_run and request.phase != "observe"):
            return Reply(status="done", commands=job.commands(), message=job.remark())
        return job.observe() if request.phase == "observe" else job.deploy()


class _Job:
    """One phase for one service."""

    def __init__(self, request: Request, platform: Platform, log: Callable[[str], None]) -> None:
        self._request = request
        self._platform = platform
        self._log = log
        self._redact = masker()
        self._until = time.monotonic() + request.deadline
        going_back = request.phase == "rollback"
        self._image = request.previous if going_back and request.previous else request.image
        self._one_shots: frozenset[str] | None = None

    def commands(self) -> tuple[Command, ...]:
        """Return the exact commands that deploy the service."""
        wait = str(max(1, int(self._request.deadline * (1 - _SPARE))))
        up = ("up", "--detach", "--wait", "--wait-timeout", wait)
        # After `--`, no name is taken for an option.
        service = ("--", self._request.app)
        if self._image:
            # --no-deps keeps the images of the other services, which those in the file would replace.
            return ((*self._compose("--file", "-"), *up, "--no-build", "--no-deps", *service),)
        rebuilt = ((*self._compose(), "build", "--no-cache", "--pull", *service),)
        beside = self._request.beside
        # Otherwise a service that runs once would run again as a dependency.
        names = service if beside is None else ("--no-deps", "--", *beside, self._request.app)
        return (*(rebuilt if self._request.rebuild else ()), (*self._compose(), *up, *names))

    def remark(self) -> str:
        """Return what the commands do not show."""
        path = override_file(Path(str(self._request.config)))
        remarks = [
            *([f"standard input: {self._override(self._image)}"] if self._image else []),
            *([f"{path.name} is not applied, because Compose reads it only without --file"] if path else []),
        ]
        return "; ".join(remarks)

    def deploy(self) -> Reply:
        """Run the commands. ``up`` also fails if a container that runs once succeeds, so ``ps`` decides."""
        override = self._override(self._found_here()) if self._image else None
        for command in self.commands():
            finished = self._run(command, stdin=override)
            if not finished.ok:
                return self._failed(command, finished)
        return Reply(status="done", commands=self.commands(), image=self._image)

    def observe(self) -> Reply:
        """Return the containers of the service, and the image that each of them runs."""
        listing = (*self._compose(), "ps", "--all", "--format", "json", "--", self._request.app)
        finished = self._run(listing)
        if not finished.ok:
            return self._failed(listing, finished)
        observation = self._observation([each for each in self._read(finished) if each.service == self._request.app])
        image = observation.machines[0].image if observation.machines else None
        return Reply(status="done", commands=(listing,), image=image, observation=observation)

    def _observation(self, found: Sequence[Container]) -> Observation:
        return Observation(
            app=self._request.app,
            exists=bool(found),
            machines=self._machines(found) if found else (),
            hostname=next((f"localhost:{each.port}" for each in found if each.port), None),
            taken=utc_now(),
        )

    def _machines(self, found: Sequence[Container]) -> tuple[Machine, ...]:
        ids = [each.id for each in found]
        inspected = self._run((_TOOL, *_INSPECT, *ids)).stdout
        named = sorted({words[1] for line in inspected.splitlines() if len(words := line.split()) > 1})
        referred = self._run((_TOOL, *_IMAGES, *named)).stdout if named else ""
        known = images(inspected, referred)
        wanted = digest_of(self._image or "")
        return tuple(
            each.machine(known[full], wanted, may_end=self._may_end(each))
            for each in found
            for full in known
            if full.startswith(each.id)
        )

    def _failed(self, command: Command, finished: Finished) -> Reply:
        text = "\n".join(finished.stderr_tail)
        last = next((line for line in reversed(finished.stderr_tail) if line.strip()), "no output")
        verb = next((word for word in command if word in _VERBS), "")
        shown = f"docker compose {verb}"
        if why := usage_error_in(text):
            raise ConfigError(f"{shown}: {why}. Output: {last}")
        reply = Reply(status="failed", commands=(command,), image=self._image, tail=finished.stderr_tail)
        if finished.timed_out:
            return replace(
                reply, message=f"{shown} exceeded its time limit of {self._request.deadline:g} s and was stopped."
            )
        if is_temporary(text):
            return replace(reply, status="retry", message=f"{shown}: {last}")
        if verb == "up" and self._all_well():
            why = (
                f"{shown} ended with exit code {finished.exit_code}, because a container that runs once has succeeded."
            )
            return replace(reply, status="done", message=why)
        return replace(reply, message=f"{shown} ended with exit code {finished.exit_code}: {last}")

    def _all_well(self) -> bool:
        finished = self._run((*self._compose(), "ps", "--all", "--format", "json"))
        found = self._read(finished) if finished.ok else ()
        is_there = any(each.service == self._request.app for each in found)
        return is_there and all(each.well(may_end=self._may_end(each)) for each in found)

    def _may_end(self, container: Container) -> bool:
        """Whether ``container`` is meant to run only once. Reads the compose file only for a container that has ended.

        The description of a service decides, and the compose file only for containers of no described service.
        """
        if not container.completed:
            return False
        service = self._request.service
        if container.service == self._request.app and service in self._platform:
            return self._platform[service].once
        if self._one_shots is None:
            path = Path(str(self._request.config))
            self._one_shots = one_shots(path, path.name, self._platform, self._request.environment)
        return container.service in self._one_shots

    def _read(self, finished: Finished) -> tuple[Container, ...]:
        try:
            return containers(finished.stdout)
        except ValueError as problem:
            raise ConfigError(f"docker compose ps: invalid JSON ({problem}). {_INSTALL}") from None

    def _override(self, image: str | None) -> str:
        return json.dumps({"services": {self._request.app: {"image": image}}})

    def _found_here(self) -> str | None:
        """Return the id of an image that was built on this machine, which has no digest; else the image."""
        digest = digest_of(self._image or "")
        known = digest is not None and self._run((_TOOL, "image", "inspect", "--format", "{{.Id}}", digest)).ok
        return digest if known else self._image

    def _compose(self, *options: str) -> Command:
        return (_TOOL, "compose", "--file", str(self._request.config), *options)

    def _run(self, command: Command, stdin: str | None = None) -> Finished:
        return run_tool(
            (find_tool(_TOOL, install=_INSTALL), *command[1:]),
            deadline=max(0.0, self._until - time.monotonic()),
            stdin=stdin,
            env=_QUIET,
            environment=self._request.environment,
            ends=self._platform.variable_ends,
            log=self._log,
            redact=self._redact,
        )


def logs(
    config: Path,
    service: str,
    environment: str,
    take: Callable[[str], None],
    *,
    follow: bool = False,
    lines: int | None = None,
    since: str | None = None,
    log: Callable[[str], None] = lambda _: None,
) -> None:
    """Pass the newest ``lines`` (default: 200) of ``service`` to ``take``; with ``follow`` continue until Ctrl-C.

    ``since`` is a time in ISO 8601; older lines are left out, and ``lines`` then has no default. Secrets are masked.

    Raises ``ConfigError`` for problems that only the user can fix, ``DeployUnavailable`` if Docker does not respond, and
    ``DeployFailed`` for any other failure.
    """
    docker = find_tool(_TOOL, install=_INSTALL)
    command = [docker, "compose", "--file", str(config), "logs", "--no-color", "--no-log-prefix"]
    command += ["--tail", str(lines or ("all" if since else _LINES))]
    command += ["--since", since] if since else []
    command += ["--follow"] if follow else []
    finished = run_tool(
        [*command, "--", service], deadline=math.inf if follow else _RECENT, environment=environment, log=log, out=take
    )
    if finished.ok:
        return
    output = "\n".join(finished.stderr_tail)
    what = f"docker compose logs {service}"
    if why := usage_error_in(output):
        raise ConfigError(f"{what}: {why}. Output: {output}")
    kind = DeployUnavailable if finished.timed_out or is_temporary(output) else DeployFailed
    raise kind(f"{what} ended with exit code {finished.exit_code}: {output or 'no output'}")
