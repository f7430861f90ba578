"""The hook ``plugin``: a Python function, such as the ``pytest_gaia_deploy`` of a ``conftest.py``."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import msgspec

from pytest_gaia.deploy.contract import Reply
from pytest_gaia.deploy.masking import masker
from pytest_gaia.deploy.replies import NoReply, from_values
from pytest_gaia.errors import ConfigError, GaiaError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gaia.deploy.contract import Request

_WANTED = "return a Reply, a dict with its fields, or None where the request is somebody else's"


class PluginHook:
    """Asks ``call`` for every phase, in this process. It cannot be ended from outside: its deadline is its own."""

    name = "plugin"

    def __init__(self, call: Callable[[Request, Callable[[str], None]], object], title: str) -> None:
        self._call = call
        self._title = title

    def run(self, request: Request, log: Callable[[str], None]) -> Reply:
        """Return what ``call`` gives back; what it raises is a deployment that failed.

        Raises ``ConfigError`` for a value that is no reply, and where nobody answers.
        """
        redact = masker()
        try:
            given = self._call(request, lambda line: log(redact(line)))
        except GaiaError:
            raise
        # Whatever the project's own code raises is what it has to say, as the exit code of an executable is.
        except Exception as problem:  # noqa: BLE001
            return self._raised(request, problem, redact)
        reply = self._reply(request, given)
        if request.phase == "observe" and reply.status in ("done", "unchanged") and reply.observation is None:
            why = f"{self._title} answered `observe` without an observation: nothing says what runs."
            return msgspec.structs.replace(reply, status="failed", message=why)
        return msgspec.structs.replace(reply, message=redact(reply.message), tail=tuple(map(redact, reply.tail)))

    def _reply(self, request: Request, given: object) -> Reply:
        where = f"`{request.phase}` of {request.service} in {request.environment}"
        if given is None:
            raise ConfigError(f"{self._title}: nobody answered {where}: every implementation returned None; {_WANTED}.")
        try:
            # Through plain values: a Reply that was built by hand is not checked.
            plain = msgspec.to_builtins(given) if isinstance(given, Reply) else given
            if not isinstance(plain, dict):
                raise NoReply(f"{type(given).__name__} is neither a Reply nor a dict")
            return from_values(plain, request)
        except (NoReply, TypeError) as problem:
            raise ConfigError(
                f"{self._title}: what it returned for {where} is no reply: {problem}; {_WANTED}."
            ) from None

    def _raised(self, request: Request, problem: Exception, redact: Callable[[str], str]) -> Reply:
        what = f"{type(problem).__name__}: {problem}"
        message = redact(f"{self._title} raised {what} (at {_place(problem)}), when asked for `{request.phase}`.")
        return Reply(status="failed", message=message, tail=tuple(redact(line) for line in what.splitlines()))


def _place(problem: Exception) -> str:
    """Return the innermost line of code that is no library's."""
    frames = traceback.extract_tb(problem.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename]
    return f"{own[-1].filename}:{own[-1].lineno}"
