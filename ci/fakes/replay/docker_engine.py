"""The daemon: images and containers, and the states of a started container."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .digests import digest_of

if TYPE_CHECKING:
    from .compose_file import Service

Json = dict[str, Any]


class EngineError(Exception):
    """The tool prints this message on standard error and exits."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def engine(state: dict[str, Any]) -> Json:
    """Return the part of the state that belongs to the daemon."""
    docker: Json = state["docker"]
    docker.setdefault("images", {})
    docker.setdefault("containers", [])
    return docker


def pulled(state: dict[str, Any], reference: str) -> Json:
    """Pull an image. Its digest is the one in the reference, or is computed from the reference and the source."""
    name, _, digest = reference.partition("@")
    digest = digest or digest_of("registry", reference, state["source"])
    entry = {"Id": digest_of("config", digest), "RepoDigests": [f"{_repository(name)}@{digest}"], "RepoTags": []}
    if "@" not in reference:
        entry["RepoTags"] = [reference if ":" in reference.rpartition("/")[2] else f"{reference}:latest"]
    engine(state)["images"][reference] = entry
    return entry


def built(state: dict[str, Any], project: str, service: Service, *, again: bool) -> Json:
    """Build the image of a service. The same source gives the same image, except without the cache."""
    reference = image_name(project, service)
    known = engine(state)["images"].get(reference, {})
    count = known.get("builds", 0) + int(again)
    identity = digest_of("built", reference, state["source"], str(count))
    entry = {"Id": identity, "RepoDigests": [], "RepoTags": [f"{reference}:latest"], "builds": count}
    engine(state)["images"][reference] = entry
    return entry


def image_name(project: str, service: Service) -> str:
    """Return the name of a service's image."""
    return service.image or f"{project}-{service.name}"


def find_image(state: dict[str, Any], wanted: str) -> Any:
    """Return the image with that reference, tag, digest or id, or None."""
    for reference, entry in engine(state)["images"].items():
        if wanted in (reference, entry["Id"], *entry["RepoTags"], *entry["RepoDigests"]):
            return entry
        if len(wanted) >= 12 and entry["Id"].removeprefix("sha256:").startswith(wanted):
            return entry
    return None


def _repository(name: str) -> str:
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def containers(state: dict[str, Any], project: str, *services: str) -> list[Json]:
    """Return the containers of a project, or of some of its services, by name."""
    found = [each for each in engine(state)["containers"] if each["project"] == project]
    return sorted(
        (each for each in found if not services or each["service"] in services), key=lambda each: each["name"]
    )


def create(state: dict[str, Any], project: str, service: Service, number: int, image: Json) -> Json:
    """Create a container, and replace one of the same name."""
    name = f"{project}-{service.name}-{number}"
    before = engine(state)["containers"]
    made = engine(state)["made"] = engine(state).get("made", 0) + 1
    container = {
        "id": digest_of("container", name, str(made)).removeprefix("sha256:"),
        "name": name,
        "project": project,
        "service": service.name,
        "image": image_name(project, service),
        "image_id": image["Id"],
        "state": "created",
        "health": "",
        "exit_code": 0,
        "oom": False,
        "ports": service.ports,
        "checked": service.checked,
        "config": digest_of("service", service.text)[7:],
    }
    before[:] = [each for each in before if each["name"] != name] + [container]
    return container


def start(container: Json, ending: str | None) -> None:
    """Start a container. ``ending`` is its fate: ``crash``, ``oom``, ``one-shot``, ``unhealthy``, ``starting``."""
    container |= {"state": "running", "exit_code": 0, "oom": False, "health": "healthy" if container["checked"] else ""}
    if ending in ("crash", "oom", "one-shot"):
        container |= {"state": "exited", "health": "unhealthy" if container["checked"] else ""}
        container["exit_code"] = {"crash": 1, "oom": 137, "one-shot": 0}[ending]
        container["oom"] = ending == "oom"
    elif ending in ("unhealthy", "starting") and container["checked"]:
        container["health"] = ending


def listed(container: Json) -> Json:
    """Return a container as ``docker compose ps --format json`` prints it."""
    published = [_publisher(port) for port in container["ports"]]
    labels = {
        "com.docker.compose.project": container["project"],
        "com.docker.compose.service": container["service"],
        "com.docker.compose.oneoff": "False",
        "com.docker.compose.image": container["image_id"],
        "com.docker.compose.config-hash": container["config"],
        "com.docker.compose.version": "2.40.3",
    }
    return {
        "Command": '"python -m gaia"',
        "CreatedAt": "2026-08-03 15:20:11 +0000 UTC",
        "ExitCode": container["exit_code"],
        "Health": container["health"],
        "ID": container["id"][:12],
        "Image": container["image"],
        "Labels": ",".join(f"{key}={value}" for key, value in labels.items()),
        "LocalVolumes": "0",
        "Mounts": "",
        "Name": container["name"],
        "Names": container["name"],
        "Networks": f"{container['project']}_default",
        "Ports": ", ".join(f"0.0.0.0:{port}->8000/tcp" for port in container["ports"]),
        "Project": container["project"],
        "Publishers": published or None,
        "RunningFor": "6 seconds ago",
        "Service": container["service"],
        "Size": "0B",
        "State": container["state"],
        "Status": _status(container),
    }


def _publisher(port: int) -> Json:
    # What compose prints for a port without an address.
    return {"URL": "0.0.0.0", "TargetPort": 8000, "PublishedPort": port, "Protocol": "tcp"}  # noqa: S104


def _status(container: Json) -> str:
    if container["state"] == "exited":
        return f"Exited ({container['exit_code']}) 2 seconds ago"
    health = container["health"]
    return "Up 6 seconds" + (f" ({'health: starting' if health == 'starting' else health})" if health else "")


def inspected(container: Json) -> Json:
    """Return a container as ``docker container inspect`` prints it, with the fields that the project reads."""
    running = container["state"] == "running"
    health = {"Health": {"Status": container["health"], "FailingStreak": 0}} if container["checked"] else {}
    state = {"Status": container["state"], "Running": running, "OOMKilled": container["oom"], **health}
    return {
        "Id": container["id"],
        "Name": f"/{container['name']}",
        "Image": container["image_id"],
        "State": {**state, "ExitCode": container["exit_code"], "Restarting": False, "Dead": False},
        "Config": {"Image": container["image"], "Labels": {"com.docker.compose.service": container["service"]}},
        "RestartCount": 0,
    }
