"""``gaia test`` and ``gaia legacy``: select tests and run them with pytest.

A test belongs to a command of the old test.sh by ``@pytest.mark.gaia(command="provider-models")``.
"""

import os
import shlex
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from pytest_gaia.cli.options import environment_option, options_here
from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import resolve
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.secrets.masks import MASK


@dataclass(frozen=True, slots=True)
class OldCommand:
    """One command."""

    suite: str
    """the suite that holds its tests"""
    arguments: tuple[str, ...] = ()
    """names of the arguments; without the last ones, the tests use values of their own"""
    secret: tuple[str, ...] = ()
    """the ``arguments`` that are masked in output"""


_LOGIN = OldCommand("auth", ("EMAIL", "PASSWORD"), secret=("PASSWORD",))

COMMANDS: dict[str, OldCommand] = {
    "health": OldCommand("health"),
    "chat": OldCommand("chat", ("MESSAGE",)),
    "stream": OldCommand("stream", ("MESSAGE",)),
    "status": OldCommand("status"),
    "models": OldCommand("models"),
    "model-info": OldCommand("models", ("MODEL",)),
    "providers": OldCommand("providers"),
    "provider-models": OldCommand("providers", ("PROVIDER",)),
    "provider-health": OldCommand("providers"),
    "provider-stats": OldCommand("providers"),
    "vr": OldCommand("stream"),
    "cache": OldCommand("status"),
    "clear": OldCommand("chat"),
    "pricing-current": OldCommand("pricing", ("PROVIDER",)),
    "pricing-analytics": OldCommand("pricing"),
    "pricing-providers": OldCommand("pricing"),
    "cost-estimate": OldCommand("pricing"),
    "dalle-tiers": OldCommand("pricing"),
    "meshy-packages": OldCommand("pricing"),
    "provider-comparison": OldCommand("pricing"),
    "usage-current": OldCommand("usage"),
    "usage-history": OldCommand("usage"),
    "usage-limits": OldCommand("usage"),
    "billing-current": OldCommand("usage"),
    "monthly-report": OldCommand("usage"),
    "personas-list": OldCommand("personas"),
    "personas-current": OldCommand("personas"),
    "personas-create": OldCommand("personas"),
    "personas-initialize": OldCommand("personas"),
    "personas-get": OldCommand("personas", ("ID",)),
    "personas-set": OldCommand("personas", ("ID",)),
    "performance-summary": OldCommand("performance"),
    "performance-providers": OldCommand("performance"),
    "performance-stages": OldCommand("performance"),
    "performance-live": OldCommand("performance"),
    "performance-health": OldCommand("performance"),
    "performance-reset": OldCommand("performance"),
    "auth-register": _LOGIN,
    "auth-login": _LOGIN,
}

BATCHES: dict[str, tuple[str, ...]] = {
    "all": ("health", "status", "providers", "provider-health", "models", "cache"),
    **{
        f"{suite}-all": tuple(name for name, command in COMMANDS.items() if command.suite == suite)
        for suite in ("providers", "pricing", "usage", "personas", "performance", "auth")
    },
}
"""batch → its commands"""


@dataclass(frozen=True, slots=True, repr=False)
class Selection:
    """Options for pytest. The ``repr`` omits them, because an argument may be a password."""

    options: tuple[str, ...]
    shown: tuple[str, ...]
    """the same, with secrets masked"""


def select(command: str, arguments: Sequence[str]) -> Selection:
    """Return the selection of ``command`` (or a batch) with its ``arguments``.

    Raises ``ConfigError`` for an unknown command and for too many arguments.
    """
    if command in BATCHES:
        _check_count(command, (), arguments)
        suite = command.removesuffix("-all")
        options = _commands(BATCHES[command]) if command == "all" else (f"-m={suite}",)
        return Selection(options, options)
    if command not in COMMANDS:
        raise ConfigError(f"unknown command {command!r}; {nearest(command, (*COMMANDS, *BATCHES))}")
    known = COMMANDS[command]
    _check_count(command, known.arguments, arguments)
    shown = _masked(known, arguments)
    return Selection(
        (*_commands([command]), *map(_argument, arguments)), (*_commands([command]), *map(_argument, shown))
    )


def environment_options(flags: Mapping[str, bool], url: str | None, name: str | None) -> tuple[str, ...]:
    """Return the pytest options for the environment: one of ``flags``, ``url`` or ``name``; empty for the default one.

    Raises ``ConfigError`` if more than one is given.
    """
    chosen: dict[str, tuple[str, ...]] = {
        f"--{flag}": (f"--gaia-env={_ENVIRONMENTS[flag]}",) for flag, on in flags.items() if on
    }
    if url is not None:
        # With a name of its own; otherwise the URL would apply to the environment that GAIA_ENV names.
        chosen["--url"] = ("--gaia-env=adhoc", f"--gaia-url={url}")
    if name is not None:
        chosen["--env"] = (f"--gaia-env={name}",)
    if len(chosen) > 1:
        raise ConfigError(f"{' and '.join(chosen)} choose different environments. Give only one.")
    return next(iter(chosen.values()), ())


_ENVIRONMENTS = {"local": "local", "dev": "dev", "staging": "staging", "prod": "production"}


def _commands(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"--gaia-command={name}" for name in names)


def _argument(value: str) -> str:
    return f"--gaia-argument={value}"


def _check_count(command: str, names: Sequence[str], arguments: Sequence[str]) -> None:
    if len(arguments) > len(names):
        takes = " ".join(names) or "no argument"
        raise ConfigError(
            f"{command} takes {takes}, but {len(arguments)} were given. Quote a message that has spaces; put pytest "
            "options after `--`."
        )


def masked(command: str, arguments: Sequence[str]) -> list[str]:
    """Return ``arguments`` with the secret ones masked; all of them if the command is unknown."""
    known = COMMANDS.get(command)
    if known is None or (known.secret and len(arguments) > len(known.arguments)):
        return [MASK] * len(arguments)
    return _masked(known, arguments) if known.secret else list(arguments)


def _masked(command: OldCommand, arguments: Sequence[str]) -> list[str]:
    pairs = zip(command.arguments, arguments, strict=False)
    return [MASK if name in command.secret else value for name, value in pairs]


HELP = """\
Run the tests of an environment with pytest.

\b
  gaia test                         the default environment
  gaia test -e staging
  gaia test -e staging --smoke      the smoke tests only
  gaia test -e staging -- -n 4 --junitxml=staging.xml
  gaia test -e dev --dry-run        print the pytest command line

The default environment is that of GAIA_ENV, else of gaia.toml, else the sandbox. The smoke tests are the suite
`smoke` (of the Gaia Platform: health, status, providers, models and caches). If they pass, the verdict is PARTIAL, which
cannot promote a release. Arguments after `--` are passed to pytest.

The exit code is that of pytest; `gaia help exit-codes` lists them.
"""

LEGACY_HELP = """\
Run the tests of a command of the old test.sh.

\b
  gaia legacy health
  gaia legacy --prod chat "Test"
  gaia legacy --staging provider-models openai
  gaia legacy --url http://localhost:8666 all
  gaia legacy --dev personas-all -- -x --junitxml=personas.xml

Use `gaia test`, or pytest with -m or -k, in new scripts. The pytest command line is printed; arguments after `--` are
passed to pytest. If the tests pass, the verdict is PARTIAL, which cannot promote a release.
"""

app = typer.Typer()

DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the pytest command line; run nothing")]


def complete_command(incomplete: str) -> list[str]:
    """Return the old commands and batches that begin with ``incomplete``, for shell completion."""
    return [name for name in (*COMMANDS, *BATCHES) if name.startswith(incomplete)]


def commands_help() -> str:
    """Return the list of old commands by suite, for the end of the help."""
    suites = dict.fromkeys(command.suite for command in COMMANDS.values())
    rows = [
        (suite, [" ".join((name, *each.arguments)) for name, each in COMMANDS.items() if each.suite == suite])
        for suite in suites
    ]
    text = [f"{suite + ':':13}{', '.join(names)}" for suite, names in (*rows, ("batches", list(BATCHES)))]
    wrap = textwrap.TextWrapper(76, initial_indent="  ", subsequent_indent=" " * 15, break_on_hyphens=False)
    return "\n".join(["\b", "Commands, by suite:", *(line for each in text for line in wrap.wrap(each))])


@app.command("test", help=HELP)
def run_tests(
    context: typer.Context,
    old_command: Annotated[list[str] | None, typer.Argument(hidden=True, metavar="-- PYTEST_ARGS")] = None,
    env: Annotated[str | None, environment_option("Run the tests of this environment")] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Run the smoke tests only")] = False,
    dry_run: DryRun = False,
    local: Annotated[bool, typer.Option("--local", hidden=True)] = False,
    dev: Annotated[bool, typer.Option("--dev", hidden=True)] = False,
    staging: Annotated[bool, typer.Option("--staging", hidden=True)] = False,
    prod: Annotated[bool, typer.Option("--prod", "--production", hidden=True)] = False,
    url: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Replace this process by pytest; reject the command lines of the old ``gaia test COMMAND``."""
    flags = {"--local": local, "--dev": dev, "--staging": staging, "--prod": prod}
    old = [flag for flag, on in flags.items() if on] + (["--url", url] if url else [])
    if old or old_command:
        old += ["--env", env] if env else []
        raise ConfigError(_moved(old, old_command or ["COMMAND"]))
    run_environment(context, env, smoke=smoke, dry_run=dry_run)


def _moved(flags: Sequence[str], words: Sequence[str]) -> str:
    name, *arguments = words
    line = shlex.join(["gaia", "legacy", *flags, name, *masked(name, arguments)])
    part = "" if name in (*COMMANDS, *BATCHES) else " To run some tests only: pytest --gaia-env=ENV PATH."
    return f"`gaia test` runs the tests of an environment (gaia test -e ENV).{part} For a command of the old test.sh, run:\n{line}"


@app.command("legacy", help=LEGACY_HELP, epilog=commands_help())
def run_command(
    context: typer.Context,
    command: Annotated[
        str, typer.Argument(metavar="COMMAND", help="A command or a batch", autocompletion=complete_command)
    ],
    arguments: Annotated[list[str] | None, typer.Argument(metavar="ARG", help="Arguments of the command")] = None,
    local: Annotated[bool, typer.Option("--local", help="Test local")] = False,
    dev: Annotated[bool, typer.Option("--dev", help="Test dev")] = False,
    staging: Annotated[bool, typer.Option("--staging", help="Test staging")] = False,
    prod: Annotated[bool, typer.Option("--prod", "--production", help="Test production")] = False,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Test the service at this URL, read-only")] = None,
    env: Annotated[str | None, environment_option("Test this environment")] = None,
    dry_run: DryRun = False,
) -> None:
    """Print the pytest command line and replace this process by pytest."""
    flags = {"local": local, "dev": dev, "staging": staging, "prod": prod}
    selection = select(command, arguments or [])
    before = (*project_suites(), *environment_options(flags, url, env))
    _become_pytest(context, before, selection.options, selection.shown, dry_run=dry_run)


def project_suites(project: Project | None = None) -> tuple[str, ...]:
    """Return the suite folders relative to the current folder, and ``--rootdir`` if the project is in another folder.

    Raises ``ConfigError`` if the project names no suites.
    """
    here = Path.cwd()
    project = project or Project.around(here)
    root = project.rootdir
    if not project.suites:
        problem = "gaia.toml names no suites" if project.path else "no gaia.toml in this folder or above it"
        raise ConfigError(f'{problem}, so there are no tests to run. Add to gaia.toml: [gaia] suites = ["suites"].')
    folders = tuple(os.path.relpath(suite, here) for suite in project.suites)
    return folders if root == here else (*folders, f"--rootdir={os.path.relpath(root, here)}")


def run_environment(
    context: typer.Context,
    env: str | None,
    *,
    smoke: bool = False,
    options: Sequence[str] = (),
    dry_run: bool = False,
    project: Project | None = None,
) -> None:
    """Replace this process by pytest with the tests of ``env``, or of the default environment; ``options`` are pytest's."""
    here = options_here(env, project=project)
    # An unknown environment is an error of this command, not of pytest.
    resolve(here)
    before = (*project_suites(here.project), *((f"--gaia-env={env}",) if env else ()))
    chosen = (*options, *(_smoke_options(here.project) if smoke else ()))
    _become_pytest(context, before, chosen, chosen, dry_run=dry_run)


def _smoke_options(project: Project) -> tuple[str, ...]:
    """Return the options that select the smoke tests: the suite ``smoke``, else those of the Gaia Platform."""
    if any((suite / "smoke").is_dir() for suite in project.suites):
        return ("-m=smoke",)
    if project.file is None or project.file.below != "gaia":
        folder = os.path.relpath(project.suites[0], project.rootdir)
        raise ConfigError(f"the project has no suite `smoke`. Put its smoke tests into {folder}/smoke.")
    return tuple(select("all", ()).options)


def _become_pytest(
    context: typer.Context, before: Sequence[str], options: Sequence[str], shown: Sequence[str], *, dry_run: bool
) -> None:
    """Print the command line, with ``shown`` instead of ``options``, and replace this process by pytest."""
    after = tuple(context.obj or ())
    typer.echo(shlex.join(("pytest", *before, *shown, *after)))
    if not dry_run:
        sys.stdout.flush()
        # Not a child process: signals, the terminal and the exit code are pytest's own. S606: no shell sees the arguments.
        os.execv(sys.executable, [sys.executable, "-m", "pytest", *before, *options, *after])  # noqa: S606
