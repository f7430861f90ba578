"""From what a hook gives back to a reply: exit code and last line of an executable, or the value of a Python hook."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_gaia.deploy.contract import EXIT_STATUSES, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_gaia.deploy.contract import ReplyStatus, Request
    from pytest_gaia.deploy.process import Finished

_FROM_BEST: tuple[ReplyStatus, ...] = ("done", "unchanged", "retry", "failed")


class NoReply(ValueError):
    """What a hook gave back cannot be read as a reply; the text says why."""


def from_values(values: Mapping[str, Any], request: Request, *, status: ReplyStatus = "done") -> Reply:
    """Return ``values`` as a reply. ``status`` stands where they name none.

    An observation may leave out what follows from the request and from itself: ``app``, ``exists``, ``taken``.
    Raises :class:`NoReply`.
    """
    complete = {"status": status, **values}
    observation = complete.get("observation")
    if isinstance(observation, dict):
        implied = {"app": request.app, "exists": bool(observation.get("machines")), "taken": _now()}
        complete["observation"] = {**implied, **observation}
    try:
        return msgspec.convert(complete, Reply)
    except msgspec.ValidationError as error:
        raise NoReply(str(error)) from None


def from_executable(name: str, finished: Finished, request: Request, redact: Callable[[str], str]) -> Reply:
    """Return what an executable replied: the exit code speaks first, and the last line of its output adds to it.

    Where the two disagree, the worse one counts. A phase that ended well need not have a line, except for ``observe``:
    without an observation nothing is proved.
    """
    failed = Reply(status="failed", tail=finished.stderr_tail)
    if finished.exit_code is None:
        why = f"{name} did not end within {request.deadline:g} s at `{request.phase}`, and was ended."
        return msgspec.structs.replace(failed, message=why)
    status = EXIT_STATUSES.get(finished.exit_code, "failed")
    line = last_line(finished.stdout)
    try:
        said = from_values(_object(line), request, status=status) if line.startswith("{") else Reply(status=status)
    except NoReply as problem:
        why = f"{name}: the last line of its output is no reply to `{request.phase}`: {problem}"
        return msgspec.structs.replace(failed, message=redact(why))
    return _judged(name, said, status, finished, request, redact)


def last_line(text: str) -> str:
    """Return the last line of ``text`` that is not blank, without spaces around it."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def _judged(
    name: str, said: Reply, status: ReplyStatus, finished: Finished, request: Request, redact: Callable[[str], str]
) -> Reply:
    worse = max(said.status, status, key=_FROM_BEST.index)
    message = said.message
    if worse == "failed" and not message:
        disagree = f", and says {said.status}" if said.status != status else ""
        message = f"{name} ended with exit code {finished.exit_code}{disagree} at `{request.phase}`."
    if request.phase == "observe" and worse in ("done", "unchanged") and said.observation is None:
        worse = "failed"
        message = f'{name} answered `observe` without an observation: its last line has to hold {{"observation": …}}.'
    return msgspec.structs.replace(
        said,
        status=worse,
        message=redact(message),
        commands=tuple(tuple(redact(word) for word in command) for command in said.commands),
        tail=tuple(redact(text) for text in said.tail) or finished.stderr_tail,
    )


def _object(line: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise NoReply(f"not JSON: {error}") from None


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
