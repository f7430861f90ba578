"""Read ``@pytest.mark.gaia(...)``: the needs of a test, and whether it applies in an environment."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from pytest_gaia.config.services import unknown_service
from pytest_gaia.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from pytest_gaia.config.platform import Platform
from collections.abc import Sequence

import pytest

from pytest_gaia.clients.reasons import absent
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import Platform
from pytest_gaia.config.variables import variable_name
from pytest_gaia.expectations.apis import Apis, NamedOperation, lacking_reason

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
        "gaia(requires=[], writes=False, direct=None, serial=False, core=False, offline=False, experimental=False, operations=None, command=None): the needs of a test. "
        f"requires: any of {known}; writes: it changes the environment; direct: why it connects to services without their fixtures; serial: it runs alone, even in a run with concurrent tests; core: it runs in production, and its failures always "
        "block; offline: it talks to no service, and is no evidence of a release; experimental: it tests a feature that is not part of every release; operations: it needs these, such as "
        "'GET /orders' or 'billing: POST /invoices', and does not apply to a release that lacks one; command: commands of "
        "the old test.sh that it replaces."
    )


@dataclass(frozen=True, slots=True)
class Needs:
    """Needs of one test, combined from its ``gaia`` markers (function, class, module)."""

    requires: frozenset[str] = frozenset()
    writes: bool = False
    direct: frozenset[str] = frozenset()
    """why it may connect to services without their clients; empty if it may not"""
    serial: bool = False
    """whether it runs alone in a run with concurrent tests"""
    core: bool = False
    offline: bool = False
    """whether it talks to no service, so that its pass needs no evidence"""
    experimental: bool = False
    command: frozenset[str] = frozenset()
    operations: frozenset[str] | None = None
    """operations that it needs, such as ``orders: GET /orders``; empty if it wants a path that is not there; None if not stated"""

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
        return Needs(**{f.name: _both(getattr(self, f.name), getattr(other, f.name)) for f in fields(Needs)})


def _both(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else one | other


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
        direct=_reason("direct", kwargs),
        serial=_flag("serial", kwargs),
        core=_flag("core", kwargs),
        offline=_flag("offline", kwargs),
        experimental=_flag("experimental", kwargs),
        command=_names("command", kwargs),
        operations=_operations(kwargs, platform),
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


def _operations(kwargs: Mapping[str, Any], platform: Platform) -> frozenset[str] | None:
    """Return the operations, each at the service that receives the request."""
    if kwargs.get("operations") is None:
        return None
    return frozenset(str(_operation(text, platform)) for text in _names("operations", kwargs))


def _operation(text: str, platform: Platform) -> NamedOperation:
    try:
        operation = NamedOperation.of(text, platform.entry)
    except ValueError as error:
        raise ConfigError(f"@pytest.mark.gaia(operations=…): {error}.") from None
    if operation.service not in platform.http:
        problem = unknown_service(operation.service, platform, platform.http)
        if operation.service in platform:
            problem = f"{operation.service} is no HTTP service."
        raise ConfigError(f"@pytest.mark.gaia(operations=…): {problem}")
    return operation


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


def _reason(name: str, kwargs: Mapping[str, Any]) -> frozenset[str]:
    value = kwargs.get(name)
    if value is not None and not (isinstance(value, str) and value.strip()):
        raise ConfigError(f'@pytest.mark.gaia({name}="…") takes the reason as text, got {value!r}.')
    return frozenset([value] if value else [])


def by_command(
    items: Sequence[pytest.Item], commands: Sequence[str], platform: Platform
) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """Split ``items`` into those that replace one of the old ``commands``, and the rest.

    Raises :class:`ConfigError` for a command that no collected test replaces.
    """
    wanted = frozenset(commands)
    replaces = {item: needs_of(item, platform).command for item in items}
    known = frozenset().union(*replaces.values())
    for command in commands:
        if command not in known:
            raise ConfigError(
                f"--gaia-command: no selected test belongs to the old command {command!r}; {nearest(command, known)}"
            )
    return (
        [item for item in items if replaces[item] & wanted],
        [item for item in items if not replaces[item] & wanted],
    )


def outside_default_selection(suite: str | None, needs: Needs, environment: Environment) -> str | None:
    """Return why ``environment`` does not run a test of ``suite`` by default; None if it does."""
    if suite is None:
        return None
    if environment.suites is not None and suite not in environment.suites:
        return f"{environment.name} runs the suite {suite!r} only if it is selected"
    if environment.core_only and not needs.core:
        return f"{environment.name} runs only core tests by default"
    return None


def received_operations(needs: Needs, environment: Environment) -> tuple[str, ...] | None:
    """Return the operations that a test needs, at the services that receive its requests; None if it states none."""
    if needs.operations is None:
        return None
    named = (NamedOperation.of(each, None) for each in needs.operations)
    return tuple(sorted(str(_received(each, environment)) for each in named))


def _received(operation: NamedOperation, environment: Environment) -> NamedOperation:
    platform, service = environment.platform, operation.service
    via = platform[service].via
    if service in environment.urls or via is None:
        return operation
    path = platform.route(service, operation.path)
    # Without a route, the client reports that nothing forwards the request.
    return operation if path is None else NamedOperation(via, operation.method, path)


def not_offered_reason(operations: Sequence[str], apis: Apis) -> str | None:
    """Return why a test that needs ``operations`` does not apply to the release; None if it offers them, or may do so."""
    return lacking_reason([each for each in operations if apis.lacks(NamedOperation.of(each, None))])


def not_applicable_reason(needs: Needs, environment: Environment) -> str | None:
    """Return why a test with ``needs`` does not apply to ``environment``; None if it applies."""
    name = environment.name
    if needs.writes and not environment.writes:
        return f"the test writes, and {name} forbids writes"
    if needs.experimental and not environment.experimental:
        return f"the test is experimental, and {name} runs no experimental tests"
    return next((reason for each in sorted(needs.requires) if (reason := _missing(each, environment))), None)


def _missing(required: str, environment: Environment) -> str | None:
    name = environment.name
    if required.endswith(DIRECT):
        service = required.removesuffix(DIRECT)
        return None if service in environment.urls else f"{service} has no URL of its own in {name}"
    if required == "api_key":
        known = environment.api_key is not None or any(key.endswith(".api_key") for key in environment.credentials)
        return None if known else f"no API key is configured for {name}: set {variable_name(name, 'API_KEY')}"
    if required == "jwt":
        known = environment.jwt_secret is not None
        return None if known else f"no JWT secret is configured for {name}: set {variable_name(name, 'JWT_SECRET')}"
    via = environment.platform[required].via
    # A test may use such a service through the other one, which decides whether it forwards the request.
    return None if via is not None and environment.has(via) else absent(environment, required)
