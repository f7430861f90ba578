"""Raw evidence: what happened, before anything is judged. Plain frozen records that survive a file.

A recorded run is JSON Lines: one ``run`` line, one ``test`` line for every test as soon as it is complete, one ``end``
line. A run that was killed leaves a file that can be read; it only lacks its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from pytest_gaia.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1
"""version of the format; a reader refuses a newer one"""

PhaseOutcome = Literal["passed", "failed", "skipped", "not applicable"]
State = Literal["ran", "crashed", "not collected", "deselected", "never ran"]


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one phase failed; the fields are those of :class:`~pytest_gaia.policy.subjects.Symptom`."""

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


class Phase(msgspec.Struct, frozen=True, omit_defaults=True):
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


class Wire(msgspec.Struct, frozen=True, omit_defaults=True):
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


class TestRecord(msgspec.Struct, frozen=True, omit_defaults=True, tag="test", tag_field="line"):
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
        at_once = self.state == "ran" and self.attempt == 1 and not self.earlier
        return at_once and all(phase.outcome == "passed" for phase in self.phases)


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
    release: str = ""
    version: str = ""
    """of pytest-gaia"""


class RunEnd(msgspec.Struct, frozen=True, omit_defaults=True, tag="end", tag_field="line"):
    """How the run ended."""

    finished: str
    pytest_exit: int
    planned: int
    """tests that were selected"""
    complete: bool = False
    """whether all checks were selected that the environment runs by itself"""
    unavailable: str = ""
    """why the environment could not be tested, if it could not"""
    lost: tuple[str, ...] = ()
    """workers that ended before their time"""


Line: TypeAlias = RunStart | TestRecord | RunEnd


class RecordedRun(msgspec.Struct, frozen=True):
    """A recorded run, read back. ``end`` is missing where it was killed."""

    start: RunStart
    tests: tuple[TestRecord, ...]
    end: RunEnd | None


_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def encode(line: Line) -> bytes:
    """Return one line of a recorded run, with its line break."""
    return _ENCODER.encode(line) + b"\n"


def read_run(path: Path) -> RecordedRun:
    """Read a recorded run. A last line that was cut off is left out.

    Raises :class:`~pytest_gaia.errors.ConfigError`, naming file and line, for a file that is no recorded run.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    # What follows the last line break is a line that was being written when the run was killed.
    complete = content[: content.rfind(b"\n") + 1].splitlines()
    lines = [_decoded(path, number, text) for number, text in enumerate(complete, 1)]
    if not lines or not isinstance(lines[0], RunStart):
        raise ConfigError(f"{path}: not a recorded run: it does not begin with a run line (see --gaia-record).")
    if lines[0].schema > SCHEMA:
        raise ConfigError(f"{path}: written in format {lines[0].schema}, this pytest-gaia reads up to {SCHEMA}.")
    tests = tuple(line for line in lines if isinstance(line, TestRecord))
    return RecordedRun(lines[0], tests, next((line for line in lines if isinstance(line, RunEnd)), None))


def _decoded(path: Path, number: int, text: bytes) -> Line:
    try:
        return _DECODER.decode(text)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{path}:{number}: not a line of a recorded run: {error}") from None
