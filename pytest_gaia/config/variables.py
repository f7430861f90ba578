"""Environment variables and ``.env``: which one is asked for a value or a secret, and which one answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pytest_gaia.errors import ConfigError
from pytest_gaia.files.dotenv import DOTENV_FILE
from pytest_gaia.secrets.names import is_secret_name
from pytest_gaia.system.processes import without_signing_key

RECORD_PIPE_VARIABLE = "GAIA_RECORD_PIPE"
"""set by a promotion for its run of pytest: the descriptor of a pipe, through which that reports the digest of its record"""

_OF_ENVIRONMENTS = (
    *("API_KEY", "JWT_SECRET", "TOKEN", "DATABASE_URL", "NATS_URL"),
    *("GATEWAY_URL", "AUTH_URL", "ASSET_URL", "CHAT_URL"),
)
"""last parts of the variables that each environment has"""


class Sourced(NamedTuple):
    """A value and where it came from."""

    value: str
    source: str


@dataclass(frozen=True, slots=True, repr=False)
class Variables:
    """The process environment over ``.env``. Its ``repr`` shows no values. An empty variable counts as not set."""

    environ: Mapping[str, str]
    dotenv: Mapping[str, tuple[str, int]]
    named_only: bool = False
    """whether only variables count that name their environment, so that no other environment's value is taken"""

    def get(self, name: str) -> Sourced | None:
        """Return the variable ``name`` itself."""
        if self.environ.get(name):
            return Sourced(self.environ[name], name)
        value, line = self.dotenv.get(name, ("", 0))
        return Sourced(value, f"{DOTENV_FILE}:{line}") if value else None

    def of(self, environment: str, key: str) -> Sourced | None:
        """Return ``GAIA_<ENVIRONMENT>_<key>``, or else ``GAIA_<key>``; never another environment's variable."""
        named = self.get(variable_name(environment, key))
        return named if named or self.named_only else self.get(f"GAIA_{key}")


def variable_name(environment: str, key: str) -> str:
    """Return the variable of one environment: ``("pre-prod", "API_KEY")`` → ``GAIA_PRE_PROD_API_KEY``."""
    return f"GAIA_{environment.upper().replace('-', '_')}_{key}"


def passed_on(
    environ: Mapping[str, str], environment: str | None, secrets: Sequence[str] | None = None
) -> dict[str, str]:
    """Return those of ``environ`` that a tool gets which works on ``environment``, or on none.

    The signing key and what belongs to other environments are left out. With ``secrets`` so are all other variables whose
    name is one of a secret, unless it begins with one of these.
    """
    return {
        name: value
        for name, value in without_signing_key(environ).items()
        if _is_of(environment, name)
        and (secrets is None or name.startswith(tuple(secrets)) or not is_secret_name(name))
    }


def _is_of(environment: str | None, name: str) -> bool:
    """Whether the variable ``name`` may be known to what works on ``environment``."""
    # GAIA_PROD_EU_API_KEY is of prod-eu, and not of prod: what ends as a variable of an environment has to be its own.
    if not name.startswith("GAIA_"):
        return True
    key = next((each for each in _OF_ENVIRONMENTS if name.endswith(f"_{each}")), None)
    if key is not None:
        return environment is not None and name in (variable_name(environment, key), f"GAIA_{key}")
    own = variable_name(environment, "") if environment else None
    return not is_secret_name(name) or (own is not None and name.startswith(own))


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
        # Not at the top: every run of pytest imports this module for its names of variables.
        from pytest_gaia.config.addresses import database_url
        from pytest_gaia.config.dsn import check_parameters

        dsn, place = secrets["database"].value, f"{secrets['database'].source}: database"
        check_parameters(database_url(dsn, place), place)
    return secrets
