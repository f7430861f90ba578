"""The log lines of the requests of failing tests, from the services whose logs this machine can read.

A log is searched for the request IDs and trace IDs that the requests carried, and for their span IDs. On the sandbox, the
logs are files; of Docker Compose, Docker returns them. Nothing here fails: a log that cannot be read is a note.
"""

from __future__ import annotations

import glob
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import NamedTuple, Protocol

from pytest_gaia.config.deployfiles.model import App
from pytest_gaia.config.environment import Environment
from pytest_gaia.errors import GaiaError
from pytest_gaia.secrets.redaction import LONGEST_KEY, masker
from pytest_gaia.verdict.evidence import TestRecord, Wire
from pytest_gaia.wording import counted, listed

TESTS = 20
"""failing tests whose log lines are searched"""
LINES = 20
"""lines of one service for one test"""
_RECORD = 16
"""lines of one log record, which may contain a traceback"""
_FIRST, _LAST = 3, _RECORD - 4
"""lines at the beginning and at the end of a longer record, without those between them"""
_WIDEST = 1000
"""characters of a line"""
_LAST_BYTES = 32 * 1024 * 1024
"""of a file of the sandbox"""
SECONDS = 15.0
"""time limit for the logs of all containers"""
_SKEW = 10.0
"""seconds by which the clock of a container may be behind"""
_SHORTEST = 8
"""characters of a request ID that a test has set; a shorter one is part of many lines"""
_WITHOUT = ("postgres", "nats", "redis", "amqp")
"""kinds of services whose logs know no request"""
_ID = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}|[0-9a-f]{16})(?![0-9A-Za-z])",
    re.IGNORECASE,
)
_TRACEBACK = "Traceback (most recent call last)"
_CHAINED = ("During handling of the above exception", "The above exception was the direct cause", _TRACEBACK)

Shown = Mapping[str, tuple[str, ...]]
"""service → its masked lines"""


class FoundLines(NamedTuple):
    """Log lines of the failing tests."""

    lines: Mapping[str, Shown]
    """node ID → service → lines"""
    notes: tuple[str, ...]
    """what could not be read, and which services log no ID, one sentence each"""


class _Log(Protocol):
    """Something that has logs of services."""

    @property
    def services(self) -> Sequence[str]: ...

    def read(self, service: str, take: Callable[[str, str], None]) -> None:
        """Pass the name of each source, such as a container, and each line of it to ``take``."""


def find_lines(
    records: Iterable[TestRecord],
    environment: Environment,
    directory: Path | None,
    mask: Callable[[str], str],
    waiting: Callable[[tuple[str, ...]], None],
) -> FoundLines:
    """Return the log lines of ``records``, which failed, masked with ``mask``. ``directory`` is the one of the sandbox.

    ``waiting`` gets the name of each service before its log is read.
    """
    sent = [each for each in records if each.trace_id and each.exchanges]
    searched = sent[:TESTS]
    log = _log_of(environment, directory, searched)
    if log is None or not searched:
        return FoundLines({}, ())
    ids = _Ids(searched)
    notes = [f"log lines are shown for the first {TESTS} failing tests only"] if len(sent) > TESTS else []
    silent: list[str] = []
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for service in log.services:
        search = _Search(ids)
        waiting((service,))
        try:
            log.read(service, search.take)
        except (GaiaError, OSError) as error:
            reason = str(error).partition("\n")[0].removesuffix(".")
            notes.append(mask(f"the log of {service} was not read: {reason}"))
            if isinstance(log, _Compose):
                # It is the same for the others, or takes as long.
                break
            continue
        if not search.records and any(each.receiver == service for test in searched for each in test.exchanges):
            silent.append(service)
        for node, text in search.shown(mask):
            found.setdefault(node, {})[service] = text
    if silent:
        notes.append(f"no log line of {listed(silent)} contains the request ID or the trace ID of a test that failed")
    return FoundLines(found, tuple(notes))


def as_text(lines: Shown) -> str:
    """Return the lines of all services as one text."""
    return "\n\n".join("\n".join((f"log of {service}:", *text)) for service, text in lines.items())


def _log_of(environment: Environment, directory: Path | None, records: Sequence[TestRecord]) -> _Log | None:
    if directory is not None:
        return _Sandbox(environment, directory)
    deployment = None if environment.sandbox else environment.deployment
    if deployment is None or deployment.source != "compose" or not records:
        return None
    apps = {app.service: deployment.app(app.service) for app in deployment.apps}
    since = min((each.began for each in records if each.began), default=time.time())
    return _Compose(environment, {name: app for name, app in apps.items() if app is not None}, since - _SKEW)


@dataclass(frozen=True, slots=True)
class _Sandbox:
    environment: Environment
    directory: Path

    @property
    def services(self) -> Sequence[str]:
        platform = self.environment.platform
        return [name for name in self.environment.services if platform[name].kind not in _WITHOUT]

    def read(self, service: str, take: Callable[[str, str], None]) -> None:
        # One file for each stack, and perhaps an older part of it.
        files = sorted(
            self.directory.glob(f"{glob.escape(service)}.*.log*"), key=lambda path: (path.stem, -len(path.name))
        )
        for file in files:
            if not file.name.startswith(f"{service}.migrate."):
                for line in _last_lines(file):
                    take(file.name, line)


def _last_lines(file: Path) -> Iterator[str]:
    with file.open("rb") as log:
        size = log.seek(0, 2)
        log.seek(max(0, size - _LAST_BYTES))
        for line in log:
            yield line.decode("utf-8", "replace").rstrip("\r\n")


@dataclass(frozen=True, slots=True)
class _Compose:
    environment: Environment
    apps: Mapping[str, App]
    since: float
    until: float = field(default_factory=lambda: time.monotonic() + SECONDS)

    @property
    def services(self) -> Sequence[str]:
        platform = self.environment.platform
        return [name for name in self.apps if name not in platform or platform[name].kind not in _WITHOUT]

    def read(self, service: str, take: Callable[[str, str], None]) -> None:
        # Only runs against Compose need it.
        from pytest_gaia.deploy.compose import tool

        app = self.apps[service]
        tool.logs(
            app.path,
            app.name,
            self.environment.name,
            lambda line: take(line.instance, line.message),
            since=datetime.fromtimestamp(self.since, UTC).isoformat(),
            # The lines that are shown are masked later; masking all would take longer than reading them.
            redact=str,
            deadline=max(1.0, self.until - time.monotonic()),
        )


class _Owner(NamedTuple):
    node: str
    failed: bool
    """whether it is an ID of the request that failed"""


class _Ids:
    """The IDs of the requests of tests, and their owners."""

    def __init__(self, records: Iterable[TestRecord]) -> None:
        self._owners: defaultdict[str, list[_Owner]] = defaultdict(list)
        given: dict[str, None] = {}
        for record in records:
            failed = _failed(record)
            for each in record.exchanges:
                owner = _Owner(record.node, each is failed)
                self._add(each.trace_id or record.trace_id, _Owner(record.node, False))
                self._add(each.request_id, owner)
                plain = each.request_id.replace("-", "")
                if _ID.fullmatch(each.request_id):
                    self._add(plain, owner)
                elif len(each.request_id) >= _SHORTEST:
                    given[each.request_id.lower()] = None
                if len(plain) == 32 and plain[:16] == record.trace_id[:16]:
                    # The span ID.
                    self._add(plain[16:], owner)
        names = "|".join(map(re.escape, given))
        self._given = re.compile(rf"(?<![\w-])(?:{names})(?![\w-])", re.IGNORECASE) if given else None

    def _add(self, text: str, owner: _Owner) -> None:
        owners = self._owners[text.lower()]
        if owner not in owners:
            owners.append(owner)

    def owners(self, line: str) -> dict[str, bool]:
        """Return the tests whose IDs ``line`` contains → whether it contains one of the request that failed."""
        found: dict[str, bool] = {}
        for pattern in (_ID, self._given):
            for match in pattern.finditer(line) if pattern is not None else ():
                for node, failed in self._owners.get(match[0].lower(), ()):
                    found[node] = found.get(node, False) or failed
        return found


def _failed(record: TestRecord) -> Wire | None:
    """Return the exchange that made the test fail, or else the last one before its failure."""
    phase = next((each for each in record.phases if each.failure is not None), None)
    before = record.exchanges[: phase.exchanges] if phase is not None else record.exchanges
    failure = phase.failure if phase is not None else None
    if failure is not None and failure.route is not None:
        alike = [each for each in before if (each.route, each.status) == (failure.route, failure.status)]
        before = tuple(alike) or before
    return before[-1] if before else None


class _Record(NamedTuple):
    lines: list[str]
    owners: Mapping[str, bool]


class _Search:
    """Searches the log of one service. A record may have several lines: those of a traceback follow the first one."""

    def __init__(self, ids: _Ids) -> None:
        self._ids = ids
        self._open: dict[str, _Record] = {}
        """source → the record that its next line may belong to"""
        self._in_traceback: dict[str, bool] = {}
        self.records: list[_Record] = []

    def take(self, source: str, line: str) -> None:
        """Search the next line of a source."""
        if (owners := self._ids.owners(line)) and not (source in self._open and line[:1].isspace()):
            self._open[source] = _Record([line], owners)
            self.records.append(self._open[source])
            self._in_traceback[source] = False
        elif source in self._open:
            if self._continues(source, line):
                self._open[source].lines.append(line)
            else:
                del self._open[source]

    def _continues(self, source: str, line: str) -> bool:
        if line.startswith(_CHAINED):
            self._in_traceback[source] = line.startswith(_TRACEBACK)
            return True
        if not line.strip() or line[0].isspace():
            return True
        # The first line of a traceback without indentation is its last one: the exception.
        was_open, self._in_traceback[source] = self._in_traceback[source], False
        return was_open

    def shown(self, mask: Callable[[str], str]) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield each test with its lines: those of the request that failed, and the latest others."""
        of_test: defaultdict[str, list[_Record]] = defaultdict(list)
        for record in self.records:
            for node in record.owners:
                of_test[node].append(record)
        for node, records in of_test.items():
            chosen, room = set[int](), LINES
            # The latest ones of the request that failed, then the latest others.
            for number in sorted(range(len(records)), key=lambda at: (not records[at].owners[node], -at)):
                room -= min(len(_filled(records[number].lines)), _RECORD)
                if room < 0 and chosen:
                    break
                chosen.add(number)
            left_out = len(records) - len(chosen)
            more = (f"… {counted(left_out, 'more record')} with an ID of the test",) if left_out else ()
            clear = masker({})
            shown = (_short(records[number].lines, clear) for number in sorted(chosen))
            yield node, (*more, *(_cut(mask(line)) for line in chain.from_iterable(shown)))


def _filled(lines: Sequence[str]) -> list[str]:
    return [line for line in lines if line.strip()]


def _short(lines: Sequence[str], clear: Callable[[str], str]) -> list[str]:
    """Return the lines of a record that are shown. ``clear`` masks them in order, because a private key has several lines."""
    kept = _filled(lines)
    if len(kept) <= _RECORD:
        return list(map(clear, kept))
    first = list(map(clear, kept[:_FIRST]))
    # A private key may begin in a line that is left out.
    last = list(map(clear, kept[_FIRST:][-_LAST - LONGEST_KEY :]))[-_LAST:]
    return [*first, f"  … {counted(len(kept) - _FIRST - _LAST, 'line')}", *last]


def _cut(line: str) -> str:
    return line if len(line) <= _WIDEST else f"{line[:_WIDEST]}…"
