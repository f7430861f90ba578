"""The input of the release report: one release, its environments, and the files of its runs that match the ledger.

Also the addresses that the page links to: commits, comparisons, issues, environments, and reports in Allure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import msgspec

from pytest_gaia.config.environment import Environment
from pytest_gaia.config.project import Project
from pytest_gaia.config.stages import Stage
from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.gate.situation import Evidence, Situation, attested
from pytest_gaia.promotion.ledger.ledger import Entry
from pytest_gaia.promotion.ledger.statements import SHORT, RunPredicate, sha256_of
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote._journal import FOLDER
from pytest_gaia.promotion.promote.child import RECORD, VERDICT
from pytest_gaia.promotion.release.kept import Release
from pytest_gaia.system.processes import git
from pytest_gaia.verdict.evidence import RecordedRun
from pytest_gaia.verdict.report import VerdictFile
from pytest_gaia.verdict.results_log import read_run
from pytest_gaia.wording import counted

_ADDRESS = re.compile(r"https?://[^\s/?#]+", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)
_REMOTE = re.compile(r"(?:ssh://|https?://)?(?:[^@/\s]+@)?([\w.-]+)(?::\d+/|[:/])([\w./~-]+?)(?:\.git)?/?")
_GIT_SECONDS = 10.0
_SHORT = 8

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_HOURS, _DAYS = 48, 24

VERDICT_OPTION, RESULTS_OPTION = "--verdict", "--results"
"""options that add files of runs on other machines"""


@dataclass(frozen=True, slots=True)
class Links:
    """Where a project's commits, issues and environments are on the web. Empty parts give no links."""

    repository: str = ""
    """address of the repository, without a slash at the end"""
    issues: str = ""
    """address of an issue, with ``{issue}`` for its key"""
    environments: Mapping[str, str] = field(default_factory=dict)
    """environment → address"""

    def commit(self, commit: str) -> str:
        """Return the address of a commit."""
        return f"{self.repository}/commit/{quote(commit)}" if self.repository and commit else ""

    def compare(self, old: str, new: str) -> str:
        """Return the address of a comparison of two commits."""
        if not (self.repository and old and new):
            return ""
        # Two longer hashes look like one secret, and would be masked.
        return f"{self.repository}/compare/{quote(old[:_SHORT])}...{quote(new[:_SHORT])}"

    def issue(self, issue: str) -> str:
        """Return the address of an issue: its own, or ``issue_url`` with its key."""
        return web_address(issue) or (self.issues.replace("{issue}", quote(issue, safe="")) if issue else "")


def links_of(project: Project, environments: Mapping[str, Environment | Exception]) -> Links:
    """Return the addresses from gaia.toml; without ``repository_url``, the remote ``origin`` of the repository.

    Raises ``ConfigError`` for a setting that is not a web address.
    """
    table = project.file.gaia if project.file else None
    repository = _checked("repository_url", getattr(table, "repository_url", ""))
    issues = _checked("issue_url", getattr(table, "issue_url", ""))
    if issues and "{issue}" not in issues:
        raise ConfigError(f'gaia.issue_url: {issues!r} has no {{issue}}. Write "https://…/{{issue}}".')
    urls = {name: _url(each) for name, each in environments.items() if isinstance(each, Environment)}
    return Links(repository.rstrip("/") or _origin(project), issues, urls)


def web_address(text: str) -> str:
    """Return ``text`` if it is an http(s) address, otherwise an empty string."""
    return text if _ADDRESS.match(text) else ""


def checked_address(address: str) -> str:
    """Return the address of an Allure report. Raises ``ConfigError`` for one that a browser would run or cannot open."""
    if web_address(address) or (address and not _SCHEME.match(address)):
        return address
    raise ConfigError(f"--allure {address!r}: use an http(s) address, or a path relative to the folder of the page.")


def allure_link(allure: str, environment: str, test: str = "") -> str:
    """Return the address of the Allure report of ``environment``, or of one of its tests; empty without a report."""
    if not allure:
        return ""
    address = allure.replace("{environment}", quote(environment))
    if not test:
        return address
    path, mark, fragment = address.partition("#")
    function, bracket, parameters = test.partition("[")
    name = quote(f"{function.rpartition('::')[2]}{bracket}{parameters}")
    return f"{path}{'&' if '?' in path else '?'}query={name}{mark}{fragment}"


def _checked(key: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        return ""
    if not web_address(value):
        raise ConfigError(f"gaia.{key}: {value!r} is not a web address. It begins with https://.")
    return value


def _url(environment: Environment) -> str:
    first = next(iter(environment.urls.values()), "")
    # Credentials and parameters of an address are of no use to a reader.
    return re.sub(r"//[^/@]*@", "//", web_address(first)).partition("?")[0]


def _origin(project: Project) -> str:
    """Return the web address of the remote ``origin``; empty for a local folder, or without one."""
    try:
        found = git(project.rootdir, "remote", "get-url", "origin", seconds=_GIT_SECONDS)
    except OSError:
        return ""
    match = _REMOTE.fullmatch(found.stdout.decode(errors="replace").strip()) if not found.returncode else None
    return f"https://{match[1]}/{match[2]}" if match and "." in match[1] else ""


@dataclass(frozen=True, slots=True)
class PageContext:
    """One release on the way to its target."""

    promotion: Promotion
    release: Release
    entries: tuple[Entry, ...]
    now: datetime
    situations: tuple[Situation, ...]
    """one per environment, from the first stage to the target"""
    runs: Mapping[str, KnownRun]
    """environment → its newest run"""
    allure: str = ""
    """address of the Allure reports; ``{environment}`` in it stands for the name"""
    links: Links = field(default_factory=Links)

    @property
    def target(self) -> Situation:
        """The environment that the decision is about."""
        return self.situations[-1]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the environments."""
        return tuple(each.environment for each in self.situations)


def stages_to(
    promotion: Promotion, release: Release, entries: Sequence[Entry], now: datetime, wanted: Sequence[str]
) -> tuple[Situation, ...]:
    """Return the environments in ``wanted`` and all stages before them, in their order.

    Without any: up to the last one in which the ledger has this release. Raises ``ConfigError`` for an unknown
    environment, and if the ledger has nothing about the release.
    """
    for name in wanted:
        promotion.stage(name)
    targets = list(wanted) or [_furthest(promotion, release, entries)]
    names = {each: None for name in targets for each in _before(promotion.stages, name)}
    ordered = sorted(names, key=lambda name: len(_before(promotion.stages, name)))
    return tuple(promotion.situation(name, release, now, tuple(entries)) for name in ordered)


def is_valid_evidence(entry: Entry, stage: Stage) -> bool:
    """Whether ``entry`` is valid evidence of a machine in the environment of ``stage``."""
    return not entry.problem and attested(entry, stage)


def _furthest(promotion: Promotion, release: Release, entries: Sequence[Entry]) -> str:
    known = (each.predicate for each in entries)
    there = [
        says.environment
        for says in known
        if says and says.release == release.id and says.environment in promotion.stages
    ]
    if not there:
        raise ConfigError(
            f"the ledger ({promotion.ledger.store.name}) has no entry about release {release.short}. Name its target with -e ENV, "
            f"or promote it first: gaia promote {next(iter(promotion.stages), 'ENV')} {release.short}"
        )
    return max(there, key=lambda name: len(_before(promotion.stages, name)))


def _before(stages: Mapping[str, Stage], name: str) -> list[str]:
    """Return the stages up to and including ``name``, the first one first."""
    found = [name]
    while (previous := stages[found[0]].previous) and previous in stages and previous not in found:
        found.insert(0, previous)
    return found


@dataclass(frozen=True, slots=True)
class KnownRun:
    """The newest run of the release in one environment."""

    environment: str
    evidence: Evidence[RunPredicate] | None = None
    """the ledger entry; None without a valid run"""
    verdict: VerdictFile | None = None
    """the verdict file, if its hash matches the ledger"""
    record: RecordedRun | None = None
    gap: str = ""
    """missing data, and the reason"""


def kept_run(situation: Situation, rootdir: Path) -> KnownRun:
    """Return the newest run in the environment, with its files on this machine."""
    name = situation.environment
    evidence = situation.newest(RunPredicate)
    if evidence is None:
        return KnownRun(name)
    folder = rootdir / FOLDER / f"{name}-{situation.release.id[:SHORT]}"
    seen = KnownRun(name, evidence, record=_kept_results(folder / RECORD, evidence))
    content = _read(folder / VERDICT)
    if content is None:
        return replace(seen, gap=_gap(seen, f"the verdict file ({VERDICT}) is not on this machine"))
    if sha256_of(content) != evidence.says.digest_of(VERDICT):
        return replace(seen, gap=_gap(seen, f"the {VERDICT} on this machine does not match the hash in the ledger"))
    try:
        return replace(seen, verdict=msgspec.json.decode(content, type=VerdictFile))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return replace(seen, gap=_gap(seen, f"this version of pytest-gaia cannot read its {VERDICT}"))


def given_verdict(path: Path, situations: Sequence[Situation]) -> tuple[str, VerdictFile, bool]:
    """Return the environment and content of a verdict file given by the user, and whether the ledger names it.

    Raises ``ConfigError`` if it is not a verdict file, or belongs to another release, environment or run, or to a
    simulation.
    """
    content = _content(path, VERDICT_OPTION)
    try:
        verdict = msgspec.json.decode(content, type=VerdictFile)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(
            f"{VERDICT_OPTION} {path}: not a verdict file (pytest --gaia-verdict-file writes one): {error}."
        ) from None
    situation = _situation(f"{VERDICT_OPTION} {path}", verdict.environment, verdict.release, situations)
    if verdict.simulated:
        raise ConfigError(
            f"{VERDICT_OPTION} {path}: the run was simulated on the sandbox and is no evidence about {verdict.environment}."
        )
    return verdict.environment, verdict, _is_named(f"{VERDICT_OPTION} {path}", content, VERDICT, situation)


def given_results(path: Path, situations: Sequence[Situation]) -> tuple[str, RecordedRun]:
    """Return the environment and content of a results log given by the user. Raises ``ConfigError`` as above."""
    content = _content(path, RESULTS_OPTION)
    record = read_run(path)
    release = record.end.release if record.end else ""
    situation = _situation(f"{RESULTS_OPTION} {path}", record.start.environment, release, situations)
    if record.start.simulated:
        raise ConfigError(
            f"{RESULTS_OPTION} {path}: the run was simulated on the sandbox and is no evidence about {situation.environment}."
        )
    _is_named(f"{RESULTS_OPTION} {path}", content, RECORD, situation)
    return situation.environment, record


def _kept_results(path: Path, evidence: Evidence[RunPredicate]) -> RecordedRun | None:
    content = _read(path)
    if content is None or sha256_of(content) != evidence.says.digest_of(RECORD):
        return None
    try:
        return read_run(path)
    except ConfigError:
        # It only adds times to the charts.
        return None


def _situation(what: str, environment: str, release: str, situations: Sequence[Situation]) -> Situation:
    wanted = situations[0].release
    if release != wanted.id:
        found = f"release {release[:SHORT]}" if release else "no release (the run had no --gaia-release)"
        raise ConfigError(f"{what}: belongs to {found}; this page is about {wanted.short}.")
    for situation in situations:
        if situation.environment == environment:
            return situation
    stages = " → ".join(each.environment for each in situations)
    raise ConfigError(f"{what}: a run in {environment}, which is not one of the stages {stages}. Add -e {environment}.")


def _is_named(what: str, content: bytes, file: str, situation: Situation) -> bool:
    evidence = situation.newest(RunPredicate)
    if evidence is None:
        return False
    if sha256_of(content) != evidence.says.digest_of(file):
        raise ConfigError(
            f"{what}: does not match the newest run in {situation.environment} (ledger entry "
            f"{evidence.entry.sequence}): it belongs to another run, or was changed."
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


def _gap(seen: KnownRun, why: str) -> str:
    number = seen.evidence.entry.sequence if seen.evidence else 0
    return (
        f"{seen.environment}: {why}. The numbers are from ledger entry {number}; names of tests and expectations are not "
        f"known. Add the file with {VERDICT_OPTION} FILE."
    )


def moment(time: datetime) -> str:
    """Return ``time`` for people, in UTC."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def plain_times(text: str) -> str:
    """Return ``text`` with every ISO 8601 time in the form of :func:`moment`.

    >>> plain_times("approved until 2026-12-05T11:31:40+00:00")
    'approved until 2026-12-05 11:31 UTC'
    """
    return _TIME.sub(lambda found: moment(datetime.fromisoformat(found[0])), text)


def span(time: timedelta) -> str:
    """Return a duration in whole minutes, hours or days.

    >>> span(timedelta(days=3, hours=5))
    '3 days'
    """
    minutes = int(time.total_seconds() // 60)
    if minutes < 60:  # minutes of an hour
        return counted(minutes, "minute")
    hours = minutes // 60
    return counted(hours, "hour") if hours < _HOURS else counted(hours // _DAYS, "day")
