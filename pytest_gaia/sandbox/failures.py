"""The message for a server that did not start: what failed, its last words, and what to do where these are known."""

from __future__ import annotations

from pytest_gaia.errors import SandboxError

NO_SPACE = "No space left on device"

_ADVICE = {
    NO_SPACE: "Free some space, or set TMPDIR to a directory that has 100 MB.",
    "could not look up effective user ID": (
        "PostgreSQL wants its user to have a name, and this one is in no list of users. Add it to /etc/passwd, "
        "or run as another user."
    ),
    "error while loading shared libraries": "The wheel does not fit this system. Name an installation in GAIA_PG_BIN.",
    "cannot execute binary file": "The program is for another kind of machine.",
}
"""words of a log → what to do about it"""


def failed(what: str, log: str) -> SandboxError:
    """Return the error for ``what``, a sentence without its full stop, from the end of the log."""
    advice = [words for sign, words in _ADVICE.items() if sign in log]
    return SandboxError("\n".join((f"{what}. Its log ends:", log or "(it is empty)", *advice)))
