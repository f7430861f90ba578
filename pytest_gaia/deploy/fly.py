"""The hook ``fly``: apps on Fly.io, deployed and observed by flyctl."""

from __future__ import annotations

import time
import tomllib
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pytest_gaia.deploy import fly_apps
from pytest_gaia.deploy.contract import Reply
from pytest_gaia.deploy.fly_errors import classify, explain
from pytest_gaia.deploy.fly_operations import sleeping, wake_commands
from pytest_gaia.deploy.fly_shapes import emitted
from pytest_gaia.deploy.fly_tool import FlyTool
from pytest_gaia.deploy.masking import masker
from pytest_gaia.deploy.outcome import digest_of
from pytest_gaia.errors import ConfigError, DeployFailed, DeployUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_gaia.deploy.contract import Request
    from pytest_gaia.deploy.process import Finished

_HEALTHY_WITHIN = 300
"""seconds that flyctl waits for one machine; the deadline of the whole may be shorter"""
_RELEASE_COMMAND = 600
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
            return Reply(status="done", commands=(self._spoken(arguments),))
        return self._deploy(request, arguments, log)

    def _observe(self, request: Request) -> Reply:
        try:
            observation = fly_apps.observe(request.app, tool=self._tool, deadline=request.deadline)
        except DeployUnavailable as problem:
            return Reply(status="retry", message=str(problem))
        except DeployFailed as problem:
            return Reply(status="failed", message=str(problem))
        return Reply(status="done", release=observation.release, observation=observation)

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
            release=made.version if made else None,
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
            machines = sleeping(fly_apps.observe(app, tool=self._tool, deadline=left))
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
    limit = int(request.deadline)
    arguments = ["deploy", "-a", request.app]
    arguments += ["-c", request.config] if request.config else []
    arguments += ["--image", _pinned(image)] if image else []
    arguments += ["--primary-region", request.region] if request.region else []
    arguments += ["--no-cache"] if request.rebuild and not image else []
    # With an image, flyctl would first look for one of that name in a local Docker, and push what it finds there.
    arguments += ["--remote-only"] if request.remote_only or image else []
    # By default flyctl adds a second machine to an app that has one.
    arguments += [] if _spare_machine(request.config) else ["--ha=false"]
    arguments += (
        ["--skip-release-command"] if back else ["--release-command-timeout", _seconds(_RELEASE_COMMAND, limit)]
    )
    # Unless it is told otherwise, the number of retries is whatever Fly has set for everybody on that day.
    return (*arguments, "--wait-timeout", _seconds(_HEALTHY_WITHIN, limit), "--deploy-retries", "0", "--yes")


@contextmanager
def _folder(request: Request) -> Iterator[Path | None]:
    """Where flyctl runs. Without a deploy file it would take any fly.toml there for the app's own."""
    if request.config is None:
        with TemporaryDirectory(prefix="gaia-deploy-") as empty:
            yield Path(empty)
    else:
        yield Path(request.directory) if request.directory else None


def _seconds(most: int, limit: int) -> str:
    return f"{max(1, min(most, limit))}s"


def _pinned(image: str) -> str:
    """The reference without its tag, if it has a digest: the digest alone decides."""
    if digest_of(image) is None:
        return image
    name, _, digest = image.partition("@")
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}@{digest}"


def _spare_machine(config: str | None) -> bool:
    """Whether the deploy file asks for two machines or more, and so for flyctl's second one."""
    try:
        document = tomllib.loads(Path(config).read_text("utf-8")) if config else {}
    except (OSError, ValueError):
        # flyctl says it better.
        return True
    services = document.get("services", [])
    tables = [document.get("http_service"), *(services if isinstance(services, list) else [])]
    least = [table.get("min_machines_running") for table in tables if isinstance(table, dict)]
    return any(isinstance(number, int) and number > 1 for number in least)
