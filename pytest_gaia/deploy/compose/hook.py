"""The hook ``compose``: deploy the services of a compose file with one ``up``, and observe their containers.

Compose runs in the folder of the compose file, without ``--file``. It therefore reads what it would read for the user:
override files, COMPOSE_FILE, ``.env`` and profiles.
"""

import json
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

from msgspec.structs import replace

from pytest_gaia.config.deployfiles.compose import waited_for
from pytest_gaia.config.deployfiles.model import Deployment
from pytest_gaia.config.deployfiles.read import compose_files
from pytest_gaia.config.platform import Platform
from pytest_gaia.config.variables import DOTENV_FILE, read_dotenv
from pytest_gaia.deploy.compose.containers import (
    Container,
    Image,
    Known,
    Project,
    difference,
    expected_changes,
    images,
    last_end,
    names,
    orphan,
    project_of,
    requests_to_end,
)
from pytest_gaia.deploy.compose.tool import (
    BUILD_FAILED,
    IMAGE,
    INSTALL,
    QUIET,
    TOOL,
    decoded,
    images_here,
    is_temporary,
    last_line,
    problem_of,
    usage_error_in,
    way_out,
)
from pytest_gaia.deploy.contract import EndedBy, Machine, Observation, Reply, Request, UnavailableServices, utc_now
from pytest_gaia.deploy.outcome import digest_of, is_id
from pytest_gaia.deploy.process import Finished, find_tool, run_tool
from pytest_gaia.deploy.states import condition
from pytest_gaia.errors import ConfigError, GaiaError
from pytest_gaia.secrets.redaction import masker

Command: TypeAlias = tuple[str, ...]

_NONE = Platform()
_COMPOSE: Command = (TOOL, "compose")
_SPARE = 0.1
"""share of the deadline after the time limit of `up`, so that `up` can report what it waited for"""
_VERBS = ("up", "build", "config", "ps", "inspect", "events")
_ATTEMPTS = 2
"""attempts to get an image from a registry"""
_AFTERWARDS = 15.0
"""seconds to find out what a failed `up` has done"""
_LABEL = "label=com.docker.compose."
_LINE = re.compile(r"\bContainer (\S+) +(\w*)")
_CHANGING = ("Recreate", "Starting", "Stopping")
"""what `up` reports of a container before it changes it"""
_ONCE = re.compile(r"container \S+ exited \(0\)")


class ComposeHook:
    """Deploy services of a compose file. Regions and remote builders do not apply."""

    name = "compose"

    def __init__(self, platform: Platform = _NONE, deployment: Deployment | None = None) -> None:
        """``deployment`` has what Compose reads in its folder; without it, Compose is asked."""
        self._platform = platform
        self._known = Known(project_of(deployment), {})

    def run(self, request: Request, log: Callable[[str], None]) -> Reply:
        """Run one phase for one service. Raises as :meth:`run_all`."""
        return self.run_all([request], lambda _, line: log(line))[0]

    def run_all(self, requests: Sequence[Request], log: Callable[[str, str], None]) -> tuple[Reply, ...]:
        """Run one phase. Raises ``ConfigError`` for problems that only the user can fix."""
        first = requests[0]
        if first.config is None:
            raise ConfigError(f"compose: no compose file for {first.service} in {first.environment}.")
        if first.region is not None:
            raise ConfigError("--region: compose runs on this machine only; remove the option.")
        job = _Job(requests, first.config, self._platform, self._known, log)
        if first.phase == "observe":
            return job.observe()
        if first.phase == "plan" or first.dry_run:
            job.refuse_unknown_ids()
            plan = Reply(status="done", commands=job.commands())
            return (replace(plan, message=job.remark()), *[plan] * (len(requests) - 1))
        return job.deploy()


class _Job:
    """One phase for some services of one project."""

    def __init__(
        self,
        requests: Sequence[Request],
        config: str,
        platform: Platform,
        known: Known,
        log: Callable[[str, str], None],
    ) -> None:
        self._requests = requests
        self._platform = platform
        self._log = log
        self._redact = masker()
        self._config = Path(config)
        self._until = time.monotonic() + requests[0].deadline
        self._images = {each.app: image for each in requests if (image := _image(each))}
        self._known = known
        self._begun: dict[str, None] = {}
        """services whose containers `up` has begun to change"""

    def commands(self) -> tuple[Command, ...]:
        """Return the exact commands that deploy the services."""
        wait = str(max(1, int(self._requests[0].deadline * (1 - _SPARE))))
        up = ("up", "--detach", "--wait", "--wait-timeout", wait)
        # After `--`, no name is taken for an option.
        units = tuple(each.app for each in self._requests)
        built = tuple(each for each in units if each not in self._images and self._is_built(each))
        rebuild = self._requests[0].rebuild
        build = (*_COMPOSE, "build", *(["--no-cache"] if rebuild else []), "--", *built)
        if self._images:
            # --no-deps keeps the images of the other services, which those in the file would replace.
            command = (*self._with_images(), *up, "--no-build", "--no-deps", "--", *units)
            return (build, command) if built else (command,)
        if rebuild and built:
            return build, (*_COMPOSE, *up, "--", *units)
        return ((*_COMPOSE, *up, *(["--build"] if built else []), "--", *units),)

    def remark(self) -> str:
        """Return what the commands do not show."""
        return f"standard input: {self._override(self._given())}" if self._images else ""

    def refuse_unknown_ids(self) -> None:
        """Raise ``ConfigError`` for an image that is given by an id, and is not on this machine."""
        here = images_here([image for image in self._images.values() if is_id(image)])
        for unit, image in self._images.items():
            if is_id(image) and image not in here:
                raise ConfigError(
                    f"{unit}: the image {image} is not on this machine, and an id cannot be pulled. Use a complete id "
                    "(docker image ls --no-trunc), or a reference of a registry. Nothing was changed."
                )

    def deploy(self) -> tuple[Reply, ...]:
        """Run the commands. ``up`` also fails if a container that runs once succeeds, so the containers decide."""
        override = self._override(self._given())
        commands = self.commands()
        for command in commands:
            finished = self._run(command, stdin=override if self._images else None)
            if not finished.ok:
                return self._failed(command, finished, override if self._images else None)
        return tuple(Reply(status="done", commands=commands, image=_image(each)) for each in self._requests)

    def observe(self) -> tuple[Reply, ...]:
        """Return the containers of each service, and the image that each of them runs."""
        with ThreadPoolExecutor(1) as pool:
            comparing = pool.submit(self._compared, _COMPOSE) if self._requests[0].compare else None
            found = self._containers()
            replaced, lost = (comparing.result() if comparing else None) or ((), ())
        folder = self._config.parent
        own = [each for each in found if each.is_of(folder)]
        machines = self._machines(own)
        named = self._known.images.values()
        differences = {each.id: difference(each, self._read(), named) for each in own if each.name in replaced}
        elsewhere = self._elsewhere(own, [each for each in found if not each.is_of(folder)])
        taken = utc_now("microseconds")
        replies = []
        for request in self._requests:
            mine = [each for each in own if each.service == request.app]
            ports = [port for each in mine for port in each.ports]
            seen = Observation(
                app=request.app,
                exists=bool(mine),
                machines=tuple(machines[each.id] for each in mine if each.id in machines),
                hostname=f"localhost:{ports[0]}" if ports else None,
                taken=taken,
                differences=tuple(dict.fromkeys(differences[each.id] for each in mine if each.id in differences)),
                orphans=tuple(orphan(each) for each in own if each.name in lost),
                elsewhere=elsewhere.get(request.app, ""),
            )
            image = seen.machines[0].image if seen.machines else None
            replies.append(Reply(status="done", image=image, observation=seen))
        return tuple(replies)

    def _compared(
        self, compose: Command, *options: str, stdin: str | None = None
    ) -> tuple[Collection[str], Collection[str]] | None:
        """Return the names of containers that `up` would replace, and of orphans; None if Compose cannot tell."""
        lines: list[str] = []
        command = (*compose, "--dry-run", "up", "--no-start", "--no-build", "--pull", "never", *options)
        return expected_changes(lines) if self._run(command, stdin=stdin, log=lines.append).ok else None

    def _hashes(self, compose: Command, stdin: str | None = None) -> Mapping[str, str]:
        """Return service → hash of its configuration in the files; empty if Compose does not tell."""
        lines = self._run((*compose, "config", "--hash", "*"), stdin=stdin, log=_ignore).stdout.splitlines()
        return {words[0]: words[1] for words in map(str.split, lines) if len(words) == 2}

    def _containers(self) -> tuple[Container, ...]:
        """Return the containers of the project, without those of ``docker compose run``."""
        filters = (f"{_LABEL}project={self._read().name}", f"{_LABEL}oneoff=False")
        listed = self._listed("ps", "--all", "--quiet", "--no-trunc", *(f"--filter={each}" for each in filters))
        return self._inspected(tuple(names(listed)))

    def _inspected(self, ids: Sequence[str]) -> tuple[Container, ...]:
        if not ids:
            return ()
        finished = self._run((TOOL, "container", "inspect", *ids))
        text = finished.stdout.strip()
        # A container that was removed meanwhile is missing in the output.
        if not finished.ok and not text.startswith("["):
            raise problem_of("docker inspect", finished)
        return tuple(map(Container, decoded("docker inspect", text or "[]")))

    def _machines(self, found: Sequence[Container]) -> dict[str, Machine]:
        """Return container id → machine."""
        known = self._known.images
        # Compare what runs with what a tag names now, which no earlier observation knows.
        compare = self._requests[0].compare
        asked = {each.image for each in found}.difference(() if compare else known)
        if new := sorted(asked.union(each.reference for each in found if compare)):
            known |= images(self._run((TOOL, "image", "inspect", "--format", IMAGE, *new), log=_ignore).stdout)
        ended = self._requests_to_end(found)
        return {
            each.id: each.machine(
                known.get(each.image, Image(each.image)),
                digest_of(self._images.get(each.service, "")),
                may_end=self._may_end(each),
                ended_by=ended.get(each.id, ""),
            )
            for each in found
        }

    def _requests_to_end(self, found: Sequence[Container]) -> Mapping[str, EndedBy]:
        """Return container id → ``stop`` or ``kill``, as far as the engine still knows."""
        since = last_end([each for each in found if not self._may_end(each)])
        if not since:
            return {}
        kinds = ("--filter=event=stop", "--filter=event=kill", "--filter=event=start")
        span = ("--since", since.partition(".")[0] + "Z", "--until", f"{time.time():.6f}")
        listed = self._run((TOOL, "events", *span, *kinds, "--format", "{{.ID}} {{.Action}}"))
        return requests_to_end(listed.stdout)

    def _elsewhere(self, own: Sequence[Container], others: Sequence[Container]) -> dict[str, str]:
        """Return service → what responds instead of its containers, for services that do not run."""
        project = self._read()
        running = {each.service for each in own if not each.has_ended and each.ports}
        idle = [each.app for each in self._requests if each.app not in running and project.ports(each.app)]
        found = {
            each.service: f"container {each.name}, which was created from {each.folder}"
            for each in others
            if each.service in idle and not each.has_ended
        }
        ports = {port: each for each in idle for port in project.ports(each)}
        if not ports:
            return found
        listed = self._listed("ps", "--quiet", "--no-trunc", *(f"--filter=publish={port}" for port in ports))
        for each in self._inspected(tuple(names(listed))):
            is_own = (
                each.project == project.name and each.service in project.services and each.is_of(self._config.parent)
            )
            for port in each.ports:
                if port in ports and not is_own:
                    found.setdefault(ports[port], f"{project.described(each)} (port {port})")
        return found

    def _failed(self, command: Command, finished: Finished, override: str | None) -> tuple[Reply, ...]:
        text = "\n".join(finished.stderr_tail)
        verb = next((word for word in command if word in _VERBS), "")
        shown = f"docker compose {verb}"
        last = last_line(finished)
        # `up` may have used all the time.
        self._until = max(self._until, time.monotonic() + _AFTERWARDS)
        try:
            build_failed = finished.exit_code == BUILD_FAILED
            applied = self._applied(override, build_failed=build_failed) if verb == "up" else frozenset()
        except GaiaError as problem:
            raise UnavailableServices(
                f"Docker stopped responding during `{shown}`. {problem}", tuple(self._begun)
            ) from None
        reply = Reply(status="failed", commands=(command,), tail=finished.stderr_tail)
        reply = replace(reply, message=f"{shown} ended with exit code {finished.exit_code}: {last}{way_out(last)}")
        if finished.timed_out:
            limit = f"{self._requests[0].deadline:g}"
            reply = replace(reply, message=f"{shown} exceeded its time limit of {limit} s and was stopped.")
        elif is_temporary(text):
            if self._requests[0].attempt >= _ATTEMPTS:
                raise self._unreachable(shown, last)
            reply = replace(reply, status="retry", message=f"{shown}: {last}")
        elif why := usage_error_in(text):
            raise ConfigError(f"{shown}: {why}. Output: {last}")
        done = "" if _ONCE.search(last) is None else "because a container that runs once has succeeded"
        replies = []
        for each in self._requests:
            one = replace(reply, image=_image(each))
            if each.app in applied:
                note = f"{shown} ended with exit code {finished.exit_code}, {done}." if done else ""
                one = replace(one, status="done", message=note)
            replies.append(one)
        return tuple(replies)

    def _unreachable(self, shown: str, last: str) -> UnavailableServices:
        """Return the error for images that cannot be pulled; nothing starts before all of them are here."""
        wanted = {each.service: image for each in self._requests if (image := self._reference(each.app))}
        here = images_here(list(wanted.values()))
        missing = {service: image for service, image in wanted.items() if image not in here}
        named = " and ".join(dict.fromkeys(missing.values()))
        what = f"the image {named} is not on this machine, and its registry" if named else "a registry"
        return UnavailableServices(f"{what} cannot be reached. Output of {shown}: {last}", tuple(missing))

    def _reference(self, unit: str) -> str:
        """Return the image that a service is to run; empty if it is built, and has no name of its own."""
        return self._images.get(unit) or self._read().image(unit)

    def _applied(self, override: str | None, *, build_failed: bool) -> frozenset[str]:
        """Return the services whose containers have the wanted configuration and image, and are in good condition."""
        prefix = self._with_images() if self._images else _COMPOSE
        wanted = self._hashes(prefix, override)
        found: dict[str, list[Container]] = {}
        for each in self._containers():
            found.setdefault(each.service, []).append(each)
        machines = self._machines([each for group in found.values() for each in group])
        references = {unit: self._reference(unit) for unit in found}
        asked = sorted({each for unit, each in references.items() if each and unit not in self._images})
        differ = {
            each.name for group in found.values() for each in group if each.config_hash != wanted.get(each.service)
        }
        if differ:
            # The hashes of `config` leave out what `up` adds to them, such as the variables of `env_file`.
            options = ("--no-deps", "--", *(each.app for each in self._requests)) if self._images else ()
            if compared := self._compared(prefix, *options, stdin=override):
                differ = differ.intersection(compared[0])
        current = {each: self._image_id(each) for each in asked}
        return frozenset(
            unit
            for unit, group in found.items()
            # After a failed build, containers may run the image of an earlier one.
            if not (build_failed and self._is_built(unit))
            and all(
                each.name not in differ
                and condition(machines[each.id]).good
                and current.get(references[unit]) in (None, each.image)
                for each in group
            )
        )

    def _image_id(self, reference: str) -> str | None:
        finished = self._run((TOOL, "image", "inspect", "--format", "{{.Id}}", reference), log=_ignore)
        return finished.stdout.strip() or None

    def _may_end(self, container: Container) -> bool:
        """Whether ``container`` is meant to run only once.

        The description of a service decides, and the compose file only for containers of no described service.
        """
        if container.exit_code != 0:
            return False
        service = next((each.service for each in self._requests if each.app == container.service), "")
        if service in self._platform:
            return self._platform[service].once
        return container.service in waited_for(self._read().services)

    def _is_built(self, unit: str) -> bool:
        return bool(self._read().services.get(unit, {}).get("build"))

    def _read(self) -> Project:
        """Return the project as Compose reads it. Raises ``ConfigError`` with its reason for one that it refuses."""
        if self._known.project is None:
            finished = self._run((*_COMPOSE, "config", "--format", "json"))
            if not finished.ok:
                raise problem_of("docker compose config", finished)
            document = decoded("docker compose config", finished.stdout)
            self._known.project = Project(str(document.get("name", "")), document.get("services") or {})
        return self._known.project

    def _listed(self, *words: str) -> str:
        finished = self._run((TOOL, *words))
        if not finished.ok:
            raise problem_of(f"docker {words[0]}", finished)
        return finished.stdout

    def _override(self, given: Mapping[str, str]) -> str:
        return json.dumps({"services": {unit: {"image": image} for unit, image in given.items()}})

    def _given(self) -> Mapping[str, str]:
        """Return service → image, by the id if it was built on this machine: it has no digest of a registry."""
        found = {unit: (image, digest_of(image)) for unit, image in self._images.items()}
        return {unit: digest if digest and self._image_id(digest) else image for unit, (image, digest) in found.items()}

    def _with_images(self) -> Command:
        """Return Compose with the files that it reads by itself, and one more from standard input."""
        folder = self._config.parent
        paths = compose_files(folder, read_dotenv(folder / DOTENV_FILE))
        files = (word for path in paths for word in ("--file", str(path)))
        return (*_COMPOSE, *files, "--file", "-")

    def _run(self, command: Command, stdin: str | None = None, *, log: Callable[[str], None] | None = None) -> Finished:
        return run_tool(
            (find_tool(TOOL, install=INSTALL), *command[1:]),
            deadline=max(0.0, self._until - time.monotonic()),
            cwd=self._config.parent,
            stdin=stdin,
            env=QUIET,
            environment=self._requests[0].environment,
            ends=self._platform.variable_ends,
            log=log or self._line,
            redact=self._redact,
        )

    def _line(self, line: str) -> None:
        """Log a line for the service whose container it names."""
        named = _LINE.search(line)
        found = next((each for each in self._requests if named and self._is_named(each.app, named[1])), None)
        if found is not None and named is not None and named[2] in _CHANGING:
            self._begun[found.service] = None
        self._log((found or self._requests[0]).service, line)

    def _is_named(self, unit: str, container: str) -> bool:
        """Whether ``container`` is the name of a container of a service."""
        project = self._known.project
        own = project.services.get(unit, {}).get("container_name") if project else None
        return container == own or f"-{unit}-" in f"{container}-"


def _image(request: Request) -> str | None:
    going_back = request.phase == "rollback" and request.previous
    return request.previous if going_back else request.image


def _ignore(_: str) -> None:
    """Take a line that is not shown: Docker reports an image that is not there as an error."""
