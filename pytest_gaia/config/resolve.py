"""From what a run was asked for to one frozen environment: command line > variable > ``gaia.toml`` > deploy files > as shipped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_gaia.config.environment import SANDBOX, Environment
from pytest_gaia.config.platform import SERVICES
from pytest_gaia.config.project import Project
from pytest_gaia.errors import ConfigError, nearest

if TYPE_CHECKING:
    # It decodes files, which costs more than a run without Gaia may pay.
    from pytest_gaia.config.catalogue import Catalogue
    from pytest_gaia.config.variables import Sourced


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Raw inputs: the command line as given, the project, the process environment."""

    project: Project
    environ: Mapping[str, str]
    env: str | None = None
    """value of ``--gaia-env``"""
    env_source: str = "--gaia-env"
    """what gave ``env``, for messages"""
    urls: tuple[str, ...] = ()
    """values of ``--gaia-url``: ``SERVICE=URL``, or a bare URL for the gateway"""
    env_setting: Sourced | None = None
    """the environment that pytest's configuration file names; a variable takes precedence"""
    url_settings: tuple[Sourced, ...] = ()
    """the addresses that it gives; variables take precedence"""
    sandbox_without: tuple[str, ...] = ()
    """values of ``--gaia-sandbox-without``: members, each value one or several with commas between"""
    sandbox_fixed: bool = False
    rehearse: bool = False
    addressed: bool = True
    """whether an environment whose deploy files give no address is a mistake; to show or deploy it, none is needed"""

    @property
    def rootdir(self) -> Path:
        """The folder of the project."""
        return self.project.rootdir


def split_services(values: Iterable[str], option: str = "--gaia-sandbox-without") -> tuple[str, ...]:
    """Return the members named in ``values`` (``("asset,chat",)`` → ``("asset", "chat")``), each once.

    Raises ``ConfigError`` for a name that is no member of the platform.
    """
    names = [name.strip() for value in values for name in value.split(",") if name.strip()]
    for name in names:
        if name not in SERVICES:
            raise ConfigError(f"{option}: {name!r} is no member of the platform; {nearest(name, SERVICES)}")
    return tuple(dict.fromkeys(names))


# Files are decoded with msgspec, which costs more than a run without Gaia may pay: every import of it is in a function.


def resolve(options: Options) -> Environment:
    """Return the environment of a run, each value with its source.

    An environment on the sandbox (``sandbox=True``, a rehearsal included) has no addresses of its own yet:
    ``run.sandbox.bind`` gives it those of a running one. Nothing is sent.

    Raises ``ConfigError`` for a mistake in an option, a variable or a file, and ``EnvironmentUnavailable`` if an
    address belongs to another environment.
    """
    from pytest_gaia.config.catalogue import Catalogue

    return resolve_from(Catalogue.of(options.project, options.environ), options)


def resolve_from(catalogue: Catalogue, options: Options) -> Environment:
    """Do as :func:`resolve` with files that are already read."""
    from pytest_gaia.config.assemble import assemble
    from pytest_gaia.config.catalogue import choose, layers_of
    from pytest_gaia.config.ownership import refuse_foreign_hosts
    from pytest_gaia.config.variables import find_secrets

    name = choose(options, catalogue)
    embedded = name.value == SANDBOX or options.rehearse
    _check_sandbox_options(options, name.value, embedded=embedded)
    layer = layers_of(name.value, options, catalogue)
    secrets = {} if embedded else find_secrets(catalogue.variables, name.value)
    deployment = None if embedded else catalogue.deployment(name.value)
    environment = assemble(
        name,
        layer,
        secrets,
        embedded=embedded,
        rehearsal=options.rehearse,
        deployment=deployment,
        addressed=options.addressed or deployment is None,
    )
    if embedded:
        return environment
    refuse_foreign_hosts(environment, catalogue)
    hosts = catalogue.known_hosts(environment.name)
    return replace(environment, known_hosts=hosts, deploy_folder=options.project.deploy_folder)


def resolve_each(options: Options, *, apart: bool = False) -> dict[str, Environment | Exception]:
    """Return each known environment as :func:`resolve` gives it, or the error that it raises.

    ``env`` and ``urls`` of ``options`` are left aside. With ``apart``, a variable that names no environment
    (``GAIA_GATEWAY_URL``) counts for the one alone that a run would use, which is among them even if no file knows it.
    Raises ``ConfigError`` only for what concerns all of them.
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


def _check_sandbox_options(options: Options, name: str, *, embedded: bool) -> None:
    without = split_services(options.sandbox_without)
    if options.rehearse and name in ("sandbox", "adhoc"):
        raise ConfigError(f"--gaia-simulate: {name} has no shape of its own to rehearse; add --gaia-env=staging, say.")
    if embedded:
        return
    for given, option in ((without, "--gaia-sandbox-without"), (options.sandbox_fixed, "--gaia-sandbox-no-known-bugs")):
        if given:
            raise ConfigError(
                f"{option}: shapes the sandbox, but the environment is {name}. "
                "Say --gaia-env=sandbox, or add --gaia-simulate to rehearse it on the sandbox."
            )
