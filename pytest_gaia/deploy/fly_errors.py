"""Why flyctl failed, by what it said: what only the user can mend, what passes by itself, and the rest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from pytest_gaia.deploy.process import Finished

Failure: TypeAlias = Literal["not-logged-in", "unauthorised", "unknown-app", "temporary", "other"]

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
    # Before what is temporary, since the sentences of these name it too: a machine that is gone, and an image that is
    # bad, are no better later.
    ("other", r"machine not found|(?:health|smoke) checks|release.command"),
    ("temporary", _TEMPORARY),
    ("unauthorised", _DENIED),
    ("unknown-app", r"could not find app|app not found|could not resolve app"),
)
_SIGN = tuple((failure, re.compile(pattern, re.IGNORECASE)) for failure, pattern in _SIGNS)
_ERROR = re.compile(r"^\s*(?:✖|x)?\s*error\b:?\s*", re.IGNORECASE)
_REQUEST_ID = re.compile(r"\s*\(Request ID: [^)]*\)")
_LONGEST = 400
_DEADLINE, _CANCELLED, _PANIC = 126, 127, 3


def classify(finished: Finished) -> Failure:
    """Return what kind of failure this is. Only flyctl's own error is read: an app may log any of these words."""
    text = _error(finished)
    if finished.exit_code == _DEADLINE and not text:
        return "temporary"
    return next((failure for failure, sign in _SIGN if sign.search(text)), "other")


def explain(finished: Finished) -> str:
    """Return what went wrong, in one line, without a full stop."""
    if finished.timed_out:
        return f"it did not end within {finished.elapsed:.0f} s, and was ended"
    text = " ".join(_REQUEST_ID.sub("", _error(finished)).split()).rstrip(".")
    if text:
        return text[:_LONGEST]
    meaning = {_DEADLINE: " (deadline exceeded)", _CANCELLED: " (cancelled)", _PANIC: " (it crashed)"}
    return f"exit code {finished.exit_code}{meaning.get(finished.exit_code or 0, '')}"


def _error(finished: Finished) -> str:
    """The error that it ended with: its last line that says so, and what follows; else its last line."""
    lines = [line for line in finished.stderr_tail if line.strip()]
    for number in range(len(lines) - 1, -1, -1):
        if _ERROR.match(lines[number]):
            return " ".join((_ERROR.sub("", lines[number]), *lines[number + 1 :]))
    return lines[-1] if lines else ""
