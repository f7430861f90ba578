"""Containers of a Compose project, from ``docker inspect``, and what their states mean."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_gaia.config.deployfiles.model import Deployment
from pytest_gaia.config.deployfiles.read import compose_file
from pytest_gaia.deploy.contract import EndedBy, Machine
from pytest_gaia.deploy.outcome import digest_of, repository_of

_STATES = {
    "running": "started",
    "exited": "stopped",
    "dead": "failed",
    "removing": "destroying",
}
"""status of a container → state of a machine; others are the same in both"""
_ENDED = ("exited", "restarting", "dead")
_LABEL = "com.docker.compose."
_REPLACED = re.compile(r"\bContainer (\S+) +Recreate\b")
_ORPHANS = re.compile(r"orphan containers \(\[([^\]]*)\]\)")
_REQUESTS: Mapping[str, EndedBy] = {"stop": "stop", "kill": "kill"}
_HEALTH = ("healthy", "unhealthy", "starting")


@dataclass(frozen=True, slots=True)
class Image:
    """An image on this machine."""

    id: str
    """``sha256:…`` of the image's configuration"""
    references: tuple[str, ...] = ()
    """``repository@sha256:…`` for each registry; empty for an image that was built on this machine"""
    tags: tuple[str, ...] = ()
    """references with a tag that name it now"""

    def is_named(self, reference: str) -> bool:
        """Whether ``reference`` now names this image."""
        if digest := digest_of(reference):
            return digest in (self.id, *map(digest_of, self.references))
        name = reference.removeprefix("docker.io/").removeprefix("library/")
        return (name if ":" in name.rpartition("/")[2] else f"{name}:latest") in self.tags

    def digest(self, wanted: str | None, repository: str) -> str:
        """Return the ``wanted`` digest if it is one of this image, or else another one of it.

        Without a ``repository``, the image was given by its id.
        """
        known = [(digest, name) for name, _, digest in (each.partition("@") for each in self.references) if digest]
        if wanted is not None and wanted in (self.id, *(digest for digest, _ in known)):
            return wanted
        if not repository:
            return self.id
        own = (digest for digest, name in known if name == repository)
        return next(own, known[0][0] if known else self.id)


@dataclass(frozen=True, slots=True)
class Container:
    """One container, as ``docker inspect`` describes it."""

    values: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Its full id."""
        return str(self.values["Id"])

    @property
    def name(self) -> str:
        """Its name, without the slash at the start."""
        return str(self.values.get("Name", "")).removeprefix("/")

    @property
    def service(self) -> str:
        """The service in the compose file; empty if Compose did not create it."""
        return self._label("service")

    @property
    def project(self) -> str:
        """The project of Compose; empty if Compose did not create it."""
        return self._label("project")

    @property
    def folder(self) -> str:
        """The folder from which Compose created it."""
        return self._label("project.working_dir")

    @property
    def config_hash(self) -> str:
        """The hash of the configuration with which Compose created it."""
        return self._label("config-hash")

    @property
    def image(self) -> str:
        """The id of its image."""
        return str(self.values.get("Image", ""))

    @property
    def reference(self) -> str:
        """The reference of the image with which it was created."""
        return str(self._config.get("Image") or self.image)

    @property
    def has_ended(self) -> bool:
        """Whether its last run has ended."""
        return self._state.get("Status") in _ENDED

    @property
    def exit_code(self) -> int | None:
        """The exit code of its last run, if that has ended."""
        return int(self._state.get("ExitCode") or 0) if self.has_ended else None

    @property
    def out_of_memory(self) -> bool:
        """Whether its last run exceeded its memory limit."""
        return bool(self._state.get("OOMKilled"))

    @property
    def ports(self) -> tuple[int, ...]:
        """The published ports on the host."""
        bound = ((self.values.get("NetworkSettings") or {}).get("Ports") or {}).values()
        return tuple(dict.fromkeys(int(each["HostPort"]) for found in bound for each in found or ()))

    def is_of(self, folder: Path) -> bool:
        """Whether it was created from ``folder``, or from a folder that no longer has a compose file."""
        origin = Path(self.folder)
        return origin in (folder, folder.resolve()) or compose_file(origin) is None

    def machine(self, image: Image, wanted: str | None, *, may_end: bool, ended_by: EndedBy = "") -> Machine:
        """Return it as a machine. ``wanted`` is the wanted digest, ``may_end`` whether it runs only once."""
        state = self._state
        status = str(state.get("Status", ""))
        health = str((state.get("Health") or {}).get("Status", ""))
        checked = health in _HEALTH
        completed = may_end and status == "exited" and self.exit_code == 0
        return Machine(
            id=self.id[:12],
            label=f"container {self.name}",
            state="completed" if completed else _STATES.get(status, status),
            image=self.reference,
            digest=image.digest(wanted, repository_of(self.reference)),
            unpublished=not image.references,
            checks=int(checked),
            passing=int(health == "healthy"),
            critical=int(health == "unhealthy"),
            crashed=status == "dead",
            started_at=_time(state.get("StartedAt")),
            exit_code=None if completed else self.exit_code,
            out_of_memory=self.has_ended and self.out_of_memory,
            ended_by=ended_by,
            restarts=int(self.values.get("RestartCount") or 0),
            error=str(state.get("Error") or ""),
        )

    @property
    def _state(self) -> Mapping[str, Any]:
        return self.values.get("State") or {}

    @property
    def _config(self) -> Mapping[str, Any]:
        return self.values.get("Config") or {}

    def _label(self, name: str) -> str:
        return str((self._config.get("Labels") or {}).get(_LABEL + name, ""))


@dataclass(frozen=True, slots=True)
class Project:
    """What Compose reads in a folder."""

    name: str
    services: Mapping[str, Mapping[str, Any]]

    def ports(self, service: str) -> tuple[int, ...]:
        """Return the published ports of ``service`` on the host."""
        given = (str(each.get("published") or "") for each in self.services.get(service, {}).get("ports") or ())
        return tuple(int(each) for each in given if each.isdecimal())

    def image(self, service: str) -> str:
        """Return the image of ``service``; empty if it is built, and has no name of its own."""
        return str(self.services.get(service, {}).get("image") or "")

    def described(self, container: Container) -> str:
        """Return what ``container`` is, seen from this project."""
        if not container.project:
            return f"container {container.name}"
        if container.project == self.name:
            service = container.service
            return f"container {container.name} of the service {service}, which is no longer in the compose file"
        return f"container {container.name} of the Compose project {container.project} in {container.folder}"


@dataclass(slots=True)
class Known:
    """What stays the same from one phase to the next."""

    project: Project | None
    images: dict[str, Image]
    """image id → image"""


def project_of(deployment: Deployment | None) -> Project | None:
    """Return what Compose reads, from the deploy files of an environment; None if they were read without it."""
    if deployment is None or not deployment.project or not deployment.apps:
        return None
    return Project(deployment.project, deployment.apps[0].project.get("services") or {})


def expected_changes(lines: Iterable[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of containers to be replaced, and those of orphans, from a dry run of Compose."""
    text = "\n".join(lines)
    lost = (name for found in _ORPHANS.findall(text) for name in found.split())
    return frozenset(_REPLACED.findall(text)), frozenset(lost)


def difference(container: Container, project: Project, known: Iterable[Image]) -> str:
    """Return why the next ``up`` replaces ``container``; ``known`` has the images that the compose files name."""
    reference = project.image(container.service) or f"{project.name}-{container.service}"
    if container.reference != reference:
        return f"it runs {container.reference}, and the compose file names {reference}"
    named = next((each for each in known if each.is_named(reference)), None)
    if named is not None and named.id != container.image:
        return f"its tag {reference} now names another image"
    return "the compose file, or a variable in it, has changed since the container was created"


def orphan(container: Container) -> str:
    """Return a description of ``container``, whose service is no longer in the compose files."""
    return f"container {container.name} {'is still there' if container.has_ended else 'still runs'}"


def images(inspected: str) -> Mapping[str, Image]:
    """Return image id → image, from one line ``["id", [references], [tags]]`` for each."""
    found = (json.loads(line) for line in inspected.splitlines() if line.startswith("["))
    return {
        identifier: Image(identifier, tuple(references or ()), tuple(tags or ()))
        for identifier, references, tags in found
    }


def requests_to_end(events: str) -> Mapping[str, EndedBy]:
    """Return container id → ``stop`` or ``kill``: the last request to end it, from one line "id action" for each event.

    ``docker stop`` also sends signals, whose events come before its own.
    """
    ended: dict[str, EndedBy] = {}
    for identifier, _, action in (line.partition(" ") for line in events.splitlines()):
        if request := _REQUESTS.get(action):
            ended[identifier] = request
        elif action in ("start", "restart"):
            ended.pop(identifier, None)
    return ended


def last_end(found: Sequence[Container]) -> str:
    """Return the earliest time at which one of ``found`` that was ended by a signal did so; empty for none."""
    ends = (str(each.values.get("State", {}).get("FinishedAt", "")) for each in found if _may_be_requested(each))
    return min(ends, default="")


def _may_be_requested(container: Container) -> bool:
    """Whether a request may have ended it: the exit code is that of a signal or of success."""
    return container.exit_code in (0, 130, 137, 143) and not container.out_of_memory


def _time(text: object) -> str:
    """Return a time of Docker with microseconds, as ISO 8601; empty for none."""
    found = str(text or "")
    if not found or found.startswith("0001-"):
        return ""
    seconds, dot, fraction = found.removesuffix("Z").partition(".")
    return f"{seconds}{dot}{fraction[:6].ljust(6, '0') if dot else ''}+00:00"


def names(lines: str) -> Iterator[str]:
    """Yield the first word of each line."""
    for line in lines.splitlines():
        if words := line.split():
            yield words[0]
