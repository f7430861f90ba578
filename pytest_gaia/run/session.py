"""The state of one pytest run: its environment, its sandbox, and the exchanges of its tests."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pytest_gaia.clients.guard import WriteGuard
from pytest_gaia.clients.known_secrets import redactor_of, secrets_of
from pytest_gaia.clients.running import Recorder, RunningTest
from pytest_gaia.collection.needs import Needs
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import SANDBOX_APIS
from pytest_gaia.config.resolve import Options
from pytest_gaia.config.variables import credentials_in
from pytest_gaia.errors import NotSent, SandboxError
from pytest_gaia.expectations.apis import NO_APIS, Api, Apis, Baseline
from pytest_gaia.expectations.subjects import NOTHING_OBSERVED, Observed
from pytest_gaia.printable import colored, visible
from pytest_gaia.run.sandbox import Sandbox, bind
from pytest_gaia.sandbox.directories import create_run
from pytest_gaia.secrets.redaction import Redactor, secrets_around

if TYPE_CHECKING:
    from pytest_gaia.clients.limits import ServiceLimits
    from pytest_gaia.clients.network import NetworkGuard

_FILE = "observation.json"


class _Observation(msgspec.Struct):
    """Content of the file."""

    capabilities: list[str] = []
    unknown: list[str] = []
    outages: dict[str, str] = {}
    apis: dict[str, Api] = {}
    baseline: Baseline | None = None


@dataclass(slots=True)
class Handoff:
    """Passes the observed capabilities, and the operations of the services, from the controller to workers."""

    _directory: Path | None = None
    _hold: int | None = None
    """the lock of the folder, on the controller"""
    _observed: Observed | None = None
    _apis: Apis | None = None

    def open(self) -> Path:
        """On the controller: return the folder for the observation.

        The first call creates it and cleans up after killed runs. Raises ``OSError`` if no folder can be created.
        """
        if self._directory is None:
            from pytest_gaia.sandbox.leftovers import reclaim

            # A run against a deployed environment has no sandbox that does this.
            reclaim()
            self._directory, self._hold = create_run()
        return self._directory

    def attach(self, directory: Path) -> None:
        """On a worker: read the observation from ``directory``."""
        self._directory = directory

    def write(self, observed: Observed, apis: Apis = NO_APIS) -> None:
        """On the controller: write the observed capabilities and operations."""
        self._observed, self._apis = observed, apis
        if self._directory is not None:
            content = _Observation(
                sorted(observed.capabilities),
                sorted(observed.unknown),
                dict(observed.outages),
                dict(apis.now),
                apis.baseline,
            )
            draft = self._directory / f"{_FILE}.draft"
            draft.write_bytes(msgspec.json.encode(content))
            draft.replace(self._directory / _FILE)

    def read(self) -> Observed:
        """Return the observed capabilities; none if nothing was observed."""
        if self._observed is None:
            self._load()
        return self._observed or NOTHING_OBSERVED

    def apis(self) -> Apis:
        """Return the operations of the services; none if nothing was observed."""
        if self._apis is None:
            self._load()
        return self._apis or NO_APIS

    def _load(self) -> None:
        path = self._directory / _FILE if self._directory else None
        known = _Observation()
        if path and path.is_file():
            known = msgspec.json.decode(path.read_bytes(), type=_Observation)
        self._observed = Observed(frozenset(known.capabilities), frozenset(known.unknown), known.outages)
        self._apis = Apis(known.apis, known.baseline)

    def close(self) -> None:
        """On the controller: remove the folder."""
        if self._hold is not None and self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            os.close(self._hold)
            self._hold = None


MAIN = "main"
"""the sandbox stack of a run without workers, and of the controller"""


@dataclass(slots=True)
class Run:
    """One process of a run: the controller (or a run without workers), or one xdist worker."""

    options: Options
    declared: Environment
    """the resolved environment, without the addresses of a sandbox"""
    roots: tuple[Path, ...]
    """the suites' root folders"""
    process: str = MAIN
    """``main``, or the id of this xdist worker"""
    shuffle_seed: int | None = None
    """seed of the random order of the tests; None for pytest's order"""
    commit: str = ""
    """commit of the project, with ``-dirty`` if files differ from it; empty without git, and in a run without a plan"""
    sandbox: Sandbox | None = None
    needs: Needs | None = None
    """what the running test needs"""
    recorder: Recorder = field(default_factory=Recorder)
    handoff: Handoff = field(default_factory=Handoff)
    limits: dict[str, "ServiceLimits"] = field(default_factory=dict)
    """service → limits of its HTTP requests in this process"""
    network: "NetworkGuard | None" = None
    """the network guard of this process; None on the sandbox, which belongs to this run"""
    withheld: dict[str, str] = field(default_factory=dict, repr=False)
    """variables with credentials that were removed from this process"""
    late: list[str] = field(default_factory=list)
    """failures in this process that belong to no test"""
    _environment: Environment | None = None
    _guard: WriteGuard | None = None
    _redactor: Redactor | None = None

    @property
    def stack(self) -> Sandbox | None:
        """Old name of ``sandbox``."""
        return self.sandbox

    @property
    def is_worker(self) -> bool:
        """Whether this process runs tests for a controller."""
        return self.process != MAIN

    def withhold(self) -> None:
        """Remove variables with credentials where writing is forbidden, so that no child process gets them."""
        if not self.declared.writes:
            self.withheld = credentials_in(os.environ, self.declared.platform)
            for name in self.withheld:
                del os.environ[name]

    def give_back(self) -> None:
        """Add the removed variables again."""
        for name, value in self.withheld.items():
            os.environ.setdefault(name, value)

    @contextmanager
    def credentials(self) -> Iterator[None]:
        """Give deploy hooks the removed variables during the context, while no test runs."""
        self.give_back()
        try:
            yield
        finally:
            for name in self.withheld:
                os.environ.pop(name, None)

    def start(self) -> None:
        """Start the sandbox, if the run needs one, without waiting for it."""
        if self.sandbox is None and self.declared.sandbox:
            self.sandbox = Sandbox.start(
                self.declared.platform,
                services=self.declared.services,
                without=self.options.sandbox_without,
                fixed=self.options.sandbox_fixed,
                api=self.options.sandbox_api,
                faulty=self.options.sandbox_faults,
                folder=self.options.rootdir,
                ready=self.declared.timeouts.ready,
            )

    def sandbox_lines(self) -> list[str]:
        """Return what the header shows about the sandbox: another API than the current one, and which Redis it runs.

        Redis may be an imitation.
        """
        api = self.options.sandbox_api
        lines = [] if api == SANDBOX_APIS[0] else [f"gaia: the sandbox offers the API {api} of the Gaia Platform"]
        return [*lines, *self._redis_lines()]

    def _redis_lines(self) -> list[str]:
        platform = self.declared.platform
        described = [platform[name].sandbox for name in platform.of_kind("redis") if name in self.declared.services]
        if not self.declared.sandbox or not any(each is not None and not each.command for each in described):
            return []
        from pytest_gaia.sandbox.binaries import find_redis

        try:
            found = find_redis()
        except SandboxError:
            # The start of the sandbox reports it.
            return []
        return [f"gaia: Redis in the sandbox is {found.name}"]

    @property
    def environment(self) -> Environment:
        """The environment with all addresses. Waits for the sandbox at its first use.

        Raises :class:`~pytest_gaia.errors.SandboxError` if the sandbox does not start.
        """
        if self._environment is None:
            if self.sandbox is not None:
                self.sandbox.ready()
                self._environment = bind(self.declared, self.sandbox.stack(self.process))
                self.redactor.learn_all(secrets_of(self._environment))
            else:
                self._environment = self.declared
        return self._environment

    @property
    def guard(self) -> WriteGuard:
        """The write guard of this process."""
        if self._guard is None:
            self._guard = WriteGuard(self.environment, self.recorder.is_marked)
        return self._guard

    @property
    def redactor(self) -> Redactor:
        """The redactor, which masks the secrets of this run in all outputs.

        It exists before the sandbox, whose secrets are added when it is ready.
        """
        if self._redactor is None:
            self._redactor = redactor_of(self.declared)
            self._redactor.learn_all(secrets_around(self.options.environ))
            dotenv = self.options.project.dotenv
            self._redactor.learn_all(secrets_around({name: value for name, (value, _) in dotenv.items()}))
        return self._redactor

    def shown(self, text: str, *, colors: bool = False) -> str:
        """Return ``text`` for output: with masked secrets and visible control characters; ``colors`` keeps colors."""
        masked = self.redactor.text(text)
        return colored(masked) if colors else visible(masked)

    def observed(self) -> Observed:
        """Return the services that responded before the first test."""
        return self.handoff.read()

    def require(self, services: Iterable[str]) -> None:
        """Raise ``NotSent`` if the containers of one of ``services`` do not serve it."""
        outages = self.observed().outages
        for service in sorted(outages.keys() & set(services)) if outages else ():
            raise NotSent(service, f"cannot be tested: {outages[service]}")

    def reduced(self) -> dict[str, tuple[int, int]]:
        """Return service → limit of requests in flight before and after, for those that returned 429 in this process."""
        return {name: (each.before, each.most) for name, each in self.limits.items() if each.throttled}

    def guard_network(self) -> None:
        """Begin to find connections to services that no client opens. Raises ``SandboxError`` if there is no environment."""
        environment = self.environment
        if self.network is not None or (environment.sandbox and not environment.simulated):
            return
        from pytest_gaia.clients.network import NetworkGuard, OtherHosts
        from pytest_gaia.config.catalogue import Catalogue
        from pytest_gaia.config.ownership import hosts_of_others

        others = hosts_of_others(environment, Catalogue.of(self.options.project, self.options.environ))
        hosts = OtherHosts(others, environment.known_hosts)
        self.network = NetworkGuard(environment, hosts, self.recorder, self.options.rootdir)
        self.network.begin()

    def begin(self, node: str, needs: Needs, started: RunningTest | None = None) -> None:
        """Begin a test, or continue one that was ``started`` early. It may write only if it is marked."""
        self.needs = needs
        self.recorder.begin(started or RunningTest(node, writes=needs.writes, direct=bool(needs.direct)))

    def stop(self) -> None:
        """Stop the sandbox if this process started it, and delete the folder of the observation."""
        self.handoff.close()
        if self.sandbox is not None and not self.is_worker:
            self.sandbox.stop()
