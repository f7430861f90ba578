"""The write guard: blocks every write unless both the test and the environment permit it."""

import re

from pytest_gaia.clients.reasons import hide
from pytest_gaia.config.environment import Environment
from pytest_gaia.errors import WriteRefused

__tracebackhide__ = hide

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

TEST_SUBJECTS = "gaia.test."
"""prefix of subjects that are reserved for tests, where publishing is always permitted"""

MARKER = "@pytest.mark.gaia(writes=True)"

# First words of statements that read. A write inside of one (a CTE that inserts, a function with side effects) is
# blocked by the READ ONLY transaction, not by this list.
_READING = frozenset({"SELECT", "WITH", "TABLE", "VALUES", "SHOW", "EXPLAIN"})
_FIRST_WORD = re.compile(r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/|\()*([A-Za-z]*)", re.DOTALL)


def reads_only(statement: str) -> bool:
    """Return whether a statement begins like one that only reads; see :mod:`pytest_gaia.clients.database.sessions`."""
    match = _FIRST_WORD.match(statement)
    return match is not None and match[1].upper() in _READING


class WriteGuard:
    """Blocks writes by default: a write needs the marker on the test *and* an environment that permits writes.

    All clients of a session share one guard. The plugin calls :meth:`permit` before each test.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._marked = False

    def permit(self, item_writes: bool) -> None:
        """Set whether the running test is marked with ``writes=True``."""
        self._marked = item_writes

    @property
    def open(self) -> bool:
        """Whether the running test may write."""
        return self._marked and self._environment.writes

    def check_http(self, service: str, method: str, path: str) -> None:
        """Raise :class:`WriteRefused` unless the request is safe, listed as safe for ``service``, or permitted.

        ``service`` receives the request: it is the gateway for a request through the gateway. ``path`` is the path that
        is sent, without the query.
        """
        verb = method.upper()
        if self.open:
            return
        described = self._environment.platform[service]
        if described.allows(verb, path):
            return
        safe = [str(each) for each in described.safe]
        raise self.refusal(
            f"{verb} {path} to {service}", hint=f" Safe requests to {service}: {', '.join(safe) or 'none'}."
        )

    def check_publish(self, subject: str) -> None:
        """Raise :class:`WriteRefused` for a subject outside ``gaia.test.>``, unless writes are permitted."""
        if self.open or (subject.startswith(TEST_SUBJECTS) and subject != TEST_SUBJECTS):
            return
        raise self.refusal(f"a message on {subject}", hint=" Publishing below gaia.test.> is always allowed.")

    def refuse_sql(self, statement: str, *, by: str | None = None) -> WriteRefused:
        """Return the error for a statement that writes. ``by`` names the server that refused it, if it was sent."""
        return self.refusal(f"SQL ({shorten(statement)})", by=by)

    def refusal(self, what: str, *, by: str | None = None, hint: str = "") -> WriteRefused:
        """Return the error for a blocked write: what it was, why it is blocked and how to permit it."""
        name = self._environment.label
        if not self._environment.writes:
            marked = f", not even with {MARKER}" if self._marked else ""
            reason = f"environment {name} forbids writes (writes = false){marked}"
            todo = f"Run the test in an environment that permits writes, such as the sandbox, and mark it {MARKER}."
        else:
            reason = "the test is not marked as one that writes"
            todo = f"Mark the test with {MARKER}, and let it clean up what it writes."
        who = f"write refused by {by}" if by else "write blocked, nothing was sent"
        return WriteRefused(f"{who}: {what}.\nReason: {reason}.\n{todo}{hint}")


def shorten(text: str, limit: int = 120) -> str:
    """Return ``text`` on one line, cut at ``limit`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
