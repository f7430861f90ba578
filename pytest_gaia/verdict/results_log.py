"""Write the lines of a results log, and read a results log: only what a single run can have written."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from pytest_gaia.errors import ConfigError
from pytest_gaia.verdict.evidence import SCHEMA, Line, RecordedRun, RunEnd, RunStart, TestRecord

_CLOCK_SKEW = timedelta(minutes=5)
"""largest difference between the clocks of two machines"""

# Deeply nested JSON makes msgspec raise RecursionError.
_MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def encode(line: Line) -> bytes:
    """Return one line of a results log, with its line break."""
    return _ENCODER.encode(line) + b"\n"


def read_run(path: Path, now: datetime | None = None) -> RecordedRun:
    """Read a results log, without a truncated last line.

    Raises :class:`~pytest_gaia.errors.ConfigError` with file and line for an invalid file, and for a file that no single
    run can have written before ``now`` (default: the current time).
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    return decode_run(content, path, now)


def read_start(path: Path) -> RunStart:
    """Read the first line of a results log. Raises :class:`~pytest_gaia.errors.ConfigError` for an invalid file."""
    try:
        with path.open("rb") as file:
            return _start(path, file.readline())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def decode_run(content: bytes, path: Path, now: datetime | None = None) -> RecordedRun:
    """Decode the ``content`` of ``path`` like :func:`read_run`."""
    # A line without a line break was incomplete when the run was killed.
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
    """Return the time in ``text``, in UTC if it has no time zone. Raises ``ValueError``."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _check_times(path: Path, start: RunStart, end: RunEnd | None, now: datetime) -> None:
    try:
        started = time_of(start.started)
        finished = time_of(end.finished) if end else started
    except ValueError as error:
        raise ConfigError(f"{path}: invalid start or end time: {error}.") from None
    if max(started, finished) > now + _CLOCK_SKEW:
        raise ConfigError(
            f"{path}: the run has a time in the future (started {start.started}); the current time is "
            f"{now.isoformat(timespec='seconds')}."
        )
    if finished < started - _CLOCK_SKEW:
        raise ConfigError(f"{path}: finished ({finished.isoformat()}) before it started ({start.started}).")


def _amended(line: Line, end: RunEnd) -> bool:
    """Return whether ``line`` is an earlier end line of the same run."""
    return isinstance(line, RunEnd) and msgspec.structs.replace(line, held=end.held) == end


def _tests(path: Path, lines: Iterable[Line]) -> Iterator[TestRecord]:
    seen: dict[tuple[object, ...], int] = {}
    for number, line in enumerate(lines, 2):
        if not isinstance(line, TestRecord):
            raise ConfigError(f"{path}:{number}: a second run starts or ends here; a results log contains one run.")
        # If a worker crashes after a test, both the result and the crash are recorded.
        same = seen.setdefault((line.node, line.attempt, line.worker, line.state), number)
        if same != number:
            raise ConfigError(
                f"{path}:{number}: {line.node}, attempt {line.attempt} on worker {line.worker} is already in line {same}."
            )
        yield line


def _start(path: Path, text: bytes) -> RunStart:
    """Read the first line; check the version of the format first."""
    try:
        version = msgspec.json.decode(text, type=_Version).schema
    except _MALFORMED:
        if text:
            _decoded(path, 1, text)
        raise ConfigError(
            f"{path}: not a results log (see --gaia-report-log): the first line is not a run line."
        ) from None
    if version < 1:
        raise ConfigError(f"{path}: unknown format {version}; the first is 1.")
    if version > SCHEMA:
        raise ConfigError(f"{path}: format {version} is too new; this version of pytest-gaia reads up to {SCHEMA}.")
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
        return ConfigError(f"{path}:{number}: not a line of a results log: it is nested too deeply.")
    return ConfigError(f"{path}:{number}: not a line of a results log: {error}")
