"""The write guard: nothing that changes an environment leaves the process unless the test and the environment say so."""

import re

from pytest_gaia.clients.reasons import hide
from pytest_gaia.config.environment import Environment, safe_post
from pytest_gaia.errors import WriteRefused

__tracebackhide__ = hide

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

TEST_SUBJECTS = "gaia.test."
"""Subjects below this prefix belong to tests; whoever publishes there disturbs nobody."""

MARKER = "@pytest.mark.gaia(writes=True)"

# Statements that cannot change anything by themselves start with one of these. What hides behind them (a CTE that
# inserts, a function with side effects) is stopped by the READ ONLY transaction, not by this list.
_READING = frozenset({"SELECT", "WITH", "TABLE", "VALUES", "SHOW", "EXPLAIN"})
_FIRST_WORD = re.compile(r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/|\()*([A-Za-z]*)", re.DOTALL)


def reads_only(statement: str) -> bool:
    """Return whether a statement starts like one that reads. Not a proof: see :mod:`pytest_gaia.clients.database.sessions`."""
    match = _FIRST_WORD.match(statement)
    return match is not None and match[1].upper() in _READING


class WriteGuard:
    """Closed by default: a write needs the marker on the test *and* an environment that allows writing.

    One guard is shared by all clients of a session; the plugin calls :meth:`permit` before each test.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._marked = False

    def permit(self, item_writes: bool) -> None:
        """Say whether the test that runs now is marked with ``writes=True``."""
        self._marked = item_writes

    @property
    def open(self) -> bool:
        """Whether the running test may write here."""
        return self._marked and self._environment.writes

    def check_http(self, service: str, method: str, path: str) -> None:
        """Raise :class:`WriteRefused` unless the request is safe, listed as safe for ``service`` here, or permitted.

        ``service`` is the one that receives the request: the gateway for what goes through it. ``path`` is the path that
        goes out, without the query.
        """
        verb = method.upper()
        if verb in SAFE_METHODS or self.open:
            return
        safe = [safe_path for owner, safe_path in map(safe_post, self._environment.safe_posts) if owner == service]
        if verb == "POST" and path in safe:
            return
        raise self.refusal(
            f"{verb} {path} to {service}", hint=f" POSTs to {service} that are safe here: {', '.join(safe) or 'none'}."
        )

    def check_publish(self, subject: str) -> None:
        """Raise :class:`WriteRefused` for a subject outside ``gaia.test.>`` unless permitted."""
        if self.open or (subject.startswith(TEST_SUBJECTS) and subject != TEST_SUBJECTS):
            return
        raise self.refusal(f"a message on {subject}", hint=" Publishing below gaia.test.> is always allowed.")

    def refuse_sql(self, statement: str, *, by: str | None = None) -> WriteRefused:
        """Return the error for a statement that writes; ``by`` is who refused it, where it had left the process."""
        return self.refusal(f"SQL ({shorten(statement)})", by=by)

    def refusal(self, what: str, *, by: str | None = None, hint: str = "") -> WriteRefused:
        """Return the error for a write: what was about to go out, where to, and which key opens the door."""
        name = self._environment.label
        if not self._environment.writes:
            marked = f", not even with {MARKER}" if self._marked else ""
            why = f"environment {name} forbids writing (writes = false){marked}"
            todo = f"Run the check against an environment that allows it, such as the sandbox, and mark it {MARKER}."
        else:
            why = f"the test is not marked as one that writes, and environment {name} is closed by default"
            todo = f"Mark the test {MARKER}; it then cleans up what it writes."
        who = f"refused by {by}" if by else "refused before it left the process"
        return WriteRefused(f"{who}: {what}.\nWhy: {why}.\n{todo}{hint}")


def shorten(text: str, limit: int = 120) -> str:
    """Return ``text`` on one line, cut at ``limit`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
