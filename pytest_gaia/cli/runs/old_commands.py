"""The command lines of the old test.sh, and the pytest options for each.

A test belongs to a command by ``@pytest.mark.gaia(command="provider-models")``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
