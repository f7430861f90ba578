"""Resolve the environment of a run. Sources by precedence: command line, variables, ``gaia.toml``, deploy files, defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_gaia.config.environment import SANDBOX, Environment
from pytest_gaia.config.platform import SANDBOX_APIS, Platform
from pytest_gaia.config.project import Project
from pytest_gaia.errors import ConfigError, nearest

if TYPE_CHECKING:
    # Decoding files is expensive; a run without Gaia does not need it.
    from pytest_gaia.config.catalogue import Catalogue
    from pytest_gaia.config.variables import Sourced


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Raw inputs: command line, project, environment variables."""

    project: Project
    environ: Mapping[str, str] = field(repr=False)
    env: str | None = None
    """value of ``--gaia-env``"""
    env_source: str = "--gaia-env"
    """source of ``env``, for messages"""
    urls: tuple[str, ...] = ()
    """values of ``--gaia-url``: ``SERVICE=URL``, or a bare URL for the gateway"""
    env_setting: Sourced | None = None
    """the environment that pytest's configuration file names; a variable takes precedence"""
    url_settings: tuple[Sourced, ...] = ()
    """the addresses that it gives; variables take precedence"""
    sandbox_without: tuple[str, ...] = ()
    """values of ``--gaia-sandbox-without``: services, separated by commas"""
    sandbox_fixed: bool = False
    sandbox_api: str = SANDBOX_APIS[0]
    """the API that the reference services of the sandbox offer"""
    sandbox_faults: bool = False
    """whether the responses of programs in the sandbox can have faults"""
    simulate: bool = False
    concurrency: Sourced | None = None
    """value of ``--gaia-concurrency``, or of the setting in pytest's configuration file"""
    addressed: bool = True
    """whether deploy files without an address are an error; commands that show or deploy the environment need none"""

    @property
    def rootdir(self) -> Path:
        """The folder of the project."""
        return self.project.rootdir


def split_services(
    values: Iterable[str], platform: Platform, option: str = "--gaia-sandbox-without"
) -> tuple[str, ...]:
    """Return the services in ``values`` (``("asset,chat",)`` → ``("asset", "chat")``), without duplicates.

    Raises ``ConfigError`` for an unknown service.
    """
    names = [name.strip() for value in values for name in value.split(",") if name.strip()]
    for name in names:
        if name not in platform:
            from pytest_gaia.config.services import unknown_service

            raise ConfigError(f"{option}: {unknown_service(name, platform)}")
    return tuple(dict.fromkeys(names))


def checked_api(value: str, option: str = "--gaia-sandbox-api") -> str:
    """Return ``value`` if the reference services of the sandbox can offer this API. Raises ``ConfigError``."""
    if value not in SANDBOX_APIS:
        raise ConfigError(f"{option}: unknown API {value!r}; {nearest(value, SANDBOX_APIS)}")
    return value


# Imports of msgspec are inside functions, because they are expensive and a run without Gaia does not need them.


def resolve(options: Options) -> Environment:
    """Return the environment of a run, with the source of each value. Sends nothing.

    An environment on the sandbox (``sandbox=True``, also for ``--gaia-simulate``) has no addresses until
    ``run.sandbox.bind`` adds those of a running sandbox.

    Raises ``ConfigError`` for an error in an option, a variable or a file, and ``EnvironmentUnavailable`` if an
    address belongs to another environment.
    """
    from pytest_gaia.config.catalogue import Catalogue

    return resolve_from(Catalogue.of(options.project, options.environ), options)


def resolve_from(catalogue: Catalogue, options: Options) -> Environment:
    """Do the same as :func:`resolve`, with files that are already read."""
    from pytest_gaia.config.assemble import assemble
    from pytest_gaia.config.catalogue import choose, layers_of
    from pytest_gaia.config.ownership import refuse_foreign_hosts
    from pytest_gaia.config.variables import find_secrets

    name = choose(options, catalogue)
    embedded = name.value == SANDBOX or options.simulate
    _check_sandbox_options(options, name.value, embedded=embedded)
    layer = layers_of(name.value, options, catalogue)
    secrets = {} if embedded else find_secrets(catalogue.variables, name.value, catalogue.platform)
    deployment = None if embedded else catalogue.deployment(name.value)
    environment = assemble(
        name,
        layer,
        secrets,
        _offered(catalogue.platform, options) if embedded else catalogue.platform,
        embedded=embedded,
        simulated=options.simulate,
        deployment=deployment,
        addressed=options.addressed or deployment is None,
    )
    if embedded:
        return environment
    refuse_foreign_hosts(environment, catalogue)
    hosts = catalogue.known_hosts(environment.name)
    return replace(environment, known_hosts=hosts, deploy_folder=options.project.deploy_folder)


def resolve_each(options: Options, *, apart: bool = False) -> dict[str, Environment | Exception]:
    """Return the result of :func:`resolve` for each known environment, or the error that it raises.

    Ignores ``env`` and ``urls`` of ``options``. With ``apart``, a variable without the name of an environment
    (``GAIA_GATEWAY_URL``) applies only to the environment that a run would use, which is included even if no file has it.
    Raises ``ConfigError`` only for errors that concern all environments.
    """
    from pytest_gaia.config.catalogue import Catalogue, choose
    from pytest_gaia.errors import GaiaError

    catalogue = Catalogue.of(options.project, options.environ)
    used = choose(options, catalogue).value if apart else None
    others = replace(catalogue, variables=replace(catalogue.variables, named_only=True)) if apart else catalogue
    resolved: dict[str, Environment | Exception] = {}
    for name in catalogue.names():
        known = catalogue if name == used else others
        try:
            resolved[name] = resolve_from(known, replace(options, env=name, urls=()))
        except GaiaError as error:
            resolved[name] = error
    if used is not None and used not in resolved:
        resolved[used] = resolve_from(catalogue, options)
    return resolved


def _offered(platform: Platform, options: Options) -> Platform:
    """Return the platform in the sandbox; a simulated environment has no services that it does not have otherwise."""
    offered = platform.offering(options.sandbox_api)
    return replace(offered, without=platform.without) if options.simulate else offered


def _check_sandbox_options(options: Options, name: str, *, embedded: bool) -> None:
    without = split_services(options.sandbox_without, options.project.platform)
    other_api = checked_api(options.sandbox_api) != SANDBOX_APIS[0]
    if options.simulate and name in ("sandbox", "adhoc"):
        raise ConfigError(
            f"--gaia-simulate: {name} cannot be simulated; name another environment, such as --gaia-env=staging."
        )
    if embedded:
        return
    for given, option in (
        (without, "--gaia-sandbox-without"),
        (options.sandbox_fixed, "--gaia-sandbox-no-known-bugs"),
        (other_api, "--gaia-sandbox-api"),
    ):
        if given:
            raise ConfigError(
                f"{option}: applies to the sandbox, but the environment is {name}. "
                "Use --gaia-env=sandbox, or add --gaia-simulate to run its tests on the sandbox."
            )
