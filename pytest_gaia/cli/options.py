"""Options and arguments that several commands share, their completion, and the environment of a command."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer
from typer.core import TyperGroup

from pytest_gaia.cli.output import echo_json
from pytest_gaia.config.deployfiles.model import Deployment
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, resolve
from pytest_gaia.deploy.contract import DeployHook
from pytest_gaia.errors import GaiaError

P = ParamSpec("P")


class DefaultGroup(TyperGroup):
    """Use the hidden command of a group if the first word names none of its commands."""

    # Any: the context's type is one of typer's private modules.
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the name of the hidden command."""
        if not args or args[0] not in self.commands:
            args = [next(name for name, command in self.commands.items() if command.hidden), *args]
        return super().parse_args(ctx, args)


def options_here(
    env: str | None = None,
    env_source: str = "command line",
    urls: tuple[str, ...] = (),
    project: Project | None = None,
) -> Options:
    """Return the options of a run in this folder; by default of the project that contains it."""
    here = project or Project.around(Path.cwd())
    return Options(project=here, environ=os.environ, env=env, env_source=env_source, urls=urls)


def complete_name(incomplete: str) -> list[str]:
    """Return the environments whose names begin with ``incomplete``."""
    try:
        return [name for name in Project.around(Path.cwd()).environments if name.startswith(incomplete)]
    except GaiaError:
        # A message would garble the line that is being completed.
        return []


def complete_release(incomplete: str) -> list[str]:
    """Return the IDs of the releases of the project that begin with ``incomplete``, newest first, for shell completion."""
    from pytest_gaia.promotion.release.kept import release_files

    try:
        files = release_files(Project.around(Path.cwd()).rootdir)
    except GaiaError:
        return []
    return [name[:12] for name in reversed(files) if name.startswith(incomplete)]


def complete_service(context: typer.Context, incomplete: str) -> list[str]:
    """Return the services of the environment in the command line; ``incomplete`` may be a list, whose last name counts."""
    from pytest_gaia.rollout.plan import ALL, apps_of, choose

    before, comma, last = incomplete.rpartition(",")
    try:
        # The parser leaves the words before an incomplete option in `args`.
        there = target(str(context.params.get("env") or next(iter(context.args), "")))
        names = choose(there.environment, there.deployment, apps_of(there.deployment), [ALL])
    except GaiaError:
        # A message would garble the line that is being completed.
        return []
    return [f"{before}{comma}{name}" for name in names if name.startswith(last)]


def environment_option(text: str, *names: str) -> Any:
    """Return an option that takes the name of an environment; by default ``-e``, ``--env``."""
    return typer.Option(*names or ("--env", "-e"), metavar="ENV", help=text, autocompletion=complete_name)


EnvironmentName = Annotated[
    str, typer.Argument(metavar="ENV", help="The environment", autocompletion=complete_name, show_default=False)
]
Services = Annotated[
    list[str] | None,
    typer.Option(
        "--services",
        "-s",
        metavar="SERVICE,…",
        help='Only these, as "auth,chat" or "auth chat"; repeatable',
        autocompletion=complete_service,
    ),
]
Confirm = Annotated[
    str | None,
    typer.Option("--confirm", metavar="ENV", help="Confirm by the name of the environment"),
]
Region = Annotated[str | None, typer.Option(metavar="REGION", help="Primary region, such as fra")]
Images = Annotated[
    list[str] | None,
    typer.Option("--image", metavar="[SERVICE=]IMAGE", help="Deploy this image instead of a build; repeatable"),
]
Rebuild = Annotated[bool, typer.Option("--rebuild", help="Build without the cache")]
RemoteOnly = Annotated[bool, typer.Option("--remote-only/--no-remote-only", help="Build on the platform, or here")]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Print the commands, one per line; change nothing"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; production needs --confirm")]


@dataclass(frozen=True, slots=True)
class Target:
    """An environment, its deploy files and its project."""

    environment: Environment
    deployment: Deployment | None
    """None if its hook needs no deploy files"""
    project: Project

    @property
    def rootdir(self) -> Path:
        """The folder of the project."""
        return self.project.rootdir

    def hook(self) -> DeployHook:
        """Return the hook that deploys it. Raises ``ConfigError`` if there is none."""
        # Imported here: most commands that share options need no hooks.
        from pytest_gaia.deploy.hooks import hook_for

        return hook_for(self.environment, rootdir=self.rootdir)


def refused_as_json(action: str, flag: str = "dry_run") -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Write the refusal of a dry run as JSON too, if the command has ``--json``; ``flag`` is the option of a dry run."""

    def decorated(command: Callable[P, None]) -> Callable[P, None]:
        @wraps(command)
        def shown(*args: P.args, **values: P.kwargs) -> None:
            try:
                command(*args, **values)
            except GaiaError as refusal:
                if values.get("as_json") and (not flag or values.get(flag)):
                    end = {"dry_run": True, "good": False, "exit_code": refusal.exit_code, "notes": [str(refusal)]}
                    echo_json({"environment": values.get("env"), "action": action, **end})
                raise

        return shown

    return decorated


def target(name: str) -> Target:
    """Return the environment ``name`` with its deploy files. Raises ``ConfigError`` for an error in the configuration."""
    options = options_here(name)
    environment = resolve(replace(options, addressed=False))
    return Target(environment, environment.deployment, options.project)
