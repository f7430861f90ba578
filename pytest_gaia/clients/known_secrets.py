"""The secrets of an environment, each with a name that messages may show."""

from collections.abc import Iterator

from pytest_gaia.config.environment import Environment
from pytest_gaia.secrets.redaction import Redactor, is_word, secrets_in_url


def secrets_of(environment: Environment) -> Iterator[tuple[str, str]]:
    """Yield name and value of each secret of ``environment``, including those in its addresses."""
    for name in ("api_key", "jwt_secret", "token", "database"):
        secret = getattr(environment, name)
        # A DSN without a password is not a secret, and shows where the database is.
        is_address = name == "database" and secret is not None and not any(secrets_in_url(name, secret.reveal()))
        if secret is not None and not is_address and not is_word(secret.reveal()):
            source = environment.sources.get(f"secrets.{name}")
            yield f"{name} (from {source})" if source else name, secret.reveal()
    if environment.database is not None:
        yield from secrets_in_url("database", environment.database.reveal())
    for name, url in (("nats", environment.nats or ""), *environment.urls.items()):
        yield from secrets_in_url(name, url)


def redactor_of(environment: Environment) -> Redactor:
    """Return a redactor that knows the secrets of ``environment``."""
    redactor = Redactor()
    redactor.learn_all(secrets_of(environment))
    return redactor
