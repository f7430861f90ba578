"""The commands of ``docker compose``."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import compose_file as file
from . import docker_engine as docker
from .digests import digest_of
from .docker_call import BROKEN, TOO_MANY
from .docker_engine import EngineError, label

if TYPE_CHECKING:
    from .docker_call import Call
    from .docker_engine import Json
    from .faults import Fault

COMPLETED = "service_completed_successfully"
ENDINGS = ("crash", "oom", "one-shot", "unhealthy", "starting")
VERSION = "2.26.1"
UNHASHED = ("build", "pull_policy", "scale", "depends_on", "profiles")
"""keys of a service whose change does not recreate its containers"""


class Project:
    """The project of one call, as Compose reads it."""

    def __init__(self, call: Call) -> None:
        flags = call.folder
        named = flags.get("file", []) if flags else []
        folder = Path(named[0]).absolute().parent if named and named[0] != "-" else Path.cwd()
        self._variables = file.dotenv(folder)
        try:
            files = file.paths(named, Path.cwd() if named else folder, self._variables)
            self.document = file.load(files, sys.stdin.read() if "-" in files else "", self._variables)
        except file.FileError as error:
            raise EngineError(str(error), error.code) from None
        self.files = [str(Path(each).absolute()) for each in files if each != "-"]
        self.folder = Path(next(iter(self.files), "compose.yml")).absolute().parent
        given = (flags.get("project-name") if flags else None) or self._variables.get("COMPOSE_PROJECT_NAME")
        name = given or self.document.get("name") or self.folder.name
        self.name: str = re.sub(r"[^a-z0-9_-]", "", str(name).lower()).lstrip("_-") or "project"
        self.every: dict[str, Json] = self.document.get("services", {})
        for key, service in self.every.items():
            service.setdefault("image", f"{self.name}-{key}")
        profiles = {
            *(flags.get("profile", []) if flags else ()),
            *self._variables.get("COMPOSE_PROFILES", "").split(","),
        }
        self.services = {
            key: each
            for key, each in self.every.items()
            if not each.get("profiles") or profiles & {*each["profiles"], "*"}
        }

    def chosen(self, names: list[str], *, with_needs: bool) -> list[str]:
        """Return the services of a call, dependencies first. Raise ``EngineError`` for an unknown one."""
        found: list[str] = []
        for name in names or list(self.services):
            self._add(name, found, with_needs=with_needs)
        return found

    def _add(self, name: str, found: list[str], *, with_needs: bool) -> None:
        if name not in self.every:
            raise EngineError(f"no such service: {name}")
        if name in found:
            return
        for other in self.every[name]["depends_on"] if with_needs else ():
            self._add(other, found, with_needs=with_needs)
        found.append(name)

    def hashed(self, name: str) -> str:
        """Return the hash of a service's configuration."""
        kept = {key: each for key, each in self.every[name].items() if key not in UNHASHED}
        return digest_of("service", json.dumps(kept, sort_keys=True)).removeprefix("sha256:")

    def runs_to_its_end(self, name: str) -> bool:
        """Return whether another service waits for this one to complete."""
        return any(each["depends_on"].get(name, {}).get("condition") == COMPLETED for each in self.every.values())


def version(call: Call) -> None:
    """``docker compose version [--short] [--format json]``."""
    if call.line.get("format") == "json":
        call.say(json.dumps({"version": VERSION}))
    else:
        call.say(VERSION if call.line.get("short") else f"Docker Compose version {VERSION}")


def config(call: Call) -> None:
    """``docker compose config [--services|--images|--quiet|--hash S] [--format json]``."""
    project = Project(call)
    wanted = call.line.get("hash")
    if wanted:
        names = project.services if wanted == "*" else wanted.split(",")
        call.say("\n".join(f"{each} {project.hashed(each)}" for each in names))
    elif call.line.get("services"):
        call.say("\n".join(project.services))
    elif call.line.get("images"):
        call.say("\n".join(str(each["image"]) for each in project.services.values()))
    elif not call.line.get("quiet"):
        if call.line.get("format") != "json":
            raise EngineError("this fake prints no YAML; add --format json", file.REFUSED)
        read = {key: {**each} for key, each in project.services.items()}
        for service in read.values():
            if service["image"].startswith(f"{project.name}-") and "build" in service:
                del service["image"]
        document = {**project.document, "name": project.name, "services": read}
        # Compose escapes what it has substituted, so that its output is a compose file.
        call.say(json.dumps(document, indent=2).replace("$", "$$"))


def up(call: Call) -> None:
    """``docker compose up -d [--wait] [--wait-timeout N] [--no-deps] [--no-build] [--build] [--scale S=N] [SERVICE…]``.

    As Compose does, it first makes all images, then creates all containers, then starts them in their order.
    """
    call.before()
    project = Project(call)
    names = project.chosen(call.line.arguments, with_needs=not call.line.get("no-deps"))
    counts = dict(each.split("=", 1) for each in call.line.get("scale", []))
    if not (call.line.get("detach") or call.line.get("wait")):
        raise EngineError("this fake cannot attach: add --detach or --wait", file.REFUSED)
    for name in names:
        call.linger(name)
    with call.store.change() as state:
        images = {name: _image(call, state, project, name) for name in names}
        _warn_of_orphans(call, state, project)
        faults = {name: _kind(call.fault(state, name, "phantom", "split")) for name in names}
        endings = {name: _kind(call.fault(state, name, *ENDINGS)) for name in names}
        for name in names:
            replicas = (project.every[name].get("deploy") or {}).get("replicas", 1)
            _create(call, state, project, name, images[name], int(counts.get(name, replicas)), faults[name])
        for name in names:
            _await_needs(state, project, name, names)
            _start(call, state, project, name, endings[name] or None, changing=faults[name] != "phantom")
    if call.line.get("wait"):
        _wait(call, project, names)


def _kind(fault: Fault | None) -> str:
    return fault.kind if fault else ""


def _warn_of_orphans(call: Call, state: Json, project: Project) -> None:
    found = docker.containers(state, project.name)
    lost = " ".join(each["Name"][1:] for each in found if label(each, "service") not in project.every)
    if lost:
        text = f"Found orphan containers ([{lost}]) for this project. If you removed or renamed this service in your compose file, you can run this command with the --remove-orphans flag to clean it up."
        call.note(f'time="2026-08-03T15:20:11Z" level=warning msg="{text}"')


def _create(call: Call, state: Json, project: Project, name: str, image: Json, count: int, fault: str) -> None:
    known = {each["Name"][1:]: each for each in docker.containers(state, project.name, name)}
    service = project.every[name]
    for number in range(1, count + 1):
        own = service.get("container_name") or f"{project.name}-{name}-{number}"
        before = known.pop(own, None)
        kept = before is not None and (
            fault == "phantom"
            or (fault == "split" and number > 1)
            or (not call.line.get("force-recreate") and _identity(before) == (image["Id"], project.hashed(name)))
        )
        if kept:
            continue
        if before is None and docker.find_container(state, own):
            raise EngineError(f'Error response from daemon: Conflict. The container name "/{own}" is already in use')
        labels = {
            "config-hash": project.hashed(name),
            "container-number": str(number),
            "depends_on": ",".join(f"{key}:{each['condition']}:false" for key, each in service["depends_on"].items()),
            "image": image["Id"],
            "oneoff": "False",
            "project": project.name,
            "project.config_files": ",".join(project.files),
            "project.working_dir": str(project.folder),
            "service": name,
            "version": VERSION,
        }
        if before:
            docker.end(state, before, "stop")
        docker.create(state, own, image, service, labels)
        call.note(f" Container {own}  {'Recreated' if before else 'Created'}")
    held = docker.engine(state)["containers"]
    held[:] = [each for each in held if each["Name"][1:] not in known]


def _identity(container: Json) -> tuple[str, str]:
    return container["Image"], label(container, "config-hash")


def _await_needs(state: Json, project: Project, name: str, names: list[str]) -> None:
    for other, how in project.every[name]["depends_on"].items():
        for each in docker.containers(state, project.name, other) if other in names else ():
            code = each["State"]["ExitCode"]
            if how["condition"] == COMPLETED and code:
                raise EngineError(f'service "{other}" didn\'t complete successfully: exit {code}')
            if how["condition"] == "service_healthy" and each["State"].get("Health", {}).get("Status") == "unhealthy":
                raise EngineError(f"dependency failed to start: container {each['Name'][1:]} is unhealthy")


def _start(call: Call, state: Json, project: Project, name: str, fault: str | None, *, changing: bool) -> None:
    for container in docker.containers(state, project.name, name):
        own = container["Name"][1:]
        if container["State"]["Status"] in ("running", "restarting") or not changing:
            call.note(f" Container {own}  Running")
            continue
        call.note(f" Container {own}  Starting")
        plain = container["Config"]["Image"] != "tiny"
        docker.start(state, container, fault, once=plain and fault is None and project.runs_to_its_end(name))
        call.note(f" Container {own}  Started")


def _image(call: Call, state: Json, project: Project, name: str) -> Json:
    service = project.every[name]
    reference = service["image"]
    known = docker.find_image(state, reference)
    built = "build" in service
    if built and (known is None or call.line.get("build")) and not call.line.get("no-build"):
        return _build(call, state, service, name, again=False)
    if known is not None and (built or call.line.get("pull") != "always"):
        return dict(known)
    if built or service.get("pull_policy") == "never":
        raise EngineError(f"Error response from daemon: no such image: {reference}: No such image: {reference}")
    return _pull(call, state, name, reference)


def _pull(call: Call, state: Json, service: str, reference: str) -> Json:
    call.note(f" {service} Pulling")
    if call.fault(state, service, "rate-limited"):
        raise EngineError(TOO_MANY, 18)
    if call.fault(state, service, "server-error"):
        raise EngineError(BROKEN, 18)
    if call.fault(state, service, "image-gone"):
        why = "repository does not exist or may require 'docker login': denied: requested access to the resource is denied"
        raise EngineError(f"Error response from daemon: pull access denied for {reference}, {why}", 18)
    call.note(f" {service} Pulled")
    return docker.pulled(state, reference)


def _wait(call: Call, project: Project, names: list[str]) -> None:
    with call.store.change() as state:
        found = docker.containers(state, project.name, *names)
        late = call.fault(state, "docker", "tool-error-after-success")
    for each in found:
        name, status, code = each["Name"][1:], each["State"]["Status"], each["State"]["ExitCode"]
        health = each["State"].get("Health", {}).get("Status", "")
        if status == "exited" and not (code == 0 and _is_awaited(project, label(each, "service"), names)):
            raise EngineError(f"container {name} exited ({code})")
        if status == "running" and health == "unhealthy":
            raise EngineError(f"container {name} is unhealthy")
        if status == "running" and health == "starting":
            raise EngineError(f"application not healthy after {_duration(call.line.get('wait-timeout') or 0)}")
        call.note(f" Container {name}  Healthy")
    if late:
        raise EngineError("context canceled")


def _is_awaited(project: Project, name: str, names: list[str]) -> bool:
    needs = (project.every[each]["depends_on"].get(name, {}) for each in names)
    return any(each.get("condition") == COMPLETED for each in needs)


def _duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def logs(call: Call) -> None:
    """``docker compose logs [--follow] [--tail N] [SERVICE…]``: following stops after some seconds."""
    call.before()
    project = Project(call)
    chosen = project.chosen(call.line.arguments, with_needs=False)
    state = call.store.read()
    for each in docker.containers(state, project.name, *chosen):
        service = label(each, "service")
        lines = state["docker"].get("logs", {}).get(service, [])
        tail = call.line.get("tail", "all")
        for line in lines if tail == "all" else lines[-int(tail) :]:
            moment = "2026-08-03T15:20:11.052301344Z " if call.line.get("timestamps") else ""
            call.say(f"{'' if call.line.get('no-log-prefix') else service + '-1  | '}{moment}{line}")
    if call.line.get("follow"):
        call.follow(float(state.get("follow_seconds", 2)))


def build(call: Call) -> None:
    """``docker compose build [--no-cache] [--pull] [SERVICE…]``."""
    call.before()
    project = Project(call)
    for name in project.chosen(call.line.arguments, with_needs=False):
        if "build" in project.every[name]:
            call.linger(name)
            with call.store.change() as state:
                _build(call, state, project.every[name], name, again=bool(call.line.get("no-cache")))


def _build(call: Call, state: Json, service: Json, name: str, *, again: bool) -> Json:
    if call.fault(state, name, "build-fails"):
        why = 'process "/bin/sh -c pip install ." did not complete successfully: exit code: 1'
        raise EngineError(f"failed to solve: {why}", 17)
    call.note(f" {name}  Built")
    return docker.built(state, service["image"], again=again)


def change(call: Call) -> None:
    """``docker compose stop|kill|pause|unpause|start|restart|down [SERVICE…]``."""
    call.before()
    project = Project(call)
    names = project.chosen(call.line.arguments, with_needs=False)
    verb = call.command.split()[-1]
    with call.store.change() as state:
        found = docker.containers(state, project.name, *names)
        for each in found:
            if verb in ("pause", "unpause"):
                docker.pause(state, each, verb)
            elif verb != "start":
                docker.end(state, each, "kill" if verb == "kill" else "stop")
            if verb in ("start", "restart"):
                docker.start(state, each, None)
        if verb == "down":
            held = docker.engine(state)["containers"]
            held[:] = [each for each in held if each not in found]
