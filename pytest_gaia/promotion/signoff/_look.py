"""What the sign-off page is made of: one release, its way, and the files of its runs, if they are those that the ledger names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import msgspec

from pytest_gaia.config.stages import Stage
from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.gate.situation import Evidence, Situation, testified
from pytest_gaia.promotion.ledger.ledger import Entry
from pytest_gaia.promotion.ledger.statements import SHORT, RunPredicate, sha256_of
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote._journal import FOLDER
from pytest_gaia.promotion.promote.child import RECORD, VERDICT
from pytest_gaia.promotion.release.model import Release
from pytest_gaia.verdict.evidence import RecordedRun, read_run
from pytest_gaia.verdict.report import VerdictFile

_ADDRESS = re.compile(r"https?://[^\s/?#]+", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Look:
    """One release on its way."""

    promotion: Promotion
    release: Release
    entries: tuple[Entry, ...]
    now: datetime
    way: tuple[Situation, ...]
    """one an environment, from the first to the target"""
    runs: Mapping[str, RunSeen]
    """environment → its newest run"""
    allure: str = ""
    """where the reports of Allure are; ``{environment}`` in it stands for the name"""

    @property
    def target(self) -> Situation:
        """What is decided."""
        return self.way[-1]

    @property
    def names(self) -> tuple[str, ...]:
        """The environments."""
        return tuple(each.environment for each in self.way)


def way_to(
    promotion: Promotion, release: Release, entries: Sequence[Entry], now: datetime, asked: Sequence[str]
) -> tuple[Situation, ...]:
    """Return the environments that were ``asked`` for and all that lie before them, in their order.

    Without any: up to the furthest that the ledger knows of this bundle. Raises ``ConfigError`` for an unknown one, and
    where the ledger knows none.
    """
    for name in asked:
        promotion.stage(name)
    wanted = list(asked) or [_furthest(promotion, release, entries)]
    names = {each: None for name in wanted for each in _before(promotion.stages, name)}
    ordered = sorted(names, key=lambda name: len(_before(promotion.stages, name)))
    return tuple(promotion.situation(name, release, now, tuple(entries)) for name in ordered)


def may_testify(entry: Entry, stage: Stage) -> bool:
    """Whether ``entry`` counts as what a machine has seen in the environment of ``stage``."""
    return not entry.problem and testified(entry, stage)


def _furthest(promotion: Promotion, release: Release, entries: Sequence[Entry]) -> str:
    known = (each.predicate for each in entries)
    there = [
        says.environment
        for says in known
        if says and says.release == release.id and says.environment in promotion.stages
    ]
    if not there:
        raise ConfigError(
            f"the ledger ({promotion.ledger.store.name}) says nothing about bundle {release.short}. Name the environment "
            f"that it is to go to (--env), or begin: gaia promote {next(iter(promotion.stages), 'ENV')} --bundle {release.short}."
        )
    return max(there, key=lambda name: len(_before(promotion.stages, name)))


def _before(stages: Mapping[str, Stage], name: str) -> list[str]:
    """Return the way up to ``name``, itself included, the first one first."""
    found = [name]
    while (previous := stages[found[0]].previous) and previous in stages and previous not in found:
        found.insert(0, previous)
    return found


@dataclass(frozen=True, slots=True)
class RunSeen:
    """The newest run of the bundle in one environment."""

    environment: str
    evidence: Evidence[RunPredicate] | None = None
    """the entry that counts; None: no run of this bundle there does"""
    verdict: VerdictFile | None = None
    """what it said of each test, from the very file that the ledger names"""
    record: RecordedRun | None = None
    gap: str = ""
    """what is not known, and why"""


def kept_run(situation: Situation, rootdir: Path) -> RunSeen:
    """Return the newest run of the situation's environment, with the files of it that are kept on this machine."""
    name = situation.environment
    evidence = situation.newest(RunPredicate)
    if evidence is None:
        return RunSeen(name)
    folder = rootdir / FOLDER / f"{name}-{situation.release.id[:SHORT]}"
    seen = RunSeen(name, evidence, record=_kept_record(folder / RECORD, evidence))
    content = _read(folder / VERDICT)
    if content is None:
        return replace(seen, gap=_gap(seen, f"its verdict file ({VERDICT}) is not on this machine"))
    if sha256_of(content) != evidence.says.digest_of(VERDICT):
        return replace(seen, gap=_gap(seen, f"the {VERDICT} kept here is another than the one that the ledger names"))
    try:
        return replace(seen, verdict=msgspec.json.decode(content, type=VerdictFile))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return replace(seen, gap=_gap(seen, f"its {VERDICT} is none that this pytest-gaia reads"))


def given_verdict(path: Path, situations: Sequence[Situation]) -> tuple[str, VerdictFile, bool]:
    """Return environment, content, and whether the ledger names it, of a verdict file that somebody has named.

    Raises ``ConfigError`` for a file that is none, or is one of another bundle, environment or run, or of a rehearsal.
    """
    content = _content(path, "--run")
    try:
        verdict = msgspec.json.decode(content, type=VerdictFile)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"--run {path}: not a verdict file (see --gaia-verdict-file): {error}.") from None
    situation = _situation(f"--run {path}", verdict.environment, verdict.release, situations)
    if verdict.rehearsal:
        raise ConfigError(f"--run {path}: a rehearsal on the sandbox; it shows nothing of {verdict.environment}.")
    return verdict.environment, verdict, _is_named(f"--run {path}", content, VERDICT, situation)


def given_record(path: Path, situations: Sequence[Situation]) -> tuple[str, RecordedRun]:
    """Return environment and content of a record that somebody has named. Raises ``ConfigError`` as above."""
    content = _content(path, "--record")
    record = read_run(path)
    release = record.end.release if record.end else ""
    situation = _situation(f"--record {path}", record.start.environment, release, situations)
    if record.start.rehearsal:
        raise ConfigError(f"--record {path}: a rehearsal on the sandbox; it shows nothing of {situation.environment}.")
    _is_named(f"--record {path}", content, RECORD, situation)
    return situation.environment, record


def _kept_record(path: Path, evidence: Evidence[RunPredicate]) -> RecordedRun | None:
    content = _read(path)
    if content is None or sha256_of(content) != evidence.says.digest_of(RECORD):
        return None
    try:
        return read_run(path)
    except ConfigError:
        # Only times are drawn of it, and what has none is drawn without.
        return None


def _situation(what: str, environment: str, release: str, situations: Sequence[Situation]) -> Situation:
    wanted = situations[0].release
    if release != wanted.id:
        found = f"of bundle {release[:SHORT]}" if release else "of no bundle (--gaia-release was not given)"
        raise ConfigError(f"{what}: {found}, and this page is about {wanted.short}.")
    for situation in situations:
        if situation.environment == environment:
            return situation
    way = " → ".join(each.environment for each in situations)
    raise ConfigError(f"{what}: a run of {environment}, which is not on the way ({way}). Add --env {environment}.")


def _is_named(what: str, content: bytes, file: str, situation: Situation) -> bool:
    evidence = situation.newest(RunPredicate)
    if evidence is None:
        return False
    if sha256_of(content) != evidence.says.digest_of(file):
        raise ConfigError(
            f"{what}: not the file of the newest run in {situation.environment}, which the ledger names (entry "
            f"{evidence.entry.sequence}): it is of another run, or was changed."
        )
    return True


def _content(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{option} {path}: cannot be read: {error.strerror}.") from None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _gap(seen: RunSeen, why: str) -> str:
    number = seen.evidence.entry.sequence if seen.evidence else 0
    return (
        f"{seen.environment}: {why}. Its numbers are those of the ledger (entry {number}); which tests they are, and which "
        "rules excused them, is not known here. --run FILE adds the file."
    )


def moment(time: datetime) -> str:
    """Return ``time`` as people read it, in UTC."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def checked_address(address: str) -> str:
    """Return the address of a report; raises ``ConfigError`` for one that a browser would run, or cannot open."""
    if _ADDRESS.match(address) or (address and not _SCHEME.match(address)):
        return address
    raise ConfigError(f"--allure {address!r}: give an address (https://…), or a path from the folder of the page.")


def linked(allure: str, environment: str, test: str = "") -> str:
    """Return the address of the report of ``environment``, of one of its tests if named; '' where there is no report."""
    if not allure:
        return ""
    address = allure.replace("{environment}", quote(environment))
    if not test:
        return address
    path, mark, fragment = address.partition("#")
    function, bracket, parameters = test.partition("[")
    name = quote(f"{function.rpartition('::')[2]}{bracket}{parameters}")
    return f"{path}{'&' if '?' in path else '?'}query={name}{mark}{fragment}"


def issue_link(issue: str) -> str:
    """Return the address of an issue that is named by one; '' for a mere key."""
    return issue if _ADDRESS.match(issue) else ""
