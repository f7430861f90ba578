"""``categories.json``: groups of results that are no pass, for readers who ask for a reason first.

Allure 2 matches an expression against the whole message, Allure 3 searches for it. So each begins with ``^``, covers
everything, and says with ``[\\s\\S]`` what the two dialects call by other names. Where more than one matches, the first
counts in Allure 3; Allure 2 shows all.
"""

from __future__ import annotations

from typing import Any

_RED = ["failed", "broken"]
_ANY = [*_RED, "skipped", "unknown"]
_LET_THROUGH = "gaia: (?:expected failure|tolerated|unexpected pass)"
_OUT_OF_REACH = "(?:Unreachable|DeadlineExceeded|SandboxError|EnvironmentUnavailable|gaia: infrastructure)"


def categories() -> list[dict[str, Any]]:
    """Return the categories in order."""
    return [
        _category("Infrastructure: not reached, or not answered in time", [*_RED, "unknown"], _with(_OUT_OF_REACH)),
        _category(
            "Drift: fails otherwise than its rule says", _RED, _with("rule [^\\n]+ did not excuse:", _LET_THROUGH)
        ),
        _category("Unexpected pass: its rule can go", ["failed"], _with("gaia: unexpected pass")),
        _category("Expected failure", ["failed", "skipped"], _with("gaia: expected failure")),
        _category("Tolerated failure", ["failed", "skipped"], _with("gaia: tolerated")),
        _category("Not applicable", ["skipped"], _with("gaia: not applicable")),
        _category("Not run", _ANY, _with("gaia: incomplete")),
        _category("Gating", _RED, _without(_LET_THROUGH)),
    ]


def _category(name: str, statuses: list[str], expression: str) -> dict[str, Any]:
    return {"name": name, "matchedStatuses": statuses, "messageRegex": expression}


def _with(words: str, without: str = "") -> str:
    barred = f"(?![\\s\\S]*{without})" if without else ""
    return f"^{barred}[\\s\\S]*{words}[\\s\\S]*$"


def _without(words: str) -> str:
    return f"^(?![\\s\\S]*{words})[\\s\\S]*$"
