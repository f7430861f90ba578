"""Parse the output of ``docker compose`` and ``docker inspect``, and classify their failures."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_gaia.deploy.contract import Machine
from pytest_gaia.deploy.outcome import repository_of

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
