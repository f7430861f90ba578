"""From an old command line to the pytest options that select the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_gaia.cli.old_commands import BATCHES, COMMANDS, OldCommand
from pytest_gaia.config.secrets import MASK
from pytest_gaia.errors import ConfigError, nearest


@dataclass(frozen=True, slots=True, repr=False)
class Selection:
    """Options for pytest. Its ``repr`` shows none of them, because an argument may be a password."""

    options: tuple[str, ...]
    shown: tuple[str, ...]
    """the same, with secrets masked"""


def select(command: str, arguments: Sequence[str]) -> Selection:
    """Return what ``command`` (or a batch) with its ``arguments`` stands for; ``ConfigError`` for an unknown one."""
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
    """Return the options that choose the environment: one of the ``flags`` that are set, ``url`` or ``name``.

    Nothing chosen leaves it to ``GAIA_ENV``, ``gaia.toml`` and the default. Two choices are a ``ConfigError``.
    """
    chosen: dict[str, tuple[str, ...]] = {
        f"--{flag}": (f"--gaia-env={_ENVIRONMENTS[flag]}",) for flag, on in flags.items() if on
    }
    if url is not None:
        # Named, because GAIA_ENV would otherwise turn the URL into an address of another environment.
        chosen["--url"] = ("--gaia-env=adhoc", f"--gaia-url={url}")
    if name is not None:
        chosen["--env"] = (f"--gaia-env={name}",)
    if len(chosen) > 1:
        raise ConfigError(f"{' and '.join(chosen)} choose different environments; give one of them.")
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
            f"{command} takes {takes}, but {len(arguments)} were given. Put quotes around a message; "
            "options of pytest come after `--`."
        )


def _masked(command: OldCommand, arguments: Sequence[str]) -> list[str]:
    pairs = zip(command.arguments, arguments, strict=False)
    return [MASK if name in command.secret else value for name, value in pairs]
