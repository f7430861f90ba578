"""The daemon: images, and containers as ``docker inspect`` prints them."""

from __future__ import annotations

import datetime
import re
from typing import Any

from .digests import digest_of

Json = dict[str, Any]

NEVER = "0001-01-01T00:00:00Z"
LABEL = "com.docker.compose."
KILLED, NOT_FOUND, NOT_STARTED = 137, 127, 128
PROGRAMS = ("httpd", "sh", "sleep", "true", "false", "tail", "cat", "echo", "wget")
"""programs of the image ``tiny``, in which alone a container's command decides how it ends"""
FAULTS = {"crash": 1, "oom": KILLED, "one-shot": 0}
"""fault → exit code of a container"""


class EngineError(Exception):
    """The tool prints this message on standard error and exits."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def engine(state: Json) -> Json:
    """Return the part of the state that belongs to the daemon."""
    docker: Json = state["docker"]
    docker.setdefault("images", {})
    docker.setdefault("containers", [])
    docker.setdefault("events", [])
    return docker


def now() -> str:
    """Return the time as the engine prints it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def pulled(state: Json, reference: str) -> Json:
    """Pull an image. Its digest is the one in the reference, or is computed from the reference and the source."""
    name, _, digest = reference.partition("@")
    digest = digest or digest_of("registry", reference, state["source"])
    entry = {"Id": digest_of("config", digest), "RepoDigests": [f"{_repository(name)}@{digest}"], "RepoTags": []}
    if "@" not in reference:
        entry["RepoTags"] = [reference if ":" in reference.rpartition("/")[2] else f"{reference}:latest"]
    engine(state)["images"][reference] = entry
    return entry


def built(state: Json, reference: str, *, again: bool) -> Json:
    """Build an image. The same source gives the same image, except without the cache."""
    known = engine(state)["images"].get(reference, {})
    count = known.get("builds", 0) + int(again)
    identity = digest_of("built", reference, state["source"], str(count))
    entry = {"Id": identity, "RepoDigests": [], "RepoTags": [f"{reference}:latest"], "builds": count}
    if known and known["Id"] != identity:
        engine(state)["images"][known["Id"]] = {**known, "RepoTags": []}
    engine(state)["images"][reference] = entry
    return entry


def find_image(state: Json, wanted: str) -> Any:
    """Return the image with that reference, tag or id, or None. A digest of a registry alone finds none."""
    for reference, entry in engine(state)["images"].items():
        if wanted in (reference, entry["Id"], *entry["RepoTags"], *entry["RepoDigests"]):
            return entry
        if len(wanted) >= 12 and entry["Id"].removeprefix("sha256:").startswith(wanted):
            return entry
    return None


def _repository(name: str) -> str:
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def label(container: Json, name: str) -> str:
    """Return a label of Compose."""
    return str(container["Config"]["Labels"].get(LABEL + name, ""))


def containers(state: Json, project: str, *services: str) -> list[Json]:
    """Return the containers of a project, or of some of its services, by name."""
    found = [each for each in engine(state)["containers"] if label(each, "project") == project]
    chosen = (each for each in found if not services or label(each, "service") in services)
    return sorted(chosen, key=lambda each: str(each["Name"]))


def find_container(state: Json, name: str) -> Any:
    """Return the container with that name or id, or None."""
    for each in engine(state)["containers"]:
        if name == each["Name"][1:] or (len(name) >= 4 and each["Id"].startswith(name)):
            return each
    return None


def create(state: Json, name: str, image: Json, service: Json, labels: Json) -> Json:
    """Create a container, and replace one of the same name."""
    held = engine(state)["containers"]
    made = engine(state)["made"] = engine(state).get("made", 0) + 1
    bindings: Json = {}
    for port in service.get("ports") or ():
        host = {"HostIp": port.get("host_ip", ""), "HostPort": port.get("published", "")}
        bindings.setdefault(f"{port['target']}/{port['protocol']}", []).append(host)
    check = service.get("healthcheck") or {}
    container = {
        "Id": digest_of("container", name, str(made)).removeprefix("sha256:"),
        "Name": f"/{name}",
        "Image": image["Id"],
        "RestartCount": 0,
        "State": {"Error": "", "FinishedAt": NEVER, "StartedAt": NEVER},
        "Config": {
            "Image": service["image"],
            "Cmd": service.get("command"),
            "Healthcheck": check if check and not check.get("disable") else None,
            "Labels": {LABEL + key: value for key, value in labels.items()},
        },
        "HostConfig": {"PortBindings": bindings, "RestartPolicy": service.get("restart") or "no"},
        "NetworkSettings": {"Ports": {}},
    }
    _put(container, "created")
    held[:] = [each for each in held if each["Name"] != f"/{name}"] + [container]
    return container


def _put(container: Json, status: str, code: int = 0, *, oom: bool = False, health: str = "") -> None:
    """Set a container's state; those that end lose their ports, and their health check fails."""
    awake = status in ("running", "paused", "restarting")
    state = container["State"]
    state |= {"Status": status, "Running": awake, "Paused": status == "paused", "Restarting": status == "restarting"}
    state |= {"OOMKilled": oom, "Dead": False, "ExitCode": code}
    if container["Config"]["Healthcheck"] and status != "created":
        state["Health"] = {"Status": health or "unhealthy"}
    bound = container["HostConfig"]["PortBindings"] if status in ("running", "paused") else {}
    container["NetworkSettings"]["Ports"] = {key: list(map(_anywhere, hosts)) for key, hosts in bound.items()}


def _anywhere(host: Json) -> Json:
    # As the engine does, choose a port where the file leaves that open.
    return {"HostIp": host["HostIp"] or "0.0.0.0", "HostPort": host["HostPort"] or "49153"}  # noqa: S104


def start(state: Json, container: Json, fault: str | None, *, once: bool = False) -> None:
    """Start a container. A fault, or its command in the image ``tiny``, decides how it ends; ``once``: with 0.

    Raise ``EngineError`` if it cannot be started.
    """
    if container["State"]["Status"] == "paused":
        raise EngineError("Error response from daemon: cannot start a paused container, try unpause instead")
    _refuse_start(state, container)
    container["State"] |= {"StartedAt": now(), "Error": ""}
    container["RestartCount"] = 0
    note_event(state, container, "start")
    code = FAULTS[fault] if fault in FAULTS else 0 if once else None if fault else _ending(container)
    if code is None:
        _put(container, "running", health=_health(container, fault))
        return
    container["State"]["FinishedAt"] = now()
    policy, _, limit = container["HostConfig"]["RestartPolicy"].partition(":")
    repeats = policy in ("always", "unless-stopped") or (policy == "on-failure" and code)
    container["RestartCount"] = int(limit or 1) if repeats else 0
    oom = fault == "oom" or "/dev/zero" in " ".join(container["Config"]["Cmd"] or ())
    _put(container, "restarting" if repeats and not limit else "exited", code, oom=oom)


def _refuse_start(state: Json, container: Json) -> None:
    """Leave a container created, with its error, if its port is taken or its program is missing."""
    why, code = "", NOT_STARTED
    taken = {port for each in engine(state)["containers"] if each is not container for port in ports(each)}
    for host in (each for hosts in container["HostConfig"]["PortBindings"].values() for each in hosts):
        if host["HostPort"] and int(host["HostPort"]) in taken:
            bind = f"Bind for {host['HostIp'] or '0.0.0.0'}:{host['HostPort']} failed: port is already allocated"  # noqa: S104 - as above
            why = f"driver failed programming external connectivity on endpoint {container['Name'][1:]} ({'0' * 64}): {bind}"
    command = container["Config"]["Cmd"]
    if container["Config"]["Image"] == "tiny" and command and command[0] not in PROGRAMS:
        where = "no such file or directory" if "/" in command[0] else "executable file not found in $PATH"
        how = f'exec: "{command[0]}": ' + (f"stat {command[0]}: {where}" if "/" in command[0] else where)
        why = f"failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: {how}: unknown"
        code = NOT_FOUND
    if why:
        _put(container, "created", code)
        container["State"]["Error"] = why
        raise EngineError(f"Error response from daemon: {why}")


def _ending(container: Json) -> int | None:
    """Return the exit code that the command of the image ``tiny`` is known to have; None if it does not end."""
    command = container["Config"]["Cmd"] or [""]
    if container["Config"]["Image"] != "tiny":
        return None
    if command[0] in ("true", "false"):
        return int(command[0] == "false")
    if "tail /dev/zero" in " ".join(command):
        return KILLED
    found = re.fullmatch(r"exit (\d+)", command[-1]) if command[:2] == ["sh", "-c"] else None
    return int(found[1]) if found else None


def _health(container: Json, fault: str | None) -> str:
    check = container["Config"]["Healthcheck"]
    if check is None:
        return ""
    if check["test"][-1] == "false":
        return "starting" if check.get("start_period") else "unhealthy"
    return fault if fault in ("unhealthy", "starting") else "healthy"


def end(state: Json, container: Json, action: str) -> None:
    """Stop or kill a container that runs; the programs here do not handle SIGTERM."""
    if container["State"]["Status"] in ("running", "paused", "restarting"):
        container["State"]["FinishedAt"] = now()
        _put(container, "exited", KILLED)
        for each in ("kill", "die", *(["stop"] if action == "stop" else [])):
            note_event(state, container, each)


def pause(state: Json, container: Json, action: str) -> None:
    """Pause or unpause a container."""
    if container["State"]["Status"] == {"pause": "running", "unpause": "paused"}[action]:
        _put(
            container,
            {"pause": "paused", "unpause": "running"}[action],
            health="healthy" if action == "unpause" else "",
        )
        note_event(state, container, action)


def note_event(state: Json, container: Json, action: str) -> None:
    """Record what ``docker events`` prints."""
    engine(state)["events"].append({"time": now(), "ID": container["Id"], "Action": action})


def ports(container: Json) -> list[int]:
    """Return the published ports of a container that runs."""
    bound = container["NetworkSettings"]["Ports"].values()
    return [int(each["HostPort"]) for hosts in bound for each in hosts if each["HostPort"]]


def listed(container: Json) -> Json:
    """Return a container as ``docker ps --format json`` prints it."""
    state, labels = container["State"], container["Config"]["Labels"]
    health = state.get("Health", {}).get("Status", "") if state["Status"] == "running" else ""
    status = {
        "created": "Created",
        "exited": f"Exited ({state['ExitCode']}) 2 seconds ago",
        "restarting": f"Restarting ({state['ExitCode']}) 2 seconds ago",
        "paused": "Up 6 seconds (Paused)",
        "running": "Up 6 seconds" + (f" ({'health: starting' if health == 'starting' else health})" if health else ""),
    }[state["Status"]]
    bound = container["NetworkSettings"]["Ports"]
    shown = (f"{each['HostIp']}:{each['HostPort']}->{key}" for key, hosts in bound.items() for each in hosts)
    return {
        "ID": container["Id"][:12],
        "Image": container["Config"]["Image"],
        "Labels": ",".join(f"{key}={value}" for key, value in labels.items()),
        "Names": container["Name"][1:],
        "Ports": ", ".join(shown),
        "State": state["Status"],
        "Status": status,
    }
