"""The hook ``command``: any executable that reads a request and answers with an exit code and one line of JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pytest_gaia.deploy.masking import masker
from pytest_gaia.deploy.process import run_tool
from pytest_gaia.deploy.replies import from_executable
from pytest_gaia.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pytest_gaia.deploy.contract import Reply, Request


class CommandHook:
    """Runs ``command`` once a phase, in ``folder``, where a relative path of it is looked for as well."""

    name = "command"

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        """Raises ``ConfigError`` where there is no such executable."""
        self._folder = folder
        self._argv = (_executable(command[0], folder), *command[1:])
        self._shown = command[0]

    def run(self, request: Request, log: Callable[[str], None]) -> Reply:
        """Hand the request over on standard input; everything on standard error, and every other line, is logged."""
        redact = masker()
        finished = run_tool(
            self._argv,
            deadline=request.deadline,
            stdin=msgspec.json.encode(request).decode() + "\n",
            cwd=self._folder,
            environment=request.environment,
            log=log,
            out=lambda line: None if line.lstrip().startswith("{") else log(line),
            redact=redact,
        )
        return from_executable(self._shown, finished, request, redact)


def _executable(name: str, folder: Path) -> str:
    """Return the path of ``name``; one without a slash is left to PATH, as in a shell."""
    if "/" not in name:
        return name
    path = folder / name
    if not path.is_file():
        raise ConfigError(
            f"deploy.command: there is no file {name} (looked for {path}). "
            "Name an executable: a path from the folder of gaia.toml, or a name on PATH."
        )
    return str(path)
