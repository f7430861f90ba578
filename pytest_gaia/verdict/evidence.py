"""Results of a run as plain frozen records, and the results log.

A results log contains JSON Lines: one ``run`` line, one ``test`` line for each completed test, and one ``end`` line. The
log of a killed run has no ``end`` line, and is still readable.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from operator import attrgetter
from typing import Literal, Self, TypeAlias

import msgspec

from pytest_gaia.config.tolerance import Tolerance
from pytest_gaia.errors import ConfigError
from pytest_gaia.expectations.apis import Api, Apis, Baseline
from pytest_gaia.expectations.subjects import DIRECT, Context

# gc=False: records contain no reference cycles, and the collector need not scan tens of thousands of them.
SCHEMA = 2
"""version of the format; newer versions are refused"""
_WITH_EVIDENCE = 2
"""first version that records the statements and messages of a test"""

PhaseOutcome = Literal["passed", "failed", "skipped", "not applicable"]
_MOST_SHARDS = 1000

State = Literal["ran", "crashed", "not collected", "deselected", "never ran"]


class ServiceSeen(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One service of the environment."""

    service: str
    app: str
    """its name in the deploy tool"""
    outcome: str = ""
    """outcome of its deployment; empty if this run did not deploy it"""
    state: str = ""
    """its state before the first test, in the words of `gaia status`; empty if not observed"""
    reason: str = ""
    """reason of the outcome or of the state, or why nothing was observed"""
    version: int | None = msgspec.field(default=None, name="release")
    images: tuple[str, ...] = ()
    """images of its machines: digests, or references without a known digest"""
    machines: int | None = None
    """number of machines; None if not observed"""
    passing: int = 0
    """passing health checks"""
    checks: int = 0
    """configured health checks"""
    elapsed: float = 0.0
    """duration of its deployment, in seconds"""


class DeploymentSeen(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Deployment of the environment."""

    hook: str
    """fly, compose, command or plugin"""
    services: tuple[ServiceSeen, ...] = ()
    by_this_run: bool = False
    """whether this run deployed (``--gaia-deploy``) or only observed"""
    started: str = ""
    """start of the deployment, ISO 8601 in UTC"""
    notes: tuple[str, ...] = ()
    """further notes"""


class Failure(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Failure of one phase; the fields are those of :class:`~pytest_gaia.expectations.subjects.FailureDetails`."""

    kind: str
    exception: str = ""
    """class of the exception"""
    message: str = ""
    status: int | None = None
    service: str | None = None
    via: str | None = None
    route: str | None = None
    method: str | None = None
    sqlstate: str | None = None
    reason: str | None = msgspec.field(default=None, name="nats")


class Phase(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One phase of one test (or one subtest, which counts as a call)."""

    when: str
    """``setup``, ``call``, ``teardown``; ``collect`` for a skipped file"""
    outcome: PhaseOutcome
    duration: float = 0.0
    """seconds"""
    failure: Failure | None = None
    reason: str = ""
    """why the test was skipped or does not apply"""
    xfail: str | None = None
    """reason of pytest's xfail, if the failure is expected by it"""
    passed_against_xfail: bool = False
    """whether it passed, and failed because of xfail(strict=True)"""
    subtest: str = ""
    exchanges: int = 0
    """number of exchanges of the test until the end of this phase"""


def until_teardown(phases: Iterable[Phase]) -> int:
    """Return the number of exchanges of a test without those of its teardown."""
    return max((phase.exchanges for phase in phases if phase.when != "teardown"), default=0)


class Wire(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One HTTP exchange, without bodies."""

    method: str
    route: str
    service: str
    via: str
    elapsed: float
    """seconds"""
    status: int | None = None
    error: str | None = None
    attempt: int = 1
    address: str = ""
    """host and port of the request, if it differs from :attr:`ServiceHealth.address`"""
    request_id: str = ""
    """its header ``X-Request-ID``; like a trace ID, it is random, so nothing that compares runs reads it"""
    trace_id: str = ""
    """its trace ID, if it differs from :attr:`TestRecord.trace_id`"""

    @property
    def receiver(self) -> str:
        """The service that received the request."""
        return self.service if self.via == DIRECT else self.via


_PASSED = frozenset(("passed",))
_OUTCOME = attrgetter("outcome")


class TestRecord(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag="test", tag_field="line"):
    """Results of one test."""

    __test__ = False

    node: str
    state: State
    phases: tuple[Phase, ...] = ()
    exchanges: tuple[Wire, ...] = ()
    markers: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    """services that it requires"""
    core: bool = False
    attempt: int = 1
    earlier: tuple[Phase, ...] = ()
    """failed phases of earlier attempts"""
    worker: str = "main"
    message: str = ""
    """why the test did not run"""
    subject: str = ""
    """node ID in expectations, if it differs from pytest's because the root folders differ"""
    operations: tuple[str, ...] | None = None
    """operations that the test declares, such as ``orders: GET /orders``; None if it declares none"""
    not_sent: dict[str, str] = {}
    """services to which a request was not sent, with the reasons"""
    in_flight: int = 0
    """number of other tests that ran when it was started early"""
    offline: bool = False
    """whether it is marked as a test that talks to no service"""
    statements: int = 0
    """number of completed SQL statements and Redis commands of the test itself, until the end of its call"""
    messages: int = 0
    """number of NATS messages that the test itself sent or received until the end of its call"""
    of_fixtures: int = 0
    """number of completed exchanges of its fixtures"""
    fixtures: tuple[str, ...] = ()
    """fixtures that it uses and that completed an exchange, a statement or a message, if the test itself did not"""
    no_evidence: str = ""
    """why it has no evidence"""
    unread: tuple[str, ...] = ()
    """requests of whose responses it has read nothing"""
    trace_id: str = ""
    """trace ID of its requests: 32 hexadecimal digits; empty without a request"""
    began: float = 0.0
    """when its first request was sent, in seconds since the epoch; 0 without a request"""

    @property
    def has_evidence(self) -> bool:
        """Whether the test or a fixture that it uses completed an exchange, a statement or a message."""
        if self.statements or self.messages or self.fixtures:
            return True
        if not self.exchanges:
            return False
        called = self.exchanges[: until_teardown(self.phases)]
        return sum(each.status is not None for each in called) > self.of_fixtures

    @property
    def clean(self) -> bool:
        """Whether every phase passed at the first attempt."""
        if self.state != "ran" or self.attempt != 1 or self.earlier:
            return False
        # This runs for every test; a generator is slower.
        return _PASSED.issuperset(map(_OUTCOME, self.phases))


class ServiceHealth(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """State of one service before the first test."""

    service: str = msgspec.field(name="member")
    state: str
    """``ready``, ``started``, ``degraded`` …, as in the table of services"""
    version: str | None = None
    """version that the service reports"""
    cold_start_ms: float | None = None
    """milliseconds from the first request to the first response; not part of any latency"""
    detail: str = ""
    """why it is not ready, or how it started"""
    address: str = ""
    """host and port of its client, without credentials; empty if it is reached through another service"""


# Results logs without `services` are of a time when there were no others.
_FIRST_SERVICES = ("gateway", "auth", "asset", "chat", "nats", "postgres")


class PlatformSeen(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The description of the services, at the time of the run."""

    name: str = ""
    digest: str = ""
    """SHA-256 of the description, ``sha256:…``"""


class Shard(msgspec.Struct, frozen=True, order=True):
    """One of ``count`` shards of a run."""

    index: int
    """1 to ``count``"""
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the shard that ``text`` names, such as ``2/5``. Raises :class:`~pytest_gaia.errors.ConfigError`."""
        found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
        if found is None:
            raise ConfigError(f"--gaia-shard={text}: not a shard. Write K/N, such as 2/5 for the second of five.")
        index, count = int(found[1]), int(found[2])
        if not 1 <= count <= _MOST_SHARDS:
            raise ConfigError(f"--gaia-shard={text}: a run has 1 to {_MOST_SHARDS} shards.")
        if not 1 <= index <= count:
            raise ConfigError(f"--gaia-shard={text}: there is no shard {index} of {count}; the first is 1/{count}.")
        return cls(index, count)

    @property
    def only(self) -> str:
        """A sentence for what a run left out because it is a shard."""
        return f"only shard {self} was selected"

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


class RunStart(msgspec.Struct, frozen=True, omit_defaults=True, tag="run", tag_field="line"):
    """Circumstances of a run, known before its first test."""

    schema: int
    environment: str
    topology: str
    """``gateway-only`` if the entry was the only HTTP service, otherwise ``microservices``; for older readers"""
    started: str
    """ISO 8601, UTC"""
    capabilities: tuple[str, ...] = ()
    """reachable services"""
    simulated: bool = msgspec.field(name="rehearsal", default=False)  # glossary: ok
    deployed_version: str = msgspec.field(default="", name="release")
    version: str = ""
    """of pytest-gaia"""
    services: tuple[ServiceHealth, ...] = msgspec.field(name="members", default=())
    """state of each service before the first test"""
    deployment: DeploymentSeen | None = None
    """deployment before the first test; None without a deployment"""
    plugins: tuple[str, ...] = ()
    """plugins of pytest: distribution and version, or the module if it belongs to no distribution"""
    loopback: bool = False
    """whether ``loopback = true`` allows tests of the environment on this machine"""
    unknown: tuple[str, ...] = ()
    """services whose state is unknown"""
    platform: PlatformSeen | None = None
    """description of the services; None in older results logs"""
    kinds: dict[str, str] = msgspec.field(name="services", default={})
    """service → its kind, in the order of declaration; empty in older results logs"""
    apis: dict[str, Api] = {}
    """service → the operations that this release offers; without services whose document is not known"""
    baseline: Baseline | None = None
    """operations of the last accepted release; None if there is none"""
    concurrency: int = 1
    """limit of concurrent tests in each process"""
    no_known_bugs: bool = False
    """whether the known bugs of the sandbox were fixed (``--gaia-sandbox-no-known-bugs``)"""
    shuffle_seed: int | None = None
    """seed of the random order of the tests; None without ``--gaia-shuffle``"""
    shard: Shard | None = None
    """which part of the tests it had (``--gaia-shard``); None if not a part"""
    expectations_digest: str = msgspec.field(name="policy", default="")
    """SHA-256 of the expectations; empty without a plan"""
    commit: str = ""
    """commit of the project, with a digest of the changes of tracked files; empty without a plan"""

    @property
    def order(self) -> str:
        """How the tests ran, if it was not one after another in pytest's order; empty otherwise."""
        words = [f"{self.concurrency} concurrent tests"] if self.concurrency > 1 else []
        words += [f"random order (--gaia-shuffle={self.shuffle_seed})"] if self.shuffle_seed is not None else []
        return ", ".join(words)

    def context(self, environment: str, today: date, tolerance: Tolerance) -> Context:
        """Return the context in which the run is evaluated for ``environment``."""
        known = frozenset(self.kinds or _FIRST_SERVICES)
        apis = Apis(self.apis, self.baseline)
        return Context(
            environment,
            frozenset(self.capabilities),
            today,
            tolerance,
            frozenset(self.unknown),
            known,
            apis,
            self.schema >= _WITH_EVIDENCE,
        )


class RunEnd(msgspec.Struct, frozen=True, omit_defaults=True, tag="end", tag_field="line"):
    """How the run ended."""

    finished: str
    pytest_exit: int
    planned: int
    """tests that were selected"""
    complete: bool = False
    """whether all default tests of the environment were selected"""
    partial: tuple[str, ...] | None = None
    """what was not selected, one sentence each; empty for a full run; None in older results logs"""
    full_required: bool = False
    """whether a full run was required (``--gaia-require-full``)"""
    unavailable: str = ""
    """why the environment could not be tested"""
    lost: tuple[str, ...] = ()
    """workers that ended early"""
    late: tuple[str, ...] = ()
    """failures that were noticed after their tests had been reported"""
    changed: tuple[str, ...] = ()
    """differences between the first test and the end, one sentence each"""
    network: tuple[str, ...] = ()
    """connections that no client opened and what was not monitored, one sentence each"""
    undeployed: str = ""
    """why the deployment of this run does not run"""
    plan: str = ""
    """SHA-256 of the test plan; empty without a plan"""
    required: tuple[str, ...] = msgspec.field(name="sealed", default=())  # glossary: ok
    """required tests of the plan"""
    release: str = msgspec.field(default="", name="bundle")
    """ID of the tested release, if it was given"""
    shards: dict[str, str] = {}
    """in a merged run, shard → SHA-256 of its results log"""
    deadline: float = 0.0
    """seconds after which the run was interrupted (``--gaia-deadline``); 0 if it was not"""
    held: str = ""
    """problem found after the end, which makes the verdict HOLD; such a line follows the one without it"""

    def narrowed(self, shard: Shard | None) -> tuple[str, ...]:
        """Return what was not selected, other than because the run is a ``shard``; one sentence each."""
        only = shard.only if shard else None
        return tuple(each for each in self.partial or () if each != only)


Line: TypeAlias = RunStart | TestRecord | RunEnd


class RecordedRun(msgspec.Struct, frozen=True):
    """Contents of a results log. ``end`` is None if the run was killed."""

    start: RunStart
    tests: tuple[TestRecord, ...]
    end: RunEnd | None


def tested_addresses(start: RunStart, others: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Return the addresses at which each service was tested; ``others`` are those of exchanges that differ."""
    found = {seen.service: {seen.address: None} for seen in start.services if seen.address}
    for service, addresses in others.items():
        found.setdefault(service, {}).update(dict.fromkeys(addresses))
    return {service: tuple(addresses) for service, addresses in found.items()}
