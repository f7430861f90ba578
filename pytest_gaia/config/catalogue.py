"""All environments of a project, and the one that a run uses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property

from msgspec import UNSET, structs

from pytest_gaia.config import addresses
from pytest_gaia.config.addresses import FLY_DOMAIN, hosts_in, identity_of, names_of, patterns_of
from pytest_gaia.config.deployfiles.model import Deployment
from pytest_gaia.config.deployfiles.reach import services, urls
from pytest_gaia.config.environment import SANDBOX
from pytest_gaia.config.layers import (
    SHIPPED,
    ConfigFile,
    Layer,
    file_layer,
    merge,
    role_layer,
    role_settings,
    rule_layer,
    shipped_file,
    url_layer,
    variable_layer,
)
from pytest_gaia.config.platform import DISABLED, MAX_CONCURRENCY, Platform, Tool
from pytest_gaia.config.project import Project
from pytest_gaia.config.reader import ADHOC, role_of
from pytest_gaia.config.resolve import Options
from pytest_gaia.config.schema import EnvironmentTable
from pytest_gaia.config.services import unknown_service
from pytest_gaia.config.tolerance import PRODUCTION
from pytest_gaia.config.variables import Sourced, Variables, variable_name
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.files.toml import Place


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of one environment."""

    stated: tuple[str, ...]
    """those in files"""
    hosts: frozenset[str]
    """the hosts of those"""
    identities: frozenset[tuple[object, ...]]
    """what identifies each address in files and in the environment's own variables"""


@dataclass(frozen=True)
class Catalogue:
    """The environments in the files of a project, and the variables."""

    project: Project
    variables: Variables
    read: dict[str, tuple[Layer, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)
    """environment → its layers in files; used is only the value of ``project.catalogue``, which all share"""
    merged: dict[tuple[str, bool | None], Layer] = field(default_factory=dict, init=False, repr=False, compare=False)
    """environment and value of ``ask`` → its layers, merged; shared as ``read`` is"""
    _addresses: dict[str, Addresses] = field(default_factory=dict, init=False, repr=False, compare=False)
    """environment → its addresses"""

    @classmethod
    def of(cls, project: Project, environ: Mapping[str, str]) -> Catalogue:
        """Return the environments of ``project``; raises ``ConfigError`` for an error in any of its files."""
        return cls(project, Variables(environ, project.dotenv))

    @cached_property
    def files(self) -> tuple[ConfigFile, ...]:
        """The built-in settings, then those of the project."""
        own = self.project.file
        return (shipped_file(own.below), own) if own else (shipped_file(),)

    @property
    def platform(self) -> Platform:
        """The services of the project."""
        return self.project.platform

    def names(self) -> tuple[str, ...]:
        """Return the names of the environments, built-in ones first."""
        return self._names

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*role_settings(), *(name for file in self.files for name in file.environments))))

    @cached_property
    def production(self) -> tuple[str, ...]:
        """The names of the environments with the role production."""
        return tuple(name for name in self.names() if self.role(name) == PRODUCTION)

    def role(self, name: str) -> str:
        """Return the role of ``name``; for the sandbox its own name, and an empty string for none."""
        stated = self.files[-1].environments.get(name, EnvironmentTable())
        return SANDBOX if name == SANDBOX else role_of(name, stated)

    def file_layers(self, name: str) -> tuple[Layer, ...]:
        """Return the settings of ``name`` in files, lowest precedence first: role, rules, built-in platform, project."""
        known = self.project.catalogue.read
        if name not in known:
            # Only an environment that a file declares: `production` must not exist because a template could be its address.
            is_declared = name != SANDBOX and any(name in file.environments for file in self.files)
            rules = rule_layer(self.files, self.platform, name) if is_declared else Layer()
            own = (file_layer(file, name, self.platform) for file in self.files)
            known[name] = (role_layer(self.role(name), name), rules, *own)
        return known[name]

    def stated(self, name: str) -> EnvironmentTable:
        """Return the settings of ``name``, without those of deploy files."""
        return self._merge(name).table

    def _merge(self, name: str, *, ask: bool | None = None) -> Layer:
        """Return the settings of ``name`` in files as one layer; with those of deploy files only for a value of ``ask``.

        Each environment is compared with all others, so it is merged only once.
        """
        known = self.project.catalogue.merged
        if (name, ask) not in known:
            known[name, ask] = merge(self.file_layers(name) if ask is None else self.layers(name, ask=ask))
        return known[name, ask]

    def layers(self, name: str, *, ask: bool = True) -> tuple[Layer, ...]:
        """Return the settings of ``name`` in files and deploy files, lowest precedence first.

        With ``ask``, Docker Compose reads its files where it is installed.
        """
        layers = self.file_layers(name)
        deployment = self.deployment(name, ask=ask)
        if deployment is None:
            return layers

        role, rules, shipped, *project = layers
        rules = rules_beside(rules, deployment.source, self.platform)
        return (role, rules, without_addresses(shipped), deployed_layer(deployment, shipped, self.platform), *project)

    def deployment(self, name: str, *, ask: bool = True) -> Deployment | None:
        """Return the deploy files that ``from`` of ``name`` selects; None without ``from``."""
        source = self.stated(name).source
        return None if source is UNSET else self.project.deploy_folder.deployment(name, source, ask=ask)

    def stated_hosts(self, name: str) -> tuple[str, ...]:
        """Return the ``hosts`` of ``name``, without those of deploy files."""
        hosts = self.stated(name).hosts
        return hosts if isinstance(hosts, tuple) else ()

    def owners_of(self, host: str) -> tuple[str, ...]:
        """Return the environments whose ``hosts`` or deploy files contain ``host``, or its public name on Fly."""
        by_pattern = self.project.catalogue.owners
        owners = {
            name for each in names_of(host) for pattern in patterns_of(each) for name in by_pattern.get(pattern, ())
        }
        return tuple(name for name in self.names() if name in owners)

    @cached_property
    def owners(self) -> Mapping[str, Sequence[str]]:
        """Host pattern → the environments whose ``hosts`` or deploy files contain it."""
        found: dict[str, list[str]] = {}
        for name in self.names():
            for pattern in (*self.stated_hosts(name), *self._deployed_hosts(name)):
                found.setdefault(pattern.lower(), []).append(name)
        return found

    def known_urls(self, name: str, *, ask: bool = True) -> tuple[str, ...]:
        """Return the addresses of ``name`` in files."""
        return _urls_of(self._merge(name, ask=ask))

    def known_hosts(self, name: str, *, ask: bool = True) -> tuple[str, ...]:
        """Return all hosts of ``name`` in files: the listed ones, and those of its addresses."""
        layer = self._merge(name, ask=ask)
        listed = layer.table.hosts if isinstance(layer.table.hosts, tuple) else ()
        return tuple(dict.fromkeys((*listed, *(host for url in _urls_of(layer) for host in hosts_in(url)))))

    def addresses_of(self, name: str) -> Addresses:
        """Return the addresses of another environment. Errors in its settings are ignored: they must not stop this run."""
        if name not in self._addresses:
            stated: tuple[str, ...] = ()
            given: tuple[str, ...] = ()
            with suppress(ConfigError):
                stated = self.known_urls(name, ask=False)
            with suppress(ConfigError):
                given = _urls_of(variable_layer(replace(self.variables, named_only=True), name, self.platform))
            environ = self.variables.environ
            self._addresses[name] = Addresses(
                stated,
                frozenset(host for url in stated for host in hosts_in(url, environ)),
                frozenset(identity_of(url, environ) for url in (*stated, *given)),
            )
        return self._addresses[name]

    def _deployed_hosts(self, name: str) -> tuple[str, ...]:
        try:
            deployment = self.deployment(name, ask=False)
        except ConfigError:
            # A broken file of another environment must not stop this run; its listed hosts still protect it.
            return ()

        return hosts_of(deployment) if deployment is not None else ()


def choose(options: Options, catalogue: Catalogue) -> Sourced:
    """Return the name of the environment and its source. Raises ``ConfigError`` for an unknown name."""
    chosen = _asked_for(options, catalogue)
    if chosen.value == ADHOC:
        if not (options.urls or options.url_settings or _url_variables(catalogue)):
            raise ConfigError(f"{chosen.source}: {ADHOC} is the environment of --gaia-url; add --gaia-url=URL.")
        return chosen
    if chosen.value not in catalogue.names():
        raise ConfigError(
            f"{chosen.source}: unknown environment {chosen.value!r}; {nearest(chosen.value, catalogue.names())}"
        )
    return chosen


def layers_of(name: str, options: Options, catalogue: Catalogue) -> Layer:
    """Return all settings of ``name`` as one layer: files, then variables, then the command line.

    On the sandbox (also with ``--gaia-simulate``), addresses come only from the sandbox.
    """
    files = catalogue.layers(name)
    own = concurrency_layer(options.concurrency)
    if name == SANDBOX or options.simulate:
        _refuse_addresses(name, options, catalogue)
        return merge([*files, own])
    platform = catalogue.platform
    settings = url_layer(given_urls(options.url_settings, platform), platform)
    given = given_urls((Sourced(url, "--gaia-url") for url in options.urls), platform)
    variables = variable_layer(catalogue.variables, name, platform)
    return merge([*files, settings, variables, url_layer(given, platform), own])


def concurrency_layer(given: Sourced | None) -> Layer:
    """Return the layer of ``--gaia-concurrency``; empty without it. Raises ``ConfigError`` for another value."""
    if given is None:
        return Layer()
    value = int(given.value) if re.fullmatch("[0-9]{1,3}", given.value) else 0
    if not 1 <= value <= MAX_CONCURRENCY:
        raise ConfigError(f"{given.source}: expected a number from 1 to {MAX_CONCURRENCY}, got {given.value!r}.")
    return Layer(EnvironmentTable(concurrency=value), {"concurrency": given.source})


def given_urls(values: Iterable[Sourced], platform: Platform) -> Mapping[str, Sourced]:
    """Return service → URL from values of ``--gaia-url``; a URL alone is that of the platform's entry."""
    given: dict[str, Sourced] = {}
    for value, source in values:
        service, url = _service_and_url(value, source, platform)
        if given.get(service, Sourced(url, "")).value != url:
            raise ConfigError(f"{source}: two different URLs for {service}; use one.")
        given[service] = Sourced(url, source)
    return given


def _urls_of(layer: Layer) -> tuple[str, ...]:
    """Return the addresses of services in ``layer``."""
    urls = layer.table.urls
    return tuple(url for url in urls.values() if url != DISABLED) if isinstance(urls, dict) else ()


def _service_and_url(value: str, source: str, platform: Platform) -> tuple[str, str]:
    service, separator, url = value.partition("=")
    if not separator or "/" in service or ":" in service:
        if platform.entry is None:
            todo = "Declare it as [services.NAME] in gaia.toml; `gaia init` writes one."
            raise ConfigError(f"{source}: the project declares no HTTP service that this URL could belong to. {todo}")
        return platform.entry, value
    if service not in platform:
        raise ConfigError(f"{source}: {unknown_service(service, platform)}")
    described = platform[service]
    if described.kind == "postgres" or (not described.is_http and described.kind != "nats" and "@" in url):
        raise ConfigError(
            f"{source}: the command line is visible to all users, so it takes no address of {service}; "
            f"set GAIA_{described.variable}_URL in the environment or in .env."
        )
    return service, url


def _asked_for(options: Options, catalogue: Catalogue) -> Sourced:
    if options.env is not None:
        return Sourced(options.env, options.env_source)
    variable = catalogue.variables.get("GAIA_ENV")
    if variable is not None:
        return variable
    if options.urls:
        return Sourced(ADHOC, "--gaia-url")
    urls = _url_variables(catalogue)
    if urls:
        return Sourced(ADHOC, urls[0].source)
    if options.env_setting is not None:
        return options.env_setting
    if options.url_settings:
        return Sourced(ADHOC, options.url_settings[0].source)
    project = catalogue.files[-1]
    if isinstance(project.gaia.environment, str):
        return Sourced(project.gaia.environment, project.source("gaia", "environment"))
    return Sourced(SANDBOX, SHIPPED)


def _url_variables(catalogue: Catalogue) -> list[Sourced]:
    platform = catalogue.platform
    found = (catalogue.variables.get(f"GAIA_{platform[service].variable}_URL") for service in platform.http)
    return [variable for variable in found if variable is not None]


def _refuse_addresses(name: str, options: Options, catalogue: Catalogue) -> None:
    kind = "--gaia-simulate runs on the sandbox, which" if options.simulate else "the sandbox"
    if options.urls:
        raise ConfigError(
            f"--gaia-url: {kind} has its own addresses. Remove --gaia-url, or name another environment "
            "(without --gaia-env, --gaia-url creates the environment adhoc)."
        )
    for service in catalogue.platform.services.values() if name == SANDBOX else ():
        variable = variable_name(SANDBOX, f"{service.variable}_URL")
        found = catalogue.variables.get(variable)
        if found is not None:
            raise ConfigError(f"{found.source}: {kind} has its own addresses; unset {variable}.")


_ADDRESSES = ("services", "urls")
"""keys that deploy files replace, even if they set nothing"""


def deployed_layer(deployment: Deployment, below: Layer, platform: Platform) -> Layer:
    """Return the settings in ``deployment``, as a layer over ``below``.

    Hosts are added to those of ``below``, so that all of them stay protected. Raises ``ConfigError`` for an invalid
    address.
    """
    found = urls(deployment, platform)
    sources = {f"urls.{service}": source_of(place) for service, (_, place) in found.items()}
    for service, (url, _) in found.items():
        addresses.service_url(platform[service].kind, url, sources[f"urls.{service}"])
    sources["services"] = _files(deployment)
    table = EnvironmentTable(
        urls={service: url for service, (url, _) in found.items()}, services=services(deployment, platform)
    )
    hosts = hosts_of(deployment)
    if hosts:
        known = below.table.hosts if isinstance(below.table.hosts, tuple) else ()
        table = structs.replace(table, hosts=tuple(dict.fromkeys((*known, *hosts))))
        sources["hosts"] = _files(deployment)
    return Layer(table, sources, frozenset(found))


def rules_beside(rules: Layer, tool: Tool, platform: Platform) -> Layer:
    """Return the addresses of services that ``tool`` does not deploy; those of the others are in its files, or nowhere."""
    urls = rules.table.urls if isinstance(rules.table.urls, dict) else {}
    kept = {service: url for service, url in urls.items() if not platform[service].is_deployed_by(tool)}
    return Layer(
        EnvironmentTable(urls=kept or UNSET), {key: source for key, source in rules.sources.items() if key[5:] in kept}
    )


def without_addresses(layer: Layer) -> Layer:
    """Return ``layer`` without the keys that deploy files replace."""
    table = structs.replace(layer.table, **dict.fromkeys(_ADDRESSES, UNSET))
    sources = {key: source for key, source in layer.sources.items() if key.partition(".")[0] not in _ADDRESSES}
    return Layer(table, sources)


def hosts_of(deployment: Deployment) -> tuple[str, ...]:
    """Return the host names that belong to ``deployment``; none for a compose file."""
    if deployment.source == "compose":
        return ()
    return tuple(dict.fromkeys(f"{app.name}.{FLY_DOMAIN}" for app in deployment.apps))


def source_of(place: Place) -> str:
    """Return ``place`` as the source of a setting: ``fly.auth.staging.toml:3 app``."""
    return f"{place.file}:{place.line} {place.key}".rstrip()


def _files(deployment: Deployment) -> str:
    """Return the name of the file; of several files, a pattern."""
    names = list(dict.fromkeys(app.place("app").file for app in deployment.apps))
    if len(names) == 1 or deployment.source == "compose":
        return ", ".join(names)
    folder, _, name = names[0].rpartition("fly.")
    environment, suffix = name.split(".")[-2:]
    return f"{folder}fly.*.{environment}.{suffix if all(each.endswith(suffix) for each in names) else '*'}"
