"""Read ``@pytest.mark.gaia(...)``: the needs of a test."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from pytest_gaia.config.services import unknown_service
from pytest_gaia.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from pytest_gaia.config.platform import Platform

DIRECT = ":direct"

_SECRETS = ("api_key", "jwt")


def requirable(platform: Platform | None) -> tuple[str, ...]:
    """Return the values of ``requires``: a service, a service at a URL of its own (``orders:direct``), or a secret."""
    if platform is None:
        return _SECRETS
    return (*platform, *(f"{service}{DIRECT}" for service in platform.http), *_SECRETS)


def marker_text(platform: Platform | None = None) -> str:
    """Return the description of the marker, with the services of the project."""
    known = ", ".join(requirable(platform))
    if not platform or not platform.names:
        known = f"a service of gaia.toml, NAME{DIRECT} for one with a URL of its own, {known}"
    return (
        "gaia(requires=[], writes=False, core=False, experimental=False, command=None): the needs of a test. "
        f"requires: any of {known}; writes: it changes the environment; core: it runs in production, and its failures always "
        "block; experimental: it tests a feature that is not part of every release; command: commands of the old test.sh "
        "that it replaces."
    )


@dataclass(frozen=True, slots=True)
class Needs:
    """Needs of one test, combined from its ``gaia`` markers (function, class, module)."""

    requires: frozenset[str] = frozenset()
    writes: bool = False
    core: bool = False
    experimental: bool = False
    command: frozenset[str] = frozenset()

    @property
    def services(self) -> frozenset[str]:
        """Services in ``requires``."""
        return frozenset(each.removesuffix(DIRECT) for each in self.requires.difference(_SECRETS))

    @property
    def flags(self) -> frozenset[str]:
        """``core`` and ``experimental``, which expectations can select like markers."""
        flags = {"core": self.core, "experimental": self.experimental}
        return frozenset(word for word, holds in flags.items() if holds)

    def __or__(self, other: Needs) -> Needs:
        return Needs(**{f.name: getattr(self, f.name) | getattr(other, f.name) for f in fields(Needs)})


_NAMES = tuple(f.name for f in fields(Needs))
_NOTHING = Needs()


def needs_of(item: pytest.Item, platform: Platform) -> Needs:
    """Read the markers of ``item``, which may require services of ``platform``. Raises :class:`ConfigError` with its node ID for an invalid marker."""
    needs = _NOTHING
    for mark in item.iter_markers("gaia"):
        try:
            needs |= _parse(mark.args, mark.kwargs, platform)
        except ConfigError as error:
            raise ConfigError(f"{item.nodeid}: {error}") from None
    return needs


def _parse(args: tuple[Any, ...], kwargs: Mapping[str, Any], platform: Platform) -> Needs:
    if args:
        raise ConfigError(f"@pytest.mark.gaia takes keywords only, got {args[0]!r}.")
    for name in kwargs:
        if name not in _NAMES:
            raise ConfigError(f"@pytest.mark.gaia has no keyword {name!r}: {nearest(name, _NAMES)}")
    needs = Needs(
        requires=_names("requires", kwargs),
        writes=_flag("writes", kwargs),
        core=_flag("core", kwargs),
        experimental=_flag("experimental", kwargs),
        command=_names("command", kwargs),
    )
    for required in sorted(needs.requires):
        if not _is_known(required, platform):
            raise ConfigError(f"@pytest.mark.gaia(requires=…): {_unknown(required, platform)}")
    return needs


def _unknown(required: str, platform: Platform) -> str:
    service = required.removesuffix(DIRECT)
    if service in platform:
        kind = platform[service].kind
        return f"{required}: {service} is of kind {kind}; only an HTTP service can be required at its own URL."
    return unknown_service(required, platform, requirable(platform) if platform.names else ())


def _is_known(required: str, platform: Platform) -> bool:
    if required.endswith(DIRECT):
        return required.removesuffix(DIRECT) in platform.http
    return required in platform or required in _SECRETS


def _names(name: str, kwargs: Mapping[str, Any]) -> frozenset[str]:
    value = kwargs.get(name, ())
    listed = (value,) if isinstance(value, str) else value
    if not isinstance(listed, (list, tuple, set, frozenset)) or not all(isinstance(each, str) for each in listed):
        raise ConfigError(f"@pytest.mark.gaia({name}=…) takes a name or a list of names, got {value!r}.")
    return frozenset(listed)


def _flag(name: str, kwargs: Mapping[str, Any]) -> bool:
    value = kwargs.get(name, False)
    if not isinstance(value, bool):
        raise ConfigError(f"@pytest.mark.gaia({name}=…) takes True or False, got {value!r}.")
    return value
