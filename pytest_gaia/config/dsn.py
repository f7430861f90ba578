"""Parameters in the DSN of PostgreSQL, and which of them the client gets.

asyncpg sends unknown parameters to the server as settings, and the server then refuses the connection.
"""

import difflib
from collections.abc import Iterator
from urllib.parse import parse_qsl, quote, urlencode

from pytest_gaia.errors import ConfigError

_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

_TAKEN = frozenset(
    [
        "host",
        "port",
        "dbname",
        "database",
        "user",
        "password",
        "passfile",
        "service",
        "sslmode",
        "sslcert",
        "sslkey",
        "sslrootcert",
        "sslcrl",
        "sslpassword",
        "sslnegotiation",
        "ssl_min_protocol_version",
        "ssl_max_protocol_version",
        "target_session_attrs",
        "krbsrvname",
        "gsslib",
    ]
)
"""parameters of asyncpg"""

_SETTINGS = frozenset(
    [
        "application_name",
        "options",
        "search_path",
        "role",
        "timezone",
        "datestyle",
        "intervalstyle",
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
        "idle_session_timeout",
        "transaction_timeout",
        "default_transaction_read_only",
        "default_transaction_isolation",
        "default_transaction_deferrable",
        "extra_float_digits",
        "work_mem",
        "jit",
    ]
)
"""settings of a session, as is any name with a dot; `options=-c name=value` sets others"""

_DROPPED = frozenset(
    [
        "channel_binding",
        "pgbouncer",
        "connection_limit",
        "pool_timeout",
        "socket_timeout",
        "statement_cache_size",
        "prepared_statement_cache_size",
        "preparethreshold",
        "pool_mode",
        "workaround",
        "supa",
        "uselibpqcompat",
        "connect_timeout",
        "client_encoding",
        "fallback_application_name",
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "tcp_user_timeout",
        "sslcompression",
        "sslsni",
        "load_balance_hosts",
    ]
)
"""parameters for other clients and pools, and parameters of libpq that this client sets itself"""

_TRANSLATED = ("schema", "ssl")
_KNOWN = (*_TAKEN, *_SETTINGS, *_DROPPED, *_TRANSLATED)
_BOOLEANS = {"true": "require", "1": "require", "false": "disable", "0": "disable"}


def check_parameters(dsn: str, place: str) -> None:
    """Raise ``ConfigError``, which starts with ``place``, for a parameter that prevents connections."""
    query = dsn.partition("?")[2]
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise ConfigError(
            f"{place}: a parameter of the DSN is not name=value; it is not shown, because it may be a secret."
        ) from None
    # The rest of a password after an `&` looks like a parameter.
    may_show = not any("password" in name for name, _ in pairs)
    for number, (name, value) in enumerate(pairs, 1):
        if name.lower() not in _KNOWN and "." not in name:
            shown = (
                f"its parameter {name!r} is unknown{_meant(name)}" if may_show else f"its parameter {number} is unknown"
            )
            raise ConfigError(f"{place}: {shown}. Write a setting of the server as options=-c%20name%3Dvalue.")
        if name.lower() in ("sslmode", "ssl") and _ssl_mode(value) not in _SSL_MODES:
            raise ConfigError(f"{place}: {name} must be one of {', '.join(_SSL_MODES)}.")


def for_client(dsn: str) -> str:
    """Return ``dsn`` for asyncpg: other known parameters are translated or removed.

    >>> for_client("postgresql://h/d?sslmode=require&channel_binding=require&schema=shop")
    'postgresql://h/d?sslmode=require&search_path=shop'
    """
    scheme, mark, rest = dsn.partition("://")
    address, _, query = rest.partition("?")
    # postgresql+asyncpg:// is the spelling of SQLAlchemy, which variables of services often use.
    plain = f"{scheme.partition('+')[0]}{mark}{address}"
    pairs = [pair for name, value in parse_qsl(query) for pair in _translated(name, value)]
    return f"{plain}?{urlencode(pairs, safe='/,:', quote_via=quote)}" if pairs else plain


def _translated(name: str, value: str) -> Iterator[tuple[str, str]]:
    lower = name.lower()
    if lower == "ssl":
        yield "sslmode", _ssl_mode(value)
    elif lower == "schema":
        if value != "public":
            yield (
                "search_path",
                value if value.isidentifier() and value.islower() else '"' + value.replace('"', '""') + '"',
            )
    elif lower not in _DROPPED:
        yield (lower if lower in _TAKEN else name), value


def _ssl_mode(value: str) -> str:
    return _BOOLEANS.get(value.lower(), value)


def _meant(name: str) -> str:
    close = difflib.get_close_matches(name.lower(), _KNOWN, n=1, cutoff=0.8)
    return f"; did you mean {close[0]}?" if close else ""
