"""Write the lines of a results log, and read a results log: only what a single run can have written."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import msgspec

from pytest_gaia.errors import ConfigError
from pytest_gaia.verdict.evidence import SCHEMA, Line, RecordedRun, RunEnd, RunStart, TestRecord

CLOCK_SKEW = timedelta(minutes=5)
"""largest difference between the clocks of two machines"""

# Deeply nested JSON makes msgspec raise RecursionError.
_MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_TAG = len('{"line": "run"')
_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def encode(line: Line) -> bytes:
    """Return one line of a results log, with its line break."""
    return _ENCODER.encode(line) + b"\n"


class ResultsLog:
    """A results log that is read line by line, so that its length hardly matters.

    Iterate once over its tests; afterwards, :attr:`end` is known. A truncated last line is left out. Raises
    :class:`~pytest_gaia.errors.ConfigError` with file and line for an invalid file, and for a file that no single run can
    have written before ``now`` (default: the current time).
    """

    def __init__(self, path: Path, now: datetime | None = None, *, content: bytes | None = None) -> None:
        """``content`` is that of the file, if it has been read already."""
        self.path = path
        self._now = now
        self._content = content
        with self._opened() as file:
            self.start: RunStart = _start(path, _whole(file.readline()))
        self.end: RunEnd | None = None
        """None if the run was killed"""

    def __iter__(self) -> Iterator[TestRecord]:
        """Yield the tests."""
        seen: dict[tuple[object, ...], int] = {}
        ended = 0
        decode = _DECODER.decode
        with self._opened() as file:
            file.readline()
            for number, text in enumerate(file, 2):
                if not text.endswith(b"\n"):
                    break
                try:
                    line = decode(text)
                except _MALFORMED as error:
                    raise _no_line(self.path, number, error) from None
                # This runs for every test, so the usual case comes first.
                if type(line) is TestRecord and self.end is None:
                    # If a worker crashes after a test, both the result and the crash are recorded.
                    same = seen.setdefault((line.node, line.attempt, line.worker, line.state), number)
                    if same != number:
                        raise ConfigError(
                            f"{self.path}:{number}: {line.node}, attempt {line.attempt} on worker {line.worker} is "
                            f"already in line {same}."
                        )
                    yield line
                elif isinstance(line, RunEnd) and (self.end is None or (line.held and _amended(self.end, line))):
                    self.end = line
                    ended = ended or number
                else:
                    raise _second_run(self.path, ended or number)
        _check_times(self.path, self.start, self.end, self._now or datetime.now(UTC))

    def whole(self) -> RecordedRun:
        """Read all tests into memory."""
        tests = tuple(self)
        return RecordedRun(self.start, tests, self.end)

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        if self._content is not None:
            yield BytesIO(self._content)
            return
        try:
            with open_log(self.path) as file:
                yield file
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be read: {error.strerror}") from None


def open_log(path: Path) -> BinaryIO:
    """Open a results log. Raises ``OSError``, and ``ConfigError`` for what can be read only once."""
    # To open a pipe without a writer would never end.
    if path.is_fifo() or path.is_char_device():
        raise ConfigError(f"{path}: not a results log (see --gaia-report-log): a pipe or device cannot be read twice.")
    return path.open("rb")


def read_run(path: Path, now: datetime | None = None) -> RecordedRun:
    """Read a results log into memory; raises what :class:`ResultsLog` raises."""
    return ResultsLog(path, now).whole()


def read_start(path: Path) -> RunStart:
    """Read the first line of a results log. Raises :class:`~pytest_gaia.errors.ConfigError` for an invalid file."""
    return ResultsLog(path).start


def decode_run(content: bytes, path: Path, now: datetime | None = None) -> RecordedRun:
    """Decode the ``content`` of ``path`` like :func:`read_run`."""
    return ResultsLog(path, now, content=content).whole()


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
    if max(started, finished) > now + CLOCK_SKEW:
        raise ConfigError(
            f"{path}: the run has a time in the future (started {start.started}); the current time is "
            f"{now.isoformat(timespec='seconds')}."
        )
    if finished < started - CLOCK_SKEW:
        raise ConfigError(f"{path}: finished ({finished.isoformat()}) before it started ({start.started}).")


def _amended(earlier: RunEnd, end: RunEnd) -> bool:
    """Return whether ``earlier`` is an earlier end line of the same run."""
    return msgspec.structs.replace(earlier, held=end.held) == end


def _second_run(path: Path, number: int) -> ConfigError:
    return ConfigError(f"{path}:{number}: a second run starts or ends here; a results log contains one run.")


def _whole(line: bytes) -> bytes:
    # A line without a line break was incomplete when the run was killed.
    return line[:-1] if line.endswith(b"\n") else b""


def _start(path: Path, text: bytes) -> RunStart:
    """Read the first line; check the version of the format first."""
    try:
        version = msgspec.json.decode(text, type=_Version).schema
    except _MALFORMED as error:
        if b'"run"' in text[:_TAG]:
            raise _no_line(path, 1, error) from None
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


def _no_line(path: Path, number: int, error: Exception) -> ConfigError:
    if isinstance(error, RecursionError):
        return ConfigError(f"{path}:{number}: not a line of a results log: it is nested too deeply.")
    return ConfigError(f"{path}:{number}: not a line of a results log: {error}")
