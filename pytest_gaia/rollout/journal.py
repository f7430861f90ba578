"""The deployment history of an environment: who did what, when, and what ran afterwards.

It is stored in ``.gaia/deployments/<environment>.jsonl`` next to gaia.toml, together with copies of the deploy files
and with the lock that prevents two rollouts of one environment at the same time on this machine.
"""

import datetime
import errno
import getpass
import hashlib
import json
import os
import secrets
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import msgspec

from pytest_gaia.deploy.contract import Observation, utc_now
from pytest_gaia.deploy.outcome import digests, key_of, running_image
from pytest_gaia.errors import ConfigError, DeployLocked
from pytest_gaia.files.writing import PRIVATE, add_line, make_folder, make_ignored_folder, read_lines, write_file
from pytest_gaia.rollout.model import Progress, Rollout, Step, StepResult
from pytest_gaia.system.processes import try_hold

FOLDER = ".gaia/deployments"

KEPT = "files"
"""folder of the copies, next to the histories"""
_CI_USERS = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN")
_READ_AT_MOST = 4096


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line. Unknown fields, from later versions, are ignored."""

    event: Literal["begin", "start", "end", "finish"]
    """a rollout begins; a service is about to change; its result; the rollout has ended"""
    run: str
    """ID of the rollout"""
    when: str
    """ISO 8601, UTC"""
    action: str = "deploy"
    who: str = ""
    services: tuple[str, ...] = ()
    """``begin``: in order"""
    targets: dict[str, str] = {}
    """``begin``: service → requested image, or the target of a rollback"""
    service: str = ""
    app: str = ""
    outcome: str = ""
    """``end``: of the service; ``finish``: of the rollout"""
    reason: str = ""
    image: str = ""
    """``start``: what ran before; ``end``: what runs now; a reference, with a digest if known"""
    was: str = ""
    """``end``: what ran before"""
    digests: tuple[str, ...] = ()
    unpublished: bool = False
    """whether ``image`` is only on this machine"""
    version: int | None = msgspec.field(default=None, name="release")
    well: bool = False
    """whether ``image`` ran on all machines, with every check passing"""
    config: str = ""
    """name of the kept copy of the deploy file"""
    elapsed: float = 0.0


class Journal:
    """The deployment history of one environment. Raises ``OSError`` if it cannot be read or written."""

    def __init__(self, rootdir: Path, environment: str) -> None:
        self.folder = rootdir / FOLDER
        self.path = self.folder / f"{environment}.jsonl"

    def add(self, entry: Entry) -> None:
        """Append one line, and wait until it is on disk."""
        # Readable by its owner only: commands and reasons reveal a lot about the infrastructure.
        make_ignored_folder(self.folder)
        add_line(self.path, entry)

    def entries(self) -> tuple[Entry, ...]:
        """Return all readable lines, oldest first; none if there is no history."""
        return read_lines(self.path, Entry)


def unfinished(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Return the lines of the last rollout if it never ended. Call it while holding the lock."""
    begun = next((entry for entry in reversed(entries) if entry.event == "begin"), None)
    if begun is None:
        return ()
    lines = tuple(entry for entry in entries if entry.run == begun.run)
    return () if any(entry.event == "finish" for entry in lines) else lines


def outcomes(lines: tuple[Entry, ...]) -> Mapping[str, str]:
    """Return service → outcome, from the lines of one rollout."""
    found = dict.fromkeys((service for entry in lines for service in entry.services), "not begun")
    for entry in lines:
        if entry.event == "start":
            found[entry.service] = "in doubt"
        elif entry.event == "end":
            found[entry.service] = entry.outcome
    return found


def histories(names: Iterable[str], rootdir: Path) -> dict[str, Mapping[str, list[str]]]:
    """Return the images that ran in each environment, from the deployment history on this machine."""
    found: dict[str, Mapping[str, list[str]]] = {}
    for name in names:
        # Without its history only the order of versions is unknown.
        with suppress(OSError):
            found[name] = _history(Journal(rootdir, name))
    return found


def _history(journal: Journal) -> dict[str, list[str]]:
    digests: dict[str, list[str]] = {}
    for entry in journal.entries():
        if entry.event == "end" and entry.well and len(entry.digests) == 1:
            digests.setdefault(entry.service, []).append(entry.digests[0])
    return digests


def who() -> str:
    """Return ``user@host``; in CI, the user who started the job."""
    name = next((os.environ[each] for each in _CI_USERS if os.environ.get(each)), "")
    return f"{name or _account()}@{socket.gethostname()}"


def holder(action: str) -> Mapping[str, str]:
    """Return what other processes can read about this one while it holds the lock."""
    return {"action": action, "by": who(), "process": str(os.getpid()), "since": utc_now()}


class Recorder:
    """Write the history of one rollout. A write error stops the rollout only if nothing has changed yet."""

    def __init__(self, rollout: Rollout, progress: Progress) -> None:
        self._rollout = rollout
        self._progress = progress
        self._journal = Journal(rollout.rootdir, rollout.environment)
        self._run = f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        self._begun = False
        self._before: dict[str, tuple[str, str]] = {}
        """service → image before, and name of the kept deploy file"""

    @property
    def lock(self) -> Path:
        """The lock file of this environment."""
        return self._journal.folder / f"{self._rollout.environment}.lock"

    def interrupted_before(self) -> tuple[str, ...]:
        """Report the last rollout if it never ended; return the note."""
        with self._usable():
            lines = unfinished(self._journal.entries())
        if not lines:
            return ()
        states = ", ".join(f"{service} {outcome}" for service, outcome in outcomes(lines).items())
        note = (
            f"the {lines[0].action} of {lines[0].when} by {lines[0].who} did not finish: {states}. "
            "Every service is observed again before it changes."
        )
        self._progress.note(note)
        return (note,)

    def begin(self) -> None:
        """Record the planned rollout. Raises ``ConfigError`` if that is not possible."""
        steps = self._rollout.steps
        targets = {step.service: step.image for step in steps if step.image}
        services = tuple(step.service for step in steps)
        with self._usable():
            self._add("begin", who=who(), services=services, targets=targets)
        self._begun = True

    def knows(self, step: Step, seen: Observation) -> bool:
        """Whether a rollout with the same deploy file last brought the service to what runs now."""
        with self._usable():
            entries = self._journal.entries()
            config = _name(step.config, step.config.read_bytes()) if step.config else ""
        ends = (each for each in reversed(entries) if each.event == "end" and each.service == step.service)
        last = next((each for each in ends if each.app == step.app), None)
        return (
            last is not None
            and last.well
            and last.config == config
            and key_of(last.image) == key_of(running_image(seen))
        )

    def start(self, step: Step, before: Observation, *, well: bool) -> None:
        """Record that ``step`` begins. Raises ``ConfigError`` if that is not possible."""
        image = running_image(before)
        with self._usable(f" {step.service} was not changed."):
            self._before[step.service] = image, self._keep(step)
            self._add(
                "start", service=step.service, app=step.app, image=image, digests=digests(before),
                unpublished=_is_unpublished(before), version=before.version, well=well,
            )  # fmt: skip

    def end(self, step: Step, result: StepResult) -> None:
        """Record the result of ``step``."""
        was, config = self._before.get(step.service, ("", ""))
        self._add_or_note(
            "end", service=step.service, app=step.app, outcome=result.outcome, reason=result.reason,
            image=result.image or "", was=was, digests=result.digests, version=result.version,
            unpublished=result.after is not None and _is_unpublished(result.after),
            well=result.good, config=config if result.good else "", elapsed=round(result.elapsed, 3),
        )  # fmt: skip

    def finish(self, outcome: str) -> None:
        """Record how the rollout ended, if it began."""
        if self._begun:
            self._add_or_note("finish", outcome=outcome)

    @contextmanager
    def _usable(self, besides: str = "") -> Iterator[None]:
        """Turn read and write errors into a ``ConfigError`` if nothing has changed yet."""
        try:
            yield
        except OSError as problem:
            raise ConfigError(
                f"the deployment history {self._journal.path} cannot be used: {problem.strerror}. gaia needs it to record "
                f"deployments and to roll back. Make its folder writable. Nothing was changed.{besides}"
            ) from None

    def _add_or_note(self, event: str, **values: object) -> None:
        try:
            self._add(event, **values)
        except OSError as problem:
            self._progress.note(
                f"the deployment history {self._journal.path} could not be written ({problem.strerror}): this result is "
                "not recorded, and a rollback cannot use it."
            )

    def _add(self, event: str, **values: object) -> None:
        entry = {"event": event, "run": self._run, "when": utc_now(), "action": self._rollout.action, **values}
        self._journal.add(Entry(**entry))  # type: ignore[arg-type]

    def _keep(self, step: Step) -> str:
        """Keep a copy of the deploy file; return its name."""
        if step.config is None:
            return ""
        # Copy the current content: the tool is about to read it.
        content = step.config.read_bytes()
        name = _name(step.config, content)
        kept = self._journal.folder / KEPT / name
        make_folder(kept.parent)
        if not kept.exists():
            write_file(kept, content, mode=PRIVATE)
        return name


def _is_unpublished(seen: Observation) -> bool:
    return any(machine.unpublished for machine in seen.machines)


def _name(config: Path, content: bytes) -> str:
    """Return the name of a deploy file's copy. It is derived from the content, so that equal files are stored once."""
    return f"{hashlib.sha256(content).hexdigest()[:16]}{config.suffix}"


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a user ID without a name.
        return str(os.getuid())


@contextmanager
def only_one(path: Path, environment: str, holder: Mapping[str, str]) -> Iterator[None]:
    """Hold the lock at ``path``; ``holder`` describes this process to others.

    Raises ``DeployLocked`` if another process holds the lock, ``ConfigError`` if the file cannot be created.
    """
    try:
        make_folder(path.parent)
        descriptor = try_hold(path)
        owner = path.read_bytes()[:_READ_AT_MOST] if descriptor is None else b""
    except OSError as problem:
        raise ConfigError(_unusable(path, problem)) from None
    if descriptor is None:
        raise DeployLocked(
            f"{environment} is being deployed to right now{_described(owner)}. Two simultaneous rollouts could leave mixed "
            f"versions, so nothing was done. Wait until it has finished, then try again. (lock: {path})"
        )
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(dict(holder)).encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _described(content: bytes) -> str:
    try:
        holder = json.loads(content)
    except ValueError:
        # Between taking the lock and writing its owner.
        return ""
    return ": " + ", ".join(f"{key} {value}" for key, value in holder.items())


def _unusable(path: Path, problem: OSError) -> str:
    reason = "it is a folder" if problem.errno == errno.EISDIR else problem.strerror
    return (
        f"the lock {path} cannot be used: {reason}. gaia stores locks and deployment histories next to gaia.toml; make "
        "that folder writable. Nothing was changed."
    )
