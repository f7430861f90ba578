"""Values and secrets in environment variables and ``.env``, whose ``KEY=VALUE`` lines are read strictly."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pytest_gaia.config.platform import GENERAL_SECRETS, Platform
from pytest_gaia.errors import ConfigError
from pytest_gaia.secrets.names import is_secret_name
from pytest_gaia.system.processes import without_signing_key

RECORD_PIPE_VARIABLE = "GAIA_RECORD_PIPE"
"""set by a promotion for its run of pytest: file descriptor of a pipe for the digest of the results log"""

DOTENV_FILE = ".env"

_ENTRY = re.compile(
    r"""
    [ \t]* (?: export [ \t]+ )?
    (?P<name> [A-Za-z_][A-Za-z0-9_.]* ) [ \t]* = [ \t]*
    (?: '(?P<single> [^']* )'                  # literal, may go over several lines
      | "(?P<double> (?: [^"\\] | \\. )* )"    # with \n, \t, \", \\ and \$
      | (?P<plain> [^\s'"\#][^\n]*? | )        # up to the end of the line or to ' #'
    )
    [ \t]* (?: (?<=\s)\#[^\n]* )? \r? (?: \n | \Z )
    """,
    re.VERBOSE | re.DOTALL,
)
_BLANK = re.compile(r"[ \t]*(?:#[^\n]*)?\r?(?:\n|\Z)")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}


class Sourced(NamedTuple):
    """A value and its source."""

    value: str
    source: str


@dataclass(frozen=True, slots=True, repr=False)
class Variables:
    """Environment variables, then ``.env``. An empty variable counts as not set. The ``repr`` shows no values."""

    environ: Mapping[str, str]
    dotenv: Mapping[str, tuple[str, int]]
    named_only: bool = False
    """whether only variables with the name of an environment count"""

    def get(self, name: str) -> Sourced | None:
        """Return the value of the variable ``name``."""
        if self.environ.get(name):
            return Sourced(self.environ[name], name)
        value, line = self.dotenv.get(name, ("", 0))
        return Sourced(value, f"{DOTENV_FILE}:{line}") if value else None

    def of(self, environment: str, key: str) -> Sourced | None:
        """Return the value of ``GAIA_<ENVIRONMENT>_<key>``, or else of ``GAIA_<key>``."""
        named = self.get(variable_name(environment, key))
        return named if named or self.named_only else self.get(f"GAIA_{key}")


def variable_name(environment: str, key: str) -> str:
    """Return the name of a variable: ``("pre-prod", "API_KEY")`` → ``GAIA_PRE_PROD_API_KEY``."""
    return f"GAIA_{environment.upper().replace('-', '_')}_{key}"


def passed_on(
    environ: Mapping[str, str],
    environment: str | None,
    secrets: Sequence[str] | None = None,
    ends: Collection[str] = GENERAL_SECRETS,
) -> dict[str, str]:
    """Return the variables that a tool gets when it works on ``environment``, or on none.

    Leaves out the signing key and variables of other environments. With ``secrets``, it also leaves out other variables with
    the name of a secret, unless they begin with one of ``secrets``. ``ends`` is :attr:`Platform.variable_ends`.
    """
    return {
        name: value
        for name, value in without_signing_key(environ).items()
        if _is_of(environment, name, ends)
        and (secrets is None or name.startswith(tuple(secrets)) or not is_secret_name(name))
    }


def _is_of(environment: str | None, name: str, ends: Collection[str]) -> bool:
    """Whether a tool that works on ``environment`` may get the variable ``name``."""
    # GAIA_PROD_EU_API_KEY belongs to prod-eu, not to prod, so the whole name is compared.
    if not name.startswith("GAIA_"):
        return True
    key = max((each for each in ends if name.endswith(f"_{each}")), key=len, default=None)
    if key is not None:
        return environment is not None and name in (variable_name(environment, key), f"GAIA_{key}")
    own = variable_name(environment, "") if environment else None
    # The URL of a service that is not described here may contain a password, too.
    return not (is_secret_name(name) or name.endswith("_URL")) or (own is not None and name.startswith(own))


def credentials_in(environ: Mapping[str, str], platform: Platform) -> dict[str, str]:
    """Return the variables of ``environ`` with credentials for services of ``platform``, of all environments."""
    with_password = tuple(f"_{each.variable}_URL" for each in platform.services.values() if not each.is_http)
    secret = tuple(f"_{end}" for end in platform.variable_ends if not end.endswith("_URL"))
    return {
        name: value
        for name, value in environ.items()
        if name.startswith("GAIA_") and (name.endswith((*with_password, *secret)) or is_secret_name(name))
    }


SECRET_KEYS = {"api_key": "API_KEY", "jwt_secret": "JWT_SECRET", "token": "TOKEN"}
"""field of the environment → end of the name of its variable"""


def find_secrets(variables: Variables, name: str, platform: Platform) -> dict[str, Sourced]:
    """Return key → secret for the environment ``name``. Raises ``ConfigError`` for an invalid secret.

    A key is a field of the environment (``api_key``), or a service and its secret (``orders.api_key``).
    """
    found = {field: variables.of(name, key) for field, key in SECRET_KEYS.items()}
    sent = {"api_key", "token"}
    for service in platform.services.values():
        for auth in service.auth if service.is_http else ():
            key = f"{service.name}.{auth.secret.lower()}"
            sent.add(key)
            found[key] = variables.of(name, f"{service.variable}_{auth.secret}")
            # A credential of the whole environment is never sent to an external service.
            if found[key] is None and auth.secret not in GENERAL_SECRETS and not service.external:
                found[key] = variables.of(name, auth.secret)
    secrets = {key: secret for key, secret in found.items() if secret is not None}
    for key, secret in secrets.items():
        _check_secret(key, secret, is_sent=key in sent)
    return secrets


def _check_secret(key: str, secret: Sourced, *, is_sent: bool) -> None:
    if not secret.value.isprintable() or secret.value != secret.value.strip():
        raise ConfigError(
            f"{secret.source}: {key}: contains a line break, a control character, or spaces at its ends. "
            "The secret value is not shown."
        )
    if is_sent and not secret.value.isascii():
        raise ConfigError(
            f"{secret.source}: {key}: contains a character outside of ASCII, but is sent in an HTTP header. "
            "The secret value is not shown."
        )


def ambiguous_variables(environments: Iterable[str], platform: Platform) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield key and problem for each variable that would have two meanings: URL or credential of different services.

    Without it, a service could get the credential of another one, or the general one of an environment.
    """
    taken: dict[str, tuple[str, str]] = {}
    for variable, meaning, service in _variables(environments, platform):
        other, first = taken.setdefault(variable, (meaning, service))
        if other != meaning:
            yield (
                ("services", service or first, "variable"),
                f"{variable} would be {other} and {meaning}; set another `variable` for the service.",
            )


def _variables(environments: Iterable[str], platform: Platform) -> Iterator[tuple[str, str, str]]:
    """Yield the name of each variable, its meaning, and the service that it is for, if it is for one."""
    for environment in ("", *environments):
        where = f"in {environment}" if environment else "in every environment"
        prefix = variable_name(environment, "") if environment else "GAIA_"
        yield from ((f"{prefix}{end}", f"the general {end} {where}", "") for end in GENERAL_SECRETS)
        for service in platform.services.values():
            secrets = [auth.secret for auth in service.auth if service.is_http]
            for end in ("URL", *secrets):
                yield f"{prefix}{service.variable}_{end}", f"{end} of {service.name} {where}", service.name


def read_dotenv(path: Path) -> Mapping[str, tuple[str, int]]:
    """Return name → (value, line) of the file at ``path``; empty without a file.

    ``$NAME`` is not expanded. Raises ``ConfigError`` with the line, but never with the value.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name}: not UTF-8 (byte {error.start}); save the file as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"{path.name}: cannot be read: {error.strerror}.") from None
    return dotenv_entries(text, path.name)


def dotenv_entries(text: str, file: str) -> dict[str, tuple[str, int]]:
    """Return name → (value, line) of ``text``, which messages call ``file``. Raises ``ConfigError`` as ``read_dotenv`` does."""
    found: dict[str, tuple[str, int]] = {}
    position = 0
    while position < len(text):
        blank = _BLANK.match(text, position)
        if blank:
            position = blank.end()
            continue
        line = text.count("\n", 0, position) + 1
        entry = _ENTRY.match(text, position)
        if entry is None:
            raise ConfigError(
                f"{file}:{line}: expected KEY=VALUE, with closed quotes. "
                "The line is not shown, because it may contain a secret."
            )
        found[entry["name"]] = (_value(entry), line)
        position = entry.end()
    return found


def _value(entry: re.Match[str]) -> str:
    if entry["single"] is not None:
        return entry["single"]
    if entry["double"] is not None:
        return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), entry["double"])
    return entry["plain"].strip()
