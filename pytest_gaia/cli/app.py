"""The table of commands, how one command line runs, and what `-q`, `-v` and `--color` choose for it.

Usage errors print one line and exit 4.
"""

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from pytest_gaia import __version__
from pytest_gaia.cli import aliases
from pytest_gaia.errors import ConfigError, GaiaError
from pytest_gaia.printable import SafeStream

_VARIABLES = {"always": ("FORCE_COLOR", "NO_COLOR"), "never": ("NO_COLOR", "FORCE_COLOR")}
"""`--color`: the variable that it sets, and the one that it unsets; rich, pytest and the tools that gaia runs read them"""

_USAGE_ERROR = 2
"""Exit code of typer for a usage error; pytest and ``gaia`` use 4."""


@dataclass(slots=True)
class Verbosity:
    """How much a command prints."""

    quiet: bool = False
    verbose: bool = False
    colors: dict[str, str | None] | None = None
    """values of the variables before ``--color`` changed them"""


CHOSEN = Verbosity()


def set_quiet(value: bool) -> None:
    """Print results and errors only, if ``value``."""
    CHOSEN.quiet |= value


def set_verbose(value: bool) -> None:
    """Print what gaia runs on stderr, if ``value``."""
    if value and not CHOSEN.verbose:
        CHOSEN.verbose = True
        import logging

        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger = logging.getLogger("pytest_gaia")
        logger.handlers = [handler]
        logger.setLevel(logging.DEBUG)


def set_color(value: str | None) -> None:
    """Set the variables that turn colors on or off; raises ``BadParameter`` for an unknown value."""
    if value in _VARIABLES:
        on, off = _VARIABLES[value]
        CHOSEN.colors = CHOSEN.colors or {name: os.environ.get(name) for name in (on, off)}
        os.environ[on] = "1"
        os.environ.pop(off, None)
    elif value not in (None, "auto"):
        raise typer.BadParameter(f"{value!r} is not auto, always or never.")


def reset() -> None:
    """Return to the defaults, with the variables of before."""
    for name, value in (CHOSEN.colors or {}).items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if CHOSEN.verbose:
        import logging

        logging.getLogger("pytest_gaia").handlers = []
    CHOSEN.quiet, CHOSEN.verbose, CHOSEN.colors = False, False, None


@dataclass(frozen=True, slots=True)
class Command:
    """A command of ``gaia``, or a group of commands."""

    module: str
    """module below cli/ whose ``app`` has a command or a group of this name; imported when the command runs"""
    summary: str
    """first words of its help"""
    panel: str
    """the heading under which `gaia --help` lists it"""
    hidden: bool = False
    passes_on: bool = False
    """whether arguments after `--` are passed to pytest"""


# To add a command: a row of COMMANDS, in its panel, and a module in a folder of cli/ whose `app` (a typer.Typer) defines
#   it. The help begins with the row's summary: a verb first, no full stop, at most 60 characters. It has an example.
# To add a panel: a constant below, and rows that name it. Panels appear in the order of their first rows.
# To rename a command or an option: a rule in RENAMED in cli/aliases.py, which keeps the old form and prints a notice.
#   Another name without a notice (a plural, an abbreviation): SHORT in the same module.
# `-h`, `-q`, `-v` and `--color` are accepted by every command without further code.
_START = "Get started"
_TEST = "Test"
_OPERATE = "Deploy and operate"
_RELEASE = "Release"
_EVIDENCE = "Evidence and keys"

COMMANDS = {
    "init": Command("settings.init", "Create gaia.toml and a first test for your services", _START),
    "doctor": Command("settings.doctor", "Check this machine, the project and its environments", _START),
    "env": Command("settings.environments", "List the environments, and show their settings", _START),
    "config": Command("settings.deploy_files", "Check deploy files, compare environments, print a schema", _START),
    "completion": Command("settings.help", "Print the completion script of a shell", _START),
    "help": Command("settings.help", "Show the help of a command or a topic", _START, hidden=True),
    "test": Command("runs.testing", "Run the tests of an environment with pytest", _TEST, passes_on=True),
    "suites": Command("settings.suites", "Check test files for code that hides failures", _TEST),
    "legacy": Command("runs.testing", "Run the tests of a command of the old test.sh", _TEST, True, passes_on=True),
    "prove": Command("runs.prove", "Measure which faults the suites catch (mutation testing)", _TEST),
    "replay": Command("reports.merge", "Evaluate the results of a run again", _TEST),
    "merge": Command("reports.merge", "Merge the results of all shards into one verdict", _TEST),
    "slo": Command("reports.slo", "Compare response times with service level objectives", _TEST),
    "api": Command("release.api", "Show and compare the operations of services", _TEST),
    "sandbox": Command("runs.sandbox", "Run the services on this machine for development", _TEST),
    "expectations": Command(
        "expectations.commands", "List, check, explain and draft expectations of known failures", _TEST
    ),
    "deploy": Command("operate.deploy", "Deploy the services of an environment", _OPERATE, passes_on=True),
    "rollback": Command("operate.rollback", "Return an environment to its last good version", _OPERATE),
    "status": Command("operate.status", "Show the health of environments and which versions they run", _OPERATE),
    "logs": Command("operate.logs", "Show the logs of the services of an environment", _OPERATE),
    "scale": Command("operate.scale", "Set the number of machines of a service on Fly", _OPERATE),
    "release": Command("release.release", "Create, check, approve and report releases", _RELEASE),
    "promote": Command(
        "release.promote", "Deploy and test a release, and record the decision", _RELEASE, passes_on=True
    ),
    "report": Command("reports.report", "Build an HTML report from test results", _RELEASE),
    "ledger": Command("release.ledger", "List, verify and export the signed evidence", _EVIDENCE),
    "key": Command("release.keys", "Generate, add, revoke and list signing keys", _EVIDENCE),
}
"""In the order of `gaia --help`."""

HELP = """\
Test a release in your environments, and decide whether to promote it.
"""

EXAMPLES = """\
\b
Examples:
  gaia test -e staging        run the tests of an environment
  gaia help exit-codes        list the exit codes
"""


class CommandGroup(TyperGroup):
    """List commands by their summaries in panels; import a command's module when the command runs."""

    # Any: contexts and commands are of typer's private modules.
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Show the help if there is no command."""
        return super().parse_args(ctx, ["--help"] if args in ([], ["help"]) else args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Load the command that the first word names."""
        if args[0] == "help" and args[1] in self.commands:
            args = [*args[1:], "--help"]
        name, command, rest = super().resolve_command(ctx, args)
        loaded = command and load(str(name))
        # `gaia env` shows the commands of the group and succeeds, as `gaia` does.
        bare = not rest and getattr(loaded, "no_args_is_help", False)
        return name, loaded, ["--help"] if bare else rest

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands by panel, then the options."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, command in COMMANDS.items():
            if not command.hidden:
                panels.setdefault(command.panel, []).append((name, command.summary))
        width = max(len(name) for name in COMMANDS)
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl([(name.ljust(width), summary) for name, summary in rows])
        TyperCommand.format_options(self, ctx, formatter)  # type: ignore[arg-type]


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    streams = sys.stdout, sys.stderr
    # Escape control characters of names and messages from outside. Python has no stream if the shell closed it (>&-).
    sys.stdout, sys.stderr = (SafeStream(stream or StringIO(), plain=True) for stream in streams)
    try:
        return _run(arguments)
    finally:
        sys.stdout, sys.stderr = streams
        reset()


def _run(arguments: Sequence[str]) -> int:
    given, extra = split_extra(arguments)
    try:
        root()(args=given, prog_name="gaia", obj=extra)
    except GaiaError as error:
        typer.echo(f"gaia: {error}", err=True)
        return error.exit_code
    except BrokenPipeError:
        # The reader has closed the pipe (gaia env list | head -1); flushing at exit must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        typer.echo(f"gaia: cannot write the output: {error.strerror}.", err=True)
        return ConfigError.exit_code
    except SystemExit as end:
        return ConfigError.exit_code if end.code == _USAGE_ERROR else int(end.code or 0)
    return 0


def split_extra(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the command line with today's names, and apart from it what follows ``--`` in commands that run pytest."""
    words = list(arguments)
    at = words.index("--") if "--" in words else len(words)
    given, extra = aliases.current(words[:at], _options_with_value), words[at:]
    name = next((word for word in given if word in COMMANDS), None)
    if name is not None and COMMANDS[name].passes_on:
        return given, extra[1:]
    return [*given, *extra], []


def _options_with_value(path: Sequence[str]) -> set[str]:
    """Return the options of a command, such as ``("env", "show")``, that take a value."""
    command = load(path[0]) if path[0] in COMMANDS else None
    for word in path[1:]:
        command = getattr(command, "commands", {}).get(word)
    parameters = [] if command is None else command.params
    return {name for each in parameters if not getattr(each, "is_flag", True) for name in each.opts}


def root() -> Any:
    """Return the command ``gaia``, with every command by its summary."""
    app = _plain_typer(
        name="gaia",
        cls=CommandGroup,
        help=HELP,
        epilog=EXAMPLES,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_top)
    for name, command in COMMANDS.items():
        app.command(name, help=command.summary, hidden=command.hidden)(_not_loaded)
    group = typer.main.get_command(app)
    for option in group.params:
        # `gaia completion SHELL` is the way that the help shows.
        option.hidden = option.hidden or str(option.name).endswith("_completion")  # type: ignore[attr-defined]
    return group


def load(name: str) -> Any:
    """Import the module of the command ``name``, and return the command."""
    module = importlib.import_module(f"pytest_gaia.cli.{COMMANDS[name].module}")
    holder = _plain_typer()
    holder.add_typer(module.app)
    command = typer.main.get_group(holder).commands[name]
    shared = _plain_typer()
    shared.command()(_everywhere)
    _prepare(command, [each for each in typer.main.get_command(shared).params if each.name in _EVERYWHERE])
    return command


def _prepare(command: Any, options: Sequence[Any]) -> None:
    """Add ``options`` to a command and its subcommands, and show arguments as git and gh do: ``ENV``, ``[SERVICE]...``."""
    for argument in command.params:
        if argument.param_type_name == "argument":
            # typer writes {ENV} and ENV <str>.
            name = argument.metavar or str(argument.name).upper()
            shown = name if argument.required else f"[{name}]"
            argument.get_usage_pieces = lambda _, shown=shown + ("..." if argument.nargs == -1 else ""): [shown]
            row = None if argument.hidden else (name, argument.help or "")
            argument.get_help_record = lambda _, row=row: row
    command.params.extend(options)
    for each in getattr(command, "commands", {}).values():
        each.short_help = each.get_short_help_str(100).removesuffix(".")
        _prepare(each, options)


def _plain_typer(**settings: Any) -> typer.Typer:
    """Return a ``Typer`` with plain help, which does not import rich."""
    return typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, **settings)


def _not_loaded() -> None:
    """Placeholder of a command in the root help."""


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"gaia {__version__}")
        raise typer.Exit


_QUIET = "Print results and errors only"
_VERBOSE = "Print the tools that gaia runs, with their duration"
_COLOR = "auto, always or never"


def _top(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help=_QUIET, callback=set_quiet)] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help=_VERBOSE, callback=set_verbose)] = False,
    color: Annotated[str | None, typer.Option("--color", metavar="WHEN", help=_COLOR, callback=set_color)] = None,
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Show the version and exit", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Accept the options before the command."""


_EVERYWHERE = ("quiet", "verbose", "color")


def _everywhere(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", callback=set_quiet, expose_value=False, hidden=True)] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", callback=set_verbose, expose_value=False, hidden=True)
    ] = False,
    color: Annotated[str | None, typer.Option("--color", callback=set_color, expose_value=False, hidden=True)] = None,
) -> None:
    """Declare the options that every command accepts."""
