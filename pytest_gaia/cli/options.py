"""Options and arguments that several commands share: completion, the environment, durations and times, confirmation."""

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
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
from pytest_gaia.errors import ConfigError, GaiaError

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


INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended."""


def is_production(environment: str, role: str) -> bool:
    """Return whether ``environment`` has the role production, or has no role and the name of a production environment."""
    named = environment in ("production", "prod") or environment.startswith(("production-", "prod-"))
    return role == "production" or (not role and named)


def confirm_production(environment: str, role: str, what: str, given: str | None, *, dry_run: bool = False) -> None:
    """Confirm as :func:`confirm` in production, or if ``given`` is a name; a dry run needs no confirmation."""
    if given is not None or (not dry_run and is_production(environment, role)):
        confirm(environment, role, what, given)


def confirm(environment: str, role: str, what: str, given: str | None, *, yes: bool = False) -> None:
    """Return if the user confirms ``what``, a sentence such as "Roll staging back", for ``environment`` with ``role``.

    ``given`` is the value of ``--confirm``, the name of the environment; ``yes`` is ``--yes``, which production does not
    accept. Without either the user is asked: for the name in production, for y elsewhere. Raises ``ConfigError`` if the
    user does not confirm, or cannot be asked because stdin is not a terminal.
    """
    typed = is_production(environment, role)
    if given is not None:
        if given != environment:
            raise ConfigError(f"--confirm {given}: but the environment is {environment}. Nothing was changed.")
        return
    if yes and not typed:
        return
    # Python has no standard input if the shell has closed it.
    if sys.stdin is None or not sys.stdin.isatty():
        cause = "production does not accept --yes" if yes else "stdin is not a terminal"
        raise ConfigError(
            f"{what}? Refusing to continue without confirmation: {cause}. Pass --confirm {environment}. Nothing was changed."
        )
    question = f"Type its name, {environment}, to continue: " if typed else "Continue? [y/N] "
    try:
        # On standard error, so that standard output has the result only.
        typer.echo(f"{what}? {question}", nl=False, err=True)
        answer = sys.stdin.readline().strip()
    except KeyboardInterrupt:
        typer.echo("\nInterrupted. Nothing was changed.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if answer != environment if typed else answer.lower() not in ("y", "yes"):
        raise ConfigError("not confirmed. Nothing was changed.")


_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST = 30 * 86400.0


def seconds(text: str, option: str, *, least: float = 0.1) -> float:
    """Return the seconds of ``text``: ``90``, ``1.5s``, ``10m``, ``2h``, ``1d``.

    Raises ``ConfigError``, with the name of ``option``, if it is not a duration, or not within ``least`` and 30 days.
    """
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([smhd]?)", text.strip())
    if found is None:
        raise ConfigError(f"{option}: {text!r} is not a duration. Use seconds, or 90s, 10m, 2h, 1d.")
    value = float(found[1]) * _UNITS[found[2]]
    if not least <= value <= _LONGEST:
        raise ConfigError(f"{option}: {text!r} is out of range. Use {least:g} seconds to 30 days.")
    return value


def moment(text: str, option: str) -> datetime:
    """Return the time of ``text`` (ISO 8601; UTC without a zone). Raises ``ConfigError``, with the name of ``option``."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option}: {text!r} is not a time. Use 2027-01-31 or 2027-01-31T12:00Z.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def format_duration(seconds: float) -> str:
    """Return a duration for people.

    >>> format_duration(3725.4)
    '1 h 2 min 5 s'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if not (hours or minutes):
        return f"{seconds:.1f} s"
    return " ".join(part for part in (f"{hours} h" if hours else "", f"{minutes} min", f"{rest} s") if part)
