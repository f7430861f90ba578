"""What a credential looks like. Nothing here keeps or returns the value of one."""

from __future__ import annotations

import re

from pytest_gaia.config.secret_shapes import JWT, private_keys, tokens, url_credentials

_REFERENCE = re.compile(r"\$\{\{.*\}\}|\$\{[^}]*\}|\$[A-Za-z_]\w*|\{\{.*\}\}|<[^>]*>|\*+|…|\.{3}|%\w+%")
"""a value that stands for one that comes from elsewhere"""

_DEFAULT_IN_REFERENCE = re.compile(r"\$\{\w+:?-(?P<value>[^}]+)\}")

_PLAIN_VALUES = {"", "true", "false", "yes", "no", "on", "off", "none", "null", "disabled", "enabled", "required"}

_LONG_NUMBER = 10


def secret_shape(text: str) -> str | None:
    """Return in words which credential ``text`` shows by its shape alone, or None."""
    for start, end, kind in tokens(text, cut=False):
        # A signed token has three parts, two of which are JSON; what is less is no mistake that can be proved.
        if kind != JWT or re.fullmatch(r"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+", text[start:end]):
            return kind
    if any(private_keys(text)):
        return "a private key"
    # A URL may be put together from references: postgres://${USER}:${PASSWORD}@db.
    if any(not _is_reference(text[start:end]) for start, end in url_credentials(text, cut=False)):
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
