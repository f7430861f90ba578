"""Merge the results of all shards of a run into one run, whose verdict covers all of them.

A set of results logs that is not exactly one complete run of each shard of one test plan makes the verdict HOLD.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from pytest_gaia.config.tolerance import Tolerance
from pytest_gaia.errors import ConfigError
from pytest_gaia.expectations.expectation import ExpectationSet
from pytest_gaia.files.writing import PRIVATE, write_file
from pytest_gaia.verdict.evaluated import EvaluatedRun, Evaluation, interruption
from pytest_gaia.verdict.evidence import RunEnd, RunStart, ServiceHealth, Shard, TestRecord
from pytest_gaia.verdict.plan import COMMON, LONGEST_HOURS, NAMED, Plan, assign, short
from pytest_gaia.verdict.report import expectations_digest
from pytest_gaia.verdict.results_log import CLOCK_SKEW, ResultsLog, encode, open_log, time_of
from pytest_gaia.wording import counted, listed

_BEFORE = ("not collected", "deselected")
"""states of tests that are recorded before the first test, by each shard"""
_PLANNED = (
    ("environment", "environment"),
    ("commit", "commit"),
    ("set of expectations", "expectations_digest"),
)
"""what a shard has in common with its plan: its name in messages, and its attribute"""
_READY = "ready"
_BEGINNING = b'{"line":"run"'

T = TypeVar("T")


@dataclass(slots=True)
class _Part:
    """The results log of one shard."""

    path: Path
    start: RunStart
    shard: Shard
    end: RunEnd | None = None
    content: bytes = b""
    """of the file, if the merged run will be written"""
    digest: str = ""
    """SHA-256 of the content"""
    is_reported: bool = False
    """whether the file cannot be read to its end, for a reason that has been reported"""
    positions: Sequence[int] = ()
    """positions in the file of the tests in the merged run"""
    changed: dict[int, TestRecord] = field(default_factory=dict)
    """position of a test in the file → the test in the merged results log, if it is another one"""

    @property
    def name(self) -> str:
        return f"shard {self.shard} ({self.path})"

    def take_lines(self) -> list[bytes]:
        """Return the lines of the tests in the merged run, and drop the content."""
        lines = BytesIO(self.content).readlines()[1:]
        self.content = b""
        for position, test in self.changed.items():
            lines[position] = encode(test)
        return [lines[position] for position in self.positions]


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged run."""

    evaluated: EvaluatedRun
    start: RunStart
    end: RunEnd
    problems: tuple[str, ...]
    """why the set of shards does not promote, each with the name of the shard"""
    parts: tuple[_Part, ...]
    order: Sequence[int]
    """for each test, its position in the ``positions`` of all parts"""
    again: tuple[Shard, ...]
    """shards that are missing or have problems"""

    def write_results_log(self, path: Path) -> None:
        """Write the results log of a writable run once, whole or not at all. Raises ``OSError``."""
        lines = [line for part in self.parts for line in part.take_lines()]
        tests = map(lines.__getitem__, self.order)
        write_file(path, chain((encode(self.start),), tests, (encode(self.end),)), mode=PRIVATE)


class Merge:
    """Merges the results logs of the shards of one plan."""

    def __init__(
        self,
        plan: Plan,
        expectations: ExpectationSet,
        tolerance: Tolerance,
        commit: str = "",
        *,
        project: str = "this project",
        writable: bool = True,
    ) -> None:
        """``tolerance`` is that of the environment of the plan, and ``commit`` that of the project; empty if it may differ.

        ``project`` is its name in messages. ``writable``: whether the merged run can be written, which keeps all contents in
        memory, and hashes them. Raises ``ConfigError`` for a plan of an older version.
        """
        try:
            self._created = time_of(plan.created)
        except ValueError:
            raise ConfigError(
                "the plan was created by an older version; create it again: pytest --collect-only --gaia-plan-out=FILE"
            ) from None
        self._plan = plan
        self._digest = plan.digest
        self._expectations = expectations
        self._tolerance = tolerance
        self._writable = writable
        self._problems: list[str] = []
        self._again: set[Shard] = set()
        self._keys: list[int] = []
        """place of each evaluated test in the order of the plan"""
        if expectations_digest(expectations.expectations) != plan.expectations_digest:
            self._problems.append(f"the expectations of {project} are not those of the plan")
        if commit and commit != plan.commit:
            apart = _not(commit, plan.commit)
            self._problems.append(f"{project} is at another commit than the plan: {apart}; merge at that of the plan")

    def of(self, paths: Sequence[Path]) -> Merged:
        """Merge the results logs at ``paths``, in any order.

        Problems of the set, each with the name of the shard, make the verdict HOLD. Raises ``ConfigError`` if a file is not
        a results log, or if there is no results log of a shard.
        """
        parts = self._chosen([part for path in sorted(paths) if (part := self._opened(path)) is not None])
        if not parts:
            raise ConfigError(f"there is nothing to merge: {'; '.join(self._problems)}.")
        self._compare(parts)
        context = parts[0].start.context(self._plan.environment, self._plan.day, self._tolerance)
        evaluation = Evaluation(self._expectations, context)
        self._read(parts, evaluation)
        start, end = self._joined_start(parts), self._joined_end(parts)
        order = sorted(range(len(self._keys)), key=self._keys.__getitem__)
        evaluated = evaluation.finish(start, end, order)
        problems, again = tuple(dict.fromkeys(self._problems)), tuple(sorted(self._again))
        return Merged(evaluated, start, end, problems, tuple(parts), order, again)

    def _opened(self, path: Path) -> _Part | None:
        try:
            with open_log(path) as file:
                beginning = file.readline()
        except OSError as error:
            expected = "expected the results log of a shard (pytest --gaia-report-log)"
            self._problems.append(f"{path}: cannot be read: {error.strerror}; {expected}")
            return None
        if not beginning:
            self._problems.append(f"{path}: is empty: this shard did not begin")
            return None
        if not beginning.endswith(b"\n") and beginning[: len(_BEGINNING)] == _BEGINNING[: len(beginning)]:
            self._problems.append(f"{path}: is truncated in its first line")
            return None
        start = ResultsLog(path).start
        if start.shard is None:
            self._problems.append(
                f"{path}: is of a merge or of a whole run, not of a shard (pytest --gaia-shard); leave it out"
            )
            return None
        return _Part(path, start, start.shard)

    def _chosen(self, parts: Sequence[_Part]) -> list[_Part]:
        """Return one part of each shard, in order, of a set with the most frequent number of shards."""
        count = _most_frequent(sorted(part.shard.count for part in parts)) if parts else 0
        found: dict[int, _Part] = {}
        for part in parts:
            index = part.shard.index
            if part.shard.count != count:
                self._problems.append(f"{part.name}: is one of {part.shard.count} shards, the others of {count}")
            elif not 1 <= index <= count:
                self._problems.append(f"{part.name}: there is no such shard")
            elif index in found:
                self._problems.append(f"shard {part.shard} is there twice; give one: {found[index].path}, {part.path}")
            else:
                found[index] = part
        missing = [Shard(index, count) for index in range(1, count + 1) if index not in found]
        self._problems += (f"shard {shard} is missing" for shard in missing)
        self._again.update(missing)
        return [found[index] for index in sorted(found)]

    def _compare(self, parts: list[_Part]) -> None:
        """Find shards that ran under other circumstances than the plan, or than most shards; sort them last."""
        plan = self._plan
        for what, name in _PLANNED:
            planned = getattr(plan, name)
            for part in parts:
                if (own := getattr(part.start, name)) != planned:
                    self._refuse(part, f"ran with another {what}: {_not(own, planned)}")
        for what, common in COMMON:
            values = [common(part.start) for part in parts]
            encoded = [msgspec.json.encode(value, order="deterministic") for value in values]
            usual = _most_frequent(encoded)
            for part, each, value in zip(parts, encoded, values, strict=True):
                if each != usual:
                    apart = _apart(value, values[encoded.index(usual)])
                    self._refuse(part, f"ran with {what} {apart[0]}, other shards with {apart[1]}")
        for part in parts:
            self._check_time(part)
        parts.sort(key=lambda part: (part.shard in self._again, part.shard))

    def _refuse(self, part: _Part, *problems: str) -> None:
        self._problems += (f"{part.name}: {problem}" for problem in problems)
        if problems:
            self._again.add(part.shard)

    def _check_time(self, part: _Part) -> None:
        try:
            after = time_of(part.start.started) - self._created
        except ValueError:
            # Reading the log reports it.
            return
        if after < -CLOCK_SKEW:
            self._refuse(part, f"started before the plan was created: {part.start.started}")
        if after > timedelta(hours=LONGEST_HOURS):
            self._refuse(part, f"started more than {LONGEST_HOURS} hours after the plan was created")

    def _read(self, parts: Sequence[_Part], evaluation: Evaluation) -> None:
        planned = self._plan.nodes
        places = {node: place for place, node in enumerate(planned)}
        assigned = assign(self._plan.tests, parts[0].shard.count)
        wanted: dict[int, list[int]] = {part.shard.index: [] for part in parts}
        for node, place in places.items():
            if (index := assigned[node]) in wanted:
                wanted[index].append(place)
        strays = _Strays(places, assigned)
        for part in parts:
            own = list(map(planned.__getitem__, wanted[part.shard.index]))
            before = evaluation.begin_part()
            evaluation.add_all(self._tests(part))
            nodes = evaluation.nodes_since(before)
            distinct = len(nodes)
            part.positions = range(distinct)
            found: list[str] = []
            # Most shards have all of their tests, each once, and in the order of the plan.
            if nodes == own:
                self._keys += wanted[part.shard.index]
            elif len(nodes) == len(own) and set(nodes) == set(own):
                self._keys += map(places.__getitem__, nodes)
            else:
                tests, distinct = list(self._tests(part)), len(set(nodes))
                keys, part.positions, found = strays.sorted_out(part, tests, own)
                self._keys += keys
                evaluation.end_part(before, undo=True)
                evaluation.begin_part()
                evaluation.add_all(part.changed.get(position, tests[position]) for position in part.positions)
            has_failed = evaluation.end_part(before)
            if part.end is not None:
                found += self._of_plan(part.end, own)
                # Of all shards, they would be a second list of all tests.
                part.end = replace(part.end, required=())
                found += _of_end(part, part.end, distinct, has_failed=has_failed)
            elif not part.is_reported:
                found.insert(0, "the run was killed, or the file is truncated")
            self._refuse(part, *found)

    def _tests(self, part: _Part) -> Iterator[TestRecord]:
        try:
            content = part.path.read_bytes()
            if self._writable:
                part.content, part.digest = content, hashlib.sha256(content).hexdigest()
            log = ResultsLog(part.path, content=content)
            yield from log
            if log.start != part.start:
                raise ConfigError(f"{part.path}: was changed while it was read")
        except (OSError, ConfigError) as error:
            why = f"{part.path}: cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
            self._problems.append(f"shard {part.shard}: {why.rstrip('.')}")
            self._again.add(part.shard)
            part.is_reported = True
        else:
            part.end = log.end

    def _of_plan(self, end: RunEnd, own: Sequence[str]) -> Iterator[str]:
        plan, digest = self._plan, self._digest
        if end.plan != digest:
            yield f"ran with another test plan: {_not(end.plan, digest)}"
        elif list(end.required) != own:
            yield "has other required tests than the plan"
        if end.release != plan.release:
            yield f"tested another release: {_not(end.release, plan.release)}"

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
        # Only if no shard had a test, the merged run had none.
        code = max(codes - {5} or codes, default=0)

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
            pytest_exit=code,
            planned=sum(end.planned for _, end in ends),
            complete=not partial and len(ends) == len(parts),
            partial=partial,
            full_required=any(end.full_required for _, end in ends),
            unavailable="; ".join(joined(lambda end: [end.unavailable] if end.unavailable else [])),
            late=joined(lambda end: end.late),
            changed=joined(lambda end: end.changed),
            network=joined(lambda end: end.network),
            undeployed="; ".join(joined(lambda end: [end.undeployed] if end.undeployed else [])),
            plan=self._digest,
            required=self._plan.nodes,
            release=self._plan.release,
            shards={str(part.shard): part.digest for part in sorted(parts, key=lambda part: part.shard)},
            held="; ".join(dict.fromkeys(self._problems)),
        )


def _of_end(part: _Part, end: RunEnd, nodes: int, *, has_failed: bool) -> Iterator[str]:
    """Yield the problems of the last line of a shard, which has results of ``nodes`` tests, and remove them from it."""
    if part.shard.only not in (end.partial or ()):
        yield "does not say that it is a shard"
    if why := interruption(end, failed=has_failed):
        yield why
    elif (missing := end.planned - nodes) > 0:
        yield f"{counted(missing, 'selected test')} without a result"
    if end.held:
        yield end.held
    code = end.pytest_exit if end.pytest_exit in (0, 5) else int(has_failed)
    partial = end.narrowed(part.shard)
    part.end = replace(end, partial=partial, pytest_exit=code, lost=(), deadline=0.0, held="")


class _Strays:
    """Sorts out the tests of shards that have more or fewer tests than the plan."""

    def __init__(self, places: Mapping[str, int], assigned: Mapping[str, int]) -> None:
        self._places = places
        self._assigned = assigned
        self._unplanned: dict[str, int] = {}
        self._before: set[bytes] = set()

    def sorted_out(
        self, part: _Part, tests: Sequence[TestRecord], own: Sequence[str]
    ) -> tuple[list[int], list[int], list[str]]:
        """Return the places of the tests of a shard in the order of the plan, their positions, and problems."""
        index, last = part.shard.index, len(self._places)
        keys: list[int] = []
        positions: list[int] = []
        foreign: dict[str, None] = {}
        seen: set[str] = set()
        before: set[bytes] = set()
        for position, test in enumerate(tests):
            node = test.node
            if test.state in _BEFORE:
                # Every shard collects all tests.
                content = encode(replace(test, worker=""))
                before.add(content)
                if content in self._before:
                    continue
                keys.append(-1)
            else:
                is_foreign = (
                    self._assigned.get(node, index) != index or self._unplanned.setdefault(node, index) != index
                )
                if is_foreign:
                    foreign[node] = None
                seen.add(node)
                keys.append(self._places.get(node, last))
            positions.append(position)
            if node in foreign or (test.state in _BEFORE and self._before):
                # No other test of the merged results log has this worker.
                part.changed[position] = replace(test, worker=f"{test.worker} of shard {part.shard}")
        self._before |= before
        lacking = [node for node in own if node not in seen]
        problems = []
        if lacking:
            problems.append(f"lacks {len(lacking)} of its {counted(len(own), 'test')}: {listed(lacking, NAMED)}")
        if foreign:
            problems.append(f"has {counted(len(foreign), 'test')} of another shard: {listed(list(foreign), NAMED)}")
        return keys, positions, problems


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


def _apart(own: object, usual: object) -> tuple[str, str]:
    """Return two values for a message: of mappings and lists, only what differs."""
    values = msgspec.to_builtins(own), msgspec.to_builtins(usual)
    found = _without(*values), _without(*reversed(values))
    # Lists can differ in their order alone.
    shown = values if found[0] == found[1] else found
    first, second = (short(msgspec.json.encode(each, order="deterministic").decode()) for each in shown)
    return first, second


def _without(value: Any, other: Any) -> Any:
    if isinstance(value, dict) and isinstance(other, dict):
        differing = {key: each for key, each in value.items() if key not in other or each != other[key]}
        return {key: _without(each, other.get(key)) for key, each in differing.items()}
    if isinstance(value, list | tuple) and isinstance(other, list | tuple):
        return [each for each in value if each not in other]
    return value


def _not(own: str, other: str) -> str:
    return f"{short(own) or 'none'}, not {short(other) or 'none'}"
