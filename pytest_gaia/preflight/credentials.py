"""What a credential looks like. Nothing here keeps or returns the value of one."""

from __future__ import annotations

import re

from pytest_gaia.config.secret_shapes import JWT, private_keys, tokens, url_credentials

_REFERENCE = re.compile(r"\$\{\{.*\}\}|\$\{[^}]*\}|\$[A-Za-z_]\w*|\{\{.*\}\}|<[^>]*>|\*+|…|\.{3}|%\w+%")
"""a value that stands for one that comes from elsewhere"""

_DEFAULT_IN_REFERENCE = re.compile(r"\$\{\w+:?-(?P<value>[^}]+)\}")

_PLAIN_VALUES = {"", "true", "false", "yes", "no", "on", "off", "none", "null", "disabled", "enabled", "required"}

_LONG_NUMBER = 10

_HOST = re.compile(r"@(\[[\w:.]+\]|[\w.-]+)")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_PLACEHOLDERS = frozenset(
    ["dummy", "fake", "test", "testing", "example", "placeholder", "changeme", "mock", "sample", "insecure", "foo"]
)
"""words of a value that opens nothing"""
_DEFAULTS = frozenset(["postgres", "password", "root", "admin", "guest", "minioadmin", "secret"])
"""values that a container comes with"""
_RANDOM_PIECE = re.compile(r"(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{8,}")
_LONGEST_PLACEHOLDER = 60


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


def is_placeholder(value: str) -> bool:
    """Whether ``value`` is written where a secret is expected and none is needed: ``dummy``, ``test-secret-for-ci``."""
    words = {word.lower() for word in _PART.findall(value[: _LONGEST_PLACEHOLDER + 1])}
    is_random = any(map(_RANDOM_PIECE.fullmatch, re.split(r"[^A-Za-z0-9]+", value)))
    return (
        len(value) <= _LONGEST_PLACEHOLDER
        and not is_random
        and (value.lower() in _DEFAULTS or not words.isdisjoint(_PLACEHOLDERS))
    )


def password_hosts(text: str) -> list[str]:
    """Return the hosts of the URLs in ``text`` that hold a password."""
    spans = [span for span in url_credentials(text, cut=False) if not _is_reference(text[slice(*span)])]
    found = (_HOST.match(text, end) for _, end in spans)
    return [match[1].strip("[]") if match else "" for match in found]


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
