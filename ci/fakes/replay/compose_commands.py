"""The commands of ``docker compose``."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import compose_config
from . import docker_engine as docker
from .compose_file import MALFORMED, FileError, find, load
from .digests import digest_of
from .docker_call import BROKEN, TOO_MANY
from .docker_engine import EngineError

if TYPE_CHECKING:
    from .compose_file import Service
from .docker_call import Call

COMPLETED = "service_completed_successfully"
ENDINGS = ("crash", "oom", "one-shot", "unhealthy", "starting")
VERSION = "2.40.3"


class Project:
    """The files of one call, and the name of its project."""

    def __init__(self, call: Call) -> None:
        flags = call.folder
        named = flags.get("file", []) if flags else []
        named = named or [part for part in os.environ.get("COMPOSE_FILE", "").split(os.pathsep) if part]
        try:
            self._files = files = named or [str(find(Path.cwd()))]
            self._stdin = sys.stdin.read() if "-" in files else ""
            self.services = load(files, self._stdin)
        except FileError as error:
            raise EngineError(str(error), error.code) from None
        for each in self.services.values():
            if lost := [name for name in each.needs if name not in self.services]:
                why = f'service "{each.name}" depends on undefined service "{lost[0]}": invalid compose project'
                raise EngineError(why, MALFORMED)
        first = Path(next((name for name in files if name != "-"), "."))
        given = (flags.get("project-name") if flags else None) or os.environ.get("COMPOSE_PROJECT_NAME")
        self.name: str = re.sub(r"[^a-z0-9_-]", "", (given or first.absolute().parent.name).lower()) or "project"

    def tables(self) -> dict[str, Any]:
        """Return the active services in their canonical form."""
        try:
            return compose_config.services(self._files, self._stdin)
        except FileError as error:
            raise EngineError(str(error), error.code) from None

    def chosen(self, names: list[str], *, with_needs: bool) -> list[Service]:
        """Return the services of a call, dependencies first. Raise ``EngineError`` for an unknown one."""
        found: dict[str, Service] = {}
        for name in names or list(self.services):
            self._add(name, found, with_needs=with_needs)
        return list(found.values())

    def _add(self, name: str, found: dict[str, Service], *, with_needs: bool) -> None:
        if name not in self.services:
            raise EngineError(f"no such service: {name}")
        if name in found:
            return
        for other in self.services[name].needs if with_needs else ():
            self._add(other, found, with_needs=with_needs)
        found[name] = self.services[name]

    def runs_to_its_end(self, name: str) -> bool:
        """Return whether another service waits for this one to complete."""
        return any(each.needs.get(name) == COMPLETED for each in self.services.values())


def version(call: Call) -> None:
    """``docker compose version [--short] [--format json]``."""
    if call.line.get("format") == "json":
        call.say(json.dumps({"version": f"v{VERSION}"}))
    else:
        call.say(VERSION if call.line.get("short") else f"Docker Compose version v{VERSION}")


def config(call: Call) -> None:
    """``docker compose config [--services|--images|--quiet]``."""
    project = Project(call)
    if call.line.get("services"):
        call.say("\n".join(project.services))
    elif call.line.get("images"):
        call.say("\n".join(docker.image_name(project.name, each) for each in project.services.values()))
    elif not call.line.get("quiet"):
        call.say(json.dumps({"name": project.name, "services": project.tables()}, indent=2))


def up(call: Call) -> None:
    """``docker compose up -d [--wait] [--wait-timeout N] [--no-deps] [--no-build] [--build] [--scale S=N] [SERVICE…]``."""
    call.before()
    project = Project(call)
    services = project.chosen(call.line.arguments, with_needs=not call.line.get("no-deps"))
    counts = dict(each.split("=", 1) for each in call.line.get("scale", []))
    if not (call.line.get("detach") or call.line.get("wait")):
        raise EngineError("this fake cannot attach: add --detach or --wait")
    for service in services:
        _bring_up(call, project, service, int(counts.get(service.name, service.replicas)))
    if call.line.get("wait"):
        _wait(call, project, services)


def _bring_up(call: Call, project: Project, service: Service, count: int) -> None:
    call.linger(service.name)
    with call.store.change() as state:
        image = _image(call, state, project, service)
        phantom = call.fault(state, service.name, "phantom")
        ending = call.fault(state, service.name, *ENDINGS)
        split = call.fault(state, service.name, "split")
        known = {each["name"]: each for each in docker.containers(state, project.name, service.name)}
        for number in range(1, count + 1):
            name = f"{project.name}-{service.name}-{number}"
            before = known.pop(name, None)
            if before and (phantom or (split and number > 1) or _same(before, image, service, call)):
                call.note(f" Container {name}  Running")
                continue
            container = docker.create(state, project.name, service, number, image)
            call.note(f" Container {name}  {'Recreated' if before else 'Created'}\n Container {name}  Starting")
            own = "one-shot" if project.runs_to_its_end(service.name) else None
            docker.start(container, ending.kind if ending else own)
            call.note(f" Container {name}  Started")
        held = docker.engine(state)["containers"]
        held[:] = [each for each in held if each["name"] not in known]


def _same(container: dict[str, Any], image: dict[str, Any], service: Service, call: Call) -> bool:
    if call.line.get("force-recreate") or container["state"] != "running":
        return False
    expected = (image["Id"], digest_of("service", service.text)[7:])
    return (container["image_id"], container["config"]) == expected


def _image(call: Call, state: dict[str, Any], project: Project, service: Service) -> dict[str, Any]:
    reference = docker.image_name(project.name, service)
    known = docker.find_image(state, reference)
    if service.build and (known is None or call.line.get("build")) and not call.line.get("no-build"):
        return docker.built(state, project.name, service, again=False)
    built_here = service.build and not service.image
    if known is not None and (built_here or call.line.get("pull") != "always"):
        return dict(known)
    if built_here:
        raise EngineError(f"Error response from daemon: No such image: {reference}:latest")
    return _pull(call, state, service.name, reference)


def _pull(call: Call, state: dict[str, Any], service: str, reference: str) -> dict[str, Any]:
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


def _wait(call: Call, project: Project, services: list[Service]) -> None:
    with call.store.change() as state:
        found = docker.containers(state, project.name, *(each.name for each in services))
        late = call.fault(state, "docker", "tool-error-after-success")
    for each in found:
        name, code = each["name"], each["exit_code"]
        if each["state"] == "exited" and not (code == 0 and project.runs_to_its_end(each["service"])):
            call.note(f" Container {name}  Error")
            raise EngineError(f"container {name} exited ({code})")
        if each["health"] == "unhealthy" and each["state"] == "running":
            call.note(f" Container {name}  Error")
            raise EngineError(f"container {name} is unhealthy")
        if each["health"] == "starting":
            raise EngineError(f"application not healthy after {_duration(call.line.get('wait-timeout') or 0)}")
        call.note(f" Container {name}  Healthy")
    if late:
        raise EngineError("error during connect: Get: EOF")


def _duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def ps(call: Call) -> None:
    """``docker compose ps [-a] [--format json] [SERVICE…]``."""
    call.before()
    project = Project(call)
    project.chosen(call.line.arguments, with_needs=False)
    with call.store.change() as state:
        found = docker.containers(state, project.name, *call.line.arguments)
        array, chatter = call.fault(state, "docker", "array"), call.fault(state, "docker", "chatter")
    shown = [docker.listed(each) for each in found if call.line.get("all") or each["state"] == "running"]
    if chatter:
        call.say('time="2026-08-03T15:20:11Z" level=warning msg="The \\"TAG\\" variable is not set."')
    if call.line.get("quiet"):
        call.say("\n".join(each["ID"] for each in shown))
    elif call.line.get("format") == "json":
        for line in [json.dumps(shown)] if array else [json.dumps(each, separators=(",", ":")) for each in shown]:
            call.say(line)
    else:
        rows = ("\t".join((each["Name"], each["Image"], each["Service"], each["Status"])) for each in shown)
        call.say("\n".join(("NAME\tIMAGE\tSERVICE\tSTATUS", *rows)))


def logs(call: Call) -> None:
    """``docker compose logs [--follow] [--tail N] [SERVICE…]``: following stops after some seconds."""
    call.before()
    project = Project(call)
    chosen = project.chosen(call.line.arguments, with_needs=False)
    state = call.store.read()
    for each in docker.containers(state, project.name, *(service.name for service in chosen)):
        lines = state["docker"].get("logs", {}).get(each["service"], [])
        tail = call.line.get("tail", "all")
        for line in lines if tail == "all" else lines[-int(tail) :]:
            call.say(line if call.line.get("no-log-prefix") else f"{each['service']}-1  | {line}")
    if call.line.get("follow"):
        call.follow(float(state.get("follow_seconds", 2)))


def pull(call: Call) -> None:
    """``docker compose pull [SERVICE…]``."""
    call.before()
    project = Project(call)
    with call.store.change() as state:
        for service in project.chosen(call.line.arguments, with_needs=False):
            if service.image:
                _pull(call, state, service.name, service.image)


def build(call: Call) -> None:
    """``docker compose build [--no-cache] [--pull] [SERVICE…]``."""
    call.before()
    project = Project(call)
    for service in project.chosen(call.line.arguments, with_needs=False):
        if not service.build:
            continue
        call.linger(service.name)
        with call.store.change() as state:
            if call.fault(state, service.name, "build-fails"):
                why = 'process "/bin/sh -c pip install ." did not complete successfully: exit code: 1'
                raise EngineError(f"failed to solve: {why}", 17)
            docker.built(state, project.name, service, again=bool(call.line.get("no-cache")))
        call.note(f" {service.name}  Built")


def stop(call: Call) -> None:
    """``docker compose stop|start|restart [SERVICE…]`` and ``down``."""
    call.before()
    project = Project(call)
    names = [each.name for each in project.chosen(call.line.arguments, with_needs=False)]
    verb = call.command.split()[-1]
    with call.store.change() as state:
        found = docker.containers(state, project.name, *names)
        for each in found:
            if verb in ("stop", "down"):
                each |= {"state": "exited", "exit_code": 0}
            else:
                docker.start(each, None)
        if verb == "down":
            held = docker.engine(state)["containers"]
            held[:] = [each for each in held if each not in found]
