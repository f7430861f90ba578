"""Attestations: the verdict of one run as a signed in-toto test result, and the process that signs it.

An attestation is a DSSE envelope with a ``test-result/v0.1`` statement. Its details have a type of their own, because a run
outside of a promotion proves less than an entry of the ledger: code of the project ran in the process that reports the
verdict. An attestation can never become an entry, which has a signed position.

Tests must not have the key. So a second process gets it before any code of the project runs, and signs nothing but
attestations (:func:`sign`). It ends when its pipe is closed or the run has died.
"""

import ctypes
import os
import re
import select
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias

import msgspec

from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.ledger._signatures import Signer, Statement
from pytest_gaia.promotion.ledger.keys import TrustedKey, key_text, load_key, read_signed
from pytest_gaia.promotion.ledger.statements import RUN, Resource, Subject
from pytest_gaia.system.processes import KEY_FILE_VARIABLE, KEY_VARIABLE, hide_memory
from pytest_gaia.verdict.classify import Classification, Outcome, worst_of_each
from pytest_gaia.verdict.evaluated import EvaluatedRun, Word
from pytest_gaia.verdict.plan import not_passed
from pytest_gaia.wording import environment_label

Result: TypeAlias = Literal["PASSED", "WARNED", "FAILED"]

ACCEPTED: frozenset[Outcome] = frozenset({"expected failure", "tolerated", "unexpected pass"})
"""outcomes that are accepted with a warning"""
_PASSED: tuple[Outcome, ...] = ("passed", "passed offline")
_NEVER_RAN: tuple[Outcome, ...] = ("not applicable", "skipped")


@dataclass(frozen=True, slots=True)
class Sorted:
    """The tests of a run, as ``test-result/v0.1`` lists them."""

    passed: tuple[str, ...]
    warned: tuple[str, ...]
    """accepted, with an expected failure or after another attempt"""
    failed: tuple[str, ...]
    """without an accepted outcome"""
    unexecuted: dict[str, str]
    """node ID → ``not applicable``, ``skipped`` or ``not offered``"""
    warns: bool
    """whether any test was accepted with a warning, also one that is not required"""

    def result(self, verdict: Word) -> Result:
        """Return the result of the run. Only PROMOTE passes, because missing evidence is no pass."""
        if self.failed or verdict != "PROMOTE":
            return "FAILED"
        return "WARNED" if self.warns else "PASSED"


def sorted_tests(nodes: Sequence[str], classifications: Sequence[Classification], flaky: Iterable[str]) -> Sorted:
    """Sort the tests ``nodes`` by their outcomes; ``flaky`` are those with several attempts."""
    found = {each.node: each for each in classifications}
    lacking = not_passed(nodes, classifications)
    warned = {*flaky, *(node for node, each in found.items() if each.outcome in ACCEPTED)}
    return Sorted(
        passed=tuple(node for node in nodes if node in found and found[node].outcome in _PASSED and node not in warned),
        warned=tuple(node for node in nodes if node in warned and node not in lacking),
        failed=lacking,
        unexecuted={
            node: "not offered" if found[node].operations else found[node].outcome
            for node in nodes
            if node in found and found[node].outcome in _NEVER_RAN
        },
        warns=bool(warned),
    )


class AttestedDetails(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Details of a run that ``test-result/v0.1`` has no field for."""

    environment: str
    verdict: Word
    exit_code: int
    """of the whole run: 0 only if it passed and all of its files could be written"""
    reasons: tuple[str, ...]
    started: str
    """ISO 8601, UTC"""
    finished: str
    version: str
    """of pytest-gaia"""
    record: str = ""
    """SHA-256 of the results log; empty if none was written"""
    plan: str = ""
    """SHA-256 of the test plan, independent of the format of its file; empty without a plan"""
    release: str = ""
    """ID of the release, if it was given"""
    shard: str = ""
    """which part of the tests it had, such as ``2/5``"""
    simulated: bool = False
    """whether the tests ran on a sandbox instead of the environment"""
    planned: int = 0
    """number of selected tests"""
    partial: tuple[str, ...] = ()
    """what was not selected, one sentence each; empty for a full run"""
    unexecuted: dict[str, str] = {}
    """tests that did not run: node ID → ``not applicable``, ``skipped`` or ``not offered``"""
    counts: dict[str, int] = {}
    """outcome → number of tests"""
    digests: dict[str, str] = {}
    """service → digest of the image that was deployed before the first test"""
    platform: str = ""
    """SHA-256 of the description of the services, ``sha256:…``"""


class AttestedRun(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={
        "passed": "passedTests",
        "warned": "warnedTests",
        "failed": "failedTests",
        "details": "urn:pytest-gaia:attested-run/1",
    },
):
    """``test-result/v0.1`` of one run, whatever its verdict."""

    word: ClassVar[str] = "attestation"

    result: Result
    configuration: tuple[Resource, ...]
    """gaia.toml, the expectations, the test plan, the results log, the verdict file, and the commit"""
    url: str | msgspec.UnsetType = msgspec.UNSET
    """web address of the CI run; missing outside of CI"""
    passed: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    details: AttestedDetails

    def __str__(self) -> str:
        run = self.details
        counts = f"{len(self.passed)} passed, {len(self.warned)} warned, {len(self.failed)} failed"
        environment = environment_label(run.environment, simulated=run.simulated)
        return f"{environment}: {run.verdict} ({self.result}), {counts}, ended {run.finished[:19]}"


class _Statement(Statement, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A statement with an attested run, and nothing else."""

    predicate_type: Literal["https://in-toto.io/attestation/test-result/v0.1"] = RUN
    predicate: AttestedRun

    @property
    def ended(self) -> str:
        return self.predicate.details.finished


@dataclass(frozen=True, slots=True)
class Attestation:
    """A verified attestation."""

    subjects: tuple[Subject, ...]
    run: AttestedRun
    signers: tuple[TrustedKey, ...]
    """trusted keys with the role ``ci`` that signed it"""


@dataclass(frozen=True, slots=True)
class Files:
    """What a run read and wrote, by SHA-256 (hex)."""

    record: str = ""
    """the results log, as the run wrote it"""
    written: Mapping[str, str] = field(default_factory=dict)
    """file name → digest of the results log and the verdict file"""
    read: Mapping[str, str] = field(default_factory=dict)
    """file name → digest of gaia.toml, the expectations and the test plan"""
    commit: str = ""
    """the commit of the working tree; empty if a file differs from it"""
    tests_sources: bool = False
    """whether the services were started from the working tree, so that the commit is what was tested"""


def statement(evaluated: EvaluatedRun, files: Files, *, exit_code: int | None = None, url: str = "") -> bytes:
    """Return the statement about an evaluated run, which :func:`sign` signs.

    ``exit_code`` is that of the whole run, by default the one of the verdict. Raises ``ValueError`` if the run has no end.
    """
    start, end = evaluated.start, evaluated.end
    if end is None:
        raise ValueError("the run was killed before its end, so it has no verdict")
    code = evaluated.exit_code if exit_code is None else exit_code
    worst = worst_of_each(evaluated.classifications)
    # Without a plan, no one requires a test that the environment allows to skip.
    ran = (each.node for each in worst if each.outcome != "skipped" or each.blocks)
    nodes = tuple(dict.fromkeys((*end.required, *ran)))
    tests = sorted_tests(nodes, worst, [each.node for each in evaluated.classifications if each.retried])
    skipped = {each.node: each.outcome for each in worst if each.outcome == "skipped"}
    details = AttestedDetails(
        environment=evaluated.context.environment,
        verdict=evaluated.verdict.word,
        exit_code=code,
        reasons=evaluated.verdict.reasons,
        started=start.started,
        finished=end.finished,
        version=start.version,
        record=files.record,
        plan=end.plan,
        release=end.release,
        shard=str(start.shard or ""),
        simulated=start.simulated,
        planned=end.planned,
        partial=evaluated.partial,
        unexecuted=skipped | tests.unexecuted,
        counts=dict(sorted(evaluated.counts.items())),
        digests=_digests(evaluated),
        platform=start.platform.digest if start.platform else "",
    )
    configuration = [
        Resource(name, {"sha256": digest}) for name, digest in sorted({**files.read, **files.written}.items())
    ]
    if files.commit:
        configuration.append(Resource("commit", {"gitCommit": files.commit}))
    run = AttestedRun(
        # A simulation shows nothing about its environment.
        result=tests.result(evaluated.verdict.word) if code == 0 and not start.simulated else "FAILED",
        configuration=tuple(configuration),
        url=url or msgspec.UNSET,
        passed=tests.passed,
        warned=tests.warned,
        failed=tests.failed,
        details=details,
    )
    return msgspec.json.encode(_Statement(subject=_subjects(run, files), predicate=run))


def sign(body: bytes, signers: Iterable[Signer]) -> bytes:
    """Return the envelope of a ``statement``. Raises ``ValueError`` for anything else, such as an entry of a ledger."""
    try:
        read = msgspec.json.decode(body, type=_Statement)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"not the statement of an attestation: {error}") from None
    return read.signed(signers)


def verified(content: bytes, keys: Sequence[TrustedKey]) -> Attestation:
    """Return the attestation in an envelope that a trusted key with the role ``ci`` signed while it was valid.

    Raises ``ValueError`` with the reason if it proves nothing: changed, signed by another key, or no attestation.
    """
    if not content:
        raise ValueError("is empty: the run was killed, or it ran no test")
    found, machines = read_signed(content, keys, _Statement, "an attestation of a run")
    return Attestation(found.subject, found.predicate, machines)


def _digests(evaluated: EvaluatedRun) -> dict[str, str]:
    deployment = evaluated.start.deployment
    seen = deployment.services if deployment else ()
    return {
        each.service: each.images[0] for each in seen if len(each.images) == 1 and each.images[0].startswith("sha256:")
    }


def _subjects(run: AttestedRun, files: Files) -> tuple[Subject, ...]:
    """Return what was tested, and the files of the run. A statement needs at least one subject with a digest."""
    tested = [Subject(name, _digest(digest)) for name, digest in sorted(run.details.digests.items())]
    if re.fullmatch("[0-9a-f]{64}", run.details.release):
        # The ID of a release is the SHA-256 of its content.
        tested.append(Subject("release", {"sha256": run.details.release}))
    if files.commit and files.tests_sources:
        tested.append(Subject("commit", {"gitCommit": files.commit}))
    tested += [Subject(name, {"sha256": digest}) for name, digest in sorted(files.written.items())]
    return tuple(tested) or (Subject("platform", _digest(run.details.platform)),)


def _digest(text: str) -> dict[str, str]:
    algorithm, _, digest = text.partition(":")
    return {algorithm: digest}


class _Reply(msgspec.Struct, omit_defaults=True):
    """Message of the signing process."""

    keyid: str = ""
    problem: str = ""
    envelope: bytes = b""


_INHERITED = ("PATH", "HOME", "LANG")
_ALSO = ("LC_", "LD_", "DYLD_", "PYTHON")
"""variables, or their beginnings, that the signing process gets: none of them is a secret of a test"""
_LOOK_EVERY = 1.0
"""seconds between two checks whether the run still exists; a forked child may keep the pipe open"""


class SigningProcess:
    """The process with the key, as the run that feeds it sees it."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        """Take the key from ``environ``, where it is missing then, and start the process.

        Raises ``ConfigError`` if there is no key, or its file cannot be read.
        """
        found = key_text(environ)
        self.withheld = {name: environ[name] for name in (KEY_VARIABLE, KEY_FILE_VARIABLE) if name in environ}
        """the variables that were removed"""
        for name in self.withheld:
            _erase(name)
            del environ[name]
        if found is None:
            raise ConfigError(
                "no signing key. Set GAIA_SIGNING_KEY or GAIA_SIGNING_KEY_FILE; to create a key, run "
                "`gaia key generate ci --role ci`."
            )
        variables = {name: value for name, value in environ.items() if name in _INHERITED or name.startswith(_ALSO)}
        # -P: import nothing from the current folder. A session of its own, so that Ctrl-C does not end it.
        self._process = subprocess.Popen(  # noqa: S603  # this interpreter, with a module of this package
            (sys.executable, "-P", "-W", "ignore", "-m", __spec__.name),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=variables,
            start_new_session=True,
        )
        self._send(msgspec.json.encode(found))

    def ready(self) -> str:
        """Wait for the process, and return the ID of its key. Raises ``ConfigError`` if the key cannot be used."""
        reply = self._reply()
        if reply.problem:
            raise ConfigError(reply.problem)
        return reply.keyid

    def sign(self, body: bytes) -> bytes:
        """Return the envelope of a :func:`statement`. Raises ``ValueError`` if the process does not sign it."""
        self._send(body)
        reply = self._reply()
        if reply.problem:
            raise ValueError(reply.problem)
        return reply.envelope

    def close(self) -> None:
        """End the process. It does not wait for the end of its pipe, which a forked child of a test may keep open."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self._process.wait()

    def _send(self, message: bytes) -> None:
        assert self._process.stdin is not None
        # If it has ended, there is no reply either.
        with suppress(OSError, ValueError):
            self._process.stdin.write(message + b"\n")
            self._process.stdin.flush()

    def _reply(self) -> _Reply:
        assert self._process.stdout is not None
        try:
            return msgspec.json.decode(self._process.stdout.readline(), type=_Reply)
        except (msgspec.MsgspecError, OSError, ValueError):
            return _Reply(problem="the signing process has ended")


def _erase(name: str) -> None:
    """Overwrite the variable in the memory of this process, which the system shows as ``/proc/self/environ``."""
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_void_p
    if address := getenv(os.fsencode(name)):
        ctypes.memset(address, 0, len(ctypes.string_at(address)))


def _lines(descriptor: int, parent: int) -> Iterator[bytes]:
    """Yield the lines from a pipe, until it is closed or the process ``parent`` has ended."""
    left = b""
    while os.getppid() == parent:
        if not select.select([descriptor], [], [], _LOOK_EVERY)[0]:
            continue
        chunk = os.read(descriptor, 1 << 16)
        if not chunk:
            return
        *whole, left = (left + chunk).split(b"\n")
        yield from whole


def _replies(lines: Iterator[bytes]) -> Iterator[_Reply]:
    text, source = msgspec.json.decode(next(lines), type=tuple[str, str])
    try:
        key = load_key(text, source)
    except ConfigError as error:
        yield _Reply(problem=str(error))
        return
    del text
    yield _Reply(keyid=key.keyid)
    for line in lines:
        try:
            yield _Reply(envelope=sign(line, [key]))
        except ValueError as error:
            yield _Reply(problem=str(error))


def main() -> None:
    """Sign attestations for the process that started this one."""
    hide_memory()
    with suppress(BrokenPipeError, StopIteration):
        for reply in _replies(_lines(sys.stdin.fileno(), os.getppid())):
            sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
