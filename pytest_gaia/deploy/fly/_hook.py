"""The hook ``fly``: apps on Fly.io, deployed and observed by flyctl."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from pytest_gaia.config.deployfiles.fly import BARE_DURATION, table_of
from pytest_gaia.config.deployfiles.values import Table
from pytest_gaia.deploy.contract import Reply, Request
from pytest_gaia.deploy.fly._tool import FlyTool, classify, explain
from pytest_gaia.deploy.fly.operations import observe, sleeping, wake_commands
from pytest_gaia.deploy.fly.shapes import emitted
from pytest_gaia.deploy.outcome import digest_of, repository_of
from pytest_gaia.deploy.process import Finished
from pytest_gaia.errors import ConfigError, DeployFailed, DeployUnavailable
from pytest_gaia.files.toml import read_text
from pytest_gaia.secrets.redaction import masker

_WAIT, _RELEASE_COMMAND = "wait_timeout", "release_command_timeout"
_TIMEOUTS = {_WAIT: 300.0, _RELEASE_COMMAND: 600.0}
"""key of [deploy] → seconds where the deploy file has none; the deadline of the whole may be shorter"""
_TO_WAKE = 120.0


class FlyHook:
    """Deploys one app by ``fly deploy``. It judges nothing: exit 0 does not mean that the new image runs."""

    name = "fly"

    def __init__(self, tool: FlyTool | None = None) -> None:
        self._tool = tool or FlyTool()

    def run(self, request: Request, log: Callable[[str], None]) -> Reply:
        """Carry out one phase. Raises ``ConfigError`` for what only the user can mend."""
        if request.phase == "observe":
            return self._observe(request)
        arguments = deploy_arguments(request)
        if request.phase == "plan" or request.dry_run:
            return Reply(status="done", commands=(self._spoken(arguments),), message=_cut_short(request))
        return self._deploy(request, arguments, log)

    def _observe(self, request: Request) -> Reply:
        try:
            observation = observe(request.app, tool=self._tool, deadline=request.deadline)
        except DeployUnavailable as problem:
            return Reply(status="retry", message=str(problem))
        except DeployFailed as problem:
            return Reply(status="failed", message=str(problem))
        return Reply(status="done", version=observation.version, observation=observation)

    def _deploy(self, request: Request, arguments: tuple[str, ...], log: Callable[[str], None]) -> Reply:
        until = time.monotonic() + request.deadline
        with _folder(request) as directory:
            finished = self._tool.act(*arguments, deadline=request.deadline, log=log, out=log, directory=directory)
        if not finished.ok:
            return self._failure(request, arguments, finished)
        woken, problem = self._wake(request.app, until, log)
        made = emitted(finished.stdout)
        return Reply(
            status="done",
            commands=tuple(self._spoken(command) for command in (arguments, *woken)),
            version=made.version if made else None,
            image=made.image_ref if made else None,
            message=problem,
            tail=finished.stderr_tail,
        )

    def _wake(self, app: str, until: float, log: Callable[[str], None]) -> tuple[tuple[tuple[str, ...], ...], str]:
        """Start what sleeps: flyctl gives such machines the new image, and never tries whether it runs.

        Return the commands, and what went wrong; what is observed afterwards says whether it matters.
        """
        left = max(1.0, min(_TO_WAKE, until - time.monotonic()))
        try:
            machines = sleeping(observe(app, tool=self._tool, deadline=left))
        except (DeployUnavailable, DeployFailed) as problem:
            return (), str(problem)
        commands = wake_commands(app, machines, left)
        for number, command in enumerate(commands, 1):
            finished = self._tool.act(*command, deadline=max(1.0, until - time.monotonic()), log=log, out=log)
            if not finished.ok:
                return commands[:number], f"`{self._tool.spoken(finished)}` failed: {explain(finished)}."
        return commands, ""

    def _failure(self, request: Request, arguments: tuple[str, ...], finished: Finished) -> Reply:
        error = self._tool.error(finished, request.app)
        if isinstance(error, ConfigError):
            raise error
        temporary = classify(finished) == "temporary" and not finished.timed_out
        return Reply(
            status="retry" if temporary else "failed",
            commands=(self._spoken(arguments),),
            message=f"`{self._tool.name} deploy -a {request.app}` failed: {explain(finished)}.",
            tail=finished.stderr_tail,
        )

    def _spoken(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        mask = masker()
        return (self._tool.name, *(mask(word) for word in arguments))


def deploy_arguments(request: Request) -> tuple[str, ...]:
    """Return the arguments of flyctl for a deployment, or for going back to an earlier image.

    Raises ``ConfigError`` where it is not said what to deploy, or what to go back to.
    """
    # A plan with an earlier image is the plan of going back to it.
    back = request.phase == "rollback" or request.previous is not None
    image = request.previous if back else request.image
    if back and not image:
        raise ConfigError(f"{request.app}: there is no image to go back to; name one with --to.")
    if not (image or request.config):
        raise ConfigError(f"{request.app}: there is neither a deploy file nor an image to deploy.")
    file = _deploy_file(request.config)
    timeouts, limit = _TIMEOUTS | _given(file), request.deadline
    arguments = ["deploy", "-a", request.app]
    arguments += ["-c", request.config] if request.config else []
    arguments += ["--image", _pinned(image)] if image else []
    arguments += ["--primary-region", request.region] if request.region else []
    arguments += ["--no-cache"] if request.rebuild and not image else []
    # With an image, flyctl would first look for one of that name in a local Docker, and push what it finds there.
    arguments += ["--remote-only"] if request.remote_only or image else []
    # By default flyctl adds a second machine to an app that has one.
    arguments += [] if _spare_machine(file) else ["--ha=false"]
    most = _seconds(timeouts[_RELEASE_COMMAND], limit)
    arguments += ["--skip-release-command"] if back else ["--release-command-timeout", most]
    # Unless it is told otherwise, the number of retries is whatever Fly has set for everybody on that day.
    return (*arguments, "--wait-timeout", _seconds(timeouts[_WAIT], limit), "--deploy-retries", "0", "--yes")


@contextmanager
def _folder(request: Request) -> Iterator[Path | None]:
    """Where flyctl runs. Without a deploy file it would take any fly.toml there for the app's own."""
    if request.config is None:
        with TemporaryDirectory(prefix="gaia-deploy-") as empty:
            yield Path(empty)
    else:
        yield Path(request.directory) if request.directory else None


def _given(file: Table) -> dict[str, float]:
    """Return the timeouts that the deploy file sets, in seconds."""
    table = file.table("deploy")
    found = {key: table.duration(key, BARE_DURATION) for key in _TIMEOUTS}
    return {key: seconds for key, seconds in found.items() if seconds}


def _cut_short(request: Request) -> str:
    """Return which timeouts of the deploy file are longer than the deadline, in one sentence; an empty text for none."""
    file = _deploy_file(request.config)
    # Going back runs no release command.
    asked = {key: seconds for key, seconds in _given(file).items() if key == _WAIT or request.previous is None}
    longer = [f"{key} is {seconds:g} s" for key, seconds in asked.items() if seconds > request.deadline]
    if not longer:
        return ""
    return (
        f"{' and '.join(longer)} in {file.file}, and the deployment is ended after {request.deadline:g} s: raise "
        f"`deadline` in [env.{request.environment}.deploy] of gaia.toml"
    )


def _seconds(most: float, limit: float) -> str:
    return f"{max(1, int(min(most, limit)))}s"


def _pinned(image: str) -> str:
    """The reference without its tag, if it has a digest: the digest alone decides."""
    digest = digest_of(image)
    return image if digest is None else f"{repository_of(image)}@{digest}"


def _deploy_file(config: str | None) -> Table:
    """Return the deploy file as it is; an empty one where it cannot be read, which flyctl reports."""
    with suppress(ConfigError):
        if config:
            path = Path(config)
            return table_of(read_text(path, path.name), path, path.name)[0]
    return Table(config or "", {}, {})


def _spare_machine(file: Table) -> bool:
    """Whether the deploy file asks for two machines or more, and so for flyctl's second one."""
    services = file.values.get("services", [])
    tables = [file.values.get("http_service"), *(services if isinstance(services, list) else [])]
    least = [table.get("min_machines_running") for table in tables if isinstance(table, dict)]
    return any(isinstance(number, int) and number > 1 for number in least)
