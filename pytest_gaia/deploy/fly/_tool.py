"""Run the executable ``fly``, classify its failures, and retry temporary ones."""

import random
import re
import time
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path, PurePath
from typing import Any, Literal, TypeAlias, TypeVar

from pytest_gaia.deploy.contract import UnknownApp
from pytest_gaia.deploy.fly.shapes import NotJson, find_json
from pytest_gaia.deploy.process import Finished, ending, find_tool, run_tool
from pytest_gaia.errors import ConfigError, DeployFailed, DeployUnavailable
from pytest_gaia.system.signals import wait_for

T = TypeVar("T")

VARIABLES = {"NO_COLOR": "1", "FLY_NO_UPDATE_CHECK": "1", "FLY_SEND_METRICS": "0", "FLY_EMIT_RELEASE_JSON": "1"}
"""Variables for every call, in addition to those of the user. The token stays in a variable, never in a command."""

_SECRETS = ("FLY_", "DOCKER_", "DEPOT_")
"""prefixes of secrets that flyctl and its builders read"""

_INSTALL = "Install flyctl (https://fly.io/docs/flyctl/install/), or add its folder to PATH."
_FIRST_PAUSE = 1.0
_DO: dict[str, str] = {
    "not-logged-in": "Run `fly auth login`, or set FLY_API_TOKEN (in CI: `fly tokens create deploy -a {app}`).",
    "unauthorized": (
        "The token in FLY_API_TOKEN, or the account of `fly auth whoami`, has no permission: it belongs to another "
        "organization or app, is read-only, or has expired."
    ),
    "unknown-app": "Check the name of the app in the deploy file, or run `fly apps create {app}`.",
}


class FlyTool:
    """flyctl. ``wait`` waits a number of seconds; ``attempts`` is the maximum number of calls."""

    def __init__(self, *, wait: Callable[[float], object] | None = None, attempts: int = 5) -> None:
        self._wait = partial(wait_for, ending) if wait is None else wait
        self._attempts = attempts

    @cached_property
    def path(self) -> str:
        """The path of the executable. Raises ``ConfigError`` if it is not installed."""
        return find_tool("fly", "flyctl", install=_INSTALL)

    @property
    def name(self) -> str:
        """The name of the executable."""
        return PurePath(self.path).name

    def act(
        self,
        *arguments: str,
        deadline: float,
        log: Callable[[str], None] = lambda _: None,
        out: Callable[[str], None] | None = None,
        directory: Path | None = None,
    ) -> Finished:
        """Run one command, and return its result; ``log`` and ``out`` get its lines."""
        command = [self.path, *arguments]
        return run_tool(command, deadline=deadline, cwd=directory, env=VARIABLES, secrets=_SECRETS, log=log, out=out)

    def ask(self, read: Callable[[Any], T], *arguments: str, app: str = "", deadline: float = 60.0) -> T:
        """Return the result of ``read`` for the JSON output of a command. Retries temporary failures.

        Raises ``ConfigError`` for problems that only the user can fix, ``DeployUnavailable`` if a temporary failure lasts,
        and ``DeployFailed`` for any other failure.
        """
        until = time.monotonic() + deadline
        for attempt in range(1, self._attempts + 1):
            finished = self.act(*arguments, deadline=max(1.0, until - time.monotonic()))
            if finished.ok:
                return self._read(read, finished)
            pause = _pause(attempt)
            again = attempt < self._attempts and time.monotonic() + pause < until
            if classify(finished) != "temporary" or not again:
                break
            self._wait(pause)
        raise self.error(finished, app)

    def error(self, finished: Finished, app: str = "") -> ConfigError | DeployUnavailable | DeployFailed:
        """Return the failure of a command as an error with its reason and what to do."""
        what, why = f"`{self.command_line(finished)}` failed", explain(finished)
        failure = classify(finished)
        if failure in _DO:
            kind = UnknownApp if failure == "unknown-app" else ConfigError
            return kind(f"{what}: {why}. {_DO[failure].format(app=app or 'APP')}")
        if failure == "temporary" or finished.timed_out:
            return DeployUnavailable(f"{what} repeatedly: {why}. Try again later.")
        return DeployFailed(f"{what}: {why}.")

    def command_line(self, finished: Finished) -> str:
        """Return the command line."""
        return " ".join((self.name, *finished.argv[1:]))

    def _read(self, read: Callable[[Any], T], finished: Finished) -> T:
        try:
            return read(find_json(finished.stdout))
        except NotJson as problem:
            raise DeployFailed(
                f"`{self.command_line(finished)}` printed unexpected output: {problem}. Check that {self.path} is a recent "
                f"flyctl: `{self.name} version`."
            ) from None


def _pause(attempt: int) -> float:
    """Return the seconds before the next attempt: doubled each time, with random jitter."""
    # Not used for anything secret.
    spread: float = random.uniform(0.5, 1.5)  # noqa: S311
    return _FIRST_PAUSE * 2.0 ** (attempt - 1) * spread


Failure: TypeAlias = Literal["not-logged-in", "unauthorized", "unknown-app", "temporary", "other"]

_TEMPORARY = (
    r"rate.?limit|too many requests|status\D{0,8}(?:429|5\d\d)\b|internal server error|bad gateway|service unavailable"
    r"|gateway time-?out|lease currently held|failed to (?:acquire|obtain) leases?|no such host"
    r"|connection (?:refused|reset)|network is unreachable|temporary failure in name resolution|i/o timeout"
    r"|tls handshake timeout|unexpected eof|: eof\b|context deadline exceeded"
)
_DENIED = (
    r"unauthori[sz]ed|not authori[sz]ed|must be authenticated|status\D{0,8}40[13]\b|forbidden|invalid token"
    r"|token.*(?:expired|invalid|revoked)"
)
_SIGNS: tuple[tuple[Failure, str], ...] = (
    ("not-logged-in", r"no access token available|not logged in|flyctl auth login"),
    # Before temporary failures, whose words also occur in these messages; a retry would not help.
    ("other", r"machine not found|(?:health|smoke) checks|release.command"),
    ("temporary", _TEMPORARY),
    ("unauthorized", _DENIED),
    ("unknown-app", r"could not find app|app not found|could not resolve app"),
)
_SIGN = tuple((failure, re.compile(pattern, re.IGNORECASE)) for failure, pattern in _SIGNS)
_ERROR = re.compile(r"^\s*(?:✖|x)?\s*error\b:?\s*", re.IGNORECASE)
_REQUEST_ID = re.compile(r"\s*\(Request ID: [^)]*\)")
_LONGEST = 400
_DEADLINE, _CANCELLED, _PANIC = 126, 127, 3


def classify(finished: Finished) -> Failure:
    """Return the kind of failure. Only the error of flyctl counts, because an app may log any of these words."""
    text = _error(finished)
    if finished.exit_code == _DEADLINE and not text:
        return "temporary"
    return next((failure for failure, sign in _SIGN if sign.search(text)), "other")


def explain(finished: Finished) -> str:
    """Return the reason of the failure in one line, without a full stop."""
    if finished.timed_out:
        return f"time limit exceeded after {finished.elapsed:.0f} s"
    text = " ".join(_REQUEST_ID.sub("", _error(finished)).split()).rstrip(".")
    if text:
        return text[:_LONGEST]
    meaning = {_DEADLINE: " (deadline exceeded)", _CANCELLED: " (canceled)", _PANIC: " (crashed)"}
    return f"exit code {finished.exit_code}{meaning.get(finished.exit_code or 0, '')}"


def _error(finished: Finished) -> str:
    """Return its last line that begins with "error" and the lines after it, or else its last line."""
    lines = [line for line in finished.stderr_tail if line.strip()]
    for number in range(len(lines) - 1, -1, -1):
        if _ERROR.match(lines[number]):
            return " ".join((_ERROR.sub("", lines[number]), *lines[number + 1 :]))
    return lines[-1] if lines else ""
