"""The hook ``fly``: deploy and observe apps on Fly.io with flyctl."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from pytest_gaia.config.deployfiles.fly import NANOSECOND, table_of
from pytest_gaia.config.deployfiles.values import Table
from pytest_gaia.deploy.contract import Reply, Request
from pytest_gaia.deploy.fly.operations import FlyTool, classify, explain, observe, sleeping, wake_commands
from pytest_gaia.deploy.fly.shapes import emitted
from pytest_gaia.deploy.outcome import digest_of, repository_of
from pytest_gaia.deploy.process import Finished
from pytest_gaia.errors import ConfigError, DeployFailed, DeployUnavailable
from pytest_gaia.files.toml import read_text
from pytest_gaia.secrets.redaction import masker

_WAIT, _RELEASE_COMMAND = "wait_timeout", "release_command_timeout"
_TIMEOUTS = {_WAIT: 300.0, _RELEASE_COMMAND: 600.0}
"""key of [deploy] → default in seconds; the deadline of the deployment also applies"""
_TO_WAKE = 120.0


class FlyHook:
    """Deploy one app with ``fly deploy``, whose exit code 0 does not mean that the new image runs."""

    name = "fly"

    def __init__(self, tool: FlyTool | None = None) -> None:
        self._tool = tool or FlyTool()

    def run(self, request: Request, log: Callable[[str], None]) -> Reply:
        """Run one phase. Raises ``ConfigError`` for problems that only the user can fix."""
        if request.phase == "observe":
            return self._observe(request)
        arguments = deploy_arguments(request)
        if request.phase == "plan" or request.dry_run:
            return Reply(status="done", commands=(self._command_line(arguments),), message=_too_long(request))
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
        started, problem = self._wake(request.app, until, log)
        release = emitted(finished.stdout)
        return Reply(
            status="done",
            commands=tuple(self._command_line(command) for command in (arguments, *started)),
            version=release.version if release else None,
            image=release.image_ref if release else None,
            message=problem,
            tail=finished.stderr_tail,
        )

    def _wake(self, app: str, until: float, log: Callable[[str], None]) -> tuple[tuple[tuple[str, ...], ...], str]:
        """Start sleeping machines, because flyctl updates their image without a test run.

        Return the commands, and the problem, if any. The observation afterwards shows whether the problem matters.
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
                return commands[:number], f"`{self._tool.command_line(finished)}` failed: {explain(finished)}."
        return commands, ""

    def _failure(self, request: Request, arguments: tuple[str, ...], finished: Finished) -> Reply:
        error = self._tool.error(finished, request.app)
        if isinstance(error, ConfigError):
            raise error
        temporary = classify(finished) == "temporary" and not finished.timed_out
        return Reply(
            status="retry" if temporary else "failed",
            commands=(self._command_line(arguments),),
            message=f"`{self._tool.name} deploy -a {request.app}` failed: {explain(finished)}.",
            tail=finished.stderr_tail,
        )

    def _command_line(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        mask = masker()
        return (self._tool.name, *(mask(word) for word in arguments))


def deploy_arguments(request: Request) -> tuple[str, ...]:
    """Return the arguments of flyctl for a deployment or a rollback.

    Raises ``ConfigError`` if there is nothing to deploy, or no image for a rollback.
    """
    # A plan with an earlier image is the plan of a rollback.
    back = request.phase == "rollback" or request.previous is not None
    image = request.previous if back else request.image
    if back and not image:
        raise ConfigError(f"{request.app}: no image for the rollback; name one with --to.")
    if not (image or request.config):
        raise ConfigError(f"{request.app}: nothing to deploy, because there is neither a deploy file nor an image.")
    file = _deploy_file(request.config)
    timeouts, limit = _TIMEOUTS | _given(file), request.deadline
    arguments = ["deploy", "-a", request.app]
    arguments += ["-c", request.config] if request.config else []
    arguments += ["--image", _pinned(image)] if image else []
    arguments += ["--primary-region", request.region] if request.region else []
    arguments += ["--no-cache"] if request.rebuild and not image else []
    # Without it, flyctl would push an image of the same name from a local Docker.
    arguments += ["--remote-only"] if request.remote_only or image else []
    # By default flyctl adds a second machine to an app that has one.
    arguments += [] if _spare_machine(file) else ["--ha=false"]
    most = _seconds(timeouts[_RELEASE_COMMAND], limit)
    arguments += ["--skip-release-command"] if back else ["--release-command-timeout", most]
    # Fly can change the default number of retries at any time.
    return (*arguments, "--wait-timeout", _seconds(timeouts[_WAIT], limit), "--deploy-retries", "0", "--yes")


@contextmanager
def _folder(request: Request) -> Iterator[Path | None]:
    """Yield the folder for flyctl. Without a deploy file it is empty, because flyctl would use any fly.toml in it."""
    if request.config is None:
        with TemporaryDirectory(prefix="gaia-deploy-") as empty:
            yield Path(empty)
    else:
        yield Path(request.directory) if request.directory else None


def _given(file: Table) -> dict[str, float]:
    """Return the timeouts in the deploy file, in seconds."""
    table = file.table("deploy")
    found = {key: table.duration(key, NANOSECOND) for key in _TIMEOUTS}
    return {key: seconds for key, seconds in found.items() if seconds}


def _too_long(request: Request) -> str:
    """Return a sentence about timeouts in the deploy file that exceed the deadline; empty without any."""
    file = _deploy_file(request.config)
    # A rollback runs no release command.
    asked = {key: seconds for key, seconds in _given(file).items() if key == _WAIT or request.previous is None}
    longer = [f"{key} is {seconds:g} s" for key, seconds in asked.items() if seconds > request.deadline]
    if not longer:
        return ""
    return (
        f"{' and '.join(longer)} in {file.file}, but the deployment stops after {request.deadline:g} s; raise "
        f"`deadline` in [env.{request.environment}.deploy] of gaia.toml"
    )


def _seconds(most: float, limit: float) -> str:
    return f"{max(1, int(min(most, limit)))}s"


def _pinned(image: str) -> str:
    """Return the reference without its tag, if it has a digest."""
    digest = digest_of(image)
    return image if digest is None else f"{repository_of(image)}@{digest}"


def _deploy_file(config: str | None) -> Table:
    """Return the deploy file; empty if it cannot be read, which flyctl reports."""
    with suppress(ConfigError):
        if config:
            path = Path(config)
            return table_of(read_text(path, path.name), path, path.name)[0]
    return Table(config or "", {}, {})


def _spare_machine(file: Table) -> bool:
    """Whether the deploy file requires two machines or more."""
    services = file.values.get("services", [])
    tables = [file.values.get("http_service"), *(services if isinstance(services, list) else [])]
    least = [table.get("min_machines_running") for table in tables if isinstance(table, dict)]
    return any(isinstance(number, int) and number > 1 for number in least)
