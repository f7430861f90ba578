"""What a credential looks like. Nothing here keeps or returns the value of one."""

from __future__ import annotations

import re

_REFERENCE = re.compile(r"\$\{\{.*\}\}|\$\{[^}]*\}|\$[A-Za-z_]\w*|\{\{.*\}\}|<[^>]*>|\*+|…|\.{3}|%\w+%")
"""a value that stands for one that comes from elsewhere"""

_DEFAULT_IN_REFERENCE = re.compile(r"\$\{\w+:?-(?P<value>[^}]+)\}")

_PLAIN_VALUES = {"", "true", "false", "yes", "no", "on", "off", "none", "null", "disabled", "enabled", "required"}

_LONG_NUMBER = 10

_URL_PASSWORD = re.compile(
    r"(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,19}://[^:/@\s]{0,99}:(?P<password>[^@/\s]{1,200})@", re.IGNORECASE
)

_SHAPES = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a signed token (JWT)": r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",
    "an API key of Anthropic": r"\bsk-ant-[\w-]{20,}",
    "an API key of OpenAI": r"\bsk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{32,}",
    "a token of Fly.io": r"\b(?:fo1_[\w-]{20,}|fm[12][ar]?_[\w+/=-]{20,})",
    "a token of GitHub": r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,})",
    "a token of GitLab": r"\bglpat-[\w-]{20,}",
    "a token of Supabase": r"\bsb(?:p|_secret)_\w{20,}",
    "a token of Slack": r"\bxox[abeoprs]-[\w-]{10,}",
    "a key of AWS": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a key of Google": r"\bAIza[\w-]{35}",
    "a secret key of Stripe": r"\b[rs]k_live_\w{16,}",
    "a token of Hugging Face": r"\bhf_[A-Za-z0-9]{30,}",
    "a token of npm": r"\bnpm_[A-Za-z0-9]{36}",
    "a seed of NATS": r"\bS[UANOC][A-Z2-7]{54,}\b",
}
_TOKENS = tuple((kind, re.compile(pattern)) for kind, pattern in _SHAPES.items())


def secret_shape(text: str) -> str | None:
    """Return in words which credential ``text`` shows by its shape alone, or None."""
    for kind, pattern in _TOKENS:
        if pattern.search(text):
            return kind
    found = _URL_PASSWORD.search(text)
    # A URL may be put together from references: postgres://${USER}:${PASSWORD}@db.
    if found and not _is_reference(found["password"]):
        return "a password in a URL"
    return None


def is_literal(value: str, variable: str = "PASSWORD") -> bool:
    """Whether ``value`` stands for itself, and not for something that comes from elsewhere or is no secret at all.

    A short number is a secret only where the ``variable`` is named after a password: ``MAX_TOKEN`` is a limit.
    """
    text = value.strip()
    default = _DEFAULT_IN_REFERENCE.fullmatch(text)
    if default:
        return is_literal(default["value"], variable)
    if text.isdigit() and len(text) < _LONG_NUMBER and not re.search("PASS|PWD|SECRET", variable, re.IGNORECASE):
        return False
    return text.lower() not in _PLAIN_VALUES and not _is_reference(text) and not text.startswith(("/", "http"))


def _is_reference(text: str) -> bool:
    return bool(_REFERENCE.fullmatch(text.strip())) or "${" in text or "{{" in text
