"""What a deploy tool prints may hold credentials: they are masked before anything is shown, kept or logged."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping

from pytest_gaia.clients.known_secrets import secrets_around
from pytest_gaia.clients.redaction import Redactor
from pytest_gaia.config.secret_names import is_secret_name
from pytest_gaia.config.secret_shapes import KEY_MARK
from pytest_gaia.config.secrets import mask_of
from pytest_gaia.preflight.credentials import is_literal
from pytest_gaia.printable import visible

_KEY_LINE = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_LONGEST_KEY = 200
"""lines; where the end of a private key is missing, masking goes no further"""
_NAME = r"(?<![\w.-])(?P<name>[A-Za-z_][\w.-]{0,99})"
# A table of variables (as of `env`) has one a line; elsewhere a value ends where its word or its quotes do.
_TABLE = re.compile(rf"^(?P<head>(?:export |declare -x )?{_NAME}=)(?P<value>.+)$", re.MULTILINE)
_PAIR = re.compile(rf"""(?P<head>{_NAME}(?:=|:\s{{1,9}}))(?P<value>"[^"\n]*"|'[^'\n]*'|[^\s"']+)""")
# Colours and everything else by which a line could write over others of a terminal.
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f]")


def masker(environ: Mapping[str, str] | None = None) -> Callable[[str], str]:
    """Return a function that makes a line fit to be shown: credentials masked, colours and control characters
    removed, and what else cannot be seen shown as an escape.

    Masked are the secrets among the variables in ``environ`` (default: this process's), what stands beside a secret's name
    in a table of variables, passwords in URLs, tokens and marks of private keys by their form, and JSON fields by their name.
    """
    redactor = Redactor()
    redactor.learn_all(secrets_around(os.environ if environ is None else environ))
    lines_of_key = 0

    def mask(text: str) -> str:
        nonlocal lines_of_key
        text = _CONTROL.sub("", text)
        if lines_of_key and _KEY_LINE.fullmatch(text.strip()):
            lines_of_key -= 1
            return mask_of(text.strip())
        for mark in KEY_MARK.finditer(text):
            lines_of_key = _LONGEST_KEY if mark[1] else 0
        text = redactor.text(text)
        if "=" in text or ":" in text:
            text = _PAIR.sub(_masked, _TABLE.sub(_masked, text))
        return visible(text)

    return mask


def _masked(found: re.Match[str]) -> str:
    name, value = found["name"], found["value"]
    # "token: expired" is a sentence, "API_KEY: 1f3a" a line of YAML.
    is_variable = found["head"][-1] == "=" or name.isupper()
    bare = value.strip("\"'")
    if not (is_variable and bare and is_secret_name(name) and is_literal(bare, name)):
        return found[0]
    return found["head"] + value.replace(bare, mask_of(bare))
