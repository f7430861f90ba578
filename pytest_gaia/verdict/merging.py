"""Merge the results of all shards of a run into one run, whose verdict covers all of them.

A set of results logs that is not exactly one complete run of each shard of one test plan makes the verdict HOLD.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from pytest_gaia.config.environment import SANDBOX
from pytest_gaia.config.tolerance import Tolerance
from pytest_gaia.errors import ConfigError
from pytest_gaia.expectations.expectation import ExpectationSet
from pytest_gaia.files.writing import PRIVATE, write_file
from pytest_gaia.verdict.evaluated import EvaluatedRun, Evaluation
from pytest_gaia.verdict.evidence import RunEnd, RunStart, ServiceHealth, Shard, TestRecord
from pytest_gaia.verdict.plan import Plan, assign
from pytest_gaia.verdict.report import expectations_digest
from pytest_gaia.verdict.results_log import CLOCK_SKEW, ResultsLog, encode, time_of
from pytest_gaia.wording import counted

_OLDEST = timedelta(hours=24)
"""longest time from the creation of a plan to the start of a shard, because expectations expire by the date of the plan"""
_NAMED = 3
"""most tests that a message lists"""
_SHOWN = 40
"""most characters of a value in a message"""
_BEFORE = ("not collected", "deselected")
"""states of tests that are recorded before the first test, by each shard"""
_READY = "ready"
_PRECEDENCE = (4, 3, 2, 1)
"""exit codes of pytest that a merged run keeps, the most important first"""

T = TypeVar("T")


@dataclass(slots=True)
class _Part:
    """The results log of one shard."""

    path: Path
    start: RunStart
    shard: Shard
    end: RunEnd | None = None
    digest: str = ""
    """SHA-256 of the file"""

    @property
    def name(self) -> str:
        return f"shard {self.shard} ({self.path})"


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged run."""

    evaluated: EvaluatedRun
    start: RunStart
    end: RunEnd
    _lines: Sequence[tuple[Path, int, int]]
    """file, offset and length of the line of each test, in bytes"""

    def write_results_log(self, path: Path) -> None:
        """Write the results log of the merged run, whole or not at all. Raises ``OSError``."""
        files = {name: os.open(name, os.O_RDONLY) for name in {name for name, _, _ in self._lines}}
        try:
            tests = b"".join(os.pread(files[name], length, offset) for name, offset, length in self._lines)
        finally:
            for each in files.values():
                os.close(each)
        write_file(path, encode(self.start) + tests + encode(self.end), mode=PRIVATE)


class Merge:
    """Merges the results logs of the shards of one plan."""

    def __init__(self, plan: Plan, expectations: ExpectationSet, tolerance: Tolerance) -> None:
        """``tolerance`` is that of the environment of the plan. Raises ``ConfigError`` for a plan of an older version."""
        if not plan.created:
            raise ConfigError("the plan was created by an older version; create it again: pytest --gaia-plan-out=FILE")
        self._plan = plan
        self._expectations = expectations
        self._tolerance = tolerance
        self._problems: list[str] = []
        self._lines: list[tuple[Path, int, int]] = []
        self._keys: list[int] = []
        """place of each evaluated test in the order of the plan"""
        self._line = (Path(), 0, 0)

    def of(self, paths: Sequence[Path]) -> Merged:
        """Merge the results logs at ``paths``.

        Problems of the set, each with the name of the shard, make the verdict HOLD. Raises ``ConfigError`` if a file is not
        a results log, or if there is no results log of a shard.
        """
        if expectations_digest(self._expectations.expectations) != self._plan.expectations_digest:
            self._problems.append("the expectations of this project are not those of the plan")
        parts = self._chosen([part for path in paths if (part := self._opened(path)) is not None])
        if not parts:
            raise ConfigError(f"there is nothing to merge: {'; '.join(self._problems)}.")
        self._compare(parts)
        reference = parts[0].start
        context = reference.context(self._plan.environment, self._plan.day, self._tolerance)
        evaluation = Evaluation(self._expectations, context)
        self._read(parts, evaluation)
        start, end = self._joined_start(parts), self._joined_end(parts)
        order = sorted(range(len(self._keys)), key=self._keys.__getitem__)
        return Merged(evaluation.finish(start, end, order), start, end, [self._lines[each] for each in order])

    def _opened(self, path: Path) -> _Part | None:
        try:
            if path.stat().st_size == 0:
                self._problems.append(f"{path}: is empty: this shard did not begin")
                return None
        except OSError as error:
            self._problems.append(f"{path}: cannot be read: {error.strerror}")
            return None
        start = ResultsLog(path).start
        if start.shard is None:
            self._problems.append(f"{path}: is not of a shard (pytest --gaia-shard)")
            return None
        return _Part(path, start, start.shard)

    def _chosen(self, parts: Sequence[_Part]) -> list[_Part]:
        """Return one part of each shard, in order, of a set with the most frequent number of shards."""
        count = _most_frequent(part.shard.count for part in parts) if parts else 0
        found: dict[int, _Part] = {}
        for part in parts:
            index = part.shard.index
            if part.shard.count != count:
                self._problems.append(f"{part.name}: is one of {part.shard.count} shards, the others of {count}")
            elif not 1 <= index <= count:
                self._problems.append(f"{part.name}: there is no such shard")
            elif index in found:
                self._problems.append(f"shard {part.shard} is there twice: {found[index].path}, {part.path}")
            else:
                found[index] = part
        self._problems += (f"shard {index}/{count} is missing" for index in range(1, count + 1) if index not in found)
        return [found[index] for index in sorted(found)]

    def _compare(self, parts: list[_Part]) -> None:
        """Find shards that ran under other circumstances than the plan, or than most shards; sort them last."""
        plan = self._plan
        differs: set[int] = set()
        wanted: tuple[tuple[str, str, Callable[[RunStart], str]], ...] = (
            ("environment", plan.environment, lambda start: start.environment),
            ("commit", plan.commit, lambda start: start.commit),
            ("set of expectations", plan.expectations_digest, lambda start: start.expectations_digest),
        )
        for name, planned, value in wanted:
            for part in parts:
                if (own := value(part.start)) != planned:
                    self._problems.append(
                        f"{part.name}: ran with another {name}: {_short(own) or 'none'}, not {_short(planned) or 'none'}"
                    )
                    differs.add(part.shard.index)
        for what, read in _SAME:
            values = [msgspec.json.encode(read(part.start), order="deterministic").decode() for part in parts]
            usual = _most_frequent(values)
            for part, own in zip(parts, values, strict=True):
                if own != usual:
                    self._problems.append(
                        f"{part.name}: ran with {what} {_short(own)}, other shards with {_short(usual)}"
                    )
                    differs.add(part.shard.index)
        for part in parts:
            self._check_time(part)
        parts.sort(key=lambda part: (part.shard.index in differs, part.shard.index))

    def _check_time(self, part: _Part) -> None:
        try:
            after = time_of(part.start.started) - time_of(self._plan.created)
        except ValueError:
            # Reading the log reports it.
            return
        if after < -CLOCK_SKEW:
            self._problems.append(f"{part.name}: started before the plan was created: {part.start.started}")
        if after > _OLDEST:
            self._problems.append(f"{part.name}: started more than 24 hours after the plan was created")

    def _read(self, parts: Iterable[_Part], evaluation: Evaluation) -> None:
        places = {node: place for place, node in enumerate(self._plan.nodes)}
        assigned: Mapping[str, int] | None = None
        by: dict[str, _Part] = {}
        for part in parts:
            if assigned is None:
                assigned = assign(self._plan.tests, part.shard.count)
            seen: set[str] = set()
            foreign: list[str] = []
            for test in self._tests(part):
                node = test.node
                if test.state in _BEFORE:
                    if by.setdefault(f"{test.state} {node}", part) is part:
                        self._take(test, evaluation, -1)
                    continue
                if assigned.get(node, part.shard.index) != part.shard.index or by.setdefault(node, part) is not part:
                    foreign.append(node)
                seen.add(node)
                self._take(test, evaluation, places.get(node, len(places)))
            wanted = [node for node, index in assigned.items() if index == part.shard.index]
            lacking = [node for node in wanted if node not in seen]
            self._problems += (f"{part.name}: {each}" for each in self._of_tests(lacking, len(wanted), foreign))

    def _tests(self, part: _Part) -> Iterator[TestRecord]:
        try:
            content = part.path.read_bytes()
            part.digest = hashlib.sha256(content).hexdigest()
            log = ResultsLog(part.path, content=content)
            for test in log:
                self._line = (part.path, *log.line)
                yield test
        except OSError as error:
            self._problems.append(f"{part.name}: cannot be read: {error.strerror}")
        except ConfigError as error:
            self._problems.append(f"shard {part.shard}: {str(error).rstrip('.')}")
        else:
            part.end = log.end and replace(log.end, partial=log.end.narrowed(part.shard))
            self._problems += (f"{part.name}: {problem}" for problem in self._of_end(part.shard, log.end))

    def _take(self, test: TestRecord, evaluation: Evaluation, key: int) -> None:
        evaluation.add(test)
        self._lines.append(self._line)
        self._keys.append(key)

    def _of_end(self, shard: Shard, end: RunEnd | None) -> Iterator[str]:
        plan = self._plan
        if end is None:
            yield "the run was killed, or the file is truncated"
            return
        if end.plan != plan.digest:
            yield f"ran with another test plan: {_short(end.plan) or 'none'}, not {_short(plan.digest)}"
        elif end.required != plan.of_shard(shard):
            yield "has other required tests than the plan"
        if end.release != plan.release:
            yield f"tested another release: {_short(end.release) or 'none'}, not {_short(plan.release) or 'none'}"
        if end.held:
            yield end.held

    def _of_tests(self, lacking: Sequence[str], wanted: int, foreign: Sequence[str]) -> Iterator[str]:
        if lacking:
            yield f"lacks {len(lacking)} of its {counted(wanted, 'test')}: {_some(lacking)}"
        if foreign:
            yield f"has {counted(len(foreign), 'test')} of another shard: {_some(foreign)}"

    def _joined_start(self, parts: Sequence[_Part]) -> RunStart:
        """Return the first line of the merged run: that of a usual shard, with the earliest start."""
        starts = [part.start for part in parts]
        seeds = {start.shuffle_seed for start in starts}
        return replace(
            starts[0],
            started=min(start.started for start in starts),
            services=_joined_services(starts),
            shard=None,
            shuffle_seed=starts[0].shuffle_seed if len(seeds) == 1 else None,
        )

    def _joined_end(self, parts: Sequence[_Part]) -> RunEnd:
        ends = [(part, part.end) for part in parts if part.end is not None]
        codes = {end.pytest_exit for _, end in ends}

        def joined(read: Callable[[RunEnd], Iterable[str]]) -> tuple[str, ...]:
            """Return the sentences of all shards, with the shard if not all have it."""
            found = [(part.shard, sentence) for part, end in ends for sentence in read(end)]
            count = Counter(sentence for _, sentence in found)
            return tuple(
                dict.fromkeys(
                    sentence if count[sentence] == len(parts) else f"shard {shard}: {sentence}"
                    for shard, sentence in found
                )
            )

        partial = joined(lambda end: end.partial or ())
        return RunEnd(
            finished=max((end.finished for _, end in ends), default=parts[0].start.started),
            pytest_exit=next((code for code in _PRECEDENCE if code in codes), 0),
            planned=sum(end.planned for _, end in ends),
            complete=not partial and len(ends) == len(parts),
            partial=partial,
            full_required=any(end.full_required for _, end in ends),
            unavailable="; ".join(joined(lambda end: [end.unavailable] if end.unavailable else [])),
            lost=joined(lambda end: end.lost),
            late=joined(lambda end: end.late),
            changed=joined(lambda end: end.changed),
            network=joined(lambda end: end.network),
            undeployed="; ".join(joined(lambda end: [end.undeployed] if end.undeployed else [])),
            plan=self._plan.digest,
            required=self._plan.nodes,
            release=self._plan.release,
            shards={str(part.shard): part.digest for part in sorted(parts, key=lambda part: part.shard)},
            deadline=max((end.deadline for _, end in ends), default=0.0),
            held="; ".join(dict.fromkeys(self._problems)),
        )


def _addresses(start: RunStart) -> object:
    # Each sandbox has its own.
    is_sandbox = start.simulated or start.environment == SANDBOX
    return None if is_sandbox else {each.service: each.address for each in start.services}


def _deployed(start: RunStart) -> object:
    seen = start.deployment.services if start.deployment else ()
    return {each.service: each.images for each in seen}


_SAME: tuple[tuple[str, Callable[[RunStart], object]], ...] = (
    ("the addresses", _addresses),
    ("the images", _deployed),
    ("the version", lambda start: [start.deployed_version, {each.service: each.version for each in start.services}]),
    ("the reachable services", lambda start: [start.capabilities, start.unknown, start.topology]),
    ("the services", lambda start: [start.kinds, start.platform]),
    ("the API", lambda start: start.apis),
    ("the baseline", lambda start: start.baseline),
    ("pytest-gaia", lambda start: [start.version, start.schema]),
    ("the plugins", lambda start: start.plugins),
    ("concurrency", lambda start: start.concurrency),
    ("simulation or loopback", lambda start: [start.simulated, start.loopback]),
)
"""what all shards must have in common"""


def _joined_services(starts: Sequence[RunStart]) -> tuple[ServiceHealth, ...]:
    """Return the state of each service, that of a shard where it was not ready if there is one."""
    found: dict[str, ServiceHealth] = {}
    for start in starts:
        for each in start.services:
            if each.service not in found or (found[each.service].state == _READY != each.state):
                found[each.service] = each
    return tuple(found.values())


def _most_frequent(values: Iterable[T]) -> T:
    return Counter(values).most_common(1)[0][0]


def _short(text: str) -> str:
    return f"{text[:_SHOWN]}…" if len(text) > _SHOWN else text


def _some(nodes: Sequence[str]) -> str:
    rest = len(nodes) - _NAMED
    return ", ".join(nodes[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
