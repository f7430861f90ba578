"""``python -m pytest_gaia.deploy fly|compose < request.json``: a built-in adapter as an executable hook.

The command of a project can forward requests to it, changed or not. The reply is the only line on standard output; lines
of the tool go to standard error.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from pytest_gaia.config.platform import Platform
from pytest_gaia.config.project import Project
from pytest_gaia.deploy.contract import EXIT_STATUSES, Reply, Request
from pytest_gaia.deploy.hooks import BUILT_IN, built_in
from pytest_gaia.errors import ConfigError, GaiaError

_EXIT_CODES = {status: code for code, status in EXIT_STATUSES.items()} | {"failed": 1}
_INTERRUPTED = 130


def main(arguments: Sequence[str], source: str) -> int:
    """Run the request in ``source``, print the reply, and return the exit code."""
    try:
        request = _request(source)
        hook = built_in(_only(arguments), _platform(request))
        reply = hook.run(request, _log)
    except GaiaError as error:
        _log(str(error))
        reply, code = Reply(status="failed", message=str(error)), error.exit_code
    else:
        code = _EXIT_CODES[reply.status]
    sys.stdout.write(f"{msgspec.json.encode(reply).decode()}\n")
    return code


def _only(arguments: Sequence[str]) -> str:
    if len(arguments) != 1:
        raise ConfigError(f"usage: python -m pytest_gaia.deploy {'|'.join(BUILT_IN)} < request.json")
    return arguments[0]


def _request(source: str) -> Request:
    try:
        return msgspec.json.decode(source, type=Request)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"standard input is not a request to a deploy hook (one JSON object): {error}") from None


def _platform(request: Request) -> Platform:
    """Return the description of the services of the project that the request is about."""
    return Project.around(Path(request.directory) if request.directory else Path.cwd()).platform


def _log(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:], sys.stdin.read()))
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
