"""Raw evidence: what happened, before anything is judged. Plain frozen records that survive a file.

A recorded run is JSON Lines: one ``run`` line, one ``test`` line for every test as soon as it is complete, one ``end``
line. A run that was killed leaves a file that can be read; it only lacks its end.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from pytest_gaia.config.tolerance import Tolerance
from pytest_gaia.errors import ConfigError
from pytest_gaia.expectations.subjects import Context

# gc=False: records refer to nothing that could refer back, and tens of thousands of them need not be looked through.
SCHEMA = 1
"""version of the format; a reader refuses a newer one"""

_CLOCK_SKEW = timedelta(minutes=5)
"""by how much the clocks of two machines may differ"""

PhaseOutcome = Literal["passed", "failed", "skipped", "not applicable"]
State = Literal["ran", "crashed", "not collected", "deselected", "never ran"]


class ServiceSeen(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One service of the environment."""

    service: str
    app: str
    """the deploy tool's name for it"""
    outcome: str = ""
    """what this run's deployment of it came to; empty where this run did not deploy it"""
    reason: str = ""
    """why the outcome is not plainly good, or why nothing could be observed"""
    version: int | None = msgspec.field(default=None, name="release")
    images: tuple[str, ...] = ()
    """what its machines run, each once: digests, or references where no digest is known"""
    machines: int | None = None
    """how many serve; None where it could not be observed"""
    passing: int = 0
    """health checks that pass"""
    checks: int = 0
    """health checks that are configured"""
    elapsed: float = 0.0
    """seconds that the deployment of it took"""


class DeploymentSeen(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What is deployed to the environment."""

    hook: str
    """how it was asked: fly, compose, command or plugin"""
    services: tuple[ServiceSeen, ...] = ()
    by_this_run: bool = False
    """whether this run has deployed (``--gaia-deploy``); otherwise it only observed"""
    started: str = ""
    """when this run began to deploy, ISO 8601 in UTC"""
    notes: tuple[str, ...] = ()
    """what people should know besides"""


class Failure(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """How one phase failed; the fields are those of :class:`~pytest_gaia.expectations.subjects.Symptom`."""

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
    nats: str | None = None


class Phase(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One phase of one test (or one subtest, which counts as a call)."""

    when: str
    """``setup``, ``call``, ``teardown``; ``collect`` for a file that was left out as a whole"""
    outcome: PhaseOutcome
    duration: float = 0.0
    """seconds"""
    failure: Failure | None = None
    reason: str = ""
    """why it was skipped or does not apply"""
    xfail: str | None = None
    """the reason of pytest's own xfail, where that excused the failure"""
    passed_against_xfail: bool = False
    """it passed, and pytest's own strict xfail made a failure of that"""
    subtest: str = ""


class Wire(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One exchange, without bodies."""

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
    """host and port that was asked, where that is not the address of the member (:attr:`ServiceHealth.address`)"""


_PASSED = frozenset(("passed",))
_OUTCOME = attrgetter("outcome")


class TestRecord(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag="test", tag_field="line"):
    """Everything that is known of one test."""

    __test__ = False

    node: str
    state: State
    phases: tuple[Phase, ...] = ()
    exchanges: tuple[Wire, ...] = ()
    markers: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    """the members of the platform that it says it needs"""
    core: bool = False
    attempt: int = 1
    earlier: tuple[Phase, ...] = ()
    """what failed in the attempts before this one"""
    worker: str = "main"
    message: str = ""
    """what is known of a test that did not run"""
    subject: str = ""
    """the node id as rules know it, where pytest's differs: in a run whose root folder is not the project's"""

    @property
    def clean(self) -> bool:
        """Whether it ran at the first attempt, and nothing of it failed or was left out."""
        if self.state != "ran" or self.attempt != 1 or self.earlier:
            return False
        # Every test of a run is asked: a generator costs more than the answer.
        return _PASSED.issuperset(map(_OUTCOME, self.phases))


class ServiceHealth(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One member of the platform, as it was seen before the first test."""

    service: str = msgspec.field(name="member")
    state: str
    """``ready``, ``woke``, ``degraded`` …, as the table of members shows it"""
    version: str | None = None
    """what it says of itself"""
    cold_start_ms: float | None = None
    """milliseconds from the first question to the first answer; no part of any latency of the run"""
    detail: str = ""
    """what else is worth knowing: why it is not ready, how it woke"""
    address: str = ""
    """host and port that its client connects to, without credentials; empty for one that is reached through the gateway"""


class RunStart(msgspec.Struct, frozen=True, omit_defaults=True, tag="run", tag_field="line"):
    """The circumstances of a run, known before its first test."""

    schema: int
    environment: str
    topology: str
    started: str
    """ISO 8601, UTC"""
    capabilities: tuple[str, ...] = ()
    """the members of the platform that were seen to answer"""
    rehearsal: bool = False
    deployed_version: str = msgspec.field(default="", name="release")
    version: str = ""
    """of pytest-gaia"""
    services: tuple[ServiceHealth, ...] = msgspec.field(name="members", default=())
    """what each member was seen to be before the first test"""
    deployment: DeploymentSeen | None = None
    """what was seen to be deployed before the first test; None where the environment has no deployment"""
    plugins: tuple[str, ...] = ()
    """pytest's plugins: distribution and version; the module alone of one that no distribution has brought"""
    loopback: bool = False
    """whether the project lets the environment be tested on this machine, though it comes after another one"""
    unknown: tuple[str, ...] = ()
    """members of the platform of which nothing shows whether they answer"""

    def context(self, environment: str, today: date, tolerance: Tolerance) -> Context:
        """Return the circumstances under which the run is judged as one of ``environment``."""
        return Context(environment, frozenset(self.capabilities), today, tolerance, frozenset(self.unknown))


class RunEnd(msgspec.Struct, frozen=True, omit_defaults=True, tag="end", tag_field="line"):
    """How the run ended."""

    finished: str
    pytest_exit: int
    planned: int
    """tests that were selected"""
    complete: bool = False
    """whether all checks were selected that the environment runs by itself"""
    partial: tuple[str, ...] | None = None
    """what was left out, one sentence each; empty for a full run; None in a record from before runs noted it"""
    full_required: bool = False
    """whether a partial run was not enough (``--gaia-require-full``)"""
    unavailable: str = ""
    """why the environment could not be tested, if it could not"""
    lost: tuple[str, ...] = ()
    """workers that ended before their time"""
    changed: tuple[str, ...] = ()
    """what was another at the end than before the first test, one sentence each: two releases, and evidence of neither"""
    undeployed: str = ""
    """why what this run was to deploy does not run, if it does not"""
    plan: str = ""
    """SHA-256 of the sealed plan; empty where none was sealed"""
    sealed: tuple[str, ...] = ()
    """the tests of that plan, all of which the run owes"""
    release: str = msgspec.field(default="", name="bundle")
    """id of the bundle that was tested, where it was said"""
    held: str = ""
    """why the run holds whatever its tests came to: what was found after its end; such a line follows the one without"""


Line: TypeAlias = RunStart | TestRecord | RunEnd


class RecordedRun(msgspec.Struct, frozen=True):
    """A recorded run, read back. ``end`` is missing where it was killed."""

    start: RunStart
    tests: tuple[TestRecord, ...]
    end: RunEnd | None


def tested_addresses(start: RunStart, tests: Iterable[TestRecord]) -> dict[str, tuple[str, ...]]:
    """Return member → every address at which it was tested: its own, and those that exchanges went to instead."""
    found = {seen.service: {seen.address: None} for seen in start.services if seen.address}
    for test in tests:
        for exchange in test.exchanges:
            if exchange.address:
                found.setdefault(exchange.service, {})[exchange.address] = None
    return {service: tuple(addresses) for service, addresses in found.items()}


# JSON that is nested too deeply ends msgspec's decoder with a RecursionError.
_MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def encode(line: Line) -> bytes:
    """Return one line of a recorded run, with its line break."""
    return _ENCODER.encode(line) + b"\n"


def read_run(path: Path, now: datetime | None = None) -> RecordedRun:
    """Read a recorded run. A last line that was cut off is left out.

    Raises :class:`~pytest_gaia.errors.ConfigError`, naming file and line, for a file that is no recorded run, or one that
    no single run can have written before ``now`` (this moment by default).
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    return decode_run(content, path, now)


def decode_run(content: bytes, path: Path, now: datetime | None = None) -> RecordedRun:
    """Do as :func:`read_run` with what was read from ``path``."""
    # What follows the last line break is a line that was being written when the run was killed.
    first, *rest = content[: content.rfind(b"\n") + 1].splitlines() or [b""]
    start = _start(path, first)
    lines = [_decoded(path, number, text) for number, text in enumerate(rest, 2)]
    end = lines[-1] if lines and isinstance(lines[-1], RunEnd) else None
    if end:
        lines.pop()
        while end.held and lines and _amended(lines[-1], end):
            lines.pop()
    _check_times(path, start, end, now or datetime.now(UTC))
    return RecordedRun(start, tuple(_tests(path, lines)), end)


def time_of(text: str) -> datetime:
    """Return the moment that a record names; without a zone it is UTC. Raises ``ValueError``."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _check_times(path: Path, start: RunStart, end: RunEnd | None, now: datetime) -> None:
    try:
        started = time_of(start.started)
        finished = time_of(end.finished) if end else started
    except ValueError as error:
        raise ConfigError(f"{path}: names no time that it started or finished at: {error}.") from None
    if max(started, finished) > now + _CLOCK_SKEW:
        raise ConfigError(
            f"{path}: of a run in the future: started {start.started}, and now it is {now.isoformat(timespec='seconds')}."
        )
    if finished < started - _CLOCK_SKEW:
        raise ConfigError(f"{path}: finished ({finished.isoformat()}) before it started ({start.started}).")


def _amended(line: Line, end: RunEnd) -> bool:
    """Whether ``line`` is the end of the same run, from before it was held."""
    return isinstance(line, RunEnd) and msgspec.structs.replace(line, held=end.held) == end


def _tests(path: Path, lines: Iterable[Line]) -> Iterator[TestRecord]:
    seen: dict[tuple[object, ...], int] = {}
    for number, line in enumerate(lines, 2):
        if not isinstance(line, TestRecord):
            raise ConfigError(f"{path}:{number}: a second run begins or ends here; a file holds one.")
        # A worker that crashes behind a test leaves both: what the test came to, and the crash.
        same = seen.setdefault((line.node, line.attempt, line.worker, line.state), number)
        if same != number:
            raise ConfigError(
                f"{path}:{number}: {line.node}, attempt {line.attempt} on worker {line.worker}: recorded before, in line "
                f"{same}. One run records it once."
            )
        yield line


def _start(path: Path, text: bytes) -> RunStart:
    """Read the first line, and the version of all others in it, before anything that a newer version may have changed."""
    try:
        version = msgspec.json.decode(text, type=_Version).schema
    except _MALFORMED:
        if text:
            _decoded(path, 1, text)
        raise ConfigError(
            f"{path}: not a recorded run: it does not begin with a run line (see --gaia-report-log)."
        ) from None
    if version < 1:
        raise ConfigError(f"{path}: written in format {version}, which there is not; the first one is 1.")
    if version > SCHEMA:
        raise ConfigError(f"{path}: written in format {version}, this pytest-gaia reads up to {SCHEMA}.")
    try:
        return msgspec.json.decode(text, type=RunStart)
    except _MALFORMED as error:
        raise _no_line(path, 1, error) from None


class _Version(msgspec.Struct, tag="run", tag_field="line"):
    schema: int


def _decoded(path: Path, number: int, text: bytes) -> Line:
    try:
        return _DECODER.decode(text)
    except _MALFORMED as error:
        raise _no_line(path, number, error) from None


def _no_line(path: Path, number: int, error: Exception) -> ConfigError:
    if isinstance(error, RecursionError):
        return ConfigError(f"{path}:{number}: not a recorded run: this line is nested too deeply to be one of it.")
    return ConfigError(f"{path}:{number}: not a line of a recorded run: {error}")
