"""What a deploy tool prints may hold credentials: they are masked before anything is shown, kept or logged."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from pytest_gaia.clients.redaction import Redactor
from pytest_gaia.config.secrets import mask_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSW|API_?KEY|PRIVATE|CREDENTIAL|DSN|DATABASE_URL|NATS_URL", re.IGNORECASE)
_FLY_TOKEN = re.compile(r"\b(?:FlyV1\s+)?(?:fm[12][a-z]?|fo1)_[\w+/=.,-]+")
# Colours and everything else by which a line could write over others of a terminal.
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f]")


def masker(environ: Mapping[str, str] | None = None) -> Callable[[str], str]:
    """Return a function that makes a line fit to be shown: credentials masked, control characters removed.

    Masked are the values of all variables in ``environ`` (default: this process's) whose name says that they are
    secret, passwords in URLs, tokens by their form, and JSON fields by their name.
    """
    variables = os.environ if environ is None else environ
    redactor = Redactor()
    for name in filter(_SECRET_NAME.search, variables):
        redactor.learn_all((name, part) for part in _parts(variables[name]))

    def mask(text: str) -> str:
        return _FLY_TOKEN.sub(lambda found: mask_of(found[0]), redactor.text(_CONTROL.sub("", text)))

    return mask


def _parts(value: str) -> list[str]:
    """A value, and what it is made of: several tokens may stand in one variable, with commas."""
    return [value, *(part.strip() for part in value.split(","))]
