"""What may stand on a page: no secret that this machine knows, and no character that people cannot see."""

import dataclasses
from collections.abc import Callable
from typing import TypeVar

from pytest_gaia.clients.known_secrets import secrets_of
from pytest_gaia.config.resolve import Options, resolve_each
from pytest_gaia.printable import visible
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.secrets.redaction import Redactor, secrets_around

T = TypeVar("T")


def redactor_of(promotion: Promotion) -> Redactor:
    """Return one that knows the secrets of all environments, and of variables and ``.env`` by their names."""
    redactor = Redactor()
    for environment in resolve_each(Options(project=promotion.project, environ=promotion.environ)).values():
        if isinstance(environment, Exception):
            # A setting of an environment that is not on the page need not be right for the page.
            continue
        redactor.learn_all(secrets_of(environment))
    # What is set for an environment that cannot be resolved, or is not configured, is a secret all the same.
    dotenv = promotion.project.dotenv
    redactor.learn_all(secrets_around({name: value for name, (value, _) in dotenv.items()}))
    redactor.learn_all(secrets_around(promotion.environ))
    return redactor


def clean(value: T, text: Callable[[str], str]) -> T:
    """Return ``value``, a dataclass of texts, numbers and tuples of such, with ``text`` applied to every text in it."""
    return _cleaned(value, lambda each: visible(text(each)))  # type: ignore[return-value]  # a dataclass is replaced by one of its own type


def _cleaned(value: object, text: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, tuple):
        return tuple(_cleaned(each, text) for each in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = {field.name: _cleaned(getattr(value, field.name), text) for field in dataclasses.fields(value)}
        return dataclasses.replace(value, **found)
    return value
