"""What ``docker compose`` and ``docker inspect`` print, read into the contract's machines, and why they fail."""

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
"""compose's words for the state of a container → those of the contract; ``created`` is the same in both"""
_ONE_OFF = "com.docker.compose.oneoff=True"
"""the label of a container that `docker compose run` has made: it serves nobody"""


@dataclass(frozen=True, slots=True)
class Image:
    """What one container runs."""

    id: str
    """``sha256:…`` of the image's configuration"""
    references: tuple[str, ...] = ()
    """``repository@sha256:…``, one for each registry that it came from or went to; none of an image made here"""
    oom_killed: bool = False

    def digest(self, wanted: str | None, repository: str) -> str:
        """Return what names the image: the digest that was asked for, if this is it; else one of its own."""
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
    """``healthy``, ``unhealthy``, ``starting``; empty where there is no check"""
    exit_code: int
    port: int | None
    """on the host"""

    def well(self, *, may_end: bool = False) -> bool:
        """Whether it runs, healthy where that is checked, or is a one-shot (``may_end``) that has ended well."""
        if self.state == "running":
            return self.health in ("", "healthy")
        return may_end and self.completed

    @property
    def completed(self) -> bool:
        """Whether it has ended with 0."""
        return self.state == "exited" and self.exit_code == 0

    def machine(self, image: Image, wanted: str | None, *, may_end: bool = False) -> Machine:
        """Return it as the contract knows it; ``wanted`` is the digest that was asked for, ``may_end`` a one-shot's right."""
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
    """Read the output of ``ps``: one object a line, or one array, as older versions print it. Raises ``ValueError``."""
    return tuple(_container(values) for values in _objects(output) if _ONE_OFF not in str(values.get("Labels", "")))


def images(inspected: str, referred: str) -> Mapping[str, Image]:
    """Return container id → image.

    ``inspected`` has a line "id image-id oom-killed" a container, ``referred`` a line "image-id [references]" an image.
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
        # Warnings may stand between the lines.
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
     "the Docker daemon does not answer: start Docker"),
    (r"permission denied while trying to connect", "this user may not talk to Docker: join the group docker"),
    (r"is not a docker command|unknown (?:shorthand )?flag: '?-{0,2}f|unknown command: docker compose",
     "Docker has no `compose`: install the compose plugin, version 2"),
    (r"no such service", "the compose file has no such service"),
    (r"no configuration file provided|(?:open|stat) \S+(?:\.ya?ml|\.env)\S*: no such file",
     "the compose file, or a file that it names, is missing"),
    (r"yaml: |validating .*: |additional propert|undefined (?:network|volume|service)|invalid compose project",
     "the compose file is malformed"),
    (r"required variable .* is missing|invalid interpolation format", "a variable that the compose file needs is not set"),
    (r"pull access denied|manifest (?:unknown|for .* not found)|repository does not exist|no such image",
     "the image is not there, or this user may not pull it: check its name, `docker login`"),
    (r"unauthorized|authentication required", "the registry wants a login: `docker login`"),
)  # fmt: skip
"""what stands in the output → what it means and what to do: asking again would give the same"""

_TEMPORARY = re.compile(
    r"toomanyrequests|too many requests|\b429\b|rate limit|\b50[0234]\b|internal server error|bad gateway"
    r"|service unavailable|tls handshake timeout|i/o timeout|connection (?:reset|refused)|no such host"
    r"|error during connect"
    r"|temporary failure in name resolution|server misbehaving|request canceled|unexpected eof",
    re.IGNORECASE,
)


def usage_error_in(text: str) -> str:
    """Return what only the user can mend, if that is what ``text`` complains of; else an empty string."""
    return next((why for pattern, why in _ONLY_THE_USER if re.search(pattern, text, re.IGNORECASE)), "")


def is_temporary(text: str) -> bool:
    """Whether ``text`` complains of a registry or a network that may answer the next time."""
    return _TEMPORARY.search(text) is not None
