"""What commands take: the options that several share, how a shell completes them, and the environment that one names."""

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
from pytest_gaia.config.platform import in_order
from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, resolve
from pytest_gaia.deploy.contract import DeployHook
from pytest_gaia.errors import GaiaError

P = ParamSpec("P")


class DefaultGroup(TyperGroup):
    """``gaia rollback ENV`` beside ``gaia rollback plan ENV``: any other first word belongs to the hidden command."""

    # Any: the context's type is one of typer's private modules.
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name of the hidden command there where it is left out."""
        if not args or args[0] not in self.commands:
            args = [next(name for name, command in self.commands.items() if command.hidden), *args]
        return super().parse_args(ctx, args)


def options_here(
    env: str | None = None,
    env_source: str = "command line",
    urls: tuple[str, ...] = (),
    project: Project | None = None,
) -> Options:
    """Return the options of a run from this folder; without ``project``, that is looked for upward from it."""
    here = project or Project.around(Path.cwd())
    return Options(project=here, environ=os.environ, env=env, env_source=env_source, urls=urls)


def complete_name(incomplete: str) -> list[str]:
    """Return the environments whose names begin with ``incomplete``, for shell completion."""
    try:
        return [name for name in Project.around(Path.cwd()).environments if name.startswith(incomplete)]
    except GaiaError:
        # In the middle of a completion a message would garble the line; the command itself will say it.
        return []


def complete_service(context: typer.Context, incomplete: str) -> list[str]:
    """Return the services of the environment that is typed already, for shell completion; the last of a list counts."""
    from pytest_gaia.rollout.plan import apps_of

    before, comma, last = incomplete.rpartition(",")
    try:
        # Behind an option that waits for its value, the parser leaves the words before it as they are.
        there = target(str(context.params.get("env") or next(iter(context.args), "")))
        names = in_order(apps_of(there.deployment) or there.environment.services)
    except GaiaError:
        # In the middle of a completion a message would garble the line; the command itself will say it.
        return []
    return [f"{before}{comma}{name}" for name in names if name.startswith(last)]


def environment_option(text: str, *names: str) -> Any:
    """Return an option that takes the name of an environment; by default ``-e``, ``--env``."""
    return typer.Option(*names or ("--env", "-e"), metavar="ENV", help=text, autocompletion=complete_name)


EnvironmentName = Annotated[
    str, typer.Argument(metavar="ENV", help="The environment.", autocompletion=complete_name, show_default=False)
]
Services = Annotated[
    list[str] | None,
    typer.Option(
        "--services",
        "-s",
        metavar="SERVICE,…",
        help='Only these, as "auth,chat" or "auth chat"; repeatable. all: all.',
        autocompletion=complete_service,
    ),
]
Confirm = Annotated[
    str | None,
    typer.Option("--confirm", metavar="ENV", help="The environment's name once more, instead of being asked."),
]
Region = Annotated[str | None, typer.Option(metavar="REGION", help="The primary region, such as fra.")]
Images = Annotated[
    list[str] | None,
    typer.Option("--image", metavar="[SERVICE=]IMAGE", help="Deploy this image instead of building one; repeatable."),
]
Rebuild = Annotated[bool, typer.Option("--rebuild", help="Build without anything from earlier builds.")]
RemoteOnly = Annotated[
    bool, typer.Option("--remote-only/--no-remote-only", help="Build on the platform's machines, not on this one.")
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Print the exact commands, one a line; change nothing. Fails where the run would be refused."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write one JSON document to standard output.")]


@dataclass(frozen=True, slots=True)
class Target:
    """An environment that can be operated."""

    environment: Environment
    deployment: Deployment | None
    """None where its hook needs no deploy files"""
    project: Project

    @property
    def rootdir(self) -> Path:
        """The folder of the project."""
        return self.project.rootdir

    def hook(self) -> DeployHook:
        """Return the hook that deploys it; ``ConfigError`` where there is none."""
        # Here, as in the completion: most commands that share options need neither hooks nor plans.
        from pytest_gaia.deploy.hooks import hook_for

        return hook_for(self.environment, rootdir=self.rootdir)


def refused_as_json(action: str, flag: str = "dry_run") -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Let a command write what refuses its dry run as JSON too, if that is asked for; ``flag`` empty: it is always one."""

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
    """Return what the settings and the deploy files say of ``name``; ``ConfigError`` for a mistake in them."""
    options = options_here(name)
    environment = resolve(replace(options, addressed=False))
    return Target(environment, environment.deployment, options.project)
