"""Check that addresses belong to the environment under test, before anything is sent."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from pytest_gaia.config import addresses
from pytest_gaia.config.addresses import is_loopback
from pytest_gaia.config.catalogue import Catalogue
from pytest_gaia.config.environment import SANDBOX, Environment
from pytest_gaia.config.reader import ADHOC
from pytest_gaia.config.tolerance import PRODUCTION
from pytest_gaia.errors import ConfigError, EnvironmentUnavailable


def refuse_foreign_hosts(environment: Environment, catalogue: Catalogue) -> None:
    """Raise ``EnvironmentUnavailable`` if an address of ``environment`` belongs to another environment, or to none.

    An environment can claim a host in its own ``hosts``, but not one of production.
    """
    urls = {f"urls.{service}": environment.url_of(service) or "" for service in environment.addresses}
    listed = catalogue.stated_hosts(environment.name)
    for key, url in urls.items():
        for host in addresses.hosts_in(url, catalogue.variables.environ):
            others = [name for name in catalogue.owners_of(host) if name != environment.name]
            claimed = addresses.matches(host, listed)
            guarded = [name for name in others if _guards(name, environment, catalogue)]
            if guarded or (others and not claimed):
                owner = (*guarded, *others)[0]
                raise _foreign(environment, key, host, owner, "correct `hosts` of both environments in gaia.toml")
            if environment.name != ADHOC and addresses.is_unnamed(host) and not claimed:
                raise EnvironmentUnavailable(
                    f"{environment.name}: {key} (source: {environment.sources[key]}) is the IP address {host}, which could "
                    f"belong to any environment. Nothing was sent. Use a host name; or, if the address belongs to "
                    f"{environment.name}, add it to `hosts` in [env.{environment.name}] of gaia.toml."
                )
    # adhoc has no name that its addresses could contradict.
    if environment.name != ADHOC:
        _refuse_their_addresses(environment, urls, catalogue)


def hosts_of_others(environment: Environment, catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    """Return other environment → its hosts in files, without those on this machine."""
    found: dict[str, tuple[str, ...]] = {}
    for name in catalogue.names():
        if name not in (environment.name, SANDBOX):
            with suppress(ConfigError):
                # An error in another environment must not stop this run.
                found[name] = tuple(each for each in catalogue.known_hosts(name, ask=False) if not is_loopback(each))
    return {name: hosts for name, hosts in found.items() if hosts}


def misplaced(environment: Environment, tested: Mapping[str, Iterable[str]] | None = None) -> tuple[str, ...]:
    """Return one sentence for each HTTP service whose address is not known to belong to the environment.

    ``tested`` is service → hosts with ports, by default those of ``environment``. Other services are often reached
    through a tunnel, so their addresses are recorded but not checked.
    """
    if tested is None:
        tested = {service: (address,) for service, address in environment.addresses.items()}
    found = (
        _misplacement(environment, service, each)
        for service in environment.platform.http
        for each in tested.get(service, ())
    )
    return tuple(each for each in found if each)


def _misplacement(environment: Environment, service: str, address: str) -> str:
    name, known, previous = environment.name, environment.known_hosts, environment.stage.previous
    host = addresses.endpoint_of(address).host
    here = is_loopback(host)
    if not here and environment.loopback and environment.role == PRODUCTION:
        # With this key, production may have no soak time and may allow writes.
        return (
            f"{service} at {address} is not on this machine, but {name} has loopback = true: "
            f"remove the key from [env.{name}] of gaia.toml"
        )
    if here and (previous or environment.loopback):
        allow = f"this needs loopback = true in [env.{name}] of the committed gaia.toml"
        why = f"{service} at {address} is on this machine, but {name} follows {previous}; {allow}"
        return "" if environment.loopback else why
    if addresses.matches(host, known) or (here and any(map(is_loopback, known))) or not (known or previous):
        return ""
    listed = (
        f"is not one of the hosts of {name} ({', '.join(known)})"
        if known
        else f"cannot be identified: no host of {name} is known"
    )
    return (
        f"{service} at {address} {listed}. If it belongs to {name}, add {host} to `hosts` in [env.{name}] of gaia.toml"
    )


def _refuse_their_addresses(environment: Environment, urls: Mapping[str, str], catalogue: Catalogue) -> None:
    """Refuse an address that files or variables give to another environment only."""
    environ, name = catalogue.variables.environ, environment.name
    known, listed = catalogue.known_hosts(name), catalogue.stated_hosts(name)
    own = {addresses.identity_of(url, environ) for url in catalogue.known_urls(name)}
    guards = (other for other in catalogue.production if other != name and _guards(other, environment, catalogue))
    guarded = {other: catalogue.addresses_of(other).stated for other in guards}
    for key, url in urls.items():
        hosts, identity = addresses.hosts_in(url, environ), addresses.identity_of(url, environ)
        for other, stated in guarded.items():
            if any(_is_below(url, each, environ) for each in stated):
                where = ",".join(map(str, addresses.endpoints(url, environ)))
                raise _foreign(environment, key, where, other, f"correct the addresses of {other} in gaia.toml")
        if identity in own or all(addresses.matches(host, listed) for host in hosts):
            continue
        foreign = {host for host in hosts if not is_loopback(host) and not addresses.matches(host, known)}
        for other in (each for each in catalogue.names() if each != name):
            their = catalogue.addresses_of(other)
            if identity in their.identities or foreign & their.hosts:
                where = ",".join(map(str, addresses.endpoints(url, environ)))
                raise _foreign(environment, key, where, other, f"add it to `hosts` in [env.{name}] of gaia.toml")


def _guards(other: str, environment: Environment, catalogue: Catalogue) -> bool:
    """Whether ``environment`` can never have an address of ``other``, because only ``other`` is production."""
    return catalogue.role(other) == PRODUCTION != environment.role


def _is_below(url: str, base: str, environ: Mapping[str, str]) -> bool:
    """Whether requests to the HTTP URL ``url`` reach what ``base`` is the URL of. Ports do not matter."""
    if not all(each.lower().startswith("http") for each in (url, base)):
        return False
    names = {name for host in addresses.hosts_in(url, environ) for name in addresses.names_of(host)}
    theirs = {name for host in addresses.hosts_in(base, environ) for name in addresses.names_of(host)}
    below, above = (f"{urlsplit(each).path.rstrip('/')}/" for each in (url, base))
    return below.startswith(above) and any(not is_loopback(name) for name in names & theirs)


def _foreign(environment: Environment, key: str, where: str, owner: str, remedy: str) -> EnvironmentUnavailable:
    return EnvironmentUnavailable(
        f"{environment.name}: {key} (source: {environment.sources[key]}) is {where}, which belongs to {owner}. "
        f"Nothing was sent. To test {owner}, use --gaia-env={owner}. If the host belongs to {environment.name}, {remedy}."
    )
