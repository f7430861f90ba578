"""API keys, tokens and DSNs: from variables and ``.env``, never from a file that is committed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gaia.config.addresses import database_url
from pytest_gaia.config.dsn import check_parameters
from pytest_gaia.errors import ConfigError

if TYPE_CHECKING:
    from pytest_gaia.config.variables import Sourced, Variables

SECRET_KEYS = {"database": "DATABASE_URL", "api_key": "API_KEY", "jwt_secret": "JWT_SECRET", "token": "TOKEN"}
"""field of the environment → last part of the variable that holds it"""

_HEADERS = ("api_key", "token")
"""what is sent as it is"""


def find_secrets(variables: Variables, name: str) -> dict[str, Sourced]:
    """Return field → secret for the environment ``name``; raises ``ConfigError`` for one that cannot be right."""
    found = {field: variables.of(name, key) for field, key in SECRET_KEYS.items()}
    secrets = {field: secret for field, secret in found.items() if secret is not None}
    for field, secret in secrets.items():
        if not secret.value.isprintable() or secret.value != secret.value.strip():
            raise ConfigError(
                f"{secret.source}: {field}: holds a line break, a control character, or spaces at its ends; "
                "the value is not shown because it is a secret."
            )
        if field in _HEADERS and not secret.value.isascii():
            raise ConfigError(
                f"{secret.source}: {field}: holds a character outside of ASCII, and is sent in a header of HTTP; "
                "the value is not shown because it is a secret."
            )
    if "database" in secrets:
        dsn, place = secrets["database"].value, f"{secrets['database'].source}: database"
        check_parameters(database_url(dsn, place), place)
    return secrets
