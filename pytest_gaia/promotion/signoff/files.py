"""The files that runs have left, and whether they are those that the ledger names. Others show nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.bundle import SHORT
from pytest_gaia.promotion.promote_commands import RECORD, VERDICT
from pytest_gaia.promotion.promote_journal import FOLDER
from pytest_gaia.promotion.situation import Evidence, Situation
from pytest_gaia.promotion.statements import RunPredicate
from pytest_gaia.verdict.evidence import RecordedRun, read_run
from pytest_gaia.verdict.report import VerdictFile


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
    folder = rootdir / FOLDER / f"{name}-{situation.bundle.id[:SHORT]}"
    seen = RunSeen(name, evidence, record=_kept_record(folder / RECORD, evidence))
    content = _read(folder / VERDICT)
    if content is None:
        return replace(seen, gap=_gap(seen, f"its verdict file ({VERDICT}) is not on this machine"))
    if digest(content) != named(evidence, VERDICT):
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
        raise ConfigError(f"--run {path}: not a verdict file (see --gaia-report): {error}.") from None
    situation = _situation(f"--run {path}", verdict.environment, verdict.bundle, situations)
    if verdict.rehearsal:
        raise ConfigError(f"--run {path}: a rehearsal on the sandbox; it shows nothing of {verdict.environment}.")
    return verdict.environment, verdict, _is_named(f"--run {path}", content, VERDICT, situation)


def given_record(path: Path, situations: Sequence[Situation]) -> tuple[str, RecordedRun]:
    """Return environment and content of a record that somebody has named. Raises ``ConfigError`` as above."""
    content = _content(path, "--record")
    record = read_run(path)
    bundle = record.end.bundle if record.end else ""
    situation = _situation(f"--record {path}", record.start.environment, bundle, situations)
    if record.start.rehearsal:
        raise ConfigError(f"--record {path}: a rehearsal on the sandbox; it shows nothing of {situation.environment}.")
    _is_named(f"--record {path}", content, RECORD, situation)
    return situation.environment, record


def named(evidence: Evidence[RunPredicate], file: str) -> str:
    """Return the SHA-256 that the ledger gives of ``file``; '' where it names none."""
    return {each.name: each.digest.get("sha256", "") for each in evidence.says.configuration}.get(file, "")


def digest(content: bytes) -> str:
    """Return the SHA-256 of ``content``, as hex."""
    return hashlib.sha256(content).hexdigest()


def _kept_record(path: Path, evidence: Evidence[RunPredicate]) -> RecordedRun | None:
    content = _read(path)
    if content is None or digest(content) != named(evidence, RECORD):
        return None
    try:
        return read_run(path)
    except ConfigError:
        # Only times are drawn of it, and what has none is drawn without.
        return None


def _situation(what: str, environment: str, bundle: str, situations: Sequence[Situation]) -> Situation:
    wanted = situations[0].bundle
    if bundle != wanted.id:
        found = f"of bundle {bundle[:SHORT]}" if bundle else "of no bundle (--gaia-bundle was not given)"
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
    if digest(content) != named(evidence, file):
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
